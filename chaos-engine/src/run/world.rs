//! The world of a run: what its step function sees, and how its actions are carried out.

use std::convert::Infallible;
use std::sync::Arc;

use chaos_core::record::{Event, Phase, RunTime, StopCause};
use chaos_core::run::{Recovering, RunAction, RunMachine, RunState, RunView, guard};
use chaos_core::verdict::{self, ReasonCode};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::RunOrder;
use super::answers::Answers;
use super::killer::Killer;
use super::sight::Lookout;
use super::vigil::{Vigil, Watchfire};
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
    world.end().await;
}

struct RunWorld {
    order: Arc<RunOrder>,
    plans: Vec<ProbePlan>,
    probes: Option<ProbeSet>,
    killer: Option<Killer>,
    watchfire: watch::Receiver<Watchfire>,
    /// Number of events that were looked at.
    read: usize,
    events: Vec<Event>,
    recovering: Recovering,
    answers: Answers,
    /// When the probes were started.
    since: Option<RunTime>,
    /// A promise was refuted while the run goes on.
    refuted: Option<StopCause>,
    /// The fault could not be started, or could not go on.
    failed: Option<String>,
    left: Vec<String>,
    watchers: JoinSet<()>,
    stop_watching: CancellationToken,
}

impl RunWorld {
    fn start(order: Arc<RunOrder>, plans: Vec<ProbePlan>) -> Self {
        let stop = CancellationToken::new();
        let mut watchers = JoinSet::new();
        let lookout = Lookout {
            client: order.client.clone(),
            clock: order.clock,
            recorder: order.recorder.clone(),
            stop: stop.clone(),
        };
        for namespace in &order.namespaces {
            watchers.spawn(lookout.clone().watch_pods(namespace.clone()));
            watchers.spawn(lookout.clone().watch_endpoints(namespace.clone()));
        }
        let (tell, watchfire) = watch::channel(Watchfire::default());
        let vigil = Vigil {
            client: order.client.clone(),
            namespaces: order.namespaces.clone(),
            clock: order.clock,
            recorder: order.recorder.clone(),
            tell,
        };
        watchers.spawn(vigil.keep(stop.clone()));
        Self {
            order,
            plans,
            probes: None,
            killer: None,
            watchfire,
            read: 0,
            events: Vec::new(),
            recovering: Recovering::default(),
            answers: Answers::default(),
            since: None,
            refuted: None,
            failed: None,
            left: Vec::new(),
            watchers,
            stop_watching: stop,
        }
    }

    async fn end(mut self) {
        self.stop_watching.cancel();
        while self.watchers.join_next().await.is_some() {}
    }

    fn phase(&self, phase: Phase) {
        self.order.recorder.record(Event::Phase { at: self.order.clock.now(), phase });
    }

    /// Takes notice of what happened since the last look.
    fn catch_up(&mut self) {
        let news = self.order.recorder.since(self.read);
        self.read += news.len();
        let mut killed = false;
        for event in &news {
            self.recovering.take(event);
            self.answers.take(event);
            killed |= matches!(event, Event::Kill(_));
        }
        self.events.extend(news);
        // The betting test may be asked as often as one likes; only a kill brings news.
        if killed && self.refuted.is_none() {
            let refuted = verdict::refuted_live(&self.order.judge, &self.events);
            self.refuted = refuted.map(|refutation| StopCause::SloRefuted { probe: refutation.probe });
        }
        if self.refuted.is_none() {
            let tripped = guard::tripped(&self.order.experiment, &self.events, self.order.clock.now());
            self.refuted = tripped.map(|message| StopCause::Guard { message });
        }
    }

    fn in_baseline(&self) -> bool {
        matches!(*self.order.progress.borrow(), RunState::Baseline { .. })
    }

    /// Whether what was measured so far refutes that the system is steady, or a probe could not answer, which spoils the run
    /// whatever is killed; asked in the baseline only.
    fn is_unsteady(&self) -> bool {
        let spoils = |reason| matches!(reason, ReasonCode::NotSteady | ReasonCode::ProbeUnanswered);
        self.in_baseline() && {
            let findings = verdict::judge(&self.order.judge, &self.events).verdict.findings;
            findings.iter().any(|finding| spoils(finding.reason_code))
        }
    }

    /// Whether a probe is still to be heard of; asked in the baseline only.
    fn is_unanswered(&self) -> bool {
        let (probes, now) = (&self.order.experiment.probes, self.order.clock.now());
        self.in_baseline() && self.since.is_none_or(|since| self.answers.are_missing(probes, since, now))
    }

    fn stop_cause(&self) -> Option<StopCause> {
        if let Some(name) = *self.order.asked.borrow() {
            return Some(StopCause::Signal { name: name.to_owned() });
        }
        if let Some(message) = self.order.recorder.journal_failure().borrow().clone() {
            return Some(StopCause::Journal { message });
        }
        let trouble = self.failed.clone().or_else(|| self.killer.as_ref().and_then(Killer::trouble));
        self.refuted
            .clone()
            .or_else(|| self.watchfire.borrow().stop.clone())
            .or_else(|| trouble.map(|message| StopCause::Killer { message }))
    }

    fn start_probes(&mut self) {
        self.phase(Phase::Baseline);
        self.since = Some(self.order.clock.now());
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
        self.catch_up();
        let clock = self.order.clock;
        let since = |(at, what): (RunTime, String)| (clock.timestamp(at), what);
        RunView {
            unsteady: self.is_unsteady(),
            unanswered: self.is_unanswered(),
            killer_done: self.killer.as_ref().is_some_and(Killer::is_done),
            unrecovered: self.recovering.oldest().map(|(at, pod)| since((at, pod.to_owned()))),
            blind: self.watchfire.borrow().blind.clone().map(since),
            stop: self.stop_cause(),
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
