//! The world of a prober: what its step function sees, and what its actions mean.

mod looks;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::api::ExperimentRun;
use chaos_core::instant::after;
use chaos_core::model::Run;
use chaos_core::operated::Unfit;
use chaos_core::prober::{
    Heard, News, Prober, ProberAction, ProberResponse, ProberView, REPORT_EVERY, Reached, Report, ReportError,
};
use chaos_core::record::Event;
use jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::sync::watch;

use super::agreed::Agreed;
use super::{ProberDesk, prepare};
use crate::chunks::{ChunkWriter, MOST_EVENTS, Role, RunKey, WriteError};
use crate::clock::RunClock;
use crate::drive::World;
use crate::journal::Redactor;
use crate::kube::Caller;
use crate::probe::set::End;
use crate::probe::{ProbeContext, ProbePlan, ProbeSet};
use crate::recorder::Recorder;

/// What a run may connect to is looked at this often while it is measured.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long that may take.
const LOOK_AT_MOST: Duration = Duration::from_secs(2);

/// The world of one prober.
pub(super) struct ProberWorld {
    desk: ProberDesk,
    object: watch::Receiver<Arc<ExperimentRun>>,
    /// Whether it may be measured.
    turn: watch::Receiver<bool>,
    clock: RunClock,
    recorder: Recorder,
    row: Row,
    plans: Vec<ProbePlan>,
    /// What it may connect to, once it is prepared, and when that was looked at.
    agreed: Option<Agreed>,
    looked_at: Instant,
    /// Why it may not be any more, as it was seen while probes looked.
    objected: Option<String>,
    probes: Option<ProbeSet>,
    /// Events that were looked at for news.
    scanned: usize,
    news: News,
    heard: Option<Heard>,
    reached: Reached,
    /// The run has to wait for its turn, as the machine was last told.
    queued: bool,
    /// It was reported that it does.
    waited: bool,
    /// For how long the run goes on blind, once it is prepared.
    max_blind: Duration,
}

/// The prober's row of the evidence.
struct Row {
    writer: ChunkWriter,
    told: usize,
    /// The newest beat that was told.
    told_beat: Option<Timestamp>,
}

impl ProberWorld {
    pub(super) fn new(
        desk: ProberDesk,
        object: watch::Receiver<Arc<ExperimentRun>>,
        turn: watch::Receiver<bool>,
    ) -> Self {
        let run = {
            let object = object.borrow();
            RunKey {
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
                uid: object.uid().unwrap_or_default(),
            }
        };
        let (read, write) = (Caller::new(desk.clients.read.clone()), Caller::new(desk.clients.write.clone()));
        let writer = ChunkWriter::new(read, write, run, Role::Prober, desk.instance.clone());
        Self {
            desk,
            object,
            turn,
            clock: RunClock::start(),
            recorder: Recorder::in_memory(Redactor::default()),
            row: Row { writer, told: 0, told_beat: None },
            plans: Vec::new(),
            agreed: None,
            looked_at: Instant::now(),
            objected: None,
            probes: None,
            scanned: 0,
            news: News::None,
            heard: None,
            reached: Reached::Claimed,
            queued: false,
            waited: false,
            max_blind: Duration::ZERO,
        }
    }

    /// Notes a new beat, as soon as it is seen.
    fn hear(&mut self) {
        let object = self.object.borrow_and_update().clone();
        let beat = object.status.as_ref().and_then(|status| status.probing.as_ref()).map(|probing| probing.beat.0);
        if let Some(beat) = beat.filter(|beat| self.heard.is_none_or(|heard| heard.beat != *beat)) {
            self.heard = Some(Heard { beat, read_at: self.now() });
        }
    }

    fn scan(&mut self) {
        let fresh = self.recorder.since(self.scanned);
        self.scanned += fresh.len();
        let bad = |event: &Event| match event {
            Event::Bad(slot) => slot.class.is_failure(),
            Event::Sample(sample) => sample.met != Some(true),
            Event::Invariants { violations, .. } => !violations.is_empty(),
            _ => false,
        };
        let found = match fresh.iter().any(bad) {
            true => News::Bad,
            false if fresh.is_empty() => News::None,
            false => News::Good,
        };
        self.news = self.news.max(found);
    }

    async fn claim(&mut self) -> Result<bool, String> {
        match self.report(&Reached::Claimed).await {
            Ok(()) => Ok(true),
            Err(WriteError::Taken | WriteError::Gone) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn prepare(&mut self) -> Result<(), Unfit> {
        if std::mem::take(&mut self.waited) {
            // Nothing of the record happened while the run waited.
            self.clock = RunClock::start();
        }
        let object = self.object.borrow().clone();
        let run: Run = prepare::resolve(&self.desk, &object).await?;
        let plans = prepare::plans(&self.desk, &run).await?;
        // Nothing of a namespace is read that has not agreed.
        let agreed = Agreed::of(&self.desk.clients.read, &run).await;
        self.agreed = Some(agreed.map_err(|error| prepare::unread(&error, "a Service"))?);
        self.plans = plans.probes;
        self.max_blind = run.experiment.limits.max_blind.std();
        let sources = self.desk.sources.of_namespace(&run.namespace);
        self.recorder = Recorder::in_memory(Redactor::of_run(&run.experiment.probes, sources.values()));
        for text in plans.notes {
            self.recorder.record(Event::Note { at: self.clock.now(), text });
        }
        Ok(())
    }

    fn start_load(&mut self) -> Result<Timestamp, String> {
        let object = self.object.borrow().clone();
        let status = object.status.clone().unwrap_or_default();
        let (Some(probing), Some(resolved)) = (status.probing, status.resolved) else {
            return Err("the run's status holds no order".to_owned());
        };
        let context = ProbeContext {
            recorder: self.recorder.clone(),
            // What this machine slept before anything was asked is nothing to what is asked now.
            clock: self.clock.rested(),
            seed: resolved.seed.cast_unsigned(),
            run: uuid::Uuid::new_v4().as_u128(),
        };
        let probes = ProbeSet::start(std::mem::take(&mut self.plans), context).map_err(|error| error.to_string())?;
        self.probes = Some(probes);
        Ok(after(self.now(), probing.lasts))
    }

    /// Tells all events so far.
    async fn report(&mut self, reached: &Reached) -> Result<(), WriteError> {
        let written_at = self.now();
        let events = self.recorder.since(self.row.told);
        let report = Report {
            prober: self.desk.instance.clone(),
            tool_digest: self.desk.tool_digest.clone(),
            reached: reached.clone(),
            queued: self.queued,
            started_at: self.clock.started_at(),
            written_at,
            heard: self.heard,
        };
        self.row.writer.append(&events, Some(&report)).await?;
        self.row.told += events.len();
        self.row.told_beat = self.heard.map(|heard| heard.beat);
        self.reached = reached.clone();
        self.waited |= self.queued;
        self.news = News::None;
        Ok(())
    }

    /// Why the run must not be measured any more, if so.
    async fn objection(&mut self) -> Option<String> {
        let agreed = self.agreed.as_ref()?;
        if self.looked_at.elapsed() < LOOK_AGAIN {
            return None;
        }
        self.looked_at = Instant::now();
        // A server that is slow must not make a sign of life late.
        tokio::time::timeout(LOOK_AT_MOST, agreed.objection(&self.desk.clients.read)).await.unwrap_or_default()
    }

    /// Reports that nothing more comes: whoever drives the run has to know why. Load goes off.
    async fn last_word(&mut self, message: String) -> ReportError {
        match self.report(&Reached::Ended { message: message.clone() }).await {
            Ok(()) => ReportError::Refused(message),
            Err(error) => ReportError::Refused(error.to_string()),
        }
    }

    async fn tell(&mut self, reached: &Reached) -> Result<(), ReportError> {
        let objected = match self.objected.take() {
            None if self.probes.is_some() => self.objection().await,
            known => known,
        };
        if let Some(why) = objected {
            return Err(self.last_word(why).await);
        }
        match self.report(reached).await {
            Ok(()) => Ok(()),
            Err(WriteError::Full) => {
                self.row.told = self.recorder.count();
                Err(self.last_word(format!("more than {MOST_EVENTS} events were measured")).await)
            }
            Err(error) => Err(untold(&error)),
        }
    }

    /// Waits for something that may take long, and gives signs of life meanwhile.
    async fn alive<T>(&mut self, work: impl Future<Output = T> + Send) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(REPORT_EVERY) => {
                    self.give_sign().await;
                }
            }
        }
    }

    /// Whether it was taken.
    async fn give_sign(&mut self) -> bool {
        self.hear();
        let reached = self.reached.clone();
        let given = self.report(&reached).await;
        if let Err(error) = &given {
            tracing::warn!(%error, "a sign of life could not be given");
        }
        given.is_ok()
    }

    async fn stop_load(&mut self) {
        if let Some(mut probes) = self.probes.take() {
            if let Err(error) = self.alive(probes.stop()).await {
                self.recorder.record(Event::Note { at: self.clock.now(), text: error.to_string() });
            }
            self.probes = Some(probes);
        }
    }
}

/// Why a report was not taken, as the machine needs it. One that is refused is tried again for as long as one to a silent server:
/// whoever drives the run takes its prober for lost long before that.
fn untold(error: &WriteError) -> ReportError {
    let why = error.to_string();
    if error.may_pass() { ReportError::Unreached(why) } else { ReportError::Refused(why) }
}

impl World<Prober> for ProberWorld {
    type Error = Infallible;

    fn now(&self) -> Timestamp {
        self.clock.timestamp(self.clock.now())
    }

    async fn view(&mut self) -> ProberView {
        self.hear();
        self.scan();
        self.queued = !*self.turn.borrow_and_update();
        let object = self.object.borrow();
        let probing = object.status.as_ref().and_then(|status| status.probing.as_ref());
        ProberView {
            order: probing.map(|probing| probing.order),
            gone: self.object.has_changed().is_err() || object.metadata.deletion_timestamp.is_some(),
            queued: self.queued,
            unheard: self.heard.map(|heard| heard.beat) != self.row.told_beat,
            news: self.news,
            max_blind: self.max_blind,
        }
    }

    async fn save(&mut self, (): &()) -> Result<(), Infallible> {
        Ok(())
    }

    async fn perform(&mut self, action: ProberAction) -> ProberResponse {
        match action {
            ProberAction::Claim => ProberResponse::Claimed(self.claim().await),
            ProberAction::Prepare => ProberResponse::Prepared(self.prepare().await),
            ProberAction::StartLoad => ProberResponse::Started(self.start_load()),
            ProberAction::AskBefore => {
                self.ask(End::Before).await;
                ProberResponse::Done
            }
            ProberAction::StopLoad => {
                self.stop_load().await;
                ProberResponse::Done
            }
            ProberAction::AskAfter => {
                self.ask(End::After).await;
                ProberResponse::Done
            }
            ProberAction::Report(reached) => ProberResponse::Reported(self.tell(&reached).await),
        }
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        let now = self.now();
        let span = until.map(|until| Duration::try_from(until.duration_since(now)).unwrap_or_default());
        let due = async {
            match span {
                Some(span) => tokio::time::sleep(span).await,
                None => std::future::pending().await,
            }
        };
        // What was measured is looked at now and then: a failure is news.
        let news = async {
            match self.probes {
                Some(_) => tokio::time::sleep(Duration::from_millis(500)).await,
                None => std::future::pending().await,
            }
        };
        let changed = tokio::select! {
            () = due => Ok(()),
            () = news => Ok(()),
            changed = self.object.changed() => changed,
            changed = self.turn.changed() => changed,
        };
        if changed.is_err() {
            // The run is gone; the view says so, and the machine ends.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use chaos_core::model::{Moment, Patience};
    use chaos_core::units;
    use http::{Method, StatusCode};
    use kube::core::Status;
    use serde_json::{Value, json};

    use super::*;
    use crate::kube::{CallError, Clients, fixture};
    use crate::probe::InvariantsPlan;
    use crate::sources::Sources;

    /// A run that is told to go so far, or is being deleted.
    fn run(order: &str, is_going: bool) -> Arc<ExperimentRun> {
        let beat = "2026-11-23T12:00:00.000000Z";
        let gone_at = is_going.then_some("2026-11-23T12:00:00Z");
        let run = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
            "metadata": {"name": "r", "namespace": "shop", "uid": "u-1", "deletionTimestamp": gone_at},
            "spec": {"mode": "Live", "experimentRef": {"name": "none"}},
            "status": {"phase": "Baseline", "probing": {"order": order, "beat": beat, "lasts": "10m"}},
        });
        Arc::new(serde_json::from_value(run).unwrap())
    }

    const DELAY: Duration = Duration::from_secs(600);

    /// A prober on that cluster whose one probe looks at that end, ten minutes after it is asked to.
    fn asked(client: kube::Client, end: End, object: watch::Receiver<Arc<ExperimentRun>>) -> ProberWorld {
        let desk = ProberDesk {
            clients: Clients::same(client),
            instance: "prober/1".to_owned(),
            tool_digest: None,
            sources: Sources::default(),
            loopback: false,
        };
        let mut world = ProberWorld::new(desk, object, watch::channel(true).1);
        world.max_blind = DELAY * 2;
        let plan = InvariantsPlan {
            name: "ledger".to_owned(),
            when: if end == End::Before { Moment::Before } else { Moment::After },
            origin: "http://127.0.0.1:1".parse().unwrap(),
            path: "/".to_owned(),
            timeout: Duration::from_secs(5),
            patience: Patience { initial_delay: units::Duration::from(DELAY), ..Patience::default() },
        };
        let context = ProbeContext { recorder: world.recorder.clone(), clock: world.clock, seed: 0, run: 0 };
        world.probes = Some(ProbeSet::start(vec![ProbePlan::Invariants(plan)], context).unwrap());
        world
    }

    #[tokio::test(start_paused = true)]
    async fn looks_that_a_run_does_not_want_any_more_are_not_waited_for() {
        let table = [
            (End::Before, "Load", false, true),
            (End::Before, "Stop", false, false),
            (End::Before, "Load", true, false),
            (End::After, "AskAfter", false, true),
            (End::After, "Release", false, false),
        ];
        for (end, order, is_going, is_waited_for) in table {
            let client = fixture::client("shop", |_, _, _| (StatusCode::FORBIDDEN, Value::Null));
            let (tell, object) = watch::channel(run(if end == End::Before { "Load" } else { "AskAfter" }, false));
            let mut world = asked(client, end, object);
            let began = tokio::time::Instant::now();
            let ordered = async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                tell.send_replace(run(order, is_going));
            };
            tokio::join!(world.ask(end), ordered);
            assert_eq!(began.elapsed() >= DELAY, is_waited_for, "{end:?} {order} {is_going}");
            assert_eq!(world.recorder.count() > 0, is_waited_for, "{end:?} {order} {is_going}");
            assert!(world.probes.is_some(), "its load goes off next");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_prober_that_can_tell_nobody_anything_does_not_look_on_with_load_on() {
        for (max_blind, ends) in [(30, 60), (180, 180)] {
            let client = fixture::client("shop", |_, _, _| (StatusCode::FORBIDDEN, Value::Null));
            let (_tell, object) = watch::channel(run("Load", false));
            let mut world = asked(client, End::Before, object);
            world.max_blind = Duration::from_secs(max_blind);
            let began = tokio::time::Instant::now();
            world.ask(End::Before).await;
            let lasted = began.elapsed();
            let ends = Duration::from_secs(ends);
            assert!(ends <= lasted && lasted < ends + Duration::from_secs(30), "{lasted:?}");
            let told = world.tell(&Reached::BeforeAsked).await;
            assert!(matches!(told, Err(ReportError::Refused(_))), "its load goes off next: {told:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_consent_that_is_taken_back_while_probes_look_is_not_noticed_only_when_they_have() {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}});
        let client = fixture::client("shop", move |method, _, _| match *method {
            Method::GET => (StatusCode::OK, namespace.clone()),
            _ => (StatusCode::FORBIDDEN, Value::Null),
        });
        let (_tell, object) = watch::channel(run("Load", false));
        let mut world = asked(client.clone(), End::Before, object);
        let (namespaces, services) = (["other".to_owned()].into(), [].into());
        world.agreed = Some(Agreed::read(&client, "shop".to_owned(), namespaces, services).await.unwrap());
        world.looked_at = Instant::now().checked_sub(LOOK_AGAIN).unwrap();
        let began = tokio::time::Instant::now();
        world.ask(End::Before).await;
        assert!(began.elapsed() < DELAY / 10, "{:?}", began.elapsed());
        assert!(world.probes.is_some(), "its load goes off next");
        assert!(world.objected.as_ref().is_some_and(|why| why.contains("does not let shop")), "{:?}", world.objected);
        let told = world.tell(&Reached::BeforeAsked).await;
        assert!(matches!(told, Err(ReportError::Refused(_))), "and nothing more comes: {told:?}");
    }

    #[test]
    fn a_report_that_is_refused_is_tried_again_and_one_that_nobody_wants_is_not() {
        let refused = |code: u16| {
            let status = Box::new(Status::failure("no", "Reason").with_code(code));
            WriteError::Call(CallError::Refused { what: "create".into(), status })
        };
        for error in [refused(403), refused(503), refused(429)] {
            assert!(matches!(untold(&error), ReportError::Unreached(_)), "{error}");
        }
        for error in [WriteError::Gone, WriteError::Taken] {
            assert!(matches!(untold(&error), ReportError::Refused(_)), "{error}");
        }
    }
}
