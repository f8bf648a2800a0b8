//! The machine of an ExperimentRun: two operators that take turns at one run, each with the killer of the run beside it, and
//! two probers of which one measures. Orders only go forwards, the run always ends with a verdict and a reason, nothing is
//! killed that was not decided by whoever drives it or after its end was ordered, and a prober that is lost never gives a pass.

mod bugs;
mod cluster;
mod counter;
mod faulty;
mod killer;
mod link;
mod live;
mod operator;
mod prober;
mod scenario;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use chaos_core::api::{ExperimentRunStatus, Outcome, RunPhase};
use chaos_core::model::Mode;
use chaos_core::operated::read_killer;
use chaos_core::record::Event;

use crate::desk::Left;
use crate::schedules::{each_is_caught, each_is_repeated, hold, share, total};
use crate::seats::{Chair, Running, Seat, Stage as _, millis, play};
use crate::strikes::records::kill_of;
use crate::strikes::scenario::SEND_WITHIN;
use bugs::Bug;
use cluster::{Role, State, World, world};
use killer::{Bench, killer};
use scenario::{Approval, STRIKES, Scenario, UID, Wish};

/// So many are played for a hundred of strikes.
const SHARE: u64 = 3;

/// What a schedule came to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcomes {
    turns: u64,
    kills: u64,
    /// Its verdict; absent: the run was deleted.
    verdict: Option<(String, String)>,
}

fn operator(world: &World, chair: Chair, bench: &Bench, killer: Chair) -> Running {
    let (world, bench) = (world.clone(), bench.clone());
    Box::pin(async move {
        let left = operator::run(world.clone(), chair, bench, killer).await?;
        let (low, high) = match left {
            Left::Fenced => (2_000, 20_000),
            Left::Changed | Left::Gone => (0, 500),
            Left::Unreached => (500, 4_000),
        };
        let pause = world.lock().dice().between(low, high);
        Some(pause)
    })
}

/// An operator, and beside it the killer of its run.
fn operators(world: &World, machine: usize) -> [Seat; 2] {
    let (chair, bench) = (Chair::default(), Bench::default());
    let beside = chair.beside();
    world.lock().tell(chair.clone());
    let pods = world.lock().pods.clone();
    let (of_operator, killers, its) = (world.clone(), beside.clone(), bench.clone());
    [
        Seat::on(machine, chair, move |chair| operator(&of_operator, chair, &its, killers.clone())),
        Seat::on(machine, beside, move |chair| killer(pods.clone(), bench.clone(), chair)).attendant(),
    ]
}

fn prober(world: &World, machine: usize, ends: Option<i64>) -> Seat {
    let chair = Chair::default();
    world.lock().tell(chair.clone());
    let world = world.clone();
    let start = move |chair: Chair| -> Running {
        let world = world.clone();
        Box::pin(async move {
            prober::run(world, chair, ends).await;
            None
        })
    };
    Seat::on(machine, chair, start).sturdy()
}

/// Plays one schedule. Panics if an invariant is broken.
fn played(scenario: Scenario) -> Outcomes {
    let world = world(scenario);
    let [first, its] = operators(&world, 0);
    let [second, others] = operators(&world, 1);
    let probers = [prober(&world, 2, scenario.prober_ends), prober(&world, 3, None)];
    let mut seats: Vec<Seat> = [first, its, second, others].into_iter().chain(probers).collect();
    let turns = play(&world, &mut seats, &scenario.hazards());
    let state = world.lock();
    check_kills(&state);
    let verdict = state.status().map(|status| check_end(&state, status));
    state.status().into_iter().for_each(|status| check_records(&state, status));
    let kills = state.pods.lock().effects.len() as u64;
    Outcomes { turns, kills, verdict }
}

/// What was killed was to be.
fn check_kills(state: &State) {
    let pods = state.pods.lock();
    let record = &state.record;
    for send in &pods.sends {
        if let Some(ordered) = record.stop_ordered_at {
            assert!(send.at <= ordered, "{} was killed after the prober was told to stop", send.uid);
        }
        if let Some(ended) = record.ended_at {
            let late = send.at.duration_since(ended);
            assert!(
                late <= millis(SEND_WITHIN + 500),
                "{} was killed {late:?} after the run was told to end",
                send.uid
            );
        }
    }
    let is_touched = !pods.sends.is_empty() || record.was_loaded;
    assert!(!is_touched || state.scenario.mode == Mode::Live, "a dry run touched something");
    assert!(pods.effects.len() as u64 <= STRIKES.1, "{} pods were killed", pods.effects.len());
    let Some(status) = state.status() else { return };
    let told: BTreeSet<&str> = told(status);
    for effect in &pods.effects {
        assert!(told.contains(effect.uid.as_str()), "the status does not tell of the kill of {}", effect.uid);
    }
}

/// The evidence, the Events and the audit log of the server tell of the same kills as the status.
fn check_records(state: &State, status: &ExperimentRunStatus) {
    let ledger = read_killer(status);
    let pods = state.pods.lock();
    pods.records.check(UID, &ledger);
    let told = state.read(Role::Operator, 0).iter().flat_map(|chunk| &chunk.events).filter_map(|event| match event {
        Event::Kill(kill) => Some((kill.nonce.as_str(), kill.outcome)),
        _ => None,
    });
    let evidence: BTreeMap<&str, Outcome> = told.collect();
    for (nonce, outcome) in &evidence {
        let known = kill_of(&ledger, nonce).map(|kill| kill.outcome);
        assert_eq!(known, Some(*outcome), "outcome of kill {nonce} in the status, and in the evidence");
    }
    // Where calls go wrong, a process may crash that could not write or tell something yet.
    for kill in ledger.history.iter().filter(|_| state.scenario.faults == 0) {
        let uid = &kill.victim.uid;
        assert!(evidence.contains_key(kill.nonce.as_str()), "the evidence does not tell of the kill of {uid}");
        let is_told = pods.records.events.iter().any(|told| told.nonce == kill.nonce);
        assert!(is_told, "no Event tells of the kill of {uid}");
    }
}

/// Pods that a status tells were killed, or may have been.
fn told(status: &ExperimentRunStatus) -> BTreeSet<&str> {
    let killers = || status.killer.iter();
    let is_kill = |outcome: Outcome| matches!(outcome, Outcome::Killed | Outcome::Unknown);
    let kills = killers().flat_map(|killer| &killer.history).filter(|kill| is_kill(kill.outcome));
    let open = killers().flat_map(|killer| &killer.intents).map(|intent| &intent.victim);
    kills.map(|kill| &kill.victim).chain(open).map(|victim| victim.uid.as_str()).collect()
}

/// A run that is over has a verdict, which its reasons carry.
fn check_end(state: &State, status: &ExperimentRunStatus) -> (String, String) {
    assert_eq!(status.phase, Some(RunPhase::Completed), "a run is not over");
    let verdict = status.verdict.as_ref().expect("a run that is over has a verdict");
    let open: Vec<_> = status.killer.iter().flat_map(|killer| &killer.intents).map(|open| &open.victim.uid).collect();
    assert!(open.is_empty(), "a run is over, and what became of {open:?} is not known");
    assert!(!verdict.reason_code.is_empty() && !verdict.reason_text.is_empty(), "a verdict without a reason");
    if verdict.outcome == "pass" {
        let strikes: BTreeSet<u64> = state.pods.lock().effects.iter().map(|effect| effect.strike).collect();
        assert!(strikes.len() as u64 >= STRIKES.0, "a pass without kills");
        assert!(!state.record.is_prober_lost, "a pass though the prober was lost");
        assert!(!state.record.is_cut_short, "a pass though the run was told to end before");
        assert!(state.record.stop_ordered_at.is_some(), "a pass though the prober was never told to stop");
    }
    (verdict.outcome.clone(), verdict.reason_code.clone())
}

#[test]
fn no_schedule_breaks_an_invariant() {
    let schedules = share(SHARE);
    let verdicts = Mutex::new(BTreeMap::<String, u64>::new());
    let [turns, kills, passes, deleted] = total(schedules, |seed| {
        let Outcomes { turns, kills, verdict } = played(Scenario::of(seed));
        let is_pass = verdict.as_ref().is_some_and(|(outcome, _)| outcome == "pass");
        let is_deleted = verdict.is_none();
        if let Some((outcome, reason)) = verdict {
            *verdicts.lock().unwrap().entry(format!("{outcome} {reason}")).or_default() += 1;
        }
        [turns, kills, u64::from(is_pass), u64::from(is_deleted)]
    });
    println!("{schedules} schedules of runs, {turns} turns, {kills} kills, {passes} passes, {deleted} deleted");
    println!("{:?}", verdicts.into_inner().unwrap());
    assert!(passes * 10 > schedules, "a simulation in which nothing passes proves nothing: {passes}");
}

#[test]
fn seeds_that_once_broke_something_hold() {
    hold(&[926, 3_147], |seed| _ = played(Scenario::of(seed)));
}

#[test]
fn a_crash_at_any_single_turn_changes_nothing() {
    let without = played(Scenario::calm(1));
    assert_eq!(without.verdict, Some(("pass".to_owned(), "HypothesisHeld".to_owned())));
    let [_] = total(without.turns.min(500), |turn| {
        let with = played(Scenario { crash_at: Some(turn), ..Scenario::calm(1) });
        assert!(with.kills <= STRIKES.1, "more kills with a crash at turn {turn}: {with:?}");
        assert_eq!(with.verdict, without.verdict, "a crash at turn {turn}");
        [with.turns]
    });
}

#[test]
fn a_crash_at_any_single_turn_changes_nothing_about_the_verdict_of_a_run_that_is_told_to_end() {
    let all = played(Scenario::calm(1)).kills;
    for told in [Wish::Abort, Wish::Delete] {
        let outcome = |of: &Outcomes| of.verdict.as_ref().map(|(outcome, _)| outcome.clone());
        let told_at = |second: i64| Scenario { wish: told(second * 1_000), ..Scenario::calm(1) };
        let amid = (1..60).map(told_at).find(|scenario| (1..all).contains(&played(*scenario).kills));
        let calm = amid.expect("a second amid its kills");
        let verdict = matches!(calm.wish, Wish::Abort(_)).then_some("aborted");
        let without = played(calm);
        assert_eq!(outcome(&without).as_deref(), verdict, "{without:?}");
        let turns = without.turns.min(200);
        let [ended] = total(turns, |turn| {
            // What must hold of kills after its end was ordered is held of each schedule.
            let with = played(Scenario { crash_at: Some(turn), ..calm });
            // A crash changes the dice, so that the run may be over before anybody tells it to end.
            let is_as_told = outcome(&with).as_deref() == verdict;
            let is_over = outcome(&with).as_deref() == Some("pass");
            assert!(is_as_told || is_over, "{calm:?}, and a crash at turn {turn}: {with:?}");
            [u64::from(is_as_told)]
        });
        assert!(ended * 10 > turns * 9, "{calm:?}: {ended} of {turns} end as they are told to");
    }
}

#[test]
fn a_crash_at_any_single_turn_changes_nothing_about_a_run_that_waits_for_its_approval() {
    let calm = Scenario { approval: Approval::After(2_000), ..Scenario::calm(1) };
    let without = played(calm);
    assert_eq!(without.verdict, Some(("pass".to_owned(), "HypothesisHeld".to_owned())));
    let turns = without.turns.min(200);
    let [passes] = total(turns, |turn| {
        let with = played(Scenario { crash_at: Some(turn), ..calm });
        assert!(with.kills <= STRIKES.1, "more kills with a crash at turn {turn}: {with:?}");
        // Where the other operator comes back late as well, the time for kills may pass without any.
        let is_same = with.verdict == without.verdict;
        assert!(is_same || with.kills < STRIKES.0, "a crash at turn {turn}: {with:?}");
        [u64::from(is_same)]
    });
    assert!(passes * 10 > turns * 9, "{passes} of {turns} pass");
}

#[test]
fn the_same_seed_is_the_same_history() {
    each_is_repeated(40, |seed| played(Scenario::of(seed)));
}

#[test]
fn every_mistake_is_caught() {
    each_is_caught("Runs", &Bug::ALL, 0..6_000, |bug, seed| {
        played(Scenario { bug: Some(bug), ..Scenario::of(seed) });
    });
}
