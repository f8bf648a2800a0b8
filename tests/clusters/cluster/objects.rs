//! Objects of any kind on the cluster: applied, looked up and deleted by their manifests.

use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::Scope;

use super::{Cluster, LOOK, documents};

impl Cluster {
    /// Applies objects of any kind, in their order.
    pub(crate) fn apply(&self, yaml: &str) {
        for object in documents(yaml) {
            let api = self.api(&object).unwrap_or_else(|| panic!("{:?} is served", object.types));
            let params = PatchParams::apply("chaos-tests").force();
            let applied = self.block(api.patch(&object.name_any(), &params, &Patch::Apply(&object)));
            applied.unwrap_or_else(|error| panic!("{:?} {}: {error}", object.types, object.name_any()));
        }
    }

    /// Objects of any kind, as they are now.
    pub(crate) fn get(&self, yaml: &str) -> Vec<DynamicObject> {
        let get = |object: DynamicObject| {
            let api = self.api(&object).unwrap_or_else(|| panic!("{:?} is served", object.types));
            self.block(api.get(&object.name_any())).unwrap()
        };
        documents(yaml).into_iter().map(get).collect()
    }

    /// Deletes objects of any kind, in their order; what is not there is fine, be it only the kind.
    pub(crate) fn delete(&self, yaml: &str) {
        self.try_delete(yaml).unwrap();
    }

    /// The same for whoever must not panic; the first failure is told once all was tried.
    pub(crate) fn try_delete(&self, yaml: &str) -> kube::Result<()> {
        let mut ended = Ok(());
        for object in documents(yaml) {
            let deleted = self.block(self.delete_one(&object));
            ended = ended.and(deleted);
        }
        ended
    }

    async fn delete_one(&self, object: &DynamicObject) -> kube::Result<()> {
        let Some(api) = self.api_now(object).await else { return Ok(()) };
        match api.delete(&object.name_any(), &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    /// Whether none of these objects is there.
    pub(crate) async fn are_gone(&self, yaml: &str) -> Result<(), String> {
        for object in documents(yaml) {
            if let Some(api) = self.api_now(&object).await
                && api.get_opt(&object.name_any()).await.map_err(|error| error.to_string())?.is_some()
            {
                let name = object.name_any();
                return Err(format!("{:?} {name} is still there", object.types.map(|types| types.kind)));
            }
        }
        Ok(())
    }

    /// The kind may have been registered a moment ago.
    fn api(&self, object: &DynamicObject) -> Option<Api<DynamicObject>> {
        let deadline = Instant::now() + Duration::from_secs(5);
        self.block(async {
            loop {
                match self.api_now(object).await {
                    None if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                    found => return found,
                }
            }
        })
    }

    async fn api_now(&self, object: &DynamicObject) -> Option<Api<DynamicObject>> {
        let kind = GroupVersionKind::try_from(object.types.as_ref().expect("a kind")).unwrap();
        let (resource, abilities) = kube::discovery::pinned_kind(&self.client, &kind).await.ok()?;
        Some(match abilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                Api::namespaced_with(self.client.clone(), &object.namespace().unwrap_or_default(), &resource)
            }
        })
    }
}
