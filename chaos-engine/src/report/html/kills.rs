//! The table of kills, each with a small drawing of what followed it.

use chaos_core::api::Outcome;
use chaos_core::result::{KillRow, RunResult, SkipCount};
use maud::{Markup, html};

use super::text;

/// More rows than this are folded away.
const OPEN_ROWS_MAX: usize = 80;
const WIDTH: f64 = 230.0;

/// The table.
pub(super) fn table(result: &RunResult) -> Markup {
    let longest = result.kill_rows.iter().filter_map(span).max().unwrap_or(1).max(1);
    let folded = result.kill_rows.len() > OPEN_ROWS_MAX;
    html! {
        @if !result.kill_rows.is_empty() {
            section.card {
                h2 { "Kills" }
                (legend(longest))
                @if folded {
                    details.kills { summary { "All " (result.kill_rows.len()) " kills" } (rows(result, longest)) }
                } @else {
                    (rows(result, longest))
                }
                (strikes("Strikes that did not happen", &result.skips))
                (strikes("Strikes that had to wait", &result.put_off))
            }
        }
    }
}

fn legend(longest: u64) -> Markup {
    html! {
        div.legend {
            span { i style="background:var(--line)" {} "no replacement yet" }
            span { i style="background:var(--p50)" {} "replacement starting" }
            span { i style="background:var(--soft)" {} "replacement scheduled" }
            span { i style="background:var(--p99)" {} "its containers started" }
            span { i style="background:var(--good)" {} "Ready" }
            span { i style="background:var(--ink)" {} "first good request again" }
            span { i style="background:var(--warn-fill)" {} "endpoint out" }
            span { i style="background:var(--bad-fill)" {} "first to last failed request" }
            span { "full width: " (text::duration(longest)) }
        }
    }
}

fn rows(result: &RunResult, longest: u64) -> Markup {
    html! {
        div.table {
            table {
                thead { tr {
                    th.n { "strike" } th.n { "at" } th { "victim" } th { "what followed" } th.n { "endpoint out" } th.n { "Ready after" }
                    th.n { "lost" } th { "exposed" }
                } }
                tbody { @for row in &result.kill_rows { (kill(row, longest)) } }
            }
        }
    }
}

fn kill(row: &KillRow, longest: u64) -> Markup {
    let lost: u64 = row.losses.iter().map(|loss| loss.failed + loss.slow).sum();
    let unknown: u64 = row.losses.iter().map(|loss| loss.unknown).sum();
    let requests: u64 = row.losses.iter().map(|loss| loss.requests).sum();
    html! {
        tr class=[(lost > 0).then_some("lossy")] {
            td.n { (row.strike) }
            td.n { (text::instant(row.at_us)) }
            td { (victim(row)) }
            td.words { @if row.trial.is_some() { (gantt(row, longest)) } @else { (not_done(row)) } }
            td.n { (after(row, row.endpoint_out_us)) }
            td.n { (after(row, row.replacement_ready_us)) }
            td.n {
                @if row.losses.is_empty() { "–" } @else {
                    strong { (lost) } span.soft { " of " (requests) }
                    @if unknown > 0 { br; span.soft { (unknown) " unknown" } }
                }
            }
            td { @if row.exposed.is_empty() { span.soft { "no" } } @else { (names(&row.exposed)) } }
        }
    }
}

fn victim(row: &KillRow) -> Markup {
    html! {
        span.mono.name { (row.victim.pod) }
        span.soft.of { (row.victim.workload) @if let Some(node) = &row.victim.node { " on " (node) } }
        @if let Some(replacement) = &row.replacement { span.soft.of { "replaced by " span.mono.name { (replacement) } } }
    }
}

/// A list that breaks between names only.
fn names(of: &[String]) -> Markup {
    html! { @for (i, name) in of.iter().enumerate() { @if i > 0 { ", " } span.name { (name) } } }
}

fn not_done(row: &KillRow) -> Markup {
    let words = match row.outcome {
        Outcome::Killed => "killed",
        Outcome::WouldKill => "dry run: would have been killed",
        Outcome::Blocked => "blocked by a disruption budget",
        Outcome::Gone => "was already gone",
        Outcome::Failed => "refused",
        Outcome::Unknown => "nobody knows",
    };
    html! { span.soft { (words) @if let Some(message) = &row.message { ": " (message) } } }
}

fn after(row: &KillRow, at: Option<u64>) -> String {
    at.map_or_else(|| "–".into(), |at| text::duration(at.saturating_sub(row.at_us)))
}

/// From the kill to the last thing that followed it.
fn span(row: &KillRow) -> Option<u64> {
    row.trial?;
    [row.replacement_ready_us, row.endpoint_out_us, row.last_failure_us, row.first_success_us]
        .into_iter()
        .flatten()
        .max()
        .map(|last| last.saturating_sub(row.at_us))
}

fn gantt(row: &KillRow, longest: u64) -> Markup {
    let x = |at: u64| (at.saturating_sub(row.at_us) as f64 / longest as f64).min(1.0) * (WIDTH - 2.0);
    let created = row.replacement_created_us.map_or(WIDTH, x);
    let ready = row.replacement_ready_us.map(x);
    let starting = ready.unwrap_or(WIDTH) - created;
    let ticks = [
        ("tick scheduled", row.replacement_scheduled_us),
        ("tick started", row.replacement_started_us),
        ("tick", row.replacement_ready_us),
        ("tick served", row.first_success_us),
    ];
    html! {
        svg.gantt viewBox={ "0 0 " (WIDTH) " 18" } role="img" aria-label=(words(row)) {
            title { (words(row)) }
            rect.wait x="0" y="6" width=(px(created)) height="6" rx="2" {}
            rect.start x=(px(created)) y="6" width=(px(starting.max(0.0))) height="6" rx="2" {}
            @for (class, at) in ticks {
                @if let Some(at) = at { line class=(class) x1=(px(x(at))) x2=(px(x(at))) y1="3" y2="15" {} }
            }
            @if let Some(out) = row.endpoint_out_us { circle.out cx=(px(x(out).max(3.0))) cy="9" r="3" {} }
            @if let (Some(first), Some(last)) = (row.first_failure_us, row.last_failure_us) {
                rect.loss x=(px(x(first))) y="14" width=(px((x(last) - x(first)).max(3.0))) height="3" {}
            }
        }
    }
}

fn px(x: f64) -> String {
    format!("{x:.1}")
}

fn words(row: &KillRow) -> String {
    let steps = [
        ("terminating", row.terminating_us),
        ("endpoint out", row.endpoint_out_us),
        ("first failed request", row.first_failure_us),
        ("last failed request", row.last_failure_us),
        ("replacement created", row.replacement_created_us),
        ("scheduled", row.replacement_scheduled_us),
        ("started", row.replacement_started_us),
        ("Ready", row.replacement_ready_us),
        ("first good request again", row.first_success_us),
    ];
    let mut seen: Vec<(&str, u64)> = steps.into_iter().filter_map(|(name, at)| Some((name, at?))).collect();
    seen.sort_by_key(|(_, at)| *at);
    let words: Vec<String> =
        seen.iter().map(|(name, at)| format!("{name} {}", text::duration(at.saturating_sub(row.at_us)))).collect();
    if words.is_empty() { "nothing was seen".into() } else { format!("after the kill: {}", words.join(", ")) }
}

/// Strikes by the reason for which they were skipped or put off.
fn strikes(title: &str, counts: &[SkipCount]) -> Markup {
    html! {
        @if !counts.is_empty() {
            h3 { (title) }
            div.table {
                table {
                    thead { tr { th { "reason" } th.n { "times" } th { "first" } } }
                    tbody { @for of in counts { tr { td.words { (of.reason) } td.n { (of.count) } td.words { (of.example) } } } }
                }
            }
        }
    }
}
