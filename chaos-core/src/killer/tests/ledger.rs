//! What a ledger counts, in whatever order it is told.

use super::modes::kill;
use super::*;
use crate::model::Schedule;

/// The tests' kills begin at noon: seconds from there to the next midnight (UTC).
const MIDNIGHT: i64 = 12 * 3_600;

#[test]
fn a_kill_of_yesterday_that_is_told_late_takes_none_away_from_today() {
    let schedule = Schedule::always();
    let mut ledger = Ledger::default();
    ledger.record(kill(2, MIDNIGHT + 10, Outcome::Killed), "g", &schedule);
    ledger.record(kill(3, MIDNIGHT + 20, Outcome::Killed), "g", &schedule);
    let last = ledger.groups[0].last_kill_at.clone();
    ledger.record(kill(1, MIDNIGHT - 10, Outcome::Unknown), "g", &schedule);
    let today = kill(4, MIDNIGHT + 30, Outcome::Killed).at.0;
    assert!(ledger.kills_on(today) >= 2, "{}", ledger.kills_on(today));
    assert_eq!(ledger.groups[0].last_kill_at, last, "the gap to the next is from the latest");
    assert_eq!(ledger.kills, 3);
}

#[test]
fn whoever_takes_over_with_a_slower_clock_begins_no_day_anew() {
    let mut ledger = Ledger::default();
    ledger.record(kill(1, MIDNIGHT + 1, Outcome::Killed), "g", &Schedule::always());
    let before = kill(2, MIDNIGHT - 1, Outcome::Killed).at.0;
    assert_eq!(ledger.kills_on(before), 1);
}

#[test]
fn a_kill_by_a_clock_that_was_days_ahead_keeps_no_kill_of_today_from_being_counted() {
    let schedule = Schedule::always();
    let mut ledger = Ledger::default();
    ledger.record(kill(1, 3 * 24 * 3_600, Outcome::Killed), "wrong", &schedule);
    let now = kill(2, 0, Outcome::Killed).at.0;
    assert_eq!(ledger.kills_on(now), 0, "it was not today");
    // Its own group waits until then; the others do not.
    for (strike, seconds) in [(3, 60), (4, 120), (5, 180)] {
        ledger.record(kill(strike, seconds, Outcome::Killed), "g", &schedule);
    }
    assert_eq!(ledger.kills_on(now + SignedDuration::from_secs(200)), 3);
}

#[test]
fn a_monkey_that_is_made_anew_finds_what_was_killed_of_a_workload_that_day() {
    let mut play = Play::new(|spec| spec["limits"]["maxKills"] = json!(2));
    for _ in 0..8 {
        play.run(hours(1));
    }
    assert_eq!(play.orders.len(), 2, "those of the day");
    // The same name or another: nothing is known of it but another UID, and nothing in its status.
    play.killer = Killer::new(KillerSpec { run: "anew".to_owned(), ..play.killer.spec().clone() });
    play.state = play.killer.resume(Ledger::default());
    play.run(hours(3));
    assert_eq!((play.orders.len(), play.reasons()), (2, BTreeSet::from(["MaxKills"])));
    play.run(hours(24));
    assert!(play.orders.len() > 2, "another day");
}
