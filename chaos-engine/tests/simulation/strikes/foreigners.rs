//! What foreigners do to the workloads of a simulated cluster meanwhile: they drain pods, roll a workload out and scale it. What
//! is unavailable then is not ours alone to answer for; that each kill rests on facts that allowed it is.

use chaos_core::killer::KillOrder;
use chaos_core::population::WorkloadKey;
use jiff::Timestamp;

use super::cluster::{OUTSIDER, State, WORKLOADS};
use super::scenario::Scenario;
use crate::history::note;
use crate::seats::Stage as _;

/// A rollout takes between so many and so many milliseconds.
const ROLLOUT: (i64, i64) = (1_000, 8_000);

/// What was true of a workload when a process last read the cluster.
#[derive(Debug, Clone)]
struct Truth {
    workload: &'static str,
    desired: usize,
    serving: usize,
    is_rolled: bool,
    /// So many of its pods might be evicted, if a disruption budget said so.
    evictable: Option<usize>,
}

/// What was true when a process last read the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truths(Vec<Truth>);

impl State {
    /// Something of all that.
    pub(super) fn meddle(&mut self) {
        match self.dice().below(4) {
            0 => self.roll(),
            1 => self.scale(),
            _ => self.drain(),
        }
    }

    /// Drains a pod.
    fn drain(&mut self) {
        let running: Vec<_> = (0..self.pods.len()).filter(|i| !self.pods[*i].facts.terminating).collect();
        if !running.is_empty() {
            let index = running[self.dice().below(running.len())];
            self.terminate(index);
        }
    }

    /// Begins a rollout, with the first pod that is replaced.
    fn roll(&mut self) {
        let workload = self.dice().below(WORKLOADS.len());
        let until = self.now + self.between(ROLLOUT.0, ROLLOUT.1);
        self.rolls_until[workload] = Some(until);
        note(self.now, || format!("{} is rolled out until {until}", WORKLOADS[workload]));
        let first = self.pods.iter().position(|pod| {
            !pod.facts.terminating && pod.facts.workload.as_ref().is_some_and(|key| key.name == WORKLOADS[workload])
        });
        if let Some(index) = first {
            self.terminate(index);
        }
    }

    /// Wants a pod more of a workload, or one less.
    fn scale(&mut self) {
        let workload = self.dice().below(WORKLOADS.len());
        let (wanted, name) = (self.desired[workload], WORKLOADS[workload]);
        let is_more = wanted <= 2 || self.dice().below(2) == 0;
        self.desired[workload] = if is_more { wanted + 1 } else { wanted - 1 };
        note(self.now, || format!("{name} wants {} pods instead of {wanted}", self.desired[workload]));
        let index = if is_more { wanted } else { wanted - 1 };
        let there = self.pods.iter().position(|pod| pod.facts.name == format!("{name}-{index}"));
        match there {
            Some(at) if !is_more && !self.pods[at].facts.terminating => self.terminate(at),
            None if is_more => {
                let ready_at = self.now + self.between(20, self.scenario.size.recovery.1);
                self.add_pod(name, index, ready_at);
                self.quiet_until = self.quiet_until.min(ready_at);
            }
            // Its successor comes, or does not, when it is gone.
            _ => {}
        }
    }

    /// Whether a workload wants a pod of that number.
    pub(super) fn wants(&self, workload: &str, index: u32) -> bool {
        let wanted = WORKLOADS.iter().zip(self.desired).find(|(name, _)| **name == workload).map_or(0, |of| of.1);
        index < wanted || index == OUTSIDER
    }

    fn terminate(&mut self, pod: usize) {
        let gone_at = self.now + self.between(5, self.scenario.size.recovery.0);
        note(self.now, || format!("a foreigner takes {} down", self.pods[pod].facts.uid));
        self.pods[pod].facts.terminating = true;
        self.pods[pod].gone_at = Some(gone_at);
        self.quiet_until = self.quiet_until.min(gone_at);
    }

    /// Whether a workload is being rolled out.
    pub(super) fn is_rolled(&self, workload: usize) -> bool {
        self.rolls_until[workload].is_some_and(|until| self.now < until)
    }

    /// What is true now.
    pub(super) fn truths(&self) -> Truths {
        let of = |(index, workload): (usize, &'static str)| {
            let is_of_it = |key: &WorkloadKey| key.name == workload;
            let pods = self.pods.iter().map(|pod| &pod.facts).filter(|pod| pod.workload.as_ref().is_some_and(is_of_it));
            Truth {
                desired: self.desired[index] as usize,
                serving: pods.filter(|pod| pod.ready && !pod.terminating).count(),
                is_rolled: self.is_rolled(index),
                evictable: self.disruptions_allowed(index),
                workload,
            }
        };
        Truths(WORKLOADS.into_iter().enumerate().map(of).collect())
    }
}

impl Truths {
    /// What must hold when a kill leaves: what was read last allowed it.
    pub(super) fn check(&self, order: &KillOrder, scenario: &Scenario, at: Timestamp) {
        let of = self.0.iter().find(|truth| order.victim.workload_uid.strip_prefix("uid-") == Some(truth.workload));
        let Some(truth) = of else { panic!("a kill was sent at {at} without a look at the cluster") };
        assert!(!truth.is_rolled, "a kill was sent though its workload was being rolled out");
        let after = (truth.desired + 1).saturating_sub(truth.serving);
        let is_allowed = after <= scenario.most_unavailable(truth.desired);
        assert!(is_allowed, "a kill was sent that left {after} of {} pods unavailable", truth.desired);
        let (left, min) = (truth.serving.saturating_sub(1), scenario.min_ready() as usize);
        assert!(left >= min, "a kill was sent that left {left} pods ready, and {min} have to be");
        assert!(truth.evictable != Some(0), "a kill was sent that a disruption budget did not allow");
    }
}
