//! Decisions of Deployments.

use serde_json::{Value, json};

use super::*;
use crate::controllers::fixtures::{ago, from, now, pod, terminating};

fn deployment(replicas: i32, version: &str, extra: &Value) -> Deployment {
    let mut deployment = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "dep", "generation": 7, "annotations": {"team": "rides"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": version}]}},
        },
    });
    json_patch::merge(&mut deployment, extra);
    from(deployment)
}

/// A ReplicaSet of version `version` with `available` of `replicas` pods available.
fn set(version: &str, revision: i64, replicas: i32, available: i32) -> Arc<ReplicaSet> {
    Arc::new(from(json!({
        "metadata": {
            "name": format!("web-{version}"), "namespace": "ns", "uid": format!("set-{version}"), "creationTimestamp": ago(100 - revision),
            "annotations": {REVISION: revision.to_string(), DESIRED_REPLICAS: "3", MAX_REPLICAS: "4"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "dep", "controller": true}],
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web", HASH_LABEL: version}},
                "spec": {"containers": [{"name": "c", "image": version}]},
            },
        },
        "status": {"replicas": replicas, "readyReplicas": available, "availableReplicas": available},
    })))
}

fn decide(deployment: &Deployment, sets: &[Arc<ReplicaSet>], pods: &[Arc<Pod>]) -> Vec<Action> {
    sync(&Observed { deployment, sets, pods, now: now() })
}

/// New sizes by set name; a created set is called `new`.
fn sizes(actions: &[Action]) -> Vec<(String, i32)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Create(set) => Some(("new".to_owned(), replicas(set))),
            Action::Update { set, replicas: Some(size), .. } => Some((set.name_any(), *size)),
            _ => None,
        })
        .collect()
}

fn size(name: &str, size: i32) -> (String, i32) {
    (name.to_owned(), size)
}

fn condition<'a>(actions: &'a [Action], kind: &str) -> (&'a str, &'a str) {
    let status = actions.iter().find_map(|action| match action {
        Action::Status(status) => Some(status),
        _ => None,
    });
    let condition = status.unwrap().conditions.iter().flatten().find(|condition| condition.type_ == kind).unwrap();
    (&condition.status, condition.reason.as_deref().unwrap())
}

#[test]
fn the_first_replica_set_has_everything_that_kubectl_looks_for() {
    let actions = decide(&deployment(3, "v1", &json!({})), &[], &[]);
    assert_eq!(sizes(&actions), [size("new", 3)]);
    let Some(Action::Create(set)) = actions.first() else { panic!("{actions:?}") };
    let hash = set.labels()[HASH_LABEL].clone();
    assert_eq!(set.name_any(), format!("web-{hash}"));
    let spec = set.spec.as_ref().unwrap();
    assert_eq!(spec.selector.match_labels.as_ref().unwrap()[HASH_LABEL], hash);
    assert_eq!(spec.template.as_ref().unwrap().metadata.as_ref().unwrap().labels.as_ref().unwrap()[HASH_LABEL], hash);
    let annotations = set.annotations();
    assert_eq!(
        (annotations[REVISION].as_str(), annotations[MAX_REPLICAS].as_str(), annotations["team"].as_str()),
        ("1", "4", "rides")
    );
    assert_eq!(condition(&actions, "Progressing"), ("True", "NewReplicaSetCreated"));
    assert_eq!(condition(&actions, "Available"), ("False", "MinimumReplicasUnavailable"));
}

#[test]
fn a_rollout_moves_within_its_limits_one_step_at_a_time() {
    let new = deployment(3, "v2", &json!({}));
    let steps = [
        (vec![set("v1", 1, 3, 3)], vec![size("new", 1)]),
        (vec![set("v1", 1, 3, 3), set("v2", 2, 1, 0)], vec![]),
        (vec![set("v1", 1, 3, 3), set("v2", 2, 1, 1)], vec![size("web-v1", 2)]),
        (vec![set("v1", 1, 2, 2), set("v2", 2, 1, 1)], vec![size("web-v2", 2)]),
        (vec![set("v1", 1, 1, 1), set("v2", 2, 3, 3)], vec![size("web-v1", 0)]),
        (vec![set("v1", 1, 0, 0), set("v2", 2, 3, 3)], vec![]),
    ];
    for (sets, expected) in steps {
        assert_eq!(sizes(&decide(&new, &sets, &[])), expected, "{sets:#?}");
    }
}

#[test]
fn broken_old_pods_go_first_without_touching_availability() {
    let new =
        deployment(3, "v2", &json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}}));
    let sets = [set("v1", 1, 3, 2), set("v2", 2, 1, 0)];
    assert_eq!(sizes(&decide(&new, &sets, &[])), [size("web-v1", 2)]);
}

#[test]
fn recreate_waits_for_every_old_pod() {
    let new = deployment(3, "v2", &json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}));
    assert_eq!(sizes(&decide(&new, &[set("v1", 1, 3, 3)], &[])), [size("web-v1", 0)]);
    let owner =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-v1", "uid": "set-v1", "controller": true}]);
    let mut leaving = terminating();
    leaving["metadata"]["ownerReferences"] = owner;
    let old_pod = pod("old", true, &leaving);
    assert_eq!(sizes(&decide(&new, &[set("v1", 1, 0, 0)], &[old_pod])), []);
    assert_eq!(sizes(&decide(&new, &[set("v1", 1, 0, 0)], &[])), [size("new", 3)]);
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_shared_out() {
    let bigger = deployment(10, "v2", &json!({}));
    let sets = [set("v1", 1, 2, 2), set("v2", 2, 2, 2)];
    let actions = decide(&bigger, &sets, &[]);
    let total: i32 = sizes(&actions).iter().map(|(_, size)| size).sum();
    assert_eq!(total, 11, "10 and a surge of 1: {:?}", sizes(&actions));
    assert!(sizes(&actions).iter().all(|(_, size)| *size >= 5));
}

#[test]
fn a_paused_deployment_scales_but_rolls_nothing_out() {
    let paused = deployment(5, "v2", &json!({"spec": {"paused": true}}));
    let actions = decide(&paused, &[set("v1", 1, 3, 3)], &[]);
    assert_eq!(sizes(&actions), [size("web-v1", 5)]);
    assert_eq!(condition(&actions, "Progressing"), ("Unknown", "DeploymentPaused"));
}

#[test]
fn a_rollback_gives_the_old_set_the_newest_revision() {
    let back = deployment(3, "v1", &json!({}));
    let actions = decide(&back, &[set("v1", 1, 0, 0), set("v2", 2, 3, 3)], &[]);
    assert_eq!(sizes(&actions), [size("web-v1", 1)]);
    let revisions: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Update { replicas: None, annotations, .. } => annotations.get(REVISION).cloned(),
            Action::Revision(revision) => Some(revision.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(revisions, ["3", "3"]);
}

#[test]
fn history_beyond_its_limit_is_removed_when_the_rollout_is_complete() {
    let done = deployment(3, "v3", &json!({"spec": {"revisionHistoryLimit": 1}}));
    let deleted = |sets: &[Arc<ReplicaSet>]| -> Vec<String> {
        let names = decide(&done, sets, &[]).into_iter().filter_map(|action| match action {
            Action::Delete(set) => Some(set.name_any()),
            _ => None,
        });
        names.collect()
    };
    assert_eq!(deleted(&[set("v1", 1, 0, 0), set("v2", 2, 0, 0), set("v3", 3, 3, 3)]), ["web-v1"]);
    assert_eq!(deleted(&[set("v1", 1, 0, 0), set("v2", 2, 1, 1), set("v3", 3, 3, 3)]), Vec::<String>::new());
}

#[test]
fn a_rollout_that_does_not_move_misses_its_deadline() {
    let stuck = |since: i64| {
        deployment(
            3,
            "v2",
            &json!({
                "spec": {"progressDeadlineSeconds": 60},
                "status": {
                    "observedGeneration": 7, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 3,
                    "conditions": [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "lastUpdateTime": ago(since), "lastTransitionTime": ago(since)}],
                },
            }),
        )
    };
    let sets = [set("v1", 1, 3, 3), set("v2", 2, 1, 0)];
    let in_time = decide(&stuck(10), &sets, &[]);
    assert_eq!(condition(&in_time, "Progressing"), ("True", "ReplicaSetUpdated"));
    assert!(in_time.contains(&Action::WakeAfter(Duration::from_millis(50_010))));
    assert_eq!(condition(&decide(&stuck(61), &sets, &[]), "Progressing"), ("False", "ProgressDeadlineExceeded"));
}

#[test]
fn limits_resolve_percentages_and_never_block_everything() {
    let limits = |surge: Value, unavailable: Value| {
        let deployment = deployment(
            3,
            "v1",
            &json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}}),
        );
        let limits = rolling::Limits::of(deployment.spec.as_ref().unwrap());
        (limits.surge, limits.unavailable)
    };
    assert_eq!(limits(json!("25%"), json!("25%")), (1, 0));
    assert_eq!(limits(json!(0), json!("10%")), (0, 1));
    assert_eq!(limits(json!(0), json!(9)), (0, 3));
}
