//! The one address of a Service that a prober inside the cluster may connect to: its cluster IP, which the API server gave it.
//! Names are never resolved and nothing that a Service merely claims (an external name, a load balancer) is believed, so a
//! Service cannot lead to an address of somebody's choice. Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort};

/// Address and port, or why there is none.
pub(super) fn address(service: &Service, port: &ServicePort, loopback: bool) -> Result<(IpAddr, u16), &'static str> {
    let spec = service.spec.as_ref().ok_or("it has no spec")?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return Err("it stands for a name outside of the cluster");
    }
    if spec.selector.as_ref().is_none_or(std::collections::BTreeMap::is_empty) {
        return Err("it has no selector, so its endpoints are anybody's choice");
    }
    let ip = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None");
    let ip: IpAddr = ip.ok_or("it is headless")?.parse().map_err(|_| "its cluster IP is no address")?;
    if !is_permitted(ip, loopback) {
        return Err("its cluster IP is no address of a Service");
    }
    let port = u16::try_from(port.port).map_err(|_| "its port is no port")?;
    Ok((ip, port))
}

/// Whether an address can be that of a Service: not of this machine (unless the whole cluster is on it), not of the link, where
/// clouds keep their metadata, and not of many.
fn is_permitted(ip: IpAddr, loopback: bool) -> bool {
    let ip = match ip {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
        ip @ IpAddr::V4(_) => ip,
    };
    if ip.is_unspecified() || ip.is_multicast() || (ip.is_loopback() && !loopback) {
        return false;
    }
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_broadcast(),
        // fd00:ec2::254 is where one cloud keeps its metadata.
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && ip.segments()[..2] != [0xfd00, 0x0ec2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(spec: Value, loopback: bool) -> Result<(IpAddr, u16), &'static str> {
        let service: Service = serde_json::from_value(json!({"spec": spec})).unwrap();
        let port = ServicePort { port: 80, ..ServicePort::default() };
        address(&service, &port, loopback)
    }

    fn with_ip(ip: &str) -> Value {
        json!({"clusterIP": ip, "selector": {"app": "a"}})
    }

    #[test]
    fn only_a_cluster_ip_with_a_selector_is_an_address() {
        assert_eq!(of(with_ip("10.96.0.7"), false), Ok(("10.96.0.7".parse().unwrap(), 80)));
        assert_eq!(of(with_ip("127.9.0.7"), true), Ok(("127.9.0.7".parse().unwrap(), 80)));
        for spec in [
            json!({"type": "ExternalName", "externalName": "metadata.google.internal", "selector": {"app": "a"}}),
            json!({"clusterIP": "10.96.0.7"}),
            json!({"clusterIP": "10.96.0.7", "selector": {}}),
            json!({"clusterIP": "None", "selector": {"app": "a"}}),
            json!({"selector": {"app": "a"}, "externalIPs": ["169.254.169.254"]}),
            with_ip("metadata.google.internal"),
        ] {
            assert!(of(spec.clone(), true).is_err(), "{spec}");
        }
    }

    #[test]
    fn addresses_of_machines_links_and_metadata_are_refused() {
        for ip in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fd00:ec2::254",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(of(with_ip(ip), false).is_err(), "{ip}");
        }
        assert!(of(with_ip("169.254.169.254"), true).is_err(), "not even where the cluster is on this machine");
    }
}
