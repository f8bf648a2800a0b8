//! The simulated cluster of a game day: its object with spec and status, the runs that it owns, and a record of everything
//! that was created. It checks the invariants at every write.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chaos_core::api::StepRecord;
use chaos_core::gameday::{Ledger, RunFact, RunOrder, RunOutcome};
use chaos_core::model::ConcurrencyPolicy;
use chaos_core::verdict::Conclusion;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::bugs::Bug;
use super::scenario::{Scenario, Wishes, is_slot, slots, start};
use crate::desk::{Careless, Kept, Object};
use crate::faults::Fault;
use crate::history::note;
use crate::seats::{Chair, Dice, Shared, Stage, millis};
use crate::watch::MOST_BEHIND;

/// A run that was asked to end does so after this.
const WINDS_DOWN: SignedDuration = millis(5_000);
/// A call that was not answered is carried out so much later at most, in milliseconds.
const LATE: i64 = 18_000;

/// A handle on the cluster.
pub(crate) type Cluster = Shared<State>;

pub(crate) struct State {
    pub(crate) now: Timestamp,
    dice: Dice,
    pub(crate) scenario: Scenario,
    /// The game day: what people want of it, and its status.
    pub(crate) wishes: Wishes,
    pub(crate) object: Object<Ledger>,
    /// The latest ledgers before this one, the oldest first, for bugs that read them.
    before: VecDeque<Ledger>,
    /// Why nothing may be started, if so.
    pub(crate) hold: bool,
    next_wish: Timestamp,
    runs: BTreeMap<String, Run>,
    late: Vec<(Timestamp, Call)>,
    /// Whoever is told of changes.
    chairs: Vec<Chair>,
    pub(crate) record: Record,
}

/// What happened, for the accounts.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Execution and experiment of every run that was ever created.
    created: BTreeSet<(String, String)>,
    /// Name and UID of the same.
    pub(crate) audit: BTreeSet<(String, String)>,
    /// Ids of executions that began.
    pub(crate) begun: BTreeSet<String>,
    /// Those of them that nobody ordered.
    pub(crate) of_slots: u64,
    /// Orders to start that began an execution.
    orders: BTreeSet<String>,
    /// Orders that were dealt with.
    pub(crate) dealt: u64,
    /// Slots of a suspension that was over when an operator looked again: it does not say when it ended.
    pub(crate) forgiven: u64,
    /// Suspensions that an operator has seen, and their ends.
    suspended: Vec<(Timestamp, Timestamp)>,
    seen_suspended_at: Option<Timestamp>,
}

/// An ExperimentRun.
#[derive(Debug, Clone)]
struct Run {
    uid: String,
    execution: String,
    ends: Timestamp,
    outcome: &'static str,
}

/// A call that changes something.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Create(Box<RunOrder>),
    Abort(String),
    Delete(String, Option<String>),
}

/// A cluster with a new game day.
pub(crate) fn cluster(scenario: Scenario) -> Cluster {
    let mut dice = Dice::new(scenario.seed);
    let next_wish = start() + dice.between(scenario.size.wishes.0, scenario.size.wishes.1);
    Cluster::new(State {
        now: start(),
        dice,
        scenario,
        wishes: Wishes::default(),
        object: Object::new(Ledger::default()),
        before: VecDeque::new(),
        hold: false,
        next_wish,
        runs: BTreeMap::new(),
        late: Vec::new(),
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
        while let Some(at) = self.next_event().filter(|at| *at <= to) {
            self.now = self.now.max(at);
            let now = self.now;
            while let Some(index) = self.late.iter().position(|(at, _)| *at <= now) {
                let (_, call) = self.late.swap_remove(index);
                self.carry_out(&call);
            }
            if self.next_wish <= now {
                self.wish();
            }
        }
        self.now = self.now.max(to);
    }

    fn next_event(&self) -> Option<Timestamp> {
        self.late.iter().map(|(at, _)| *at).chain([self.next_wish]).min()
    }

    fn is_over(&self) -> bool {
        self.now >= self.scenario.end()
    }
}

impl Kept for State {
    type Status = Ledger;

    fn object(&mut self) -> Option<&mut Object<Ledger>> {
        Some(&mut self.object)
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

    fn check(&mut self, ledger: &Ledger) {
        note(self.now, || {
            let steps = |steps: &[StepRecord]| steps.iter().map(|step| step.phase).collect::<Vec<_>>();
            let active: Vec<_> = ledger.active.iter().map(|of| (&of.id, steps(&of.steps))).collect();
            let past: Vec<_> = ledger.history.iter().map(|of| (&of.id, of.runs.len())).collect();
            format!("saved: {active:?}, history {past:?}")
        });
        let before = self.object.status.clone();
        for execution in &ledger.active {
            if before.active.iter().all(|known| known.id != execution.id) {
                self.begins(&execution.id);
            }
        }
        for result in &ledger.history {
            // One that was over at once is never seen at work.
            if !self.record.begun.contains(&result.id) {
                self.begins(&result.id);
            }
        }
        if ledger.suspended && self.wishes.suspend {
            self.record.seen_suspended_at.get_or_insert(self.now);
        }
        if before.suspended && !ledger.suspended {
            let [from, to] = [&before, ledger].map(|ledger| ledger.since.unwrap_or(start()));
            self.record.forgiven += slots(self.scenario.size, from, to);
        }
        self.record.dealt += u64::from(ledger.last_start != before.last_start);
        if self.has(Bug::StatusFromCache) {
            self.before.push_back(before);
            self.before.drain(..self.before.len().saturating_sub(MOST_BEHIND));
        }
    }
}

impl State {
    pub(crate) fn between(&mut self, low: i64, high: i64) -> SignedDuration {
        self.dice.between(low, high)
    }

    /// The ledger as a process finds it that begins.
    pub(crate) fn found(&mut self) -> Ledger {
        if !self.before.is_empty() {
            let behind = self.dice.below(self.before.len());
            return self.before[behind].clone();
        }
        self.object.status.clone()
    }

    /// Tells that chair when something changes.
    pub(crate) fn tell(&mut self, chair: Chair) {
        self.chairs.push(chair);
    }

    /// Somebody wants something else of the game day, or something holds the operator back. In the end it is suspended, and
    /// nothing holds anybody.
    fn wish(&mut self) {
        let size = self.scenario.size;
        let quiet_from = self.scenario.troubled_until();
        let is_last = self.now >= quiet_from;
        let next = self.now + self.dice.between(size.wishes.0, size.wishes.1);
        self.next_wish = if is_last { Timestamp::MAX } else { next.min(quiet_from) };
        if is_last {
            self.hold = false;
            self.suspend(true);
        } else if self.scenario.has_holds && self.dice.chance(300) {
            self.hold = !self.hold;
        } else if self.scenario.has_wishes {
            match self.dice.below(4) {
                0 => self.wishes.start = Some(format!("now{}", self.object.generation)),
                1 => {
                    let oldest = self.object.status.active.first();
                    self.wishes.abort = oldest.map(|execution| execution.id.clone()).into_iter().collect();
                }
                _ => self.suspend(!self.wishes.suspend),
            }
        } else {
            return;
        }
        self.object.changed(self.now);
        let lag = self.dice.between(0, 1_000);
        self.chairs.iter().for_each(|chair| chair.wake_by(self.now + lag));
    }

    fn suspend(&mut self, suspend: bool) {
        if self.wishes.suspend
            && !suspend
            && let Some(seen) = self.record.seen_suspended_at.take()
        {
            self.record.suspended.push((seen, self.now));
        }
        self.wishes.suspend = suspend;
    }

    /// An execution begins: what must hold then.
    fn begins(&mut self, id: &str) {
        assert!(self.record.begun.insert(id.to_owned()), "execution {id} began twice");
        assert!(!self.wishes.suspend, "execution {id} began while the game day is suspended");
        if let Some((order, _)) = id.rsplit_once('-') {
            assert!(self.record.orders.insert(order.to_owned()), "order {id} began two executions");
            return;
        }
        let slot = DateTime::strptime("%Y%m%dt%H%M%Sz", id).and_then(|slot| slot.to_zoned(TimeZone::UTC));
        let slot = slot.unwrap_or_else(|error| panic!("{id} names no slot: {error}")).timestamp();
        self.record.of_slots += 1;
        assert!(is_slot(self.scenario.size, slot), "execution {id} began for {slot}, which is no slot");
        let passed = self.record.suspended.iter().find(|(from, to)| *from <= slot && slot < *to);
        assert!(
            passed.is_none() || self.scenario.jumps > 0,
            "execution {id} began for {slot}, a slot that passed while the game day was suspended: {passed:?}"
        );
    }

    /// Those of the runs that are there.
    pub(crate) fn look(&self, names: &BTreeSet<String>) -> BTreeMap<String, RunFact> {
        let fact = |name: &String| {
            let run = self.runs.get(name)?;
            let over = (run.ends <= self.now).then(|| RunOutcome {
                outcome: Conclusion::read(run.outcome),
                reason: "X".to_owned(),
                message: String::new(),
            });
            Some((name.clone(), RunFact { uid: run.uid.clone(), over }))
        };
        names.iter().filter_map(fact).collect()
    }

    pub(crate) fn uid_of(&self, name: &str) -> Option<String> {
        self.runs.get(name).map(|run| run.uid.clone())
    }

    /// Carries a call out, or lets that be for some time.
    pub(crate) fn send(&mut self, call: Call, fault: Fault) {
        note(self.now, || format!("{call:?}: {fault:?}"));
        match fault {
            Fault::None | Fault::Done(_) => self.carry_out(&call),
            Fault::Late(_) => {
                let at = self.now + self.dice.between(1, LATE);
                self.late.push((at, call));
            }
            Fault::Never(_) => {}
        }
    }

    fn carry_out(&mut self, call: &Call) {
        match call {
            Call::Create(order) => self.create(order),
            Call::Abort(name) => {
                let ends = self.now + WINDS_DOWN;
                if let Some(run) = self.runs.get_mut(name).filter(|run| run.ends > ends) {
                    (run.ends, run.outcome) = (ends, "aborted");
                }
            }
            Call::Delete(name, uid) => {
                if self.runs.get(name).is_some_and(|run| uid.as_ref().is_none_or(|uid| *uid == run.uid)) {
                    self.runs.remove(name);
                }
            }
        }
    }

    /// Creates a run, if none has its name: what must hold then.
    fn create(&mut self, order: &RunOrder) {
        if self.runs.contains_key(&order.name) {
            return;
        }
        let identity = (order.execution.clone(), order.experiment.clone());
        assert!(self.record.begun.contains(&order.execution), "a run of {} that no status tells of", order.execution);
        let (execution, experiment) = &identity;
        // A clock that is set ahead ends the time for which a run is kept, so that a creation that comes late finds none.
        let is_new = self.record.created.insert(identity.clone()) || self.scenario.jumps > 0;
        assert!(is_new, "experiment {experiment} of execution {execution} was started twice");
        let of_others = self.alive().filter(|run| run.execution != order.execution);
        let others: Vec<&str> = of_others.map(|run| run.execution.as_str()).collect();
        // A clock that is wrong shortens the time for which a run is looked for whose creation was not answered.
        if self.scenario.concurrency != ConcurrencyPolicy::Allow && self.scenario.jumps == 0 {
            assert!(others.is_empty(), "a run of {execution} was started beside one of {others:?}");
        }
        let (low, high) = self.scenario.lasts;
        let ends = self.now + self.dice.between(low, high);
        let outcome = if self.dice.chance(self.scenario.fails) { "fail" } else { "pass" };
        let uid = format!("run-{}", self.record.created.len());
        self.record.audit.insert((order.name.clone(), uid.clone()));
        self.runs.insert(order.name.clone(), Run { uid, execution: order.execution.clone(), ends, outcome });
    }

    fn alive(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|run| run.ends > self.now)
    }

    /// Runs that are not over.
    pub(crate) fn at_work(&self) -> usize {
        self.alive().count()
    }

    /// Names of all runs that are there.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.runs.keys().map(String::as_str).collect()
    }

    pub(crate) fn created(&self) -> u64 {
        self.record.created.len() as u64
    }

    /// What is left of the error budget: mostly enough.
    pub(crate) fn left(&mut self) -> f64 {
        [0.9, 0.8, 0.7, 0.6, 0.45, 0.1][self.dice.below(6)]
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.scenario.bug == Some(bug)
    }
}
