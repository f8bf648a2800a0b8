//! A run-owned `ChaosMonkey`: the operator kills, this run judges. Creates it, keeps its heartbeat, turns what its status says
//! into events of the run, and removes it. It never kills anything itself.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chaos_core::api::{self, ChaosMonkey, ChaosMonkeyStatus, HeartbeatRef, Mode};
use chaos_core::killer::EndReason;
use chaos_core::model::MonkeyPlan;
use chaos_core::record::{Event, RunTime};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::RunError;
use super::follow::follow;
use super::heartbeat::{self, Heart};
use super::told::{Told, unknown};
use super::tracker::Tracker;
use crate::clock::RunClock;
use crate::kube::{Clients, done, may_have_happened, told};
use crate::recorder::Recorder;

/// What a run-owned monkey is made of.
#[derive(Debug, Clone)]
pub(super) struct MonkeyOrder {
    /// Random identity of the run; the monkey's name is made of it.
    pub run_id: String,
    /// Namespace of the experiment, hence of the monkey.
    pub namespace: String,
    /// What the experiment's fault says.
    pub plan: MonkeyPlan,
    /// The experiment's limits.
    pub limits: api::Limits,
    /// The seed in force.
    pub seed: i64,
    /// No kill from then on.
    pub until: Timestamp,
    /// The run as an object, where it is one: the monkey goes with it, and one that it made before is taken up again.
    pub owner: Option<OwnerReference>,
    /// Time between two heartbeats. Two missed ones stop the monkey.
    pub beat: Duration,
    /// Whether it may be made; else one that is there is taken up.
    pub may_create: bool,
    /// How well the run's clock itself is known by the clock of its record, in nanoseconds.
    pub slack: Arc<AtomicU64>,
    /// Which process this is, where it may be the very one that drives the monkey: then both have one clock.
    pub instance: Option<String>,
}

/// What the rest of the run needs to know of the monkey.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct MonkeyView {
    /// It will not kill any more.
    pub done: bool,
    /// Kills it reported.
    pub kills: u64,
    /// Why it cannot work at present, in the operator's words, and since when that has been heard.
    pub trouble: Option<(String, RunTime)>,
    /// Why it gave up for good, in the operator's words.
    pub gave_up: Option<String>,
    /// The operator has taken notice of it.
    pub noticed: bool,
    /// It will not kill any more, and no kill of it is open.
    pub at_rest: bool,
    /// The generation of which the operator says that no kill is open; everything it did by then is recorded.
    pub settled: Option<i64>,
    /// What is left for a person to do about kills that were open when it was last seen.
    pub unknown: Vec<String>,
}

/// A monkey that exists.
pub(super) struct OwnedMonkey {
    name: String,
    monkeys: Api<ChaosMonkey>,
    leases: Api<Lease>,
    uid: String,
    /// The run is an object that owns it.
    owned: bool,
    /// Whether it is given signs of life.
    lives: watch::Sender<bool>,
    view: watch::Receiver<MonkeyView>,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl OwnedMonkey {
    /// Creates the heartbeat and the monkey, or takes up those that this run made before, and starts to beat and to listen.
    /// `None`: there is none, and none may be made. Such a run is going to rest: no monkey lives anew for it before it is suspended.
    /// `told` is what the record tells already.
    pub(super) async fn create(
        clients: &Clients,
        order: &MonkeyOrder,
        clock: RunClock,
        recorder: Recorder,
        told: Told,
    ) -> Result<Option<Self>, RunError> {
        let name = name_of(&order.run_id);
        let monkeys: Api<ChaosMonkey> = Api::namespaced(clients.write.clone(), &order.namespace);
        let leases: Api<Lease> = Api::namespaced(clients.write.clone(), &order.namespace);
        let found = match find_or_create(&monkeys, &name, order).await {
            // It may be there all the same, and one that no object owns would stay.
            Err(error) if order.owner.is_none() && may_be_made(&error) => {
                return Err(removed(&monkeys, &name, error).await);
            }
            found => found?,
        };
        let Some((created, is_new)) = found else { return Ok(None) };
        let uid = created.uid().unwrap_or_default();
        // One that was never given a sign of life has killed nobody, and needs none to rest.
        if order.may_create
            && let Err(source) = make_lease(&leases, &heartbeat::lease(&created, order, clock), order).await
        {
            let error = RunError::cluster("create the run's heartbeat Lease", source);
            // Without its heartbeat the monkey never kills, but it must not be left either. One that was there before may have killed:
            // what it did stands in its status alone, and another in its place would begin to count anew.
            return Err(if is_new { removed(&monkeys, &name, error).await } else { error });
        }
        let (publish, view) = watch::channel(MonkeyView::default());
        let stop = CancellationToken::new();
        let (lives, may_beat) = watch::channel(order.may_create);
        let heart = Heart { leases: leases.clone(), name: name.clone(), every: order.beat, clock, may_beat };
        let beat = tokio::spawn(heart.beat(stop.clone()));
        let watched = Api::namespaced(clients.read.clone(), &order.namespace);
        let tracker = Tracker::new(clock, told, order.slack.clone(), order.instance.clone());
        let ears = Ears { monkeys: watched, name: name.clone(), clock, recorder, publish };
        let listen = tokio::spawn(ears.listen(tracker, stop.clone()));
        let owned = order.owner.is_some();
        Ok(Some(Self { name, monkeys, leases, uid, owned, lives, view, stop, tasks: vec![beat, listen] }))
    }

    /// What it looks like now.
    pub(super) fn view(&self) -> MonkeyView {
        self.view.borrow().clone()
    }

    /// Suspends it, and waits (at most `patience`) until the operator says that no kill is open any more. As long as it cannot be
    /// suspended it gets no sign of life, which stops it as well.
    pub(super) async fn suspend(&self, patience: Duration) -> Result<(), RunError> {
        if self.view.borrow().at_rest {
            return Ok(());
        }
        let patched = suspend_once(&self.monkeys, &self.name).await;
        self.lives.send_replace(patched.is_ok());
        let generation = match patched {
            Ok(monkey) => monkey.metadata.generation,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(source) => return Err(RunError::cluster("suspend the run's ChaosMonkey", source)),
        };
        let settled = async {
            loop {
                let monkey = self.monkeys.get_opt(&self.name).await;
                match monkey {
                    Ok(None) => return,
                    Ok(Some(monkey)) if is_quiet(&monkey, generation) => return,
                    Ok(Some(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        // The last kills count once they are recorded, not when the server knows of them.
        let heard = async {
            settled.await;
            let _ = self.view.clone().wait_for(|view| view.at_rest || view.settled >= generation).await;
        };
        tokio::time::timeout(patience, heard).await.map_err(|_| RunError::NotSettled { monkey: self.name.clone() })
    }

    /// Removes monkey and heartbeat. Gives what is left for a person to do: what could not be removed, and a look at kills of which nobody
    /// heard what became of them. With the monkey goes what would have told it.
    pub(super) async fn remove(mut self) -> Vec<String> {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a task of the run's monkey ended badly");
            }
        }
        let mut left = self.view().unknown;
        let ours = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(self.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        if let Err(error) = done(self.monkeys.delete(&self.name, &ours).await) {
            left.push(format!("delete ChaosMonkey {}: {}", self.name, told(&error)));
        }
        // A Lease that has an owner goes with it.
        if !self.owned
            && let Err(error) = done(self.leases.delete(&self.name, &DeleteParams::default()).await)
        {
            left.push(format!("delete Lease {}: {}", self.name, told(&error)));
        }
        left
    }
}

impl Drop for OwnedMonkey {
    /// A run that nobody drives any more gives no sign of life.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the monkey of that run is called.
pub(super) fn name_of(run_id: &str) -> String {
    format!("run-{run_id}")
}

/// Asks once for that monkey to be suspended.
pub(super) async fn suspend_once(monkeys: &Api<ChaosMonkey>, name: &str) -> kube::Result<ChaosMonkey> {
    let patch = serde_json::json!({"spec": {"suspend": true}});
    monkeys.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
}

/// The monkey of this run, made if there is none and one may be made; and whether it was.
async fn find_or_create(
    monkeys: &Api<ChaosMonkey>,
    name: &str,
    order: &MonkeyOrder,
) -> Result<Option<(ChaosMonkey, bool)>, RunError> {
    let failed = |source| RunError::cluster("create the run's ChaosMonkey", source);
    if !order.may_create {
        let found = monkeys.get_opt(name).await.map_err(failed)?;
        return Ok(found.map(|found| (found, false)));
    }
    match monkeys.create(&PostParams::default(), &monkey(name, order)).await {
        Err(kube::Error::Api(status)) if status.code == 409 && order.owner.is_some() => {
            let found = monkeys.get(name).await.map_err(failed)?;
            Ok(Some((found, false)))
        }
        created => created.map(|created| Some((created, true))).map_err(failed),
    }
}

/// Whether there may be a monkey that could not be made, as far as is known.
fn may_be_made(error: &RunError) -> bool {
    matches!(error, RunError::Cluster { source, .. } if may_have_happened(source))
}

/// Why there is no monkey of that name, once it is removed; with what is left to do where that fails.
/// One that a server makes only after that has no heartbeat, and kills nobody without.
async fn removed(monkeys: &Api<ChaosMonkey>, name: &str, error: RunError) -> RunError {
    match done(monkeys.delete(name, &DeleteParams::default()).await) {
        Ok(()) => error,
        Err(source) => {
            let left = format!("delete ChaosMonkey {name}, if it is there: {}", told(&source));
            tracing::warn!(%left, "failed to remove a monkey that is of no use");
            RunError::Left { cause: Box::new(error), left }
        }
    }
}

/// Makes the heartbeat of a monkey. It may be there already where the run is an object.
async fn make_lease(leases: &Api<Lease>, lease: &Lease, order: &MonkeyOrder) -> kube::Result<()> {
    match leases.create(&PostParams::default(), lease).await {
        Err(kube::Error::Api(status)) if status.code == 409 && order.owner.is_some() => Ok(()),
        made => made.map(|_| ()),
    }
}

/// Listens to one monkey.
struct Ears {
    monkeys: Api<ChaosMonkey>,
    name: String,
    clock: RunClock,
    recorder: Recorder,
    publish: watch::Sender<MonkeyView>,
}

impl Ears {
    async fn listen(self, mut tracker: Tracker, stop: CancellationToken) {
        let monkeys = watcher::watch_object(self.monkeys.clone(), &self.name);
        follow(monkeys, &stop, |monkey| {
            if let Some(monkey) = monkey {
                self.record(tracker.take(&monkey, self.clock.now()));
                let now = self.clock.now();
                self.publish.send_modify(|view| *view = view_of(&monkey, view, now));
                return;
            }
            // Before anybody takes notice that it is at rest, and ends the record.
            self.record(tracker.rest(self.clock.now()));
            self.publish.send_modify(|view| {
                (view.done, view.at_rest) = (true, true);
                view.gave_up = Some("the run's ChaosMonkey was deleted".to_owned());
            });
        })
        .await;
        self.record(tracker.rest(self.clock.now()));
    }

    fn record(&self, events: Vec<Event>) {
        events.into_iter().for_each(|event| self.recorder.record(event));
    }
}

fn monkey(name: &str, order: &MonkeyOrder) -> ChaosMonkey {
    let MonkeyPlan { target, kill, strikes, every, .. } = &order.plan;
    let pod_kill = api::StandingPodKill { mode: kill.mode, grace_period: kill.grace, group: kill.group.clone() };
    let spec = api::ChaosMonkeySpec {
        target: (**target).clone(),
        fault: api::StandingFault { pod_kill },
        mode: Mode::Live,
        mean_time_between_kills: every.mean,
        min_time_between_kills: every.min,
        schedule: api::Schedule::default(),
        guards: Vec::new(),
        limits: order.limits,
        max_at_once: None,
        suspend: false,
        control: None,
        until: Some(Time(order.until)),
        max_kills: Some(strikes.target),
        heartbeat_lease: Some(HeartbeatRef { name: name.to_owned(), interval: order.beat.into() }),
        seed: Some(order.seed),
    };
    let mut monkey = ChaosMonkey::new(name, spec);
    monkey.metadata.namespace = Some(order.namespace.clone());
    monkey.metadata.labels = Some([(api::labels::RUN.to_owned(), order.run_id.clone())].into());
    monkey.metadata.owner_references = order.owner.clone().map(|owner| vec![owner]);
    monkey
}

/// What is known of a monkey, after what was known `before`.
fn view_of(monkey: &ChaosMonkey, before: &MonkeyView, now: RunTime) -> MonkeyView {
    let Some(status) = &monkey.status else { return MonkeyView::default() };
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let since = before.trouble.as_ref().map_or(now, |(_, since)| *since);
    let trouble = ready
        .filter(|condition| condition.status == "False" && status.ended.is_none())
        .map(|condition| (format!("{}: {}", condition.reason, condition.message), since));
    let irregular = |end: &&api::EndRecord| EndReason::parse(&end.reason).is_none_or(|reason| !reason.is_regular());
    let gave_up = status.ended.as_ref().filter(irregular).map(|end| format!("{}: {}", end.reason, end.message));
    MonkeyView {
        done: status.ended.is_some(),
        kills: status.kills,
        trouble,
        gave_up,
        noticed: status.observed_generation.is_some(),
        at_rest: status.ended.is_some() && status.intents.is_empty(),
        settled: status.observed_generation.filter(|_| status.intents.is_empty()),
        unknown: unknown(&status.intents),
    }
}

/// Whether no kill is open and none can follow: the operator has seen the suspension, or the monkey has ended, which is final.
fn is_quiet(monkey: &ChaosMonkey, generation: Option<i64>) -> bool {
    let status = monkey.status.as_ref();
    let at_rest = |status: &ChaosMonkeyStatus| status.observed_generation >= generation || status.ended.is_some();
    status.is_some_and(|status| at_rest(status) && status.intents.is_empty())
}

#[cfg(test)]
mod tests;
