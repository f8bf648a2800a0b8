//! Looks that see one namespace of several: enough for its strikes and its recoveries, and never taken for the whole.

use super::*;

/// A killer of three namespaces with a workload each.
fn spread(change: impl FnOnce(&mut Value)) -> Play {
    let mut play = Play::new(|spec| {
        spec["target"]["namespaces"] = json!({"names": [NS, "edge", "far"]});
        change(spec);
    });
    let pods = ["", "edge/", "far/"].into_iter().flat_map(|prefix| (0..3).map(move |i| format!("{prefix}pod-0{i}")));
    play.pods = pods.collect();
    play
}

fn namespaces(scope: &Scope) -> Option<Vec<&str>> {
    match scope {
        Scope::Target => None,
        Scope::Namespaces(names) => Some(names.iter().map(String::as_str).collect()),
    }
}

#[test]
fn a_strike_reads_only_the_namespace_of_its_group() {
    for group in ["Workload", "Namespace"] {
        let mut play = spread(|spec| spec["fault"]["podKill"]["group"] = json!(group));
        play.run(hours(24));
        let kills = &play.orders;
        let struck: BTreeSet<_> = kills.iter().map(|(_, order)| order.victim.namespace.as_str()).collect();
        assert_eq!((struck, play.ledger().skips), ([NS, "edge", "far"].into(), 0), "{group}");
        for (at, order) in kills {
            let (_, scope) = play.looks.iter().rfind(|(began, _)| began <= at).unwrap();
            assert!(scope.includes(&order.victim.namespace));
            assert!(namespaces(scope).is_some_and(|names| names.len() <= 2), "{scope:?}");
        }
        let whole = play.looks.iter().filter(|(_, scope)| *scope == Scope::Target).count();
        assert!((1400..1500).contains(&whole), "the whole target is surveyed once a minute: {whole}");
        assert_eq!(play.ledger().kills, kills.len() as u64);
        assert!(play.ledger().recovering.is_empty() && play.ledger().ended.is_none());
    }
}

#[test]
fn what_one_look_may_miss_is_read_as_a_whole() {
    let every_look_is_whole = |mut play: Play| {
        play.run(hours(6));
        assert!(!play.orders.is_empty() && play.looks.iter().all(|(_, scope)| *scope == Scope::Target));
    };
    // One namespace alone; groups that may lie in several.
    every_look_is_whole(Play::new(|_| ()));
    every_look_is_whole(spread(by_pod));
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
