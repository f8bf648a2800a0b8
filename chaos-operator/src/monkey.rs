//! One `ChaosMonkey` from its first sight to its deletion: take it up, validate it, claim it, run its machine; start over when its
//! spec changes or when something failed.
//!
//! It is read afresh and claimed by a write of our name, except where it is first seen as an earlier process left it: then the
//! version that the watch brought is gone on from, and if there is nothing to say in its status nothing is written. So an
//! operator that starts asks the API server nothing for a monkey that waits. The claim comes with the first write. Nothing is
//! lost by that, as a claim is no lock: each write names the version that it follows, and whatever is acted upon is saved
//! before (see `keeper`).

use std::sync::Arc;
use std::time::Instant;

use chaos_core::api::{ChaosMonkey, ChaosMonkeyStatus, ClockReading, IntentRecord};
use chaos_core::killer::{Killer, KillerSpec, Ledger};
use chaos_core::model::{Heartbeat, Monkey, Tenure};
use chaos_core::validate::{self, Meta};
use chaos_engine::asker::Asker;
use chaos_engine::drive::drive;
use chaos_engine::kill::{ClusterAccess, KillWorld};
use chaos_engine::kube::{Environment, Happening, StatusStore, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::keeper::{Parts, StatusKeeper, names, reference, unheard};
use crate::shared::{Found, Shared};
use crate::shown::Shown;
use crate::signals::Pulse;
use crate::turns::TO_TAKE_UP;

/// How a stint with a monkey ended.
enum Stint {
    /// There is nothing to do until its spec changes.
    Idle,
    /// Its spec has changed: go on with a new machine.
    Changed,
    /// It was written by somebody else before it was by us: what was gone on from is old.
    Overtaken,
}

/// Looks after one monkey until it is gone or `rest` is cancelled. `first` is the version with its status that it was first seen in.
pub(crate) async fn tend(
    shared: Arc<Shared>,
    mut object: watch::Receiver<Arc<ChaosMonkey>>,
    mut first: Option<Box<ChaosMonkey>>,
    rest: CancellationToken,
) {
    let shown = Shown::of(&shared, &object.borrow());
    let mut backoff = Backoff::new();
    // Another process, or a write that failed, may have left something untold; a change of the spec leaves nothing.
    let mut retells = true;
    while !rest.is_cancelled() && object.has_changed().is_ok() {
        let seen = object.borrow_and_update().clone();
        let began = Instant::now();
        let ended = stint((&shared, &shown), &object, &seen, first.take(), &rest, retells).await;
        retells = !matches!(ended, Ok(Stint::Changed));
        match ended {
            // Somebody who edits all the time, or a watch that lags behind, must not keep us busy.
            Ok(Stint::Changed | Stint::Overtaken) | Err(StoreError::Changed) => {
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
}

async fn stint(
    (shared, shown): (&Arc<Shared>, &Arc<Shown>),
    object: &watch::Receiver<Arc<ChaosMonkey>>,
    seen: &ChaosMonkey,
    first: Option<Box<ChaosMonkey>>,
    rest: &CancellationToken,
    retells: bool,
) -> Result<Stint, StoreError> {
    shared.orient().await;
    // What it takes to take a monkey up, and to leave it, is not kept for as long as the monkey waits: there may be a thousand of them.
    let taken_up = Box::pin(prepare((shared, shown), object, seen, first, rest, retells)).await?;
    let Some(mut monkey) = taken_up else { return Ok(Stint::Idle) };
    let ended = drive(&monkey.killer, &mut monkey.world, monkey.ledger).await?;
    Box::pin(tell_unheard(shared, seen, &ended.ledger.intents)).await;
    let keeper = monkey.world.into_keeper();
    let (is_overtaken, is_edited) = (keeper.is_overtaken(), keeper.is_edited(&object.borrow()));
    if let Some(error) = keeper.failure() {
        return Err(error);
    }
    if is_overtaken {
        return Ok(Stint::Overtaken);
    }
    Ok(if ended.ledger.ended.is_some() && !is_edited { Stint::Idle } else { Stint::Changed })
}

/// A monkey that is taken up, ready to be driven.
struct Prepared {
    killer: Killer,
    world: KillWorld<StatusKeeper>,
    ledger: Ledger,
}

/// Takes a monkey up. `None`: there is nothing to do until its spec changes.
async fn prepare(
    (shared, shown): (&Arc<Shared>, &Arc<Shown>),
    object: &watch::Receiver<Arc<ChaosMonkey>>,
    seen: &ChaosMonkey,
    first: Option<Box<ChaosMonkey>>,
    rest: &CancellationToken,
    retells: bool,
) -> Result<Option<Box<Prepared>>, StoreError> {
    let began = Instant::now();
    // What was heard for guards of an older spec says nothing of this one's.
    shown.guards_held(None);
    let Some((store, monkey)) = take_up(shared, object, seen, first, retells).await? else {
        // What was planned before is void.
        shown.next_kill(None);
        return Ok(None);
    };
    // The store has the status from here on: it is most of a monkey, and is kept once.
    let (ledger, clock) = {
        let status = store.status();
        // Nothing may be saved before the strike.
        shown.next_kill(status.next_at.as_ref().map(|next| next.0));
        (Ledger::from_status(&status), status.clock)
    };
    if ledger.ended.is_some() && ledger.intents.is_empty() && ledger.recovering.is_empty() {
        return Ok(None);
    }
    let pulse = pulse(shared, &monkey, clock).await;
    let keeper = StatusKeeper::new(Parts {
        shared: shared.clone(),
        shown: shown.clone(),
        store,
        object: object.clone(),
        schedule: monkey.schedule.clone(),
        pulse,
        rest: rest.clone(),
    });
    let environment = Environment::LabelOf(shared.namespace.clone());
    let spec = KillerSpec::of_monkey(&monkey, &shared.namespace);
    let access = ClusterAccess::new(&shared.clients, &spec.target, &spec.policy, environment, &shared.identity);
    let killer = Killer::new(spec);
    let world = KillWorld::new(access, keeper).asking(Asker::new(shared.sources.clone(), names(seen).0));
    shared.metrics.taken_up(began.elapsed().as_secs_f64());
    Ok(Some(Box::new(Prepared { killer, world, ledger })))
}

/// Tells of kills that are open still when a monkey is left for good, as it is gone or being deleted: nobody looks up any more what
/// became of them, and its status, that says of them, goes with it.
async fn tell_unheard(shared: &Shared, seen: &ChaosMonkey, intents: &[IntentRecord]) {
    if intents.is_empty() {
        return;
    }
    let (namespace, monkey) = names(seen);
    // One that cannot be read any more has left the watch too, and is taken up again once it can be.
    let found = StatusStore::<ChaosMonkey>::open(shared.reads(), shared.writes(), namespace, monkey).await;
    let is_left = match found.as_ref().map(|store| &store.object().metadata) {
        Ok(meta) => meta.uid != seen.metadata.uid || meta.deletion_timestamp.is_some(),
        Err(error) => matches!(error, StoreError::Gone),
    };
    if !is_left {
        return;
    }
    for kill in intents.iter().map(unheard) {
        let (strike, pod) = (kill.strike, &kill.victim.pod);
        tracing::warn!(namespace, monkey, strike, pod, "nobody knows what became of a kill");
        shared.metrics.killed(kill.outcome);
        shared.tell(Happening::of_kill(&kill, &reference(seen)));
    }
}

/// Finds out what is to be done, and claims it where that is needed. `None`: there is nothing to do until the spec changes.
async fn take_up(
    shared: &Shared,
    object: &watch::Receiver<Arc<ChaosMonkey>>,
    seen: &ChaosMonkey,
    first: Option<Box<ChaosMonkey>>,
    retells: bool,
) -> Result<Option<(StatusStore<ChaosMonkey>, Monkey)>, StoreError> {
    let (namespace, name) = names(seen);
    let known = first.and_then(|first| as_brought(shared, object, *first));
    let is_brought = known.is_some();
    // Those that have to be read, and are written after that, have one turn for both.
    let turn = if is_brought { None } else { shared.turns.take(TO_TAKE_UP).await };
    let mut store = match known {
        Some(store) => store,
        None => StatusStore::open(shared.reads(), shared.writes(), namespace, name).await?,
    };
    let meta = &store.object().metadata;
    if meta.deletion_timestamp.is_some() || meta.uid != seen.metadata.uid {
        return Ok(None);
    }
    let valid = validate::monkey(&store.object().spec, &Meta::from(meta));
    if retells {
        shared.retell_monkey(store.object());
    }
    let monkey = match valid {
        Ok(monkey) => monkey,
        Err(problems) => {
            let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let status = refused(shared, &store, &list.join("; "));
            write(shared, &mut store, &status, is_brought).await?;
            return Ok(None);
        }
    };
    claim(shared, &mut store, &monkey, is_brought).await?;
    drop(turn);
    Ok(Some((store, monkey)))
}

/// The store of a monkey as it was first seen, if that is the newest version. One without a status is new, and is read as ever: it
/// has to be written in any case, and whether it may be read is known before it kills.
fn as_brought(
    shared: &Shared,
    object: &watch::Receiver<Arc<ChaosMonkey>>,
    first: ChaosMonkey,
) -> Option<StatusStore<ChaosMonkey>> {
    let is_newest = object.borrow().metadata.resource_version == first.metadata.resource_version;
    if !is_newest || first.status.is_none() {
        return None;
    }
    StatusStore::brought(shared.reads(), shared.writes(), first)
}

/// Writes our name into the status: whoever drove this monkey before cannot write it any more, and without that kills nothing.
/// With it what is known already, for which it would be written once more otherwise.
///
/// Where the watch has just brought a status in which nothing is open and nothing new is to be said, that is left to the first
/// write: see the top.
async fn claim(
    shared: &Shared,
    store: &mut StatusStore<ChaosMonkey>,
    monkey: &Monkey,
    is_brought: bool,
) -> Result<(), StoreError> {
    let mut status = store.status();
    let is_edited = status.observed_generation != store.object().metadata.generation;
    // A standing monkey that gave up starts again when somebody has looked at it, and changed it.
    if monkey.tenure == Tenure::Standing && is_edited {
        status.ended = None;
    }
    shared.condition(&mut status, store.object(), Found::Valid { schedule: &monkey.schedule, blind: None });
    let is_settled = status.intents.is_empty() && status.recovering.is_empty();
    if is_brought && is_settled && store.object().status.as_ref() == Some(&status) {
        return Ok(());
    }
    status.driver = Some(shared.instance.clone());
    write(shared, store, &status, is_brought).await?;
    // Another process may have killed since the watch brought it first, and does not any more.
    shared.board.tell(store.object(), &status);
    Ok(())
}

/// Writes a status, in a turn of its own if the caller holds none.
async fn write(
    shared: &Shared,
    store: &mut StatusStore<ChaosMonkey>,
    status: &ChaosMonkeyStatus,
    takes_turn: bool,
) -> Result<(), StoreError> {
    let is_new = store.object().status.as_ref() != Some(status);
    let turn = if takes_turn && is_new { shared.turns.take(TO_TAKE_UP).await } else { None };
    let written = store.put(status).await;
    drop(turn);
    written
}

/// A status that says that the spec is not valid. A plan made from an older one is void.
fn refused(shared: &Shared, store: &StatusStore<ChaosMonkey>, why: &str) -> ChaosMonkeyStatus {
    let mut status = store.status();
    let object = store.object();
    status.upcoming.clear();
    status.next_at = None;
    shared.condition(&mut status, object, Found::Invalid(why));
    let (namespace, monkey) = names(object);
    tracing::warn!(namespace, monkey, why, "not valid");
    status
}

async fn pulse(shared: &Shared, monkey: &Monkey, known: Option<ClockReading>) -> Option<Pulse> {
    let Tenure::RunOwned { heartbeat: Heartbeat { lease, interval }, .. } = &monkey.tenure else { return None };
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{lease}", monkey.namespace);
    Some(Pulse::follow(shared.reads(), path, interval.std(), known).await)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chaos_core::population::SwitchState;
    use serde_json::json;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::one_object::OneObject;
    use crate::permitted::Permissions;
    use crate::shared::SchemaState;
    use crate::shared::tests::shared;
    use crate::watched::tests::monkey;

    const NEXT: &str = "chaos_next_kill_timestamp_seconds{namespace=\"default\",monkey=\"m\"} 4070908800";
    const NEXT_AT: &str = "2099-01-01T00:00:00.000000Z";

    /// A monkey that has planned a strike, changed by `change`, and whoever looks after it.
    fn tended(change: impl FnOnce(&mut ChaosMonkey)) -> (Arc<Shared>, watch::Sender<Arc<ChaosMonkey>>, JoinHandle<()>) {
        let upcoming = json!([{"id": "s1", "strike": 1, "at": NEXT_AT, "group": "g"}]);
        let mut object = monkey("m", &json!({"nextAt": "2099-01-01T00:00:00Z", "upcoming": upcoming}));
        change(&mut object);
        let shared = shared(OneObject::new(&object).client()).0;
        shared.switch.send_replace(SwitchState::Running);
        shared.schema.send_replace(SchemaState::Same);
        shared.permissions.send_replace(Permissions::Known(Vec::new()));
        // As it was shown before.
        shared.metrics.next_kill("default", "m", Some(NEXT_AT.parse().unwrap()));
        let (watch, object) = watch::channel(Arc::new(object));
        let task = tokio::spawn(tend(shared.clone(), object, None, CancellationToken::new()));
        (shared, watch, task)
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        let holding = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), holding).await.expect(what);
    }

    #[tokio::test]
    async fn a_monkey_that_waits_takes_no_room_for_what_it_will_do() {
        let object = monkey("m", &json!({}));
        let shared = shared(OneObject::new(&object).client()).0;
        let tending = tend(shared, watch::channel(Arc::new(object)).1, None, CancellationToken::new());
        let bytes = size_of_val(&tending);
        assert!(bytes <= 4096, "{bytes} bytes for each monkey of a thousand");
    }

    #[tokio::test]
    async fn of_a_monkey_that_is_deleted_the_kills_are_told_of_which_nobody_has_heard() {
        let at = format!("{:.6}", jiff::Timestamp::now());
        let victim = json!({"namespace": "n", "pod": "p", "uid": "u", "workload": "Deployment/trips",
            "workloadUid": "w", "ownerUid": "rs"});
        let intent = json!({"strike": 1, "nonce": "unheard", "group": "g", "victim": victim, "due": at, "decidedAt": at,
            "deadline": at});
        let object = monkey("m", &json!({"intents": [intent]}));
        let cluster = OneObject::new(&object);
        let (shared, teller) = shared(cluster.client());
        let telling = tokio::spawn(teller.run());
        shared.switch.send_replace(SwitchState::Running);
        shared.schema.send_replace(SchemaState::Same);
        shared.permissions.send_replace(Permissions::Known(Vec::new()));
        let (watch, object) = watch::channel(Arc::new(object));
        let tending = tokio::spawn(tend(shared.clone(), object, None, CancellationToken::new()));
        until("it is not taken up", || cluster.object()["status"]["driver"].is_string()).await;
        assert!(cluster.created().is_empty(), "its pod may come into sight");
        cluster.remove();
        drop(watch);
        let told = || cluster.created().iter().any(|name| name == "chaos-unheard");
        until("nobody is told", told).await;
        until("it is looked after", || tending.is_finished()).await;
        telling.abort();
        let text = shared.metrics.text();
        assert!(text.contains("chaos_kills_total{outcome=\"unknown\"} 1"), "{text}");
    }

    #[tokio::test]
    async fn of_a_monkey_that_is_not_valid_no_next_kill_is_shown() {
        let sicken = |object: &mut ChaosMonkey| object.spec.schedule.time_zone = Some("Mars/Olympus".to_owned());
        let (shared, _watch, task) = tended(sicken);
        until("it is shown although nothing is planned", || !shared.metrics.text().contains("chaos_next_kill")).await;
        assert!(!task.is_finished(), "it waits for another spec");
        task.abort();
    }

    #[tokio::test]
    async fn the_next_kill_is_shown_as_soon_as_a_monkey_is_taken_up_and_no_longer_than_somebody_looks_after_it() {
        let (shared, _watch, task) = tended(|_| ());
        shared.metrics.next_kill("default", "m", None);
        until("it is not shown", || shared.metrics.text().contains(NEXT)).await;
        // As one is that takes too long to rest.
        task.abort();
        until("it goes on", || task.is_finished()).await;
        assert!(!shared.metrics.text().contains("chaos_next_kill"), "nobody looks after it");
    }
}
