//! The error budgets that guard a game day: whether what is left of them lets an execution or an experiment start, in full or
//! shrunk. What is not known starts nothing.

use std::time::Duration;

use jiff::Timestamp;

use super::reason::StepReason;
use super::{About, GameDayAction, GameDayState, execution};
use crate::api::{ExecutionRecord, StepPhase, StepRecord};
use crate::model::{BudgetGuard, GameDay};
use crate::short::short;
use crate::verdict::Outcome;

/// An answer counts for so long.
const FRESH: Duration = Duration::from_secs(10);

/// What was last heard of the budgets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// When the oldest of it was.
    pub(super) at: Timestamp,
    /// The share that is left, for each guard in their order; or why it is not known.
    pub(super) left: Result<Vec<f64>, String>,
}

impl Reading {
    /// What was heard a moment ago, the oldest of it `age` ago. Values that are too far apart to hold at once are not known together,
    /// and to ask for them again at once would bring the same.
    pub(super) fn heard(values: Result<Vec<f64>, String>, age: Duration, now: Timestamp) -> Self {
        match values {
            Ok(left) if age < FRESH => Self { at: now.saturating_sub(age).unwrap_or(now), left: Ok(left) },
            Ok(_) => {
                let (apart, most) = (age.as_secs(), FRESH.as_secs());
                let why = format!("its sources were heard up to {apart} s apart; {most} s is the most");
                Self { at: now, left: Err(why) }
            }
            Err(why) => Self { at: now, left: Err(why) },
        }
    }
}

/// What the budgets allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Everything.
    Full,
    /// Experiments as they are when shrunk, and why.
    Shrunk(String),
    /// Nothing, and why.
    Nothing(String),
    /// That is not known, and why.
    Unknown(String),
    /// They have to be asked first.
    Ask,
}

/// What the budgets allow now.
pub(super) fn allowed(day: &GameDay, reading: Option<&Reading>, now: Timestamp) -> Allowed {
    if day.guards.is_empty() {
        return Allowed::Full;
    }
    let Some(reading) = reading.filter(|reading| is_fresh(reading, now)) else { return Allowed::Ask };
    let left = match &reading.left {
        Ok(left) if left.len() == day.guards.len() => left,
        Ok(_) => return Allowed::Ask,
        Err(why) => return Allowed::Unknown(format!("the error budget is not known: {why}")),
    };
    let mut shrunk = None;
    for (guard, share) in day.guards.iter().zip(left) {
        if !BudgetGuard::is_share(*share) {
            let why = format!(
                "the query of source {} gives {share}, which is no share (1 is all of it)",
                guard.question.source
            );
            return Allowed::Unknown(why);
        }
        let told = |least| {
            format!("{:.1} % of the error budget is left, by source {}; {least}", share * 100.0, guard.question.source)
        };
        if guard.is_spent(*share) {
            return Allowed::Nothing(told(format!("{} has to be", guard.keep)));
        }
        if let Some(below) = guard.shrink_below.filter(|below| *share < below.ratio()) {
            shrunk.get_or_insert_with(|| told(format!("below {below} experiments are shrunk")));
        }
    }
    shrunk.map_or(Allowed::Full, Allowed::Shrunk)
}

/// Applies what the budgets allow to the experiments that are about to start.
pub(super) fn guard(executions: &mut [ExecutionRecord], day: &GameDay, reading: Option<&Reading>, now: Timestamp) {
    if day.guards.is_empty() {
        return;
    }
    let allowed = allowed(day, reading, now);
    let starting = executions.iter_mut().flat_map(|execution| &mut execution.steps);
    for step in starting.filter(|step| step.phase == StepPhase::Starting) {
        match &allowed {
            Allowed::Full => step.guard = None,
            Allowed::Shrunk(why) | Allowed::Unknown(why) => step.guard = Some(short(why)),
            Allowed::Nothing(why) => refuse(step, why, now),
            Allowed::Ask => {}
        }
    }
}

/// Asks the budgets, if something waits for what they say.
pub(super) fn ask(
    state: &mut GameDayState,
    day: Option<&GameDay>,
    something_is_due: bool,
    now: Timestamp,
) -> Option<GameDayAction> {
    let day = day.filter(|day| !day.guards.is_empty())?;
    let mut steps = state.ledger.active.iter().flat_map(|execution| &execution.steps);
    let is_wanted = something_is_due || steps.any(|step| step.phase == StepPhase::Starting);
    let is_known = state.budgets.as_ref().is_some_and(|reading| is_fresh(reading, now));
    let asks = is_wanted && !is_known && state.tried.insert("budgets".to_owned());
    asks.then(|| {
        let questions = day.guards.iter().map(|guard| guard.question.clone()).collect();
        GameDayAction::Ask(About::Budgets, questions)
    })
}

/// How much of an experiment a run of it carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Full,
    /// With what the step overrides when little of a budget is left.
    Shrunk,
}

/// How much of its experiment a run that starts now carries out; none may start: nothing.
pub(super) fn extent(day: &GameDay, reading: Option<&Reading>, now: Timestamp) -> Option<Extent> {
    match allowed(day, reading, now) {
        Allowed::Full => Some(Extent::Full),
        Allowed::Shrunk(_) => Some(Extent::Shrunk),
        Allowed::Nothing(_) | Allowed::Unknown(_) | Allowed::Ask => None,
    }
}

fn refuse(step: &mut StepRecord, why: &str, now: Timestamp) {
    step.guard = None;
    if step.message.is_some() {
        // An earlier try may have been carried out, although nobody heard of it.
        return execution::abort(step, StepReason::BudgetSpent, why, now);
    }
    step.run = None;
    execution::over(step, StepPhase::Failed, Outcome::Aborted, StepReason::BudgetSpent, why);
}

fn is_fresh(reading: &Reading, now: Timestamp) -> bool {
    let age = now.duration_since(reading.at);
    !age.is_negative() && age.unsigned_abs() < FRESH
}
