//! What a run and its cluster are advised: each piece where its facts are there, and none where they are not.

use std::collections::BTreeMap;

use super::runs::{harmless, spec};
use crate::evidence::fixture::{Story, ms};
use crate::population::{
    BudgetFacts, ContainerFacts, NodeFacts, PodFacts, Population, SwitchState, TemplateFacts, WorkloadFacts,
    WorkloadKey,
};
use crate::record::{BadClass, Event, RunTime};
use crate::result::{Advice, RunResult};
use crate::verdict::judge;

const LEAVES: &str = "Pods leave before their traffic does";
const GIVES_UP: &str = "Those who call Deployment/trips give up at the first broken connection";
const TOGETHER: &str = "All pods of Deployment/trips are on one node";
const STILL_LEAVES: &str = "Pods wait before they leave, and still leave before their traffic does";

/// Two pods of the workload that the kills of stories hit, each on its own node, covered by a budget, with a readiness probe and
/// a preStop hook: nothing of it is weak.
pub(super) fn healthy() -> Population {
    let (namespace, kind, name) = ("dispatch".to_owned(), "Deployment".to_owned(), "trips".to_owned());
    let key = WorkloadKey { namespace, kind, name, uid: "deployment".into() };
    let taken_at = "2026-11-23T12:00:00Z".parse().unwrap();
    let container = ContainerFacts {
        name: "trips-server".into(),
        image: "trips:1".into(),
        image_id: None,
        has_port: true,
        has_readiness_probe: true,
        has_pre_stop: true,
    };
    let sidecar = ContainerFacts { name: "agent".into(), image: "agent:1".into(), ..ContainerFacts::default() };
    let pod = |number: u32| PodFacts {
        namespace: "dispatch".into(),
        name: format!("trips-{number}"),
        uid: format!("uid-{number}"),
        labels: BTreeMap::new(),
        owner: None,
        workload: Some(key.clone()),
        node: Some(format!("node-{number}")),
        created_at: taken_at,
        ready: true,
        ready_since: Some(taken_at),
        phase: "Running".into(),
        terminating: false,
        mirror: false,
        priority_class: None,
        template: Some(TemplateFacts { containers: vec![sidecar.clone(), container.clone()], grace_seconds: 45 }),
    };
    let covers = vec!["uid-0".into(), "uid-1".into()];
    Population {
        taken_at,
        environment: None,
        switch: SwitchState::Running,
        namespaces: Vec::new(),
        workloads: vec![WorkloadFacts { key: key.clone(), desired: 2, rollout: None, terminating: false }],
        pods: vec![pod(0), pod(1)],
        nodes: None,
        budgets: vec![BudgetFacts {
            namespace: "dispatch".into(),
            name: "trips".into(),
            covers,
            disruptions_allowed: 1,
        }],
    }
}

/// The serving container of each pod, changed.
fn with_container(change: impl Fn(&mut ContainerFacts)) -> Population {
    let mut population = healthy();
    let templates = population.pods.iter_mut().filter_map(|pod| pod.template.as_mut());
    templates.for_each(|template| change(&mut template.containers[1]));
    population
}

fn judged(mut story: Story, population: Population) -> RunResult {
    let eligible = population.pods.iter().map(|pod| pod.uid.clone()).collect();
    let population = Box::new(population);
    story.extra.push(Event::Planned { at: RunTime(1), population, eligible, excluded: Vec::new() });
    judge(&spec(harmless()), &story.events())
}

fn advice_on<'a>(result: &'a RunResult, title: &str) -> Option<&'a Advice> {
    result.advice.iter().find(|advice| advice.title == title)
}

/// The count that the evidence of advice begins with.
fn told(advice: &Advice) -> u64 {
    advice.evidence.split(' ').next().unwrap().replace(',', "").parse().unwrap()
}

/// Kills half a second apart, whose spans overlap.
fn overlapping(kills: u64) -> Story {
    let mut story = Story::new(20_000, 30_000);
    story.probe("ride", 100.0);
    (0..kills).for_each(|i| story.kill(11_000 + i * 500, 300));
    story
}

#[test]
fn a_request_that_two_kills_may_have_cut_off_counts_once() {
    let mut story = overlapping(2);
    story.lose(11_600, 30, BadClass::Refused);
    let result = judged(story, with_container(|container| container.has_pre_stop = false));
    let advice = advice_on(&result, LEAVES).unwrap();
    assert_eq!(told(advice), 30, "{}", advice.evidence);
    assert_eq!(advice.about, "Deployment/trips");
    assert!(advice.evidence.ends_with("; container trips-server has no preStop hook"), "{}", advice.evidence);
    assert!(advice.manifest.contains("- name: trips-server\n"), "{}", advice.manifest);
    assert!(advice.manifest.contains("terminationGracePeriodSeconds: 45\n"), "{}", advice.manifest);
    assert!(advice.manifest.ends_with("seconds: 5"), "{}", advice.manifest);
}

#[test]
fn no_more_is_told_to_be_cut_off_than_failed() {
    let mut story = overlapping(12);
    for second in 0..8 {
        story.lose(11_100 + second * 1_000, 70, BadClass::Reset);
    }
    // Sent too late: whatever came back, it says nothing.
    let late = story.bad.iter_mut().filter(|slot| slot.due >= ms(16_000));
    late.for_each(|slot| slot.lag = Some(900_000_000));
    let result = judged(story, with_container(|container| container.has_pre_stop = false));
    let failed = result.probes[0].judged.failed;
    let cut = told(advice_on(&result, LEAVES).unwrap());
    assert!(cut > 300 && cut <= failed, "{cut} of {failed}");
}

#[test]
fn a_pre_stop_hook_that_is_too_short_is_to_be_longer() {
    let mut story = overlapping(1);
    story.lose(11_010, 1, BadClass::Refused);
    let result = judged(story, healthy());
    assert_eq!(advice_on(&result, LEAVES), None);
    let advice = advice_on(&result, STILL_LEAVES).unwrap();
    assert!(advice.evidence.starts_with("1 request refused or reset"), "{}", advice.evidence);
    assert!(advice.evidence.ends_with("that ends too early, and 45 s of grace"), "{}", advice.evidence);
    assert!(advice.manifest.contains("seconds: 15  # or more"), "{}", advice.manifest);
}

#[test]
fn where_nothing_is_weak_nothing_is_advised() {
    let advice = judged(overlapping(12), healthy()).advice;
    assert!(advice.is_empty(), "{advice:?}");
}

#[test]
fn a_container_that_serves_and_does_not_say_when_is_to_say_it() {
    let result = judged(overlapping(1), with_container(|container| container.has_readiness_probe = false));
    assert_eq!(result.advice.len(), 1, "{:?}", result.advice);
    let advice = &result.advice[0];
    assert_eq!(advice.evidence, "1 container without a readinessProbe, though with a port: trips-server");
    assert!(
        advice.manifest.contains("        - name: trips-server\n          readinessProbe:\n"),
        "{}",
        advice.manifest
    );
    // What has no port serves nobody.
    let silent = with_container(|container| (container.has_port, container.has_readiness_probe) = (false, false));
    assert!(judged(overlapping(1), silent).advice.is_empty());
}

#[test]
fn a_caller_whom_another_pod_would_have_served_is_to_ask_again() {
    let of = |count: u64, class: BadClass, desired: u32| {
        let mut story = overlapping(1);
        story.lose(15_000, count, class);
        let mut population = healthy();
        population.workloads[0].desired = desired;
        let result = judged(story, population);
        let advice = advice_on(&result, GIVES_UP);
        assert!(advice.is_none_or(|advice| advice.about == "Deployment/trips"
            && advice.manifest.contains("# the one in front of Deployment/trips\n      retry:")
            && advice.manifest.ends_with("        attempts: 1\n        backoff: 50ms")));
        advice.map(told)
    };
    assert_eq!(of(5, BadClass::Reset, 2), Some(5));
    // Of an outage of a second, at 100 requests a second: its first and its last fifth.
    assert_eq!(of(100, BadClass::Refused, 2), Some(40));
    assert_eq!(of(5, BadClass::Status, 2), None);
    assert_eq!(of(5, BadClass::Reset, 1), None);
}

#[test]
fn pods_say_that_they_are_together_where_nodes_may_not_be_read() {
    let mut population = healthy();
    assert_eq!(population.nodes, None);
    assert_eq!(advice_on(&judged(overlapping(1), population.clone()), TOGETHER), None);
    population.pods[1].node = Some("node-0".into());
    let result = judged(overlapping(1), population.clone());
    assert_eq!(advice_on(&result, TOGETHER).unwrap().evidence, "its 2 pods are all on node node-0");
    population.nodes = Some(Vec::new());
    assert_eq!(advice_on(&judged(overlapping(1), population), TOGETHER), None, "there is no other");
}

#[test]
fn what_one_replica_and_no_budget_mean_is_told_with_the_lines_to_change() {
    let mut population = healthy();
    population.budgets.clear();
    let result = judged(overlapping(1), population.clone());
    let [unbudgeted] = &result.advice[..] else { panic!("{:?}", result.advice) };
    assert_eq!(unbudgeted.evidence, "none of its 2 pods is covered by a PodDisruptionBudget");
    assert!(unbudgeted.manifest.contains("kind: PodDisruptionBudget\n"), "{}", unbudgeted.manifest);
    population.pods.truncate(1);
    population.workloads[0].desired = 1;
    let result = judged(overlapping(1), population);
    let [alone] = &result.advice[..] else {
        panic!("a budget of one pod would only block drains: {:?}", result.advice)
    };
    assert_eq!(alone.title, "Deployment/trips has one replica: every kill of it is an outage");
    assert_eq!((alone.evidence.as_str(), alone.manifest.as_str()), ("spec.replicas is 1", "spec:\n  replicas: 2"));
}

#[test]
fn pods_of_one_zone_are_told_where_there_are_others() {
    let title = "All pods of Deployment/trips are on one zone";
    let of = |zones: [&str; 3]| {
        let mut population = healthy();
        let node = |(number, zone): (usize, &str)| NodeFacts {
            name: format!("node-{number}"),
            labels: BTreeMap::from([("topology.kubernetes.io/zone".to_owned(), zone.to_owned())]),
            ready: true,
        };
        population.nodes = Some(zones.into_iter().enumerate().map(node).collect());
        advice_on(&judged(overlapping(1), population), title).cloned()
    };
    let told = of(["a", "a", "b"]).unwrap();
    assert_eq!(told.evidence, "its 2 pods are all on zone a");
    assert!(told.manifest.contains("topologyKey: topology.kubernetes.io/zone\n"), "{}", told.manifest);
    assert_eq!(of(["a", "b", "b"]), None);
    assert_eq!(of(["a", "a", "a"]), None, "there is no other");
}

#[test]
fn replacements_that_take_long_are_told() {
    let of = |ready: u64| {
        let mut story = Story::new(20_000, 80_000);
        story.probe("ride", 100.0);
        story.kill(11_000, ready);
        judged(story, healthy()).advice
    };
    assert!(of(29_000).is_empty());
    let advice = of(40_000);
    let [slow] = &advice[..] else { panic!("{advice:?}") };
    assert_eq!(slow.title, "Replacements are slow to become Ready");
    assert_eq!(slow.evidence, "kill to Ready took 40.0 s at the 95th percentile of 1 kill");
    assert!(slow.manifest.contains("startupProbe:\n"), "{}", slow.manifest);
}
