//! Limits of the kills besides those of time, in words of a spec and by the books of the simulated cluster: pods that may be
//! unavailable (as a count or a share), pods that have to be left ready, and disruption budgets, which the server holds too.

use chaos_core::killer::KillOrder;
use chaos_core::model::KillMode;
use chaos_core::population::BudgetFacts;
use chaos_core::units::CountOrPercent;

use super::bugs::Bug;
use super::cluster::{Pod, State, WORKLOADS};
use super::scenario::Scenario;

/// What a workload may have unavailable, where that is a share of its pods: in words, and in percent.
const SHARE: (&str, usize) = ("50%", 50);
/// What rounds the share up that is to be rounded down, of the two to five pods that a workload wants.
const ROUNDED_UP: &str = "67%";

/// Disruption budgets of a schedule in which kills are evictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disruptions {
    /// Each workload has one.
    Apart,
    /// Both share one, if they lie in one namespace.
    Shared,
}

impl Disruptions {
    /// Those of a schedule of this kind, if there are any.
    pub(super) const fn of(kind: u64) -> Option<Self> {
        match (kind % 101 % 7, kind % 2) {
            (5, 0) => Some(Self::Shared),
            (5, _) => Some(Self::Apart),
            _ => None,
        }
    }
}

impl Scenario {
    /// How many pods of a workload that wants so many may be unavailable.
    pub(super) fn most_unavailable(&self, desired: usize) -> usize {
        if self.is_percent { desired * SHARE.1 / 100 } else { self.max_unavailable as usize }
    }

    /// The same in words of a spec, for a killer that may make a mistake in it.
    pub(super) fn max_unavailable(&self) -> CountOrPercent {
        match self.bug {
            Some(Bug::MaxUnavailableIgnored) => CountOrPercent::Count(self.max_unavailable + 1),
            Some(Bug::PercentRoundedUp) if self.is_percent => CountOrPercent::Percent(ROUNDED_UP.parse().unwrap()),
            _ if self.is_percent => CountOrPercent::Percent(SHARE.0.parse().unwrap()),
            _ => CountOrPercent::Count(self.max_unavailable),
        }
    }

    /// How many pods of each workload have to be left ready: one, or as many as the smaller one wants.
    pub(super) const fn min_ready(&self) -> u32 {
        if self.has_to_serve { self.size.pods[0] } else { 1 }
    }

    /// The workloads of each disruption budget.
    fn budgeted(&self) -> &'static [&'static [usize]] {
        match self.disruptions {
            None => &[],
            Some(Disruptions::Shared) if !self.is_spread => &[&[0, 1]],
            Some(_) => &[&[0], &[1]],
        }
    }
}

/// Whether a pod is of that workload, and opted in.
fn is_of(pod: &Pod, workload: &str) -> bool {
    pod.facts.workload.as_ref().is_some_and(|key| key.name == workload) && !pod.facts.labels.is_empty()
}

impl State {
    /// Pods of a workload that serve, without the one that is not opted in.
    fn serving(&self, workload: &str) -> usize {
        let pods = self.pods.iter().filter(|pod| is_of(pod, workload));
        pods.filter(|pod| pod.facts.ready && !pod.facts.terminating).count()
    }

    /// How many pods a disruption budget of these workloads lets go: one of those that there were at the start may be missing.
    fn lets_go(&self, workloads: &[usize]) -> usize {
        let serving: usize = workloads.iter().map(|index| self.serving(WORKLOADS[*index])).sum();
        let wanted: usize = workloads.iter().map(|index| self.scenario.size.pods[*index] as usize).sum();
        (serving + 1).saturating_sub(wanted)
    }

    /// How many pods of a workload may be evicted now, if a budget says so.
    pub(super) fn disruptions_allowed(&self, workload: usize) -> Option<usize> {
        let budget = self.scenario.budgeted().iter().find(|workloads| workloads.contains(&workload))?;
        Some(self.lets_go(budget))
    }

    /// The disruption budgets, as they are read.
    pub(super) fn disruption_budgets(&self) -> Vec<BudgetFacts> {
        if self.scenario.bug == Some(Bug::DisruptionBudgetIgnored) {
            return Vec::new();
        }
        let facts = |workloads: &&[usize]| {
            let covers = |pod: &&Pod| workloads.iter().any(|index| is_of(pod, WORKLOADS[*index]));
            BudgetFacts {
                namespace: self.scenario.namespace(WORKLOADS[workloads[0]]).to_owned(),
                name: WORKLOADS[workloads[0]].to_owned(),
                covers: self.pods.iter().filter(covers).map(|pod| pod.facts.uid.clone()).collect(),
                disruptions_allowed: i32::try_from(self.lets_go(workloads)).unwrap_or(i32::MAX),
            }
        };
        self.scenario.budgeted().iter().map(facts).collect()
    }

    /// Whether the server refuses that eviction.
    pub(super) fn blocks(&self, order: &KillOrder, pod: usize) -> bool {
        let facts = &self.pods[pod].facts;
        let workload = facts.workload.as_ref().and_then(|key| WORKLOADS.iter().position(|name| *name == key.name));
        let allowed = workload.and_then(|workload| self.disruptions_allowed(workload));
        order.mode == KillMode::Evict && !facts.terminating && allowed == Some(0)
    }

    /// What must hold when a pod of that workload was killed.
    pub(super) fn check_availability(&self, workload_uid: &str) {
        if self.scenario.has_foreigners {
            return;
        }
        let Some(of) = self.workloads().find(|of| of.key.uid == workload_uid) else { return };
        // The outsider serves too, but nobody may count on that here: the limits are asked with all pods of the workload.
        let outsider = usize::from(workload_uid == "uid-trips");
        let (desired, serving) = (of.desired as usize, self.serving(&of.key.name) + outsider);
        let (unavailable, max) = (desired.saturating_sub(serving), self.scenario.most_unavailable(desired));
        assert!(unavailable <= max, "{unavailable} of {desired} pods of {workload_uid} are unavailable, {max} may be");
        let min = self.scenario.min_ready() as usize;
        assert!(serving >= min, "{serving} pods of {workload_uid} are left ready, {min} have to be");
    }
}
