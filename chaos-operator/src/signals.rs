//! What the operator listens to besides the monkeys themselves: the stop switch, the served schema, and heartbeats. Each is
//! read again and again; a read that fails counts as the safer reading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::api::ClockReading;
use chaos_core::instant::micro_time;
use chaos_core::population::SwitchState;
use chaos_engine::kube::{Caller, Happening, see_switch};
use chaos_engine::run::operated::{HeldBy, Hold};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::conditions;
use crate::permitted::Permissions;
use crate::schema;
use crate::shared::{SchemaState, Shared};

/// The stop switch is read this often; every kill reads it once more.
const SWITCH_EVERY: Duration = Duration::from_millis(500);
/// Statuses tell that it cannot be read once that has lasted for so long: kills are held at once, and a server that fails now and
/// then must not have the status of every monkey written twice each time.
const UNREAD_FOR: Duration = Duration::from_secs(5);
/// The served schema is read this often while it is ours, and while it is not.
const SCHEMA_EVERY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1));
/// A schema that was ours and cannot be read is asked for so often before that counts: what is known of it is a minute old anyway,
/// and all kills are held by one answer that was lost otherwise.
const SCHEMA_TRIES: u32 = 3;
/// A heartbeat is read an eighth of its interval apart, within these bounds.
const BEAT_EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// Follows the stop switch, and tells what becomes of it. What is granted for one namespace lets no Event be told elsewhere.
pub(crate) async fn follow_switch(shared: Arc<Shared>) {
    let caller = shared.reads();
    let (mut ticks, mut seen, mut unread) = (interval(SWITCH_EVERY), Seen::default(), Unread::default());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.stop.is_cancelled() {
        ticks.tick().await;
        let (state, object) = see_switch(&caller).await.unwrap_or((SwitchState::Unreadable, None));
        shared.metrics.switch_is_running(state == SwitchState::Running);
        if unread.is_told(state, tokio::time::Instant::now()) {
            shared.told_switch.send_if_modified(|known| std::mem::replace(known, state) != state);
        }
        let changed = shared.switch.send_if_modified(|known| std::mem::replace(known, state) != state);
        if changed {
            tracing::info!(?state, "the stop switch of the cluster");
        }
        if let Some(became) = seen.became(state, object, Timestamp::now())
            && shared.watched.is_none()
        {
            shared.tell(became);
        }
    }
}

/// Since when the stop switch could not be read, if it cannot.
#[derive(Default)]
struct Unread(Option<tokio::time::Instant>);

impl Unread {
    /// Whether statuses tell this reading.
    fn is_told(&mut self, state: SwitchState, now: tokio::time::Instant) -> bool {
        if state != SwitchState::Unreadable {
            self.0 = None;
            return true;
        }
        let since = *self.0.get_or_insert(now);
        now.saturating_duration_since(since) >= UNREAD_FOR
    }
}

/// The stop switch as it was last read.
#[derive(Default)]
struct Seen {
    /// Whether it lets chaos happen; absent: it was not read yet.
    is_running: Option<bool>,
    /// The version that was seen last.
    object: Option<ObjectReference>,
}

impl Seen {
    /// What became of it. What a process finds when it starts is no news, and that it cannot be read says nothing of the switch.
    fn became(&mut self, state: SwitchState, object: Option<ObjectReference>, now: Timestamp) -> Option<Happening> {
        if state == SwitchState::Unreadable {
            return None;
        }
        if object.is_some() {
            self.object = object;
        }
        let is_running = state == SwitchState::Running;
        let before = self.is_running.replace(is_running)?;
        let object = self.object.as_ref().filter(|_| before != is_running)?;
        Some(Happening::of_switch(object, state, now))
    }
}

/// Follows the served schema.
pub(crate) async fn follow_schema(shared: Arc<Shared>) {
    let (caller, mut unread) = (shared.reads(), 0);
    while !shared.stop.is_cancelled() {
        let state = schema::check(&caller).await;
        unread = if matches!(state, SchemaState::Unknown(_)) { unread + 1 } else { 0 };
        if (1..SCHEMA_TRIES).contains(&unread) && *shared.schema.borrow() == SchemaState::Same {
            sleep(SCHEMA_EVERY.1).await;
            continue;
        }
        let pause = if state == SchemaState::Same { SCHEMA_EVERY.0 } else { SCHEMA_EVERY.1 };
        let changed = shared.schema.send_if_modified(|known| {
            let changed = *known != state;
            known.clone_from(&state);
            changed
        });
        match (changed, &state) {
            (true, SchemaState::Same) => tracing::info!("the served schema is ours"),
            (true, SchemaState::Unknown(why) | SchemaState::Other(why)) => {
                tracing::warn!(why, "nothing is killed: the served schema is not known to be ours");
            }
            (false, _) => {}
        }
        sleep(pause).await;
    }
}

/// Makes of switch, schema and permissions whether a run may kill, and whether a game day may start one.
pub(crate) async fn follow_hold(shared: Arc<Shared>) {
    let (mut switch, mut schema) = (shared.switch.subscribe(), shared.schema.subscribe());
    let mut permissions = shared.permissions.subscribe();
    loop {
        let (hold, for_days) = {
            let (schema, switch) = (schema.borrow_and_update(), *switch.borrow_and_update());
            let permissions = permissions.borrow_and_update();
            (hold(&schema, switch, &permissions), hold_for_days(&schema, switch, &permissions))
        };
        for (sender, hold) in [(&shared.hold, hold), (&shared.day_hold, for_days)] {
            sender.send_if_modified(|known| {
                let changed = *known != hold;
                known.clone_from(&hold);
                changed
            });
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = switch.changed() => {}
            _ = schema.changed() => {}
            _ = permissions.changed() => {}
        }
    }
}

/// Why no run may kill, if so.
fn hold(schema: &SchemaState, switch: SwitchState, permissions: &Permissions) -> Option<Hold> {
    let is_unknown = matches!(*schema, SchemaState::Unknown(_))
        || switch == SwitchState::Unreadable
        || matches!(*permissions, Permissions::Unknown(_));
    let held = |by: HeldBy, message| Hold { by: if is_unknown { HeldBy::Nobody } else { by }, message };
    let by_others = conditions::hold_all(schema, switch).map(|why| held(HeldBy::Others, why));
    by_others.or_else(|| permissions.lacks_for_runs().map(|lack| held(HeldBy::Permissions, lack.message)))
}

/// Why no game day may start a run, if so: all that holds runs, and what it lacks itself.
fn hold_for_days(schema: &SchemaState, switch: SwitchState, permissions: &Permissions) -> Option<Hold> {
    let lacks = || permissions.lacks_for_days().map(|lack| Hold { by: HeldBy::Permissions, message: lack.message });
    hold(schema, switch, permissions).or_else(lacks)
}

/// A heartbeat, as it was last seen to change.
pub(crate) struct Pulse {
    receiver: watch::Receiver<Option<Beat>>,
    task: JoinHandle<()>,
}

/// A beat, and how old it was at an instant of a clock that cannot be set: a run must not look alive for as long as the machine's is
/// set back.
#[derive(Debug, Clone)]
struct Beat {
    reading: ClockReading,
    age: Duration,
    since: Instant,
}

impl Beat {
    /// One that was read by then. By a clock that was ahead it was read just now.
    fn known(reading: ClockReading, now: Timestamp, since: Instant) -> Self {
        let age = Duration::try_from(now.duration_since(reading.read_at.0)).unwrap_or_default();
        Self { reading, age, since }
    }

    /// When it was read, by the machine's clock as that shows now. That one may have been set back meanwhile, and the other stands
    /// still while a machine sleeps: the older reading counts.
    fn read_at(&self, now: Timestamp, instant: Instant) -> Timestamp {
        let age = self.age + instant.saturating_duration_since(self.since);
        now.saturating_sub(age).unwrap_or(Timestamp::MIN).min(self.reading.read_at.0)
    }
}

impl Pulse {
    /// Takes the first reading, then follows the heartbeat until dropped. `known` is what an earlier process saw: the same
    /// beat must not look younger because we restarted.
    pub(crate) async fn follow(caller: Caller, path: String, every: Duration, known: Option<ClockReading>) -> Self {
        let known = known.map(|reading| Beat::known(reading, Timestamp::now(), Instant::now()));
        let (sender, receiver) = watch::channel(known);
        take_reading(&caller, &path, &sender).await;
        let pause = (every / 8).clamp(BEAT_EVERY.0, BEAT_EVERY.1);
        let task = tokio::spawn(async move {
            loop {
                sleep(pause).await;
                take_reading(&caller, &path, &sender).await;
            }
        });
        Self { receiver, task }
    }

    /// The newest beat.
    pub(crate) fn latest(&mut self) -> Option<ClockReading> {
        self.receiver.borrow_and_update().as_ref().map(|beat| beat.reading.clone())
    }

    /// When the newest beat was read, by the machine's clock as that shows now: a clock that is set back makes no beat younger.
    pub(crate) fn read_at(&mut self) -> Option<Timestamp> {
        self.receiver.borrow_and_update().as_ref().map(|beat| beat.read_at(Timestamp::now(), Instant::now()))
    }

    /// Waits for a new beat.
    pub(crate) async fn changed(&mut self) {
        // The task lives as long as this does.
        let _ = self.receiver.changed().await;
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take_reading(caller: &Caller, path: &str, sender: &watch::Sender<Option<Beat>>) {
    // What cannot be read is silence, and silence stops the monkey.
    let Ok(lease) = caller.get::<Lease>(path).await else { return };
    let Some(heartbeat) = lease.spec.and_then(|spec| spec.renew_time) else { return };
    sender.send_if_modified(|known| {
        let is_new = known.as_ref().is_none_or(|known| known.reading.heartbeat != heartbeat);
        if is_new {
            let reading = ClockReading { heartbeat, read_at: micro_time(Timestamp::now()) };
            *known = Some(Beat { reading, age: Duration::ZERO, since: Instant::now() });
        }
        is_new
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use axum::http::StatusCode;
    use axum::{Json, Router};
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::grants::GRANTS;
    use crate::permitted::Missing;
    use crate::shared::tests::shared;

    #[tokio::test(start_paused = true)]
    async fn a_switch_that_cannot_be_read_holds_at_once_and_is_told_of_once_that_lasts() {
        let fails = Arc::new(AtomicBool::new(false));
        let failing = fails.clone();
        let answer = move || {
            let (code, body) = if failing.load(Ordering::Relaxed) {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500,
                    "message": "no", "reason": "InternalError"});
                (StatusCode::INTERNAL_SERVER_ERROR, status)
            } else {
                let metadata = json!({"name": "chaos-switch", "uid": "u", "resourceVersion": "1"});
                (StatusCode::OK, json!({"metadata": metadata, "data": {"state": "Running"}}))
            };
            async move { (code, Json(body)) }
        };
        let router: Router = Router::new().fallback(answer);
        let (shared, _teller) = shared(kube::Client::new(router, "default"));
        let (mut read, mut told) = (shared.switch.subscribe(), shared.told_switch.subscribe());
        let following = tokio::spawn(follow_switch(shared.clone()));
        for _ in 0..3 {
            read.wait_for(|state| *state == SwitchState::Running).await.unwrap();
            assert_eq!(*told.borrow_and_update(), SwitchState::Running);
            fails.store(true, Ordering::Relaxed);
            read.wait_for(|state| *state == SwitchState::Unreadable).await.unwrap();
            sleep(UNREAD_FOR / 2).await;
            fails.store(false, Ordering::Relaxed);
        }
        read.wait_for(|state| *state == SwitchState::Running).await.unwrap();
        assert!(!told.has_changed().unwrap(), "it is as it was");
        fails.store(true, Ordering::Relaxed);
        told.changed().await.unwrap();
        assert_eq!(*told.borrow_and_update(), SwitchState::Unreadable, "it lasts");
        fails.store(false, Ordering::Relaxed);
        told.changed().await.unwrap();
        assert_eq!(*told.borrow(), SwitchState::Running);
        following.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_schema_that_was_ours_is_asked_for_again_before_it_counts_as_unknown() {
        let asked = Arc::new(AtomicU32::new(0));
        let counted = asked.clone();
        let answer = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { StatusCode::SERVICE_UNAVAILABLE }
        };
        let router: Router = Router::new().fallback(answer);
        for (known, tries) in [(SchemaState::Same, SCHEMA_TRIES), (SchemaState::Other("no".to_owned()), 1)] {
            asked.store(0, Ordering::Relaxed);
            let (shared, _teller) = shared(kube::Client::new(router.clone(), "default"));
            shared.schema.send_replace(known);
            let mut schema = shared.schema.subscribe();
            let following = tokio::spawn(follow_schema(shared.clone()));
            schema.wait_for(|state| matches!(state, SchemaState::Unknown(_))).await.unwrap();
            assert_eq!(asked.load(Ordering::Relaxed), tries);
            following.abort();
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_beat_younger_whoever_read_it() {
        let (now, instant, later) = (Timestamp::now(), Instant::now(), Duration::from_secs(3));
        let (hour, none) = (SignedDuration::from_hours(1), SignedDuration::ZERO);
        // An earlier process read it just now, five seconds ago, or by a clock that was ahead.
        for (read_at, age) in [(now, 0), (now - SignedDuration::from_secs(5), 5), (now + hour, 0)] {
            let reading = ClockReading { heartbeat: micro_time(now), read_at: micro_time(read_at) };
            let beat = Beat::known(reading, now, instant);
            for set_by in [none, hour, -hour] {
                let shown = now + later + set_by;
                let since = shown.duration_since(beat.read_at(shown, instant + later));
                let lasted = SignedDuration::from_secs(age + 3);
                // What a clock that was set ahead makes of it, a sleeping machine does too.
                let most = if set_by > none { hour + lasted } else { lasted };
                let is_right = since >= lasted && since < most + SignedDuration::from_secs(1);
                assert!(is_right, "{read_at} {set_by:?}: {since:?}");
            }
        }
    }

    #[test]
    fn of_the_switch_is_told_what_changes_and_by_the_same_name_whoever_sees_it() {
        let version = |version: &str| {
            let (uid, resource_version) = (Some("u".to_owned()), Some(version.to_owned()));
            Some(ObjectReference { uid, resource_version, ..ObjectReference::default() })
        };
        let (running, stopped) = (SwitchState::Running, SwitchState::Stopped);
        let (missing, unreadable) = (SwitchState::Missing, SwitchState::Unreadable);
        let looks = [
            (unreadable, None, None),
            (running, version("1"), None),
            (running, version("1"), None),
            (unreadable, None, None),
            (running, version("2"), None),
            (stopped, version("3"), Some("chaos-switch-u-3-stopped")),
            (stopped, version("4"), None),
            (unreadable, None, None),
            (running, version("5"), Some("chaos-switch-u-5-resumed")),
            (missing, None, Some("chaos-switch-u-5-stopped")),
            (stopped, version("6"), None),
            (running, version("7"), Some("chaos-switch-u-7-resumed")),
        ];
        let mut seen = Seen::default();
        for (look, (state, object, told)) in looks.into_iter().enumerate() {
            let became = seen.became(state, object, Timestamp::UNIX_EPOCH);
            assert_eq!(became.map(|became| became.name).as_deref(), told, "look {look}");
        }
    }

    #[test]
    fn it_is_told_by_whose_word_nothing_may_be_killed() {
        let without = |resource: &str| {
            let grant = GRANTS.iter().find(|grant| grant.resource == resource).unwrap();
            Permissions::Known(vec![Missing { verb: grant.verbs[0], grant }])
        };
        let (all, unknown) = (Permissions::Known(Vec::new()), Permissions::Unknown("no answer".to_owned()));
        let (same, unread) = (SchemaState::Same, SchemaState::Unknown("no answer".to_owned()));
        let (running, stopped) = (SwitchState::Running, SwitchState::Stopped);
        let cases = [
            (&same, running, all.clone(), None),
            (&same, stopped, all.clone(), Some(HeldBy::Others)),
            (&same, stopped, without("pods/eviction"), Some(HeldBy::Others)),
            (&same, running, without("pods/eviction"), Some(HeldBy::Permissions)),
            (&same, running, unknown, Some(HeldBy::Nobody)),
            (&unread, running, without("pods/eviction"), Some(HeldBy::Nobody)),
            (&same, SwitchState::Unreadable, all, Some(HeldBy::Nobody)),
        ];
        for (schema, switch, permissions, by) in cases {
            let held = hold(schema, switch, &permissions);
            assert_eq!(held.as_ref().map(|hold| hold.by), by, "{schema:?} {switch:?} {permissions:?}");
            assert_eq!(hold_for_days(schema, switch, &permissions), held);
        }
        let of_days = GRANTS.iter().find(|grant| grant.role == crate::grants::Role::GameDays).unwrap();
        let permissions = Permissions::Known(vec![Missing { verb: of_days.verbs[0], grant: of_days }]);
        assert_eq!(hold(&same, running, &permissions), None);
        assert_eq!(hold_for_days(&same, running, &permissions).map(|hold| hold.by), Some(HeldBy::Permissions));
    }
}
