//! Load without faults: runs the very engine of http probes for a while, folds what it tells, and has it judged. It must not
//! print, and keeps no event: however long it lasts, memory does not grow.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chaos_core::load::{FlowResult, LoadFold, LoadResult, SCHEMA_VERSION, decide, exit_code};
use chaos_core::model::{Arrival, HttpLoad, HttpStep, HttpVersion, LoadTest};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use tokio::sync::watch;

use crate::clock::RunClock;
use crate::journal::Redactor;
use crate::probe::http::{HttpPlan, Load, LoadContext, LoadError, StepTimes};
use crate::recorder::{Live, Recorder};

/// A load test that may start.
#[derive(Debug)]
pub struct LoadRun {
    test: LoadTest,
    plans: Vec<HttpPlan>,
    seed: i64,
    fold: Arc<Mutex<LoadFold>>,
    recorder: Recorder,
    clock: RunClock,
}

impl LoadRun {
    /// The test, with a plan for each of its flows in their order.
    pub fn new(test: LoadTest, plans: Vec<HttpPlan>, seed: i64) -> Self {
        let fold = Arc::new(Mutex::new(LoadFold::default()));
        let mut redactor = Redactor::default();
        test.flows.iter().for_each(|flow| redactor.hide_load(&flow.load));
        let taking = Arc::clone(&fold);
        let recorder = Recorder::folding(redactor, move |event| {
            taking.lock().unwrap_or_else(PoisonError::into_inner).take(event);
        });
        Self { test, plans, seed, fold, recorder, clock: RunClock::start() }
    }

    /// What it has shown so far, for a terminal.
    pub fn live(&self) -> watch::Receiver<Live> {
        self.recorder.live()
    }

    /// Runs it to its end, or until `asked` names a signal; what is in flight then is waited for.
    pub async fn execute(self, mut asked: watch::Receiver<Option<&'static str>>) -> Result<LoadResult, LoadError> {
        let context = LoadContext {
            recorder: self.recorder.clone(),
            clock: self.clock,
            seed: self.seed.cast_unsigned(),
            run: uuid::Uuid::new_v4().as_u128(),
        };
        let targets: Vec<String> = self.plans.iter().map(|plan| plan.origin.to_string()).collect();
        let span = self.test.duration.std();
        let (processor, began) = (processor_time(), self.clock.now());
        let mut load = Load::start_for(self.plans.clone(), span, &context)?;
        let first_due = load.first_due();
        let ended = tokio::select! {
            finished = load.finished() => Ended { times: finished?, stopped_by: None, span },
            signal = signalled(&mut asked) => {
                let span = Duration::from_nanos(self.clock.now().0.saturating_sub(first_due.0)).min(span);
                Ended { times: load.stop().await?, stopped_by: Some(signal.to_owned()), span }
            }
        };
        let elapsed = Duration::from_nanos(self.clock.now().0.saturating_sub(began.0)).as_secs_f64();
        let processor_share = (processor_time() - processor) / elapsed.max(1e-9);
        Ok(self.result(&targets, ended, self.clock.timestamp(first_due), processor_share))
    }

    fn result(
        &self,
        targets: &[String],
        ended: Ended,
        started_at: jiff::Timestamp,
        processor_share: f64,
    ) -> LoadResult {
        let fold = self.fold.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = ended.span.as_secs_f64();
        let (mut flows, mut thresholds) = (Vec::new(), Vec::new());
        for (((flow, target), folded), times) in self.test.flows.iter().zip(targets).zip(fold.flows()).zip(&ended.times)
        {
            let requests = flow.load.steps.iter().map(request);
            let steps: Vec<_> = requests.zip(times.steps.iter().cloned()).collect();
            flows.push(FlowResult {
                target: target.clone(),
                request: flow.load.steps.first().map(request).unwrap_or_default(),
                schedule: schedule(&flow.load),
                summary: folded.summary(seconds, &steps),
            });
            thresholds.extend(flow.thresholds.iter().map(|threshold| decide(threshold, folded, seconds)));
        }
        let due = flows.iter().map(|flow| flow.summary.due).sum();
        LoadResult {
            schema_version: SCHEMA_VERSION,
            name: self.test.name.clone(),
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            started_at,
            seconds,
            seed: self.seed,
            exit_code: exit_code(&thresholds, due, ended.stopped_by.is_some()),
            stopped_by: ended.stopped_by,
            processor_share,
            flows,
            thresholds,
        }
    }
}

struct Ended {
    times: Vec<StepTimes>,
    stopped_by: Option<String>,
    span: Duration,
}

/// The name of the signal that asked for an end; never without one.
async fn signalled(asked: &mut watch::Receiver<Option<&'static str>>) -> &'static str {
    let signal = asked.wait_for(Option::is_some).await.ok().and_then(|signal| *signal);
    match signal {
        Some(signal) => signal,
        // Nobody can ask any more.
        None => std::future::pending().await,
    }
}

/// Processor time that this process has taken, in seconds.
fn processor_time() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0.0, |usage| (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

fn request(step: &HttpStep) -> String {
    format!("{} {}", step.method, step.path)
}

/// `1,000/s, then to 2000/s in 30s; Poisson; HTTP/2; a connection for each request`.
fn schedule(load: &HttpLoad) -> String {
    let stage = |stage: &chaos_core::record::RateStage| {
        let span = chaos_core::units::Duration::from(Duration::from_nanos(stage.span));
        if span.is_zero() { format!(", at once {}/s", stage.to) } else { format!(", to {}/s in {span}", stage.to) }
    };
    let stages: String = load.stages.iter().map(stage).collect();
    let arrival = match load.arrival {
        Arrival::Constant => "",
        Arrival::Poisson => ", Poisson arrivals",
    };
    let version = match load.version {
        HttpVersion::Http1 => "HTTP/1.1",
        HttpVersion::Http2 => "HTTP/2",
    };
    let connections = if load.keep_alive { "" } else { ", a connection for each request" };
    format!("{}{stages}{arrival}, {version}{connections}", load.rate)
}

#[cfg(test)]
mod tests;
