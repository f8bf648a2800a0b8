//! One `GameDay` from its first sight to its deletion: read it afresh, claim it, validate it, drive it; start over when its spec
//! changes or when something failed. Its runs are owned by it, and go with it.

use std::sync::Arc;
use std::time::Instant;

use chaos_core::api::{GameDay, GameDayStatus};
use chaos_core::gameday::{GameDayMachine, read_ledger};
use chaos_core::validate::{self, Meta};
use chaos_core::verdict::Conclusion;
use chaos_engine::drive::drive;
use chaos_engine::gameday::{GameDayParts, GameDayTeller, GameDayWorld};
use chaos_engine::kube::{Happening, StatusDesk, StatusStore, StoreError};
use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::shared::Shared;

/// Looks after one game day until it is gone or `rest` is cancelled.
pub(crate) async fn tend(shared: Arc<Shared>, mut object: watch::Receiver<Arc<GameDay>>, rest: CancellationToken) {
    let mut backoff = Backoff::new();
    while !rest.is_cancelled() && object.has_changed().is_ok() {
        let seen = object.borrow_and_update().clone();
        let began = Instant::now();
        match stint(&shared, &mut object, &seen, &rest).await {
            Ok(()) => backoff.reset(),
            Err(StoreError::Gone) => return,
            Err(error) => {
                let (namespace, day) = (seen.namespace().unwrap_or_default(), seen.name_any());
                tracing::warn!(%error, namespace, day, "starting over");
                shared.start_over(&seen.object_ref(&()), &error, &mut backoff, began, &rest).await;
            }
        }
    }
}

/// Drives it until its spec changes, it is gone, somebody else drives it, or this process rests.
async fn stint(
    shared: &Arc<Shared>,
    object: &mut watch::Receiver<Arc<GameDay>>,
    seen: &GameDay,
    rest: &CancellationToken,
) -> Result<(), StoreError> {
    let began = Instant::now();
    let (namespace, name) = (seen.namespace().unwrap_or_default(), seen.name_any());
    let store: StatusStore<GameDay> = StatusStore::open(shared.reads(), shared.writes(), &namespace, &name).await?;
    let fresh = store.object().clone();
    if fresh.metadata.deletion_timestamp.is_some() || fresh.metadata.uid != seen.metadata.uid {
        return Err(StoreError::Gone);
    }
    let status = fresh.status.clone().unwrap_or_default();
    let desk = StatusDesk::new(store);
    desk.update(|status| status.driver = Some(shared.instance.clone())).await?;
    let (day, invalid) = match validate::gameday(&fresh.spec, &Meta::from(&fresh.metadata)) {
        Ok(day) => (Some(day), None),
        Err(problems) => {
            let why = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tracing::warn!(namespace, day = name, why, "not valid");
            (None, Some(why))
        }
    };
    let created = fresh.creation_timestamp().map_or_else(Timestamp::now, |created| created.0);
    let machine = GameDayMachine { day, created };
    let mut world = GameDayWorld::new(GameDayParts {
        clients: shared.clients.clone(),
        day: fresh.clone(),
        invalid,
        desk,
        hold: shared.day_hold.subscribe(),
        sources: shared.sources.clone(),
        teller: shared.clone(),
    });
    shared.metrics.taken_up(began.elapsed().as_secs_f64());
    let fenced = world.fenced();
    let generation = fresh.metadata.generation;
    let is_news = |now: &Arc<GameDay>| {
        now.metadata.deletion_timestamp.is_some() || now.metadata.generation.is_some_and(|new| Some(new) > generation)
    };
    tokio::select! {
        driven = drive(&machine, &mut world, read_ledger(&status)) => driven.map(|_| ()),
        // An error means that the object is gone.
        waited = object.wait_for(is_news) => waited.map(|_| ()).map_err(|_| StoreError::Gone),
        () = fenced.cancelled() => Err(StoreError::Fenced),
        () = rest.cancelled() => Ok(()),
    }
}

/// What guards make of steps: execution, step, words.
fn guarded(status: &GameDayStatus) -> impl Iterator<Item = (&str, &str, &str)> {
    let steps = status.active.iter().flat_map(|of| of.steps.iter().map(|step| (of.id.as_str(), step)));
    steps.filter_map(|(execution, step)| Some((execution, step.name.as_str(), step.guard.as_deref()?)))
}

impl GameDayTeller for Shared {
    fn changed(&self, day: &GameDay, before: &GameDayStatus, after: &GameDayStatus) {
        let uid = day.uid().unwrap_or_default();
        let short = &uid[..uid.len().min(8)];
        let tell = |name: String, reason: &str, note: String, is_warning: bool| {
            tracing::info!(namespace = day.namespace(), day = day.name_any(), reason, note, "game day");
            self.tell(Happening {
                name: format!("chaos-day-{short}-{name}"),
                regarding: day.object_ref(&()),
                related: None,
                reason: reason.to_owned(),
                action: "GameDay",
                note,
                is_warning,
                at: Timestamp::now(),
            });
        };
        for execution in &after.active {
            if before.active.iter().all(|known| known.id != execution.id) {
                tell(format!("{}-started", execution.id), "Started", format!("execution {}", execution.id), false);
            }
        }
        for (execution, step, why) in guarded(after) {
            if guarded(before).all(|known| known != (execution, step, why)) {
                tell(format!("{execution}-{step}-guard"), "BudgetGuard", format!("step {step}: {why}"), false);
            }
        }
        for result in &after.history {
            if before.history.iter().all(|known| known.id != result.id) {
                let outcome = Conclusion::read(&result.outcome);
                self.metrics.day_ended(outcome);
                let note = format!("execution {}: {}: {}", result.id, result.outcome, result.message);
                tell(format!("{}-ended", result.id), &result.reason, note, !outcome.has_passed());
            }
        }
        if after.skips > before.skips {
            let count = after.skips - before.skips;
            for skip in after.skipped.iter().filter(|skip| !before.skipped.contains(skip)) {
                self.metrics.day_skipped(&skip.reason, count);
                let note = format!("slot {} was not started: {} ({count} slots)", skip.slot.0, skip.message);
                tell(format!("skip-{}", after.skips), &skip.reason, note, count > 1);
            }
        }
    }
}
