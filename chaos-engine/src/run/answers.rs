//! Which continuous probes have been heard of since the baseline began. Nothing is killed before all have, or had their time:
//! a probe that answers a moment later might say that the system was not steady.

use std::collections::BTreeSet;
use std::time::Duration;

use chaos_core::model::{Moment, Probe};
use chaos_core::record::{BadSlot, Bin, Event, RunTime, Sample};

/// What the books of an answer may take.
const MARGIN: Duration = Duration::from_millis(500);

/// Names of the probes that were heard of.
#[derive(Debug, Default)]
pub(super) struct Answers {
    heard: BTreeSet<String>,
}

impl Answers {
    /// Takes notice of an event.
    pub(super) fn take(&mut self, event: &Event) {
        let (Event::Bin(Bin { probe, .. })
        | Event::Bad(BadSlot { probe, .. })
        | Event::Served { probe, .. }
        | Event::Sample(Sample { probe, .. })) = event
        else {
            return;
        };
        if !self.heard.contains(probe) {
            self.heard.insert(probe.clone());
        }
    }

    /// Whether one of these probes, which were started at `since`, is still to be heard of at `now`.
    pub(super) fn are_missing(&self, probes: &[Probe], since: RunTime, now: RunTime) -> bool {
        let waited = Duration::from_nanos(now.0.saturating_sub(since.0));
        probes.iter().filter(|probe| !self.heard.contains(&probe.name)).any(|probe| waited < patience(probe))
    }
}

/// How long the first answer of a continuous probe may take; nothing for the others, which are asked and waited for. A look
/// always ends in an answer or an error by itself.
fn patience(probe: &Probe) -> Duration {
    match (probe.http(), probe.when()) {
        // A good answer of a slow schedule is told with its whole second only: after this long it surely was one.
        (Some(http), _) => http.load.timeout.std() + http.load.max_lag.std() + MARGIN,
        (None, Some(Moment::Continuous { .. })) => Duration::MAX,
        (None, _) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use chaos_core::record::Answer;

    use super::*;
    use crate::run::fixture::{SLOW_LOAD, experiment};

    const LOOKS: &str = r#"
    - {name: port, tcp: {address: "127.0.0.1:1", timeout: 1s}}
    - {name: late, tcp: {address: "127.0.0.1:1", timeout: 1s}, when: After}
"#;

    #[test]
    fn every_continuous_probe_is_waited_for_and_load_for_as_long_as_a_request_takes() {
        let experiment = experiment(&[SLOW_LOAD, LOOKS]);
        let (probes, since) = (&experiment.probes, RunTime(5_000_000_000));
        let after = |millis: u64| RunTime(since.0 + millis * 1_000_000);
        let mut answers = Answers::default();
        assert!(answers.are_missing(probes, since, after(600_000)), "a look that was not heard of");
        let at = after(10);
        let answer = Answer::Error { reason: "refused".into(), message: String::new() };
        answers.take(&Event::Sample(Sample { probe: "port".into(), at, answer, met: None }));
        assert!(answers.are_missing(probes, since, after(2_599)), "no request of the load was heard of");
        assert!(!answers.are_missing(probes, since, after(2_600)), "its first request has ended by now");
        answers.take(&Event::Served { probe: "ride".into(), pod: "a".into(), at });
        assert!(!answers.are_missing(probes, since, at));
    }
}
