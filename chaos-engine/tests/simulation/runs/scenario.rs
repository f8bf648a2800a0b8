//! What a schedule of an ExperimentRun is made of: how the run is meant, what people want of it meanwhile, and what becomes of
//! whoever measures for it.

use std::sync::LazyLock;

use chaos_core::model::{Experiment, Mode};
use chaos_core::validate;
use jiff::Timestamp;

use super::bugs::Bug;
use crate::seats::{Hazards, millis};
use crate::strikes::cluster::start;

/// UID of the run.
pub(crate) const UID: &str = "run";
/// Digest of the plan.
pub(crate) const PLAN: &str = "plan";
/// Strikes that are needed, and those that are planned.
pub(crate) const STRIKES: (u64, u64) = (1, 3);
/// Requests a second.
pub(crate) const RATE: u64 = 4;

/// What people want of a run, at an instant in milliseconds from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Nothing,
    Abort(i64),
    Delete(i64),
}

/// Whether somebody has to approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approval {
    /// Nobody has to.
    Unneeded,
    /// Somebody has to, and does not.
    Missing,
    /// Somebody has to, and does after so many milliseconds.
    After(i64),
}

impl Approval {
    pub(crate) fn is_needed(self) -> bool {
        self != Self::Unneeded
    }

    /// When it is given, if it is.
    pub(crate) const fn at(self) -> Option<i64> {
        match self {
            Self::After(millis) => Some(millis),
            Self::Unneeded | Self::Missing => None,
        }
    }
}

/// What a schedule is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) faults: u32,
    pub(crate) crashes: u32,
    pub(crate) pauses: u32,
    pub(crate) crash_at: Option<u64>,
    pub(crate) mode: Mode,
    pub(crate) approval: Approval,
    pub(crate) wish: Wish,
    /// The prober that measures ends after so many milliseconds.
    pub(crate) prober_ends: Option<i64>,
    /// What watches bring is behind for long, and not only for a second.
    pub(crate) is_behind: bool,
}

impl Scenario {
    /// The schedule of that seed: every kind in turn.
    pub(crate) fn of(seed: u64) -> Self {
        let pick = |n: u64, of: u64| usize::try_from((seed / n) % of).unwrap();
        // An instant of the seed, anywhere in the run.
        let instant =
            |salt: u64| i64::try_from(seed.wrapping_mul(2_654_435_761).wrapping_add(salt * 7_919) % 40_000).unwrap();
        Self {
            seed,
            bug: None,
            faults: [0, 50, 200][pick(1, 3)],
            crashes: [0, 10, 30][pick(3, 3)],
            pauses: [0, 10, 30][pick(9, 3)],
            crash_at: None,
            mode: if seed % 13 == 7 { Mode::DryRun } else { Mode::Live },
            approval: match seed % 11 {
                3 => Approval::Missing,
                5 => Approval::After(instant(1) / 2),
                _ => Approval::Unneeded,
            },
            wish: match seed % 5 {
                1 => Wish::Abort(instant(2)),
                2 if seed % 10 == 2 => Wish::Delete(instant(2)),
                _ => Wish::Nothing,
            },
            prober_ends: (seed % 4 == 3).then(|| instant(3)),
            is_behind: pick(2, 3) == 0,
        }
    }

    /// One in which nothing goes wrong.
    pub(crate) const fn calm(seed: u64) -> Self {
        Self {
            seed,
            bug: None,
            faults: 0,
            crashes: 0,
            pauses: 0,
            crash_at: None,
            mode: Mode::Live,
            approval: Approval::Unneeded,
            wish: Wish::Nothing,
            prober_ends: None,
            is_behind: false,
        }
    }

    pub(crate) fn troubled_until(&self) -> Timestamp {
        start() + millis(90_000)
    }

    pub(crate) fn hazards(&self) -> Hazards {
        Hazards {
            crashes: self.crashes,
            pauses: (self.pauses, 12_000),
            jumps: 0,
            step: None,
            crash_at: self.crash_at,
            stands_at: None,
            until: self.troubled_until(),
            // Longer than a record is looked for that cannot be read.
            end: start() + millis(1_800_000),
        }
    }
}

const MANIFEST: &str = "apiVersion: chaos.dispatch.dev/v1alpha1
kind: Experiment
metadata: {name: e, namespace: dispatch}
spec:
  hypothesis: It holds.
  target: {workloads: [{kind: StatefulSet, name: trips}, {kind: StatefulSet, name: gateway}]}
  fault: {podKill: {mode: Delete, strikes: {target: 3, min: 1}, every: {mean: 1200ms, min: 300ms}}}
  phases: {baseline: 2s, fault: 12s, recovery: 3s}
  probes:
    - name: ride
      http: {url: \"http://127.0.0.1:1\", rate: 4/s, timeout: 1s}
      slo: {availability: 90%, confidence: 95%, evidence: {observed: {}}}
  limits: {maxUnavailable: 1, minReady: 1, maxKills: 3, minInterval: 0s, recoverWithin: 20s, maxBlind: 9s, allowForce: false}
  abort: []
";

/// What is run.
pub(crate) static EXPERIMENT: LazyLock<Experiment> =
    LazyLock::new(|| validate::experiment_file("e.yaml", MANIFEST).unwrap_or_else(|error| panic!("{error}")).remove(0));
