//! An operator's process that drives the run: the real machine and the real driver around what `live` does.

use std::pin::pin;
use std::task::{Context, Poll};

use chaos_core::api::{ProberStage, ProbingOrder, ResolvedRun, RunPhase};
use chaos_core::machine::Machine;
use chaos_core::operated::{
    OperatedAction, OperatedResponse, OperatedRun, OperatedView, Record, RecordLoss, Stage, Unfit, evidence_lost,
    of_result, order_of, read_record, write_record,
};
use chaos_core::record::{Event, RunTime};
use chaos_core::run::{RunMachine, RunState};
use chaos_core::units::Duration;
use chaos_core::verdict::{JudgeSpec, judge};
use chaos_engine::drive::{World as Driven, drive};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::bugs::Bug;
use super::cluster::{Role, World};
use super::counter::Counter;
use super::faulty::Faulty;
use super::killer::Bench;
use super::link::Link;
use super::live::{Hands, Live, started};
use super::scenario::{EXPERIMENT, PLAN, STRIKES};
use crate::desk::{Kept as _, Left};
use crate::faults::Fault;
use crate::seats::{Chair, turn};

/// Load that is on for longer than this ends by itself.
const LASTS: Duration = Duration::from_secs(400);

pub(crate) struct Operator {
    hands: Hands,
    link: Link,
    live: Option<Live>,
    /// As it was last saved.
    stage: Stage,
    /// A record that is to be saved after the action.
    pending: Option<Record>,
    /// Nothing was saved by this process.
    is_new: bool,
    bug: Option<Bug>,
}

/// Drives the run until it is over or gone (`None`), or until this process does not any more. A drop is a crash.
pub(crate) async fn run(world: World, chair: Chair, bench: Bench, killer: Chair) -> Option<Left> {
    let _employer = bench.begin();
    turn().await;
    if world.lock().fault() != Fault::None {
        return Some(Left::Unreached);
    }
    let phase = world.lock().status()?.phase;
    if phase == Some(RunPhase::Completed) {
        return None;
    }
    let (counter, status) = Counter::claim(&world)?;
    turn().await;
    let (scenario, now) = {
        let state = world.lock();
        (state.scenario, state.now)
    };
    let approval = scenario.approval.is_needed().then_some(Duration::from_secs(20));
    let machine = OperatedRun { run: RunMachine::new(&EXPERIMENT), mode: scenario.mode, approval };
    let machine = Faulty::new(machine, scenario.bug);
    let hands = Hands { counter: counter.clone(), chair, bench: bench.clone(), killer };
    let (record, link) = (read_record(&status), Link::new(now));
    let stage = record.stage.clone();
    let mut operator = Operator { hands, link, live: None, stage, pending: None, is_new: true, bug: scenario.bug };
    let ended = {
        let mut driven = pin!(drive(&machine, &mut operator, record));
        // It is dropped wherever it is when the run is gone, or somebody else drives it.
        let next = |context: &mut Context<'_>| {
            counter.look();
            let known = counter.known();
            if known.is_gone || known.is_fenced {
                return Poll::Ready(if known.is_gone { Err(Left::Gone) } else { Err(Left::Fenced) });
            }
            driven.as_mut().poll(context).map(|driven| driven.map(|_| ()))
        };
        std::future::poll_fn(next).await
    };
    if matches!(ended, Err(Left::Gone | Left::Fenced))
        && let Some(live) = &mut operator.live
    {
        live.leave().await;
    }
    ended.err().filter(|left| *left != Left::Gone)
}

impl Operator {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    async fn resolve(&self) -> Result<ResolvedRun, Unfit> {
        turn().await;
        let fault = self.hands.counter.world.lock().fault();
        turn().await;
        if fault != Fault::None {
            return Err(Unfit::out_of_reach("no answer"));
        }
        Ok(ResolvedRun {
            plan_digest: PLAN.into(),
            seed: 7,
            candidates: 5,
            strikes: STRIKES.1,
            ..ResolvedRun::default()
        })
    }

    /// What was recorded, and in how many ConfigMaps.
    async fn open_row(&self) -> Result<(Vec<Event>, usize), RecordLoss> {
        turn().await;
        let row = {
            let mut state = self.hands.counter.world.lock();
            let fault = state.fault();
            let row = state.read(Role::Operator, 0);
            let events: Vec<Event> = row.iter().flat_map(|chunk| chunk.events.iter().cloned()).collect();
            (fault == Fault::None).then_some((events, row.len()))
        };
        turn().await;
        row.ok_or_else(|| RecordLoss::Unreached("no answer".into()))
    }

    /// Begins the record, or finds that it was begun before.
    async fn begin(&mut self) -> Result<(), RecordLoss> {
        if self.live.is_none() {
            self.resolve().await.map_err(|unfit| RecordLoss::Unreached(unfit.message))?;
            let zero = self.link.report.as_ref().map(|report| report.started_at);
            let zero = zero.ok_or_else(|| RecordLoss::Unreached("the prober's clock is not known".into()))?;
            let (events, chunks) = self.open_row().await?;
            let is_new = events.is_empty();
            let live = Live::new(self.hands.clone(), zero, events, chunks);
            if is_new {
                let population = Box::new(self.hands.counter.world.lock().pods.lock().facts());
                let eligible = population.pods.iter().map(|pod| pod.uid.clone()).collect();
                let planned = Event::Planned { at: RunTime(0), population, eligible, excluded: Vec::new() };
                live.begin(started(zero), planned);
            }
            self.live = Some(live);
        }
        let Some(live) = &mut self.live else { return Ok(()) };
        live.write().await.map_err(|_| RecordLoss::Unreached("it is not taken".into()))
    }

    /// Takes up a run that another process drove before.
    async fn take_up(&mut self) -> Result<(), RecordLoss> {
        if self.live.is_some() || self.stage == Stage::Running(RunState::New) {
            return Ok(());
        }
        let (events, chunks) = self.open_row().await?;
        let started_at = events.iter().find_map(|event| match event {
            Event::Started(started) => Some(started.started_at),
            _ => None,
        });
        let zero = started_at.ok_or_else(|| RecordLoss::Lost("there is none, though the run was under way".into()))?;
        self.live = Some(Live::new(self.hands.clone(), zero, events, chunks));
        Ok(())
    }

    async fn judge(&mut self) -> chaos_core::api::RunVerdict {
        let Some(live) = &mut self.live else { return evidence_lost("nothing of it is there") };
        self.link.look(&mut self.hands.counter.world.lock());
        live.take_news();
        let events = live.finish(&self.link.events).await;
        of_result(&judge(&JudgeSpec::from(&*EXPERIMENT), &events).verdict)
    }

    fn order(&self, stage: &Stage, before: Option<&ProbingOrder>) -> Option<ProbingOrder> {
        let order = order_of(stage)?;
        let order = if self.is_new && self.has(Bug::OrderTakenBack) { ProberStage::Prepare } else { order };
        let is_forwards = |before: &&ProbingOrder| before.order >= order && !self.has(Bug::OrderTakenBack);
        if let Some(before) = before.filter(is_forwards) {
            return Some(before.clone());
        }
        Some(ProbingOrder { order, beat: MicroTime(self.hands.now()), lasts: LASTS })
    }

    async fn store(&mut self, record: &Record) -> Result<(), Left> {
        let (now, stage) = (self.hands.now(), record.stage.clone());
        let before = self.hands.counter.world.lock().status().and_then(|status| status.probing.clone());
        let probing = self.order(&stage, before.as_ref());
        let change = |status: &mut chaos_core::api::ExperimentRunStatus| {
            write_record(record, status, now);
            status.probing = probing;
        };
        self.hands.counter.update(&self.hands.chair, change).await?;
        (self.stage, self.is_new) = (stage, false);
        Ok(())
    }
}

impl<M> Driven<M> for Operator
where
    M: Machine<Durable = Record, View = OperatedView, Action = OperatedAction, Response = OperatedResponse>,
{
    type Error = Left;

    fn now(&self) -> Timestamp {
        self.hands.now()
    }

    async fn view(&mut self) -> OperatedView {
        self.hands.counter.look();
        let known = self.hands.counter.known();
        let mut view = OperatedView {
            abort: known.abort.then(|| "spec.control.abort".to_owned()).filter(|_| !self.has(Bug::AbortIgnored)),
            approved: known.approved.then(|| PLAN.to_owned()),
            ..OperatedView::default()
        };
        let lost = {
            let mut state = self.hands.counter.world.lock();
            self.link.look(&mut state);
            let is_on = order_of(&self.stage) == Some(ProberStage::Load);
            self.link.lost(&state).filter(|_| is_on)
        };
        view.prober = self.link.view();
        if let Some(live) = &mut self.live {
            live.take_news();
            view.run = live.view();
            if let Stage::Running(RunState::Baseline { until }) = &self.stage {
                view.run.unmeasured = (!self.link.covers(*until)).then_some(*until);
            }
        }
        view.run.stop = self.live.as_ref().and_then(Live::stop_cause).or(lost);
        view
    }

    async fn save(&mut self, record: &Record) -> Result<(), Left> {
        if self.has(Bug::ActBeforeSave) {
            self.stage = record.stage.clone();
            self.pending = Some(record.clone());
            return Ok(());
        }
        self.store(record).await
    }

    async fn perform(&mut self, action: OperatedAction) -> OperatedResponse {
        let response = match action {
            OperatedAction::Resolve => OperatedResponse::Resolved(self.resolve().await),
            OperatedAction::Begin => OperatedResponse::Recorded(self.begin().await),
            OperatedAction::TakeUp => OperatedResponse::Recorded(self.take_up().await),
            OperatedAction::Run(action) => {
                if let Some(live) = &mut self.live {
                    live.perform(action, &mut self.link).await;
                }
                OperatedResponse::Done
            }
            OperatedAction::Judge => OperatedResponse::Judged(self.judge().await),
        };
        if let Some(record) = self.pending.take() {
            // What cannot be saved late is lost: that is this bug.
            let _ = self.store(&record).await;
        }
        response
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        if let Some(record) = self.pending.take() {
            let _ = self.store(&record).await;
        }
        if let Some(live) = &mut self.live {
            live.write_in_time().await;
        }
        self.hands.chair.sleep(until.expect("no state waits without a deadline"));
        turn().await;
    }
}
