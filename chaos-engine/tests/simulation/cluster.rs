//! The simulated cluster: pods that terminate and are replaced, budgets and statuses with versions, a stop switch, a clock
//! that only moves when everybody waits, and a record of everything that was killed. It checks the invariants at every kill.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use chaos_core::killer::{BudgetVersion, KillOrder, Ledger, VersionedBudget};
use chaos_core::limits::WorkloadBudget;
use chaos_core::population::{
    NamespaceFacts, OwnerFacts, PodFacts, Population, SwitchState, WorkloadFacts, WorkloadKey,
};
use jiff::{SignedDuration, Timestamp};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::bugs::Bug;

pub(crate) const NS: &str = "dispatch";

/// What a schedule is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    /// Chance in a thousand that a call goes wrong.
    pub(crate) faults: u32,
    /// Chance in a thousand, at every turn, that the actor crashes.
    pub(crate) crashes: u32,
    /// Chance in a thousand, at every turn, that the actor stands still for up to two minutes.
    pub(crate) pauses: u32,
    /// Crash the first actor at exactly this turn.
    pub(crate) crash_at: Option<u64>,
    pub(crate) max_unavailable: u32,
    pub(crate) min_interval_millis: i64,
    pub(crate) stop_switch: bool,
    /// Foreigners drain pods too: availability is then not ours alone to keep.
    pub(crate) drains: bool,
    /// The run that the monkey belongs to falls silent.
    pub(crate) falls_silent: bool,
    /// For how long the API server is out of reach, in simulated milliseconds.
    pub(crate) away_millis: i64,
    /// Chance in a thousand, at every turn, that the clock of the actor's machine is set wrong, by up to an hour.
    pub(crate) jumps: u32,
}

/// A handle on the cluster.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Mutex<State>>);

pub(crate) struct State {
    pub(crate) now: Timestamp,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) scenario: Scenario,
    pods: Vec<Pod>,
    pub(crate) budgets: BTreeMap<String, Vec<WorkloadBudget>>,
    pub(crate) statuses: BTreeMap<String, Status>,
    pub(crate) stopped_at: Option<Timestamp>,
    /// Kills that take effect later than they were answered.
    late: Vec<(Timestamp, KillOrder, String)>,
    pub(crate) sends: Vec<Send>,
    pub(crate) effects: Vec<Effect>,
    next_uid: u64,
    /// The facts of some time ago, for bugs that read them.
    old_facts: Option<Population>,
}

/// The status of a monkey.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Status {
    pub(crate) version: u64,
    pub(crate) driver: u64,
    pub(crate) ledger: Ledger,
    /// The ledger one write ago.
    pub(crate) before: Ledger,
}

#[derive(Debug, Clone)]
struct Pod {
    facts: PodFacts,
    /// When it is gone, once it terminates.
    gone_at: Option<Timestamp>,
    /// When it becomes ready.
    ready_at: Timestamp,
}

/// A kill request that left an actor.
#[derive(Debug, Clone)]
pub(crate) struct Send {
    pub(crate) uid: String,
    pub(crate) workload: String,
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

/// What the server did with a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Killed,
    Gone,
}

impl Cluster {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let mut state = State {
            now: start(),
            rng: ChaCha8Rng::seed_from_u64(scenario.seed),
            scenario,
            pods: Vec::new(),
            budgets: BTreeMap::new(),
            statuses: BTreeMap::new(),
            stopped_at: None,
            late: Vec::new(),
            sends: Vec::new(),
            effects: Vec::new(),
            next_uid: 0,
            old_facts: None,
        };
        for (workload, replicas) in WORKLOADS {
            for index in 0..replicas {
                state.add_pod(workload, index, start());
            }
        }
        // Not opted in: whoever kills it is wrong.
        let outsider = state.add_pod("trips", 90, start());
        state.pods[outsider].facts.labels.clear();
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// Name and wanted pods of each workload.
const WORKLOADS: [(&str, u32); 2] = [("trips", 3), ("gateway", 4)];

/// When a run falls silent, and when the API server goes away, in milliseconds from the start.
const SILENT_FROM: i64 = 9_000;
const AWAY_FROM: i64 = 6_000;

/// 2026-11-23T12:00:00Z, a Monday.
pub(crate) const fn start() -> Timestamp {
    Timestamp::constant(1_795_435_200, 0)
}

pub(crate) fn millis(millis: i64) -> SignedDuration {
    SignedDuration::from_millis(millis)
}

fn version(number: usize) -> BudgetVersion {
    BudgetVersion::At { version: number.to_string(), uid: "lease".into() }
}

pub(crate) fn key(workload: &str) -> WorkloadKey {
    WorkloadKey {
        namespace: NS.into(),
        kind: "StatefulSet".into(),
        name: workload.into(),
        uid: format!("uid-{workload}"),
    }
}

impl State {
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.rng.random_range(0..1000) < per_mille
    }

    pub(crate) fn between(&mut self, low: i64, high: i64) -> SignedDuration {
        millis(self.rng.random_range(low..=high))
    }

    /// The last beat of a run that has fallen silent by now.
    pub(crate) fn silent_at(&self) -> Option<Timestamp> {
        let at = start() + millis(SILENT_FROM);
        (self.scenario.falls_silent && self.now >= at).then_some(at)
    }

    /// Whether nobody reaches the API server.
    pub(crate) fn is_away(&self) -> bool {
        let since = self.now.duration_since(start() + millis(AWAY_FROM));
        since >= millis(0) && since < millis(self.scenario.away_millis)
    }

    /// Moves the clock, and everything that follows from time alone.
    pub(crate) fn advance(&mut self, to: Timestamp) {
        self.now = self.now.max(to);
        let due: Vec<_> = self.late.iter().filter(|(at, ..)| *at <= self.now).cloned().collect();
        self.late.retain(|(at, ..)| *at > self.now);
        for (_, order, run) in due {
            self.kill(&order, &run);
        }
        let now = self.now;
        let gone: Vec<_> = self.pods.iter().filter(|pod| pod.gone_at.is_some_and(|at| at <= now)).cloned().collect();
        self.pods.retain(|pod| pod.gone_at.is_none_or(|at| at > now));
        for pod in gone {
            // The replacement has the name of the pod before, as in a StatefulSet, and another UID.
            let workload = pod.facts.workload.map(|key| key.name).unwrap_or_default();
            let index = pod.facts.name.rsplit('-').next().and_then(|i| i.parse().ok()).unwrap_or(0);
            let ready_at = now + self.between(20, 3_000);
            self.add_pod(&workload, index, ready_at);
        }
        for pod in &mut self.pods {
            pod.facts.ready = pod.ready_at <= now;
        }
        if self.old_facts.as_ref().is_none_or(|old| now.duration_since(old.taken_at) > millis(4_000)) {
            self.old_facts = Some(self.facts());
        }
    }

    /// The next instant at which something happens by itself.
    pub(crate) fn next_event(&self) -> Option<Timestamp> {
        let pods = self.pods.iter().flat_map(|pod| pod.gone_at.into_iter().chain(Some(pod.ready_at)));
        pods.chain(self.late.iter().map(|(at, ..)| *at)).filter(|at| *at > self.now).min()
    }

    pub(crate) fn facts(&self) -> Population {
        let bug = self.scenario.bug;
        let switch = match self.stopped_at {
            Some(_) if bug != Some(Bug::SwitchIgnored) => SwitchState::Stopped,
            _ => SwitchState::Running,
        };
        let enabled = BTreeMap::from([("chaos.dispatch.dev/enabled".to_owned(), "true".to_owned())]);
        let mut pods: Vec<_> = self.pods.iter().map(|pod| pod.facts.clone()).collect();
        if bug == Some(Bug::TerminatingServes) {
            pods.iter_mut().for_each(|pod| pod.terminating = false);
        }
        if bug == Some(Bug::UnreadyServes) {
            pods.iter_mut().for_each(|pod| pod.ready = true);
        }
        if bug == Some(Bug::OptInIgnored) {
            pods.iter_mut().for_each(|pod| pod.labels.clone_from(&enabled));
        }
        Population {
            taken_at: self.now,
            environment: None,
            switch,
            namespaces: vec![NamespaceFacts { name: NS.into(), labels: enabled, stopped: false, terminating: false }],
            workloads: WORKLOADS
                .map(|(name, desired)| WorkloadFacts { key: key(name), desired, rollout: None, terminating: false })
                .to_vec(),
            pods,
            nodes: None,
            budgets: Vec::new(),
        }
    }

    /// Facts of up to four seconds ago that pretend to be of now.
    pub(crate) fn stale_facts(&self) -> Population {
        let old = self.old_facts.clone().unwrap_or_else(|| self.facts());
        Population { taken_at: self.now, ..old }
    }

    pub(crate) fn budget(&self, workload: &WorkloadKey) -> VersionedBudget {
        let versions = self.budgets.get(&workload.uid).map(Vec::as_slice).unwrap_or_default();
        let Some(budget) = versions.last() else {
            return VersionedBudget { version: BudgetVersion::Absent, budget: WorkloadBudget::default() };
        };
        let budget = match self.scenario.bug {
            Some(Bug::BudgetFromCache) => versions[versions.len().saturating_sub(3)].clone(),
            _ => budget.clone(),
        };
        VersionedBudget { version: version(versions.len()), budget }
    }

    /// Writes a budget if it is still at that version. Whether it was.
    pub(crate) fn write_budget(
        &mut self,
        workload: &WorkloadKey,
        at: &BudgetVersion,
        budget: WorkloadBudget,
    ) -> Option<BudgetVersion> {
        let versions = self.budgets.entry(workload.uid.clone()).or_default();
        let current = if versions.is_empty() { BudgetVersion::Absent } else { version(versions.len()) };
        if *at != current && self.scenario.bug != Some(Bug::BudgetWithoutVersion) {
            return None;
        }
        let last_kill = budget.last_kill.filter(|_| self.scenario.bug != Some(Bug::LastKillForgotten));
        versions.push(WorkloadBudget { last_kill, ..budget });
        Some(version(versions.len()))
    }

    /// Carries a kill out some time later.
    pub(crate) fn kill_later(&mut self, order: KillOrder, run: &str) {
        let at = self.now + self.between(1, 10_000);
        self.late.push((at, order, run.to_owned()));
    }

    /// Carries a kill out, and checks that it was allowed.
    pub(crate) fn kill(&mut self, order: &KillOrder, run: &str) -> Done {
        let now = self.now;
        let gone_at = now + self.between(5, 2_000);
        let ignores_uid = self.scenario.bug == Some(Bug::UidIgnored);
        let found = self.pods.iter_mut().find(|pod| pod.facts.name == order.victim.pod);
        let Some(pod) = found.filter(|pod| pod.facts.uid == order.victim.uid || ignores_uid) else {
            return Done::Gone;
        };
        if pod.facts.terminating {
            return Done::Killed;
        }
        assert!(!pod.facts.labels.is_empty(), "a pod that is not opted in was killed");
        assert_eq!(pod.facts.uid, order.victim.uid, "another pod of the same name was killed");
        pod.facts.terminating = true;
        pod.gone_at = Some(gone_at);
        let effect = Effect { run: run.to_owned(), strike: order.strike.strike, uid: order.victim.uid.clone() };
        let again = self.effects.iter().any(|e| e.run == effect.run && e.strike == effect.strike);
        assert!(!again, "strike {} of {run} killed twice", effect.strike);
        self.effects.push(effect);
        self.check_availability(&order.victim.workload_uid);
        Done::Killed
    }

    /// A foreigner drains a pod.
    pub(crate) fn drain(&mut self) {
        let gone_at = self.now + self.between(5, 2_000);
        let running: Vec<_> = (0..self.pods.len()).filter(|i| !self.pods[*i].facts.terminating).collect();
        if running.is_empty() {
            return;
        }
        let index = running[self.rng.random_range(0..running.len())];
        self.pods[index].facts.terminating = true;
        self.pods[index].gone_at = Some(gone_at);
    }

    fn check_availability(&self, workload_uid: &str) {
        if self.scenario.drains {
            return;
        }
        let of_it = |pod: &&Pod| {
            pod.facts.workload.as_ref().is_some_and(|key| key.uid == workload_uid) && !pod.facts.labels.is_empty()
        };
        let serving = self.pods.iter().filter(of_it).filter(|pod| pod.facts.ready && !pod.facts.terminating).count();
        // The outsider serves too, but nobody may count on that here: the limits are asked with all pods of the workload.
        let outsider = usize::from(workload_uid == "uid-trips");
        let desired = WORKLOADS
            .iter()
            .find(|(name, _)| key(name).uid == workload_uid)
            .map_or(0, |(_, desired)| *desired as usize);
        let unavailable = desired.saturating_sub(serving + outsider);
        let max = self.scenario.max_unavailable as usize;
        assert!(unavailable <= max, "{unavailable} of {desired} pods of {workload_uid} are unavailable, {max} may be");
    }

    fn add_pod(&mut self, workload: &str, index: u32, ready_at: Timestamp) -> usize {
        self.next_uid += 1;
        let labels = BTreeMap::from([("chaos.dispatch.dev/enabled".to_owned(), "true".to_owned())]);
        self.pods.push(Pod {
            facts: PodFacts {
                namespace: NS.into(),
                name: format!("{workload}-{index}"),
                uid: format!("pod-{}", self.next_uid),
                labels,
                owner: Some(OwnerFacts {
                    kind: "StatefulSet".into(),
                    name: workload.into(),
                    uid: format!("uid-{workload}"),
                }),
                workload: Some(key(workload)),
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
        self.pods.len() - 1
    }

    /// What a pod looks like now.
    pub(crate) fn sight(&self, name: &str, uid: &str) -> chaos_core::killer::Sighting {
        use chaos_core::killer::Sighting;
        match self.pods.iter().find(|pod| pod.facts.name == name && pod.facts.uid == uid) {
            None => Sighting::Gone,
            Some(pod) if pod.facts.terminating => Sighting::Terminating,
            Some(_) => Sighting::Alive,
        }
    }

    /// A random number of its own, for whoever needs one.
    pub(crate) fn draw(&mut self) -> u64 {
        self.rng.next_u64()
    }
}
