//! The thread that keeps the time: it sleeps until shortly before the next slot of any probe is due, waits the rest awake,
//! and hands the slot's number over. It does nothing else, waits for nobody, and never skips: a slot that it reaches late is
//! handed over all the same, for the network thread to record.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chaos_core::record::RunTime;
use chaos_core::slots::DueTimes;
use tokio::sync::mpsc::Sender;

use super::worker::Order;
use crate::clock::RunClock;

/// How long the thread waits awake before a slot. A sleeper is woken up later than it asked for: waiting awake for that long would
/// make slots a little more punctual, and cost half a percent of a core more at 1,000 requests a second.
const SPIN: Duration = Duration::from_micros(15);

/// Handle to the pacing thread. Dropping it stops the thread.
#[derive(Debug)]
pub(super) struct Pacer {
    stop: Arc<AtomicBool>,
    thread: std::thread::Thread,
}

impl Pacer {
    /// Starts to hand over slots as they become due, those that are due before `end` if there is one. When it stops, the last
    /// order says how many of each probe there were.
    pub(super) fn start(
        due: Vec<DueTimes>,
        end: Option<RunTime>,
        clock: RunClock,
        orders: Sender<Order>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("probe-pacer".into()).spawn(move || {
            let slots = pace(due, end, clock, &orders, &stopped);
            // The network thread is gone only if it panicked, which `Load::stop` reports.
            let _ = orders.blocking_send(Order::End { slots });
        })?;
        Ok(Self { stop, thread: thread.thread().clone() })
    }

    /// Ends the schedule now.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns how many slots of each probe were due.
fn pace(
    mut due: Vec<DueTimes>,
    end: Option<RunTime>,
    clock: RunClock,
    orders: &Sender<Order>,
    stop: &AtomicBool,
) -> Vec<u64> {
    // The kernel may else wake this thread 50 µs late, to save power. Where that is refused, it spins no longer for it.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_timerslack(1);
    let mut slots = vec![0; due.len()];
    let before_end = |at: &RunTime| end.is_none_or(|end| *at < end);
    let first = |(lane, times): (usize, &mut DueTimes)| times.next().filter(before_end).map(|at| Reverse((at, lane)));
    let mut next: BinaryHeap<Reverse<(RunTime, usize)>> = due.iter_mut().enumerate().filter_map(first).collect();
    while let Some(Reverse((at, lane))) = next.pop() {
        if !wait_until(clock.instant(at), stop) {
            break;
        }
        // A full queue leaves a gap in the numbers, which the network thread records as unsent.
        let _ = orders.try_send(Order::Send { lane, slot: slots[lane] });
        slots[lane] += 1;
        next.extend(due[lane].next().filter(before_end).map(|at| Reverse((at, lane))));
    }
    slots
}

/// Waits for an instant; false when the schedule was ended before it. A slot that is due already still belongs to it.
fn wait_until(due: Instant, stop: &AtomicBool) -> bool {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        if stop.load(Ordering::Acquire) {
            return false;
        }
        if left > SPIN {
            std::thread::park_timeout(left.saturating_sub(SPIN));
        } else {
            std::hint::spin_loop();
        }
    }
}
