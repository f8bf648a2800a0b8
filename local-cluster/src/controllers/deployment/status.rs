//! What a Deployment says about itself: counts, and the conditions `Available`, `Progressing` and `ReplicaFailure`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus};
use kube::ResourceExt;

use super::rolling::Limits;
use super::{Sets, desired, replicas};
use crate::objects::time;

pub(super) fn status(deployment: &Deployment, spec: &DeploymentSpec, sets: &Sets, now: Timestamp) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let sum = |count: &dyn Fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> i32| -> i32 {
        sets.all().filter_map(|set| set.status.as_ref()).map(count).sum()
    };
    let total = sum(&|status| status.replicas);
    let available_total = sum(&|status| status.available_replicas.unwrap_or(0));
    let updated = sets.new.as_ref().and_then(|set| set.status.as_ref()).map_or(0, |status| status.replicas);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: Some(total),
        updated_replicas: Some(updated),
        ready_replicas: Some(sum(&|status| status.ready_replicas.unwrap_or(0))),
        available_replicas: Some(available_total),
        unavailable_replicas: Some((sets.total() - available_total).max(0)),
        terminating_replicas: Some(sum(&|status| status.terminating_replicas.unwrap_or(0))),
        collision_count: old.collision_count,
        conditions: None,
    };
    let conditions = vec![
        Some(availability(spec, available_total)),
        progress(deployment, spec, sets, &status, now),
        replica_failure(sets),
    ];
    let previous = old.conditions.unwrap_or_default();
    status.conditions = Some(conditions.into_iter().flatten().map(|draft| draft.dated(&previous, now)).collect());
    status
}

/// Everything runs the current template, and nothing else runs.
pub(super) fn is_complete(spec: &DeploymentSpec, status: &DeploymentStatus) -> bool {
    let wanted = Some(desired(spec));
    status.updated_replicas == wanted && status.replicas == wanted && status.available_replicas == wanted
}

/// Time until the progress deadline, when one is running.
pub(super) fn deadline_left(spec: &DeploymentSpec, status: &DeploymentStatus, now: Timestamp) -> Option<Duration> {
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "Progressing")?;
    let moving = matches!(
        condition.reason.as_deref(),
        Some("NewReplicaSetCreated" | "ReplicaSetUpdated" | "FoundNewReplicaSet")
    );
    let since = condition.last_update_time.as_ref().filter(|_| moving)?.0;
    let left = deadline(spec)?.checked_sub(now.duration_since(since))?;
    Some(Duration::try_from(left).unwrap_or_default() + Duration::from_millis(10))
}

fn deadline(spec: &DeploymentSpec) -> Option<SignedDuration> {
    let seconds = spec.progress_deadline_seconds.unwrap_or(600);
    (seconds != i32::MAX).then(|| SignedDuration::from_secs(seconds.into()))
}

/// A condition before it is known whether it is news.
struct Draft {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
    /// Something moved since the last look, even if the words are the same.
    moved: bool,
}

impl Draft {
    fn dated(self, previous: &[DeploymentCondition], now: Timestamp) -> DeploymentCondition {
        let before = previous.iter().find(|condition| condition.type_ == self.kind);
        let same_status = before.filter(|condition| condition.status == self.status);
        let same_words =
            same_status.filter(|condition| condition.reason.as_deref() == Some(&self.reason) && !self.moved);
        DeploymentCondition {
            type_: self.kind.to_owned(),
            status: self.status.to_owned(),
            reason: Some(self.reason),
            message: Some(self.message),
            last_transition_time: same_status
                .map_or_else(|| Some(time(now)), |before| before.last_transition_time.clone()),
            last_update_time: same_words.map_or_else(|| Some(time(now)), |before| before.last_update_time.clone()),
        }
    }
}

fn availability(spec: &DeploymentSpec, available_total: i32) -> Draft {
    let enough = available_total >= desired(spec) - Limits::of(spec).unavailable;
    let (status, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    Draft { kind: "Available", status, reason: reason.to_owned(), message: message.to_owned(), moved: false }
}

fn progress(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    sets: &Sets,
    status: &DeploymentStatus,
    now: Timestamp,
) -> Option<Draft> {
    deadline(spec)?;
    let draft = |status, reason: &str, message: String, moved| {
        Some(Draft { kind: "Progressing", status, reason: reason.to_owned(), message, moved })
    };
    let set = sets.new.as_ref().map(|set| set.name_any()).unwrap_or_default();
    let old = deployment.status.clone().unwrap_or_default();
    let previous = old.conditions.iter().flatten().find(|condition| condition.type_ == "Progressing");
    if spec.paused == Some(true) {
        return draft("Unknown", "DeploymentPaused", "Deployment is paused".to_owned(), false);
    }
    let was_complete = previous.is_some_and(|condition| condition.reason.as_deref() == Some("NewReplicaSetAvailable"));
    let rolling = sets.new.as_ref().is_none_or(|new| replicas(new) < desired(spec))
        || sets.old.iter().any(|set| replicas(set) > 0);
    if is_complete(spec, status) || (was_complete && !rolling) {
        let message = format!("ReplicaSet \"{set}\" has successfully progressed.");
        return draft("True", "NewReplicaSetAvailable", message, false);
    }
    let advanced = status.updated_replicas > old.updated_replicas
        || status.ready_replicas > old.ready_replicas
        || status.available_replicas > old.available_replicas
        || status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0)
            < old.replicas.unwrap_or(0) - old.updated_replicas.unwrap_or(0);
    let expired = previous
        .and_then(|condition| condition.last_update_time.as_ref())
        .is_some_and(|since| deadline(spec).is_some_and(|deadline| now.duration_since(since.0) > deadline));
    let generation_is_new = old.observed_generation != deployment.metadata.generation;
    if !advanced && !generation_is_new && (expired || was_expired(previous)) {
        let message = format!("ReplicaSet \"{set}\" has timed out progressing.");
        return draft("False", "ProgressDeadlineExceeded", message, false);
    }
    if sets.new.is_none() {
        return draft("True", "NewReplicaSetCreated", "Created new replica set".to_owned(), generation_is_new);
    }
    draft("True", "ReplicaSetUpdated", format!("ReplicaSet \"{set}\" is progressing."), advanced || generation_is_new)
}

fn was_expired(previous: Option<&DeploymentCondition>) -> bool {
    previous.is_some_and(|condition| condition.reason.as_deref() == Some("ProgressDeadlineExceeded"))
}

fn replica_failure(sets: &Sets) -> Option<Draft> {
    let conditions = sets.all().filter_map(|set| set.status.as_ref()?.conditions.as_ref()).flatten();
    let failure = conditions.into_iter().find(|condition| condition.type_ == "ReplicaFailure")?;
    Some(Draft {
        kind: "ReplicaFailure",
        status: "True",
        reason: failure.reason.clone().unwrap_or_default(),
        message: failure.message.clone().unwrap_or_default(),
        moved: false,
    })
}
