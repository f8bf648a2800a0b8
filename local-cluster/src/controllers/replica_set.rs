//! ReplicaSet: keeps as many pods as asked for. Pods that are terminating do not count, so a killed pod is replaced at once.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use super::events::{Notice, Recorder};
use super::pod_template::pod_from_template;
use super::writer::Writer;
use super::{Controller, Sync};
use crate::cache::{Cache, ObjectKey};
use crate::objects::{
    controller_of, is_active, is_available, is_controlled_by, is_deleting, is_ready, labels_include, node_of,
    owner_reference, phase, ready_since, restarts, selector_matches, time,
};

/// No more than this many pods are created or deleted in one sync.
const BURST: usize = 500;

/// What a ReplicaSet needs done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Take over a pod that matches and that nobody controls.
    Adopt(Arc<Pod>),
    /// Let go of a pod that no longer matches.
    Release(Arc<Pod>),
    Create(usize),
    Delete(Vec<Arc<Pod>>),
    Status(Box<ReplicaSetStatus>),
    /// Look again when the next pod may have become available.
    WakeAfter(Duration),
}

/// Decides. `pods` are all pods of the namespace.
pub(super) fn sync(set: &ReplicaSet, pods: &[Arc<Pod>], now: Timestamp) -> Vec<Action> {
    let Some(spec) = &set.spec else { return Vec::new() };
    let uid = set.metadata.uid.as_deref();
    let matches = |pod: &Pod| selector_matches(&spec.selector, pod.metadata.labels.as_ref());
    let (mut owned, mut actions) = (Vec::new(), Vec::new());
    for pod in pods.iter().filter(|pod| is_active(pod)) {
        match (is_controlled_by(&pod.metadata, uid), matches(pod)) {
            (true, true) => owned.push(Arc::clone(pod)),
            (true, false) => actions.push(Action::Release(Arc::clone(pod))),
            (false, true) if controller_of(&pod.metadata).is_none() && !is_deleting(&set.metadata) => {
                actions.push(Action::Adopt(Arc::clone(pod)));
                owned.push(Arc::clone(pod));
            }
            (false, _) => {}
        }
    }
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    if !is_deleting(&set.metadata) {
        if owned.len() < wanted {
            actions.push(Action::Create((wanted - owned.len()).min(BURST)));
        } else if owned.len() > wanted {
            let surplus = (owned.len() - wanted).min(BURST);
            actions.push(Action::Delete(victims(&owned, pods, surplus, now)));
        }
    }
    actions.push(Action::Status(Box::new(status(set, &owned, pods, now))));
    actions.extend(next_availability(spec.min_ready_seconds.unwrap_or(0), &owned, now).map(Action::WakeAfter));
    actions
}

/// Who goes first when there are too many: not scheduled, then pending, then not ready, then cheap by annotation, then those
/// that share a node with siblings, then the youngest as ready, the most restarted, the youngest.
fn victims(owned: &[Arc<Pod>], all: &[Arc<Pod>], surplus: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    let mut siblings: HashMap<&str, usize> = HashMap::new();
    let set = owned.first().and_then(|pod| controller_of(&pod.metadata)).map(|owner| owner.uid.as_str());
    for pod in all.iter().filter(|pod| is_active(pod) && is_controlled_by(&pod.metadata, set)) {
        *siblings.entry(node_of(pod).unwrap_or_default()).or_default() += 1;
    }
    let mut ranked = owned.to_vec();
    ranked.sort_by_cached_key(|pod| {
        let age = |since: Option<Timestamp>| since.map_or(0, |since| magnitude(now, since));
        (
            node_of(pod).is_some(),
            match phase(pod) {
                "Pending" => 0,
                "Unknown" => 1,
                _ => 2,
            },
            is_ready(pod),
            deletion_cost(pod),
            Reverse(siblings.get(node_of(pod).unwrap_or_default()).copied().unwrap_or(0)),
            age(ready_since(pod)),
            Reverse(restarts(pod)),
            age(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)),
            pod.name_any(),
        )
    });
    ranked.truncate(surplus);
    ranked
}

/// Ages on a logarithmic scale, as ReplicaSets compare them: a few seconds more or less do not decide.
fn magnitude(now: Timestamp, since: Timestamp) -> u32 {
    let seconds = now.duration_since(since).as_secs().max(0).unsigned_abs();
    u64::BITS - seconds.leading_zeros()
}

fn deletion_cost(pod: &Pod) -> i32 {
    pod.annotations().get("controller.kubernetes.io/pod-deletion-cost").and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn status(set: &ReplicaSet, owned: &[Arc<Pod>], all: &[Arc<Pod>], now: Timestamp) -> ReplicaSetStatus {
    let spec = set.spec.clone().unwrap_or_default();
    let old = set.status.clone().unwrap_or_default();
    let template_labels =
        spec.template.and_then(|template| template.metadata).and_then(|meta| meta.labels).unwrap_or_default();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let tally = |test: &dyn Fn(&Pod) -> bool| count_i32(owned.iter().filter(|pod| test(pod)).count());
    let terminating = all
        .iter()
        .filter(|pod| is_deleting(&pod.metadata) && is_controlled_by(&pod.metadata, set.metadata.uid.as_deref()));
    ReplicaSetStatus {
        replicas: count_i32(owned.len()),
        fully_labeled_replicas: Some(tally(&|pod| labels_include(pod.metadata.labels.as_ref(), &template_labels))),
        ready_replicas: Some(tally(&is_ready)),
        available_replicas: Some(tally(&|pod| is_available(pod, min_ready, now))),
        observed_generation: set.metadata.generation,
        terminating_replicas: Some(count_i32(terminating.count())),
        conditions: old.conditions,
    }
}

fn next_availability(min_ready_seconds: i32, owned: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
    let wait = Duration::from_secs(u64::try_from(min_ready_seconds).ok().filter(|seconds| *seconds > 0)?);
    let waiting = owned.iter().filter(|pod| !is_available(pod, min_ready_seconds, now));
    let left = waiting
        .filter_map(|pod| ready_since(pod))
        .map(|since| wait.saturating_sub(Duration::try_from(now.duration_since(since)).unwrap_or_default()));
    left.min().map(|left| left + Duration::from_millis(1))
}

fn count_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The loop around [`sync`].
pub(super) struct ReplicaSetController {
    pub(super) sets: Writer<ReplicaSet>,
    pub(super) pods: Writer<Pod>,
    pub(super) recorder: Recorder,
}

impl ReplicaSetController {
    /// Keys to look at when a pod changes: its controller, or whoever may adopt it.
    pub(super) fn keys_for_pod(sets: &Cache<ReplicaSet>, pod: &Pod) -> Vec<ObjectKey> {
        let namespace = pod.namespace().unwrap_or_default();
        match controller_of(&pod.metadata) {
            Some(owner) if owner.kind == "ReplicaSet" => vec![ObjectKey::new(namespace, owner.name.clone())],
            Some(_) => Vec::new(),
            None => {
                let matching = sets.list_in(&namespace).into_iter().filter(|set| {
                    let selector = set.spec.as_ref().map(|spec| &spec.selector);
                    selector.is_some_and(|selector| selector_matches(selector, pod.metadata.labels.as_ref()))
                });
                matching.map(|set| ObjectKey::of(set.as_ref())).collect()
            }
        }
    }

    /// Creates in batches of 1, 2, 4 …: a refusal (quota, admission) costs one request instead of hundreds.
    async fn create(&self, set: &ReplicaSet, count: usize) -> kube::Result<()> {
        let Some(template) = set.spec.as_ref().and_then(|spec| spec.template.as_ref()) else {
            return Ok(());
        };
        let pod = pod_from_template(template, set.namespace(), &format!("{}-", set.name_any()), owner_reference(set));
        let (mut left, mut batch) = (count, 1);
        while left > 0 {
            let size = batch.min(left);
            let created = futures::future::join_all((0..size).map(|_| self.pods.create(&pod))).await;
            for result in created {
                let notice = match &result {
                    Ok(pod) => Notice::normal(set, "SuccessfulCreate", format!("Created pod: {}", pod.name_any())),
                    Err(error) => Notice::warning(set, "FailedCreate", format!("Error creating: {error}")),
                };
                self.recorder.record(notice);
                result?;
            }
            left -= size;
            batch *= 2;
        }
        Ok(())
    }

    async fn apply(&self, set: &ReplicaSet, action: Action) -> kube::Result<Sync> {
        match action {
            Action::Adopt(pod) => {
                let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
                owners.push(owner_reference(set));
                let patch = json!({"metadata": {"uid": pod.metadata.uid, "ownerReferences": owners}});
                self.pods.patch(&pod, &patch).await?;
            }
            Action::Release(pod) => {
                let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
                owners.retain(|owner| Some(&owner.uid) != set.metadata.uid.as_ref());
                let patch = json!({"metadata": {"uid": pod.metadata.uid, "ownerReferences": owners}});
                self.pods.patch(&pod, &patch).await?;
            }
            Action::Create(count) => {
                let result = self.create(set, count).await;
                self.report_failure(set, result.as_ref().err()).await?;
                result?;
                // Replicas of the status must count the new pods: decide again on the newer copy.
                return Ok(Sync::Again);
            }
            Action::Delete(pods) => {
                for pod in pods {
                    self.pods.delete(&pod, None).await?;
                    let message = format!("Deleted pod: {}", pod.name_any());
                    self.recorder.record(Notice::normal(set, "SuccessfulDelete", message));
                }
                return Ok(Sync::Again);
            }
            Action::Status(status) => self.sets.patch_status(set, set.status.as_ref(), &*status).await?,
            Action::WakeAfter(pause) => return Ok(Sync::After(pause)),
        }
        Ok(Sync::Done)
    }

    /// Keeps the `ReplicaFailure` condition, from which a Deployment learns why its pods do not appear.
    async fn report_failure(&self, set: &ReplicaSet, error: Option<&kube::Error>) -> kube::Result<()> {
        let mut status = set.status.clone().unwrap_or_default();
        let mut conditions = status.conditions.take().unwrap_or_default();
        conditions.retain(|condition| condition.type_ != "ReplicaFailure");
        if let Some(error) = error {
            conditions.push(ReplicaSetCondition {
                type_: "ReplicaFailure".to_owned(),
                status: "True".to_owned(),
                reason: Some("FailedCreate".to_owned()),
                message: Some(error.to_string()),
                last_transition_time: Some(time(Timestamp::now())),
            });
        }
        status.conditions = (!conditions.is_empty()).then_some(conditions);
        if status.conditions == set.status.as_ref().and_then(|status| status.conditions.clone()) {
            return Ok(());
        }
        self.sets.patch_status(set, set.status.as_ref(), &status).await
    }
}

impl Controller for ReplicaSetController {
    const NAME: &'static str = "replicaset-controller";

    async fn sync(&self, key: &ObjectKey) -> kube::Result<Sync> {
        let Some(set) = self.sets.cache().get_key(key) else {
            return Ok(Sync::Done);
        };
        let pods = self.pods.cache().list_in(&key.namespace);
        let mut outcome = Sync::Done;
        for action in sync(&set, &pods, Timestamp::now()) {
            match self.apply(&set, action).await? {
                Sync::Done => {}
                Sync::Again => return Ok(Sync::Again),
                later @ Sync::After(_) => outcome = later,
            }
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
