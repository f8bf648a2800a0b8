//! What a run would do, before it does anything: who may be hit and who may not, when the kills would come, whether they can
//! prove what is claimed, and what permissions it takes. It asks the same functions as the run itself and decides nothing.

mod arithmetic;
mod missing;
mod objections;
mod permissions;
mod power;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

pub use arithmetic::OutageBound;
pub use missing::{Missing, missing};
pub use objections::{Objection, ObjectionReason};
pub use permissions::{Permission, of_killer};
pub use power::{Budget30d, ClaimPlan, KillsForLoss, Power};
pub use schedule::ExpectedStrike;

use crate::digest::sha256_hex;
use crate::eligible::{Reason, barred, eligible};
use crate::killer::{GroupNames, NOT_PLANNED, Streams};
use crate::model::{Experiment, Fault, Policy};
use crate::population::{PodFacts, Population};
use crate::record::{Excluded, NO_POD_KNOWN};
use crate::victims;

/// What is planned.
#[derive(Debug, Clone, Copy)]
pub struct PlanRequest<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// By whose rights.
    pub policy: &'a Policy,
    /// The cluster, as it was read.
    pub population: &'a Population,
    /// The seed in force.
    pub seed: i64,
    /// The instant of planning.
    pub now: Timestamp,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Name of the experiment.
    pub experiment: String,
    /// Its namespace.
    pub namespace: String,
    /// Its hypothesis.
    pub hypothesis: String,
    /// The seed in force.
    pub seed: i64,
    /// Pods that may be killed.
    pub candidates: Vec<Candidate>,
    /// Pods that may not, each with its first reason and the facts of all; and namespaces in which none may, where none is known.
    pub excluded: Vec<Excluded>,
    /// Candidates by group.
    pub groups: BTreeMap<String, usize>,
    /// The strikes that fit into the fault phase, with the instants of this seed.
    pub strikes: Vec<ExpectedStrike>,
    /// How long a run takes on average, in seconds: baseline, all strikes, recovery.
    pub expected_seconds: f64,
    /// How long it takes at most, in seconds, without the recovery of the last kill and the winding down.
    pub longest_seconds: f64,
    /// Strikes planned.
    pub strikes_target: u32,
    /// Fewer than this are inconclusive.
    pub strikes_min: u32,
    /// Whether the planned kills can prove what is claimed, and how likely they do.
    pub claims: Vec<ClaimPlan>,
    /// What speaks against running it.
    pub objections: Vec<Objection>,
    /// What the one who runs it must be allowed to do.
    pub permissions: Vec<Permission>,
    /// SHA-256 over all of the above, in hex: what an approval is bound to.
    pub digest: String,
}

/// A pod that may be killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// `namespace/name`.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// `Kind/name` of its top controller.
    pub workload: String,
    /// Its group.
    pub group: String,
    /// Its node.
    pub node: Option<String>,
}

impl Plan {
    /// Whether something forbids the run.
    pub fn is_refused(&self) -> bool {
        self.objections.iter().any(|objection| objection.forbids)
    }
}

/// Works the plan out. The same request gives the same plan, digest included.
pub fn plan(request: &PlanRequest<'_>) -> Plan {
    let PlanRequest { experiment, policy, population, seed, now } = *request;
    let judged = eligible(&experiment.target, policy, population, now);
    let able: Vec<&PodFacts> = judged.iter().filter(|judged| judged.is_eligible()).map(|judged| judged.pod).collect();
    let mut groups = victims::groups(experiment.fault.group(), able.iter().copied(), population);
    let mut excluded: Vec<Excluded> = judged.iter().filter_map(excluded_pod).collect();
    excluded.extend(excluded_namespaces(policy, population));
    excluded.extend(groups.ungrouped.iter().map(|(pod, why)| Excluded {
        pod: full_name(pod),
        uid: pod.uid.clone(),
        reason: why.as_str().to_owned(),
        message: "it belongs to no group".to_owned(),
    }));
    if Streams::of(&experiment.fault) == Streams::PerGroup {
        let names = GroupNames::of(&judged, experiment.fault.group(), population);
        excluded.extend(leave_out(&mut groups, &names));
    }
    let strikes = schedule::expected(experiment, seed, &groups);
    let mut plan = Plan {
        experiment: experiment.name.clone(),
        namespace: experiment.namespace.clone(),
        hypothesis: experiment.hypothesis.clone(),
        seed,
        candidates: groups
            .members
            .iter()
            .flat_map(|(group, pods)| pods.iter().map(|pod| candidate(pod, group)))
            .collect(),
        excluded,
        groups: groups.members.iter().map(|(group, pods)| (group.clone(), pods.len())).collect(),
        objections: objections::objections(experiment, population, &groups, strikes.len()),
        claims: power::claims(experiment, population, &groups),
        expected_seconds: seconds(experiment, expected_fault(experiment, &groups)),
        longest_seconds: seconds(experiment, experiment.phases.fault.as_secs_f64()),
        permissions: permissions::needed(experiment, population),
        strikes_target: experiment.fault.strikes().target,
        strikes_min: experiment.fault.strikes().min,
        strikes,
        digest: String::new(),
    };
    plan.objections.extend(objections::ruled_out(&plan.claims));
    plan.digest = digest(&plan);
    plan
}

/// Takes the pods out for whose groups a monkey plans nothing, and says so of each.
fn leave_out(groups: &mut victims::Groups<'_>, names: &GroupNames) -> Vec<Excluded> {
    let mut excluded = Vec::new();
    groups.members.retain(|group, pods| {
        let Some(why) = names.leave_out(group) else { return true };
        excluded.extend(pods.iter().map(|pod| Excluded {
            pod: full_name(pod),
            uid: pod.uid.clone(),
            reason: NOT_PLANNED.to_owned(),
            message: why.clone(),
        }));
        false
    });
    excluded
}

fn seconds(experiment: &Experiment, fault: f64) -> f64 {
    experiment.phases.baseline.as_secs_f64() + fault + experiment.phases.recovery.as_secs_f64()
}

/// The mean time that all strikes take.
fn expected_fault(experiment: &Experiment, groups: &victims::Groups<'_>) -> f64 {
    let streams = match experiment.fault {
        Fault::PodKill(_) => 1,
        Fault::Monkey(_) => groups.members.len().max(1),
    };
    let mean =
        f64::from(experiment.fault.strikes().target) * experiment.fault.every().mean.as_secs_f64() / streams as f64;
    mean.min(experiment.phases.fault.as_secs_f64())
}

fn digest(plan: &Plan) -> String {
    // A plan is made of texts and numbers: it always serialises.
    sha256_hex(&serde_json::to_vec(plan).unwrap_or_default())
}

/// The namespaces in which no pod may be killed and of which none is known, as one row each.
pub fn excluded_namespaces(policy: &Policy, population: &Population) -> Vec<Excluded> {
    let row = |(name, reason): (&str, Reason)| Excluded {
        pod: format!("{name}{NO_POD_KNOWN}"),
        uid: String::new(),
        reason: reason.exclusion.as_str().to_owned(),
        message: reason.message,
    };
    barred(policy, population).into_iter().map(row).collect()
}

fn excluded_pod(judged: &crate::eligible::Judged<'_>) -> Option<Excluded> {
    let first = judged.reasons.first()?;
    let messages: Vec<&str> = judged.reasons.iter().map(|reason| reason.message.as_str()).collect();
    Some(Excluded {
        pod: full_name(judged.pod),
        uid: judged.pod.uid.clone(),
        reason: first.exclusion.as_str().to_owned(),
        message: messages.join("; "),
    })
}

fn candidate(pod: &PodFacts, group: &str) -> Candidate {
    let workload = pod.workload.as_ref().map(|key| format!("{}/{}", key.kind, key.name));
    Candidate {
        pod: full_name(pod),
        uid: pod.uid.clone(),
        workload: workload.unwrap_or_default(),
        group: group.to_owned(),
        node: pod.node.clone(),
    }
}

fn full_name(pod: &PodFacts) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}
