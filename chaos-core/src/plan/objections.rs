//! What speaks against a run on this cluster: what would end as inconclusive or invalid is told before anything is touched.

use std::collections::BTreeMap;

use serde::Serialize;

use super::power::ClaimPlan;
use crate::model::{Experiment, Fault, KillMode};
use crate::population::{PodFacts, Population, WorkloadFacts};
use crate::victims::Groups;

/// Something that speaks against a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Objection {
    /// The stable reason.
    pub reason: ObjectionReason,
    /// Whether the run is refused: otherwise it may still do what it is meant to.
    pub forbids: bool,
    /// The facts, for people.
    pub message: String,
}

/// Stable reasons of objections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ObjectionReason {
    /// No pod may be killed.
    NoCandidate,
    /// Fewer strikes than needed come before the fault phase ends.
    WindowTooShort,
    /// The limits forbid every kill of a workload.
    LimitsForbid,
    /// One strike would hit more pods of a workload than may be unavailable.
    StrikeTooWide,
    /// The share of a workload that one strike is to hit is no pod.
    StrikeWithoutVictim,
    /// A disruption budget has no room now.
    NoDisruptionAllowed,
    /// A rollout is under way now.
    RolloutInProgress,
    /// By what is declared of a killed pod, more requests fail than the promise allows.
    RuledOutByDesign,
    /// Fewer requests are planned than the promise can be seen in.
    TooFewRequests,
}

/// Promises that arithmetic rules out.
pub(super) fn ruled_out(claims: &[ClaimPlan]) -> Vec<Objection> {
    let mut found = Vec::new();
    for claim in claims {
        if let Some(bound) = claim.by_design.as_ref().filter(|bound| bound.is_ruled_out()) {
            let message = format!(
                "{}: with {} pods of {}, a kill of it every {:.2} s, {:.3} s until a dead pod gets no request any more and {:.1} % \
                 of requests rescued, {:.4} % fail by design, and {:.4} % may; it takes {:.3} s or less",
                claim.probe,
                bound.pods,
                bound.workload,
                bound.every_seconds,
                bound.detection_seconds,
                bound.rescued * 100.0,
                bound.unavailability * 100.0,
                bound.allowed * 100.0,
                bound.detection_allowed_seconds
            );
            found.push(Objection { reason: ObjectionReason::RuledOutByDesign, forbids: true, message });
        }
        found.extend(too_few_requests(claim));
    }
    found
}

/// Forbids only what no run can pass: one whose kills take longer than planned has more requests.
fn too_few_requests(claim: &ClaimPlan) -> Option<Objection> {
    let needed = claim.requests_needed;
    let forbids = claim.requests_at_most < needed;
    let planned = if forbids {
        format!(
            "{} requests can be due at most, if fault and recovery last as long as they may",
            claim.requests_at_most
        )
    } else {
        format!("about {} requests are planned", claim.requests_planned)
    };
    let takes = if forbids { "; it takes longer phases or a higher rate" } else { "" };
    let message =
        format!("{}: {planned}, and {} cannot be seen in fewer than {needed}{takes}", claim.probe, claim.promise);
    let reason = ObjectionReason::TooFewRequests;
    (forbids || claim.requests_planned < needed).then_some(Objection { reason, forbids, message })
}

/// All of them.
pub(super) fn objections(
    experiment: &Experiment,
    population: &Population,
    groups: &Groups<'_>,
    strikes: usize,
) -> Vec<Objection> {
    let mut found = Vec::new();
    let mut object = |reason, forbids, message: String| found.push(Objection { reason, forbids, message });
    let candidates: Vec<&PodFacts> = groups.members.values().flatten().copied().collect();
    if candidates.is_empty() {
        object(
            ObjectionReason::NoCandidate,
            true,
            "no pod may be killed: every exclusion is listed with its reason".into(),
        );
        return found;
    }
    let planned = experiment.fault.strikes();
    if strikes < planned.target as usize {
        let message = format!(
            "{strikes} of {} strikes come before the fault phase ends after {}; {} are the least",
            planned.target, experiment.phases.fault, planned.min
        );
        object(ObjectionReason::WindowTooShort, strikes < planned.min as usize, message);
    }
    let workloads = workloads(&candidates, population);
    let mut forbidden = 0;
    for workload in workloads.values() {
        if let Some((reason, forbids, message)) = beyond_limits(experiment, workload) {
            forbidden += 1;
            object(reason, forbids, message);
        }
        if let Some(why) = &workload.rollout {
            object(ObjectionReason::RolloutInProgress, false, format!("{}: {why}", name_of(workload)));
        }
    }
    if forbidden > 0 && forbidden == workloads.len() {
        object(ObjectionReason::LimitsForbid, true, "the limits forbid every kill".into());
    }
    if experiment.fault.kill().mode == KillMode::Evict {
        let covers = |uids: &[String]| candidates.iter().any(|pod| uids.contains(&pod.uid));
        for budget in population.budgets.iter().filter(|b| b.disruptions_allowed < 1 && covers(&b.covers)) {
            let message = format!("budget {}/{} allows no disruption now", budget.namespace, budget.name);
            object(ObjectionReason::NoDisruptionAllowed, false, message);
        }
    }
    found
}

/// Why no strike on a workload is within the limits, and whether that alone forbids the run.
fn beyond_limits(experiment: &Experiment, workload: &WorkloadFacts) -> Option<(ObjectionReason, bool, String)> {
    let (name, desired) = (name_of(workload), workload.desired as usize);
    let (max, min_ready) = (experiment.limits.max_unavailable.of(desired), experiment.limits.min_ready as usize);
    if max == 0 || desired < min_ready + 1 {
        let message = format!(
            "{name} wants {desired} pods: maxUnavailable {} allows {max}, and minReady is {min_ready}",
            experiment.limits.max_unavailable
        );
        return Some((ObjectionReason::LimitsForbid, false, message));
    }
    let victims = victims(experiment, desired)?;
    if victims == 0 {
        // Whoever kills waits until it is some, and all other groups with it.
        let message = format!(
            "{name} wants {desired} pods, and the share that one strike hits is none of them; hint: atLeastOne: true"
        );
        return Some((ObjectionReason::StrikeWithoutVictim, true, message));
    }
    if victims <= max {
        return None;
    }
    let message = format!("one strike hits {victims} of {desired} pods of {name}; {max} may be unavailable");
    Some((ObjectionReason::StrikeTooWide, true, message))
}

fn name_of(workload: &WorkloadFacts) -> String {
    format!("{} {}", workload.key.kind, workload.key.name)
}

fn workloads<'a>(candidates: &[&PodFacts], population: &'a Population) -> BTreeMap<&'a str, &'a WorkloadFacts> {
    let uids = candidates.iter().filter_map(|pod| pod.workload.as_ref());
    uids.filter_map(|key| population.workload(&key.uid)).map(|workload| (workload.key.uid.as_str(), workload)).collect()
}

/// Pods of one strike on a workload of that size.
fn victims(experiment: &Experiment, desired: usize) -> Option<usize> {
    match &experiment.fault {
        Fault::PodKill(kill) => Some(kill.victims.of(desired).max(usize::from(kill.at_least_one))),
        Fault::Monkey(_) => None,
    }
}
