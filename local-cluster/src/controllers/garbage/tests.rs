//! What goes with what.

use serde_json::json;

use super::*;
use crate::controllers::fixtures::{ago, from};

fn item(uid: &str, owners: &[&str], finalizer: Option<&str>) -> Item {
    let owners: Vec<_> = owners
        .iter()
        .map(|uid| json!({"apiVersion": "v1", "kind": "K", "name": uid, "uid": uid, "blockOwnerDeletion": true}))
        .collect();
    let meta = json!({
        "name": uid, "uid": uid, "ownerReferences": owners,
        "finalizers": finalizer.into_iter().collect::<Vec<_>>(),
        "deletionTimestamp": finalizer.map(|_| ago(1)),
    });
    let resource = ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: "K".into(),
        plural: "ks".into(),
    };
    Item { kind: Arc::new(Kind { resource, is_namespaced: true }), object: Arc::new(from(json!({ "metadata": meta }))) }
}

fn owner(uid: &str) -> OwnerReference {
    item("x", &[uid], None).meta().owner_references.clone().unwrap().remove(0)
}

#[test]
fn dependents_of_absent_owners_are_collected_and_others_kept() {
    let items = [item("owner", &[], None), item("kept", &["owner"], None), item("orphan", &["gone"], None)];
    assert_eq!(sweep(&items), [Action::Collect { item: 2, owners: vec![owner("gone")] }]);
}

#[test]
fn one_owner_that_remains_is_enough() {
    let items = [item("owner", &[], None), item("shared", &["owner", "gone"], None)];
    assert_eq!(sweep(&items), [Action::DropReferences { item: 1, owners: vec![owner("gone")] }]);
}

#[test]
fn foreground_deletion_goes_from_the_leaves_up() {
    let deployment = item("deployment", &[], Some(FOREGROUND));
    let (set, pod) = (item("set", &["deployment"], None), item("pod", &["set"], None));
    let first = sweep(&[deployment.clone(), set, pod]);
    assert_eq!(first, [Action::DeleteForOwner { item: 1, policy: PropagationPolicy::Foreground }]);
    let (set, pod) = (item("set", &["deployment"], Some(FOREGROUND)), item("pod", &["set"], None));
    let second = sweep(&[deployment.clone(), set.clone(), pod]);
    assert_eq!(second, [Action::DeleteForOwner { item: 2, policy: PropagationPolicy::Background }]);
    assert_eq!(sweep(&[deployment.clone(), set]), [Action::RemoveFinalizer { item: 1, finalizer: FOREGROUND }]);
    assert_eq!(sweep(&[deployment]), [Action::RemoveFinalizer { item: 0, finalizer: FOREGROUND }]);
}

#[test]
fn orphaning_lets_dependents_go_before_the_owner() {
    let dying = item("owner", &[], Some(ORPHAN));
    let first = sweep(&[dying.clone(), item("child", &["owner"], None)]);
    assert_eq!(first, [Action::Orphan { item: 1, owner_uid: "owner".into() }]);
    assert_eq!(sweep(&[dying]), [Action::RemoveFinalizer { item: 0, finalizer: ORPHAN }]);
}
