//! The simulated cluster: pods that terminate and are replaced, budgets and statuses with versions, a stop switch, a clock
//! that only moves when everybody waits, and a record of everything that was killed. It checks the invariants at every kill.

use std::collections::{BTreeMap, VecDeque};

use chaos_core::killer::{KillOrder, Ledger};
use chaos_core::limits::WorkloadBudget;
use chaos_core::population::{OwnerFacts, PodFacts, Population, WorkloadKey};
use chaos_core::record::PodChange;
use jiff::{SignedDuration, Timestamp};

use super::board::Board;
use super::bugs::Bug;
use super::people::People;
use super::records::Records;
use super::scenario::Scenario;
use crate::seats::{Dice, Shared, Stage, millis};
use crate::watch::{Change, Watch};

pub(crate) const NS: &str = "dispatch";

/// The namespace of the second workload, where that is another.
pub(super) const OTHER_NS: &str = "edge";

/// A handle on the cluster.
pub(crate) type Cluster = Shared<State>;

pub(crate) struct State {
    pub(crate) now: Timestamp,
    dice: Dice,
    pub(crate) scenario: Scenario,
    pub(super) pods: Vec<Pod>,
    /// Pods that each workload wants.
    pub(super) desired: [u32; 2],
    /// Until when each workload is rolled out, if somebody changed it.
    pub(super) rolls_until: [Option<Timestamp>; 2],
    /// Until then nothing follows from time alone.
    pub(super) quiet_until: Timestamp,
    pub(super) budgets: BTreeMap<String, Vec<WorkloadBudget>>,
    pub(crate) statuses: BTreeMap<String, Status>,
    /// What people want of a standing monkey.
    pub(super) people: People,
    /// How all monkeys stand, where there is a cap on them.
    pub(super) board: Board,
    pub(crate) stopped_at: Option<Timestamp>,
    /// Changes of the stop switch, and whether it was on then.
    switched: Vec<(Change, bool)>,
    /// Counts what is written of all that is watched together.
    pub(crate) written: u64,
    /// Kills that take effect later than they were answered.
    late: Vec<(Timestamp, KillOrder, String)>,
    pub(crate) sends: Vec<Send>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) records: Records,
    /// What was seen to happen to pods, if anybody looks.
    pub(crate) sightings: Vec<Sighting>,
    next_uid: u64,
    /// The facts of some events ago, for bugs that read them, and how many there had been.
    pub(super) old_facts: Option<(u64, Population)>,
}

/// The status of a monkey.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) version: u64,
    pub(crate) ledger: Ledger,
    /// The ledgers of some writes ago, the oldest first, for whoever is behind.
    pub(crate) before: VecDeque<Replaced>,
}

/// A ledger of a status, until a write replaced it.
#[derive(Debug)]
pub(crate) struct Replaced {
    pub(crate) version: u64,
    pub(crate) ledger: Ledger,
    pub(crate) by: Change,
}

/// A pod, and what is to become of it.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    pub(super) facts: PodFacts,
    /// When it is gone, once it terminates.
    pub(super) gone_at: Option<Timestamp>,
    /// When it becomes ready.
    ready_at: Timestamp,
}

/// A kill request that left an actor.
#[derive(Debug, Clone)]
pub(crate) struct Send {
    pub(super) run: String,
    pub(crate) uid: String,
    pub(crate) workload: String,
    pub(super) decided_at: Timestamp,
    pub(crate) at: Timestamp,
    /// The server said that it did not happen.
    pub(crate) was_refused: bool,
}

/// A kill that happened.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) run: String,
    pub(crate) strike: u64,
    pub(crate) uid: String,
}

/// Something that happened to a pod.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    pub(crate) at: Timestamp,
    pub(crate) what: PodChange,
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) owner: String,
}

/// What the server did with a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Killed,
    Gone,
    /// A disruption budget refused it.
    Blocked,
}

/// A cluster at the start.
pub(crate) fn cluster(scenario: Scenario) -> Cluster {
    let begins = scenario.begins();
    let mut state = State {
        now: begins,
        dice: Dice::new(scenario.seed),
        scenario,
        pods: Vec::new(),
        desired: scenario.size.pods,
        rolls_until: [None; 2],
        quiet_until: begins,
        budgets: BTreeMap::new(),
        statuses: BTreeMap::new(),
        people: People::new(&scenario),
        board: Board::default(),
        stopped_at: None,
        switched: Vec::new(),
        written: 0,
        late: Vec::new(),
        sends: Vec::new(),
        effects: Vec::new(),
        records: Records::default(),
        sightings: Vec::new(),
        next_uid: 0,
        old_facts: None,
    };
    for (workload, replicas) in WORKLOADS.into_iter().zip(scenario.size.pods) {
        for index in 0..replicas {
            state.add_pod(workload, index, begins);
        }
    }
    // Not opted in: whoever kills it is wrong.
    let outsider = state.add_pod("trips", OUTSIDER, begins);
    state.pods[outsider].facts.labels.clear();
    Cluster::new(state)
}

/// Names of the workloads.
pub(super) const WORKLOADS: [&str; 2] = ["trips", "gateway"];

/// Number of the pod that is not opted in.
pub(super) const OUTSIDER: u32 = 90;

/// 2026-11-23T12:00:00Z, a Monday. Where an hour or a day turns meanwhile, it begins at another time.
pub(crate) const fn start() -> Timestamp {
    Timestamp::constant(1_795_435_200, 0)
}

impl Scenario {
    pub(super) fn key(&self, workload: &str) -> WorkloadKey {
        WorkloadKey {
            namespace: self.namespace(workload).into(),
            kind: "StatefulSet".into(),
            name: workload.into(),
            uid: format!("uid-{workload}"),
        }
    }
}

impl Stage for State {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    fn advance(&mut self, to: Timestamp) {
        if to >= self.quiet_until {
            while let Some(at) = self.next_event().filter(|at| *at <= to) {
                self.now = at;
                self.happens_now();
            }
            self.quiet_until = self.next_event().unwrap_or(Timestamp::MAX);
        }
        self.now = self.now.max(to);
        if self.scenario.bug == Some(Bug::FactsFromCache) {
            self.cache_facts();
        }
    }

    fn next_event(&self) -> Option<Timestamp> {
        let pods = self.pods.iter().flat_map(|pod| [pod.gone_at.unwrap_or(pod.ready_at), pod.ready_at]);
        pods.chain(self.late.iter().map(|(at, ..)| *at)).filter(|at| *at > self.now).min()
    }

    fn happen(&mut self) {
        self.want();
        if self.scenario.stop_switch {
            self.switch();
        }
        if self.scenario.has_foreigners && self.dice.chance(2) {
            self.meddle();
        }
    }

    fn is_over(&self) -> bool {
        self.scenario.cut().is_some_and(|cut| self.now > self.scenario.instant(cut))
    }
}

impl State {
    pub(crate) fn between(&mut self, low: i64, high: i64) -> SignedDuration {
        self.dice.between(low, high)
    }

    /// Somebody stops all, and takes it back again.
    fn switch(&mut self) {
        let stop_at = self.scenario.instant(self.scenario.size.stop_at);
        let resume_at = stop_at + millis(self.scenario.size.stop_for);
        let is_stopped = self.now >= stop_at && !(self.scenario.resumes && self.now >= resume_at);
        if is_stopped != self.stopped_at.is_some() {
            self.written += 1;
            self.switched.push((Change { number: self.written, at: self.now }, is_stopped));
            self.stopped_at = is_stopped.then_some(self.now);
        }
    }

    /// Whether the stop switch is on, as far as a watch has brought that.
    pub(crate) fn is_stopped_by(&self, watch: &Watch) -> bool {
        let mut brought =
            self.switched.iter().rev().filter(|(change, _)| watch.brings(*change, self.written, self.now));
        brought.next().is_some_and(|(_, is_stopped)| *is_stopped)
    }

    /// What follows at this instant from time alone.
    fn happens_now(&mut self) {
        let now = self.now;
        while let Some(index) = self.late.iter().position(|(at, ..)| *at <= now) {
            let (_, order, run) = self.late.swap_remove(index);
            self.kill(&order, &run);
        }
        while let Some(index) = self.pods.iter().position(|pod| pod.gone_at.is_some_and(|at| at <= now)) {
            // The replacement has the name of the pod before, as in a StatefulSet, and another UID.
            self.seen(index, &[PodChange::Deleted]);
            let Pod { facts, .. } = self.pods.swap_remove(index);
            let workload = facts.workload.map(|key| key.name).unwrap_or_default();
            let index = facts.name.rsplit('-').next().and_then(|i| i.parse().ok()).unwrap_or(0);
            if !self.wants(&workload, index) {
                continue;
            }
            let ready_at = now + self.dice.between(20, self.scenario.size.recovery.1);
            self.add_pod(&workload, index, ready_at);
        }
        for index in 0..self.pods.len() {
            let pod = &mut self.pods[index];
            if !std::mem::replace(&mut pod.facts.ready, pod.ready_at <= now) && pod.facts.ready {
                self.seen(index, &[PodChange::Ready]);
            }
        }
    }

    fn seen(&mut self, pod: usize, changes: &[PodChange]) {
        if !self.scenario.is_watched {
            return;
        }
        let (at, facts) = (self.now, &self.pods[pod].facts);
        let owner = facts.owner.as_ref().map(|owner| owner.uid.clone()).unwrap_or_default();
        let (pod, uid) = (facts.name.clone(), facts.uid.clone());
        let sighting =
            |what: &PodChange| Sighting { at, what: *what, pod: pod.clone(), uid: uid.clone(), owner: owner.clone() };
        self.sightings.extend(changes.iter().map(sighting));
    }

    /// The last beat of a run that has fallen silent by now.
    pub(crate) fn silent_at(&self) -> Option<Timestamp> {
        let at = self.scenario.instant(self.scenario.size.silent_from);
        (self.scenario.falls_silent && self.now >= at).then_some(at)
    }

    /// Until when nobody reaches the API server, if so.
    pub(crate) fn away_until(&self) -> Option<Timestamp> {
        let since = self.scenario.instant(self.scenario.size.away_from);
        let until = since + millis(self.scenario.away);
        (since <= self.now && self.now < until).then_some(until)
    }

    /// Carries a kill out some time later.
    pub(crate) fn kill_later(&mut self, order: KillOrder, run: &str) {
        let at = self.now + self.dice.between(1, self.scenario.size.late);
        self.late.push((at, order, run.to_owned()));
        self.quiet_until = self.quiet_until.min(at);
    }

    /// Carries a kill out, and checks that it was allowed.
    pub(crate) fn kill(&mut self, order: &KillOrder, run: &str) -> Done {
        let now = self.now;
        let gone_at = now + self.dice.between(5, self.scenario.size.recovery.0);
        let ignores_uid = self.scenario.bug == Some(Bug::UidIgnored);
        let is_it =
            |pod: &Pod| pod.facts.name == order.victim.pod && (pod.facts.uid == order.victim.uid || ignores_uid);
        let found = self.pods.iter().position(is_it);
        let is_blocked = found.is_some_and(|index| self.blocks(order, index));
        self.records.arrived(order, run, found.is_some() && !is_blocked);
        let Some(index) = found else { return Done::Gone };
        if is_blocked {
            return Done::Blocked;
        }
        self.written += 1;
        let pod = &mut self.pods[index];
        if pod.facts.terminating {
            return Done::Killed;
        }
        assert!(!pod.facts.labels.is_empty(), "a pod that is not opted in was killed");
        assert_eq!(pod.facts.uid, order.victim.uid, "another pod of the same name was killed");
        pod.facts.terminating = true;
        pod.gone_at = Some(gone_at);
        self.quiet_until = self.quiet_until.min(gone_at);
        let effect = Effect { run: run.to_owned(), strike: order.strike.strike, uid: order.victim.uid.clone() };
        let of_strike = self.effects.iter().filter(|e| e.run == effect.run && e.strike == effect.strike).count() as u64;
        assert!(of_strike < self.scenario.victims_of(run), "strike {} of {run} killed twice", effect.strike);
        self.effects.push(effect);
        self.seen(index, &[PodChange::Terminating, PodChange::EndpointOut]);
        self.check_availability(&order.victim.workload_uid);
        Done::Killed
    }

    pub(super) fn add_pod(&mut self, workload: &str, index: u32, ready_at: Timestamp) -> usize {
        self.next_uid += 1;
        let labels = BTreeMap::from([("chaos.dispatch.dev/enabled".to_owned(), "true".to_owned())]);
        self.pods.push(Pod {
            facts: PodFacts {
                namespace: self.scenario.namespace(workload).into(),
                name: format!("{workload}-{index}"),
                uid: format!("pod-{}", self.next_uid),
                labels,
                owner: Some(OwnerFacts {
                    kind: "StatefulSet".into(),
                    name: workload.into(),
                    uid: format!("uid-{workload}"),
                }),
                workload: Some(self.scenario.key(workload)),
                node: None,
                created_at: self.now,
                ready: ready_at <= self.now,
                ready_since: None,
                phase: "Running".into(),
                terminating: false,
                mirror: false,
                priority_class: None,
                template: None,
            },
            gone_at: None,
            ready_at,
        });
        let index = self.pods.len() - 1;
        self.seen(index, &[PodChange::Created]);
        index
    }
}
