//! The result as JSON, for machines: the type of `chaos_core::result` as it is, with a newline at the end.

use chaos_core::result::RunResult;

/// Renders the result. The error is one of serialisation and cannot be caused by a run.
pub fn render(result: &RunResult) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(result).map(|json| json + "\n")
}
