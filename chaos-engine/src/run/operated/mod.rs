//! A run on behalf of the operator: carries out what `chaos_core::operated` decides. Its memory is the status of the
//! ExperimentRun and the evidence that the run owns, so another process can go on where this one was lost. It kills and judges;
//! what is measured comes from a prober, through ConfigMaps, and it never fetches an address that a manifest names.
//!
//! ```text
//! world ── OperatedRun's world: status writes, and what each action means
//!   ├ survey ── who may be killed, on fresh reads
//!   ├ live ── what the actions of the phases mean
//!   ├ link ── the prober's reports and the offset of its clock, which is the clock of the record
//!   ├ ledger ── the operator's own row of the evidence
//!   ├ killer ── the run's own killer (podKill) or its ChaosMonkey; before ── kills that another process made
//!   └ given_up ── who killed for a run that ends without having been taken up
//! ```

mod before;
#[cfg(test)]
mod fixture;
mod given_up;
mod killer;
mod ledger;
mod link;
mod live;
mod patience;
mod survey;
mod world;

use std::sync::Arc;

use chaos_core::api::{ExperimentRun, ExperimentRunStatus, KillRecord, SkipRecord};
use chaos_core::digest::sha256_hex;
use chaos_core::model::{Experiment, Run};
use chaos_core::record::{Event, Started};
use chaos_core::validate::{Meta, recorded_run};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::chunks::{ChunkReader, ReadError, Role, RunKey};
use crate::kube::{Caller, Clients};

pub use given_up::let_rest;
pub(super) use killer::KeptKiller;
pub use live::digest;
pub use world::OperatedWorld;

/// Why a process may not do what an experiment takes, if so.
pub type Lacks = Arc<dyn Fn(&Experiment) -> Option<String> + Send + Sync>;

/// What an operator brings along for its runs.
#[derive(Clone)]
pub struct Backing {
    /// The cluster.
    pub clients: Clients,
    /// The operator's own namespace: never a target, and it carries the environment label.
    pub operator_namespace: String,
    /// Who this is, for people.
    pub identity: String,
    /// Which process this is.
    pub instance: String,
    /// SHA-256 of its program, in hex; absent where it is not known.
    pub tool_digest: Option<String>,
    /// Why nothing may be killed at present, if so.
    pub hold: watch::Receiver<Option<Hold>>,
    /// Why this process may not do what an experiment takes, beyond what every run takes.
    pub lacks: Lacks,
    /// Where kills, and what becomes of the run, are told besides record and status.
    pub announcer: Arc<dyn Announcer>,
}

/// Why nothing may be killed at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// By whose word.
    pub by: HeldBy,
    /// The facts, for people.
    pub message: String,
}

/// By whose word nothing may be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBy {
    /// Nobody's: it is not known yet whether anything may be.
    Nobody,
    /// The API server's, of which this process has not all the permissions that it takes.
    Permissions,
    /// Somebody's, or a schema's that is not ours.
    Others,
}

/// Tells people what happens to pods, and what becomes of runs.
pub trait Announcer: Send + Sync {
    /// A kill call was answered.
    fn killed(&self, run: &ExperimentRun, kill: &KillRecord);
    /// A strike did not happen.
    fn skipped(&self, run: &ExperimentRun, skip: &SkipRecord);
    /// The status of the run was written.
    fn changed(&self, run: &ExperimentRun, before: &ExperimentRunStatus, after: &ExperimentRunStatus);
}

/// The run that is under way, as its evidence tells it: its objects may have been changed or deleted since it began.
pub async fn recorded(read: Caller, object: &ExperimentRun) -> Result<Option<Run>, ReadError> {
    let meta = Meta::from(&object.metadata);
    let mut reader = ChunkReader::new(read, key_of(&meta), Role::Operator);
    let Some(chunk) = reader.next().await? else { return Ok(None) };
    let Some(Event::Started(started)) = chunk.events.first() else { return Ok(None) };
    let digest = object.status.as_ref().and_then(|status| status.resolved.as_ref());
    let digest = digest.map_or("", |resolved| resolved.experiment_digest.as_str());
    Ok(recorded_run(&started.manifest, &object.spec, &meta, digest))
}

/// How a record of this run begins. `prober`: SHA-256 of the program that measures, in hex, if it is known.
fn started(backing: &Backing, run: &Run, seed: i64, started_at: Timestamp, prober: Option<String>) -> Started {
    let mut environment = vec![("driven by".to_owned(), backing.identity.clone())];
    environment.extend(prober.map(|digest| ("program of the prober".to_owned(), format!("sha256 {digest}"))));
    Started {
        run_id: run.uid.clone(),
        started_at,
        tool_digest: backing.tool_digest.clone(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        manifest: run.manifest.clone(),
        experiment: run.experiment.name.clone(),
        manifest_source: format!("ExperimentRun {}/{}", run.namespace, run.name),
        manifest_digest: sha256_hex(run.manifest.as_bytes()),
        seed,
        attempt: 1,
        cluster: "in-cluster".to_owned(),
        environment,
    }
}

fn key(run: &Run) -> RunKey {
    RunKey { namespace: run.namespace.clone(), name: run.name.clone(), uid: run.uid.clone() }
}

fn key_of(meta: &Meta) -> RunKey {
    RunKey { namespace: meta.namespace.clone(), name: meta.name.clone(), uid: meta.uid.clone() }
}

#[cfg(test)]
mod tests {
    use chaos_core::api::labels;
    use chaos_core::validate;
    use chaos_core::verdict::JudgeSpec;
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;
    use crate::journal::Redactor;

    #[tokio::test]
    async fn a_run_is_taken_up_by_its_record_whatever_was_hidden_in_it() {
        let (object, run) = fixture::changed_run(|experiment| {
            let http = &mut experiment["probes"][0]["http"];
            let bearer =
                "Bearer very-secret, and as long as tokens are: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0";
            http["headers"] = json!({"Authorization": bearer, "Token": "very-secret", "accept": "*/*"});
            http["method"] = json!("POST");
            http["body"] = json!("{\"client_secret\": \"very-secret\",\n \"id\": \"{{uuid}}\"}\n");
            http["success"] = json!({"headers": {"set-cookie": {"exists": true}}});
            http["extract"] = json!({"access_token": {"jsonPath": "$.access_token"}});
            http["then"] = json!([{"path": "/me?token=very-secret"}]);
            experiment["target"]["workloads"][0]["name"] = json!("user-auth");
        });
        let redactor = Redactor::of(&run.experiment.probes);
        redactor.check(&run.manifest, &run.experiment).unwrap();
        let begun = started(&fixture::Server::start().backing(), &run, 7, Timestamp::UNIX_EPOCH, None);
        let Event::Started(recorded) = redactor.event(Event::Started(Box::new(begun))) else { panic!("no start") };
        assert!(!recorded.manifest.contains("very-secret"), "{}", recorded.manifest);
        let again = recorded_run(&recorded.manifest, &object.spec, &Meta::from(&object.metadata), &run.digest).unwrap();
        assert_eq!(JudgeSpec::from(&again.experiment), JudgeSpec::from(&run.experiment));
        assert_eq!((&again.experiment.target, &again.digest), (&run.experiment.target, &run.digest));
    }

    #[tokio::test]
    async fn a_record_calls_the_experiment_as_its_run_says_when_it_begins() {
        let (backing, (mut object, unnamed)) = (fixture::Server::start().backing(), fixture::changed_run(|_| ()));
        let begin = |run: &Run| started(&backing, run, 7, Timestamp::UNIX_EPOCH, None);
        // As every run was before there was such a label.
        assert_eq!(begin(&unnamed).experiment, "r");
        object.labels_mut().insert(labels::EXPERIMENT.to_owned(), "gateway-answers".to_owned());
        let run = validate::run(&object, None).unwrap();
        assert_eq!(run.digest, unnamed.digest, "it is the same that is run, and that was approved");
        let begun = begin(&run);
        assert_eq!(
            (begun.experiment.as_str(), begun.manifest_source.as_str()),
            ("gateway-answers", "ExperimentRun shop/r")
        );
        // Labels can be changed, and what was recorded cannot.
        for label in ["another", "No Name"] {
            object.labels_mut().insert(labels::EXPERIMENT.to_owned(), label.to_owned());
            let meta = Meta::from(&object.metadata);
            let again = recorded_run(&begun.manifest, &object.spec, &meta, &run.digest).unwrap();
            assert_eq!((again.experiment, again.name.as_str()), (run.experiment.clone(), "r"), "{label}");
        }
    }

    #[tokio::test]
    async fn a_record_names_the_programs_that_made_it() {
        let (backing, run) = (fixture::Server::start().backing(), fixture::run("30s"));
        let begun = |backing: &Backing, prober: Option<&str>| {
            started(backing, &run, 7, Timestamp::UNIX_EPOCH, prober.map(str::to_owned))
        };
        let driven = ("driven by".to_owned(), "operator".to_owned());
        let measured = ("program of the prober".to_owned(), "sha256 cafe".to_owned());
        let record = begun(&backing, Some("cafe"));
        assert_eq!(
            (record.tool_digest.as_deref(), record.environment),
            (Some("facade"), vec![driven.clone(), measured])
        );
        let record = begun(&Backing { tool_digest: None, ..backing }, None);
        assert_eq!((record.tool_digest, record.environment), (None, vec![driven]));
    }
}
