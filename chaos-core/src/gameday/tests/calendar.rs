//! Slots over both changes of the clock, and every reason for which a slot is not started.

use jiff::tz::TimeZoneDatabase;

use super::super::{last_slot, next_slot, slots_between};
use super::world::{World, at, machine};
use crate::model::Cron;

/// All slots of a stretch of time, forwards and backwards.
fn slots(cron: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
    let (cron, zone) = (cron.parse::<Cron>().unwrap(), TimeZoneDatabase::bundled().get(zone).unwrap());
    let (from, to) = (at(from), at(to));
    let mut found = Vec::new();
    let mut last = from;
    while let Some(slot) = next_slot(&cron, &zone, last).filter(|slot| *slot <= to) {
        found.push(slot);
        last = slot;
    }
    let mut back = Vec::new();
    let mut first = to;
    while let Some(slot) = last_slot(&cron, &zone, first).filter(|slot| *slot > from) {
        back.insert(0, slot);
        first = slot - jiff::SignedDuration::from_secs(1);
    }
    assert_eq!(found, back, "the same slots from both ends");
    let (count, latest) = slots_between(&cron, &zone, from, to + jiff::SignedDuration::from_secs(1));
    assert_eq!((count, latest), (found.len() as u64, found.last().copied()));
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_slot_comes_once_whatever_the_clock_on_the_wall_does() {
    for (what, cron, zone, from, to, expected) in [
        (
            "in winter",
            "0 9 * * *",
            "Europe/Paris",
            "2026-01-15T00:00:00Z",
            "2026-01-16T00:00:00Z",
            vec!["2026-01-15T08:00:00Z"],
        ),
        (
            "in summer",
            "0 9 * * *",
            "Europe/Paris",
            "2026-07-15T00:00:00Z",
            "2026-07-16T00:00:00Z",
            vec!["2026-07-15T07:00:00Z"],
        ),
        (
            "skipped by the clock",
            "30 2 * * *",
            "Europe/Paris",
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z",
            vec!["2026-03-29T01:00:00Z"],
        ),
        (
            "several skipped",
            "*/20 2 * * *",
            "Europe/Paris",
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z",
            vec!["2026-03-29T01:00:00Z"],
        ),
        (
            "skipped, and one where the clock lands",
            "0 2,3 * * *",
            "Europe/Paris",
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z",
            vec!["2026-03-29T01:00:00Z"],
        ),
        (
            "shown twice",
            "30 2 * * *",
            "Europe/Paris",
            "2026-10-24T12:00:00Z",
            "2026-10-25T12:00:00Z",
            vec!["2026-10-25T00:30:00Z"],
        ),
        (
            "several shown twice",
            "0,30 2 * * *",
            "Europe/Paris",
            "2026-10-24T12:00:00Z",
            "2026-10-25T12:00:00Z",
            vec!["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"],
        ),
        (
            "from within the second showing",
            "30 2 * * *",
            "Europe/Paris",
            "2026-10-25T01:10:00Z",
            "2026-10-26T12:00:00Z",
            vec!["2026-10-26T01:30:00Z"],
        ),
        (
            "half an hour",
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            "2026-10-04T00:00:00Z",
            vec!["2026-10-03T15:30:00Z"],
        ),
        (
            "weekdays",
            "0 9 * * MON-FRI",
            "Asia/Tokyo",
            "2026-11-27T12:00:00Z",
            "2026-11-30T12:00:00Z",
            vec!["2026-11-30T00:00:00Z"],
        ),
        ("a nickname", "@daily", "UTC", "2026-11-27T12:00:00Z", "2026-11-28T12:00:00Z", vec!["2026-11-28T00:00:00Z"]),
        (
            "leap days",
            "0 0 29 2 *",
            "UTC",
            "2026-01-01T00:00:00Z",
            "2032-12-31T00:00:00Z",
            vec!["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
        ),
        (
            "the last day of a month",
            "0 0 L * *",
            "UTC",
            "2026-02-01T00:00:00Z",
            "2026-03-30T00:00:00Z",
            vec!["2026-02-28T00:00:00Z"],
        ),
    ] {
        assert_eq!(slots(cron, zone, from, to), expected, "{what}");
    }
    // Every hour, through both changes: no hour of real time that the wall shows first is left out, none comes twice.
    assert_eq!(slots("0 * * * *", "Europe/Paris", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z").len(), 23);
    assert_eq!(slots("0 * * * *", "Europe/Paris", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z").len(), 24);
}

#[test]
fn a_slot_starts_an_execution_and_none_comes_before_the_object() {
    let mut world = World::new("2026-06-01T08:30:00Z");
    world.play(&machine(|_| ()), "2026-06-01T10:30:00Z");
    assert_eq!(world.outcomes(), [("pass", "Passed"), ("pass", "Passed")]);
    let ids: Vec<_> = world.saved.history.iter().map(|result| result.id.as_str()).collect();
    assert_eq!(ids, ["20260601t090000z", "20260601t100000z"]);
    assert_eq!((world.created.len(), world.skips()), (4, vec![]));
    assert_eq!(world.saved.next_at, Some(at("2026-06-01T11:00:00Z")));
}

#[test]
fn of_many_missed_slots_only_the_latest_starts_and_the_others_are_counted() {
    // Nobody was there for a week: 168 slots.
    let mut world = World::new("2026-06-08T09:05:00Z");
    world.play(&machine(|_| ()), "2026-06-08T09:30:00Z");
    assert_eq!(world.saved.history.len(), 1);
    assert_eq!(world.saved.last.as_ref().unwrap().id, "20260608t090000z");
    assert_eq!(world.skips(), [("Missed", 168)]);
    // Later than it may start: not even that one.
    let mut world = World::new("2026-06-08T09:10:01Z");
    world.play(&machine(|_| ()), "2026-06-08T09:30:00Z");
    assert_eq!((world.created.len(), world.skips()), (0, vec![("Missed", 168), ("StartingDeadline", 1)]));
    // A minute's schedule and three weeks: counting has an end.
    let mut world = World::new("2026-06-22T09:05:30Z");
    world.play(&machine(|spec| spec["schedule"] = "* * * * *".into()), "2026-06-22T09:05:40Z");
    assert_eq!((world.saved.started, world.skips()), (1, vec![("Missed", 10_001)]));
    assert!(world.saved.skipped[0].message.contains("more than 10000"));
}

#[test]
fn nothing_of_a_suspension_is_made_up_for() {
    let mut world = World::new("2026-06-01T08:30:00Z");
    world.play(&machine(|spec| spec["suspend"] = true.into()), "2026-06-01T12:05:00Z");
    assert_eq!((world.saved.started, world.skips()), (0, vec![("Suspended", 4)]));
    // The 12:00 slot would still be in time.
    world.play(&machine(|_| ()), "2026-06-01T12:30:00Z");
    assert_eq!(world.saved.started, 0);
    world.play(&machine(|_| ()), "2026-06-01T13:30:00Z");
    assert_eq!(world.saved.started, 1);
    // Suspended, and resumed while nobody looked at it: what came before is not started either.
    let mut world = World::new("2026-06-01T08:30:00Z");
    world.play(&machine(|spec| spec["suspend"] = true.into()), "2026-06-01T08:45:00Z");
    world.now = at("2026-06-01T10:05:00Z");
    world.play(&machine(|_| ()), "2026-06-01T10:30:00Z");
    assert_eq!(world.saved.started, 0);
}

#[test]
fn another_calendar_has_no_past() {
    let mut world = World::new("2026-06-01T08:30:00Z");
    world.play(&machine(|_| ()), "2026-06-01T09:55:00Z");
    world.play(&machine(|spec| spec["schedule"] = "50 * * * *".into()), "2026-06-01T10:30:00Z");
    assert_eq!(world.saved.started, 1, "the slot of 09:50 was none when it was 09:50");
    world.play(&machine(|spec| spec["timeZone"] = "Asia/Tokyo".into()), "2026-06-01T10:45:00Z");
    assert_eq!(world.saved.started, 1);
}

#[test]
fn nothing_starts_in_a_blackout() {
    let blackout = |value: serde_json::Value| machine(|spec| spec["blackout"] = value);
    let reason = serde_json::json!([{"date": "2026-06-02", "reason": "release"}]);
    let mut world = World::new("2026-06-01T22:30:00Z");
    world.saved.since = Some(world.now);
    world.play(&blackout(reason), "2026-06-03T00:30:00Z");
    assert_eq!((world.saved.started, world.skips()), (2, vec![("Blackout", 24)]));
    assert_eq!(world.saved.skipped[0].message, "blackout of 2026-06-02: release");
    // A day is one of the zone.
    let mut world = World::new("2026-06-01T14:30:00Z");
    world.saved.since = Some(world.now);
    let tokyo = machine(|spec| {
        spec["blackout"] = serde_json::json!([{"date": "2026-06-02"}]);
        spec["timeZone"] = "Asia/Tokyo".into();
    });
    world.play(&tokyo, "2026-06-02T15:30:00Z");
    assert_eq!((world.saved.started, world.skips()), (1, vec![("Blackout", 24)]));
    // A step that would start within one does not.
    let mut world = World { lasts: 600, ..World::new("2026-06-01T08:30:00Z") };
    let span = serde_json::json!([{"from": "2026-06-01T09:05:00Z", "to": "2026-06-01T09:30:00Z"}]);
    world.play(&blackout(span), "2026-06-01T09:45:00Z");
    assert_eq!((world.created.len(), world.outcomes()), (1, vec![("aborted", "Blackout")]));
}

#[test]
fn what_is_held_waits_as_long_as_it_may_start() {
    let mut world = World::new("2026-06-01T08:30:00Z");
    world.view.hold = Some("the switch is off".into());
    world.play(&machine(|_| ()), "2026-06-01T09:05:00Z");
    assert_eq!((world.saved.started, world.skips()), (0, vec![]));
    world.view.hold = None;
    world.play(&machine(|_| ()), "2026-06-01T09:20:00Z");
    assert_eq!(world.saved.started, 1);
    world.view.hold = Some("the switch is off".into());
    world.play(&machine(|_| ()), "2026-06-01T10:20:00Z");
    assert_eq!((world.saved.started, world.skips()), (1, vec![("Held", 1)]));
}

#[test]
fn a_clock_that_is_wrong_for_a_while_repeats_nothing_and_silences_nothing() {
    let mut world = World { exclusive: false, ..World::new("2026-06-01T08:30:00Z") };
    world.play(&machine(|_| ()), "2026-06-01T10:30:00Z");
    assert_eq!(world.saved.started, 2);
    world.now = at("2026-06-01T08:55:00Z");
    world.play(&machine(|_| ()), "2026-06-01T11:30:00Z");
    assert_eq!(world.saved.started, 3, "the hours until then are dealt with");
    // Years ahead for a moment: the slot of then is started, and the days until then are not lost.
    world.now = at("2030-06-01T10:00:01Z");
    world.play(&machine(|_| ()), "2030-06-01T10:20:00Z");
    world.now = at("2026-06-01T11:31:00Z");
    world.play(&machine(|_| ()), "2026-06-01T13:30:00Z");
    assert_eq!(world.saved.started, 6);
}
