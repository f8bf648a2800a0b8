//! What the current credentials may do, asked of the API server itself (`SelfSubjectAccessReview`).

use anyhow::Context as _;
use chaos_core::api::KillMode;
use chaos_core::check::Row;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

/// A verb on a resource: group, resource, subresource.
type Needed = (&'static str, &'static str, &'static str, Option<&'static str>);

const READS: [Needed; 4] = [
    ("list", "", "pods", None),
    ("list", "apps", "deployments", None),
    ("list", "policy", "poddisruptionbudgets", None),
    ("create", "coordination.k8s.io", "leases", None),
];

/// A row for each permission that a kill of this mode in this namespace needs.
pub(crate) async fn rows(client: &Client, namespace: &str, mode: KillMode) -> anyhow::Result<Vec<Row>> {
    let kill: Needed = match mode {
        KillMode::Evict => ("create", "", "pods", Some("eviction")),
        KillMode::Delete => ("delete", "", "pods", None),
    };
    let mut rows = Vec::new();
    for needed in READS.into_iter().chain([kill]) {
        rows.push(row(client, namespace, needed).await?);
    }
    Ok(rows)
}

async fn row(client: &Client, namespace: &str, (verb, group, resource, subresource): Needed) -> anyhow::Result<Row> {
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: subresource.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let answer = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .context("failed to ask what these credentials may do")?;
    let pass = answer.status.is_some_and(|status| status.allowed);
    let what = subresource.map_or_else(|| resource.to_owned(), |sub| format!("{resource}/{sub}"));
    let message = format!("{verb} {what} in {namespace}{}", if pass { "" } else { ": these credentials may not" });
    Ok(Row { name: "permission", pass, reason: (!pass).then_some("Forbidden"), message })
}
