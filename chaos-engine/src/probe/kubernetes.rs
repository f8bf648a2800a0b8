//! A field of an object of the cluster. An absent object, an absent field and a field that is there several times have
//! causes of their own.

use std::time::Duration;

use kube::api::{Api, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope, pinned_kind};
use serde_json::Value;
use serde_json_path::JsonPath;
use tokio::sync::OnceCell;

use super::look::NoAnswer;

/// An API server that takes longer did not answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A field to read.
#[derive(Clone)]
pub struct KubernetesLook {
    /// Who is asked.
    pub client: kube::Client,
    /// Kind of the object.
    pub kind: GroupVersionKind,
    /// Its namespace; not used for kinds without.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Path to the field.
    pub path: JsonPath,
    resource: OnceCell<(ApiResource, Scope)>,
}

impl std::fmt::Debug for KubernetesLook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, namespace, name, path, .. } = self;
        write!(f, "KubernetesLook({kind:?} {namespace}/{name} {path})")
    }
}

impl KubernetesLook {
    /// The field of the object `namespace/name` that `path` leads to.
    pub fn new(client: kube::Client, kind: GroupVersionKind, (namespace, name): (&str, &str), path: JsonPath) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { client, kind, namespace, name, path, resource: OnceCell::new() }
    }

    /// The one value.
    pub(super) async fn value(&self) -> Result<Value, NoAnswer> {
        let object = tokio::time::timeout(TIMEOUT, self.object()).await;
        let object =
            object.map_err(|_| NoAnswer::new("timeout", format!("no answer in {} s", TIMEOUT.as_secs())))??;
        let object = serde_json::to_value(object).map_err(|error| NoAnswer::new("unparsable", error))?;
        match self.path.query(&object).all().as_slice() {
            [] => Err(NoAnswer::new("noData", format!("{} selects nothing in {}", self.path, self.name))),
            [value] => Ok((*value).clone()),
            several => {
                let message = format!("{} selects {} values; hint: write a path to one", self.path, several.len());
                Err(NoAnswer::new("severalValues", message))
            }
        }
    }

    async fn object(&self) -> Result<DynamicObject, NoAnswer> {
        let kind = self.resource.get_or_try_init(async || {
            let (resource, capabilities) = pinned_kind(&self.client, &self.kind).await?;
            Ok((resource, capabilities.scope))
        });
        let (resource, scope) = kind.await.map_err(|error: kube::Error| cause(&error))?;
        let api: Api<DynamicObject> = match scope {
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), &self.namespace, resource),
            Scope::Cluster => Api::all_with(self.client.clone(), resource),
        };
        api.get(&self.name).await.map_err(|error| cause(&error))
    }
}

fn cause(error: &kube::Error) -> NoAnswer {
    let reason = match error {
        kube::Error::Api(status) if status.code == 404 => "notFound",
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => "refused",
        kube::Error::Api(_) => "failed",
        kube::Error::SerdeError(_) => "unparsable",
        kube::Error::Discovery(_) => "notFound",
        _ => "unreachable",
    };
    NoAnswer::new(reason, error)
}

#[cfg(test)]
mod tests;
