//! The strike machine under everything that can happen to it: the real machine and the real driver, in simulated processes
//! that crash, stand still and lose answers, two of them for the same monkey and a third for a run of its own, on the same
//! workloads. Whatever the schedule: no limit is exceeded, no pod is killed twice or wrongly, every kill is accounted for, and
//! it ends. A failing schedule tells its seed; `CHAOS_SIMULATIONS` sets how many there are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]

mod actor;
mod bugs;
mod cluster;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use chaos_core::api::{ChaosMonkeySpec, Outcome};
use chaos_core::killer::{Killer, KillerSpec, Life, Streams};
use chaos_core::model::Policy;
use chaos_core::units::{CountOrPercent, Duration};
use chaos_core::validate::{self, Meta};
use jiff::Timestamp;
use rand::RngExt as _;
use serde_json::json;

use actor::{Ahead, Fenced, Process, Sleep};
use bugs::Bug;
use cluster::{Cluster, NS, Scenario, millis, start};

/// A strike machine's run lasts this long at most, in simulated seconds.
const UNTIL: i64 = 60_000;
/// Afterwards open intents are resolved.
const LONGEST: i64 = 400_000;
const STRIKES: u64 = 6;
/// How far a clock is set wrong at most, in milliseconds.
const HOUR: i64 = 3_600_000;

type Running = Pin<Box<dyn Future<Output = Result<(), Fenced>> + Send>>;

/// A place in which processes of one killer run, one after the other.
struct Seat {
    killer: Killer,
    running: Option<Running>,
    sleep: Sleep,
    ahead: Ahead,
    /// Whether a process that ended badly is started again.
    is_restarted: bool,
    is_done: bool,
    turns: u64,
}

/// What a schedule came to.
#[derive(Debug, Clone, Copy, Default)]
struct Outcomes {
    kills: usize,
    turns: u64,
}

impl Outcomes {
    fn plus(self, other: Self) -> Self {
        Self { kills: self.kills + other.kills, turns: self.turns + other.turns }
    }
}

fn killer(scenario: &Scenario, run: &str) -> Killer {
    let spec = json!({
        "target": {"workloads": [{"kind": "StatefulSet", "name": "trips"}, {"kind": "StatefulSet", "name": "gateway"}]},
        "fault": {"podKill": {"mode": "Delete", "group": "Namespace"}},
        "mode": "Live", "meanTimeBetweenKills": "3s", "minTimeBetweenKills": "500ms", "schedule": {}, "guards": [],
        "limits": {
            "maxUnavailable": scenario.max_unavailable, "minReady": 1, "maxKills": STRIKES,
            "minInterval": "0s", "recoverWithin": "100s", "maxBlind": "50s",
            "allowForce": false,
        },
        "until": (start() + millis(UNTIL)).to_string(), "maxKills": STRIKES,
        "heartbeatLease": {"name": "beat", "interval": "2s"},
        "seed": scenario.seed,
    });
    let spec: ChaosMonkeySpec = serde_json::from_value(spec).unwrap();
    let meta = Meta { name: "m".into(), namespace: NS.into(), uid: run.into() };
    let monkey = validate::monkey(&spec, &meta).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut spec = KillerSpec::of_monkey(&monkey, "chaos-system");
    // A manifest may not ask for more kills than its limits allow; here two killers share a workload, so that they do.
    let min_interval = u64::try_from(scenario.min_interval_millis).unwrap();
    spec.limits.min_interval = Duration::from_millis(min_interval);
    match scenario.bug {
        Some(Bug::MaxUnavailableIgnored) => {
            spec.limits.max_unavailable = CountOrPercent::Count(scenario.max_unavailable + 1);
        }
        Some(Bug::MinIntervalIgnored) => spec.limits.min_interval = Duration::from_millis(0),
        _ => {}
    }
    Killer::new(spec)
}

/// A run that kills by itself, beside the monkey.
fn own_killer(scenario: &Scenario) -> Killer {
    let spec = killer(scenario, "run").spec().clone();
    Killer::new(KillerSpec {
        policy: Policy::cli(NS),
        streams: Streams::Single,
        life: Life::OfRun { until: start() + millis(UNTIL), strikes: 4, heartbeat: None },
        seed: spec.seed.wrapping_add(1),
        ..spec
    })
}

impl Seat {
    fn new(killer: Killer, is_restarted: bool) -> Self {
        let (sleep, ahead) = (Sleep::default(), Ahead::default());
        Self { killer, running: None, sleep, ahead, is_restarted, is_done: false, turns: 0 }
    }

    fn is_ready(&self, now: Timestamp) -> bool {
        !self.is_done && self.sleep.lock().unwrap().is_none_or(|until| until <= now)
    }

    fn sleeps_until(&self) -> Option<Timestamp> {
        if self.is_done { None } else { *self.sleep.lock().unwrap() }
    }

    fn sleep(&self, until: Timestamp) {
        *self.sleep.lock().unwrap() = Some(until);
    }

    /// One turn of its process.
    fn turn(&mut self, cluster: &Cluster, crash: bool, pause: Option<Timestamp>) {
        self.turns += 1;
        let now = cluster.lock().now;
        *self.sleep.lock().unwrap() = None;
        if let Some(until) = pause {
            return self.sleep(until);
        }
        if crash {
            return self.end(now + cluster.lock().between(10, 20_000));
        }
        let start = || {
            let (sleep, ahead) = (Arc::clone(&self.sleep), Arc::clone(&self.ahead));
            Box::pin(Process::new(cluster.clone(), self.killer.clone(), sleep, ahead).run()) as Running
        };
        let running = self.running.get_or_insert_with(start);
        match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.is_done = true,
            Poll::Ready(Err(Fenced)) => self.end(now + millis(1_000)),
        }
    }

    /// The process is gone; another may follow.
    fn end(&mut self, again_at: Timestamp) {
        self.running = None;
        self.is_done = !self.is_restarted;
        self.sleep(again_at);
    }
}

/// Plays one schedule. Panics if an invariant is broken.
fn play(scenario: Scenario) -> Outcomes {
    let cluster = Cluster::new(scenario);
    let monkey = killer(&scenario, "monkey");
    let mut seats = [Seat::new(monkey.clone(), true), Seat::new(monkey, true), Seat::new(own_killer(&scenario), false)];
    let stop_at = start() + millis(20_000);
    let end = start() + millis(if scenario.jumps == 0 { LONGEST } else { LONGEST + 2 * HOUR });
    let mut turns = 0;
    loop {
        let now = cluster.lock().now;
        if scenario.stop_switch && now >= stop_at {
            cluster.lock().stopped_at.get_or_insert(now);
        }
        if seats.iter().all(|seat| seat.is_done) {
            break;
        }
        assert!(now < end && turns < 100_000, "it never ends: {now}, {turns} turns");
        turns += 1;
        let ready: Vec<_> = (0..seats.len()).filter(|index| seats[*index].is_ready(now)).collect();
        let Some(chosen) = (!ready.is_empty()).then(|| ready[cluster.lock().rng.random_range(0..ready.len())]) else {
            let wakes = seats.iter().filter_map(Seat::sleeps_until);
            let next = wakes.chain(cluster.lock().next_event()).filter(|at| *at > now).min();
            cluster.lock().advance(next.unwrap_or(now + millis(1_000)));
            continue;
        };
        let mut state = cluster.lock();
        let is_late = now > start() + millis(UNTIL);
        let crash =
            !is_late && state.chance(scenario.crashes) || chosen == 0 && scenario.crash_at == Some(seats[0].turns);
        let pause = (!is_late && state.chance(scenario.pauses)).then(|| now + state.between(10, 20_000));
        if scenario.drains && state.chance(2) {
            state.drain();
        }
        // A machine that stood still often wakes up with a wrong clock.
        let chance = if pause.is_some() { 500 } else { scenario.jumps };
        if !is_late && scenario.jumps > 0 && state.chance(chance) {
            let most = if state.chance(200) { HOUR } else { 10_000 };
            *seats[chosen].ahead.lock().unwrap() = state.between(-most, most);
        }
        drop(state);
        seats[chosen].turn(&cluster, crash, pause);
        let mut state = cluster.lock();
        let later = state.now + state.between(0, 15);
        state.advance(later);
    }
    check_accounts(&cluster, &scenario);
    Outcomes { kills: cluster.lock().effects.len(), turns }
}

/// What was killed is what the ledgers say, and what did not happen has a reason.
fn check_accounts(cluster: &Cluster, scenario: &Scenario) {
    let state = cluster.lock();
    for (run, status) in &state.statuses {
        let ledger = &status.ledger;
        let says_killed = |uid: &str| {
            let counted =
                |kill: &&chaos_core::api::KillRecord| matches!(kill.outcome, Outcome::Killed | Outcome::Unknown);
            ledger.history.iter().filter(counted).any(|kill| kill.victim.uid == uid)
                || ledger.intents.iter().any(|intent| intent.victim.uid == uid)
        };
        let effects: Vec<_> = state.effects.iter().filter(|effect| &effect.run == run).collect();
        for effect in &effects {
            assert!(says_killed(&effect.uid), "the kill of {} by {run} is not in its ledger", effect.uid);
        }
        let killed = ledger.history.iter().filter(|kill| kill.outcome == Outcome::Killed);
        for kill in killed.filter(|_| !scenario.drains) {
            let happened = effects.iter().any(|effect| effect.uid == kill.victim.uid);
            assert!(happened, "{run} says that it killed {}, which it did not", kill.victim.uid);
        }
        assert!(ledger.kills <= STRIKES, "{run} killed {} times", ledger.kills);
        assert!(effects.len() as u64 <= STRIKES, "{run} killed {} times", effects.len());
        let nonces: std::collections::BTreeSet<_> = ledger.history.iter().map(|kill| &kill.nonce).collect();
        assert_eq!(nonces.len(), ledger.history.len(), "a kill stands twice in the ledger of {run}");
        if run == "monkey" {
            let end = ledger.ended.as_ref().expect("a monkey that is done has a reason");
            assert!(ledger.kills == STRIKES || end.reason != "StrikesDone", "{end:?} after {} kills", ledger.kills);
        }
    }
}

/// A schedule of that seed, of every kind in turn.
fn scenario(seed: u64) -> Scenario {
    let pick = |n: u64, of: u64| (seed / n) % of;
    Scenario {
        seed,
        bug: None,
        faults: [0, 50, 200][usize::try_from(pick(1, 3)).unwrap()],
        crashes: [0, 5, 20][usize::try_from(pick(3, 3)).unwrap()],
        pauses: [0, 5, 20][usize::try_from(pick(9, 3)).unwrap()],
        crash_at: None,
        max_unavailable: [1, 2][usize::try_from(pick(27, 2)).unwrap()],
        min_interval_millis: [0, 9_000][usize::try_from(pick(54, 2)).unwrap()],
        stop_switch: pick(108, 4) == 0,
        drains: pick(432, 4) == 0,
        falls_silent: seed % 5 == 1,
        away_millis: match seed % 7 {
            3 => 12_000,
            5 => 150_000,
            _ => 0,
        },
        jumps: if seed % 11 == 4 { 20 } else { 0 },
    }
}

/// How many schedules to play.
fn count(default: u64) -> u64 {
    std::env::var("CHAOS_SIMULATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Plays a schedule; gives what broke, if something did.
fn broken(scenario: Scenario) -> Option<String> {
    let played = catch_unwind(AssertUnwindSafe(|| play(scenario)));
    played.err().map(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

#[test]
fn no_schedule_breaks_an_invariant() {
    let schedules = count(5_000);
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let total = std::thread::scope(|scope| {
        let share = |first: u64| (first..schedules).step_by(usize::try_from(threads).unwrap()).map(holds);
        let parts: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || share(first).fold(Outcomes::default(), Outcomes::plus)))
            .collect();
        // A failed schedule has told its seed in its own thread's panic.
        let part = |part: std::thread::ScopedJoinHandle<'_, Outcomes>| part.join().expect("every schedule holds");
        parts.into_iter().map(part).fold(Outcomes::default(), Outcomes::plus)
    });
    println!("{schedules} schedules, {} turns, {} kills", total.turns, total.kills);
    assert!(total.kills as u64 > schedules, "a simulation without kills proves nothing: {total:?}");
}

/// Plays the schedule of a seed, which must break nothing.
fn holds(seed: u64) -> Outcomes {
    let scenario = scenario(seed);
    catch_unwind(AssertUnwindSafe(|| play(scenario))).unwrap_or_else(|panicked| {
        let why = panicked.downcast_ref::<String>();
        panic!("seed {seed} breaks an invariant: {scenario:?}: {why:?}")
    })
}

#[test]
fn a_crash_at_any_single_turn_changes_nothing() {
    let calm = Scenario {
        faults: 0,
        crashes: 0,
        pauses: 0,
        stop_switch: false,
        drains: false,
        falls_silent: false,
        away_millis: 0,
        jumps: 0,
        ..scenario(0)
    };
    for seed in 0..4 {
        let without = play(Scenario { seed, ..calm });
        for turn in 0..250 {
            let scenario = Scenario { seed, crash_at: Some(turn), ..calm };
            let with = catch_unwind(AssertUnwindSafe(|| play(scenario))).unwrap_or_else(|_| panic!("{scenario:?}"));
            assert!(
                with.kills <= without.kills.max(10),
                "more kills with a crash at turn {turn}: {with:?}, {without:?}"
            );
        }
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [1, 2, 3, 500, 501] {
        let (a, b) = (play(scenario(seed)), play(scenario(seed)));
        assert_eq!((a.kills, a.turns), (b.kills, b.turns));
    }
}

#[test]
fn every_mistake_is_caught() {
    std::panic::set_hook(Box::new(|_| {}));
    let found: Vec<_> = Bug::ALL
        .iter()
        .map(|bug| {
            let hit = (0..count(3_000)).find_map(|seed| {
                let scenario = Scenario { bug: Some(*bug), ..scenario(seed) };
                broken(scenario).map(|why| (seed, why))
            });
            (bug, hit)
        })
        .collect();
    let _ = std::panic::take_hook();
    for (bug, hit) in &found {
        match hit {
            Some((seed, why)) => println!("{bug:?}: seed {seed}: {}", why.lines().next().unwrap_or_default()),
            None => println!("{bug:?}: NOT CAUGHT"),
        }
    }
    let missed: Vec<_> = found.iter().filter(|(_, hit)| hit.is_none()).map(|(bug, _)| bug).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
