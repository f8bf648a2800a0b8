//! What a run may connect to, looked at again while it is measured: a namespace may take its consent back, and the address of a
//! Service that is gone may be another one's by then. Reads only. What cannot be read is no objection: a prober that cannot be heard
//! ends by itself.

use std::collections::{BTreeMap, BTreeSet};

use chaos_core::api::labels;
use chaos_core::model::{Endpoint, Probe, Run};
use chaos_core::validate::probed_namespaces;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::{Api, Client, ResourceExt as _};

/// Namespace and name of a Service.
type Name = (String, String);

/// What a run may connect to, as it was when the run was prepared.
#[derive(Debug)]
pub(super) struct Agreed {
    /// The run's own namespace.
    from: String,
    /// Other namespaces, which have agreed.
    namespaces: BTreeSet<String>,
    services: BTreeMap<Name, Option<Identity>>,
}

/// What makes a Service the one that was found. Which of its namespace's pods it selects is its owner's business.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    uid: Option<String>,
    kind: Option<String>,
    address: Option<String>,
    has_selector: bool,
}

impl Agreed {
    /// What this run may connect to now.
    ///
    /// # Errors
    ///
    /// A Service could not be read.
    pub(super) async fn of(client: &Client, run: &Run) -> kube::Result<Self> {
        let experiment = &run.experiment;
        let services = experiment.probes.iter().filter_map(service).collect();
        Self::read(client, run.namespace.clone(), probed_namespaces(experiment), services).await
    }

    /// What the specs of a namespace may connect to now.
    pub(super) async fn read(
        client: &Client,
        from: String,
        namespaces: BTreeSet<String>,
        names: BTreeSet<Name>,
    ) -> kube::Result<Self> {
        let mut services = BTreeMap::new();
        for name in names {
            let found = find(client, &name).await?;
            services.insert(name, found);
        }
        Ok(Self { from, namespaces, services })
    }

    /// Why the run must not be measured any more, in words.
    pub(super) async fn objection(&self, client: &Client) -> Option<String> {
        for namespace in &self.namespaces {
            if let Ok(false) = agrees(client, namespace, &self.from).await {
                return Some(format!("namespace {namespace} does not let {} look into it any more", self.from));
            }
        }
        for (name, known) in &self.services {
            let Ok(found) = find(client, name).await else { continue };
            if found != *known {
                return Some(format!("Service {}/{} is not the one any more that was found at first", name.0, name.1));
            }
        }
        None
    }
}

/// Whether a namespace lets specs of another one look into it.
pub(super) async fn agrees(client: &Client, namespace: &str, from: &str) -> kube::Result<bool> {
    let found = Api::<Namespace>::all(client.clone()).get_opt(namespace).await?;
    Ok(found.is_some_and(|found| found.labels().get(labels::ALLOW_FROM).is_some_and(|allowed| allowed == from)))
}

/// The Service that a probe connects to, if it does.
fn service(probe: &Probe) -> Option<Name> {
    match probe.endpoint()? {
        Endpoint::Service { namespace, name, .. } => Some((namespace.clone(), name.clone())),
        Endpoint::Url(_) => None,
    }
}

async fn find(client: &Client, (namespace, name): &Name) -> kube::Result<Option<Identity>> {
    let found = Api::<Service>::namespaced(client.clone(), namespace).get_opt(name).await?;
    Ok(found.map(|service| {
        let uid = service.metadata.uid;
        let spec = service.spec.unwrap_or_default();
        let has_selector = spec.selector.is_some_and(|selector| !selector.is_empty());
        Identity { uid, kind: spec.type_, address: spec.cluster_ip, has_selector }
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::http::{StatusCode, Uri};
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;

    /// What the server has, by path; null: it fails.
    type Objects = Arc<Mutex<BTreeMap<&'static str, Value>>>;

    const SERVICE: &str = "/api/v1/namespaces/other/services/gateway";
    const NAMESPACE: &str = "/api/v1/namespaces/other";

    fn server() -> (Client, Objects) {
        let spec = json!({"type": "ClusterIP", "clusterIP": "10.96.0.7", "selector": {"app": "a"}});
        let service = json!({"apiVersion": "v1", "kind": "Service", "spec": spec,
            "metadata": {"name": "gateway", "namespace": "other", "uid": "s"}});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "other", "labels": {labels::ALLOW_FROM: "dispatch"}}});
        let objects: Objects = Arc::new(Mutex::new([(SERVICE, service), (NAMESPACE, namespace)].into()));
        let known = objects.clone();
        let answer = move |uri: Uri| {
            let found = known.lock().unwrap().get(uri.path()).cloned();
            let failure = |code: StatusCode, reason: &str| {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
                    "message": "no", "reason": reason});
                (code, Json(status))
            };
            let answer = match found {
                None => failure(StatusCode::NOT_FOUND, "NotFound"),
                Some(Value::Null) => failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
                Some(object) => (StatusCode::OK, Json(object)),
            };
            async move { answer }
        };
        let router: Router = Router::new().fallback(answer);
        (Client::new(router, "default"), objects)
    }

    /// What is said after that change.
    async fn objection(change: impl FnOnce(&mut BTreeMap<&'static str, Value>)) -> Option<String> {
        let (client, objects) = server();
        let services = [("other".to_owned(), "gateway".to_owned())].into();
        let agreed = Agreed::read(&client, "dispatch".to_owned(), ["other".to_owned()].into(), services).await.unwrap();
        change(&mut objects.lock().unwrap());
        agreed.objection(&client).await
    }

    /// The object at that path.
    fn at<'a>(objects: &'a mut BTreeMap<&'static str, Value>, path: &str) -> &'a mut Value {
        objects.get_mut(path).unwrap()
    }

    #[tokio::test]
    async fn a_consent_that_is_taken_back_is_noticed() {
        assert_eq!(objection(|_| ()).await, None);
        let told = objection(|all| at(all, NAMESPACE)["metadata"]["labels"] = json!({})).await.unwrap();
        assert!(told.contains("does not let dispatch look into it"), "{told}");
        assert!(objection(|all| _ = all.remove(NAMESPACE)).await.is_some());
    }

    #[tokio::test]
    async fn a_service_that_leads_elsewhere_or_is_another_one_is_noticed() {
        assert!(objection(|all| _ = all.remove(SERVICE)).await.unwrap().contains("other/gateway"));
        assert!(objection(|all| at(all, SERVICE)["metadata"]["uid"] = json!("t")).await.is_some());
        assert!(objection(|all| at(all, SERVICE)["spec"]["clusterIP"] = json!("10.96.0.8")).await.is_some());
        assert!(objection(|all| at(all, SERVICE)["spec"]["type"] = json!("ExternalName")).await.is_some());
        assert!(objection(|all| at(all, SERVICE)["spec"]["selector"] = json!({})).await.is_some());
        // Whoever moves traffic from one set of pods to another does what they may.
        assert_eq!(objection(|all| at(all, SERVICE)["spec"]["selector"] = json!({"app": "b"})).await, None);
    }

    #[tokio::test]
    async fn a_server_that_fails_for_a_moment_is_no_objection() {
        let fails = |all: &mut BTreeMap<&'static str, Value>| {
            for path in [NAMESPACE, SERVICE] {
                *at(all, path) = Value::Null;
            }
        };
        assert_eq!(objection(fails).await, None);
    }
}
