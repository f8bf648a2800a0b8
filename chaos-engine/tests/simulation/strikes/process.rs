//! A killer's process: the real strike machine and the real driver, whose every call takes turns with all others and can get
//! lost, be late, or be the last thing the process does.

use std::sync::Arc;
use std::time::Duration;

use chaos_core::killer::{
    Action, BudgetVersion, KillAnswerKind, KillOrder, Killer, KillerSpec, KillerView, Ledger, Observation, Response,
    Scope, Sighting, Stored, VersionedBudget,
};
use chaos_core::machine::Machine;
use chaos_core::model::MonkeyGuard;
use chaos_core::population::{Population, SwitchState, WorkloadKey};
use chaos_engine::clock::set_ahead;
use chaos_engine::drive::{World, drive};
use chaos_engine::kube::budget_answer;
use jiff::Timestamp;

use super::answers::seen;
use super::bugs::Bug;
use super::cluster::Cluster;
use super::faulty::Faulty;
use super::foreigners::Truths;
use super::keeper::Keeper;
use super::metrics::{Heard, Reading};
use crate::desk::Left;
use crate::faults::{Answer, Fault};
use crate::seats::{Chair, Stage as _, millis, turn};

/// A process: which killer it runs, and what it knows.
pub(crate) struct Process<K> {
    pub(crate) cluster: Cluster,
    pub(crate) killer: Killer,
    pub(crate) keeper: K,
    chair: Chair,
    /// The ledger as it was last saved.
    saved: Ledger,
    /// When it last took a step: by its clock, and really.
    pub(crate) stepped: (Timestamp, Timestamp),
    /// When it began to look at what it decides on.
    pub(crate) looked_at: (Timestamp, Timestamp),
    pending: Option<Ledger>,
    /// Something held it back when it last looked.
    is_held: bool,
    /// What it was last told of its guards.
    pub(crate) heard: Option<Heard>,
    /// What was true when it last read the cluster.
    pub(crate) truths: Truths,
    bug: Option<Bug>,
}

impl<K: Keeper> Process<K> {
    pub(crate) fn new(cluster: Cluster, killer: Killer, keeper: K, chair: Chair) -> Self {
        let (now, bug) = {
            let state = cluster.lock();
            (state.now, state.scenario.bug)
        };
        let stepped = (now + chair.ahead(), now);
        Self {
            cluster,
            killer,
            keeper,
            chair,
            saved: Ledger::default(),
            stepped,
            looked_at: stepped,
            pending: None,
            is_held: false,
            heard: None,
            truths: Truths::default(),
            bug,
        }
    }

    /// The time by the clock of its machine.
    pub(crate) fn clock(&self) -> Timestamp {
        self.cluster.lock().now + self.chair.ahead()
    }

    /// Runs until it is done, fenced off or overtaken. A drop is a crash.
    pub(crate) async fn run(mut self) -> Result<(), Left> {
        let ledger = self.keeper.claim(&self.chair).await;
        if let Some(left) = self.keeper.left() {
            return Err(left);
        }
        if let Some(mode) = self.keeper.mode().filter(|mode| *mode != self.killer.spec().mode) {
            self.killer = Killer::new(KillerSpec { mode, ..self.killer.spec().clone() });
        }
        self.saved = ledger.clone();
        let machine = Faulty { killer: self.killer.clone(), bug: self.bug };
        drive(&machine, &mut self, ledger).await?;
        self.keeper.left().map_or(Ok(()), Err)
    }

    /// Why a kill must not be sent after all, by what is known once more before.
    pub(crate) fn objection(&mut self, order: &KillOrder, at: Timestamp) -> Option<String> {
        let ahead = self.chair.ahead();
        self.keeper.last_look(&mut self.cluster.lock(), ahead)?.objection(order, at)
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    async fn store(&mut self, ledger: &Ledger) -> Result<(), Left> {
        self.keeper.save(&self.chair, ledger).await?;
        self.saved = ledger.clone();
        Ok(())
    }

    async fn observe(&mut self, scope: &Scope, wanted: Vec<WorkloadKey>, guards: &[MonkeyGuard]) -> Response {
        let facts = |process: &Self| {
            let state = process.cluster.lock();
            let facts = if process.has(Bug::FactsFromCache) { state.stale_facts() } else { state.facts() };
            (facts, state.truths())
        };
        self.looked_at = (self.clock(), self.cluster.lock().now);
        let readings = self.ask(guards);
        let taken_at = self.clock();
        let early = self.has(Bug::FactsBeforeBudgets).then(|| facts(self));
        if early.is_some() {
            // To read all lists takes as long as several calls.
            for _ in 0..6 {
                turn().await;
            }
        }
        turn().await;
        if self.goes_wrong() {
            return Response::Observed(Err("no answer".into()));
        }
        let budgets: Vec<_> = wanted.into_iter().map(|key| (key.clone(), Ok(self.budget(&key)))).collect();
        if !budgets.is_empty() {
            turn().await;
        }
        let (population, truths) = early.unwrap_or_else(|| facts(self));
        self.truths = truths;
        turn().await;
        let mut population = seen(Population { taken_at, ..population }, scope);
        if self.has(Bug::SwitchFromCache) {
            population.switch = if self.is_held { SwitchState::Stopped } else { SwitchState::Running };
        }
        let population = Arc::new(population);
        Response::Observed(Ok(Observation { budgets, readings, population }))
    }

    /// What the sources of these guards say.
    fn ask(&mut self, guards: &[MonkeyGuard]) -> Vec<Reading> {
        if guards.is_empty() {
            return Vec::new();
        }
        if self.heard.is_none() || !self.has(Bug::GuardsFromCache) {
            self.heard = Some(Heard::ask(&mut self.cluster.lock(), guards));
        }
        self.heard.iter().flat_map(|heard| heard.readings.clone()).collect()
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

    async fn write_budget(&self, action: (WorkloadKey, BudgetVersion, chaos_core::limits::WorkloadBudget)) -> Response {
        let (workload, at, budget) = action;
        turn().await;
        let write = |process: &Self| process.cluster.lock().write_budget(&workload, &at, budget.clone());
        let stored = match self.fault() {
            Fault::None => write(self).map_or(Stored::Conflict, Stored::Done),
            Fault::Never(answer) => budget_answer(answer.error()),
            Fault::Done(answer) | Fault::Late(answer) => {
                write(self);
                budget_answer(answer.error())
            }
        };
        turn().await;
        Response::Stored(self.mistaken(stored, at))
    }

    /// What a process with that mistake takes an answer for.
    fn mistaken(&self, stored: Stored, at: BudgetVersion) -> Stored {
        match (stored, self.bug) {
            (Stored::Conflict, Some(Bug::ConflictIsDone)) | (Stored::Unknown(_), Some(Bug::UnknownWriteIsDone)) => {
                Stored::Done(at)
            }
            (stored, _) => stored,
        }
    }

    fn goes_wrong(&self) -> bool {
        self.fault() != Fault::None
    }

    pub(crate) fn fault(&self) -> Fault {
        let mut state = self.cluster.lock();
        if state.away_until().is_some() {
            return Fault::Never(Answer::Lost);
        }
        let faults = state.scenario.faults;
        state.dice().fault(faults)
    }
}

impl<M, K> World<M> for Process<K>
where
    M: Machine<Durable = Ledger, View = KillerView, Action = Action, Response = Response>,
    K: Keeper,
{
    type Error = Left;

    fn now(&self) -> Timestamp {
        self.clock()
    }

    async fn view(&mut self) -> KillerView {
        let by_clock = self.chair.ahead();
        let mut state = self.cluster.lock();
        let (now, really) = (state.now + by_clock, state.now);
        let elapsed = really.duration_since(self.stepped.1).unsigned_abs();
        let was_set = set_ahead(now, self.stepped.0, elapsed);
        self.stepped = (now, really);
        let view = self.keeper.view(&mut state, by_clock);
        self.is_held = view.hold.is_some();
        KillerView { ahead: if self.bug == Some(Bug::StepIgnored) { Duration::ZERO } else { was_set }, ..view }
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), Left> {
        if self.has(Bug::ActBeforeSave) {
            self.pending = Some(ledger.clone());
            return Ok(());
        }
        self.store(ledger).await
    }

    async fn perform(&mut self, action: Action) -> Response {
        let response = match action {
            Action::Survey(scope) => self.observe(&scope, Vec::new(), &[]).await,
            Action::Observe { scope, budgets, guards } => self.observe(&scope, budgets, &guards).await,
            Action::ReadBudget(key) => {
                turn().await;
                let read =
                    if self.goes_wrong() { Err("no answer".into()) } else { Ok(self.cluster.lock().budget(&key)) };
                turn().await;
                Response::Budget(read)
            }
            Action::WriteBudget { workload, at, budget } => self.write_budget((workload, at, budget)).await,
            Action::Kill(order) => {
                let first = self.kill(order.clone()).await;
                let is_unknown = matches!(&first, Response::Kill(answer) if answer.kind == KillAnswerKind::Unknown);
                if is_unknown && self.has(Bug::KillRetried) { self.kill(order).await } else { first }
            }
            Action::LookUp(victim) => {
                turn().await;
                let sighting = if self.goes_wrong() {
                    Sighting::Unseen("no answer".into())
                } else {
                    self.cluster.lock().sight(&victim.pod, &victim.uid)
                };
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
        let longest = {
            let state = self.cluster.lock();
            state.now + millis(state.scenario.size.poll)
        };
        let until = until.map_or(longest, |until| until - self.chair.ahead());
        self.chair.sleep(until.min(longest));
        turn().await;
    }
}
