//! A run's own killer (`fault.podKill`): the same strike machine as everywhere, its memory in the run's status. Nothing is
//! killed whose intent was not written there before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chaos_core::api::{ExperimentRun, KillRecord};
use chaos_core::killer::{Killer, KillerSpec, KillerView, Ledger, RunIdentity};
use chaos_core::model::{Fault, Policy, Run};
use chaos_core::operated::{fit, read_killer, write_killer};
use chaos_core::record::Event;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::super::told::{Told, unknown};
use super::before::Before;
use super::{Backing, Hold};
use crate::clock::RunClock;
use crate::drive::drive;
use crate::kill::{ClusterAccess, Keeper, KillWorld};
use crate::kube::{Environment, StatusDesk, StoreError};
use crate::recorder::Recorder;

/// Pause before a killer whose memory could not be written goes on from what was.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// The longest time for which an unknown outcome is looked for.
const REST_WITHIN: Duration = Duration::from_secs(100);
/// The longest wait of a killer: what holds it is looked at again then.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A killer at work.
pub(in crate::run) struct KeptKiller {
    shown: watch::Receiver<Shown>,
    orders: watch::Sender<Orders>,
    /// A killer that nobody holds any more ends as in a crash.
    task: AbortOnDropHandle<()>,
    fenced: watch::Receiver<bool>,
}

/// What the run tells its killer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Orders {
    /// Start no strike any more, but see what became of those that were sent.
    rest: bool,
    /// Start none for the time being: what happens cannot be written down.
    hold: bool,
    /// Leave when nothing is in hand.
    leave: bool,
}

/// What a killer shows of itself.
#[derive(Debug, Clone, Default)]
struct Shown {
    /// Its memory, as it was last written.
    ledger: Ledger,
    /// It was told to rest when it last looked: it decides on no kill any more, and all that it decided on stands in `ledger`.
    resting: bool,
}

/// What a killer is made of.
pub(super) struct KillerParts {
    pub backing: Backing,
    pub run: Arc<Run>,
    pub seed: i64,
    /// No kill from then on.
    pub until: Timestamp,
    pub desk: StatusDesk<ExperimentRun>,
    pub clock: RunClock,
    pub recorder: Recorder,
    /// How well the instants of kills are known by the clock of the record.
    pub slack: Arc<AtomicU64>,
    /// Only see what became of what was sent before.
    pub resting: bool,
}

impl KeptKiller {
    /// Puts it to work, from what the status remembers. `None`: the operator kills for this run through a monkey.
    pub(super) async fn start(parts: KillerParts) -> Option<Self> {
        let Fault::PodKill(pod_kill) = &parts.run.experiment.fault else { return None };
        let identity = RunIdentity {
            run: parts.run.uid.clone(),
            policy: Policy::operator(&parts.run.namespace, &parts.backing.operator_namespace),
            seed: parts.seed,
            until: parts.until,
        };
        let killer = Killer::new(KillerSpec::of_pod_kill(&parts.run.experiment, pod_kill, identity));
        let ledger = read_killer(&parts.desk.status().await);
        let before = Before::of(&ledger, &parts.recorder.events(), &parts.clock);
        let (show, shown) = watch::channel(Shown { ledger, resting: false });
        let (orders, obeyed) = watch::channel(Orders { rest: parts.resting, ..Orders::default() });
        let (fence, fenced) = watch::channel(false);
        let task = AbortOnDropHandle::new(tokio::spawn(work(parts, killer, before, show, obeyed, fence)));
        Some(Self { shown, orders, task, fenced })
    }

    /// It has nothing left to do.
    pub(in crate::run) fn is_done(&self) -> bool {
        self.shown.borrow().ledger.ended.is_some()
    }

    /// Somebody else drives the run, or it is gone.
    pub(in crate::run) fn is_fenced(&self) -> bool {
        *self.fenced.borrow()
    }

    /// Starts no strike any more.
    pub(in crate::run) fn begin_to_rest(&self) {
        self.orders.send_modify(|orders| orders.rest = true);
    }

    /// Starts no strike any more, and waits until it is known what became of those that were sent. What is written does not say
    /// it alone: a killer that looked before it was told may be about to write the intent of one more.
    pub(in crate::run) async fn rest(&self) {
        self.begin_to_rest();
        let mut shown = self.shown.clone();
        let quiet = shown.wait_for(|shown| shown.resting && shown.ledger.intents.is_empty());
        // One that has left decides on nothing either: nobody shows anything then, which ends the waiting too.
        if tokio::time::timeout(REST_WITHIN, quiet).await.is_err() {
            let resting = self.shown.borrow().resting;
            tracing::warn!(resting, "the outcome of a kill is not known");
        }
    }

    /// Whether it starts no strike for the time being, as what happens cannot be written down.
    pub(in crate::run) fn hold(&self, hold: bool) {
        self.orders.send_if_modified(|orders| std::mem::replace(&mut orders.hold, hold) != hold);
    }

    /// Whether it is told to.
    #[cfg(test)]
    pub(super) fn is_held(&self) -> bool {
        self.orders.borrow().hold
    }

    /// Whether it is told to rest.
    #[cfg(test)]
    pub(super) fn is_told_to_rest(&self) -> bool {
        self.orders.borrow().rest
    }

    /// Finishes the strike in hand and leaves. What is left for a person to look at is given.
    pub(in crate::run) async fn leave(self) -> Vec<String> {
        self.orders.send_modify(|orders| orders.leave = true);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the killer of a run ended badly");
        }
        unknown(&self.shown.borrow().ledger.intents)
    }
}

/// Drives the machine from what was last written until it is through; a status that cannot be written for a while only
/// makes it start over from there.
async fn work(
    parts: KillerParts,
    killer: Killer,
    before: Before,
    show: watch::Sender<Shown>,
    orders: watch::Receiver<Orders>,
    fence: watch::Sender<bool>,
) {
    let object = Arc::new(parts.desk.object().await);
    let environment = Environment::LabelOf(parts.backing.operator_namespace.clone());
    let KillerSpec { target, policy, .. } = killer.spec();
    let access = ClusterAccess::new(&parts.backing.clients, target, policy, environment, &parts.backing.identity);
    let mut told = Told::knowing(&parts.recorder.events());
    let before = Arc::new(before);
    loop {
        let keeper = RunKeeper {
            object: object.clone(),
            desk: parts.desk.clone(),
            clock: parts.clock,
            recorder: parts.recorder.clone(),
            slack: parts.slack.clone(),
            before: before.clone(),
            hold: parts.backing.hold.clone(),
            orders: orders.clone(),
            show: show.clone(),
            backing: parts.backing.clone(),
            told: std::mem::take(&mut told),
        };
        let mut world = KillWorld::new(access.clone(), keeper);
        let driven = go_on(&killer, &mut world).await;
        told = world.into_keeper().told;
        match driven {
            Ok(()) => return,
            Err(StoreError::Gone | StoreError::Fenced) => {
                fence.send_replace(true);
                return;
            }
            Err(error) => tracing::warn!(%error, "a run's killer starts over"),
        }
        tokio::time::sleep(TRY_AGAIN).await;
        if orders.borrow().leave {
            return;
        }
    }
}

/// Drives the machine from what is stored.
async fn go_on(killer: &Killer, world: &mut KillWorld<RunKeeper>) -> Result<(), StoreError> {
    let keeper = world.keeper_mut();
    let saved = read_killer(&keeper.desk.clear_status().await?);
    keeper.show.send_modify(|shown| shown.ledger = saved.clone());
    // What an earlier process did not get round to telling.
    keeper.tell(&saved);
    drive(killer, world, saved).await.map(drop)
}

/// Keeps the memory of a run's killer in the run's status.
struct RunKeeper {
    object: Arc<ExperimentRun>,
    desk: StatusDesk<ExperimentRun>,
    clock: RunClock,
    recorder: Recorder,
    slack: Arc<AtomicU64>,
    before: Arc<Before>,
    hold: watch::Receiver<Option<Hold>>,
    orders: watch::Receiver<Orders>,
    show: watch::Sender<Shown>,
    backing: Backing,
    told: Told,
}

impl RunKeeper {
    /// Tells what is new: to the record, and to people.
    fn tell(&mut self, ledger: &Ledger) {
        let at = self.clock.now();
        let slack = self.slack.load(Ordering::Relaxed);
        for event in self.told.intents(&ledger.intents, at) {
            self.recorder.record(event);
        }
        let instant = |kill: &KillRecord| {
            let uncertainty = slack.max(self.before.uncertainty_of(kill));
            (self.clock.from_timestamp(kill.at.0), uncertainty)
        };
        for event in self.told.kills(&ledger.history, instant) {
            if let Event::Kill(told) = &event
                && let Some(kill) = ledger.history.iter().find(|kill| kill.nonce == told.nonce)
            {
                self.backing.announcer.killed(&self.object, kill);
            }
            self.recorder.record(event);
        }
        for event in self.told.put_off(&ledger.upcoming, at) {
            self.recorder.record(event);
        }
        for event in self.told.skips(&ledger.skipped, at) {
            if let Event::Skipped { skip, .. } = &event {
                self.backing.announcer.skipped(&self.object, skip);
            }
            self.recorder.record(event);
        }
    }
}

impl Keeper for RunKeeper {
    type Error = StoreError;

    fn clock(&self) -> Option<&RunClock> {
        Some(&self.clock)
    }

    async fn view(&mut self) -> KillerView {
        let orders = *self.orders.borrow_and_update();
        // The step that follows is decided with this order, and what was decided before is written and shown.
        self.show.send_if_modified(|shown| std::mem::replace(&mut shown.resting, orders.rest) != orders.rest);
        let resting = orders.rest.then(|| "the run is winding down".to_owned());
        let unkept = orders.hold.then(|| "the evidence of the run cannot be written at present".to_owned());
        let hold = self.hold.borrow_and_update().as_ref().map(|hold| hold.message.clone());
        // A machine that slept saw nothing meanwhile: its run ends, and kills nothing before it has.
        let hold = hold.or_else(|| self.clock.told_sleep());
        KillerView { hold: resting.or(unkept).or(hold), leave: orders.leave, ..KillerView::default() }
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), StoreError> {
        let saved = self.desk.update(|status| {
            write_killer(ledger, status);
            fit(status);
        });
        let saved = saved.await;
        // A run that is gone remembers nothing, and nobody takes it up who could tell what became of its victims.
        if matches!(saved, Ok(_) | Err(StoreError::Gone)) {
            self.tell(ledger);
        }
        saved?;
        self.show.send_modify(|shown| shown.ledger = ledger.clone());
        Ok(())
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        let span = until.map_or(LONGEST_WAIT, |until| {
            Duration::try_from(until.duration_since(self.now())).unwrap_or_default().min(LONGEST_WAIT)
        });
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            _ = self.orders.changed() => {}
            _ = self.hold.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};

    use chaos_core::api::{IntentRecord, Outcome};
    use chaos_core::killer::UNDATED;
    use chaos_core::record::RunTime;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::super::fixture::Server;
    use super::*;
    use crate::journal::Redactor;
    use crate::run::fixture::victim;

    /// A killer whose steps a test takes, and what the run holds of it.
    async fn killer(server: &Server) -> (RunKeeper, KeptKiller) {
        let (show, shown) = watch::channel(Shown::default());
        let (orders, obeyed) = watch::channel(Orders::default());
        let desk = server.desk().await;
        let keeper = RunKeeper {
            object: Arc::new(desk.object().await),
            desk,
            clock: RunClock::start(),
            recorder: Recorder::in_memory(Redactor::default()),
            slack: Arc::default(),
            before: Arc::default(),
            hold: watch::channel(None).1,
            orders: obeyed,
            show,
            backing: server.backing(),
            told: Told::default(),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(std::future::pending()));
        (keeper, KeptKiller { shown, orders, task, fenced: watch::channel(false).1 })
    }

    fn with_an_intent() -> Ledger {
        let victim = victim("trips", "trips-1", "pod-1");
        let (nonce, group, now) = ("n-1".into(), "trips".into(), MicroTime(Timestamp::UNIX_EPOCH));
        let intent =
            IntentRecord { strike: 1, nonce, group, victim, due: now.clone(), decided_at: now.clone(), deadline: now };
        Ledger { intents: vec![intent], ..Ledger::default() }
    }

    /// Whether it is over, or will be within a moment.
    async fn is_over(rest: Pin<&mut impl Future<Output = ()>>) -> bool {
        tokio::time::timeout(Duration::from_millis(20), rest).await.is_ok()
    }

    #[tokio::test]
    async fn a_kill_that_was_decided_before_the_order_to_rest_is_waited_for() {
        let (mut keeper, killer) = killer(&Server::start()).await;
        assert_eq!(keeper.view().await.hold, None, "it may decide on a kill now");
        let mut rest = pin!(killer.rest());
        assert!(!is_over(rest.as_mut()).await, "it has not seen the order, and may be about to write an intent");
        keeper.save(&with_an_intent()).await.unwrap();
        assert!(!is_over(rest.as_mut()).await, "its kill is sent now");
        keeper.save(&Ledger::default()).await.unwrap();
        assert!(!is_over(rest.as_mut()).await, "it has still not seen the order");
        assert_eq!(keeper.view().await.hold.as_deref(), Some("the run is winding down"));
        assert!(is_over(rest.as_mut()).await, "nothing is decided any more, and nothing is open");
    }

    #[tokio::test]
    async fn a_killer_that_rests_is_waited_for_while_an_outcome_is_open_and_not_once_it_has_left() {
        let (mut keeper, killer) = killer(&Server::start()).await;
        keeper.save(&with_an_intent()).await.unwrap();
        let mut rest = pin!(killer.rest());
        assert!(!is_over(rest.as_mut()).await);
        keeper.view().await;
        assert!(!is_over(rest.as_mut()).await, "what became of its kill is not known");
        drop(keeper);
        assert!(is_over(rest.as_mut()).await, "whoever is not there kills nobody");
    }

    #[tokio::test]
    async fn nothing_is_killed_while_what_happens_cannot_be_written_down() {
        let (mut keeper, killer) = killer(&Server::start()).await;
        assert_eq!(keeper.view().await.hold, None);
        killer.hold(true);
        let held = keeper.view().await.hold.expect("it decides on no kill");
        assert!(held.contains("evidence"), "{held}");
        assert!(keeper.last_look().await.hold.is_some(), "nor is one sent that was decided on before");
        killer.hold(false);
        assert_eq!(keeper.view().await.hold, None);
    }

    #[tokio::test]
    async fn a_kill_whose_run_is_gone_by_now_is_told_all_the_same() {
        let server = Server::start();
        let (mut keeper, _killer) = killer(&server).await;
        let mut ledger = with_an_intent();
        keeper.save(&ledger).await.unwrap();
        server.forget_the_run();
        let IntentRecord { strike, nonce, group, victim, due, .. } = ledger.intents.remove(0);
        let (outcome, message) = (Outcome::Killed, None);
        ledger.history.push(KillRecord { strike, nonce, group, victim, at: due, outcome, message });
        assert!(matches!(keeper.save(&ledger).await, Err(StoreError::Gone)));
        let told = keeper.recorder.events();
        assert!(told.iter().any(|event| matches!(event, Event::Kill(kill) if kill.nonce == "n-1")), "{told:?}");
    }

    /// A kill of that strike.
    fn kill(strike: u64, at: Timestamp, message: Option<&str>) -> KillRecord {
        let IntentRecord { group, victim, .. } = with_an_intent().intents.remove(0);
        let (nonce, at, message) = (format!("n-{strike}"), MicroTime(at), message.map(str::to_owned));
        KillRecord { strike, nonce, group, victim, at, outcome: Outcome::Killed, message }
    }

    /// Strikes of the kills that are told, and how badly their instants are known.
    fn uncertainties(events: &[Event]) -> Vec<(u64, u64)> {
        let uncertainty = |event: &Event| match event {
            Event::Kill(kill) => Some((kill.strike, kill.uncertainty)),
            _ => None,
        };
        events.iter().filter_map(uncertainty).collect()
    }

    #[tokio::test]
    async fn a_kill_of_whoever_drove_the_run_before_is_known_no_better_than_that_ones_clock() {
        let (mut keeper, _killer) = killer(&Server::start()).await;
        let at = chaos_core::instant::after(keeper.clock.started_at(), Duration::from_secs(60));
        let mut ledger = Ledger { history: vec![kill(1, at, None), kill(2, at, None)], ..Ledger::default() };
        // The one before told the first of them, 300 ms sooner than we would have: its clock is ahead of ours.
        let ours = keeper.clock.from_timestamp(at).0;
        let told = keeper.told.kills(&ledger.history[..1], |_| (RunTime(ours - 300_000_000), 7));
        keeper.before = Arc::new(Before::of(&ledger, &told, &keeper.clock));
        ledger.history.push(kill(3, at, None));
        keeper.save(&ledger).await.unwrap();
        assert_eq!(uncertainties(&keeper.recorder.events()), [(2, 300_000_007), (3, 0)]);
    }

    #[tokio::test]
    async fn a_kill_of_which_nobody_knows_when_it_was_sent_is_told_with_all_the_time_it_had() {
        let (mut keeper, _killer) = killer(&Server::start()).await;
        let at = keeper.clock.started_at();
        let mut ledger = Ledger { history: vec![kill(1, at, None), kill(2, at, Some(UNDATED))], ..Ledger::default() };
        let more = kill(3, at, None);
        keeper.save(&ledger).await.unwrap();
        let events = keeper.recorder.events();
        assert_eq!(uncertainties(&events), [(1, 0), (2, 5_000_000_000)]);
        // It says nothing of how far the clock of whoever told it is from ours.
        let before = Before::of(&ledger, &events, &keeper.clock);
        assert!(before.uncertainty_of(&ledger.history[0]) < 1_000_000_000);
        ledger.history.push(more);
        assert_eq!(before.uncertainty_of(&ledger.history[2]), 0);
    }
}
