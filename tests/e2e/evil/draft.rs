//! The experiment of a row: one that passes, and what a row changes about it.

use std::net::SocketAddr;

/// A manifest in parts. What it becomes by default must pass.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) row: String,
    pub(crate) stand_in: SocketAddr,
    /// `labels of the target`.
    pub(crate) selector: &'static str,
    pub(crate) fault: String,
    pub(crate) phases: &'static str,
    pub(crate) rate: &'static str,
    pub(crate) timeout: &'static str,
    pub(crate) max_lag: &'static str,
    /// Further headers of a request.
    pub(crate) headers: &'static str,
    /// Where requests go; absent: to the stand-in.
    pub(crate) url: Option<String>,
    pub(crate) promise: &'static str,
    pub(crate) evidence: &'static str,
    /// Further probes, as items of a YAML list.
    pub(crate) probes: Vec<String>,
    pub(crate) limits: &'static str,
    pub(crate) abort: String,
}

/// Three kills, 300 ms apart, by this process.
const POD_KILL: &str = "podKill: {mode: Evict, victims: 1, strikes: {target: 3, min: 2}, \
                        every: {mean: 300ms, min: 300ms, distribution: Fixed}, group: Workload}";
const LIMITS: &str = "{maxUnavailable: 1, minReady: 1, maxKills: 60, minInterval: 200ms, recoverWithin: 60s, \
                      maxBlind: 30s, allowForce: false}";
const SHORT_SIGHTED: &str = "{maxUnavailable: 1, minReady: 1, maxKills: 60, minInterval: 200ms, recoverWithin: 60s, \
                             maxBlind: 5s, allowForce: false}";

impl Draft {
    pub(crate) fn new(row: &str, stand_in: SocketAddr) -> Self {
        Self {
            row: row.to_owned(),
            stand_in,
            selector: "app: app",
            fault: POD_KILL.to_owned(),
            phases: "{baseline: 1s, fault: 60s, recovery: 1s}",
            rate: "20/s",
            timeout: "5s",
            max_lag: "3s",
            headers: "{}",
            url: None,
            promise: "availability: 90%",
            evidence: "observed: {}",
            probes: Vec::new(),
            limits: LIMITS,
            abort: "[]".to_owned(),
        }
    }

    /// The same with this many kills, of which `min` are the least.
    pub(crate) fn kills(mut self, target: u32, min: u32) -> Self {
        self.fault = POD_KILL.replace("{target: 3, min: 2}", &format!("{{target: {target}, min: {min}}}"));
        self
    }

    /// The same with a query that the stand-in's Prometheus answers.
    pub(crate) fn asks_prometheus(self) -> Self {
        let url = format!("http://{}/{}/prom", self.stand_in, self.row);
        self.asks_prometheus_at(&url)
    }

    /// The same with a query to the Prometheus there.
    pub(crate) fn asks_prometheus_at(self, url: &str) -> Self {
        // As by default.
        self.asks_prometheus_of("2m", url)
    }

    /// The same with a query to the Prometheus there, of which nothing may be older than this.
    pub(crate) fn asks_prometheus_of(mut self, max_age: &str, url: &str) -> Self {
        let query = format!("url: \"{url}\", query: rides_assigned, every: 200ms, timeout: 2s, maxAge: {max_age}");
        self.probes.push(format!("{{name: rides, prometheus: {{{query}}}, expect: {{min: 1}}}}"));
        self
    }

    /// The same with a guard: alerts of that name, of the stand-in's Prometheus.
    pub(crate) fn guarded_by(self, alert: &str) -> Self {
        let url = format!("http://{}/{}/prom", self.stand_in, self.row);
        self.guarded_at(&url, alert)
    }

    /// The same with a guard: alerts of that name, of the Prometheus there.
    pub(crate) fn guarded_at(mut self, url: &str, alert: &str) -> Self {
        self.abort = format!("[{{alert: {{url: \"{url}\", matchers: ['alertname=\"{alert}\"'], timeout: 2s}}}}]");
        self
    }

    /// The same with little patience where the cluster, or the alerts, cannot be seen.
    pub(crate) fn short_sighted(self) -> Self {
        self.with(|draft| draft.limits = SHORT_SIGHTED)
    }

    /// The same with a checker of business rules.
    pub(crate) fn asks_rules(mut self) -> Self {
        let url = format!("http://{}", self.stand_in);
        self.probes.push(format!("{{name: ledger, invariants: {{url: \"{url}\", path: /{}/rules}}}}", self.row));
        self
    }

    /// The same with another probe.
    pub(crate) fn probe(mut self, probe: &str) -> Self {
        self.probes.push(probe.to_owned());
        self
    }

    /// The same with any other change.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The manifest.
    pub(crate) fn yaml(&self) -> String {
        let Self { row, selector, fault, phases, rate, timeout, max_lag, headers, .. } = self;
        let Self { promise, evidence, limits, abort, .. } = self;
        let url = self.url.clone().unwrap_or_else(|| format!("http://{}", self.stand_in));
        let more: String = self.probes.iter().map(|probe| format!("    - {probe}\n")).collect();
        format!(
            "apiVersion: chaos.dispatch.dev/v1alpha1
kind: Experiment
metadata: {{name: {row}, namespace: {row}}}
spec:
  hypothesis: Riders can request rides while pods of {row} die.
  target: {{selector: {{matchLabels: {{{selector}}}}}}}
  fault: {{{fault}}}
  phases: {phases}
  probes:
    - name: ride
      http:
        url: \"{url}\"
        path: /{row}/ride
        headers: {headers}
        rate: {rate}
        timeout: {timeout}
        maxLag: {max_lag}
        success: {{status: [200], body: {{jsonPath: $.id, exists: true}}}}
        exposure: {{header: x-served-by}}
      slo: {{{promise}, confidence: 95%, evidence: {{{evidence}}}}}
{more}  limits: {limits}
  abort: {abort}
  seed: 7
"
        )
    }
}
