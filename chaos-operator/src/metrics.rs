//! Metrics of the operator, all low in cardinality: labels are enums, or the name of a monkey.

use std::sync::atomic::AtomicU64;

use chaos_core::api::Outcome;
use chaos_core::killer::SkipReason;
use chaos_core::record::StopCause;
use chaos_core::verdict::{self, Conclusion};
use chaos_engine::kube::StoreError;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{Atomic, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Buckets of the time by which kills are late, in seconds: a tenth is what is aimed at.
const LAG: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// What a label says of an enum, in one table: the compiler asks for a row for each variant, and all of them begin at 0.
macro_rules! words {
    ($all:ident, $word:ident, $of:ident: $($variant:ident => $text:literal,)+) => {
        const $all: &[&str] = &[$($text),+];

        const fn $word(of: $of) -> &'static str {
            match of {
                $($of::$variant => $text,)+
            }
        }
    };
}

words! {
    OUTCOMES, outcome_word, Outcome:
    Killed => "killed",
    WouldKill => "would_kill",
    Blocked => "blocked",
    Gone => "gone",
    Failed => "failed",
    Unknown => "unknown",
}

/// Why work has to be started over, or cannot begin, beside a status that could not be written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mishap {
    /// A mistake in the work on an object.
    Panic,
    /// What a watch brought of an object cannot be read.
    Unreadable,
    /// A watch broke.
    Watch,
}

words! {
    MISHAPS, mishap_word, Mishap:
    Panic => "Panic",
    Unreadable => "Unreadable",
    Watch => "Watch",
}

/// Why a guard lets no kill happen.
const GUARDS: [&str; 4] = [
    SkipReason::GuardAlert.as_str(),
    SkipReason::GuardErrorBudget.as_str(),
    SkipReason::GuardProbe.as_str(),
    SkipReason::GuardUnknown.as_str(),
];

/// Metrics of the operator.
pub(crate) struct Metrics {
    registry: Registry,
    planned: Counter,
    kills: Family<OutcomeLabel, Counter>,
    skips: Family<ReasonLabel, Counter>,
    ended: Family<ReasonLabel, Counter>,
    errors: Family<ReasonLabel, Counter>,
    next_kill: Family<MonkeyLabel, Gauge<f64, AtomicU64>>,
    guards_held: Family<MonkeyLabel, Gauge>,
    leader: Gauge,
    objects: Family<KindLabel, Gauge>,
    verdicts: Family<OutcomeLabel, Counter>,
    stops: Family<ReasonLabel, Counter>,
    days: Family<OutcomeLabel, Counter>,
    day_skips: Family<ReasonLabel, Counter>,
    switch_running: Gauge,
    permissions_missing: Gauge,
    recovery: Histogram,
    lag: Histogram,
    claim: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MonkeyLabel {
    namespace: String,
    monkey: String,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            planned: Counter::default(),
            kills: Family::default(),
            skips: Family::default(),
            ended: Family::default(),
            errors: Family::default(),
            next_kill: Family::default(),
            guards_held: Family::default(),
            leader: Gauge::default(),
            objects: Family::default(),
            verdicts: Family::default(),
            stops: Family::default(),
            days: Family::default(),
            day_skips: Family::default(),
            switch_running: Gauge::default(),
            permissions_missing: Gauge::default(),
            recovery: Histogram::new(exponential_buckets(0.05, 2.0, 14)),
            lag: Histogram::new(LAG),
            claim: Histogram::new(exponential_buckets(0.005, 2.0, 12)),
        };
        metrics.registered().begun()
    }

    /// A series that appears with its first event has no 0 before it, and no `increase` sees that event: alerts would miss the first
    /// of each kind.
    fn begun(self) -> Self {
        for &outcome in OUTCOMES {
            drop(self.kills.get_or_create(&OutcomeLabel { outcome }));
        }
        let judged = verdict::Outcome::ALL.into_iter().map(Conclusion::Judged);
        for conclusion in judged.chain([Conclusion::Planned]) {
            let label = OutcomeLabel { outcome: conclusion.as_str() };
            drop(self.verdicts.get_or_create(&label));
            drop(self.days.get_or_create(&label));
        }
        for (family, reasons) in [
            (&self.stops, StopCause::NAMES),
            (&self.errors, StoreError::NAMES),
            (&self.errors, MISHAPS),
            (&self.skips, &GUARDS[..]),
        ] {
            for reason in reasons {
                drop(family.get_or_create(&ReasonLabel { reason: (*reason).to_owned() }));
            }
        }
        self
    }

    fn registered(mut self) -> Self {
        let seconds = Unit::Seconds;
        let r = &mut self.registry;
        r.register("chaos_strikes_planned", "Strikes that were planned", self.planned.clone());
        r.register("chaos_kills", "Kill calls by what came of them", self.kills.clone());
        r.register("chaos_skips", "Strikes that did not happen, by reason", self.skips.clone());
        r.register("chaos_monkeys_ended", "Monkeys that kill no more, by reason", self.ended.clone());
        r.register(
            "chaos_reconcile_errors",
            "Times that the work on an object, or a watch, had to be started over, by reason",
            self.errors.clone(),
        );
        r.register(
            "chaos_next_kill_timestamp_seconds",
            "When a monkey strikes next, in Unix time",
            self.next_kill.clone(),
        );
        r.register(
            "chaos_monkey_guards_held",
            "1 if the guards of a monkey held when they were last asked, 0 if not or if that is not known",
            self.guards_held.clone(),
        );
        r.register("chaos_leader", "1 while this process is the one that works", self.leader.clone());
        r.register("chaos_objects", "Objects that this process works on, by kind", self.objects.clone());
        r.register("chaos_runs", "ExperimentRuns that ended, by what came out", self.verdicts.clone());
        r.register("chaos_run_stops", "ExperimentRuns that ended early, by what ended them", self.stops.clone());
        r.register("chaos_game_days", "Executions of GameDays that ended, by what came out", self.days.clone());
        r.register(
            "chaos_game_day_skips",
            "Slots of GameDays that were not started, by reason",
            self.day_skips.clone(),
        );
        r.register(
            "chaos_switch_running",
            "1 while the stop switch of the cluster says Running",
            self.switch_running.clone(),
        );
        r.register(
            "chaos_permissions_missing",
            "Verbs of the shipped roles that this process has not",
            self.permissions_missing.clone(),
        );
        r.register_with_unit(
            "chaos_recovery",
            "From a kill to as many serving pods as before",
            seconds.clone(),
            self.recovery.clone(),
        );
        r.register_with_unit(
            "chaos_kill_lag",
            "From the instant a kill was due to the one it was sent",
            seconds.clone(),
            self.lag.clone(),
        );
        r.register_with_unit(
            "chaos_reconcile",
            "From taking an object up to its machine running",
            seconds,
            self.claim.clone(),
        );
        self
    }

    pub(crate) fn planned(&self, strikes: u64) {
        self.planned.inc_by(strikes);
    }

    pub(crate) fn killed(&self, outcome: Outcome) {
        self.kills.get_or_create(&OutcomeLabel { outcome: outcome_word(outcome) }).inc();
    }

    pub(crate) fn skipped(&self, reason: &str) {
        self.skips.get_or_create(&ReasonLabel { reason: reason.to_owned() }).inc();
    }

    pub(crate) fn ended(&self, reason: &str) {
        self.ended.get_or_create(&ReasonLabel { reason: reason.to_owned() }).inc();
    }

    /// The work on an object failed by what became of its status.
    pub(crate) fn failed(&self, error: &StoreError) {
        self.errors.get_or_create(&ReasonLabel { reason: error.as_str().to_owned() }).inc();
    }

    /// The work on an object, or a watch, failed by something else.
    pub(crate) fn failed_by(&self, mishap: Mishap) {
        self.errors.get_or_create(&ReasonLabel { reason: mishap_word(mishap).to_owned() }).inc();
    }

    pub(crate) fn recovered(&self, seconds: f64) {
        self.recovery.observe(seconds);
    }

    pub(crate) fn sent(&self, lag_seconds: f64) {
        self.lag.observe(lag_seconds);
    }

    pub(crate) fn taken_up(&self, seconds: f64) {
        self.claim.observe(seconds);
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub(crate) fn works_on(&self, kind: &str, objects: usize) {
        let label = KindLabel { kind: kind.to_owned() };
        self.objects.get_or_create(&label).set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// A run ended.
    pub(crate) fn judged(&self, outcome: Conclusion) {
        self.verdicts.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }

    /// A run ends early, by that cause.
    pub(crate) fn stopped(&self, cause: &str) {
        self.stops.get_or_create(&ReasonLabel { reason: cause.to_owned() }).inc();
    }

    /// An execution of a game day ended.
    pub(crate) fn day_ended(&self, outcome: Conclusion) {
        self.days.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }

    /// Slots of a game day were not started.
    pub(crate) fn day_skipped(&self, reason: &str, slots: u64) {
        self.day_skips.get_or_create(&ReasonLabel { reason: reason.to_owned() }).inc_by(slots);
    }

    pub(crate) fn switch_is_running(&self, running: bool) {
        self.switch_running.set(i64::from(running));
    }

    pub(crate) fn misses_permissions(&self, verbs: usize) {
        self.permissions_missing.set(i64::try_from(verbs).unwrap_or(i64::MAX));
    }

    /// The next strike of a monkey; `None`: there is none.
    pub(crate) fn next_kill(&self, namespace: &str, monkey: &str, at: Option<jiff::Timestamp>) {
        show(&self.next_kill, namespace, monkey, at.map(|at| at.as_millisecond() as f64 / 1e3));
    }

    /// Whether the guards of a monkey held when they were asked; `None`: they were not, or there are none any more.
    pub(crate) fn guards_held(&self, namespace: &str, monkey: &str, held: Option<bool>) {
        show(&self.guards_held, namespace, monkey, held.map(i64::from));
    }

    /// All of them, in the text format of `OpenMetrics`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Sets the gauge of a monkey; `None`: there is nothing to be shown of it.
fn show<N, A: Atomic<N>>(gauges: &Family<MonkeyLabel, Gauge<N, A>>, namespace: &str, monkey: &str, value: Option<N>) {
    let label = MonkeyLabel { namespace: namespace.to_owned(), monkey: monkey.to_owned() };
    match value {
        Some(value) => _ = gauges.get_or_create(&label).set(value),
        None => _ = gauges.remove(&label),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PAGE: &str = include_str!("../../docs/operations.md");

    /// Names and types of metrics that the page of operations has in its table, of the prober or of the operator.
    pub(crate) fn documented(of_prober: bool) -> BTreeSet<(String, String)> {
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let named = rows.filter(|(name, _)| name.starts_with("chaos_"));
        let typed = named.map(|(name, rest)| (name.to_owned(), rest.split(" |").next().unwrap_or_default().to_owned()));
        typed.filter(|(name, _)| name.starts_with("chaos_prober_") == of_prober).collect()
    }

    /// Names and types of metrics in a text for Prometheus, as queries know them.
    pub(crate) fn exported(text: &str) -> BTreeSet<(String, String)> {
        let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let as_queried = |(name, kind): (&str, &str)| {
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            (name, kind.to_owned())
        };
        typed.map(as_queried).collect()
    }

    #[test]
    fn the_page_of_operations_has_every_metric_and_no_other() {
        let metrics = Metrics::new();
        // What has labels is exported once there is something to be told.
        metrics.killed(Outcome::Killed);
        metrics.skipped("R");
        metrics.ended("R");
        metrics.failed_by(Mishap::Watch);
        metrics.next_kill("n", "m", Some(jiff::Timestamp::UNIX_EPOCH));
        metrics.guards_held("n", "m", Some(true));
        metrics.works_on("ChaosMonkey", 1);
        metrics.judged(Conclusion::Planned);
        metrics.stopped("R");
        metrics.day_ended(Conclusion::Planned);
        metrics.day_skipped("R", 1);
        let exported = exported(&metrics.text());
        // Spelt in halves, so that this line is none of them.
        let registered = include_str!("metrics.rs").matches(&["r.reg", "ister"].concat()).count();
        assert_eq!(exported.len(), registered, "metrics that nothing is told of here: {exported:?}");
        assert_eq!(exported, documented(false));
    }

    #[test]
    fn every_reason_that_the_page_of_operations_names_begins_at_0_and_it_names_all_that_there_are() {
        let metrics = Metrics::new().text();
        let mut errors: Vec<&str> = StoreError::NAMES.iter().chain(MISHAPS).copied().collect();
        errors.sort_unstable();
        errors.dedup();
        for (metric, label, mut wanted) in [
            ("chaos_kills_total", "outcome", OUTCOMES.to_vec()),
            ("chaos_run_stops_total", "reason", StopCause::NAMES.to_vec()),
            ("chaos_reconcile_errors_total", "reason", errors),
        ] {
            let head = format!("| `{metric}` | counter | `{label}`: ");
            let row = PAGE.lines().find_map(|line| line.strip_prefix(&head)).expect(metric);
            let mut named: Vec<&str> = row.split(" |").next().unwrap().split(", ").collect();
            named.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(named, wanted, "{metric}");
            for value in wanted {
                let series = format!("{metric}{{{label}=\"{value}\"}} 0");
                assert!(metrics.lines().any(|line| line == series), "{series} does not begin");
            }
        }
    }

    /// The series of counters that a text asks for by a label, as they are before anything happens.
    fn asked_for(text: &str) -> Vec<String> {
        let of_one = |rest: &str| {
            let (name, rest) = rest.split_once("_total{")?;
            let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let (label, values) = rest.split_once('=').filter(|_| is_name)?;
            let values = values.trim_start_matches(['~', '\\']).strip_prefix('"')?.split('"').next()?;
            let values = values.split('|').map(|value| value.trim_end_matches('\\'));
            Some(values.map(|value| format!("chaos_{name}_total{{{label}=\"{value}\"}} 0")).collect::<Vec<_>>())
        };
        text.split("chaos_").skip(1).filter_map(of_one).flatten().collect()
    }

    #[test]
    fn what_alerts_and_dashboards_ask_for_is_there_before_it_happens() {
        let metrics = Metrics::new().text();
        let rules = include_str!("../../dashboards/rules.yaml");
        let overview = include_str!("../../dashboards/chaos-overview.json");
        let levels = include_str!("../../dashboards/dispatch-service-levels.json");
        let asked: Vec<String> = [PAGE, rules, overview, levels].into_iter().flat_map(asked_for).collect();
        for wanted in ["chaos_kills_total{outcome=\"unknown\"} 0", "chaos_kills_total{outcome=\"killed\"} 0"] {
            assert!(asked.iter().any(|series| series == wanted), "{asked:?}");
        }
        for series in asked {
            assert!(metrics.lines().any(|line| line == series), "{series} is asked for, and nothing exports it");
        }
    }
}
