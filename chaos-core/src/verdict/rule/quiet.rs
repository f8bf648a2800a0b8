//! The rule for a phase without kills: what its share of bad requests says. Pure numbers; it can refute, and must certify
//! nothing.

use super::ROUNDING;
use crate::stats::clopper_pearson_lower;

/// This share of bad requests in a phase without kills is an outage, if it is ten times what may be bad as well, …
const OUTAGE: f64 = 0.1;
/// … or this one, if it is twice what may be bad, …
const OUTAGE_OF_ANY: f64 = 0.5;
/// … and if the phase has so many requests. In a shorter one it takes all of them.
const OUTAGE_OF: u64 = 100;

/// What a phase without kills is held to: baseline and recovery can refute, and certify nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseTerms {
    /// `q`.
    pub budget: f64,
    /// `α`.
    pub alpha: f64,
    /// The part of it that this phase may fail with.
    pub alpha_to_fail: f64,
}

/// What the share that refutes a phase without kills follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseLimit {
    /// The probability of a share of bad requests, however they depend on each other.
    Markov,
    /// So many bad requests are an outage: a fact, whatever its probability.
    Outage,
}

/// What the rule says of a phase without kills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseRuling {
    /// Share of bad requests.
    pub share: f64,
    /// The share that refutes, …
    pub limit: f64,
    /// … and what it follows from.
    pub follows_from: PhaseLimit,
    /// Lower Clopper-Pearson bound of the share, as if each request were on its own (α).
    pub lower: f64,
    /// Refuted, however requests depend on each other.
    pub refuted: bool,
    /// More were bad than chance explains if each request were on its own. True of whatever is refuted. By itself it fails
    /// nothing, because one burst explains it as well; but no kill begins with it, and no run passes.
    pub doubtful: bool,
}

/// Decides a phase without kills by its share of bad requests.
///
/// Losses come in bursts, so their number is not binomial. Markov's inequality holds however they depend on each other: if
/// `q` of the requests are bad on average, a share of `q/α` or more has at most the probability α. Where that is more than an
/// outage, the outage refutes: a statement of fact, not of chance.
pub fn phase(terms: &PhaseTerms, requests: u64, bad: u64) -> PhaseRuling {
    let share = if requests == 0 { 0.0 } else { bad as f64 / requests as f64 };
    let outage = if requests < OUTAGE_OF { 1.0 } else { outage(terms.budget) };
    let markov = terms.budget / terms.alpha_to_fail;
    let (limit, follows_from) =
        if markov <= outage { (markov, PhaseLimit::Markov) } else { (outage, PhaseLimit::Outage) };
    let lower = |alpha: f64| if bad == 0 { 0.0 } else { clopper_pearson_lower(bad, requests, alpha) };
    let refuted = share >= limit - ROUNDING && lower(terms.alpha_to_fail) > terms.budget;
    let lower = lower(terms.alpha);
    PhaseRuling { share, limit, follows_from, lower, refuted, doubtful: refuted || lower > terms.budget }
}

/// The share of bad requests that is an outage where the share `budget` may be bad. A tenth is none where a tenth may be bad: a
/// few bursts make a little more of that.
fn outage(budget: f64) -> f64 {
    let ten_times = (10.0 * budget).max(OUTAGE);
    let half = (2.0 * budget).max(OUTAGE_OF_ANY);
    ten_times.min(half).min(1.0)
}
