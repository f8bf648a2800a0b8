//! From Services and EndpointSlices to what the proxy listens on and connects to. Pure.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};

/// Where new connections to an address go. An address with no backend is there but refuses.
pub(super) type Routes = BTreeMap<SocketAddrV4, Vec<SocketAddrV4>>;

/// The routes of one Service. Headless Services and protocols other than TCP have none.
pub(super) fn routes(service: &Service, slices: &[Arc<EndpointSlice>]) -> Routes {
    let Some(spec) = &service.spec else { return Routes::new() };
    let Some(address) = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<Ipv4Addr>().ok()) else {
        return Routes::new();
    };
    let tcp = spec.ports.iter().flatten().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    tcp.filter_map(|port| {
        let number = u16::try_from(port.port).ok()?;
        let name = port.name.as_deref().unwrap_or_default();
        Some((SocketAddrV4::new(address, number), backends(name, slices)))
    })
    .collect()
}

/// Ready endpoints; where there is none, those that still serve while they terminate, as kube-proxy does.
fn backends(port_name: &str, slices: &[Arc<EndpointSlice>]) -> Vec<SocketAddrV4> {
    let is_port = |port: &&EndpointPort| port.name.as_deref().unwrap_or_default() == port_name;
    let mut ready = Vec::new();
    let mut last_resort = Vec::new();
    for slice in slices {
        let number = slice.ports.iter().flatten().find(is_port).and_then(|port| u16::try_from(port.port?).ok());
        let Some(number) = number else { continue };
        for endpoint in &slice.endpoints {
            let Some(address) = endpoint.addresses.first().and_then(|address| address.parse().ok()) else { continue };
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            let backend = SocketAddrV4::new(address, number);
            if conditions.ready.unwrap_or(true) {
                ready.push(backend);
            } else if conditions.serving == Some(true) && conditions.terminating == Some(true) {
                last_resort.push(backend);
            }
        }
    }
    let mut backends = if ready.is_empty() { last_resort } else { ready };
    backends.sort_unstable();
    backends.dedup();
    backends
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "trips", "namespace": "dispatch"},
            "spec": {"clusterIP": "127.9.1.1", "ports": [
                {"name": "http", "port": 8080, "targetPort": 9000},
                {"name": "gossip", "port": 7000, "protocol": "UDP"},
            ]},
        }))
        .unwrap()
    }

    fn slice(endpoints: &[(&str, bool, bool, bool)]) -> Vec<Arc<EndpointSlice>> {
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|(address, ready, serving, terminating)| {
                json!({"addresses": [address], "conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
            })
            .collect();
        let slice = json!({"metadata": {"name": "s"}, "addressType": "IPv4", "ports": [{"name": "http", "port": 9000}], "endpoints": endpoints});
        vec![Arc::new(serde_json::from_value(slice).unwrap())]
    }

    fn check(endpoints: &[(&str, bool, bool, bool)], expected: &[&str]) {
        let expected: Vec<SocketAddrV4> = expected.iter().map(|text| text.parse().unwrap()).collect();
        let routes = routes(&service(), &slice(endpoints));
        assert_eq!(routes, Routes::from([("127.9.1.1:8080".parse().unwrap(), expected)]));
    }

    #[test]
    fn new_connections_go_to_ready_endpoints_only() {
        check(
            &[("127.9.16.2", true, true, false), ("127.9.16.1", true, true, false), ("127.9.16.3", false, true, true)],
            &["127.9.16.1:9000", "127.9.16.2:9000"],
        );
        check(&[("127.9.16.1", false, false, false)], &[]);
    }

    #[test]
    fn terminating_endpoints_that_serve_are_the_last_resort() {
        check(&[("127.9.16.1", false, true, true), ("127.9.16.2", false, false, true)], &["127.9.16.1:9000"]);
    }

    #[test]
    fn headless_services_have_no_routes() {
        let mut headless = service();
        headless.spec.as_mut().unwrap().cluster_ip = Some("None".into());
        assert_eq!(routes(&headless, &slice(&[("127.9.16.1", true, true, false)])), Routes::new());
    }
}
