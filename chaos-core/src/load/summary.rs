//! What load has shown: counts, quantiles and causes of each flow, folded from events as they come, in bounded memory.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{BadClass, BadSlot, Bin, Event, ProbeSchedule};

/// Different causes that are told apart for each class of failure; others are counted together.
const MOST_CAUSES: usize = 20;

/// All flows of a load test, in the order of their schedules.
#[derive(Debug, Clone, Default)]
pub struct LoadFold {
    flows: Vec<FlowFold>,
}

/// One flow, as far as it has been told.
#[derive(Debug, Clone)]
pub struct FlowFold {
    schedule: ProbeSchedule,
    due: u64,
    good: u64,
    failed: u64,
    unknown: BTreeMap<BadClass, u64>,
    causes: BTreeMap<(BadClass, String), u64>,
    /// Good answers: (upper edge of the bucket in microseconds) → count.
    good_latency: BTreeMap<u64, u64>,
    lag: BTreeMap<u64, u64>,
    sent: u64,
    /// Latencies in microseconds of slots that were not good, until the second comes that counts them too.
    pending: HashMap<u64, u64>,
}

/// What one flow has shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowSummary {
    /// Its name.
    pub flow: String,
    /// Samples that were due. `due = good + failed + late + unsent + unknown outcome`.
    pub due: u64,
    /// Answered well and in time.
    pub good: u64,
    /// The system failed.
    pub failed: u64,
    /// Sent later after its due time than `maxLag`: says nothing about the system.
    pub late: u64,
    /// Never sent.
    pub unsent: u64,
    /// Sent, but its outcome cannot be known.
    pub unknown_outcome: u64,
    /// Good answers in a second.
    pub good_per_second: f64,
    /// From due to the end of a good answer.
    pub latency: Quantiles,
    /// From due to sent: the load generator's own quality.
    pub lag: Quantiles,
    /// Why samples were not good, the most frequent first.
    pub causes: Vec<FailureCount>,
    /// The requests of a flow of several, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepSummary>,
}

/// Samples that were not good for the same cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureCount {
    /// What was wrong.
    pub class: BadClass,
    /// In words.
    pub detail: String,
    /// How many.
    pub count: u64,
}

/// One request of a flow of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepSummary {
    /// Method and path as written.
    pub request: String,
    /// From the end of the request before to the end of its good answer.
    pub latency: Quantiles,
}

/// Quantiles in microseconds, each the upper edge of its bucket (at most 0.8 % above the value).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    /// The smallest.
    pub min_us: u64,
    /// The mean.
    pub mean_us: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 95th percentile.
    pub p95_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// The largest.
    pub max_us: u64,
}

impl LoadFold {
    /// Takes an event in; those that are not about load say nothing here.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Schedule(schedule) => self.flows.push(FlowFold::new(schedule.clone())),
            Event::Bin(bin) => self.flow(&bin.probe).into_iter().for_each(|flow| flow.bin(bin)),
            Event::Bad(bad) => self.flow(&bad.probe).into_iter().for_each(|flow| flow.bad(bad)),
            _ => {}
        }
    }

    /// The flows so far.
    pub fn flows(&self) -> &[FlowFold] {
        &self.flows
    }

    fn flow(&mut self, name: &str) -> Option<&mut FlowFold> {
        self.flows.iter_mut().find(|flow| flow.schedule.probe == name)
    }
}

impl FlowFold {
    fn new(schedule: ProbeSchedule) -> Self {
        Self {
            schedule,
            due: 0,
            good: 0,
            failed: 0,
            unknown: BTreeMap::new(),
            causes: BTreeMap::new(),
            good_latency: BTreeMap::new(),
            lag: BTreeMap::new(),
            sent: 0,
            pending: HashMap::new(),
        }
    }

    fn bin(&mut self, bin: &Bin) {
        self.due += bin.slots;
        self.good += bin.good;
        for (edge, count) in &bin.lag {
            *self.lag.entry(*edge).or_default() += count;
            self.sent += count;
        }
        let mut answered: BTreeMap<u64, u64> = bin.latency.iter().copied().collect();
        for slot in bin.first_slot..bin.first_slot.saturating_add(bin.slots) {
            if self.pending.is_empty() {
                break;
            }
            let Some(micros) = self.pending.remove(&slot) else { continue };
            // Its bucket is the one with the next edge: the second counts it there.
            if let Some((_, count)) = answered.range_mut(micros..).next() {
                *count = count.saturating_sub(1);
            }
        }
        for (edge, count) in answered.into_iter().filter(|(_, count)| *count > 0) {
            *self.good_latency.entry(edge).or_default() += count;
        }
    }

    fn bad(&mut self, bad: &BadSlot) {
        if bad.class == BadClass::Slow {
            return;
        }
        if let Some(nanos) = bad.latency {
            self.pending.insert(bad.slot, nanos.div_ceil(1_000).max(1));
        }
        if bad.class.is_unknown() {
            *self.unknown.entry(bad.class).or_default() += 1;
        } else {
            self.failed += 1;
        }
        let known = self.causes.keys().filter(|(class, _)| *class == bad.class).count();
        let cause = (bad.class, bad.detail.clone());
        let cause = if known < MOST_CAUSES || self.causes.contains_key(&cause) { cause } else { others(bad.class) };
        *self.causes.entry(cause).or_default() += 1;
    }

    /// How its samples were due.
    pub fn schedule(&self) -> &ProbeSchedule {
        &self.schedule
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.schedule.probe
    }

    /// Samples that were due.
    pub fn due(&self) -> u64 {
        self.due
    }

    /// Samples answered well and in time.
    pub fn good(&self) -> u64 {
        self.good
    }

    /// Samples that the system failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Samples that say nothing.
    pub fn unknown(&self) -> u64 {
        self.unknown.values().sum()
    }

    /// Good answers that took at most so many microseconds: at least so many, and at most so many with those of the bucket in
    /// whose middle the bound lies.
    pub(super) fn good_within(&self, micros: u64) -> (u64, u64) {
        let surely: u64 = self.good_latency.range(..=micros).map(|(_, count)| count).sum();
        let next = self.good_latency.range(micros.saturating_add(1)..).next();
        let perhaps = next.filter(|(edge, _)| least(**edge) <= micros).map_or(0, |(_, count)| *count);
        (surely, surely + perhaps)
    }

    /// The latency at or below which so many good answers are; `None`: there are not so many.
    pub(super) fn latency_of_rank(&self, rank: u64) -> Option<u64> {
        of_rank(&self.good_latency, rank)
    }

    /// The lag at or below which so many samples were sent; `None`: not so many were sent.
    pub(super) fn lag_of_rank(&self, rank: u64) -> Option<u64> {
        of_rank(&self.lag, rank)
    }

    /// What it has shown in `seconds`; `steps` are the requests of the flow with their buckets.
    pub fn summary(&self, seconds: f64, steps: &[(String, Vec<(u64, u64)>)]) -> FlowSummary {
        let unknown = |class| self.unknown.get(&class).copied().unwrap_or_default();
        let mut causes: Vec<FailureCount> = self
            .causes
            .iter()
            .map(|((class, detail), count)| FailureCount { class: *class, detail: detail.clone(), count: *count })
            .collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.count));
        let steps = if steps.len() > 1 { steps } else { &[] };
        let step = |(request, buckets): &(String, Vec<(u64, u64)>)| StepSummary {
            request: request.clone(),
            latency: Quantiles::of(&buckets.iter().copied().collect()),
        };
        FlowSummary {
            flow: self.schedule.probe.clone(),
            due: self.due,
            good: self.good,
            failed: self.failed,
            late: unknown(BadClass::Late),
            unsent: unknown(BadClass::Unsent),
            unknown_outcome: unknown(BadClass::UnknownOutcome),
            good_per_second: if seconds > 0.0 { self.good as f64 / seconds } else { 0.0 },
            latency: Quantiles::of(&self.good_latency),
            lag: Quantiles::of(&self.lag),
            causes,
            steps: steps.iter().map(step).collect(),
        }
    }
}

fn others(class: BadClass) -> (BadClass, String) {
    (class, "other causes".to_owned())
}

/// The least that counts in the bucket which ends at `edge`, as a recorder makes them: 128 to each doubling.
pub(super) fn least(edge: u64) -> u64 {
    let width = 1 << edge.max(1).ilog2().saturating_sub(7);
    (edge + 1).saturating_sub(width)
}

fn of_rank(buckets: &BTreeMap<u64, u64>, rank: u64) -> Option<u64> {
    let mut seen = 0;
    buckets.iter().find_map(|(edge, count)| {
        seen += count;
        (seen >= rank).then_some(*edge)
    })
}

impl Quantiles {
    fn of(buckets: &BTreeMap<u64, u64>) -> Self {
        let count: u64 = buckets.values().sum();
        if count == 0 {
            return Self::default();
        }
        let rank = |per_mille: u64| {
            let rank = u64::try_from((u128::from(count) * u128::from(per_mille)).div_ceil(1_000)).unwrap_or(count);
            of_rank(buckets, rank.max(1)).unwrap_or_default()
        };
        let sum: u128 = buckets.iter().map(|(edge, count)| u128::from(*edge) * u128::from(*count)).sum();
        Self {
            count,
            min_us: rank(0),
            mean_us: u64::try_from(sum / u128::from(count)).unwrap_or(u64::MAX),
            p50_us: rank(500),
            p90_us: rank(900),
            p95_us: rank(950),
            p99_us: rank(990),
            p999_us: rank(999),
            max_us: rank(1_000),
        }
    }
}
