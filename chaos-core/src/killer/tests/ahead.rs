//! A clock that is set ahead: what happened before is as long ago as it is. One that is set back keeps nothing waiting but kills.

use super::*;
use crate::instant::whole_micros;
use crate::limits::Reservation;

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Sets the clock of its machine ahead.
fn set_ahead(play: &mut Play, by: SignedDuration) {
    play.now += by;
    play.view.ahead = by.unsigned_abs();
}

/// Lets it work until it has asked for so many kills.
fn until_killed(play: &mut Play, kills: usize) {
    for _ in 0..400_000 {
        if play.orders.len() >= kills {
            return;
        }
        play.run(SECOND / 10);
    }
    panic!("{} kills: {:?}", play.orders.len(), play.ledger());
}

/// Time between the first two kills of a killer whose clock is set ahead by half a minute a second after the first.
fn gap(change: impl FnOnce(&mut Value)) -> SignedDuration {
    let ahead = SECOND * 30;
    let mut play = Play::new(|spec| {
        of_run(spec);
        change(spec);
    });
    play.view.beat = Some(start());
    until_killed(&mut play, 1);
    play.run(SECOND);
    assert_eq!(play.orders.len(), 1);
    set_ahead(&mut play, ahead);
    until_killed(&mut play, 2);
    play.orders[1].0.duration_since(play.orders[0].0) - ahead
}

#[test]
fn two_kills_of_a_group_keep_their_distance() {
    let gap = gap(|spec| {
        spec["meanTimeBetweenKills"] = json!("9s");
        spec["minTimeBetweenKills"] = json!("8s");
    });
    // The strike is due since the clock was set, and waits.
    assert!(gap >= SECOND * 8 && gap < SECOND * 9, "{gap:?}");
}

#[test]
fn two_kills_of_a_workload_keep_their_distance() {
    for (is_set, kills) in [(true, 1), (false, 2)] {
        let mut play = Play::new(|spec| {
            by_pod(spec);
            spec["meanTimeBetweenKills"] = json!("41s");
            spec["minTimeBetweenKills"] = json!("40s");
            spec["limits"]["minInterval"] = json!("30s");
        });
        until_killed(&mut play, 1);
        // Another group's strike comes 31 s later by the clock, 29 s later if that was set.
        let (last, other) = (play.orders[0].0, play.ledger().upcoming[0].clone());
        play.view.postpone.insert(other.id, last + SECOND * 31);
        set_ahead(&mut play, SECOND * 2);
        if !is_set {
            // The process stood still.
            play.view.ahead = Duration::ZERO;
        }
        play.run(SECOND * 33);
        assert_eq!(play.orders.len(), kills, "{:?}", play.orders);
        assert_eq!(play.reasons().contains("Spacing"), is_set, "{:?}", play.reasons());
    }
}

#[test]
fn a_strike_whose_budget_others_wrote_meanwhile_keeps_its_distance_to_theirs() {
    for is_set in [false, true] {
        let mut play = Play::new(|spec| spec["limits"]["minInterval"] = json!("30s"));
        let mut response = None;
        loop {
            match play.step(response.take()) {
                Next::Act(Action::WriteBudget { .. }) => break,
                Next::Act(action) => response = Some(play.answer(action)),
                Next::Wait(until) => play.now = until.expect("a strike is planned"),
                Next::Done => panic!("it goes on for ever"),
            }
        }
        // Another killer on this machine has just killed a pod of the workload.
        let mut budget = WorkloadBudget::default();
        budget.record("other", 1, play.now);
        play.budgets.insert("w".to_owned(), (9, budget));
        set_ahead(&mut play, SECOND * 60);
        if !is_set {
            // The process stood still.
            play.view.ahead = Duration::ZERO;
        }
        response = Some(Response::Stored(Stored::Conflict));
        while play.orders.is_empty() && play.ledger().skips == 0 {
            match play.step(response.take()) {
                Next::Act(action) => response = Some(play.answer(action)),
                Next::Wait(until) => play.now = until.expect("a strike is planned"),
                Next::Done => panic!("it goes on for ever"),
            }
        }
        assert_eq!(play.orders.len(), usize::from(!is_set), "{:?}", play.orders);
        assert_eq!(play.reasons().contains("Spacing"), is_set, "{:?}", play.reasons());
    }
}

#[test]
fn what_a_clock_that_was_behind_took_for_the_future_is_not_moved_into_it() {
    let mut play = Play::new(|_| ());
    until_killed(&mut play, 1);
    play.run(SECOND);
    let last = |play: &Play| play.ledger().groups[0].last_kill_at.as_ref().unwrap().0;
    let take_step = |play: &mut Play, ahead: Duration| {
        play.state =
            play.killer.step(&play.state, &KillerView { ahead, ..KillerView::default() }, None, play.now).state;
    };
    let killed = last(&play);
    play.now -= hours(2);
    take_step(&mut play, Duration::ZERO);
    assert_eq!(last(&play), killed);
    play.now += hours(2);
    take_step(&mut play, Duration::from_secs(7_200));
    assert_eq!(last(&play), whole_micros(play.now), "as if it had been just now");
}

#[test]
fn a_kill_of_ones_own_may_still_happen_for_as_long() {
    let mut play = Play::new(|_| ());
    play.answer = KillAnswerKind::Unknown;
    until_killed(&mut play, 1);
    // It was not carried out so far.
    play.pods.push(play.orders[0].1.victim.uid.clone());
    play.run(SECOND * 2);
    set_ahead(&mut play, hours(1));
    play.run(SECOND * 80);
    assert_eq!((play.ledger().intents.len(), play.outcomes()), (1, Vec::new()));
    play.run(SECOND * 20);
    assert_eq!((play.ledger().intents.len(), play.outcomes()), (0, vec![Outcome::Unknown]));
}

#[test]
fn nobody_recovers_later_for_it() {
    let mut play = Play::new(|_| ());
    play.replaced_after = None;
    until_killed(&mut play, 1);
    set_ahead(&mut play, hours(1));
    play.run(SECOND * 50);
    assert_eq!(play.ended(), None, "{:?}", play.ledger().ended);
    play.run(SECOND * 20);
    assert_eq!(play.ended(), Some(EndReason::NotRecovered));
}

#[test]
fn nothing_was_out_of_sight_for_longer() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.run(SECOND / 10);
    play.is_blind = true;
    play.run(SECOND * 5);
    assert!(play.state.blind.is_some(), "{:?}", play.ledger());
    set_ahead(&mut play, SECOND * 120);
    play.run(SECOND * 50);
    assert_eq!(play.ended(), None, "{:?}", play.ledger().ended);
    play.run(SECOND * 20);
    assert_eq!(play.ended(), Some(EndReason::Blind));
}

#[test]
fn a_clock_that_goes_back_and_forth_keeps_nobody_waiting_for_longer_each_time() {
    let mut play = Play::new(|_| ());
    until_killed(&mut play, 1);
    for _ in 0..30 {
        set_ahead(&mut play, hours(1));
        play.run(SECOND);
        play.now -= hours(1);
        play.run(SECOND);
    }
    let last = play.ledger().groups[0].last_kill_at.as_ref().unwrap().0;
    assert!(last <= play.now + hours(1), "{last}, and it is {}", play.now);
}

#[test]
fn a_strike_that_was_put_off_by_a_clock_that_was_ahead_is_tried_again_soon() {
    let mut play = Play::new(|spec| {
        of_run(spec);
        spec["until"] = json!("2026-11-23T18:00:00Z");
    });
    play.view.beat = Some(start());
    play.run(SECOND / 10);
    play.view.hold = Some("stopped".to_owned());
    set_ahead(&mut play, hours(1));
    play.run(SECOND * 3);
    play.now -= hours(1);
    play.view.hold = None;
    play.run(SECOND * 3);
    assert!(!play.orders.is_empty(), "{:?}", play.ledger());
}

#[test]
fn a_run_has_the_time_to_give_a_sign_of_life() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.run(SECOND / 10);
    let beat = Some(play.now);
    let ended = |play: &mut Play, ahead: Duration| {
        let view = KillerView { beat, ahead, ..KillerView::default() };
        play.state = play.killer.step(&play.state, &view, None, play.now).state;
        play.ended()
    };
    play.now += SECOND * 30;
    assert_eq!(ended(&mut play, Duration::from_secs(30)), None);
    play.now += SECOND * 4;
    assert_eq!(ended(&mut play, Duration::ZERO), None);
    play.now += SECOND * 2;
    assert_eq!(ended(&mut play, Duration::ZERO), Some(EndReason::HeartbeatLost));
    assert!(play.orders.is_empty(), "its last beat is too old for a kill all the while");
}

#[test]
fn a_kill_that_was_under_way_meanwhile_was_sent_just_now() {
    let mut play = Play::new(|_| ());
    let mut response = None;
    while play.ledger().kills == 0 {
        match play.step(response.take()) {
            Next::Act(action) => {
                let kills = matches!(action, Action::Kill(_));
                response = Some(play.answer(action));
                if kills {
                    set_ahead(&mut play, hours(1));
                }
            }
            Next::Wait(until) => play.now = until.expect("it has plans"),
            Next::Done => panic!("a standing monkey ended"),
        }
    }
    let last = play.ledger().groups[0].last_kill_at.as_ref().unwrap().0;
    assert_eq!(last, whole_micros(play.now));
}

/// How long a killer waits for its first kill where another killer has reserved one that long ago, as the clock of this machine has it.
/// After five seconds that is set ahead by so much.
fn waits(reserved_ago: SignedDuration, ahead: SignedDuration) -> SignedDuration {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    let since = start() - reserved_ago;
    let other = Reservation { run: "other".into(), strike: 1, victim_uid: "pod-0".into(), since };
    let mut budget = WorkloadBudget::default();
    budget.reserve(other).unwrap();
    play.budgets.insert("w".to_owned(), (1, budget));
    play.run(SECOND * 5);
    if !ahead.is_zero() {
        set_ahead(&mut play, ahead);
    }
    until_killed(&mut play, 1);
    play.orders[0].0.duration_since(start()) - ahead
}

#[test]
fn a_reservation_of_others_holds_for_as_long_as_it_may_be_in_use_however_far_behind_their_clock_is() {
    for reserved_ago in [SECOND * 91, SECOND * 800] {
        let waited = waits(reserved_ago, SignedDuration::ZERO);
        assert!(waited >= SECOND * 30 && waited < SECOND * 35, "{reserved_ago} {waited}");
    }
    for (reserved_ago, ahead) in [(SECOND * 91, SECOND * 60), (SECOND * 800, SECOND * 120)] {
        let waited = waits(reserved_ago, ahead);
        assert!(waited >= SECOND * 90 && waited < SECOND * 100, "the clock of this machine is set: {waited}");
    }
    let waited = waits(SignedDuration::ZERO, SignedDuration::ZERO);
    assert!(waited >= SECOND * 90 && waited < SECOND * 95, "all clocks are right: {waited}");
    assert!(waits(SECOND * 900, SignedDuration::ZERO) < SECOND * 5, "nobody is going to use that any more");
}

#[test]
fn what_happened_by_a_clock_that_was_ahead_gets_older_once_that_is_set_back() {
    let mut recovers = Play::new(|_| ());
    recovers.replaced_after = None;
    until_killed(&mut recovers, 1);
    let mut blind = Play::new(of_run);
    blind.view.beat = Some(start());
    blind.run(SECOND / 10);
    blind.is_blind = true;
    blind.run(SECOND * 5);
    assert!(blind.state.blind.is_some(), "{:?}", blind.ledger());
    for (mut play, reason) in [(recovers, EndReason::NotRecovered), (blind, EndReason::Blind)] {
        play.now -= hours(1);
        play.run(SECOND * 50);
        assert_eq!(play.ended(), None, "{:?}", play.ledger().ended);
        play.run(SECOND * 20);
        assert_eq!(play.ended(), Some(reason));
    }
}

#[test]
fn a_kill_by_a_clock_that_was_ahead_keeps_others_waiting_all_the_same() {
    let mut play = Play::new(|_| ());
    until_killed(&mut play, 1);
    let last = |play: &Play| play.ledger().groups[0].last_kill_at.clone();
    let killed = last(&play);
    play.now -= hours(1);
    play.run(SECOND);
    assert_eq!(last(&play), killed);
    assert!(play.ledger().recovering.iter().all(|record| record.since.0 <= play.now));
}

#[test]
fn an_end_by_the_clock_says_what_the_clock_showed_and_that_it_was_set() {
    let told = |set_after: i32| {
        let mut play = Play::new(|spec| {
            of_run(spec);
            // Nobody is killed by then.
            spec["meanTimeBetweenKills"] = json!("2h");
            spec["minTimeBetweenKills"] = json!("1h");
        });
        play.view.beat = Some(start());
        play.run(SECOND * set_after);
        if play.ended().is_none() {
            set_ahead(&mut play, hours(1));
        }
        play.run(SECOND * 600);
        assert_eq!(play.ended(), Some(EndReason::Until));
        play.ledger().ended.clone().unwrap()
    };
    let end = told(600);
    assert_eq!(
        end.message,
        "its time ended at 2026-11-23T12:05:00Z, and this machine's clock shows 2026-11-23T12:05:00.000Z"
    );
    let end = told(60);
    assert_eq!(end.at, micro_time(start() + SECOND * 3_660));
    assert_eq!(
        end.message,
        "its time ended at 2026-11-23T12:05:00Z, and this machine's clock shows 2026-11-23T13:01:00.000Z; it was set ahead by \
         3600000 ms meanwhile"
    );
}
