//! The end of a namespace: everything in it is deleted, and when nothing is left, so is the namespace.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams, Preconditions};
use kube::{Client, ResourceExt};

use super::garbage::{discover, objects_in};
use super::writer::is_status;
use super::{Controller, Sync};
use crate::cache::{Cache, ObjectKey};
use crate::objects::is_deleting;

/// Pause between looks at a namespace whose objects take their time (pods within their grace period).
const NEXT_LOOK: Duration = Duration::from_millis(100);

/// The API server's own finalizer, in `spec`.
const FINALIZER: &str = "kubernetes";

/// See the module. Keys are namespaces.
pub(super) struct NamespaceController {
    pub(super) client: Client,
    pub(super) namespaces: Cache<Namespace>,
}

impl NamespaceController {
    async fn finalize(&self, namespace: &Namespace) -> kube::Result<()> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let mut finalized = namespace.clone();
        let finalizers = finalized.spec.get_or_insert_default().finalizers.get_or_insert_default();
        finalizers.retain(|name| name != FINALIZER);
        let params = PostParams::default();
        match api.replace_subresource("finalize", &namespace.name_any(), &params, &finalized).await {
            Err(error) if !is_status(&error, 404) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Controller for NamespaceController {
    const NAME: &'static str = "namespace-controller";

    async fn sync(&self, key: &ObjectKey) -> kube::Result<Sync> {
        let Some(namespace) = self.namespaces.get_key(key).filter(|namespace| is_deleting(&namespace.metadata)) else {
            return Ok(Sync::Done);
        };
        let kinds = discover(self.client.clone()).await?;
        let objects = objects_in(&self.client, &kinds, &key.name).await?;
        if objects.is_empty() {
            self.finalize(&namespace).await?;
            return Ok(Sync::Done);
        }
        for (resource, object) in objects.iter().filter(|(_, object)| !is_deleting(&object.metadata)) {
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.name, resource);
            let params = DeleteParams {
                preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
                ..DeleteParams::background()
            };
            match api.delete(&object.name_any(), &params).await {
                Err(error) if !is_status(&error, 404) && !is_status(&error, 409) => return Err(error),
                _ => {}
            }
        }
        Ok(Sync::After(NEXT_LOOK))
    }
}
