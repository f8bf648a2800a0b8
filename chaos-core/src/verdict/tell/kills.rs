//! Rows and figures of the kills.

use std::collections::BTreeMap;

use crate::evidence::{Evidence, Exposure, Recorded, Timeline, TrialLoad};
use crate::record::{Kill, RunTime};
use crate::result::{Distribution, KillRow, KillSummary, LossOf, Recovery, SkipCount};
use crate::verdict::findings::{strikes_done, victims_still_there};
use crate::verdict::spec::JudgeSpec;

pub(super) fn summary(spec: &JudgeSpec, evidence: &Evidence<'_>) -> KillSummary {
    let any = |trial: usize, what: fn(&TrialLoad) -> bool| evidence.loads.iter().any(|load| what(&load.trials[trial]));
    let trials = || 0..evidence.trials.len();
    let is_bad = |trial: usize| any(trial, |load| load.counts.failed + load.counts.slow > 0);
    let is_unknown = |trial: usize| !is_bad(trial) && any(trial, |load| load.counts.unknown > 0);
    KillSummary {
        planned: spec.strikes_target,
        least: spec.strikes_min,
        attempted: evidence.recorded.kills.len() as u64,
        strikes: strikes_done(evidence),
        done: evidence.timelines.iter().filter(|timeline| timeline.done).count() as u64,
        still_there: victims_still_there(evidence),
        trials: evidence.trials.len() as u64,
        exposed: trials().filter(|trial| any(*trial, is_exposed)).count() as u64,
        bad: trials().filter(|trial| is_bad(*trial)).count() as u64,
        unknown: trials().filter(|trial| is_unknown(*trial)).count() as u64,
    }
}

/// As claims have it: a window in which nothing was asked shows nothing of its kill.
const fn is_exposed(load: &TrialLoad) -> bool {
    matches!(load.exposure, Exposure::Yes) && load.counts.slots > 0
}

pub(super) fn rows(evidence: &Evidence<'_>) -> Vec<KillRow> {
    let mut trial_of = BTreeMap::new();
    for (number, trial) in evidence.trials.iter().enumerate() {
        trial_of.extend(trial.kills.iter().map(|kill| (*kill, (number, *kill == trial.kills[0]))));
    }
    let recorded = &evidence.recorded;
    let row = |(index, (kill, timeline)): (usize, (&&Kill, &Timeline<'_>))| {
        let trial = trial_of.get(&index).copied();
        let exposed = evidence.loads.iter().filter(|load| load.exposure[index] == Exposure::Yes);
        KillRow {
            trial: trial.map(|(number, _)| number as u64),
            exposed: exposed.map(|load| load.schedule.probe.clone()).collect(),
            ..with_losses(bare_row(kill, timeline), evidence, trial)
        }
    };
    recorded.kills.iter().zip(&evidence.timelines).enumerate().map(row).collect()
}

fn bare_row(kill: &Kill, timeline: &Timeline<'_>) -> KillRow {
    let replacement = timeline.replacement.as_ref();
    let micros = |at: Option<RunTime>| at.map(RunTime::micros);
    KillRow {
        strike: kill.strike,
        nonce: kill.nonce.clone(),
        at_us: kill.at.micros(),
        victim: kill.victim.clone(),
        outcome: kill.outcome,
        message: kill.message.clone(),
        trial: None,
        exposed: Vec::new(),
        losses: Vec::new(),
        terminating_us: micros(timeline.terminating),
        endpoint_out_us: micros(timeline.endpoint_out),
        deleted_us: micros(timeline.deleted),
        replacement: replacement.map(|replacement| replacement.pod.to_owned()),
        replacement_created_us: replacement.map(|replacement| replacement.created.micros()),
        replacement_scheduled_us: replacement.and_then(|replacement| micros(replacement.scheduled)),
        replacement_started_us: replacement.and_then(|replacement| micros(replacement.started)),
        replacement_ready_us: replacement.and_then(|replacement| micros(replacement.ready)),
        first_failure_us: None,
        last_failure_us: None,
        first_success_us: None,
    }
}

/// The losses of a trial stand on the row of its first kill.
fn with_losses(mut row: KillRow, evidence: &Evidence<'_>, trial: Option<(usize, bool)>) -> KillRow {
    let Some((number, true)) = trial else {
        return row;
    };
    let of_trial = || evidence.loads.iter().map(|load| (&load.schedule.probe, &load.trials[number]));
    row.losses = of_trial()
        .map(|(probe, trial)| LossOf {
            probe: probe.clone(),
            requests: trial.counts.slots,
            failed: trial.counts.failed,
            slow: trial.counts.slow,
            unknown: trial.counts.unknown,
        })
        .collect();
    row.first_failure_us = of_trial().filter_map(|(_, trial)| trial.first_failure).min().map(RunTime::micros);
    row.last_failure_us = of_trial().filter_map(|(_, trial)| trial.last_failure).max().map(RunTime::micros);
    row.first_success_us = of_trial().filter_map(|(_, trial)| trial.first_success).max().map(RunTime::micros);
    row
}

pub(super) fn recovery(evidence: &Evidence<'_>) -> Recovery {
    Recovery {
        detect: Distribution::of(since_kill(evidence, |timeline| timeline.endpoint_out)),
        ready: Distribution::of(since_kill(evidence, Timeline::ready)),
        traffic: Distribution::of(traffic(evidence)),
        not_recovered: done(evidence).filter(|(_, timeline)| timeline.ready().is_none()).count() as u64,
    }
}

fn done<'a>(evidence: &'a Evidence<'_>) -> impl Iterator<Item = (&'a Kill, &'a Timeline<'a>)> {
    let kills = evidence.recorded.kills.iter().copied();
    kills.zip(&evidence.timelines).filter(|(_, timeline)| timeline.done)
}

fn since_kill<'a>(evidence: &'a Evidence<'_>, when: impl Fn(&'a Timeline<'a>) -> Option<RunTime>) -> Vec<u64> {
    done(evidence).filter_map(|(kill, timeline)| Some(when(timeline)?.0.saturating_sub(kill.at.0) / 1_000)).collect()
}

/// For each trial and probe: from the first kill to the first good request after the last failed one; 0 without a failed
/// one; to the end of the window where none was good any more.
fn traffic(evidence: &Evidence<'_>) -> Vec<u64> {
    let mut spans = Vec::new();
    for (number, trial) in evidence.trials.iter().enumerate() {
        let kill = evidence.recorded.kills[trial.kills[0]].at;
        let healthy = |load: &TrialLoad| load.last_failure.map(|_| load.first_success.unwrap_or(trial.span.end));
        let worst = evidence.loads.iter().filter_map(|load| healthy(&load.trials[number])).max();
        spans.push(worst.map_or(0, |healthy| healthy.0.saturating_sub(kill.0) / 1_000));
    }
    spans
}

pub(super) fn skips(recorded: &Recorded<'_>) -> Vec<SkipCount> {
    let mut by_reason: BTreeMap<&str, SkipCount> = BTreeMap::new();
    for skip in &recorded.skips {
        let fresh = || SkipCount { reason: skip.reason.clone(), count: 0, example: skip.message.clone() };
        by_reason.entry(&skip.reason).or_insert_with(fresh).count += 1;
    }
    by_reason.into_values().collect()
}

pub(super) fn put_off(recorded: &Recorded<'_>) -> Vec<SkipCount> {
    let mut by_reason: BTreeMap<&str, SkipCount> = BTreeMap::new();
    for (strike, reason) in &recorded.put_off {
        let fresh = || SkipCount { reason: (*reason).to_owned(), count: 0, example: format!("strike {strike}") };
        by_reason.entry(reason).or_insert_with(fresh).count += 1;
    }
    by_reason.into_values().collect()
}
