//! Each rule is broken by one small change of a pod that is otherwise eligible, and found alone.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::api::labels;
use crate::limits::fixture::{NOW, population};
use crate::model::{Kinds, NamePattern, Names, NamespaceScope, Operator, Requirement, Selector, WorkloadRef};
use crate::population::{OwnerFacts, SwitchState};
use crate::units::Duration;

fn target() -> Target {
    Target {
        environment: None,
        workloads: Vec::new(),
        selector: Selector::default(),
        namespaces: NamespaceScope::Named(BTreeSet::from(["dispatch".to_owned()])),
        pod_names: Names::default(),
        owner_kinds: Kinds::default(),
        nodes: None,
        zones: BTreeSet::new(),
        min_age: Duration::default(),
    }
}

fn operator() -> Policy {
    Policy::operator("dispatch", "chaos-system")
}

/// The reasons for which the first pod is excluded, after a change.
fn reasons(change: impl FnOnce(&mut Target, &mut Policy, &mut Population)) -> Vec<Exclusion> {
    let (mut target, mut policy, mut population) = (target(), operator(), population(3));
    change(&mut target, &mut policy, &mut population);
    let judged = eligible(&target, &policy, &population, NOW);
    judged[0].reasons.iter().map(|reason| reason.exclusion).collect()
}

fn label(key: &str, value: &str) -> Selector {
    let operator = Operator::In(BTreeSet::from([value.to_owned()]));
    Selector::new(vec![Requirement { key: key.to_owned(), operator }])
}

fn owner(kind: &str) -> OwnerFacts {
    OwnerFacts { kind: kind.into(), name: "x".into(), uid: "x".into() }
}

#[test]
fn an_ordinary_pod_is_eligible() {
    assert_eq!(reasons(|_, _, _| {}), []);
}

#[test]
fn the_cluster_and_the_namespace_have_their_say() {
    let value = |map: &mut BTreeMap<String, String>, key: &str, value: &str| {
        map.insert(key.to_owned(), value.to_owned());
    };
    assert_eq!(reasons(|t, _, _| t.environment = Some("demo".into())), [Exclusion::EnvironmentMismatch]);
    assert_eq!(
        reasons(|t, _, p| (t.environment, p.environment) = (Some("demo".into()), Some("prod".into()))),
        [Exclusion::EnvironmentMismatch]
    );
    assert_eq!(reasons(|t, _, p| (t.environment, p.environment) = (Some("demo".into()), Some("demo".into()))), []);
    assert_eq!(reasons(|_, _, p| p.namespaces[0].labels.clear()), [Exclusion::NamespaceNotEnabled]);
    assert_eq!(reasons(|_, _, p| p.namespaces.clear()), [Exclusion::NamespaceNotEnabled]);
    assert_eq!(
        reasons(|_, _, p| value(&mut p.namespaces[0].labels, labels::ENABLED, "True")),
        [Exclusion::NamespaceNotEnabled]
    );
    for exclude in ["true", "yes", ""] {
        assert_eq!(
            reasons(|_, _, p| value(&mut p.namespaces[0].labels, labels::EXCLUDE, exclude)),
            [Exclusion::NamespaceExcluded]
        );
    }
    assert_eq!(reasons(|_, _, p| p.namespaces[0].stopped = true), [Exclusion::NamespaceStopped]);
    assert_eq!(reasons(|_, _, p| p.namespaces[0].terminating = true), [Exclusion::NamespaceTerminating]);
    assert_eq!(reasons(|_, policy, _| policy.operator_namespace = "dispatch".into()), [Exclusion::NamespaceDenied]);
}

#[test]
fn denied_namespaces_stay_denied_whatever_their_labels() {
    for namespace in DENIED_NAMESPACES {
        let found = reasons(|target, policy, population| {
            policy.spec_namespace = namespace.into();
            target.namespaces = NamespaceScope::Named(BTreeSet::from([namespace.to_owned()]));
            population.namespaces[0].name = namespace.into();
            population.pods[0].namespace = namespace.into();
        });
        assert_eq!(found, [Exclusion::NamespaceDenied]);
    }
}

#[test]
fn the_operator_needs_leave_to_reach_another_namespace_and_a_person_does_not() {
    let elsewhere = |policy: &mut Policy| policy.spec_namespace = "other".into();
    assert_eq!(reasons(|_, policy, _| elsewhere(policy)), [Exclusion::NamespaceNotAllowed]);
    let allow = |population: &mut Population, from: &str| {
        population.namespaces[0].labels.insert(labels::ALLOW_FROM.into(), from.into());
    };
    assert_eq!(reasons(|_, policy, p| (elsewhere(policy), allow(p, "third")).1), [Exclusion::NamespaceNotAllowed]);
    assert_eq!(reasons(|_, policy, p| (elsewhere(policy), allow(p, "other")).1), []);
    assert_eq!(reasons(|_, policy, _| *policy = Policy::cli("other")), []);
}

#[test]
fn a_namespace_bars_all_its_pods_or_leaves_them_to_their_own_rules() {
    const OF_NAMESPACE: [Exclusion; 4] = [
        Exclusion::NamespaceDenied,
        Exclusion::NamespaceNotEnabled,
        Exclusion::NamespaceExcluded,
        Exclusion::NamespaceNotAllowed,
    ];
    let mut open = 0;
    for bits in 0..128_u32 {
        let is = |bit: u32| bits & (1 << bit) != 0;
        let (mut policy, mut population) = (operator(), population(3));
        let namespace = &mut population.namespaces[0];
        (namespace.stopped, namespace.terminating) = (is(0), is(1));
        let mut label = |key: &str, value: &str| _ = namespace.labels.insert(key.to_owned(), value.to_owned());
        if is(2) {
            label(labels::ENABLED, "false");
        }
        if is(3) {
            label(labels::EXCLUDE, "true");
        }
        if is(4) {
            label(labels::ALLOW_FROM, "other");
        }
        if is(5) {
            policy.spec_namespace = "other".into();
        }
        if is(6) {
            policy.operator_namespace = "dispatch".into();
        }
        let bars = bars(&policy, &population.namespaces[0]);
        open += usize::from(bars.is_none());
        for judged in eligible(&target(), &policy, &population, NOW) {
            let mut of_namespace = judged.reasons.iter().filter(|it| OF_NAMESPACE.contains(&it.exclusion));
            assert_eq!(bars.as_ref(), of_namespace.next(), "{bits:b}");
        }
        assert!(barred(&policy, &population).is_empty(), "its pods are known: each says why");
        population.pods.clear();
        let told: Vec<_> = bars.into_iter().map(|reason| ("dispatch", reason)).collect();
        assert_eq!(barred(&policy, &population), told);
    }
    assert_eq!(open, 12, "stopped or not, being deleted or not, and of three kinds of specs");
}

#[test]
fn the_pod_itself_has_its_say() {
    let set = |key: &'static str, value: &'static str| {
        move |_: &mut Target, _: &mut Policy, p: &mut Population| {
            p.pods[0].labels.insert(key.into(), value.into());
        }
    };
    assert_eq!(reasons(set(labels::ENABLED, "false")), [Exclusion::PodNotEnabled]);
    assert_eq!(reasons(set(labels::EXCLUDE, "true")), [Exclusion::PodExcluded]);
    assert_eq!(reasons(set(labels::EXCLUDE, "false")), []);
    assert_eq!(
        reasons(|_, _, p| p.pods[0].priority_class = Some("system-node-critical".into())),
        [Exclusion::SystemPriority]
    );
    assert_eq!(reasons(|_, _, p| p.pods[0].mirror = true), [Exclusion::MirrorPod]);
    assert_eq!(reasons(|_, _, p| p.pods[0].owner = None), [Exclusion::NoController]);
    assert_eq!(reasons(|_, _, p| p.pods[0].workload = None), [Exclusion::OwnerUnknown]);
    assert_eq!(reasons(|_, _, p| p.workloads.clear()), [Exclusion::OwnerUnknown]);
    assert_eq!(reasons(|_, _, p| p.workloads[0].terminating = true), [Exclusion::WorkloadTerminating]);
    assert_eq!(reasons(|_, _, p| p.pods[0].owner = Some(owner("Job"))), [Exclusion::JobPod]);
    assert_eq!(reasons(|_, _, p| p.pods[0].terminating = true), [Exclusion::Terminating]);
    assert_eq!(reasons(|_, _, p| p.pods[0].phase = "Succeeded".into()), [Exclusion::NotRunning]);
    assert_eq!(reasons(|_, _, p| p.pods[0].ready = false), [Exclusion::NotReady]);
    assert_eq!(reasons(|_, _, p| p.nodes.as_mut().unwrap()[0].ready = false), [Exclusion::NotReady]);
    assert_eq!(reasons(|_, _, p| p.nodes = Some(Vec::new())), [Exclusion::NotReady]);
    assert_eq!(reasons(|_, _, p| (p.nodes, p.pods[0].node) = (Some(Vec::new()), None)), []);
}

#[test]
fn a_pod_that_was_chosen_is_spared_for_what_it_says_itself_by_the_rules_that_chose_it() {
    type Change = fn(&mut Target, &mut PodFacts);
    let why = |change: Change| {
        let (mut target, mut population) = (target(), population(3));
        change(&mut target, &mut population.pods[0]);
        let judged = eligible(&target, &operator(), &population, NOW);
        // Who it is of, and on which node, is not read once more.
        let alone = PodFacts { workload: None, ..population.pods[0].clone() };
        let reason = spared(&target, &operator(), &alone, NOW);
        assert_eq!(reason.as_ref(), judged[0].reasons.first());
        reason.map(|reason| reason.exclusion)
    };
    assert_eq!(why(|_, _| {}), None);
    let changes: [(Change, Exclusion); 7] = [
        (|_, pod| pod.labels.clear(), Exclusion::PodNotEnabled),
        (|_, pod| drop(pod.labels.insert(labels::EXCLUDE.into(), "true".into())), Exclusion::PodExcluded),
        (|_, pod| pod.owner = None, Exclusion::NoController),
        (|target, _| target.selector = label("app", "eta"), Exclusion::LabelsNotTargeted),
        (|_, pod| pod.terminating = true, Exclusion::Terminating),
        (|_, pod| pod.phase = "Failed".into(), Exclusion::NotRunning),
        (|_, pod| pod.ready = false, Exclusion::NotReady),
    ];
    for (change, exclusion) in changes {
        assert_eq!(why(change), Some(exclusion));
    }
}

#[test]
fn a_job_is_hit_only_when_named() {
    let job = |population: &mut Population| population.pods[0].owner = Some(owner("Job"));
    assert_eq!(reasons(|target, _, p| (target.owner_kinds.include = BTreeSet::from(["Job".into()]), job(p)).1), []);
    let exclude = |target: &mut Target| target.owner_kinds.exclude = BTreeSet::from(["Job".into()]);
    assert_eq!(
        reasons(|target, _, p| (exclude(target), job(p)).1),
        [Exclusion::JobPod, Exclusion::OwnerKindNotTargeted]
    );
}

#[test]
fn the_targets_filters_are_anded() {
    let workload = |name: &str| vec![WorkloadRef { kind: "Deployment".into(), name: name.into() }];
    assert_eq!(reasons(|t, _, _| t.workloads = workload("trips")), []);
    assert_eq!(reasons(|t, _, _| t.workloads = workload("eta")), [Exclusion::WorkloadNotTargeted]);
    assert_eq!(reasons(|t, _, _| t.selector = label("app", "trips")), []);
    assert_eq!(reasons(|t, _, _| t.selector = label("app", "eta")), [Exclusion::LabelsNotTargeted]);
    assert_eq!(
        reasons(|t, _, _| t.namespaces = NamespaceScope::Labelled(label("team", "x"))),
        [Exclusion::NamespaceNotTargeted]
    );
    assert_eq!(reasons(|t, _, _| t.namespaces = NamespaceScope::Labelled(label(labels::ENABLED, "true"))), []);
    assert_eq!(reasons(|t, _, _| t.pod_names.include = NamePattern::new("trips-.*").ok()), []);
    assert_eq!(reasons(|t, _, _| t.pod_names.include = NamePattern::new("trips").ok()), [Exclusion::NameNotTargeted]);
    assert_eq!(reasons(|t, _, _| t.pod_names.exclude = NamePattern::new("trips-0").ok()), [Exclusion::NameNotTargeted]);
    assert_eq!(
        reasons(|t, _, _| t.owner_kinds.include = BTreeSet::from(["StatefulSet".into()])),
        [Exclusion::OwnerKindNotTargeted]
    );
    assert_eq!(reasons(|t, _, _| t.min_age = Duration::from_secs(3600)), []);
    assert_eq!(reasons(|t, _, _| t.min_age = Duration::from_secs(3601)), [Exclusion::TooYoung]);
    let future = |p: &mut Population| p.pods[0].created_at = NOW + jiff::SignedDuration::from_secs(5);
    assert_eq!(reasons(|t, _, p| (t.min_age = Duration::from_secs(1), future(p)).1), [Exclusion::TooYoung]);
    assert_eq!(
        reasons(|t, _, _| (t.workloads, t.selector) = (workload("eta"), label("app", "eta"))),
        [Exclusion::WorkloadNotTargeted, Exclusion::LabelsNotTargeted]
    );
}

#[test]
fn nodes_and_zones_need_nodes() {
    let zone = |target: &mut Target, zone: &str| target.zones = BTreeSet::from([zone.to_owned()]);
    let node = |target: &mut Target, disk: &str| target.nodes = Some(label("disk", disk));
    assert_eq!(reasons(|t, _, _| zone(t, "zone-0")), []);
    assert_eq!(reasons(|t, _, _| zone(t, "zone-1")), [Exclusion::ZoneNotTargeted]);
    assert_eq!(reasons(|t, _, _| node(t, "ssd")), [Exclusion::NodeNotTargeted]);
    assert_eq!(reasons(|t, _, p| (zone(t, "zone-0"), p.nodes = None).1), [Exclusion::NodesUnreadable]);
    assert_eq!(reasons(|t, _, p| (node(t, "ssd"), p.nodes = None).1), [Exclusion::NodesUnreadable]);
    assert_eq!(reasons(|t, _, p| (zone(t, "zone-0"), p.pods[0].node = None).1), [Exclusion::NodeNotTargeted]);
    // Without them, whoever does not ask for them is served all the same.
    assert_eq!(reasons(|_, _, p| p.nodes = None), []);
}

#[test]
fn explain_shows_every_rule_and_agrees_with_eligible() {
    let (target, policy, mut population) = (target(), operator(), population(3));
    population.pods[0].terminating = true;
    population.switch = SwitchState::Stopped; // no business of eligibility: limits ask for it
    for judged in eligible(&target, &policy, &population, NOW) {
        let checks = explain(&target, &policy, &population, NOW, judged.pod);
        assert_eq!(checks.len(), RULES.len());
        let failed: Vec<Exclusion> = checks
            .into_iter()
            .filter_map(|check| match check.finding {
                Finding::Fail(exclusion, _) => Some(exclusion),
                Finding::Pass(_) => None,
            })
            .collect();
        assert_eq!(failed, judged.reasons.iter().map(|r| r.exclusion).collect::<Vec<_>>());
    }
}
