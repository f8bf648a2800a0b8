//! The functions against the tables of the rule, closed forms, and brute force.

#![expect(clippy::float_cmp, reason = "these values are exact")]

use super::*;

fn close(a: f64, b: f64, relative: f64) {
    assert!((a - b).abs() <= relative * b.abs().max(f64::MIN_POSITIVE), "{a} is not {b}");
}

#[test]
fn probabilities_are_those_of_exact_arithmetic() {
    for (n, numerator, denominator) in [(1u64, 1u32, 2u32), (5, 1, 3), (20, 1, 10), (34, 2, 7)] {
        let p = f64::from(numerator) / f64::from(denominator);
        let mut choose = 1.0;
        for k in 0..=n {
            let exponent = |e: u64| i32::try_from(e).unwrap();
            let exact = choose * p.powi(exponent(k)) * (1.0 - p).powi(exponent(n - k));
            close(ln_probability(n, p, k).exp(), exact, 1e-12);
            choose = choose * (n - k) as f64 / (k + 1) as f64;
        }
    }
}

#[test]
fn tails_add_up_to_one_and_match_plain_sums() {
    for (n, p) in [(1, 0.5), (59, 0.05), (300, 0.999), (1_000, 0.001), (100_000, 0.3)] {
        for k in [0, 1, 2, n / 3, n / 2, n - 1, n] {
            close(at_most(n, p, k) + at_least(n, p, k + 1), 1.0, 1e-12);
            if n <= 1_000 {
                let plain: f64 = (0..=k.min(n)).map(|j| ln_probability(n, p, j).exp()).sum();
                assert!((at_most(n, p, k) - plain).abs() < 1e-11, "n {n} p {p} k {k}");
            }
        }
    }
    close(at_most(10, 0.5, 0), 0.5f64.powi(10), 1e-14);
    assert_eq!(at_least(10, 0.5, 11), 0.0);
    assert_eq!(at_most(10, 0.5, 10), 1.0);
}

#[test]
fn impossible_and_certain_probabilities() {
    assert_eq!(at_most(10, 0.0, 0), 1.0);
    assert_eq!(at_least(10, 0.0, 1), 0.0);
    assert_eq!(at_least(10, 1.0, 10), 1.0);
    assert_eq!(at_most(10, 1.0, 9), 0.0);
    assert_eq!(ln_probability(3, 0.5, 4), f64::NEG_INFINITY);
}

#[test]
fn large_numbers_stay_exact() {
    let n = 100_000_000;
    close(clopper_pearson_upper(0, n, 0.05), 1.0 - 0.05f64.powf(1e-8), 1e-7);
    // Central limit: with mean and variance of 10⁵ the median is within one of the mean, and a tail at 5 σ is small.
    assert!((at_most(n, 0.001, 100_000) - 0.5).abs() < 0.01);
    let five_sigma = at_least(n, 0.001, 100_000 + 5 * 316);
    assert!(five_sigma > 2e-7 && five_sigma < 4e-7, "{five_sigma}");
    assert!(at_least(n, 0.5, n / 2 + 10_000) > 0.02 && at_least(n, 0.5, n / 2 + 10_000) < 0.0228);
}

#[test]
fn clopper_pearson_closed_forms_and_coverage_edges() {
    for n in [1, 10, 59, 1_000] {
        close(clopper_pearson_upper(0, n, 0.05), 1.0 - 0.05f64.powf(1.0 / n as f64), 1e-12);
        close(clopper_pearson_lower(n, n, 0.05), 0.05f64.powf(1.0 / n as f64), 1e-12);
        assert_eq!(clopper_pearson_lower(0, n, 0.05), 0.0);
        assert_eq!(clopper_pearson_upper(n, n, 0.05), 1.0);
    }
    // Published (Clopper and Pearson; any table of 95 % two-sided limits for 8 of 20): 0.1912 to 0.6395.
    assert!((clopper_pearson_lower(8, 20, 0.025) - 0.191_19).abs() < 5e-5);
    assert!((clopper_pearson_upper(8, 20, 0.025) - 0.639_46).abs() < 5e-5);
    for (hits, n) in [(1, 59), (3, 200), (17, 40)] {
        close(at_most(n, clopper_pearson_upper(hits, n, 0.05), hits), 0.05, 1e-9);
        close(at_least(n, clopper_pearson_lower(hits, n, 0.05), hits), 0.05, 1e-9);
    }
}

#[test]
fn kills_for_harmless_are_those_of_the_rule() {
    let terms = |share: f64| HarmlessTerms { bad_share: share, alpha: 0.05 };
    for (bad_share, bad, kills) in [
        (0.10, 0, 29),
        (0.10, 1, 46),
        (0.10, 2, 61),
        (0.05, 0, 59),
        (0.05, 1, 93),
        (0.05, 2, 124),
        (0.05, 5, 208),
        (0.05, 10, 336),
        (0.01, 0, 299),
        (0.01, 1, 473),
        (0.01, 10, 1_693),
        (0.001, 0, 2_995),
        (0.001, 5, 10_511),
        (0.0001, 10, 169_619),
    ] {
        assert_eq!(kills_for_harmless(terms(bad_share), bad), Some(kills), "{bad_share} {bad}");
        assert_eq!(bad_kills_allowed(terms(bad_share), kills), Some(bad));
        assert_ne!(bad_kills_allowed(terms(bad_share), kills - 1), Some(bad));
    }
    assert_eq!(kills_for_harmless(HarmlessTerms { bad_share: 0.01, alpha: 0.01 }, 0), Some(459));
    assert_eq!(kills_for_harmless(terms(0.0), 0), None);
}

#[test]
fn power_of_harmless_is_that_of_the_rule() {
    let terms = HarmlessTerms { bad_share: 0.05, alpha: 0.05 };
    assert_eq!((power_of_harmless(terms, 59, 0.01) * 100.0).round(), 55.0);
    assert_eq!((power_of_harmless(terms, 124, 0.01) * 100.0).round(), 87.0);
    assert_eq!(power_of_harmless(terms, 58, 0.0), 0.0);
}

#[test]
fn kills_for_availability_are_those_of_the_rule() {
    for (max, kills) in [(1, 14), (2, 29), (4, 59), (10, 149), (24, 358), (67, 1_003), (200, 2_995)] {
        let terms = AvailabilityTerms { max, budget: 0.2, alpha: 0.05 };
        assert_eq!(kills_for_availability(terms, 0), Some(kills), "M = {max}");
        let closed = (0.05f64.ln() / (1.0 - 0.2 / max as f64).ln()).ceil();
        assert_eq!(kills as f64, closed);
        assert_eq!(loss_allowed(terms, kills - 1), None);
        assert_eq!(loss_allowed(terms, kills), Some(0));
    }
    assert_eq!(kills_for_availability(AvailabilityTerms { max: 1, budget: 1.5, alpha: 0.05 }, 0), None);
}

#[test]
fn power_bar_of_the_rule_holds() {
    let terms = AvailabilityTerms { max: 1, budget: 0.2, alpha: 0.05 };
    assert!(power_of_availability(terms, 59, 0.02) >= 0.90);
}

#[test]
fn hoeffding_bentkus_without_loss_is_a_power_and_grows_with_loss() {
    close(hoeffding_bentkus(0, 4, 59, 0.2), (1.0 - 0.05f64).powi(59), 1e-12);
    let mut last = 0.0;
    for total in 0..60 {
        let p = hoeffding_bentkus(total, 4, 300, 0.2);
        assert!(p >= last && p <= 1.0, "{total}");
        last = p;
    }
    assert_eq!(hoeffding_bentkus(60, 4, 300, 0.2), 1.0);
    assert_eq!(hoeffding_bentkus(0, 1, 300, 1.0), 1.0, "the declaration must not be the proof");
    assert_eq!(hoeffding_bentkus(0, 4, 0, 0.2), 1.0);
    close(kl(0.1, 0.3), 0.1 * (0.1f64 / 0.3).ln() + 0.9 * (0.9f64 / 0.7).ln(), 1e-15);
    close(kl(0.0, 0.3), -(0.7f64.ln()), 1e-15);
}

#[test]
fn betting_wealth_is_the_mean_of_the_products() {
    let mut betting = Betting::against(0.001);
    let mut products = [1.0f64; 5];
    for (requests, bad, longest) in [(200u64, 0u64, 200.0), (210, 1, 210.0), (190, 3, 210.0), (0, 0, 210.0)] {
        betting.observe(requests, bad);
        for (product, stake) in products.iter_mut().zip([0.5, 0.2, 0.08, 0.03, 0.01]) {
            *product *= 1.0 + stake * (bad as f64 / 0.001 - requests as f64) / longest;
        }
        close(betting.e_value(), products.iter().sum::<f64>() / 5.0, 1e-12);
    }
}

#[test]
fn a_promise_that_is_kept_twice_over_is_not_refuted_because_windows_are_uneven() {
    // Exponential gaps between kills; three of four kills cost one request, whatever comes after them.
    let mut betting = Betting::against(0.001);
    let (mut requests, mut bad) = (0, 0);
    let windows = [1_208, 60, 2_802, 467, 675, 4_394, 230, 917, 2_061, 1_573];
    for (i, window) in windows.into_iter().cycle().take(300).enumerate() {
        let lost = u64::from(i % 4 != 3);
        betting.observe(window, lost);
        (requests, bad) = (requests + window, bad + lost);
    }
    assert!(bad * 1_900 < requests, "{bad} of {requests}");
    assert!(betting.highest() < 20.0, "{}", betting.highest());
}

#[test]
fn betting_never_forgets_and_never_overflows_into_nonsense() {
    let mut betting = Betting::against(0.001);
    betting.observe(100, 100);
    let peak = betting.highest();
    assert!(peak > 20.0);
    for _ in 0..100_000 {
        betting.observe(100, 0);
    }
    assert_eq!(betting.highest(), peak);
    assert!(betting.e_value() < 1e-6);
    for _ in 0..100_000 {
        betting.observe(100, 100);
    }
    assert!(betting.e_value() > 1e300, "infinite is large, NaN is not: {}", betting.e_value());
    let mut promise_of_all = Betting::against(0.0);
    promise_of_all.observe(100, 0);
    assert!(promise_of_all.e_value() < 1.0);
    promise_of_all.observe(100, 1);
    assert!(promise_of_all.highest() > 1e300);
}

#[test]
fn the_worst_loss_that_so_many_kills_can_prove_is_the_inverse_of_the_kills_that_a_worst_loss_takes() {
    for (budget, least) in [(0.2, 1), (0.45, 1), (1.7, 2)] {
        for kills in [1, 3, 14, 29, 59, 149, 358, 1_003] {
            let needed = |max: u64| kills_for_availability(AvailabilityTerms { max, budget, alpha: 0.05 }, 0);
            match worst_loss_provable(budget, 0.05, kills) {
                Some(max) => {
                    assert!(needed(max).unwrap() <= kills, "{budget} {kills} {max}");
                    assert!(needed(max + 1).unwrap() > kills, "{budget} {kills} {max}");
                }
                None => assert!(needed(least).unwrap() > kills, "{budget} {kills}"),
            }
        }
    }
    let published = [(14, 1), (29, 2), (59, 4), (149, 10), (358, 24), (1_003, 67), (2_995, 200)];
    for (kills, max) in published {
        assert_eq!(worst_loss_provable(0.2, 0.05, kills), Some(max), "{kills}");
    }
    assert_eq!((worst_loss_provable(0.2, 0.05, 0), worst_loss_provable(0.0, 0.05, 9)), (None, None));
}

#[test]
fn the_share_that_so_many_kills_can_prove_is_that_of_clopper_and_pearson() {
    for kills in [1, 29, 59, 299] {
        assert!((1.0 - clopper_pearson_upper(0, kills, 0.05) - share_provable(0.05, kills)).abs() < 1e-12, "{kills}");
    }
}
