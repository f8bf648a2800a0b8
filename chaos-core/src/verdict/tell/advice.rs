//! What the run and the cluster show to be weak, each with the facts that show it and the lines of YAML to change. Advice
//! never changes a verdict.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Evidence, State};
use crate::population::{ContainerFacts, PodFacts, Population, WorkloadFacts};
use crate::record::{BadClass, Kill, RunTime};
use crate::result::Advice;
use crate::verdict::words::counted;

/// Replacements slower than this at the 95th percentile are worth a word, in microseconds.
const SLOW_READY_US: u64 = 30_000_000;
/// A request that fails this long after the endpoint was out may still have been sent to the victim.
const AFTER_ENDPOINT_OUT_NANOS: u64 = 1_000_000_000;
/// What a preStop hook should take at least, and where there is one that is too short.
const PRE_STOP_SECONDS: u64 = 5;
const LONGER_PRE_STOP_SECONDS: u64 = 15;
/// What is left to a container once its hook has ended; with the shorter hook that makes Kubernetes' own grace period.
const TO_END_SECONDS: u64 = 25;
const DEFAULT_GRACE_SECONDS: u64 = PRE_STOP_SECONDS + TO_END_SECONDS;

/// Everything that is worth a word, weakest first.
pub(super) fn advice(evidence: &Evidence<'_>) -> Vec<Advice> {
    let mut advice = Vec::new();
    if let Some((population, eligible, _)) = evidence.recorded.planned {
        for workload in &population.workloads {
            let of_it = |pod: &&PodFacts| pod.workload.as_ref().is_some_and(|key| key.uid == workload.key.uid);
            let pods: Vec<&PodFacts> = population.pods.iter().filter(of_it).collect();
            if pods.iter().any(|pod| eligible.contains(&pod.uid)) {
                let target = Target { population, workload, pods };
                let of_target = [target.alone(), target.unbudgeted(), target.unprobed(), target.together()];
                advice.extend(of_target.into_iter().flatten());
            }
        }
    }
    advice.extend(undrained(evidence));
    advice.extend(unretried(evidence));
    advice.extend(slow_replacements(evidence));
    advice
}

/// A workload that may be hit.
struct Target<'a> {
    population: &'a Population,
    workload: &'a WorkloadFacts,
    pods: Vec<&'a PodFacts>,
}

impl Target<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.workload.key.kind, self.workload.key.name)
    }

    fn alone(&self) -> Option<Advice> {
        (self.workload.desired == 1).then(|| Advice {
            title: format!("{} has one replica: every kill of it is an outage", self.name()),
            about: self.name(),
            evidence: "spec.replicas is 1".into(),
            manifest: "spec:\n  replicas: 2".into(),
        })
    }

    fn unbudgeted(&self) -> Option<Advice> {
        let covered = |pod: &&PodFacts| self.population.budgets.iter().any(|budget| budget.covers.contains(&pod.uid));
        if self.workload.desired < 2 || self.pods.iter().any(covered) {
            return None;
        }
        let key = &self.workload.key;
        let label = self.pods.first().and_then(|pod| {
            ["app.kubernetes.io/name", "app"].iter().find_map(|label| Some((*label, pod.labels.get(*label)?)))
        });
        let selector = label.map_or_else(
            || "    matchLabels: {}  # the labels of its pods".to_owned(),
            |(label, value)| format!("    matchLabels:\n      {label}: {value}"),
        );
        Some(Advice {
            title: format!("No disruption budget covers {}: a node drain may take all of it at once", self.name()),
            about: self.name(),
            evidence: format!("none of its {} pods is covered by a PodDisruptionBudget", self.pods.len()),
            manifest: format!(
                "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n  \
                 maxUnavailable: 1\n  selector:\n{selector}",
                key.name, key.namespace
            ),
        })
    }

    fn unprobed(&self) -> Option<Advice> {
        let templates = self.pods.iter().filter_map(|pod| pod.template.as_ref());
        let containers = templates.flat_map(|template| &template.containers);
        let unprobed = containers.filter(|container| container.has_port && !container.has_readiness_probe);
        let names: BTreeSet<&str> = unprobed.map(|container| container.name.as_str()).collect();
        let lines = |name: &&str| {
            format!(
                "\n        - name: {name}\n          readinessProbe:\n            periodSeconds: 1\n            \
                 httpGet:\n              path: /healthz  # what answers well only while it can serve\n              port: 8080  # its own"
            )
        };
        (!names.is_empty()).then(|| Advice {
            title: format!("{} gets traffic before it can serve: nothing says when it can", self.name()),
            about: self.name(),
            evidence: format!(
                "{} without a readinessProbe, though with a port: {}",
                counted(names.len() as u64, "container"),
                names.iter().copied().collect::<Vec<_>>().join(", ")
            ),
            manifest: format!(
                "spec:\n  template:\n    spec:\n      containers:{}",
                names.iter().map(lines).collect::<String>()
            ),
        })
    }

    /// Where nodes may not be read, the pods say on which they are.
    fn together(&self) -> Option<Advice> {
        if self.pods.len() < 2 || self.population.nodes.as_ref().is_some_and(|nodes| nodes.len() < 2) {
            return None;
        }
        let node = |pod: &PodFacts| pod.node.clone();
        let zone = |pod: &PodFacts| Some(self.population.node(pod.node.as_deref()?)?.zone()?.to_owned());
        let zones: BTreeSet<_> = self.population.nodes.iter().flatten().filter_map(|node| node.zone()).collect();
        let (what, place, key) = if let Some(place) = shared(&self.pods, node) {
            ("node", place, "kubernetes.io/hostname")
        } else if let Some(place) = shared(&self.pods, zone).filter(|_| zones.len() > 1) {
            ("zone", place, "topology.kubernetes.io/zone")
        } else {
            return None;
        };
        Some(Advice {
            title: format!("All pods of {} are on one {what}", self.name()),
            about: self.name(),
            evidence: format!("its {} pods are all on {what} {place}", self.pods.len()),
            manifest: format!(
                "spec:\n  template:\n    spec:\n      topologySpreadConstraints:\n        - maxSkew: 1\n          \
                 topologyKey: {key}\n          whenUnsatisfiable: ScheduleAnyway"
            ),
        })
    }
}

/// The one place that all pods share, if they share one.
fn shared(pods: &[&PodFacts], place: impl Fn(&PodFacts) -> Option<String>) -> Option<String> {
    let places: Option<BTreeSet<String>> = pods.iter().map(|pod| place(pod)).collect();
    places.filter(|places| places.len() == 1)?.pop_first()
}

/// Requests were refused or reset between a kill and its endpoint being out: the pod went before its traffic did. One for each
/// workload.
fn undrained(evidence: &Evidence<'_>) -> Vec<Advice> {
    let planned = evidence.recorded.planned.map(|(population, ..)| population);
    let cut = cut_off(evidence).into_iter();
    cut.map(|(uid, cut)| cut.advice(planned.and_then(|population| Served::of(population, uid)))).collect()
}

/// What the kills of one workload cut off.
struct CutOff<'a> {
    /// `Kind/name`.
    workload: &'a str,
    requests: u64,
    /// From a kill to the last request that it cut off, in nanoseconds.
    longest: u64,
}

/// By the UID of the workload. Spans of kills overlap, and each request counts once: for the last kill before it.
fn cut_off<'a>(evidence: &'a Evidence<'_>) -> BTreeMap<&'a str, CutOff<'a>> {
    let judged = evidence.recorded.phases.judged().unwrap_or_default();
    let kills = evidence.recorded.kills.iter().copied().zip(&evidence.timelines);
    let mut kill_of: BTreeMap<(usize, u64), (&Kill, RunTime)> = BTreeMap::new();
    for (kill, timeline) in kills.filter(|(_, timeline)| timeline.done) {
        let Some(out) = timeline.endpoint_out else {
            continue;
        };
        let until = RunTime(out.0.saturating_add(AFTER_ENDPOINT_OUT_NANOS)).min(judged.end);
        for (number, load) in evidence.loads.iter().enumerate() {
            let from = load.bad.partition_point(|slot| slot.due < kill.at.max(judged.start));
            let in_span = load.bad[from..].iter().take_while(|slot| slot.due < until);
            let failed = in_span.filter(|slot| {
                matches!(slot.class, BadClass::Refused | BadClass::Reset)
                    && State::of(slot, load.schedule.max_lag) == State::Failed
            });
            kill_of.extend(failed.map(|slot| ((number, slot.slot), (kill, slot.due))));
        }
    }
    let mut by_workload = BTreeMap::new();
    for (kill, due) in kill_of.into_values() {
        let fresh = || CutOff { workload: &kill.victim.workload, requests: 0, longest: 0 };
        let cut = by_workload.entry(kill.victim.workload_uid.as_str()).or_insert_with(fresh);
        cut.requests += 1;
        cut.longest = cut.longest.max(due.0.saturating_sub(kill.at.0));
    }
    by_workload
}

/// The container of a workload that serves, as it was planned on.
struct Served<'a> {
    container: &'a ContainerFacts,
    grace_seconds: u64,
}

impl<'a> Served<'a> {
    fn of(population: &'a Population, workload_uid: &str) -> Option<Self> {
        let of_it = |pod: &&PodFacts| pod.workload.as_ref().is_some_and(|key| key.uid == workload_uid);
        let template = population.pods.iter().filter(of_it).find_map(|pod| pod.template.as_ref())?;
        let serves = template.containers.iter().find(|container| container.has_port);
        let container = serves.or_else(|| template.containers.first())?;
        Some(Self { container, grace_seconds: template.grace_seconds })
    }
}

impl CutOff<'_> {
    fn advice(&self, served: Option<Served<'_>>) -> Advice {
        let waits = served.as_ref().is_some_and(|served| served.container.has_pre_stop);
        let name = served.as_ref().map_or("CONTAINER  # the one that serves", |served| served.container.name.as_str());
        let grace = served.as_ref().map_or(DEFAULT_GRACE_SECONDS, |served| served.grace_seconds);
        let (title, known) = match &served {
            None => ("Pods leave before their traffic does", String::new()),
            Some(_) if !waits => {
                ("Pods leave before their traffic does", format!("; container {name} has no preStop hook"))
            }
            Some(_) => (
                "Pods wait before they leave, and still leave before their traffic does",
                format!("; container {name} has a preStop hook that ends too early, and {grace} s of grace"),
            ),
        };
        let least = if waits { LONGER_PRE_STOP_SECONDS } else { PRE_STOP_SECONDS };
        let seconds = least.max(self.longest.div_ceil(1_000_000_000) + 1);
        let longer = if waits { "  # or more: longer than what the hook takes today" } else { "" };
        let whole = grace.max(seconds + TO_END_SECONDS);
        Advice {
            title: title.into(),
            about: self.workload.to_owned(),
            evidence: format!(
                "{} refused or reset around the instant at which the victim's endpoint went out{known}",
                counted(self.requests, "request")
            ),
            manifest: format!(
                "spec:\n  template:\n    spec:\n      terminationGracePeriodSeconds: {whole}\n      containers:\n        - \
                 name: {name}\n          lifecycle:\n            preStop:\n              sleep:\n                seconds: \
                 {seconds}{longer}"
            ),
        }
    }
}

/// Requests were refused or reset while others of the same probe were answered: another pod served. One for each workload.
fn unretried(evidence: &Evidence<'_>) -> Vec<Advice> {
    let Some((population, ..)) = evidence.recorded.planned else {
        return Vec::new();
    };
    let several = |uid: &str| population.workload(uid).is_some_and(|workload| workload.desired >= 2);
    let mut requests: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for slot in evidence.loads.iter().flat_map(|load| &load.cut_off_alone) {
        let next = evidence.trials.partition_point(|trial| trial.span.start <= slot.due);
        let trial = next.checked_sub(1).and_then(|trial| evidence.trials.get(trial));
        let mut victims =
            trial.into_iter().flat_map(|trial| &trial.kills).map(|kill| &evidence.recorded.kills[*kill].victim);
        if let Some(victim) = victims.find(|victim| several(&victim.workload_uid)) {
            *requests.entry((victim.workload_uid.as_str(), victim.workload.as_str())).or_default() += 1;
        }
    }
    let advice = |((_, workload), requests): ((&str, &str), u64)| Advice {
        title: format!("Those who call {workload} give up at the first broken connection"),
        about: workload.to_owned(),
        evidence: format!(
            "{} refused or reset within 200 ms of one that was answered: a retry by the caller would have met another pod",
            counted(requests, "request")
        ),
        manifest: format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nspec:\n  rules:\n    - backendRefs:\n        - \
             name: SERVICE  # the one in front of {workload}\n      retry:  # where no gateway is between: in the caller; only for \
             what may be asked twice\n        attempts: 1\n        backoff: 50ms"
        ),
    };
    requests.into_iter().map(advice).collect()
}

fn slow_replacements(evidence: &Evidence<'_>) -> Option<Advice> {
    let ready = super::kills::recovery(evidence).ready;
    (ready.count > 0 && ready.p95_us > SLOW_READY_US).then(|| Advice {
        title: "Replacements are slow to become Ready".into(),
        about: "the target".into(),
        evidence: format!(
            "kill to Ready took {:.1} s at the 95th percentile of {}",
            ready.p95_us as f64 / 1e6,
            counted(ready.count, "kill")
        ),
        manifest: "spec:\n  template:\n    spec:\n      containers:\n        - name: CONTAINER  # the slow one\n          startupProbe:\n            \
                   periodSeconds: 1\n          readinessProbe:\n            periodSeconds: 1"
            .into(),
    })
}
