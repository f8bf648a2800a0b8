//! How often the rule errs, cell by cell: runs the rule on simulated runs and counts. The table of `docs/error-rates.md`
//! and the smaller one of the tests come from here.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::rule::{Terms, rule};
use super::simulation::Platform;
use crate::model::Evidence;
use crate::stats::clopper_pearson_lower;

/// `q` of every cell: 99.9 % is promised.
pub const BUDGET: f64 = 0.001;
/// `α` of every cell.
pub const ALPHA: f64 = 0.05;

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
        let terms = Terms { budget: BUDGET, alpha: ALPHA, promises: 1, evidence: self.evidence.clone() };
        let mut counted = Counted { runs, ..Counted::default() };
        for _ in 0..runs {
            let ruling = rule(&terms, &self.platform.run(self.kills, &mut rng));
            counted.passed += u64::from(ruling.holds());
            counted.failed += u64::from(!ruling.refuted.is_empty());
        }
        counted
    }
}

impl Counted {
    /// Share of runs that passed, in percent.
    pub fn passed_percent(&self) -> f64 {
        self.passed as f64 * 100.0 / self.runs as f64
    }

    /// Share of runs that failed, in percent.
    pub fn failed_percent(&self) -> f64 {
        self.failed as f64 * 100.0 / self.runs as f64
    }

    /// Whether this many errors among the runs are more than α explains: the 99.9 % lower bound of their share exceeds it.
    pub fn breaks_the_bar(&self, errors: u64) -> bool {
        clopper_pearson_lower(errors, self.runs, 0.001) > ALPHA
    }
}
