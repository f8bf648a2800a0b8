//! PodDisruptionBudget status: how many pods there should be, how many are healthy, how many may go. The eviction endpoint of
//! the API server spends what is counted here and notes the pods that it let go in `disruptedPods`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::writer::Writer;
use super::{Controller, Sync};
use crate::cache::{Cache, ObjectKey};
use crate::objects::{Rounding, controller_of, is_active, is_deleting, is_ready, resolve, selector_matches, time};

/// An eviction that was granted but whose deletion is not seen within this time did not happen.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);

/// The wished-for size of a workload, and who it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scale {
    pub(super) uid: String,
    pub(super) replicas: i32,
}

/// Decides. `scale_of` finds the workload that sizes a pod's set.
pub(super) fn status(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    scale_of: &dyn Fn(&Pod) -> Option<Scale>,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let spec = budget.spec.clone().unwrap_or_default();
    let old = budget.status.clone().unwrap_or_default();
    let matching = |pod: &&Arc<Pod>| {
        let selector = spec.selector.as_ref();
        selector.is_some_and(|selector| selector_matches(selector, pod.metadata.labels.as_ref()))
    };
    let covered: Vec<_> =
        pods.iter().filter(matching).filter(|pod| is_active(pod) || is_deleting(&pod.metadata)).collect();
    let disrupted = still_disrupted(old.disrupted_pods.clone().unwrap_or_default(), &covered, now);
    let active: Vec<_> = covered.into_iter().filter(|pod| is_active(pod)).collect();
    let expected = expected_pods(&spec, &active, scale_of);
    let healthy = active.iter().filter(|pod| is_ready(pod) && !disrupted.contains_key(&pod.name_any())).count();
    let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
    let (desired, expected_count, problem) = match expected {
        Ok(expected) => (desired_healthy(&spec, expected), expected, None),
        Err(problem) => (0, 0, Some(problem)),
    };
    let allowed = if problem.is_some() || expected_count == 0 { 0 } else { (healthy - desired).max(0) };
    PodDisruptionBudgetStatus {
        current_healthy: healthy,
        desired_healthy: desired,
        expected_pods: expected_count,
        disruptions_allowed: allowed,
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        observed_generation: budget.metadata.generation,
        conditions: Some(vec![condition(&old, budget.metadata.generation, allowed, problem, now)]),
    }
}

/// Granted evictions whose pods have not yet been seen going.
fn still_disrupted(disrupted: BTreeMap<String, Time>, covered: &[&Arc<Pod>], now: Timestamp) -> BTreeMap<String, Time> {
    let open = |name: &String, since: &Time| {
        let pod = covered.iter().find(|pod| pod.name_any() == *name);
        pod.is_some_and(|pod| !is_deleting(&pod.metadata)) && now.duration_since(since.0) < DELETION_TIMEOUT
    };
    disrupted.into_iter().filter(|(name, since)| open(name, since)).collect()
}

type Spec = k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;

/// How many pods there should be: the sum of the workloads' sizes where it matters, else the pods that there are.
fn expected_pods(spec: &Spec, active: &[&Arc<Pod>], scale_of: &dyn Fn(&Pod) -> Option<Scale>) -> Result<i32, String> {
    let by_count = matches!(spec.min_available, Some(IntOrString::Int(_)));
    if by_count {
        return Ok(i32::try_from(active.len()).unwrap_or(i32::MAX));
    }
    let mut scales = BTreeSet::new();
    for pod in active {
        match scale_of(pod) {
            Some(scale) => scales.insert(scale),
            None => return Err(format!("found no controllers for pod \"{}\"", pod.name_any())),
        };
    }
    Ok(scales.iter().map(|scale| scale.replicas).sum())
}

fn desired_healthy(spec: &Spec, expected: i32) -> i32 {
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(unavailable), _) => (expected - resolve(unavailable, expected, Rounding::Up)).max(0),
        (None, Some(available)) => resolve(available, expected, Rounding::Up),
        (None, None) => 0,
    }
}

fn condition(
    old: &PodDisruptionBudgetStatus,
    generation: Option<i64>,
    allowed: i32,
    problem: Option<String>,
    now: Timestamp,
) -> Condition {
    let (status, reason) = match (&problem, allowed) {
        (Some(_), _) => ("False", "SyncFailed"),
        (None, 0) => ("False", "InsufficientPods"),
        (None, _) => ("True", "SufficientPods"),
    };
    let before = old.conditions.iter().flatten().find(|condition| condition.status == status);
    Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: problem.unwrap_or_default(),
        observed_generation: generation,
        last_transition_time: before.map_or_else(|| time(now), |before| before.last_transition_time.clone()),
    }
}

/// The loop around [`status`].
pub(super) struct DisruptionController {
    pub(super) budgets: Writer<PodDisruptionBudget>,
    pub(super) pods: Cache<Pod>,
    pub(super) replica_sets: Cache<ReplicaSet>,
    pub(super) deployments: Cache<Deployment>,
    pub(super) stateful_sets: Cache<StatefulSet>,
}

impl DisruptionController {
    pub(super) fn keys_for_pod(budgets: &Cache<PodDisruptionBudget>, pod: &Pod) -> Vec<ObjectKey> {
        let covers = |budget: &PodDisruptionBudget| {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| selector_matches(selector, pod.metadata.labels.as_ref()))
        };
        let budgets = budgets.list_in(&pod.namespace().unwrap_or_default());
        budgets.into_iter().filter(|budget| covers(budget)).map(|budget| ObjectKey::of(budget.as_ref())).collect()
    }

    /// The size that a pod's top controller was given.
    fn scale_of(&self, pod: &Pod) -> Option<Scale> {
        let namespace = pod.namespace()?;
        let owner = controller_of(&pod.metadata)?;
        match owner.kind.as_str() {
            "StatefulSet" => {
                let set = self.stateful_sets.get(&namespace, &owner.name)?;
                Some(Scale { uid: set.uid()?, replicas: set.spec.as_ref()?.replicas.unwrap_or(1) })
            }
            "ReplicaSet" => {
                let set = self.replica_sets.get(&namespace, &owner.name)?;
                if let Some(parent) = controller_of(&set.metadata).filter(|parent| parent.kind == "Deployment") {
                    let deployment = self.deployments.get(&namespace, &parent.name)?;
                    return Some(Scale {
                        uid: deployment.uid()?,
                        replicas: deployment.spec.as_ref()?.replicas.unwrap_or(1),
                    });
                }
                Some(Scale { uid: set.uid()?, replicas: set.spec.as_ref()?.replicas.unwrap_or(1) })
            }
            _ => None,
        }
    }
}

impl Controller for DisruptionController {
    const NAME: &'static str = "disruption-controller";

    async fn sync(&self, key: &ObjectKey) -> kube::Result<Sync> {
        let Some(budget) = self.budgets.cache().get_key(key) else {
            return Ok(Sync::Done);
        };
        let pods = self.pods.list_in(&key.namespace);
        let new = status(&budget, &pods, &|pod| self.scale_of(pod), Timestamp::now());
        if budget.status.as_ref() != Some(&new) {
            // The eviction endpoint writes this status too: with the version, a grant in between is not overwritten.
            let mut updated = (*budget).clone();
            updated.status = Some(new);
            let stored = self
                .budgets
                .api_of(&budget)
                .replace_status(&key.name, &kube::api::PostParams::default(), &updated)
                .await?;
            self.budgets.cache().note(stored);
        }
        let waiting = self
            .budgets
            .cache()
            .get_key(key)
            .is_some_and(|budget| budget.status.as_ref().is_some_and(|status| status.disrupted_pods.is_some()));
        Ok(if waiting { Sync::After(std::time::Duration::from_secs(120)) } else { Sync::Done })
    }
}

#[cfg(test)]
mod tests;
