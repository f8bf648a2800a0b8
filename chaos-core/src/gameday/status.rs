//! The ledger of a game day as it lives in the status of the object, both ways without a loss, and its conditions. Pure.

use jiff::Timestamp;

use super::Ledger;
use crate::api::GameDayStatus;
use crate::condition::{Say, set};
use crate::instant::time;
use crate::verdict::{Conclusion, Outcome};

/// What conditions are made of besides the ledger.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The generation of the spec.
    pub generation: Option<i64>,
    /// Why the spec is not valid, if it is not.
    pub invalid: Option<String>,
    /// Why nothing may be started at present, if so.
    pub hold: Option<String>,
    /// The time.
    pub now: Timestamp,
}

/// What a status remembers.
pub fn read_ledger(status: &GameDayStatus) -> Ledger {
    let status = status.clone();
    Ledger {
        since: status.since.map(|since| since.0),
        calendar: status.calendar,
        suspended: status.suspended,
        last_start: status.last_start,
        start_seen_at: status.start_seen_at.map(|seen| seen.0),
        active: status.active,
        last: status.last,
        history: status.history,
        skipped: status.skipped,
        started: status.started,
        skips: status.skips,
        next_at: status.next_at.map(|next| next.0),
    }
}

/// Writes the ledger into a status; what is not its own there stays.
pub fn write_ledger(ledger: &Ledger, status: &mut GameDayStatus) {
    let ledger = ledger.clone();
    status.since = ledger.since.map(time);
    status.calendar = ledger.calendar;
    status.suspended = ledger.suspended;
    status.last_start = ledger.last_start;
    status.start_seen_at = ledger.start_seen_at.map(time);
    status.active = ledger.active;
    status.last = ledger.last;
    status.history = ledger.history;
    status.skipped = ledger.skipped;
    status.started = ledger.started;
    status.skips = ledger.skips;
    status.next_at = ledger.next_at.map(time);
}

/// Brings the conditions up to date: `Ready` (it can start), `Active` (an execution is under way) and `Passed` (what the last
/// one proved; Unknown where it proved nothing).
pub fn update_conditions(status: &mut GameDayStatus, facts: &Facts) {
    let ready = match (&facts.invalid, &facts.hold) {
        (Some(why), _) => Say::of(false, "Invalid", why),
        (None, Some(why)) => Say::of(false, "Held", why),
        (None, None) if status.suspended => Say::of(false, "Suspended", "nothing is started while it is suspended"),
        (None, None) => Say::of(true, "Ready", "it can be started"),
    };
    let active = match status.active.first() {
        Some(execution) => Say::of(true, "Running", format!("execution {} is under way", execution.id)),
        None => Say::of(false, "Idle", "no execution is under way"),
    };
    let passed = match status.history.iter().max_by_key(|result| &result.finished_at.0) {
        Some(last) => {
            let text = format!("execution {}: {}", last.id, last.message);
            match Conclusion::read(&last.outcome) {
                Conclusion::Judged(Outcome::Pass) => Say::of(true, &last.reason, text),
                Conclusion::Judged(Outcome::Fail) => Say::of(false, &last.reason, text),
                _ => Say::unknown(&last.reason, text),
            }
        }
        None => Say::unknown("NeverRun", "no execution is over"),
    };
    status.observed_generation = facts.generation;
    for (kind, say) in [("Ready", ready), ("Active", active), ("Passed", passed)] {
        set(&mut status.conditions, kind, say, facts.generation, facts.now);
    }
}
