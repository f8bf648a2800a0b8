//! Built-in open-loop load: requests leave on a fixed schedule whatever the answers do, so that a system that stalls cannot
//! slow its own measurement down (coordinated omission).
//!
//! One thread with a runtime of its own keeps the time ([`pacer`]) and does the network ([`worker`]), so neither a disk nor the
//! rest of the tool can delay a request. It is one thread and not two, as each slot would else wake both, which takes longer
//! than to send it. Latency counts from the due time, the lag between due and sent is kept for every slot, a timeout is a
//! sample at its bound, and at the end everything in flight is waited for.
//!
//! It must not heal anything: no retry, no redirect, no second try on another connection once a byte may have been written.
//! And it must not blame the system for its own weakness: a slot that the generator sent late, never, or could not watch is
//! recorded as such ([`BadClass::is_unknown`](chaos_core::record::BadClass::is_unknown)).

mod alarm;
mod connection;
mod exchange;
mod judge;
mod ledger;
mod pacer;
mod plan;
mod request;
mod wire;
mod worker;

use std::time::Duration;

use chaos_core::record::{Event, ProbeSchedule, RunTime};
use chaos_core::slots::DueTimes;
use tokio::sync::oneshot;

pub use ledger::StepTimes;
pub use plan::{HttpPlan, Origin, PlanError, StepPlan};

pub(super) use self::connection::{Connections, Sent};
use self::exchange::Exchange;
pub(super) use self::exchange::is_own_lack;
use self::ledger::Ledger;
use self::pacer::Pacer;
use self::worker::{Lane, Worker};
use crate::clock::{RunClock, nanos};
use crate::recorder::Recorder;

/// From the call of [`Load::start`] to the first request: time to start the thread.
const LEAD: Duration = Duration::from_millis(20);

/// What load needs besides its plans.
#[derive(Debug, Clone)]
pub struct LoadContext {
    /// Where slots are told.
    pub recorder: Recorder,
    /// The run's clock.
    pub clock: RunClock,
    /// The run's seed: arrivals and drawn values repeat with it.
    pub seed: u64,
    /// Random for every run: identities in requests must not repeat over runs.
    pub run: u128,
}

/// Running load of all http probes of a run. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Load {
    stop: oneshot::Sender<RunTime>,
    clock: RunClock,
    first_due: RunTime,
    done: oneshot::Receiver<Vec<StepTimes>>,
}

/// Why load could not start or end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// TLS could not be set up.
    #[error("failed to set up TLS for http probes: {0}")]
    Tls(#[from] rustls::Error),
    /// A probe has no requests that can be sent.
    #[error("failed to make the requests of probe {probe}: {message}")]
    Requests {
        /// Which.
        probe: String,
        /// Why.
        message: String,
    },
    /// The thread, its runtime or its timer could not be started.
    #[error("failed to start the thread of http probes: {0}")]
    Thread(#[from] std::io::Error),
    /// The thread died: slots may be missing from the record.
    #[error("failed to finish http probes: the thread of the load generator died")]
    Died,
}

impl Load {
    /// Starts the load of these probes now, without an end.
    pub fn start(plans: Vec<HttpPlan>, context: &LoadContext) -> Result<Self, LoadError> {
        Self::begin(plans, None, context)
    }

    /// Starts the load of these probes now; no slot is due after `span`.
    pub fn start_for(plans: Vec<HttpPlan>, span: Duration, context: &LoadContext) -> Result<Self, LoadError> {
        Self::begin(plans, Some(span), context)
    }

    fn begin(plans: Vec<HttpPlan>, span: Option<Duration>, context: &LoadContext) -> Result<Self, LoadError> {
        raise_file_limit();
        let first_due = RunTime(context.clock.now().0.saturating_add(nanos(LEAD)));
        let end = span.map(|span| RunTime(first_due.0.saturating_add(nanos(span))));
        let mut due = Vec::with_capacity(plans.len());
        let mut lanes = Vec::with_capacity(plans.len());
        for plan in plans {
            let schedule = schedule(&plan, first_due, context.seed);
            context.recorder.record(Event::Schedule(schedule.clone()));
            due.push(schedule.due_times());
            let ledger = Ledger::new(&schedule, context.recorder.clone());
            lanes.push(Lane::new(ledger, Exchange::new(plan, context)?));
        }
        let (stop, stopped) = oneshot::channel();
        let (finished, done) = oneshot::channel();
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (clock, worker) = (context.clock, Worker::new(context.clock, lanes));
        // The runtime is made and dropped in the thread: who waits for something else meanwhile may not drop one.
        let run = move || {
            let (network, pacer) = match beginning(due, end, stopped, clock) {
                Ok(beginning) => beginning,
                Err(error) => {
                    let _ = begun.send(Err(error));
                    return;
                }
            };
            let _ = begun.send(Ok(()));
            let times = network.block_on(worker.run(pacer));
            // Nobody listens after a drop of `Load`.
            let _ = finished.send(times);
        };
        std::thread::Builder::new().name("probe-load".into()).spawn(run)?;
        has_begun.recv().map_err(|_| LoadError::Died)??;
        Ok(Self { stop, clock: context.clock, first_due, done })
    }

    /// When the first slot is due.
    pub fn first_due(&self) -> RunTime {
        self.first_due
    }

    /// Waits for the end of the span that it was started for, and for everything in flight.
    pub async fn finished(&mut self) -> Result<Vec<StepTimes>, LoadError> {
        (&mut self.done).await.map_err(|_| LoadError::Died)
    }

    /// Sends no slot that is due later than now, waits for everything in flight (each at most its timeout) and tells the
    /// rest of the record. Gives how long the requests of each flow took, in the order of the plans.
    pub async fn stop(self) -> Result<Vec<StepTimes>, LoadError> {
        // Where the schedule has ended by itself nobody is told.
        let _ = self.stop.send(self.clock.now());
        self.done.await.map_err(|_| LoadError::Died)
    }
}

/// Whether anybody is there: opens a connection to where the plan's requests go, with TLS and the version of HTTP that it
/// speaks, within `timeout`. Sends no request.
pub async fn knock(plan: &HttpPlan, timeout: Duration) -> Result<(), Unreachable> {
    let unreachable = |detail: String| Unreachable { origin: plan.origin.to_string(), detail };
    let context = LoadContext {
        recorder: Recorder::in_memory(crate::journal::Redactor::default()),
        clock: RunClock::start(),
        seed: 0,
        run: 0,
    };
    let exchange = Exchange::new(plan.clone(), &context).map_err(|error| unreachable(error.to_string()))?;
    match tokio::time::timeout(timeout, exchange.knock()).await {
        Ok(knocked) => knocked.map_err(|failure| unreachable(failure.detail)),
        Err(_) => Err(unreachable(format!("no connection in {} ms", timeout.as_millis()))),
    }
}

/// Nobody answers where requests are to go.
#[derive(Debug, thiserror::Error)]
#[error("{origin} is out of reach: {detail}")]
pub struct Unreachable {
    /// Scheme, host and port.
    pub origin: String,
    /// Why.
    pub detail: String,
}

/// What the thread of the load works with.
fn beginning(
    due: Vec<DueTimes>,
    end: Option<RunTime>,
    stopped: oneshot::Receiver<RunTime>,
    clock: RunClock,
) -> std::io::Result<(tokio::runtime::Runtime, Pacer)> {
    let network = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pacer = {
        let _entered = network.enter();
        Pacer::new(due, end, stopped, clock)?
    };
    Ok((network, pacer))
}

fn schedule(plan: &HttpPlan, first_due: RunTime, seed: u64) -> ProbeSchedule {
    ProbeSchedule {
        probe: plan.name.clone(),
        first_due,
        rate: plan.rate,
        stages: plan.stages.clone(),
        poisson_seed: plan.poisson.then(|| seed ^ fnv1a(&plan.name)),
        max_lag: nanos(plan.max_lag),
        latency_bound: plan.latency_bound.map(nanos),
        exposure_known: plan.exposure.is_some(),
    }
}

/// Lets this process have as many connections as the system permits: the usual 1,024 files are a second of load on a system
/// that hangs. Where it is refused, slots that find no file are recorded as unsent.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// FNV-1a: tells the seeds of several probes apart, the same in every build.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
