//! Keeps the ledger of one monkey's strike machine in the monkey's status, and tells what is new in it: Events, metrics, one
//! log line a decision. Nothing is decided here.
//!
//! Every write carries our name and names the version that it follows. Of several processes that believe that they drive the
//! monkey the first to write fences the others off: their next save fails, so that they send no kill and drop no reservation
//! that rests on it. That holds also for a process that has written nothing yet, as its take-up had nothing to say: a save is
//! always a write, if only of our name. Such a process leaves once the watch brings another version: somebody else may be at
//! work on the monkey, and only a claim would fence them off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::api::{
    ChaosMonkey, ChaosMonkeySpec, ChaosMonkeyStatus, IntentRecord, KillRecord, MonkeyControl, Outcome, RecoveringRecord,
};
use chaos_core::killer::{KillAnswer, KillAnswerKind, KillOrder, KillerView, Ledger};
use chaos_core::model::Schedule;
use chaos_core::population::{Population, SwitchState};
use chaos_engine::kill::Keeper;
use chaos_engine::kube::{Happening, StatusStore, StoreError};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::conditions;
use crate::pace::Pace;
use crate::permitted::Permissions;
use crate::shared::{Found, SchemaState, Shared};
use crate::shown::Shown;
use crate::signals::Pulse;
use crate::turns::TO_WRITE;

/// No wait is longer: conditions that depend on the time of day stay right.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Writes that no kill depends on: so many at once, and one each time that this has passed.
const WRITES: (u32, Duration) = (50, Duration::from_millis(50));
/// A status that is longer, in bytes of JSON, counts for several of these: a server keeps every version of it for minutes, and that
/// of a monkey of 300 groups is some 200 KB.
const ONE_WRITE: usize = 32 * 1024;

/// Keeps one monkey.
pub(crate) struct StatusKeeper {
    shared: Arc<Shared>,
    shown: Arc<Shown>,
    store: StatusStore<ChaosMonkey>,
    /// The newest version of the object that the watch has brought.
    object: watch::Receiver<Arc<ChaosMonkey>>,
    /// The version that the machine decides on.
    seen: Arc<ChaosMonkey>,
    /// What the machine was built from; another spec ends it, and a new machine goes on from the ledger.
    basis: ChaosMonkeySpec,
    schedule: Schedule,
    /// How often it is written for nothing that belongs to a kill.
    pace: Pace,
    /// A kill was saved, and is not known to have been made, nor to be in doubt: it is the one that may be sent.
    has_in_hand: bool,
    pulse: Option<Pulse>,
    switch: watch::Receiver<SwitchState>,
    told_switch: watch::Receiver<SwitchState>,
    schema: watch::Receiver<SchemaState>,
    permissions: watch::Receiver<Permissions>,
    rest: CancellationToken,
    blind: Option<String>,
    /// A write that failed outside `save`: the machine leaves, and this is why.
    failed: Option<StoreError>,
}

/// What a keeper is made of.
pub(crate) struct Parts {
    pub shared: Arc<Shared>,
    pub shown: Arc<Shown>,
    pub store: StatusStore<ChaosMonkey>,
    pub object: watch::Receiver<Arc<ChaosMonkey>>,
    pub schedule: Schedule,
    pub pulse: Option<Pulse>,
    /// Finish what is in hand and leave.
    pub rest: CancellationToken,
}

impl StatusKeeper {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { shared, shown, store, object, schedule, pulse, rest } = parts;
        let seen = Arc::new(store.object().clone());
        let basis = basis(&seen.spec);
        Self {
            switch: shared.switch.subscribe(),
            told_switch: shared.told_switch.subscribe(),
            schema: shared.schema.subscribe(),
            permissions: shared.permissions.subscribe(),
            shared,
            shown,
            store,
            object,
            seen,
            basis,
            schedule,
            pace: Pace::new(WRITES.0, WRITES.1),
            has_in_hand: false,
            pulse,
            rest,
            blind: None,
            failed: None,
        }
    }

    /// Why it left, if a write failed.
    pub(crate) fn failure(self) -> Option<StoreError> {
        self.failed
    }

    /// Whether the object is gone, being deleted, or says something else than what the machine was built from.
    fn is_superseded(&self, object: &ChaosMonkey) -> bool {
        let is_other = object.metadata.uid != self.store.object().metadata.uid;
        let is_going = object.metadata.deletion_timestamp.is_some();
        is_other || is_going || self.object.has_changed().is_err() || self.is_edited(object)
    }

    /// Whether the spec says something else than what the machine was built from.
    pub(crate) fn is_edited(&self, object: &ChaosMonkey) -> bool {
        basis(&object.spec) != self.basis
    }

    /// Whether the status as it is stored was written by this process: whoever drove the monkey before is fenced off.
    fn is_claimed(&self) -> bool {
        let status = self.store.object().status.as_ref();
        status.is_some_and(|status| status.driver.as_ref() == Some(&self.shared.instance))
    }

    /// Whether the watch has brought another version of what is not claimed. It may be the write of a process that still drives
    /// this monkey: what it is driven from here is old then, and only a claim would fence that process off.
    pub(crate) fn is_overtaken(&self) -> bool {
        let (stored, watched) = (&self.store.object().metadata, self.object.borrow());
        !self.is_claimed() && watched.metadata.resource_version != stored.resource_version
    }

    /// The newest version of the object that is known: the watch may be behind what was read to write the status.
    fn newest(&mut self) -> Arc<ChaosMonkey> {
        let watched = self.object.borrow_and_update().clone();
        let (read, of_watch) = (&self.store.object().metadata, &watched.metadata);
        let is_behind = of_watch.uid == read.uid && of_watch.generation < read.generation;
        if is_behind { Arc::new(self.store.object().clone()) } else { watched }
    }

    /// What is known, on the newest version of the object.
    fn look(&mut self) -> KillerView {
        let object = self.newest();
        self.seen = object.clone();
        let hold = conditions::hold(
            &self.schema.borrow_and_update(),
            *self.switch.borrow_and_update(),
            &self.permissions.borrow_and_update(),
            &object.spec,
        );
        KillerView {
            suspended: object.spec.suspend,
            hold: hold.or_else(|| self.shared.board.objection(&object, self.has_in_hand)),
            cancel: object.spec.control.iter().flat_map(|control| control.cancel.iter().cloned()).collect(),
            postpone: object.spec.control.iter().flat_map(MonkeyControl::postponed).collect(),
            beat: self.pulse.as_mut().and_then(Pulse::read_at),
            leave: self.rest.is_cancelled() || self.is_superseded(&object) || self.is_overtaken(),
            // Of clocks it knows nothing: that is told by what drives it.
            ..KillerView::default()
        }
    }

    /// The status with all that it says besides the ledger, of the version that the machine has seen.
    fn completed(&mut self, mut status: ChaosMonkeyStatus) -> ChaosMonkeyStatus {
        if let Some(reading) = self.pulse.as_mut().and_then(Pulse::latest) {
            status.clock = Some(reading);
        }
        let found = Found::Valid { schedule: &self.schedule, blind: self.blind.as_deref() };
        self.shared.condition(&mut status, &self.seen, found);
        status
    }

    /// Writes what a status says besides the ledger. Where that is nothing new nothing is written, our name neither.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        let status = self.completed(self.store.status());
        if self.store.object().status.as_ref() == Some(&status) { Ok(()) } else { self.write(status).await }
    }

    /// Makes the ledger in that status last. It is written with our name, also by whoever has claimed nothing so far: a save
    /// after which nothing is stored would fence nobody off.
    async fn put(&mut self, status: ChaosMonkeyStatus) -> Result<(), StoreError> {
        let status = self.completed(status);
        self.write(status).await
    }

    /// Writes a status with our name, if the object still is what the machine has seen.
    async fn write(&mut self, status: ChaosMonkeyStatus) -> Result<(), StoreError> {
        let status = ChaosMonkeyStatus { driver: Some(self.shared.instance.clone()), ..status };
        self.store.decide_on(&self.seen.metadata);
        let stored = self.store.object().status.as_ref();
        // After the same survey a thousand monkeys have a plan to write. Whatever belongs to a kill waits for nobody.
        let is_of_kill = |stored: &ChaosMonkeyStatus| !stored.intents.is_empty() || stored.fences != status.fences;
        let has_time = status.intents.is_empty() && !stored.is_some_and(is_of_kill);
        let turn = if has_time && stored != Some(&status) {
            let wait = self.pace.take(weight(&status));
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            self.shared.turns.take(TO_WRITE).await
        } else {
            None
        };
        let written = self.store.put(&status).await;
        drop(turn);
        written
    }

    /// Tells what is new.
    fn announce(&self, before: &ChaosMonkeyStatus, after: &ChaosMonkeyStatus) {
        let object = self.store.object();
        let (namespace, name) = names(object);
        let reference = reference(object);
        let metrics = &self.shared.metrics;
        metrics.planned(after.strikes.saturating_sub(before.strikes));
        let known: BTreeSet<_> = before.history.iter().map(|kill| kill.nonce.as_str()).collect();
        for kill in after.history.iter().filter(|kill| !known.contains(kill.nonce.as_str())) {
            metrics.killed(kill.outcome);
            let (pod, outcome, message) = (&kill.victim.pod, kill.outcome, kill.message.as_deref());
            tracing::info!(namespace, monkey = name, strike = kill.strike, pod, ?outcome, message, "kill");
            self.shared.tell(Happening::of_kill(kill, &reference));
        }
        let new_skips = usize::try_from(after.skips.saturating_sub(before.skips)).unwrap_or(usize::MAX);
        for skip in after.skipped.iter().rev().take(new_skips).rev() {
            metrics.skipped(&skip.reason);
            let (group, reason, message) = (&skip.group, &skip.reason, &skip.message);
            tracing::info!(namespace, monkey = name, strike = skip.strike, group, reason, message, "skip");
            self.shared.tell(Happening::of_skip(skip, &reference));
        }
        for record in recovered(before, after) {
            let span = Timestamp::now().duration_since(record.since.0);
            metrics.recovered(span.as_secs_f64());
        }
        if let (None, Some(end)) = (&before.ended, &after.ended) {
            metrics.ended(&end.reason);
            tracing::info!(namespace, monkey = name, reason = end.reason, message = end.message, "ended");
        }
        self.shown.next_kill(after.next_at.as_ref().map(|at| at.0));
    }
}

impl Keeper for StatusKeeper {
    type Error = StoreError;

    async fn view(&mut self) -> KillerView {
        let known = self.look();
        if !known.leave
            && let Err(error) = self.refresh().await
        {
            self.failed.get_or_insert(error);
        }
        KillerView { leave: known.leave || self.failed.is_some(), ..known }
    }

    async fn last_look(&mut self) -> KillerView {
        self.look()
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), StoreError> {
        let before = self.store.status();
        let mut after = before.clone();
        ledger.write_to(&mut after);
        let decides = after.intents.iter().any(|intent| !before.intents.contains(intent));
        let mut saved = self.put(after.clone()).await;
        if !decides && matches!(saved, Err(StoreError::Changed)) {
            // What has happened stays true, whatever the spec says by now.
            self.seen = Arc::new(self.store.object().clone());
            saved = self.put(after.clone()).await;
        }
        if saved.is_ok() {
            self.has_in_hand = decides;
            // Before it is asked once more whether the kill may be sent.
            self.shared.board.tell(self.store.object(), &after);
        }
        // A monkey that is gone remembers nothing, and nobody takes it up who could tell what became of its victims.
        if matches!(saved, Err(StoreError::Gone)) {
            let open = after.intents.iter().filter(|intent| before.intents.contains(intent));
            after.history.extend(open.map(unheard));
        }
        if matches!(saved, Ok(()) | Err(StoreError::Gone)) {
            self.announce(&before, &after);
        }
        saved
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        let span = until.map_or(LONGEST_WAIT, |until| {
            Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default().min(LONGEST_WAIT)
        });
        let is_claimed = self.is_claimed();
        let beat = async {
            match &mut self.pulse {
                Some(pulse) => pulse.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            () = self.rest.cancelled() => {}
            () = beat => {}
            _ = self.switch.changed() => {}
            _ = self.told_switch.changed() => {}
            _ = self.schema.changed() => {}
            _ = self.permissions.changed() => {}
            () = news(&mut self.object, self.store.object(), is_claimed) => {}
        }
    }

    fn looked(&mut self, seen: Result<&Arc<Population>, &str>) {
        self.blind = seen.err().map(str::to_owned);
        if self.blind.is_some() {
            self.shared.refused.notify_one();
        }
    }

    fn guarded(&mut self, held: bool) {
        self.shown.guards_held(Some(held));
    }

    fn answered(&mut self, order: &KillOrder, answer: &KillAnswer) {
        if answer.kind == KillAnswerKind::Refused {
            self.shared.refused.notify_one();
        }
        // Until that is saved, one that did not happen leaves its place to the next.
        self.has_in_hand &= !matches!(answer.kind, KillAnswerKind::Accepted | KillAnswerKind::Unknown);
        // A strike that was put off was late on purpose.
        if answer.kind == KillAnswerKind::Accepted && order.strike.waiting_for.is_none() {
            self.shared.metrics.sent(answer.at.duration_since(order.strike.at.0).as_secs_f64());
        }
    }
}

/// A kill that is open still when its monkey is gone: nobody looks up any more what became of it.
pub(crate) fn unheard(intent: &IntentRecord) -> KillRecord {
    let IntentRecord { strike, nonce, group, victim, decided_at: at, .. } = intent.clone();
    let message = Some("its monkey was deleted before anybody knew what became of it".to_owned());
    KillRecord { strike, nonce, group, victim, at, outcome: Outcome::Unknown, message }
}

/// The kills that have recovered between two statuses. Each is known by its victim: when it was made is told anew where the clock is
/// set.
fn recovered<'s>(before: &'s ChaosMonkeyStatus, after: &ChaosMonkeyStatus) -> Vec<&'s RecoveringRecord> {
    if after.ended.is_some() {
        return Vec::new();
    }
    let waits = |uid: &str| after.recovering.iter().any(|record| record.victim.uid == uid);
    let was_killed =
        |uid: &str| after.history.iter().any(|kill| kill.victim.uid == uid && kill.outcome == Outcome::Killed);
    let is_back = |record: &&RecoveringRecord| !waits(&record.victim.uid) && was_killed(&record.victim.uid);
    before.recovering.iter().filter(is_back).collect()
}

/// Waits until the watch brings something that is not our own write of the status. Of what is not claimed every other version is
/// somebody else's.
async fn news(object: &mut watch::Receiver<Arc<ChaosMonkey>>, ours: &ChaosMonkey, is_claimed: bool) {
    loop {
        // An error means that the object is gone, which is news.
        if object.changed().await.is_err() {
            return;
        }
        let brought = object.borrow_and_update().clone();
        let is_same = brought.metadata.generation == ours.metadata.generation
            && brought.metadata.deletion_timestamp == ours.metadata.deletion_timestamp
            && brought.metadata.uid == ours.metadata.uid
            && (is_claimed || brought.metadata.resource_version == ours.metadata.resource_version);
        if !is_same {
            return;
        }
    }
}

/// For how many writes that of this status counts.
fn weight(status: &ChaosMonkeyStatus) -> u32 {
    // One that cannot be told is not written either.
    let bytes = serde_json::to_vec(status).unwrap_or_default().len();
    u32::try_from(bytes.div_ceil(ONE_WRITE)).unwrap_or(u32::MAX).max(1)
}

/// The part of a spec that a machine is built from. What is left out is looked at before every step.
fn basis(spec: &ChaosMonkeySpec) -> ChaosMonkeySpec {
    ChaosMonkeySpec { suspend: false, control: None, ..spec.clone() }
}

pub(crate) fn names(object: &ChaosMonkey) -> (&str, &str) {
    let meta = &object.metadata;
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

/// The monkey, as Events name it.
pub(crate) fn reference(object: &ChaosMonkey) -> ObjectReference {
    use kube::Resource as _;
    object.object_ref(&())
}

#[cfg(test)]
mod tests {
    use chaos_core::instant::micro_time;
    use chaos_core::validate::{self, Meta};
    use serde_json::json;

    use super::*;
    use crate::one_object::OneObject;
    use crate::shared::tests::shared;
    use crate::watched::tests::monkey;

    /// The keeper of a monkey, as its operator makes it, and what brings that another one.
    async fn keeper(shared: Arc<Shared>, object: ChaosMonkey) -> (StatusKeeper, watch::Sender<Arc<ChaosMonkey>>) {
        let schedule = validate::monkey(&object.spec, &Meta::from(&object.metadata)).unwrap().schedule;
        let store = StatusStore::open(shared.reads(), shared.writes(), "default", "m").await.unwrap();
        let shown = Shown::of(&shared, &object);
        let (brings, object) = watch::channel(Arc::new(object));
        let rest = CancellationToken::new();
        (StatusKeeper::new(Parts { shared, shown, store, object, schedule, pulse: None, rest }), brings)
    }

    #[tokio::test(start_paused = true)]
    async fn however_often_a_monkey_is_to_strike_what_it_skips_is_written_at_a_pace() {
        let object = monkey("m", &json!({}));
        let cluster = OneObject::new(&object);
        let (shared, _teller) = shared(cluster.client());
        let (mut keeper, _watch) = keeper(shared, object).await;
        let (began, saves) = (tokio::time::Instant::now(), 4 * WRITES.0);
        for skips in 1..=saves {
            keeper.save(&Ledger { skips: skips.into(), ..Ledger::default() }).await.unwrap();
        }
        assert_eq!(cluster.object()["status"]["skips"], saves, "all of it is written");
        assert!(began.elapsed() >= WRITES.1 * (saves - WRITES.0), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_status_counts_for_several_writes() {
        let object = monkey("m", &json!({}));
        let cluster = OneObject::new(&object);
        let (shared, _teller) = shared(cluster.client());
        let (mut keeper, _watch) = keeper(shared, object).await;
        let at = format!("{:.6}", Timestamp::now());
        let skip = json!({"strike": 1, "group": "g", "at": at, "reason": "Held", "message": "m".repeat(ONE_WRITE)});
        let skipped: Vec<chaos_core::api::SkipRecord> = vec![serde_json::from_value(skip).unwrap(); 3];
        let (began, saves) = (tokio::time::Instant::now(), 2 * WRITES.0);
        for skips in 1..=saves {
            keeper.save(&Ledger { skips: skips.into(), skipped: skipped.clone(), ..Ledger::default() }).await.unwrap();
        }
        assert!(began.elapsed() >= WRITES.1 * (4 * (saves - 1) - WRITES.0), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn while_the_switch_cannot_be_read_for_a_moment_kills_are_held_and_no_status_is_written() {
        let object = monkey("m", &json!({}));
        let cluster = OneObject::new(&object);
        let (shared, _teller) = shared(cluster.client());
        shared.told_switch.send_replace(SwitchState::Running);
        shared.switch.send_replace(SwitchState::Running);
        shared.schema.send_replace(SchemaState::Same);
        shared.permissions.send_replace(Permissions::Known(Vec::new()));
        let of_all = shared.clone();
        let (mut keeper, _watch) = keeper(shared, object).await;
        assert_eq!(keeper.view().await.hold, None);
        let before = cluster.object();
        of_all.switch.send_replace(SwitchState::Unreadable);
        assert!(keeper.view().await.hold.is_some());
        assert_eq!(cluster.object(), before);
        of_all.told_switch.send_replace(SwitchState::Unreadable);
        assert!(keeper.view().await.hold.is_some());
        assert_ne!(cluster.object(), before, "that it lasts is told");
    }

    #[tokio::test]
    async fn while_a_kill_is_in_doubt_none_is_decided_past_a_cap() {
        let mut object = monkey("m", &json!({}));
        object.spec.max_at_once = Some(1);
        let (shared, _teller) = shared(OneObject::new(&object).client());
        shared.switch.send_replace(SwitchState::Running);
        shared.schema.send_replace(SchemaState::Same);
        shared.permissions.send_replace(Permissions::Known(Vec::new()));
        let (mut keeper, _watch) = keeper(shared, object).await;
        let at = format!("{:.6}", Timestamp::now());
        let victim = json!({"namespace": "n", "pod": "p", "uid": "u", "workload": "Deployment/trips",
            "workloadUid": "w", "ownerUid": "rs"});
        let intent = json!({"strike": 1, "nonce": "n", "group": "g", "victim": victim, "due": at, "decidedAt": at,
            "deadline": at});
        let recovering = json!({"strike": 1, "victim": victim, "since": at, "servingBefore": 3});
        let order = KillOrder {
            strike: serde_json::from_value(json!({"id": "s1", "strike": 1, "at": at, "group": "g"})).unwrap(),
            nonce: "n".to_owned(),
            victim: serde_json::from_value(victim.clone()).unwrap(),
            mode: chaos_core::model::KillMode::Evict,
            grace: None,
            deadline: Timestamp::now(),
        };
        let decided = Ledger {
            intents: vec![serde_json::from_value(intent).unwrap()],
            recovering: vec![serde_json::from_value(recovering).unwrap()],
            ..Ledger::default()
        };
        for (kind, is_held) in [(KillAnswerKind::Blocked, false), (KillAnswerKind::Unknown, true)] {
            keeper.save(&decided).await.unwrap();
            assert_eq!(keeper.last_look().await.hold, None, "it may be sent");
            keeper.answered(&order, &KillAnswer { at: Timestamp::now(), kind, message: None });
            let hold = keeper.view().await.hold;
            assert_eq!(hold.is_some_and(|why| why.contains("maxAtOnce is 1")), is_held, "{kind:?}");
            keeper.save(&Ledger::default()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_kill_in_doubt_is_told_where_something_else_finds_its_monkey_gone() {
        let at = format!("{:.6}", Timestamp::now());
        let victim = json!({"namespace": "n", "pod": "p", "uid": "u", "workload": "Deployment/trips",
            "workloadUid": "w", "ownerUid": "rs"});
        let intent = json!({"strike": 1, "nonce": "n", "group": "g", "victim": victim, "due": at, "decidedAt": at,
            "deadline": at});
        let object = monkey("m", &json!({"intents": [intent]}));
        let cluster = OneObject::new(&object);
        let (shared, _teller) = shared(cluster.client());
        let of_all = shared.clone();
        let (mut keeper, _watch) = keeper(shared, object).await;
        let ledger = Ledger::from_status(&keeper.store.status());
        cluster.remove();
        let saved = keeper.save(&Ledger { skips: 1, ..ledger }).await;
        assert!(matches!(saved, Err(StoreError::Gone)), "{saved:?}");
        let text = of_all.metrics.text();
        assert!(text.contains("chaos_kills_total{outcome=\"unknown\"} 1"), "{text}");
    }

    #[test]
    fn a_kill_has_recovered_when_nobody_waits_for_it_and_not_when_its_instant_is_told_anew() {
        let (at, victim) = (
            "2026-11-23T12:00:00.000000Z",
            json!({"namespace": "n", "pod": "p", "uid": "u", "workload": "Deployment/trips", "workloadUid": "w",
                "ownerUid": "rs"}),
        );
        let kill = json!({"strike": 1, "nonce": "n", "group": "g", "victim": victim, "at": at, "outcome": "Killed"});
        let record = json!({"strike": 1, "victim": victim, "since": at, "servingBefore": 3});
        let status = json!({"kills": 1, "killsToday": 1, "history": [kill], "recovering": [record]});
        let before: ChaosMonkeyStatus = serde_json::from_value(status).unwrap();
        assert!(recovered(&before, &before).is_empty());
        let mut after = before.clone();
        after.recovering[0].since = micro_time(Timestamp::UNIX_EPOCH);
        assert!(recovered(&before, &after).is_empty(), "the clock was set");
        after.recovering.clear();
        assert_eq!(recovered(&before, &after).len(), 1);
    }
}
