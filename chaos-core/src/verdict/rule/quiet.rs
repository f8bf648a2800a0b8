//! The rule for a phase without kills: what its share of bad requests says. Pure numbers; it can refute, and must certify
//! nothing.

use super::ROUNDING;
use crate::stats::{Betting, clopper_pearson_lower};

/// This share of bad requests in a phase without kills is an outage, if it is ten times what may be bad as well, …
const OUTAGE: f64 = 0.1;
/// … or this one, if it is twice what may be bad, …
const OUTAGE_OF_ANY: f64 = 0.5;
/// … and if the phase has so many requests. In a shorter one it takes all of them.
const OUTAGE_OF: u64 = 100;

/// Tests of the recovery that can fail a run by chance: its share by Markov's inequality, and bets on its seconds. Each has its
/// part of what the recovery may fail with.
const TESTS: f64 = 2.0;

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

/// One second of the recovery as one promise sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Its number from the beginning of the phase.
    pub number: u64,
    /// Requests due in it.
    pub requests: u64,
    /// Of them bad for sure.
    pub bad: u64,
}

/// What the rule says of the recovery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecoveryRuling {
    /// What its share says.
    pub share: PhaseRuling,
    /// What was won by bets against the promise, and what refutes.
    pub e_value: f64,
    /// One over the part of α that the bets have.
    pub e_threshold: f64,
    /// Refuted by either of them.
    pub refuted: bool,
    /// Neither held nor refuted, or refuted.
    pub doubtful: bool,
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

/// Decides the recovery: by its share as any phase without kills, and by bets against the promise on its seconds. An excess that is
/// too small for an outage and goes on from second to second is no burst.
pub fn recovery(terms: &PhaseTerms, slices: &[Slice]) -> RecoveryRuling {
    let alpha_of_each = terms.alpha_to_fail / TESTS;
    let sum = |of: fn(&Slice) -> u64| slices.iter().map(of).sum::<u64>();
    let terms = PhaseTerms { alpha_to_fail: alpha_of_each, ..*terms };
    let share = phase(&terms, sum(|slice| slice.requests), sum(|slice| slice.bad));
    let (e_value, e_threshold) = (bets(terms.budget, slices), 1.0 / alpha_of_each);
    let refuted = share.refuted || e_value >= e_threshold;
    RecoveryRuling { share, e_value, e_threshold, refuted, doubtful: refuted || share.doubtful }
}

/// What is won by bets against the promise on each second.
///
/// A burst may reach from one second into the next: given the one, the mean loss of the other is above `q`, and a bet on it would not
/// be fair. It does not reach over a whole second. So those of odd and of even number are two games, each fair; the mean of what
/// both have won in the end has a mean of at most 1, whatever they have to do with each other.
fn bets(budget: f64, slices: &[Slice]) -> f64 {
    let won = |odd: u64| {
        let mut betting = Betting::against(budget);
        let own = slices.iter().filter(|slice| slice.number % 2 == odd);
        own.for_each(|slice| betting.observe(slice.requests, slice.bad));
        // A number that every reader of a result can read.
        betting.e_value().min(f64::MAX)
    };
    f64::midpoint(won(0), won(1))
}

/// The share of bad requests that is an outage where the share `budget` may be bad. A tenth is none where a tenth may be bad: a
/// few bursts make a little more of that.
fn outage(budget: f64) -> f64 {
    let ten_times = (10.0 * budget).max(OUTAGE);
    let half = (2.0 * budget).max(OUTAGE_OF_ANY);
    ten_times.min(half).min(1.0)
}
