//! Before a run touches anything: reads the cluster, finds out who may be killed, and where each probe's answers come from.
//! Reads only. What speaks against a run is told with the reason, by kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chaos_core::api::ChaosMonkey;
use chaos_core::eligible::{Exclusion, Judged, eligible};
use chaos_core::killer::Scope;
use chaos_core::model::{Experiment, Fault, Policy};
use chaos_core::plan;
use chaos_core::population::{Population, SwitchState};
use chaos_core::record::{Event, Excluded, RunTime};
use kube::Api;
use kube::api::ListParams;

use crate::kube::{Caller, Clients, Environment, PopulationReader, is_forbidden, told};
use crate::probe::preflight::{Plans, PreflightError, Reach};
use crate::probe::{Access, AlertLook, ProbePlan};

/// A run that may start.
#[derive(Debug)]
pub struct Prepared {
    /// What was read.
    pub population: Arc<Population>,
    /// The probes, each with an address that answers.
    pub probes: Vec<ProbePlan>,
    /// The alerts that guard the run, none of which fires.
    pub guards: Vec<AlertLook>,
    /// What could not be found out about the probes, for a person.
    pub notes: Vec<String>,
    eligible: Vec<String>,
    excluded: Vec<Excluded>,
}

/// Why a run may not start.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The cluster, a Service or a metrics source is out of reach, or the operator is not installed.
    #[error("{0}")]
    OutOfReach(String),
    /// What it asks for cannot be: a rate without samples, a guard without a rule.
    #[error("{0}")]
    Invalid(String),
    /// A safety rule refuses it.
    #[error("{0}")]
    Refused(String),
    /// Nobody may be killed, though no safety rule stands in the way.
    #[error("{0}")]
    NoVictim(String),
    /// The target means no pod. What it hints at, a plan tells itself.
    #[error("{0}; hint: `chaos plan`")]
    NoneMeant(String),
}

/// Where things are that the experiment's file does not say.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The environment of this context by the configuration; absent: the label of the operator's namespace counts.
    pub environment: Option<String>,
    /// Prometheus sources, by name.
    pub prometheus: BTreeMap<String, Access>,
}

/// Finds out whether the experiment can be run on this cluster.
pub async fn prepare(clients: &Clients, around: &Surroundings, experiment: &Experiment) -> Result<Prepared, Unfit> {
    let population = Arc::new(read_population(clients, around, experiment).await?);
    prepare_on(clients, around, experiment, population).await
}

/// The same on a population that was read before.
pub async fn prepare_on(
    clients: &Clients,
    around: &Surroundings,
    experiment: &Experiment,
    population: Arc<Population>,
) -> Result<Prepared, Unfit> {
    if matches!(experiment.fault, Fault::Monkey(_)) {
        operator_is_there(clients, experiment).await?;
    }
    refuse_stopped(&population)?;
    let policy = Policy::cli(experiment.namespace.clone());
    let (chosen, excluded) = candidates(experiment, &policy, &population)?;
    let reach = Reach { client: Some(clients.read.clone()), prometheus: around.prometheus.clone(), ..Reach::default() };
    let Plans { probes, notes } = reach.plans(&experiment.probes).await.map_err(not_ready)?;
    let guards = reach.guards(&experiment.guards).await.map_err(not_ready)?;
    Ok(Prepared { population, probes, guards, notes, eligible: chosen, excluded })
}

/// The pods that may be killed, by UID, and those that may not, with the namespaces of which none is known; an error if nobody may
/// be.
pub(super) fn candidates(
    experiment: &Experiment,
    policy: &Policy,
    population: &Population,
) -> Result<(Vec<String>, Vec<Excluded>), Unfit> {
    let judged = eligible(&experiment.target, policy, population, population.taken_at);
    let chosen: Vec<String> = judged.iter().filter(|j| j.is_eligible()).map(|j| j.pod.uid.clone()).collect();
    if chosen.is_empty() {
        return Err(no_victim(&judged, experiment, population));
    }
    let pods = judged.iter().filter(|j| !j.is_eligible()).map(excluded);
    Ok((chosen, pods.chain(plan::excluded_namespaces(policy, population)).collect()))
}

/// The namespaces of those who may be killed.
pub(super) fn namespaces_of(eligible: &[String], population: &Population) -> Vec<String> {
    let chosen = population.pods.iter().filter(|pod| eligible.contains(&pod.uid));
    let names: BTreeSet<String> = chosen.map(|pod| pod.namespace.clone()).collect();
    names.into_iter().collect()
}

/// Reads the population that an experiment is about.
pub async fn read_population(
    clients: &Clients,
    around: &Surroundings,
    experiment: &Experiment,
) -> Result<Population, Unfit> {
    let environment = match &around.environment {
        Some(known) => Environment::Known(Some(known.clone())),
        None => Environment::LabelOf(chaos_core::api::switch::NAMESPACE.to_owned()),
    };
    let reader = PopulationReader::new(Caller::new(clients.read.clone()), &experiment.target, environment);
    reader
        .read(&Scope::Target)
        .await
        .map_err(|error| unread(error.is_forbidden(), format!("failed to read the cluster: {error}")))
}

impl Prepared {
    /// The event that tells what was planned on.
    pub fn planned(&self, at: RunTime) -> Event {
        let (eligible, excluded) = (self.eligible.clone(), self.excluded.clone());
        Event::Planned { at, population: Box::new((*self.population).clone()), eligible, excluded }
    }

    /// The namespaces of those who may be killed.
    pub fn namespaces(&self) -> Vec<String> {
        namespaces_of(&self.eligible, &self.population)
    }
}

/// A run-owned monkey is of no use where nobody reconciles it.
async fn operator_is_there(clients: &Clients, experiment: &Experiment) -> Result<(), Unfit> {
    let monkeys: Api<ChaosMonkey> = Api::namespaced(clients.read.clone(), &experiment.namespace);
    match monkeys.list(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            Err(Unfit::OutOfReach("the cluster serves no ChaosMonkeys; hint: `chaos install`".to_owned()))
        }
        Err(error) => {
            let text = format!("failed to list ChaosMonkeys in {}: {}", experiment.namespace, told(&error));
            Err(unread(is_forbidden(&error), text))
        }
    }
}

/// Why something of the cluster could not be read: a missing permission is a refusal, which waiting does not end.
fn unread(is_forbidden: bool, text: String) -> Unfit {
    if is_forbidden {
        Unfit::Refused(format!("{text}; hint: docs/permissions.md says what is needed"))
    } else {
        Unfit::OutOfReach(text)
    }
}

fn refuse_stopped(population: &Population) -> Result<(), Unfit> {
    let state = match population.switch {
        SwitchState::Running | SwitchState::Missing => return Ok(()),
        SwitchState::Stopped => "says stop",
        SwitchState::Unreadable => "cannot be read",
    };
    Err(Unfit::Refused(format!("the stop switch of the cluster {state}; hint: `chaos resume --all`")))
}

/// Nobody may be killed: a safety rule's doing if it excludes pods that the target means, else the target's.
fn no_victim(judged: &[Judged<'_>], experiment: &Experiment, population: &Population) -> Unfit {
    let meant = judged.iter().filter(|j| !j.reasons.iter().any(|reason| reason.exclusion.is_aim()));
    let first: Option<&Judged<'_>> = meant.clone().next();
    let Some(first) = first else {
        let missing = plan::missing(&experiment.target, population, &[]);
        let missing: String = missing.iter().map(|one| format!(", {one}")).collect();
        return Unfit::NoneMeant(format!("no pod is meant by the target ({} looked at){missing}", judged.len()));
    };
    let why = first
        .reasons
        .first()
        .map_or_else(String::new, |reason| format!("{}: {}", reason.exclusion.as_str(), reason.message));
    let namespace = &first.pod.namespace;
    let hint = match first.reasons.first() {
        Some(reason) if reason.exclusion == Exclusion::NamespaceStopped => {
            format!("; hint: `chaos resume -n {namespace}`")
        }
        _ => String::new(),
    };
    let text = format!(
        "no pod may be killed; {} of {} meant, {namespace}/{}: {why}{hint}",
        meant.clone().count(),
        judged.len(),
        first.pod.name
    );
    if meant.clone().all(|j| j.reasons.iter().all(|reason| reason.exclusion.may_pass())) {
        Unfit::NoVictim(text)
    } else {
        Unfit::Refused(text)
    }
}

fn excluded(judged: &Judged<'_>) -> Excluded {
    let first = judged.reasons.first();
    let all: Vec<&str> = judged.reasons.iter().map(|reason| reason.message.as_str()).collect();
    Excluded {
        pod: format!("{}/{}", judged.pod.namespace, judged.pod.name),
        uid: judged.pod.uid.clone(),
        reason: first.map_or_else(String::new, |reason| reason.exclusion.as_str().to_owned()),
        message: all.join("; "),
    }
}

fn not_ready(error: PreflightError) -> Unfit {
    let text = error.to_string();
    match error {
        PreflightError::FewScrapes { .. } | PreflightError::NoRule { .. } => Unfit::Invalid(text),
        PreflightError::Firing { .. } => Unfit::Refused(text),
        PreflightError::Service { source, .. } => unread(is_forbidden(&source), text),
        _ => Unfit::OutOfReach(text),
    }
}
