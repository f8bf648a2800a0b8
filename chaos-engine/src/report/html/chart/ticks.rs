//! The seconds below a timeline. A drawing that is zoomed gets wider and its labels do not, so that there is room for finer ones: all
//! of them are in the page, and its script shows those that fit. It must not know what is drawn above.

use maud::{Markup, html};

use super::FLOOR;
use super::scales::{Axis, SECOND_US};

/// By how many times its least width a drawing has room for labels that are finer.
const ZOOMS: [u32; 5] = [1, 2, 4, 8, 16];
/// Labels on the least width of a drawing, at most: it has 560 pixels, and no label has more than 40.
const MOST: f64 = 10.0;
/// Half a label, as a part of that width.
const HALF_LABEL: f64 = 0.04;
/// Seconds that people count in, and the decimals that tell them apart.
const STEPS: [(f64, usize); 17] = [
    (0.001, 3),
    (0.002, 3),
    (0.005, 3),
    (0.01, 2),
    (0.02, 2),
    (0.05, 2),
    (0.1, 1),
    (0.2, 1),
    (0.5, 1),
    (1.0, 0),
    (2.0, 0),
    (5.0, 0),
    (10.0, 0),
    (30.0, 0),
    (60.0, 0),
    (300.0, 0),
    (600.0, 0),
];

/// The time between two labels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    seconds: f64,
    decimals: usize,
}

/// The labels of an axis, for every zoom; without a script those of none.
pub(super) fn seconds(axis: Axis) -> Markup {
    html! {
        @for (zoom, step) in levels(axis) {
            g class=(if zoom == 1 { "seconds shown" } else { "seconds" }) data-from=(zoom) {
                @for at in step.instants(axis) {
                    @let us = micros(at);
                    @let x = axis.percent(us);
                    line.grid x1=(x) x2=(x) y1=(FLOOR) y2=(FLOOR + 5) {}
                    text x=(x) y=(FLOOR + 18) text-anchor=(anchor(axis.ratio(us), zoom)) { (step.label(at)) }
                }
            }
        }
    }
}

/// From which zoom on which step fits.
fn levels(axis: Axis) -> Vec<(u32, Step)> {
    let fitting = |zoom| (zoom, Step::fitting(axis.length / SECOND_US, MOST * f64::from(zoom)));
    let mut levels: Vec<(u32, Step)> = ZOOMS.into_iter().map(fitting).collect();
    levels.dedup_by_key(|(_, step)| *step);
    levels
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run")]
fn micros(seconds: f64) -> u64 {
    (seconds * SECOND_US).round() as u64
}

/// Below its tick, and at the edges so that nothing of it is cut.
fn anchor(ratio: f64, zoom: u32) -> &'static str {
    let edge = HALF_LABEL / f64::from(zoom);
    match ratio {
        r if r < edge => "start",
        r if r > 1.0 - edge => "end",
        _ => "middle",
    }
}

impl Step {
    /// The finest that gives at most so many labels.
    fn fitting(span: f64, most: f64) -> Self {
        let fits = STEPS.into_iter().find(|(seconds, _)| span / seconds <= most);
        let (seconds, decimals) = fits.unwrap_or_else(|| (1_800.0 * (span / most / 1_800.0).ceil(), 0));
        Self { seconds, decimals }
    }

    /// The seconds that have a label, as far as the axis goes.
    fn instants(self, axis: Axis) -> impl Iterator<Item = f64> {
        let first = (axis.start / SECOND_US / self.seconds).ceil();
        // What is added makes up for how floats are rounded.
        let end = (axis.start + axis.length) / SECOND_US + self.seconds * 1e-6;
        (0_u16..).map(move |i| (first + f64::from(i)) * self.seconds).take_while(move |at| *at <= end)
    }

    fn label(self, at: f64) -> String {
        format!("{at:.*} s", self.decimals)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_fit_every_zoom_and_none_is_there_twice() {
        for (start, span) in
            [(0.0, 61.0), (3.25, 1.5), (0.0, 2.0), (100.0, 2_900.0), (0.0, 3_700.0), (17.0, 86_400.0), (0.0, 1e13)]
        {
            let axis = Axis { start: start * SECOND_US, length: span * SECOND_US };
            let levels = levels(axis);
            assert_eq!(levels[0].0, 1, "{span} s");
            for zoom in 1..=24 {
                let (from, step) = levels.iter().rev().find(|(from, _)| *from <= zoom).unwrap();
                let page = span / f64::from(zoom);
                assert!(step.seconds <= page.max(0.02), "{span} s, zoom {zoom}: no label in sight with {step:?}");
                let instants: Vec<f64> = step.instants(axis).collect();
                assert!(instants.len() as f64 <= MOST * f64::from(*from) + 1.0, "{span} s, zoom {zoom}: too many");
                let inside = |at: &f64| *at >= start && *at <= start + span + step.seconds * 1e-3;
                assert!(instants.iter().all(inside), "{span} s, zoom {zoom}: outside");
                let labels: BTreeSet<String> = instants.iter().map(|at| step.label(*at)).collect();
                assert_eq!(labels.len(), instants.len(), "{span} s, zoom {zoom}: {labels:?}");
            }
        }
    }

    #[test]
    fn an_axis_of_no_length_has_no_label_that_is_not_on_it() {
        let between = Axis { start: 10.000_5 * SECOND_US, length: 1.0 };
        assert!(levels(between).iter().all(|(_, step)| step.instants(between).count() == 0));
    }

    #[test]
    fn only_labels_at_the_edges_are_not_centred() {
        let anchors = |zoom| [0.0, 0.019, 0.041, 0.9, 0.961, 1.0].map(|ratio| anchor(ratio, zoom));
        assert_eq!(anchors(1), ["start", "start", "middle", "middle", "end", "end"]);
        assert_eq!(anchors(4), ["start", "middle", "middle", "middle", "middle", "end"]);
    }

    #[test]
    fn the_script_shows_one_step_at_a_time() {
        let page = seconds(Axis { start: 0.0, length: 61.0 * SECOND_US }).into_string();
        assert_eq!(
            (page.matches("class=\"seconds shown\"").count(), page.matches("class=\"seconds\"").count()),
            (1, 4)
        );
        let (script, style) = (include_str!("../script.js"), include_str!("../style.css"));
        assert!(script.contains("g.seconds") && script.contains("dataset.from"));
        assert!(script.contains("addEventListener(\"resize\""), "there is other room then");
        let without_zoom = "max(100%, 560px)";
        assert!(script.contains(without_zoom) && style.contains(without_zoom), "what a zoom multiplies");
        assert!(style.contains("svg .seconds { display: none; } svg .seconds.shown { display: inline; }"));
    }
}
