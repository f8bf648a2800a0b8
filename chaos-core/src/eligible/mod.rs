//! THE decision who may be killed at all: plan, explain, dry run and kill all come here. It looks at facts only; whether a
//! kill is safe at this moment is asked of `limits` afterwards.

mod filters;
mod namespace;
mod reason;
mod safety;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use crate::check::{Check, Finding};
pub use namespace::{barred, bars};
pub use reason::Exclusion;

use crate::model::{Policy, Target};
use crate::population::{NamespaceFacts, NodeFacts, PodFacts, Population, SwitchState, WorkloadFacts};

/// Namespaces that are never a target, besides the operator's own.
pub const DENIED_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// A pod and every reason for which it may not be killed.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged<'a> {
    /// The pod.
    pub pod: &'a PodFacts,
    /// Why not, in the order of the rules; empty: it may be killed.
    pub reasons: Vec<Reason>,
}

/// Why a pod may not be killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The stable reason.
    pub exclusion: Exclusion,
    /// The facts, for people.
    pub message: String,
}

impl Judged<'_> {
    /// Whether it may be killed.
    pub fn is_eligible(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Judges every pod of the population, in its order.
pub fn eligible<'a>(target: &Target, policy: &Policy, population: &'a Population, now: Timestamp) -> Vec<Judged<'a>> {
    let view = View::new(target, policy, population, now);
    let judge = |pod| {
        let reasons = RULES.iter().filter_map(|(_, rule)| failed(rule(&view, pod)));
        Judged { pod, reasons: reasons.collect() }
    };
    population.pods.iter().map(judge).collect()
}

/// Why a pod that was chosen may not be killed any more, by what it says itself right before the kill: the first of the rules that
/// ask for no other object, and whose answer may have changed since all of them were asked.
pub fn spared(target: &Target, policy: &Policy, pod: &PodFacts, now: Timestamp) -> Option<Reason> {
    let alone = Population {
        taken_at: now,
        environment: None,
        switch: SwitchState::Unreadable,
        namespaces: Vec::new(),
        workloads: Vec::new(),
        pods: Vec::new(),
        nodes: None,
        budgets: Vec::new(),
    };
    let view = View::new(target, policy, &alone, now);
    OF_POD.iter().find_map(|rule| failed(rule(&view, pod)))
}

/// Says of one pod what every rule finds, those that pass included.
pub fn explain(
    target: &Target,
    policy: &Policy,
    population: &Population,
    now: Timestamp,
    pod: &PodFacts,
) -> Vec<Check<Exclusion>> {
    let view = View::new(target, policy, population, now);
    RULES.iter().map(|(name, rule)| Check { name, finding: rule(&view, pod) }).collect()
}

/// A rule: from the facts about one pod to what stands in the way.
type Rule = fn(&View<'_>, &PodFacts) -> Finding<Exclusion>;

/// All rules, in the order in which they are told: the cluster, the namespace, the pod's safety, the target's filters, its state.
const RULES: &[(&str, Rule)] = &[
    ("environment", safety::environment),
    ("deny list", safety::denied_namespace),
    ("namespace opt-in", safety::namespace_enabled),
    ("namespace exclusion", safety::namespace_excluded),
    ("namespace stop", safety::namespace_stopped),
    ("namespace state", safety::namespace_terminating),
    ("allowed from", safety::allowed_from),
    ("pod opt-in", safety::pod_enabled),
    ("pod exclusion", safety::pod_excluded),
    ("priority class", safety::priority_class),
    ("mirror pod", safety::mirror),
    ("controller", safety::controller),
    ("Job pod", safety::job),
    ("target namespaces", filters::namespaces),
    ("target workloads", filters::workloads),
    ("target selector", filters::selector),
    ("target owner kinds", filters::owner_kinds),
    ("target pod names", filters::pod_names),
    ("target nodes", filters::nodes),
    ("target zones", filters::zones),
    ("minimum age", filters::min_age),
    ("deletion", safety::terminating),
    ("phase", safety::phase),
    ("readiness", safety::readiness),
];

/// Those of them that ask for the pod and the target alone, and that a pod which passed them may fail later.
const OF_POD: [Rule; 7] = [
    safety::pod_enabled,
    safety::pod_excluded,
    safety::owned,
    filters::selector,
    safety::terminating,
    safety::phase,
    safety::readiness,
];

/// The reason of a finding that stands in the way.
fn failed(finding: Finding<Exclusion>) -> Option<Reason> {
    match finding {
        Finding::Pass(_) => None,
        Finding::Fail(exclusion, message) => Some(Reason { exclusion, message }),
    }
}

/// The question and the facts, indexed.
struct View<'a> {
    target: &'a Target,
    policy: &'a Policy,
    population: &'a Population,
    now: Timestamp,
    namespaces: BTreeMap<&'a str, &'a NamespaceFacts>,
    workloads: BTreeMap<&'a str, &'a WorkloadFacts>,
    /// `None`: nodes may not be read.
    nodes: Option<BTreeMap<&'a str, &'a NodeFacts>>,
}

impl<'a> View<'a> {
    fn new(target: &'a Target, policy: &'a Policy, population: &'a Population, now: Timestamp) -> Self {
        let nodes = population.nodes.as_ref();
        Self {
            target,
            policy,
            population,
            now,
            namespaces: population.namespaces.iter().map(|n| (n.name.as_str(), n)).collect(),
            workloads: population.workloads.iter().map(|w| (w.key.uid.as_str(), w)).collect(),
            nodes: nodes.map(|nodes| nodes.iter().map(|n| (n.name.as_str(), n)).collect()),
        }
    }

    fn namespace(&self, pod: &PodFacts) -> Option<&'a NamespaceFacts> {
        self.namespaces.get(pod.namespace.as_str()).copied()
    }
}
