//! The reader against an API server of a few lines: what it finds, and what blinds it.

use std::convert::Infallible;

use chaos_core::population::SwitchState;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;

use super::*;

/// Empty namespaces, and a stop switch that is answered with this code.
#[derive(Clone)]
struct Server {
    switch: u16,
}

impl Server {
    fn answer(&self, path: &str) -> Response<Body> {
        let parts: Vec<_> = path.split('/').skip(1).collect();
        let (code, text) = match parts.as_slice() {
            [.., "configmaps", "chaos-switch"] => (self.switch, r#"{"data": {"state": "Running"}}"#.to_owned()),
            ["api", "v1", "namespaces", name] => (200, format!(r#"{{"metadata": {{"name": "{name}"}}}}"#)),
            _ => (200, r#"{"metadata": {}, "items": []}"#.to_owned()),
        };
        Response::builder().status(code).body(Body::from(text.into_bytes())).unwrap()
    }

    /// A reader of that many namespaces.
    fn reader(&self, namespaces: usize) -> PopulationReader {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, path) = (server.clone(), request.uri().path().to_owned());
            async move { Ok::<_, Infallible>(server.answer(&path)) }
        });
        PopulationReader {
            caller: Caller::new(Client::new(service, "default")),
            scope: NamespaceScope::Named((0..namespaces).map(|i| format!("ns-{i}")).collect()),
            environment: Environment::Known(None),
        }
    }
}

#[test]
fn a_namespace_is_stopped_by_whatever_does_not_say_false() {
    let is_stopped = |value: &str| {
        let namespace = serde_json::json!({"metadata": {"name": "n", "annotations": {labels::STOP: value}}});
        namespace_facts(serde_json::from_value(namespace).unwrap()).stopped
    };
    assert!(is_stopped("true") && is_stopped("yes") && !is_stopped("false"));
}

#[tokio::test]
async fn a_switch_that_could_not_be_read_is_not_one_that_may_not_be_read() {
    for (code, state) in [
        (200, Some(SwitchState::Running)),
        (404, Some(SwitchState::Missing)),
        (403, Some(SwitchState::Unreadable)),
        (401, None),
        (429, None),
        (500, None),
        (503, None),
    ] {
        let read = Server { switch: code }.reader(1).read().await;
        assert_eq!(read.ok().map(|population| population.switch), state, "{code}");
    }
}
