//! Questions that every part asks of Kubernetes objects: who controls it, is it ready, does a selector match, how many is
//! 25 %. Pure functions over typed objects.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Resource;
use kube::api::ObjectMeta;
use serde_json::{Map, Value};

pub(crate) type Labels = BTreeMap<String, String>;

/// The owner that manages the object, if any.
pub(crate) fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether the object with this UID manages the object.
pub(crate) fn is_controlled_by(meta: &ObjectMeta, uid: Option<&str>) -> bool {
    controller_of(meta).is_some_and(|owner| Some(owner.uid.as_str()) == uid)
}

/// The reference that an object's dependents carry. Empty name or UID cannot happen on objects read from the API.
pub(crate) fn owner_reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

pub(crate) fn is_deleting(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// Neither finished nor on its way out.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_deleting(&pod.metadata) && !is_finished(pod)
}

pub(crate) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

pub(crate) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

pub(crate) fn pod_condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// The pod's status with this condition in the place of the one of its type.
pub(crate) fn with_condition(pod: &Pod, condition: PodCondition) -> PodStatus {
    let mut status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|known| known.type_ != condition.type_);
    conditions.push(condition);
    status
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod_condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// When a Ready pod became so.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let condition = pod_condition(pod, "Ready").filter(|condition| condition.status == "True")?;
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// Ready for at least `min_ready_seconds`.
pub(crate) fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    is_ready(pod)
        && (min_ready_seconds <= 0
            || ready_since(pod)
                .is_some_and(|since| now.duration_since(since) >= SignedDuration::from_secs(min_ready_seconds.into())))
}

pub(crate) fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|container| container.restart_count).sum()
}

/// Whether a selector matches. An empty one matches everything, as `metav1.LabelSelector` says.
pub(crate) fn selector_matches(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let get = |key: &str| labels.and_then(|labels| labels.get(key));
    let exact = selector.match_labels.iter().flatten().all(|(key, value)| get(key) == Some(value));
    exact
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let listed = |value: &String| requirement.values.iter().flatten().any(|candidate| candidate == value);
            match requirement.operator.as_str() {
                "In" => get(&requirement.key).is_some_and(listed),
                "NotIn" => !get(&requirement.key).is_some_and(listed),
                "Exists" => get(&requirement.key).is_some(),
                "DoesNotExist" => get(&requirement.key).is_none(),
                _ => false,
            }
        })
}

/// Whether all of `wanted` (a Service's selector, a node selector) is in `labels`.
pub(crate) fn labels_include(labels: Option<&Labels>, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// Which way a percentage that is no whole number goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    Up,
    Down,
}

/// A count, or a percentage of `total`. Text that is no percentage counts as 0; the API server does not let it in.
pub(crate) fn resolve(value: &IntOrString, total: i32, rounding: Rounding) -> i32 {
    match value {
        IntOrString::Int(count) => *count,
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = percent * i64::from(total);
            let rounded = match rounding {
                Rounding::Up => (product + 99).div_euclid(100),
                Rounding::Down => product.div_euclid(100),
            };
            i32::try_from(rounded).unwrap_or(i32::MAX)
        }
    }
}

pub(crate) const fn time(now: Timestamp) -> Time {
    Time(now)
}

/// The merge patch that makes `old` into `new`, `None` when they are equal. Absent fields become `null`; lists are replaced.
pub(crate) fn merge_diff(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return Some(new.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        let change = old.get(key).map_or_else(|| Some(value.clone()), |before| merge_diff(before, value));
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

/// A short name for any value, in letters that make no words: the alphabet of Kubernetes' own suffixes.
pub(crate) fn short_hash(value: &impl serde::Serialize, length: usize) -> String {
    use sha2::{Digest, Sha256};
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    // Serialising an object of ours to memory cannot fail; an empty text would still give a valid name.
    let text = serde_json::to_vec(value).unwrap_or_default();
    let digest = Sha256::digest(&text);
    digest.iter().take(length).map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
    use serde_json::json;

    use super::*;

    #[test]
    fn percentages_round_the_way_that_is_asked_for() {
        let quarter = IntOrString::String("25%".into());
        assert_eq!(resolve(&quarter, 3, Rounding::Up), 1);
        assert_eq!(resolve(&quarter, 3, Rounding::Down), 0);
        assert_eq!(resolve(&quarter, 8, Rounding::Up), 2);
        assert_eq!(resolve(&IntOrString::Int(2), 3, Rounding::Up), 2);
    }

    #[test]
    fn a_diff_applied_to_the_old_gives_the_new() {
        let old = json!({"a": 1, "b": {"c": [1], "d": 2}, "e": 3});
        let new = json!({"a": 1, "b": {"c": [2]}, "f": 4});
        let patch = merge_diff(&old, &new).unwrap();
        assert_eq!(patch, json!({"b": {"c": [2], "d": null}, "e": null, "f": 4}));
        let mut patched = old.clone();
        json_patch::merge(&mut patched, &patch);
        assert_eq!(patched, new);
        assert_eq!(merge_diff(&new, &new), None);
    }

    #[test]
    fn selectors_follow_set_based_requirements() {
        let labels = Labels::from([("app".into(), "trips".into())]);
        let check = |operator: &str, values: &[&str]| {
            let requirement = LabelSelectorRequirement {
                key: "app".into(),
                operator: operator.into(),
                values: Some(values.iter().map(ToString::to_string).collect()),
            };
            let selector = LabelSelector { match_expressions: Some(vec![requirement]), ..LabelSelector::default() };
            (selector_matches(&selector, Some(&labels)), selector_matches(&selector, None))
        };
        assert_eq!(check("In", &["trips"]), (true, false));
        assert_eq!(check("NotIn", &["trips"]), (false, true));
        assert_eq!(check("Exists", &[]), (true, false));
        assert_eq!(check("DoesNotExist", &[]), (false, true));
        assert_eq!(check("Unknown", &[]), (false, false));
    }
}
