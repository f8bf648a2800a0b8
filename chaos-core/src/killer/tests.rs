//! The strike machine, stepped by hand: a world in a few lines answers every action, and the clock moves as the machine asks.
//! What concurrency, crashes and lost answers do to it is tested by the simulation in `chaos-engine`.

mod calendar;
mod drawn;
mod guards;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::api::{ChaosMonkeySpec, Outcome, PlannedStrike};
use crate::instant::micro_time;
use crate::limits::WorkloadBudget;
use crate::machine::Next;
use crate::population::{NamespaceFacts, OwnerFacts, PodFacts, Population, SwitchState, WorkloadFacts, WorkloadKey};
use crate::validate::{self, Meta};

const NS: &str = "dispatch";

/// A killer and the little world around it.
struct Play {
    killer: Killer,
    state: KillerState,
    view: KillerView,
    now: Timestamp,
    /// Pods that serve, by UID.
    pods: Vec<String>,
    /// A killed pod is replaced after this; `None`: never.
    replaced_after: Option<SignedDuration>,
    coming: Vec<Timestamp>,
    budget: (u64, WorkloadBudget),
    answer: KillAnswerKind,
    is_blind: bool,
    /// What is heard of each guard, and when they were asked.
    readings: Vec<Result<GuardReading, String>>,
    asked: Vec<Timestamp>,
    /// How long the sources of guards take to answer.
    answers_take: SignedDuration,
    /// How long a budget takes to be written.
    write_takes: SignedDuration,
    /// When each kill was asked for, and until when it might have been sent.
    deadlines: Vec<(Timestamp, Timestamp)>,
    actions: Vec<&'static str>,
    born: u64,
}

fn start() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn spec(change: impl FnOnce(&mut Value)) -> ChaosMonkeySpec {
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

/// Every pod is a group of its own: each kill ends one group, and begins another.
fn by_pod(spec: &mut Value) {
    spec["fault"]["podKill"]["group"] = json!("shard");
}

/// A run's monkey: 3 kills, one a second.
fn of_run(spec: &mut Value) {
    spec["meanTimeBetweenKills"] = json!("1s");
    spec["minTimeBetweenKills"] = json!("400ms");
    spec["until"] = json!("2026-11-23T12:05:00Z");
    spec["maxKills"] = json!(3);
    spec["limits"]["maxKills"] = json!(3);
    spec["heartbeatLease"] = json!({"name": "beat", "interval": "2s"});
}

impl Play {
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        let meta = Meta { name: "m".into(), namespace: NS.into(), uid: "run".into() };
        let monkey = validate::monkey(&spec(change), &meta).unwrap_or_else(|problems| panic!("{problems:?}"));
        let killer = Killer::new(KillerSpec::of_monkey(&monkey, "chaos-system"));
        let state = killer.resume(Ledger::default());
        Self {
            killer,
            state,
            view: KillerView::default(),
            now: start(),
            pods: (0..3).map(|i| format!("pod-{i}")).collect(),
            replaced_after: Some(SignedDuration::from_millis(300)),
            coming: Vec::new(),
            budget: (0, WorkloadBudget::default()),
            answer: KillAnswerKind::Accepted,
            is_blind: false,
            readings: Vec::new(),
            asked: Vec::new(),
            answers_take: SignedDuration::ZERO,
            write_takes: SignedDuration::ZERO,
            deadlines: Vec::new(),
            actions: Vec::new(),
            born: 3,
        }
    }

    /// Lets it work for that long, or until it is done. Whether it is done.
    fn run(&mut self, span: SignedDuration) -> bool {
        let end = self.now + span;
        let mut response = None;
        for _ in 0..200_000 {
            let beat = self.view.beat;
            let view = KillerView { beat: beat.map(|_| self.now), ..self.view.clone() };
            let step = self.killer.step(&self.state, &view, response.take(), self.now);
            self.state = step.state;
            match step.next {
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

    /// Kills the process and starts it again on what was saved.
    fn crash(&mut self) {
        self.state = self.killer.resume(self.ledger().clone());
    }

    fn ledger(&self) -> &Ledger {
        &self.state.ledger
    }

    fn ended(&self) -> Option<EndReason> {
        EndReason::parse(&self.ledger().ended.as_ref()?.reason)
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.ledger().history.iter().map(|kill| kill.outcome).collect()
    }

    fn reasons(&self) -> BTreeSet<&str> {
        self.ledger().skipped.iter().map(|skip| skip.reason.as_str()).collect()
    }

    fn answer(&mut self, action: Action) -> Response {
        match action {
            Action::Observe { .. } if self.is_blind => Response::Observed(Err("out of reach".into())),
            Action::Observe { budgets, guards, .. } => {
                let readings = if guards.is_empty() { Vec::new() } else { self.asked_guards() };
                let budgets = budgets.into_iter().map(|key| (key, Ok(self.versioned()))).collect();
                Response::Observed(Ok(Observation { budgets, readings, population: Arc::new(self.facts()) }))
            }
            Action::ReadBudget(_) => Response::Budget(Ok(self.versioned())),
            Action::WriteBudget { at, budget, .. } => {
                self.actions.push("write budget");
                assert_eq!(at, self.versioned().version, "a budget is written under the version that was read");
                self.budget = (self.budget.0 + 1, budget);
                self.now += self.write_takes;
                Response::Stored(Stored::Done(self.versioned().version))
            }
            Action::Kill(order) => {
                self.actions.push("kill");
                self.deadlines.push((self.now, order.deadline));
                assert!(
                    self.ledger().intents.iter().any(|intent| intent.nonce == order.nonce),
                    "the intent is written first"
                );
                assert!(!self.budget.1.reservations.is_empty(), "the kill is reserved first");
                if matches!(self.answer, KillAnswerKind::Accepted | KillAnswerKind::Unknown) {
                    self.pods.retain(|uid| *uid != order.victim.uid);
                    self.coming.extend(self.replaced_after.map(|after| self.now + after));
                }
                Response::Kill(KillAnswer { at: self.now, kind: self.answer, message: None })
            }
            Action::LookUp(victim) => {
                let is_there = self.pods.contains(&victim.uid);
                Response::Found(if is_there { Sighting::Alive } else { Sighting::Gone })
            }
        }
    }

    fn asked_guards(&mut self) -> Vec<Result<GuardReading, String>> {
        self.asked.push(self.now);
        self.now += self.answers_take;
        self.readings.clone()
    }

    fn versioned(&self) -> VersionedBudget {
        let version = match self.budget.0 {
            0 => BudgetVersion::Absent,
            version => BudgetVersion::At { version: version.to_string(), uid: "lease".into() },
        };
        VersionedBudget { version, budget: self.budget.1.clone() }
    }

    fn facts(&mut self) -> Population {
        let ready = self.coming.iter().filter(|at| **at <= self.now).count();
        self.coming.retain(|at| *at > self.now);
        for _ in 0..ready {
            self.pods.push(format!("pod-{}", self.born));
            self.born += 1;
        }
        let labels = BTreeMap::from([("chaos.dispatch.dev/enabled".to_owned(), "true".to_owned())]);
        let key =
            WorkloadKey { namespace: NS.into(), kind: "Deployment".into(), name: "trips".into(), uid: "w".into() };
        let shard = |uid: &String| ("shard".to_owned(), uid.clone());
        let pod = |uid: &String| PodFacts {
            namespace: NS.into(),
            name: uid.clone(),
            uid: uid.clone(),
            labels: labels.clone().into_iter().chain([shard(uid)]).collect(),
            owner: Some(OwnerFacts { kind: "ReplicaSet".into(), name: "trips-1".into(), uid: "rs".into() }),
            workload: Some(key.clone()),
            node: None,
            created_at: start(),
            ready: true,
            ready_since: None,
            phase: "Running".into(),
            terminating: false,
            mirror: false,
            priority_class: None,
            template: None,
        };
        Population {
            taken_at: self.now,
            environment: None,
            switch: SwitchState::Running,
            namespaces: vec![NamespaceFacts {
                name: NS.into(),
                labels: labels.clone(),
                stopped: false,
                terminating: false,
            }],
            workloads: vec![WorkloadFacts { key: key.clone(), desired: 3, rollout: None, terminating: false }],
            pods: self.pods.iter().map(pod).collect(),
            nodes: None,
            budgets: Vec::new(),
        }
    }
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

#[test]
fn a_standing_killer_keeps_its_stated_mean_and_its_distance() {
    let mut play = Play::new(|_| ());
    assert!(!play.run(hours(24 * 60)));
    let ledger = play.ledger();
    // 1440 hours at one kill an hour; the standard deviation of the count is about 32.
    assert!((1300..1580).contains(&ledger.kills), "{}", ledger.kills);
    let mean = ledger.effective_mean().unwrap().as_secs_f64();
    assert!((mean - 3600.0).abs() < 300.0, "{mean}");
    for pair in ledger.history.windows(2) {
        assert!(pair[1].at.0.duration_since(pair[0].at.0) >= SignedDuration::from_mins(10), "{pair:?}");
    }
    assert!(ledger.intents.is_empty() && ledger.recovering.is_empty() && play.budget.1.reservations.is_empty());
}

#[test]
fn what_was_seen_of_the_cluster_is_kept_only_while_a_strike_is_near() {
    let mut play = Play::new(|_| ());
    play.run(SignedDuration::from_secs(1));
    let due = play.ledger().upcoming[0].at.0;
    assert!(play.state.facts.is_none(), "a thousand killers of a large namespace would keep it a thousand times");
    play.run(due.duration_since(play.now) - SignedDuration::from_secs(3));
    assert!(play.state.facts.is_some(), "the strike is going to know whose budget it needs");
    assert_eq!(play.ledger().kills, 0);
    play.run(hours(1));
    assert!(play.ledger().kills > 0 && play.ledger().skips == 0);
    assert!(play.state.facts.is_none() && play.ledger().recovering.is_empty());
}

#[test]
fn a_cluster_that_is_out_of_sight_before_a_strike_is_not_asked_without_a_pause() {
    let mut play = Play::new(|_| ());
    play.run(SignedDuration::from_secs(1));
    let due = play.ledger().upcoming[0].at.0;
    play.is_blind = true;
    // The clock of this play moves only while the machine waits, and it must wait some time.
    play.run(due.duration_since(play.now) + SignedDuration::from_secs(5));
    assert_eq!((play.ledger().kills, play.reasons()), (0, BTreeSet::from(["Blind"])));
}

#[test]
fn the_plan_survives_a_crash() {
    let mut play = Play::new(|_| ());
    play.run(hours(10));
    let plan = play.ledger().upcoming.clone();
    assert_eq!(plan.len(), 5, "several strikes ahead");
    play.crash();
    play.run(SignedDuration::from_secs(1));
    assert_eq!(play.ledger().upcoming, plan);
}

#[test]
fn what_was_due_while_nobody_was_there_is_skipped_and_not_made_up_for() {
    let mut play = Play::new(|_| ());
    play.run(hours(10));
    let (kills, planned) = (play.ledger().kills, play.ledger().upcoming.clone());
    play.crash();
    play.now += hours(24 * 7);
    play.run(SignedDuration::from_secs(1));
    assert_eq!(play.ledger().kills, kills);
    assert_eq!(play.reasons(), BTreeSet::from(["Missed"]));
    assert_eq!(play.ledger().skips, planned.len() as u64);
    assert!(play.ledger().upcoming.iter().all(|strike| strike.at.0 > play.now));
}

#[test]
fn a_dry_run_plans_what_a_live_run_does_and_touches_nothing() {
    let (mut live, mut dry) = (Play::new(|_| ()), Play::new(|spec| spec["mode"] = json!("DryRun")));
    live.run(hours(3));
    dry.run(hours(3));
    assert!(dry.actions.is_empty(), "{:?}", dry.actions);
    let first =
        |play: &Play| play.ledger().history.first().map(|kill| (kill.strike, kill.victim.uid.clone(), kill.at.clone()));
    assert_eq!(first(&live), first(&dry));
    assert!(dry.outcomes().iter().all(|outcome| *outcome == Outcome::WouldKill) && !dry.outcomes().is_empty());
}

#[test]
fn a_cancelled_strike_is_skipped_with_that_reason() {
    let mut play = Play::new(|_| ());
    play.run(SignedDuration::from_secs(1));
    let next = play.ledger().upcoming[0].clone();
    play.view.cancel.insert(next.id.clone());
    play.run(hours(30));
    assert!(play.ledger().history.iter().all(|kill| kill.strike != next.strike));
    assert_eq!(
        play.ledger().skipped.iter().map(|s| (s.strike, s.reason.as_str())).collect::<Vec<_>>(),
        [(next.strike, "Cancelled")]
    );
}

#[test]
fn a_postponed_strike_happens_at_the_instant_that_was_named() {
    let mut play = Play::new(|_| ());
    play.run(SignedDuration::from_secs(1));
    let next = play.ledger().upcoming[0].clone();
    let until = next.at.0 + hours(5);
    play.view.postpone.insert(next.id.clone(), until);
    play.run(hours(30));
    let kill = play.ledger().history.iter().find(|kill| kill.strike == next.strike).expect("it happens");
    assert!(kill.at.0 >= until && kill.at.0 < until + SignedDuration::from_mins(10), "{kill:?}");
    assert_eq!(play.ledger().skips, 0, "the others go on: {:?}", play.ledger().skipped);
}

#[test]
fn a_strike_that_is_postponed_for_years_keeps_nobody_quiet() {
    let killed = |postpone: bool| {
        let mut play = Play::new(|_| ());
        play.run(SignedDuration::from_secs(1));
        let ids: Vec<_> = play.ledger().upcoming.iter().map(|strike| strike.id.clone()).collect();
        if postpone {
            play.view.postpone = ids.iter().map(|id| (id.clone(), "2199-01-01T00:00:00Z".parse().unwrap())).collect();
        }
        play.run(hours(1));
        // Nor does it once nobody says so any more.
        play.view.postpone.clear();
        play.run(hours(200));
        let moved = play.ledger().upcoming.iter().filter(|strike| strike.postponed_from.is_some()).count();
        assert_eq!(moved, if postpone { ids.len() } else { 0 });
        play.ledger().kills
    };
    let (all, fewer) = (killed(false), killed(true));
    assert!(all > 20 && fewer > all / 2, "{fewer} of {all}");
}

#[test]
fn a_postponed_strike_keeps_to_the_schedule_and_never_comes_earlier() {
    let mut play = Play::new(|spec| spec["schedule"] = json!({"hours": [{"from": "09:00", "to": "17:00"}]}));
    play.run(SignedDuration::from_secs(1));
    let next = play.ledger().upcoming[0].clone();
    play.view.postpone.insert(next.id.clone(), next.at.0 - hours(1));
    play.run(SignedDuration::from_secs(1));
    assert_eq!(play.ledger().upcoming[0], next, "an earlier instant changes nothing");
    // 20:00 is outside.
    play.view.postpone.insert(next.id.clone(), "2026-11-23T20:00:00Z".parse().unwrap());
    play.run(SignedDuration::from_secs(1));
    let moved = play.ledger().upcoming.iter().find(|planned| planned.id == next.id).unwrap();
    assert_eq!(moved.at.0, "2026-11-24T09:00:00Z".parse().unwrap());
}

#[test]
fn what_is_postponed_beyond_the_end_is_skipped() {
    let mut play = Play::new(of_run);
    play.run(SignedDuration::from_millis(1));
    let next = play.ledger().upcoming[0].clone();
    play.view.postpone.insert(next.id.clone(), "2026-11-23T12:05:00Z".parse().unwrap());
    play.run(SignedDuration::from_millis(1));
    assert!(play.ledger().skipped.iter().any(|skip| skip.strike == next.strike && skip.reason == "Cancelled"));
}

#[test]
fn a_suspended_killer_plans_nothing_and_starts_afresh() {
    let mut play = Play::new(|_| ());
    play.run(hours(5));
    let kills = play.ledger().kills;
    play.view.suspended = true;
    play.run(hours(48));
    assert!(play.ledger().upcoming.is_empty());
    assert_eq!((play.ledger().kills, play.ledger().skips), (kills, 0));
    play.view.suspended = false;
    play.run(hours(10));
    assert!(play.ledger().kills > kills);
}

#[test]
fn a_held_killer_skips_with_the_reason() {
    let mut play = Play::new(|_| ());
    play.view.hold = Some("the stop switch of the cluster is on".into());
    play.run(hours(10));
    assert_eq!((play.ledger().kills, play.reasons()), (0, BTreeSet::from(["Held"])));
}

#[test]
fn the_daily_cap_is_of_the_day() {
    let mut play = Play::new(|spec| spec["limits"]["maxKills"] = json!(2));
    play.run(hours(12 + 24));
    assert_eq!(play.ledger().kills, 4, "two until midnight, two on the day after");
    assert!(play.reasons().contains("MaxKills"));
}

#[test]
fn groups_that_are_gone_are_forgotten_and_the_day_still_counts() {
    let mut play = Play::new(|spec| {
        by_pod(spec);
        spec["limits"]["maxKills"] = json!(5);
    });
    // Until 23:00 of some day.
    play.run(hours(24 * 30 + 11));
    let ledger = play.ledger();
    assert!(ledger.kills > 100, "{}", ledger.kills);
    assert!(ledger.groups.len() < 30, "{} groups", ledger.groups.len());
    let midnight = play.now - hours(23);
    let today = ledger.history.iter().filter(|kill| kill.at.0 >= midnight).count() as u64;
    assert!(today > 0);
    assert_eq!(ledger.kills_on(play.now), today);
}

#[test]
fn a_group_is_forgotten_once_nothing_depends_on_it() {
    let now = start();
    let mut ledger = Ledger::default();
    for (name, hours_ago) in [("old", 48), ("there", 48), ("today", 2), ("spaced", 13)] {
        ledger.group(name).last_kill_at = Some(micro_time(now - hours(hours_ago)));
    }
    ledger.group("never");
    ledger.group("planned");
    ledger.upcoming.push(PlannedStrike {
        id: "s0".into(),
        strike: 0,
        at: micro_time(now),
        group: "planned".into(),
        waiting_for: None,
        postponed_from: None,
    });
    ledger.forget(&BTreeSet::from(["there".to_owned()]), Duration::from_secs(14 * 3600), now);
    let kept: BTreeSet<_> = ledger.groups.iter().map(|group| group.group.as_str()).collect();
    assert_eq!(kept, BTreeSet::from(["planned", "spaced", "there", "today"]));
}

#[test]
fn groups_that_nothing_is_planned_for_are_counted() {
    let mut play = Play::new(by_pod);
    play.pods = (0..MAX_GROUPS + 7).map(|i| format!("pod-{i}")).collect();
    play.run(SignedDuration::from_secs(1));
    assert_eq!((play.ledger().upcoming.len(), play.ledger().unplanned), (MAX_GROUPS, Some(7)));
    play.pods.truncate(3);
    play.run(SignedDuration::from_mins(2));
    assert_eq!(play.ledger().unplanned, None);
}

#[test]
fn a_run_puts_strikes_off_until_they_can_happen_and_ends_when_all_are_done() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.replaced_after = Some(SignedDuration::from_secs(9));
    assert!(play.run(SignedDuration::from_mins(4)));
    let ledger = play.ledger();
    assert_eq!((ledger.kills, ledger.skips), (3, 0), "each waited for the one before to recover");
    assert_eq!(play.ended(), Some(EndReason::StrikesDone));
    for pair in ledger.history.windows(2) {
        assert!(pair[1].at.0.duration_since(pair[0].at.0) >= SignedDuration::from_secs(9));
    }
}

#[test]
fn a_run_without_a_heartbeat_ends_without_a_kill() {
    let mut play = Play::new(of_run);
    assert!(play.run(SignedDuration::from_mins(4)));
    assert_eq!((play.ledger().kills, play.ended()), (0, Some(EndReason::HeartbeatLost)));
    assert!(play.now.duration_since(start()) <= SignedDuration::from_millis(5_100), "{}", play.now);
}

#[test]
fn a_kill_that_does_not_recover_in_time_ends_it() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.replaced_after = None;
    assert!(play.run(SignedDuration::from_mins(4)));
    assert_eq!((play.ledger().kills, play.ended()), (1, Some(EndReason::NotRecovered)));
    let killed_at = play.ledger().history[0].at.0;
    let told_after = play.ledger().ended.as_ref().unwrap().at.0.duration_since(killed_at);
    assert!(told_after < SignedDuration::from_secs(63), "{told_after}");
}

#[test]
fn a_blind_killer_kills_nothing_and_a_run_ends_when_it_lasts() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.is_blind = true;
    assert!(play.run(SignedDuration::from_mins(4)));
    assert_eq!((play.ledger().kills, play.ended()), (0, Some(EndReason::Blind)));
}

#[test]
fn a_refused_kill_gives_its_reservation_back_and_is_no_kill() {
    for (answer, outcome) in [
        (KillAnswerKind::Blocked, Outcome::Blocked),
        (KillAnswerKind::Gone, Outcome::Gone),
        (KillAnswerKind::Refused, Outcome::Failed),
    ] {
        let mut play = Play::new(|_| ());
        play.answer = answer;
        play.run(hours(5));
        assert!(!play.outcomes().is_empty() && play.outcomes().iter().all(|found| *found == outcome));
        assert_eq!(play.ledger().kills, 0);
        assert_eq!(play.budget.1, WorkloadBudget::default(), "nothing is left of it");
    }
}

#[test]
fn no_kill_may_be_sent_after_the_end_of_its_run() {
    let until = |spec: &mut Value| {
        of_run(spec);
        spec["until"] = json!("2026-11-23T12:00:04Z");
    };
    let end = start() + SignedDuration::from_secs(4);
    let mut play = Play::new(until);
    play.view.beat = Some(start());
    assert!(play.run(SignedDuration::from_mins(1)));
    assert!(!play.deadlines.is_empty() && play.deadlines.iter().all(|(_, latest)| *latest < end));
    // A reservation that takes long is given back.
    let mut play = Play::new(until);
    play.view.beat = Some(start());
    play.write_takes = SignedDuration::from_secs(4);
    assert!(play.run(SignedDuration::from_mins(1)));
    assert_eq!((play.deadlines.len(), play.ended()), (0, Some(EndReason::Until)));
    assert_eq!(play.budget.1, WorkloadBudget::default(), "nothing is left of it");
    assert_eq!(play.actions.iter().filter(|action| **action == "write budget").count(), 2);
}

#[test]
fn no_kill_may_be_sent_after_its_window() {
    let mut play = Play::new(|spec| {
        spec["meanTimeBetweenKills"] = json!("10s");
        spec["minTimeBetweenKills"] = json!("1s");
        spec["schedule"] = json!({"hours": [{"from": "12:00", "to": "12:01"}]});
    });
    play.run(hours(24 * 30));
    let schedule = &play.killer.spec().schedule;
    assert!(play.deadlines.iter().all(|(_, latest)| super::calendar::stretch(schedule, *latest).active));
    let whole = SignedDuration::try_from(SEND_WITHIN).unwrap();
    let cut = play.deadlines.iter().filter(|(at, latest)| latest.duration_since(*at) < whole).count();
    assert!(cut > 0 && cut < play.deadlines.len(), "{cut} of {}", play.deadlines.len());
}

#[test]
fn what_is_known_at_the_last_moment_keeps_a_kill_from_being_sent() {
    let mut play = Play::new(|_| ());
    play.run(SignedDuration::from_secs(1));
    let strike = play.ledger().upcoming[0].clone();
    let (id, later) = (strike.id.clone(), play.now + hours(1));
    let victim = crate::api::VictimRef {
        namespace: NS.into(),
        pod: "pod-0".into(),
        uid: "pod-0".into(),
        workload: "Deployment/trips".into(),
        workload_uid: "w".into(),
        owner_uid: "rs".into(),
        node: None,
    };
    let mode = crate::model::KillMode::Evict;
    let order = KillOrder { strike, nonce: "n".into(), victim, mode, grace: None, deadline: later };
    let said = |view: KillerView| view.objection(&order, play.now);
    let free = KillerView::default;
    assert_eq!(said(free()), None);
    assert_eq!(said(KillerView { cancel: BTreeSet::from(["s99".to_owned()]), ..free() }), None);
    assert_eq!(said(KillerView { postpone: BTreeMap::from([(id.clone(), play.now)]), ..free() }), None);
    for view in [
        KillerView { suspended: true, ..free() },
        KillerView { hold: Some("the stop switch is on".into()), ..free() },
        KillerView { cancel: BTreeSet::from([id.clone()]), ..free() },
        KillerView { postpone: BTreeMap::from([(id.clone(), later)]), ..free() },
        KillerView { leave: true, ..free() },
    ] {
        assert!(said(view.clone()).is_some(), "{view:?}");
    }
}

#[test]
fn a_lost_answer_is_looked_up_and_counts() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.answer = KillAnswerKind::Unknown;
    assert!(play.run(SignedDuration::from_mins(4)));
    assert_eq!(play.outcomes(), [Outcome::Killed; 3]);
    assert!(play.budget.1.reservations.is_empty() && play.budget.1.kills_today == 3);
}

#[test]
fn whoever_is_told_to_leave_leaves_nothing_open() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.run(SignedDuration::from_millis(1_500));
    play.view.leave = true;
    assert!(play.run(SignedDuration::from_secs(1)));
    assert!(play.ledger().intents.is_empty() && play.ledger().ended.is_none());
}

#[test]
fn instants_and_victims_follow_from_the_seed() {
    let history = |seed: i64| {
        let mut play = Play::new(|spec| spec["seed"] = json!(seed));
        play.run(hours(48));
        play.ledger().history.iter().map(|kill| (kill.at.clone(), kill.victim.uid.clone())).collect::<Vec<_>>()
    };
    assert_eq!(history(7), history(7));
    assert_ne!(history(7), history(8));
}

#[test]
fn the_ledger_survives_its_status() {
    let mut play = Play::new(|_| ());
    play.run(hours(30));
    let mut status = crate::api::ChaosMonkeyStatus::default();
    play.ledger().write_to(&mut status);
    let text = serde_json::to_string(&status).unwrap();
    assert!(text.len() < 48 * 1024, "{} bytes", text.len());
    let read = Ledger::from_status(&serde_json::from_str(&text).unwrap());
    assert_eq!(&read, play.ledger());
}

#[test]
fn spans_never_overflow() {
    assert_eq!(elapsed(Timestamp::MAX, Timestamp::MIN), Duration::ZERO);
}
