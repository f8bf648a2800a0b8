//! Results as JUnit XML, one suite for each run: a failed hypothesis is a failure, everything else that is not a pass is an
//! error (also a run that was never started), and nothing is ever skipped, because some viewers show skipped as green. A claim
//! that does not hold is a failure only where its run could tell: of a run that was invalid or stopped, it is an error.

use std::time::Duration;

use chaos_core::result::{Claim, Holds, ProbeResult, RunResult};
use chaos_core::verdict::ExitCode;
use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::text;

/// Renders one result.
pub fn render(result: &RunResult) -> Result<String, SerializeError> {
    render_all(std::slice::from_ref(result))
}

/// Renders the results of several runs as one report.
pub fn render_all(results: &[RunResult]) -> Result<String, SerializeError> {
    let mut report = Report::new("chaos");
    report.add_test_suites(results.iter().map(suite));
    // The writer leaves these two, which are no characters of XML: one of them in an answer, and no reader takes the file.
    Ok(report.to_string()?.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"))
}

fn suite(result: &RunResult) -> TestSuite {
    let mut suite = TestSuite::new(match result.run.namespace.as_str() {
        "" => result.run.experiment.clone(),
        namespace => format!("{namespace}/{}", result.run.experiment),
    });
    let verdict = &result.verdict;
    // A run that was never started has neither: the fields of the result say nothing then.
    let is_known = |name: &str| !(result.run.id.is_empty() && matches!(name, "runId" | "seed"));
    let properties = [
        ("runId", result.run.id.clone()),
        ("startedAt", result.run.started_at.to_string()),
        ("exitCode", verdict.exit_code.code().to_string()),
        ("reasonCode", verdict.reason_code.to_string()),
        ("seed", result.run.seed.to_string()),
        ("attempt", result.run.attempt.to_string()),
        ("manifestDigest", result.run.manifest_digest.clone()),
        ("tool", result.run.tool.clone()),
    ];
    for (name, value) in properties.into_iter().filter(|(name, _)| is_known(name)) {
        suite.add_property(Property::new(name, value));
    }
    let title = if result.hypothesis.is_empty() { &result.run.experiment } else { &result.hypothesis };
    let mut hypothesis = TestCase::new(title.as_str(), status(result));
    hypothesis.set_classname(result.run.experiment.as_str());
    hypothesis.set_time(Duration::from_micros(result.run.duration_us));
    hypothesis.set_system_out(verdict.reason_text.as_str());
    suite.add_test_case(hypothesis);
    suite.add_test_cases(result.claims.iter().map(|claim| case(result, claim)));
    suite
}

fn status(result: &RunResult) -> TestCaseStatus {
    let verdict = &result.verdict;
    let kind = match verdict.exit_code {
        ExitCode::Held => return TestCaseStatus::success(),
        ExitCode::Failed => NonSuccessKind::Failure,
        ExitCode::InvalidManifest
        | ExitCode::OutOfReach
        | ExitCode::Refused
        | ExitCode::Stopped
        | ExitCode::LeftBehind
        | ExitCode::Inconclusive
        | ExitCode::InvalidRun => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    let findings = verdict.findings.iter().map(|finding| format!("{}: {}", finding.reason_code, finding.message));
    let causes = |probe: &ProbeResult| Some(format!("{}: failed requests: {}", probe.probe, text::causes(probe)?));
    let described: Vec<String> = findings.chain(result.probes.iter().filter_map(causes)).collect();
    status.set_message(verdict.reason_text.as_str()).set_type(verdict.reason_code.to_string());
    status.set_description(described.join("\n"));
    status
}

/// What a claim that does not hold is. A run that left something behind was judged all the same.
const fn refuted(exit: ExitCode) -> NonSuccessKind {
    match exit {
        ExitCode::Failed | ExitCode::LeftBehind => NonSuccessKind::Failure,
        ExitCode::Held
        | ExitCode::InvalidManifest
        | ExitCode::OutOfReach
        | ExitCode::Refused
        | ExitCode::Stopped
        | ExitCode::Inconclusive
        | ExitCode::InvalidRun => NonSuccessKind::Error,
    }
}

fn case(result: &RunResult, claim: &Claim) -> TestCase {
    let mut status = match claim.holds {
        Holds::Yes | Holds::NotRefuted => TestCaseStatus::success(),
        Holds::No => TestCaseStatus::non_success(refuted(result.verdict.exit_code)),
        Holds::Undecided => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if matches!(claim.holds, Holds::No | Holds::Undecided) {
        status.set_message(format!("{}: {} against {}", claim.method, claim.value, claim.bound));
    }
    let mut case = TestCase::new(claim.claim.as_str(), status);
    case.set_classname(format!("{}.{}", result.run.experiment, claim.probe));
    case
}
