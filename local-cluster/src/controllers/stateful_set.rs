//! StatefulSet: pods with stable names and volumes, one after the other. A pod is made again only when the old one of the
//! same name is really gone: two of them must never run at a time.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, Volume};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::json;

use super::events::{Notice, Recorder};
use super::pod_template::pod_from_template;
use super::writer::{Writer, is_status};
use super::{Controller, Sync};
use crate::cache::ObjectKey;
use crate::objects::{
    controller_of, is_active, is_available, is_controlled_by, is_deleting, is_finished, is_ready, owner_reference,
    short_hash,
};

const REVISION_LABEL: &str = "controller-revision-hash";
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// What a StatefulSet needs done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    CreateClaim(Box<PersistentVolumeClaim>),
    CreatePod(Box<Pod>),
    DeletePod(Arc<Pod>),
    Status(Box<StatefulSetStatus>),
}

/// Decides. `pods` and `claims` are all of the namespace.
pub(super) fn sync(
    set: &StatefulSet,
    pods: &[Arc<Pod>],
    claims: &[Arc<PersistentVolumeClaim>],
    now: Timestamp,
) -> Vec<Action> {
    let Some(spec) = &set.spec else { return Vec::new() };
    let uid = set.metadata.uid.as_deref();
    let owned: Vec<_> = pods.iter().filter(|pod| is_controlled_by(&pod.metadata, uid)).cloned().collect();
    let revision = revision_name(set, spec);
    let mut actions = Vec::new();
    if !is_deleting(&set.metadata) {
        let mut missing = scale_up(set, spec, &owned, now);
        let waits_for_pods = missing.is_empty() && !is_settled(set, spec, &owned, now);
        if missing.is_empty() {
            let surplus = scale_down(set, spec, &owned, now);
            actions.extend(if surplus.is_empty() {
                update(set, spec, &owned, &revision, waits_for_pods)
            } else {
                surplus
            });
        }
        for ordinal in missing.drain(..) {
            actions
                .extend(missing_claims(set, spec, ordinal, claims).map(|claim| Action::CreateClaim(Box::new(claim))));
            actions.push(Action::CreatePod(Box::new(new_pod(set, spec, ordinal, &revision))));
        }
        actions.extend(finished(&owned).map(Action::DeletePod));
    }
    actions.push(Action::Status(Box::new(status(set, spec, &owned, &revision, now))));
    actions
}

/// Ordinals to create now. Ordered sets make one at a time, and only while all before it are available.
fn scale_up(set: &StatefulSet, spec: &StatefulSetSpec, owned: &[Arc<Pod>], now: Timestamp) -> Vec<i32> {
    let mut missing = Vec::new();
    for ordinal in ordinals(spec) {
        match pod_at(set, owned, ordinal) {
            None => missing.push(ordinal),
            Some(_) if is_parallel(spec) => {}
            // The predecessor must be available, and an old pod of this name must be gone first.
            Some(pod) if !is_serving(pod, spec, now) => break,
            Some(_) => {}
        }
        if !missing.is_empty() && !is_parallel(spec) {
            break;
        }
    }
    missing
}

/// Pods beyond `replicas`: the highest first, one at a time unless parallel.
fn scale_down(set: &StatefulSet, spec: &StatefulSetSpec, owned: &[Arc<Pod>], now: Timestamp) -> Vec<Action> {
    let wanted = ordinals(spec);
    let mut surplus: Vec<_> =
        owned.iter().filter(|pod| ordinal_of(set, pod).is_none_or(|at| !wanted.contains(&at))).collect();
    surplus.sort_by_key(|pod| std::cmp::Reverse(ordinal_of(set, pod)));
    let leaving = owned.iter().any(|pod| is_deleting(&pod.metadata));
    let all_serve = wanted.clone().all(|at| pod_at(set, owned, at).is_some_and(|pod| is_serving(pod, spec, now)));
    let mut removable = surplus.into_iter().filter(|pod| !is_deleting(&pod.metadata));
    if is_parallel(spec) {
        return removable.map(|pod| Action::DeletePod(Arc::clone(pod))).collect();
    }
    if leaving || !all_serve {
        return Vec::new();
    }
    removable.next().map(|pod| Action::DeletePod(Arc::clone(pod))).into_iter().collect()
}

/// A rolling update deletes one outdated pod, the highest ordinal first, while all others serve.
fn update(set: &StatefulSet, spec: &StatefulSetSpec, owned: &[Arc<Pod>], revision: &str, waits: bool) -> Vec<Action> {
    let strategy = spec.update_strategy.as_ref();
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
        return Vec::new();
    }
    let partition =
        strategy.and_then(|strategy| strategy.rolling_update.as_ref()).and_then(|rolling| rolling.partition);
    let outdated =
        ordinals(spec).rev().filter(|at| *at >= partition.unwrap_or(0)).filter_map(|at| pod_at(set, owned, at));
    let mut outdated = outdated.filter(|pod| pod.labels().get(REVISION_LABEL).map(String::as_str) != Some(revision));
    let Some(victim) = outdated.next() else { return Vec::new() };
    // A broken outdated pod is replaced even though the set does not serve: waiting for it would be for ever.
    if is_deleting(&victim.metadata) || (waits && is_ready(victim)) {
        return Vec::new();
    }
    vec![Action::DeletePod(Arc::clone(victim))]
}

/// Every wanted pod exists and serves, and none is on its way out.
fn is_settled(set: &StatefulSet, spec: &StatefulSetSpec, owned: &[Arc<Pod>], now: Timestamp) -> bool {
    ordinals(spec).all(|at| pod_at(set, owned, at).is_some_and(|pod| is_serving(pod, spec, now)))
}

/// Pods that ended by themselves are replaced: their names are needed.
fn finished(owned: &[Arc<Pod>]) -> impl Iterator<Item = Arc<Pod>> {
    owned.iter().filter(|pod| is_finished(pod) && !is_deleting(&pod.metadata)).cloned()
}

fn is_serving(pod: &Pod, spec: &StatefulSetSpec, now: Timestamp) -> bool {
    is_active(pod) && is_available(pod, spec.min_ready_seconds.unwrap_or(0), now)
}

fn is_parallel(spec: &StatefulSetSpec) -> bool {
    spec.pod_management_policy.as_deref() == Some("Parallel")
}

fn ordinals(spec: &StatefulSetSpec) -> std::ops::Range<i32> {
    let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
    start..start + spec.replicas.unwrap_or(1)
}

fn ordinal_of(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    pod.name_any().strip_prefix(&set.name_any())?.strip_prefix('-')?.parse().ok()
}

fn pod_at<'a>(set: &StatefulSet, owned: &'a [Arc<Pod>], ordinal: i32) -> Option<&'a Arc<Pod>> {
    owned.iter().find(|pod| ordinal_of(set, pod) == Some(ordinal))
}

fn revision_name(set: &StatefulSet, spec: &StatefulSetSpec) -> String {
    format!("{}-{}", set.name_any(), short_hash(&spec.template, 10))
}

/// What `kubectl rollout undo` sends as a patch: the whole template, in the place of what is there.
fn new_revision(set: &StatefulSet, spec: &StatefulSetSpec, revision: i64) -> ControllerRevision {
    let mut template = json!(spec.template);
    template["$patch"] = "replace".into();
    let mut labels = spec.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert("controller.kubernetes.io/hash".to_owned(), short_hash(&spec.template, 10));
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(revision_name(set, spec)),
            namespace: set.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![owner_reference(set)]),
            ..ObjectMeta::default()
        },
        revision,
        data: Some(RawExtension(json!({"spec": {"template": template}}))),
    }
}

fn claim_name(template: &PersistentVolumeClaim, set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", template.name_any(), set.name_any())
}

fn missing_claims(
    set: &StatefulSet,
    spec: &StatefulSetSpec,
    ordinal: i32,
    claims: &[Arc<PersistentVolumeClaim>],
) -> impl Iterator<Item = PersistentVolumeClaim> {
    let templates = spec.volume_claim_templates.iter().flatten();
    templates.filter_map(move |template| {
        let name = claim_name(template, set, ordinal);
        let exists = claims.iter().any(|claim| claim.name_any() == name);
        let mut labels = template.metadata.labels.clone().unwrap_or_default();
        labels.extend(spec.selector.match_labels.clone().unwrap_or_default());
        (!exists).then(|| PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: set.namespace(),
                labels: Some(labels),
                annotations: template.metadata.annotations.clone(),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        })
    })
}

fn new_pod(set: &StatefulSet, spec: &StatefulSetSpec, ordinal: i32, revision: &str) -> Pod {
    let name = format!("{}-{ordinal}", set.name_any());
    let mut pod = pod_from_template(&spec.template, set.namespace(), "", owner_reference(set));
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(name.clone());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
    labels.insert(POD_NAME_LABEL.to_owned(), name.clone());
    labels.insert(INDEX_LABEL.to_owned(), ordinal.to_string());
    let pod_spec = pod.spec.get_or_insert_default();
    pod_spec.hostname = Some(name);
    pod_spec.subdomain.clone_from(&spec.service_name);
    let volumes = pod_spec.volumes.get_or_insert_default();
    for template in spec.volume_claim_templates.iter().flatten() {
        let claim_name = claim_name(template, set, ordinal);
        volumes.retain(|volume| volume.name != template.name_any());
        volumes.push(Volume {
            name: template.name_any(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name, read_only: None }),
            ..Volume::default()
        });
    }
    pod
}

fn status(
    set: &StatefulSet,
    spec: &StatefulSetSpec,
    owned: &[Arc<Pod>],
    revision: &str,
    now: Timestamp,
) -> StatefulSetStatus {
    let old = set.status.clone().unwrap_or_default();
    let active: Vec<_> = owned.iter().filter(|pod| is_active(pod)).collect();
    let count =
        |test: &dyn Fn(&Pod) -> bool| i32::try_from(active.iter().filter(|pod| test(pod)).count()).unwrap_or(i32::MAX);
    let updated = count(&|pod| pod.labels().get(REVISION_LABEL).map(String::as_str) == Some(revision));
    let ready = count(&is_ready);
    let wanted = spec.replicas.unwrap_or(1);
    let rolled_out = updated == wanted && ready == wanted;
    let current_revision = old.current_revision.filter(|_| !rolled_out).unwrap_or_else(|| revision.to_owned());
    let current = count(&|pod| pod.labels().get(REVISION_LABEL) == Some(&current_revision));
    StatefulSetStatus {
        replicas: count(&|_| true),
        ready_replicas: Some(ready),
        available_replicas: Some(count(&|pod| is_serving(pod, spec, now))),
        current_replicas: Some(current),
        updated_replicas: Some(updated),
        current_revision: Some(current_revision),
        update_revision: Some(revision.to_owned()),
        observed_generation: set.metadata.generation,
        collision_count: Some(0),
        conditions: old.conditions,
    }
}

/// The loop around [`sync`].
pub(super) struct StatefulSetController {
    pub(super) sets: Writer<StatefulSet>,
    pub(super) pods: Writer<Pod>,
    pub(super) claims: Writer<PersistentVolumeClaim>,
    pub(super) revisions: Writer<ControllerRevision>,
    pub(super) recorder: Recorder,
}

impl StatefulSetController {
    /// The set that a pod belongs to.
    pub(super) fn key_for_pod(pod: &Pod) -> Option<ObjectKey> {
        let owner = controller_of(&pod.metadata).filter(|owner| owner.kind == "StatefulSet")?;
        Some(ObjectKey::new(pod.namespace()?, owner.name.clone()))
    }

    /// `kubectl rollout history` reads the revisions.
    async fn keep_revision(&self, set: &StatefulSet) -> kube::Result<()> {
        let Some(spec) = &set.spec else { return Ok(()) };
        let namespace = set.namespace().unwrap_or_default();
        let known = self
            .revisions
            .cache()
            .list_in(&namespace)
            .into_iter()
            .filter(|revision| is_controlled_by(&revision.metadata, set.metadata.uid.as_deref()));
        let newest = known.map(|revision| revision.revision).max().unwrap_or(0);
        // A template that comes back, as `kubectl rollout undo` brings it, is the newest again.
        if let Some(kept) = self.revisions.cache().get(&namespace, &revision_name(set, spec)) {
            if kept.revision < newest {
                self.revisions.patch(&kept, &json!({"revision": newest + 1})).await?;
            }
            return Ok(());
        }
        match self.revisions.create(&new_revision(set, spec, newest + 1)).await {
            Err(error) if !is_status(&error, 409) => Err(error),
            _ => Ok(()),
        }
    }

    async fn apply(&self, set: &StatefulSet, action: Action) -> kube::Result<bool> {
        match action {
            Action::CreateClaim(claim) => {
                let created = self.claims.create(&claim).await;
                if let Err(error) = created
                    && !is_status(&error, 409)
                {
                    return Err(error);
                }
            }
            Action::CreatePod(pod) => {
                let name = pod.name_any();
                let result = self.pods.create(&pod).await;
                let notice = match &result {
                    Ok(_) => Notice::normal(
                        set,
                        "SuccessfulCreate",
                        format!("create Pod {name} in StatefulSet {} successful", set.name_any()),
                    ),
                    Err(error) => Notice::warning(
                        set,
                        "FailedCreate",
                        format!("create Pod {name} in StatefulSet {} failed error: {error}", set.name_any()),
                    ),
                };
                self.recorder.record(notice);
                result?;
                return Ok(true);
            }
            Action::DeletePod(pod) => {
                self.pods.delete(&pod, None).await?;
                let message = format!("delete Pod {} in StatefulSet {} successful", pod.name_any(), set.name_any());
                self.recorder.record(Notice::normal(set, "SuccessfulDelete", message));
                return Ok(true);
            }
            Action::Status(status) => self.sets.patch_status(set, set.status.as_ref(), &*status).await?,
        }
        Ok(false)
    }
}

impl Controller for StatefulSetController {
    const NAME: &'static str = "statefulset-controller";

    async fn sync(&self, key: &ObjectKey) -> kube::Result<Sync> {
        let Some(set) = self.sets.cache().get_key(key) else {
            return Ok(Sync::Done);
        };
        self.keep_revision(&set).await?;
        let pods = self.pods.cache().list_in(&key.namespace);
        let claims = self.claims.cache().list_in(&key.namespace);
        let mut moved = false;
        for action in sync(&set, &pods, &claims, Timestamp::now()) {
            moved |= self.apply(&set, action).await?;
        }
        Ok(if moved { Sync::Again } else { Sync::Done })
    }
}

#[cfg(test)]
mod tests;
