//! A selector that means all of a cluster: what namespaces hold in which nothing may be killed is not even read.

use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn};

use super::*;

impl Fixture {
    /// An operator, and the namespaces of which it has listed pods or their owners so far.
    fn operator_that_is_watched(&self) -> (Operator, Arc<Mutex<BTreeSet<String>>>) {
        let (token, listed) = (self.server.issue_token("chaos-system", "chaos-operator"), Arc::default());
        let noted: Arc<Mutex<BTreeSet<String>>> = Arc::clone(&listed);
        let noting = from_fn(move |mut request: Request, next: Next| {
            let parts: Vec<&str> = request.uri().path().split('/').collect();
            if let [.., "namespaces", namespace, "pods" | "replicasets" | "deployments" | "statefulsets"] =
                parts.as_slice()
            {
                noted.lock().unwrap().insert((*namespace).to_owned());
            }
            request.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            next.run(request)
        });
        let client = Client::new(self.server.router().layer(noting), "default");
        (Operator::start(client, &["test", "--listen", "127.0.0.1:0", "--pod-name", "a"]), listed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selector_that_means_all_namespaces_reads_none_that_does_not_consent() {
    let fixture = Fixture::start().await;
    let on = ("chaos.dispatch.dev/enabled", "true");
    let namespaces: [(&str, &[(&str, &str)]); 4] = [
        ("billing", &[]),
        ("keeps-to-itself", &[on]),
        ("shares", &[on, ("chaos.dispatch.dev/allow-from", NS)]),
        ("is-excluded", &[on, ("chaos.dispatch.dev/allow-from", NS), ("chaos.dispatch.dev/exclude", "true")]),
    ];
    for (name, labels) in namespaces {
        let labels: std::collections::BTreeMap<_, _> = labels.iter().copied().collect();
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        create(&fixture.admin, object).await;
    }
    let (operator, listed) = fixture.operator_that_is_watched();
    let all = json!({"selector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]}});
    fixture.monkey(|spec| spec["target"]["namespaces"] = all).await;
    let monkey = fixture.until("three kills", |monkey| kills(monkey) >= 3).await;
    assert_eq!(condition(&monkey, "Ready"), ("True", "Ready"));
    let listed: Vec<_> = listed.lock().unwrap().iter().cloned().collect();
    assert_eq!(listed, [NS, "shares"]);
    operator.end().await;
}
