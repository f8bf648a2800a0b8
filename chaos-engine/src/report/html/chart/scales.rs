//! What positions in the drawing mean: instants, shares, latencies and rates.

use chaos_core::record::Phase;
use chaos_core::result::{PhaseSpan, RunResult, Second};

/// Width of the stretched views in which curves are drawn.
pub(super) const WIDE: f64 = 10_000.0;
pub(super) const SECOND_US: f64 = 1e6;

/// What horizontal positions mean: the recorded span of the run.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) start: f64,
    pub(super) length: f64,
}

impl Axis {
    pub(super) fn of(result: &RunResult) -> Self {
        let ends = result.phases.iter().filter(|phase| !is_wind_down(phase));
        let start = ends.clone().map(|phase| phase.start_us).min().unwrap_or(0) as f64;
        let end = ends.map(|phase| phase.end_us).max().unwrap_or(result.run.duration_us) as f64;
        Self { start, length: (end - start).max(1.0) }
    }

    pub(super) fn ratio(self, us: u64) -> f64 {
        ((us as f64 - self.start) / self.length).clamp(0.0, 1.0)
    }

    pub(super) fn percent(self, us: u64) -> String {
        format!("{:.3}%", self.ratio(us) * 100.0)
    }

    /// Position in a stretched view.
    pub(super) fn wide(self, us: f64) -> f64 {
        ((us - self.start) / self.length).clamp(0.0, 1.0) * WIDE
    }
}

pub(super) fn is_wind_down(phase: &PhaseSpan) -> bool {
    phase.phase == Phase::WindDown
}

/// What vertical positions mean.
pub(super) struct Scales {
    pub(super) ratio_floor: f64,
    latency_low: f64,
    latency_high: f64,
    pub(super) rate_top: f64,
}

impl Scales {
    pub(super) fn of(seconds: &[Second]) -> Self {
        let worst = seconds.iter().filter_map(ratio).fold(1.0, f64::min);
        let ratio_floor = [0.999, 0.99, 0.95, 0.9, 0.5].into_iter().find(|floor| worst > *floor).unwrap_or(0.0);
        let answered = || seconds.iter().filter(|second| second.p99_us > 0);
        let low = answered().map(|second| second.p50_us).min().unwrap_or(1_000).max(1) as f64;
        let high = answered().map(|second| second.p99_us).max().unwrap_or(10_000).max(1) as f64;
        let latency_low = 10f64.powf(low.log10().floor());
        let rate_top = seconds.iter().map(|second| second.counts.slots).max().unwrap_or(1).max(1) as f64;
        Self {
            ratio_floor,
            latency_low,
            latency_high: 10f64.powf(high.log10().ceil()).max(latency_low * 10.0),
            rate_top,
        }
    }

    pub(super) fn ratio_y(&self, ratio: f64) -> f64 {
        (1.0 - (ratio - self.ratio_floor) / (1.0 - self.ratio_floor)).clamp(0.0, 1.0)
    }

    pub(super) fn latency_y(&self, us: f64) -> f64 {
        let share = (us.max(1.0) / self.latency_low).log10() / (self.latency_high / self.latency_low).log10();
        (1.0 - share).clamp(0.0, 1.0)
    }

    pub(super) fn latency_ticks(&self) -> Vec<f64> {
        let mut ticks = vec![self.latency_low];
        while ticks.last().is_some_and(|tick| tick * 9.9 < self.latency_high * 1.01) && ticks.len() < 8 {
            ticks.push(ticks[ticks.len() - 1] * 10.0);
        }
        ticks
    }
}

/// Share of the known slots that were answered well; of none it is not known.
pub(super) fn ratio(second: &Second) -> Option<f64> {
    second.counts.availability()
}
