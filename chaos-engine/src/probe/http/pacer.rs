//! Keeps the time of the load: says which slot of which probe is due next, and waits for it, asleep until shortly before, the
//! rest awake. It never skips: a slot that it reaches late is given all the same, for the worker to record.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::{Duration, Instant};

use chaos_core::record::RunTime;
use chaos_core::slots::DueTimes;
use tokio::sync::oneshot;

use super::alarm::Alarm;
use crate::clock::RunClock;

/// How long is waited awake before a slot. A sleeper is woken up later than it asked for: waiting awake for that long would
/// make slots a little more punctual, and cost half a percent of a core more at 1,000 requests a second.
const SPIN: Duration = Duration::from_micros(15);

/// A slot that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Which probe, by its place in the schedule.
    pub(super) lane: usize,
    /// Its number.
    pub(super) number: u64,
    /// When it was due.
    pub(super) due: RunTime,
}

/// The slots of all probes, one after the other.
#[derive(Debug)]
pub(super) struct Pacer {
    due: Vec<DueTimes>,
    next: BinaryHeap<Reverse<(RunTime, usize, u64)>>,
    /// No slot is due from here on.
    end: Option<RunTime>,
    stop: Option<oneshot::Receiver<RunTime>>,
    clock: RunClock,
    alarm: Alarm,
}

impl Pacer {
    /// Gives slots that are due before `end` if there is one, and before the instant that `stop` tells; where `stop` is
    /// dropped, before then. Must be called within a runtime.
    pub(super) fn new(
        due: Vec<DueTimes>,
        end: Option<RunTime>,
        stop: oneshot::Receiver<RunTime>,
        clock: RunClock,
    ) -> io::Result<Self> {
        let next = BinaryHeap::with_capacity(due.len());
        let mut pacer = Self { due, next, end, stop: Some(stop), clock, alarm: Alarm::new()? };
        (0..pacer.due.len()).for_each(|lane| pacer.plan(lane));
        Ok(pacer)
    }

    /// The next slot, when it is due; `None` when the schedule has ended.
    pub(super) async fn next(&mut self) -> Option<Slot> {
        // Where slots are late this does not wait, and answers must have their turn all the same.
        tokio::task::consume_budget().await;
        let Reverse((due, lane, number)) = self.next.pop()?;
        if !self.wait_until(due).await {
            return None;
        }
        self.plan(lane);
        Some(Slot { lane, number, due })
    }

    fn plan(&mut self, lane: usize) {
        let times = &mut self.due[lane];
        let number = times.next_slot();
        self.next.extend(times.next().map(|due| Reverse((due, lane, number))));
    }

    /// Waits for an instant of the run; false where the schedule ends before it.
    async fn wait_until(&mut self, due: RunTime) -> bool {
        let instant = self.clock.instant(due);
        loop {
            self.look_for_stop();
            if self.end.is_some_and(|end| due >= end) {
                return false;
            }
            let left = instant.saturating_duration_since(Instant::now());
            match left.checked_sub(SPIN) {
                Some(sleep) if !sleep.is_zero() => self.sleep(sleep).await,
                _ => {
                    while Instant::now() < instant {
                        std::hint::spin_loop();
                    }
                    return true;
                }
            }
        }
    }

    /// Sleeps for so long, or until the schedule is ended.
    async fn sleep(&mut self, span: Duration) {
        let Some(stop) = &mut self.stop else { return self.alarm.sleep(span).await };
        let stopped = tokio::select! {
            biased;
            () = self.alarm.sleep(span) => return,
            stopped = stop => stopped,
        };
        self.end_at(stopped.ok());
    }

    fn look_for_stop(&mut self) {
        use oneshot::error::TryRecvError;
        match self.stop.as_mut().map(oneshot::Receiver::try_recv) {
            None | Some(Err(TryRecvError::Empty)) => {}
            Some(Ok(at)) => self.end_at(Some(at)),
            Some(Err(TryRecvError::Closed)) => self.end_at(None),
        }
    }

    /// Ends the schedule at an instant, or now.
    fn end_at(&mut self, at: Option<RunTime>) {
        let at = at.unwrap_or_else(|| self.clock.now());
        self.end = Some(self.end.map_or(at, |end| end.min(at)));
        self.stop = None;
    }
}
