//! What all tasks of the operator share: clients, the newest signals, metrics, and the way to tell Events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chaos_core::api::{
    ChaosMonkey, ChaosMonkeyStatus, ExperimentRun, ExperimentRunStatus, GameDay, GameDayStatus, KillRecord, SkipRecord,
};
use chaos_core::killer::calendar;
use chaos_core::model::Schedule;
use chaos_core::population::SwitchState;
use chaos_engine::kube::{Caller, Clients, EventSink, Happening, StoreError, Tended, say_unreadable};
use chaos_engine::run::operated::{Announcer, HeldBy, Hold};
use chaos_engine::sources::Sources;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::OperatorArgs;
use crate::backoff::Backoff;
use crate::board::Board;
use crate::conditions::{self, Facts};
use crate::gameday;
use crate::metrics::{Metrics, Mishap};
use crate::pace::Pace;
use crate::permitted::Permissions;
use crate::shown::Showing;
use crate::teller::Teller;
use crate::turns::{TO_TAKE_UP, Turns};

/// Events that may wait to be told.
const EVENTS: usize = 4096;
/// Of these, so many are left to what happened: neither a monkey that skips a strike every few milliseconds nor thousands of objects
/// that cannot be read must silence a kill.
const KEPT_FREE: usize = EVENTS / 2;
/// Skips that are told at once, and the time for each one more: a server keeps an Event for an hour.
const SKIPS: (u32, Duration) = (2_048, Duration::from_millis(100));
/// How often it is tried to say in an object's conditions that it cannot be read, and the pause between two tries, the first.
const SAYS: u32 = 4;
const SAY_AGAIN: Duration = Duration::from_millis(250);
/// What happened this long ago is told again after a restart; telling twice changes nothing.
const RETELL: SignedDuration = SignedDuration::from_mins(10);
/// For so long after the start nothing is said of a monkey before what holds all kills was read: else all statuses would be
/// written again for each of it.
const ORIENTED_WITHIN: Duration = Duration::from_secs(2);

/// What was found of a monkey.
pub(crate) enum Found<'a> {
    /// Its spec is not valid, and why.
    Invalid(&'a str),
    /// It is.
    Valid {
        /// When it may act.
        schedule: &'a Schedule,
        /// Why the cluster could not be seen last time, if it could not.
        blind: Option<&'a str>,
    },
}

/// What all tasks share.
pub(crate) struct Shared {
    pub clients: Clients,
    /// The operator's own namespace.
    pub namespace: String,
    /// The only namespace whose objects are worked on; absent: all.
    pub watched: Option<String>,
    /// Who this is, for people: in Leases and Events.
    pub identity: String,
    /// Which process this is: a restarted one is another.
    pub instance: String,
    pub metrics: Metrics,
    /// Who shows something of a single monkey by them.
    pub showing: Showing,
    /// How all monkeys stand.
    pub board: Board,
    /// Who may ask the API server next, of all that were taken up together.
    pub turns: Turns,
    /// Who may be asked by guards and checks, and by whose.
    pub sources: Arc<Sources>,
    /// Everything in the background ends with it.
    pub stop: CancellationToken,
    pub switch: watch::Sender<SwitchState>,
    /// The same as statuses tell it: where it cannot be read for a moment, as it was before.
    pub told_switch: watch::Sender<SwitchState>,
    pub schema: watch::Sender<SchemaState>,
    pub permissions: watch::Sender<Permissions>,
    /// A call was refused: the permissions may be other ones now.
    pub refused: Notify,
    /// Why no run may kill anything at present, made of switch, schema and permissions.
    pub hold: watch::Sender<Option<Hold>>,
    /// Why no game day may start anything at present: what holds runs, and what it lacks itself.
    pub day_hold: watch::Sender<Option<Hold>>,
    events: mpsc::Sender<Happening>,
    /// How often skips are told.
    skips: Mutex<Pace>,
    started: Instant,
    alive_at: AtomicU64,
}

/// Whether the served schemas of our kinds are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SchemaState {
    /// It could not be read yet.
    Unknown(String),
    /// It is ours.
    Same,
    /// It is another one: fields that keep pods alive may be pruned silently.
    Other(String),
}

impl Shared {
    pub(crate) fn new(
        clients: Clients,
        args: &OperatorArgs,
        sources: Sources,
        stop: CancellationToken,
    ) -> (Arc<Self>, Teller) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let sink = EventSink::new(Caller::new(clients.write.clone()), args.identity());
        let unread = Some(Hold { by: HeldBy::Nobody, message: "nothing has been read yet".to_owned() });
        let shared = Self {
            clients,
            namespace: args.operator_namespace().to_owned(),
            watched: args.common().watched_namespace().map(str::to_owned),
            identity: args.identity(),
            instance: format!("{}/{}", args.identity(), uuid::Uuid::new_v4().simple()),
            metrics: Metrics::new(),
            showing: Showing::default(),
            board: Board::new(args.caps()),
            turns: Turns::new(),
            sources: Arc::new(sources),
            stop,
            switch: watch::channel(SwitchState::Unreadable).0,
            told_switch: watch::channel(SwitchState::Unreadable).0,
            schema: watch::channel(SchemaState::Unknown("it has not been read yet".to_owned())).0,
            permissions: watch::channel(Permissions::Unknown("the permissions have not been asked for yet".to_owned()))
                .0,
            refused: Notify::new(),
            hold: watch::channel(unread.clone()).0,
            day_hold: watch::channel(unread).0,
            events,
            skips: Mutex::new(Pace::new(SKIPS.0, SKIPS.1)),
            started: Instant::now(),
            alive_at: AtomicU64::new(0),
        };
        (Arc::new(shared), Teller::new(sink, receiver))
    }

    pub(crate) fn reads(&self) -> Caller {
        Caller::new(self.clients.read.clone())
    }

    pub(crate) fn writes(&self) -> Caller {
        Caller::new(self.clients.write.clone())
    }

    /// Waits until the switch, the schema and the permissions were read, while this process is young.
    pub(crate) async fn orient(&self) {
        let (mut switch, mut schema) = (self.switch.subscribe(), self.schema.subscribe());
        let mut permissions = self.permissions.subscribe();
        let all = async {
            // The senders live as long as this.
            _ = switch.wait_for(|state| *state != SwitchState::Unreadable).await;
            _ = schema.wait_for(|state| !matches!(state, SchemaState::Unknown(_))).await;
            _ = permissions.wait_for(|known| matches!(known, Permissions::Known(_))).await;
        };
        let _ = timeout(ORIENTED_WITHIN.saturating_sub(self.started.elapsed()), all).await;
    }

    /// Brings the conditions of a monkey's status up to date with this version of it, and with what this process knows.
    pub(crate) fn condition(&self, status: &mut ChaosMonkeyStatus, object: &ChaosMonkey, found: Found<'_>) {
        let now = Timestamp::now();
        let (invalid, blind, schedule) = match found {
            Found::Invalid(why) => (Some(why), None, None),
            Found::Valid { schedule, blind } => (None, blind, Some(schedule)),
        };
        let is_told = !status.intents.is_empty();
        let capped = schedule.and_then(|_| self.board.objection(object, is_told));
        let facts = Facts {
            spec: &object.spec,
            generation: object.metadata.generation,
            invalid,
            schema: &self.schema.borrow().clone(),
            switch: *self.told_switch.borrow(),
            permissions: &self.permissions.borrow().clone(),
            capped: capped.as_deref(),
            blind,
            is_in_schedule: schedule.is_none_or(|schedule| calendar::stretch(schedule, now).active),
            now,
        };
        status.observed_generation = object.metadata.generation;
        conditions::update(status, &facts);
    }

    /// Work on an object failed: counts and tells it, and waits before the work starts over.
    pub(crate) async fn start_over(
        &self,
        object: &ObjectReference,
        error: &StoreError,
        backoff: &mut Backoff,
        began: Instant,
        rest: &CancellationToken,
    ) {
        self.tell_refusal(object, error);
        self.metrics.failed(error);
        backoff.wait(began, rest).await;
    }

    /// Tells by an Event what the object's status cannot say where writing it is forbidden, and asks anew what we may do.
    fn tell_refusal(&self, object: &ObjectReference, error: &StoreError) {
        if let StoreError::Call(refused) = error
            && refused.is_forbidden()
        {
            self.refused.notify_one();
            self.tell(Happening::of_refusal(object, refused));
        }
    }

    /// An object cannot be read, so nothing is done for it.
    pub(crate) fn tell_unreadable<K: Tended>(&self, object: &ObjectMeta, why: &str) {
        let kind = K::kind(&()).into_owned();
        let ObjectMeta { name, namespace, uid, .. } = object.clone();
        tracing::warn!(kind, namespace, name, why, "it cannot be read; nothing is done for it");
        self.metrics.failed_by(Mishap::Unreadable);
        let object = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(kind),
            namespace,
            name,
            uid,
            ..ObjectReference::default()
        };
        self.tell(Happening { note: why.chars().take(900).collect(), ..Happening::of_unreadable(&object, why) });
    }

    /// Says in the conditions of an object that it cannot be read, as long as that is so. An Event has told it already, so a
    /// server that does not take it is no more than a line in the log.
    pub(crate) async fn say_unreadable<K: Tended>(&self, object: &ObjectMeta) {
        for attempt in 1..=SAYS {
            // After the schema was rolled back that may be thousands of objects at once.
            let turn = self.turns.take(TO_TAKE_UP).await;
            let said = say_unreadable::<K>(&self.reads(), &self.writes(), object, Timestamp::now()).await;
            drop(turn);
            match said {
                Ok(()) => return,
                // Somebody else has changed it meanwhile, or the server is in trouble.
                Err(error) if attempt < SAYS => {
                    tracing::debug!(%error, "it could not be said in an object that it cannot be read");
                    tokio::time::sleep(SAY_AGAIN * attempt).await;
                }
                Err(error) => {
                    let (kind, namespace, name) = (K::kind(&()), object.namespace.as_deref(), object.name.as_deref());
                    tracing::warn!(%error, %kind, namespace, name, "its conditions do not say that it cannot be read");
                }
            }
        }
    }

    /// Tells an Event some time soon. Status and metrics have it anyway, so a full queue drops it.
    pub(crate) fn tell(&self, happening: Happening) {
        let is_skip = happening.action == "Skip";
        if is_skip && !self.skips.lock().unwrap_or_else(PoisonError::into_inner).admits() {
            tracing::debug!(event = happening.name, "a skip is not told by an Event: there are too many of them");
            return;
        }
        let may_come_in_thousands = is_skip || happening.action == "Reconcile";
        let has_room = !may_come_in_thousands || self.events.capacity() > KEPT_FREE;
        if !has_room || self.events.try_send(happening).is_err() {
            tracing::warn!("an Event was dropped: too many are waiting to be told");
        }
    }

    /// Tells again what became of a run, and of its victims.
    pub(crate) fn retell_run(&self, run: &ExperimentRun) {
        let Some(status) = &run.status else { return };
        let reference = run.object_ref(&());
        let became = Happening::of_run(&reference, &ExperimentRunStatus::default(), status, Timestamp::now());
        let struck = status.killer.iter().flat_map(|killer| strikes(&killer.history, &killer.skipped, &reference));
        self.retell(became.into_iter().chain(struck));
    }

    /// Tells again what became of the victims of a monkey.
    pub(crate) fn retell_monkey(&self, monkey: &ChaosMonkey) {
        let Some(status) = &monkey.status else { return };
        self.retell(strikes(&status.history, &status.skipped, &monkey.object_ref(&())));
    }

    /// Tells again what became of a game day.
    pub(crate) fn retell_day(&self, day: &GameDay) {
        let Some(status) = &day.status else { return };
        self.retell(gameday::became(day, &GameDayStatus::default(), status, Timestamp::now()).into_iter());
    }

    /// Tells again what happened a short while ago: whoever wrote it into a status may not have got round to telling it.
    fn retell(&self, happenings: impl Iterator<Item = Happening>) {
        let now = Timestamp::now();
        let recent = happenings.filter(|happening| now.duration_since(happening.at) <= RETELL);
        recent.for_each(|happening| self.tell(happening));
    }

    /// The supervisor is not stuck.
    pub(crate) fn beat(&self) {
        self.alive_at.store(self.started.elapsed().as_secs(), Ordering::Relaxed);
    }

    /// Seconds since the supervisor last was not stuck.
    pub(crate) fn silent_for(&self) -> u64 {
        self.started.elapsed().as_secs().saturating_sub(self.alive_at.load(Ordering::Relaxed))
    }
}

/// What a status remembers of strikes: the kills, and those that did not happen.
fn strikes<'a>(
    kills: &'a [KillRecord],
    skips: &'a [SkipRecord],
    by: &'a ObjectReference,
) -> impl Iterator<Item = Happening> + 'a {
    let kills = kills.iter().map(|kill| Happening::of_kill(kill, by));
    kills.chain(skips.iter().map(|skip| Happening::of_skip(skip, by)))
}

impl Announcer for Shared {
    fn killed(&self, run: &ExperimentRun, kill: &KillRecord) {
        self.metrics.killed(kill.outcome);
        let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
        let (pod, outcome, message) = (&kill.victim.pod, kill.outcome, kill.message.as_deref());
        tracing::info!(namespace, run = name, strike = kill.strike, pod, ?outcome, message, "kill");
        self.tell(Happening::of_kill(kill, &run.object_ref(&())));
    }

    fn skipped(&self, run: &ExperimentRun, skip: &SkipRecord) {
        self.metrics.skipped(&skip.reason);
        let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
        let (group, reason, message) = (&skip.group, &skip.reason, &skip.message);
        tracing::info!(namespace, run = name, strike = skip.strike, group, reason, message, "skip");
        self.tell(Happening::of_skip(skip, &run.object_ref(&())));
    }

    fn changed(&self, run: &ExperimentRun, before: &ExperimentRunStatus, after: &ExperimentRunStatus) {
        if before.started_at.is_none() && after.started_at.is_some() {
            self.metrics.planned(after.resolved.as_ref().map_or(0, |plan| plan.strikes));
        }
        if let (None, Some(stop)) = (before.stop(), after.stop()) {
            self.metrics.stopped(&stop.cause);
        }
        let told = Happening::of_run(&run.object_ref(&()), before, after, Timestamp::now());
        told.into_iter().for_each(|happening| self.tell(happening));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::AtomicUsize;

    use axum::http::StatusCode;
    use axum::{Json, Router};
    use clap::Parser;
    use futures::future::join_all;
    use serde_json::json;

    use super::*;
    use crate::one_object::OneObject;
    use crate::turns::AT_ONCE;
    use crate::watched::tests::admin;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        operator: OperatorArgs,
    }

    /// What an operator of that cluster shares, and who tells its Events.
    pub(crate) fn shared(client: kube::Client) -> (Arc<Shared>, Teller) {
        let args = Cli::parse_from(["test"]).operator;
        Shared::new(Clients::same(client), &args, Sources::default(), CancellationToken::new())
    }

    fn happening(action: &'static str) -> Happening {
        Happening {
            name: "e".to_owned(),
            regarding: ObjectReference::default(),
            related: None,
            reason: "R".to_owned(),
            action,
            note: String::new(),
            is_warning: false,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn strikes_that_are_skipped_without_end_are_told_at_a_pace() {
        let cluster = OneObject::new(&json!({}));
        let (shared, teller) = shared(cluster.client());
        let telling = tokio::spawn(teller.run());
        for _ in 0..8 {
            (0..EVENTS / 4).for_each(|_| shared.tell(happening("Skip")));
            let taken = async {
                while shared.events.capacity() < EVENTS {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), taken).await.expect("they are told");
        }
        telling.abort();
        // A few more have become due meanwhile.
        let (told, at_once) = (cluster.created().len(), usize::try_from(SKIPS.0).unwrap());
        assert!(told >= at_once - 1 && told < at_once * 3 / 2, "{told}");
    }

    #[tokio::test]
    async fn however_many_strikes_are_skipped_kills_are_told() {
        let (shared, _teller) = shared(admin());
        let tell = |action: &'static str| shared.tell(happening(action));
        (0..2 * EVENTS).for_each(|_| tell("Skip"));
        // Nor do objects of which many cannot be worked on.
        (0..2 * EVENTS).for_each(|_| tell("Reconcile"));
        assert_eq!(shared.events.capacity(), KEPT_FREE);
        (0..KEPT_FREE).for_each(|_| tell("Kill"));
        assert_eq!(shared.events.capacity(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_objects_cannot_be_read_a_few_at_a_time_are_told_so() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let answer = || async {
            MOST.fetch_max(ASKED.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            ASKED.fetch_sub(1, Ordering::Relaxed);
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                "message": "no", "reason": "NotFound"});
            (StatusCode::NOT_FOUND, Json(status))
        };
        let router: Router = Router::new().fallback(answer);
        let (shared, _teller) = shared(kube::Client::new(router, "default"));
        let object = crate::watched::tests::run("r", chaos_core::api::RunPhase::Fault).metadata;
        join_all((0..10 * AT_ONCE).map(|_| shared.say_unreadable::<ExperimentRun>(&object))).await;
        assert_eq!(MOST.load(Ordering::Relaxed), AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_begins_with_the_process_waits_for_what_holds_all_kills_and_not_for_long() {
        let (shared, _teller) = shared(admin());
        let second = Duration::from_secs(1);
        let began = tokio::time::Instant::now();
        shared.orient().await;
        assert!(began.elapsed() >= second && began.elapsed() < ORIENTED_WITHIN + second, "{:?}", began.elapsed());
        shared.switch.send_replace(SwitchState::Missing);
        shared.schema.send_replace(SchemaState::Same);
        shared.permissions.send_replace(Permissions::Known(Vec::new()));
        let began = tokio::time::Instant::now();
        shared.orient().await;
        assert!(began.elapsed() < second, "all of it is known: {:?}", began.elapsed());
    }
}
