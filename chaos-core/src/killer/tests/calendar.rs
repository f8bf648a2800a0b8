//! Active time over both changes of the clocks, weekends, blackouts and years.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Weekday, date};

use super::super::calendar::{active_between, advance, advance_counting, inactive_from, stretch};
use crate::instant::after;
use crate::model::{Blackout, DayOfWeek, Minute, Schedule, Window};

fn schedule(zone: &str, from: &str, to: &str) -> Schedule {
    let window = Window { from: Minute::parse(from).unwrap(), to: Minute::parse(to).unwrap() };
    Schedule {
        zone: jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap(),
        windows: vec![window],
        ..Schedule::always()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// Active time of a local day in Paris.
fn of_day(schedule: &Schedule, day: jiff::civil::Date) -> Duration {
    let midnight = |day: jiff::civil::Date| day.at(0, 0, 0, 0).to_zoned(schedule.zone.clone()).unwrap().timestamp();
    active_between(schedule, midnight(day), midnight(day.tomorrow().unwrap()))
}

#[test]
fn an_hour_that_the_wall_clock_skips_does_not_exist() {
    let night = schedule("Europe/Paris", "01:00", "04:00");
    assert_eq!(of_day(&night, date(2026, 3, 28)), hours(3));
    assert_eq!(of_day(&night, date(2026, 3, 29)), hours(2));
    let skipped = schedule("Europe/Paris", "02:00", "03:00");
    assert_eq!(of_day(&skipped, date(2026, 3, 29)), Duration::ZERO);
    let next = advance(&skipped, at("2026-03-28T23:00:00Z"), Duration::ZERO);
    assert_eq!(next, Some(at("2026-03-30T00:00:00Z")), "the window of the day after, 02:00 in summer time");
}

#[test]
fn an_hour_that_the_wall_clock_shows_twice_counts_twice() {
    let night = schedule("Europe/Paris", "01:00", "04:00");
    assert_eq!(of_day(&night, date(2026, 10, 25)), hours(4));
    assert_eq!(of_day(&schedule("Europe/Paris", "02:00", "03:00"), date(2026, 10, 25)), hours(2));
}

#[test]
fn windows_follow_the_wall_clock_through_the_year() {
    let office = schedule("Europe/Paris", "09:00", "17:00");
    for (at_utc, active) in [
        ("2026-01-15T07:59:59Z", false),
        ("2026-01-15T08:00:00Z", true),
        ("2026-01-15T15:59:59Z", true),
        ("2026-01-15T16:00:00Z", false),
        ("2026-07-15T07:00:00Z", true),
        ("2026-07-15T15:00:00Z", false),
    ] {
        assert_eq!(stretch(&office, at(at_utc)).active, active, "{at_utc}");
    }
}

#[test]
fn gaps_are_counted_in_active_time() {
    let mut office = schedule("Europe/Paris", "09:00", "17:00");
    office.weekdays = BTreeSet::from([Weekday::Monday, Weekday::Friday].map(DayOfWeek::from));
    // Friday 16:00 and two active hours: Monday 10:00.
    assert_eq!(advance(&office, at("2026-11-20T15:00:00Z"), hours(2)), Some(at("2026-11-23T09:00:00Z")));
    // A whole week has 16 of them.
    assert_eq!(active_between(&office, at("2026-11-20T00:00:00Z"), at("2026-11-27T00:00:00Z")), hours(16));
}

#[test]
fn blackouts_are_cut_out() {
    let mut office = schedule("Europe/Paris", "09:00", "17:00");
    office.blackout = vec![
        Blackout::Day { date: date(2026, 12, 24), reason: None },
        Blackout::Span { from: at("2026-12-23T10:00:00Z"), to: at("2026-12-23T12:00:00Z"), reason: None },
    ];
    assert_eq!(of_day(&office, date(2026, 12, 23)), hours(6));
    assert_eq!(of_day(&office, date(2026, 12, 24)), Duration::ZERO);
    assert_eq!(of_day(&office, date(2026, 12, 25)), hours(8));
    assert_eq!(advance(&office, at("2026-12-23T15:30:00Z"), hours(1)), Some(at("2026-12-25T08:30:00Z")));
}

#[test]
fn always_is_always_but_for_its_blackouts() {
    let mut always = Schedule::always();
    assert_eq!(advance(&always, at("2026-01-01T00:00:00Z"), hours(5)), Some(at("2026-01-01T05:00:00Z")));
    always.blackout =
        vec![Blackout::Span { from: at("2026-01-01T01:00:00Z"), to: at("2026-01-02T00:00:00Z"), reason: None }];
    assert_eq!(advance(&always, at("2026-01-01T00:00:00Z"), hours(5)), Some(at("2026-01-02T04:00:00Z")));
}

#[test]
fn active_time_ends_where_nothing_active_follows() {
    let mut days = Schedule::always();
    days.weekdays = BTreeSet::from([Weekday::Monday, Weekday::Tuesday].map(DayOfWeek::from));
    let from = |instant: &str| inactive_from(&days, at(instant), after(at(instant), Duration::from_secs(5)));
    assert_eq!(from("2026-11-23T23:59:58Z"), None, "Tuesday follows");
    assert_eq!(from("2026-11-24T23:59:58Z"), Some(at("2026-11-25T00:00:00Z")));
    assert_eq!(from("2026-11-24T23:59:55Z"), None, "not before the end of the span");
    assert_eq!(from("2026-11-25T00:00:01Z"), Some(at("2026-11-25T00:00:01Z")), "at once");
    days.blackout =
        vec![Blackout::Span { from: at("2026-11-23T12:00:02Z"), to: at("2026-11-23T13:00:00Z"), reason: None }];
    let latest = at("2026-11-23T12:00:05Z");
    assert_eq!(inactive_from(&days, at("2026-11-23T12:00:00Z"), latest), Some(at("2026-11-23T12:00:02Z")));
    assert_eq!(inactive_from(&Schedule::always(), at("2026-11-23T12:00:00Z"), Timestamp::MAX), None);
}

#[test]
fn a_schedule_that_never_comes_says_so() {
    let mut never = Schedule::always();
    never.blackout = vec![Blackout::Span { from: Timestamp::MIN, to: Timestamp::MAX, reason: None }];
    assert_eq!(advance(&never, at("2026-01-01T00:00:00Z"), hours(1)), None);
}

#[test]
fn advancing_and_counting_agree() {
    let mut office = schedule("America/New_York", "09:00", "17:00");
    office.weekdays = BTreeSet::from([Weekday::Tuesday, Weekday::Wednesday, Weekday::Saturday].map(DayOfWeek::from));
    let from = at("2026-02-27T00:00:00Z");
    for minutes in (1..60_000).step_by(977) {
        let gap = Duration::from_secs(minutes * 60);
        let to = advance(&office, from, gap).unwrap();
        assert_eq!(active_between(&office, from, to), gap, "{minutes}");
    }
}

/// Whether an instant that is years ahead is an active one, and found by few looks; how far ahead it is.
fn far_ahead(schedule: &Schedule, gap: Duration) -> Duration {
    let (from, mut walked) = (at("2026-02-27T00:00:00Z"), 0);
    let found = advance_counting(schedule, from, gap, &mut walked).unwrap();
    assert!(stretch(schedule, found).active, "{found}");
    assert!(walked <= 2_000, "{walked} stretches for one of 300 groups");
    Duration::try_from(found.duration_since(from)).unwrap()
}

#[test]
fn however_rare_active_time_is_few_stretches_are_walked_to_what_is_far_ahead() {
    // A minute a day: so many days.
    let minute = schedule("Europe/Paris", "09:00", "09:01");
    let days = far_ahead(&minute, hours(2_160)).as_secs_f64() / 86_400.0;
    assert!((days / 129_600.0 - 1.0).abs() < 0.01, "{days}");
    // The busiest calendar that a manifest can say, and the shortest active time in it: 24 minutes a day.
    let mut busy = minute;
    busy.windows = (0..24)
        .map(|hour| Window {
            from: Minute::parse(&format!("{hour:02}:00")).unwrap(),
            to: Minute::parse(&format!("{hour:02}:01")).unwrap(),
        })
        .collect();
    let start = at("2026-03-02T10:00:10Z");
    busy.blackout = (0..100)
        .map(|week| {
            let from = after(start, hours(week * 7 * 24));
            Blackout::Span { from, to: after(from, Duration::from_secs(20)), reason: None }
        })
        .collect();
    let days = far_ahead(&busy, hours(146)).as_secs_f64() / 86_400.0;
    assert!((days / 365.0 - 1.0).abs() < 0.02, "{days}");
}
