//! All probes of a run: starts the continuous ones, asks the others when the run says so, and ends with nothing in flight.
//! Every look ends in the record. It must not judge and must not stop the run.

use std::sync::Arc;
use std::time::Duration;

use chaos_core::model::Moment;
use chaos_core::record::Event;
use futures::future::join_all;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::http::{HttpPlan, Load, LoadContext, LoadError};
use super::invariants::InvariantsPlan;
use super::look::{LookPlan, NoAnswer};
use crate::clock::RunClock;

/// What probes need besides their plans.
pub type ProbeContext = LoadContext;

/// One probe, ready to run.
#[derive(Debug)]
pub enum ProbePlan {
    /// Open-loop load over the whole run.
    Http(Box<HttpPlan>),
    /// A value, asked for now and then.
    Look(Arc<LookPlan>),
    /// The application's own checker.
    Invariants(InvariantsPlan),
}

/// An end of the run, at which probes that look once are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Before the fault.
    Before,
    /// After recovery.
    After,
}

/// Running probes. Dropping it ends them without waiting for what is in flight.
#[derive(Debug)]
pub struct ProbeSet {
    context: ProbeContext,
    load: Option<Load>,
    continuous: JoinSet<()>,
    stop: CancellationToken,
    once: Vec<ProbePlan>,
}

impl ProbeSet {
    /// Starts the continuous probes now.
    pub fn start(plans: Vec<ProbePlan>, context: ProbeContext) -> Result<Self, LoadError> {
        let (stop, mut continuous) = (CancellationToken::new(), JoinSet::new());
        let (mut http, mut once) = (Vec::new(), Vec::new());
        for plan in plans {
            match plan {
                ProbePlan::Http(plan) => http.push(*plan),
                ProbePlan::Look(plan) => match plan.when {
                    Moment::Continuous { every } => {
                        continuous.spawn(look_on(plan, every.std(), context.clone(), stop.clone()));
                    }
                    Moment::Before | Moment::After | Moment::Edge => once.push(ProbePlan::Look(plan)),
                },
                plan @ ProbePlan::Invariants(_) => once.push(plan),
            }
        }
        let load = if http.is_empty() { None } else { Some(Load::start(http, &context)?) };
        Ok(Self { context, load, continuous, stop, once })
    }

    /// Asks the probes that look at this end of the run, all at once, and waits for their answers.
    pub async fn once(&self, end: End) {
        join_all(self.once.iter().map(|plan| self.ask(plan, end))).await;
    }

    /// Ends the continuous probes: no new request, and everything in flight is waited for.
    pub async fn stop(&mut self) -> Result<(), LoadError> {
        self.stop.cancel();
        let load = async {
            match self.load.take() {
                Some(load) => load.stop().await.map(drop),
                None => Ok(()),
            }
        };
        let looks = async { while self.continuous.join_next().await.is_some() {} };
        let (load, ()) = tokio::join!(load, looks);
        load
    }

    async fn ask(&self, plan: &ProbePlan, end: End) {
        let (when, patience) = match plan {
            ProbePlan::Http(_) => return,
            ProbePlan::Look(plan) => (plan.when, plan.patience),
            ProbePlan::Invariants(plan) => (plan.when, plan.patience),
        };
        if !is_due(when, end) {
            return;
        }
        // Of two looks the first is put off.
        if when != Moment::Edge || end == End::Before {
            tokio::time::sleep(patience.initial_delay.std()).await;
        }
        let at = self.context.clock.now();
        let event = match plan {
            ProbePlan::Http(_) => return,
            ProbePlan::Look(plan) => awake(plan.sample(at).await, &self.context.clock),
            // A checker that were asked in the middle of things would report what is still on its way.
            ProbePlan::Invariants(plan) => plan.ask(at).await,
        };
        self.context.recorder.record(event);
    }
}

fn is_due(when: Moment, end: End) -> bool {
    match when {
        Moment::Before => end == End::Before,
        Moment::After | Moment::Continuous { .. } => end == End::After,
        Moment::Edge => true,
    }
}

/// What a look says, unless the machine slept since the run began: what it had asked was lost then, and its network comes back when it
/// does. That an answer is not as expected says nothing about the system after that.
fn awake(event: Event, clock: &RunClock) -> Event {
    match (event, clock.told_sleep()) {
        (Event::Sample(sample), Some(slept)) if sample.met == Some(false) => {
            NoAnswer::new("ownLack", slept).event(&sample.probe, sample.at)
        }
        (event, _) => event,
    }
}

/// Looks at once (or after its delay) and then at every interval; a look that takes longer than it lets the next ones fall
/// out.
async fn look_on(plan: Arc<LookPlan>, every: Duration, context: ProbeContext, stop: CancellationToken) {
    let first = tokio::time::Instant::now() + plan.patience.initial_delay.std();
    let mut ticks = tokio::time::interval_at(first, every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let event = plan.sample(context.clock.now()).await;
        context.recorder.record(awake(event, &context.clock));
    }
}

#[cfg(test)]
mod tests;
