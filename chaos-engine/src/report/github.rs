//! The verdict as annotations of GitHub Actions: workflow commands on stdout, escaped as their grammar asks.

use chaos_core::result::RunResult;
use chaos_core::verdict::ExitCode;

/// One line for each finding, or one notice for a pass.
pub fn render(result: &RunResult) -> String {
    let verdict = &result.verdict;
    let command = match verdict.exit_code {
        ExitCode::Held => "notice",
        ExitCode::Inconclusive => "warning",
        _ => "error",
    };
    let title = format!("chaos {}: {}", verdict.outcome, result.run.experiment);
    let source = &result.run.manifest_source;
    // What an operator ran has an object for its manifest, which no annotation can be put beside.
    let file = if source.starts_with("ExperimentRun ") { String::new() } else { format!("file={},", property(source)) };
    let line = |message: &str| format!("::{command} {file}title={}::{}\n", property(&title), data(message));
    if verdict.findings.is_empty() {
        return line(&verdict.reason_text);
    }
    verdict.findings.iter().map(|finding| line(&format!("{}: {}", finding.reason_code, finding.message))).collect()
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
