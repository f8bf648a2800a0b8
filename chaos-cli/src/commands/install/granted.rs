//! What installations for one namespace have granted there. Whoever removes one, or installs for another namespace, need not know which
//! it was: our roles and bindings carry the name of their account as a label.

use std::collections::BTreeSet;

use anyhow::Context as _;
use chaos_core::api::switch;
use chaos_operator::manifests;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt as _};

use super::{documents, kind};
use crate::apply;

/// Kind, namespace and name of an object.
type Id = (String, String, String);

/// Our roles and bindings in namespaces other than the operator's own.
pub(super) async fn found(client: &Client) -> anyhow::Result<Vec<DynamicObject>> {
    let accounts = format!("app.kubernetes.io/name in ({},{})", manifests::NAME, manifests::PROBER);
    let params = ListParams::default().labels(&accounts);
    let roles = Api::<Role>::all(client.clone()).list(&params).await.context("failed to list Roles")?;
    let bindings = Api::<RoleBinding>::all(client.clone()).list(&params).await;
    let bindings = bindings.context("failed to list RoleBindings")?;
    let role = |role: &Role| ("Role".to_owned(), role.namespace().unwrap_or_default(), role.name_any());
    let binding =
        |role: &RoleBinding| ("RoleBinding".to_owned(), role.namespace().unwrap_or_default(), role.name_any());
    ours(&roles.items.iter().map(role).chain(bindings.items.iter().map(binding)).collect())
}

/// Those of them that an installation makes. Others with such a label are somebody else's, and what stands in the operator's own
/// namespace belongs to every installation.
fn ours(labelled: &BTreeSet<Id>) -> anyhow::Result<Vec<DynamicObject>> {
    let namespaces: BTreeSet<&str> = labelled.iter().map(|(_, namespace, _)| namespace.as_str()).collect();
    let mut ours = Vec::new();
    for namespace in namespaces.into_iter().filter(|namespace| *namespace != switch::NAMESPACE) {
        let made = documents(manifests::roles(Some(namespace)).into_iter().map(|(_, yaml)| yaml));
        let made = apply::documents("the bundled manifests", &made)?;
        ours.extend(made.into_iter().filter(|object| {
            let id = (kind(object).to_owned(), object.namespace().unwrap_or_default(), object.name_any());
            labelled.contains(&id)
        }));
    }
    Ok(ours)
}

/// What of this an installation for that namespace leaves behind. One for the whole cluster leaves the right to delete, which is
/// granted apart, where somebody gave it.
pub(super) fn outdated(found: Vec<DynamicObject>, namespace: Option<&str>) -> Vec<DynamicObject> {
    let is_kept = |object: &DynamicObject| match namespace {
        Some(_) => object.metadata.namespace.as_deref() == namespace,
        None => object.name_any() == manifests::DELETE,
    };
    found.into_iter().filter(|object| !is_kept(object)).collect()
}

/// The namespaces of these, in words; nothing where there are none.
pub(super) fn places(objects: &[DynamicObject]) -> String {
    let namespaces: BTreeSet<String> = objects.iter().filter_map(kube::ResourceExt::namespace).collect();
    namespaces.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: &str, namespace: &str, name: &str) -> Id {
        (kind.to_owned(), namespace.to_owned(), name.to_owned())
    }

    fn ids(objects: &[DynamicObject]) -> Vec<Id> {
        let id_of = |object: &DynamicObject| id(kind(object), &object.namespace().unwrap(), &object.name_any());
        objects.iter().map(id_of).collect()
    }

    #[test]
    fn what_an_installation_made_in_any_namespace_is_ours_and_nothing_else() {
        let made = [
            id("Role", "shop", "chaos-operator"),
            id("RoleBinding", "shop", "chaos-operator"),
            id("Role", "shop", "chaos-operator-delete"),
            id("RoleBinding", "other", "chaos-prober"),
        ];
        let others = [id("Role", "shop", "look-at-chaos"), id("Role", "chaos-system", "chaos-operator")];
        let found = ours(&made.iter().chain(&others).cloned().collect()).unwrap();
        let sorted = |ids: Vec<Id>| ids.into_iter().collect::<BTreeSet<_>>();
        assert_eq!(sorted(ids(&found)), sorted(made.to_vec()));
        assert_eq!(places(&found), "other, shop");
        assert_eq!(ids(&outdated(found.clone(), Some("shop"))), [made[3].clone()]);
        let of_cluster = ids(&outdated(found, None));
        assert!(!of_cluster.contains(&made[2]) && of_cluster.len() == 3, "{of_cluster:?}");
    }
}
