//! The world of a GameDay: carries out what `chaos_core::gameday` decides. It makes ExperimentRuns, looks at them, asks them to
//! end and deletes them, and it asks named metrics sources; it never touches a pod. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::api::{ExperimentRef, ExperimentRun, ExperimentRunSpec, GameDay, GameDayStatus, labels};
use chaos_core::condition::is_true;
use chaos_core::gameday::{
    Facts, GameDayAction, GameDayMachine, GameDayResponse, GameDayView, LONGEST_WAIT, Ledger, NotCreated, RunFact,
    RunOrder, RunOutcome, update_conditions, write_ledger,
};
use chaos_core::model::MetricQuestion;
use chaos_core::verdict::Conclusion;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Resource as _, ResourceExt as _};
use serde::Deserialize as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::asker::Asker;
use crate::clock::steady;
use crate::drive::World;
use crate::kube::{CallError, Caller, Clients, Shallow, StatusDesk, StoreError, done, told};
use crate::run::operated::Hold;
use crate::sources::Sources;

/// Values that were heard within this are of about the same time.
const TOGETHER: Duration = Duration::from_secs(5);

/// Tells people what becomes of a game day.
pub trait GameDayTeller: Send + Sync {
    /// Its status was written.
    fn changed(&self, day: &GameDay, before: &GameDayStatus, after: &GameDayStatus);
}

/// What the world of a game day is made of.
pub struct GameDayParts {
    /// The cluster.
    pub clients: Clients,
    /// The game day as it was when its machine was made.
    pub day: GameDay,
    /// Why its spec is not valid, if it is not.
    pub invalid: Option<String>,
    /// Its status.
    pub desk: StatusDesk<GameDay>,
    /// Why nothing may be started at present, if so.
    pub hold: watch::Receiver<Option<Hold>>,
    /// Who may be asked for error budgets.
    pub sources: Arc<Sources>,
    /// Where it is told besides the status.
    pub teller: Arc<dyn GameDayTeller>,
}

/// The world of one game day.
pub struct GameDayWorld {
    parts: GameDayParts,
    asker: Asker,
    owner: OwnerReference,
    /// What the conditions say of the hold.
    said: Said,
    /// Cancelled when this process does not drive the game day any more.
    fenced: CancellationToken,
    /// When the last step was taken, by a clock that may be set and by one that cannot be.
    stepped: (Timestamp, Instant),
}

/// What the conditions say of the hold, as far as this process wrote them.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Of(Option<String>),
}

impl GameDayWorld {
    /// The world of this game day.
    pub fn new(parts: GameDayParts) -> Self {
        let owner = parts.day.controller_owner_ref(&()).unwrap_or_default();
        let asker = Asker::new(parts.sources.clone(), &parts.day.namespace().unwrap_or_default());
        let stepped = (Timestamp::now(), Instant::now());
        Self { parts, asker, owner, said: Said::Nothing, fenced: CancellationToken::new(), stepped }
    }

    /// Cancelled when somebody else drives it, or it is gone.
    pub fn fenced(&self) -> CancellationToken {
        self.fenced.clone()
    }

    fn namespace(&self) -> String {
        self.parts.day.namespace().unwrap_or_default()
    }

    fn runs(&self, client: &kube::Client) -> Api<ExperimentRun> {
        Api::namespaced(client.clone(), &self.namespace())
    }

    fn hold(&mut self) -> Option<String> {
        self.parts.hold.borrow_and_update().as_ref().map(|hold| hold.message.clone())
    }

    async fn write(&mut self, ledger: Option<&Ledger>) -> Result<(), StoreError> {
        let hold = self.hold();
        let facts = Facts {
            generation: self.parts.day.metadata.generation,
            invalid: self.parts.invalid.clone(),
            hold: hold.clone(),
            now: Timestamp::now(),
        };
        let written = self.parts.desk.update(|status| {
            if let Some(ledger) = ledger {
                write_ledger(ledger, status);
            }
            update_conditions(status, &facts);
        });
        let (before, after) = written.await?;
        self.said = Said::Of(hold);
        self.parts.teller.changed(&self.parts.day, &before, &after);
        Ok(())
    }

    /// A run of this very game day; `None`: there is none of that name, or it is somebody else's.
    async fn find(&self, name: &str) -> Result<Option<Found>, CallError> {
        Ok(self.read(name).await?.filter(|run| self.is_ours(run)))
    }

    /// The run of that name, whoever's it is.
    async fn read(&self, name: &str) -> Result<Option<Found>, CallError> {
        let reads = Caller::new(self.parts.clients.read.clone());
        let path = format!("{}/{name}", ExperimentRun::url_path(&(), Some(&self.namespace())));
        let Some(found) = reads.find::<Shallow>(&path).await? else { return Ok(None) };
        let metadata = ObjectMeta::deserialize(&found.object["metadata"])
            .map_err(|error| CallError::Lost { what: format!("read {path}"), message: error.to_string() })?;
        Ok(Some(Found { metadata, run: found.understood().ok() }))
    }

    fn is_ours(&self, run: &Found) -> bool {
        run.metadata.owner_references.iter().flatten().any(|owner| owner.uid == self.owner.uid)
    }

    async fn look(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, RunFact>, String> {
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(run) = self.find(name).await.map_err(|error| error.to_string())? {
                found.insert(name.clone(), run.fact());
            }
        }
        Ok(found)
    }

    /// One value for each question, all asked at once. The first that is not known makes all of them unknown. Where one took its time
    /// those that were there long before are asked once more, so that all are of about the same time.
    async fn ask(&self, questions: &[MetricQuestion]) -> GameDayResponse {
        let mut heard = join_all(questions.iter().map(|question| self.hear(question))).await;
        if heard.iter().all(|(value, _)| value.is_ok()) {
            let old = heard.iter_mut().zip(questions).filter(|((_, at), _)| at.elapsed() > TOGETHER);
            join_all(old.map(|(heard, question)| async move { *heard = self.hear(question).await })).await;
        }
        let age = heard.iter().map(|(_, at)| at.elapsed()).max().unwrap_or_default();
        GameDayResponse::Answered { values: heard.into_iter().map(|(value, _)| value).collect(), age }
    }

    /// The value of a question, and when it was heard.
    async fn hear(&self, question: &MetricQuestion) -> (Result<f64, String>, Instant) {
        let value = self.asker.value(question).await;
        (value.map_err(|why| format!("source {}: {why}", question.source)), Instant::now())
    }

    async fn create(&self, order: RunOrder) -> Result<String, NotCreated> {
        let RunOrder { name, experiment, overrides, mode, execution, deadline } = order;
        let (since, instant) = self.stepped;
        if steady(Timestamp::now(), since, instant.elapsed()) > deadline {
            return Err(NotCreated::Unclear("it was decided too long ago".to_owned()));
        }
        let spec = ExperimentRunSpec {
            experiment_ref: Some(ExperimentRef { name: experiment.clone() }),
            experiment: None,
            mode,
            overrides,
            approval: None,
            control: None,
        };
        let mut run = ExperimentRun::new(&name, spec);
        run.metadata.namespace = Some(self.namespace());
        run.metadata.owner_references = Some(vec![self.owner.clone()]);
        run.labels_mut().insert(labels::GAME_DAY.to_owned(), self.parts.day.name_any());
        run.labels_mut().insert(labels::EXECUTION.to_owned(), execution);
        run.labels_mut().insert(labels::EXPERIMENT.to_owned(), experiment);
        let writes = Caller::new(self.parts.clients.write.clone());
        let path = ExperimentRun::url_path(&(), Some(&self.namespace()));
        match writes.create::<ExperimentRun>(&path, &run).await {
            Ok(run) => Ok(run.uid().unwrap_or_default()),
            Err(error) if error.is_conflict() => match self.read(&name).await {
                Ok(Some(run)) if self.is_ours(&run) => Ok(run.metadata.uid.unwrap_or_default()),
                Ok(Some(_)) => Err(NotCreated::Refused(format!("an ExperimentRun {name} of somebody else is there"))),
                // It is not the name that was in conflict: a quota that somebody else used at the same time, for one.
                Ok(None) => Err(NotCreated::Unclear(error.to_string())),
                Err(error) => Err(NotCreated::Unclear(error.to_string())),
            },
            Err(error) => Err(not_created(&error)),
        }
    }

    async fn abort(&self, name: &str) -> Result<(), String> {
        let run = self.find(name).await.map_err(|error| error.to_string())?;
        let Some(run) = run.filter(|run| !run.ends()) else { return Ok(()) };
        // The UID makes the server refuse to patch another run of that name.
        let patch = serde_json::json!({"metadata": {"uid": run.metadata.uid}, "spec": {"control": {"abort": true}}});
        let patched =
            self.runs(&self.parts.clients.write).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        done(patched).map_err(|error| told(&error))
    }

    async fn delete(&self, name: &str, uid: Option<String>) -> Result<(), String> {
        let run = self.find(name).await.map_err(|error| error.to_string())?;
        let Some(run) = run.filter(|run| uid.is_none() || run.metadata.uid == uid) else { return Ok(()) };
        let preconditions = Some(Preconditions { uid: run.metadata.uid, resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        done(self.runs(&self.parts.clients.write).delete(name, &params).await).map_err(|error| told(&error))
    }
}

/// A run that is there. One that cannot be read, as another version wrote it, is not over by anything that it says: its step has an
/// end all the same, and it can be deleted. Nor does it keep others from being seen.
struct Found {
    metadata: ObjectMeta,
    /// `None`: it cannot be read.
    run: Option<ExperimentRun>,
}

impl Found {
    fn fact(&self) -> RunFact {
        RunFact { uid: self.metadata.uid.clone().unwrap_or_default(), over: self.run.as_ref().and_then(outcome) }
    }

    /// Whether it is over, or was asked to end.
    fn ends(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.is_aborted() || outcome(run).is_some())
    }
}

/// What came out of a run, once it is over.
fn outcome(run: &ExperimentRun) -> Option<RunOutcome> {
    let status = run.status.as_ref().filter(|status| is_true(&status.conditions, "Complete"))?;
    status.verdict.as_ref().map(|verdict| RunOutcome {
        outcome: Conclusion::read(&verdict.outcome),
        reason: verdict.reason_code.clone(),
        message: verdict.reason_text.clone(),
    })
}

/// What an error says about a run that was to be created. (A conflict says that something of its name is there.)
pub fn not_created(error: &CallError) -> NotCreated {
    let why = error.to_string();
    if error.is_passing() {
        NotCreated::Unclear(why)
    } else if error.is_turned_away() && !error.is_namespace_terminating() {
        NotCreated::Forbidden(why)
    } else {
        NotCreated::Refused(why)
    }
}

impl World<GameDayMachine> for GameDayWorld {
    type Error = StoreError;

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn view(&mut self) -> GameDayView {
        self.stepped = (Timestamp::now(), Instant::now());
        let hold = self.hold();
        if self.said != Said::Of(hold.clone()) {
            match self.write(None).await {
                Ok(()) => {}
                Err(StoreError::Gone | StoreError::Fenced) => self.fenced.cancel(),
                Err(error) => tracing::debug!(%error, "conditions of a game day could not be written"),
            }
        }
        GameDayView { hold }
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), StoreError> {
        self.write(Some(ledger)).await
    }

    async fn perform(&mut self, action: GameDayAction) -> GameDayResponse {
        match action {
            GameDayAction::Look(runs) => GameDayResponse::Seen(self.look(&runs).await),
            GameDayAction::Ask(_, questions) => self.ask(&questions).await,
            GameDayAction::Create(order) => GameDayResponse::Created(self.create(*order).await),
            GameDayAction::Abort(run) => GameDayResponse::Done(self.abort(&run).await),
            GameDayAction::Delete { run, uid } => GameDayResponse::Done(self.delete(&run, uid).await),
        }
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        // The clock may have been set back since it was decided how long to wait.
        let span = until.map_or(LONGEST_WAIT, |until| {
            Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default().min(LONGEST_WAIT)
        });
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            changed = self.parts.hold.changed() => {
                if changed.is_err() {
                    // Nobody can say any more whether anything may be started: this process ends.
                    tokio::time::sleep(span).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
