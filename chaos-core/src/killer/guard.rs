//! The guards of a killer: whether what metrics sources said lets a kill happen. Whatever is not known lets none happen.

use std::time::Duration;

use jiff::Timestamp;

use super::elapsed;
use super::messages::Observation;
use super::reason::{Refused, SkipReason};
use super::state::Attempt;
use super::step::Cursor;
use crate::limits::FRESH;
use crate::model::{BudgetGuard, MonkeyGuard};
use crate::short::short;

/// What was heard counts for so long: for the looks of one attempt if the guards hold, for other strikes too if they do not.
/// However many strikes are due, and however often one looks again, sources are not asked in a burst.
const HEARD: Duration = Duration::from_secs(1);

/// What the source of a guard said.
#[derive(Debug, Clone, PartialEq)]
pub enum GuardReading {
    /// The selected alerts that fire, in words; `None`: none does, and some rule could give one.
    Alerts(Option<String>),
    /// The one value of a query.
    Value(f64),
}

/// Whether all guards hold, by what was heard for each, in their order; an error says why one is not known. The first guard
/// that does not hold, or is not known to, is the answer.
pub fn held(guards: &[MonkeyGuard], readings: &[Result<GuardReading, String>]) -> Result<(), Refused> {
    guards.iter().enumerate().try_for_each(|(index, guard)| {
        let judged = match readings.get(index) {
            None => Judged::Unknown("it was not asked".to_owned()),
            Some(Err(why)) => Judged::Unknown(why.clone()),
            Some(Ok(reading)) => judge(guard, reading),
        };
        let (reason, verb, why) = match judged {
            Judged::Holds => return Ok(()),
            Judged::Fails(why) => (reason_of(guard), "does not hold", why),
            Judged::Unknown(why) => (SkipReason::GuardUnknown, "is not known", why),
        };
        let (number, why) = (index + 1, short(&why));
        Err(Refused::new(reason, format!("guard {number} ({}, source {}) {verb}: {why}", guard.kind(), guard.source())))
    })
}

/// What a reading says of a guard, with the facts.
enum Judged {
    Holds,
    Fails(String),
    Unknown(String),
}

fn judge(guard: &MonkeyGuard, reading: &GuardReading) -> Judged {
    match (guard, reading) {
        (MonkeyGuard::Alert(_), GuardReading::Alerts(None)) => Judged::Holds,
        (MonkeyGuard::Alert(_), GuardReading::Alerts(Some(firing))) => Judged::Fails(firing.clone()),
        (MonkeyGuard::ErrorBudget(_), GuardReading::Value(share)) if !BudgetGuard::is_share(*share) => {
            Judged::Unknown(format!("the query gives {share}, which is no share (1 is all of it)"))
        }
        (MonkeyGuard::ErrorBudget(budget), GuardReading::Value(share)) if budget.is_spent(*share) => {
            let left = share * 100.0;
            Judged::Fails(format!("{left:.1} % of the error budget is left; {} has to be", budget.keep))
        }
        (MonkeyGuard::ErrorBudget(_), GuardReading::Value(_)) => Judged::Holds,
        (MonkeyGuard::Probe(_), GuardReading::Value(value)) if !value.is_finite() => {
            Judged::Unknown(format!("the query gives {value}"))
        }
        (MonkeyGuard::Probe(check), GuardReading::Value(value)) if check.holds(*value) => Judged::Holds,
        (MonkeyGuard::Probe(check), GuardReading::Value(value)) => Judged::Fails(format!("{value} is not {check}")),
        (MonkeyGuard::Alert(_), GuardReading::Value(_))
        | (MonkeyGuard::ErrorBudget(_) | MonkeyGuard::Probe(_), GuardReading::Alerts(_)) => {
            Judged::Unknown("the answer is of another kind".to_owned())
        }
    }
}

const fn reason_of(guard: &MonkeyGuard) -> SkipReason {
    match guard {
        MonkeyGuard::Alert(_) => SkipReason::GuardAlert,
        MonkeyGuard::ErrorBudget(_) => SkipReason::GuardErrorBudget,
        MonkeyGuard::Probe(_) => SkipReason::GuardProbe,
    }
}

impl Cursor<'_> {
    /// The guards that a look of this attempt has to ask: none while what was heard in an earlier one still counts.
    pub(super) fn to_ask(&self, attempt: &Attempt) -> Vec<MonkeyGuard> {
        let counts = attempt.held_at.is_some_and(|at| is_recent(at, self.now));
        if counts { Vec::new() } else { self.spec.guards.clone() }
    }

    /// Whether the guards hold, by what was heard with this look or, if it did not ask, with an earlier one; and since when that
    /// is known. A kill rests on nothing that is older than the facts may be.
    pub(super) fn hear(&self, attempt: &Attempt, observation: &Observation) -> Result<Option<Timestamp>, Refused> {
        if self.spec.guards.is_empty() {
            return Ok(None);
        }
        let Some(at) = attempt.held_at else {
            held(&self.spec.guards, &observation.readings)?;
            // Sources are asked before the cluster is read.
            return Ok(Some(observation.population.taken_at));
        };
        let age = elapsed(at, self.now);
        if age > FRESH.std() {
            let message = format!("the guards were asked {} ms ago; {FRESH} is the most", age.as_millis());
            return Err(Refused::new(SkipReason::GuardUnknown, message));
        }
        Ok(Some(at))
    }

    /// Why the guards let no kill happen, if that was heard a moment ago.
    pub(super) fn unguarded(&self) -> Option<(SkipReason, String)> {
        let (at, refused) = self.state.unguarded.as_ref()?;
        is_recent(*at, self.now).then(|| (refused.reason, refused.message.clone()))
    }
}

/// Whether an instant is less than [`HEARD`] ago. One in the future is not: a clock was set.
fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    let age = now.duration_since(at);
    !age.is_negative() && age.unsigned_abs() < HEARD
}
