//! The operator's word in the record of a run that it drove: such a run is told no better than that. It judges nothing itself.

use super::{ExitCode, ReasonCode};
use crate::record::Event;
use crate::result::{Finding, RunResult, Verdict};

/// What an operator's word means here: the reason of that name, and where this version has none of that name and exit code, one
/// with the exit code.
pub fn reason_told(exit_code: u8, reason_code: &str) -> ReasonCode {
    let alike: Vec<ReasonCode> =
        ReasonCode::ALL.into_iter().filter(|reason| reason.exit_code().code() == exit_code).collect();
    let named = alike.iter().find(|reason| reason.to_string() == reason_code);
    named.or(alike.first()).copied().unwrap_or(ReasonCode::OutOfReach)
}

/// The result, unless the operator said something worse: then that decides.
pub(super) fn no_better(result: RunResult, events: &[Event]) -> RunResult {
    events.iter().fold(result, |result, event| match event {
        Event::Told { exit_code, reason_code, reason_text } => {
            worse_of(result, reason_told(*exit_code, reason_code), reason_text)
        }
        _ => result,
    })
}

fn worse_of(mut result: RunResult, reason_code: ReasonCode, text: &str) -> RunResult {
    let (ours, exit_code) = (result.verdict.exit_code, reason_code.exit_code());
    if ExitCode::worst([ours, exit_code]) == ours {
        return result;
    }
    let reason_text = format!("the operator says: {text}");
    let mut findings = vec![Finding { reason_code, message: reason_text.clone() }];
    findings.append(&mut result.verdict.findings);
    result.verdict = Verdict { outcome: exit_code.outcome(), exit_code, reason_code, reason_text, findings };
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::fixture::Story;
    use crate::verdict::{JudgeSpec, judge};

    fn spec() -> JudgeSpec {
        JudgeSpec {
            name: "e".into(),
            namespace: "n".into(),
            hypothesis: String::new(),
            strikes_target: 1,
            strikes_min: 1,
            probes: Vec::new(),
        }
    }

    /// A run of one kill that expects nothing else, and what the operator says of it.
    fn told(words: &[(u8, &str)]) -> RunResult {
        let mut events = Story::with_kills(1).events();
        events.extend(words.iter().map(|(exit_code, reason)| Event::Told {
            exit_code: *exit_code,
            reason_code: (*reason).into(),
            reason_text: "by the operator".into(),
        }));
        events.push(Event::Finished { at: crate::evidence::fixture::ms(22_000), exit_code: 0 });
        judge(&spec(), &events)
    }

    #[test]
    fn a_run_ends_no_better_than_the_operator_says() {
        let unsaid = told(&[]);
        assert_eq!(unsaid.verdict.exit_code, ExitCode::Held);
        for (exit_code, reason, expected) in [
            (0, "HypothesisHeld", ReasonCode::HypothesisHeld),
            (1, "SloRefuted", ReasonCode::SloRefuted),
            (7, "ProberLost", ReasonCode::ProberLost),
            (1, "OfANewerVersion", ReasonCode::InvariantBroken),
            (99, "OfANewerVersion", ReasonCode::OutOfReach),
        ] {
            let result = told(&[(exit_code, reason)]);
            let verdict = &result.verdict;
            assert_eq!((verdict.reason_code, verdict.exit_code), (expected, expected.exit_code()), "{reason}");
            assert_eq!(verdict.outcome, verdict.exit_code.outcome());
            let is_worse = expected != ReasonCode::HypothesisHeld;
            assert_eq!(verdict.reason_text.contains("the operator says: by the operator"), is_worse, "{reason}");
            assert_eq!(verdict.findings.len(), unsaid.verdict.findings.len() + usize::from(is_worse), "{reason}");
            assert_eq!(RunResult { verdict: unsaid.verdict.clone(), ..result }, unsaid, "the rest is the evidence's");
        }
        for words in [[(1, "SloRefuted"), (5, "Interrupted")], [(5, "Interrupted"), (1, "SloRefuted")]] {
            assert_eq!(told(&words).verdict.reason_code, ReasonCode::SloRefuted, "the worst counts");
        }
    }

    #[test]
    fn a_record_that_cannot_be_counted_is_told_no_better_either() {
        let word = Event::Told { exit_code: 6, reason_code: "WindDownIncomplete".into(), reason_text: "left".into() };
        assert_eq!(judge(&spec(), &[]).verdict.reason_code, ReasonCode::RecordInconsistent);
        assert_eq!(judge(&spec(), &[word]).verdict.reason_code, ReasonCode::WindDownIncomplete);
    }
}
