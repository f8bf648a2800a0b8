//! An operator's process that drives the game day: the real machine and the real driver, whose every call can get lost, be
//! late, or be the last thing the process does.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use chaos_core::gameday::{GameDayAction, GameDayMachine, GameDayResponse, GameDayView, Ledger, NotCreated, RunOrder};
use chaos_core::machine::Machine;
use chaos_engine::clock::steady;
use chaos_engine::drive::{World, drive};
use chaos_engine::gameday::not_created;
use jiff::{SignedDuration, Timestamp};

use super::bugs::Bug;
use super::cluster::{Call, Cluster};
use super::faulty::Faulty;
use super::scenario::{day, start};
use crate::desk::{Desk, Kept as _, Left};
use crate::faults::{Answer, Fault};
use crate::seats::{Chair, Stage as _, turn};
use crate::watch::Watch;

/// News takes so many milliseconds at most, and where a watch is behind for long.
const NEWS: i64 = 2_000;
const BEHIND_FOR: i64 = 30_000;
/// However far away the next instant is, it looks again by then.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(600);

pub(crate) struct Process {
    cluster: Cluster,
    chair: Chair,
    desk: Desk,
    /// A ledger that is to be saved after the action.
    pending: Option<Ledger>,
    /// By what name a run was really created.
    names: BTreeMap<String, String>,
    /// How it hears of changes.
    watch: Watch,
    /// Whether it is held back, as far as it knows: if that changes, another takes its place.
    hold: bool,
    /// When it last took a step: by its clock, and really.
    stepped: (Timestamp, Timestamp),
}

/// Drives the game day until this process does not any more. A drop is a crash.
pub(crate) async fn run(cluster: Cluster, chair: Chair) -> Left {
    turn().await;
    if cluster.lock().fault() != Fault::None {
        return Left::Unreached;
    }
    let (mut process, machine, ledger) = Process::claim(cluster, chair);
    turn().await;
    let changes = process.changes();
    let mut driven = pin!(async {
        let driven = drive(&machine, &mut process, ledger).await;
        driven.map_or_else(|left| left, |_| panic!("a game day is never done"))
    });
    // What the watch brings ends it wherever it is.
    let next = |context: &mut Context<'_>| {
        if changes.are_known() { Poll::Ready(Left::Changed) } else { driven.as_mut().poll(context) }
    };
    std::future::poll_fn(next).await
}

/// What a watch brings.
struct Changes {
    cluster: Cluster,
    generation: u64,
    watch: Watch,
}

impl Changes {
    fn are_known(&self) -> bool {
        let state = self.cluster.lock();
        state.object.brought(&self.watch, self.generation, state.now).is_some()
    }
}

impl Process {
    /// Writes its name into the status, and reads what it has to go on from.
    fn claim(cluster: Cluster, chair: Chair) -> (Self, Faulty, Ledger) {
        let mut state = cluster.lock();
        let desk = Desk::claim(&mut *state).expect("it is never deleted");
        let ledger = state.found();
        let machine = GameDayMachine { day: Some(day(&state.scenario, &state.wishes)), created: start() };
        let machine = Faulty::new(machine, state.scenario.bug);
        let (hold, stepped) = (state.hold, (state.now, state.now));
        let longest = if state.scenario.is_behind { BEHIND_FOR } else { NEWS };
        let watch = Watch::new(state.dice(), longest);
        drop(state);
        let process = Self { cluster, chair, desk, pending: None, names: BTreeMap::new(), watch, hold, stepped };
        (process, machine, ledger)
    }

    fn changes(&self) -> Changes {
        Changes { cluster: self.cluster.clone(), generation: self.desk.generation, watch: self.watch }
    }

    fn clock(&self) -> Timestamp {
        self.cluster.lock().now + self.chair.ahead()
    }

    fn has(&self, bug: Bug) -> bool {
        self.cluster.lock().has(bug)
    }

    fn fault(&self) -> Fault {
        self.cluster.lock().fault()
    }

    async fn store(&mut self, ledger: &Ledger) -> Result<(), Left> {
        self.desk.put(&self.cluster, &self.chair, ledger).await
    }

    async fn create(&mut self, order: RunOrder) -> Result<String, NotCreated> {
        turn().await;
        let really = self.cluster.lock().now;
        let (since, then) = self.stepped;
        let at = steady(self.clock(), since, really.duration_since(then).unsigned_abs());
        if at > order.deadline && !self.has(Bug::DeadlineIgnored) {
            return Err(NotCreated::Unclear("it was decided too long ago".to_owned()));
        }
        let asked = order.name.clone();
        let (fault, uid, bug) = self.sent(order);
        turn().await;
        let created = match (fault, uid) {
            (Fault::None, Some(uid)) => Ok(uid),
            (Fault::None, None) => Err(NotCreated::Unclear("it is gone again".to_owned())),
            // It is looked at what is there.
            (Fault::Never(Answer::Conflict), uid) => {
                uid.ok_or_else(|| NotCreated::Refused("a run of somebody else is there".to_owned()))
            }
            (Fault::Never(answer) | Fault::Done(answer) | Fault::Late(answer), _) => Err(not_created(answer.error())),
        };
        match (created, bug) {
            (Err(NotCreated::Unclear(why)), Some(Bug::UnclearIsRefused)) => Err(NotCreated::Refused(why)),
            (Err(NotCreated::Unclear(_)), Some(Bug::UnclearIsCreated)) => Ok(format!("of {asked}")),
            (created, _) => created,
        }
    }

    /// Sends the creation of a run: what became of the call, and the UID of the run of that name.
    fn sent(&mut self, mut order: RunOrder) -> (Fault, Option<String>, Option<Bug>) {
        let mut state = self.cluster.lock();
        let fault = state.fault();
        let asked = order.name.clone();
        if state.has(Bug::NameFromClock) {
            order.name = format!("{asked}-{}", state.now.as_second());
        }
        let name = order.name.clone();
        state.send(Call::Create(Box::new(order)), fault);
        let uid = state.uid_of(&name);
        self.names.insert(asked, name);
        (fault, uid, state.scenario.bug)
    }

    async fn change(&self, call: Call) -> GameDayResponse {
        turn().await;
        let fault = self.fault();
        self.cluster.lock().send(call, fault);
        turn().await;
        GameDayResponse::Done(if fault == Fault::None { Ok(()) } else { Err("no answer".to_owned()) })
    }

    fn real(&self, name: &str) -> String {
        self.names.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    async fn look(&self, names: std::collections::BTreeSet<String>) -> GameDayResponse {
        turn().await;
        if self.fault() != Fault::None {
            let seen = if self.has(Bug::UnreadIsGone) { Ok(BTreeMap::new()) } else { Err("no answer".to_owned()) };
            return GameDayResponse::Seen(seen);
        }
        let found = names.iter().filter_map(|name| {
            let real = self.real(name);
            let mut found = self.cluster.lock().look(&std::iter::once(real.clone()).collect());
            Some((name.clone(), found.remove(&real)?))
        });
        let found = found.collect();
        turn().await;
        GameDayResponse::Seen(Ok(found))
    }

    async fn ask(&self, questions: usize) -> GameDayResponse {
        turn().await;
        if self.fault() != Fault::None {
            return GameDayResponse::Answered { values: Err("no answer".to_owned()), age: Duration::ZERO };
        }
        let left = self.cluster.lock().left();
        turn().await;
        GameDayResponse::Answered { values: Ok(vec![left; questions]), age: Duration::ZERO }
    }
}

impl<M> World<M> for Process
where
    M: Machine<Durable = Ledger, View = GameDayView, Action = GameDayAction, Response = GameDayResponse>,
{
    type Error = Left;

    fn now(&self) -> Timestamp {
        self.clock()
    }

    async fn view(&mut self) -> GameDayView {
        let state = self.cluster.lock();
        self.stepped = (state.now + self.chair.ahead(), state.now);
        GameDayView { hold: self.hold.then(|| "held".to_owned()) }
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), Left> {
        if self.has(Bug::ActBeforeSave) {
            self.pending = Some(ledger.clone());
            return Ok(());
        }
        self.store(ledger).await
    }

    async fn perform(&mut self, action: GameDayAction) -> GameDayResponse {
        let response = match action {
            GameDayAction::Look(names) => self.look(names).await,
            GameDayAction::Ask(_, questions) => self.ask(questions.len()).await,
            GameDayAction::Create(order) => GameDayResponse::Created(self.create(*order).await),
            GameDayAction::Abort(name) => self.change(Call::Abort(self.real(&name))).await,
            GameDayAction::Delete { run, uid } => self.change(Call::Delete(self.real(&run), uid)).await,
        };
        if let Some(ledger) = self.pending.take() {
            // What cannot be saved late is lost: that is this bug.
            let _ = self.store(&ledger).await;
        }
        response
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        if let Some(ledger) = self.pending.take() {
            let _ = self.store(&ledger).await;
        }
        let until = until.expect("no state waits without a deadline");
        let longest = self.clock() + LONGEST_WAIT;
        // Its clock may have been set since it decided.
        assert!(until <= longest || self.cluster.lock().scenario.jumps > 0, "it looks again within ten minutes");
        self.chair.sleep(until.min(longest) - self.chair.ahead());
        turn().await;
    }
}
