//! Compares two results of one experiment: has the platform become better or worse at being killed? Pure. The kill is the unit,
//! as it is for verdicts: requests of one outage are no independent witnesses, and a difference that chance explains is none.
//!
//! Facts (an outcome, a claim, a broken rule of the business) are compared as they stand. Figures are compared by tests of two
//! samples over kills, at α = 5 % for all of them together (Holm). What is not shown to differ is not claimed to be equal: the
//! comparison says how large a difference would have been seen.

mod facts;
mod figures;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;

use crate::result::RunResult;
use crate::stats::{fisher, holm};
use crate::verdict::{ExitCode, ReasonCode};

/// Probability that any difference is claimed although there is none.
pub const ALPHA: f64 = 0.05;
/// Kill windows that each side must have before figures are compared.
const TRIALS_MIN: u64 = 5;
/// A duration that differs by less than this share is no change that matters, however sure it is.
const MATTERS: f64 = 0.10;

/// How the new run stands against the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Shown to be worse.
    Worse,
    /// Shown to be better.
    Better,
    /// Not shown to differ.
    NoDifference,
    /// Too little evidence to compare.
    TooLittle,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Version of this format, `major.minor`.
    pub schema_version: &'static str,
    /// The run that is compared with.
    pub old: Side,
    /// The run that is judged.
    pub new: Side,
    /// Everything together: worse if anything is, better if something is and nothing is worse.
    pub standing: Standing,
    /// Why, in one sentence.
    pub reason: String,
    /// Facts that can be compared as they stand.
    pub facts: Vec<Fact>,
    /// Figures, each with the test that compares it.
    pub figures: Vec<Figure>,
    /// What a reader should know before comparing.
    pub notes: Vec<String>,
}

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// Identity of the run.
    pub run: String,
    /// Name of the experiment.
    pub experiment: String,
    /// UTC of its start.
    pub started_at: Timestamp,
    /// Its exit code.
    pub exit_code: ExitCode,
    /// Its reason.
    pub reason_code: ReasonCode,
    /// Kill windows.
    pub trials: u64,
}

/// A fact of both runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// What.
    pub what: String,
    /// In the old run.
    pub old: String,
    /// In the new run.
    pub new: String,
    /// How the new run stands.
    pub standing: Standing,
}

/// A figure of both runs, and whether it differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// What, with its unit.
    pub what: String,
    /// In the old run.
    pub old: f64,
    /// In the new run.
    pub new: f64,
    /// How the figure is printed.
    pub unit: Unit,
    /// Kills that it rests on, old and new.
    pub kills: [u64; 2],
    /// The test.
    pub method: &'static str,
    /// Its two-sided p-value.
    pub p: f64,
    /// The same, corrected for all figures that were compared.
    pub p_corrected: f64,
    /// How the new run stands.
    pub standing: Standing,
    /// What difference would have been seen, where none is shown.
    pub would_be_seen: Option<String>,
}

/// How a figure is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// A share, 0 to 1.
    Share,
    /// Microseconds.
    Micros,
}

/// Why two results cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// They have no probe in common.
    #[error("the runs measured nothing in common: {old} and {new}; hint: compare two runs of one experiment")]
    NothingInCommon {
        /// Probes of the old run.
        old: String,
        /// Probes of the new run.
        new: String,
    },
}

/// Compares two results.
pub fn compare(old: &RunResult, new: &RunResult) -> Result<Comparison, CompareError> {
    let names = |result: &RunResult| facts::probes(result).into_iter().collect::<Vec<_>>().join(", ");
    if facts::probes(old).is_disjoint(&facts::probes(new)) {
        return Err(CompareError::NothingInCommon { old: names(old), new: names(new) });
    }
    let facts = facts::facts(old, new);
    let comparable = [old, new].iter().all(|result| is_evidence(result));
    let mut figures = if comparable { figures::figures(old, new) } else { Vec::new() };
    judge(&mut figures);
    let standing = standing(&facts, &figures, comparable);
    Ok(Comparison {
        schema_version: "1.0",
        old: side(old),
        new: side(new),
        standing,
        reason: reason(standing, &facts, &figures),
        notes: facts::notes(old, new),
        facts,
        figures,
    })
}

/// Whether a run measured the platform under kills. One that was stopped or invalid says something else.
fn is_evidence(result: &RunResult) -> bool {
    let judged = matches!(result.verdict.exit_code, ExitCode::Held | ExitCode::Failed | ExitCode::Inconclusive);
    judged && result.kills.trials >= TRIALS_MIN
}

fn side(result: &RunResult) -> Side {
    Side {
        run: result.run.id.clone(),
        experiment: result.run.experiment.clone(),
        started_at: result.run.started_at,
        exit_code: result.verdict.exit_code,
        reason_code: result.verdict.reason_code,
        trials: result.kills.trials,
    }
}

/// Corrects the p-values and says of each figure how it stands. Every figure is one of which less is better.
fn judge(figures: &mut [Figure]) {
    let corrected = holm(&figures.iter().map(|figure| figure.p).collect::<Vec<_>>());
    let questions = figures.len();
    for (figure, corrected) in figures.iter_mut().zip(corrected) {
        figure.p_corrected = corrected;
        let matters = figure.unit == Unit::Share || (figure.new - figure.old).abs() >= MATTERS * figure.old;
        figure.standing = match figure.new.partial_cmp(&figure.old) {
            _ if corrected > ALPHA || !matters => Standing::NoDifference,
            Some(std::cmp::Ordering::Greater) => Standing::Worse,
            Some(std::cmp::Ordering::Less) => Standing::Better,
            _ => Standing::NoDifference,
        };
        if figure.standing == Standing::NoDifference && figure.method == figures::FISHER {
            figure.would_be_seen = least_seen(figure, questions);
        }
    }
}

/// The least number of bad kills that would have been shown to be worse, with all the other figures equal.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of kills")]
fn least_seen(figure: &Figure, questions: usize) -> Option<String> {
    let [old_kills, new_kills] = figure.kills;
    let bad = (figure.old * old_kills as f64).round() as u64;
    let seen = |more: &u64| {
        let worse = *more as f64 / new_kills as f64 > figure.old;
        worse && fisher([bad, *more], figure.kills) * questions as f64 <= ALPHA
    };
    (0..=new_kills).find(seen).map(|least| format!("{least} of {new_kills} would have been seen"))
}

fn standing(facts: &[Fact], figures: &[Figure], comparable: bool) -> Standing {
    let all = || facts.iter().map(|fact| fact.standing).chain(figures.iter().map(|figure| figure.standing));
    if all().any(|standing| standing == Standing::Worse) {
        Standing::Worse
    } else if !comparable {
        Standing::TooLittle
    } else if all().any(|standing| standing == Standing::Better) {
        Standing::Better
    } else {
        Standing::NoDifference
    }
}

fn reason(standing: Standing, facts: &[Fact], figures: &[Figure]) -> String {
    let of_facts = facts.iter().filter(|fact| fact.standing == standing);
    let of_figures = figures.iter().filter(|figure| figure.standing == standing);
    let what: Vec<String> = of_facts
        .map(|fact| format!("{}: {} was {}", fact.what, fact.new, fact.old))
        .chain(of_figures.map(|figure| format!("{} (p = {:.4})", figure.what, figure.p_corrected)))
        .collect();
    match standing {
        Standing::Worse => format!("worse: {}", what.join("; ")),
        Standing::Better => format!("better, and nothing is worse: {}", what.join("; ")),
        Standing::NoDifference => {
            "nothing is shown to differ, which does not mean that nothing does: see what would have been seen"
                .to_owned()
        }
        Standing::TooLittle => format!(
            "too little evidence: both runs must have held, failed or been inconclusive, with {TRIALS_MIN} kill windows each"
        ),
    }
}
