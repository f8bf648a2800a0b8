//! Decisions of StatefulSets.

use serde_json::{Value, json};

use super::*;
use crate::controllers::fixtures::{from, now, terminating};

fn set(replicas: i32, extra: &Value) -> StatefulSet {
    let mut set = json!({
        "metadata": {"name": "store", "namespace": "ns", "uid": "sts"},
        "spec": {
            "replicas": replicas, "serviceName": "store",
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}],
        },
    });
    json_patch::merge(&mut set, extra);
    from(set)
}

fn pod(set: &StatefulSet, ordinal: i32, ready: bool, extra: &Value) -> Arc<Pod> {
    let mut merged = json!({"metadata": {
        "labels": {REVISION_LABEL: revision_name(set, set.spec.as_ref().unwrap())},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "store", "uid": "sts", "controller": true}],
    }});
    json_patch::merge(&mut merged, extra);
    crate::controllers::fixtures::pod(&format!("store-{ordinal}"), ready, &merged)
}

/// Created (`+`) and deleted (`-`) objects.
fn decide(set: &StatefulSet, pods: &[Arc<Pod>]) -> Vec<String> {
    let actions = sync(set, pods, &[], now());
    let texts = actions.into_iter().filter_map(|action| match action {
        Action::CreateClaim(claim) => Some(format!("+{}", claim.name_any())),
        Action::CreatePod(pod) => Some(format!("+{}", pod.name_any())),
        Action::DeletePod(pod) => Some(format!("-{}", pod.name_any())),
        Action::Status(_) => None,
    });
    texts.collect()
}

#[test]
fn pods_come_one_after_the_other_with_their_claims() {
    let set = set(2, &json!({}));
    assert_eq!(decide(&set, &[]), ["+data-store-0", "+store-0"]);
    assert_eq!(decide(&set, &[pod(&set, 0, false, &json!({}))]), Vec::<String>::new());
    assert_eq!(decide(&set, &[pod(&set, 0, true, &json!({}))]), ["+data-store-1", "+store-1"]);
}

#[test]
fn a_name_is_free_only_when_the_old_pod_is_gone() {
    let set = set(2, &json!({}));
    let leaving = [pod(&set, 0, true, &terminating()), pod(&set, 1, true, &json!({}))];
    assert_eq!(decide(&set, &leaving), Vec::<String>::new());
    assert_eq!(decide(&set, &leaving[1..]), ["+data-store-0", "+store-0"]);
}

#[test]
fn parallel_sets_wait_for_nobody() {
    let set = set(2, &json!({"spec": {"podManagementPolicy": "Parallel"}}));
    assert_eq!(decide(&set, &[]), ["+data-store-0", "+store-0", "+data-store-1", "+store-1"]);
}

#[test]
fn the_highest_ordinal_goes_first_and_alone() {
    let set = set(1, &json!({}));
    let pods: Vec<_> = (0..3).map(|ordinal| pod(&set, ordinal, true, &json!({}))).collect();
    assert_eq!(decide(&set, &pods), ["-store-2"]);
    let leaving = [pods[0].clone(), pods[1].clone(), pod(&set, 2, true, &terminating())];
    assert_eq!(decide(&set, &leaving), Vec::<String>::new());
}

#[test]
fn an_update_replaces_from_the_top_and_waits_for_health() {
    let old = set(2, &json!({}));
    let new = set(2, &json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "new"}]}}}}));
    let outdated = |ready| [pod(&old, 0, true, &json!({})), pod(&old, 1, ready, &json!({}))];
    assert_eq!(decide(&new, &outdated(true)), ["-store-1"]);
    assert_eq!(decide(&new, &outdated(false)), ["-store-1"], "a broken outdated pod is not waited for");
    let half = [pod(&old, 0, true, &json!({})), pod(&new, 1, false, &json!({}))];
    assert_eq!(decide(&new, &half), Vec::<String>::new());
    let on_delete = set(
        2,
        &json!({"spec": {"updateStrategy": {"type": "OnDelete"}, "template": {"spec": {"containers": [{"name": "c", "image": "new"}]}}}}),
    );
    assert_eq!(decide(&on_delete, &outdated(true)), Vec::<String>::new());
    let partition = json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, "template": {"spec": {"containers": [{"name": "c", "image": "new"}]}}}});
    assert_eq!(decide(&set(2, &partition), &outdated(true)), Vec::<String>::new());
}

#[test]
fn a_pod_knows_its_name_its_place_and_its_claim() {
    let set = set(1, &json!({}));
    let actions = sync(&set, &[], &[], now());
    let pod = actions.into_iter().find_map(|action| match action {
        Action::CreatePod(pod) => Some(pod),
        _ => None,
    });
    let pod = pod.unwrap();
    assert_eq!((pod.labels()[POD_NAME_LABEL].as_str(), pod.labels()[INDEX_LABEL].as_str()), ("store-0", "0"));
    let spec = pod.spec.unwrap();
    assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("store-0"), Some("store")));
    let claim = spec.volumes.unwrap().remove(0).persistent_volume_claim.unwrap().claim_name;
    assert_eq!(claim, "data-store-0");
}

#[test]
fn a_revision_is_the_patch_that_brings_its_template_back_and_nothing_else() {
    let set = set(1, &json!({}));
    let revision = new_revision(&set, set.spec.as_ref().unwrap(), 3);
    let data = revision.data.clone().unwrap().0;
    assert_eq!(data["spec"]["template"]["$patch"], "replace");
    assert_eq!(data["spec"]["template"]["spec"]["containers"][0]["image"], "i");
    assert_eq!((revision.revision, revision.name_any()), (3, revision_name(&set, set.spec.as_ref().unwrap())));
    let hash = &revision.labels()["controller.kubernetes.io/hash"];
    assert_eq!(revision.name_any(), format!("store-{hash}"));
    assert_eq!(revision.labels()["app"], "web");
}
