//! Who may be killed by a run of the operator, on fresh reads and with what its namespace may see. Reads only.

use chaos_core::api::ResolvedRun;
use chaos_core::eligible::barred;
use chaos_core::killer::Scope;
use chaos_core::model::{Mode, Policy, Run};
use chaos_core::operated::{Unfit, not_allowed, permitted, resolve};
use chaos_core::plan::{PlanRequest, plan};
use chaos_core::population::{Population, SwitchState};
use chaos_core::record::{Event, Excluded, RunTime};
use chaos_core::validate::{allows, probed_namespaces};

use super::super::prepare::{self, candidates};
use super::{Backing, HeldBy};
use crate::kube::{Caller, Environment, PopulationReader};

/// Who may be killed.
#[derive(Debug, Clone)]
pub(super) struct Survey {
    population: Population,
    eligible: Vec<String>,
    excluded: Vec<Excluded>,
}

impl Survey {
    /// The event that tells it.
    pub(super) fn planned(&self) -> Event {
        let (eligible, excluded) = (self.eligible.clone(), self.excluded.clone());
        Event::Planned { at: RunTime(0), population: Box::new(self.population.clone()), eligible, excluded }
    }
}

/// Reads the cluster and works out who may be killed, or why nothing can be run.
pub(super) async fn survey(backing: &Backing, run: &Run, seed: i64) -> Result<(Survey, ResolvedRun), Unfit> {
    if let Some(hold) = backing.hold.borrow().clone() {
        return Err(match hold.by {
            HeldBy::Nobody => Unfit::out_of_reach(hold.message),
            HeldBy::Permissions => Unfit::not_permitted(hold.message),
            HeldBy::Others => Unfit::refused(hold.message),
        });
    }
    if let Some(lack) = (backing.lacks)(&run.experiment) {
        return Err(Unfit::not_permitted(lack));
    }
    let reads = Caller::new(backing.clients.read.clone());
    let environment = Environment::LabelOf(backing.operator_namespace.clone());
    let policy = Policy::operator(&run.namespace, &backing.operator_namespace);
    let reader = PopulationReader::new(reads, &run.experiment.target, environment).for_killer(&policy);
    let unread = |error: crate::kube::CallError| Unfit::out_of_reach(format!("failed to read the cluster: {error}"));
    let population = reader.read(&Scope::Target).await.map_err(unread)?;
    match population.switch {
        SwitchState::Running => {}
        SwitchState::Unreadable => return Err(Unfit::out_of_reach("the stop switch of the cluster cannot be read")),
        SwitchState::Stopped => return Err(Unfit::refused("the stop switch of the cluster says stop")),
        SwitchState::Missing => return Err(Unfit::refused("the stop switch of the cluster is missing")),
    }
    for namespace in probed_namespaces(&run.experiment) {
        let facts = reader.facts(&namespace).await.map_err(unread)?;
        if !facts.is_some_and(|facts| allows(&facts, &run.namespace)) {
            return Err(not_allowed(&namespace, &run.namespace));
        }
    }
    let population = permitted(&run.experiment, population)?;
    let found = candidates(&run.experiment, &policy, &population);
    let (eligible, excluded) = found.map_err(|why| unfit(why, &policy, &population))?;
    let now = population.taken_at;
    let request = PlanRequest { experiment: &run.experiment, policy: &policy, population: &population, seed, now };
    let plan = plan(&request);
    let forbidding: Vec<&str> = plan
        .objections
        .iter()
        .filter(|objection| objection.forbids)
        .map(|objection| objection.message.as_str())
        .collect();
    if !forbidding.is_empty() {
        return Err(Unfit::invalid(forbidding.join("; ")));
    }
    let mut resolved = resolve(&run.uid, &run.digest, run.mode, &plan);
    if run.mode == Mode::DryRun {
        resolved.power.extend(plan.objections.iter().map(|objection| format!("objection: {}", objection.message)));
    }
    Ok((Survey { population, eligible, excluded }, resolved))
}

fn unfit(unfit: prepare::Unfit, policy: &Policy, population: &Population) -> Unfit {
    match unfit {
        prepare::Unfit::OutOfReach(message) => Unfit::out_of_reach(message),
        prepare::Unfit::Refused(message) => Unfit::refused(message),
        prepare::Unfit::Invalid(message) => Unfit::invalid(message),
        prepare::Unfit::NoVictim(message) => Unfit::no_victim(message),
        none @ prepare::Unfit::NoneMeant(_) => match barred(policy, population).as_slice() {
            [] => Unfit::no_victim(none.to_string()),
            // What is meant may be there: nobody has looked.
            [(_, first), others @ ..] => {
                let others =
                    if others.is_empty() { String::new() } else { format!(" ({} more like it)", others.len()) };
                Unfit::refused(format!("no pod may be killed; {}: {}{others}", first.exclusion.as_str(), first.message))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chaos_core::verdict::ExitCode;
    use tokio::sync::watch;

    use super::super::Hold;
    use super::super::fixture::{Server, run};
    use super::*;

    #[tokio::test]
    async fn a_permission_that_is_missing_may_be_told_too_early_and_a_stop_is_not() {
        let backing = || Server::start().backing();
        let held = |by| {
            let hold = Some(Hold { by, message: "why".to_owned() });
            Backing { hold: watch::channel(hold).1, ..backing() }
        };
        let lacking = Backing { lacks: Arc::new(|_| Some("the operator may not".to_owned())), ..backing() };
        let table = [
            (held(HeldBy::Nobody), ExitCode::OutOfReach, true),
            (held(HeldBy::Permissions), ExitCode::Refused, true),
            (lacking, ExitCode::Refused, true),
            (held(HeldBy::Others), ExitCode::Refused, false),
        ];
        for (number, (backing, exit_code, may_pass)) in table.into_iter().enumerate() {
            let unfit = survey(&backing, &run("30s"), 7).await.expect_err("nothing can be run");
            assert_eq!((unfit.exit_code, unfit.may_pass()), (exit_code, may_pass), "{number}: {unfit:?}");
        }
    }
}
