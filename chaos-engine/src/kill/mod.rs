//! The world of the strike machine on a Kubernetes cluster. What the machine asks for is done here; where its ledger is kept
//! and what holds it back is said by a [`Keeper`]: the operator keeps a monkey's status, the CLI a journal.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::api::VictimRef;
use chaos_core::eligible::{Reason, bars, spared};
use chaos_core::killer::{
    Action, GuardReading, KillAnswer, KillAnswerKind, KillOrder, Killer, KillerView, Ledger, Observation, Response,
    Scope, VersionedBudget, held,
};
use chaos_core::limits::lets_kill;
use chaos_core::model::{MonkeyGuard, Policy, Target};
use chaos_core::population::{NamespaceFacts, PodFacts, Population, WorkloadKey};
use futures::future::join_all;
use jiff::Timestamp;

use crate::asker::Asker;
use crate::clock::{RunClock, set_ahead, steady};
use crate::drive::World;
use crate::kube::{
    BudgetStore, CallError, Caller, Clients, Environment, Hand, PopulationReader, SurveyOf, Surveys, look_up,
    read_switch,
};

/// Whoever stops chaos is told that nothing is killed so long afterwards: a kill rests on no older answer that it may go on.
const STOPS_WITHIN: Duration = Duration::from_secs(1);

/// Whose killer it is: where its ledger is kept, and what holds it back.
pub trait Keeper: Send {
    /// Why the ledger could not be saved.
    type Error;

    /// The clock that the instants of the ledger are meant in, if it is one of its own and not this machine's. Whoever has one
    /// shares no survey: what others read was stamped by the machine's.
    fn clock(&self) -> Option<&RunClock> {
        None
    }

    /// The time, by the clock that the instants of the ledger are meant in.
    fn now(&self) -> Timestamp {
        self.clock().map_or_else(Timestamp::now, |clock| clock.timestamp(clock.now()))
    }

    /// What is known without asking anybody.
    fn view(&mut self) -> impl Future<Output = KillerView> + Send;

    /// The same, once more before a kill is sent: since it was decided, a budget and the ledger were written.
    fn last_look(&mut self) -> impl Future<Output = KillerView> + Send {
        self.view()
    }

    /// Makes the ledger survive a crash. Nothing is killed that was not saved before.
    fn save(&mut self, ledger: &Ledger) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Waits for the instant or for a change of the view. `None`: for a change.
    fn wait(&mut self, until: Option<Timestamp>) -> impl Future<Output = ()> + Send;

    /// The cluster was looked at, or could not be seen.
    fn looked(&mut self, seen: Result<&Arc<Population>, &str>) {
        let _ = seen;
    }

    /// The guards were asked: whether all of them are known to hold.
    fn guarded(&mut self, held: bool) {
        let _ = held;
    }

    /// A kill call was answered.
    fn answered(&mut self, order: &KillOrder, answer: &KillAnswer) {
        let _ = (order, answer);
    }
}

/// The hands and eyes of a killer on a cluster.
#[derive(Clone)]
pub struct ClusterAccess {
    reader: PopulationReader,
    budgets: BudgetStore,
    hand: Hand,
    read: Caller,
    /// Who is meant.
    target: Target,
    /// By whose rights it kills.
    policy: Policy,
    /// What a survey of the whole target is of.
    survey: SurveyOf,
    surveys: Surveys,
}

impl ClusterAccess {
    /// Access for a killer with this target, by the rights that it decides by. `holder` signs the budgets it writes, for people.
    pub fn new(clients: &Clients, target: &Target, policy: &Policy, environment: Environment, holder: &str) -> Self {
        let read = Caller::new(clients.read.clone());
        let write = Caller::new(clients.write.clone());
        Self {
            survey: SurveyOf::target(target, &environment, policy),
            reader: PopulationReader::new(read.clone(), target, environment).for_killer(policy),
            budgets: BudgetStore::new(read.clone(), write.clone(), holder),
            hand: Hand::new(write),
            read,
            target: target.clone(),
            policy: policy.clone(),
            surveys: clients.surveys.clone(),
        }
    }

    /// What a survey sees that all killers share who ask for it before it begins.
    async fn shared_survey(&self, scope: &Scope, sees: bool) -> Result<Arc<Population>, String> {
        let (reader, within) = (self.reader.clone(), scope.clone());
        let read = move || async move { reader.read(&within).await.map(Arc::new).map_err(|error| error.to_string()) };
        self.surveys.survey(&self.survey.within(scope), sees, read).await
    }

    /// Why this pod must not be killed any more: what its kill was decided on may have been read a second or two before.
    async fn refused(&self, victim: &VictimRef, now: Timestamp) -> Option<NotSent> {
        let VictimRef { namespace, pod: name, .. } = victim;
        let (switch, facts, pod) =
            futures::join!(read_switch(&self.read), self.reader.facts(namespace), self.reader.pod(namespace, name));
        let by_switch = match switch.map(|switch| lets_kill(switch, self.policy.actor)) {
            Ok(Ok(_)) => None,
            Ok(Err(why)) => Some(why.to_owned()),
            Err(error) => Some(format!("the stop switch could not be read: {error}")),
        };
        let stopped = by_switch.or_else(|| match facts {
            Ok(Some(facts)) => self.barred(&facts),
            Ok(None) => Some(format!("there is no namespace {namespace} any more")),
            Err(error) => Some(format!("namespace {namespace} could not be read: {error}")),
        });
        stopped.map(NotSent::unwanted).or_else(|| self.changed(victim, pod, now))
    }

    /// Why a pod that was read once more must not be killed: it may have been opted out since, or let go by its controller, which
    /// would not replace it, or be on its way out by another's doing.
    fn changed(
        &self,
        victim: &VictimRef,
        read: Result<Option<PodFacts>, CallError>,
        now: Timestamp,
    ) -> Option<NotSent> {
        let VictimRef { namespace, pod: name, .. } = victim;
        let pod = match read {
            Ok(found) => found.filter(|pod| pod.uid == victim.uid),
            Err(error) => return Some(NotSent::unwanted(format!("pod {namespace}/{name} could not be read: {error}"))),
        };
        let Some(pod) = pod else { return Some(NotSent::gone("there is no such pod any more")) };
        if pod.terminating {
            return Some(NotSent::gone("it is being deleted already"));
        }
        let is_moved = pod.owner.as_ref().is_some_and(|owner| owner.uid != victim.owner_uid);
        let moved = is_moved.then(|| "it has another controller by now".to_owned());
        let why = spared(&self.target, &self.policy, &pod, now).map(told).or(moved);
        why.map(NotSent::unwanted)
    }

    /// Why nothing may be killed in a namespace that is like that by now: it may have been opted out since.
    fn barred(&self, facts: &NamespaceFacts) -> Option<String> {
        match facts {
            NamespaceFacts { name, stopped: true, .. } => Some(format!("namespace {name} is stopped")),
            NamespaceFacts { name, terminating: true, .. } => Some(format!("namespace {name} is being deleted")),
            NamespaceFacts { name, labels, .. } if !self.target.namespaces.contains(name, labels) => {
                Some(format!("the target is {}, and no more namespace {name}", self.target.namespaces))
            }
            _ => bars(&self.policy, facts).map(told),
        }
    }

    /// Budgets first, the population afterwards: a kill that is no longer in a budget is then already in the facts.
    async fn observe(&self, scope: &Scope, wanted: Vec<WorkloadKey>) -> Result<(Budgets, Population), String> {
        let read = wanted.into_iter().map(|workload| async {
            let budget = self.budgets.read(&workload).await;
            (workload, budget)
        });
        let budgets = join_all(read).await;
        let population = self.reader.read(scope).await.map_err(|error| error.to_string())?;
        Ok((budgets, population))
    }
}

/// By the name that plans have it under, with the facts.
fn told(reason: Reason) -> String {
    format!("{}: {}", reason.exclusion.as_str(), reason.message)
}

/// A kill that is not sent.
struct NotSent {
    kind: KillAnswerKind,
    why: String,
}

impl NotSent {
    /// Nobody wants it any more, or it is not known whether anybody does.
    const fn unwanted(why: String) -> Self {
        Self { kind: KillAnswerKind::NotSent, why }
    }

    /// There is nobody left to kill: it is what the server would have said.
    fn gone(why: &str) -> Self {
        Self { kind: KillAnswerKind::Gone, why: why.to_owned() }
    }
}

/// Budgets as they were read, or why they could not be.
type Budgets = Vec<(WorkloadKey, Result<VersionedBudget, String>)>;

/// The world of one killer.
pub struct KillWorld<K> {
    access: ClusterAccess,
    keeper: K,
    /// Who asks for its guards; absent: nobody does, so that none of them is known.
    asker: Option<Asker>,
    /// It saw the cluster when it last looked.
    sees: bool,
    /// When the step is taken that is at hand, by the keeper's clock and by one that cannot be set.
    stepped: (Timestamp, Instant),
    /// When the cluster began to be looked at that kills are decided on.
    looked_at: (Timestamp, Instant),
}

impl<K: Keeper> KillWorld<K> {
    /// A killer on that cluster, kept by `keeper`.
    pub fn new(access: ClusterAccess, keeper: K) -> Self {
        let instant = Instant::now();
        let stepped = (keeper.now(), instant);
        Self { access, keeper, asker: None, sees: false, stepped, looked_at: stepped }
    }

    /// The same, whose guards are asked for.
    #[must_use]
    pub fn asking(self, asker: Asker) -> Self {
        Self { asker: Some(asker), ..self }
    }

    /// Who keeps it, to be told something.
    pub const fn keeper_mut(&mut self) -> &mut K {
        &mut self.keeper
    }

    /// Gives the keeper back.
    pub fn into_keeper(self) -> K {
        self.keeper
    }

    /// What is heard of the guards.
    async fn hear(&mut self, guards: &[MonkeyGuard]) -> Vec<Result<GuardReading, String>> {
        if guards.is_empty() {
            return Vec::new();
        }
        let readings = match &self.asker {
            Some(asker) => asker.hear(guards).await,
            None => guards.iter().map(|_| Err("nobody asks sources here".to_owned())).collect(),
        };
        self.keeper.guarded(held(guards, &readings).is_ok());
        readings
    }

    /// What a survey sees, in its turn: shared with others, unless it is stamped by a clock that they do not go by.
    async fn survey(&mut self, scope: &Scope) -> Result<Arc<Population>, String> {
        if self.keeper.clock().is_none() {
            return self.access.shared_survey(scope, self.sees).await;
        }
        let turn = self.access.surveys.turn(self.sees).await;
        let seen = self.see(scope, Vec::new()).await;
        drop(turn);
        seen.map(|(_, population)| population)
    }

    /// What is seen of the cluster now, and of these budgets. It waits for nobody, and is read for this killer alone. (A keeper need
    /// not be one that tasks can share, so nobody else may hold this meanwhile.)
    async fn see(&mut self, scope: &Scope, budgets: Vec<WorkloadKey>) -> Result<(Budgets, Arc<Population>), String> {
        // Stamped by the clock that its age is going to be told by, and as of the beginning of the reads.
        let taken_at = self.keeper.now();
        let (budgets, population) = self.access.observe(scope, budgets).await?;
        Ok((budgets, Arc::new(Population { taken_at, ..population })))
    }

    /// Takes notice of whether the cluster was seen, and answers with what was.
    fn looked(&mut self, observed: Result<Observation, String>) -> Response {
        self.sees = observed.is_ok();
        self.keeper.looked(observed.as_ref().map(|seen| &seen.population).map_err(String::as_str));
        Response::Observed(observed)
    }

    /// The present, no earlier than what has passed since the step that is at hand, or since the look that it was decided on: a clock
    /// that is set back between two steps makes no decision younger.
    fn present(&self) -> Timestamp {
        let marks = [self.stepped, self.looked_at];
        marks.into_iter().fold(self.keeper.now(), |now, (since, instant)| steady(now, since, instant.elapsed()))
    }

    /// Why this victim must not be killed any more. Switch, namespace and pod are read beside each other, and one may be read long
    /// before the others are: answers that took too long are asked for again, for as long as the kill may be sent.
    async fn refused(&mut self, order: &KillOrder) -> Option<NotSent> {
        loop {
            let asked = Instant::now();
            let refused = self.access.refused(&order.victim, self.present()).await;
            if refused.is_some() || asked.elapsed() < STOPS_WITHIN || self.present() > order.deadline {
                return refused;
            }
        }
    }

    /// Sends a kill, unless it is known by now that it must not be.
    async fn kill(&mut self, order: &KillOrder) -> KillAnswer {
        let refused = self.refused(order).await;
        let view = self.keeper.last_look().await;
        let at = self.present();
        match refused.or_else(|| view.objection(order, at).map(NotSent::unwanted)) {
            Some(NotSent { kind, why }) => KillAnswer { at, kind, message: Some(why) },
            None => self.access.hand.kill(order, at).await,
        }
    }
}

impl<K: Keeper> World<Killer> for KillWorld<K> {
    type Error = K::Error;

    /// As it was when the view was told: a clock that is set after that is told of with the next.
    fn now(&self) -> Timestamp {
        self.stepped.0
    }

    async fn view(&mut self) -> KillerView {
        // First: it may take its time, in which the clock may be set.
        let known = self.keeper.view().await;
        // The one that cannot be set is read first, and last: a process that stands still meanwhile sees no clock that was set.
        let instant = Instant::now();
        let now = self.keeper.now();
        let ahead = set_ahead(now, self.stepped.0, self.stepped.1.elapsed());
        if !ahead.is_zero() {
            tracing::warn!(?ahead, "this machine's clock was set ahead");
        }
        self.stepped = (now, instant);
        KillerView { ahead, ..known }
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), K::Error> {
        self.keeper.save(ledger).await
    }

    async fn perform(&mut self, action: Action) -> Response {
        match action {
            Action::Survey(scope) => {
                let seen = self.survey(&scope).await;
                let (budgets, readings) = (Vec::new(), Vec::new());
                self.looked(seen.map(|population| Observation { budgets, readings, population }))
            }
            Action::Observe { scope, budgets, guards } => {
                self.looked_at = (self.keeper.now(), Instant::now());
                // First: what waits for them would be old by then.
                let readings = self.hear(&guards).await;
                let seen = self.see(&scope, budgets).await;
                self.looked(seen.map(|(budgets, population)| Observation { budgets, readings, population }))
            }
            Action::ReadBudget(workload) => Response::Budget(self.access.budgets.read(&workload).await),
            Action::WriteBudget { workload, at, budget } => {
                Response::Stored(self.access.budgets.write(&workload, &at, &budget).await)
            }
            Action::Kill(order) => {
                let answer = self.kill(&order).await;
                self.keeper.answered(&order, &answer);
                Response::Kill(answer)
            }
            Action::LookUp(victim) => Response::Found(look_up(&self.access.read, &victim).await),
        }
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        self.keeper.wait(until).await;
    }
}

#[cfg(test)]
mod tests;
