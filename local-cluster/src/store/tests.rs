//! What every reader of the store relies on: order, snapshots, history and selectors.

use serde_json::json;

use super::selector::{FieldSelector, LabelSelector};
use super::*;

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

fn put(store: &mut Store, namespace: &str, name: &str, generation: u64) -> u64 {
    let value = json!({"metadata": {"namespace": namespace, "name": name, "generation": generation}});
    store.put(&pods(), ObjectKey::new(namespace, name), value).revision()
}

fn names(objects: &[Arc<Object>]) -> Vec<String> {
    objects.iter().map(|o| format!("{}/{}", o.key().namespace, o.key().name)).collect()
}

#[test]
fn revisions_are_global_and_strictly_increasing() {
    let mut store = Store::new(10);
    let first = put(&mut store, "a", "x", 1);
    let other =
        store.put(&GroupResource::new("apps", "deployments"), ObjectKey::new("a", "x"), json!({"metadata": {}}));
    let second = put(&mut store, "a", "x", 2);
    let removed = store.remove(&pods(), &ObjectKey::new("a", "x")).unwrap();
    assert!(first < other.revision() && other.revision() < second && second < removed.revision());
    assert_eq!(removed.value()["metadata"]["resourceVersion"], removed.revision().to_string());
    assert_eq!(store.revision(), removed.revision());
}

#[test]
fn a_namespace_is_listed_without_its_neighbours() {
    let mut store = Store::new(10);
    for (namespace, name) in [("b", "x"), ("a", "z"), ("b", "a"), ("ba", "x")] {
        put(&mut store, namespace, name, 1);
    }
    let listed: Vec<_> = store.list(&pods(), Some("b")).cloned().collect();
    assert_eq!(names(&listed), ["b/a", "b/x"]);
    let all: Vec<_> = store.list(&pods(), None).cloned().collect();
    assert_eq!(names(&all), ["a/z", "b/a", "b/x", "ba/x"]);
}

#[test]
fn a_snapshot_undoes_every_later_change() {
    let mut store = Store::new(10);
    put(&mut store, "a", "changed", 1);
    let before = put(&mut store, "a", "removed", 1);
    put(&mut store, "a", "added", 1);
    put(&mut store, "a", "changed", 2);
    store.remove(&pods(), &ObjectKey::new("a", "removed"));
    store.remove(&pods(), &ObjectKey::new("a", "added"));
    let snapshot = store.list_at(&pods(), before).unwrap();
    assert_eq!(names(&snapshot), ["a/changed", "a/removed"]);
    assert_eq!(snapshot[0].value()["metadata"]["generation"], 1);
}

#[test]
fn history_older_than_the_log_is_reported_as_compacted() {
    let mut store = Store::new(4);
    let first = put(&mut store, "a", "x", 0);
    for generation in 1..20 {
        put(&mut store, "a", "x", generation);
    }
    let error = store.events_after(&pods(), first).unwrap_err();
    assert_eq!(error.requested, first);
    assert!(store.list_at(&pods(), first).is_err());
    let kept = store.events_after(&pods(), error.oldest).unwrap();
    assert!(kept.len() >= 4);
    assert_eq!(kept[0].revision(), error.oldest + 1);
}

#[test]
fn a_watch_sees_each_change_once_with_what_was_before() {
    let mut store = Store::new(10);
    let start = store.revision();
    put(&mut store, "a", "x", 1);
    put(&mut store, "a", "x", 2);
    store.remove(&pods(), &ObjectKey::new("a", "x"));
    let kinds: Vec<_> =
        store.events_after(&pods(), start).unwrap().iter().map(|e| (e.kind, e.previous.is_some())).collect();
    assert_eq!(kinds, [(EventKind::Added, false), (EventKind::Modified, true), (EventKind::Deleted, true)]);
    assert_eq!(store.take_changed(), vec![pods(), pods(), pods()]);
    assert!(store.take_changed().is_empty());
}

#[test]
fn label_selectors_follow_the_documented_grammar() {
    let labels = json!({"app": "web", "tier": "edge", "weight": "7"});
    for (selector, expected) in [
        ("", true),
        ("app=web", true),
        ("app==web,tier=edge", true),
        ("app!=web", false),
        ("missing!=x", true),
        ("app in (web, db),tier notin (core)", true),
        ("app in (db)", false),
        ("missing notin (a)", true),
        ("app", true),
        ("!app", false),
        ("!missing", true),
        ("weight>6,weight<8", true),
        ("weight>7", false),
    ] {
        assert_eq!(LabelSelector::parse(selector).unwrap().matches(&labels), expected, "{selector}");
    }
    for broken in ["app in (a", "a b in (c)", "app=web,,tier", "a=b c", "w>x", "=x"] {
        assert!(LabelSelector::parse(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_null_label_selector_selects_nothing_and_an_empty_one_everything() {
    assert_eq!(LabelSelector::from_object(&Value::Null).unwrap(), None);
    assert!(LabelSelector::from_object(&json!({})).unwrap().unwrap().matches(&Value::Null));
    let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "DoesNotExist"}]});
    let selector = LabelSelector::from_object(&selector).unwrap().unwrap();
    assert!(selector.matches(&json!({"a": "b"})));
    assert!(!selector.matches(&json!({"a": "b", "c": ""})));
}

#[test]
fn field_selectors_compare_text_and_treat_absent_as_empty() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
    for (selector, expected) in [
        ("metadata.name=p", true),
        ("spec.nodeName=n1,status.phase!=Failed", true),
        ("spec.nodeName!=n1", false),
        ("status.podIP=", true),
        ("spec.unschedulable=false", true),
    ] {
        assert_eq!(FieldSelector::parse(selector).unwrap().matches(&pod), expected, "{selector}");
    }
    assert!(FieldSelector::parse("metadata.name").is_err());
}
