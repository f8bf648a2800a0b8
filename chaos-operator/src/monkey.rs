//! One `ChaosMonkey` from its first sight to its deletion: read it afresh, claim it, validate it, run its machine; start over
//! when its spec changes or when something failed.

use std::sync::Arc;
use std::time::Instant;

use chaos_core::api::{ChaosMonkey, ChaosMonkeyStatus};
use chaos_core::killer::{Killer, KillerSpec, Ledger};
use chaos_core::model::{Actor, Heartbeat, Monkey, Tenure};
use chaos_core::validate::{self, Meta};
use chaos_engine::asker::Asker;
use chaos_engine::drive::drive;
use chaos_engine::kill::{ClusterAccess, KillWorld};
use chaos_engine::kube::{Environment, StatusStore, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::keeper::{Parts, StatusKeeper, basis, names, reference};
use crate::shared::{Found, Shared};
use crate::signals::Pulse;
use crate::turns::TO_TAKE_UP;

/// How a stint with a monkey ended.
enum Stint {
    /// There is nothing to do until its spec changes.
    Idle,
    /// Its spec has changed: go on with a new machine.
    Changed,
}

/// Looks after one monkey until it is gone or `rest` is cancelled.
pub(crate) async fn tend(shared: Arc<Shared>, mut object: watch::Receiver<Arc<ChaosMonkey>>, rest: CancellationToken) {
    let mut backoff = Backoff::new();
    // An earlier process, or a write that failed, may have left something untold; a change of the spec leaves nothing.
    let mut retells = true;
    while !rest.is_cancelled() && object.has_changed().is_ok() {
        let seen = object.borrow_and_update().clone();
        let began = Instant::now();
        let ended = stint(&shared, &object, &seen, &rest, retells).await;
        retells = !matches!(ended, Ok(Stint::Changed));
        match ended {
            // Somebody who edits all the time, or a watch that lags behind, must not keep us busy.
            Ok(Stint::Changed) | Err(StoreError::Changed) => {
                backoff.reset();
                backoff.wait(began, &rest).await;
            }
            Ok(Stint::Idle) => {
                backoff.reset();
                let is_news = |now: &Arc<ChaosMonkey>| now.metadata.generation != seen.metadata.generation;
                tokio::select! {
                    // An error means that the object is gone.
                    waited = object.wait_for(is_news) => if waited.is_err() { break },
                    () = rest.cancelled() => {}
                }
            }
            Err(StoreError::Gone) => break,
            Err(error) => {
                let (namespace, monkey) = names(&seen);
                tracing::warn!(%error, namespace, monkey, "starting over");
                shared.start_over(&reference(&seen), &error, &mut backoff, began, &rest).await;
            }
        }
    }
    let seen = object.borrow().clone();
    let (namespace, monkey) = names(&seen);
    shared.metrics.next_kill(namespace, monkey, None);
    shared.metrics.guards_held(namespace, monkey, None);
}

async fn stint(
    shared: &Arc<Shared>,
    object: &watch::Receiver<Arc<ChaosMonkey>>,
    seen: &ChaosMonkey,
    rest: &CancellationToken,
    retells: bool,
) -> Result<Stint, StoreError> {
    shared.orient().await;
    let began = Instant::now();
    let (namespace, name) = names(seen);
    // What was heard for guards of an older spec says nothing of this one's.
    shared.metrics.guards_held(namespace, name, None);
    let turn = shared.turns.take(TO_TAKE_UP).await;
    let mut store: StatusStore<ChaosMonkey> =
        StatusStore::open(shared.reads(), shared.writes(), namespace, name).await?;
    let fresh = store.object().clone();
    if fresh.metadata.deletion_timestamp.is_some() || fresh.metadata.uid != seen.metadata.uid {
        return Ok(Stint::Idle);
    }
    if retells {
        shared.retell_monkey(&fresh);
    }
    let monkey = match validate::monkey(&fresh.spec, &Meta::from(&fresh.metadata)) {
        Ok(monkey) => monkey,
        Err(problems) => {
            let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
            refuse(shared, &mut store, &list.join("; ")).await?;
            return Ok(Stint::Idle);
        }
    };
    let status = claim(shared, &mut store, &monkey).await?;
    drop(turn);
    if status.ended.is_some() && status.intents.is_empty() && status.recovering.is_empty() {
        return Ok(Stint::Idle);
    }
    let pulse = pulse(shared, &monkey, &status).await;
    let keeper = StatusKeeper::new(Parts {
        shared: shared.clone(),
        store,
        object: object.clone(),
        schedule: monkey.schedule.clone(),
        pulse,
        rest: rest.clone(),
    });
    let environment = Environment::LabelOf(shared.namespace.clone());
    let access = ClusterAccess::new(&shared.clients, &monkey.target, Actor::Operator, environment, &shared.identity);
    let killer = Killer::new(KillerSpec::of_monkey(&monkey, &shared.namespace));
    let mut world = KillWorld::new(access, keeper).asking(Asker::new(shared.sources.clone(), namespace));
    shared.metrics.taken_up(began.elapsed().as_secs_f64());
    let ended = drive(&killer, &mut world, Ledger::from_status(&status)).await?;
    if let Some(error) = world.into_keeper().failure() {
        return Err(error);
    }
    let latest = object.borrow().clone();
    let is_same = basis(&latest.spec) == basis(&fresh.spec);
    Ok(if ended.ledger.ended.is_some() && is_same { Stint::Idle } else { Stint::Changed })
}

/// Writes our name into the status: whoever drove this monkey before cannot write it any more, and without that kills nothing.
/// With it what is known already, for which it would be written once more otherwise.
async fn claim(
    shared: &Shared,
    store: &mut StatusStore<ChaosMonkey>,
    monkey: &Monkey,
) -> Result<ChaosMonkeyStatus, StoreError> {
    let mut status = store.status();
    let is_edited = status.observed_generation != store.object().metadata.generation;
    // A standing monkey that gave up starts again when somebody has looked at it, and changed it.
    if monkey.tenure == Tenure::Standing && is_edited {
        status.ended = None;
    }
    status.driver = Some(shared.instance.clone());
    shared.condition(&mut status, store.object(), Found::Valid { schedule: &monkey.schedule, blind: None });
    store.put(&status).await?;
    Ok(store.status())
}

/// Says in the status that the spec is not valid. A plan made from an older one is void.
async fn refuse(shared: &Shared, store: &mut StatusStore<ChaosMonkey>, why: &str) -> Result<(), StoreError> {
    let mut status = store.status();
    let object = store.object().clone();
    status.upcoming.clear();
    status.next_at = None;
    shared.condition(&mut status, &object, Found::Invalid(why));
    let (namespace, monkey) = names(&object);
    tracing::warn!(namespace, monkey, why, "not valid");
    store.put(&status).await
}

async fn pulse(shared: &Shared, monkey: &Monkey, status: &ChaosMonkeyStatus) -> Option<Pulse> {
    let Tenure::RunOwned { heartbeat: Heartbeat { lease, interval }, .. } = &monkey.tenure else { return None };
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{lease}", monkey.namespace);
    Some(Pulse::follow(shared.reads(), path, interval.std(), status.clock.clone()).await)
}
