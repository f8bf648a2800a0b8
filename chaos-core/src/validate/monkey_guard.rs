//! What must hold for a kill of a monkey. Sources are named: a literal URL cannot be written here.

use super::experiment::matchers;
use super::gameday_guard::{bounds, question};
use super::names;
use super::path::Path;
use super::problem::Problems;
use super::target::name;
use crate::api;
use crate::model::{AlertQuestion, BudgetGuard, Check, MonkeyGuard};
use crate::units::Duration;

/// Guards of one monkey.
const MOST: usize = 5;
/// A strike waits for the answers, and every other one for it.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The guards of a monkey, if all are valid.
pub(super) fn guards(raw: &api::ChaosMonkeySpec, at: &Path, problems: &mut Problems) -> Option<Vec<MonkeyGuard>> {
    if raw.guards.len() > MOST {
        problems.add_at_key(at, format!("{} guards, more than {MOST}", raw.guards.len()));
    }
    if raw.until.is_some() && !raw.guards.is_empty() {
        problems
            .add_at_key(at, "a monkey of a run keeps no guards")
            .hint("write guards: [], and guard the run itself (abort of its experiment)");
    }
    let guards = raw.guards.iter().enumerate().map(|(i, raw)| guard(raw, &at.index(i), problems));
    guards.collect::<Vec<_>>().into_iter().collect()
}

fn guard(raw: &api::MonkeyGuard, at: &Path, problems: &mut Problems) -> Option<MonkeyGuard> {
    match (&raw.alert, &raw.error_budget, &raw.probe) {
        (Some(raw), None, None) => Some(MonkeyGuard::Alert(alert(raw, &at.field("alert"), problems))),
        (None, Some(raw), None) => error_budget(raw, &at.field("errorBudget"), problems).map(MonkeyGuard::ErrorBudget),
        (None, None, Some(raw)) => probe(raw, &at.field("probe"), problems).map(MonkeyGuard::Probe),
        (None, None, None) => {
            problems.add_at_key(at, "this guard guards nothing").hint(
                "give alert: {source, matchers}, errorBudget: {source, query, keep}, or probe: {source, query, min, max}",
            );
            None
        }
        _ => {
            problems.add_at_key(at, "give exactly one of alert, errorBudget, probe").hint("make several guards of it");
            None
        }
    }
}

fn alert(raw: &api::MonkeyAlert, at: &Path, problems: &mut Problems) -> AlertQuestion {
    name(&raw.source, names::dns_label, &at.field("source"), problems);
    timeout(raw.timeout, at, problems);
    matchers(&raw.matchers, &at.field("matchers"), problems);
    AlertQuestion { source: raw.source.clone(), matchers: raw.matchers.clone(), timeout: raw.timeout }
}

fn error_budget(raw: &api::MonkeyErrorBudget, at: &Path, problems: &mut Problems) -> Option<BudgetGuard> {
    timeout(raw.timeout, at, problems);
    let question = question(&raw.source, &raw.query, raw.timeout, at, problems)?;
    Some(BudgetGuard { question, keep: raw.keep, shrink_below: None })
}

fn probe(raw: &api::MonkeyProbe, at: &Path, problems: &mut Problems) -> Option<Check> {
    timeout(raw.timeout, at, problems);
    let question = question(&raw.source, &raw.query, raw.timeout, at, problems);
    bounds(raw.min, raw.max, at, problems);
    Some(Check { question: question?, min: raw.min, max: raw.max })
}

fn timeout(timeout: Duration, at: &Path, problems: &mut Problems) {
    let (least, most) = TIMEOUTS;
    if timeout < least || timeout > most {
        problems
            .add(&at.field("timeout"), format!("{timeout} is not between {least} and {most}"))
            .hint("a strike waits for the answer: record what takes longer as a rule, and query that");
    }
}
