//! A ChaosMonkey as a whole: when it may act, for how long it lives, and what must hold between its parts.

use std::collections::BTreeSet;

use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::monkey_guard::guards;
use super::names;
use super::path::Path;
use super::problem::Problems;
use super::target::{name, target};
use super::{Meta, fault};
use crate::api;
use crate::model::{Blackout, DayOfWeek, Distribution, Every, Heartbeat, Minute, Monkey, Schedule, Tenure, Window};
use crate::units::Duration;

const WEEKS_OF_YEAR: u32 = 52;

/// The monkey, if it is valid.
pub(super) fn monkey(raw: &api::ChaosMonkeySpec, meta: &Meta, problems: &mut Problems) -> Option<Monkey> {
    let at = Path::root().field("spec");
    meta.check(problems);
    fault::limits(&raw.limits, &at.field("limits"), problems);
    let target = target(&raw.target, &meta.namespace, &at.field("target"), problems);
    let kill = fault::standing(&raw.fault, &raw.limits, &at.field("fault"), problems);
    let gaps = Every {
        mean: raw.mean_time_between_kills,
        min: raw.min_time_between_kills,
        distribution: Distribution::Exponential,
    };
    let (mean_at, min_at) = (at.field("meanTimeBetweenKills"), at.field("minTimeBetweenKills"));
    let gaps = fault::every(gaps, &raw.limits, &mean_at, &min_at, problems);
    let schedule = schedule(&raw.schedule, &at.field("schedule"), problems);
    if let Some(schedule) = &schedule {
        fits(gaps.mean, schedule, &mean_at, problems);
    }
    let tenure = tenure(raw, &at, problems);
    let guards = guards(raw, &at.field("guards"), problems);
    Some(Monkey {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        target,
        mode: raw.mode,
        kill,
        mean: gaps.mean,
        min: gaps.min,
        schedule: schedule?,
        guards: guards?,
        limits: raw.limits,
        tenure: tenure?,
        seed: raw.seed.unwrap_or_else(|| seed_of(&meta.uid)),
        suspend: raw.suspend,
        cancel: raw.control.iter().flat_map(|control| control.cancel.iter().cloned()).collect(),
    })
}

/// Any number that stays the same as long as the object does. Of 32 bits, as a drawn one: tools that read JSON numbers as
/// floating point keep all its digits.
pub(super) fn seed_of(uid: &str) -> i64 {
    (crate::victims::rank(0, 0, uid) >> 32).cast_signed()
}

fn tenure(raw: &api::ChaosMonkeySpec, at: &Path, problems: &mut Problems) -> Option<Tenure> {
    let (until, max_kills, heartbeat) = match (&raw.until, raw.max_kills, &raw.heartbeat_lease) {
        (None, None, None) => return Some(Tenure::Standing),
        (Some(until), Some(max_kills), Some(heartbeat)) => (until.0, max_kills, heartbeat),
        _ => {
            problems
                .add_at_key(at, "until, maxKills and heartbeatLease belong together")
                .hint("a monkey of a run has all three, a standing one has none (limits.maxKills bounds its day)");
            return None;
        }
    };
    let at_lease = at.field("heartbeatLease");
    name(&heartbeat.name, names::dns_subdomain, &at_lease.field("name"), problems);
    let fits = Duration::from_millis(100)..=Duration::from_secs(60);
    if !fits.contains(&heartbeat.interval) {
        problems.add(&at_lease.field("interval"), format!("{} is not between 100ms and 1m", heartbeat.interval));
    }
    if max_kills > raw.limits.max_kills {
        problems
            .add(&at.field("maxKills"), format!("{max_kills} kills, and limits.maxKills is {}", raw.limits.max_kills));
    }
    let heartbeat = Heartbeat { lease: heartbeat.name.clone(), interval: heartbeat.interval };
    Some(Tenure::RunOwned { until, max_kills, heartbeat })
}

fn schedule(raw: &api::Schedule, at: &Path, problems: &mut Problems) -> Option<Schedule> {
    let zone = match &raw.time_zone {
        None => Some(TimeZone::UTC),
        Some(zone) => time_zone(zone, &at.field("timeZone"), problems),
    };
    let weekdays: BTreeSet<DayOfWeek> = raw.weekdays.iter().map(|day| DayOfWeek::from(weekday(*day))).collect();
    if weekdays.len() < raw.weekdays.len() {
        problems.add(&at.field("weekdays"), "a day is listed twice");
    }
    let windows = windows(&raw.hours, &at.field("hours"), problems);
    let blackouts = raw.blackout.iter().enumerate();
    let blackout = blackouts.filter_map(|(i, raw)| blackout(raw, &at.field("blackout").index(i), problems)).collect();
    let weekdays = if weekdays.is_empty() { DayOfWeek::all() } else { weekdays };
    Some(Schedule { zone: zone?, weekdays, windows, blackout })
}

/// Gaps are of active time: less than one kill a year is a schedule with fewer hours than the author thought.
fn fits(mean: Duration, schedule: &Schedule, at: &Path, problems: &mut Problems) {
    let of_year = Duration::from(schedule.of_week().std() * WEEKS_OF_YEAR);
    if mean > of_year {
        problems
            .add(at, format!("{mean} is longer than all that the schedule allows in a year, {of_year}"))
            .hint("it is counted in active time: lower it, or widen the schedule");
    }
}

/// From the zones that are built in: the same on every machine, and without reading a file.
pub(super) fn time_zone(zone: &str, at: &Path, problems: &mut Problems) -> Option<TimeZone> {
    let database = TimeZoneDatabase::bundled();
    let found = database.get(zone).ok();
    if found.is_none() {
        let problem = problems.add(at, format!("there is no time zone {zone:?}"));
        let names: Vec<_> = database.available().map(|name| name.as_str().to_owned()).collect();
        match super::suggest::closest(zone, names.iter().map(String::as_str)) {
            Some(name) => problem.hint(format!("did you mean {name}?")),
            None => problem.hint("zones have IANA names such as Europe/Paris"),
        }
    }
    found
}

fn windows(raw: &[api::Hours], at: &Path, problems: &mut Problems) -> Vec<Window> {
    let mut windows: Vec<(usize, Window)> = Vec::new();
    for (i, hours) in raw.iter().enumerate() {
        let at = at.index(i);
        let mut minute = |field: &str, text: &str| {
            let minute = Minute::parse(text);
            if minute.is_none() {
                problems.add(&at.field(field), format!("{text:?} is no time of day")).hint("write it as 09:00");
            }
            minute
        };
        let (Some(from), Some(to)) = (minute("from", &hours.from), minute("to", &hours.to)) else { continue };
        if from >= to {
            problems
                .add(&at.field("to"), format!("the window ends at {} before it begins at {}", hours.to, hours.from))
                .hint(format!("over midnight, write two: {}-24:00 and 00:00-{}", hours.from, hours.to));
            continue;
        }
        let window = Window { from, to };
        if let Some((other, _)) = windows.iter().find(|(_, other)| other.from < to && from < other.to) {
            problems.add_at_key(&at, format!("this window overlaps window {}", other + 1));
        }
        windows.push((i, window));
    }
    let mut windows: Vec<Window> = windows.into_iter().map(|(_, window)| window).collect();
    windows.sort_unstable();
    if windows.is_empty() { vec![Window::ALL_DAY] } else { windows }
}

pub(super) fn blackout(raw: &api::Blackout, at: &Path, problems: &mut Problems) -> Option<Blackout> {
    let reason = raw.reason.clone();
    match (&raw.date, &raw.from, &raw.to) {
        (Some(date), None, None) => {
            let day = date.parse::<Date>().ok();
            if day.is_none() {
                problems.add(&at.field("date"), format!("{date:?} is no day")).hint("write it as 2026-12-24");
            }
            day.map(|date| Blackout::Day { date, reason })
        }
        (None, Some(from), Some(to)) => {
            if from.0 >= to.0 {
                problems.add(&at.field("to"), "the blackout ends before it begins");
            }
            Some(Blackout::Span { from: from.0, to: to.0, reason })
        }
        _ => {
            problems
                .add_at_key(at, "a blackout is a date, or from and to")
                .hint("give date: 2026-12-24, or both instants");
            None
        }
    }
}

const fn weekday(day: api::Weekday) -> Weekday {
    match day {
        api::Weekday::Mon => Weekday::Monday,
        api::Weekday::Tue => Weekday::Tuesday,
        api::Weekday::Wed => Weekday::Wednesday,
        api::Weekday::Thu => Weekday::Thursday,
        api::Weekday::Fri => Weekday::Friday,
        api::Weekday::Sat => Weekday::Saturday,
        api::Weekday::Sun => Weekday::Sunday,
    }
}
