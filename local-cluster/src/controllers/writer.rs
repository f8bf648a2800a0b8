//! Writes through the API whose answers go into the writer's cache, so that its next decision knows of them.

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cache::{Cache, Cached};
use crate::objects::merge_diff;

/// One kind, one identity, one cache.
pub(crate) struct Writer<K> {
    client: Client,
    cache: Cache<K>,
    api: fn(Client, &str) -> Api<K>,
}

impl<K> Clone for Writer<K> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), cache: self.cache.clone(), api: self.api }
    }
}

impl<K: Cached + Serialize + Resource<DynamicType = (), Scope = NamespaceResourceScope>> Writer<K> {
    pub(crate) fn namespaced(client: Client, cache: Cache<K>) -> Self {
        Self { client, cache, api: Api::namespaced }
    }
}

impl<K: Cached + Serialize + Resource<DynamicType = ()>> Writer<K> {
    pub(crate) fn cluster_scoped(client: Client, cache: Cache<K>) -> Self {
        Self { client, cache, api: |client, _| Api::all(client) }
    }

    pub(crate) const fn cache(&self) -> &Cache<K> {
        &self.cache
    }

    pub(crate) async fn create(&self, object: &K) -> kube::Result<K> {
        let created = self.api_of(object).create(&PostParams::default(), object).await?;
        self.cache.note(created.clone());
        Ok(created)
    }

    /// Applies a merge patch; one that changes nothing costs nothing on the server.
    pub(crate) async fn patch(&self, object: &K, patch: &Value) -> kube::Result<K> {
        let params = PatchParams::default();
        let patched = self.api_of(object).patch(&object.name_any(), &params, &Patch::Merge(patch)).await?;
        self.cache.note(patched.clone());
        Ok(patched)
    }

    /// Makes `.status` from `old` into `new`, when they differ.
    pub(crate) async fn patch_status<S: Serialize>(&self, object: &K, old: Option<&S>, new: &S) -> kube::Result<()> {
        let old =
            old.map(serde_json::to_value).transpose().map_err(kube::Error::SerdeError)?.unwrap_or_else(|| json!({}));
        let new = serde_json::to_value(new).map_err(kube::Error::SerdeError)?;
        let Some(change) = merge_diff(&old, &new) else {
            return Ok(());
        };
        let patch = Patch::Merge(json!({ "status": change }));
        let patched = self.api_of(object).patch_status(&object.name_any(), &PatchParams::default(), &patch).await?;
        self.cache.note(patched);
        Ok(())
    }

    /// Deletes this very object, never a successor of the same name. Already gone is success.
    pub(crate) async fn delete(&self, object: &K, grace_period_seconds: Option<u32>) -> kube::Result<()> {
        let params = DeleteParams {
            grace_period_seconds,
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.api_of(object).delete(&object.name_any(), &params).await {
            Ok(answer) => {
                answer.map_left(|left| self.cache.note(left)).map_right(|_| self.cache.note_gone(object));
                Ok(())
            }
            Err(error) if is_status(&error, 404) || is_status(&error, 409) => {
                self.cache.note_gone(object);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn api_of(&self, object: &K) -> Api<K> {
        (self.api)(self.client.clone(), object.meta().namespace.as_deref().unwrap_or_default())
    }
}

/// Whether the API server answered with this HTTP status.
pub(crate) fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}
