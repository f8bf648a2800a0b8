//! The two faces of an Event: `v1` as it is stored and `events.k8s.io/v1`, whose fields have other names.

use serde_json::{Map, Value};

/// Field names: in `v1`, in `events.k8s.io/v1`.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// A stored event as `events.k8s.io/v1`.
pub(crate) fn to_v1(stored: &Value) -> Value {
    rename(stored, "events.k8s.io/v1", |name| RENAMED.iter().find(|(old, _)| *old == name).map(|(_, new)| *new))
}

/// An `events.k8s.io/v1` event as it is stored.
pub(crate) fn to_stored(event: &Value) -> Value {
    rename(event, "v1", |name| RENAMED.iter().find(|(_, new)| *new == name).map(|(old, _)| *old))
}

fn rename(event: &Value, api_version: &str, new_name: impl Fn(&str) -> Option<&'static str>) -> Value {
    let mut renamed = Map::new();
    for (name, value) in event.as_object().into_iter().flatten() {
        renamed.insert(new_name(name).unwrap_or(name).to_owned(), value.clone());
    }
    renamed.insert("apiVersion".to_owned(), api_version.into());
    Value::Object(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_survives_the_way_there_and_back() {
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "e"},
            "regarding": {"kind": "Pod"},
            "note": "killed",
            "reportingController": "c",
            "deprecatedCount": 2,
        });
        let stored = to_stored(&event);
        assert_eq!(stored["message"], "killed");
        assert_eq!(stored["involvedObject"]["kind"], "Pod");
        assert_eq!(to_v1(&stored), event);
    }
}
