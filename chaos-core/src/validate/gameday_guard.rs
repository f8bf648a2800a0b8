//! What a game day asks of metrics: error budgets that guard it, and values that a step checks. Sources are named: a literal URL
//! cannot be written here. A share to shrink at needs something to shrink to. Monkeys ask in the same way (`monkey_guard`).

use super::names;
use super::path::Path;
use super::problem::Problems;
use super::queries::promql;
use super::target::name;
use crate::api;
use crate::model::{BudgetGuard, Check, MetricQuestion};
use crate::units::Duration;

/// Guards of one game day.
const MOST: usize = 5;
/// Whoever asks waits for the answer, and can ask again later.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// Budgets look back over weeks; further than this is a typo.
const LONGEST_LOOK_BACK: Duration = Duration::from_secs(400 * 24 * 3_600);

/// The guards of a game day, if all are valid.
pub(super) fn guards(raw: &api::GameDaySpec, at: &Path, problems: &mut Problems) -> Option<Vec<BudgetGuard>> {
    let at_guards = at.field("guards");
    if raw.guards.len() > MOST {
        problems.add_at_key(&at_guards, format!("{} guards, more than {MOST}", raw.guards.len()));
    }
    let guards = raw
        .guards
        .iter()
        .enumerate()
        .map(|(i, guard)| error_budget(&guard.error_budget, &at_guards.index(i).field("errorBudget"), problems));
    let guards = guards.collect::<Vec<_>>().into_iter().collect();
    let shrinks = raw.guards.iter().any(|guard| guard.error_budget.shrink_below.is_some());
    for (i, step) in raw.steps.iter().enumerate() {
        let Some(experiment) = &step.experiment else { continue };
        let at = at.field("steps").index(i).field("experiment");
        match (shrinks, experiment.shrunk.is_some()) {
            (true, false) => {
                problems
                    .add_at_key(&at, "a guard shrinks experiments, and it is not said what this one is then")
                    .hint("add shrunk: {strikes: {target: …, min: …}}");
            }
            (false, true) => {
                problems
                    .add_at_key(&at.field("shrunk"), "no guard shrinks experiments")
                    .hint("give a guard shrinkBelow, or leave shrunk out");
            }
            _ => {}
        }
    }
    guards
}

/// A step that checks a value.
pub(super) fn check(raw: &api::CheckStep, at: &Path, problems: &mut Problems) -> Option<Check> {
    timeout(raw.timeout, at, problems);
    let question = question(&raw.source, &raw.query, raw.timeout, at, problems);
    bounds(raw.min, raw.max, at, problems);
    Some(Check { question: question?, min: raw.min, max: raw.max })
}

/// Some value must be within them, and some other must not.
pub(super) fn bounds(min: Option<f64>, max: Option<f64>, at: &Path, problems: &mut Problems) {
    match (min, max) {
        (None, None) => {
            problems.add_at_key(at, "nothing is asked of the value").hint("give min, max, or both");
        }
        (Some(min), Some(max)) if min > max => {
            problems.add(&at.field("min"), format!("{min} is above the max of {max}: no value could be both"));
        }
        _ => {}
    }
}

fn timeout(timeout: Duration, at: &Path, problems: &mut Problems) {
    let (least, most) = TIMEOUTS;
    if timeout < least || timeout > most {
        problems.add(&at.field("timeout"), format!("{timeout} is not between {least} and {most}"));
    }
}

fn error_budget(raw: &api::ErrorBudgetGuard, at: &Path, problems: &mut Problems) -> Option<BudgetGuard> {
    timeout(raw.timeout, at, problems);
    let question = question(&raw.source, &raw.query, raw.timeout, at, problems);
    if let Some(below) = raw.shrink_below.filter(|below| *below <= raw.keep) {
        problems
            .add(
                &at.field("shrinkBelow"),
                format!("{below} is not above keep ({}): nothing starts there at all", raw.keep),
            )
            .hint("shrink before the budget is down to what has to be kept");
    }
    Some(BudgetGuard { question: question?, keep: raw.keep, shrink_below: raw.shrink_below })
}

/// A question to a named source. How long it may take is for who asks it to bound.
pub(super) fn question(
    source: &str,
    query: &str,
    patience: Duration,
    at: &Path,
    problems: &mut Problems,
) -> Option<MetricQuestion> {
    name(source, names::dns_label, &at.field("source"), problems);
    let facts = promql(query, LONGEST_LOOK_BACK, &at.field("query"), problems);
    let (source, query) = (source.to_owned(), query.to_owned());
    Some(MetricQuestion { source, query, reads: facts?.reads, timeout: patience })
}
