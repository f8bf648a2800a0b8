//! How many replicas each ReplicaSet of a Deployment gets: while rolling, and when the Deployment itself is resized.

use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};

use super::{Action, Sets, available, create, desired, replicas, resize, size_annotations, strategy_is_recreate};
use crate::objects::{Rounding, resolve};

/// The strategy's limits in pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) surge: i32,
    pub(super) unavailable: i32,
}

impl Limits {
    /// Resolves percentages: surge up, unavailability down, and never both 0 (nothing could move).
    pub(super) fn of(spec: &DeploymentSpec) -> Self {
        let rolling = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        if strategy_is_recreate(spec) {
            return Self { surge: 0, unavailable: 0 };
        }
        let total = desired(spec);
        let part = |value: Option<&_>, rounding| value.map_or(0, |value| resolve(value, total, rounding));
        let surge = part(rolling.and_then(|rolling| rolling.max_surge.as_ref()), Rounding::Up);
        let unavailable = part(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), Rounding::Down);
        if surge == 0 && unavailable == 0 {
            return Self { surge, unavailable: 1 };
        }
        Self { surge, unavailable: unavailable.min(total) }
    }
}

/// One step of a rolling update: first the new set grows as far as the surge lets it, then the old ones shrink as far as
/// availability lets them.
pub(super) fn roll(deployment: &Deployment, spec: &DeploymentSpec, sets: &Sets) -> Vec<Action> {
    let limits = Limits::of(spec);
    let room = (desired(spec) + limits.surge - sets.total()).max(0);
    let Some(new) = &sets.new else {
        return vec![create(deployment, spec, sets, room.min(desired(spec)))];
    };
    let size = replicas(new);
    if size > desired(spec) {
        return vec![resize(spec, new, desired(spec))];
    }
    if size < desired(spec) && room > 0 {
        return vec![resize(spec, new, size + room.min(desired(spec) - size))];
    }
    shrink_old(spec, sets, new, limits)
}

fn shrink_old(spec: &DeploymentSpec, sets: &Sets, new: &ReplicaSet, limits: Limits) -> Vec<Action> {
    let min_available = desired(spec) - limits.unavailable;
    let new_unavailable = replicas(new) - available(new);
    // Old pods that are not available may go first and cost nothing, as long as the new ones are expected to come up.
    let mut removable = sets.total() - min_available - new_unavailable;
    if removable <= 0 {
        // Statuses may be older than sizes: what was taken away a moment ago still counts as available in them.
        return Vec::new();
    }
    let mut sizes: Vec<(&Arc<ReplicaSet>, i32)> =
        sets.old.iter().filter(|set| replicas(set) > 0).map(|set| (set, replicas(set))).collect();
    for (set, size) in &mut sizes {
        let unhealthy = (*size - available(set)).min(removable).max(0);
        *size -= unhealthy;
        removable -= unhealthy;
    }
    let mut spare = (sets.all().map(|set| available(set)).sum::<i32>() - min_available).min(removable);
    for (_, size) in &mut sizes {
        let step = (*size).min(spare).max(0);
        *size -= step;
        spare -= step;
    }
    let changed = sizes.into_iter().filter(|(set, size)| replicas(set) != *size);
    changed.map(|(set, size)| resize(spec, set, size)).collect()
}

/// The Deployment was resized (or is paused): sizes change, no new version is rolled out.
pub(super) fn scale(spec: &DeploymentSpec, sets: &Sets) -> Vec<Action> {
    let active: Vec<_> = sets.all().filter(|set| replicas(set) > 0).collect();
    if active.len() <= 1 {
        let target = active.first().copied().or(sets.new.as_ref()).or_else(|| sets.old.last());
        let changed = target.filter(|set| replicas(set) != desired(spec));
        return changed.map(|set| resize(spec, set, desired(spec))).into_iter().collect();
    }
    if let Some(new) = sets.new.as_ref().filter(|set| replicas(set) == desired(spec) && available(set) == desired(spec))
    {
        let leftovers = active.into_iter().filter(|set| !Arc::ptr_eq(set, new));
        return leftovers.map(|set| resize(spec, set, 0)).collect();
    }
    if strategy_is_recreate(spec) {
        return Vec::new();
    }
    spread(spec, active)
}

/// In the middle of a rollout, growth and shrinkage are spread over the sets in proportion to their sizes.
fn spread(spec: &DeploymentSpec, mut active: Vec<&Arc<ReplicaSet>>) -> Vec<Action> {
    let total: i32 = active.iter().map(|set| replicas(set)).sum();
    let allowed = if desired(spec) > 0 { desired(spec) + Limits::of(spec).surge } else { 0 };
    let delta = allowed - total;
    active.sort_by_key(|set| Reverse(replicas(set)));
    let mut left = delta;
    let mut sizes: Vec<i32> = Vec::with_capacity(active.len());
    for set in &active {
        let size = replicas(set);
        let share = (size * delta + delta.signum() * total / 2) / total.max(1);
        let share = if delta >= 0 { share.clamp(0, left) } else { share.clamp(left, 0).max(-size) };
        left -= share;
        sizes.push(size + share);
    }
    // Rounding leaves a few over; the largest set takes them.
    if let Some(first) = sizes.first_mut() {
        *first = (*first + left).max(0);
    }
    let annotations = size_annotations(spec);
    let updates = active.into_iter().zip(sizes);
    updates
        .map(|(set, size)| Action::Update {
            set: Arc::clone(set),
            replicas: Some(size),
            annotations: annotations.clone(),
        })
        .collect()
}
