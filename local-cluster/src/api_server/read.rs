//! `GET`: one object, or a list of them, whole or in pages, now or as it was.

use std::sync::Arc;

use serde_json::{Value, json};

use super::error::{ApiError, ApiResult, FieldError};
use super::registry::{Origin, ResourceType};
use super::request::Query;
use super::respond::{Page, convert};
use crate::store::selector::{FieldSelector, LabelSelector};
use crate::store::{Object, ObjectKey, Store};

/// Which objects of a collection a list, watch or deletion is about.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) ty: Arc<ResourceType>,
    /// `None` for all namespaces.
    pub(crate) namespace: Option<String>,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Reads the selectors of a query; `name` narrows to one object.
    pub(crate) fn new(ty: Arc<ResourceType>, namespace: &str, name: &str, query: &Query) -> ApiResult<Self> {
        let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or_default())
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let mut text = query.get("fieldSelector").unwrap_or_default().to_owned();
        if !name.is_empty() {
            text =
                if text.is_empty() { format!("metadata.name={name}") } else { format!("{text},metadata.name={name}") };
        }
        let fields = FieldSelector::parse(&text).map_err(|error| ApiError::bad_request(error.to_string()))?;
        if let Some(unknown) = fields.fields().find(|field| !is_selectable(&ty, field)) {
            return Err(ApiError::bad_request(format!("field label not supported: {unknown}")));
        }
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        Ok(Self { ty, namespace, labels, fields })
    }

    /// Whether an object belongs to it.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == object.key().namespace)
            && self.labels.matches(&object.value()["metadata"]["labels"])
            && (self.fields.is_empty() || self.fields.matches(&convert(&self.ty, object.value())))
    }

    fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

fn is_selectable(ty: &ResourceType, field: &str) -> bool {
    if matches!(field, "metadata.name" | "metadata.namespace") {
        return true;
    }
    let own: &[&str] = match (&ty.origin, ty.group.as_str(), ty.kind.as_str()) {
        (Origin::Custom(custom), _, _) => return custom.is_selectable(&ty.version, field),
        (_, "", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        (_, "", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        (_, "events.k8s.io", "Event") => &["regarding.kind", "regarding.name", "regarding.uid", "reason", "type"],
        (_, "", "Node") => &["spec.unschedulable"],
        (_, "", "Namespace") => &["status.phase"],
        (_, "", "Secret") => &["type"],
        (_, "", "Service") => &["spec.clusterIP", "spec.type"],
        (_, "apps", "ReplicaSet") => &["status.replicas"],
        (_, "batch", "Job") => &["status.successful"],
        _ => &[],
    };
    own.contains(&field)
}

/// The object asked for.
pub(crate) fn get(store: &Store, ty: &ResourceType, key: &ObjectKey) -> ApiResult<Arc<Object>> {
    store.get(&ty.storage, key).cloned().ok_or_else(|| ApiError::not_found(&ty.group_resource(), &key.name))
}

/// Where the next page starts, and of which moment.
#[derive(Debug)]
struct Continuation {
    revision: u64,
    after: ObjectKey,
}

impl Continuation {
    fn encode(&self) -> String {
        let token = json!({"rv": self.revision, "ns": self.after.namespace, "name": self.after.name}).to_string();
        token.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn decode(token: &str) -> ApiResult<Self> {
        let read = || -> Option<Self> {
            let bytes: Option<Vec<u8>> =
                (0..token.len()).step_by(2).map(|i| u8::from_str_radix(token.get(i..i + 2)?, 16).ok()).collect();
            let token: Value = serde_json::from_slice(&bytes?).ok()?;
            let after = ObjectKey::new(token["ns"].as_str()?, token["name"].as_str()?);
            Some(Self { revision: token["rv"].as_u64()?, after })
        };
        read().ok_or_else(|| ApiError::bad_request("continue key is not valid"))
    }
}

/// One page (or all) of a list.
pub(crate) fn list(store: &Store, selection: &Selection, query: &Query) -> ApiResult<Page> {
    let limit = query.number::<usize>("limit")?.filter(|limit| *limit > 0);
    let start = query.get("continue").map(Continuation::decode).transpose()?;
    let (revision, objects) = snapshot(store, selection, query, start.as_ref())?;
    let mut selected = objects
        .into_iter()
        .filter(|object| start.as_ref().is_none_or(|start| *object.key() > start.after))
        .filter(|object| selection.matches(object));
    let Some(limit) = limit else {
        return Ok(Page { objects: selected.collect(), revision, next: None, remaining: None });
    };
    let page: Vec<_> = selected.by_ref().take(limit).collect();
    let remaining = selected.count();
    let next =
        page.last().filter(|_| remaining > 0).map(|last| Continuation { revision, after: last.key().clone() }.encode());
    // As on the real server, the count is only told where no selector made it expensive.
    let remaining = (remaining > 0 && selection.is_everything()).then_some(remaining);
    Ok(Page { objects: page, revision, next, remaining })
}

fn snapshot(
    store: &Store,
    selection: &Selection,
    query: &Query,
    start: Option<&Continuation>,
) -> ApiResult<(u64, Vec<Arc<Object>>)> {
    let collection = &selection.ty.storage;
    let revision = query.number::<u64>("resourceVersion")?;
    let mode = query.get("resourceVersionMatch");
    let forbidden = |detail: &str| {
        let error = FieldError::forbidden("resourceVersionMatch", detail);
        Err(ApiError::invalid_options("ListOptions", error))
    };
    if mode.is_some() && revision.is_none() {
        return forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided");
    }
    if let Some(start) = start {
        if revision.is_some_and(|revision| revision != 0) {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        let objects = store.list_at(collection, start.revision).map_err(|_| ApiError::expired_continue())?;
        return Ok((start.revision, objects));
    }
    match (mode, revision) {
        (Some("Exact"), Some(0)) => forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""),
        (Some("Exact"), Some(exact)) => {
            check_not_future(store, exact)?;
            Ok((exact, store.list_at(collection, exact)?))
        }
        (None | Some("NotOlderThan"), revision) => {
            check_not_future(store, revision.unwrap_or(0))?;
            Ok((store.revision(), store.list(collection, selection.namespace.as_deref()).cloned().collect()))
        }
        (Some(other), _) => {
            let choices = ["Exact", "NotOlderThan", ""];
            let error = FieldError::not_supported("resourceVersionMatch", &other.into(), &choices);
            Err(ApiError::invalid_options("ListOptions", error))
        }
    }
}

/// Refuses a revision that this store has not reached: a client that saw another cluster.
pub(crate) fn check_not_future(store: &Store, revision: u64) -> ApiResult<()> {
    if revision > store.revision() { Err(ApiError::future_revision(revision, store.revision())) } else { Ok(()) }
}
