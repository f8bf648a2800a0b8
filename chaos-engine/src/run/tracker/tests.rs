//! Every kill that a status tells becomes an event, however badly the operator's clock is known.

use chaos_core::api::{ClockReading, EndRecord, Outcome};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use serde_json::json;

use super::super::fixture::victim;
use super::*;

/// A monkey that killed so many pods, and read our heartbeat with a clock that is this far ahead.
fn monkey(clock: RunClock, kills: u64, ahead: SignedDuration) -> ChaosMonkey {
    let spec = json!({
        "target": {"environment": "test", "workloads": [{"kind": "Deployment", "name": "app"}]},
        "fault": {"podKill": {"mode": "Evict", "group": "Workload"}},
        "mode": "Live", "meanTimeBetweenKills": "2s", "minTimeBetweenKills": "1s", "schedule": {}, "guards": [],
        "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 10, "minInterval": "1s", "recoverWithin": "2m",
            "maxBlind": "5m", "allowForce": false},
    });
    let mut monkey = ChaosMonkey::new("m", serde_json::from_value(spec).unwrap());
    let sent = clock.started_at();
    let reading = ClockReading { heartbeat: MicroTime(sent), read_at: MicroTime(sent + ahead) };
    let history = (0..kills).map(|strike| kill(strike, sent + ahead)).collect();
    monkey.status = Some(ChaosMonkeyStatus { history, kills, clock: Some(reading), ..ChaosMonkeyStatus::default() });
    monkey
}

fn kill(strike: u64, at: Timestamp) -> KillRecord {
    let text = |what: &str| format!("{what}-{strike}");
    KillRecord {
        strike,
        nonce: text("nonce"),
        group: "app".into(),
        victim: victim("app", &text("pod"), &text("uid")),
        at: MicroTime(at),
        outcome: Outcome::Killed,
        message: None,
    }
}

/// Instants of the run and uncertainties of the kills that are told.
fn told(events: &[Event]) -> Vec<(RunTime, u64)> {
    let kill = |event: &Event| if let Event::Kill(kill) = event { Some((kill.at, kill.uncertainty)) } else { None };
    events.iter().filter_map(kill).collect()
}

/// How many notes are told.
fn notes(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Note { .. })).count()
}

fn tracker(clock: RunClock) -> Tracker {
    Tracker::new(clock, Told::default(), Arc::default(), None)
}

const SLOW: RunTime = RunTime(300_000_000);

#[test]
fn a_kill_waits_for_a_better_reading_but_not_beyond_the_end_of_its_monkey() {
    let clock = RunClock::start();
    // The one message of each way took 300 ms: half of it, 150 ms, is how well the offset is known.
    let mut waiting = monkey(clock, 1, SignedDuration::ZERO);
    let mut tracker = tracker(clock);
    assert_eq!(told(&tracker.take(&waiting, SLOW)), []);
    let end = EndRecord { reason: "StrikesDone".into(), message: String::new(), at: MicroTime(clock.started_at()) };
    waiting.status.as_mut().unwrap().ended = Some(end);
    let kills = told(&tracker.take(&waiting, SLOW));
    assert_eq!(kills.len(), 1, "nothing more will come");
    assert!(kills[0].1 > PRECISE, "{kills:?}");
}

#[test]
fn a_kill_that_waits_for_a_better_reading_is_told_once_if_its_monkey_is_deleted_meanwhile() {
    let clock = RunClock::start();
    let mut tracker = tracker(clock);
    assert_eq!(told(&tracker.take(&monkey(clock, 2, SignedDuration::ZERO), SLOW)), []);
    let kills = told(&tracker.rest(RunTime(SLOW.0 * 2)));
    assert_eq!(kills.len(), 2);
    assert!(kills.iter().all(|(_, uncertainty)| (PRECISE..u64::MAX).contains(uncertainty)), "{kills:?}");
    assert_eq!(told(&tracker.rest(SLOW)), []);
    let mut other = self::tracker(clock);
    let now = RunTime(1_000_000);
    assert_eq!(told(&other.take(&monkey(clock, 1, SignedDuration::ZERO), now)).len(), 1, "the clock is known well");
    assert_eq!(told(&other.rest(now)), []);
}

#[test]
fn a_suspended_monkey_keeps_no_kill_to_itself() {
    let clock = RunClock::start();
    let mut held = monkey(clock, 2, SignedDuration::ZERO);
    held.spec.suspend = true;
    assert_eq!(told(&tracker(clock).take(&held, SLOW)).len(), 2);
}

#[test]
fn kills_by_a_clock_that_was_set_anew_are_told_at_once_as_unknown_and_never_later_than_now() {
    let clock = RunClock::start();
    let mut tracker = tracker(clock);
    let now = RunTime(1_000_000);
    assert_eq!(told(&tracker.take(&monkey(clock, 1, SignedDuration::ZERO), now)).len(), 1);
    let events = tracker.take(&monkey(clock, 2, SignedDuration::from_mins(10)), now);
    assert_eq!(told(&events), [(now, u64::MAX)]);
    assert_eq!(notes(&events), 1, "{events:?}");
    // One that was set back is told as well, once, and not for the middle between what it was and what it is.
    let mut tracker = self::tracker(clock);
    assert_eq!(told(&tracker.take(&monkey(clock, 1, SignedDuration::ZERO), now)).len(), 1);
    let later = RunTime(600_000_000_000);
    for (kills, noted) in [(2, 1), (3, 0)] {
        let events = tracker.take(&monkey(clock, kills, SignedDuration::from_mins(-10)), later);
        assert_eq!((told(&events), notes(&events)), (vec![(later, u64::MAX)], noted), "{events:?}");
    }
}

#[test]
fn the_clock_of_this_very_process_is_known_until_it_is_set() {
    let (clock, hour) = (RunClock::start(), SignedDuration::from_hours(1));
    let own = |kills, ahead| {
        let mut monkey = monkey(clock, kills, ahead);
        monkey.status.as_mut().unwrap().driver = Some("me".to_owned());
        monkey
    };
    let mut tracker = Tracker::new(clock, Told::default(), Arc::default(), Some("me".to_owned()));
    let events = tracker.take(&own(1, SignedDuration::ZERO), SLOW);
    assert!(matches!(told(&events)[..], [(_, 0)]) && notes(&events) == 0, "{events:?}");
    tracker.clock = RunClock::stepped(std::time::Duration::from_secs(1), -hour);
    let events = tracker.take(&own(2, -hour), SLOW);
    assert_eq!((told(&events), notes(&events)), (vec![(SLOW, u64::MAX)], 1), "{events:?}");
    // It stays unknown: what was killed before and what after it is not told apart any more.
    let events = tracker.take(&own(3, -hour), SLOW);
    assert_eq!((told(&events), notes(&events)), (vec![(SLOW, u64::MAX)], 0), "{events:?}");
}

/// What is noted of an operator that ended the kills too early.
fn early(events: &[Event]) -> Vec<&str> {
    let texts = events.iter().filter_map(|event| match event {
        Event::Note { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.filter(|text| text.starts_with(ENDED_EARLY)).collect()
}

#[test]
fn kills_that_an_operator_ended_early_by_its_clock_are_told_of_once_with_by_how_much() {
    let (clock, now) = (RunClock::start(), RunTime(60_000_000_000));
    let (minutes, second) = (SignedDuration::from_mins, SignedDuration::from_secs(1));
    let ended = |reason: &str, until: SignedDuration, ahead: SignedDuration| {
        let mut monkey = monkey(clock, 1, SignedDuration::ZERO);
        monkey.spec.until = Some(Time(clock.started_at() + until));
        let at = MicroTime(clock.timestamp(now) + ahead);
        monkey.status.as_mut().unwrap().ended =
            Some(EndRecord { reason: reason.to_owned(), message: String::new(), at });
        monkey
    };
    for (reason, until) in [("Until", minutes(1)), ("Until", minutes(1) + second / 2), ("StrikesDone", minutes(10))] {
        let events = tracker(clock).take(&ended(reason, until, SignedDuration::ZERO), now);
        assert_eq!(early(&events), Vec::<&str>::new(), "{reason} {until:?}");
    }
    // What it says of its end is also the first that is heard of its clock since that was set.
    let set = ended("Until", minutes(10), minutes(60));
    let mut tracker = tracker(clock);
    let events = tracker.take(&set, now);
    assert_eq!(notes(&events), 2, "{events:?}");
    let shown = format!("its clock showed {:.3} by", clock.timestamp(now) + minutes(60));
    assert!(
        matches!(early(&events)[..], [text] if text.contains(" 540 s before") && text.contains(&shown)),
        "{events:?}"
    );
    assert_eq!(notes(&tracker.take(&set, now)), 0, "once");
    // Nor by a process that takes the run up.
    let mut next = Tracker::new(clock, Told::knowing(&events), Arc::default(), None);
    assert_eq!(early(&next.take(&set, now)), Vec::<&str>::new());
    // The clock may be wrong from the beginning, and be the one of this process.
    let mut own = ended("Until", minutes(10), minutes(60));
    own.status.as_mut().unwrap().driver = Some("me".to_owned());
    let mut tracker = Tracker::new(clock, Told::default(), Arc::default(), Some("me".to_owned()));
    assert_eq!(early(&tracker.take(&own, now)).len(), 1);
}
