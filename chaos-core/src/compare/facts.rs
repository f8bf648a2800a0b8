//! What can be compared as it stands: outcomes, claims, rules of the business; and what a reader should know before comparing.

use std::collections::BTreeSet;

use super::{Fact, Standing};
use crate::result::{Claim, Holds, RunResult};
use crate::verdict::ExitCode;

/// Names of everything that measured or asked.
pub(super) fn probes(result: &RunResult) -> BTreeSet<&str> {
    let loads = result.probes.iter().map(|probe| probe.probe.as_str());
    let answers = result.expectations.iter().map(|answer| answer.probe.as_str());
    loads.chain(answers).chain(result.invariants.iter().map(|checked| checked.probe.as_str())).collect()
}

pub(super) fn facts(old: &RunResult, new: &RunResult) -> Vec<Fact> {
    let mut facts = vec![outcome(old, new)];
    facts.extend(new.claims.iter().filter_map(|claim| {
        let same =
            |other: &&Claim| other.claim == claim.claim && other.level == claim.level && other.probe == claim.probe;
        Some(of_claim(old.claims.iter().find(same)?, claim))
    }));
    facts.extend(new.invariants.iter().filter_map(|checked| {
        let before = old.invariants.iter().find(|other| other.probe == checked.probe)?;
        // Of nothing that was checked nothing can be told.
        (before.checked > 0 && checked.checked > 0).then(|| Fact {
            what: format!("{}, violations of business rules", checked.probe),
            old: before.violations.to_string(),
            new: checked.violations.to_string(),
            standing: match (before.violations, checked.violations) {
                (0, 1..) => Standing::Worse,
                (1.., 0) => Standing::Better,
                _ => Standing::NoDifference,
            },
        })
    }));
    facts
}

fn outcome(old: &RunResult, new: &RunResult) -> Fact {
    let word = |result: &RunResult| format!("{} ({})", result.verdict.outcome, result.verdict.reason_code);
    Fact {
        what: "outcome".into(),
        old: word(old),
        new: word(new),
        standing: match (old.verdict.exit_code, new.verdict.exit_code) {
            (ExitCode::Held, ExitCode::Failed) => Standing::Worse,
            (ExitCode::Failed, ExitCode::Held) => Standing::Better,
            _ => Standing::NoDifference,
        },
    }
}

fn of_claim(old: &Claim, new: &Claim) -> Fact {
    let word = |claim: &Claim| match claim.holds {
        Holds::Yes => "holds",
        Holds::NotRefuted => "is not refuted",
        Holds::No => "is refuted",
        Holds::Undecided => "is undecided",
    };
    Fact {
        what: new.claim.clone(),
        old: word(old).into(),
        new: word(new).into(),
        standing: match (old.holds, new.holds) {
            (Holds::Yes | Holds::NotRefuted, Holds::No) => Standing::Worse,
            (Holds::No, Holds::Yes | Holds::NotRefuted) => Standing::Better,
            _ => Standing::NoDifference,
        },
    }
}

pub(super) fn notes(old: &RunResult, new: &RunResult) -> Vec<String> {
    let mut notes = Vec::new();
    if old.run.manifest_digest != new.run.manifest_digest {
        notes.push("the manifests are not the same: a difference may be that of what was asked".into());
    }
    if old.run.cluster != new.run.cluster || old.run.environment != new.run.environment {
        notes.push("the surroundings are not the same: a difference may be that of cluster or machine".into());
    }
    if old.plan.images != new.plan.images {
        notes.push("the victims ran other images".into());
    }
    let only = |a: &RunResult, b: &RunResult| {
        let names: Vec<String> = probes(a).difference(&probes(b)).map(|name| (*name).to_owned()).collect();
        names.join(", ")
    };
    for (which, names) in [("old", only(old, new)), ("new", only(new, old))] {
        if !names.is_empty() {
            notes.push(format!("only the {which} run asked {names}"));
        }
    }
    for (which, result) in [("old", old), ("new", new)] {
        let losses = result.kill_rows.iter().flat_map(|row| &row.losses);
        let unknown = losses.fold(0_u64, |sum, loss| sum.saturating_add(loss.unknown));
        if unknown > 0 {
            notes.push(format!(
                "of {unknown} requests of the {which} run nothing is known: its figures are without them"
            ));
        }
    }
    let attempts = old.run.attempt.max(new.run.attempt);
    if attempts > 1 {
        notes.push("one of the runs is a repetition: the best of several tries is better than the platform".into());
    }
    notes
}
