//! The scheduler of all simulations: seats in which processes run one after the other, and dice that say whose turn it is and
//! what befalls whom. A turn is what happens between two points at which a real process would wait for somebody else. The
//! clock moves a little with every turn, and on to the next instant of interest when nobody is ready.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};

use crate::history::note;

/// More turns than any schedule should take.
const MOST_TURNS: u64 = 100_000;
/// How far a clock is set wrong at most, in milliseconds.
pub(crate) const HOUR: i64 = 3_600_000;

/// A process: ends with the time after which another is started in its place, or without one when all is done.
pub(crate) type Running = Pin<Box<dyn Future<Output = Option<SignedDuration>> + Send>>;

/// The dice of a schedule: small, quick, and the same everywhere for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) const fn draw(&mut self) -> u64 {
        // SplitMix64: neighbouring seeds give streams that have nothing to do with each other.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below another.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.draw() % most as u64).unwrap_or_default()
    }

    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        // No draw where nothing can come of it: most schedules leave most hazards out.
        per_mille > 0 && self.draw() % 1000 < u64::from(per_mille)
    }

    /// A span in milliseconds, both ends included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> SignedDuration {
        let width = u64::try_from(high - low).unwrap_or_default() + 1;
        millis(low + i64::try_from(self.draw() % width).unwrap_or_default())
    }
}

pub(crate) const fn millis(millis: i64) -> SignedDuration {
    SignedDuration::from_millis(millis)
}

/// What the scheduler has to know of a simulated world.
pub(crate) trait Stage {
    fn now(&self) -> Timestamp;

    fn dice(&mut self) -> &mut Dice;

    /// Moves the clock, and everything that follows from time alone on the way.
    fn advance(&mut self, to: Timestamp);

    /// The next instant at which something happens by itself.
    fn next_event(&self) -> Option<Timestamp>;

    /// What happens before a turn, of its own accord.
    fn happen(&mut self) {}

    /// Whether nothing of interest can follow.
    fn is_over(&self) -> bool {
        false
    }
}

/// A handle on a simulated world.
pub(crate) struct Shared<S>(Arc<Mutex<S>>);

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Shared<S> {
    pub(crate) fn new(state: S) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, S> {
        self.0.lock().unwrap()
    }

    /// The same for whoever is dropped, which happens too when an invariant was found broken.
    pub(crate) fn lock_unless_broken(&self) -> Option<MutexGuard<'_, S>> {
        self.0.lock().ok()
    }
}

/// What can befall processes, each as a chance in a thousand at every turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hazards {
    /// It crashes.
    pub(crate) crashes: u32,
    /// It stands still, for as long in milliseconds at most.
    pub(crate) pauses: (u32, i64),
    /// The clock of its machine is set wrong, by up to an hour.
    pub(crate) jumps: u32,
    /// The clock of the first seat is set ahead for a while.
    pub(crate) step: Option<ClockStep>,
    /// The first seat crashes at exactly this turn of its own.
    pub(crate) crash_at: Option<u64>,
    /// Its machine stands still at exactly this turn, and goes on with what it knew.
    pub(crate) stands_at: Option<u64>,
    /// Afterwards nothing of all this happens any more.
    pub(crate) until: Timestamp,
    /// By then everything is over.
    pub(crate) end: Timestamp,
}

/// A clock is set ahead, and back again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClockStep {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) by: SignedDuration,
}

/// What a process has of its seat: until when it sleeps, and how far the clock of its machine is ahead of the true time.
#[derive(Clone, Default)]
pub(crate) struct Chair {
    rest: Arc<Mutex<Rest>>,
    ahead: Arc<Mutex<SignedDuration>>,
}

/// Why nothing happens on a chair.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    /// The process sleeps until then, or until somebody wakes it.
    sleeps: Option<Timestamp>,
    /// Its machine stands still until then, whoever wakes it.
    stands: Option<Timestamp>,
}

impl Chair {
    /// Another chair in the same machine.
    pub(crate) fn beside(&self) -> Self {
        Self { rest: Arc::default(), ahead: Arc::clone(&self.ahead) }
    }

    pub(crate) fn sleep(&self, until: Timestamp) {
        self.rest.lock().unwrap().sleeps = Some(until);
    }

    pub(crate) fn wake(&self) {
        self.rest.lock().unwrap().sleeps = None;
    }

    /// Whoever sleeps for longer is woken then.
    pub(crate) fn wake_by(&self, at: Timestamp) {
        let mut rest = self.rest.lock().unwrap();
        rest.sleeps = rest.sleeps.map(|until| until.min(at));
    }

    pub(crate) fn ahead(&self) -> SignedDuration {
        *self.ahead.lock().unwrap()
    }

    /// Sets the clock of its machine, if it is time to.
    fn set_clock(&self, step: &ClockStep, now: Timestamp) {
        let ahead = if (step.from..step.until).contains(&now) { step.by } else { SignedDuration::ZERO };
        let before = std::mem::replace(&mut *self.ahead.lock().unwrap(), ahead);
        if before != ahead {
            note(now, || format!("the clock is {ahead:?} ahead"));
        }
    }

    fn stand(&self, until: Timestamp) {
        self.rest.lock().unwrap().stands = Some(until);
    }

    /// From when on something may happen here, if not now.
    fn rests_until(&self) -> Option<Timestamp> {
        let rest = *self.rest.lock().unwrap();
        rest.sleeps.max(rest.stands)
    }
}

/// A place in which processes run, one after the other.
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself")]
pub(crate) struct Seat {
    start: Box<dyn Fn(Chair) -> Running>,
    chair: Chair,
    /// Seats of one machine crash and stand still together.
    machine: usize,
    running: Option<Running>,
    /// Whether a process that crashed is started again.
    is_restarted: bool,
    /// It crashes when its own story says so, and not by chance.
    is_sturdy: bool,
    /// It works for another seat, and nobody waits for it.
    is_attendant: bool,
    is_done: bool,
    turns: u64,
}

impl Seat {
    /// A seat on that chair, which somebody else may know too.
    pub(crate) fn on(machine: usize, chair: Chair, start: impl Fn(Chair) -> Running + 'static) -> Self {
        Self {
            start: Box::new(start),
            chair,
            machine,
            running: None,
            is_restarted: true,
            is_sturdy: false,
            is_attendant: false,
            is_done: false,
            turns: 0,
        }
    }

    /// What crashes here does not come again.
    pub(crate) fn once(self) -> Self {
        Self { is_restarted: false, ..self }
    }

    /// It crashes when its own story says so, and not by chance.
    pub(crate) fn sturdy(self) -> Self {
        Self { is_sturdy: true, ..self }
    }

    /// It works for another seat, and nobody waits for it.
    pub(crate) fn attendant(self) -> Self {
        Self { is_attendant: true, ..self }
    }

    fn turn(&mut self, now: Timestamp) {
        self.turns += 1;
        self.chair.wake();
        let Self { start, chair, running, .. } = self;
        let process = running.get_or_insert_with(|| start(chair.clone()));
        match process.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {}
            Poll::Ready(None) => (self.running, self.is_done) = (None, true),
            Poll::Ready(Some(pause)) => {
                self.running = None;
                self.chair.sleep(now + pause);
            }
        }
    }

    /// Its machine stands still: nothing here happens before.
    fn pause(&mut self, until: Timestamp) {
        self.turns += 1;
        self.chair.stand(until);
    }

    /// The process is gone; another may follow.
    fn crash(&mut self, again_at: Timestamp) {
        self.turns += 1;
        self.running = None;
        self.is_done |= !self.is_restarted;
        self.chair.wake();
        self.chair.stand(again_at);
    }
}

/// What becomes of the machine whose turn it is.
#[derive(Debug)]
enum Fate {
    Turn,
    Crash(Timestamp),
    Pause(Timestamp),
}

fn fate(dice: &mut Dice, hazards: &Hazards, seat: &Seat, first: bool, now: Timestamp) -> Fate {
    let is_late = now > hazards.until;
    let is_due = first && hazards.crash_at == Some(seat.turns);
    if !is_late && (is_due || !seat.is_sturdy && dice.chance(hazards.crashes)) {
        return Fate::Crash(now + dice.between(10, hazards.pauses.1));
    }
    let stands = first && hazards.stands_at == Some(seat.turns);
    let pause =
        (!is_late && (stands || dice.chance(hazards.pauses.0))).then(|| now + dice.between(10, hazards.pauses.1));
    // A machine that stood still often wakes up with a wrong clock.
    let jumps = if pause.is_some() { 500 } else { hazards.jumps };
    if !is_late && hazards.jumps > 0 && dice.chance(jumps) {
        let most = if dice.chance(200) { HOUR } else { 10_000 };
        *seat.chair.ahead.lock().unwrap() = dice.between(-most, most);
    }
    pause.map_or(Fate::Turn, Fate::Pause)
}

/// Plays until every seat is done or the world is over, and gives the number of turns.
pub(crate) fn play<S: Stage>(stage: &Shared<S>, seats: &mut [Seat], hazards: &Hazards) -> u64 {
    let mut turns = 0;
    while seats.iter().any(|seat| !seat.is_done && !seat.is_attendant) {
        let mut state = stage.lock();
        let now = state.now();
        if state.is_over() {
            break;
        }
        state.happen();
        if let Some(step) = &hazards.step {
            seats[0].chair.set_clock(step, now);
        }
        assert!(now < hazards.end && turns < MOST_TURNS, "it never ends: {now}, {turns} turns");
        turns += 1;
        let Some(chosen) = choose(seats, state.dice(), now) else {
            let wakes = seats.iter().filter(|seat| !seat.is_done).filter_map(|seat| seat.chair.rests_until());
            let next = wakes.filter(|at| *at > now).min().or_else(|| state.next_event());
            state.advance(next.unwrap_or(now + millis(1_000)));
            continue;
        };
        let fate = fate(state.dice(), hazards, &seats[chosen], chosen == 0, now);
        note(now, || format!("seat {chosen}: {fate:?}"));
        drop(state);
        let machine = seats[chosen].machine;
        let together = seats.iter_mut().filter(|seat| seat.machine == machine && !seat.is_done);
        match fate {
            Fate::Turn => seats[chosen].turn(now),
            Fate::Crash(again_at) => together.for_each(|seat| seat.crash(again_at)),
            Fate::Pause(until) => together.for_each(|seat| seat.pause(until)),
        }
        let mut state = stage.lock();
        let later = now + state.dice().between(0, 15);
        state.advance(later);
    }
    turns
}

/// Whose turn it is, if anybody is ready.
fn choose(seats: &[Seat], dice: &mut Dice, now: Timestamp) -> Option<usize> {
    let is_ready = |seat: &Seat| !seat.is_done && seat.chair.rests_until().is_none_or(|until| until <= now);
    let ready: Vec<usize> = (0..seats.len()).filter(|index| is_ready(&seats[*index])).collect();
    (!ready.is_empty()).then(|| ready[dice.below(ready.len())])
}

/// Lets everybody else have a turn.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

pub(crate) async fn turn() {
    Turn(false).await;
}
