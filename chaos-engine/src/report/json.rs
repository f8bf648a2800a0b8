//! The result as JSON, for machines: the type of `chaos_core::result` as it is, with a newline at the end. Several results
//! are a list.

use chaos_core::result::{RunResult, RunResultList};

/// Renders the result. The error is one of serialisation and cannot be caused by a run.
pub fn render(result: &RunResult) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(result).map(|json| json + "\n")
}

/// Renders the results of several runs; one alone as itself.
pub fn render_all(results: &[RunResult]) -> Result<String, serde_json::Error> {
    match results {
        [only] => render(only),
        several => serde_json::to_string_pretty(&RunResultList::of(several.to_vec())).map(|json| json + "\n"),
    }
}
