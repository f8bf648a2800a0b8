//! What a record says of the cluster: pods that may not be killed, kill calls, and what was seen to happen to pods.

use serde::{Deserialize, Serialize};

use super::RunTime;
use crate::api::{Outcome, VictimRef};

/// A pod that may not be killed, and why; or a namespace of which no pod is known, and in which none may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Excluded {
    /// `namespace/name`; of a namespace `namespace/*`.
    pub pod: String,
    /// Its UID; of a namespace empty.
    pub uid: String,
    /// Stable reason.
    pub reason: String,
    /// The facts, for people.
    pub message: String,
}

/// What stands behind the name of a namespace of which no pod is known. No pod has such a name.
pub(crate) const NO_POD_KNOWN: &str = "/*";

impl Excluded {
    /// Whether it is one pod, which can be counted.
    pub fn is_pod(&self) -> bool {
        names_a_pod(&self.pod)
    }
}

/// Whether what was excluded is one pod, by its name.
pub(crate) fn names_a_pod(excluded: &str) -> bool {
    !excluded.ends_with(NO_POD_KNOWN)
}

/// A kill call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kill {
    /// When it was sent, on this run's clock.
    pub at: RunTime,
    /// Half the width of the interval that instant lies in, in nanoseconds (0 when this process killed).
    pub uncertainty: u64,
    /// Number of the strike.
    pub strike: u64,
    /// Its identity.
    pub nonce: String,
    /// The pod.
    pub victim: VictimRef,
    /// What came of it.
    pub outcome: Outcome,
    /// The server's words.
    pub message: Option<String>,
}

/// Something seen to happen to a pod of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSighting {
    /// When this run saw it.
    pub at: RunTime,
    /// What.
    pub what: PodChange,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// UID of its direct controller.
    pub owner_uid: Option<String>,
    /// The node it is bound to, where that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// Changes of a pod that matter to a kill's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PodChange {
    /// The API object appeared.
    Created,
    /// It was bound to a node.
    Scheduled,
    /// Its containers run.
    Started,
    /// Condition Ready became True.
    Ready,
    /// Condition Ready became False (again).
    NotReady,
    /// It carries a deletionTimestamp.
    Terminating,
    /// Its endpoint is not ready any more (or gone).
    EndpointOut,
    /// The API object is gone.
    Deleted,
}
