//! Figures of the http probes: counts, quantiles, classes of failures, and the series of seconds.

use std::collections::BTreeMap;

use crate::evidence::{Evidence, Load, State};
use crate::model::{ClaimSpec, Slo};
use crate::record::{Bin, RunTime};
use crate::result::{ClassCount, Counts, LatencyQuantiles, ProbeResult, Second, Series};
use crate::verdict::spec::{JudgeSpec, JudgedBy};

const SECOND: u64 = 1_000_000_000;

pub(super) fn probes(spec: &JudgeSpec, evidence: &Evidence<'_>) -> Vec<ProbeResult> {
    evidence.loads.iter().map(|load| probe(slo_of(spec, &load.schedule.probe), evidence, load)).collect()
}

fn slo_of<'a>(spec: &'a JudgeSpec, probe: &str) -> Option<&'a Slo> {
    spec.probes.iter().find(|candidate| candidate.name == probe).and_then(|probe| match &probe.judged_by {
        JudgedBy::Slo(slo) => Some(slo),
        JudgedBy::Expectation(_) | JudgedBy::Invariants { .. } => None,
    })
}

fn probe(slo: Option<&Slo>, evidence: &Evidence<'_>, load: &Load<'_>) -> ProbeResult {
    let phases = &evidence.recorded.phases;
    let fault = phases.fault.map_or(RunTime(u64::MAX), |fault| fault.start);
    let end = phases.judged().map_or(RunTime(u64::MAX), |judged| judged.end);
    let before = load.bins.iter().filter(|bin| bin.at.0.saturating_add(SECOND) <= fault.0);
    let after = || load.bins.iter().filter(|bin| bin.at.0.saturating_add(SECOND) > fault.0 && bin.at < end);
    ProbeResult {
        probe: load.schedule.probe.clone(),
        latency_bound_us: load.schedule.latency_bound.map(|bound| bound / 1_000),
        baseline: load.baseline,
        judged: load.judged,
        recovery: load.recovery,
        baseline_latency: quantiles(before.map(|bin| bin.latency.as_slice())),
        judged_latency: quantiles(after().map(|bin| bin.latency.as_slice())),
        lag: quantiles(after().map(|bin| bin.lag.as_slice())),
        worst_outage: load.worst_outage,
        classes: load
            .classes
            .iter()
            .map(|(class, (count, first))| ClassCount { class: *class, count: *count, example: first.detail.clone() })
            .collect(),
        budget_30d_ppm: slo.and_then(|slo| budget_30d(slo, &load.judged)),
    }
}

/// Share of the service's error budget of 30 days that was used, in millionths; never 0 where something of it was.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; `as` saturates")]
fn budget_30d(slo: &Slo, counts: &Counts) -> Option<u64> {
    let requests = slo.requests_per_30d.filter(|requests| *requests > 0)?;
    let claim = slo.claims.first()?;
    let bad = match claim {
        ClaimSpec::Availability { .. } => counts.failed,
        ClaimSpec::Latency { .. } => counts.failed + counts.slow,
    };
    let budget = claim.share().complement() * requests as f64;
    (budget > 0.0).then(|| ((bad as f64 / budget * 1e6).round() as u64).max(u64::from(bad > 0)))
}

pub(super) fn series(evidence: &Evidence<'_>) -> Vec<Series> {
    evidence.loads.iter().map(|load| Series { probe: load.schedule.probe.clone(), seconds: seconds(load) }).collect()
}

fn seconds(load: &Load<'_>) -> Vec<Second> {
    load.bins.iter().map(|bin| second(load, bin)).collect()
}

fn second(load: &Load<'_>, bin: &Bin) -> Second {
    let first = load.bad.partition_point(|slot| slot.slot < bin.first_slot);
    let after = load.bad.partition_point(|slot| slot.slot < bin.end());
    let mut counts = Counts::default();
    for slot in &load.bad[first..after] {
        counts.add(State::of(slot, load.schedule.max_lag));
    }
    counts.good = bin.slots.saturating_sub(counts.not_good());
    counts.slots = bin.slots;
    let latency = quantiles(std::iter::once(bin.latency.as_slice()));
    Second { at_us: bin.at.micros(), counts, p50_us: latency.p50_us, p99_us: latency.p99_us }
}

/// Quantiles of sparse histograms of (upper edge in microseconds, count). Sums saturate: a record from elsewhere may hold anything.
fn quantiles<'a>(histograms: impl Iterator<Item = &'a [(u64, u64)]>) -> LatencyQuantiles {
    let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
    for (edge, count) in histograms.flatten() {
        let so_far = buckets.entry(*edge).or_default();
        *so_far = so_far.saturating_add(*count);
    }
    let count = buckets.values().copied().fold(0, u64::saturating_add);
    let at = |per_mille: u64| {
        let rank = u64::try_from((u128::from(count) * u128::from(per_mille)).div_ceil(1_000)).unwrap_or(count);
        let mut seen: u64 = 0;
        buckets
            .iter()
            .find(|(_, in_bucket)| {
                seen = seen.saturating_add(**in_bucket);
                seen >= rank
            })
            .map_or(0, |(edge, _)| *edge)
    };
    if count == 0 {
        return LatencyQuantiles::default();
    }
    LatencyQuantiles { count, p50_us: at(500), p90_us: at(900), p99_us: at(990), p999_us: at(999), max_us: at(1_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_upper_edges_by_nearest_rank() {
        let histograms: [&[(u64, u64)]; 2] = [&[(10, 50), (20, 49)], &[(10, 0), (900, 1)]];
        let quantiles = quantiles(histograms.into_iter());
        assert_eq!((quantiles.count, quantiles.p50_us, quantiles.p90_us), (100, 10, 20));
        assert_eq!((quantiles.p99_us, quantiles.p999_us, quantiles.max_us), (20, 900, 900));
        assert_eq!(super::quantiles(std::iter::empty()), LatencyQuantiles::default());
    }
}
