//! The record of an operated run as it lives in the status of its ExperimentRun, both ways without a loss, and what else a
//! status tells people. Pure.

use jiff::Timestamp;

use super::{Record, Stage};
use crate::api::{
    ExperimentRunStatus, ProberStage, RunClaim, RunKill, RunKiller, RunPhase, RunProbe, RunProgress, StopRecord,
};
use crate::instant::{after, micro_time, time};
use crate::killer::Ledger;
use crate::record::StopCause;
use crate::result::{KillRow, RunResult};
use crate::run::{RunState, WindDown};
use crate::units::Duration;

/// Kills that the memory of a run's killer keeps in the status; the evidence has them all.
const HISTORY: usize = 60;
/// Skips that it keeps.
const SKIPPED: usize = 10;
/// Kills that are told with what followed.
const TIMELINE: usize = 20;
/// Longest sentence of a claim, in characters.
const SENTENCE: usize = 500;
/// No status is longer, in bytes of JSON.
const STATUS_BYTES: usize = 64 * 1024;

/// What a status remembers of the run.
pub fn read_record(status: &ExperimentRunStatus) -> Record {
    let stage = stage(status.phase, &status.progress.clone().unwrap_or_default());
    Record { stage, resolved: status.resolved.clone(), verdict: status.verdict.clone() }
}

/// Writes the record into a status; what is not its own there stays.
pub fn write_record(record: &Record, status: &mut ExperimentRunStatus, now: Timestamp) {
    let (phase, progress) = phase(&record.stage);
    status.phase = phase;
    status.progress = (progress != RunProgress::default()).then_some(progress);
    status.resolved = record.resolved.clone();
    status.verdict = record.verdict.clone();
    let begun = !matches!(record.stage, Stage::Running(RunState::New))
        && matches!(record.stage, Stage::Running(_) | Stage::Judging { .. });
    if begun {
        status.started_at.get_or_insert_with(|| time(now));
    }
    if record.stage == Stage::Completed {
        status.finished_at.get_or_insert_with(|| time(now));
    }
}

/// What a prober is to do while the run is there. Orders only ever go forwards, and none goes out before a prober is needed.
pub fn order_of(stage: &Stage) -> Option<ProberStage> {
    match stage {
        Stage::New | Stage::Resolving { .. } | Stage::AwaitingApproval { .. } => None,
        Stage::Preparing { .. } | Stage::Running(RunState::New) => Some(ProberStage::Prepare),
        Stage::Running(run) => Some(match run {
            RunState::WindingDown { next: WindDown::AskAfter, .. } => ProberStage::Stop,
            RunState::WindingDown { next: WindDown::CleanUp, .. } => ProberStage::AskAfter,
            RunState::Finished { .. } => ProberStage::Release,
            _ => ProberStage::Load,
        }),
        Stage::Judging { .. } | Stage::Completed => Some(ProberStage::Release),
    }
}

fn phase(stage: &Stage) -> (Option<RunPhase>, RunProgress) {
    let until = |until: &Timestamp| RunProgress { until: Some(micro_time(*until)), ..RunProgress::default() };
    let stopped = |stop: Option<&StopCause>| RunProgress { stop: stop.map(stop_record), ..RunProgress::default() };
    let none = RunProgress::default;
    let (phase, progress) = match stage {
        Stage::New => return (None, none()),
        Stage::Resolving { until: at } => (RunPhase::Resolving, until(at)),
        Stage::AwaitingApproval { until: at } => (RunPhase::AwaitingApproval, until(at)),
        Stage::Preparing { until: at, queued } => {
            (RunPhase::Preparing, RunProgress { since: queued.map(micro_time), ..until(at) })
        }
        Stage::Running(RunState::New) => (RunPhase::Starting, none()),
        Stage::Running(RunState::Asking) => (RunPhase::Asking, none()),
        Stage::Running(RunState::Baseline { until: at }) => (RunPhase::Baseline, until(at)),
        Stage::Running(RunState::Fault { ceiling }) => (RunPhase::Fault, until(ceiling)),
        Stage::Running(RunState::Settling { since }) => {
            (RunPhase::Settling, RunProgress { since: Some(micro_time(*since)), ..none() })
        }
        Stage::Running(RunState::Recovery { until: at }) => (RunPhase::Recovery, until(at)),
        Stage::Running(RunState::WindingDown { next, stop }) => {
            (RunPhase::WindingDown, RunProgress { next: Some(*next), ..stopped(stop.as_ref()) })
        }
        Stage::Running(RunState::Finished { stop }) => (RunPhase::WindingDown, stopped(stop.as_ref())),
        Stage::Judging { stop } => (RunPhase::Judging, stopped(stop.as_ref())),
        Stage::Completed => (RunPhase::Completed, none()),
    };
    (Some(phase), progress)
}

fn stage(phase: Option<RunPhase>, progress: &RunProgress) -> Stage {
    // An end that is missing is one that has come.
    let until = progress.until.as_ref().map_or(Timestamp::UNIX_EPOCH, |until| until.0);
    let stop = || progress.stop.as_ref().map(stop_cause);
    let run = match phase {
        None => return Stage::New,
        Some(RunPhase::Resolving) => return Stage::Resolving { until },
        Some(RunPhase::AwaitingApproval) => return Stage::AwaitingApproval { until },
        Some(RunPhase::Preparing) => {
            return Stage::Preparing { until, queued: progress.since.as_ref().map(|since| since.0) };
        }
        Some(RunPhase::Judging) => return Stage::Judging { stop: stop() },
        Some(RunPhase::Completed) => return Stage::Completed,
        Some(RunPhase::Starting) => RunState::New,
        Some(RunPhase::Asking) => RunState::Asking,
        Some(RunPhase::Baseline) => RunState::Baseline { until },
        Some(RunPhase::Fault) => RunState::Fault { ceiling: until },
        Some(RunPhase::Settling) => {
            RunState::Settling { since: progress.since.as_ref().map_or(Timestamp::UNIX_EPOCH, |since| since.0) }
        }
        Some(RunPhase::Recovery) => RunState::Recovery { until },
        Some(RunPhase::WindingDown) => match progress.next {
            Some(next) => RunState::WindingDown { next, stop: stop() },
            None => RunState::Finished { stop: stop() },
        },
    };
    Stage::Running(run)
}

/// A cause as a status tells it.
pub(super) fn stop_record(cause: &StopCause) -> StopRecord {
    let message = match cause {
        StopCause::SloRefuted { probe } => probe,
        StopCause::Signal { name } => name,
        StopCause::Guard { message }
        | StopCause::Switch { message }
        | StopCause::NotRecovered { message }
        | StopCause::Blind { message }
        | StopCause::Journal { message }
        | StopCause::Killer { message }
        | StopCause::NoProbes { message }
        | StopCause::Probes { message } => message,
    };
    StopRecord { cause: cause.name().to_owned(), message: message.clone() }
}

/// And back. A cause of a newer version is told as one of the killer, which ends a run as stopped.
fn stop_cause(record: &StopRecord) -> StopCause {
    let message = record.message.clone();
    match record.cause.as_str() {
        "SloRefuted" => StopCause::SloRefuted { probe: message },
        "Guard" => StopCause::Guard { message },
        "Switch" => StopCause::Switch { message },
        "Signal" => StopCause::Signal { name: message },
        "NotRecovered" => StopCause::NotRecovered { message },
        "Blind" => StopCause::Blind { message },
        "Journal" => StopCause::Journal { message },
        "NoProbes" => StopCause::NoProbes { message },
        "Probes" => StopCause::Probes { message },
        _ => StopCause::Killer { message },
    }
}

/// The memory of a run's own killer.
pub fn read_killer(status: &ExperimentRunStatus) -> Ledger {
    let killer = status.killer.clone().unwrap_or_default();
    Ledger {
        upcoming: killer.upcoming,
        intents: killer.intents,
        history: killer.history,
        skipped: killer.skipped,
        groups: killer.groups,
        // The strikes of a run go to all groups in turn.
        unplanned: None,
        recovering: killer.recovering,
        kills: killer.kills,
        kills_today: killer.kills_today,
        // A dry run ends before there is a killer.
        live: None,
        struck: killer.struck,
        skips: killer.skips,
        strikes: killer.strikes,
        ended: killer.ended,
        plan: killer.plan,
        fences: killer.fences,
        unfinished: killer.unfinished,
    }
}

/// Writes the memory of a run's own killer into a status. Only the latest kills and skips fit.
pub fn write_killer(ledger: &Ledger, status: &mut ExperimentRunStatus) {
    let Ledger {
        upcoming,
        intents,
        history,
        skipped,
        groups,
        unplanned: _,
        recovering,
        kills,
        kills_today,
        live: _,
        struck,
        skips,
        strikes,
        ended,
        plan,
        fences,
        unfinished,
    } = ledger.clone();
    (status.kills, status.skips) = (kills, skips);
    let history = last(history, HISTORY);
    let skipped = last(skipped, SKIPPED);
    status.killer = Some(RunKiller {
        upcoming,
        intents,
        history,
        skipped,
        groups,
        recovering,
        kills,
        kills_today,
        struck,
        skips,
        strikes,
        ended,
        plan,
        fences,
        unfinished,
    });
}

/// What a judged run tells people, besides its verdict.
pub fn summarise(result: &RunResult, status: &mut ExperimentRunStatus) {
    let short = |text: &str| text.chars().take(SENTENCE).collect();
    let claims = result.claims.iter().map(|claim| RunClaim {
        claim: short(&claim.claim),
        probe: claim.probe.clone(),
        holds: claim.holds.as_str().to_owned(),
    });
    status.claims = claims.take(40).collect();
    let probes = result.probes.iter().map(|probe| RunProbe {
        probe: probe.probe.clone(),
        requests: probe.judged.slots,
        failed: probe.judged.failed,
        slow: probe.judged.slow,
        unknown: probe.judged.unknown,
    });
    status.probes = probes.collect();
    status.kills = result.kills.done;
    status.skips = result.skips.iter().map(|skip| skip.count).sum();
    let kills = result.kill_rows.iter().map(|row| kill(row, result.run.started_at)).collect();
    status.timeline = last(kills, TIMELINE);
}

fn kill(row: &KillRow, started_at: Timestamp) -> RunKill {
    let at = after(started_at, std::time::Duration::from_micros(row.at_us));
    let ready = row.replacement_ready_us.and_then(|ready| ready.checked_sub(row.at_us));
    RunKill {
        strike: row.strike,
        pod: format!("{}/{}", row.victim.namespace, row.victim.pod),
        at: time(at),
        ready_after: ready.map(|micros| Duration::from_millis(micros / 1_000)),
        lost: row.losses.iter().map(|loss| loss.failed + loss.slow).sum(),
    }
}

/// Makes a status fit: what is only for people goes first, then the oldest records, which the evidence has too. What the
/// killer needs to go on never goes.
pub fn fit(status: &mut ExperimentRunStatus) {
    let shortened: [fn(&mut ExperimentRunStatus); 6] = [
        |status| status.timeline.clear(),
        |status| {
            if let Some(resolved) = &mut status.resolved {
                resolved.schedule.clear();
                resolved.power.clear();
                resolved.exclusions.truncate(5);
            }
        },
        |status| status.claims.iter_mut().for_each(|claim| claim.claim = claim.claim.chars().take(120).collect()),
        |status| status.killer.iter_mut().for_each(|killer| killer.skipped.clear()),
        |status| status.killer.iter_mut().for_each(|killer| killer.history = last(killer.history.clone(), 10)),
        |status| {
            status.probes.truncate(10);
            status.claims.truncate(10);
        },
    ];
    for shorten in shortened {
        if serde_json::to_vec(status).map_or(0, |json| json.len()) <= STATUS_BYTES {
            return;
        }
        shorten(status);
    }
}

fn last<T>(mut all: Vec<T>, count: usize) -> Vec<T> {
    let surplus = all.len().saturating_sub(count);
    all.drain(..surplus);
    all
}
