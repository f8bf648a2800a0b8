//! A run-owned `ChaosMonkey`: the operator kills, this run judges. Creates it, keeps its heartbeat, turns what its status says
//! into events of the run, and removes it. It never kills anything itself.

use std::time::Duration;

use chaos_core::api::{self, ChaosMonkey, ChaosMonkeyStatus, HeartbeatRef, Mode};
use chaos_core::killer::EndReason;
use chaos_core::model::MonkeyPlan;
use chaos_core::record::{Event, RunTime};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::RunError;
use super::follow::follow;
use super::offset::Offset;
use super::told::Told;
use crate::clock::RunClock;
use crate::recorder::Recorder;

/// Time between two heartbeats. Two missed ones stop the monkey.
const BEAT: Duration = Duration::from_secs(2);

/// The first beats come faster, this far apart, so that the operator's clock is known before it kills.
const FIRST_BEATS: (u32, Duration) = (20, Duration::from_millis(100));

/// An offset of the clocks that is known this well is good enough, in nanoseconds: the verdict's own bound.
const PRECISE: u64 = 50_000_000;

/// How long a kill may wait to be recorded for a good reading of the clocks, in nanoseconds.
const READING_WAIT: u64 = 5_000_000_000;

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
}

/// What the rest of the run needs to know of the monkey.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct MonkeyView {
    /// It will not kill any more.
    pub done: bool,
    /// Kills it reported.
    pub kills: u64,
    /// Why it cannot work at present, in the operator's words.
    pub trouble: Option<String>,
    /// Why it gave up for good, in the operator's words.
    pub gave_up: Option<String>,
    /// The operator has taken notice of it.
    pub noticed: bool,
}

/// A monkey that exists.
pub(super) struct OwnedMonkey {
    name: String,
    monkeys: Api<ChaosMonkey>,
    leases: Api<Lease>,
    uid: String,
    view: watch::Receiver<MonkeyView>,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl OwnedMonkey {
    /// Creates the heartbeat and the monkey, and starts to beat and to listen.
    pub(super) async fn create(
        client: Client,
        order: &MonkeyOrder,
        clock: RunClock,
        recorder: Recorder,
    ) -> Result<Self, RunError> {
        let name = format!("run-{}", order.run_id);
        let monkeys: Api<ChaosMonkey> = Api::namespaced(client.clone(), &order.namespace);
        let leases: Api<Lease> = Api::namespaced(client, &order.namespace);
        let created = monkeys
            .create(&PostParams::default(), &monkey(&name, order))
            .await
            .map_err(|source| RunError::cluster("create the run's ChaosMonkey", source))?;
        let uid = created.uid().unwrap_or_default();
        if let Err(source) = leases.create(&PostParams::default(), &heartbeat(&created, order)).await {
            let error = RunError::cluster("create the run's heartbeat Lease", source);
            // Without its heartbeat the monkey never kills, but it must not be left either.
            if let Err(source) = monkeys.delete(&name, &DeleteParams::default()).await {
                tracing::warn!(%source, monkey = name, "failed to remove a monkey without heartbeat");
            }
            return Err(error);
        }
        let (publish, view) = watch::channel(MonkeyView::default());
        let stop = CancellationToken::new();
        let beat = tokio::spawn(beat(leases.clone(), name.clone(), clock, stop.clone()));
        let ears = Ears { monkeys: monkeys.clone(), name: name.clone(), clock, recorder, publish };
        let listen = tokio::spawn(ears.listen(stop.clone()));
        Ok(Self { name, monkeys, leases, uid, view, stop, tasks: vec![beat, listen] })
    }

    /// What it looks like now.
    pub(super) fn view(&self) -> MonkeyView {
        self.view.borrow().clone()
    }

    /// Suspends it, and waits (at most `patience`) until the operator says that no kill is open any more.
    pub(super) async fn suspend(&self, patience: Duration) -> Result<(), RunError> {
        let patch = serde_json::json!({"spec": {"suspend": true}});
        let patched = self.monkeys.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await;
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
        tokio::time::timeout(patience, settled).await.map_err(|_| RunError::NotSettled { monkey: self.name.clone() })
    }

    /// Removes monkey and heartbeat. Gives what could not be removed, for a person to do.
    pub(super) async fn remove(mut self) -> Vec<String> {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a task of the run's monkey ended badly");
            }
        }
        let mut left = Vec::new();
        let ours = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(self.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        if let Err(error) = gone(self.monkeys.delete(&self.name, &ours).await.map(|_| ())) {
            left.push(format!("delete ChaosMonkey {}: {error}", self.name));
        }
        if let Err(error) = gone(self.leases.delete(&self.name, &DeleteParams::default()).await.map(|_| ())) {
            left.push(format!("delete Lease {}: {error}", self.name));
        }
        left
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
    async fn listen(self, stop: CancellationToken) {
        let mut tracker = Tracker::new(self.clock);
        let monkeys = watcher::watch_object(self.monkeys.clone(), &self.name);
        follow(monkeys, &stop, |monkey| match monkey {
            Some(monkey) => {
                for event in tracker.take(monkey.status.as_ref(), self.clock.now()) {
                    self.recorder.record(event);
                }
                self.publish.send_replace(view_of(&monkey));
            }
            None => self.publish.send_modify(|view| {
                view.done = true;
                view.gave_up = Some("the run's ChaosMonkey was deleted".to_owned());
            }),
        })
        .await;
    }
}

/// Turns the status of a monkey into events, each once.
struct Tracker {
    clock: RunClock,
    told: Told,
    offset: Offset,
    /// When the first kill was learned of.
    first_kill: Option<RunTime>,
}

impl Tracker {
    fn new(clock: RunClock) -> Self {
        Self { clock, told: Told::default(), offset: Offset::UNKNOWN, first_kill: None }
    }

    fn take(&mut self, status: Option<&ChaosMonkeyStatus>, now: RunTime) -> Vec<Event> {
        let Some(status) = status else { return Vec::new() };
        let mut events: Vec<_> = self.measure(status, now).into_iter().collect();
        events.extend(self.told.intents(&status.intents, now));
        events.extend(self.told.skips(&status.skipped, now));
        events.extend(self.told.put_off(&status.upcoming, now));
        if status.history.is_empty() {
            return events;
        }
        // A better reading of the operator's clock is worth a short wait: the instant of a kill decides which requests it
        // stands for, and is recorded once.
        let first = *self.first_kill.get_or_insert(now);
        if self.offset.uncertainty() > PRECISE && now.0.saturating_sub(first.0) < READING_WAIT {
            return events;
        }
        let (clock, offset) = (self.clock, self.offset);
        let instant = |kill: &api::KillRecord| {
            let at = offset.ours(kill.at.0).map_or(now, |at| clock.from_timestamp(at));
            // A kill cannot have been sent after we learned of it.
            (at.min(now), offset.uncertainty())
        };
        events.extend(self.told.kills(&status.history, instant));
        events
    }

    /// Learns of the operator's clock what this status tells, and says so if it is known better now.
    fn measure(&mut self, status: &ChaosMonkeyStatus, now: RunTime) -> Option<Event> {
        let before = self.offset.uncertainty();
        if let Some(reading) = &status.clock {
            self.offset.heard(reading.heartbeat.0, reading.read_at.0);
        }
        let read = status.clock.iter().map(|reading| reading.read_at.0);
        let decided = status.intents.iter().map(|intent| intent.decided_at.0);
        let sent = status.history.iter().map(|kill| kill.at.0);
        if let Some(written) = read.chain(decided).chain(sent).max() {
            self.offset.told(written, self.clock.timestamp(now));
        }
        let uncertainty = self.offset.uncertainty();
        (uncertainty < before).then(|| Event::Clock { at: now, offset: self.offset.nanos(), uncertainty })
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
        suspend: false,
        control: None,
        until: Some(Time(order.until)),
        max_kills: Some(strikes.target),
        heartbeat_lease: Some(HeartbeatRef { name: name.to_owned(), interval: BEAT.into() }),
        seed: Some(order.seed),
    };
    let mut monkey = ChaosMonkey::new(name, spec);
    monkey.metadata.namespace = Some(order.namespace.clone());
    monkey.metadata.labels = Some([(api::labels::RUN.to_owned(), order.run_id.clone())].into());
    monkey
}

/// Owned by the monkey, so that removing the monkey by hand leaves nothing.
fn heartbeat(monkey: &ChaosMonkey, order: &MonkeyOrder) -> Lease {
    let owner = monkey.controller_owner_ref(&()).map(|owner| OwnerReference { block_owner_deletion: None, ..owner });
    Lease {
        metadata: ObjectMeta {
            name: Some(monkey.name_any()),
            namespace: Some(order.namespace.clone()),
            labels: Some([(api::labels::RUN.to_owned(), order.run_id.clone())].into()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(order.run_id.clone()),
            lease_duration_seconds: i32::try_from(BEAT.as_secs() * 2).ok(),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }),
    }
}

/// Renews the heartbeat until stopped. A beat that fails is tried again soon; whether the monkey stops meanwhile is the
/// operator's to decide, from the Lease. A beat is stamped by the run's clock: the operator's is measured against that.
async fn beat(leases: Api<Lease>, name: String, clock: RunClock, stop: CancellationToken) {
    let mut beats = 0;
    loop {
        let patch = serde_json::json!({"spec": {"renewTime": MicroTime(clock.timestamp(clock.now()))}});
        let beat = leases.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
        beats += 1;
        let pause = match beat {
            Ok(_) if beats < FIRST_BEATS.0 => FIRST_BEATS.1,
            Ok(_) => BEAT,
            Err(error) => {
                tracing::debug!(%error, "heartbeat failed");
                BEAT / 8
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => (),
        }
    }
}

fn view_of(monkey: &ChaosMonkey) -> MonkeyView {
    let Some(status) = &monkey.status else { return MonkeyView::default() };
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let trouble = ready
        .filter(|condition| condition.status == "False" && status.ended.is_none())
        .map(|condition| format!("{}: {}", condition.reason, condition.message));
    let irregular = |end: &&api::EndRecord| EndReason::parse(&end.reason).is_none_or(|reason| !reason.is_regular());
    let gave_up = status.ended.as_ref().filter(irregular).map(|end| format!("{}: {}", end.reason, end.message));
    MonkeyView {
        done: status.ended.is_some(),
        kills: status.kills,
        trouble,
        gave_up,
        noticed: status.observed_generation.is_some(),
    }
}

/// Whether no kill is open and none can follow: the operator has seen the suspension, or the monkey has ended, which is final.
fn is_quiet(monkey: &ChaosMonkey, generation: Option<i64>) -> bool {
    let status = monkey.status.as_ref();
    let at_rest = |status: &ChaosMonkeyStatus| status.observed_generation >= generation || status.ended.is_some();
    status.is_some_and(|status| at_rest(status) && status.intents.is_empty())
}

fn gone(result: kube::Result<()>) -> kube::Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other,
    }
}
