//! Is the mean of bounded losses below a bound? The Hoeffding-Bentkus p-value, valid for every distribution on [0, M].
//!
//! Bates, Angelopoulos, Lei, Malik and Jordan, "Distribution-free, risk-controlling prediction sets" (2021), section 3.1.

use super::binomial::at_most;

/// Kullback-Leibler divergence of a Bernoulli variable of mean `p` from one of mean `q`, in nats.
pub fn kl(p: f64, q: f64) -> f64 {
    let part = |a: f64, b: f64| if a <= 0.0 { 0.0 } else { a * (a / b).ln() };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// p-value of "the mean loss of a trial is at least `budget`", from `trials` independent losses in [0, `max`] that sum to
/// `total`. Small: the mean is below the budget.
///
/// `p = min(exp(−K·kl(S/K, b/M)), e·P(Bin(K, b/M) ≤ ⌈S⌉))` with `S = total/M`. Where nothing can be shown (no trials, no
/// budget, a mean that is not below it, or `max ≤ budget`: then the bound on one loss would be the proof) it is 1.
pub fn hoeffding_bentkus(total: u64, max: u64, trials: u64, budget: f64) -> f64 {
    let bound = budget / max as f64;
    let mean = total as f64 / max as f64 / trials as f64;
    if trials == 0 || max == 0 || bound <= 0.0 || bound >= 1.0 || mean >= bound {
        return 1.0;
    }
    let hoeffding = (-(trials as f64) * kl(mean, bound)).exp();
    let bentkus = std::f64::consts::E * at_most(trials, bound, total.div_ceil(max));
    hoeffding.min(bentkus).min(1.0)
}
