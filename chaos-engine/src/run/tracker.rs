//! What the status of a run-owned `ChaosMonkey` says, as events of the run, on the run's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chaos_core::api::{ChaosMonkey, ChaosMonkeyStatus, KillRecord};
use chaos_core::killer::EndReason;
use chaos_core::record::{Event, RunTime};
use jiff::{SignedDuration, Timestamp};

use super::offset::Offset;
use super::told::{ENDED_EARLY, Told};
use crate::clock::RunClock;

/// An offset of the clocks that is known this well is good enough, in nanoseconds: the verdict's own bound.
const PRECISE: u64 = 50_000_000;

/// How long a kill may wait to be recorded for a good reading of the clocks, in nanoseconds.
const READING_WAIT: u64 = 5_000_000_000;

/// A monkey that ended sooner than this before its time ended in time: clocks that nobody has set differ by less.
const EARLY: SignedDuration = SignedDuration::from_secs(1);

/// Turns the status of a monkey into events, each once.
pub(super) struct Tracker {
    clock: RunClock,
    told: Told,
    offset: Offset,
    /// When the first kill was learned of.
    first_kill: Option<RunTime>,
    /// Kills, some of them told before, that wait for a better reading of the clocks.
    held: Vec<KillRecord>,
    /// How well `clock` is known by the clock of the record, in nanoseconds.
    slack: Arc<AtomicU64>,
    /// Which process this is.
    instance: Option<String>,
    /// How far the clock of this machine was from `clock` when the monkey was last seen, in nanoseconds.
    set_by: Option<i128>,
}

impl Tracker {
    /// A tracker that tells what `told` does not know yet.
    pub(super) const fn new(clock: RunClock, told: Told, slack: Arc<AtomicU64>, instance: Option<String>) -> Self {
        Self { clock, told, offset: Offset::UNKNOWN, first_kill: None, held: Vec::new(), slack, instance, set_by: None }
    }

    /// What is new in a monkey's status.
    pub(super) fn take(&mut self, monkey: &ChaosMonkey, now: RunTime) -> Vec<Event> {
        let Some(status) = &monkey.status else { return Vec::new() };
        let was_stepped = self.offset.is_stepped();
        let mut events: Vec<_> = self.measure(status, now).into_iter().collect();
        if let Some(nanos) = self.offset.stepped_by().filter(|_| !was_stepped) {
            events.push(Event::Note { at: now, text: stepped(nanos) });
        }
        events.extend(self.ended_early(monkey, now));
        events.extend(self.told.intents(&status.intents, now));
        events.extend(self.told.skips(&status.skipped, now));
        events.extend(self.told.put_off(&status.upcoming, now));
        if status.history.is_empty() {
            return events;
        }
        // A better reading of the operator's clock is worth a short wait: the instant of a kill decides which requests it
        // stands for, and is recorded once. After a step of a clock none can come, and a monkey that kills no more may say
        // nothing more.
        let first = *self.first_kill.get_or_insert(now);
        let may_improve = !self.offset.is_stepped() && !monkey.spec.suspend && status.ended.is_none();
        if may_improve && self.offset.uncertainty() > PRECISE && now.0.saturating_sub(first.0) < READING_WAIT {
            self.held.clone_from(&status.history);
            return events;
        }
        self.held.clear();
        events.extend(self.kills(&status.history, now));
        events
    }

    /// Nothing more is going to be heard: the kills that waited for a better reading of the clocks.
    pub(super) fn rest(&mut self, now: RunTime) -> Vec<Event> {
        let held = std::mem::take(&mut self.held);
        self.kills(&held, now)
    }

    /// The kills that are new, as well as their instants are known by now.
    fn kills(&mut self, history: &[KillRecord], now: RunTime) -> Vec<Event> {
        let (clock, offset, slack) = (self.clock, self.offset, self.slack.load(Ordering::Relaxed));
        let instant = |kill: &KillRecord| {
            // By a clock that was set anew it was sent before we learned of it, and nothing else is known.
            let ours = offset.ours(kill.at.0).filter(|_| !offset.is_stepped());
            let at = ours.map_or(now, |at| clock.from_timestamp(at));
            // A kill cannot have been sent after we learned of it.
            (at.min(now), offset.uncertainty().saturating_add(slack))
        };
        self.told.kills(history, instant)
    }

    /// Learns of the operator's clock what this status tells, and says so if it is known better now.
    fn measure(&mut self, status: &ChaosMonkeyStatus, now: RunTime) -> Option<Event> {
        let before = self.offset.uncertainty();
        if self.instance.is_some() && self.instance == status.driver {
            self.compare_own(self.clock.set_by());
            let (offset, uncertainty) = (self.offset.nanos(), self.offset.uncertainty());
            return (uncertainty < before).then_some(Event::Clock { at: now, offset, uncertainty });
        }
        if let Some(reading) = &status.clock {
            self.offset.heard(reading.heartbeat.0, reading.read_at.0);
        }
        let read = status.clock.iter().map(|reading| reading.read_at.0);
        let decided = status.intents.iter().map(|intent| intent.decided_at.0);
        let sent = status.history.iter().map(|kill| kill.at.0);
        let ended = status.ended.iter().map(|end| end.at.0);
        if let Some(written) = read.chain(decided).chain(sent).chain(ended).max() {
            self.offset.told(written, self.clock.timestamp(now));
        }
        let uncertainty = self.offset.uncertainty();
        (uncertainty < before).then(|| Event::Clock { at: now, offset: self.offset.nanos(), uncertainty })
    }

    /// That the operator ended the kills because their time was over, if by the clock of the run it was not: kills are missing then
    /// by a clock that is wrong.
    fn ended_early(&mut self, monkey: &ChaosMonkey, now: RunTime) -> Option<Event> {
        let end = monkey.status.as_ref()?.ended.as_ref()?;
        let (until, ours) = (monkey.spec.until.as_ref()?.0, self.clock.timestamp(now));
        let early = until.duration_since(ours);
        let is_early = EndReason::parse(&end.reason) == Some(EndReason::Until) && early >= EARLY;
        (is_early && self.told.early_end()).then(|| Event::Note { at: now, text: ended_early(early, end.at.0, ours) })
    }

    /// The operator is this process: its clock is the machine's, which is so far from the run's, in nanoseconds, and was somewhere
    /// else if it was set since the monkey was last seen.
    fn compare_own(&mut self, set_by: i128) {
        let before = self.set_by.replace(set_by).unwrap_or(set_by);
        if set_by.abs_diff(before) > u128::from(PRECISE) {
            self.offset = Offset::set_anew(before, set_by);
        } else if !self.offset.is_stepped() {
            self.offset = Offset::exactly(set_by);
        }
    }
}

fn stepped(nanos: u128) -> String {
    format!(
        "the clock of the operator was set by some {} ms while it killed, or runs at another pace: from then on nobody knows when its \
         kills were sent, and they are told for when they were learned of",
        nanos / 1_000_000
    )
}

/// `ours` is when it was learned of: it ended by then.
fn ended_early(early: SignedDuration, theirs: Timestamp, ours: Timestamp) -> String {
    format!(
        "{ENDED_EARLY} {} s before their time was over: its clock showed {theirs:.3} by {ours:.3} of the clock of this run; kills that \
         are missing for that say nothing about the platform",
        early.as_secs()
    )
}

#[cfg(test)]
mod tests;
