//! The report for people: one HTML file that loads nothing from anywhere. The verdict comes first, then figures, the
//! timeline, broken rules, every kill, every claim, and what it all rests on. Only this file's own style and script are allowed to run.

mod chart;
mod distributions;
mod kills;
mod sections;

use chaos_core::result::RunResult;
use chaos_core::verdict::Outcome;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::text;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Renders the result.
pub fn render(result: &RunResult) -> String {
    text::plain_lines(&page(result).into_string())
}

fn page(result: &RunResult) -> Markup {
    let title = format!("{}: {}", result.verdict.outcome.to_string().to_uppercase(), result.run.experiment);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (verdict(result))
                    (leftovers(result))
                    (sections::figures(result))
                    (chart::timelines(result))
                    (sections::broken_rules(result))
                    (distributions::card(result))
                    (kills::table(result))
                    (sections::claims(result))
                    (sections::expectations(result))
                    (sections::failures(result))
                    (sections::advice(result))
                    (sections::plan(result))
                    (sections::environment(result))
                    footer { "All times are of the run itself; its zero is " (result.run.started_at) ". Written by chaos " (result.run.tool.trim_start_matches("chaos ")) "." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// Nothing is fetched, and only our own script runs: by its hash.
fn policy() -> String {
    let hash = base64(&Sha256::digest(SCRIPT.as_bytes()));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
    )
}

fn verdict(result: &RunResult) -> Markup {
    let verdict = &result.verdict;
    let class = match verdict.outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Inconclusive | Outcome::Aborted | Outcome::Invalid => "other",
    };
    html! {
        header class={ "card verdict " (class) } {
            span.badge { (verdict.outcome) }
            h1 { (result.hypothesis) }
            p.reason { (verdict.reason_text) }
            @if verdict.findings.len() > 1 {
                ul.findings {
                    @for finding in &verdict.findings[1..] {
                        li { strong { (finding.reason_code.to_string()) } ": " (finding.message) }
                    }
                }
            }
            div.meta {
                span { (result.run.namespace) "/" (result.run.experiment) }
                span { "exit code " (verdict.exit_code.code()) " (" (verdict.reason_code.to_string()) ")" }
                span { (result.run.started_at.strftime("%Y-%m-%d %H:%M:%S UTC")) }
                span { (text::duration(result.run.duration_us)) }
                span { "seed " (result.run.seed) }
                span { "attempt " (result.run.attempt) }
                span { "run " (result.run.id) }
            }
        }
    }
}

fn leftovers(result: &RunResult) -> Markup {
    html! {
        @if !result.leftovers.is_empty() {
            section.alert role="alert" {
                h2 { "A person must act now" }
                ul { @for left in &result.leftovers { li { (left) } } }
            }
        }
    }
}

/// Base64 (RFC 4648, section 4) of a hash: what a content security policy names a script by.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = (group >> (18 - 6 * i)) & 63;
            text.push(if i <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
