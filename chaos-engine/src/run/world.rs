//! The world of a run: what its step function sees, and how its actions are carried out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::record::{Event, Phase, StopCause};
use chaos_core::run::{RunAction, RunMachine, RunState, RunView};
use jiff::Timestamp;

use super::RunOrder;
use super::killer::Killer;
use super::observer::{Observer, Scene};
use super::sight::Known;
use crate::drive::{World, drive};
use crate::probe::set::End;
use crate::probe::{ProbeContext, ProbePlan, ProbeSet};

/// How often it is looked whether a run has to end whose probes look before the fault.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Runs an experiment to its end, whatever that is. Everything that happened is in the order's recorder then.
pub async fn execute(order: RunOrder, probes: Vec<ProbePlan>) {
    let order = Arc::new(order);
    let machine = RunMachine::new(&order.experiment);
    let mut world = RunWorld::start(order, probes);
    match drive(&machine, &mut world, RunState::New).await {
        Ok(_) => (),
        Err(never) => match never {},
    }
    world.observer.end().await;
}

struct RunWorld {
    order: Arc<RunOrder>,
    plans: Vec<ProbePlan>,
    probes: Option<ProbeSet>,
    killer: Option<Killer>,
    observer: Observer,
    /// Number of events that were looked at.
    read: usize,
    /// Probes or killer could not be started.
    failed: Option<StopCause>,
    left: Vec<String>,
}

impl RunWorld {
    fn start(order: Arc<RunOrder>, plans: Vec<ProbePlan>) -> Self {
        let observer = Observer::start(Scene {
            experiment: order.experiment.clone(),
            judge: order.judge.clone(),
            client: order.clients.read.clone(),
            namespaces: order.namespaces.clone(),
            clock: order.clock,
            recorder: order.recorder.clone(),
            strict: false,
            known: Known::of(&order.recorder.events()),
            guards: order.guards.clone(),
        });
        Self { order, plans, probes: None, killer: None, observer, read: 0, failed: None, left: Vec::new() }
    }

    fn phase(&self, phase: Phase) {
        self.order.recorder.record(Event::Phase { at: self.order.clock.now(), phase });
    }

    fn stop_cause(&self) -> Option<StopCause> {
        if let Some(name) = *self.order.asked.borrow() {
            return Some(StopCause::Signal { name: name.to_owned() });
        }
        if let Some(message) = self.order.recorder.journal_failure().borrow().clone() {
            return Some(StopCause::Journal { message });
        }
        let trouble = || self.killer.as_ref().and_then(Killer::trouble).map(|message| StopCause::Killer { message });
        self.observer.stop_cause().or_else(|| self.failed.clone()).or_else(trouble)
    }

    fn start_probes(&mut self) {
        self.phase(Phase::Baseline);
        let context = ProbeContext {
            recorder: self.order.recorder.clone(),
            clock: self.order.clock,
            seed: self.order.seed.cast_unsigned(),
            run: uuid::Uuid::new_v4().as_u128(),
        };
        match ProbeSet::start(std::mem::take(&mut self.plans), context) {
            Ok(probes) => self.probes = Some(probes),
            Err(error) => self.failed = Some(StopCause::NoProbes { message: error.to_string() }),
        }
    }

    /// Asks the probes that look before the fault, which may take minutes, unless the run is known to end meanwhile: load is on.
    async fn ask_before(&mut self) {
        let Some(probes) = self.probes.take() else { return };
        tokio::select! {
            () = probes.once(End::Before) => {}
            () = self.ending() => {}
        }
        self.probes = Some(probes);
    }

    /// Waits until the run has to end.
    async fn ending(&mut self) {
        let machine = RunMachine::new(&self.order.experiment);
        loop {
            self.take_news();
            if machine.must_end(&self.seen(false), self.now()) {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What the step function looks at, as far as news were taken in.
    fn seen(&self, in_baseline: bool) -> RunView {
        RunView {
            killer_done: self.killer.as_ref().is_some_and(Killer::is_done),
            stop: self.stop_cause(),
            ..self.observer.view(in_baseline)
        }
    }

    fn take_news(&mut self) {
        let news = self.order.recorder.since(self.read);
        self.read += news.len();
        self.observer.take(news);
    }

    async fn ask_after(&self) {
        if let Some(probes) = &self.probes {
            probes.once(End::After).await;
        }
    }

    async fn stop_probes(&mut self) {
        self.phase(Phase::WindDown);
        if let Some(probes) = &mut self.probes
            && let Err(error) = probes.stop().await
        {
            self.note(error.to_string());
        }
    }

    async fn start_killer(&mut self, until: Timestamp) {
        self.phase(Phase::Fault);
        match Killer::start(&self.order, until).await {
            Ok(killer) => self.killer = Some(killer),
            Err(error) => {
                self.left.extend(error.left().map(str::to_owned));
                self.failed = Some(StopCause::Killer { message: error.to_string() });
            }
        }
    }

    async fn rest_killer(&mut self) {
        if let Some(killer) = &self.killer
            && let Err(error) = killer.rest().await
        {
            self.note(error.to_string());
        }
    }

    async fn clean_up(&mut self) {
        if let Some(killer) = self.killer.take() {
            self.left.extend(killer.clean_up().await);
        }
        let left = std::mem::take(&mut self.left);
        self.order.recorder.record(Event::WoundDown { at: self.order.clock.now(), left });
    }

    fn note(&self, text: String) {
        self.order.recorder.record(Event::Note { at: self.order.clock.now(), text });
    }
}

impl World<RunMachine> for RunWorld {
    type Error = Infallible;

    fn now(&self) -> Timestamp {
        self.order.clock.timestamp(self.order.clock.now())
    }

    async fn view(&mut self) -> RunView {
        self.take_news();
        let in_baseline = matches!(*self.order.progress.borrow(), RunState::Baseline { .. });
        self.seen(in_baseline)
    }

    async fn save(&mut self, durable: &RunState) -> Result<(), Infallible> {
        // The journal is the durable state of a run; a run whose process is gone is not taken up again but reported as torn.
        self.order.progress.send_replace(durable.clone());
        Ok(())
    }

    async fn perform(&mut self, action: RunAction) {
        match action {
            RunAction::StartProbes => self.start_probes(),
            RunAction::AskBefore => self.ask_before().await,
            RunAction::StartKiller { until } => self.start_killer(until).await,
            RunAction::StopKiller => self.rest_killer().await,
            RunAction::BeginRecovery => self.phase(Phase::Recovery),
            RunAction::NoteStop(cause) => {
                self.order.recorder.record(Event::Stop { at: self.order.clock.now(), cause });
            }
            RunAction::StopProbes => self.stop_probes().await,
            RunAction::AskAfter => self.ask_after().await,
            RunAction::CleanUp => self.clean_up().await,
        }
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        let now = self.now();
        let span = until.map(|until| until.duration_since(now)).and_then(|span| Duration::try_from(span).ok());
        let mut asked = self.order.asked.clone();
        tokio::select! {
            () = tokio::time::sleep(span.unwrap_or_default()) => (),
            // A signal that was seen before is part of the view already.
            Ok(()) = asked.changed() => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use chaos_core::model::{Moment, Patience};
    use chaos_core::units;
    use chaos_core::verdict::JudgeSpec;
    use http::StatusCode;
    use kube::Client;
    use serde_json::Value;
    use tokio::sync::watch;

    use super::*;
    use crate::clock::RunClock;
    use crate::journal::Redactor;
    use crate::kube::{Clients, fixture};
    use crate::probe::InvariantsPlan;
    use crate::probe::http::{HttpPlan, Origin};
    use crate::recorder::Recorder;
    use crate::run::fixture::{SLOW_LOAD, experiment};

    /// Of an API server that has nothing.
    fn client() -> Client {
        fixture::client("dispatch", |_, _, _| (StatusCode::NOT_FOUND, Value::Null))
    }

    /// A run that measures with that load, and may be asked to end.
    fn order(recorder: &Recorder, asked: watch::Receiver<Option<&'static str>>) -> RunOrder {
        let experiment = experiment(&[SLOW_LOAD]);
        RunOrder {
            run_id: "r-1".to_owned(),
            judge: Arc::new(JudgeSpec::from(&experiment)),
            experiment: Arc::new(experiment),
            seed: 7,
            clients: Clients::same(client()),
            namespaces: vec!["dispatch".to_owned()],
            environment: None,
            clock: RunClock::start(),
            recorder: recorder.clone(),
            asked,
            guards: Vec::new(),
            progress: watch::channel(RunState::New).0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_is_asked_to_end_does_not_wait_for_the_looks_before_its_faults() {
        let (recorder, (ask, asked)) = (Recorder::in_memory(Redactor::default()), watch::channel(None));
        let plan = InvariantsPlan {
            name: "ledger".to_owned(),
            when: Moment::Before,
            origin: "http://127.0.0.1:1".parse().unwrap(),
            path: "/".to_owned(),
            timeout: Duration::from_secs(5),
            patience: Patience { initial_delay: units::Duration::from_secs(600), ..Patience::default() },
        };
        let began = tokio::time::Instant::now();
        let signal = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            ask.send_replace(Some("SIGINT"));
        };
        let run = execute(order(&recorder, asked), vec![ProbePlan::Invariants(plan)]);
        tokio::join!(run, signal);
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        let events = recorder.events();
        let is_signal = |cause: &StopCause| matches!(cause, StopCause::Signal { name } if name == "SIGINT");
        let is_told = |event: &Event| matches!(event, Event::Stop { cause, .. } if is_signal(cause));
        assert!(events.iter().any(is_told), "{events:?}");
        assert!(!events.iter().any(|event| matches!(event, Event::Sample(_))), "it was not asked: {events:?}");
    }

    #[tokio::test]
    async fn probes_that_cannot_be_started_end_the_run_by_a_cause_of_their_own() {
        let experiment = experiment(&[SLOW_LOAD]);
        let probe = experiment.probes[0].http().unwrap();
        let origin: Origin = "http://127.0.0.1:1".parse().unwrap();
        let mut plan = HttpPlan::of_probe("ride", probe, origin).unwrap();
        plan.origin.host = "no\nhost".to_owned();
        let recorder = Recorder::in_memory(Redactor::default());
        let (_ask, asked) = watch::channel(None);
        let order = order(&recorder, asked);
        execute(order, vec![ProbePlan::Http(Box::new(plan))]).await;

        let events = recorder.events();
        let stops: Vec<&StopCause> = events
            .iter()
            .filter_map(|event| if let Event::Stop { cause, .. } = event { Some(cause) } else { None })
            .collect();
        let [StopCause::NoProbes { message }] = stops[..] else { panic!("{stops:?}") };
        assert!(message.starts_with("failed to make the requests of probe ride"), "{message}");
        let touches = |event: &&Event| matches!(event, Event::Kill(_) | Event::Phase { phase: Phase::Fault, .. });
        assert_eq!(events.iter().find(touches), None);
    }
}
