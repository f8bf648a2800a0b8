//! What will be run, as it is found at the start: digests that say what somebody approves, and what the plan can prove.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Unfit;
use crate::api::{ExclusionCount, ExperimentSpec, ResolvedRun, StrikePreview, labels};
use crate::digest::sha256_hex;
use crate::model::{Experiment, Mode};
use crate::plan::Plan;
use crate::population::Population;
use crate::validate::{allows, targeted_namespaces};

/// Workloads, strikes and exclusions that are listed.
const WORKLOADS: usize = 50;
const STRIKES: usize = 20;
const EXCLUSIONS: usize = 20;

/// SHA-256 of an experiment as it is run, in hex.
pub fn experiment_digest(namespace: &str, spec: &ExperimentSpec) -> String {
    // A spec is made of texts and numbers: it always serialises.
    sha256_hex(&serde_json::to_vec(&(namespace, spec)).unwrap_or_default())
}

/// The population without what the run's namespace may not see: namespaces that do not allow its specs. One that is targeted by
/// name and does not allow them is refused, in words that do not tell whether it exists.
pub fn permitted(experiment: &Experiment, mut population: Population) -> Result<Population, Unfit> {
    let from = &experiment.namespace;
    let allowed: BTreeSet<String> =
        population.namespaces.iter().filter(|facts| allows(facts, from)).map(|facts| facts.name.clone()).collect();
    if let Some(other) = targeted_namespaces(experiment).into_iter().find(|name| !allowed.contains(name)) {
        return Err(not_allowed(&other, from));
    }
    population.namespaces.retain(|facts| allowed.contains(&facts.name));
    population.pods.retain(|pod| allowed.contains(&pod.namespace));
    population.workloads.retain(|workload| allowed.contains(&workload.key.namespace));
    population.budgets.retain(|budget| allowed.contains(&budget.namespace));
    Ok(population)
}

/// A namespace that does not allow specs of another one.
pub fn not_allowed(namespace: &str, from: &str) -> Unfit {
    Unfit::refused(format!(
        "namespace {namespace} does not allow specs of {from}; hint: its owner labels it {}={from}",
        labels::ALLOW_FROM
    ))
}

/// What an approval is bound to. Pods come and go, so it is the workloads that are named, not their pods.
#[derive(Serialize)]
struct Approved<'a> {
    run: &'a str,
    experiment: &'a str,
    live: bool,
    seed: i64,
    strikes: usize,
    workloads: &'a BTreeSet<String>,
}

/// What will be run.
pub fn resolve(run_uid: &str, experiment_digest: &str, mode: Mode, plan: &Plan) -> ResolvedRun {
    let namespace_of = |pod: &str| pod.split('/').next().unwrap_or_default().to_owned();
    let workloads: BTreeSet<String> = plan
        .candidates
        .iter()
        .map(|candidate| format!("{}/{}", namespace_of(&candidate.pod), candidate.workload))
        .collect();
    let approved = Approved {
        run: run_uid,
        experiment: experiment_digest,
        live: mode == Mode::Live,
        seed: plan.seed,
        strikes: plan.strikes.len(),
        workloads: &workloads,
    };
    let mut reasons = BTreeMap::<&str, u64>::new();
    // A namespace of which no pod is known has its reason here, and none that could be counted.
    for excluded in &plan.excluded {
        *reasons.entry(&excluded.reason).or_default() += u64::from(excluded.is_pod());
    }
    let preview = |strike: &crate::plan::ExpectedStrike| StrikePreview {
        after: std::time::Duration::try_from_secs_f64(strike.after_seconds).unwrap_or_default().into(),
        group: strike.group.clone(),
    };
    let exclusion = |(reason, pods): (&str, u64)| ExclusionCount { reason: reason.to_owned(), pods };
    ResolvedRun {
        experiment_digest: experiment_digest.to_owned(),
        plan_digest: sha256_hex(&serde_json::to_vec(&approved).unwrap_or_default()),
        seed: plan.seed,
        candidates: plan.candidates.len() as u64,
        excluded: plan.excluded.iter().filter(|excluded| excluded.is_pod()).count() as u64,
        strikes: plan.strikes.len() as u64,
        schedule: plan.strikes.iter().take(STRIKES).map(preview).collect(),
        power: plan.claims.iter().map(power).collect(),
        exclusions: reasons.into_iter().take(EXCLUSIONS).map(exclusion).collect(),
        workloads: workloads.into_iter().take(WORKLOADS).collect(),
    }
}

fn power(claim: &crate::plan::ClaimPlan) -> String {
    let pass = claim.power.iter().find(|power| power.bad_share == 0.0);
    let odds = pass.map_or_else(String::new, |power| {
        format!(
            "; {} kills planned pass in {:.0} % of runs if no kill costs anything",
            claim.kills_planned,
            power.pass * 100.0
        )
    });
    format!("{}: {}, {}{odds}", claim.probe, claim.promise, claim.proves)
}
