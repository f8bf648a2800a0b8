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
mod several;

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
fn a_strike_that_may_have_killed_before_a_crash_is_no_skip_though_it_is_cancelled() {
    let mut play = Play::new(|_| ());
    play.run(SignedDuration::from_secs(1));
    let mut response = None;
    // The process dies when the kill is about to be sent: whether it was, nobody knows.
    let strike = loop {
        match play.step(response.take()) {
            Next::Act(Action::Kill(order)) => break order.strike,
            Next::Act(action) => response = Some(play.answer(action)),
            Next::Wait(until) => play.now = until.expect("a strike is planned"),
            Next::Done => panic!("it goes on for ever"),
        }
    };
    play.crash();
    assert!(play.ledger().upcoming.iter().any(|planned| planned.id == strike.id));
    play.view.cancel.insert(strike.id.clone());
    play.run(SignedDuration::from_mins(2));
    let ledger = play.ledger();
    assert_eq!(ledger.history.iter().map(|kill| kill.strike).collect::<Vec<_>>(), [strike.strike]);
    assert_eq!(play.outcomes(), [Outcome::Unknown]);
    assert_eq!(ledger.skips, 0, "{:?}", ledger.skipped);
    assert!(ledger.upcoming.iter().all(|planned| planned.id != strike.id), "{:?}", ledger.upcoming);
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
        assert_eq!(play.budget_of("w"), WorkloadBudget::default(), "nothing is left of it");
    }
}

#[test]
fn pods_that_are_told_as_gone_and_listed_all_the_same_are_not_tried_without_a_pause() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.answer = KillAnswerKind::Gone;
    play.run(SignedDuration::from_secs(20));
    let tried: Vec<&str> = play.orders.iter().map(|(_, order)| order.victim.uid.as_str()).collect();
    assert!((5..=25).contains(&tried.len()), "{tried:?}");
    assert_eq!(tried[..3].iter().collect::<BTreeSet<_>>().len(), 3, "the others come first: {tried:?}");
    let pause = |pair: &[(Timestamp, KillOrder)]| pair[1].0.duration_since(pair[0].0);
    assert!(play.orders[1..].windows(2).all(|pair| pause(pair) >= SignedDuration::from_secs(1)), "{tried:?}");
    assert!(pause(&play.orders[..2]) < SignedDuration::from_secs(1), "one that is gone makes room for another at once");
    assert_eq!((play.ledger().kills, play.ledger().struck), (0, 0));
}

#[test]
fn a_reservation_is_given_back_without_a_look_at_its_budget_unless_somebody_else_has_written_that() {
    for is_contended in [false, true] {
        let mut play = Play::new(|_| ());
        let mut response = None;
        while play.outcomes().is_empty() || !play.budget_of("w").reservations.is_empty() {
            let has_read = play.actions.contains(&"read budget");
            match play.step(response.take()) {
                Next::Act(Action::WriteBudget { .. }) if is_contended && !has_read && !play.outcomes().is_empty() => {
                    play.budgets.get_mut("w").unwrap().0 += 1;
                    response = Some(Response::Stored(Stored::Conflict));
                }
                Next::Act(action) => response = Some(play.answer(action)),
                Next::Wait(until) => play.now = until.expect("it has plans"),
                Next::Done => panic!("a standing monkey ended"),
            }
        }
        assert_eq!(play.actions.contains(&"read budget"), is_contended, "{:?}", play.actions);
        assert_eq!(play.budget_of("w").kills_today, 1);
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
    assert!(!play.orders.is_empty() && play.orders.iter().all(|(_, order)| order.deadline < end));
    // A reservation that takes long is given back.
    let mut play = Play::new(until);
    play.view.beat = Some(start());
    play.write_takes = SignedDuration::from_secs(4);
    assert!(play.run(SignedDuration::from_mins(1)));
    assert_eq!((play.orders.len(), play.ended()), (0, Some(EndReason::Until)));
    assert_eq!(play.budget_of("w"), WorkloadBudget::default(), "nothing is left of it");
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
    assert!(play.orders.iter().all(|(_, order)| super::calendar::stretch(schedule, order.deadline).active));
    let whole = SignedDuration::try_from(SEND_WITHIN).unwrap();
    let cut = play.orders.iter().filter(|(at, order)| order.deadline.duration_since(*at) < whole).count();
    assert!(cut > 0 && cut < play.orders.len(), "{cut} of {}", play.orders.len());
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
    assert!(play.budget_of("w").reservations.is_empty() && play.budget_of("w").kills_today == 3);
}

#[test]
fn a_kill_whose_answer_was_lost_is_told_for_when_it_was_sent_or_is_known_no_better_than_its_decision() {
    for crashes in [false, true] {
        let mut play = Play::new(of_run);
        play.view.beat = Some(start());
        play.answer = KillAnswerKind::Unknown;
        play.write_takes = SignedDuration::from_secs(1);
        while play.orders.is_empty() {
            play.run(SignedDuration::from_millis(10));
        }
        let (decided_at, sent_at) = (play.ledger().intents[0].decided_at.0, micro_time(play.orders[0].0).0);
        assert!(decided_at < sent_at, "{decided_at} {sent_at}");
        if crashes {
            play.crash();
        }
        play.run(SignedDuration::from_secs(5));
        let kill = &play.ledger().history[0];
        let told_at = if crashes { decided_at } else { sent_at };
        assert_eq!((kill.outcome, &kill.at), (Outcome::Killed, &micro_time(told_at)));
        let late = sent_within(kill);
        assert_eq!(late, if crashes { SEND_WITHIN } else { Duration::ZERO });
        assert!(elapsed(kill.at.0, sent_at) <= late);
    }
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
