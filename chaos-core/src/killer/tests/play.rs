//! A killer and a little world around it: it answers every action in a few lines, and the clock moves as the machine asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::*;
use crate::api::{ChaosMonkeySpec, Outcome};
use crate::limits::WorkloadBudget;
use crate::machine::Next;
use crate::population::{
    BudgetFacts, NamespaceFacts, OwnerFacts, PodFacts, Population, SwitchState, WorkloadFacts, WorkloadKey,
};
use crate::validate::{self, Meta};

/// The namespace of the killer.
pub(super) const NS: &str = "dispatch";

/// A killer and the little world around it.
pub(super) struct Play {
    pub(super) killer: Killer,
    pub(super) state: KillerState,
    pub(super) view: KillerView,
    pub(super) now: Timestamp,
    /// Pods that serve, by UID; that of one in another namespace begins with it and a slash.
    pub(super) pods: Vec<String>,
    /// A killed pod is replaced after this; `None`: never.
    pub(super) replaced_after: Option<SignedDuration>,
    pub(super) coming: Vec<(Timestamp, String)>,
    /// The budget of each workload and its version, by UID.
    pub(super) budgets: BTreeMap<String, (u64, WorkloadBudget)>,
    pub(super) answer: KillAnswerKind,
    pub(super) is_blind: bool,
    /// A namespace that cannot be seen: no look succeeds that is to see it.
    pub(super) hidden: Option<&'static str>,
    /// A disruption budget covers all pods, and lets any of them go.
    pub(super) has_budget: bool,
    /// What is heard of each guard, and when they were asked.
    pub(super) readings: Vec<Result<GuardReading, String>>,
    pub(super) asked: Vec<Timestamp>,
    /// How long the sources of guards take to answer.
    pub(super) answers_take: SignedDuration,
    /// How long a look takes; when each began, and what it was to see.
    pub(super) looks_take: SignedDuration,
    /// How much longer one of the whole target takes.
    pub(super) surveys_take: SignedDuration,
    pub(super) looks: Vec<(Timestamp, Scope)>,
    /// How long a budget takes to be written.
    pub(super) write_takes: SignedDuration,
    /// How long the next kill takes to be answered: less than nothing where the clock is set back meanwhile.
    pub(super) kill_takes: SignedDuration,
    /// When each kill was asked for.
    pub(super) orders: Vec<(Timestamp, KillOrder)>,
    pub(super) actions: Vec<&'static str>,
    pub(super) born: u64,
}

pub(super) fn start() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

pub(super) fn spec(change: impl FnOnce(&mut Value)) -> ChaosMonkeySpec {
    let mut spec = json!({
        "target": {"workloads": [{"kind": "Deployment", "name": "trips"}]},
        "fault": {"podKill": {"mode": "Evict", "group": "Workload"}},
        "mode": "Live", "meanTimeBetweenKills": "1h", "minTimeBetweenKills": "10m", "schedule": {}, "guards": [],
        "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 100, "minInterval": "0s", "recoverWithin": "1m",
            "maxBlind": "1m", "allowForce": false},
        "seed": 7,
    });
    change(&mut spec);
    serde_json::from_value(spec).unwrap()
}

fn killer(change: impl FnOnce(&mut Value)) -> Killer {
    let meta = Meta { name: "m".into(), namespace: NS.into(), uid: "run".into() };
    let monkey = validate::monkey(&spec(change), &meta).unwrap_or_else(|problems| panic!("{problems:?}"));
    Killer::new(KillerSpec::of_monkey(&monkey, "chaos-system"))
}

/// Every pod is a group of its own: each kill ends one group, and begins another.
pub(super) fn by_pod(spec: &mut Value) {
    spec["fault"]["podKill"]["group"] = json!("shard");
}

/// A run's monkey: 3 kills, one a second.
pub(super) fn of_run(spec: &mut Value) {
    spec["meanTimeBetweenKills"] = json!("1s");
    spec["minTimeBetweenKills"] = json!("400ms");
    spec["until"] = json!("2026-11-23T12:05:00Z");
    spec["maxKills"] = json!(3);
    spec["limits"]["maxKills"] = json!(3);
    spec["heartbeatLease"] = json!({"name": "beat", "interval": "2s"});
}

impl Play {
    pub(super) fn new(change: impl FnOnce(&mut Value)) -> Self {
        let killer = killer(change);
        let state = killer.resume(Ledger::default());
        Self {
            killer,
            state,
            view: KillerView::default(),
            now: start(),
            pods: (0..3).map(|i| format!("pod-{i}")).collect(),
            replaced_after: Some(SignedDuration::from_millis(300)),
            coming: Vec::new(),
            budgets: BTreeMap::new(),
            answer: KillAnswerKind::Accepted,
            is_blind: false,
            hidden: None,
            has_budget: false,
            readings: Vec::new(),
            asked: Vec::new(),
            answers_take: SignedDuration::ZERO,
            looks_take: SignedDuration::ZERO,
            surveys_take: SignedDuration::ZERO,
            looks: Vec::new(),
            write_takes: SignedDuration::ZERO,
            kill_takes: SignedDuration::ZERO,
            orders: Vec::new(),
            actions: Vec::new(),
            born: 3,
        }
    }

    /// Lets it work for that long, or until it is done. Whether it is done.
    pub(super) fn run(&mut self, span: SignedDuration) -> bool {
        let end = self.now + span;
        let mut response = None;
        for _ in 0..400_000 {
            match self.step(response.take()) {
                Next::Act(action) => response = Some(self.answer(action)),
                Next::Wait(None) => {
                    self.now = end;
                    return false;
                }
                Next::Wait(Some(until)) => {
                    assert!(until > self.now, "no busy loop");
                    if until > end {
                        self.now = end;
                        return false;
                    }
                    self.now = until;
                }
                Next::Done => return true,
            }
        }
        panic!("it never waits");
    }

    /// One step of the machine. A run that ever gave a sign of life gives one now.
    pub(super) fn step(&mut self, response: Option<Response>) -> Next<Action> {
        let ahead = std::mem::take(&mut self.view.ahead);
        let view = KillerView { beat: self.view.beat.map(|_| self.now), ahead, ..self.view.clone() };
        let step = self.killer.step(&self.state, &view, response, self.now);
        self.state = step.state;
        step.next
    }

    /// Changes the spec: a new machine goes on from what was saved.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        self.killer = killer(change);
        self.crash();
    }

    /// Kills the process and starts it again on what was saved.
    pub(super) fn crash(&mut self) {
        self.state = self.killer.resume(self.ledger().clone());
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.state.ledger
    }

    pub(super) fn ended(&self) -> Option<EndReason> {
        EndReason::parse(&self.ledger().ended.as_ref()?.reason)
    }

    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        self.ledger().history.iter().map(|kill| kill.outcome).collect()
    }

    pub(super) fn reasons(&self) -> BTreeSet<&str> {
        self.ledger().skipped.iter().map(|skip| skip.reason.as_str()).collect()
    }

    pub(super) fn answer(&mut self, action: Action) -> Response {
        match action {
            Action::Survey(scope) => Response::Observed(self.look(scope, Vec::new(), false)),
            Action::Observe { scope, budgets, guards } => {
                Response::Observed(self.look(scope, budgets, !guards.is_empty()))
            }
            Action::ReadBudget(workload) => {
                self.actions.push("read budget");
                Response::Budget(Ok(self.versioned(&workload.uid)))
            }
            Action::WriteBudget { workload, at, budget } => {
                self.actions.push("write budget");
                let uid = workload.uid;
                assert_eq!(at, self.versioned(&uid).version, "a budget is written under the version that was read");
                let written = self.budgets.get(&uid).map_or(0, |(written, _)| *written);
                self.budgets.insert(uid.clone(), (written + 1, budget));
                self.now += self.write_takes;
                Response::Stored(Stored::Done(self.versioned(&uid).version))
            }
            Action::Kill(order) => {
                self.actions.push("kill");
                self.orders.push((self.now, order.clone()));
                assert!(
                    self.ledger().intents.iter().any(|intent| intent.nonce == order.nonce),
                    "the intent is written first"
                );
                let reserved = &self.budget_of(&order.victim.workload_uid).reservations;
                assert!(!reserved.is_empty(), "the kill is reserved first");
                if matches!(self.answer, KillAnswerKind::Accepted | KillAnswerKind::Unknown) {
                    self.pods.retain(|uid| *uid != order.victim.uid);
                    self.coming.extend(self.replaced_after.map(|after| (self.now + after, order.victim.namespace)));
                }
                let at = self.now;
                self.now += std::mem::take(&mut self.kill_takes);
                Response::Kill(KillAnswer { at, kind: self.answer, message: None })
            }
            Action::LookUp(victim) => {
                let is_there = self.pods.contains(&victim.uid);
                Response::Found(if is_there { Sighting::Alive } else { Sighting::Gone })
            }
        }
    }

    /// A look, which takes its time. Before it guards are asked, if there are any.
    fn look(&mut self, scope: Scope, budgets: Vec<WorkloadKey>, asks_guards: bool) -> Result<Observation, String> {
        if self.is_hidden(&scope) {
            return Err("out of reach".into());
        }
        let readings = if asks_guards { self.asked_guards() } else { Vec::new() };
        let budgets = budgets.into_iter().map(|key| (key.clone(), Ok(self.versioned(&key.uid)))).collect();
        let population = Arc::new(self.facts(&scope));
        let is_whole = scope == Scope::Target;
        self.looks.push((self.now, scope));
        self.now += self.looks_take + if is_whole { self.surveys_take } else { SignedDuration::ZERO };
        Ok(Observation { budgets, readings, population })
    }

    fn is_hidden(&self, scope: &Scope) -> bool {
        self.is_blind || self.hidden.is_some_and(|namespace| sees(scope, namespace))
    }

    fn asked_guards(&mut self) -> Vec<Result<GuardReading, String>> {
        self.asked.push(self.now);
        self.now += self.answers_take;
        self.readings.clone()
    }

    /// The budget of the workload of that UID as it is.
    pub(super) fn budget_of(&self, uid: &str) -> WorkloadBudget {
        self.budgets.get(uid).map(|(_, budget)| budget.clone()).unwrap_or_default()
    }

    fn versioned(&self, uid: &str) -> VersionedBudget {
        let version = match self.budgets.get(uid) {
            None => BudgetVersion::Absent,
            Some((version, _)) => BudgetVersion::At { version: version.to_string(), uid: "lease".into() },
        };
        VersionedBudget { version, budget: self.budget_of(uid) }
    }

    pub(super) fn facts(&mut self, scope: &Scope) -> Population {
        let now = self.now;
        for (_, namespace) in self.coming.extract_if(.., |(at, _)| *at <= now) {
            let prefix = if namespace == NS { String::new() } else { format!("{namespace}/") };
            self.pods.push(format!("{prefix}pod-{}", self.born));
            self.born += 1;
        }
        let labels = [("chaos.dispatch.dev/enabled", "true"), ("chaos.dispatch.dev/allow-from", NS)];
        let labels: BTreeMap<_, _> = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let pods: Vec<_> = self.pods.iter().filter(|uid| sees(scope, namespace(uid))).collect();
        let names: BTreeSet<_> = pods.iter().map(|uid| namespace(uid)).chain([NS]).collect();
        Population {
            taken_at: self.now,
            environment: None,
            switch: SwitchState::Running,
            namespaces: names.iter().map(|name| namespace_facts(name, &labels)).collect(),
            workloads: names.iter().map(|name| workload(name)).collect(),
            pods: pods.iter().map(|uid| pod(uid, &labels)).collect(),
            nodes: None,
            budgets: if self.has_budget { vec![budget(&pods)] } else { Vec::new() },
        }
    }
}

/// Whether a look of that scope reads the workload of a namespace.
fn sees(scope: &Scope, namespace: &str) -> bool {
    let WorkloadKey { namespace, kind, name, .. } = key(namespace);
    let kind = SelectedKind::of(&kind).unwrap();
    scope.covers(&Scope::Workloads([WorkloadName { namespace, kind, name }].into()))
}

fn budget(pods: &[&String]) -> BudgetFacts {
    BudgetFacts {
        namespace: NS.to_owned(),
        name: "all".to_owned(),
        covers: pods.iter().map(|uid| (*uid).clone()).collect(),
        disruptions_allowed: 9,
    }
}

fn namespace(uid: &str) -> &str {
    uid.split_once('/').map_or(NS, |(namespace, _)| namespace)
}

fn namespace_facts(name: &str, labels: &BTreeMap<String, String>) -> NamespaceFacts {
    NamespaceFacts { name: name.to_owned(), labels: labels.clone(), stopped: false, terminating: false }
}

fn workload(namespace: &str) -> WorkloadFacts {
    WorkloadFacts { key: key(namespace), desired: 3, rollout: None, terminating: false }
}

fn key(namespace: &str) -> WorkloadKey {
    let uid = if namespace == NS { "w".to_owned() } else { format!("w of {namespace}") };
    WorkloadKey { namespace: namespace.to_owned(), kind: "Deployment".into(), name: "trips".into(), uid }
}

fn pod(uid: &str, labels: &BTreeMap<String, String>) -> PodFacts {
    let shard = ("shard".to_owned(), uid.to_owned());
    PodFacts {
        namespace: namespace(uid).to_owned(),
        name: uid.to_owned(),
        uid: uid.to_owned(),
        labels: labels.clone().into_iter().chain([shard]).collect(),
        owner: Some(OwnerFacts { kind: "ReplicaSet".into(), name: "trips-1".into(), uid: "rs".into() }),
        workload: Some(key(namespace(uid))),
        node: None,
        created_at: start(),
        ready: true,
        ready_since: None,
        phase: "Running".into(),
        terminating: false,
        mirror: false,
        priority_class: None,
        template: None,
    }
}
