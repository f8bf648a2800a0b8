//! Burn-rate guards: whether an error budget burns too fast on a long and a short window, as the multi-window alerts of the
//! SRE Workbook do, with a floor against small numbers. A guard ends a run early; it proves nothing.

use crate::model::{BurnRate, ClaimSpec, Experiment, ProbeKind};
use crate::record::{BadSlot, Event, Kill, ProbeSchedule, RunTime};

/// Fewer failures in the long window than this are no trend.
const FAILURES_MIN: usize = 10;
/// Failures after fewer kills than this are one bad kill, not a trend.
const KILLS_MIN: usize = 3;

/// The first guard that trips on what is recorded, in words.
pub fn tripped(experiment: &Experiment, events: &[Event], now: RunTime) -> Option<String> {
    experiment.guards.iter().find_map(|guard| burns(guard, experiment, events, now))
}

fn burns(guard: &BurnRate, experiment: &Experiment, events: &[Event], now: RunTime) -> Option<String> {
    let budget = budget(experiment, &guard.probe)?;
    let schedule = events.iter().find_map(|event| match event {
        Event::Schedule(schedule) if schedule.probe == guard.probe => Some(schedule),
        _ => None,
    })?;
    let failures: Vec<RunTime> = events.iter().filter_map(|event| failure(event, &guard.probe)).collect();
    let (long, short) = (nanos(guard.long), nanos(guard.short));
    let rates = [long, short].map(|window| burn(schedule, &failures, window, now, budget));
    let [Some(long_rate), Some(short_rate)] = rates else { return None };
    let recent: Vec<RunTime> = failures.into_iter().filter(|at| at.0 + long >= now.0).collect();
    let enough = recent.len() >= FAILURES_MIN && kills_hit(events, &recent) >= KILLS_MIN;
    (enough && long_rate >= guard.factor && short_rate >= guard.factor).then(|| {
        format!(
            "the error budget of {} burns {long_rate:.1} times too fast over {} and {short_rate:.1} times over {} (guard: {})",
            guard.probe, guard.long, guard.short, guard.factor
        )
    })
}

/// Share of requests that may fail.
fn budget(experiment: &Experiment, probe: &str) -> Option<f64> {
    let ProbeKind::Http(http) = &experiment.probe(probe)?.kind else { return None };
    http.slo.claims.iter().find_map(|claim| match claim {
        ClaimSpec::Availability { share } => Some(share.complement()),
        ClaimSpec::Latency { .. } => None,
    })
}

/// How many times faster than allowed requests failed in the window that ends now; `None` while it is not full.
fn burn(schedule: &ProbeSchedule, failures: &[RunTime], window: u64, now: RunTime, budget: f64) -> Option<f64> {
    let from = now.0.checked_sub(window).filter(|from| *from >= schedule.first_due.0)?;
    let failed = failures.iter().filter(|at| (from..now.0).contains(&at.0)).count();
    let slots = schedule.rate * window as f64 / 1e9;
    Some(failed as f64 / slots / budget)
}

fn failure(event: &Event, probe: &str) -> Option<RunTime> {
    match event {
        Event::Bad(BadSlot { probe: of, due, class, .. }) if of == probe && class.is_failure() => Some(*due),
        _ => None,
    }
}

/// Kills that were followed by a failure before the next kill.
fn kills_hit(events: &[Event], failures: &[RunTime]) -> usize {
    let mut kills: Vec<RunTime> = events
        .iter()
        .filter_map(|event| match event {
            Event::Kill(Kill { at, .. }) => Some(*at),
            _ => None,
        })
        .collect();
    kills.sort_unstable();
    let window_of = |failure: &RunTime| kills.partition_point(|kill| kill <= failure).checked_sub(1);
    let mut hit: Vec<usize> = failures.iter().filter_map(window_of).collect();
    hit.sort_unstable();
    hit.dedup();
    hit.len()
}

fn nanos(duration: crate::units::Duration) -> u64 {
    u64::try_from(duration.std().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn schedule() -> ProbeSchedule {
        ProbeSchedule {
            probe: "p".into(),
            first_due: RunTime(0),
            rate: 100.0,
            stages: Vec::new(),
            poisson_seed: None,
            max_lag: SECOND,
            latency_bound: None,
            exposure_known: true,
        }
    }

    #[test]
    fn a_window_that_is_not_full_says_nothing() {
        let failures = [RunTime(SECOND)];
        assert_eq!(burn(&schedule(), &failures, 10 * SECOND, RunTime(9 * SECOND), 0.001), None);
        assert!(burn(&schedule(), &failures, 10 * SECOND, RunTime(10 * SECOND), 0.001).is_some());
    }

    #[test]
    fn burn_is_failed_over_allowed() {
        // 10 of 1,000 requests failed where 1 may: ten times too fast.
        let failures: Vec<RunTime> = (0..10).map(|i| RunTime(11 * SECOND + i)).collect();
        let rate = burn(&schedule(), &failures, 10 * SECOND, RunTime(20 * SECOND), 0.001).unwrap();
        assert!((rate - 10.0).abs() < 1e-9, "{rate}");
    }
}
