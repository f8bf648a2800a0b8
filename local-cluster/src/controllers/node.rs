//! Node lifecycle: a node whose lease is not renewed becomes NotReady, its pods stop being Ready, and after a while they are
//! deleted so that they are made elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, PodCondition, Taint};
use kube::ResourceExt;
use serde_json::json;
use tokio::time::Instant;

use super::events::{Notice, Recorder};
use super::writer::Writer;
use super::{Controller, Sync};
use crate::cache::{Cache, ObjectKey};
use crate::objects::{is_deleting, is_ready, node_of, time, with_condition};

/// Where the kubelets' leases are.
pub(crate) const LEASE_NAMESPACE: &str = "kube-node-lease";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// The clockwork of node failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeTimings {
    /// A kubelet renews its lease this often.
    pub(crate) renew: Duration,
    /// A lease older than this makes the node NotReady.
    pub(crate) grace: Duration,
    /// Pods on a NotReady node are deleted after this, unless they tolerate it for longer.
    pub(crate) eviction: Duration,
}

/// What a node needs done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// The kubelet is silent: `Ready=Unknown` and the taint.
    MarkUnreachable,
    /// The kubelet is back: take the taint off (the kubelet itself writes `Ready`).
    Untaint,
    /// A pod on an unreachable node is not Ready, whatever its last words were.
    Distrust(Arc<Pod>),
    /// It has been long enough.
    Evict(Arc<Pod>),
    WakeAfter(Duration),
}

/// Decides. `renewed` is the last renewal of the node's lease; `pods` are those on the node.
pub(super) fn sync(
    node: &Node,
    renewed: Option<Timestamp>,
    pods: &[Arc<Pod>],
    timings: NodeTimings,
    now: Timestamp,
) -> Vec<Action> {
    let born = node.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let silent = renewed.or(born).map_or(SignedDuration::ZERO, |last| now.duration_since(last));
    let grace = SignedDuration::try_from(timings.grace).unwrap_or(SignedDuration::MAX);
    let taint = taints(node).iter().find(|taint| taint.key == UNREACHABLE && taint.effect == "NoExecute");
    let mut actions = Vec::new();
    if silent <= grace {
        actions.extend(taint.map(|_| Action::Untaint));
        actions.push(Action::WakeAfter(
            Duration::try_from(grace - silent).unwrap_or_default() + Duration::from_millis(10),
        ));
        return actions;
    }
    if ready_status(node) != Some("Unknown") || taint.is_none() {
        actions.push(Action::MarkUnreachable);
    }
    actions.extend(pods.iter().filter(|pod| is_ready(pod)).cloned().map(Action::Distrust));
    let since = taint.and_then(|taint| taint.time_added.as_ref()).map_or(now, |time| time.0);
    let mut next: Option<Duration> = None;
    for pod in pods.iter().filter(|pod| !is_deleting(&pod.metadata)) {
        let Some(patience) = patience(pod, timings.eviction) else { continue };
        let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        match patience.checked_sub(waited).filter(|left| !left.is_zero()) {
            None => actions.push(Action::Evict(Arc::clone(pod))),
            Some(left) => next = Some(next.map_or(left, |next| next.min(left))),
        }
    }
    actions.extend(next.map(Action::WakeAfter));
    actions
}

/// How long a pod stays bound to an unreachable node; `None` is for ever.
fn patience(pod: &Pod, usual: Duration) -> Option<Duration> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let mut matching = tolerations.iter().filter(|toleration| {
        let effect = toleration.effect.as_deref().unwrap_or_default();
        toleration.key.as_deref().is_none_or(|key| key == UNREACHABLE || key.is_empty())
            && (effect.is_empty() || effect == "NoExecute")
    });
    match matching.next() {
        None => Some(usual),
        // 300 s is what the API server itself puts on every pod; a profile may be quicker than that.
        Some(toleration) => match toleration.toleration_seconds {
            Some(300) => Some(usual),
            Some(seconds) => Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
            None => None,
        },
    }
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

fn ready_status(node: &Node) -> Option<&str> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.status.as_str())
}

/// The loop around [`sync`]. Keys are nodes.
pub(super) struct NodeController {
    pub(super) nodes: Writer<Node>,
    pub(super) pods: Writer<Pod>,
    pub(super) leases: Cache<Lease>,
    pub(super) recorder: Recorder,
    pub(super) timings: NodeTimings,
    /// Nodes found silent, and since when, on this process's own clock.
    pub(super) suspects: Mutex<HashMap<String, Instant>>,
}

impl NodeController {
    /// Whether a silent node was found silent before, a renewal ago. A machine that slept, or a process that was stopped, wakes up
    /// with every lease too old: the kubelets must have had their turn before any of them is given up.
    fn is_confirmed(&self, node: &str, is_silent: bool) -> bool {
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_silent {
            suspects.remove(node);
            return true;
        }
        suspects.entry(node.to_owned()).or_insert_with(Instant::now).elapsed() >= self.timings.renew
    }

    async fn apply(&self, node: &Node, action: Action) -> kube::Result<Sync> {
        match action {
            Action::MarkUnreachable => self.mark_unreachable(node).await?,
            Action::Untaint => {
                let kept: Vec<_> = taints(node).iter().filter(|taint| taint.key != UNREACHABLE).collect();
                self.nodes.patch(node, &json!({"spec": {"taints": kept}})).await?;
            }
            Action::Distrust(pod) => {
                let condition = PodCondition {
                    type_: "Ready".to_owned(),
                    status: "False".to_owned(),
                    reason: Some("NodeNotReady".to_owned()),
                    last_transition_time: Some(time(Timestamp::now())),
                    ..PodCondition::default()
                };
                let status = with_condition(&pod, condition);
                self.pods.patch_status(&pod, pod.status.as_ref(), &status).await?;
                self.recorder.record(Notice::warning(&*pod, "NodeNotReady", "Node is not ready"));
            }
            Action::Evict(pod) => {
                self.recorder.record(Notice::normal(
                    &*pod,
                    "TaintManagerEviction",
                    format!("Marking for deletion Pod {}", ObjectKey::of(&*pod)),
                ));
                self.pods.delete(&pod, None).await?;
            }
            Action::WakeAfter(pause) => return Ok(Sync::After(pause)),
        }
        Ok(Sync::Done)
    }

    async fn mark_unreachable(&self, node: &Node) -> kube::Result<()> {
        let now = Timestamp::now();
        let mut status = node.status.clone().unwrap_or_default();
        let conditions = status.conditions.get_or_insert_default();
        conditions.retain(|condition| condition.type_ != "Ready");
        conditions.push(NodeCondition {
            type_: "Ready".to_owned(),
            status: "Unknown".to_owned(),
            reason: Some("NodeStatusUnknown".to_owned()),
            message: Some("Kubelet stopped posting node status.".to_owned()),
            last_transition_time: Some(time(now)),
            last_heartbeat_time: Some(time(now)),
        });
        self.nodes.patch_status(node, node.status.as_ref(), &status).await?;
        let mut taints = taints(node).to_vec();
        taints.retain(|taint| taint.key != UNREACHABLE);
        for effect in ["NoSchedule", "NoExecute"] {
            taints.push(Taint {
                key: UNREACHABLE.to_owned(),
                effect: effect.to_owned(),
                time_added: Some(time(now)),
                value: None,
            });
        }
        self.nodes.patch(node, &json!({"spec": {"taints": taints}})).await?;
        self.recorder.record(Notice::normal(
            node,
            "NodeNotReady",
            format!("Node {} status is now: NodeNotReady", node.name_any()),
        ));
        Ok(())
    }
}

impl Controller for NodeController {
    const NAME: &'static str = "node-lifecycle-controller";

    async fn sync(&self, key: &ObjectKey) -> kube::Result<Sync> {
        let Some(node) = self.nodes.cache().get_key(key) else {
            return Ok(Sync::Done);
        };
        let renewed =
            self.leases.get(LEASE_NAMESPACE, &key.name).and_then(|lease| lease.spec.as_ref()?.renew_time.clone());
        let pods = self.pods.cache().list().into_iter().filter(|pod| node_of(pod) == Some(key.name.as_str()));
        let pods: Vec<_> = pods.collect();
        let actions = sync(&node, renewed.map(|time| time.0), &pods, self.timings, Timestamp::now());
        if !self.is_confirmed(&key.name, actions.contains(&Action::MarkUnreachable)) {
            return Ok(Sync::After(self.timings.renew + Duration::from_millis(10)));
        }
        let mut outcome = Sync::Done;
        for action in actions {
            if let later @ Sync::After(_) = self.apply(&node, action).await? {
                outcome = later;
            }
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
