//! The network side of the load: takes slots from the pacer as they become due, sends each at once in a task of its own, and
//! settles it in its ledger. Runs on a thread of its own; notices when that thread was held up, because what it saw then is
//! not evidence against the system. Nor is what failed because the machine slept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chaos_core::record::BadClass;
use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;

use super::exchange::{Answer, Exchange, Failure};
use super::ledger::{Ledger, Settled, StepTimes};
use super::pacer::{Pacer, Slot};
use crate::clock::{RunClock, nanos};

/// A slot that is overdue by more is not sent: a burst of old slots would load the system as nobody scheduled.
const OLDEST: Duration = Duration::from_secs(1);
/// Requests of one probe that may wait for their answers. A system that hangs is then known to, and memory is not endless.
const MOST_IN_FLIGHT: usize = 20_000;
/// How often the thread looks whether it was held up.
const TICK: Duration = Duration::from_millis(10);
/// A hold-up that is longer, beyond the tick, is remembered.
const HOLD_UP: Duration = Duration::from_millis(10);
/// Hold-ups that are remembered: those of the last timeout matter.
const MOST_STALLS: usize = 4_096;
/// A sleep of the machine that is not longer cuts no connection.
const NAP: Duration = Duration::from_millis(500);
/// Beyond the longest timeout, how long the end waits for tasks to settle.
const GRACE: Duration = Duration::from_secs(1);

/// One probe: what its tasks share.
#[derive(Debug)]
pub(super) struct Lane {
    ledger: Mutex<Ledger>,
    exchange: Exchange,
}

/// When the thread was held up, latest last, and when the machine woke up.
#[derive(Debug)]
struct Stalls {
    clock: RunClock,
    held_up: Mutex<VecDeque<(Instant, Instant)>>,
    woken: Mutex<Woken>,
}

/// What is known of the machine's sleep.
#[derive(Debug, Default)]
struct Woken {
    /// When it was last noticed.
    at: Option<Instant>,
    /// How long it was in all by then.
    slept: Duration,
}

#[derive(Debug)]
pub(super) struct Worker {
    clock: RunClock,
    lanes: Vec<Arc<Lane>>,
    stalls: Arc<Stalls>,
    tasks: TaskTracker,
}

impl Worker {
    pub(super) fn new(clock: RunClock, lanes: Vec<Lane>) -> Self {
        Self {
            clock,
            lanes: lanes.into_iter().map(Arc::new).collect(),
            stalls: Arc::new(Stalls::new(clock)),
            tasks: TaskTracker::new(),
        }
    }

    /// Sends slots until the schedule ends, then waits for what is in flight and closes the ledgers. Gives how long the
    /// requests of each flow took.
    pub(super) async fn run(self, mut pacer: Pacer) -> Vec<StepTimes> {
        let watch = tokio::spawn(Arc::clone(&self.stalls).watch());
        while let Some(slot) = pacer.next().await {
            self.send(slot);
        }
        self.tasks.close();
        let longest = self.lanes.iter().map(|lane| lane.exchange.plan.timeout).max().unwrap_or_default();
        // What has not settled by then is closed with an unknown outcome.
        let _ = tokio::time::timeout(longest + GRACE, self.tasks.wait()).await;
        watch.abort();
        self.lanes.iter().map(|lane| lane.ledger().close()).collect()
    }

    fn send(&self, slot: Slot) {
        let Slot { lane, number, due } = slot;
        let lane = &self.lanes[lane];
        let sent = Instant::now();
        let lag = sent.saturating_duration_since(self.clock.instant(due));
        let mut ledger = lane.ledger();
        if lag > OLDEST {
            return ledger.unsent(number, due, format!("the load generator was {} ms behind", lag.as_millis()));
        }
        if ledger.in_flight() >= MOST_IN_FLIGHT {
            return ledger.unsent(number, due, format!("{MOST_IN_FLIGHT} requests are waiting for their answers"));
        }
        ledger.sent(number, due, nanos(lag));
        drop(ledger);
        let (lane, stalls) = (Arc::clone(lane), Arc::clone(&self.stalls));
        let flight = Flight { slot: number, sent, lag };
        self.tasks.spawn(async move { lane.fly(flight, &stalls).await });
    }
}

/// A request under way.
#[derive(Debug, Clone, Copy)]
struct Flight {
    slot: u64,
    sent: Instant,
    lag: Duration,
}

impl Lane {
    pub(super) fn new(ledger: Ledger, exchange: Exchange) -> Self {
        Self { ledger: Mutex::new(ledger), exchange }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fly(&self, flight: Flight, stalls: &Stalls) {
        let plan = &self.exchange.plan;
        let deadline = flight.sent + plan.timeout;
        let answer = tokio::time::timeout_at(deadline.into(), self.exchange.run(flight.slot)).await;
        let done = Instant::now();
        // An answer that came in while this thread was held up beyond the deadline is still too late.
        let answer = answer.ok().filter(|_| done <= deadline);
        let took = flight.lag + if answer.is_some() { done - flight.sent } else { plan.timeout };
        let Answer { pods, took: steps, mut wrong } = self.judge(answer, took);
        if wrong.as_ref().is_some_and(|wrong| is_of_time(wrong.class)) {
            // Lets the watch of stalls, which was held up as well, have its say first.
            tokio::task::yield_now().await;
            wrong = wrong.map(|wrong| self.blamed(wrong, &flight, took, stalls.within(flight.sent, done)));
        }
        if wrong.as_ref().is_some_and(|wrong| !wrong.class.is_unknown()) && stalls.has_slept(flight.sent, plan.timeout)
        {
            wrong = wrong.map(Failure::of_sleep);
        }
        let has_latency = wrong.as_ref().is_none_or(|wrong| wrong.class.has_latency());
        if flight.lag > plan.max_lag {
            wrong = Some(late(flight.lag, wrong));
        }
        let latency = has_latency.then(|| nanos(took));
        let cut = wrong.as_ref().is_some_and(|wrong| wrong.class.is_failure() && !wrong.class.has_latency());
        let failed_after = cut.then(|| nanos(took));
        let bad = wrong.map(|wrong| (wrong.class, wrong.detail));
        self.ledger().settle(flight.slot, Settled { latency, failed_after, bad, pods, steps });
    }

    /// What is wrong with an answer (`None`: there was none in time) that took so long from its due time.
    fn judge(&self, answer: Option<Answer>, took: Duration) -> Answer {
        let plan = &self.exchange.plan;
        let Some(answer) = answer else {
            let detail = format!("no whole answer in {} ms", plan.timeout.as_millis());
            return Answer { wrong: Some(Failure::new(BadClass::Timeout, detail)), ..Answer::default() };
        };
        let beyond = |bound: Option<Duration>| bound.is_some_and(|bound| took > bound);
        let class = match &answer.wrong {
            None if beyond(plan.within) => BadClass::TooSlow,
            None if beyond(plan.latency_bound) => BadClass::Slow,
            _ => return answer,
        };
        Answer { wrong: Some(Failure::new(class, format!("{} ms", took.as_millis()))), ..answer }
    }

    /// What is wrong with an answer that is wrong by time alone, where this generator was held up for so long meanwhile: of unknown
    /// outcome where that, or that it was sent late, may be what made it so.
    fn blamed(&self, wrong: Failure, flight: &Flight, took: Duration, held_up: Duration) -> Failure {
        let plan = &self.exchange.plan;
        let own = flight.lag + held_up;
        let is_own = |bound: Option<Duration>| bound.is_some_and(|bound| took.saturating_sub(own) <= bound);
        let is_own = match wrong.class {
            BadClass::TooSlow => is_own(plan.within),
            BadClass::Slow => is_own(plan.latency_bound),
            // No answer in all that time is not the fault of a moment.
            _ => held_up > plan.max_lag.max(plan.timeout / 10).min(plan.timeout / 2),
        };
        if !is_own {
            return wrong;
        }
        let detail = format!("{}, of which the load generator was held up for {} ms", wrong.detail, own.as_millis());
        Failure::new(BadClass::UnknownOutcome, detail)
    }
}

/// Whether it is time alone that makes an answer of this class bad.
pub(super) fn is_of_time(class: BadClass) -> bool {
    matches!(class, BadClass::Timeout | BadClass::TooSlow | BadClass::Slow)
}

impl Failure {
    /// The same where the machine slept meanwhile, or had just woken up with connections that the other side had given up by then.
    fn of_sleep(self) -> Self {
        Self::new(BadClass::UnknownOutcome, format!("{}: {}; this machine slept", self.class.as_str(), self.detail))
    }
}

/// Whatever came of a slot that was sent too late, it is no evidence.
fn late(lag: Duration, wrong: Option<Failure>) -> Failure {
    let came =
        wrong.map_or_else(|| "answered well".to_owned(), |wrong| format!("{}: {}", wrong.class.as_str(), wrong.detail));
    Failure::new(BadClass::Late, format!("sent {} ms late; {came}", lag.as_millis()))
}

impl Stalls {
    fn new(clock: RunClock) -> Self {
        Self { clock, held_up: Mutex::default(), woken: Mutex::default() }
    }

    /// Whether the machine slept since then, or so shortly before. Asks the clock, as whoever wakes up first may be whoever asks.
    fn has_slept(&self, since: Instant, shortly: Duration) -> bool {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slept) = self.clock.slept().filter(|slept| *slept > woken.slept + NAP) {
            *woken = Woken { at: Some(Instant::now()), slept };
        }
        woken.at.is_some_and(|at| at + shortly > since)
    }

    /// Notices when this thread could not run, and that the machine slept.
    async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            ticks.tick().await;
            let now = Instant::now();
            self.has_slept(now, Duration::ZERO);
            if now - last > TICK + HOLD_UP {
                let mut stalls = self.held_up.lock().unwrap_or_else(PoisonError::into_inner);
                stalls.push_back((last + TICK, now));
                if stalls.len() > MOST_STALLS {
                    stalls.pop_front();
                }
            }
            last = now;
        }
    }

    /// How long this thread was held up within this span.
    fn within(&self, from: Instant, to: Instant) -> Duration {
        let stalls = self.held_up.lock().unwrap_or_else(PoisonError::into_inner);
        let touching = stalls.iter().rev().take_while(|(_, end)| *end > from);
        touching.map(|(start, end)| (*end).min(to).saturating_duration_since((*start).max(from))).sum()
    }
}

#[cfg(test)]
mod tests;
