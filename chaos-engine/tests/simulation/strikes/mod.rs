//! The strike machine: two or three operators of the same monkey and a run that kills by itself, on the same two workloads. No
//! limit is exceeded, no pod is killed twice or wrongly, every kill stands in all records alike, and it ends.

mod answers;
mod board;
mod bugs;
pub(crate) mod cluster;
mod faulty;
mod foreigners;
pub(crate) mod keeper;
mod kill;
mod limits;
mod metrics;
mod people;
pub(crate) mod process;
pub(crate) mod records;
pub(crate) mod scenario;
mod specs;
mod staged;
mod standing;

use std::collections::BTreeSet;

use chaos_core::api::{KillRecord, Outcome};
use chaos_core::killer::{Killer, Ledger};
use jiff::SignedDuration;

use crate::desk::Left;
use crate::schedules::{each_is_caught, each_is_repeated, hold, share, total};
use crate::seats::{Chair, Running, Seat, play};
use bugs::Bug;
use cluster::{Cluster, Effect, cluster};
use keeper::StatusKeeper;
use process::Process;
use scenario::{LONG_EVERY, MONKEY, Scenario, is_monkey};
use specs::{monkey, other, own_killer};
use standing::Standing;

/// From a decision until another killer may have the pod, as clocks differ by seconds.
const TAKEN_OVER: SignedDuration = SignedDuration::from_secs(80);

/// What a schedule came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcomes {
    kills: u64,
    /// Kills that did not happen, and that count as if they had: nobody could tell.
    doubts: u64,
    turns: u64,
}

/// A process of that killer.
fn start(cluster: &Cluster, killer: &Killer, chair: Chair) -> Running {
    let (cluster, killer) = (cluster.clone(), killer.clone());
    Box::pin(async move {
        let spec = killer.spec();
        let heartbeat = match spec.life {
            chaos_core::killer::Life::OfRun { heartbeat, .. } => heartbeat,
            chaos_core::killer::Life::Standing => None,
        };
        let keeper = StatusKeeper::new(&cluster, &spec.run, heartbeat);
        let is_of_monkey = spec.run == MONKEY;
        let ended = Process::new(cluster.clone(), killer, keeper, chair).run().await;
        let mut state = cluster.lock();
        // One that was through before it was deleted was left then.
        if matches!(ended, Ok(()) | Err(Left::Gone)) {
            state.people.left += usize::from(is_of_monkey);
            return None;
        }
        let (low, high) = state.scenario.size.fenced;
        ended.err().map(|_| state.between(low, high))
    })
}

/// Plays one schedule. Panics if an invariant is broken.
fn played(scenario: Scenario) -> Outcomes {
    let cluster = cluster(scenario);
    let seat = |machine, chair, killer: Killer| {
        let cluster = cluster.clone();
        Seat::on(machine, chair, move |chair| start(&cluster, &killer, chair))
    };
    let (killer, chair) = (Killer::new(monkey(&scenario)), Chair::default());
    // A cap is that of one operator: it alone drives two monkeys then.
    let is_capped = cluster.lock().cap().is_some();
    // A clock that is set is the only one.
    let beside = || if scenario.ahead.is_some() { chair.beside() } else { Chair::default() };
    let second = match scenario.operators {
        _ if is_capped => Some(seat(0, chair.beside(), other(&scenario))),
        1 => None,
        _ => Some(seat(1, Chair::default(), killer.clone())),
    };
    let run = seat(2, beside(), own_killer(&scenario)).once();
    let mut seats = vec![seat(0, chair.clone(), killer.clone())];
    seats.extend(second);
    seats.push(run);
    let others = (2..scenario.operators).filter(|_| !is_capped);
    seats.extend(others.map(|other| seat(other + 1, Chair::default(), killer.clone())));
    let turns = play(&cluster, &mut seats, &scenario.hazards());
    // Whoever was about to tell something does not get round to it any more.
    drop(seats);
    check_accounts(&cluster, &scenario);
    let state = cluster.lock();
    state.check_left(scenario.operators);
    let kills = state.effects.len() as u64;
    let told =
        state.statuses.iter().flat_map(|(run, status)| status.ledger.history.iter().map(move |kill| (run, kill)));
    let told = told.filter(|(_, kill)| is_kill(kill));
    let is_made =
        |run: &String, kill: &KillRecord| state.effects.iter().any(|it| it.run == *run && it.uid == kill.victim.uid);
    let doubts = told.filter(|(run, kill)| !is_made(run, kill)).count() as u64;
    Outcomes { kills, doubts, turns }
}

/// What was killed is what the ledgers say, and what did not happen has a reason.
fn check_accounts(cluster: &Cluster, scenario: &Scenario) {
    let state = cluster.lock();
    for (run, status) in &state.statuses {
        let ledger = &status.ledger;
        let effects: Vec<_> = state.effects.iter().filter(|effect| &effect.run == run).collect();
        for effect in &effects {
            assert!(tells(ledger, &effect.uid), "the kill of {} by {run} is not in its ledger", effect.uid);
        }
        let killed = ledger.history.iter().filter(|kill| kill.outcome == Outcome::Killed);
        for kill in killed.filter(|_| !scenario.has_foreigners) {
            let uid = &kill.victim.uid;
            // Where two calls for one pod are in doubt and it is gone, nobody can tell which of them was carried out.
            // So it is where a call was in doubt for as long as its reservation holds, and another killer took the pod then.
            let later =
                |other: &KillRecord| other.victim.uid == *uid && other.at.0.duration_since(kill.at.0) >= TAKEN_OVER;
            let by_other = |it: &Effect| {
                let other = &state.statuses[&it.run].ledger;
                it.uid == *uid && (doubts(other, uid) || other.history.iter().any(later))
            };
            let happened = effects.iter().any(|effect| effect.uid == *uid) || state.effects.iter().any(by_other);
            assert!(happened, "{run} says that it killed {}, which it did not", kill.victim.uid);
        }
        let most = scenario.most_kills(run);
        let counted = ledger.history.iter().filter(|kill| is_kill(kill)).count() as u64;
        assert!(counted <= most, "{run} killed {counted} times");
        assert!(effects.len() as u64 <= most, "{run} killed {} times", effects.len());
        let nonces: BTreeSet<_> = ledger.history.iter().map(|kill| &kill.nonce).collect();
        assert_eq!(nonces.len(), ledger.history.len(), "a kill stands twice in the ledger of {run}");
        // The run is not started again after a crash.
        if scenario.cut().is_none() && (run == MONKEY || scenario.crashes == 0) {
            let end = ledger.ended.as_ref().expect("a killer that is done has a reason");
            // A strike of several victims has struck when one of them is killed.
            let is_all = ledger.kills == most || scenario.victims_of(run) > 1;
            assert!(is_all || end.reason != "StrikesDone", "{end:?} after {} kills", ledger.kills);
        }
        check_victims(run, ledger, scenario);
        // A dry run may count what it would have killed.
        let would = ledger.history.iter().filter(|kill| kill.outcome == Outcome::WouldKill).count() as u64;
        let is_so = [counted, counted + would].contains(&ledger.kills);
        assert!(is_so, "{run} counts {} kills, and tells of {counted}", ledger.kills);
        state.records.check(run, ledger);
        if is_monkey(run) {
            state.records.check_events(ledger);
            state.check_over(run, ledger);
        }
    }
}

/// Of a strike that has killed, each victim was killed, may have been, or is told to have been left alone. A strike in hand when its
/// process crashed, or when the schedule was over, tells no more: nobody takes such a run up again here.
fn check_victims(run: &str, ledger: &Ledger, scenario: &Scenario) {
    let victims = scenario.victims_of(run);
    if victims == 1 || ledger.ended.is_none() || scenario.crashes > 0 {
        return;
    }
    let kills = || {
        let open = ledger.intents.iter().map(|intent| intent.strike);
        ledger.history.iter().filter(|kill| is_kill(kill)).map(|kill| kill.strike).chain(open)
    };
    for strike in kills().collect::<BTreeSet<_>>() {
        let killed = kills().filter(|of| *of == strike).count() as u64;
        // Of two victims, one at most is left when the other is killed.
        let skipped = ledger.skipped.iter().filter(|skip| skip.strike == strike).count() as u64;
        assert_eq!(killed + skipped, victims, "victims of strike {strike} of {run}, killed or told to be left alone");
    }
}

/// Whether a ledger tells of a kill, or has it open.
fn tells(ledger: &Ledger, uid: &str) -> bool {
    ledger.history.iter().filter(|kill| is_kill(kill)).any(|kill| kill.victim.uid == uid)
        || ledger.intents.iter().any(|intent| intent.victim.uid == uid)
}

/// Whether it is not known what became of the kill of this pod.
fn doubts(ledger: &Ledger, uid: &str) -> bool {
    ledger.history.iter().any(|kill| kill.outcome == Outcome::Unknown && kill.victim.uid == uid)
}

/// Whether a kill happened, or may have.
fn is_kill(kill: &KillRecord) -> bool {
    matches!(kill.outcome, Outcome::Killed | Outcome::Unknown)
}

#[test]
fn no_schedule_breaks_an_invariant() {
    let schedules = share(100);
    let [turns, kills] = total(schedules, |seed| {
        let outcomes = played(Scenario::of(seed));
        [outcomes.turns, outcomes.kills]
    });
    let long = schedules.div_ceil(LONG_EVERY);
    println!("{schedules} schedules of strikes ({long} of them long), {turns} turns, {kills} kills");
    assert!(kills > schedules, "a simulation without kills proves nothing: {kills}");
}

#[test]
fn seeds_that_once_broke_something_hold() {
    hold(&[32_626, 54_100, 105_800, 131_861], |seed| _ = played(Scenario::of(seed)));
}

#[test]
fn strikes_of_two_victims_kill_more_than_one_pod_each() {
    let of_two = played(Scenario { victims: 2, max_unavailable: 2, ..Scenario::calm(0) });
    // Ten strikes are planned, of which the run has four.
    assert!(of_two.kills > 10 && of_two.doubts == 0, "{of_two:?}");
}

#[test]
fn what_goes_wrong_never_leads_to_more_kills() {
    let [compared, complete, missing] = total(400, |index| {
        let scenario = Scenario::of(index * LONG_EVERY);
        let is_held = scenario.stop_switch || scenario.falls_silent || scenario.is_guarded;
        // A standing monkey makes up for nothing.
        if is_held || scenario.standing.is_some() || scenario.min_interval > 0 {
            return [0; 3];
        }
        let (with, without) = (played(scenario), played(scenario.without_trouble()));
        let planned = scenario.most_kills(MONKEY) + scenario.most_kills("run");
        assert!(with.kills <= without.kills.max(planned), "more kills: {with:?}, {without:?}");
        // What is missing has its reason in the ledger, where it was looked for when all was over.
        [1, u64::from(without.kills == planned), planned.saturating_sub(with.kills)]
    });
    println!(
        "{compared} schedules of strikes compared, {complete} complete without trouble, {missing} kills less with it"
    );
    assert!(compared > 20 && complete > compared / 10, "{compared}, {complete}");
}

#[test]
fn a_crash_at_any_single_turn_costs_the_strike_under_way_at_most() {
    let without: Vec<_> = (0..4).map(|seed| played(Scenario::calm(seed))).collect();
    assert!(without.iter().all(|calm| calm.kills >= 8 && calm.doubts == 0), "{without:?}");
    let [kills, doubts] = total(4 * 250, |index| {
        let (seed, turn) = (index / 250, index % 250);
        let with = played(Scenario { crash_at: Some(turn), ..Scenario::calm(seed) });
        check_single(with, without[usize::try_from(seed).unwrap()], turn);
        [with.kills, with.doubts]
    });
    println!("{kills} kills with a crash at each of 1,000 turns, and {doubts} that were not made");
}

/// What went wrong at a single turn of a calm schedule led to no more kills, and to one less at most.
fn check_single(with: Outcomes, calm: Outcomes, turn: u64) {
    assert!(with.kills <= calm.kills.max(10), "more kills by what went wrong at turn {turn}: {with:?}, {calm:?}");
    // A kill that was written down, and not sent, counts as one that was made: nobody can tell. All others are made.
    let is_told = with.kills + with.doubts >= calm.kills && with.doubts <= 1;
    assert!(is_told, "fewer kills by what went wrong at turn {turn}: {with:?}, {calm:?}");
}

#[test]
fn an_operator_that_stands_still_at_any_single_turn_and_was_taken_over_costs_as_little() {
    let without: Vec<_> = (0..4).map(|seed| played(Scenario::calm(seed))).collect();
    let [kills, doubts] = total(250, |turn| {
        let with = played(Scenario { stands_at: Some(turn), ..Scenario::calm(turn % 4) });
        check_single(with, without[usize::try_from(turn % 4).unwrap()], turn);
        [with.kills, with.doubts]
    });
    println!("{kills} kills with an operator that stands still at each of 250 turns, and {doubts} that were not made");
}

#[test]
fn a_crash_at_any_single_turn_makes_a_standing_monkey_skip_with_a_reason() {
    let [kills] = total(250, |turn| {
        // What becomes of each strike is held when a ledger is saved, and at the end.
        let with = played(Scenario { crash_at: Some(turn), ..Scenario::calm_standing(turn % 4) });
        assert!(with.doubts <= 1, "a crash at turn {turn}: {with:?}");
        [with.kills]
    });
    // The run beside it makes four.
    assert!(kills > 5 * 250, "a standing monkey without kills proves nothing: {kills}");
}

#[test]
fn a_crash_at_any_single_turn_of_a_standing_monkey_of_which_people_want_something_breaks_no_invariant() {
    let wishes: [fn(&mut Standing); 3] = [
        |standing| standing.is_suspended = true,
        |standing| standing.is_edited = true,
        |standing| standing.is_deleted = true,
    ];
    let [kills] = total(3 * 200, |index| {
        let (wish, turn) = (wishes[usize::try_from(index / 200).unwrap()], index % 200);
        let mut scenario = Scenario { crash_at: Some(turn), ..Scenario::calm_standing(turn % 4) };
        scenario.standing.iter_mut().for_each(wish);
        let with = played(scenario);
        assert!(with.doubts <= 1, "a crash at turn {turn}: {with:?}");
        [with.kills]
    });
    // The run beside it makes four.
    assert!(kills > 3 * 5 * 200, "a standing monkey without kills proves nothing: {kills}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    each_is_repeated(1_001, |seed| played(Scenario::of(seed)));
}

#[test]
fn every_mistake_is_caught() {
    // What few schedules show is looked for where most can happen.
    let long = (6_000..100_000).filter(|seed: &u64| seed.is_multiple_of(LONG_EVERY));
    each_is_caught("Strikes", &Bug::ALL, (0..6_000).chain(long), |bug, seed| {
        played(Scenario { bug: Some(bug), ..Scenario::of(seed) });
    });
}
