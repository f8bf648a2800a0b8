//! Strikes that are looked at ahead of time: over when they are due, killed neither earlier nor later, and by nothing that was
//! seen long before or has changed since.

use super::*;

const LOOK: SignedDuration = SignedDuration::from_millis(300);

/// A killer whose looks take 300 ms.
fn slow(change: impl FnOnce(&mut Value)) -> Play {
    Play { looks_take: LOOK, ..Play::new(change) }
}

/// Lets it work until a strike was looked at that is not due yet; the strike.
fn until_ready(play: &mut Play) -> PlannedStrike {
    let mut response = None;
    loop {
        let step = play.killer.step(&play.state, &play.view, response.take(), play.now);
        play.state = step.state;
        match step.next {
            Next::Act(action) => response = Some(play.answer(action)),
            Next::Wait(_) if !play.state.ready.is_empty() => break,
            Next::Wait(until) => play.now = until.expect("it has plans"),
            Next::Done => panic!("a standing monkey ended"),
        }
    }
    let strike = play.ledger().upcoming[0].clone();
    assert!(play.now < strike.at.0 && play.orders.is_empty(), "{} {strike:?}", play.now);
    strike
}

#[test]
fn a_strike_is_killed_for_when_it_is_due_however_long_looks_take() {
    let mut play = slow(|_| ());
    play.run(hours(24));
    assert!(play.orders.len() > 10 && play.ledger().skips == 0, "{} kills", play.orders.len());
    for (at, order) in &play.orders {
        assert_eq!(*at, order.strike.at.0, "{order:?}");
        let last = play.looks.iter().map(|(began, _)| *began).filter(|began| began < at).max().unwrap();
        let age = at.duration_since(last);
        assert!(age >= LOOK && age <= LOOK * 2, "seen {age:?} before");
    }
}

#[test]
fn looks_that_take_very_long_make_kills_late_and_never_early() {
    let mut play = slow(|_| ());
    play.looks_take = SignedDuration::from_secs(3);
    play.run(hours(24));
    assert!(play.orders.len() > 10 && play.ledger().skips == 0, "{} kills", play.orders.len());
    for (at, order) in &play.orders {
        assert_eq!(at.duration_since(order.strike.at.0), SignedDuration::from_secs(2), "looked at a second before");
    }
}

#[test]
fn what_was_decided_ahead_of_time_is_not_done_if_people_stop_it_until_then() {
    type Stop = fn(&mut KillerView, &PlannedStrike);
    let stops: [(&str, Stop); 4] = [
        ("Cancelled", |view, strike| _ = view.cancel.insert(strike.id.clone())),
        ("Held", |view, _| view.hold = Some("stopped".to_owned())),
        ("", |view, _| view.suspended = true),
        ("", |view, strike| _ = view.postpone.insert(strike.id.clone(), strike.at.0 + hours(1))),
    ];
    for (reason, stop) in stops {
        let mut play = slow(|_| ());
        let strike = until_ready(&mut play);
        stop(&mut play.view, &strike);
        let left = strike.at.0.duration_since(play.now);
        play.run(left + SignedDuration::from_secs(1));
        assert!(play.orders.is_empty(), "{reason}: {:?}", play.orders);
        assert!(reason.is_empty() || play.reasons().contains(reason), "{reason}: {:?}", play.reasons());
    }
}

#[test]
fn what_would_not_happen_ahead_of_time_is_looked_at_again_when_it_is_due() {
    let mut play = slow(|_| ());
    let first = until_ready(&mut play);
    play = slow(|_| ());
    let early = first.at.0.duration_since(play.now) - LOOK;
    play.run(early - SignedDuration::from_secs(1));
    // Nobody serves while it is looked at ahead of time.
    let pods = std::mem::take(&mut play.pods);
    play.run(SignedDuration::from_secs(1));
    assert_eq!((play.orders.len(), play.ledger().skips), (0, 0), "it is not skipped before it is due");
    play.pods = pods;
    play.run(SignedDuration::from_secs(2));
    let (at, order) = &play.orders[0];
    // The first look shows whose budget it needs.
    assert_eq!((order.strike.strike, *at), (first.strike, first.at.0 + LOOK * 2), "two looks later");
}

#[test]
fn what_was_seen_long_ago_is_looked_at_again() {
    let mut play = slow(|_| ());
    let strike = until_ready(&mut play);
    let looks = play.looks.len();
    // The process stood still.
    play.now = strike.at.0 + SignedDuration::from_secs(3);
    play.run(SignedDuration::from_secs(1));
    let (at, order) = &play.orders[0];
    assert_eq!(order.strike.strike, strike.strike);
    let again = play.looks[looks].0;
    assert!(again >= strike.at.0 + SignedDuration::from_secs(3) && again < *at, "{again} {at}");
}

#[test]
fn a_clock_that_is_set_back_keeps_nothing_that_was_seen() {
    let mut play = slow(|_| ());
    let strike = until_ready(&mut play);
    play.now -= hours(1);
    play.run(SignedDuration::from_secs(10));
    assert!(play.state.ready.is_empty() && play.orders.is_empty());
    play.run(hours(2));
    assert_eq!(play.orders[0].0, strike.at.0);
}

#[test]
fn a_clock_that_is_set_back_keeps_no_lost_answer_from_being_looked_up() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.answer = KillAnswerKind::Unknown;
    while play.orders.is_empty() {
        play.run(SignedDuration::from_millis(10));
    }
    assert_eq!(play.ledger().intents.len(), 1, "it is not looked up yet");
    play.now -= hours(1);
    play.run(SignedDuration::from_secs(5));
    assert!(play.ledger().intents.is_empty());
    assert_eq!(play.outcomes(), [Outcome::Killed]);
}

/// A killer of one workload that strikes while its last victim is not replaced yet.
fn busy(spec: &mut Value) {
    spec["meanTimeBetweenKills"] = json!("10s");
    spec["minTimeBetweenKills"] = json!("5s");
    let limits = json!({"maxUnavailable": 3, "minReady": 0, "maxKills": 1000});
    spec["limits"].as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
}

#[test]
fn looks_at_what_recovers_make_no_strike_late() {
    let mut play = slow(busy);
    play.replaced_after = Some(SignedDuration::from_secs(8));
    play.run(hours(1));
    let late = |(at, order): &&(Timestamp, KillOrder)| *at != order.strike.at.0;
    let (kills, late) = (play.orders.len(), play.orders.iter().filter(late).count());
    assert!(kills > 200 && play.looks.len() > 3 * kills, "{kills} kills, {} looks", play.looks.len());
    // Ahead of a few there was nobody to kill yet.
    assert!(late * 20 < kills, "{late} of {kills} are late");
}

#[test]
fn a_strike_that_was_looked_at_is_not_made_late_by_one_that_comes_soon_after() {
    let mut play = slow(|spec| {
        by_pod(spec);
        busy(spec);
    });
    let first = until_ready(&mut play);
    play = slow(|spec| {
        by_pod(spec);
        busy(spec);
    });
    play.run(SignedDuration::from_secs(1));
    let next = play.ledger().upcoming.iter().find(|strike| strike.group != first.group).unwrap().clone();
    play.view.postpone.insert(next.id, first.at.0 + SignedDuration::from_millis(100));
    play.run(SignedDuration::from_secs(20));
    assert_eq!((play.orders[0].0, play.orders[0].1.strike.strike), (first.at.0, first.strike));
    let (at, order) = &play.orders[1];
    let late = at.duration_since(order.strike.at.0);
    assert_eq!(order.strike.strike, next.strike);
    assert!(late < LOOK * 2, "{late:?}");
}

/// A killer of three workloads whose looks take 300 ms, and its first strikes on two of them, of which the second comes 100 ms
/// after the other.
fn two_at_a_time() -> (Play, [PlannedStrike; 2]) {
    let mut play = Play { looks_take: LOOK, ..super::scope::spread(|_| ()) };
    play.run(SignedDuration::from_secs(1));
    let first = play.ledger().upcoming[0].clone();
    let second = play.ledger().upcoming.iter().find(|strike| strike.group != first.group).unwrap().clone();
    play.view.postpone.insert(second.id.clone(), first.at.0 + SignedDuration::from_millis(100));
    // One of the last strikes of a stream: others are not in the way.
    play.run(first.at.0.duration_since(play.now) - SignedDuration::from_secs(8));
    let of = |id: &str| play.ledger().upcoming.iter().find(|strike| strike.id == id).unwrap().clone();
    let both = [of(&first.id), of(&second.id)];
    (play, both)
}

#[test]
fn strikes_that_come_right_after_one_another_are_looked_at_together_and_none_is_late() {
    let (mut play, strikes) = two_at_a_time();
    play.run(SignedDuration::from_secs(9));
    let killed: Vec<_> = play.orders.iter().map(|(at, order)| (order.strike.strike, *at)).collect();
    assert_eq!(killed, strikes.map(|strike| (strike.strike, strike.at.0)));
    assert!(play.budgets.values().all(|(_, budget)| budget.reservations.is_empty()) && play.ledger().skips == 0);
}

#[test]
fn what_was_seen_before_a_kill_is_looked_at_again_where_a_disruption_budget_covers_both() {
    let (mut play, strikes) = two_at_a_time();
    play.has_budget = true;
    play.run(SignedDuration::from_secs(9));
    let [(first, _), (second, order)] = play.orders.as_slice() else { panic!("{:?}", play.orders) };
    assert_eq!((*first, order.strike.strike), (strikes[0].at.0, strikes[1].strike));
    assert!(play.looks.iter().any(|(began, _)| began >= first && *began + LOOK <= *second), "{:?}", play.looks);
}

#[test]
fn a_strike_that_is_put_off_when_the_clock_was_set_back_goes_on() {
    let mut play = slow(of_run);
    play.view.beat = Some(start());
    // It is put off by the clock that was set back: its own instant is to come once more after that.
    (play.answer, play.kill_takes) = (KillAnswerKind::Blocked, SignedDuration::from_secs(-2));
    while play.orders.is_empty() {
        play.run(SignedDuration::from_millis(10));
    }
    play.answer = KillAnswerKind::Accepted;
    play.run(SignedDuration::from_secs(60));
    assert_eq!((play.ledger().kills, play.ended()), (3, Some(EndReason::StrikesDone)));
}
