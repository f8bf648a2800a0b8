//! The scheduler: which node a pod goes to. Filters first (may it?), then scores (should it?), as the real one; resources are
//! not weighed, because all nodes are this machine.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Binding, Node, NodeSelectorTerm, ObjectReference, Pod, PodAffinityTerm, PodCondition, Taint, Toleration,
    TopologySpreadConstraint,
};
use kube::ResourceExt;
use kube::api::{Api, ObjectMeta, PostParams};

use super::events::{Notice, Recorder};
use super::writer::Writer;
use super::{Controller, Sync};
use crate::cache::{Cache, ObjectKey};
use crate::objects::{
    Labels, controller_of, is_active, is_controlled_by, is_deleting, labels_include, node_of, pod_condition,
    selector_matches, time, with_condition,
};

pub(crate) const SCHEDULER_NAME: &str = "default-scheduler";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Why a node cannot take a pod, in the words of the real scheduler's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    Unschedulable,
    Taint,
    Affinity,
    PodAffinity,
    AntiAffinity,
    Spread,
    Full,
}

impl Refusal {
    const fn text(self) -> &'static str {
        match self {
            Self::Unschedulable => "node(s) were unschedulable",
            Self::Taint => "node(s) had untolerated taint(s)",
            Self::Affinity => "node(s) didn't match Pod's node affinity/selector",
            Self::PodAffinity => "node(s) didn't match pod affinity rules",
            Self::AntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::Full => "Too many pods",
        }
    }
}

/// Decides: the node's name, or the message of the `PodScheduled` condition.
pub(super) fn place(pod: &Pod, nodes: &[Arc<Node>], pods: &[Arc<Pod>]) -> Result<String, String> {
    let placed: Vec<&Arc<Pod>> = pods.iter().filter(|other| node_of(other).is_some() && is_active(other)).collect();
    let cluster = View::new(pod, nodes, &placed);
    let mut refusals: BTreeMap<Refusal, usize> = BTreeMap::new();
    let mut best: Option<(Cost, &Node)> = None;
    for node in nodes {
        if let Err(refusal) = cluster.admits(pod, node) {
            *refusals.entry(refusal).or_default() += 1;
            continue;
        }
        let cost = cluster.cost(node);
        if best.as_ref().is_none_or(|(lowest, _)| cost < *lowest) {
            best = Some((cost, node));
        }
    }
    best.map(|(_, node)| node.name_any()).ok_or_else(|| {
        let reasons: Vec<_> = refusals.iter().map(|(refusal, count)| format!("{count} {}", refusal.text())).collect();
        if reasons.is_empty() {
            return "no nodes available to schedule pods".to_owned();
        }
        format!("0/{} nodes are available: {}.", nodes.len(), reasons.join(", "))
    })
}

/// What a node costs a pod; see [`View::cost`].
type Cost = (usize, usize, usize, String);

/// Nodes, and the pods already on them, as one pod sees them. Counted once: the pods are looked at for every pod that is placed,
/// and not for every node as well.
struct View<'a> {
    nodes: &'a [Arc<Node>],
    placed: &'a [&'a Arc<Pod>],
    by_name: HashMap<&'a str, &'a Node>,
    /// Pods of each node.
    pods: HashMap<&'a str, usize>,
    /// Pods of each node that have the same owner.
    siblings: HashMap<&'a str, usize>,
    /// The same of each zone, and of nodes without one.
    siblings_in: HashMap<Option<&'a str>, usize>,
}

impl<'a> View<'a> {
    fn new(pod: &Pod, nodes: &'a [Arc<Node>], placed: &'a [&'a Arc<Pod>]) -> Self {
        let by_name: HashMap<&str, &Node> = nodes.iter().map(|node| (name_of(node), node.as_ref())).collect();
        let owner = controller_of(&pod.metadata).map(|owner| owner.uid.as_str());
        let mut pods: HashMap<&str, usize> = HashMap::new();
        let mut siblings: HashMap<&str, usize> = HashMap::new();
        let mut siblings_in: HashMap<Option<&str>, usize> = HashMap::new();
        for other in placed {
            let Some(node) = node_of(other) else { continue };
            *pods.entry(node).or_default() += 1;
            if is_controlled_by(&other.metadata, owner) {
                *siblings.entry(node).or_default() += 1;
                *siblings_in.entry(by_name.get(node).copied().and_then(zone_of)).or_default() += 1;
            }
        }
        Self { nodes, placed, by_name, pods, siblings, siblings_in }
    }

    fn admits(&self, pod: &Pod, node: &Node) -> Result<(), Refusal> {
        let spec = pod.spec.as_ref();
        let tolerations = spec.and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
        let node_spec = node.spec.as_ref();
        if node_spec.and_then(|spec| spec.unschedulable) == Some(true) {
            let taint = Taint {
                key: "node.kubernetes.io/unschedulable".into(),
                effect: "NoSchedule".into(),
                ..Taint::default()
            };
            if !tolerations.iter().any(|toleration| tolerates(toleration, &taint)) {
                return Err(Refusal::Unschedulable);
            }
        }
        let taints = node_spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let hard = taints.iter().filter(|taint| taint.effect != "PreferNoSchedule");
        if !hard.into_iter().all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint))) {
            return Err(Refusal::Taint);
        }
        if !matches_node(pod, node) {
            return Err(Refusal::Affinity);
        }
        let affinity = spec.and_then(|spec| spec.affinity.as_ref());
        let required = |terms: Option<&Vec<PodAffinityTerm>>| terms.cloned().unwrap_or_default();
        let together = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
        let together =
            required(together.and_then(|rules| rules.required_during_scheduling_ignored_during_execution.as_ref()));
        if !together.iter().all(|term| self.neighbours(pod, node, term) > 0 || self.is_first_of_its_kind(pod, term)) {
            return Err(Refusal::PodAffinity);
        }
        let apart = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let apart =
            required(apart.and_then(|rules| rules.required_during_scheduling_ignored_during_execution.as_ref()));
        if apart.iter().any(|term| self.neighbours(pod, node, term) > 0) {
            return Err(Refusal::AntiAffinity);
        }
        let constraints = spec.and_then(|spec| spec.topology_spread_constraints.as_deref()).unwrap_or_default();
        let hard = constraints.iter().filter(|constraint| constraint.when_unsatisfiable == "DoNotSchedule");
        if !hard.into_iter().all(|constraint| self.keeps_skew(pod, node, constraint)) {
            return Err(Refusal::Spread);
        }
        if count_of(&self.pods, &name_of(node)) >= pod_capacity(node) {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// Lower is better: siblings in the zone, siblings on the node, all pods on the node; ties by name. `PreferNoSchedule`
    /// taints are not weighed.
    fn cost(&self, node: &Node) -> Cost {
        let name = name_of(node);
        (
            count_of(&self.siblings_in, &zone_of(node)),
            count_of(&self.siblings, &name),
            count_of(&self.pods, &name),
            name.to_owned(),
        )
    }

    fn label_of_pod(&self, pod: &Pod, key: &str) -> Option<&String> {
        self.by_name.get(node_of(pod)?)?.labels().get(key)
    }

    /// Pods of the term's selector in the topology domain of `node`.
    fn neighbours(&self, pod: &Pod, node: &Node, term: &PodAffinityTerm) -> usize {
        let Some(domain) = node.labels().get(&term.topology_key) else { return 0 };
        let matching = self.placed.iter().filter(|other| is_selected(pod, other, term));
        matching.filter(|other| self.label_of_pod(other, &term.topology_key) == Some(domain)).count()
    }

    /// A pod that wants its own kind as neighbour must be allowed to be the first.
    fn is_first_of_its_kind(&self, pod: &Pod, term: &PodAffinityTerm) -> bool {
        is_selected(pod, pod, term) && !self.placed.iter().any(|other| is_selected(pod, other, term))
    }

    fn keeps_skew(&self, pod: &Pod, node: &Node, constraint: &TopologySpreadConstraint) -> bool {
        let key = &constraint.topology_key;
        let Some(domain) = node.labels().get(key) else { return false };
        let eligible = self.nodes.iter().filter(|node| matches_node(pod, node));
        let domains: BTreeSet<&String> = eligible.filter_map(|node| node.labels().get(key)).collect();
        let count = |domain: &String| {
            let matching = self.placed.iter().filter(|other| {
                other.metadata.namespace == pod.metadata.namespace
                    && constraint
                        .label_selector
                        .as_ref()
                        .is_some_and(|selector| selector_matches(selector, other.metadata.labels.as_ref()))
            });
            matching.filter(|other| self.label_of_pod(other, key) == Some(domain)).count()
        };
        let lowest = domains.iter().map(|domain| count(domain)).min().unwrap_or(0);
        i32::try_from(count(domain) + 1 - lowest).is_ok_and(|skew| skew <= constraint.max_skew)
    }
}

fn name_of(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

fn zone_of(node: &Node) -> Option<&str> {
    node.labels().get(ZONE).map(String::as_str)
}

fn count_of<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or(0)
}

fn is_selected(pod: &Pod, other: &Pod, term: &PodAffinityTerm) -> bool {
    let named = term.namespaces.as_deref().unwrap_or_default();
    let namespace = other.namespace().unwrap_or_default();
    let in_scope =
        if named.is_empty() { other.metadata.namespace == pod.metadata.namespace } else { named.contains(&namespace) };
    in_scope
        && term
            .label_selector
            .as_ref()
            .is_some_and(|selector| selector_matches(selector, other.metadata.labels.as_ref()))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let value = || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() || key == taint.key)
        && (toleration.operator.as_deref() == Some("Exists") || (!key.is_empty() && value()))
}

/// Node selector and required node affinity.
fn matches_node(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = pod.spec.as_ref() else { return true };
    let selected =
        spec.node_selector.as_ref().is_none_or(|wanted| labels_include(node.metadata.labels.as_ref(), wanted));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|rules| rules.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| term_matches(term, node)))
}

fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let by_label = term.match_expressions.iter().flatten().all(|requirement| {
        let value = node.labels().get(&requirement.key);
        holds(&requirement.operator, requirement.values.as_deref().unwrap_or_default(), value)
    });
    let by_field = term.match_fields.iter().flatten().all(|requirement| {
        let name = Some(node.name_any()).filter(|_| requirement.key == "metadata.name");
        holds(&requirement.operator, requirement.values.as_deref().unwrap_or_default(), name.as_ref())
    });
    let is_empty = term.match_expressions.is_none() && term.match_fields.is_none();
    !is_empty && by_label && by_field
}

fn holds(operator: &str, values: &[String], value: Option<&String>) -> bool {
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
    match operator {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(value).zip(number(values.first())).is_some_and(|(value, limit)| value > limit),
        "Lt" => number(value).zip(number(values.first())).is_some_and(|(value, limit)| value < limit),
        _ => false,
    }
}

fn pod_capacity(node: &Node) -> usize {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    allocatable
        .and_then(|amounts| amounts.get("pods"))
        .and_then(|quantity| quantity.0.parse().ok())
        .unwrap_or(usize::MAX)
}

/// The loop around [`place`].
pub(super) struct Scheduler {
    pub(super) client: kube::Client,
    pub(super) pods: Writer<Pod>,
    pub(super) nodes: Cache<Node>,
    pub(super) recorder: Recorder,
}

/// Whether this scheduler is asked to place the pod.
pub(super) fn is_waiting(pod: &Pod) -> bool {
    let name = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or(SCHEDULER_NAME);
    let gated =
        pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref()).is_some_and(|gates| !gates.is_empty());
    node_of(pod).is_none() && !is_deleting(&pod.metadata) && name == SCHEDULER_NAME && !gated && is_active(pod)
}

impl Scheduler {
    async fn bind(&self, pod: &Pod, node: &str) -> kube::Result<()> {
        let name = pod.name_any();
        let namespace = pod.namespace().unwrap_or_default();
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                uid: pod.metadata.uid.clone(),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let _: serde_json::Value = api.create_subresource("binding", &name, &PostParams::default(), &binding).await?;
        self.recorder.record(Notice::normal(
            pod,
            "Scheduled",
            format!("Successfully assigned {namespace}/{name} to {node}"),
        ));
        // The answer to a binding is no pod: wait for the pod itself, or the next decision would not count it.
        let bound = api.get_opt(&name).await?;
        if let Some(bound) = bound {
            self.pods.cache().note(bound);
        }
        Ok(())
    }

    async fn report_unschedulable(&self, pod: &Pod, message: String) -> kube::Result<()> {
        let known = pod_condition(pod, "PodScheduled");
        if known.is_some_and(|known| known.message.as_deref() == Some(&message)) {
            return Ok(());
        }
        self.recorder.record(Notice::warning(pod, "FailedScheduling", message.clone()));
        let condition = PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: Some("Unschedulable".to_owned()),
            message: Some(message),
            last_transition_time: Some(time(Timestamp::now())),
            ..PodCondition::default()
        };
        let status = with_condition(pod, condition);
        self.pods.patch_status(pod, pod.status.as_ref(), &status).await
    }
}

impl Controller for Scheduler {
    const NAME: &'static str = SCHEDULER_NAME;

    async fn sync(&self, key: &ObjectKey) -> kube::Result<Sync> {
        let Some(pod) = self.pods.cache().get_key(key).filter(|pod| is_waiting(pod)) else {
            return Ok(Sync::Done);
        };
        match place(&pod, &self.nodes.list(), &self.pods.cache().list()) {
            Ok(node) => self.bind(&pod, &node).await?,
            Err(message) => self.report_unschedulable(&pod, message).await?,
        }
        Ok(Sync::Done)
    }
}

/// The labels that pods select nodes by.
pub(crate) fn hostname_labels(node: &str, zone: &str) -> Labels {
    Labels::from([
        ("kubernetes.io/hostname".to_owned(), node.to_owned()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), arch().to_owned()),
        (ZONE.to_owned(), zone.to_owned()),
    ])
}

/// Go's name for this machine's architecture, which is the one that labels use.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Used by the loop that wakes waiting pods when room appears.
pub(super) fn waiting_keys(pods: &Cache<Pod>) -> Vec<ObjectKey> {
    pods.list().into_iter().filter(|pod| is_waiting(pod)).map(|pod| ObjectKey::of(pod.as_ref())).collect()
}

#[cfg(test)]
mod tests;
