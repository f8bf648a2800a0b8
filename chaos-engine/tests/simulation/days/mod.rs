//! The game day's machine: two operators that take turns at one GameDay, and now and then both believe that it is theirs. No
//! run is created twice, no execution begins twice or while it must not, every slot is accounted for, and all that began comes
//! to its end.

mod bugs;
mod cluster;
mod faulty;
mod process;
mod scenario;

use chaos_core::api::HistoryLimits;

use crate::desk::Left;
use crate::schedules::{each_is_caught, each_is_repeated, share, total};
use crate::seats::{Chair, Running, Seat, play};
use bugs::Bug;
use cluster::{Cluster, cluster};
use process::run;
use scenario::{EXPERIMENTS, Scenario, slots, start};

/// So many are played for a hundred of strikes.
const SHARE: u64 = 2;

/// What a schedule came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcomes {
    turns: u64,
    slots: u64,
    executions: u64,
    runs: u64,
}

fn operator(cluster: &Cluster, chair: Chair) -> Running {
    let cluster = cluster.clone();
    Box::pin(async move {
        let left = run(cluster.clone(), chair).await;
        let mut state = cluster.lock();
        let (low, high) = match left {
            Left::Fenced => state.scenario.size.standby,
            Left::Changed => (0, 500),
            Left::Unreached | Left::Gone => (1_000, 8_000),
        };
        Some(state.between(low, high))
    })
}

/// Plays one schedule. Panics if an invariant is broken.
fn played(scenario: Scenario) -> Outcomes {
    let cluster = cluster(scenario);
    let mut seats = [0, 1].map(|machine| {
        let (chair, cluster) = (Chair::default(), cluster.clone());
        cluster.lock().tell(chair.clone());
        Seat::on(machine, chair, move |chair| operator(&cluster, chair))
    });
    let turns = play(&cluster, &mut seats, &scenario.hazards());
    let slots = check_accounts(&cluster, &scenario);
    let state = cluster.lock();
    Outcomes { turns, slots, executions: state.record.begun.len() as u64, runs: state.created() }
}

/// Every slot was dealt with, and nothing is left of what began.
fn check_accounts(cluster: &Cluster, scenario: &Scenario) -> u64 {
    let state = cluster.lock();
    let (ledger, record) = (&state.object.status, &state.record);
    let due = slots(scenario.size, start(), scenario.end());
    if scenario.jumps == 0 {
        assert_eq!(
            ledger.started + ledger.skips + record.forgiven,
            due + record.dealt,
            "slots that were dealt with, and that were due: {} started, {} skipped, {} forgiven, {} orders",
            ledger.started,
            ledger.skips,
            record.forgiven,
            record.dealt
        );
    }
    assert_eq!(ledger.started, record.begun.len() as u64, "executions that began");
    assert!(record.of_slots <= due || scenario.jumps > 0, "{} executions for {due} slots", record.of_slots);
    assert!(ledger.active.is_empty(), "an execution is left: {:?}", ledger.active);
    assert_eq!(state.at_work(), 0, "a run is left at work");
    // What ended by a clock that was ahead is kept until that time has really come.
    if scenario.jumps == 0 {
        let passed = ledger.history.iter().filter(|result| result.outcome == "pass").count();
        let failed = ledger.history.len() - passed;
        let HistoryLimits { passed: p, failed: f } = scenario.history;
        assert!(passed <= p as usize, "{passed} executions that passed are kept, {p} are to be");
        assert!(failed <= f as usize, "{failed} executions that failed are kept, {f} are to be");
    }
    let known = ledger.history.iter().flat_map(|result| &result.runs).map(|run| run.name.as_str()).collect();
    let left: Vec<_> = state.names().difference(&known).copied().collect();
    for run in ledger.history.iter().flat_map(|result| &result.runs) {
        let is_audited = record.audit.contains(&(run.name.clone(), run.uid.clone()));
        assert!(is_audited, "the history tells of run {} ({}), which was never created", run.name, run.uid);
    }
    // By a clock that is wrong, a run may be given up before it can be seen.
    assert!(left.is_empty() || scenario.jumps > 0, "runs that no history tells of are left: {left:?}");
    due
}

#[test]
fn no_schedule_breaks_an_invariant() {
    let schedules = share(SHARE);
    let [turns, slots, executions, runs] = total(schedules, |seed| {
        let Outcomes { turns, slots, executions, runs } = played(Scenario::of(seed));
        [turns, slots, executions, runs]
    });
    println!("{schedules} schedules of game days, {turns} turns, {slots} slots, {executions} executions, {runs} runs");
    assert!(executions > 2 * schedules, "a simulation without executions proves nothing: {executions}");
}

#[test]
fn what_goes_wrong_never_leads_to_more_runs() {
    let plain = |scenario: &Scenario| {
        !(scenario.has_wishes || scenario.has_holds || scenario.is_guarded) && scenario.fits() && scenario.fails == 0
    };
    let [compared, slots] = total(1_000, |seed| {
        let scenario = Scenario::of(seed);
        if !plain(&scenario) {
            return [0, 0];
        }
        let (with, without) = (played(scenario), played(scenario.without_trouble()));
        assert_eq!(without.runs, slots(scenario.size, start(), scenario.troubled_until()) * EXPERIMENTS);
        assert!(with.runs <= without.runs, "more runs: {with:?}, {without:?}");
        [1, with.slots]
    });
    println!("{compared} game days compared, {slots} slots");
    assert!(compared > 20, "{compared}");
}

/// What goes wrong at any single one of so many turns of a calm game day makes no more runs.
fn single_turns_make_no_more_runs(most: u64, what: &str, at: impl Fn(u64) -> Scenario + Sync) {
    let without = played(Scenario::calm(0));
    let [_] = total(without.turns.min(most), |turn| {
        let with = played(at(turn));
        assert!(with.runs <= without.runs, "more runs with {what} at turn {turn}: {with:?}, {without:?}");
        [with.turns]
    });
}

#[test]
fn a_crash_at_any_single_turn_changes_nothing() {
    let at = |turn| Scenario { crash_at: Some(turn), ..Scenario::calm(0) };
    single_turns_make_no_more_runs(600, "a crash", at);
}

#[test]
fn an_operator_that_stands_still_at_any_single_turn_and_was_taken_over_changes_nothing() {
    let at = |turn| Scenario { stands_at: Some(turn), ..Scenario::calm(0) };
    single_turns_make_no_more_runs(200, "a pause", at);
}

#[test]
fn a_crash_at_any_single_turn_breaks_no_invariant_of_a_game_day_of_which_people_want_something() {
    let without = played(Scenario { has_wishes: true, ..Scenario::calm(0) });
    let turns = without.turns.min(400);
    // What people want next depends on the dice, and with that how many executions there are: none of them is one too many.
    let [executions] = total(turns, |turn| {
        let with = played(Scenario { has_wishes: true, crash_at: Some(turn), ..Scenario::calm(0) });
        [with.executions]
    });
    assert!(executions > 2 * turns, "game days without executions prove nothing: {executions}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    each_is_repeated(20, |seed| played(Scenario::of(seed)));
}

#[test]
fn every_mistake_is_caught() {
    each_is_caught("Game days", &Bug::ALL, 0..4_000, |bug, seed| {
        played(Scenario { bug: Some(bug), ..Scenario::of(seed) });
    });
}
