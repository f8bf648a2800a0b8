//! What the metrics sources of a simulated cluster say to the guards of a monkey: all is well, or something is not, or nobody
//! knows. No kill may rest on anything but a recent answer by which all is well.

use chaos_core::killer::GuardReading;
use chaos_core::model::{AlertQuestion, BudgetGuard, Check, MetricQuestion, MonkeyGuard};
use chaos_core::units::{Duration, Percent};
use jiff::Timestamp;

use super::cluster::State;
use super::scenario::SEND_WITHIN;
use crate::seats::{Dice, Stage as _, millis};

/// What is older than this decides nothing, in milliseconds.
pub(crate) const FRESH: i64 = 5_000;
/// Chance in a thousand that something is not well when the sources are asked.
const ILL: u32 = 250;

/// What one source says.
pub(crate) type Reading = Result<GuardReading, String>;

/// One guard of each kind.
pub(crate) fn guards() -> Vec<MonkeyGuard> {
    let (source, timeout) = ("platform".to_owned(), Duration::from_secs(5));
    let asked =
        |query: &str| MetricQuestion { source: source.clone(), query: query.to_owned(), reads: Vec::new(), timeout };
    let keep = "25%".parse::<Percent>().unwrap();
    let matchers = vec!["alertname=\"RidesLost\"".to_owned()];
    vec![
        MonkeyGuard::Alert(AlertQuestion { source: source.clone(), matchers, timeout }),
        MonkeyGuard::ErrorBudget(BudgetGuard { question: asked("slo:left"), keep, shrink_below: None }),
        MonkeyGuard::Probe(Check { question: asked("queue"), min: None, max: Some(5.0) }),
    ]
}

/// What the source of a guard says when all is well.
pub(crate) const fn well(guard: &MonkeyGuard) -> GuardReading {
    match guard {
        MonkeyGuard::Alert(_) => GuardReading::Alerts(None),
        MonkeyGuard::ErrorBudget(_) => GuardReading::Value(0.9),
        MonkeyGuard::Probe(_) => GuardReading::Value(1.0),
    }
}

/// What it says otherwise: that the guard does not hold, nothing, no number, or something that answers another question.
fn ill(guard: &MonkeyGuard, dice: &mut Dice) -> Reading {
    let (fails, of_another) = match guard {
        MonkeyGuard::Alert(_) => (GuardReading::Alerts(Some("RidesLost".to_owned())), GuardReading::Value(1.0)),
        MonkeyGuard::ErrorBudget(_) => (GuardReading::Value(0.1), GuardReading::Alerts(None)),
        MonkeyGuard::Probe(_) => (GuardReading::Value(9.0), GuardReading::Alerts(None)),
    };
    match dice.below(4) {
        0 => Ok(fails),
        1 => Err("no answer".to_owned()),
        2 => Ok(GuardReading::Value(f64::NAN)),
        _ => Ok(of_another),
    }
}

/// What a process was last told, and when.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    at: Timestamp,
    is_well: bool,
    pub(crate) readings: Vec<Reading>,
}

impl Heard {
    /// Asks the sources of these guards.
    pub(crate) fn ask(state: &mut State, guards: &[MonkeyGuard]) -> Self {
        let at = state.now;
        let dice = state.dice();
        let sick = dice.chance(ILL).then(|| dice.below(guards.len()));
        let answer = |(index, guard): (usize, &MonkeyGuard)| {
            if sick == Some(index) { ill(guard, dice) } else { Ok(well(guard)) }
        };
        let readings = guards.iter().enumerate().map(answer).collect();
        Self { at, is_well: sick.is_none(), readings }
    }
}

/// What must hold of the guards when a kill leaves.
pub(crate) fn check_guards(state: &State, heard: Option<&Heard>, at: Timestamp) {
    let Some(heard) = heard else { panic!("a kill was sent without a question to its guards") };
    assert!(heard.is_well, "a kill was sent though a guard did not hold: {:?}", heard.readings);
    // By a clock that is wrong, an answer may look younger than it is.
    let age = at.duration_since(heard.at);
    let is_young = age <= millis(FRESH + SEND_WITHIN + 500);
    assert!(is_young || state.scenario.jumps > 0, "a kill was sent {age:?} after its guards were asked");
}
