//! The part of an operated run that is under way: the actions of its phases. Each may have been carried out before by a process
//! that is gone, so each takes it well to be carried out once more.

mod employ;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chaos_core::api::{ExperimentRun, Outcome};
use chaos_core::digest::sha256_hex;
use chaos_core::model::Run;
use chaos_core::operated::merge;
use chaos_core::prober::Reached;
use chaos_core::record::{Event, Phase, StopCause};
use chaos_core::run::{RunAction, RunMachine, RunView};
use chaos_core::verdict::{JudgeSpec, judge};
use jiff::Timestamp;
use tokio::sync::watch;

use super::super::killer::Killer;
use super::super::observer::{Observer, Scene};
use super::super::prepare::namespaces_of;
use super::super::sight::Known;
use super::ledger::OwnRow;
use super::link::Link;
use super::{Backing, patience};
use crate::chunks::WriteError;
use crate::clock::RunClock;
use crate::kube::StatusDesk;
use employ::Vacancy;

/// A prober that is ready starts its load within this.
const START_WITHIN: Duration = Duration::from_secs(30);
/// Time between two heartbeats of the run's monkey: two missed ones stop it, and an operator may be replaced in less.
const BEAT: Duration = Duration::from_secs(20);
/// How often it is looked whether a run has to end that waits for its prober.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often the end of the record is tried to be written, a second apart.
const LAST_TRIES: u32 = 30;

/// A run that is under way.
pub(super) struct Live {
    backing: Backing,
    run: Arc<Run>,
    seed: i64,
    desk: StatusDesk<ExperimentRun>,
    /// The newest version of the run.
    object: watch::Receiver<Arc<ExperimentRun>>,
    clock: RunClock,
    slack: Arc<AtomicU64>,
    row: OwnRow,
    /// Number of our own events that were looked at.
    read: usize,
    /// What the prober told, and in how many ConfigMaps.
    measured: Vec<Event>,
    told: u64,
    /// The record is ended: what is told from then on is no part of it.
    ended: bool,
    observer: Observer,
    killer: Option<Killer>,
    /// One is wanted, and not there yet.
    vacancy: Option<Vacancy>,
    /// Something could not be done.
    failed: Option<StopCause>,
    fenced: bool,
}

/// What a run needs to be under way.
pub(super) struct LiveParts {
    pub(super) backing: Backing,
    pub(super) run: Arc<Run>,
    pub(super) seed: i64,
    pub(super) desk: StatusDesk<ExperimentRun>,
    /// The newest version of the run.
    pub(super) object: watch::Receiver<Arc<ExperimentRun>>,
    pub(super) clock: RunClock,
    /// How far that clock may be off, in nanoseconds.
    pub(super) slack: Arc<AtomicU64>,
    pub(super) row: OwnRow,
}

impl Live {
    /// Begins to watch, from what is recorded. An error if the record does not tell what was planned.
    pub(super) fn start(parts: LiveParts) -> Result<Self, String> {
        let LiveParts { backing, run, seed, desk, object, clock, slack, row } = parts;
        let events = row.recorder().events();
        let planned = events.iter().find_map(|event| match event {
            Event::Planned { eligible, population, .. } => Some(namespaces_of(eligible, population)),
            _ => None,
        });
        let namespaces = planned.ok_or_else(|| "it does not tell what was planned".to_owned())?;
        let observer = Observer::start(Scene {
            experiment: Arc::new(run.experiment.clone()),
            judge: Arc::new(JudgeSpec::from(&run.experiment)),
            client: backing.clients.read.clone(),
            namespaces,
            clock,
            recorder: row.recorder().clone(),
            strict: true,
            known: Known::of(&events),
            guards: Vec::new(),
        });
        Ok(Self {
            backing,
            run,
            seed,
            desk,
            object,
            clock,
            slack,
            row,
            read: 0,
            measured: Vec::new(),
            told: 0,
            ended: false,
            observer,
            killer: None,
            vacancy: None,
            failed: None,
            fenced: false,
        })
    }

    /// The time by the run's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.timestamp(self.clock.now())
    }

    /// Somebody else drives the run, or it is gone.
    pub(super) fn is_fenced(&self) -> bool {
        self.fenced || self.killer.as_ref().is_some_and(Killer::is_fenced)
    }

    /// ConfigMaps of its own row and of the prober's, as far as they are part of the record.
    pub(super) const fn chunks(&self) -> (u64, u64) {
        (self.row.chunks(), self.told)
    }

    /// Kills and skips so far.
    pub(super) fn kills(&self) -> (u64, u64) {
        let count = |wanted: fn(&Event) -> bool| self.observer.events().iter().filter(|event| wanted(event)).count();
        let kills = count(
            |event| matches!(event, Event::Kill(kill) if matches!(kill.outcome, Outcome::Killed | Outcome::Unknown)),
        );
        (kills as u64, count(|event| matches!(event, Event::Skipped { .. })) as u64)
    }

    /// Takes notice of what happened since the last look.
    pub(super) fn take_news(&mut self, link: &Link) {
        if self.ended {
            return;
        }
        let mut news = self.row.recorder().since(self.read);
        self.read += news.len();
        let (events, chunks) = link.take();
        self.told = chunks;
        self.measured.extend(events.iter().cloned());
        news.extend(events);
        self.observer.take(news);
    }

    /// What the step function looks at.
    pub(super) fn view(&self, in_baseline: bool) -> RunView {
        RunView { killer_done: self.killer.as_ref().is_some_and(Killer::is_done), ..self.observer.view(in_baseline) }
    }

    /// Why the run must end. What is not kept proves nothing, so nothing more is done for it.
    pub(super) fn stop_cause(&self) -> Option<StopCause> {
        let unkept = self.unkept().map(|message| StopCause::Journal { message });
        let trouble = self.killer.as_ref().and_then(Killer::trouble);
        let trouble = trouble.map(|message| StopCause::Killer { message });
        self.observer.stop_cause().or_else(|| self.failed.clone()).or(unkept).or(trouble)
    }

    /// Why what happens is not kept any more, if that is so.
    pub(super) fn unkept(&self) -> Option<String> {
        self.row.failure(self.run.experiment.limits.max_blind.std())
    }

    /// Carries an action of the phases out.
    pub(super) async fn perform(&mut self, action: RunAction, link: &Link) {
        // Whoever is not let in by now never is.
        self.vacancy = None;
        match action {
            RunAction::StartProbes => {
                self.row.phase(self.clock.now(), Phase::Baseline);
                self.await_prober(link, Reached::Loading, START_WITHIN).await;
            }
            RunAction::AskBefore => {
                let patience = patience::of_looks(&self.run.experiment);
                self.await_before(link, patience).await;
            }
            RunAction::StartKiller { until } => {
                self.row.phase(self.clock.now(), Phase::Fault);
                self.vacancy = self.killer.is_none().then_some(Vacancy::new(until));
            }
            RunAction::StopKiller => self.rest_killer().await,
            RunAction::BeginRecovery => self.row.phase(self.clock.now(), Phase::Recovery),
            RunAction::NoteStop(cause) => {
                self.note_stop(cause);
                // A server may take its time to write that, in which nobody must be killed any more. The status tells the cause by
                // now, and what follows writes the note: the killer rests first.
                if let Some(killer) = &self.killer {
                    killer.begin_to_rest();
                }
                return;
            }
            RunAction::StopProbes => {
                self.row.phase(self.clock.now(), Phase::WindDown);
                self.await_prober(link, Reached::Stopped, patience::of_load(&self.run.experiment)).await;
            }
            RunAction::AskAfter => {
                let patience = patience::of_looks(&self.run.experiment);
                self.await_prober(link, Reached::AfterAsked, patience).await;
                self.take_news(link);
            }
            RunAction::CleanUp => self.clean_up().await,
        }
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "the record of a run could not be written, and is tried again");
        }
        self.fill_vacancy().await;
    }

    /// Waits for the looks before the fault, which may take minutes, unless the run is known to end meanwhile: load is on.
    async fn await_before(&mut self, link: &Link, patience: Duration) {
        let waited = tokio::select! {
            waited = link.wait_for(&Reached::BeforeAsked, patience) => waited,
            () = self.ending(link) => return,
        };
        self.take_wait(&Reached::BeforeAsked, waited);
    }

    /// Waits until the run has to end, whatever its prober does.
    async fn ending(&mut self, link: &Link) {
        let machine = RunMachine::new(&self.run.experiment);
        loop {
            self.take_news(link);
            let seen = RunView { stop: self.stop_cause(), ..self.view(false) };
            if self.object.borrow().is_aborted() || machine.must_end(&seen, self.now()) {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn await_prober(&mut self, link: &Link, stage: Reached, patience: Duration) {
        let waited = link.wait_for(&stage, patience).await;
        self.take_wait(&stage, waited);
    }

    fn take_wait(&mut self, stage: &Reached, waited: Result<(), StopCause>) {
        if let Err(cause) = waited {
            self.failed.get_or_insert_with(|| cause.clone());
            // A run that is winding down is not stopped any more, but what it measured ends here all the same.
            if matches!(stage, Reached::Stopped | Reached::AfterAsked) {
                self.note_stop(cause);
            }
        }
    }

    /// The first cause is what ends a run.
    fn note_stop(&self, cause: StopCause) {
        let alike = |event: &Event| matches!(event, Event::Stop { .. });
        self.row.record_once(Event::Stop { at: self.clock.now(), cause }, alike);
    }

    async fn clean_up(&mut self) {
        let left = self.dismiss_killer().await;
        let alike = |event: &Event| matches!(event, Event::WoundDown { .. });
        self.row.record_once(Event::WoundDown { at: self.clock.now(), left }, alike);
    }

    /// Lets the killer finish what it has in hand, and writes what was recorded.
    pub(super) async fn leave(&mut self) {
        match self.killer.take() {
            Some(Killer::Kept(kept)) => _ = kept.leave().await,
            // A monkey goes on by itself; whoever takes the run up finds it.
            other => drop(other),
        }
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "the record of a run could not be written when it was left");
        }
    }

    /// The whole record, ended by the exit code of what it proves, and its digest. What could not be written is known to nobody
    /// else: the run was stopped by that, whatever it had shown, and there is no digest for others to compare with.
    pub(super) async fn finish(&mut self, spec: &JudgeSpec) -> (Vec<Event>, Option<String>) {
        self.ended = true;
        let exit_code = judge(spec, &merge(&self.row.recorder().events(), &self.measured)).verdict.exit_code.code();
        let alike = |event: &Event| matches!(event, Event::Finished { .. });
        self.row.record_once(Event::Finished { at: self.clock.now(), exit_code }, alike);
        if let Err(error) = self.write_the_rest().await {
            let alike = |event: &Event| matches!(event, Event::Stop { cause: StopCause::Journal { .. }, .. });
            let cause = StopCause::Journal { message: error.to_string() };
            self.row.record_once(Event::Stop { at: self.clock.now(), cause }, alike);
            return (merge(&self.row.recorder().events(), &self.measured), None);
        }
        let merged = merge(&self.row.kept(), &self.measured);
        let digest = digest(&merged);
        (merged, Some(digest))
    }

    /// Writes what is left, for as long as trying again may help.
    async fn write_the_rest(&mut self) -> Result<(), WriteError> {
        let mut written = self.write().await;
        for _ in 1..LAST_TRIES {
            match &written {
                Err(error) if error.may_pass() && !self.row.is_refused() => {
                    tracing::warn!(%error, "the end of a record could not be written, and is tried again");
                }
                _ => break,
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            written = self.write().await;
        }
        written
    }

    /// Writes what was recorded.
    pub(super) async fn write(&mut self) -> Result<(), WriteError> {
        let written = self.row.write().await;
        self.fenced |= is_fence(&written);
        self.hold_unkept();
        written
    }

    /// Writes if it is time to, and lets the killer in who has waited for that.
    pub(super) async fn write_in_time(&mut self) -> Result<(), WriteError> {
        let written = self.row.write_in_time().await;
        self.fenced |= is_fence(&written);
        self.hold_unkept();
        self.fill_vacancy().await;
        written
    }

    fn note(&self, text: String) {
        self.row.recorder().record(Event::Note { at: self.clock.now(), text });
    }
}

/// Whether a write says that somebody else drives the run, or that it is gone.
const fn is_fence(written: &Result<(), WriteError>) -> bool {
    matches!(written, Err(WriteError::Taken | WriteError::Gone))
}

/// SHA-256 over a whole record, in hex: whoever has the same digest has judged the same.
pub fn digest(events: &[Event]) -> String {
    let mut lines = Vec::new();
    for event in events {
        // Events are made of texts and numbers: they always serialise.
        lines.extend(serde_json::to_vec(event).unwrap_or_default());
        lines.push(b'\n');
    }
    sha256_hex(&lines)
}

#[cfg(test)]
mod tests;
