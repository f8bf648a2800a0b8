//! One `GameDay` from its first sight to its deletion: read it afresh, claim it, validate it, drive it; start over when its spec
//! changes or when something failed. Its runs are owned by it, and go with it.

use std::sync::Arc;
use std::time::Instant;

use chaos_core::api::{ExecutionResult, GameDay, GameDayStatus};
use chaos_core::digest::sha256_hex;
use chaos_core::gameday::{GameDayMachine, new_skips, read_ledger};
use chaos_core::validate::{self, Meta};
use chaos_core::verdict::Conclusion;
use chaos_engine::drive::drive;
use chaos_engine::gameday::{GameDayParts, GameDayTeller, GameDayWorld};
use chaos_engine::kube::{Happening, StatusDesk, StatusStore, StoreError, short};
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
            // Somebody who edits all the time must not keep us busy: it is read, claimed and told anew each time.
            Ok(()) => {
                backoff.reset();
                backoff.wait(began, &rest).await;
            }
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
    // Whoever wrote the status, be it this process without an answer, may not have got round to telling it.
    shared.retell_day(&fresh);
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

/// Executions that began, and when, as far as they are remembered.
fn begun(status: &GameDayStatus) -> impl Iterator<Item = (&str, Timestamp)> {
    let active = status.active.iter().map(|execution| (execution.id.as_str(), execution.started_at.0));
    active.chain(status.history.iter().map(|result| (result.id.as_str(), result.started_at.0)))
}

/// What guards make of steps: execution, step, words.
fn guarded(status: &GameDayStatus) -> impl Iterator<Item = (&str, &str, &str)> {
    let steps = status.active.iter().flat_map(|of| of.steps.iter().map(|step| (of.id.as_str(), step)));
    steps.filter_map(|(execution, step)| Some((execution, step.name.as_str(), step.guard.as_deref()?)))
}

/// What became of a game day from one of its statuses to a later one: what began, what guards make of it, what ended, and what was
/// not started. Each by a name that is the same whenever it is told, and by no other's.
pub(crate) fn became(day: &GameDay, before: &GameDayStatus, after: &GameDayStatus, now: Timestamp) -> Vec<Happening> {
    let uid = day.uid().unwrap_or_default();
    let short = short(&uid);
    let tell = |name: String, reason: &str, note: String, is_warning: bool, at: Timestamp| Happening {
        name: format!("chaos-day-{short}-{name}"),
        regarding: day.object_ref(&()),
        related: None,
        reason: reason.to_owned(),
        action: "GameDay",
        note,
        is_warning,
        at,
    };
    let mut told = Vec::new();
    for (id, at) in begun(after).filter(|(id, _)| begun(before).all(|(known, _)| known != *id)) {
        told.push(tell(format!("{id}-started"), "Started", format!("execution {id}"), false, at));
    }
    for (execution, step, why) in guarded(after) {
        if guarded(before).all(|known| known != (execution, step, why)) {
            let name = format!("{execution}-{step}-guard-{}", wording(why));
            told.push(tell(name, "BudgetGuard", format!("step {step}: {why}"), false, now));
        }
    }
    for result in ended(before, after) {
        let note = format!("execution {}: {}: {}", result.id, result.outcome, result.message);
        let has_passed = Conclusion::read(&result.outcome).has_passed();
        told.push(tell(format!("{}-ended", result.id), &result.reason, note, !has_passed, result.finished_at.0));
    }
    for skip in new_skips(before.skips, after) {
        let (record, slots) = (skip.record, skip.slots);
        let name = format!("skip-{}-{}", skip.number, record.reason.to_ascii_lowercase());
        let note = format!("slot {} was not started: {} ({slots} slots)", record.slot.0, record.message);
        let at = record.at.as_ref().map_or(record.slot.0, |at| at.0);
        told.push(tell(name, &record.reason, note, slots > 1, at));
    }
    told
}

/// A short name of words that is the same whatever figures stand in them: that a step waits and that it is shrunk are two things, and
/// of how much is left only the first reading is told.
fn wording(words: &str) -> String {
    let letters: String = words.chars().filter(|character| !character.is_ascii_digit()).collect();
    sha256_hex(letters.as_bytes()).chars().take(8).collect()
}

/// Executions that are over, and were not before.
fn ended<'a>(before: &GameDayStatus, after: &'a GameDayStatus) -> impl Iterator<Item = &'a ExecutionResult> {
    after.history.iter().filter(|result| before.history.iter().all(|known| known.id != result.id))
}

impl GameDayTeller for Shared {
    fn changed(&self, day: &GameDay, before: &GameDayStatus, after: &GameDayStatus) {
        for happening in became(day, before, after, Timestamp::now()) {
            let Happening { reason, note, .. } = &happening;
            tracing::info!(namespace = day.namespace(), day = day.name_any(), reason, note, "game day");
            self.tell(happening);
        }
        for result in ended(before, after) {
            self.metrics.day_ended(Conclusion::read(&result.outcome));
        }
        for skip in new_skips(before.skips, after) {
            self.metrics.day_skipped(&skip.record.reason, skip.slots);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chaos_core::instant::micro_time;
    use serde_json::{Value, json};

    use super::*;
    use crate::one_object::OneObject;
    use crate::shared::tests::shared;

    /// A game day with that status, which nobody starts.
    fn day(status: Value) -> GameDay {
        let day = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "GameDay",
            "metadata": {"name": "d", "namespace": "default", "uid": "d", "resourceVersion": "1"},
            "spec": {
                "schedule": "Manual", "blackout": [], "startingDeadline": "1m", "mode": "DryRun",
                "steps": [{"name": "only", "experiment": {"name": "none"}}],
            },
            "status": status,
        });
        serde_json::from_value(day).unwrap()
    }

    /// A record of slots that were not started, found at that instant.
    fn skip(reason: &str, count: u64, at: Timestamp) -> Value {
        json!({"slot": "2026-06-01T09:00:00Z", "at": micro_time(at), "count": count, "reason": reason, "message": "m"})
    }

    fn names(told: &[Happening]) -> Vec<&str> {
        told.iter().map(|happening| happening.name.as_str()).collect()
    }

    #[tokio::test]
    async fn of_skips_that_are_found_at_once_each_is_counted_and_told_by_itself_and_has_one_name() {
        let now = Timestamp::now();
        let skipped = [skip("Missed", 168, now), skip("StartingDeadline", 1, now)];
        let (before, after) = (day(json!({})), day(json!({"skips": 169, "skipped": skipped})));
        let status = |day: &GameDay| day.status.clone().unwrap();
        let shared = shared(crate::watched::tests::admin()).0;
        shared.changed(&after, &status(&before), &status(&after));
        let text = shared.metrics.text();
        for line in [
            "chaos_game_day_skips_total{reason=\"Missed\"} 168",
            "chaos_game_day_skips_total{reason=\"StartingDeadline\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let told = became(&after, &status(&before), &status(&after), now);
        assert_eq!(names(&told), ["chaos-day-d-skip-168-missed", "chaos-day-d-skip-169-startingdeadline"]);
        assert!(told[0].note.ends_with("(168 slots)") && told[1].note.ends_with("(1 slots)"), "{told:?}");
        // One that follows for the same reason is told too, and not by a name that is taken.
        let more = day(json!({"skips": 170, "skipped": [skip("Missed", 168, now), skip("StartingDeadline", 2, now)]}));
        let later = became(&more, &status(&after), &status(&more), now);
        assert_eq!(names(&later), ["chaos-day-d-skip-170-startingdeadline"]);
    }

    #[test]
    fn whoever_tells_all_of_it_again_gives_it_the_same_names() {
        let at = "2026-06-01T09:00:00.000000Z";
        let active = json!({"id": "one", "startedAt": at, "plan": "p", "steps": [
            {"name": "first", "phase": "Running", "guard": "40.0 % is left"}]});
        let over = json!({"id": "one", "startedAt": at, "finishedAt": at, "outcome": "pass", "reason": "Passed",
            "message": "all 1 steps passed"});
        let (new, running) = (GameDayStatus::default(), day(json!({"active": [active]})));
        let ended = day(json!({"history": [over]}));
        let status = |day: &GameDay| day.status.clone().unwrap();
        let now = Timestamp::now();
        let began = became(&running, &new, &status(&running), now);
        let guard = format!("chaos-day-d-one-first-guard-{}", wording("40.0 % is left"));
        assert_eq!(names(&began), ["chaos-day-d-one-started", guard.as_str()]);
        let ends = became(&ended, &status(&running), &status(&ended), now);
        assert_eq!(names(&ends), ["chaos-day-d-one-ended"]);
        let again = became(&ended, &new, &status(&ended), now);
        assert_eq!(names(&again), ["chaos-day-d-one-started", "chaos-day-d-one-ended"]);
        assert!(again.iter().all(|happening| happening.at.to_string() == "2026-06-01T09:00:00Z"), "{again:?}");
        assert!(became(&ended, &status(&ended), &status(&ended), now).is_empty());
    }

    #[test]
    fn that_a_step_waits_for_its_budget_and_that_it_is_shrunk_then_are_told_by_two_names() {
        let now = Timestamp::now();
        let name = |guard: &str| {
            let steps = json!([{"name": "first", "phase": "Starting", "guard": guard}]);
            let active = json!({"id": "one", "startedAt": micro_time(now), "plan": "p", "steps": steps});
            let day = day(json!({"active": [active]}));
            let told = became(&day, &GameDayStatus::default(), &day.status.clone().unwrap(), now);
            told.last().unwrap().name.clone()
        };
        let [waits, shrunk, later] = ["it is not known: no answer", "40.0 % is left", "9.5 % is left"].map(name);
        assert_ne!(waits, shrunk, "the second would be taken for the first");
        assert_eq!(shrunk, later);
    }

    #[tokio::test]
    async fn however_often_a_game_day_is_edited_it_is_taken_up_a_few_times_a_second() {
        let old = day(json!({}));
        let mut edited = old.clone();
        // Whenever it is read it has been edited once more.
        edited.metadata.generation = Some(2);
        let (shared, _teller) = shared(OneObject::new(&old).client());
        let (_watch, object) = watch::channel(Arc::new(edited));
        let rest = CancellationToken::new();
        let tending = tokio::spawn(tend(shared.clone(), object, rest.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        rest.cancel();
        tokio::time::timeout(Duration::from_secs(20), tending).await.expect("it rests").unwrap();
        let text = shared.metrics.text();
        let taken_up = text.lines().find_map(|line| line.strip_prefix("chaos_reconcile_seconds_count ")).unwrap();
        assert!((2..10).contains(&taken_up.parse::<u32>().unwrap()), "{taken_up}");
    }

    #[tokio::test]
    async fn what_an_earlier_process_may_not_have_told_is_told_again_if_it_is_not_long_ago() {
        let now = Timestamp::now();
        let long_ago = now - jiff::SignedDuration::from_hours(1);
        let skipped = [skip("Blackout", 3, long_ago), skip("Missed", 168, now)];
        let day = day(json!({"skips": 171, "skipped": skipped}));
        let cluster = OneObject::new(&day);
        let (shared, teller) = shared(cluster.client());
        let telling = tokio::spawn(teller.run());
        let (_watch, object) = watch::channel(Arc::new(day));
        let rest = CancellationToken::new();
        let tending = tokio::spawn(tend(shared, object, rest.clone()));
        let told = async {
            while cluster.created().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), told).await.expect("nobody tells it again");
        rest.cancel();
        tokio::time::timeout(Duration::from_secs(20), tending).await.expect("it rests").unwrap();
        telling.abort();
        assert_eq!(cluster.created(), ["chaos-day-d-skip-171-missed"]);
    }
}
