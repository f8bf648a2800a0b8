//! `POST pods/NAME/eviction`: a deletion that asks the pod's disruption budget first. Budget and deletion are one
//! transaction, so that two evictions can never share the last allowed disruption.

use std::sync::Arc;

use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::registry::ResourceType;
use super::request::Query;
use super::write::{Admission, DeleteOptions, Transaction, delete, timestamp};
use crate::store::selector::LabelSelector;
use crate::store::{Object, ObjectKey};

const VIOLATION: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// Evictions not yet seen by the disruption controller before the budget is considered broken.
const MAX_DISRUPTED_PODS: usize = 2000;
/// How long a client waits for a budget that the controller has not looked at yet.
const UNPROCESSED_RETRY_SECONDS: u32 = 10;

/// Evicts a pod; the answer is a Status.
pub(crate) fn evict(
    transaction: &mut Transaction<'_>,
    pods: &ResourceType,
    key: &ObjectKey,
    eviction: &Value,
    query: &Query,
) -> ApiResult<Value> {
    let named = eviction["metadata"]["name"].as_str().unwrap_or_default();
    if !named.is_empty() && named != key.name {
        return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
    }
    let options = DeleteOptions::read(eviction.get("deleteOptions"), query)?;
    transaction.dry_run |= options.dry_run;
    let pod = transaction.get(pods, key)?;
    options.preconditions.check(pods, &pod)?;
    transaction.admit(&Admission {
        operation: "CREATE",
        ty: pods,
        subresource: "eviction",
        key,
        object: eviction,
        old: &Value::Null,
        options: &Value::Null,
    })?;
    // The deletion that follows is the server's own.
    transaction.requester = None;
    if !is_outside_budgets(pod.value()) {
        charge_budget(transaction, &pod)?;
        if pod.value()["metadata"]["deletionTimestamp"].is_null() {
            announce(transaction, pods, &pod)?;
        }
    }
    // The announcement was a write of its own, so a demanded resourceVersion has been checked above.
    let mut options = options;
    options.preconditions.resource_version = None;
    delete(transaction, pods, key, &options)?;
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

/// Pods that are over, going, or not yet started count for nobody.
fn is_outside_budgets(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || !pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Takes one disruption from the pod's budget, or refuses.
fn charge_budget(transaction: &mut Transaction<'_>, pod: &Object) -> ApiResult<()> {
    let budgets = transaction.registry.builtin("policy", "poddisruptionbudgets")?;
    let labels = &pod.value()["metadata"]["labels"];
    let matching: Vec<Arc<Object>> = transaction
        .store
        .list(&budgets.storage, Some(&pod.key().namespace))
        .filter(|budget| {
            let selector = LabelSelector::from_object(&budget.value()["spec"]["selector"]);
            selector.is_ok_and(|selector| selector.is_some_and(|selector| selector.matches(labels)))
        })
        .cloned()
        .collect();
    let budget = match matching.as_slice() {
        [] => return Ok(()),
        [budget] => budget,
        _ => return Err(ApiError::two_budgets()),
    };
    let status = &budget.value()["status"];
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let (healthy, desired, allowed) =
        (number("currentHealthy"), number("desiredHealthy"), number("disruptionsAllowed"));
    if !is_ready(pod.value()) {
        let always = budget.value()["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        if always || (healthy >= desired && desired > 0) {
            return Ok(());
        }
    }
    let name = &budget.key().name;
    if number("observedGeneration") < budget.value()["metadata"]["generation"].as_i64().unwrap_or(0) {
        let cause = format!("The disruption budget {name} is still being processed by the server.");
        return Err(ApiError::disruption_budget(VIOLATION, &cause, UNPROCESSED_RETRY_SECONDS));
    }
    let refused = |why| Err(ApiError::forbidden(&budgets.group_resource(), name, why));
    if allowed < 0 {
        return refused("pdb disruptions allowed is negative");
    }
    if status["disruptedPods"].as_object().is_some_and(|pods| pods.len() > MAX_DISRUPTED_PODS) {
        return refused("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        let cause = format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
        return Err(ApiError::disruption_budget(VIOLATION, &cause, 0));
    }
    let charged = charged(budget, &pod.key().name, &timestamp(transaction.now));
    transaction.put(&budgets, budget.key().clone(), charged)?;
    Ok(())
}

/// The budget with one disruption less, which is this pod's.
fn charged(budget: &Object, pod: &str, now: &str) -> Value {
    let mut charged = budget.value().clone();
    let status = &mut charged["status"];
    let left = status["disruptionsAllowed"].as_i64().unwrap_or(0) - 1;
    status["disruptionsAllowed"] = left.into();
    if !status["disruptedPods"].is_object() {
        status["disruptedPods"] = json!({});
    }
    status["disruptedPods"][pod] = now.into();
    if left == 0 {
        set_condition(status, &insufficient_pods(budget, now), now);
    }
    charged
}

fn insufficient_pods(budget: &Object, now: &str) -> Value {
    json!({
        "type": "DisruptionAllowed",
        "status": "False",
        "reason": "InsufficientPods",
        "message": "",
        "lastTransitionTime": now,
        "observedGeneration": budget.value()["status"]["observedGeneration"],
    })
}

/// Says in the pod's status why it is going.
fn announce(transaction: &mut Transaction<'_>, pods: &ResourceType, pod: &Object) -> ApiResult<()> {
    let mut announced = pod.value().clone();
    let now = timestamp(transaction.now);
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastProbeTime": Value::Null,
        "lastTransitionTime": now,
    });
    set_condition(&mut announced["status"], &condition, &now);
    transaction.put(pods, pod.key().clone(), announced)?;
    Ok(())
}

/// Sets a condition of a status; its transition time moves only when its status does.
fn set_condition(status: &mut Value, condition: &Value, now: &str) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|existing| existing["type"] == condition["type"]) {
        Some(existing) => {
            let since = if existing["status"] == condition["status"] {
                existing["lastTransitionTime"].clone()
            } else {
                now.into()
            };
            *existing = condition.clone();
            existing["lastTransitionTime"] = since;
        }
        None => conditions.push(condition.clone()),
    }
}
