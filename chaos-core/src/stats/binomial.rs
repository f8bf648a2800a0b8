//! Binomial probabilities, their tails, and Clopper-Pearson bounds, for up to 10⁸ trials.
//!
//! Probabilities by C. Loader's saddle-point form ("Fast and accurate computation of binomial probabilities", 2000): no
//! difference of large logarithms, so no digits are lost where n is large. Tails are sums of these terms outwards from the
//! tail's edge, away from the mode, where each term is a known fraction of the one before.

use std::f64::consts::PI;

/// ln P(X = k) for X binomial with `n` trials of probability `p`; −∞ where that is impossible.
pub fn ln_probability(n: u64, p: f64, k: u64) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    let (trials, hits, misses) = (n as f64, k as f64, (n - k) as f64);
    if p <= 0.0 || p >= 1.0 {
        let certain = if p <= 0.0 { k == 0 } else { k == n };
        return if certain { 0.0 } else { f64::NEG_INFINITY };
    }
    if k == 0 {
        return trials * (-p).ln_1p();
    }
    if k == n {
        return trials * p.ln();
    }
    stirling_error(n)
        - stirling_error(k)
        - stirling_error(n - k)
        - deviance(hits, trials * p)
        - deviance(misses, trials * (1.0 - p))
        + 0.5 * (trials / (2.0 * PI * hits * misses)).ln()
}

/// P(X ≤ k) for X binomial with `n` trials of probability `p`.
pub fn at_most(n: u64, p: f64, k: u64) -> f64 {
    if k >= n {
        1.0
    } else if k as f64 <= n as f64 * p {
        sum_down(n, p, k)
    } else {
        1.0 - sum_up(n, p, k + 1)
    }
}

/// P(X ≥ k) for X binomial with `n` trials of probability `p`.
pub fn at_least(n: u64, p: f64, k: u64) -> f64 {
    if k == 0 {
        1.0
    } else if k > n {
        0.0
    } else if k as f64 > n as f64 * p {
        sum_up(n, p, k)
    } else {
        1.0 - sum_down(n, p, k - 1)
    }
}

/// The one-sided upper bound of a probability of which `hits` in `n` trials were seen: the largest `u` with
/// P(Bin(n, u) ≤ hits) ≥ `alpha`. Clopper and Pearson (1934). Nothing tried: 1.
pub fn clopper_pearson_upper(hits: u64, n: u64, alpha: f64) -> f64 {
    if hits >= n { 1.0 } else { bisect(|p| at_most(n, p, hits) > alpha) }
}

/// The one-sided lower bound of a probability of which `hits` in `n` trials were seen: the least `l` with
/// P(Bin(n, l) ≥ hits) ≥ `alpha`. Clopper and Pearson (1934). No hit: 0.
pub fn clopper_pearson_lower(hits: u64, n: u64, alpha: f64) -> f64 {
    if hits == 0 || n == 0 { 0.0 } else { bisect(|p| at_least(n, p, hits.min(n)) < alpha) }
}

/// ln n! − [½ ln 2πn + n ln n − n].
fn stirling_error(n: u64) -> f64 {
    let x = n as f64;
    if n <= 15 {
        let factorial: f64 = (1..=n).map(|i| i as f64).product();
        return factorial.ln() - 0.5 * (2.0 * PI * x).ln() - x * x.ln() + x;
    }
    let square = x * x;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0) / square) / square) / square) / x
}

/// x ln(x/m) + m − x for positive x and m, without cancellation where x is near m (Loader's `bd0`).
fn deviance(x: f64, m: f64) -> f64 {
    let ratio = (x - m) / (x + m);
    if ratio.abs() >= 0.1 {
        return x * (x / m).ln() + m - x;
    }
    let square = ratio * ratio;
    let mut sum = (x - m) * ratio;
    let mut power = 2.0 * x * ratio;
    for order in (3u32..).step_by(2) {
        power *= square;
        let next = sum + power / f64::from(order);
        if next.to_bits() == sum.to_bits() || order > 1_000 {
            break;
        }
        sum = next;
    }
    sum
}

/// P(X ≤ k) for k at or below the mean: the terms fall from k downwards.
fn sum_down(n: u64, p: f64, k: u64) -> f64 {
    let odds = (1.0 - p) / p;
    let ratios = (1..=k).rev().map(|j| j as f64 / (n - j + 1) as f64 * odds);
    ln_probability(n, p, k).exp() * falling_sum(ratios)
}

/// P(X ≥ k) for k above the mean: the terms fall from k upwards.
fn sum_up(n: u64, p: f64, k: u64) -> f64 {
    let odds = p / (1.0 - p);
    let ratios = (k..n).map(|j| (n - j) as f64 / (j + 1) as f64 * odds);
    ln_probability(n, p, k).exp() * falling_sum(ratios)
}

/// 1 + r₁ + r₁r₂ + …, to the last bit that matters.
fn falling_sum(ratios: impl Iterator<Item = f64>) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for ratio in ratios {
        term *= ratio;
        if term < sum * f64::EPSILON / 64.0 {
            break;
        }
        sum += term;
    }
    sum
}

/// The border in [0, 1] below which `below` holds, to the last bit.
fn bisect(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
