//! The status of an object that cannot be read: its conditions say so. Nothing else of it is touched, as nobody knows what it means.

use chaos_core::condition::{Say, set};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::Tended;
use crate::kube::Shallow;
use crate::kube::call::{CallError, Caller};

/// The reason of such conditions, of the Event, and of the error of whoever works on it.
pub(in crate::kube) const UNREADABLE: &str = "Unreadable";

/// Says in the conditions of this object that it cannot be read, unless it can be by now, is gone, or says so already.
///
/// # Errors
///
/// The server does not answer, refuses, or the object was changed meanwhile.
pub async fn say_unreadable<K: Tended>(
    read: &Caller,
    write: &Caller,
    meta: &ObjectMeta,
    now: Timestamp,
) -> Result<(), CallError> {
    let name = meta.name.as_deref().unwrap_or_default();
    let path = format!("{}/{name}", K::url_path(&(), meta.namespace.as_deref()));
    let Some(found) = read.find::<Shallow>(&path).await? else { return Ok(()) };
    if found.object["metadata"]["uid"].as_str() != meta.uid.as_deref() {
        return Ok(());
    }
    let Err(why) = found.understood::<K>() else { return Ok(()) };
    match told(found.object, &why, now) {
        // Of an object whose status is written a server takes nothing else: what was too deep to be read stays.
        Some(told) => write.replace::<IgnoredAny>(&format!("{path}/status"), &told).await.map(|_| ()),
        None => Ok(()),
    }
}

/// The object with such conditions; `None`: it has them.
fn told(mut object: Value, why: &str, now: Timestamp) -> Option<Value> {
    let known = object["status"]["conditions"].clone();
    let mut conditions: Vec<Condition> = serde_json::from_value(known).unwrap_or_default();
    let before = conditions.clone();
    let generation = object["metadata"]["generation"].as_i64();
    let message = format!("it cannot be read, so nothing is done for it: {why}");
    // Only some kinds say whether they are active; of these nothing is.
    let is_active = |condition: &Condition| condition.type_ == "Active";
    let kinds = ["Ready", "Active"].into_iter().filter(|kind| *kind == "Ready" || before.iter().any(is_active));
    for kind in kinds {
        set(&mut conditions, kind, Say::of(false, UNREADABLE, &message), generation, now);
    }
    if conditions == before {
        return None;
    }
    let status = object.as_object_mut()?.entry("status").or_insert_with(|| json!({}));
    status.as_object_mut()?.insert("conditions".to_owned(), json!(conditions));
    Some(object)
}
