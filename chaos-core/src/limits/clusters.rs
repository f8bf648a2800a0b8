//! Random clusters, in every state that facts can be in: who is chosen and admitted may be killed by every rule, told here once
//! more in other words, and nobody is left out without one. `CHAOS_CASES` says how many clusters.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::fixture::{NOW, cases, population};
use super::*;
use crate::api::labels;
use crate::eligible::eligible;
use crate::model::{Kinds, Names, NamespaceScope, Selector, Target};
use crate::population::{BudgetFacts, NamespaceFacts, SwitchState};
use crate::units::CountOrPercent;
use crate::victims::victim;

/// The spec's own namespace, another one, and two that are never a target.
const NAMESPACES: [&str; 4] = ["dispatch", "other", "kube-system", "chaos-system"];

fn one_in(rng: &mut ChaCha8Rng, n: u32) -> bool {
    rng.random_range(0..n) == 0
}

fn pick<'a>(rng: &mut ChaCha8Rng, words: &[&'a str]) -> &'a str {
    words[rng.random_range(0..words.len())]
}

fn some_labels(rng: &mut ChaCha8Rng) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if !one_in(rng, 20) {
        let value = if one_in(rng, 20) { pick(rng, &["True", "false", ""]) } else { "true" };
        found.insert(labels::ENABLED.to_owned(), value.to_owned());
    }
    if one_in(rng, 20) {
        found.insert(labels::EXCLUDE.to_owned(), pick(rng, &["true", "false", "yes"]).to_owned());
    }
    if one_in(rng, 2) {
        found.insert(labels::ALLOW_FROM.to_owned(), pick(rng, &["dispatch", "elsewhere"]).to_owned());
    }
    found
}

fn random_pod(rng: &mut ChaCha8Rng, pod: &mut PodFacts) {
    let place = if one_in(rng, 4) { pick(rng, &NAMESPACES) } else { "dispatch" };
    place.clone_into(&mut pod.namespace);
    pod.labels = some_labels(rng);
    pod.ready = !one_in(rng, 12);
    pod.terminating = one_in(rng, 20);
    pod.mirror = one_in(rng, 30);
    if one_in(rng, 20) {
        pick(rng, &["Pending", "Failed", "Unknown"]).clone_into(&mut pod.phase);
    }
    if one_in(rng, 10) {
        pod.priority_class = Some(pick(rng, &["system-node-critical", "high"]).to_owned());
    }
    if one_in(rng, 30) {
        pod.owner = None;
    }
    if one_in(rng, 30) {
        pod.workload = None;
    }
    if let Some(owner) = pod.owner.as_mut().filter(|_| one_in(rng, 30)) {
        "Job".clone_into(&mut owner.kind);
    }
}

fn random_cluster(rng: &mut ChaCha8Rng) -> Population {
    let mut world = population(rng.random_range(1..7));
    world.namespaces.clear();
    for name in NAMESPACES {
        let (name, labels) = (name.to_owned(), some_labels(rng));
        let (stopped, terminating) = (one_in(rng, 20), one_in(rng, 20));
        world.namespaces.push(NamespaceFacts { name, labels, stopped, terminating });
    }
    for pod in &mut world.pods {
        random_pod(rng, pod);
    }
    for node in world.nodes.iter_mut().flatten() {
        node.ready = !one_in(rng, 15);
    }
    for workload in &mut world.workloads {
        workload.terminating = one_in(rng, 20);
        workload.rollout = one_in(rng, 15).then(|| "pods of two revisions exist".to_owned());
        workload.desired += rng.random_range(0..2);
    }
    if one_in(rng, 6) {
        world.switch = [SwitchState::Stopped, SwitchState::Missing, SwitchState::Unreadable][rng.random_range(0..3)];
    }
    if one_in(rng, 15) {
        world.taken_at = NOW - SignedDuration::from_secs(10);
    }
    if one_in(rng, 4) {
        world.budgets.push(BudgetFacts {
            namespace: "dispatch".to_owned(),
            name: "trips".to_owned(),
            covers: world.pods.iter().map(|pod| pod.uid.clone()).collect(),
            disruptions_allowed: rng.random_range(0..3),
        });
    }
    world
}

/// Whoever may be hit, by the words of the design.
fn may_be_killed(world: &Population, pod: &PodFacts) -> bool {
    let is =
        |map: &BTreeMap<String, String>, key: &str, wanted: &str| map.get(key).is_some_and(|value| value == wanted);
    let agrees = |map: &BTreeMap<String, String>| {
        is(map, labels::ENABLED, "true") && (!map.contains_key(labels::EXCLUDE) || is(map, labels::EXCLUDE, "false"))
    };
    let Some(namespace) = world.namespaces.iter().find(|namespace| namespace.name == pod.namespace) else {
        return false;
    };
    let place = match namespace.name.as_str() {
        "dispatch" => true,
        "other" => is(&namespace.labels, labels::ALLOW_FROM, "dispatch"),
        _ => false,
    };
    let owned = pod.owner.as_ref().is_some_and(|owner| owner.kind != "Job")
        && pod.workload.is_some()
        && world.workloads.iter().all(|workload| !workload.terminating);
    let system = pod.priority_class.as_deref() == Some("system-node-critical");
    place
        && agrees(&namespace.labels)
        && agrees(&pod.labels)
        && !(namespace.stopped || namespace.terminating || pod.mirror || system)
        && owned
        && pod.phase == "Running"
        && is_up(world, pod)
}

fn is_up(world: &Population, pod: &PodFacts) -> bool {
    let node = world.nodes.iter().flatten().find(|node| Some(&node.name) == pod.node.as_ref());
    pod.ready && !pod.terminating && node.is_some_and(|node| node.ready)
}

#[test]
fn whoever_is_chosen_in_whatever_cluster_may_be_killed_and_enough_are_left() {
    let target = Target {
        environment: None,
        workloads: Vec::new(),
        selector: Selector::default(),
        namespaces: NamespaceScope::Named(NAMESPACES.iter().map(|name| (*name).to_owned()).collect()),
        pod_names: Names::default(),
        owner_kinds: Kinds::default(),
        nodes: None,
        zones: BTreeSet::new(),
        min_age: Duration::default(),
    };
    let policy = Policy::operator("dispatch", "chaos-system");
    let clusters = cases(50_000);
    let mut killed = 0;
    for seed in 0..clusters {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let world = random_cluster(&mut rng);
        let judged = eligible(&target, &policy, &world, NOW);
        for one in &judged {
            assert_eq!(one.is_eligible(), may_be_killed(&world, one.pod), "cluster {seed}: {one:#?}");
        }
        let candidates: Vec<&PodFacts> = judged.iter().filter(|one| one.is_eligible()).map(|one| one.pod).collect();
        let Some(victim) = victim(7, seed, &candidates) else { continue };
        let mut budget = WorkloadBudget::default();
        if one_in(&mut rng, 4) {
            let victim_uid = world.pods[rng.random_range(0..world.pods.len())].uid.clone();
            budget.reservations.push(Reservation { run: "another".into(), strike: 1, victim_uid, since: NOW });
        }
        let limits = Limits {
            max_unavailable: CountOrPercent::Count(rng.random_range(0..5)),
            min_ready: rng.random_range(0..3),
            max_kills: 10,
            min_interval: Duration::default(),
            recover_within: Duration::from_secs(30),
            max_blind: Duration::from_secs(30),
            allow_force: false,
        };
        let request = KillRequest {
            limits: &limits,
            policy: &policy,
            mode: KillMode::Evict,
            run: "run",
            strike: 1,
            done: KillsDone::OfRun(0),
            victim,
            companions: 0,
        };
        if admit(&request, &world, &budget, NOW).is_err() {
            continue;
        }
        killed += 1;
        let workload = &world.workloads[0];
        assert!(workload.rollout.is_none() && world.switch == SwitchState::Running && world.taken_at == NOW, "{seed}");
        assert!(world.budgets.iter().all(|budget| budget.disruptions_allowed > 0), "{seed}");
        let is_left = |pod: &&PodFacts| {
            let is_taken = budget.reservations.iter().any(|held| held.victim_uid == pod.uid) || pod.uid == victim.uid;
            pod.workload.is_some() && is_up(&world, pod) && !is_taken
        };
        let left = world.pods.iter().filter(is_left).count();
        assert!(left >= limits.min_ready as usize, "cluster {seed}: {left} are left");
        let out = (workload.desired as usize).saturating_sub(left);
        assert!(out <= limits.max_unavailable.of(workload.desired as usize), "cluster {seed}: {out} are out");
    }
    assert!(killed > clusters / 100, "{killed} kills in {clusters} clusters: nothing was tried");
}
