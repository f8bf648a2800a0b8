//! Deployment: one ReplicaSet per version of the pod template, moved from the old to the new within the limits that the
//! strategy sets. The decision is [`sync`]; its parts are in `rolling` (how many of which) and `status` (what to say).

mod rolling;
mod status;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::json;

use super::events::{Notice, Recorder};
use super::writer::Writer;
use super::{Controller, Sync};
use crate::cache::ObjectKey;
use crate::objects::{Labels, controller_of, is_controlled_by, is_deleting, is_finished, owner_reference, short_hash};

const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const HASH_LABEL: &str = "pod-template-hash";

/// What a Deployment needs done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Create(Box<ReplicaSet>),
    /// Sets replicas and annotations of a ReplicaSet. `None`: as many as it has.
    Update {
        set: Arc<ReplicaSet>,
        replicas: Option<i32>,
        annotations: Labels,
    },
    /// Removes a ReplicaSet beyond the history limit.
    Delete(Arc<ReplicaSet>),
    /// Records the current revision on the Deployment.
    Revision(String),
    Status(Box<DeploymentStatus>),
    /// Look again when the progress deadline may have passed.
    WakeAfter(Duration),
}

/// What [`sync`] decides on.
pub(super) struct Observed<'a> {
    pub(super) deployment: &'a Deployment,
    /// All ReplicaSets of the namespace.
    pub(super) sets: &'a [Arc<ReplicaSet>],
    /// All pods of the namespace.
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) now: Timestamp,
}

/// The ReplicaSets of one Deployment, sorted out.
struct Sets {
    new: Option<Arc<ReplicaSet>>,
    old: Vec<Arc<ReplicaSet>>,
}

impl Sets {
    fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.new.iter().chain(&self.old)
    }

    fn total(&self) -> i32 {
        self.all().map(|set| replicas(set)).sum()
    }
}

/// Decides.
pub(super) fn sync(observed: &Observed<'_>) -> Vec<Action> {
    let deployment = observed.deployment;
    let Some(spec) = &deployment.spec else { return Vec::new() };
    let sets = sort_out(deployment, spec, observed.sets);
    let mut actions = Vec::new();
    if !is_deleting(&deployment.metadata) {
        actions = if spec.paused == Some(true) || is_scaling(spec, &sets) {
            rolling::scale(spec, &sets)
        } else if strategy_is_recreate(spec) {
            recreate(observed, spec, &sets)
        } else {
            rolling::roll(deployment, spec, &sets)
        };
        actions.extend(revision(deployment, &sets));
    }
    let status = status::status(deployment, spec, &sets, observed.now);
    if status::is_complete(spec, &status) {
        actions.extend(beyond_history(spec, &sets));
    }
    actions.extend(status::deadline_left(spec, &status, observed.now).map(Action::WakeAfter));
    actions.push(Action::Status(Box::new(status)));
    actions
}

fn sort_out(deployment: &Deployment, spec: &DeploymentSpec, sets: &[Arc<ReplicaSet>]) -> Sets {
    let uid = deployment.metadata.uid.as_deref();
    let mut owned: Vec<_> = sets.iter().filter(|set| is_controlled_by(&set.metadata, uid)).cloned().collect();
    owned.sort_by_cached_key(|set| (set.metadata.creation_timestamp.clone(), set.name_any()));
    let is_new = |set: &ReplicaSet| {
        let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
        template.is_some_and(|template| without_hash(template) == without_hash(&spec.template))
    };
    let new = owned.iter().position(|set| is_new(set)).map(|at| owned.remove(at));
    Sets { new, old: owned }
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(meta) = &mut template.metadata {
        // The API server may or may not keep an empty creationTimestamp.
        meta.creation_timestamp = None;
        if let Some(labels) = &mut meta.labels {
            labels.remove(HASH_LABEL);
        }
    }
    template
}

/// `spec.replicas` was changed since the ReplicaSets were last sized.
fn is_scaling(spec: &DeploymentSpec, sets: &Sets) -> bool {
    sets.all().filter(|set| replicas(set) > 0).any(|set| {
        let known = set.annotations().get(DESIRED_REPLICAS).and_then(|text| text.parse::<i32>().ok());
        known.is_some_and(|known| known != desired(spec))
    })
}

/// All old pods must be gone before the first new one is made.
fn recreate(observed: &Observed<'_>, spec: &DeploymentSpec, sets: &Sets) -> Vec<Action> {
    let active_old: Vec<_> = sets.old.iter().filter(|set| replicas(set) > 0).collect();
    if !active_old.is_empty() {
        return active_old.into_iter().map(|set| resize(spec, set, 0)).collect();
    }
    let new_uid = sets.new.as_ref().and_then(|set| set.metadata.uid.as_deref());
    let old_pod_runs = observed.pods.iter().filter(|pod| !is_finished(pod)).any(|pod| {
        let owner = controller_of(&pod.metadata).map(|owner| owner.uid.as_str());
        owner != new_uid && sets.old.iter().any(|set| set.metadata.uid.as_deref() == owner)
    });
    if old_pod_runs {
        return Vec::new();
    }
    match &sets.new {
        None => vec![create(observed.deployment, spec, sets, desired(spec))],
        Some(set) if replicas(set) != desired(spec) => vec![resize(spec, set, desired(spec))],
        Some(_) => Vec::new(),
    }
}

/// A new ReplicaSet for the current template.
fn create(deployment: &Deployment, spec: &DeploymentSpec, sets: &Sets, replicas: i32) -> Action {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let hash = short_hash(&(&without_hash(&spec.template), collisions), 10);
    let labelled = |labels: Option<&Labels>| {
        let mut labels = labels.cloned().unwrap_or_default();
        labels.insert(HASH_LABEL.to_owned(), hash.clone());
        labels
    };
    let mut template = spec.template.clone();
    let meta = template.metadata.get_or_insert_default();
    meta.labels = Some(labelled(meta.labels.as_ref()));
    let labels = meta.labels.clone();
    let selector = LabelSelector {
        match_labels: Some(labelled(spec.selector.match_labels.as_ref())),
        match_expressions: spec.selector.match_expressions.clone(),
    };
    let mut annotations = inherited_annotations(deployment);
    annotations.extend(size_annotations(spec));
    annotations.insert(REVISION.to_owned(), next_revision(sets).to_string());
    Action::Create(Box::new(ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.name_any())),
            namespace: deployment.namespace(),
            labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owner_reference(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    }))
}

/// A Deployment's annotations go to its ReplicaSets, except those that mean the Deployment only.
fn inherited_annotations(deployment: &Deployment) -> Labels {
    let own = ["kubectl.kubernetes.io/last-applied-configuration", REVISION, DESIRED_REPLICAS, MAX_REPLICAS];
    let annotations = deployment.annotations().iter().filter(|(key, _)| !own.contains(&key.as_str()));
    annotations.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn resize(spec: &DeploymentSpec, set: &Arc<ReplicaSet>, replicas: i32) -> Action {
    Action::Update { set: Arc::clone(set), replicas: Some(replicas), annotations: size_annotations(spec) }
}

fn size_annotations(spec: &DeploymentSpec) -> Labels {
    let max = desired(spec) + rolling::Limits::of(spec).surge;
    Labels::from([(DESIRED_REPLICAS.to_owned(), desired(spec).to_string()), (MAX_REPLICAS.to_owned(), max.to_string())])
}

/// Gives a re-used ReplicaSet (a rollback) the highest revision, and the Deployment that of its new ReplicaSet.
fn revision(deployment: &Deployment, sets: &Sets) -> Vec<Action> {
    let Some(new) = &sets.new else { return Vec::new() };
    let newest_old = sets.old.iter().map(|set| revision_of(set)).max().unwrap_or(0);
    let mut current = revision_of(new);
    let mut actions = Vec::new();
    if current <= newest_old {
        current = newest_old + 1;
        let annotations = Labels::from([(REVISION.to_owned(), current.to_string())]);
        actions.push(Action::Update { set: Arc::clone(new), replicas: None, annotations });
    }
    if deployment.annotations().get(REVISION) != Some(&current.to_string()) {
        actions.push(Action::Revision(current.to_string()));
    }
    actions
}

/// The oldest empty ReplicaSets beyond `revisionHistoryLimit`.
fn beyond_history(spec: &DeploymentSpec, sets: &Sets) -> Vec<Action> {
    let limit = usize::try_from(spec.revision_history_limit.unwrap_or(10)).unwrap_or(usize::MAX);
    let is_empty =
        |set: &ReplicaSet| replicas(set) == 0 && set.status.as_ref().is_none_or(|status| status.replicas == 0);
    let mut removable: Vec<_> = sets.old.iter().filter(|set| !is_deleting(&set.metadata)).collect();
    removable.sort_by_key(|set| revision_of(set));
    let surplus = removable.len().saturating_sub(limit);
    removable.into_iter().take(surplus).filter(|set| is_empty(set)).map(|set| Action::Delete(Arc::clone(set))).collect()
}

fn next_revision(sets: &Sets) -> i64 {
    sets.all().map(|set| revision_of(set)).max().unwrap_or(0) + 1
}

fn revision_of(set: &ReplicaSet) -> i64 {
    set.annotations().get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn strategy_is_recreate(spec: &DeploymentSpec) -> bool {
    spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

fn desired(spec: &DeploymentSpec) -> i32 {
    spec.replicas.unwrap_or(1)
}

fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0)
}

fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// The loop around [`sync`].
pub(super) struct DeploymentController {
    pub(super) deployments: Writer<Deployment>,
    pub(super) sets: Writer<ReplicaSet>,
    pub(super) pods: crate::cache::Cache<Pod>,
    pub(super) recorder: Recorder,
}

impl DeploymentController {
    async fn apply(&self, deployment: &Deployment, action: Action) -> kube::Result<Sync> {
        match action {
            Action::Create(set) => {
                let size = replicas(&set);
                let created = self.sets.create(&set).await?;
                self.announce(deployment, &created, 0, size);
            }
            Action::Update { set, replicas: size, annotations } => {
                let mut patch = json!({"metadata": {"annotations": annotations}});
                if let Some(size) = size {
                    patch["spec"] = json!({ "replicas": size });
                    self.announce(deployment, &set, replicas(&set), size);
                }
                self.sets.patch(&set, &patch).await?;
            }
            Action::Delete(set) => self.sets.delete(&set, None).await?,
            Action::Revision(revision) => {
                let patch = json!({"metadata": {"annotations": {REVISION: revision}}});
                self.deployments.patch(deployment, &patch).await?;
            }
            Action::Status(status) => {
                self.deployments.patch_status(deployment, deployment.status.as_ref(), &*status).await?;
            }
            Action::WakeAfter(pause) => return Ok(Sync::After(pause)),
        }
        Ok(Sync::Done)
    }

    fn announce(&self, deployment: &Deployment, set: &ReplicaSet, from: i32, to: i32) {
        if from == to {
            return;
        }
        let direction = if to > from { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {from} to {to}", set.name_any());
        self.recorder.record(Notice::normal(deployment, "ScalingReplicaSet", message));
    }
}

impl Controller for DeploymentController {
    const NAME: &'static str = "deployment-controller";

    async fn sync(&self, key: &ObjectKey) -> kube::Result<Sync> {
        let Some(deployment) = self.deployments.cache().get_key(key) else {
            return Ok(Sync::Done);
        };
        let sets = self.sets.cache().list_in(&key.namespace);
        let pods = self.pods.list_in(&key.namespace);
        let observed = Observed { deployment: &deployment, sets: &sets, pods: &pods, now: Timestamp::now() };
        let mut outcome = Sync::Done;
        for action in sync(&observed) {
            if let later @ Sync::After(_) = self.apply(&deployment, action).await? {
                outcome = later;
            }
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
