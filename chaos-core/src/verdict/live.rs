//! The one statistical reason to end a run early: the test by betting, asked after each kill. Such a run ends as failed.

use super::judge::load_of;
use super::promise::window;
use super::rule::{Window, bet, betting_threshold};
use super::spec::{JudgeSpec, JudgedBy};
use crate::evidence::evidence;
use crate::record::Event;

/// A promise that is already refuted.
#[derive(Debug, Clone, PartialEq)]
pub struct Refutation {
    /// The probe whose promise it is.
    pub probe: String,
    /// The betting wealth.
    pub e_value: f64,
    /// What refutes: one over the part of α that the test has.
    pub e_threshold: f64,
}

/// Whether a promise is refuted by the kill windows that are over. It may be asked as often as one likes.
///
/// The last window is still open and left out. Requests whose outcome is not recorded yet count as good.
pub fn refuted_live(spec: &JudgeSpec, events: &[Event]) -> Option<Refutation> {
    let evidence = evidence(events).ok()?;
    let tests = spec.chances_to_fail();
    for probe in &spec.probes {
        let JudgedBy::Slo(slo) = &probe.judged_by else {
            continue;
        };
        let Some(load) = load_of(&evidence, &probe.name) else {
            continue;
        };
        let over = load.trials.len().saturating_sub(1);
        let e_threshold = betting_threshold(slo.confidence.complement(), tests);
        for claim in &slo.claims {
            let windows: Vec<Window> = load.trials[..over].iter().map(|trial| window(*claim, trial)).collect();
            let e_value = bet(claim.share().complement(), &windows).highest();
            if e_value >= e_threshold {
                return Some(Refutation { probe: probe.name.clone(), e_value, e_threshold });
            }
        }
    }
    None
}
