//! Looks that see a part of the target: enough for its strikes and its recoveries, and never taken for the whole.

use std::sync::Arc;

use super::super::step::Cursor;
use super::*;
use crate::api::VictimRef;
use crate::population::Population;

/// A killer of three namespaces with a workload each.
pub(super) fn spread(change: impl FnOnce(&mut Value)) -> Play {
    let mut play = Play::new(|spec| {
        spec["target"]["namespaces"] = json!({"names": [NS, "edge", "far"]});
        change(spec);
    });
    let pods = ["", "edge/", "far/"].into_iter().flat_map(|prefix| (0..3).map(move |i| format!("{prefix}pod-0{i}")));
    play.pods = pods.collect();
    play
}

/// How many parts of the target a look was to see, if not all of it.
fn parts(scope: &Scope) -> Option<usize> {
    match scope {
        Scope::Target => None,
        Scope::Namespaces(names) => Some(names.len()),
        Scope::Workloads(names) => Some(names.len()),
    }
}

/// The last look before each kill.
fn last_looks(play: &Play) -> impl Iterator<Item = (&Scope, &KillOrder)> {
    play.orders.iter().map(|(at, order)| {
        let (_, scope) = play.looks.iter().rfind(|(began, _)| began <= at).unwrap();
        (scope, order)
    })
}

#[test]
fn a_strike_reads_only_the_part_of_the_target_that_it_may_hit() {
    for group in ["Workload", "Namespace"] {
        let mut play = spread(|spec| spec["fault"]["podKill"]["group"] = json!(group));
        play.run(hours(24));
        let struck: BTreeSet<_> = play.orders.iter().map(|(_, order)| order.victim.namespace.as_str()).collect();
        assert_eq!((struck, play.ledger().skips), ([NS, "edge", "far"].into(), 0), "{group}");
        for (scope, order) in last_looks(&play) {
            assert!(scope.covers(&Scope::of_victim(&order.victim)));
            assert_eq!(matches!(scope, Scope::Workloads(_)), group == "Workload", "{scope:?}");
            assert!(parts(scope).is_some_and(|parts| parts <= 2), "{scope:?}");
        }
        let whole = play.looks.iter().filter(|(_, scope)| *scope == Scope::Target).count();
        assert!((1200..1800).contains(&whole), "the whole target is surveyed about once a minute: {whole}");
        assert_eq!(play.ledger().kills, play.orders.len() as u64);
        assert!(play.ledger().recovering.is_empty() && play.ledger().ended.is_none());
    }
}

#[test]
fn what_one_look_may_miss_is_read_as_a_whole() {
    let every_strike_looks_at_all = |mut play: Play| {
        play.run(hours(6));
        assert!(!play.orders.is_empty() && last_looks(&play).all(|(scope, _)| *scope == Scope::Target));
    };
    // One namespace alone; groups that may lie in several; one stream of strikes for all groups.
    every_strike_looks_at_all(Play::new(|spec| spec["fault"]["podKill"]["group"] = json!("Namespace")));
    every_strike_looks_at_all(spread(by_pod));
}

#[test]
fn what_recovers_is_looked_at_with_its_own_workload_alone() {
    let mut play = spread(by_pod);
    play.replaced_after = Some(SignedDuration::from_secs(5));
    while play.orders.is_empty() {
        play.run(SignedDuration::from_secs(1));
    }
    play.looks.clear();
    play.run(SignedDuration::from_secs(10));
    assert!(play.ledger().recovering.is_empty());
    let own = Scope::of_victim(&play.orders[0].1.victim);
    assert_eq!(parts(&own), Some(1));
    let looks = play.looks.iter().filter(|(_, scope)| *scope == own).count();
    assert!(looks > 10 && looks + 1 >= play.looks.len(), "{:?}", play.looks);
}

#[test]
fn a_workload_whose_pods_no_selector_tells_is_looked_at_with_its_namespace() {
    let of = |kind: &str| Scope::of_victim(&VictimRef { workload: format!("{kind}/w"), ..victim() });
    assert_eq!(parts(&of("Deployment")), Some(1));
    assert!(matches!(of("StatefulSet"), Scope::Workloads(_)));
    assert_eq!(of("Job"), Scope::Namespaces([NS.to_owned()].into()));
    let both = of("Deployment").and(of("Job"));
    assert!(
        both.covers(&of("DaemonSet")) && !of("DaemonSet").covers(&both) && !of("DaemonSet").covers(&of("Deployment"))
    );
    assert_eq!(both.and(Scope::Target), Scope::Target);
}

fn victim() -> VictimRef {
    let text = || String::from("v");
    let (pod, uid, workload, workload_uid, owner_uid) = (text(), text(), text(), text(), text());
    VictimRef { namespace: NS.to_owned(), pod, uid, workload, workload_uid, owner_uid, node: None }
}

#[test]
fn a_kill_recovers_when_its_own_namespace_is_seen() {
    let mut play = spread(|_| ());
    play.replaced_after = None;
    while play.orders.is_empty() {
        play.run(SignedDuration::from_mins(1));
    }
    assert!(!play.ledger().recovering.is_empty(), "others are looked at too");
    play.run(SignedDuration::from_mins(2));
    assert_eq!(play.ended(), Some(EndReason::NotRecovered));
}

#[test]
fn groups_that_a_look_does_not_see_are_there_as_before() {
    let mut play = spread(|spec| spec["meanTimeBetweenKills"] = json!("20m"));
    play.run(hours(3));
    let groups: Vec<_> = play.state.groups.iter().map(String::as_str).collect();
    assert_eq!(groups, ["dispatch/Deployment/trips", "edge/Deployment/trips", "far/Deployment/trips"]);
    let planned: BTreeSet<_> = play.ledger().upcoming.iter().map(|strike| strike.group.as_str()).collect();
    assert_eq!(planned.into_iter().collect::<Vec<_>>(), groups);
    // One that is gone is noticed by a look that sees its namespace.
    play.pods.retain(|uid| !uid.starts_with("far/"));
    play.run(SignedDuration::from_mins(2));
    assert_eq!(play.state.groups.len(), 2);
}

/// The state after a look at that namespace alone.
fn after_a_look_at(play: &mut Play, namespace: &str) -> KillerState {
    let scope = Scope::Namespaces([namespace.to_owned()].into());
    let population = play.facts(&scope);
    after_a_look(play, population, &scope)
}

/// The state after a look that saw this.
fn after_a_look(play: &Play, population: Population, scope: &Scope) -> KillerState {
    let observation = Observation { budgets: Vec::new(), readings: Vec::new(), population: Arc::new(population) };
    let Killer { spec, digest } = &play.killer;
    let mut cursor = Cursor { spec, digest, view: &play.view, now: play.now, state: play.state.clone() };
    cursor.learn(Ok(observation), scope).unwrap();
    cursor.state
}

#[test]
fn a_look_elsewhere_is_none_at_what_recovers() {
    let mut play = spread(|_| ());
    play.replaced_after = None;
    while play.orders.is_empty() {
        play.run(SignedDuration::from_secs(1));
    }
    let struck = play.orders[0].1.victim.namespace.clone();
    let elsewhere = [NS, "edge", "far"].into_iter().find(|name| *name != struck).unwrap();
    let before = play.state.looked_at;
    play.now += SignedDuration::from_millis(50);
    assert!(before.is_some_and(|at| at < play.now));
    assert_eq!(after_a_look_at(&mut play, elsewhere).looked_at, before, "the next look at it is as near as it was");
    assert_eq!(after_a_look_at(&mut play, &struck).looked_at, Some(play.now));
}

#[test]
fn a_survey_that_leaves_a_namespace_out_does_not_tell_that_its_pods_are_back() {
    let mut play = spread(|_| ());
    play.replaced_after = None;
    while play.orders.is_empty() {
        play.run(SignedDuration::from_secs(1));
    }
    let victim = play.orders[0].1.victim.clone();
    let without = |mut population: Population| {
        population.pods.retain(|pod| pod.namespace != victim.namespace);
        population.workloads.retain(|workload| workload.key.namespace != victim.namespace);
        population
    };
    let recovering = play.ledger().recovering.clone();
    assert_eq!(recovering.len(), 1);
    play.now += SignedDuration::from_millis(50);
    let all = without(play.facts(&Scope::Target));
    play.state = after_a_look(&play, all, &Scope::Target);
    assert_eq!(play.ledger().recovering, recovering, "it says nothing of them");
    let alone = Scope::of_victim(&victim);
    let none = without(play.facts(&alone));
    assert_eq!(after_a_look(&play, none, &alone).ledger.recovering, [], "there is nothing left to come back");
    play.looks.clear();
    play.run(SignedDuration::from_secs(2));
    assert!(play.looks.first().is_some_and(|(_, scope)| *scope == alone), "{:?}", play.looks);
}

#[test]
fn a_workload_that_no_look_at_the_target_shows_any_more_does_not_keep_strikes_waiting() {
    // All looks for its strikes are at the target, and there is always one near.
    let mut play = Play::new(|spec| {
        by_pod(spec);
        spec["meanTimeBetweenKills"] = json!("2s");
        spec["minTimeBetweenKills"] = json!("1s");
    });
    play.replaced_after = None;
    while play.orders.is_empty() {
        play.run(SignedDuration::from_secs(1));
    }
    let victim = play.orders[0].1.victim.clone();
    play.now += SignedDuration::from_millis(50);
    let mut none = play.facts(&Scope::Target);
    none.pods.clear();
    none.workloads.clear();
    play.state = after_a_look(&play, none, &Scope::Target);
    assert_eq!(play.ledger().recovering.len(), 1);
    assert_eq!(play.state.looked_at, Some(play.now), "the next look has its time, however near a strike is");
    // A strike is near as soon as the plan goes on.
    let near = PlannedStrike { at: micro_time(play.now), ..play.ledger().upcoming[0].clone() };
    play.state.ledger.upcoming.insert(0, near);
    let Killer { spec, digest } = &play.killer;
    let next = Cursor { spec, digest, view: &play.view, now: play.now, state: play.state.clone() };
    let alone = Scope::of_victim(&victim);
    assert_eq!(next.scope_of_survey(), alone);
    let mut gone = play.facts(&alone);
    gone.pods.clear();
    gone.workloads.clear();
    assert_eq!(after_a_look(&play, gone, &alone).ledger.recovering, [], "there is nothing left to come back");
}

#[test]
fn groups_are_not_forgotten_before_they_were_looked_for() {
    let mut play = spread(|_| ());
    play.run(hours(12));
    play.crash();
    // Nothing else keeps them.
    play.state.ledger.upcoming.clear();
    play.state.ledger.groups.iter_mut().for_each(|group| group.last_kill_at = None);
    let known = play.ledger().groups.clone();
    assert_eq!(known.len(), 3);
    assert_eq!(after_a_look_at(&mut play, "edge").ledger.groups, known);
}

/// A run's monkey that has worked for a while when one of its namespaces goes out of sight.
fn with_a_hidden_part() -> Play {
    let mut play = spread(|spec| {
        of_run(spec);
        spec["maxKills"] = json!(1000);
        spec["limits"]["maxKills"] = json!(1000);
    });
    play.view.beat = Some(start());
    play.run(SignedDuration::from_secs(10));
    play.hidden = Some("far");
    play
}

#[test]
fn a_run_ends_when_a_part_of_its_target_stays_out_of_sight() {
    let mut play = with_a_hidden_part();
    let (kills, hidden_at) = (play.ledger().kills, play.now);
    play.run(SignedDuration::from_mins(3));
    assert!(play.ledger().kills > kills, "others were in sight");
    assert_eq!(play.ended(), Some(EndReason::Blind));
    let ended_at = play.ledger().ended.as_ref().unwrap().at.0;
    assert!(ended_at.duration_since(hidden_at) < SignedDuration::from_secs(90), "{ended_at}");
}

#[test]
fn a_part_that_comes_into_sight_again_ends_no_run() {
    let mut play = with_a_hidden_part();
    play.run(SignedDuration::from_secs(30));
    play.hidden = None;
    play.run(SignedDuration::from_secs(2));
    assert!(play.state.blind.is_none(), "all of it is looked at soon");
    play.run(SignedDuration::from_mins(2));
    assert_eq!(play.ended(), None);
}

#[test]
fn a_clock_that_is_set_back_keeps_no_new_group_from_being_found() {
    let mut play = spread(|_| ());
    play.run(hours(1));
    play.now -= hours(1);
    play.looks.clear();
    play.run(SignedDuration::from_mins(3));
    let whole = play.looks.iter().filter(|(_, scope)| *scope == Scope::Target).count();
    assert!((2..=4).contains(&whole), "{whole} in three minutes");
}

#[test]
fn a_survey_of_all_makes_no_strike_late_and_is_made_all_the_same() {
    let mut play = spread(|spec| {
        spec["meanTimeBetweenKills"] = json!("12s");
        spec["minTimeBetweenKills"] = json!("5s");
        spec["limits"]["maxKills"] = json!(1000);
    });
    play.looks_take = SignedDuration::from_millis(100);
    play.surveys_take = SignedDuration::from_secs(3);
    play.run(SignedDuration::from_hours(1));
    let late = |(at, order): &(Timestamp, KillOrder)| at.duration_since(order.strike.at.0);
    let long = SignedDuration::from_secs(1);
    let behind = play.orders.iter().filter(|kill| late(kill) > long).count();
    assert!(play.orders.len() > 500 && behind * 50 < play.orders.len(), "{behind} of {}", play.orders.len());
    let whole: Vec<_> = play.looks.iter().filter(|(_, scope)| *scope == Scope::Target).map(|(at, _)| *at).collect();
    assert!(whole.len() > 40, "{}", whole.len());
    for pair in whole.windows(2) {
        assert!(pair[1].duration_since(pair[0]) < SignedDuration::from_secs(60 + 20 + 5), "{pair:?}");
    }
}
