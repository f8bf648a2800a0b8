//! How fast the platform noticed and healed: three distributions, each with a strip that holds a tick for each kill.

use std::fmt::Write as _;

use chaos_core::result::{Distribution, KillRow, RunResult};
use maud::{Markup, html};

use super::text;

const WIDTH: f64 = 400.0;

/// One distribution and what it was made of.
struct Strip<'a> {
    until: &'static str,
    distribution: &'a Distribution,
    /// From each kill on, in microseconds.
    ticks: Vec<u64>,
}

/// The three of them, on one axis.
pub(super) fn card(result: &RunResult) -> Markup {
    let strips = strips(result);
    let longest = strips.iter().map(|strip| strip.distribution.max_us).max().unwrap_or(0).max(1);
    let missing = result.recovery.not_recovered;
    html! {
        @if result.kills.done > 0 {
            section.card {
                h2 { "Time to detect and to recover" }
                div.table {
                    table {
                        thead { tr { th { "from the kill until" } th.n { "n" } th.n { "p50" } th.n { "p95" } th.n { "max" } th { "each kill, from 0 to " (text::duration(longest)) } } }
                        tbody { @for strip in &strips { (row(strip, longest)) } }
                    }
                }
                p.soft { "The last row has a tick for each kill window: 0 where no request failed." }
                @if missing > 0 { p { strong { (missing) } " of the victims were never seen to be replaced by a Ready pod." } }
            }
        }
    }
}

fn strips(result: &RunResult) -> [Strip<'_>; 3] {
    let recovery = &result.recovery;
    let after = |when: fn(&KillRow) -> Option<u64>| {
        let done = result.kill_rows.iter().filter(|row| row.trial.is_some());
        done.filter_map(|row| Some(when(row)?.saturating_sub(row.at_us))).collect()
    };
    [
        Strip {
            until: "the victim's endpoint was out",
            distribution: &recovery.detect,
            ticks: after(|row| row.endpoint_out_us),
        },
        Strip {
            until: "the replacement was Ready",
            distribution: &recovery.ready,
            ticks: after(|row| row.replacement_ready_us),
        },
        Strip { until: "requests were good again", distribution: &recovery.traffic, ticks: traffic(result) },
    ]
}

/// Of the first kill of each window. Where requests did not become good again, the longest that is known.
fn traffic(result: &RunResult) -> Vec<u64> {
    let mut seen = None;
    let mut ticks = Vec::new();
    for row in result.kill_rows.iter().filter(|row| row.trial.is_some()) {
        if seen == row.trial {
            continue;
        }
        seen = row.trial;
        ticks.push(match (row.last_failure_us, row.first_success_us) {
            (None, _) => 0,
            (Some(failed), Some(good)) if good >= failed => good.saturating_sub(row.at_us),
            (Some(_), _) => result.recovery.traffic.max_us,
        });
    }
    ticks
}

fn row(strip: &Strip<'_>, longest: u64) -> Markup {
    let of = strip.distribution;
    let figure = |us: u64| if of.count == 0 { "–".to_owned() } else { text::duration(us) };
    html! {
        tr {
            td { (strip.until) }
            td.n { (of.count) } td.n { (figure(of.p50_us)) } td.n { (figure(of.p95_us)) } td.n { (figure(of.max_us)) }
            td {
                svg.strip viewBox={ "0 0 " (WIDTH) " 18" } preserveAspectRatio="none" role="img" aria-label={ (strip.until) ": " (text::distribution(of)) } {
                    line.axis x1="0" x2=(WIDTH) y1="17" y2="17" {}
                    path d=(ticks(&strip.ticks, longest)) vector-effect="non-scaling-stroke" {}
                }
            }
        }
    }
}

fn ticks(after: &[u64], longest: u64) -> String {
    let mut path = String::new();
    for us in after {
        let x = 1.0 + (*us as f64 / longest as f64).min(1.0) * (WIDTH - 2.0);
        // Writing to a String cannot fail.
        let _ = write!(path, "M{x:.1} 3V16");
    }
    path
}
