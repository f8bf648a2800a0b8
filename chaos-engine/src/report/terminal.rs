//! The verdict on one screen: at most 25 lines of at most 100 columns. Only the outcome is coloured, and never by colour
//! alone; whoever prints strips the codes where they are not wanted.

use anstyle::{AnsiColor, Style};
use chaos_core::result::{ProbeResult, RunResult};
use chaos_core::verdict::Outcome;
use chaos_core::verdict::words::counted;

use super::text;

const COLUMNS: usize = 100;
const LINES_OF_REASON: usize = 5;
const PROBES_SHOWN: usize = 2;
const OTHERS_SHOWN: usize = 2;
const LABEL: usize = 15;

/// Renders the screen. Where the files lie is for the caller to add.
pub fn render(result: &RunResult) -> String {
    let mut lines = vec![String::new()];
    lines.extend(wrap(&text::plain(&result.hypothesis), COLUMNS - 2, 2).into_iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.extend(verdict(result));
    lines.push(String::new());
    for probe in result.probes.iter().take(PROBES_SHOWN) {
        lines.extend(of_probe(probe, result.probes.len() > 1));
    }
    lines.push(row("Kills", &text::kills(result)));
    lines.push(row("Worst outage", &worst_outage(result)));
    lines.push(row("Recovery", &recovery(result)));
    lines.extend(text::invariants(result).map(|invariants| row("Invariants", &invariants)));
    lines.extend(others(result));
    lines.push(row("Run", &run(result)));
    lines.push(String::new());
    lines.join("\n") + "\n"
}

/// Renders one line for each of several runs, in their order.
pub fn summary(results: &[RunResult]) -> String {
    let longest = results.iter().map(|result| result.run.experiment.chars().count()).max().unwrap_or(0).min(60);
    let line = |result: &RunResult| {
        let verdict = &result.verdict;
        let style = Style::new().bold().fg_color(Some(colour(verdict.outcome).into()));
        let name = text::cut(&text::plain(&result.run.experiment), longest);
        let end = format!("exit code {} ({})", verdict.exit_code.code(), verdict.reason_code);
        format!("  {style}{:<13}{style:#} {name:<longest$}  {end}\n", verdict.outcome)
    };
    results.iter().map(line).collect()
}

fn verdict(result: &RunResult) -> Vec<String> {
    let outcome = result.verdict.outcome;
    let badge = outcome.to_string().to_uppercase();
    let indent = badge.len() + 6;
    let style = Style::new().bold().fg_color(Some(colour(outcome).into()));
    let reason = wrap(&text::plain(&result.verdict.reason_text), COLUMNS - indent, LINES_OF_REASON);
    let lead = |i: usize| if i == 0 { format!("  {style} {badge} {style:#}  ") } else { " ".repeat(indent) };
    reason.into_iter().enumerate().map(|(i, line)| lead(i) + &line).collect()
}

const fn colour(outcome: Outcome) -> AnsiColor {
    match outcome {
        Outcome::Pass => AnsiColor::Green,
        Outcome::Fail => AnsiColor::Red,
        Outcome::Inconclusive | Outcome::Aborted | Outcome::Invalid => AnsiColor::Yellow,
    }
}

fn of_probe(probe: &ProbeResult, named: bool) -> Vec<String> {
    let name = if named { format!("{}: ", text::plain(&probe.probe)) } else { String::new() };
    let availability = format!("{name}{}, {}", text::availability(&probe.judged), text::losses(&probe.judged));
    let before = match probe.baseline_latency.count {
        0 => String::new(),
        _ => format!("; before the kills p99 {}", text::duration(probe.baseline_latency.p99_us)),
    };
    let latency = format!("{name}{}{before}", text::latency(&probe.judged_latency));
    vec![row("Availability", &availability), row("Latency", &latency)]
}

fn worst_outage(result: &RunResult) -> String {
    let worst = result.probes.iter().filter_map(|probe| probe.worst_outage.as_ref()).max_by_key(|o| o.duration_us);
    text::outage(worst)
}

fn recovery(result: &RunResult) -> String {
    let recovery = &result.recovery;
    let missing = match recovery.not_recovered {
        0 => String::new(),
        count => format!("; {} never replaced", counted(count, "kill")),
    };
    format!("replacement Ready {}{missing}", text::distribution(&recovery.ready))
}

fn others(result: &RunResult) -> Vec<String> {
    let others = result.verdict.findings.iter().skip(1).take(OTHERS_SHOWN);
    let left = result.leftovers.iter().take(OTHERS_SHOWN);
    let also =
        others.map(|finding| row("Also", &format!("{}: {}", finding.reason_code, text::plain(&finding.message))));
    also.chain(left.map(|left| row("Do this now", &text::plain(left)))).collect()
}

fn run(result: &RunResult) -> String {
    format!(
        "{} in {}, seed {}, attempt {}, exit code {} ({})",
        text::plain(&result.run.id),
        text::duration(result.run.duration_us),
        result.run.seed,
        result.run.attempt,
        result.verdict.exit_code.code(),
        result.verdict.reason_code
    )
}

fn row(label: &str, value: &str) -> String {
    format!("  {label:<LABEL$}{}", text::cut(value, COLUMNS - LABEL - 2))
}

/// Words in lines of at most `width` characters, and at most `most` lines.
fn wrap(words: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in words.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    let more = lines.len() > most;
    lines.truncate(most);
    if let Some(last) = lines.last_mut().filter(|_| more) {
        last.push_str(" …");
    }
    lines.into_iter().map(|line| text::cut(&line, width)).collect()
}
