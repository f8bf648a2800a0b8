//! Which address of a Service is taken, and what is said where none can be.

use serde_json::json;

use k8s_openapi::api::core::v1::Service;

use super::service::{candidates, choose};
use super::*;

fn service(value: &serde_json::Value) -> Service {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn addresses_are_tried_from_the_nearest_on() {
    let service = service(&json!({
        "spec": {"clusterIP": "10.0.0.7", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]},
        "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}, {"ip": "192.0.2.1"}]}},
    }));
    let port = choose(&service, Some("http")).unwrap();
    let found = candidates(&service, &port, &["192.0.2.9".to_owned()]);
    let found: Vec<_> = found.iter().map(|(host, port)| format!("{host}:{port}")).collect();
    assert_eq!(found, ["10.0.0.7:80", "192.0.2.9:30080", "lb.example:80", "192.0.2.1:80"]);
}

#[test]
fn a_port_is_never_guessed() {
    let two = service(&json!({"spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}, {"port": 81}]}}));
    assert_eq!(choose(&two, None).unwrap_err(), ("without a name".to_owned(), "http, 81".to_owned()));
    assert_eq!(choose(&two, Some("grpc")).unwrap_err().1, "http, 81");
    let port = choose(&two, Some("http")).unwrap();
    assert!(candidates(&two, &port, &[]).is_empty(), "a headless Service has no address of its own");
    assert_eq!(choose(&service(&json!({})), None).unwrap_err().1, "none");
}

#[tokio::test]
async fn what_is_out_of_reach_is_said_by_name() {
    let reach = Reach::default();
    let gateway = Endpoint::Service { namespace: "dispatch".into(), name: "gateway".into(), port: None };
    let error = reach.origin("rides", &gateway).await.unwrap_err();
    assert!(matches!(error, PreflightError::NoCluster { ref probe } if probe == "rides"), "{error}");
    let url = reach.origin("rides", &Endpoint::Url("http://127.0.0.1:1".into())).await.unwrap();
    assert_eq!(url.to_string(), "http://127.0.0.1:1");
    let error = reach.source("match-rate", &PrometheusSource::Named("platform".into())).unwrap_err();
    assert!(error.to_string().contains("platform") && error.to_string().contains("it names none"), "{error}");
}
