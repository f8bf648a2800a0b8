//! What containers and volumes may refer to by name, out of the caches.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::environment::Sources;
use crate::controllers::Caches;

/// ConfigMaps and Secrets of one namespace, out of the caches.
pub(super) struct NamespaceSources<'a> {
    pub(super) caches: &'a Caches,
    pub(super) namespace: &'a str,
}

impl std::fmt::Debug for NamespaceSources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamespaceSources").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Sources for NamespaceSources<'_> {
    fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>> {
        self.caches.config_maps.get(self.namespace, name)
    }

    fn secret(&self, name: &str) -> Option<Arc<Secret>> {
        self.caches.secrets.get(self.namespace, name)
    }
}
