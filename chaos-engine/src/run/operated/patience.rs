//! How long a prober may take for what it is told to do: as long as its probes may take, and a while more.

use std::time::Duration;

use chaos_core::model::{Experiment, Probe};

/// For orders and reports on their way.
const WAY: Duration = Duration::from_secs(30);
/// How much longer than it may take load stays on if nobody ends it.
const CEILING_SLACK: Duration = Duration::from_secs(300);

/// Longest that any probe may take.
fn longest(experiment: &Experiment, takes: impl Fn(&Probe) -> Duration) -> Duration {
    experiment.probes.iter().map(takes).max().unwrap_or_default()
}

/// For load to go off: requests in flight are waited for, and so are looks that were begun.
pub(super) fn of_load(experiment: &Experiment) -> Duration {
    let takes = |probe: &Probe| probe.http().map_or_else(|| probe.longest_look(), |http| http.load.timeout.std());
    WAY.saturating_add(longest(experiment, takes))
}

/// For the probes that look once, all of them at the same time; each may be put off first.
pub(super) fn of_looks(experiment: &Experiment) -> Duration {
    let takes = |probe: &Probe| probe.patience.initial_delay.std().saturating_add(probe.longest_look());
    WAY.saturating_add(longest(experiment, takes))
}

/// For the whole run. Load is on while the probes look that look before the fault, so their time is part of it.
pub(super) fn of_run(experiment: &Experiment) -> Duration {
    let phases = &experiment.phases;
    let of_phases = [phases.baseline, phases.fault, phases.recovery, experiment.limits.recover_within];
    let spans = of_phases.into_iter().map(chaos_core::units::Duration::std);
    // A phase whose end nobody can tell, as the cluster is out of sight, lasts for as long.
    let slack = CEILING_SLACK.max(experiment.limits.max_blind.std());
    spans.chain([of_looks(experiment), slack]).fold(Duration::ZERO, Duration::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::fixture::{SLOW_LOAD, experiment};

    const PATIENT: &str = "
    - name: slow
      prometheus: {source: platform, query: up, every: 1s, timeout: 60s}
      when: Before
      attempts: 10
      initialDelay: 60s
      expect: {min: 1}
";

    #[test]
    fn a_prober_has_the_time_that_its_manifest_allows() {
        // Ten attempts of a minute with nine pauses between them, after a delay of a minute.
        let patient = experiment(&[SLOW_LOAD, PATIENT]);
        assert_eq!(of_looks(&patient), Duration::from_millis(30_000 + 60_000 + 604_500));
        assert_eq!(of_load(&patient), Duration::from_millis(30_000 + 604_500));
        assert_eq!(of_run(&patient), Duration::from_millis(71_000 + 694_500 + 300_000));
        let mut blind = patient;
        blind.limits.max_blind = chaos_core::units::Duration::from_secs(600);
        assert_eq!(of_run(&blind), Duration::from_millis(71_000 + 694_500 + 600_000));
        let hasty = PATIENT.replace("attempts: 10", "attempts: 1").replace("initialDelay: 60s", "");
        let hasty = experiment(&[SLOW_LOAD, &hasty]);
        assert_eq!(of_looks(&hasty), Duration::from_secs(30 + 60));
        assert_eq!(of_load(&hasty), Duration::from_secs(30 + 60));
    }
}
