//! What somebody may do, asked of the API server itself. Nothing is tried to find out.

use chaos_core::check::Row;
use chaos_core::plan::Permission;
use chaos_engine::kube::told;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::PostParams;
use kube::{Api, Client};

/// Whose permissions are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject {
    /// Whoever these credentials belong to.
    Ourselves,
    /// The operator, as it is shipped.
    Operator,
}

/// A row for each permission. One that cannot be asked for is not there.
pub(crate) async fn rows(client: &Client, subject: Subject, needed: impl IntoIterator<Item = Permission>) -> Vec<Row> {
    let mut rows = Vec::new();
    for permission in needed {
        rows.push(row(client, subject, &permission).await);
    }
    rows
}

async fn row(client: &Client, subject: Subject, permission: &Permission) -> Row {
    let (who, answer) = match subject {
        Subject::Ourselves => ("these credentials", of_ourselves(client, permission).await),
        Subject::Operator => ("the operator", of_operator(client, permission).await),
    };
    let place = if permission.namespace.is_empty() { "the cluster" } else { &permission.namespace };
    let what = format!("{} {} in {place}", permission.verb, permission.resource);
    let (reason, message) = match answer {
        Ok(Some(status)) if status.allowed => (None, format!("{who} may {what}")),
        Ok(_) => (Some("Forbidden"), format!("{who} may not {what}")),
        Err(error) => (Some("Unknown"), format!("failed to ask whether {who} may {what}: {}", told(&error))),
    };
    Row { name: "permission", pass: reason.is_none(), reason, message }
}

async fn of_ourselves(client: &Client, permission: &Permission) -> kube::Result<Option<SubjectAccessReviewStatus>> {
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes(permission)), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    Ok(Api::all(client.clone()).create(&PostParams::default(), &review).await?.status)
}

async fn of_operator(client: &Client, permission: &Permission) -> kube::Result<Option<SubjectAccessReviewStatus>> {
    let spec = SubjectAccessReviewSpec {
        resource_attributes: Some(attributes(permission)),
        user: Some(chaos_operator::manifests::user()),
        ..Default::default()
    };
    let review = SubjectAccessReview { spec, ..Default::default() };
    Ok(Api::all(client.clone()).create(&PostParams::default(), &review).await?.status)
}

fn attributes(permission: &Permission) -> ResourceAttributes {
    let (resource, subresource) = match permission.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (permission.resource.as_str(), None),
    };
    let namespace = (!permission.namespace.is_empty()).then(|| permission.namespace.clone());
    ResourceAttributes {
        namespace,
        verb: Some(permission.verb.to_owned()),
        group: Some(permission.group.clone()),
        resource: Some(resource.to_owned()),
        subresource,
        ..ResourceAttributes::default()
    }
}
