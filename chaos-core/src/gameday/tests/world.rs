//! A cluster of runs under a simulated clock, and the driver with its points of failure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::*;
use crate::api::{GameDaySpec, GameDayStatus, StepPhase};
use crate::machine::{Machine as _, Next};
use crate::validate::{Meta, gameday};

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn seconds(from: Timestamp, seconds: i64) -> Timestamp {
    from + SignedDuration::from_secs(seconds)
}

/// Two experiments one after the other, once an hour.
pub(super) fn spec() -> Value {
    json!({
        "schedule": "0 * * * *", "blackout": [], "startingDeadline": "10m", "mode": "Live",
        "steps": [
            {"name": "first", "experiment": {"name": "e1"}},
            {"name": "second", "dependsOn": ["first"], "experiment": {"name": "e2"}},
        ],
    })
}

pub(super) fn machine(change: impl FnOnce(&mut Value)) -> GameDayMachine {
    let mut value = spec();
    change(&mut value);
    let spec: GameDaySpec = serde_json::from_value(value).unwrap();
    let meta = Meta { name: "day".into(), namespace: "n".into(), uid: "u".into() };
    let day = gameday(&spec, &meta).unwrap_or_else(|problems| panic!("{problems:?}"));
    GameDayMachine { day: Some(day), created: at("2026-06-01T08:30:00Z") }
}

/// A run of the simulated cluster.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub uid: String,
    pub began: Timestamp,
    /// When it ends, and how.
    pub ends: Timestamp,
    pub outcome: &'static str,
}

/// How the simulated cluster answers the next writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// As it should.
    Well,
    /// It does what is asked, and the answer is lost.
    Lost,
    /// It does nothing, and the answer is lost.
    Away,
    /// It refuses.
    No,
    /// It says that this may not be done.
    Forbidden,
}

/// A crash before the point of that number; afterwards the clock has moved by so much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crash {
    pub at: usize,
    pub jump: SignedDuration,
}

pub(super) struct World {
    pub now: Timestamp,
    pub saved: Ledger,
    pub runs: BTreeMap<String, Run>,
    /// Every creation that made something, in order.
    pub created: Vec<String>,
    pub deleted: Vec<String>,
    /// Those of them that were shrunk.
    pub shrunk: Vec<String>,
    /// What metrics say.
    pub left: fn(Timestamp) -> Result<Vec<f64>, String>,
    pub view: GameDayView,
    pub lasts: i64,
    pub outcome: fn(&str) -> &'static str,
    pub answer: fn(usize) -> Answer,
    pub crashes: Vec<Crash>,
    pub points: usize,
    /// No two executions have a run under way at once.
    pub exclusive: bool,
    pub steps: usize,
    pub states: BTreeSet<(StepPhase2, bool)>,
    pub writes: usize,
    pub execution_of: BTreeMap<String, String>,
}

/// `StepPhase` in an order, for sets.
pub(super) type StepPhase2 = u8;

pub(super) struct Crashed;

impl World {
    pub(super) fn new(now: &str) -> Self {
        Self {
            now: at(now),
            saved: Ledger::default(),
            runs: BTreeMap::new(),
            created: Vec::new(),
            deleted: Vec::new(),
            shrunk: Vec::new(),
            left: |_| panic!("nobody has to be asked"),
            view: GameDayView::default(),
            lasts: 60,
            outcome: |_| "pass",
            answer: |_| Answer::Well,
            crashes: Vec::new(),
            points: 0,
            exclusive: true,
            steps: 0,
            states: BTreeSet::new(),
            writes: 0,
            execution_of: BTreeMap::new(),
        }
    }

    fn point(&mut self) -> Result<(), Crashed> {
        let point = self.points;
        self.points += 1;
        match self.crashes.iter().find(|crash| crash.at == point) {
            Some(crash) => {
                self.now += crash.jump;
                Err(Crashed)
            }
            None => Ok(()),
        }
    }

    fn write(&mut self) -> Answer {
        self.writes += 1;
        (self.answer)(self.writes)
    }

    fn alive(&self) -> impl Iterator<Item = (&String, &Run)> {
        self.runs.iter().filter(|(_, run)| run.ends > self.now)
    }

    fn perform(&mut self, action: &GameDayAction) -> GameDayResponse {
        match action {
            GameDayAction::Look(names) => {
                let seen = self.runs.iter().filter(|(name, _)| names.contains(*name)).map(|(name, run)| {
                    let over = (run.ends <= self.now).then(|| RunOutcome {
                        outcome: Conclusion::read(run.outcome),
                        reason: "X".to_owned(),
                        message: String::new(),
                    });
                    (name.clone(), RunFact { uid: run.uid.clone(), over })
                });
                GameDayResponse::Seen(Ok(seen.collect()))
            }
            GameDayAction::Ask(..) => GameDayResponse::Answered { values: (self.left)(self.now), age: Duration::ZERO },
            GameDayAction::Create(order) => GameDayResponse::Created(self.create(order)),
            GameDayAction::Abort(run) => {
                let answer = self.write();
                if matches!(answer, Answer::Well | Answer::Lost)
                    && let Some(run) =
                        self.runs.get_mut(run).filter(|run| run.ends > self.now && run.outcome != "aborted")
                {
                    (run.ends, run.outcome) = (self.now + SignedDuration::from_secs(5), "aborted");
                }
                GameDayResponse::Done(if answer == Answer::Well { Ok(()) } else { Err("lost".into()) })
            }
            GameDayAction::Delete { run, uid } => {
                let answer = self.write();
                if matches!(answer, Answer::Well | Answer::Lost)
                    && self.runs.get(run).is_some_and(|known| uid.as_ref().is_none_or(|uid| *uid == known.uid))
                {
                    self.runs.remove(run);
                    self.deleted.push(run.clone());
                }
                GameDayResponse::Done(if answer == Answer::Well { Ok(()) } else { Err("lost".into()) })
            }
        }
    }

    fn create(&mut self, order: &RunOrder) -> Result<String, NotCreated> {
        let answer = self.write();
        match answer {
            Answer::Away => return Err(NotCreated::Unclear("away".into())),
            Answer::No => return Err(NotCreated::Refused("no such field".into())),
            Answer::Forbidden => return Err(NotCreated::Forbidden("forbidden".into())),
            Answer::Well | Answer::Lost => {}
        }
        if !self.runs.contains_key(&order.name) {
            if self.exclusive {
                let others = self.alive().filter(|(name, _)| self.execution_of[*name] != order.execution);
                assert_eq!(others.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<&String>::new(), "{order:?}");
            }
            let uid = format!("uid-{}", self.created.len());
            let ends = self.now + SignedDuration::from_secs(self.lasts);
            let outcome = if order.mode == Mode::DryRun { "planned" } else { (self.outcome)(&order.experiment) };
            self.runs.insert(order.name.clone(), Run { uid, began: self.now, ends, outcome });
            self.execution_of.insert(order.name.clone(), order.execution.clone());
            self.created.push(order.name.clone());
            if order.overrides.is_some() {
                self.shrunk.push(order.name.clone());
            }
        }
        match answer {
            Answer::Lost => Err(NotCreated::Unclear("lost".into())),
            _ => Ok(self.runs[&order.name].uid.clone()),
        }
    }

    /// The driver until an instant, with its points of failure.
    pub(super) fn drive(&mut self, machine: &GameDayMachine, until: Timestamp) -> Result<(), Crashed> {
        let (mut state, mut response, mut without_wait) = (machine.resume(self.saved.clone()), None, 0);
        while self.now < until {
            let step = machine.step(&state, &self.view, response.take(), self.now);
            self.steps += 1;
            if step.state.ledger != state.ledger {
                self.point()?;
                self.save(&step.state.ledger);
            }
            state = step.state;
            match step.next {
                Next::Act(action) => {
                    without_wait += 1;
                    assert!(without_wait < 500, "no end of actions: {action:?}");
                    self.point()?;
                    let answer = self.perform(&action);
                    self.point()?;
                    response = Some(answer);
                }
                Next::Wait(wake) => {
                    without_wait = 0;
                    let wake = wake.expect("no state waits without a deadline");
                    assert!(wake > self.now, "no busy loop: {:#?}", state.ledger);
                    assert!(wake <= seconds(self.now, 600), "it looks again within ten minutes");
                    self.now = wake.min(until);
                }
                Next::Done => panic!("a game day is never done"),
            }
        }
        Ok(())
    }

    /// What is saved goes through a status and JSON, as it does on a cluster.
    fn save(&mut self, ledger: &Ledger) {
        let mut status = GameDayStatus::default();
        write_ledger(ledger, &mut status);
        let json = serde_json::to_string(&status).unwrap();
        assert!(json.len() < 64 * 1024, "{}", json.len());
        self.saved = read_ledger(&serde_json::from_str(&json).unwrap());
        assert_eq!(self.saved, *ledger, "nothing is lost in a status");
        for step in ledger.active.iter().flat_map(|execution| &execution.steps) {
            let under_way = matches!(step.phase, StepPhase::Starting | StepPhase::Running | StepPhase::Aborting);
            assert!(!under_way || step.until.is_some(), "what is under way has an end: {step:?}");
            self.states.insert((step.phase as u8, step.run.is_some()));
        }
    }

    /// Goes on to an instant, over all crashes.
    pub(super) fn play(&mut self, machine: &GameDayMachine, until: &str) {
        let until = at(until);
        for _ in 0..=self.crashes.len() {
            if self.drive(machine, until).is_ok() {
                return;
            }
        }
        panic!("more crashes than there are");
    }

    pub(super) fn outcomes(&self) -> Vec<(&str, &str)> {
        self.saved.history.iter().map(|result| (result.outcome.as_str(), result.reason.as_str())).collect()
    }

    pub(super) fn skips(&self) -> Vec<(&str, u64)> {
        self.saved.skipped.iter().map(|skip| (skip.reason.as_str(), skip.count)).collect()
    }

    pub(super) fn phases(&self) -> Vec<(&str, StepPhase)> {
        let last = self.saved.last.as_ref().expect("an execution that is over");
        last.steps.iter().map(|step| (step.name.as_str(), step.phase)).collect()
    }
}
