//! Do two sets of kills differ? Tests of two samples whose unit is the kill: Fisher's exact test for shares, and a permutation
//! test for means, both without assumption about how losses or durations are spread. And Holm's correction, because several
//! questions are asked of the same two runs.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Permutations that are drawn where there are too many to go through.
const DRAWN: u32 = 9_999;
/// The generator of these draws: the same two samples give the same answer everywhere.
const SEED: u64 = 0x6368_616f_7320_6469;

/// Two-sided p-value of Fisher's exact test: of `n` trials of each side `hits` were hits. 1 where a side has no trial.
///
/// Fisher, "The logic of inductive inference" (1935). Two-sided: all tables that are no more likely than the one seen.
pub fn fisher(hits: [u64; 2], n: [u64; 2]) -> f64 {
    if n.contains(&0) {
        return 1.0;
    }
    let (total, marked) = (n[0] + n[1], hits[0] + hits[1]);
    let factorials = ln_factorials(total);
    let ln_factorial = |n: u64| usize::try_from(n).ok().and_then(|n| factorials.get(n)).copied().unwrap_or_default();
    let ln_choose = |n: u64, k: u64| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let ln_table = |first: u64| ln_choose(n[0], first) + ln_choose(n[1], marked - first) - ln_choose(total, marked);
    let seen = ln_table(hits[0]);
    let (least, most) = (marked.saturating_sub(n[1]), marked.min(n[0]));
    // Tables that are equally likely may differ in the last bits.
    (least..=most).map(ln_table).filter(|ln| *ln <= seen + 1e-7).map(f64::exp).sum::<f64>().min(1.0)
}

/// Two-sided p-value of the permutation test for "both samples come from one distribution", by the difference of their means.
/// 1 where a side is empty.
///
/// `(1 + at least as far apart) / (1 + drawn)`: valid for any number of draws (Phipson and Smyth, "Permutation p-values should
/// never be zero", 2010).
pub fn permutation(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 1.0;
    }
    let mut all: Vec<f64> = a.iter().chain(b).copied().collect();
    let total: f64 = all.iter().sum();
    let apart = |first: f64| (first / a.len() as f64 - (total - first) / b.len() as f64).abs();
    let seen = apart(a.iter().sum());
    // Sums in another order differ in the last bits.
    let border = seen * (1.0 - 1e-12);
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut as_far = 0;
    for _ in 0..DRAWN {
        let (first, _) = all.partial_shuffle(&mut rng, a.len());
        as_far += u32::from(apart(first.iter().sum()) >= border);
    }
    f64::from(1 + as_far) / f64::from(1 + DRAWN)
}

/// Holm's step-down correction: p-values as if each were the only question. In the order given.
///
/// Holm, "A simple sequentially rejective multiple test procedure" (1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut highest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        highest = highest.max(p_values[index] * (p_values.len() - rank) as f64).min(1.0);
        corrected[index] = highest;
    }
    corrected
}

/// ln of the factorials of 0 to `n`: made once for all tables, of which there are as many as kills.
fn ln_factorials(n: u64) -> Vec<f64> {
    let mut sum = 0.0;
    let further = (1..=n).map(|i| {
        sum += (i as f64).ln();
        sum
    });
    std::iter::once(0.0).chain(further).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fisher_is_that_of_the_books() {
        // The lady tasting tea (3 of 4 right), and tables of R's fisher.test.
        for (hits, n, p) in [
            ([3, 1], [4, 4], 0.485_714_285_7),
            ([10, 2], [15, 15], 0.007_775_06),
            ([0, 5], [10, 10], 0.032_507_7),
            ([8, 1], [10, 10], 0.005_477_5),
        ] {
            let found = fisher(hits, n);
            assert!((found - p).abs() < 1e-5, "{hits:?} {n:?}: {found}");
            assert!((fisher([hits[1], hits[0]], [n[1], n[0]]) - p).abs() < 1e-5, "either way round");
        }
        assert!((fisher([5, 5], [10, 10]) - 1.0).abs() < 1e-9);
        // Of a day with a kill every second; what the tables of one such comparison take must not grow with their square.
        assert!((fisher([43_200, 43_200], [86_400, 86_400]) - 1.0).abs() < 1e-6);
        assert!((fisher([0, 0], [0, 10]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn equal_samples_do_not_differ_and_far_ones_do() {
        let low: Vec<f64> = (0..20).map(|i| f64::from(i % 5)).collect();
        let high: Vec<f64> = low.iter().map(|x| x + 4.0).collect();
        assert!(permutation(&low, &low) > 0.99);
        assert!((permutation(&low, &high) - 1e-4).abs() < 1e-9, "no draw is as far apart");
        assert!((permutation(&low, &[]) - 1.0).abs() < 1e-9);
        // A test that says 5 % says it in about 5 % of the runs without a difference.
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut draw = |n: u32| -> Vec<f64> { (0..n).map(|_| rand::RngExt::random::<f64>(&mut rng)).collect() };
        let false_alarms = (0..60).filter(|_| permutation(&draw(12), &draw(12)) <= 0.05).count();
        assert!(false_alarms <= 10, "{false_alarms}");
    }

    #[test]
    fn holm_multiplies_by_what_is_left_and_keeps_the_order() {
        let close = |found: Vec<f64>, wanted: &[f64]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(holm(&[0.01, 0.04, 0.03]), &[0.03, 0.06, 0.06]));
        assert!(close(holm(&[0.5, 0.6]), &[1.0, 1.0]));
        assert!(holm(&[]).is_empty());
    }
}
