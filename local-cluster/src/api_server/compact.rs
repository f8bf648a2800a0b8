//! What the Go types leave out when they are written: empty lists and maps, and counters of a status that are zero.

use serde_json::Value;

/// Lists that are written even when empty.
const KEPT_LISTS: [&str; 11] = [
    "rules",
    "containers",
    "endpoints",
    "versions",
    "storedVersions",
    "addresses",
    "verbs",
    "groups",
    "nodeSelectorTerms",
    "values",
    "validations",
];
/// Maps (as opposed to structs, which say something by being there) that are left out when empty.
const OMITTED_MAPS: [&str; 9] = [
    "labels",
    "annotations",
    "data",
    "binaryData",
    "nodeSelector",
    "matchLabels",
    "limits",
    "requests",
    "disruptedPods",
];
/// Counters that are left out when zero.
const OMITTED_COUNTERS: [&str; 8] = [
    "readyReplicas",
    "updatedReplicas",
    "unavailableReplicas",
    "fullyLabeledReplicas",
    "terminatingReplicas",
    "currentReplicas",
    "observedGeneration",
    "collisionCount",
];

/// Removes them from an object of a built-in kind, or from the metadata of any object.
pub(crate) fn omit_empty(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(omit_empty);
            map.retain(|name, value| !is_omitted(name, value));
        }
        Value::Array(items) => items.iter_mut().for_each(omit_empty),
        _ => {}
    }
}

fn is_omitted(name: &str, value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty() && !KEPT_LISTS.contains(&name),
        Value::Object(map) => map.is_empty() && OMITTED_MAPS.contains(&name),
        Value::Number(number) => number.as_i64() == Some(0) && OMITTED_COUNTERS.contains(&name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn structs_stay_and_empty_lists_and_maps_go() {
        let mut object = json!({
            "metadata": {"labels": {}, "finalizers": []},
            "rules": [],
            "spec": {"volumes": [{"emptyDir": {}, "items": []}], "securityContext": {}, "nodeSelector": {}},
            "status": {"readyReplicas": 0, "replicas": 0},
        });
        omit_empty(&mut object);
        let expected = json!({
            "metadata": {},
            "rules": [],
            "spec": {"volumes": [{"emptyDir": {}}], "securityContext": {}},
            "status": {"replicas": 0},
        });
        assert_eq!(object, expected);
    }
}
