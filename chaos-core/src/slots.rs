//! When the slots of an http probe are due: a pure function of its schedule, so that the load generator which sends them
//! and the verdict which recounts them agree to the nanosecond. Knows no clock; it must not depend on the platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::record::{ProbeSchedule, RunTime};

const NANOS: f64 = 1e9;

impl ProbeSchedule {
    /// Due times of slot 0, 1, 2, … without end.
    pub fn due_times(&self) -> DueTimes {
        let gaps = match self.poisson_seed {
            None => Gaps::Even,
            Some(seed) => Gaps::Exponential { rng: Box::new(ChaCha8Rng::seed_from_u64(seed)), offset: 0.0 },
        };
        DueTimes { first: self.first_due.0, nanos_per_slot: NANOS / self.rate, next_slot: 0, gaps }
    }
}

/// The due times of a schedule, in the order of the slots; never descending.
#[derive(Debug, Clone)]
pub struct DueTimes {
    first: u64,
    nanos_per_slot: f64,
    next_slot: u64,
    gaps: Gaps,
}

#[derive(Debug, Clone)]
enum Gaps {
    /// Slot `i` is due at `first + i / rate`, each computed anew: rounding does not add up.
    Even,
    /// Slot 0 is due at `first`; each gap is `−ln(1 − u) / rate` (inverse of the exponential distribution function) with
    /// `u` of 53 random bits.
    Exponential { rng: Box<ChaCha8Rng>, offset: f64 },
}

impl DueTimes {
    /// Number of the slot whose due time `next` gives.
    pub fn next_slot(&self) -> u64 {
        self.next_slot
    }
}

impl Iterator for DueTimes {
    type Item = RunTime;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "non-negative; `as` saturates after 584 years"
    )]
    fn next(&mut self) -> Option<RunTime> {
        let offset = match &mut self.gaps {
            Gaps::Even => self.next_slot as f64 * self.nanos_per_slot,
            Gaps::Exponential { rng, offset } => {
                let here = *offset;
                let unit = (rng.next_u64() >> 11) as f64 * (-53f64).exp2();
                *offset -= (-unit).ln_1p() * self.nanos_per_slot;
                here
            }
        };
        self.next_slot += 1;
        Some(RunTime(self.first.saturating_add(offset as u64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate: f64, poisson_seed: Option<u64>) -> ProbeSchedule {
        ProbeSchedule {
            probe: "p".into(),
            first_due: RunTime(7),
            rate,
            poisson_seed,
            max_lag: 0,
            latency_bound: None,
            exposure_known: false,
        }
    }

    #[test]
    fn even_slots_do_not_drift() {
        let due = schedule(3.0, None).due_times().nth(3_000_000).unwrap();
        assert_eq!(due, RunTime(7 + 1_000_000 * 1_000_000_000));
    }

    #[test]
    fn poisson_slots_keep_the_rate_and_repeat_with_the_seed() {
        let due: Vec<_> = schedule(1_000.0, Some(42)).due_times().take(100_001).collect();
        assert!(due.is_sorted());
        let seconds = (due[100_000].0 - due[0].0) as f64 / 1e9;
        assert!((seconds - 100.0).abs() < 1.5, "{seconds}"); // the standard deviation is 0.32 s
        assert!(schedule(1_000.0, Some(42)).due_times().take(1_000).eq(due[..1_000].iter().copied()));
        assert!(!schedule(1_000.0, Some(43)).due_times().take(1_000).eq(due[..1_000].iter().copied()));
    }

    #[test]
    fn poisson_gaps_are_fixed_for_all_versions() {
        let due: Vec<_> = schedule(100.0, Some(1)).due_times().take(4).map(|due| due.0).collect();
        assert_eq!(due, FIXED, "a journal could not be recounted any more");
    }

    const FIXED: [u64; 4] = [7, 5_149_777, 5_987_764, 15_065_044];
}
