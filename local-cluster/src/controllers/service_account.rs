//! Every namespace has a ServiceAccount `default`: pods that name none run as it.

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::writer::{Writer, is_status};
use super::{Controller, Sync};
use crate::cache::{Cache, ObjectKey};
use crate::objects::is_deleting;

/// See the module. Keys are namespaces.
pub(super) struct ServiceAccountController {
    pub(super) namespaces: Cache<Namespace>,
    pub(super) accounts: Writer<ServiceAccount>,
}

impl Controller for ServiceAccountController {
    const NAME: &'static str = "service-account-controller";

    async fn sync(&self, key: &ObjectKey) -> kube::Result<Sync> {
        let Some(namespace) = self.namespaces.get_key(key).filter(|namespace| !is_deleting(&namespace.metadata)) else {
            return Ok(Sync::Done);
        };
        let name = namespace.name_any();
        if self.accounts.cache().get(&name, "default").is_some() {
            return Ok(Sync::Done);
        }
        let metadata = ObjectMeta { name: Some("default".to_owned()), namespace: Some(name), ..ObjectMeta::default() };
        match self.accounts.create(&ServiceAccount { metadata, ..ServiceAccount::default() }).await {
            Err(error) if !is_status(&error, 409) => Err(error),
            _ => Ok(Sync::Done),
        }
    }
}
