//! The result of a load test on one screen, and as JSON.

use anstyle::{AnsiColor, Style};
use chaos_core::load::{Decision, FlowResult, FlowSummary, JudgedThreshold, LoadResult, Quantiles};
use chaos_core::verdict::ExitCode;
use chaos_core::verdict::words::{share_of_good, thousands};

use super::text::{cut, duration, plain};

const COLUMNS: usize = 120;
const LABEL: usize = 13;
/// Causes of failures that are shown for each flow.
const CAUSES_SHOWN: usize = 6;

/// The result for machines, with a line break at its end.
pub fn json(result: &LoadResult) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(result).map(|text| text + "\n")
}

/// Renders the screen. Only outcomes are coloured, and never by colour alone.
pub fn render(result: &LoadResult) -> String {
    let mut lines = Vec::new();
    for flow in &result.flows {
        lines.push(String::new());
        lines.extend(of_flow(result, flow));
    }
    if !result.thresholds.is_empty() {
        lines.push(String::new());
        let several = result.flows.len() > 1;
        lines.extend(result.thresholds.iter().enumerate().map(|(i, judged)| threshold(i, judged, several)));
    }
    lines.push(String::new());
    lines.push(verdict(result));
    lines.push(String::new());
    lines.join("\n") + "\n"
}

fn of_flow(result: &LoadResult, flow: &FlowResult) -> Vec<String> {
    let summary = &flow.summary;
    let mut lines = vec![
        format!("  {}", cut(&plain(&format!("{}: {} on {}", summary.flow, flow.request, flow.target)), COLUMNS - 2)),
        row("schedule", &format!("{:.1} s at {}; open loop", result.seconds, flow.schedule)),
        row("requests", &requests(summary)),
        row("success", &success(summary)),
        row("latency", &quantiles(&summary.latency)),
    ];
    lines.extend(summary.steps.iter().enumerate().map(|(i, step)| {
        let label = format!("  request {}", i + 1);
        let latency = step.latency;
        let times = [("p50", latency.p50_us), ("p99", latency.p99_us), ("max", latency.max_us)];
        let times = times.map(|(name, micros)| format!("{name} {}", duration(micros))).join("  ");
        row(&label, &format!("{}: {times}", cut(&plain(&step.request), 50)))
    }));
    lines.push(row("sent after", &quantiles(&summary.lag)));
    for (i, cause) in summary.causes.iter().take(CAUSES_SHOWN).enumerate() {
        let label = if i == 0 { "not good" } else { "" };
        let text = format!("{} × {}: {}", thousands(cause.count), cause.class.as_str(), plain(&cause.detail));
        lines.push(row(label, &text));
    }
    let more: u64 = summary.causes.iter().skip(CAUSES_SHOWN).map(|cause| cause.count).sum();
    if more > 0 {
        lines.push(row("", &format!("{} × for other causes", thousands(more))));
    }
    lines
}

fn requests(summary: &FlowSummary) -> String {
    let others = [
        (summary.failed, "failed"),
        (summary.late, "sent late"),
        (summary.unsent, "never sent"),
        (summary.unknown_outcome, "unknown"),
    ];
    let others: String = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!(", {} {name}", thousands(*count)))
        .collect();
    format!("{} due, {} answered well{others}", thousands(summary.due), thousands(summary.good))
}

fn success(summary: &FlowSummary) -> String {
    let share = share_of_good(summary.due - summary.good, summary.due);
    let unknown = summary.late + summary.unsent + summary.unknown_outcome;
    let weak =
        if unknown == 0 { String::new() } else { format!("; of {} the load generator cannot say", thousands(unknown)) };
    format!("{share} of what was due, {:.1}/s{weak}", summary.good_per_second)
}

fn quantiles(quantiles: &Quantiles) -> String {
    if quantiles.count == 0 {
        return "none".into();
    }
    let named = [
        ("min", quantiles.min_us),
        ("mean", quantiles.mean_us),
        ("p50", quantiles.p50_us),
        ("p90", quantiles.p90_us),
        ("p95", quantiles.p95_us),
        ("p99", quantiles.p99_us),
        ("p99.9", quantiles.p999_us),
        ("max", quantiles.max_us),
    ];
    named.map(|(name, micros)| format!("{name} {}", duration(micros))).join("  ")
}

fn threshold(number: usize, judged: &JudgedThreshold, several: bool) -> String {
    let (word, colour) = match judged.decision {
        Decision::Held => ("holds", AnsiColor::Green),
        Decision::Crossed => ("CROSSED", AnsiColor::Red),
        Decision::Undecided => ("undecided", AnsiColor::Yellow),
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    let flow = if several { format!("{}: ", plain(&judged.flow)) } else { String::new() };
    let label = if number == 0 { "thresholds" } else { "" };
    format!("  {label:<LABEL$}{style}{word:<9}{style:#} {flow}{} ({})", judged.threshold, plain(&judged.found))
}

fn verdict(result: &LoadResult) -> String {
    let (word, colour, why) = match (result.exit_code, &result.stopped_by) {
        (ExitCode::Failed, _) => ("FAIL", AnsiColor::Red, "a threshold was crossed".to_owned()),
        (ExitCode::Stopped, Some(signal)) => ("STOPPED", AnsiColor::Yellow, format!("ended early by {}", plain(signal))),
        (ExitCode::InvalidRun, _) => ("INVALID", AnsiColor::Yellow, "nothing was measured".to_owned()),
        (ExitCode::Inconclusive, _) => (
            "UNDECIDED",
            AnsiColor::Yellow,
            "requests that were sent late, or of which nothing is known, would decide; the load generator needs more of this machine"
                .to_owned(),
        ),
        _ if result.thresholds.is_empty() => ("DONE", AnsiColor::Green, "no threshold was given".to_owned()),
        _ => ("PASS", AnsiColor::Green, "all thresholds hold".to_owned()),
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    let cost = format!("{:.1} % of a core, seed {}", result.processor_share * 100.0, result.seed);
    format!("  {style}{word}{style:#}  {why} ({cost}, exit code {})", result.exit_code.code())
}

fn row(label: &str, value: &str) -> String {
    format!("  {label:<LABEL$}{}", cut(value, COLUMNS - LABEL - 2))
}
