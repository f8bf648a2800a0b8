//! The stop switches, of a whole cluster and of one namespace: where they stand and what they say. Whoever reads one asks here,
//! so that what is shown as stopped is what is stopped.

use std::collections::BTreeMap;

use super::labels;

/// Namespace of the switch and of the operator.
pub const NAMESPACE: &str = "chaos-system";
/// Name of the ConfigMap.
pub const NAME: &str = "chaos-switch";
/// Key in the ConfigMap whose value is one of the two below. Anything else counts as stopped.
pub const KEY: &str = "state";
/// Chaos may happen.
pub const RUNNING: &str = "Running";
/// No chaos.
pub const STOPPED: &str = "Stopped";

/// Whether a ConfigMap with these data lets chaos happen.
pub fn is_running(data: &BTreeMap<String, String>) -> bool {
    data.get(KEY).is_some_and(|state| state == RUNNING)
}

/// What a namespace with these annotations stops chaos by, if it does. Any value but "false" stops it: whoever writes this
/// annotation wants peace, even with a typo in its value.
pub fn stopped_by(annotations: &BTreeMap<String, String>) -> Option<&str> {
    annotations.get(labels::STOP).map(String::as_str).filter(|value| *value != "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn only_running_lets_chaos_happen() {
        assert!(is_running(&one(KEY, RUNNING)));
        for data in [one(KEY, STOPPED), one(KEY, "running"), one(KEY, ""), one("status", RUNNING), BTreeMap::new()] {
            assert!(!is_running(&data), "{data:?}");
        }
    }

    #[test]
    fn a_namespace_is_stopped_by_any_value_but_false() {
        for value in ["true", "True", "yes", "", "flase"] {
            assert_eq!(stopped_by(&one(labels::STOP, value)), Some(value));
        }
        assert_eq!(stopped_by(&one(labels::STOP, "false")), None);
        assert_eq!(stopped_by(&one(labels::EXCLUDE, "true")), None);
    }
}
