//! What people want of the plan: strikes that are cancelled or postponed.

use super::*;

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
