//! Active time: when a schedule allows chaos, and where an instant lands after so much active time. An instant is active if
//! the clock on the wall of the schedule's zone says so; an hour that the wall clock shows twice counts twice, one that it
//! never shows does not exist. Pure arithmetic on instants: nothing here knows the present.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp};

use crate::model::{Blackout, DayOfWeek, Minute, Schedule};

/// So many stretches of a span are looked at: two years of the busiest calendar. What comes after them counts as not active.
const MAX_STRETCHES: usize = 40_000;
/// So many stretches are walked towards an instant: a year of one window a day. Hundreds of groups may have their strikes far ahead,
/// and each change of the spec may draw all of them anew.
const WALKED: usize = 1_000;
/// Milliseconds of a week.
const WEEK: i128 = 7 * 24 * 3_600_000;

/// Whether an instant is active, and until when at least that stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Chaos is allowed in it.
    pub active: bool,
    /// First instant after it; `None`: it never ends.
    pub until: Option<Timestamp>,
}

/// The stretch that `at` lies in.
pub fn stretch(schedule: &Schedule, at: Timestamp) -> Stretch {
    if is_always(schedule) {
        return spans(schedule, at, Stretch { active: true, until: None });
    }
    let local = schedule.zone.to_datetime(at);
    let weekday_ok = schedule.weekdays.contains(&DayOfWeek::from(local.weekday()));
    let day_ok = weekday_ok && !is_blackout_day(schedule, local.date());
    let minute = minutes(local.time());
    let window = schedule.windows.iter().find(|w| (w.from.since_midnight()..w.to.since_midnight()).contains(&minute));
    let (active, local_end) = match window {
        _ if !day_ok => (false, midnight_after(local.date())),
        Some(window) => (true, at_minute(local.date(), window.to)),
        None => {
            let next = schedule.windows.iter().map(|w| w.from).filter(|from| from.since_midnight() > minute).min();
            (false, next.map_or_else(|| midnight_after(local.date()), |from| at_minute(local.date(), from)))
        }
    };
    // Between two changes of the zone's offset local time runs evenly; at a change we look again.
    let even_end = local_end
        .and_then(|end| end.duration_since(local).try_into().ok())
        .and_then(|ahead: Duration| at.checked_add(SignedDuration::try_from(ahead).ok()?).ok());
    let change = schedule.zone.following(at).next().map(|change| change.timestamp());
    spans(schedule, at, Stretch { active, until: earlier(even_end, change) })
}

/// The instant at which `gap` of active time has passed since `from`; `None` if the schedule has no such time for years. Zero
/// active time from an inactive instant ends at the next active one.
///
/// What is more than a year or so ahead is reckoned by how much an ordinary week has of it. It is an active instant all the same.
pub fn advance(schedule: &Schedule, from: Timestamp, gap: Duration) -> Option<Timestamp> {
    advance_counting(schedule, from, gap, &mut 0)
}

/// The same; adds how many stretches were looked at for it.
pub(super) fn advance_counting(
    schedule: &Schedule,
    from: Timestamp,
    gap: Duration,
    walked: &mut usize,
) -> Option<Timestamp> {
    let gap = SignedDuration::try_from(gap).ok()?;
    let (at, left) = match walk(schedule, from, gap, walked)? {
        Walk::There(at) => return Some(at),
        Walk::Short { at, left } => (at, left),
    };
    let of_week = i128::try_from(schedule.of_week().std().as_millis()).ok()?;
    let further = left.as_millis().checked_mul(WEEK)?.checked_div(of_week)?;
    let near = at.checked_add(SignedDuration::from_millis(i64::try_from(further).ok()?)).ok()?;
    match walk(schedule, near, SignedDuration::ZERO, walked)? {
        Walk::There(at) => Some(at),
        Walk::Short { .. } => None,
    }
}

/// Where a walk ended.
enum Walk {
    /// At the instant that was looked for.
    There(Timestamp),
    /// Before that, with so much active time left.
    Short { at: Timestamp, left: SignedDuration },
}

/// Walks so much active time ahead, and no more stretches than is allowed. `None`: that instant never comes.
fn walk(schedule: &Schedule, from: Timestamp, gap: SignedDuration, walked: &mut usize) -> Option<Walk> {
    let (mut at, mut left) = (from, gap);
    for _ in 0..WALKED {
        *walked += 1;
        let stretch = stretch(schedule, at);
        let Some(until) = stretch.until else {
            return if stretch.active { at.checked_add(left).ok().map(Walk::There) } else { None };
        };
        if stretch.active {
            let span = until.duration_since(at);
            if left < span {
                return at.checked_add(left).ok().map(Walk::There);
            }
            left -= span;
        }
        at = until;
    }
    Some(Walk::Short { at, left })
}

/// The first instant from `from` on that is not active, if it comes before `latest`.
pub fn inactive_from(schedule: &Schedule, from: Timestamp, latest: Timestamp) -> Option<Timestamp> {
    let mut at = from;
    for _ in 0..MAX_STRETCHES {
        if at >= latest {
            break;
        }
        let stretch = stretch(schedule, at);
        if !stretch.active {
            return Some(at);
        }
        at = stretch.until?;
    }
    None
}

/// Active time from `from` to `to`.
pub fn active_between(schedule: &Schedule, from: Timestamp, to: Timestamp) -> Duration {
    let mut total = SignedDuration::ZERO;
    let mut at = from;
    for _ in 0..MAX_STRETCHES {
        if at >= to {
            break;
        }
        let stretch = stretch(schedule, at);
        let end = stretch.until.map_or(to, |until| until.min(to));
        if stretch.active {
            total += end.duration_since(at);
        }
        at = end;
    }
    Duration::try_from(total).unwrap_or_default()
}

/// Cuts a stretch at the blackout spans.
fn spans(schedule: &Schedule, at: Timestamp, mut stretch: Stretch) -> Stretch {
    for blackout in &schedule.blackout {
        let Blackout::Span { from, to, .. } = blackout else { continue };
        if *from <= at && at < *to {
            return Stretch { active: false, until: Some(*to) };
        }
        if at < *from {
            stretch.until = earlier(stretch.until, Some(*from));
        }
    }
    stretch
}

fn is_always(schedule: &Schedule) -> bool {
    schedule.weekdays.len() == 7
        && schedule.windows.iter().any(|w| w.from == Minute::START && w.to == Minute::END)
        && !schedule.blackout.iter().any(|b| matches!(b, Blackout::Day { .. }))
}

fn is_blackout_day(schedule: &Schedule, day: Date) -> bool {
    schedule.blackout.iter().any(|b| matches!(b, Blackout::Day { date, .. } if *date == day))
}

fn minutes(time: Time) -> u16 {
    u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
}

fn at_minute(day: Date, minute: Minute) -> Option<DateTime> {
    let (hour, rest) = (minute.since_midnight() / 60, minute.since_midnight() % 60);
    if hour == 24 {
        return midnight_after(day);
    }
    Some(day.at(i8::try_from(hour).ok()?, i8::try_from(rest).ok()?, 0, 0))
}

fn midnight_after(day: Date) -> Option<DateTime> {
    day.tomorrow().ok().map(|next| next.at(0, 0, 0, 0))
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
