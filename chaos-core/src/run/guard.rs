//! Burn-rate guards: whether an error budget burns too fast on a long and a short window, as the multi-window alerts of the
//! SRE Workbook do, with a floor against small numbers. A guard ends a run early; it proves nothing.

use crate::api::Outcome;
use crate::model::{BurnRate, ClaimSpec, Experiment, Guard};
use crate::record::{BadClass, BadSlot, Event, Kill, ProbeSchedule, RunTime};

/// Fewer failures in the long window than this are no trend.
const FAILURES_MIN: usize = 10;
/// Failures after fewer kills than this are one bad kill, not a trend.
const KILLS_MIN: usize = 3;

/// The first burn-rate guard that trips on what is recorded, in words.
pub fn tripped(experiment: &Experiment, events: &[Event], now: RunTime) -> Option<String> {
    experiment.guards.iter().find_map(|guard| match guard {
        Guard::BurnRate(guard) => burns(guard, experiment, events, now),
        // What a Prometheus says is asked, not recorded: see `RunView`.
        Guard::Alert(_) => None,
    })
}

fn burns(guard: &BurnRate, experiment: &Experiment, events: &[Event], now: RunTime) -> Option<String> {
    let http = experiment.probe(&guard.probe)?.http()?;
    let schedule = events.iter().find_map(|event| match event {
        Event::Schedule(schedule) if schedule.probe == guard.probe => Some(schedule),
        _ => None,
    })?;
    http.slo.claims.iter().find_map(|claim| burns_budget(guard, *claim, schedule, events, now))
}

fn burns_budget(
    guard: &BurnRate,
    claim: ClaimSpec,
    schedule: &ProbeSchedule,
    events: &[Event],
    now: RunTime,
) -> Option<String> {
    let bad: Vec<RunTime> = events.iter().filter_map(|event| bad(event, &guard.probe, claim)).collect();
    let (long, short) = (nanos(guard.long), nanos(guard.short));
    let budget = claim.share().complement();
    let rates = [long, short].map(|window| burn(schedule, &bad, window, now, budget));
    let [Some(long_rate), Some(short_rate)] = rates else { return None };
    let recent: Vec<RunTime> = bad.into_iter().filter(|at| at.0.saturating_add(long) >= now.0).collect();
    let enough = recent.len() >= FAILURES_MIN && kills_hit(events, &recent) >= KILLS_MIN;
    (enough && long_rate >= guard.factor && short_rate >= guard.factor).then(|| {
        format!(
            "the error budget of {} burns {long_rate:.1} times too fast over {} and {short_rate:.1} times over {} (guard: {})",
            guard.probe, guard.long, guard.short, guard.factor
        )
    })
}

/// How many times faster than allowed requests failed in the window that ends now; `None` while it is not full.
fn burn(schedule: &ProbeSchedule, bad: &[RunTime], window: u64, now: RunTime, budget: f64) -> Option<f64> {
    let from = now.0.checked_sub(window).filter(|from| *from >= schedule.first_due.0)?;
    let failed = bad.iter().filter(|at| (from..now.0).contains(&at.0)).count();
    let slots = schedule.slots_between(RunTime(from), now);
    Some(failed as f64 / slots / budget)
}

/// When a slot was due that spends the budget of the claim: it failed or, of a promise of latency, was answered too slowly.
fn bad(event: &Event, probe: &str, claim: ClaimSpec) -> Option<RunTime> {
    let spends = |class: BadClass| match claim {
        ClaimSpec::Availability { .. } => class.is_failure(),
        ClaimSpec::Latency { .. } => class.is_failure() || class == BadClass::Slow,
    };
    match event {
        Event::Bad(BadSlot { probe: of, due, class, .. }) if of == probe && spends(*class) => Some(*due),
        _ => None,
    }
}

/// Kills that were followed by one of these before the next kill. A call that killed nobody is none.
fn kills_hit(events: &[Event], bad: &[RunTime]) -> usize {
    let mut kills: Vec<RunTime> = events
        .iter()
        .filter_map(|event| match event {
            Event::Kill(Kill { at, outcome: Outcome::Killed | Outcome::Unknown, .. }) => Some(*at),
            _ => None,
        })
        .collect();
    kills.sort_unstable();
    let window_of = |at: &RunTime| kills.partition_point(|kill| kill <= at).checked_sub(1);
    let mut hit: Vec<usize> = bad.iter().filter_map(window_of).collect();
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

    const AVAILABILITY: &str = "{availability: 99%, confidence: 95%, evidence: {observed: {}}}";
    const LATENCY: &str = "{latency: {under: 100ms, share: 99%}, confidence: 95%, evidence: {observed: {}}}";

    fn experiment(slo: &str) -> Experiment {
        let text = format!(
            "apiVersion: chaos.dispatch.dev/v1alpha1
kind: Experiment
metadata: {{name: e, namespace: dispatch}}
spec:
  hypothesis: It holds.
  target: {{workloads: [{{kind: Deployment, name: trips}}]}}
  fault: {{podKill: {{mode: Evict, strikes: {{target: 9, min: 1}}, every: {{mean: 1s, min: 500ms}}}}}}
  phases: {{baseline: 1s, fault: 60s, recovery: 1s}}
  probes: [{{name: p, http: {{url: \"http://127.0.0.1:1\", rate: 100/s, timeout: 1s}}, slo: {slo}}}]
  limits: {{maxUnavailable: 1, minReady: 1, maxKills: 9, minInterval: 100ms, recoverWithin: 9s, maxBlind: 9s, allowForce: false}}
  abort: [{{burnRate: {{probe: p, factor: 10, long: 10s, short: 2s}}}}]
"
        );
        crate::validate::experiment_file("e.yaml", &text).unwrap_or_else(|error| panic!("{error}")).remove(0)
    }

    fn kill(at: u64, outcome: Outcome) -> Event {
        let word = || "x".to_owned();
        let victim = crate::api::VictimRef {
            namespace: word(),
            pod: word(),
            uid: word(),
            workload: word(),
            workload_uid: word(),
            owner_uid: word(),
            node: None,
        };
        let (nonce, message) = (format!("n{at}"), None);
        Event::Kill(Kill { at: RunTime(at), uncertainty: 0, strike: at, nonce, victim, outcome, message })
    }

    /// Kills at 11, 13, … s with that outcome, and bad slots right after each.
    fn story(kills: u64, each: u64, outcome: Outcome, class: BadClass) -> Vec<Event> {
        let mut events = vec![Event::Schedule(schedule())];
        for i in 0..kills {
            let at = (11 + 2 * i) * SECOND;
            events.push(kill(at, outcome));
            events.extend((1..=each).map(|slot| {
                let due = RunTime(at + slot);
                let (probe, detail) = ("p".into(), String::new());
                let (lag, slot) = (Some(0), at + slot);
                Event::Bad(BadSlot { probe, slot, due, lag, latency: None, failed_after: None, class, detail })
            }));
        }
        events
    }

    #[test]
    fn it_takes_both_windows_ten_failures_and_three_kills() {
        let trips =
            |slo: &str, events: &[Event], at: u64| tripped(&experiment(slo), events, RunTime(at * SECOND)).is_some();
        let killed = Outcome::Killed;
        // 120 of the 1,000 requests of 10 s, and 40 of the 200 of 2 s, where 1 % may fail.
        let burning = story(3, 40, killed, BadClass::Refused);
        assert!(trips(AVAILABILITY, &burning, 16));
        assert!(!trips(AVAILABILITY, &burning, 18), "the short window is quiet: it is over");
        assert!(!trips(AVAILABILITY, &story(2, 60, killed, BadClass::Refused), 14), "two bad kills are no trend");
        assert!(!trips(AVAILABILITY, &story(3, 30, killed, BadClass::Refused), 16), "9 times on the long window");
        assert!(!trips(AVAILABILITY, &story(3, 40, killed, BadClass::Unsent), 16), "nobody's failures");
        assert!(!trips(AVAILABILITY, &story(3, 40, Outcome::Blocked, BadClass::Refused), 16), "nobody was killed");
        assert!(!trips(AVAILABILITY, &burning[..burning.len() - 41], 16), "the third kill cost nothing");
    }

    #[test]
    fn a_promise_of_latency_is_burnt_by_slow_answers_too() {
        let slow = story(3, 40, Outcome::Killed, BadClass::Slow);
        let trips = |slo: &str| tripped(&experiment(slo), &slow, RunTime(16 * SECOND)).is_some();
        assert!(trips(LATENCY) && !trips(AVAILABILITY));
    }
}
