//! Applies manifests to a cluster by server-side apply, as `kubectl apply --server-side` would. Knows no kind by name.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, Scope};
use kube::{Client, ResourceExt as _};

/// The field manager of everything that this tool applies.
pub(crate) const FIELD_MANAGER: &str = "chaos";

/// Looks for a kind that was registered a moment ago.
const ATTEMPTS: u32 = 40;
/// From one of them to the next.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads a file of several YAML documents; empty ones are left out.
pub(crate) fn documents(source: &str, text: &str) -> anyhow::Result<Vec<DynamicObject>> {
    let options = serde_yaml::options! { legacy_octal_numbers: true };
    let documents: Vec<serde_json::Value> = serde_yaml::from_multiple_with_options(text, options)
        .map_err(|error| anyhow::anyhow!("failed to read {source}: {error}"))?;
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .map(|document| {
            serde_json::from_value(document).with_context(|| format!("failed to read an object of {source}"))
        })
        .collect()
}

/// Applies all objects in their order. A kind that was registered a moment ago is waited for.
pub(crate) async fn apply(client: &Client, objects: &[DynamicObject]) -> anyhow::Result<()> {
    for object in objects {
        let api = api_of(client, object).await?;
        let what = name_of(object);
        api.patch(&object.name_any(), &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object))
            .await
            .with_context(|| format!("failed to apply {what}"))?;
        tracing::debug!(%what, "applied");
    }
    Ok(())
}

/// `Kind namespace/name` for messages.
pub(crate) fn name_of(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("object", |types| types.kind.as_str());
    match object.namespace() {
        Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
        None => format!("{kind} {}", object.name_any()),
    }
}

/// Whether this cluster serves the kind of that object now.
pub(crate) async fn is_served(client: &Client, object: &DynamicObject) -> anyhow::Result<bool> {
    Ok(api_now(client, object).await?.is_some())
}

/// How many objects of a kind there are, in all namespaces. A kind that is not served has none.
pub(crate) async fn count(client: &Client, kind: &GroupVersionKind) -> anyhow::Result<u64> {
    let resource = match kube::discovery::pinned_kind(client, kind).await {
        Ok((resource, _)) => resource,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(0),
        Err(kube::Error::Discovery(_)) => return Ok(0),
        Err(error) => return Err(error).with_context(|| format!("failed to find {}", kind.kind)),
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    for attempt in 1.. {
        match api.list(&ListParams::default()).await {
            Ok(list) => return Ok(list.items.len() as u64),
            Err(kube::Error::Api(status)) if status.code == 404 => break,
            // A kind that was registered a moment ago is not listed yet.
            Err(kube::Error::Api(status)) if status.code == 429 && attempt < ATTEMPTS => (),
            Err(error) => return Err(error).with_context(|| format!("failed to count objects of kind {}", kind.kind)),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(0)
}

async fn api_of(client: &Client, object: &DynamicObject) -> anyhow::Result<Api<DynamicObject>> {
    // A CRD is served a moment after it is accepted.
    for attempt in 1..=ATTEMPTS {
        if let Some(api) = api_now(client, object).await? {
            return Ok(api);
        }
        if attempt < ATTEMPTS {
            tokio::time::sleep(PAUSE).await;
        }
    }
    bail!("the kind of {} is not served by this cluster", name_of(object))
}

/// Where objects of that kind are, if this cluster serves it now.
async fn api_now(client: &Client, object: &DynamicObject) -> anyhow::Result<Option<Api<DynamicObject>>> {
    let types = object.types.as_ref().with_context(|| format!("{} has no apiVersion and kind", object.name_any()))?;
    match kube::discovery::pinned_kind(client, &GroupVersionKind::try_from(types)?).await {
        Ok((resource, ApiCapabilities { scope: Scope::Namespaced, .. })) => {
            let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
            Ok(Some(Api::namespaced_with(client.clone(), &namespace, &resource)))
        }
        Ok((resource, _)) => Ok(Some(Api::all_with(client.clone(), &resource))),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(kube::Error::Discovery(_)) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to find {} {}", types.api_version, types.kind)),
    }
}

/// Deletes all objects, last one first. What is not there is fine, be it only the kind: none is waited for.
pub(crate) async fn delete(client: &Client, objects: &[DynamicObject], params: &DeleteParams) -> anyhow::Result<()> {
    for object in objects.iter().rev() {
        let what = name_of(object);
        let Some(api) = api_now(client, object).await? else {
            tracing::debug!(%what, "its kind is not served: it cannot be there");
            continue;
        };
        match api.delete(&object.name_any(), params).await {
            Ok(_) => tracing::debug!(%what, "deleted"),
            Err(kube::Error::Api(status)) if status.code == 404 => (),
            Err(error) => return Err(error).with_context(|| format!("failed to delete {what}")),
        }
    }
    Ok(())
}
