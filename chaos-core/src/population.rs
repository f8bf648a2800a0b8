//! Facts about the cluster that decisions are made on: slim, serialisable (the journal keeps them for `chaos replay`),
//! and free of API types. `chaos-engine` fills them from fresh reads.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that one decision looks at, read at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Population {
    /// When the reads began, by the reader's clock: nothing here is older.
    pub taken_at: Timestamp,
    /// The environment label of the operator's namespace (or of the CLI's context), where there is one.
    pub environment: Option<String>,
    /// The cluster-wide stop switch.
    pub switch: SwitchState,
    /// The namespaces that the target may reach, as far as they were read.
    pub namespaces: Vec<NamespaceFacts>,
    /// Top controllers of the pods below.
    pub workloads: Vec<WorkloadFacts>,
    /// All pods of these namespaces, or of some workloads there: all or none of those of a workload. What a killer reads has none of
    /// namespaces that bar its kills ([`bars`](crate::eligible::bars)).
    pub pods: Vec<PodFacts>,
    /// Nodes; `None` where they may not be read: node and zone features are refused then, by name.
    pub nodes: Option<Vec<NodeFacts>>,
    /// Disruption budgets of these namespaces.
    pub budgets: Vec<BudgetFacts>,
}

/// The cluster-wide stop switch (ConfigMap `chaos-system/chaos-switch`) as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SwitchState {
    /// `state: Running`.
    Running,
    /// `state: Stopped`, or a value that is neither.
    Stopped,
    /// There is none. The operator takes that as stopped; the CLI does not.
    Missing,
    /// It could not be read.
    Unreadable,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceFacts {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// It carries the stop annotation ([`switch::stopped_by`](crate::api::switch::stopped_by)).
    pub stopped: bool,
    /// It is being deleted.
    pub terminating: bool,
}

/// The identity of a top controller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadKey {
    /// Its namespace.
    pub namespace: String,
    /// Its kind, such as Deployment.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// A top controller: Deployment, StatefulSet, bare ReplicaSet, DaemonSet, Job…
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadFacts {
    /// Who it is.
    pub key: WorkloadKey,
    /// Pods it wants.
    pub desired: u32,
    /// Why a rollout is under way, if one is (new generation not observed, old pods left, surge pods…).
    pub rollout: Option<String>,
    /// It is being deleted.
    pub terminating: bool,
}

/// The direct controller of a pod (the ReplicaSet, not its Deployment).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerFacts {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its direct controller.
    pub owner: Option<OwnerFacts>,
    /// Its top controller, where the chain of owners could be followed to the end.
    pub workload: Option<WorkloadKey>,
    /// The node it is bound to.
    pub node: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Condition Ready is True.
    pub ready: bool,
    /// Since when it is Ready.
    pub ready_since: Option<Timestamp>,
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: String,
    /// It carries a deletionTimestamp.
    pub terminating: bool,
    /// It is a mirror of a static pod.
    pub mirror: bool,
    /// Its priority class.
    pub priority_class: Option<String>,
    /// What its template says that matters to those who depend on it; absent in journals of older tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateFacts>,
}

/// What a pod's template says about being served and being ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateFacts {
    /// Its containers.
    pub containers: Vec<ContainerFacts>,
    /// Seconds between being told to end and being killed.
    pub grace_seconds: u64,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerFacts {
    /// Its name.
    pub name: String,
    /// Its image, as the template names it.
    pub image: String,
    /// What the image was resolved to (`imageID`: a digest as a rule), once it runs.
    pub image_id: Option<String>,
    /// It serves: it names a port.
    pub has_port: bool,
    /// It says when it can serve.
    pub has_readiness_probe: bool,
    /// It waits (or does something else) before it is told to end.
    pub has_pre_stop: bool,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Condition Ready is True.
    pub ready: bool,
}

/// A disruption budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// UIDs of the pods of this population that it covers.
    pub covers: Vec<String>,
    /// `status.disruptionsAllowed`.
    pub disruptions_allowed: i32,
}

impl NodeFacts {
    /// The zone by its well-known label.
    pub fn zone(&self) -> Option<&str> {
        self.labels.get("topology.kubernetes.io/zone").map(String::as_str)
    }
}

impl Population {
    /// The namespace of that name.
    pub fn namespace(&self, name: &str) -> Option<&NamespaceFacts> {
        self.namespaces.iter().find(|n| n.name == name)
    }

    /// The workload of that UID.
    pub fn workload(&self, uid: &str) -> Option<&WorkloadFacts> {
        self.workloads.iter().find(|w| w.key.uid == uid)
    }

    /// The node of that name, where nodes may be read.
    pub fn node(&self, name: &str) -> Option<&NodeFacts> {
        self.nodes.as_ref()?.iter().find(|n| n.name == name)
    }

    /// Whether the pod serves: Ready, not terminating, and on a node that is there and Ready, where nodes may be read. Pods of one
    /// that is gone are Ready until somebody cleans up.
    pub fn serves(&self, pod: &PodFacts) -> bool {
        let on_node = self.nodes.as_ref().and(pod.node.as_deref());
        let node_ready = on_node.is_none_or(|name| self.node(name).is_some_and(|node| node.ready));
        pod.ready && !pod.terminating && node_ready
    }
}
