//! Whether an execution starts now: the slot or the order that is due, and every reason for which it does not start.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::budget::{Allowed, Reading, allowed};
use super::reason::{SkipReason, StepReason};
use super::slots::{MOST_COUNTED, last_slot, next_slot, slots_between};
use super::{GameDayMachine, GameDayView, Ledger, execution, names};
use crate::api::SlotSkip;
use crate::instant::{after, micro_time, whole_seconds};
use crate::model::{Blackout, ConcurrencyPolicy, GameDay};
use crate::short::short;

/// Executions side by side.
const MOST_ACTIVE: usize = 5;
/// Skips that are remembered.
const SKIPPED: usize = 20;
const A_DAY: Duration = Duration::from_secs(24 * 3_600);

/// What follows from something that is due.
enum Due {
    /// It starts.
    Start,
    /// It waits for what holds it.
    Wait,
    /// It will not be started.
    Skip(Skip),
}

/// Why something that was due is not started.
struct Skip {
    reason: SkipReason,
    /// The facts, for people.
    message: String,
}

impl Skip {
    fn new(reason: SkipReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl Due {
    fn skip(reason: SkipReason, message: impl Into<String>) -> Self {
        Self::Skip(Skip::new(reason, message))
    }
}

/// What a start depends on besides the game day and its ledger.
struct Known<'a> {
    view: &'a GameDayView,
    budgets: Option<&'a Reading>,
    now: Timestamp,
}

/// Starts what is due, or says why not. `true`: something waits for a hold to pass, or for what the budgets say.
pub(super) fn take_due(
    machine: &GameDayMachine,
    ledger: &mut Ledger,
    view: &GameDayView,
    budgets: Option<&Reading>,
    now: Timestamp,
) -> bool {
    let Some(day) = &machine.day else {
        ledger.next_at = None;
        return false;
    };
    count_from(machine, day, ledger, now);
    let known = Known { view, budgets, now };
    let slot_waits = take_slot(day, ledger, &known);
    let order_waits = take_order(day, ledger, &known);
    if day.cron.is_none() || ledger.next_at.is_some_and(|next| next <= now) && !slot_waits {
        ledger.next_at = None;
    }
    if ledger.next_at.is_none() {
        let after = ledger.since.map_or(now, |since| since.max(now));
        ledger.next_at = day.cron.as_ref().and_then(|cron| next_slot(cron, &day.zone, after));
    }
    slot_waits || order_waits
}

/// From when on slots count: not before the object was there, the calendar was the one it is, or a suspension was over.
fn count_from(machine: &GameDayMachine, day: &GameDay, ledger: &mut Ledger, now: Timestamp) {
    let since = ledger.since.unwrap_or(machine.created);
    let is_new_calendar = ledger.calendar.as_ref().is_some_and(|known| *known != day.calendar);
    let is_resumed = ledger.suspended && !day.suspend;
    // A clock that was ahead for a while must not put the game day to sleep for as long.
    let is_ahead = since > after(now, A_DAY);
    if is_new_calendar || is_resumed || is_ahead {
        ledger.next_at = None;
    }
    ledger.since = Some(if is_ahead {
        whole_seconds(now)
    } else if is_new_calendar || is_resumed {
        since.max(whole_seconds(now))
    } else {
        since
    });
    ledger.calendar = Some(day.calendar.clone());
    ledger.suspended = day.suspend;
}

fn take_slot(day: &GameDay, ledger: &mut Ledger, known: &Known<'_>) -> bool {
    let now = known.now;
    let (Some(cron), Some(since)) = (&day.cron, ledger.since) else { return false };
    // Between what is dealt with and the next one there is none: no need to look.
    if ledger.next_at.is_some_and(|next| now < next) {
        return false;
    }
    let Some(slot) = last_slot(cron, &day.zone, now).filter(|slot| *slot > since) else { return false };
    // Of several the latest only: what was not done in time is not done all at once.
    if let (missed, Some(last)) = slots_between(cron, &day.zone, since, slot) {
        let more = if missed > MOST_COUNTED { "more than " } else { "" };
        let why = if day.suspend {
            Skip::new(SkipReason::Suspended, "it is suspended")
        } else {
            Skip::new(SkipReason::Missed, format!("{more}{} slots passed unseen", missed.min(MOST_COUNTED)))
        };
        skip(ledger, last, missed, why, now);
        ledger.since = Some(last);
    }
    let until = after(slot, day.starting_deadline.std());
    match judge(day, ledger, known, slot, until) {
        Due::Wait => {
            ledger.next_at = Some(slot);
            return true;
        }
        Due::Skip(why) => skip(ledger, slot, 1, why, now),
        // A clock that was set back brings slots once more.
        Due::Start if is_known(ledger, &names::of_slot(slot)) => {
            skip(ledger, slot, 1, Skip::new(SkipReason::AlreadyRun, "this slot was started before"), now);
        }
        Due::Start => start(day, ledger, names::of_slot(slot), Some(slot), now),
    }
    ledger.since = Some(slot);
    false
}

fn take_order(day: &GameDay, ledger: &mut Ledger, known: &Known<'_>) -> bool {
    let now = known.now;
    let Some(order) = day.start.as_ref().filter(|order| ledger.last_start.as_ref() != Some(*order)) else {
        ledger.start_seen_at = None;
        return false;
    };
    let seen = ledger.start_seen_at.map_or(now, |seen| seen.min(now));
    match judge(day, ledger, known, seen, after(seen, day.starting_deadline.std())) {
        Due::Wait => {
            ledger.start_seen_at = Some(whole_seconds(seen));
            return true;
        }
        Due::Skip(Skip { reason, message }) => {
            skip(ledger, whole_seconds(now), 1, Skip::new(reason, format!("start {order}: {message}")), now);
        }
        Due::Start => start(day, ledger, names::of_order(order, now), None, now),
    }
    ledger.last_start = Some(order.clone());
    ledger.start_seen_at = None;
    false
}

fn judge(day: &GameDay, ledger: &Ledger, known: &Known<'_>, due: Timestamp, until: Timestamp) -> Due {
    let Known { view, budgets, now } = *known;
    if day.suspend {
        return Due::skip(SkipReason::Suspended, "it is suspended");
    }
    if let Some(why) = blackout(day, due).or_else(|| blackout(day, now)) {
        return Due::skip(SkipReason::Blackout, why);
    }
    match &view.hold {
        Some(_) if now <= until => return Due::Wait,
        Some(why) => return Due::skip(SkipReason::Held, why),
        None => {}
    }
    let allowed = allowed(day, budgets, now);
    if now > until {
        if let Allowed::Unknown(why) = allowed {
            return Due::skip(SkipReason::BudgetUnknown, why);
        }
        let message = format!("it could not be started within {}", day.starting_deadline);
        return Due::skip(SkipReason::StartingDeadline, message);
    }
    let running = ledger.active.len();
    match day.concurrency {
        ConcurrencyPolicy::Forbid if running > 0 => {
            Due::skip(SkipReason::StillRunning, format!("{} is not over", ledger.active[running - 1].id))
        }
        _ if running >= MOST_ACTIVE => {
            Due::skip(SkipReason::TooManyActive, format!("{running} executions are not over"))
        }
        _ => match allowed {
            Allowed::Full | Allowed::Shrunk(_) => Due::Start,
            Allowed::Nothing(why) => Due::skip(SkipReason::BudgetSpent, why),
            Allowed::Unknown(_) | Allowed::Ask => Due::Wait,
        },
    }
}

fn start(day: &GameDay, ledger: &mut Ledger, id: String, slot: Option<Timestamp>, now: Timestamp) {
    if day.concurrency == ConcurrencyPolicy::Replace {
        for old in &mut ledger.active {
            execution::end(old, StepReason::Replaced, format!("replaced by {id}"));
        }
    }
    ledger.active.push(execution::new(day, id, slot, now));
    ledger.started += 1;
}

fn is_known(ledger: &Ledger, id: &str) -> bool {
    let known = ledger.active.iter().chain(&ledger.last).map(|execution| &execution.id);
    known.chain(ledger.history.iter().map(|result| &result.id)).any(|known| known == id)
}

/// Why nothing starts at that instant, if it lies in a blackout.
pub(super) fn blackout(day: &GameDay, at: Timestamp) -> Option<String> {
    let told = |what: String, reason: &Option<String>| match reason {
        Some(reason) => format!("blackout {what}: {reason}"),
        None => format!("blackout {what}"),
    };
    day.blackout.iter().find_map(|blackout| match blackout {
        Blackout::Day { date, reason } => {
            (day.zone.to_datetime(at).date() == *date).then(|| told(format!("of {date}"), reason))
        }
        Blackout::Span { from, to, reason } => {
            (*from <= at && at < *to).then(|| told(format!("from {from} to {to}"), reason))
        }
    })
}

/// Skips in a row for one reason are one record.
fn skip(ledger: &mut Ledger, slot: Timestamp, count: u64, why: Skip, now: Timestamp) {
    ledger.skips += count;
    let (reason, message) = (why.reason.as_str(), short(&why.message));
    let (slot, at) = (Time(slot), Some(micro_time(now)));
    match ledger.skipped.last_mut().filter(|last| last.reason == reason) {
        Some(last) => *last = SlotSkip { slot, at, count: last.count + count, message, ..last.clone() },
        None => ledger.skipped.push(SlotSkip { slot, at, count, reason: reason.to_owned(), message }),
    }
    let surplus = ledger.skipped.len().saturating_sub(SKIPPED);
    ledger.skipped.drain(..surplus);
}
