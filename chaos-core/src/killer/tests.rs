//! The strike machine, stepped by hand. What concurrency, crashes and lost answers do to it is tested by the simulation in
//! `chaos-engine`.

mod ahead;
mod calendar;
mod drawn;
mod early;
mod guards;
mod ledger;
mod modes;
mod play;
mod scope;
mod sent;
mod several;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::api::{Outcome, PlannedStrike};
use crate::instant::micro_time;
use crate::limits::WorkloadBudget;
use crate::machine::Next;
use crate::validate::{self, Meta};
use play::{NS, Play, by_pod, of_run, spec, start};

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
    assert!(ledger.intents.is_empty() && ledger.recovering.is_empty() && play.budget_of("w").reservations.is_empty());
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
fn a_kill_is_saved_when_it_is_decided_with_its_outcome_and_when_its_pod_is_back_and_not_oftener() {
    let mut play = Play::new(|_| ());
    let (mut saves, mut response) = (Vec::new(), None);
    while play.outcomes().is_empty() || !play.ledger().recovering.is_empty() {
        let before = play.ledger().clone();
        let next = play.step(response.take());
        let ledger = play.ledger();
        // The driver saves whatever has changed.
        if *ledger != before {
            saves.push((ledger.intents.len(), ledger.history.len(), ledger.upcoming.len()));
        }
        match next {
            Next::Act(action) => response = Some(play.answer(action)),
            Next::Wait(until) => play.now = until.expect("it has plans"),
            Next::Done => panic!("a standing monkey ended"),
        }
    }
    // The plan comes first, and what follows in it goes with the outcome.
    assert_eq!(saves, [(0, 0, 5), (1, 0, 5), (0, 1, 5), (0, 1, 5)]);
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
fn whoever_takes_over_fires_no_strike_that_is_long_overdue() {
    for (late, fires) in [(2, true), (15, false), (50, false)] {
        let mut play = scope::spread(|_| ());
        play.run(SignedDuration::from_secs(1));
        let firsts: Vec<_> = [NS, "edge", "far"].map(|namespace| first_of(&play, namespace)).into();
        // All of them are due at one instant.
        let due = firsts.iter().map(|strike| strike.at.0).max().unwrap() + SignedDuration::from_mins(1);
        play.view.postpone = firsts.iter().map(|strike| (strike.id.clone(), due)).collect();
        play.run(due.duration_since(play.now) - SignedDuration::from_secs(8));
        play.orders.clear();
        play.crash();
        play.now = due + SignedDuration::from_secs(late);
        play.run(SignedDuration::from_secs(1));
        let killed: BTreeSet<_> = play.orders.iter().map(|(_, order)| order.strike.strike).collect();
        let missed = play.ledger().skipped.iter().filter(|skip| skip.reason == "Missed");
        let missed: BTreeSet<_> = missed.map(|skip| skip.strike).collect();
        for strike in firsts.iter().map(|first| first.strike) {
            assert_eq!(
                (killed.contains(&strike), missed.contains(&strike)),
                (fires, !fires),
                "{late} s late: {strike}"
            );
        }
    }
}

/// The first strike on the workload of that namespace.
fn first_of(play: &Play, namespace: &str) -> PlannedStrike {
    let group = format!("{namespace}/Deployment/trips");
    play.ledger().upcoming.iter().find(|strike| strike.group == group).unwrap().clone()
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
fn whoever_may_not_be_killed_is_told_with_the_true_reason() {
    let told = |change: fn(&mut Play)| {
        let mut play = Play::new(|_| ());
        play.run(SignedDuration::from_secs(1));
        change(&mut play);
        play.run(hours(10));
        assert_eq!((play.ledger().kills, play.reasons()), (0, BTreeSet::from(["NoEligiblePod"])));
        play.ledger().skipped[0].message.clone()
    };
    assert_eq!(told(|play| play.pods.clear()), "there is no pod of this group");
    let outlived = |play: &mut Play| {
        play.state.ledger.history = (0..3).map(|strike| modes::kill(strike, 0, Outcome::Unknown)).collect();
    };
    let expected =
        "no pod of this group may be killed; pods that were looked at, by first reason: 3 hit by an earlier strike";
    assert_eq!(told(outlived), expected);
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
