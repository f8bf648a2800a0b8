//! Strikes of several victims: they are killed one after the other, and what keeps one of them from it is told.

use super::*;
use crate::model::{GroupBy, Kill, Limits};
use crate::units::CountOrPercent;

/// A run of three strikes, each of which kills two pods of three.
fn of_two() -> Play {
    of(Victims { count: CountOrPercent::Count(2), at_least_one: false })
}

/// A run of three strikes on three pods, each of which kills so many.
fn of(victims: Victims) -> Play {
    let mut play = Play::new(of_run);
    let spec = play.killer.spec().clone();
    let limits = Limits { max_kills: 6, max_unavailable: CountOrPercent::Count(2), ..spec.limits };
    play.killer = Killer::new(KillerSpec { victims, limits, ..spec });
    play.crash();
    play.view.beat = Some(start());
    play
}

#[test]
fn every_strike_kills_all_its_victims() {
    let mut play = of_two();
    assert!(play.run(SignedDuration::from_mins(4)));
    assert_eq!(play.outcomes(), [Outcome::Killed; 6]);
    let of_strike = |strike: u64| play.ledger().history.iter().filter(|kill| kill.strike == strike).count();
    assert!(play.ledger().history.iter().all(|kill| of_strike(kill.strike) == 2), "{:?}", play.ledger().history);
    assert_eq!((play.ledger().struck, play.ledger().skips), (3, 0), "{:?}", play.ledger().skipped);
    assert_eq!(play.ended(), Some(EndReason::StrikesDone));
    assert!(play.budget_of("w").reservations.is_empty());
}

#[test]
fn a_share_that_is_no_pod_kills_none_unless_one_is_asked_for() {
    for (share, at_least_one, kills) in [("33%", false, 0), ("33%", true, 3), ("34%", false, 3), ("67%", false, 6)] {
        let count = share.parse().map(CountOrPercent::Percent).unwrap();
        let mut play = of(Victims { count, at_least_one });
        let is_over = play.run(SignedDuration::from_mins(4));
        assert_eq!((play.outcomes().len(), is_over), (kills, kills > 0), "{share}, {at_least_one}");
        let waits_for = play.ledger().upcoming.first().and_then(|strike| strike.waiting_for.as_deref());
        assert_eq!(waits_for, (kills == 0).then_some("NoEligiblePod"));
    }
}

#[test]
fn a_strike_whose_group_is_gone_with_its_first_victim_hits_no_other() {
    let mut play = of_two();
    let spec = play.killer.spec().clone();
    // Every pod is a group of its own, and they take turns.
    let kill = Kill { group: GroupBy::Label("shard".to_owned()), ..spec.kill.clone() };
    play.killer = Killer::new(KillerSpec { kill, streams: Streams::Single, ..spec });
    play.crash();
    assert!(play.run(SignedDuration::from_mins(4)));
    assert_eq!(play.outcomes(), [Outcome::Killed; 3]);
    assert_eq!((play.ledger().skips, play.reasons()), (3, BTreeSet::from(["NoEligiblePod"])));
}

#[test]
fn the_share_of_a_workload_is_taken_from_that_one_alone() {
    let mut play = super::scope::spread(of_run);
    let spec = play.killer.spec().clone();
    let limits = Limits { max_kills: 6, max_unavailable: CountOrPercent::Count(2), ..spec.limits };
    // Two of the three pods of one of three workloads, all of which are one group.
    let victims = Victims { count: "67%".parse().map(CountOrPercent::Percent).unwrap(), at_least_one: false };
    let kill = Kill { group: GroupBy::Label("chaos.dispatch.dev/enabled".to_owned()), ..spec.kill.clone() };
    play.killer = Killer::new(KillerSpec { kill, limits, victims, streams: Streams::Single, ..spec });
    play.crash();
    play.view.beat = Some(start());
    assert!(play.run(SignedDuration::from_mins(4)));
    assert_eq!(play.outcomes(), [Outcome::Killed; 6]);
    for strike in play.ledger().history.chunks(2) {
        assert_eq!(strike[0].victim.workload_uid, strike[1].victim.workload_uid, "{strike:?}");
    }
}

#[test]
fn a_victim_that_follows_a_lost_answer_is_left_alone_and_told() {
    let mut play = of_two();
    play.answer = KillAnswerKind::Unknown;
    assert!(play.run(SignedDuration::from_mins(4)));
    assert_eq!(play.outcomes(), [Outcome::Killed; 3]);
    assert_eq!((play.ledger().skips, play.reasons()), (3, BTreeSet::from(["Missed"])));
}

#[test]
fn what_a_crash_leaves_of_a_strike_is_told_and_killed_by_nobody() {
    let mut left = 0;
    for crash_at in 0..40 {
        let mut play = of_two();
        let (mut response, mut actions) = (None, 0);
        while actions <= crash_at {
            match play.step(response.take()) {
                Next::Act(action) => {
                    actions += 1;
                    response = Some(play.answer(action));
                }
                Next::Wait(until) => play.now = until.expect("a strike is planned"),
                Next::Done => break,
            }
        }
        // The last answer is lost with the process.
        let (sent, begun) = (play.orders.len(), strikes_of(&play.orders));
        play.crash();
        assert!(play.run(SignedDuration::from_mins(4)));
        let goes_on = strikes_of(&play.orders[sent..]);
        assert!(begun.is_disjoint(&goes_on), "a crash after {crash_at} actions: {begun:?} {goes_on:?}");
        let ledger = play.ledger();
        assert_eq!((ledger.struck, &ledger.unfinished), (3, &None), "a crash after {crash_at} actions");
        for strike in strikes_of(&play.orders) {
            let killed = ledger.history.iter().filter(|kill| kill.strike == strike).count();
            let told = ledger.skipped.iter().filter(|skip| skip.strike == strike).count();
            assert_eq!(killed + told, 2, "a crash after {crash_at} actions: {:?}", ledger.skipped);
        }
        assert!(play.reasons().iter().all(|reason| *reason == "Missed"), "{:?}", play.reasons());
        left += ledger.skips;
    }
    assert!(left > 3, "{left} were left");
}

#[test]
fn what_a_crash_leaves_of_a_strike_is_told_where_its_plan_is_void_and_its_kill_in_doubt() {
    let mut play = of_two();
    let spec = play.killer.spec().clone();
    let limits = Limits { max_unavailable: CountOrPercent::Count(3), min_ready: 0, ..spec.limits };
    play.killer = Killer::new(KillerSpec { limits, ..spec.clone() });
    let mut response = None;
    let begun = loop {
        match play.step(response.take()) {
            // Its pod is there for as long as it is in doubt.
            Next::Act(Action::Kill(order)) => break order.strike.strike,
            Next::Act(action) => response = Some(play.answer(action)),
            Next::Wait(until) => play.now = until.expect("a strike is planned"),
            Next::Done => panic!("{:?}", play.ledger()),
        }
    };
    // The next process draws another plan.
    play.killer = Killer::new(KillerSpec { limits, seed: spec.seed + 1, ..spec });
    play.crash();
    assert!(play.run(SignedDuration::from_mins(4)));
    assert!(play.orders.len() > 1, "others follow: {:?}", play.ledger());
    let told = play.ledger().skipped.iter().filter(|skip| skip.strike == begun).count();
    assert_eq!((told, &play.ledger().unfinished), (1, &None), "{:?}", play.ledger().skipped);
}

#[test]
fn a_strike_in_hand_and_one_that_is_known_to_have_killed_count_once_while_a_kill_is_in_doubt() {
    // The first victim of the first strike, or the second of the second: the pod is there for as long as it is in doubt.
    for (in_doubt, kills) in [(1, 5), (4, 6)] {
        let mut play = of_two();
        let spec = play.killer.spec().clone();
        let limits = Limits { max_unavailable: CountOrPercent::Count(3), min_ready: 0, ..spec.limits };
        play.killer = Killer::new(KillerSpec { limits, ..spec });
        let mut response = None;
        while play.orders.len() < kills {
            match play.step(response.take()) {
                Next::Act(Action::Kill(order)) if play.orders.len() + 1 == in_doubt => {
                    play.orders.push((play.now, order));
                    let answer = KillAnswer { at: play.now, kind: KillAnswerKind::Unknown, message: None };
                    response = Some(Response::Kill(answer));
                }
                Next::Act(action) => response = Some(play.answer(action)),
                Next::Wait(until) => play.now = until.expect("a strike is planned"),
                Next::Done => panic!("{:?}", play.ledger()),
            }
            let waited = play.now.duration_since(start());
            assert!(
                waited < SignedDuration::from_secs(30),
                "{waited:?}: {} kills, {:?}",
                play.orders.len(),
                play.ledger()
            );
        }
        for strike in strikes_of(&play.orders) {
            let kills = play.orders.iter().filter(|(_, order)| order.strike.strike == strike).count();
            let is_left_alone = in_doubt == 1 && strike == 0;
            assert_eq!(kills, if is_left_alone { 1 } else { 2 }, "strike {strike}: {:?}", play.ledger().skipped);
        }
    }
}

/// The strikes that these kills are of.
fn strikes_of(orders: &[(Timestamp, KillOrder)]) -> BTreeSet<u64> {
    orders.iter().map(|(_, order)| order.strike.strike).collect()
}

#[test]
fn what_keeps_a_victim_from_it_is_told_with_how_many_were_to_follow() {
    let mut play = of(Victims { count: CountOrPercent::Count(3), at_least_one: false });
    let spec = play.killer.spec().clone();
    let limits = Limits { max_kills: 9, max_unavailable: CountOrPercent::Count(3), min_ready: 0, ..spec.limits };
    play.killer = Killer::new(KillerSpec { limits, ..spec });
    let mut response = None;
    while play.ledger().skips == 0 {
        match play.step(response.take()) {
            Next::Act(action) => response = Some(play.answer(action)),
            Next::Wait(until) => play.now = until.expect("a strike is planned"),
            Next::Done => panic!("{:?}", play.ledger()),
        }
        if play.orders.len() == 1 {
            play.answer = KillAnswerKind::Blocked;
        }
    }
    let skip = play.ledger().skipped[0].clone();
    assert_eq!((skip.reason.as_str(), play.outcomes()), ("EvictionBlocked", vec![Outcome::Killed, Outcome::Blocked]));
    assert!(skip.message.contains("1 more of its pods"), "{}", skip.message);
}

#[test]
fn a_victim_whose_killer_is_told_to_leave_before_it_is_told() {
    let mut play = of_two();
    let mut response = None;
    loop {
        match play.step(response.take()) {
            Next::Act(action) => {
                play.view.leave |= matches!(action, Action::Kill(_));
                response = Some(play.answer(action));
            }
            Next::Wait(until) => play.now = until.expect("a strike is planned"),
            Next::Done => break,
        }
    }
    assert_eq!(play.outcomes(), [Outcome::Killed]);
    assert_eq!((play.ledger().skips, play.reasons()), (1, BTreeSet::from(["Missed"])));
    assert!(play.ledger().intents.is_empty() && play.budget_of("w").reservations.is_empty());
}
