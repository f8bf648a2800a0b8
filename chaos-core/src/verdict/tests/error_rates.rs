//! A small version of `docs/error-rates.md`: the same code, fewer runs. Bars hold with the chance of noise below 10⁻³.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::Evidence;
use crate::verdict::error_rates::{ALPHA, BUDGET, BackgroundCell, Cell, Counted, recoveries_refuted};
use crate::verdict::rule::{Terms, Window, rule};
use crate::verdict::simulation::{Background, Bursts, Gaps, Platform};
use crate::verdict::whole_runs::{KILLS, Kind, WholeCell};

const RUNS: u64 = 200;
const SEED: u64 = 1;

fn own(platform: Platform, kills: usize) -> Counted {
    Cell::availability(platform, platform.worst_loss(), kills).count(RUNS, SEED)
}

/// Within four standard deviations of a share in percent.
fn near(counted: u64, percent: f64) {
    let share = percent / 100.0;
    let deviation = (share.max(0.005) * (1.0 - share).max(0.005) / RUNS as f64).sqrt();
    let found = counted as f64 / RUNS as f64;
    assert!((found - share).abs() <= 4.0 * deviation, "{found} is not near {share}");
}

#[test]
fn the_table_of_the_rule_comes_out() {
    use Bursts::{Exponential, Fixed};
    for (bursts, bad_share, declared, passes) in [
        (Fixed, 0.01, (24, 10), [0.0, 0.0]),
        (Fixed, 0.05, (5, 2), [20.0, 44.0]),
        (Fixed, 0.30, (1, 1), [44.0, 78.0]),
        (Fixed, 1.00, (1, 1), [45.0, 78.0]),
        (Exponential, 0.01, (104, 44), [0.0, 0.0]),
        (Exponential, 0.05, (21, 9), [0.0, 0.0]),
        (Exponential, 0.30, (4, 2), [6.0, 34.0]),
        (Exponential, 1.00, (2, 1), [46.0, 78.0]),
    ] {
        let (below, above) = (Platform::of(0.9988, bursts, bad_share), Platform::of(0.9995, bursts, bad_share));
        assert_eq!((below.worst_loss(), above.worst_loss()), declared, "{bursts:?} {bad_share}");
        for (kills, expected) in [59, 120].into_iter().zip(passes) {
            let (missed, kept) = (own(below, kills), own(above, kills));
            assert!(!missed.breaks_the_bar(missed.passed), "{bursts:?} {bad_share} {kills}: {missed:?}");
            assert!(!kept.breaks_the_bar(kept.failed), "{bursts:?} {bad_share} {kills}: {kept:?}");
            near(kept.passed, expected);
        }
    }
}

#[test]
fn at_the_border_neither_answer_is_given_too_often() {
    for (bursts, bad_share) in [(Bursts::Fixed, 0.05), (Bursts::Fixed, 1.0), (Bursts::Exponential, 0.3)] {
        let counted = own(Platform::of(0.999, bursts, bad_share), 120);
        assert!(!counted.breaks_the_bar(counted.passed) && !counted.breaks_the_bar(counted.failed), "{counted:?}");
    }
}

#[test]
fn a_wrong_declaration_certifies_what_is_untrue_in_half_of_the_runs() {
    let counted = Cell::availability(Platform::of(0.9988, Bursts::Fixed, 0.01), 4, 59).count(RUNS, SEED);
    near(counted.passed, 55.3);
    assert_eq!(counted.passed + counted.failed, RUNS, "one bad kill refutes the declaration");
}

#[test]
fn power_is_that_of_the_rule() {
    let tenth = Cell::availability(Platform::of(0.9999, Bursts::Fixed, 1.0), 1, 59).count(RUNS, SEED);
    assert!(tenth.passed_percent() >= 90.0);
    let failed = |bad_share| {
        let platform = Platform::of(0.99, Bursts::Fixed, bad_share);
        Cell { platform, evidence: Evidence::Observed, kills: 59 }.count(RUNS, SEED).failed
    };
    assert_eq!(failed(1.0), RUNS);
    near(failed(0.05), 59.7);
}

#[test]
fn a_starving_load_generator_passes_nothing_bad_and_fails_nothing_good() {
    for (truth, unsent_share) in [(0.9988, 0.0001), (0.9988, 0.01), (0.9995, 0.0001), (0.9995, 0.01)] {
        let platform = Platform { unsent_share, ..Platform::of(truth, Bursts::Fixed, 0.3) };
        let counted = own(platform, 120);
        let wrong = if truth < 0.999 { counted.passed } else { counted.failed };
        assert!(!counted.breaks_the_bar(wrong), "{truth} {unsent_share} {counted:?}");
        assert!(unsent_share < 0.001 || counted.passed == 0, "{counted:?}");
    }
}

#[test]
fn uneven_gaps_between_kills_fail_no_platform_that_keeps_its_promise() {
    // Exponential gaps, 200 requests on average. Each kill may cost one request, whenever the next one comes.
    let gaps = [8, 30, 60, 90, 125, 165, 210, 275, 385, 652];
    let terms = Terms { budget: BUDGET, alpha: ALPHA, tests: 1, evidence: Evidence::Observed };
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for (truth, kills) in [(0.9995, 300), (0.999, 59), (0.999, 300)] {
        let mut counted = Counted { runs: RUNS, ..Counted::default() };
        for _ in 0..RUNS {
            let window = |_| {
                let requests = gaps[rng.random_range(0..gaps.len())];
                let bad = u64::from(rng.random_bool((1.0 - truth) * 200.0));
                Window { requests, kills: 1, bad_for_sure: bad, bad_at_worst: bad, exposed: true }
            };
            let windows: Vec<Window> = (0..kills).map(window).collect();
            counted.failed += u64::from(!rule(&terms, &windows).refuted.is_empty());
        }
        assert!(!counted.breaks_the_bar(counted.failed), "{truth} {kills}: {counted:?}");
    }
}

#[test]
fn kills_at_uneven_gaps_err_no_more_often_than_the_bars_allow() {
    for (least, mean) in [(80, 160), (20, 200)] {
        for (truth, kills) in [(0.9988, 59), (0.999, 120), (0.9995, 300)] {
            let platform = Platform::uneven(truth, Bursts::Fixed, 0.3, Gaps::Exponential { least, mean });
            let counted = own(platform, kills);
            assert!(truth > 0.999 || !counted.breaks_the_bar(counted.passed), "{least} {truth}: {counted:?}");
            assert!(truth < 0.999 || !counted.breaks_the_bar(counted.failed), "{least} {truth}: {counted:?}");
            assert!(truth < 0.9995 || counted.passed > RUNS * 9 / 10, "{least} {truth}: {counted:?}");
        }
    }
}

#[test]
fn uneven_gaps_are_as_long_and_cost_as_much_as_is_said() {
    let gaps = Gaps::Exponential { least: 20, mean: 200 };
    let windows = Platform::uneven(0.999, Bursts::Fixed, 0.3, gaps).run(20_000, &mut ChaCha8Rng::seed_from_u64(SEED));
    let all: u64 = windows.iter().map(|window| window.requests).sum();
    let bad: u64 = windows.iter().map(|window| window.bad_for_sure).sum();
    assert!(windows.iter().all(|window| window.requests >= 20));
    assert!(windows.iter().any(|window| window.requests > 800) && windows.iter().any(|window| window.requests < 30));
    // Five standard deviations: 1.3 of the mean gap, and 1.6 % of the losses.
    let (mean, lost) = (all as f64 / 20_000.0, bad as f64 / all as f64);
    assert!((mean - 200.0).abs() < 6.5, "{mean}");
    assert!((lost - 0.001).abs() < 0.000_1, "{lost}");
}

#[test]
fn many_small_and_rare_large_bursts_err_no_more_often_than_the_bars_allow() {
    for truth in [0.9988, 0.999, 0.9995] {
        let counted = own(Platform::of(truth, Bursts::Mixed, 0.3), 120);
        assert!(truth > 0.999 || !counted.breaks_the_bar(counted.passed), "{truth}: {counted:?}");
        assert!(truth < 0.999 || !counted.breaks_the_bar(counted.failed), "{truth}: {counted:?}");
    }
}

#[test]
fn bursts_in_the_background_fail_no_run() {
    for (truth, burst) in [(0.9995, 5), (0.9995, 20), (0.999, 1), (0.999, 5), (0.999, 20), (0.999, 100)] {
        let cell = BackgroundCell { background: Background::of(truth, burst), kills: 59 }.count(RUNS, SEED);
        assert!(!cell.counted.breaks_the_bar(cell.counted.failed), "{truth} {burst}: {cell:?}");
        assert!(!cell.bets_break_their_bar(), "{truth} {burst}: {cell:?}");
    }
    // What failed the run before: a tenth of the runs on a platform that keeps twice what is promised.
    let withheld = BackgroundCell { background: Background::of(0.9995, 5), kills: 59 }.count(RUNS, SEED).withheld;
    assert!((RUNS / 50..=RUNS / 5).contains(&withheld), "{withheld}");
}

#[test]
fn a_platform_that_goes_on_losing_is_refuted_by_its_recovery_and_one_at_its_promise_is_not() {
    let refuted = |truth: f64, burst: u64| recoveries_refuted(Background::of(truth, burst), RUNS, SEED);
    assert!(refuted(0.95, 1) >= RUNS * 95 / 100, "a twentieth");
    for burst in [1, 5, 20] {
        assert!(refuted(0.999, burst) <= RUNS / 50, "{burst}: {}", refuted(0.999, burst));
    }
}

#[test]
fn one_kind_of_error_has_no_bar() {
    let all =
        Kind::ALL.into_iter().flat_map(|kind| [0.988, 0.99, 0.998].map(|of| WholeCell { kind, availability: of }));
    let barless: Vec<_> = all.filter(|cell| cell.may_fail_without_a_bar()).map(|cell| cell.kind).collect();
    assert_eq!(barless, [Kind::HealsInTheRun]);
}

#[test]
fn whole_runs_err_no_more_often_than_their_bars_allow() {
    for kind in Kind::ALL {
        for availability in [0.988, 0.99, 0.998] {
            let cell = WholeCell { kind, availability };
            let all = cell.count(RUNS, SEED);
            assert!(!cell.breaks_its_bar(&all), "{cell:?}: {all:?}");
            // Half of the kills prove nothing, and all of the losses count.
            let least = if kind == Kind::HalfUnexposed { RUNS / 6 } else { RUNS / 4 };
            assert!(availability < 0.995 || all.counted.passed > least, "{cell:?}: {all:?}");
            // The truth is what is said: four standard deviations of the rarest bursts are below 0.4.
            let found = all.bad as f64 / all.requests as f64 / (1.0 - availability);
            assert!((found - 1.0).abs() < 0.4, "{cell:?}: {all:?}");
        }
    }
}

#[test]
fn an_outage_that_reaches_into_the_next_window_may_fail_a_platform_at_its_promise() {
    let at_the_promise = |kind| WholeCell { kind, availability: 0.99 }.count(RUNS, SEED).counted.failed;
    let carried = at_the_promise(Kind::HealsInTheRun);
    assert!((RUNS / 50..=RUNS / 5).contains(&carried), "{carried}");
    assert!(at_the_promise(Kind::HealsInItsWindow) < carried);
}

#[test]
fn whole_runs_have_the_windows_and_the_exposure_that_they_are_made_for() {
    for kind in Kind::ALL {
        WholeCell { kind, availability: 0.99 }.judged(5, SEED, |result| {
            let kills = &result.kills;
            // Fifteen kills are in one window with the kill before them.
            let windows = if kind == Kind::Overlapping { KILLS - 15 } else { KILLS };
            assert_eq!((kills.done, kills.trials), (KILLS, windows), "{kind:?}");
            assert_eq!(kills.exposed < windows, kind == Kind::HalfUnexposed, "{kind:?}: {}", kills.exposed);
        });
    }
}
