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
        match play.step(response.take()) {
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
        // Looked at a second before, unless a survey was just being made.
        let late = at.duration_since(order.strike.at.0);
        assert!(late >= SignedDuration::from_secs(2) && late <= SignedDuration::from_secs(3), "{late:?}");
    }
}

#[test]
fn a_look_that_took_long_is_reckoned_with_for_several_kills_and_not_for_ever() {
    let mut play = slow(|_| ());
    play.run(hours(1));
    let (long, kills) = (Duration::from_millis(800), play.orders.len());
    play.state.look_takes = long;
    while play.orders.len() < kills + 3 {
        play.run(SignedDuration::from_secs(1));
    }
    assert!(play.state.look_takes > long / 2, "{:?}", play.state.look_takes);
    play.run(hours(48));
    assert_eq!(play.state.look_takes, Duration::from_millis(300));
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
fn what_recovers_is_looked_at_for_a_fifth_of_the_time_at_most() {
    let mut play = slow(|_| ());
    let gone = SignedDuration::from_secs(8);
    play.replaced_after = Some(gone);
    play.run(hours(12));
    assert!(play.orders.len() > 5, "{} kills", play.orders.len());
    for (at, _) in &play.orders {
        let looks = play.looks.iter().filter(|(began, _)| began > at && *began < *at + gone).count();
        assert!((3..=6).contains(&looks), "{looks} looks after the kill at {at}");
    }
}

/// A killer of three workloads, eight seconds before an instant, and a strike on each of as many of them as there are offsets:
/// that long after the instant it is due, in milliseconds.
fn side_by_side<const N: usize>(
    looks_take: SignedDuration,
    after: [i64; N],
    change: impl FnOnce(&mut Value),
) -> (Play, [PlannedStrike; N]) {
    let mut play = Play { looks_take, ..super::scope::spread(change) };
    play.run(SignedDuration::from_secs(1));
    let firsts = [NS, "edge", "far"].map(|namespace| {
        let group = format!("{namespace}/Deployment/trips");
        play.ledger().upcoming.iter().find(|strike| strike.group == group).unwrap().clone()
    });
    // What is postponed never comes earlier.
    let instant = firsts.iter().map(|strike| strike.at.0).max().unwrap() + SignedDuration::from_mins(1);
    for (strike, millis) in firsts.iter().zip(after) {
        play.view.postpone.insert(strike.id.clone(), instant + SignedDuration::from_millis(millis));
    }
    play.run(instant.duration_since(play.now) - SignedDuration::from_secs(8));
    // Others of these workloads were killed for by then.
    play.orders.clear();
    play.looks.clear();
    let of = |index: usize| play.ledger().upcoming.iter().find(|strike| strike.id == firsts[index].id).unwrap().clone();
    let strikes = std::array::from_fn(of);
    (play, strikes)
}

/// Which strikes killed, and how late.
fn killed(play: &Play) -> Vec<(u64, SignedDuration)> {
    let late = |(at, order): &(Timestamp, KillOrder)| (order.strike.strike, at.duration_since(order.strike.at.0));
    play.orders.iter().map(late).collect()
}

#[test]
fn strikes_that_come_right_after_one_another_are_looked_at_together_and_none_is_late() {
    let (mut play, strikes) = side_by_side(LOOK, [0, 100], |_| ());
    play.run(SignedDuration::from_secs(9));
    assert_eq!(killed(&play), strikes.map(|strike| (strike.strike, SignedDuration::ZERO)));
    assert!(play.budgets.values().all(|(_, budget)| budget.reservations.is_empty()) && play.ledger().skips == 0);
}

#[test]
fn a_reservation_is_given_back_after_the_strikes_that_come_right_after_its_kill_and_always() {
    let (mut play, strikes) = side_by_side(LOOK, [0, 50], |_| ());
    play.write_takes = SignedDuration::from_millis(20);
    play.run(SignedDuration::from_secs(9));
    // Each is written before its kill; the first one's reservation is given back after the second kill.
    let late = SignedDuration::from_millis(20);
    assert_eq!(killed(&play), strikes.map(|strike| (strike.strike, late)));
    let kills = ["write budget", "kill", "write budget", "kill"];
    // Others may have written the first one's budget meanwhile.
    let ends: Vec<_> = kills.into_iter().chain(["write budget", "read budget", "write budget"]).collect();
    assert!(play.actions.ends_with(&ends), "{:?}", play.actions);
    assert!(play.budgets.values().all(|(_, budget)| budget.reservations.is_empty()));
}

#[test]
fn a_reservation_that_waits_is_given_back_when_the_strike_it_waits_for_is_called_off() {
    for leaves in [false, true] {
        let (mut play, _) = side_by_side(LOOK, [0, 90], |_| ());
        play.run(SignedDuration::from_secs(8) + SignedDuration::from_millis(10));
        assert_eq!((play.orders.len(), play.state.to_release.len()), (1, 1));
        (play.view.suspended, play.view.leave) = (!leaves, leaves);
        assert_eq!(play.run(SignedDuration::from_secs(1)), leaves);
        assert!(play.orders.len() == 1 && play.state.to_release.is_empty());
        assert!(play.budgets.values().all(|(_, budget)| budget.reservations.is_empty()));
    }
}

#[test]
fn what_gave_way_to_a_strike_is_done_once_that_strike_is_skipped() {
    let (mut play, [_, second]) = side_by_side(LOOK, [0, 90], |_| ());
    play.run(SignedDuration::from_secs(8) + SignedDuration::from_millis(10));
    assert_eq!((play.orders.len(), play.state.to_release.len()), (1, 1));
    play.view.hold = Some("stopped".to_owned());
    // No other strike comes within this time, and the hold stays.
    play.run(SignedDuration::from_secs(5));
    assert!(play.ledger().skipped.iter().any(|skip| skip.strike == second.strike), "{:?}", play.ledger().skipped);
    assert!(play.orders.len() == 1 && play.state.to_release.is_empty());
    assert!(play.budgets.values().all(|(_, budget)| budget.reservations.is_empty()));
    assert!(play.ledger().recovering.is_empty(), "what recovers is looked at too");
}

#[test]
fn a_killer_that_ends_while_a_reservation_waits_gives_it_back_before_it_is_done() {
    let (mut play, _) = side_by_side(LOOK, [0, 90], |_| ());
    play.run(SignedDuration::from_secs(8) + SignedDuration::from_millis(10));
    assert_eq!((play.orders.len(), play.state.to_release.len()), (1, 1));
    // Its victim is replaced already, and its time is over.
    play.state.ledger.recovering.clear();
    play.killer.spec.life = Life::OfRun { until: play.now, strikes: 1000, heartbeat: None };
    assert!(play.run(SignedDuration::from_secs(1)), "it is done");
    assert!(play.orders.len() == 1 && play.state.to_release.is_empty());
    assert!(play.budgets.values().all(|(_, budget)| budget.reservations.is_empty()));
}

#[test]
fn a_kill_makes_no_strike_late_that_was_looked_at_before_it_and_nor_does_one_that_comes_later() {
    // The third is not looked at together with the first. Its own look would begin before the second is due, and end after that.
    let (mut play, strikes) = side_by_side(LOOK, [0, 300, 600], |_| ());
    play.run(SignedDuration::from_secs(9));
    assert_eq!(killed(&play), strikes.map(|strike| (strike.strike, SignedDuration::ZERO)), "{:?}", play.looks);
    assert_eq!(play.ledger().skips, 0);
}

#[test]
fn a_strike_that_would_not_happen_ahead_of_time_does_not_wait_for_others_that_were_looked_at_with_it() {
    let look = SignedDuration::from_millis(50);
    let (mut play, strikes) = side_by_side(look, [0, 150, 300], |_| ());
    play.run(SignedDuration::from_secs(7));
    // Of the first nobody serves while it is looked at ahead of time.
    let all = std::mem::take(&mut play.pods);
    play.pods = all.iter().filter(|uid| uid.contains('/')).cloned().collect();
    play.run(SignedDuration::from_millis(990));
    play.pods = all;
    play.run(SignedDuration::from_secs(2));
    let [first, second, third] = strikes.map(|strike| strike.strike);
    let on_time = SignedDuration::ZERO;
    assert_eq!(killed(&play), [(first, look * 2), (second, on_time), (third, on_time)], "{:?}", play.looks);
}

#[test]
fn what_is_too_old_for_a_kill_once_it_is_due_is_looked_at_again_in_time() {
    let (mut play, strikes) = side_by_side(LOOK, [0, 400], |spec| spec["limits"]["maxBlind"] = json!("500ms"));
    play.run(SignedDuration::from_secs(9));
    assert_eq!(killed(&play), strikes.map(|strike| (strike.strike, SignedDuration::ZERO)), "{:?}", play.looks);
    assert_eq!(play.ledger().skips, 0, "{:?}", play.ledger().skipped);
}

#[test]
fn a_strike_does_not_fail_with_another_one_whose_part_of_the_target_is_out_of_sight() {
    let (mut play, [first, _]) = side_by_side(LOOK, [0, 500], |_| ());
    play.run(SignedDuration::from_secs(7));
    play.hidden = Some("edge");
    play.run(SignedDuration::from_secs(2));
    assert_eq!(killed(&play), [(first.strike, LOOK)], "{:?}", play.ledger().skipped);
}

#[test]
fn what_was_seen_before_a_kill_is_looked_at_again_where_a_disruption_budget_covers_both() {
    let (mut play, strikes) = side_by_side(LOOK, [0, 100], |_| ());
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

#[test]
fn a_strike_that_has_kept_its_distance_when_it_is_due_is_not_late_for_having_been_looked_at_before() {
    // By the least gap between kills of a group, and by the interval between those of a workload.
    for interval in ["0s", "10m"] {
        let mut play = slow(|spec| spec["limits"]["minInterval"] = json!(interval));
        while play.orders.is_empty() {
            play.run(SignedDuration::from_secs(1));
        }
        let due = play.ledger().history[0].at.0 + SignedDuration::from_mins(10);
        assert!(play.ledger().upcoming[0].at.0 > due, "none comes sooner");
        play.state.ledger.upcoming[0].at = micro_time(due);
        play.run(SignedDuration::from_mins(10) + SignedDuration::from_secs(1));
        assert_eq!(killed(&play)[1].1, SignedDuration::ZERO, "{interval}: {:?}", play.looks);
        assert_eq!((play.orders[1].0, play.ledger().skips), (due, 0), "{interval}");
    }
}

#[test]
fn the_distance_between_kills_is_asked_for_again_when_a_strike_is_due() {
    let mut play = slow(|_| ());
    let strike = until_ready(&mut play);
    play.state.ledger.group(&strike.group).last_kill_at = Some(micro_time(play.now));
    play.run(strike.at.0.duration_since(play.now) + SignedDuration::from_secs(1));
    assert_eq!((play.orders.len(), play.reasons()), (0, BTreeSet::from(["Spacing"])));
}
