//! The simulated cluster of an ExperimentRun: its object with what people want and a status, the two rows of its evidence, and
//! the pods. It checks the invariants at every write.

use std::collections::{BTreeSet, VecDeque};

use chaos_core::api::{ExperimentRunStatus, ProberStage, RunPhase};
use chaos_core::model::Mode;
use chaos_core::prober::{Reached, Report};
use chaos_core::record::Event;
use jiff::Timestamp;

use super::bugs::Bug;
use super::scenario::{Scenario, Wish};
use crate::desk::{Careless, Kept, Object};
use crate::faults::Fault;
use crate::history::note;
use crate::seats::{Chair, Dice, Shared, Stage, millis};
use crate::strikes::cluster::{Cluster, cluster, start};
use crate::strikes::scenario::Scenario as Pods;
use crate::watch::MOST_BEHIND;

/// A handle on the cluster of a run.
pub(crate) type World = Shared<State>;

pub(crate) struct State {
    pub(crate) now: Timestamp,
    dice: Dice,
    pub(crate) scenario: Scenario,
    /// Absent once it was deleted.
    pub(crate) object: Option<Object<ExperimentRunStatus>>,
    pub(crate) wanted: Wanted,
    /// The same as it was in each generation of the object, from the first on.
    wanted_in: Vec<Wanted>,
    /// The latest statuses, the oldest first, for bugs that read them.
    past: VecDeque<ExperimentRunStatus>,
    /// The operator's row of the evidence, and the prober's.
    rows: [Vec<Chunk>; 2],
    pub(crate) pods: Cluster,
    /// Whoever is told of changes.
    chairs: Vec<Chair>,
    pub(crate) record: Record,
}

/// What people want of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub(crate) abort: bool,
    pub(crate) approved: bool,
}

/// Whose row of the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Operator,
    Prober,
}

/// A ConfigMap of a row.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) writer: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) report: Option<Report>,
}

/// What happened, for the accounts.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// When people asked it to end, or deleted it.
    pub(crate) ended_at: Option<Timestamp>,
    /// It was before it wound down.
    pub(crate) is_cut_short: bool,
    /// When the prober was told to stop.
    pub(crate) stop_ordered_at: Option<Timestamp>,
    /// The prober that wrote the first report is there no more, and had not told all.
    pub(crate) is_prober_lost: bool,
    /// Load was on.
    pub(crate) was_loaded: bool,
}

/// A cluster with a new run.
pub(crate) fn world(scenario: Scenario) -> World {
    World::new(State {
        now: start(),
        dice: Dice::new(scenario.seed.wrapping_add(1 << 40)),
        scenario,
        object: Some(Object::new(ExperimentRunStatus::default())),
        wanted: Wanted::default(),
        wanted_in: vec![Wanted::default()],
        past: VecDeque::new(),
        rows: [Vec::new(), Vec::new()],
        pods: cluster(Pods::of_run(scenario.seed, scenario.faults)),
        chairs: Vec::new(),
        record: Record::default(),
    })
}

impl Stage for State {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    fn advance(&mut self, to: Timestamp) {
        while let Some(at) = self.next_wish().filter(|at| *at <= to) {
            self.now = self.now.max(at);
            self.wish();
        }
        self.now = self.now.max(to);
        self.pods.lock().advance(to);
    }

    fn next_event(&self) -> Option<Timestamp> {
        self.next_wish()
    }
}

impl Kept for State {
    type Status = ExperimentRunStatus;

    fn object(&mut self) -> Option<&mut Object<ExperimentRunStatus>> {
        self.object.as_mut()
    }

    fn careless(&self) -> Careless {
        Careless {
            about_version: self.has(Bug::StatusWithoutVersion),
            about_conflict: self.has(Bug::ConflictIsSaved),
            about_change: self.has(Bug::ChangeIgnored),
        }
    }

    fn fault(&mut self) -> Fault {
        let is_late = self.now > self.scenario.troubled_until();
        self.dice.fault(if is_late { 0 } else { self.scenario.faults })
    }

    fn check(&mut self, after: &ExperimentRunStatus) {
        let Some(object) = &self.object else { return };
        let before = &object.status;
        note(self.now, || format!("{:?}, order {:?}", after.phase, after.probing));
        let order = |status: &ExperimentRunStatus| status.probing.as_ref().map(|probing| probing.order);
        assert!(order(after) >= order(before), "{:?} was ordered after {:?}", order(after), order(before));
        let phase = |status: &ExperimentRunStatus| status.phase.map(|phase| phase as u8);
        assert!(phase(after) >= phase(before), "{:?} came after {:?}", after.phase, before.phase);
        assert!(before.verdict.is_none() || before.verdict == after.verdict, "the verdict was changed");
        if let Some(intent) = new_intents(before, after).first() {
            assert!(order(before) == Some(ProberStage::Load), "kill {intent} was decided after {:?}", order(before));
            assert!(!self.wanted.abort, "kill {intent} was decided after the run was told to end");
        }
        let forgotten = forgotten(before, after);
        assert!(forgotten.is_empty(), "what became of the kills {forgotten:?} was taken back");
        if phase(after) >= Some(RunPhase::Starting as u8) && after.phase != Some(RunPhase::Completed) {
            self.is_allowed();
        }
        if order(after) > Some(ProberStage::Load) {
            self.record.stop_ordered_at.get_or_insert(self.now);
        }
        if order(after) != order(before) {
            let lag = self.dice.between(0, 1_000);
            self.chairs.iter().for_each(|chair| chair.wake_by(self.now + lag));
        }
        if self.has(Bug::StatusFromCache) {
            self.past.extend(self.object.as_ref().map(|object| object.status.clone()));
            self.past.drain(..self.past.len().saturating_sub(MOST_BEHIND));
        }
    }
}

/// Kills with an outcome before, and without one after. The oldest may be dropped, but no run has so many.
fn forgotten(before: &ExperimentRunStatus, after: &ExperimentRunStatus) -> Vec<String> {
    let after: BTreeSet<&String> = after.killer.iter().flat_map(|killer| &killer.history).map(|k| &k.nonce).collect();
    let before = before.killer.iter().flat_map(|killer| &killer.history).map(|kill| &kill.nonce);
    before.filter(|nonce| !after.contains(nonce)).cloned().collect()
}

fn new_intents(before: &ExperimentRunStatus, after: &ExperimentRunStatus) -> Vec<String> {
    let known: BTreeSet<&String> = before.killer.iter().flat_map(|killer| &killer.intents).map(|i| &i.nonce).collect();
    let now = after.killer.iter().flat_map(|killer| &killer.intents).map(|intent| &intent.nonce);
    now.filter(|nonce| !known.contains(nonce)).cloned().collect()
}

impl State {
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.scenario.bug == Some(bug)
    }

    /// Tells that chair when something changes.
    pub(crate) fn tell(&mut self, chair: Chair) {
        self.chairs.push(chair);
    }

    /// What people wanted in a generation of the object.
    pub(crate) fn wanted_in(&self, generation: u64) -> Wanted {
        let index = usize::try_from(generation).unwrap_or_default().checked_sub(1);
        index.and_then(|index| self.wanted_in.get(index)).copied().unwrap_or(self.wanted)
    }

    /// The status as a process finds it that begins.
    pub(crate) fn found(&mut self) -> Option<ExperimentRunStatus> {
        if !self.past.is_empty() {
            let behind = self.dice.below(self.past.len());
            return self.past.get(behind).cloned();
        }
        self.status().cloned()
    }

    pub(crate) fn status(&self) -> Option<&ExperimentRunStatus> {
        self.object.as_ref().map(|object| &object.status)
    }

    /// When people want the next thing.
    fn next_wish(&self) -> Option<Timestamp> {
        let end = match self.scenario.wish {
            Wish::Abort(at) | Wish::Delete(at) if self.record.ended_at.is_none() => Some(at),
            _ => None,
        };
        let approval = self.scenario.approval.at().filter(|_| !self.wanted.approved);
        end.into_iter().chain(approval).min().map(|at| start() + millis(at))
    }

    fn wish(&mut self) {
        let is_due = |at: i64| start() + millis(at) <= self.now;
        if self.scenario.approval.at().is_some_and(is_due) {
            self.wanted.approved = true;
        }
        match self.scenario.wish {
            Wish::Abort(at) if is_due(at) => {
                self.wanted.abort = true;
                let phase = self.status().and_then(|status| status.phase);
                self.record.is_cut_short |= phase.map(|phase| phase as u8) < Some(RunPhase::WindingDown as u8);
                self.record.ended_at.get_or_insert(self.now);
            }
            Wish::Delete(at) if is_due(at) => {
                self.object = None;
                self.rows = [Vec::new(), Vec::new()];
                self.record.ended_at.get_or_insert(self.now);
            }
            _ => {}
        }
        if let Some(object) = &mut self.object {
            object.changed(self.now);
            self.wanted_in.push(self.wanted);
        }
        let lag = self.dice.between(0, 1_000);
        self.chairs.iter().for_each(|chair| chair.wake_by(self.now + lag));
    }

    /// Something is about to be touched: somebody must have wanted that.
    pub(crate) fn is_allowed(&self) {
        assert!(self.scenario.mode == Mode::Live, "a dry run touches something");
        assert!(
            !self.scenario.approval.is_needed() || self.wanted.approved,
            "a plan is carried out that nobody approved"
        );
    }

    /// What a row has from a number on.
    pub(crate) fn read(&self, role: Role, from: usize) -> &[Chunk] {
        self.rows[role as usize].get(from..).unwrap_or_default()
    }

    /// Writes the ConfigMap with that number, which can be written once. Whoever finds one of its own there has written it
    /// before. `Err`: it is somebody else's.
    pub(crate) fn append(&mut self, role: Role, number: usize, chunk: Chunk) -> Result<&Chunk, ()> {
        let row = &mut self.rows[role as usize];
        if number == row.len() {
            row.push(chunk);
            return Ok(&row[number]);
        }
        row.get(number).filter(|known| known.writer == chunk.writer).ok_or(())
    }

    /// A prober's process has ended, which had claimed the run.
    pub(crate) fn prober_ended(&mut self, instance: u64) {
        let row = &self.rows[Role::Prober as usize];
        let is_its = row.first().is_some_and(|chunk| chunk.writer == instance);
        let reached = row.iter().rev().find_map(|chunk| chunk.report.as_ref()).map(|report| &report.reached);
        self.record.is_prober_lost |= is_its && reached != Some(&Reached::AfterAsked);
    }
}
