//! How often the rule errs, cell by cell: runs the rule on simulated runs and counts. The table of `docs/error-rates.md`
//! and the smaller one of the tests come from here.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::rule::{PhaseTerms, Slice, Terms, Window, alpha_of_recovery, chances_to_fail, phase, recovery, rule};
use super::simulation::{Background, Platform, Requests};
use crate::model::Evidence;
use crate::stats::clopper_pearson_lower;

/// `q` of every cell: 99.9 % is promised.
pub const BUDGET: f64 = 0.001;
/// `α` of every cell.
pub const ALPHA: f64 = 0.05;
/// Requests of a baseline, a second of the recovery and a kill window of a run with bursts in the background: at 100/s, 10 s, and
/// 1 s for each of the others.
const BASELINE: u64 = 1_000;
const SECOND: u64 = 100;
const WINDOW: u64 = 100;
/// Seconds of a recovery.
const RECOVERY: u64 = 10;

/// One cell: a platform, what is asked of it, and how many kills there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The platform.
    pub platform: Platform,
    /// What a pass must prove.
    pub evidence: Evidence,
    /// Kills of a run.
    pub kills: usize,
}

/// What came out of the runs of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Runs.
    pub runs: u64,
    /// Of them passed.
    pub passed: u64,
    /// Of them failed.
    pub failed: u64,
}

impl Cell {
    /// The claim of availability with this declared worst loss.
    pub fn availability(platform: Platform, worst_loss_per_kill: u64, kills: usize) -> Self {
        let source = "known truth".into();
        Self { platform, evidence: Evidence::Availability { worst_loss_per_kill, source }, kills }
    }

    /// Runs it that often. The same seed gives the same counts.
    pub fn count(&self, runs: u64, seed: u64) -> Counted {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let terms = Terms {
            budget: BUDGET,
            alpha: ALPHA,
            tests: chances_to_fail(&self.evidence),
            evidence: self.evidence.clone(),
        };
        let mut counted = Counted { runs, ..Counted::default() };
        for _ in 0..runs {
            let ruling = rule(&terms, &self.platform.run(self.kills, &mut rng));
            counted.passed += u64::from(ruling.holds());
            counted.failed += u64::from(!ruling.refuted.is_empty());
        }
        counted
    }
}

/// A whole run, from its baseline to the end of its recovery, on a platform that loses requests in bursts of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackgroundCell {
    /// The platform.
    pub background: Background,
    /// Kills of a run, which cost nothing.
    pub kills: usize,
}

/// What came out of the runs of such a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackgroundCounted {
    /// Passed, and failed for any reason.
    pub counted: Counted,
    /// Not begun, because more was bad in the baseline than chance explains if each request were on its own.
    pub not_steady: u64,
    /// Neither failed nor passed by the recovery alone: what a binomial bound would fail.
    pub withheld: u64,
    /// Refuted by the bets on the seconds of the recovery.
    pub by_bets: u64,
}

impl BackgroundCell {
    /// Runs it that often. The same seed gives the same counts.
    pub fn count(&self, runs: u64, seed: u64) -> BackgroundCounted {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut all = BackgroundCounted { counted: Counted { runs, ..Counted::default() }, ..Default::default() };
        for _ in 0..runs {
            self.run(&mut rng, &mut all);
        }
        all
    }

    fn run(&self, rng: &mut ChaCha8Rng, all: &mut BackgroundCounted) {
        let (quiet, tests) = (quiet(), chances_to_fail(&Evidence::Observed));
        let terms = Terms { budget: BUDGET, alpha: ALPHA, tests, evidence: Evidence::Observed };
        let mut requests = self.background.run(rng);
        let unsteady = phase(&quiet, BASELINE, requests.bad_of(BASELINE)).doubtful;
        let mut windows: Vec<Window> = (0..self.kills).map(|_| window(WINDOW, requests.bad_of(WINDOW))).collect();
        let slices = slices(&mut requests);
        let bad: u64 = slices.iter().map(|slice| slice.bad).sum();
        if let Some(last) = windows.last_mut() {
            *last = window(last.requests + RECOVERY * SECOND, last.bad_for_sure + bad);
        }
        let (ruling, recovery) = (rule(&terms, &windows), recovery(&quiet, &slices));
        let failed = !ruling.refuted.is_empty() || recovery.refuted;
        all.not_steady += u64::from(unsteady);
        all.counted.failed += u64::from(failed);
        all.counted.passed += u64::from(ruling.holds() && !recovery.doubtful);
        all.withheld += u64::from(recovery.doubtful && !recovery.refuted);
        all.by_bets += u64::from(recovery.e_value >= recovery.e_threshold);
    }
}

impl BackgroundCounted {
    /// Whether the bets on the recovery refuted more often than their own part of α explains.
    pub fn bets_break_their_bar(&self) -> bool {
        let alpha_of_bets = 1.0 / recovery(&quiet(), &[]).e_threshold;
        clopper_pearson_lower(self.by_bets, self.counted.runs, 0.001) > alpha_of_bets
    }
}

/// How many of so many recoveries are refuted on a platform that goes on losing requests like this when the kills are over.
pub fn recoveries_refuted(lost: Background, runs: u64, seed: u64) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let refuted = |_: &u64| recovery(&quiet(), &slices(&mut lost.run(&mut rng))).refuted;
    (0..runs).filter(refuted).count() as u64
}

fn quiet() -> PhaseTerms {
    let tests = chances_to_fail(&Evidence::Observed);
    PhaseTerms { budget: BUDGET, alpha: ALPHA, alpha_to_fail: alpha_of_recovery(ALPHA, tests) }
}

/// The next seconds, as many as a recovery has.
fn slices(requests: &mut Requests<'_, ChaCha8Rng>) -> Vec<Slice> {
    (0..RECOVERY).map(|number| Slice { number, requests: SECOND, bad: requests.bad_of(SECOND) }).collect()
}

const fn window(requests: u64, bad: u64) -> Window {
    Window { requests, kills: 1, bad_for_sure: bad, bad_at_worst: bad, exposed: true }
}

impl Counted {
    /// So many of the runs, in percent of all of them.
    pub fn percent(&self, runs: u64) -> f64 {
        runs as f64 * 100.0 / self.runs as f64
    }

    /// Share of runs that passed, in percent.
    pub fn passed_percent(&self) -> f64 {
        self.percent(self.passed)
    }

    /// Share of runs that failed, in percent.
    pub fn failed_percent(&self) -> f64 {
        self.percent(self.failed)
    }

    /// Whether this many errors among the runs are more than α explains: the 99.9 % lower bound of their share exceeds it.
    pub fn breaks_the_bar(&self, errors: u64) -> bool {
        clopper_pearson_lower(errors, self.runs, 0.001) > ALPHA
    }
}
