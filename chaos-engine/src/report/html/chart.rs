//! The timeline of an http probe as inline SVG: success ratio, latency, request rate, with phases shaded and kills marked.
//!
//! Horizontal positions are percentages and the curves live in stretched nested views, so the drawing fits every width,
//! text is never distorted, and zooming is nothing but making the drawing wider.

mod scales;
mod ticks;

use std::fmt::Write as _;

use chaos_core::result::{KillRow, ProbeResult, RunResult, Second, Series};
use maud::{Markup, html};

use super::text;
use scales::{Axis, SECOND_US, Scales, WIDE, is_wind_down, ratio};

/// Where the marks of kills begin.
const MARKS: u32 = 22;
/// Below the marks of kills and the names of phases.
const LANE: u32 = 44;
/// Between two panels, and below the last one for the seconds.
const GAP: u32 = 24;
const RATIO: Panel = Panel { top: LANE, height: 110 };
const LATENCY: Panel = RATIO.followed_by(120);
const RATE: Panel = LATENCY.followed_by(80);
/// Where the panels end and the seconds begin.
const FLOOR: u32 = RATE.top + RATE.height;
const HEIGHT: u32 = FLOOR + GAP;
/// Rows of the table that stands beside each drawing, at most.
const ROWS_MAX: usize = 600;

#[derive(Clone, Copy)]
struct Panel {
    top: u32,
    height: u32,
}

impl Panel {
    const fn followed_by(self, height: u32) -> Self {
        Self { top: self.top + self.height + GAP, height }
    }
}

/// One drawing for each http probe.
pub(super) fn timelines(result: &RunResult) -> Markup {
    html! {
        @for (number, series) in result.series.iter().enumerate() {
            @if !series.seconds.is_empty() { (timeline(result, series, number)) }
        }
    }
}

fn timeline(result: &RunResult, series: &Series, number: usize) -> Markup {
    let id = format!("timeline-{number}");
    let axis = Axis::of(result);
    let scales = Scales::of(&series.seconds);
    let probe = result.probes.iter().find(|probe| probe.probe == series.probe);
    html! {
        section.card aria-labelledby={ (id) "-title" } {
            div.head {
                h2 id={ (id) "-title" } { "What clients saw: " (series.probe) }
                label.zoom { "Zoom " input type="range" min="1" max="24" step="0.5" value="1" data-zoom=(id); }
            }
            (legend())
            div.chart {
                (scale_labels(&scales))
                div.scroll tabindex="0" role="group" aria-label="Timeline; scrolls sideways when zoomed" {
                    svg id=(id) height=(HEIGHT) role="group" aria-label=(summary(result, probe)) {
                        (phases(result, axis))
                        (ratio_panel(axis, &scales, &series.seconds))
                        (latency_panel(axis, &scales, &series.seconds, probe))
                        (rate_panel(axis, &scales, &series.seconds))
                        (kill_marks(result, axis))
                        (ticks::seconds(axis))
                    }
                }
            }
            (seconds_table(series))
        }
    }
}

fn legend() -> Markup {
    let entries = [
        ("answered well", "var(--good)"),
        ("failed", "var(--bad-fill)"),
        ("too slow", "var(--warn-fill)"),
        ("unknown", "var(--soft)"),
        ("latency p50", "var(--p50)"),
        ("latency p99", "var(--p99)"),
    ];
    html! {
        div.legend {
            @for (name, colour) in entries { span { i style={ "background:" (colour) } {} (name) } }
            span { "▼ kill (strong: it cost a request)" }
        }
    }
}

fn summary(result: &RunResult, probe: Option<&ProbeResult>) -> String {
    let availability = probe.map_or_else(String::new, |probe| text::availability(&probe.judged));
    format!(
        "Timeline of success ratio, latency and request rate with {} kills. {availability}. The table below holds the figures.",
        result.kills.done
    )
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "powers of ten of microseconds")]
fn scale_labels(scales: &Scales) -> Markup {
    let y = |panel: Panel, share: f64| f64::from(panel.top) + share * f64::from(panel.height) + 4.0;
    html! {
        svg height=(HEIGHT) width="100%" aria-hidden="true" {
            text x="0" y="14" { "kills" }
            text x="0" y=(y(RATIO, 0.0)) { "100%" }
            text x="0" y=(y(RATIO, 1.0)) { (format!("{}%", (scales.ratio_floor * 1_000.0).round() / 10.0)) }
            text x="0" y=(y(RATIO, 0.5)) { "success" }
            @for tick in scales.latency_ticks() {
                text x="0" y=(format!("{:.1}", y(LATENCY, scales.latency_y(tick)))) { (tick_label(tick.round() as u64)) }
            }
            text x="0" y=(y(RATE, 0.0)) { (format!("{}/s", scales.rate_top)) }
            text x="0" y=(y(RATE, 1.0)) { "0/s" }
        }
    }
}

/// A power of ten of microseconds: `100 ms`, `1 s`.
fn tick_label(us: u64) -> String {
    match us {
        0..=999 => format!("{us} µs"),
        1_000..=999_999 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

fn phases(result: &RunResult, axis: Axis) -> Markup {
    html! {
        @for span in result.phases.iter().filter(|phase| !is_wind_down(phase)) {
            @let width = (axis.ratio(span.end_us) - axis.ratio(span.start_us)) * 100.0;
            svg x=(axis.percent(span.start_us)) y="0" width=(format!("{width:.3}%")) height=(FLOOR) {
                rect class={ "shade-" (span.phase.as_str()) } width="100%" height="100%" {}
                text.phase-name x="6" y="14" { (span.phase.as_str().to_lowercase()) }
            }
        }
    }
}

/// A stretched view of a panel, in which a curve is a path between (0, 0) and (WIDE, height).
fn stretched(panel: Panel, inner: &Markup) -> Markup {
    html! {
        svg x="0" y=(panel.top) width="100%" height=(panel.height) viewBox={ "0 0 " (WIDE) " " (panel.height) } preserveAspectRatio="none" {
            (inner)
        }
        rect.panel x="0" y=(panel.top) width="100%" height=(panel.height) {}
    }
}

fn line(panel: Panel, share: f64, class: &str) -> Markup {
    let y = format!("{:.1}", f64::from(panel.top) + share * f64::from(panel.height));
    html! { line class=(class) x1="0" x2="100%" y1=(y) y2=(y) {} }
}

fn ratio_panel(axis: Axis, scales: &Scales, seconds: &[Second]) -> Markup {
    let height = f64::from(RATIO.height);
    let y = |second: &Second| ratio(second).map(|ratio| scales.ratio_y(ratio) * height);
    let below = bars(axis, seconds, |second| y(second).filter(|lost| *lost > 0.0).map(|lost| (0.0, lost)));
    html! {
        (line(RATIO, 0.5, "grid"))
        (stretched(RATIO, &html! {
            path.ratio-area d=(areas(axis, seconds, height, y)) {}
            path.ratio d=(curve(axis, seconds, y)) vector-effect="non-scaling-stroke" {}
            path.below d=(below) {}
        }))
    }
}

fn latency_panel(axis: Axis, scales: &Scales, seconds: &[Second], probe: Option<&ProbeResult>) -> Markup {
    let height = f64::from(LATENCY.height);
    let of = |us: u64| (us > 0).then(|| scales.latency_y(us as f64) * height);
    let bound = probe.and_then(|probe| probe.latency_bound_us).map(|bound| scales.latency_y(bound as f64));
    html! {
        @for tick in scales.latency_ticks() { (line(LATENCY, scales.latency_y(tick), "grid")) }
        @if let Some(bound) = bound.filter(|bound| (0.001..0.999).contains(bound)) { (line(LATENCY, bound, "target")) }
        (stretched(LATENCY, &html! {
            path.p99 d=(curve(axis, seconds, |second| of(second.p99_us))) vector-effect="non-scaling-stroke" {}
            path.p50 d=(curve(axis, seconds, |second| of(second.p50_us))) vector-effect="non-scaling-stroke" {}
        }))
    }
}

fn rate_panel(axis: Axis, scales: &Scales, seconds: &[Second]) -> Markup {
    let height = f64::from(RATE.height);
    let y = |count: u64| height - count as f64 / scales.rate_top * height;
    let stacked = |from: fn(&Second) -> u64, count: fn(&Second) -> u64| {
        bars(axis, seconds, |second| {
            let (below, own) = (from(second), count(second));
            (own > 0).then(|| (y(below + own), y(below)))
        })
    };
    html! {
        (stretched(RATE, &html! {
            path.rate-good d=(stacked(|_| 0, |s| s.counts.good)) {}
            path.rate-slow d=(stacked(|s| s.counts.good, |s| s.counts.slow)) {}
            path.rate-bad d=(stacked(|s| s.counts.good + s.counts.slow, |s| s.counts.failed)) {}
            path.rate-unknown d=(stacked(|s| s.counts.slots - s.counts.unknown, |s| s.counts.unknown)) {}
        }))
    }
}

/// A path through the middles of the seconds; seconds without a value are gaps, and one alone between two of them is a dot.
fn curve(axis: Axis, seconds: &[Second], y: impl Fn(&Second) -> Option<f64>) -> String {
    let mut path = String::new();
    for run in known(seconds, &y) {
        for (i, second) in run.iter().enumerate() {
            let Some(y) = y(second) else { continue };
            // Writing to a String cannot fail.
            let _ = write!(path, "{}{:.0} {y:.1}", if i == 0 { 'M' } else { 'L' }, middle(axis, second));
        }
        if run.len() == 1 {
            path.push_str("h0");
        }
    }
    path
}

/// What is between a curve and the height at the foot of its panel.
fn areas(axis: Axis, seconds: &[Second], height: f64, y: impl Fn(&Second) -> Option<f64>) -> String {
    let mut path = String::new();
    for run in known(seconds, &y) {
        let [first, .., last] = run else { continue };
        let (first, last) = (middle(axis, first), middle(axis, last));
        let points = curve(axis, run, &y);
        let _ = write!(path, "M{first:.0} {height}L{}L{last:.0} {height}Z", points.trim_start_matches('M'));
    }
    path
}

/// The seconds that have a value, as they follow one another.
fn known<'a>(seconds: &'a [Second], y: &impl Fn(&Second) -> Option<f64>) -> impl Iterator<Item = &'a [Second]> {
    seconds.chunk_by(move |one, next| y(one).is_some() == y(next).is_some()).filter(move |run| y(&run[0]).is_some())
}

fn middle(axis: Axis, second: &Second) -> f64 {
    axis.wide(second.at_us as f64 + SECOND_US / 2.0)
}

/// Bars over the seconds that have one, from the first to the second of two heights.
fn bars(axis: Axis, seconds: &[Second], span: impl Fn(&Second) -> Option<(f64, f64)>) -> String {
    let mut path = String::new();
    for second in seconds {
        let Some((top, bottom)) = span(second) else { continue };
        let left = axis.wide(second.at_us as f64);
        let right = axis.wide(second.at_us as f64 + SECOND_US);
        let _ = write!(path, "M{left:.0} {top:.1}H{right:.0}V{bottom:.1}H{left:.0}Z");
    }
    path
}

/// No stops of the keyboard, as there may be a thousand: the table of kills says the same, row by row.
fn kill_marks(result: &RunResult, axis: Axis) -> Markup {
    html! {
        @for row in &result.kill_rows {
            @if row.trial.is_some() {
                svg class=(if cost(row) { "kill bad" } else { "kill" }) x=(axis.percent(row.at_us)) y=(MARKS) overflow="visible" width="1" height="1" role="img" aria-label=(describe(row)) {
                    title { (describe(row)) }
                    path d="M-5 0H5L0 9Z" {}
                    line x1="0" x2="0" y1="9" y2=(FLOOR - MARKS) {}
                }
            }
        }
    }
}

fn cost(row: &KillRow) -> bool {
    row.losses.iter().any(|loss| loss.failed + loss.slow > 0)
}

fn describe(row: &KillRow) -> String {
    let ready = row.replacement_ready_us.map_or_else(
        || "replacement never seen Ready".into(),
        |ready| format!("replacement Ready after {}", text::duration(ready.saturating_sub(row.at_us))),
    );
    let lost: u64 = row.losses.iter().map(|loss| loss.failed + loss.slow).sum();
    format!("strike {} at {}: {} ({ready}, {lost} requests lost)", row.strike, text::instant(row.at_us), row.victim.pod)
}

/// The same figures as a table; of long runs several seconds are one row.
fn seconds_table(series: &Series) -> Markup {
    let per_row = series.seconds.len().div_ceil(ROWS_MAX).max(1);
    html! {
        details {
            summary { "The figures as a table" }
            div.table {
                table {
                    thead { tr { th.n { "from" } th.n { "due" } th.n { "good" } th.n { "too slow" } th.n { "failed" } th.n { "unknown" } th.n { "p50" } th.n { "p99" } } }
                    tbody {
                        @for rows in series.seconds.chunks(per_row) {
                            @let sum = |of: fn(&Second) -> u64| rows.iter().map(of).sum::<u64>();
                            @let most = |of: fn(&Second) -> u64| rows.iter().map(of).max().unwrap_or(0);
                            tr {
                                td.n { (text::instant(rows[0].at_us)) }
                                td.n { (sum(|s| s.counts.slots)) } td.n { (sum(|s| s.counts.good)) } td.n { (sum(|s| s.counts.slow)) }
                                td.n { (sum(|s| s.counts.failed)) } td.n { (sum(|s| s.counts.unknown)) }
                                td.n { (text::duration(most(|s| s.p50_us))) } td.n { (text::duration(most(|s| s.p99_us))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chaos_core::result::Counts;

    use super::*;

    #[test]
    fn what_is_not_known_is_a_gap_and_no_success() {
        let axis = Axis { start: 0.0, length: 10.0 * SECOND_US };
        let second = |at: u64, failed: u64, unknown: u64| {
            let counts = Counts { slots: 10, good: 10 - failed - unknown, slow: 0, failed, unknown };
            Second { at_us: at * 1_000_000, counts, p50_us: 0, p99_us: 0 }
        };
        let seconds = [second(0, 0, 0), second(1, 10, 0), second(2, 0, 10), second(3, 0, 0), second(4, 0, 10)];
        let y = |second: &Second| ratio(second).map(|ratio| 100.0 * (1.0 - ratio));
        assert_eq!(curve(axis, &seconds, y), "M500 0.0L1500 100.0M3500 0.0h0");
        assert_eq!(areas(axis, &seconds, 110.0, y), "M500 110L500 0.0L1500 100.0L1500 110Z");
        assert!(Scales::of(&seconds).ratio_floor < 0.1 && Scales::of(&seconds[2..]).ratio_floor > 0.99);
    }

    #[test]
    fn a_tick_says_the_power_of_ten_that_it_stands_at() {
        let labels = [1, 100, 1_000, 100_000, 1_000_000, 10_000_000].map(tick_label);
        assert_eq!(labels, ["1 µs", "100 µs", "1 ms", "100 ms", "1 s", "10 s"]);
    }

    #[test]
    fn every_phase_has_a_shade() {
        use chaos_core::record::Phase;
        let style = include_str!("style.css");
        for phase in [Phase::Baseline, Phase::Fault, Phase::Recovery, Phase::WindDown] {
            let class = format!(".shade-{}", phase.as_str());
            assert!(style.contains(&class), "{class}");
        }
    }
}
