//! Dry runs: they go on for as long as one likes and keep the limits that a live run keeps, and what they would have killed counts
//! for nothing else. What was killed counts through any number of changes of the mode.

use super::*;
use crate::api::{ChaosMonkeyStatus, GroupRecord, KillRecord, LiveCounts, Mode, VictimRef};
use crate::limits::Reservation;

fn dry(spec: &mut Value) {
    spec["mode"] = json!("DryRun");
}

fn midnight() -> Timestamp {
    "2026-11-24T00:00:00Z".parse().unwrap()
}

/// How many kills of the history came to that.
fn count(play: &Play, outcome: Outcome) -> u64 {
    play.outcomes().into_iter().filter(|found| *found == outcome).count() as u64
}

#[test]
fn a_dry_run_goes_on_though_no_pod_is_replaced_and_a_live_run_after_it_begins_at_nothing() {
    let mut play = Play::new(dry);
    play.run(hours(24));
    let ledger = play.ledger();
    assert!(ledger.kills >= 10 && ledger.skips == 0, "{} kills, {:?}", ledger.kills, ledger.skipped);
    assert!(play.actions.is_empty() && play.pods.len() == 3, "{:?}", play.actions);
    let pretended = ledger.kills;
    play.edit(|_| ());
    play.run(SignedDuration::from_millis(1));
    let ledger = play.ledger();
    assert_eq!((ledger.kills, ledger.kills_today, ledger.struck), (0, 0, 0));
    assert!(ledger.groups.iter().all(|group| group.kills == 0 && group.last_kill_at.is_none() && group.drawn > 0));
    assert_eq!((&ledger.live, count(&play, Outcome::WouldKill)), (&None, pretended), "what it said is still told");
    play.run(hours(24));
    assert!(play.orders.len() >= 10 && play.ledger().skips == 0, "{:?}", play.ledger().skipped);
    assert_eq!((play.ledger().kills, count(&play, Outcome::Killed)), (play.orders.len() as u64, play.ledger().kills));
}

#[test]
fn a_reservation_on_a_pod_that_a_dry_run_would_have_killed_stands_for_no_kill() {
    let mut play = Play::new(dry);
    play.run(hours(12));
    let victim = play.ledger().history[0].victim.uid.clone();
    play.edit(|_| ());
    let reservation = Reservation { run: "run".into(), strike: 99, victim_uid: victim, since: play.now };
    let mut budget = WorkloadBudget::default();
    budget.reserve(reservation).unwrap();
    play.budgets.insert("w".to_owned(), (1, budget));
    play.run(hours(12));
    assert!(play.ledger().fences > 0, "nobody else may be about to save its intent");
    let budget = play.budget_of("w");
    assert_eq!((u64::from(budget.kills_today), budget.reservations), (play.orders.len() as u64, Vec::new()));
}

#[test]
fn a_dry_run_keeps_the_interval_between_kills_of_one_workload_as_a_live_run_does() {
    let spaced = |spec: &mut Value| {
        by_pod(spec);
        spec["limits"]["minInterval"] = json!("10m");
    };
    let mut live = Play::new(spaced);
    let mut play = Play::new(|spec| {
        spaced(spec);
        dry(spec);
    });
    live.run(hours(24));
    play.run(hours(24));
    for play in [&live, &play] {
        assert!(play.reasons().contains("MinInterval"), "{:?}", play.reasons());
        assert!(play.ledger().kills > 20, "{}", play.ledger().kills);
        for pair in play.ledger().history.windows(2) {
            let gap = pair[1].at.0.duration_since(pair[0].at.0);
            assert!(gap >= SignedDuration::from_mins(10), "{pair:?}");
        }
    }
}

#[test]
fn a_dry_run_keeps_the_kills_of_a_day() {
    let mut play = Play::new(|spec| {
        dry(spec);
        spec["limits"]["maxKills"] = json!(2);
    });
    play.run(hours(12 + 24));
    assert_eq!(play.ledger().kills, 4, "two until midnight, two on the day after");
    assert_eq!(play.reasons(), BTreeSet::from(["MaxKills"]));
}

#[test]
fn a_dry_run_in_between_gives_no_second_allowance() {
    let two = |spec: &mut Value| {
        spec["limits"]["maxKills"] = json!(2);
        spec["target"]["namespaces"] = json!({"names": [NS, "edge", "far"]});
    };
    let mut play = scope::spread(two);
    while play.orders.len() < 2 {
        play.run(SignedDuration::from_mins(10));
    }
    assert!(midnight().duration_since(play.now) > hours(5), "{}", play.now);
    let groups = play.ledger().groups.clone();
    play.edit(|spec| {
        two(spec);
        dry(spec);
    });
    play.run(hours(2));
    assert_eq!((play.ledger().kills, count(&play, Outcome::WouldKill)), (0, 0), "a live run would kill none");
    assert!(play.reasons().contains("MaxKills"), "{:?}", play.reasons());
    // No workload knows what was killed of the others.
    play.budgets.clear();
    play.state.ledger.skipped.clear();
    play.edit(two);
    play.run(SignedDuration::from_millis(1));
    let counts = |group: &GroupRecord| (group.group.clone(), group.kills, group.last_kill_at.as_ref().map(|at| at.0));
    let of = |groups: &[GroupRecord]| groups.iter().map(counts).collect::<BTreeSet<_>>();
    assert!(of(&play.ledger().groups).is_superset(&of(&groups)), "their distance counts on");
    play.run(midnight().duration_since(play.now) - SignedDuration::from_secs(1));
    assert_eq!((play.orders.len(), play.ledger().kills), (2, 2));
    assert!(play.reasons().contains("MaxKills"), "{:?}", play.reasons());
    play.run(hours(24));
    assert_eq!(play.orders.len(), 4, "the next day is another");
}

/// A kill of `pod-STRIKE` so long after the start.
pub(super) fn kill(strike: u64, seconds: i64, outcome: Outcome) -> KillRecord {
    let text = || format!("pod-{strike}");
    KillRecord {
        strike,
        nonce: text(),
        group: "g".into(),
        victim: VictimRef {
            namespace: NS.into(),
            pod: text(),
            uid: text(),
            workload: "Deployment/trips".into(),
            workload_uid: "w".into(),
            owner_uid: "rs".into(),
            node: None,
        },
        at: micro_time(start() + SignedDuration::from_secs(seconds)),
        outcome,
        message: None,
    }
}

#[test]
fn a_kill_whose_outcome_comes_while_a_dry_run_counts_is_one_of_before() {
    let schedule = crate::model::Schedule::always();
    let mut ledger = Ledger::default();
    ledger.group("g").drawn = 3;
    ledger.record(kill(0, 0, Outcome::Killed), "g", &schedule);
    ledger.turn(Mode::DryRun);
    ledger.record(kill(1, 10, Outcome::WouldKill), "g", &schedule);
    ledger.record(kill(2, 20, Outcome::Unknown), "g", &schedule);
    ledger.group("g").drawn = 5;
    assert_eq!((ledger.kills, ledger.kills_on(start()), ledger.all_kills_on(start())), (1, 1, 3));
    assert!(ledger.has_hit("pod-0") && !ledger.has_hit("pod-1") && ledger.has_hit("pod-2"));
    let mut status = ChaosMonkeyStatus::default();
    ledger.write_to(&mut status);
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(Ledger::from_status(&serde_json::from_str(&text).unwrap()), ledger, "it survives its status");
    ledger.turn(Mode::Live);
    let group = ledger.group("g").clone();
    assert_eq!((ledger.kills, ledger.kills_today, ledger.struck, ledger.live.clone()), (2, 2, 2, None));
    assert_eq!((group.kills, group.drawn), (2, 5), "the plan goes on");
    assert_eq!(group.last_kill_at, Some(kill(2, 20, Outcome::Unknown).at));
    assert_eq!(group.active.std(), Duration::from_secs(20));
    ledger.turn(Mode::DryRun);
    assert_eq!((ledger.kills, ledger.history.len()), (0, 2), "another dry run counts nothing of the one before");
    assert_eq!(ledger.live.as_ref().map(|live| live.kills), Some(2));
}

#[test]
fn what_an_older_version_counted_of_a_dry_run_counts_for_no_kill() {
    let schedule = crate::model::Schedule::always();
    let mut stored = Ledger::default();
    // It had one count for both.
    for (strike, outcome) in [(0, Outcome::Killed), (1, Outcome::WouldKill), (2, Outcome::WouldKill)] {
        stored.record(kill(strike, 600 * i64::try_from(strike).unwrap(), outcome), "g", &schedule);
    }
    stored.record(KillRecord { group: "h".into(), ..kill(3, 30, Outcome::Killed) }, "h", &schedule);
    let untouched = stored.group("h").clone();
    assert_eq!((stored.kills, stored.kills_on(start())), (4, 4));
    let mut dry = stored.clone();
    dry.turn(Mode::DryRun);
    let counted = dry.live.clone().unwrap();
    assert_eq!((dry.kills, counted.kills, counted.kills_today, dry.all_kills_on(start())), (0, 2, 2, 2));
    let mut live = stored;
    for _ in 0..2 {
        live.turn(Mode::Live);
        assert_eq!((live.kills, live.kills_today, live.struck, live.kills_on(start())), (2, 2, 2, 2));
        assert_eq!(live.groups, counted.groups);
        assert_eq!(*live.group("h"), untouched);
        let group = live.group("g").clone();
        assert_eq!((group.kills, group.active.std()), (1, Duration::ZERO));
        assert_eq!(group.last_kill_at, Some(kill(0, 0, Outcome::Killed).at));
    }
    // This version counts them apart, however often the mode is changed.
    live.turn(Mode::DryRun);
    live.record(kill(4, 1_800, Outcome::WouldKill), "g", &schedule);
    for mode in [Mode::Live, Mode::Live, Mode::DryRun, Mode::Live] {
        live.turn(mode);
        assert_eq!(live.all_kills_on(start()), 2, "{mode:?}");
    }
}

#[test]
fn what_an_older_version_counted_of_a_dry_run_alone_leaves_nothing() {
    let schedule = crate::model::Schedule::always();
    let mut ledger = Ledger::default();
    (0..3).for_each(|strike| ledger.record(kill(strike, 7 * 3_600, Outcome::WouldKill), "g", &schedule));
    ledger.turn(Mode::Live);
    let group = ledger.group("g").clone();
    assert_eq!((ledger.kills, ledger.kills_today, group.kills, group.last_kill_at), (0, 0, 0, None));
}

#[test]
fn groups_that_were_killed_for_before_a_dry_run_are_kept_as_long_as_that_counts() {
    let mut ledger = Ledger::default();
    for (name, hours_ago) in [("today", 2), ("old", 48)] {
        ledger.group(name).last_kill_at = Some(micro_time(start() - hours(hours_ago)));
    }
    ledger.turn(Mode::DryRun);
    ledger.forget(&BTreeSet::new(), Duration::from_secs(600), start());
    assert!(ledger.groups.is_empty(), "{:?}", ledger.groups);
    let LiveCounts { groups, .. } = ledger.live.unwrap();
    assert_eq!(groups.iter().map(|group| group.group.as_str()).collect::<Vec<_>>(), ["today"]);
}

#[test]
fn a_dry_run_pushes_no_more_than_half_of_what_was_killed_out_of_the_history() {
    let schedule = crate::model::Schedule::always();
    let mut ledger = Ledger::default();
    (0..100).for_each(|strike| ledger.record(kill(strike, 0, Outcome::Killed), "g", &schedule));
    ledger.turn(Mode::DryRun);
    (100..400).for_each(|strike| ledger.record(kill(strike, 1, Outcome::WouldKill), "g", &schedule));
    let strikes: Vec<_> = ledger.history.iter().map(|kill| kill.strike).collect();
    assert_eq!(strikes, (50_u64..100).chain(350..400).collect::<Vec<_>>());
}
