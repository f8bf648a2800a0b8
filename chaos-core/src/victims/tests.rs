//! The choice depends on seed, strike and UIDs alone, is even over groups and uniform within.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::limits::fixture::{cases, population};

/// The values come from a second implementation, in another language.
#[test]
fn the_hash_never_changes() {
    assert_eq!(rank(20_261_123, 0, "pod-0"), 3_945_279_296_275_671_634);
    assert_eq!(rank(-1, u64::MAX, ""), 9_099_108_127_050_851_838);
}

#[test]
fn the_order_of_the_list_does_not_matter() {
    let population = population(12);
    let pods: Vec<&PodFacts> = population.pods.iter().collect();
    for seed in 0..cases(2_000) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (seed, strike) = (rng.random(), rng.random());
        let mut shuffled = pods.clone();
        shuffled.shuffle(&mut rng);
        let chosen = victim(seed, strike, &pods);
        assert!(chosen.is_some());
        assert_eq!(chosen, victim(seed, strike, &shuffled));
    }
}

/// 100,000 draws over ten pods: the chi-square statistic (9 degrees of freedom) stays below its 99.99 % quantile.
#[test]
fn every_pod_is_as_likely_as_any_other() {
    let population = population(10);
    let pods: Vec<&PodFacts> = population.pods.iter().collect();
    let draws = cases(100_000);
    for seed in [1, 20_261_123] {
        let mut hits: BTreeMap<&str, u64> = BTreeMap::new();
        for strike in 0..draws {
            let victim = victim(seed, strike, &pods).unwrap();
            *hits.entry(&victim.uid).or_default() += 1;
        }
        let expected = draws as f64 / 10.0;
        let chi_square: f64 = hits.values().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
        assert!(hits.len() == 10 && chi_square < 33.7, "seed {seed}: {chi_square} {hits:?}");
    }
}

#[test]
fn only_the_victim_itself_can_leave_its_place_to_another() {
    let population = population(8);
    for strike in 0..200 {
        let mut pods: Vec<&PodFacts> = population.pods.iter().collect();
        let chosen = victim(5, strike, &pods).unwrap();
        pods.retain(|pod| pod.uid == chosen.uid || rank(5, strike, &pod.uid).is_multiple_of(2));
        assert_eq!(victim(5, strike, &pods), Some(chosen));
        pods.retain(|pod| pod.uid != chosen.uid);
        assert_ne!(victim(5, strike, &pods), Some(chosen));
    }
    assert_eq!(victim(5, 0, &[]), None);
}

#[test]
fn each_group_comes_first_once_a_round() {
    let names = ["a", "b", "c", "d", "e"];
    for seed in 0..100 {
        for round in 0..10 {
            let mut first: Vec<&str> = (0..5).map(|turn| group_order(seed, round * 5 + turn, names)[0]).collect();
            first.sort_unstable();
            assert_eq!(first, names);
        }
    }
    assert_eq!(group_order(1, 3, names).len(), 5);
    assert_eq!(group_order(1, 3, []), Vec::<&str>::new());
}

#[test]
fn groups_are_what_they_say() {
    let mut world = population(6);
    world.pods[5].labels.insert("tier".into(), "front".into());
    let sizes = |by: GroupBy, world: &Population| {
        let groups = groups(&by, &world.pods, world);
        let sizes: Vec<(String, usize)> = groups.members.into_iter().map(|(name, pods)| (name, pods.len())).collect();
        (sizes, groups.ungrouped.len())
    };
    assert_eq!(sizes(GroupBy::Workload, &world), (vec![("dispatch/Deployment/trips".into(), 6)], 0));
    assert_eq!(sizes(GroupBy::Namespace, &world), (vec![("dispatch".into(), 6)], 0));
    assert_eq!(sizes(GroupBy::Node, &world).0.len(), 3);
    assert_eq!(sizes(GroupBy::Zone, &world).0[0], ("zone-0".into(), 2));
    assert_eq!(sizes(GroupBy::Label("tier".into()), &world), (vec![("front".into(), 1)], 5));
    world.nodes = None;
    let zones = groups(&GroupBy::Zone, &world.pods, &world);
    assert!(zones.members.is_empty() && zones.ungrouped.iter().all(|(_, why)| *why == Ungrouped::NodesUnreadable));
}
