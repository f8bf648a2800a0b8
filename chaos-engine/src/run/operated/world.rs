//! The world of an operated run: what its step function sees, and what its actions mean. Decides nothing.

use std::sync::Arc;
use std::time::Duration;

use chaos_core::api::{ExperimentRun, ProberStage, ProbingOrder, ResolvedRun, RunControl, RunVerdict};
use chaos_core::model::{Fault, Run};
use chaos_core::operated::{
    Facts, OperatedAction, OperatedResponse, OperatedRun, OperatedView, Record, RecordLoss, Stage, Unfit,
    evidence_lost, fit, leaving, of_result, order_of, summarise, update_conditions, write_record,
};
use chaos_core::record::{Event, StopCause};
use chaos_core::run::RunState;
use chaos_core::verdict::{JudgeSpec, judge};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::given_up::let_rest;
use super::ledger::OwnRow;
use super::link::Link;
use super::live::{Live, LiveParts};
use super::survey::{Survey, survey};
use super::{Backing, patience};
use crate::chunks::{ReadError, WriteError};
use crate::clock::RunClock;
use crate::drive::World;
use crate::journal::Redactor;
use crate::kube::{Caller, StatusDesk, StoreError};
use crate::recorder::Recorder;

/// How long is waited where the machine names no instant.
const WAIT: Duration = Duration::from_secs(1);

/// The world of one operated run.
pub struct OperatedWorld {
    backing: Backing,
    run: Arc<Run>,
    seed: i64,
    desk: StatusDesk<ExperimentRun>,
    /// The newest version of the object that the watch has brought.
    object: watch::Receiver<Arc<ExperimentRun>>,
    link: Link,
    survey: Option<Survey>,
    live: Option<Live>,
    /// Where the run is, as it was last saved, be it by a process that is gone.
    stage: Stage,
    /// Cancelled when this process does not drive the run any more.
    fenced: CancellationToken,
}

impl OperatedWorld {
    /// The world of this run. `seed` is the one in force unless the run was resolved with another before; `stage` is where it was
    /// left: nothing is saved again before it changes, and what is looked at depends on it from the first step on.
    pub fn new(
        backing: Backing,
        run: Run,
        seed: i64,
        desk: StatusDesk<ExperimentRun>,
        object: watch::Receiver<Arc<ExperimentRun>>,
        stage: Stage,
    ) -> Self {
        let run = Arc::new(run);
        let reads = Caller::new(backing.clients.read.clone());
        let key = super::key(&run);
        let link = Link::open(reads, key, Arc::new(run.experiment.clone()), desk.clone());
        Self {
            backing,
            run,
            seed,
            desk,
            object,
            link,
            survey: None,
            live: None,
            stage,
            fenced: CancellationToken::new(),
        }
    }

    /// Cancelled when somebody else drives the run, or it is gone: then there is nothing to be done here any more.
    pub fn fenced(&self) -> CancellationToken {
        self.fenced.clone()
    }

    /// Lets a killer finish what it has in hand, and writes what was recorded: another process goes on from there.
    pub async fn leave(&mut self) {
        if let Some(live) = &mut self.live {
            live.leave().await;
        }
    }

    async fn resolve(&mut self) -> Result<ResolvedRun, Unfit> {
        let experiment = &self.run.experiment;
        let recordable = Redactor::of(&experiment.probes).check(&self.run.manifest, experiment);
        recordable.map_err(|error| Unfit::invalid(error.to_string()))?;
        let (survey, resolved) = survey(&self.backing, &self.run, self.seed).await?;
        self.survey = Some(survey);
        Ok(resolved)
    }

    fn recorder(&self) -> Recorder {
        Recorder::in_memory(Redactor::of(&self.run.experiment.probes))
    }

    /// Begins the record, or finds that it was begun before.
    async fn begin(&mut self) -> Result<(), RecordLoss> {
        if let Some(live) = &mut self.live {
            // It was begun, and may not have been written.
            let written = live.write().await;
            return written.map_err(|error| self.lost(error));
        }
        let Some(survey) = self.survey_again().await? else {
            return Err(RecordLoss::Unreached("who may be killed could not be read once more".into()));
        };
        // Whoever takes the run up here has not compared the clocks yet.
        self.link.compare_clocks().await;
        let (Some(clock), Some(started_at)) = (self.link.clock(), self.link.started_at()) else {
            return Err(RecordLoss::Unreached("the prober's clock is not known".into()));
        };
        let row = self.open_row().await?;
        if row.is_empty() {
            let prober = self.link.tool_digest();
            let started = super::started(&self.backing, &self.run, self.seed, started_at, prober);
            row.recorder().record(Event::Started(Box::new(started)));
            row.recorder().record(survey.planned());
        }
        let live = self.go_live(row, clock)?;
        self.live.insert(live).write().await.map_err(|error| self.lost(error))
    }

    /// A run that is taken up between its resolution and its beginning is read once more.
    async fn survey_again(&mut self) -> Result<Option<Survey>, RecordLoss> {
        if self.survey.is_none()
            && let Err(unfit) = self.resolve().await
        {
            let unreached = unfit.may_pass();
            return Err(if unreached { RecordLoss::Unreached(unfit.message) } else { RecordLoss::Lost(unfit.message) });
        }
        Ok(self.survey.clone())
    }

    /// Begins to watch what this row records, by the clock of the prober.
    fn go_live(&self, row: OwnRow, clock: RunClock) -> Result<Live, RecordLoss> {
        let parts = LiveParts {
            backing: self.backing.clone(),
            run: self.run.clone(),
            seed: self.seed,
            desk: self.desk.clone(),
            object: self.object.clone(),
            // A run may wait for its approval for days, and nobody has to stay awake for that.
            clock: clock.rested(),
            slack: self.link.slack(),
            row,
        };
        Live::start(parts).map_err(RecordLoss::Lost)
    }

    async fn open_row(&self) -> Result<OwnRow, RecordLoss> {
        let key = super::key(&self.run);
        let row = OwnRow::open(&self.backing.clients, key, &self.backing.instance, self.recorder()).await;
        row.map_err(|error| match error {
            ReadError::Call(error) => RecordLoss::Unreached(error.to_string()),
            damaged @ ReadError::Damaged { .. } => RecordLoss::Lost(damaged.to_string()),
        })
    }

    /// Takes up a run that another process drove before.
    async fn take_up(&mut self) -> Result<(), RecordLoss> {
        if self.live.is_some() || self.stage == Stage::Running(RunState::New) {
            return Ok(());
        }
        let row = self.open_row().await?;
        if row.is_empty() {
            return Err(RecordLoss::Lost("there is none, though the run was under way".into()));
        }
        // What is judged must not hang on how far it was read by now.
        if !self.link.catch_up().await {
            return Err(RecordLoss::Unreached("what the prober told could not be read".into()));
        }
        let clock = self.link.find_clock(&row.recorder().events()).await;
        if row.is_torn() {
            let text = "whoever drove the run before was lost while it wrote: what it saw last may be missing";
            row.recorder().record(Event::Note { at: clock.now(), text: text.to_owned() });
        }
        self.live = Some(self.go_live(row, clock)?);
        Ok(())
    }

    async fn judge(&mut self) -> RunVerdict {
        let Some(live) = &mut self.live else {
            return evidence_lost("nothing of it is there");
        };
        live.take_news(&self.link);
        let spec = JudgeSpec::from(&self.run.experiment);
        let (events, digest) = live.finish(&spec).await;
        let result = judge(&spec, &events);
        let summed = self.desk.update(|status| {
            summarise(&result, status);
            let evidence = status.evidence.get_or_insert_default();
            evidence.digest.clone_from(&digest);
            fit(status);
        });
        if let Err(error) = summed.await {
            self.note_store(error);
        }
        of_result(&result.verdict)
    }

    /// Why evidence could not be written, as the machine needs it. A row that somebody else writes means that we do not drive.
    fn lost(&mut self, error: WriteError) -> RecordLoss {
        // The machine has more patience with a record that is out of reach than anybody has with one that is refused.
        let refused = self.live.as_ref().filter(|_| error.is_forbidden()).and_then(Live::unkept);
        match (error, refused) {
            (WriteError::Taken, _) => {
                self.fenced.cancel();
                RecordLoss::Unreached("somebody else writes it".into())
            }
            (_, Some(refused)) => RecordLoss::Lost(refused),
            (error, None) if error.may_pass() => RecordLoss::Unreached(error.to_string()),
            (other, None) => RecordLoss::Lost(other.to_string()),
        }
    }

    fn note_store(&mut self, error: StoreError) {
        match error {
            StoreError::Gone | StoreError::Fenced => self.fenced.cancel(),
            other => tracing::warn!(error = %other, "the status of a run could not be written"),
        }
    }

    /// Whether somebody else drives the run by now, or it is gone.
    fn check_fence(&mut self) {
        if self.link.is_fenced() || self.live.as_ref().is_some_and(Live::is_fenced) {
            self.fenced.cancel();
        }
    }

    fn stop_cause(&self) -> Option<StopCause> {
        let running = matches!(&self.stage, Stage::Running(run) if *run != RunState::New);
        let lost = self.link.lost().or_else(|| self.link.ended_early()).filter(|_| running && self.load_is_on());
        let live = self.live.as_ref().and_then(Live::stop_cause);
        live.or(lost)
    }

    /// Whether the prober should be measuring.
    fn load_is_on(&self) -> bool {
        order_of(&self.stage) == Some(ProberStage::Load)
    }

    /// The record as it is told. A run that ends without having been taken up here leaves its monkey to itself: that is told to rest
    /// before anybody reads that the run is over.
    async fn given_up(&self, record: &Record) -> Record {
        let mut record = record.clone();
        if record.stage == Stage::Completed && self.stage.is_under_way() && self.live.is_none() {
            let (run, status) = (&self.run, self.desk.status().await);
            let left = let_rest(&self.backing.clients, &run.namespace, &run.uid, &status).await;
            if let Some(left) = left {
                record.verdict = record.verdict.map(|verdict| leaving(verdict, &left));
            }
        }
        record
    }

    fn order(&self, stage: &Stage, before: Option<&ProbingOrder>) -> Option<ProbingOrder> {
        let order = order_of(stage)?;
        if let Some(before) = before.filter(|before| before.order >= order) {
            return Some(before.clone());
        }
        let lasts = chaos_core::units::Duration::from(patience::of_run(&self.run.experiment));
        Some(ProbingOrder { order, beat: self.link.beat(), lasts })
    }
}

/// That somebody asked the run to end, in words.
fn asked_to_end(control: &RunControl) -> Option<String> {
    let why = control.reason.as_deref().map(str::trim).filter(|why| !why.is_empty());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    control.abort.then(|| format!("spec.control.abort{why}"))
}

impl World<OperatedRun> for OperatedWorld {
    type Error = StoreError;

    fn now(&self) -> Timestamp {
        self.live.as_ref().map_or_else(|| self.link.now(), Live::now)
    }

    async fn view(&mut self) -> OperatedView {
        let object = self.object.borrow_and_update().clone();
        let control = object.spec.control.as_ref();
        let approve = control.and_then(|control| control.approve.as_ref());
        let ours = |uid: &str| Some(uid) == object.metadata.uid.as_deref();
        let mut view = OperatedView {
            abort: control.and_then(asked_to_end),
            approved: approve.filter(|approve| ours(&approve.run_uid)).map(|approve| approve.plan_digest.clone()),
            prober: self.link.view(),
            ..OperatedView::default()
        };
        if let Some(live) = &mut self.live {
            let until = match &self.stage {
                Stage::Running(RunState::Baseline { until }) => Some(*until),
                _ => None,
            };
            // Before the news are taken in: what is told in between would end a baseline that was judged without it.
            let unmeasured = until.and_then(|until| self.link.untold_since(until));
            live.take_news(&self.link);
            view.run = live.view(until.is_some());
            view.run.unmeasured = unmeasured;
        }
        view.run.stop = self.stop_cause();
        view
    }

    async fn save(&mut self, record: &Record) -> Result<(), StoreError> {
        self.check_fence();
        if self.fenced.is_cancelled() {
            return Err(StoreError::Fenced);
        }
        let record = &self.given_up(record).await;
        let object = self.object.borrow().clone();
        let hold = self.backing.hold.borrow().clone();
        let chunks = self.live.as_ref().map(Live::chunks);
        let monkey_kills = self.live.as_ref().filter(|_| matches!(self.run.experiment.fault, Fault::Monkey(_)));
        let monkey_kills = monkey_kills.map(Live::kills);
        let now = Timestamp::now();
        let saved = self.desk.update(|status| {
            write_record(record, status, now);
            status.probing = self.order(&record.stage, status.probing.as_ref());
            if let Some((kills, skips)) = monkey_kills.filter(|_| record.stage != Stage::Completed) {
                (status.kills, status.skips) = (kills, skips);
            }
            if let Some((operator, prober)) = chunks {
                let evidence = status.evidence.get_or_insert_default();
                (evidence.operator, evidence.prober) = (operator, prober);
            }
            let hindrance = hold.as_ref().filter(|_| record.stage != Stage::Completed);
            let hindrance = hindrance.map(|hold| ("Stopped", hold.message.clone()));
            let facts = Facts { generation: object.metadata.generation, hindrance, now };
            update_conditions(record, status, &facts);
            fit(status);
        });
        let (before, after) = saved.await?;
        self.backing.announcer.changed(&object, &before, &after);
        self.stage = record.stage.clone();
        Ok(())
    }

    async fn perform(&mut self, action: OperatedAction) -> OperatedResponse {
        match action {
            OperatedAction::Resolve => OperatedResponse::Resolved(self.resolve().await),
            OperatedAction::Begin => OperatedResponse::Recorded(self.begin().await),
            OperatedAction::TakeUp => OperatedResponse::Recorded(self.take_up().await),
            OperatedAction::Run(action) => {
                if let Some(live) = &mut self.live {
                    live.perform(action, &self.link).await;
                }
                OperatedResponse::Done
            }
            OperatedAction::Judge => OperatedResponse::Judged(self.judge().await),
        }
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        self.check_fence();
        if let Some(live) = &mut self.live
            && let Err(error) = live.write_in_time().await
        {
            // It is tried again; what was lost, or is not taken for too long, is seen as a cause to stop.
            let loss = self.lost(error);
            tracing::warn!(?loss, "the record of a run could not be written");
        }
        if self.fenced.is_cancelled() {
            // Whoever tends the run listens to that, and drops this.
            std::future::pending::<()>().await;
        }
        let now = self.now();
        let span = until.map_or(WAIT, |until| Duration::try_from(until.duration_since(now)).unwrap_or_default());
        self.link.look_often(matches!(self.stage, Stage::Preparing { .. }));
        let ours = self.object.borrow().metadata.generation;
        let edited = async {
            // An error means that the object is gone: whoever tends it notices, and drops this.
            if self.object.wait_for(|now| now.metadata.generation != ours).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            () = edited => {}
            () = self.link.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use chaos_core::prober::{Reached, Report};
    use chaos_core::run::{RunAction, WindDown};
    use chaos_core::verdict::ExitCode;
    use http::StatusCode;
    use serde_json::json;

    use super::super::fixture::{self, Server};
    use super::*;
    use crate::chunks::{ChunkWriter, Role};

    #[test]
    fn who_asks_a_run_to_end_may_say_why() {
        let asked = |abort, reason: Option<&str>| {
            asked_to_end(&RunControl { abort, reason: reason.map(str::to_owned), approve: None })
        };
        assert_eq!(asked(true, Some(" the shop is slow ")).as_deref(), Some("spec.control.abort: the shop is slow"));
        assert_eq!(asked(true, Some(" ")).as_deref(), Some("spec.control.abort"));
        assert_eq!(asked(true, None).as_deref(), Some("spec.control.abort"));
        assert_eq!(asked(false, Some("why")), None);
    }

    #[tokio::test]
    async fn a_run_that_nobody_could_judge_by_its_record_is_not_begun() {
        let server = Server::start();
        let desk = server.desk().await;
        let (_watch, object) = watch::channel(Arc::new(desk.object().await));
        let mut run = fixture::run("30s");
        run.manifest = run.manifest.replace("The gateway answers", "Nobody answers");
        let mut world = OperatedWorld::new(server.backing(), run, 7, desk, object, Stage::New);
        let resolved = world.perform(OperatedAction::Resolve).await;
        let OperatedResponse::Resolved(Err(unfit)) = &resolved else { panic!("{resolved:?}") };
        assert_eq!(unfit.exit_code, ExitCode::InvalidManifest);
        assert!(unfit.message.contains("says something else") && unfit.message.contains("; hint: "), "{unfit:?}");
    }

    #[tokio::test]
    async fn a_record_that_is_refused_is_not_taken_for_begun_and_not_for_lost_before_that_has_lasted() {
        // With ten minutes of patience for a server that is silent, and with none at all.
        for max_blind in ["10m", "1ns"] {
            let server = Server::start();
            let (live, _link) = fixture::begun(&server, max_blind).await;
            let desk = server.desk().await;
            let (_watch, object) = watch::channel(Arc::new(desk.object().await));
            let run = fixture::run(max_blind);
            let mut world = OperatedWorld::new(server.backing(), run, 7, desk, object, Stage::Running(RunState::New));
            world.live = Some(live);
            server.refuse(StatusCode::FORBIDDEN);
            let begun = world.perform(OperatedAction::Begin).await;
            let OperatedResponse::Recorded(Err(loss)) = &begun else { panic!("{begun:?}") };
            assert_eq!(matches!(loss, RecordLoss::Lost(_)), max_blind == "1ns", "{loss:?}");
        }
    }

    #[tokio::test]
    async fn a_run_that_is_taken_up_is_where_it_was_left() {
        let server = Server::start();
        let (live, _link) = fixture::begun(&server, "30s").await;
        let desk = server.desk().await;
        let (_watch, object) = watch::channel(Arc::new(desk.object().await));
        let left_in = |run: RunState| {
            let (desk, object) = (desk.clone(), object.clone());
            OperatedWorld::new(server.backing(), fixture::run("30s"), 7, desk, object, Stage::Running(run))
        };
        // Of what was never begun there is no record to be lost.
        let taken_up = left_in(RunState::New).perform(OperatedAction::TakeUp).await;
        assert_eq!(taken_up, OperatedResponse::Recorded(Ok(())));
        let taken_up = left_in(RunState::Asking).perform(OperatedAction::TakeUp).await;
        assert!(matches!(taken_up, OperatedResponse::Recorded(Err(RecordLoss::Lost(_)))), "{taken_up:?}");
        // Nobody is killed for what the baseline has not shown, whoever waits for it.
        let mut world = left_in(RunState::Baseline { until: live.now() });
        world.live = Some(live);
        let view = world.view().await.run;
        assert!(view.unanswered && view.unmeasured.is_some(), "{view:?}");
    }

    #[tokio::test]
    async fn a_prober_that_ended_its_load_by_itself_measures_no_kill() {
        let told = [(Reached::BeforeAsked, false), (Reached::Stopped, true)];
        for (reached, stops) in told {
            let server = Server::start();
            let (live, _link) = fixture::begun(&server, "30s").await;
            let (read, write) = (Caller::new(server.client()), Caller::new(server.client()));
            let key = super::super::key(&fixture::run("30s"));
            let mut prober = ChunkWriter::new(read, write, key, Role::Prober, "prober".into());
            let (started_at, written_at) = (Timestamp::UNIX_EPOCH, Timestamp::now());
            let (name, tool_digest, heard) = ("prober".to_owned(), None, None);
            let report = Report { prober: name, tool_digest, reached, queued: false, started_at, written_at, heard };
            prober.append(&[], Some(&report)).await.unwrap();
            let desk = server.desk().await;
            let (_watch, object) = watch::channel(Arc::new(desk.object().await));
            let ceiling = chaos_core::instant::after(live.now(), Duration::from_secs(60));
            let stage = Stage::Running(RunState::Fault { ceiling });
            let mut world = OperatedWorld::new(server.backing(), fixture::run("30s"), 7, desk, object, stage);
            world.live = Some(live);
            assert!(world.link.catch_up().await);
            let stop = world.view().await.run.stop;
            assert_eq!(matches!(stop, Some(StopCause::Probes { .. })), stops, "{stop:?}");
            // Load that was told to end has not ended by itself.
            world.stage = Stage::Running(RunState::WindingDown { next: WindDown::AskAfter, stop: None });
            assert_eq!(world.view().await.run.stop, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_monkey_of_a_run_that_is_given_up_is_told_to_rest_or_the_verdict_tells_of_it() {
        const SUSPEND: &str = "PATCH /apis/chaos.dispatch.dev/v1alpha1/namespaces/shop/chaosmonkeys";
        const MONKEY: &str = "/apis/chaos.dispatch.dev/v1alpha1/namespaces/shop/chaosmonkeys/run-u-1";
        const RUN: &str = "/apis/chaos.dispatch.dev/v1alpha1/namespaces/shop/experimentruns/r";
        let with_monkey = || {
            fixture::changed_run(|experiment| {
                experiment["fault"] = json!({"monkey": {"meanTimeBetweenKills": "2s", "minTimeBetweenKills": "1s",
                    "strikes": {"target": 4, "min": 2}, "killMode": "Evict", "group": "Workload"}});
            })
            .1
        };
        for (refusals, rests) in [(0, true), (2, true), (usize::MAX, false)] {
            let server = Server::start();
            let (mut live, link) = fixture::under_way(&server, with_monkey()).await;
            let ceiling = chaos_core::instant::after(live.now(), Duration::from_secs(600));
            live.perform(RunAction::StartKiller { until: ceiling }, &link).await;
            // Whoever drove it is gone.
            drop((live, link));
            assert_eq!(server.object(MONKEY).unwrap()["spec"]["suspend"], json!(false));
            server.refuse_some(SUSPEND, StatusCode::FORBIDDEN, refusals);
            let desk = server.desk().await;
            let (_watch, object) = watch::channel(Arc::new(desk.object().await));
            let stage = Stage::Running(RunState::Fault { ceiling });
            let mut world = OperatedWorld::new(server.backing(), with_monkey(), 7, desk, object, stage);
            let verdict = Some(evidence_lost("it is damaged"));
            world.save(&Record { stage: Stage::Completed, verdict, resolved: None }).await.unwrap();
            assert_eq!(server.object(MONKEY).unwrap()["spec"]["suspend"], json!(rests), "{refusals}");
            let told = server.object(RUN).unwrap()["status"]["verdict"]["reasonText"].clone();
            let told = told.as_str().unwrap();
            assert!(told.contains("it is damaged"), "{told}");
            assert_eq!(told.contains("; hint: kubectl delete chaosmonkey -n shop run-u-1"), !rests, "{told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_is_not_taken_up_before_all_that_its_prober_told_is_read() {
        const TOLD: &str = "GET /api/v1/namespaces/shop/configmaps/run-u-1-prober";
        let server = Server::start();
        let (mut live, _link) = fixture::begun(&server, "30s").await;
        live.write().await.unwrap();
        let desk = server.desk().await;
        let (_watch, object) = watch::channel(Arc::new(desk.object().await));
        server.refuse_some(TOLD, StatusCode::SERVICE_UNAVAILABLE, usize::MAX);
        let stage = Stage::Judging { stop: None };
        let mut world = OperatedWorld::new(server.backing(), fixture::run("30s"), 7, desk, object, stage);
        let taken_up = world.perform(OperatedAction::TakeUp).await;
        assert!(matches!(taken_up, OperatedResponse::Recorded(Err(RecordLoss::Unreached(_)))), "{taken_up:?}");
        server.refuse_some(TOLD, StatusCode::SERVICE_UNAVAILABLE, 0);
        let taken_up = world.perform(OperatedAction::TakeUp).await;
        assert_eq!(taken_up, OperatedResponse::Recorded(Ok(())));
    }
}
