//! What the run and the cluster show to be weak, each with the facts that show it and the lines of YAML to change. Advice
//! never changes a verdict.

use std::collections::BTreeSet;

use crate::evidence::{Evidence, Recorded};
use crate::population::{PodFacts, Population, WorkloadFacts};
use crate::record::BadClass;
use crate::result::Advice;

/// Replacements slower than this at the 95th percentile are worth a word, in microseconds.
const SLOW_READY_US: u64 = 30_000_000;

/// Everything that is worth a word, weakest first.
pub(super) fn advice(evidence: &Evidence<'_>) -> Vec<Advice> {
    let mut advice = Vec::new();
    if let Some((population, eligible, _)) = evidence.recorded.planned {
        for workload in &population.workloads {
            let of_it = |pod: &&PodFacts| pod.workload.as_ref().is_some_and(|key| key.uid == workload.key.uid);
            let pods: Vec<&PodFacts> = population.pods.iter().filter(of_it).collect();
            if pods.iter().any(|pod| eligible.contains(&pod.uid)) {
                let target = Target { population, workload, pods };
                advice.extend([target.alone(), target.unbudgeted(), target.together()].into_iter().flatten());
            }
        }
    }
    advice.extend(undrained(&evidence.recorded, evidence));
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

    fn together(&self) -> Option<Advice> {
        if self.pods.len() < 2 || self.population.nodes.as_ref().is_none_or(|nodes| nodes.len() < 2) {
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

/// Requests were refused or reset between a kill and its endpoint being out: the pod went before its traffic did.
fn undrained(recorded: &Recorded<'_>, evidence: &Evidence<'_>) -> Option<Advice> {
    let mut cut = 0u64;
    let mut workloads = BTreeSet::new();
    for (kill, timeline) in recorded.kills.iter().zip(&evidence.timelines).filter(|(_, timeline)| timeline.done) {
        let Some(out) = timeline.endpoint_out else {
            continue;
        };
        let until = out.0.saturating_add(1_000_000_000);
        let in_gap = evidence.loads.iter().flat_map(|load| &load.bad).filter(|slot| {
            matches!(slot.class, BadClass::Refused | BadClass::Reset) && kill.at <= slot.due && slot.due.0 < until
        });
        let count = in_gap.count() as u64;
        cut += count;
        if count > 0 {
            workloads.insert(kill.victim.workload.clone());
        }
    }
    (cut > 0).then(|| Advice {
        title: "Pods leave before their traffic does".into(),
        about: workloads.into_iter().collect::<Vec<_>>().join(", "),
        evidence: format!("{cut} requests were refused or reset around the instant at which the victim's endpoint went out"),
        manifest: "spec:\n  template:\n    spec:\n      terminationGracePeriodSeconds: 30\n      containers:\n        - \
                   name: app\n          lifecycle:\n            preStop:\n              sleep:\n                seconds: 5"
            .into(),
    })
}

fn slow_replacements(evidence: &Evidence<'_>) -> Option<Advice> {
    let ready = super::kills::recovery(evidence).ready;
    (ready.count > 0 && ready.p95_us > SLOW_READY_US).then(|| Advice {
        title: "Replacements are slow to become Ready".into(),
        about: "the target".into(),
        evidence: format!(
            "kill to Ready took {:.1} s at the 95th percentile of {} kills",
            ready.p95_us as f64 / 1e6,
            ready.count
        ),
        manifest: "spec:\n  template:\n    spec:\n      containers:\n        - name: app\n          startupProbe:\n            \
                   periodSeconds: 1\n          readinessProbe:\n            periodSeconds: 1"
            .into(),
    })
}
