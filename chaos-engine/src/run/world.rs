//! The world of a run: what its step function sees, and how its actions are carried out.

use std::convert::Infallible;
use std::sync::Arc;

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
    /// The fault could not be started, or could not go on.
    failed: Option<String>,
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
            known: Known::default(),
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
        let trouble = self.failed.clone().or_else(|| self.killer.as_ref().and_then(Killer::trouble));
        self.observer.stop_cause().or_else(|| trouble.map(|message| StopCause::Killer { message }))
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
            Err(error) => self.failed = Some(error.to_string()),
        }
    }

    async fn ask(&self, end: End) {
        if let Some(probes) = &self.probes {
            probes.once(end).await;
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
            Err(error) => self.failed = Some(error.to_string()),
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
        let news = self.order.recorder.since(self.read);
        self.read += news.len();
        self.observer.take(news);
        let in_baseline = matches!(*self.order.progress.borrow(), RunState::Baseline { .. });
        RunView {
            killer_done: self.killer.as_ref().is_some_and(Killer::is_done),
            stop: self.stop_cause(),
            ..self.observer.view(in_baseline)
        }
    }

    async fn save(&mut self, durable: &RunState) -> Result<(), Infallible> {
        // The journal is the durable state of a run; a run whose process is gone is not taken up again but reported as torn.
        self.order.progress.send_replace(durable.clone());
        Ok(())
    }

    async fn perform(&mut self, action: RunAction) {
        match action {
            RunAction::StartProbes => self.start_probes(),
            RunAction::AskBefore => self.ask(End::Before).await,
            RunAction::StartKiller { until } => self.start_killer(until).await,
            RunAction::StopKiller => self.rest_killer().await,
            RunAction::BeginRecovery => self.phase(Phase::Recovery),
            RunAction::NoteStop(cause) => {
                self.order.recorder.record(Event::Stop { at: self.order.clock.now(), cause });
            }
            RunAction::StopProbes => self.stop_probes().await,
            RunAction::AskAfter => self.ask(End::After).await,
            RunAction::CleanUp => self.clean_up().await,
        }
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        let now = self.now();
        let span =
            until.map(|until| until.duration_since(now)).and_then(|span| std::time::Duration::try_from(span).ok());
        let mut asked = self.order.asked.clone();
        tokio::select! {
            () = tokio::time::sleep(span.unwrap_or_default()) => (),
            // A signal that was seen before is part of the view already.
            Ok(()) = asked.changed() => (),
        }
    }
}
