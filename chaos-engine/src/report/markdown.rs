//! Results as Markdown, for the summary of a CI job or a comment: at most 1 MiB, every foreign text escaped.

use std::fmt::Write as _;

use chaos_core::result::{Holds, KillRow, LossOf, RunResult};
use chaos_core::verdict::Outcome;
use chaos_core::verdict::words::{figure, thousands};

use super::text;

/// What GitHub takes as a job summary.
const BYTES_MAX: usize = 1024 * 1024;
const TEXT_MAX: usize = 2_000;
const KILLS_SHOWN: usize = 50;
const RULES_SHOWN: usize = 20;
/// Of one rule: the first few tell what is wrong, and hundreds more would bury the rest of the page.
const STORIES_SHOWN: usize = 3;

/// Renders one result.
pub fn render(result: &RunResult) -> String {
    render_all(std::slice::from_ref(result))
}

/// Renders the results of several runs as one page: a table of all, then each.
pub fn render_all(results: &[RunResult]) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut page, results);
    limited(page)
}

fn write_all(page: &mut String, results: &[RunResult]) -> std::fmt::Result {
    if results.len() > 1 {
        writeln!(page, "| experiment | outcome | exit code | reason |\n|---|---|---:|---|")?;
        for result in results {
            let verdict = &result.verdict;
            let (mark, name) = (mark(verdict.outcome), escape(&result.run.experiment));
            let code = verdict.exit_code.code();
            writeln!(page, "| {name} | {mark} {} | {code} | {} |", verdict.outcome, verdict.reason_code)?;
        }
        writeln!(page)?;
    }
    results.iter().try_for_each(|result| write_page(page, result))
}

pub(super) const fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "✅",
        Outcome::Fail => "❌",
        Outcome::Inconclusive | Outcome::Aborted | Outcome::Invalid => "⚠️",
    }
}

/// Adds the page of one run.
pub(super) fn write_page(page: &mut String, result: &RunResult) -> std::fmt::Result {
    let verdict = &result.verdict;
    let mark = mark(verdict.outcome);
    let title = if result.hypothesis.is_empty() { &result.run.experiment } else { &result.hypothesis };
    writeln!(page, "## {mark} {}: {}\n", verdict.outcome.to_string().to_uppercase(), escape(title))?;
    writeln!(
        page,
        "**{}** (exit code {}): {}\n",
        verdict.reason_code,
        verdict.exit_code.code(),
        escape(&verdict.reason_text)
    )?;
    for finding in verdict.findings.iter().skip(1) {
        writeln!(page, "- also **{}**: {}", finding.reason_code, escape(&finding.message))?;
    }
    for left in &result.leftovers {
        writeln!(page, "- **left for a person to do**: {}", escape(left))?;
    }
    if result.phases.is_empty() && result.claims.is_empty() {
        // It was never started: there is nothing more to tell.
        return writeln!(page);
    }
    figures(page, result)?;
    claims(page, result)?;
    bad_kills(page, result)?;
    stories(page, result)?;
    advice(page, result)?;
    for note in &result.notes {
        writeln!(page, "\n> {}", escape(note))?;
    }
    let run = &result.run;
    writeln!(
        page,
        "\n<sub>{}/{} · run {} · {} · {} · seed {} · attempt {} · {} · manifest {}</sub>",
        escape(&run.namespace),
        escape(&run.experiment),
        escape(&run.id),
        run.started_at,
        text::duration(run.duration_us),
        run.seed,
        run.attempt,
        escape(&run.tool),
        escape(&run.manifest_digest)
    )
}

fn figures(page: &mut String, result: &RunResult) -> std::fmt::Result {
    writeln!(page, "\n| | |\n|---|---|")?;
    for probe in &result.probes {
        let name = escape(&probe.probe);
        let (counts, latency, when) = text::measured(probe);
        let (availability, losses, budget) = (text::availability(counts), text::losses(counts), text::budget(probe));
        writeln!(page, "| Availability of {name}{when} | {availability}, {losses}{budget} |")?;
        if let Some(causes) = text::causes(probe) {
            writeln!(page, "| Failures of {name}{when} | {} |", escape(&causes))?;
        }
        writeln!(page, "| Latency of {name}{when} | {} |", text::latency(latency))?;
        writeln!(page, "| Worst outage of {name} | {} |", text::outage(std::slice::from_ref(probe)))?;
    }
    writeln!(page, "| Kills | {} |", text::kills(result))?;
    let recovery = &result.recovery;
    writeln!(page, "| From a kill to its endpoint out | {} |", text::distribution(&recovery.detect))?;
    writeln!(page, "| From a kill to its replacement Ready | {} |", text::distribution(&recovery.ready))?;
    writeln!(page, "| From a kill to good requests again | {} |", text::distribution(&recovery.traffic))?;
    if let Some(invariants) = text::invariants(result) {
        writeln!(page, "| Invariants | {invariants} |")?;
    }
    Ok(())
}

fn claims(page: &mut String, result: &RunResult) -> std::fmt::Result {
    if result.claims.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n### Claims\n\n| claim | holds | method | n | K | exposed | value | bound | assumption |")?;
    writeln!(page, "|---|---|---|---:|---:|---:|---:|---:|---|")?;
    for claim in &result.claims {
        let holds = match claim.holds {
            Holds::Yes => "yes",
            Holds::NotRefuted => "not refuted",
            Holds::No => "**no**",
            Holds::Undecided => "undecided",
        };
        writeln!(
            page,
            "| {} | {holds} | {} | {} | {} | {} | {} | {} | {} |",
            escape(&claim.claim),
            escape(&claim.method),
            thousands(claim.n),
            claim.trials,
            claim.exposed,
            figure(claim.value),
            figure(claim.bound),
            escape(claim.assumption.as_deref().unwrap_or_default())
        )?;
    }
    Ok(())
}

fn bad_kills(page: &mut String, result: &RunResult) -> std::fmt::Result {
    let lossy = |row: &&KillRow| row.losses.iter().any(|loss| loss.failed + loss.slow + loss.unknown > 0);
    let bad: Vec<&KillRow> = result.kill_rows.iter().filter(lossy).collect();
    if bad.is_empty() {
        return Ok(());
    }
    let is_unknown = bad.iter().any(|row| row.losses.iter().any(|loss| loss.unknown > 0));
    let perhaps = if is_unknown { ", or may have (what is unknown counts as bad)" } else { "" };
    writeln!(page, "\n### Kills that cost something{perhaps}\n")?;
    writeln!(page, "| strike | at | victim | lost | replacement Ready after |\n|---:|---:|---|---|---:|")?;
    for row in bad.iter().take(KILLS_SHOWN) {
        let lost: Vec<String> = row.losses.iter().map(lost).collect();
        let ready =
            row.replacement_ready_us.map_or_else(|| "never".into(), |at| text::duration(at.saturating_sub(row.at_us)));
        let victim = escape(&format!("{}/{}", row.victim.namespace, row.victim.pod));
        writeln!(page, "| {} | {} | {victim} | {} | {ready} |", row.strike, text::instant(row.at_us), lost.join(", "))?;
    }
    if bad.len() > KILLS_SHOWN {
        writeln!(page, "\n{} more are in the HTML report.", bad.len() - KILLS_SHOWN)?;
    }
    Ok(())
}

/// `1 of 104, 2 unknown (request-ride)`.
fn lost(loss: &LossOf) -> String {
    let unknown = if loss.unknown == 0 { String::new() } else { format!(", {} unknown", thousands(loss.unknown)) };
    let (lost, requests) = (thousands(loss.failed + loss.slow), thousands(loss.requests));
    format!("{lost} of {requests}{unknown} ({})", escape(&loss.probe))
}

fn stories(page: &mut String, result: &RunResult) -> std::fmt::Result {
    let rules = text::by_rule(result.invariants.iter().flat_map(|invariants| &invariants.stories));
    if rules.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n### Violations of business rules\n")?;
    for (rule, stories) in rules.iter().take(RULES_SHOWN) {
        writeln!(page, "- **{}** ({} told)", escape(rule), stories.len())?;
        for story in stories.iter().take(STORIES_SHOWN) {
            writeln!(page, "  - {}", escape(story))?;
        }
        if stories.len() > STORIES_SHOWN {
            writeln!(page, "  - {} more in the HTML report", stories.len() - STORIES_SHOWN)?;
        }
    }
    if rules.len() > RULES_SHOWN {
        writeln!(page, "\n{} more rules are in the HTML report.", rules.len() - RULES_SHOWN)?;
    }
    Ok(())
}

fn advice(page: &mut String, result: &RunResult) -> std::fmt::Result {
    if result.advice.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n### Advice\n\nThe lines of YAML to change stand in the HTML report and in the JSON.\n")?;
    for advice in &result.advice {
        writeln!(page, "- **{}** ({})", escape(&advice.title), escape(&advice.evidence))?;
    }
    Ok(())
}

/// Foreign text as plain text on one line: nothing of it is read as Markdown, HTML, a mention, a link or a table cell's end.
pub(super) fn escape(foreign: &str) -> String {
    let mut escaped = String::with_capacity(foreign.len());
    let plain = text::cut(&text::plain(foreign), TEXT_MAX);
    for (at, c) in plain.char_indices() {
        match c {
            // GitHub makes links of these without being asked.
            ':' if plain[at..].starts_with("://") => escaped.push_str("&#58;"),
            '.' if plain[..at].ends_with("www") => escaped.push_str("&#46;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' => escaped.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '|' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// As much of a page as is taken.
pub(super) fn limited(mut page: String) -> String {
    const NOTE: &str = "\n\nThe rest is in the HTML report.\n";
    if page.len() > BYTES_MAX {
        let whole = |end: &usize| page.is_char_boundary(*end);
        page.truncate((0..=BYTES_MAX - NOTE.len()).rev().find(whole).unwrap_or(0));
        page.push_str(NOTE);
    }
    page
}
