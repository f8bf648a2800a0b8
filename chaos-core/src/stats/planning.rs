//! How many kills a claim needs, and how likely a healthy platform passes: the arithmetic of `chaos plan`.

use super::binomial::at_most;
use super::bounded_mean::hoeffding_bentkus;

/// The claim that at least `1 − bad_share` of kills are harmless, at error probability `alpha`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HarmlessTerms {
    /// Share of kills that may be bad, above 0 and below 1.
    pub bad_share: f64,
    /// Probability of a false certificate, above 0 and below 1.
    pub alpha: f64,
}

/// The claim that the mean loss of a kill is below `budget`, where no kill costs more than `max`, at error probability
/// `alpha`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AvailabilityTerms {
    /// Declared worst loss of one kill, in requests.
    pub max: u64,
    /// `b`: requests that one kill may cost on average.
    pub budget: f64,
    /// Probability of a false certificate, above 0 and below 1.
    pub alpha: f64,
}

/// More kills than any run makes: where a search ends.
const MOST_KILLS: u64 = 100_000_000;

/// The least number of exposed kills that certifies the claim with `bad` bad ones among them.
pub fn kills_for_harmless(terms: HarmlessTerms, bad: u64) -> Option<u64> {
    let open = terms.bad_share > 0.0 && terms.bad_share < 1.0 && terms.alpha > 0.0;
    if open { least(bad + 1, |kills| at_most(kills, terms.bad_share, bad) <= terms.alpha) } else { None }
}

/// The largest number of bad kills among `kills` with which the claim is certified; `None`: not even with none.
pub fn bad_kills_allowed(terms: HarmlessTerms, kills: u64) -> Option<u64> {
    let certified = |bad: u64| bad < kills && at_most(kills, terms.bad_share, bad) <= terms.alpha;
    largest(kills, certified)
}

/// The least number of kills that certifies the claim when they cost `total` requests together; without any loss that is
/// `K ≥ ln α / ln(1 − b/M)`. `None` where `max ≤ budget`: the declared worst loss would be the proof.
pub fn kills_for_availability(terms: AvailabilityTerms, total: u64) -> Option<u64> {
    let open = terms.budget > 0.0 && (terms.max as f64) > terms.budget && terms.alpha > 0.0;
    if open { least(1, |kills| hoeffding_bentkus(total, terms.max, kills, terms.budget) <= terms.alpha) } else { None }
}

/// The largest declared worst loss with which so many kills without any loss certify the claim: `M` for `K`. `None`: not even
/// the least that is above the budget.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; `as` saturates")]
pub fn worst_loss_provable(budget: f64, alpha: f64, kills: u64) -> Option<u64> {
    let least = budget.floor() as u64 + 1;
    let certified = |over: u64| hoeffding_bentkus(0, least + over, kills, budget) <= alpha;
    // Without loss p = (1 − b/M)^K ≤ α, so no M above −K·b/ln α + b can be certified.
    let most = (kills as f64 * budget / -alpha.ln() + budget).ceil() as u64;
    if kills == 0 || budget <= 0.0 { None } else { largest(most, certified).map(|over| least + over) }
}

/// The largest share of kills that so many kills without a bad one certify as harmless.
pub fn share_provable(alpha: f64, kills: u64) -> f64 {
    if kills == 0 { 0.0 } else { alpha.powf(1.0 / kills as f64) }
}

/// The largest total loss over `kills` kills with which the claim is certified; `None`: not even with none.
pub fn loss_allowed(terms: AvailabilityTerms, kills: u64) -> Option<u64> {
    let certified = |total: u64| hoeffding_bentkus(total, terms.max, kills, terms.budget) <= terms.alpha;
    largest(kills.saturating_mul(terms.max), certified)
}

/// Probability that `kills` kills certify the claim when each is bad with probability `bad_probability`.
pub fn power_of_harmless(terms: HarmlessTerms, kills: u64, bad_probability: f64) -> f64 {
    bad_kills_allowed(terms, kills).map_or(0.0, |bad| at_most(kills, bad_probability, bad))
}

/// Probability that `kills` kills certify the claim when each costs one request with probability `loss_probability`.
pub fn power_of_availability(terms: AvailabilityTerms, kills: u64, loss_probability: f64) -> f64 {
    loss_allowed(terms, kills).map_or(0.0, |total| at_most(kills, loss_probability, total))
}

/// The least number from `from` on for which `enough` holds, which must hold for all larger ones too.
fn least(from: u64, enough: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (from, from.max(1));
    while !enough(high) {
        if high >= MOST_KILLS {
            return None;
        }
        low = high + 1;
        high = high.saturating_mul(2).min(MOST_KILLS);
    }
    while low < high {
        let middle = low.midpoint(high);
        if enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(high)
}

/// The largest number up to `most` for which `allowed` holds, which must hold for all smaller ones too.
fn largest(most: u64, allowed: impl Fn(u64) -> bool) -> Option<u64> {
    if !allowed(0) {
        return None;
    }
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if allowed(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(low)
}
