//! The part of a run that is under way: the actions of its phases, and the operator's row of the evidence. Each action may have
//! been carried out before by a process that is gone.

use std::sync::{Arc, Mutex};

use chaos_core::operated::{merge, read_killer};
use chaos_core::prober::Reached;
use chaos_core::record::{Event, Phase, PodSighting, Started, StopCause};
use chaos_core::run::{Recovering, RunAction, RunView};
use chaos_core::verdict::{JudgeSpec, judge};
use jiff::{SignedDuration, Timestamp};

use super::bugs::Bug;
use super::cluster::{Chunk, Role};
use super::counter::Counter;
use super::killer::{Bench, Job, Recorder, run_time};
use super::link::Link;
use super::scenario::{EXPERIMENT, UID};
use crate::desk::{Kept as _, Left};
use crate::faults::Fault;
use crate::seats::{Chair, millis, turn};
use crate::watch::Change;

/// A prober that is told to do something has so long.
const PATIENCE: SignedDuration = millis(30_000);
/// The longest time for which an unknown outcome is looked for.
const REST_WITHIN: SignedDuration = millis(100_000);
/// Events are written at the latest after this.
const WRITE_EVERY: SignedDuration = millis(10_000);
/// How often the end of the record is tried to be written, a second apart.
const LAST_TRIES: u32 = 30;

/// What a process has at hand.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) counter: Counter,
    pub(crate) chair: Chair,
    pub(crate) bench: Bench,
    /// The chair of the killer.
    pub(crate) killer: Chair,
}

/// A run that is under way.
pub(crate) struct Live {
    hands: Hands,
    zero: Timestamp,
    recorder: Recorder,
    /// Events that were written, ConfigMaps they are in, and when that was.
    written: (usize, usize, Timestamp),
    /// Since when the server does not take them.
    unwritten_since: Option<Timestamp>,
    recovering: Recovering,
    /// Own events and sightings that were looked at.
    taken: (usize, usize),
    failed: Option<StopCause>,
    ended: bool,
}

impl Hands {
    pub(crate) fn now(&self) -> Timestamp {
        self.counter.now()
    }

    pub(crate) async fn pause(&self, span: SignedDuration) {
        self.chair.sleep(self.now() + span);
        turn().await;
    }

    fn has(&self, bug: Bug) -> bool {
        self.counter.world.lock().has(bug)
    }
}

impl Live {
    /// From what is recorded in so many ConfigMaps.
    pub(crate) fn new(hands: Hands, zero: Timestamp, events: Vec<Event>, chunks: usize) -> Self {
        let now = hands.now();
        let seen = events.iter().filter(|event| matches!(event, Event::Pod(_))).count();
        let written = (events.len(), chunks, now);
        Self {
            hands,
            zero,
            recorder: Arc::new(Mutex::new(events)),
            written,
            unwritten_since: None,
            recovering: Recovering::default(),
            taken: (0, seen),
            failed: None,
            ended: false,
        }
    }

    pub(crate) fn begin(&self, started: Started, planned: Event) {
        self.recorder.lock().unwrap().extend([Event::Started(Box::new(started)), planned]);
    }

    /// Takes notice of what happened since the last look.
    pub(crate) fn take_news(&mut self) {
        if self.ended {
            return;
        }
        let state = self.hands.counter.world.lock();
        let pods = state.pods.lock();
        let mut events = self.recorder.lock().unwrap();
        let (watch, newest) = (self.hands.counter.known().watch, pods.sightings.len() as u64);
        for (number, seen) in (1..).zip(&pods.sightings).skip(self.taken.1) {
            if state.scenario.is_behind && !watch.brings(Change { number, at: seen.at }, newest, state.now) {
                break;
            }
            self.taken.1 += 1;
            events.push(Event::Pod(PodSighting {
                at: run_time(self.zero, seen.at),
                what: seen.what,
                namespace: crate::strikes::cluster::NS.to_owned(),
                pod: seen.pod.clone(),
                uid: seen.uid.clone(),
                owner_uid: Some(seen.owner.clone()),
                node: None,
            }));
        }
        events.iter().skip(self.taken.0).for_each(|event| self.recovering.take(event));
        self.taken.0 = events.len();
    }

    /// What the step function looks at.
    pub(crate) fn view(&self) -> RunView {
        let oldest = self.recovering.oldest();
        let since = |at: chaos_core::record::RunTime| self.zero + SignedDuration::from_nanos(at.0.cast_signed());
        RunView {
            killer_done: self.hands.bench.is_done(),
            unrecovered: oldest.map(|(at, pod)| (since(at), pod.to_owned())),
            ..RunView::default()
        }
    }

    /// Why the run must end. What is not kept proves nothing, so nothing more is done for it.
    pub(crate) fn stop_cause(&self) -> Option<StopCause> {
        let max_blind = SignedDuration::try_from(EXPERIMENT.limits.max_blind.std()).unwrap();
        let is_unkept = self.unwritten_since.is_some_and(|since| self.hands.now().duration_since(since) > max_blind);
        let unkept = is_unkept.then(|| StopCause::Journal { message: "it could not be written".to_owned() });
        self.failed.clone().or(unkept)
    }

    fn record_once(&self, event: Event, alike: impl Fn(&Event) -> bool) {
        let mut events = self.recorder.lock().unwrap();
        if !events.iter().any(alike) {
            events.push(event);
        }
    }

    fn phase(&self, phase: Phase) {
        let at = run_time(self.zero, self.hands.now());
        self.record_once(
            Event::Phase { at, phase },
            |event| matches!(event, Event::Phase { phase: known, .. } if *known == phase),
        );
    }

    fn stopped(&self, cause: StopCause) {
        let at = run_time(self.zero, self.hands.now());
        self.record_once(Event::Stop { at, cause }, |event| matches!(event, Event::Stop { .. }));
    }

    /// Carries an action of the phases out.
    pub(crate) async fn perform(&mut self, action: RunAction, link: &mut Link) {
        match action {
            RunAction::StartProbes => {
                self.phase(Phase::Baseline);
                self.await_prober(link, Reached::Loading).await;
            }
            RunAction::AskBefore => self.await_prober(link, Reached::BeforeAsked).await,
            RunAction::StartKiller { until } => {
                self.phase(Phase::Fault);
                // The beginning of the fault phase is on the cluster before anything is killed.
                match self.write().await {
                    Ok(()) if !self.hands.bench.is_employed() => self.employ(until, false).await,
                    Ok(()) => {}
                    Err(_) => _ = self.failed.get_or_insert(StopCause::Journal { message: "not taken".to_owned() }),
                }
            }
            RunAction::StopKiller => self.rest_killer().await,
            RunAction::BeginRecovery => self.phase(Phase::Recovery),
            RunAction::NoteStop(cause) => self.stopped(cause),
            RunAction::StopProbes => {
                self.phase(Phase::WindDown);
                self.await_prober(link, Reached::Stopped).await;
            }
            RunAction::AskAfter => self.await_prober(link, Reached::AfterAsked).await,
            RunAction::CleanUp => self.clean_up().await,
        }
        self.take_news();
        let _ = self.write().await;
    }

    async fn await_prober(&mut self, link: &mut Link, stage: Reached) {
        let deadline = self.hands.now() + PATIENCE;
        let message = loop {
            {
                let mut state = self.hands.counter.world.lock();
                link.look(&mut state);
                if let Some(StopCause::Probes { message }) = link.lost(&state) {
                    break message;
                }
                if link.has_reached(&stage) {
                    return;
                }
                if state.now >= deadline {
                    break "the prober did not do what it was told".to_owned();
                }
            }
            self.hands.pause(millis(500)).await;
        };
        if self.hands.has(Bug::SilenceIgnored) {
            return;
        }
        let cause = StopCause::Probes { message };
        self.failed.get_or_insert_with(|| cause.clone());
        // A run that is winding down is not stopped any more, but what it measured ends here all the same.
        if matches!(stage, Reached::Stopped | Reached::AfterAsked) {
            self.stopped(cause);
        }
    }

    async fn employ(&self, until: Timestamp, rests: bool) {
        let Hands { counter, chair, bench, killer } = &self.hands;
        let seed = counter.world.lock().scenario.seed;
        let ledger = read_killer(&counter.seen(chair).await);
        let (counter, recorder, zero) = (counter.clone(), Arc::clone(&self.recorder), self.zero);
        bench.employ(Job { counter, recorder, zero, seed, until, rests }, ledger);
        killer.wake();
    }

    /// No more kills once this returns. A killer of a process that is gone may have left something open.
    async fn rest_killer(&self) {
        let is_fault = |event: &Event| matches!(event, Event::Phase { phase: Phase::Fault, .. });
        let begun = self.recorder.lock().unwrap().iter().any(is_fault);
        let Hands { bench, killer, .. } = &self.hands;
        if !bench.is_employed() && begun && !self.hands.has(Bug::OpenKillsForgotten) {
            self.employ(self.hands.now(), true).await;
        }
        if !bench.is_employed() {
            return;
        }
        bench.rest();
        let deadline = self.hands.now() + REST_WITHIN;
        while !bench.is_quiet() && self.hands.now() < deadline && !self.hands.has(Bug::RestNotAwaited) {
            killer.wake();
            self.hands.pause(millis(1_000)).await;
        }
    }

    async fn clean_up(&self) {
        self.dismiss().await;
        let bench = &self.hands.bench;
        let left = (0..bench.open()).map(|_| "see whether a pod was killed".to_owned()).collect();
        let at = run_time(self.zero, self.hands.now());
        self.record_once(Event::WoundDown { at, left }, |event| matches!(event, Event::WoundDown { .. }));
    }

    /// Lets the killer finish what it has in hand.
    async fn dismiss(&self) {
        self.hands.bench.leave();
        while !self.hands.bench.has_left() {
            self.hands.killer.wake();
            self.hands.pause(millis(500)).await;
        }
    }

    /// Another process goes on from here.
    pub(crate) async fn leave(&mut self) {
        self.dismiss().await;
        let _ = self.write().await;
    }

    /// The whole record, ended by what it proves.
    pub(crate) async fn finish(&mut self, measured: &[Event]) -> Vec<Event> {
        self.ended = true;
        let spec = JudgeSpec::from(&*EXPERIMENT);
        let own = self.recorder.lock().unwrap().clone();
        let exit_code = judge(&spec, &merge(&own, measured)).verdict.exit_code.code();
        let at = run_time(self.zero, self.hands.now());
        self.record_once(Event::Finished { at, exit_code }, |event| matches!(event, Event::Finished { .. }));
        let mut written = self.write().await;
        for _ in 1..LAST_TRIES {
            if written != Err(Left::Unreached) {
                break;
            }
            self.hands.pause(millis(1_000)).await;
            written = self.write().await;
        }
        if written.is_err() {
            let at = run_time(self.zero, self.hands.now());
            let cause = StopCause::Journal { message: "its end could not be written".to_owned() };
            self.recorder.lock().unwrap().push(Event::Stop { at, cause });
        }
        merge(&self.recorder.lock().unwrap(), measured)
    }

    /// Writes if it is time to.
    pub(crate) async fn write_in_time(&mut self) {
        let is_overdue =
            self.hands.now().duration_since(self.written.2) >= WRITE_EVERY || self.unwritten_since.is_some();
        if is_overdue {
            let _ = self.write().await;
        }
    }

    /// Writes what was recorded.
    pub(crate) async fn write(&mut self) -> Result<(), Left> {
        loop {
            let news: Vec<Event> = self.recorder.lock().unwrap().iter().skip(self.written.0).cloned().collect();
            if news.is_empty() {
                return Ok(());
            }
            turn().await;
            let appended = self.append(news);
            turn().await;
            if let Err(left) = appended {
                if left == Left::Unreached {
                    self.unwritten_since.get_or_insert(self.hands.now());
                } else {
                    self.hands.counter.known.lock().unwrap().is_fenced = true;
                }
                return Err(left);
            }
            self.unwritten_since = None;
        }
    }

    fn append(&mut self, events: Vec<Event>) -> Result<(), Left> {
        let mut state = self.hands.counter.world.lock();
        let fault = state.fault();
        if matches!(fault, Fault::Never(_)) {
            return Err(Left::Unreached);
        }
        if state.object.is_none() {
            return Err(Left::Gone);
        }
        let chunk = Chunk { writer: self.hands.counter.instance, events, report: None };
        let known = state.append(Role::Operator, self.written.1, chunk).map_err(|()| Left::Fenced)?.events.len();
        if fault != Fault::None {
            return Err(Left::Unreached);
        }
        self.written = (self.written.0 + known, self.written.1 + 1, state.now);
        Ok(())
    }
}

/// How the record of a run begins.
pub(crate) fn started(zero: Timestamp) -> Started {
    Started {
        run_id: UID.to_owned(),
        started_at: zero,
        tool_digest: None,
        tool: "simulation".to_owned(),
        manifest: String::new(),
        experiment: EXPERIMENT.name.clone(),
        manifest_source: String::new(),
        manifest_digest: String::new(),
        seed: 0,
        attempt: 1,
        cluster: "simulated".to_owned(),
        environment: Vec::new(),
    }
}
