//! The books of one http probe: every slot enters once and leaves once, and what is told adds up. For each second,
//! `slots = good + bad events other than Slow`. Knows no network and no clock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use chaos_core::record::{BadClass, BadSlot, Bin, Event, ProbeSchedule, RunTime};
use hdrhistogram::Histogram;

use crate::clock::nanos;
use crate::recorder::Recorder;

const SECOND: u64 = 1_000_000_000;
/// A pod that served is told at most this often.
const SERVED_EVERY: u64 = 250_000_000;
/// Longest latency that is told apart, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;
/// More pods than this in a window are not remembered: a server could otherwise fill our memory with made-up names.
const MOST_PODS: usize = 10_000;

/// How a slot ended.
#[derive(Debug)]
pub(super) struct Settled {
    /// From due to the end of the answer, in nanoseconds, where there was one (a timeout: its bound).
    pub(super) latency: Option<u64>,
    /// From due to the failure, in nanoseconds, where that was no answer and no timeout.
    pub(super) failed_after: Option<u64>,
    /// Nothing: a good answer in time.
    pub(super) bad: Option<(BadClass, String)>,
    /// The pods that served it.
    pub(super) pods: Vec<String>,
    /// How long each of its requests took, as far as they were answered.
    pub(super) steps: Vec<Duration>,
}

/// How long the requests of a flow took, one after the other. Shown, never judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTimes {
    /// The probe.
    pub probe: String,
    /// For each request of the flow: (upper edge in microseconds, count), ascending, sparse.
    pub steps: Vec<Vec<(u64, u64)>>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    probe: String,
    first_due: u64,
    recorder: Recorder,
    bins: VecDeque<OpenBin>,
    /// Slots under way: when each was due, and its lag.
    open: HashMap<u64, (RunTime, u64)>,
    served: HashMap<String, RunTime>,
    steps: Vec<Buckets>,
}

#[derive(Debug)]
struct OpenBin {
    second: u64,
    bin: Bin,
    done: u64,
    sealed: bool,
    latency: Buckets,
    lag: Buckets,
}

impl Ledger {
    pub(super) fn new(schedule: &ProbeSchedule, recorder: Recorder) -> Self {
        Self {
            probe: schedule.probe.clone(),
            first_due: schedule.first_due.0,
            recorder,
            bins: VecDeque::new(),
            open: HashMap::new(),
            served: HashMap::new(),
            steps: Vec::new(),
        }
    }

    /// Slots that were sent and have not ended.
    pub(super) fn in_flight(&self) -> usize {
        self.open.len()
    }

    /// A slot is sent now, `lag` nanoseconds after it was due. Slots enter in the order of their numbers.
    pub(super) fn sent(&mut self, slot: u64, due: RunTime, lag: u64) {
        self.open.insert(slot, (due, lag));
        if let Some(bin) = self.enter(slot, due) {
            bin.lag.add(lag);
        }
    }

    /// A slot will never be sent.
    pub(super) fn unsent(&mut self, slot: u64, due: RunTime, why: String) {
        self.enter(slot, due);
        self.recorder.record(Event::Bad(BadSlot {
            probe: self.probe.clone(),
            slot,
            due,
            lag: None,
            latency: None,
            failed_after: None,
            class: BadClass::Unsent,
            detail: why,
        }));
        self.leave(due, false, None);
    }

    /// A slot that was sent has ended. One that is not open any more is not counted twice.
    pub(super) fn settle(&mut self, slot: u64, settled: Settled) {
        let Some((due, lag)) = self.open.remove(&slot) else { return };
        let Settled { latency, failed_after, bad, pods, steps } = settled;
        for pod in pods {
            self.saw(pod, due);
        }
        if self.steps.len() < steps.len() {
            self.steps.resize_with(steps.len(), Buckets::default);
        }
        self.steps.iter_mut().zip(steps).for_each(|(step, took)| step.add(nanos(took)));
        let good = bad.as_ref().is_none_or(|(class, _)| *class == BadClass::Slow);
        if let Some((class, detail)) = bad {
            let lag = (class != BadClass::Unsent).then_some(lag);
            let probe = self.probe.clone();
            let bad = BadSlot { probe, slot, due, lag, latency, failed_after, class, detail };
            self.recorder.record(Event::Bad(bad));
        }
        self.leave(due, good, latency);
    }

    /// No slot follows. Whatever is still open ends with an unknown outcome, and everything is told.
    pub(super) fn close(&mut self) -> StepTimes {
        let mut open: Vec<u64> = self.open.keys().copied().collect();
        open.sort_unstable();
        for slot in open {
            let why = "the run ended before an answer".to_owned();
            let bad = Some((BadClass::UnknownOutcome, why));
            self.settle(slot, Settled { latency: None, failed_after: None, bad, pods: Vec::new(), steps: Vec::new() });
        }
        self.bins.iter_mut().for_each(|bin| bin.sealed = true);
        self.tell_complete();
        StepTimes { probe: self.probe.clone(), steps: self.steps.iter().map(Buckets::told).collect() }
    }

    fn enter(&mut self, slot: u64, due: RunTime) -> Option<&mut OpenBin> {
        let second = due.0.saturating_sub(self.first_due) / SECOND;
        if self.bins.back().is_none_or(|bin| bin.second < second) {
            self.bins.iter_mut().for_each(|bin| bin.sealed = true);
            self.tell_complete();
            let probe = self.probe.clone();
            let bin = Bin { probe, first_slot: slot, slots: 0, at: due, good: 0, latency: Vec::new(), lag: Vec::new() };
            let (latency, lag) = (Buckets::default(), Buckets::default());
            self.bins.push_back(OpenBin { second, bin, done: 0, sealed: false, latency, lag });
        }
        let bin = self.bins.back_mut()?;
        bin.bin.slots += 1;
        Some(bin)
    }

    fn leave(&mut self, due: RunTime, good: bool, latency: Option<u64>) {
        let second = due.0.saturating_sub(self.first_due) / SECOND;
        let Some(bin) = self.bins.iter_mut().find(|bin| bin.second == second) else { return };
        bin.done += 1;
        bin.bin.good += u64::from(good);
        if let Some(latency) = latency {
            bin.latency.add(latency);
        }
        self.tell_complete();
    }

    fn tell_complete(&mut self) {
        while self.bins.front().is_some_and(|bin| bin.sealed && bin.done == bin.bin.slots)
            && let Some(bin) = self.bins.pop_front()
        {
            let (latency, lag) = (bin.latency.told(), bin.lag.told());
            self.recorder.record(Event::Bin(Bin { latency, lag, ..bin.bin }));
        }
    }

    fn saw(&mut self, pod: String, due: RunTime) {
        if self.served.get(&pod).is_some_and(|last| due.0 < last.0.saturating_add(SERVED_EVERY)) {
            return;
        }
        if self.served.len() >= MOST_PODS {
            self.served.clear();
        }
        self.recorder.record(Event::Served { probe: self.probe.clone(), pod: pod.clone(), at: due });
        self.served.insert(pod, due);
    }
}

/// Counts in HdrHistogram's log-linear buckets of two significant digits (each at most 0.8 % wide).
#[derive(Debug, Default)]
struct Buckets(Option<Histogram<u32>>);

impl Buckets {
    fn add(&mut self, nanos: u64) {
        if self.0.is_none() {
            self.0 = Histogram::new_with_bounds(1, LONGEST, 2).ok();
        }
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(nanos.div_ceil(1_000).max(1));
        }
    }

    /// (upper edge in microseconds, count), ascending, without empty ones.
    fn told(&self) -> Vec<(u64, u64)> {
        let Some(histogram) = &self.0 else { return Vec::new() };
        let buckets = histogram.iter_recorded();
        buckets.map(|bucket| (bucket.value_iterated_to(), bucket.count_since_last_iteration())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Redactor;

    fn ledger() -> (Ledger, Recorder) {
        let recorder = Recorder::in_memory(Redactor::default());
        let schedule = ProbeSchedule {
            probe: "p".into(),
            first_due: RunTime(0),
            rate: 2.0,
            stages: Vec::new(),
            poisson_seed: None,
            max_lag: 0,
            latency_bound: None,
            exposure_known: true,
        };
        (Ledger::new(&schedule, recorder.clone()), recorder)
    }

    fn due(slot: u64) -> RunTime {
        RunTime(slot * SECOND / 2)
    }

    fn good(latency: u64, pods: &[&str]) -> Settled {
        let pods = pods.iter().map(|&pod| pod.to_owned()).collect();
        Settled { latency: Some(latency), failed_after: None, bad: None, pods, steps: Vec::new() }
    }

    fn bins(recorder: &Recorder) -> Vec<Bin> {
        let bin = |event| if let Event::Bin(bin) = event { Some(bin) } else { None };
        recorder.events().into_iter().filter_map(bin).collect()
    }

    fn classes(recorder: &Recorder) -> Vec<(u64, BadClass)> {
        let bad = |event| if let Event::Bad(bad) = event { Some((bad.slot, bad.class)) } else { None };
        recorder.events().into_iter().filter_map(bad).collect()
    }

    #[test]
    fn a_second_is_told_when_its_last_slot_has_ended_and_in_order() {
        let (mut ledger, recorder) = ledger();
        for slot in 0..4 {
            ledger.sent(slot, due(slot), 1_000);
        }
        ledger.settle(2, good(5_000_000, &[]));
        ledger.settle(0, good(1_000_000, &[]));
        assert!(bins(&recorder).is_empty(), "slot 1 is still open");
        ledger.settle(1, good(2_000_000, &[]));
        assert_eq!(bins(&recorder).len(), 1, "the next second is not over");
        ledger.unsent(4, due(4), "why".into());
        ledger.close();
        let told = bins(&recorder);
        assert_eq!(
            told.iter().map(|bin| (bin.first_slot, bin.slots, bin.good)).collect::<Vec<_>>(),
            [(0, 2, 2), (2, 2, 1), (4, 1, 0)]
        );
        assert_eq!(told[0].at, due(0));
        assert!(told[0].latency[0].0.abs_diff(1_000) <= 8 && told[0].latency[1].0.abs_diff(2_000) <= 16, "{told:?}");
        assert_eq!(told[0].lag, [(1, 2)]);
        assert_eq!(classes(&recorder), [(4, BadClass::Unsent), (3, BadClass::UnknownOutcome)]);
    }

    #[test]
    fn nothing_counts_twice_and_slow_answers_stay_good() {
        let (mut ledger, recorder) = ledger();
        ledger.sent(0, due(0), 0);
        let slow = Some((BadClass::Slow, String::new()));
        ledger.settle(0, Settled { bad: slow, ..good(1, &[]) });
        ledger.settle(0, good(1, &[]));
        ledger.close();
        ledger.close();
        assert_eq!(bins(&recorder).iter().map(|bin| (bin.slots, bin.good)).collect::<Vec<_>>(), [(1, 1)]);
        assert_eq!(classes(&recorder), [(0, BadClass::Slow)]);
    }

    #[test]
    fn a_pod_that_serves_is_told_every_quarter_of_a_second() {
        let (mut ledger, recorder) = ledger();
        for slot in 0..10 {
            ledger.sent(slot, RunTime(slot * 100_000_000), 0);
            ledger.settle(slot, good(1, &["a", "b"]));
        }
        let at = |event| if let Event::Served { pod, at, .. } = event { Some((pod, at.0 / 100_000_000)) } else { None };
        let told: Vec<_> =
            recorder.events().into_iter().filter_map(at).filter(|(pod, _)| pod == "a").map(|(_, at)| at).collect();
        assert_eq!(told, [0, 3, 6, 9]);
    }
}
