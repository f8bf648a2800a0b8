//! An actor: the real strike machine and the real driver in a simulated process, whose every call takes turns with all others
//! and can get lost, be late, or be the last thing the process does.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use chaos_core::api::Outcome;
use chaos_core::killer::{
    Action, BudgetVersion, KillAnswer, KillAnswerKind, KillOrder, Killer, KillerState, KillerView, Ledger, Life,
    Observation, Response, Stored, VersionedBudget,
};
use chaos_core::machine::{Machine, Step};
use chaos_core::population::WorkloadKey;
use chaos_engine::clock::steady;
use chaos_engine::drive::{World, drive};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

use crate::bugs::Bug;
use crate::cluster::{Cluster, Done, Send, millis};

/// A process: which killer it runs, and what it knows.
pub(crate) struct Process {
    pub(crate) cluster: Cluster,
    pub(crate) killer: Killer,
    /// Identity of this very process.
    pub(crate) instance: u64,
    /// Version of the status that its next write follows.
    version: u64,
    /// The ledger as it was last saved.
    saved: Ledger,
    /// Until when it sleeps; the scheduler reads it.
    pub(crate) sleep: Sleep,
    /// How far the clock of its machine is ahead.
    ahead: Ahead,
    /// When it last took a step: by its clock, and really.
    stepped: (Timestamp, Timestamp),
    /// The last thing it heard of the stop switch, and when.
    heard: (Timestamp, bool),
    pending: Option<Ledger>,
}

/// Until when a process sleeps.
pub(crate) type Sleep = Arc<std::sync::Mutex<Option<Timestamp>>>;

/// How far the clock of a machine is ahead of the true time.
pub(crate) type Ahead = Arc<std::sync::Mutex<SignedDuration>>;

/// Somebody else drives this killer.
#[derive(Debug)]
pub(crate) struct Fenced;

/// Lets everybody else have a turn.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

async fn turn() {
    Turn(false).await;
}

impl Process {
    pub(crate) fn new(cluster: Cluster, killer: Killer, sleep: Sleep, ahead: Ahead) -> Self {
        let instance = cluster.lock().draw();
        let now = cluster.lock().now;
        Self {
            cluster,
            killer,
            instance,
            version: 0,
            saved: Ledger::default(),
            sleep,
            ahead,
            stepped: (now, now),
            heard: (now, false),
            pending: None,
        }
    }

    /// The time by the clock of its machine.
    fn clock(&self) -> Timestamp {
        self.cluster.lock().now + *self.ahead.lock().unwrap()
    }

    /// Runs until it is done or fenced off. A drop is a crash.
    pub(crate) async fn run(mut self) -> Result<(), Fenced> {
        let run = self.killer.spec().run.clone();
        turn().await;
        self.reach().await;
        let ledger = {
            let mut state = self.cluster.lock();
            let bug = state.scenario.bug;
            let status = state.statuses.entry(run).or_default();
            status.driver = self.instance;
            status.version += 1;
            self.version = status.version;
            let seen = if bug == Some(Bug::LedgerFromCache) { &status.before } else { &status.ledger };
            seen.clone()
        };
        turn().await;
        self.saved = ledger.clone();
        let machine = Faulty { killer: self.killer.clone(), bug: self.bug() };
        drive(&machine, &mut self, ledger).await.map(|_| ())
    }

    fn bug(&self) -> Option<Bug> {
        self.cluster.lock().scenario.bug
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug() == Some(bug)
    }

    /// Waits until the API server answers: what a process must have read or written before it goes on.
    async fn reach(&self) {
        while self.cluster.lock().is_away() {
            let again = self.cluster.lock().now + millis(1_000);
            *self.sleep.lock().unwrap() = Some(again);
            turn().await;
        }
    }

    async fn store(&mut self, ledger: &Ledger) -> Result<(), Fenced> {
        turn().await;
        self.reach().await;
        let run = self.killer.spec().run.clone();
        {
            let mut state = self.cluster.lock();
            let is_blind = state.scenario.bug == Some(Bug::StatusWithoutVersion);
            let status = state.statuses.entry(run).or_default();
            if status.version != self.version && !is_blind {
                return Err(Fenced);
            }
            status.version += 1;
            status.before = std::mem::replace(&mut status.ledger, ledger.clone());
            self.version = status.version;
        }
        self.saved = ledger.clone();
        turn().await;
        Ok(())
    }

    async fn observe(&self, wanted: Vec<WorkloadKey>) -> Response {
        let facts = |process: &Self| {
            let state = process.cluster.lock();
            if state.scenario.bug == Some(Bug::FactsFromCache) { state.stale_facts() } else { state.facts() }
        };
        let taken_at = self.clock();
        let early = self.has(Bug::FactsBeforeBudgets).then(|| facts(self));
        turn().await;
        if self.goes_wrong() {
            return Response::Observed(Err("no answer".into()));
        }
        let budgets = wanted.into_iter().map(|key| (key.clone(), Ok(self.budget(&key)))).collect();
        turn().await;
        let population = early.unwrap_or_else(|| facts(self));
        turn().await;
        let population = chaos_core::population::Population { taken_at, ..population };
        Response::Observed(Ok(Observation { budgets, readings: Vec::new(), population: Arc::new(population) }))
    }

    fn budget(&self, key: &WorkloadKey) -> VersionedBudget {
        let mut read = self.cluster.lock().budget(key);
        if self.has(Bug::OrphansDropped) {
            let is_open = |uid: &str| self.saved.intents.iter().any(|intent| intent.victim.uid == uid);
            let run = &self.killer.spec().run;
            read.budget.reservations.retain(|held| held.run != *run || is_open(&held.victim_uid));
        }
        if self.has(Bug::OthersIgnored) {
            read.budget.reservations.retain(|held| held.run == self.killer.spec().run);
        }
        read
    }

    async fn kill(&self, order: KillOrder) -> Response {
        turn().await;
        let run = self.killer.spec().run.clone();
        let really = self.cluster.lock().now;
        let (since, then) = self.stepped;
        let never_back = steady(self.clock(), since, really.duration_since(then).unsigned_abs());
        let at = if self.has(Bug::ClockTrusted) { self.clock() } else { never_back };
        let answer = |kind| Response::Kill(KillAnswer { at, kind, message: None });
        if at > order.deadline && !self.has(Bug::DeadlineIgnored) {
            return answer(KillAnswerKind::NotSent);
        }
        if self.has(Bug::ReleasedBeforeOutcome) {
            self.release_now(&order, &run);
        }
        let index = {
            let mut state = self.cluster.lock();
            assert!(never_back.duration_since(order.deadline) <= millis(0), "an old decision was carried out");
            if let Some(stopped) = state.stopped_at {
                assert!(really.duration_since(stopped) <= millis(10_500), "a kill was sent long after the stop");
            }
            let beats = matches!(self.killer.spec().life, Life::OfRun { heartbeat: Some(_), .. });
            if let Some(silent) = state.silent_at().filter(|_| beats) {
                assert!(really.duration_since(silent) <= millis(10_500), "a kill was sent for a run that is silent");
            }
            // Clocks that are an hour wrong keep no distance in time, and no kill in doubt for as long as it may still happen.
            if state.scenario.jumps == 0 {
                check_send(&state.sends, &order, really, state.scenario.min_interval_millis);
            }
            let (uid, workload) = (order.victim.uid.clone(), order.victim.workload_uid.clone());
            state.sends.push(Send { uid, workload, at: really, was_refused: false });
            state.sends.len() - 1
        };
        let kind = match self.fault() {
            Fault::None => match self.cluster.lock().kill(&order, &run) {
                Done::Killed => KillAnswerKind::Accepted,
                Done::Gone => KillAnswerKind::Gone,
            },
            Fault::RequestLost => KillAnswerKind::Unknown,
            Fault::AnswerLost => {
                self.cluster.lock().kill(&order, &run);
                KillAnswerKind::Unknown
            }
            Fault::Late => {
                self.cluster.lock().kill_later(order, &run);
                KillAnswerKind::Unknown
            }
            Fault::Refused => KillAnswerKind::Refused,
        };
        let refused = matches!(kind, KillAnswerKind::Refused | KillAnswerKind::Gone);
        self.cluster.lock().sends[index].was_refused = refused;
        turn().await;
        answer(kind)
    }

    fn release_now(&self, order: &KillOrder, run: &str) {
        let mut state = self.cluster.lock();
        let key = crate::cluster::key(order.victim.workload.rsplit('/').next().unwrap_or_default());
        let mut versioned = state.budget(&key);
        versioned.budget.release_victim(run, order.strike.strike, &order.victim.uid);
        state.write_budget(&key, &versioned.version, versioned.budget);
    }

    /// What a process with that mistake takes an answer for.
    fn mistaken(&self, stored: Stored, at: BudgetVersion) -> Stored {
        match (stored, self.bug()) {
            (Stored::Conflict, Some(Bug::ConflictIsDone)) | (Stored::Unknown(_), Some(Bug::UnknownWriteIsDone)) => {
                Stored::Done(at)
            }
            (stored, _) => stored,
        }
    }

    fn goes_wrong(&self) -> bool {
        self.fault() != Fault::None
    }

    fn fault(&self) -> Fault {
        let mut state = self.cluster.lock();
        if state.is_away() {
            return Fault::RequestLost;
        }
        let faults = state.scenario.faults;
        if !state.chance(faults) {
            return Fault::None;
        }
        [Fault::RequestLost, Fault::AnswerLost, Fault::Late, Fault::Refused][(state.draw() % 4) as usize]
    }
}

/// What can become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    RequestLost,
    AnswerLost,
    /// Carried out some time later.
    Late,
    Refused,
}

/// What must hold when a kill leaves: no pod twice, and no workload too soon.
fn check_send(sends: &[Send], order: &KillOrder, at: Timestamp, min_interval: i64) {
    let before: Vec<_> = sends.iter().filter(|send| !send.was_refused).collect();
    assert!(before.iter().all(|send| send.uid != order.victim.uid), "a second kill was sent to {}", order.victim.uid);
    let last = before.iter().filter(|send| send.workload == order.victim.workload_uid).map(|send| send.at).max();
    if let Some(last) = last {
        // A reservation counts from the decision, which is at most five seconds (and a turn) before the kill leaves.
        let gap = at.duration_since(last);
        assert!(gap >= millis(min_interval - 5_500), "two kills of a workload only {gap:?} apart");
    }
}

impl<M> World<M> for Process
where
    M: Machine<Durable = Ledger, View = KillerView, Action = Action, Response = Response>,
{
    type Error = Fenced;

    fn now(&self) -> Timestamp {
        self.clock()
    }

    async fn view(&mut self) -> KillerView {
        self.stepped = (self.clock(), self.cluster.lock().now);
        let mut state = self.cluster.lock();
        // News travels for up to a second.
        let lag = state.between(0, 1_000);
        if state.now.duration_since(self.heard.0) > lag {
            self.heard = (state.now, state.stopped_at.is_some() && state.scenario.bug != Some(Bug::SwitchIgnored));
        }
        let is_deaf = state.scenario.bug == Some(Bug::HeartbeatIgnored);
        let beat = state.silent_at().filter(|_| !is_deaf).unwrap_or(state.now) + *self.ahead.lock().unwrap();
        KillerView { hold: self.heard.1.then(|| "stopped".to_owned()), beat: Some(beat), ..KillerView::default() }
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), Fenced> {
        if self.has(Bug::ActBeforeSave) {
            self.pending = Some(ledger.clone());
            return Ok(());
        }
        self.store(ledger).await
    }

    async fn perform(&mut self, action: Action) -> Response {
        let response = match action {
            Action::Observe { budgets, guards: _ } => self.observe(budgets).await,
            Action::ReadBudget(key) => {
                turn().await;
                let read =
                    if self.goes_wrong() { Err("no answer".into()) } else { Ok(self.cluster.lock().budget(&key)) };
                turn().await;
                Response::Budget(read)
            }
            Action::WriteBudget { workload, at, budget } => {
                turn().await;
                let write = |process: &Self| process.cluster.lock().write_budget(&workload, &at, budget.clone());
                let stored = match self.fault() {
                    Fault::None => write(self).map_or(Stored::Conflict, Stored::Done),
                    Fault::RequestLost => Stored::Unknown("no answer".into()),
                    Fault::AnswerLost | Fault::Late => {
                        write(self);
                        Stored::Unknown("no answer".into())
                    }
                    Fault::Refused => Stored::Refused("no".into()),
                };
                turn().await;
                Response::Stored(self.mistaken(stored, at))
            }
            Action::Kill(order) => {
                let first = self.kill(order.clone()).await;
                let is_unknown = matches!(&first, Response::Kill(answer) if answer.kind == KillAnswerKind::Unknown);
                if is_unknown && self.has(Bug::KillRetried) { self.kill(order).await } else { first }
            }
            Action::LookUp(victim) => {
                turn().await;
                let sighting = self.cluster.lock().sight(&victim.pod, &victim.uid);
                turn().await;
                Response::Found(sighting)
            }
        };
        if let Some(ledger) = self.pending.take() {
            // What cannot be saved late is lost: that is this bug.
            let _ = self.store(&ledger).await;
        }
        response
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        if let Some(ledger) = self.pending.take() {
            let _ = self.store(&ledger).await;
        }
        let longest = self.cluster.lock().now + millis(1_000);
        let until = until.map(|until| until - *self.ahead.lock().unwrap());
        *self.sleep.lock().unwrap() = Some(until.unwrap_or(longest).min(longest));
        turn().await;
    }
}

/// The strike machine, with a mistake in it if one is asked for.
struct Faulty {
    killer: Killer,
    bug: Option<Bug>,
}

impl Machine for Faulty {
    type State = KillerState;
    type Durable = Ledger;
    type View = KillerView;
    type Action = Action;
    type Response = Response;

    fn resume(&self, mut ledger: Ledger) -> KillerState {
        if self.bug == Some(Bug::IntentsForgotten) {
            ledger.intents.clear();
        }
        if self.bug == Some(Bug::CountForgotten) {
            (ledger.kills, ledger.struck) = (0, 0);
        }
        self.killer.resume(ledger)
    }

    fn durable<'a>(&self, state: &'a KillerState) -> &'a Ledger {
        self.killer.durable(state)
    }

    fn step(
        &self,
        state: &KillerState,
        view: &KillerView,
        response: Option<Response>,
        now: Timestamp,
    ) -> Step<KillerState, Action> {
        let response = response.map(|response| match (self.bug, response) {
            (Some(Bug::UnknownIsRefused), Response::Kill(answer)) if answer.kind == KillAnswerKind::Unknown => {
                Response::Kill(KillAnswer { kind: KillAnswerKind::Refused, ..answer })
            }
            (Some(Bug::UnknownIsAccepted), Response::Kill(answer)) if answer.kind == KillAnswerKind::Unknown => {
                Response::Kill(KillAnswer { kind: KillAnswerKind::Accepted, ..answer })
            }
            (_, response) => response,
        });
        let mut step = self.killer.step(state, view, response, now);
        if self.bug == Some(Bug::OutcomeForgotten) {
            step.state.ledger.history.retain(|kill| kill.outcome != Outcome::Killed || kill.strike % 2 == 0);
        }
        step
    }
}
