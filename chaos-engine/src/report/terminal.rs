//! The verdict for a person: on a screen in lines of at most 100 columns, of which long texts take a few, and whole where
//! another program or a file takes it. Only the outcome is coloured, and never by colour alone; whoever prints strips the codes
//! where they are not wanted.

use anstyle::{AnsiColor, Style};
use chaos_core::result::{ProbeResult, RunResult};
use chaos_core::verdict::Outcome;
use chaos_core::verdict::words::counted;

use super::text;

const COLUMNS: usize = 100;
const LABEL: usize = 15;
/// What a screen holds of each text, and of how many.
const LINES_OF_HYPOTHESIS: usize = 2;
const LINES_OF_TEXT: usize = 12;
const PROBES_SHOWN: usize = 2;
const FINDINGS_SHOWN: usize = 2;
const NOTES_SHOWN: usize = 3;
const LINES_OF_NOTE: usize = 4;

/// What the verdict is printed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A terminal, before which somebody sits.
    Screen,
    /// Something that takes texts of any length.
    Pipe,
}

/// Lines in the making.
struct Page {
    medium: Medium,
    lines: Vec<String>,
}

/// Renders the verdict. Where the files lie is for the caller to add.
pub fn render(result: &RunResult, medium: Medium) -> String {
    let mut page = Page { medium, lines: vec![String::new()] };
    page.text("  ", &result.hypothesis, LINES_OF_HYPOTHESIS);
    page.lines.push(String::new());
    verdict(&mut page, result);
    page.lines.push(String::new());
    for probe in result.probes.iter().take(medium.at_most(PROBES_SHOWN)) {
        of_probe(&mut page, probe, result.probes.len() > 1);
    }
    page.row("Kills", &text::kills(result));
    page.row("Worst outage", &text::outage(&result.probes));
    page.row("Detection", &format!("endpoint out {}", text::distribution(&result.recovery.detect)));
    page.row("Recovery", &recovery(result));
    page.row("", &format!("requests good again {}", text::distribution(&result.recovery.traffic)));
    if let Some(invariants) = text::invariants(result) {
        page.row("Invariants", &invariants);
    }
    others(&mut page, result);
    if result.verdict.outcome == Outcome::Inconclusive {
        notes(&mut page, &result.notes);
    }
    page.row("Run", &run(result));
    page.lines.push(String::new());
    page.lines.join("\n") + "\n"
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

impl Medium {
    const fn columns(self) -> usize {
        match self {
            Self::Screen => COLUMNS,
            Self::Pipe => usize::MAX,
        }
    }

    const fn at_most(self, on_screen: usize) -> usize {
        match self {
            Self::Screen => on_screen,
            Self::Pipe => usize::MAX,
        }
    }
}

impl Page {
    /// Adds a value behind its label.
    fn row(&mut self, label: &str, value: &str) {
        self.text(&format!("  {label:<LABEL$}"), value, LINES_OF_TEXT);
    }

    /// Adds a text behind `lead`, each line of it below the one before. Texts of others stand behind it on every line, so that
    /// none of theirs looks like one of ours.
    fn text(&mut self, lead: &str, value: &str, lines_on_screen: usize) {
        self.block(lead, lead.chars().count(), value, self.medium.at_most(lines_on_screen));
    }

    /// The same where `lead` is so many columns wide.
    fn block(&mut self, lead: &str, indent: usize, value: &str, most: usize) {
        let width = self.medium.columns().saturating_sub(indent);
        let lines = limited(wrap(value, width), width, most);
        let led =
            |(i, line): (usize, String)| if i == 0 { format!("{lead}{line}") } else { " ".repeat(indent) + &line };
        self.lines.extend(lines.into_iter().enumerate().map(led));
    }
}

fn verdict(page: &mut Page, result: &RunResult) {
    let outcome = result.verdict.outcome;
    let badge = outcome.to_string().to_uppercase();
    let style = Style::new().bold().fg_color(Some(colour(outcome).into()));
    let most = page.medium.at_most(LINES_OF_TEXT);
    page.block(&format!("  {style} {badge} {style:#}  "), badge.len() + 6, &result.verdict.reason_text, most);
}

pub(super) const fn colour(outcome: Outcome) -> AnsiColor {
    match outcome {
        Outcome::Pass => AnsiColor::Green,
        Outcome::Fail => AnsiColor::Red,
        Outcome::Inconclusive | Outcome::Aborted | Outcome::Invalid => AnsiColor::Yellow,
    }
}

fn of_probe(page: &mut Page, probe: &ProbeResult, named: bool) {
    let name = if named { format!("{}: ", probe.probe) } else { String::new() };
    let (counts, latency, when) = text::measured(probe);
    let (availability, losses, budget) = (text::availability(counts), text::losses(counts), text::budget(probe));
    page.row("Availability", &format!("{name}{availability}, {losses}{when}{budget}"));
    if let Some(causes) = text::causes(probe) {
        page.row("Failed", &format!("{name}{causes}"));
    }
    let before = match probe.baseline_latency.count {
        0 => String::new(),
        _ if !when.is_empty() => when.to_owned(),
        _ => format!("; before the kills p99 {}", text::duration(probe.baseline_latency.p99_us)),
    };
    page.row("Latency", &format!("{name}{}{before}", text::latency(latency)));
}

fn recovery(result: &RunResult) -> String {
    let recovery = &result.recovery;
    let missing = match recovery.not_recovered {
        0 => String::new(),
        count => format!("; {} never replaced", counted(count, "kill")),
    };
    format!("replacement Ready {}{missing}", text::distribution(&recovery.ready))
}

/// What else speaks against a pass, and all that is left for a person to do.
fn others(page: &mut Page, result: &RunResult) {
    let others = result.verdict.findings.get(1..).unwrap_or_default();
    let shown = others.len().min(page.medium.at_most(FINDINGS_SHOWN));
    for finding in others.iter().take(shown) {
        page.row("Also", &format!("{}: {}", finding.reason_code, finding.message));
    }
    if others.len() > shown {
        page.row("", &format!("and {} more, told in the reports", others.len() - shown));
    }
    for left in &result.leftovers {
        page.text(&format!("  {:<LABEL$}", "Do this now"), left, usize::MAX);
    }
}

/// What may be why a run proved nothing. What was noted last is nearest to that.
fn notes(page: &mut Page, notes: &[String]) {
    let left_out = notes.len().saturating_sub(page.medium.at_most(NOTES_SHOWN));
    for note in notes.iter().skip(left_out) {
        page.text(&format!("  {:<LABEL$}", "Note"), note, LINES_OF_NOTE);
    }
    if left_out > 0 {
        page.row("", &format!("and {left_out} more, told in the reports"));
    }
}

fn run(result: &RunResult) -> String {
    format!(
        "{}: exit code {} ({}), in {}, seed {}, attempt {}",
        result.run.id,
        result.verdict.exit_code.code(),
        result.verdict.reason_code,
        text::duration(result.run.duration_us),
        result.run.seed,
        result.run.attempt
    )
}

/// Words in lines of at most `width` characters. Lines of the text stay lines, and a word that is longer is broken.
fn wrap(words: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for written in words.lines() {
        let mut line = String::new();
        for word in text::plain(written).split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            while let Some((at, _)) = line.char_indices().nth(width) {
                let rest = line.split_off(at);
                lines.push(std::mem::replace(&mut line, rest));
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// The first `most` lines, with an ellipsis where those are not all.
fn limited(mut lines: Vec<String>, width: usize, most: usize) -> Vec<String> {
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            *last = text::cut(&format!("{last} …"), width);
        }
    }
    lines
}
