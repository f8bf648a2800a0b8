//! When the slots of an http probe are due: a pure function of its schedule, so that the load generator which sends them
//! and the verdict which recounts them agree to the nanosecond. Knows no clock; it must not depend on the platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::record::RunTime;

const NANOS: f64 = 1e9;
/// Stages of one schedule.
pub const MOST_STAGES: usize = 50;

/// How an http probe's slots are due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeSchedule {
    /// The probe.
    pub probe: String,
    /// Due time of slot 0.
    pub first_due: RunTime,
    /// Slots in a second; with stages: at the beginning.
    pub rate: f64,
    /// How the rate changes, one stage after the other; after the last one it stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<RateStage>,
    /// For Poisson arrivals: the seed of the gaps. Absent: slot `i` is due when the rate has added up to `i`, without stages
    /// at `first_due + i / rate`.
    pub poisson_seed: Option<u64>,
    /// A slot sent later than this after its due time is not evidence, in nanoseconds.
    pub max_lag: u64,
    /// A good answer slower than this is bad for the latency claim, in nanoseconds.
    pub latency_bound: Option<u64>,
    /// Whether it can be known which pods served a request.
    pub exposure_known: bool,
}

/// A stretch in which the rate changes evenly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateStage {
    /// How long it takes, in nanoseconds; 0: the rate jumps.
    pub span: u64,
    /// Slots in a second at its end.
    pub to: f64,
}

/// A rate over time.
#[derive(Debug, Clone, PartialEq)]
pub struct RateCurve {
    stages: Vec<Stretch>,
    /// Where the last stage ends, in nanoseconds, and how many slots were due by then.
    end: (f64, f64),
    nanos_per_slot_after: f64,
}

/// A stage with what came before it. Rates are in slots a nanosecond.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    start: f64,
    span: f64,
    slots_before: f64,
    from: f64,
    to: f64,
}

impl Stretch {
    /// Slots that are due in the first `nanos` of it: the area below the line from `from` to `to`.
    fn slots(&self, nanos: f64) -> f64 {
        nanos * (self.from + (self.to - self.from) * nanos / (2.0 * self.span))
    }

    /// The inverse of `slots`: the root of a quadratic, in the form that loses no digits where the slope is small.
    fn nanos(&self, slots: f64) -> f64 {
        let slope = (self.to - self.from) / self.span;
        2.0 * slots / (self.from + (self.from * self.from + 2.0 * slope * slots).max(0.0).sqrt())
    }
}

impl RateCurve {
    /// The curve that begins with `rate` slots in a second. Rates must be above zero.
    pub fn new(rate: f64, stages: &[RateStage]) -> Self {
        let (mut start, mut slots_before, mut from) = (0.0, 0.0, rate / NANOS);
        let mut stretches = Vec::with_capacity(stages.len());
        for stage in stages {
            let (span, to) = (stage.span as f64, stage.to / NANOS);
            let stretch = Stretch { start, span, slots_before, from, to };
            if stage.span > 0 {
                start += span;
                slots_before += stretch.slots(span);
                stretches.push(stretch);
            }
            from = to;
        }
        let last = stages.last().map_or(rate, |stage| stage.to);
        Self { stages: stretches, end: (start, slots_before), nanos_per_slot_after: NANOS / last }
    }

    /// Slots that are due in the first `nanos` nanoseconds.
    pub fn slots_before(&self, nanos: u64) -> f64 {
        let nanos = nanos as f64;
        match self.stages.iter().rev().find(|stretch| stretch.start <= nanos) {
            Some(stretch) if nanos < self.end.0 => stretch.slots_before + stretch.slots(nanos - stretch.start),
            _ => self.end.1 + (nanos - self.end.0) / self.nanos_per_slot_after,
        }
    }

    /// Nanoseconds from the beginning until so many slots have been due.
    fn nanos_of(&self, slots: f64) -> f64 {
        match self.stages.iter().rev().find(|stretch| stretch.slots_before <= slots) {
            Some(stretch) if slots < self.end.1 => stretch.start + stretch.nanos(slots - stretch.slots_before),
            _ => self.end.0 + (slots - self.end.1) * self.nanos_per_slot_after,
        }
    }
}

impl ProbeSchedule {
    /// The rate over time, from the due time of slot 0 on.
    pub fn curve(&self) -> RateCurve {
        RateCurve::new(self.rate, &self.stages)
    }

    /// Slots that are due from one instant to another, as the rate adds up (Poisson arrivals: on average).
    pub fn slots_between(&self, from: RunTime, to: RunTime) -> f64 {
        let curve = self.curve();
        let before = |at: RunTime| curve.slots_before(at.0.saturating_sub(self.first_due.0));
        (before(to) - before(from)).max(0.0)
    }

    /// The first rate that no schedule can have; a record from elsewhere may hold anything.
    pub fn bad_rate(&self) -> Option<f64> {
        let rates = || std::iter::once(self.rate).chain(self.stages.iter().map(|stage| stage.to));
        let bad = rates().find(|rate| !(rate.is_finite() && *rate > 0.0));
        bad.or_else(|| (self.stages.len() > MOST_STAGES).then_some(f64::NAN))
    }

    /// Due times of slot 0, 1, 2, … without end.
    pub fn due_times(&self) -> DueTimes {
        let gaps = match self.poisson_seed {
            None => Gaps::Even,
            Some(seed) => Gaps::Exponential { rng: Box::new(ChaCha8Rng::seed_from_u64(seed)), offset: 0.0 },
        };
        DueTimes { first: self.first_due.0, curve: self.curve(), next_slot: 0, gaps }
    }
}

/// The due times of a schedule, in the order of the slots; never descending.
#[derive(Debug, Clone)]
pub struct DueTimes {
    first: u64,
    curve: RateCurve,
    next_slot: u64,
    gaps: Gaps,
}

#[derive(Debug, Clone)]
enum Gaps {
    /// Slot `i` is due when the rate has added up to `i`, each computed anew: rounding does not add up.
    Even,
    /// Slot 0 is due at once; from each slot to the next the rate adds up to `−ln(1 − u)` (inverse of the exponential
    /// distribution function) with `u` of 53 random bits. `offset` is in nanoseconds where the rate is constant (journals
    /// hold due times that were computed so), in slots elsewhere.
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
            Gaps::Even => self.curve.nanos_of(self.next_slot as f64),
            Gaps::Exponential { rng, offset } => {
                let here = *offset;
                let unit = (rng.next_u64() >> 11) as f64 * (-53f64).exp2();
                let constant = self.curve.stages.is_empty();
                *offset -= (-unit).ln_1p() * if constant { self.curve.nanos_per_slot_after } else { 1.0 };
                if constant { here } else { self.curve.nanos_of(here) }
            }
        };
        self.next_slot += 1;
        Some(RunTime(self.first.saturating_add(offset as u64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn schedule(rate: f64, poisson_seed: Option<u64>) -> ProbeSchedule {
        ProbeSchedule {
            probe: "p".into(),
            first_due: RunTime(7),
            rate,
            stages: Vec::new(),
            poisson_seed,
            max_lag: 0,
            latency_bound: None,
            exposure_known: false,
        }
    }

    /// 10 to 30 slots a second over 10 s, a jump to 100, 5 s there, and down to 50 over 2 s.
    fn ramp(poisson_seed: Option<u64>) -> ProbeSchedule {
        let stage = |seconds: u64, to| RateStage { span: seconds * SECOND, to };
        let stages = vec![stage(10, 30.0), stage(0, 100.0), stage(5, 100.0), stage(2, 50.0)];
        ProbeSchedule { stages, ..schedule(10.0, poisson_seed) }
    }

    #[test]
    fn even_slots_do_not_drift() {
        let due = schedule(3.0, None).due_times().nth(3_000_000).unwrap();
        assert_eq!(due, RunTime(7 + 1_000_000 * 1_000_000_000));
    }

    #[test]
    fn a_ramp_adds_up_to_the_area_below_it() {
        let due: Vec<u64> = ramp(None).due_times().take(1_000).map(|due| due.0 - 7).collect();
        assert!(due.is_sorted());
        let in_the_first = |seconds: f64| due.iter().filter(|due| (**due as f64) < seconds * 1e9).count();
        // 5 s at a mean of 15 a second, 10 s at 20, 5 s at 100, 2 s at 75, then 50 a second.
        for (seconds, slots) in [(5.0, 75), (10.0, 200), (12.5, 450), (15.0, 700), (17.0, 850), (18.0, 900)] {
            assert!(in_the_first(seconds).abs_diff(slots) <= 1, "{seconds} s: {}", in_the_first(seconds));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            let until = RunTime(7 + (seconds * 1e9) as u64);
            assert!((ramp(None).slots_between(RunTime(0), until) - slots as f64).abs() < 0.01, "{seconds} s");
        }
        // Due times and slots are each other's inverse.
        for (slot, due) in due.iter().enumerate().step_by(17) {
            assert!((ramp(None).curve().slots_before(*due) - slot as f64).abs() < 1e-4, "slot {slot}");
        }
    }

    #[test]
    fn a_steep_ramp_and_a_flat_one_keep_their_digits() {
        for (from, to) in [(0.001, 100_000.0), (100_000.0, 0.001), (1_000.0, 1_000.0), (1_000.0, 1_000.000_000_1)] {
            let steep = ProbeSchedule { stages: vec![RateStage { span: SECOND, to }], ..schedule(from, None) };
            let within: Vec<u64> = steep.due_times().take_while(|due| due.0 < 7 + SECOND).map(|due| due.0).collect();
            assert!(within.is_sorted());
            let expected = f64::midpoint(from, to);
            assert!((within.len() as f64 - expected).abs() <= 1.0, "{from} to {to}: {} of {expected}", within.len());
        }
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
    fn poisson_slots_follow_a_ramp() {
        let runs = 200;
        let in_the_first = |seconds: u64| {
            let all = (0..runs)
                .map(|seed| ramp(Some(seed)).due_times().take_while(|due| due.0 - 7 < seconds * SECOND).count() as f64);
            all.sum::<f64>() / runs as f64
        };
        for (seconds, slots) in [(5, 76.0), (10, 201.0), (17, 851.0)] {
            // Slot 0 comes on top. Six standard errors.
            assert!((in_the_first(seconds) - slots).abs() < 6.0 * (slots / runs as f64).sqrt(), "{seconds} s");
        }
    }

    #[test]
    fn poisson_gaps_are_fixed_for_all_versions() {
        let due: Vec<_> = schedule(100.0, Some(1)).due_times().take(4).map(|due| due.0).collect();
        assert_eq!(due, FIXED, "a journal could not be recounted any more");
    }

    const FIXED: [u64; 4] = [7, 5_149_777, 5_987_764, 15_065_044];
}
