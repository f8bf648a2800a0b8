//! A small healthy cluster for tests: Deployment `trips` in namespace `dispatch`, its pods spread over three nodes and zones.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::api::labels;
use crate::population::{
    NamespaceFacts, NodeFacts, OwnerFacts, PodFacts, Population, SwitchState, WorkloadFacts, WorkloadKey,
};

/// The instant of every test here: 2026-11-23T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_795_435_200, 0);

/// The one workload.
pub(crate) fn workload() -> WorkloadKey {
    WorkloadKey { namespace: "dispatch".into(), kind: "Deployment".into(), name: "trips".into(), uid: "w".into() }
}

/// `pods` pods, all of them serving and opted in.
pub(crate) fn population(pods: u32) -> Population {
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    Population {
        taken_at: NOW,
        environment: None,
        switch: SwitchState::Running,
        namespaces: vec![NamespaceFacts {
            name: "dispatch".into(),
            labels: labels(&[(labels::ENABLED, "true")]),
            stopped: false,
            terminating: false,
        }],
        workloads: vec![WorkloadFacts { key: workload(), desired: pods, rollout: None, terminating: false }],
        pods: (0..pods)
            .map(|i| PodFacts {
                namespace: "dispatch".into(),
                name: format!("trips-{i}"),
                uid: format!("pod-{i}"),
                labels: labels(&[(labels::ENABLED, "true"), ("app", "trips")]),
                owner: Some(OwnerFacts { kind: "ReplicaSet".into(), name: "trips-1".into(), uid: "rs".into() }),
                workload: Some(workload()),
                node: Some(format!("node-{}", i % 3)),
                created_at: NOW - SignedDuration::from_secs(3600),
                ready: true,
                ready_since: Some(NOW - SignedDuration::from_secs(3500)),
                phase: "Running".into(),
                terminating: false,
                mirror: false,
                priority_class: None,
                template: None,
            })
            .collect(),
        nodes: Some(
            (0..3)
                .map(|i| NodeFacts {
                    name: format!("node-{i}"),
                    labels: labels(&[("topology.kubernetes.io/zone", &format!("zone-{i}"))]),
                    ready: true,
                })
                .collect(),
        ),
        budgets: Vec::new(),
    }
}

/// How many random cases a test tries: `CHAOS_CASES`, or the number that takes a moment.
#[expect(clippy::disallowed_methods, reason = "how long a test takes is up to whoever runs it")]
pub(crate) fn cases(default: u64) -> u64 {
    std::env::var("CHAOS_CASES").ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}
