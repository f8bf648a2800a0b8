//! `DELETE`: at once, after a grace period, or when the last finalizer goes.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::error::{ApiError, ApiResult, FieldError};
use super::super::registry::ResourceType;
use super::super::request::Query;
use super::{Admission, Transaction, metadata, update};
use crate::store::{GroupResource, Object, ObjectKey};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// Seconds that a pod gets at most, 68 years: whatever somebody asks for, its end is an instant that can be written.
const LONGEST_GRACE: i64 = 2_147_483_647;

/// What happens to the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// What must still be true of an object for it to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Preconditions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
}

impl Preconditions {
    /// Reads a `metav1.Preconditions` object.
    pub(crate) fn from_object(object: &Value) -> Self {
        let text = |field: &str| object.get(field).and_then(Value::as_str).map(str::to_owned);
        Self { uid: text("uid"), resource_version: text("resourceVersion") }
    }

    /// Refuses an object that is not the one meant.
    pub(crate) fn check(&self, ty: &ResourceType, object: &Object) -> ApiResult<()> {
        let metadata = &object.value()["metadata"];
        let name = &object.key().name;
        let found = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        for (wanted, own, what, meaning) in [
            (&self.uid, found("uid"), "UID", "deleted and then recreated"),
            (&self.resource_version, found("resourceVersion"), "ResourceVersion", "modified"),
        ] {
            if let Some(wanted) = wanted.as_ref().filter(|wanted| **wanted != own) {
                let why = format!(
                    "the {what} in the precondition ({wanted}) does not match the {what} in record ({own}). The object might have been {meaning}"
                );
                return Err(ApiError::conflict(&GroupResource::new(&ty.group, &ty.kind), name, &why));
            }
        }
        Ok(())
    }
}

/// `metav1.DeleteOptions`.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) preconditions: Preconditions,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) dry_run: bool,
    /// The options as the client sent them, for admission policies.
    pub(crate) sent: Value,
}

impl DeleteOptions {
    /// Reads them from the body, or from the query where the body has none.
    pub(crate) fn read(body: Option<&Value>, query: &Query) -> ApiResult<Self> {
        // A body, even one that says nothing, replaces the query: so does the real server.
        let ignored = Query::default();
        let query = if body.is_none() { query } else { &ignored };
        let body = body.unwrap_or(&Value::Null);
        let text = |field: &str| body.get(field).and_then(Value::as_str).or_else(|| query.get(field));
        let propagation = match text("propagationPolicy") {
            None => match body.get("orphanDependents").and_then(Value::as_bool) {
                Some(true) => Some(Propagation::Orphan),
                Some(false) => Some(Propagation::Background),
                None => None,
            },
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let choices = ["Foreground", "Background", "Orphan"];
                let error = FieldError::not_supported("propagationPolicy", &other.into(), &choices);
                return Err(ApiError::invalid_options("DeleteOptions", error));
            }
        };
        let grace_period_seconds = match body.get("gracePeriodSeconds") {
            None | Some(Value::Null) => query.number("gracePeriodSeconds")?,
            Some(value) => Some(value.as_i64().ok_or_else(|| {
                ApiError::bad_request(format!("gracePeriodSeconds: {value} is not a whole number of seconds"))
            })?),
        };
        let first = body.get("dryRun").and_then(Value::as_array).and_then(|all| all.first()).and_then(Value::as_str);
        Ok(Self {
            grace_period_seconds,
            preconditions: Preconditions::from_object(&body["preconditions"]),
            propagation,
            sent: body.clone(),
            dry_run: super::dry_run(first.or_else(|| query.get("dryRun")))?,
        })
    }

    /// What a client should know of what it did not say.
    pub(crate) fn warnings(&self, ty: &ResourceType) -> Vec<String> {
        let orphans_unasked = self.propagation.is_none() && ty.is("batch", "Job");
        let warning = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";
        orphans_unasked.then(|| warning.to_owned()).into_iter().collect()
    }
}

/// How far a deletion got.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object is gone; its last version.
    Gone(Arc<Object>),
    /// It is marked and waits for a kubelet, a finalizer or (a namespace) for its content to go.
    Marked(Arc<Object>),
}

/// Deletes an object as far as it can be deleted now.
pub(crate) fn delete(
    transaction: &mut Transaction<'_>,
    ty: &ResourceType,
    key: &ObjectKey,
    options: &DeleteOptions,
) -> ApiResult<Deleted> {
    let current = transaction.get(ty, key)?;
    options.preconditions.check(ty, &current)?;
    transaction.admit(&Admission {
        operation: "DELETE",
        ty,
        subresource: "",
        key,
        object: &Value::Null,
        old: current.value(),
        options: &options.sent,
    })?;
    let mut object = current.value().clone();
    set_propagation(ty, &mut object, options.propagation);
    mark(ty, &mut object, options.grace_period_seconds, transaction.now);
    if update::is_finished(ty, &object) {
        // The end of a pod's grace period is a change that watches see, before the deletion.
        let last = if ty.is("", "Pod") { transaction.put(ty, key.clone(), object)? } else { current };
        return Ok(Deleted::Gone(transaction.remove(ty, &last)?));
    }
    if object == *current.value() {
        return Ok(Deleted::Marked(current));
    }
    if current.value()["metadata"]["deletionTimestamp"].is_null() && ty.counts_generations() {
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        object["metadata"]["generation"] = generation.into();
    }
    let marked = transaction.put(ty, key.clone(), object)?;
    super::super::crd::definition_deleted(transaction, ty, &marked)?;
    // Emptying a definition's collection may have let it go as well.
    if !transaction.dry_run && transaction.store.get(&ty.storage, key).is_none() {
        return Ok(Deleted::Gone(marked));
    }
    Ok(Deleted::Marked(marked))
}

fn set_propagation(ty: &ResourceType, object: &mut Value, propagation: Option<Propagation>) {
    let propagation = match propagation {
        // Jobs kept the default of their first version.
        None if ty.is("batch", "Job") => Propagation::Orphan,
        None => return,
        Some(propagation) => propagation,
    };
    let mut finalizers = metadata::strings(&object["metadata"]["finalizers"]);
    finalizers.retain(|finalizer| !matches!(*finalizer, FOREGROUND | ORPHAN));
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND),
        Propagation::Orphan => finalizers.push(ORPHAN),
    }
    let finalizers = json!(finalizers);
    if let Some(metadata) = object["metadata"].as_object_mut() {
        if finalizers.as_array().is_some_and(Vec::is_empty) {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), finalizers);
        }
    }
}

/// Sets (or brings forward) the time of deletion.
fn mark(ty: &ResourceType, object: &mut Value, requested: Option<i64>, now: Timestamp) {
    let is_pod = ty.is("", "Pod");
    let grace = if is_pod { pod_grace(object, requested) } else { 0 };
    let before = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let marked_at = object["metadata"]["deletionTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let due = match marked_at {
        None => Some(now + SignedDuration::from_secs(grace)),
        // A second deletion may only shorten the wait, counted from the first one.
        Some(due) if is_pod && requested.is_some() && grace < before => {
            Some(due - SignedDuration::from_secs(before - grace))
        }
        Some(_) => None,
    };
    if let Some(due) = due {
        object["metadata"]["deletionTimestamp"] = metadata::timestamp(due).into();
        object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    }
    if ty.is("", "Namespace") {
        object["status"]["phase"] = "Terminating".into();
    }
}

/// The seconds that a pod gets: none if no kubelet has it or it is over.
fn pod_grace(pod: &Value, requested: Option<i64>) -> i64 {
    let is_unscheduled = pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    let is_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if is_unscheduled || is_over {
        return 0;
    }
    let grace = requested.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30);
    if grace < 0 { 1 } else { grace.min(LONGEST_GRACE) }
}
