//! Finds an address of a Service that this machine can connect to. Reads the cluster and opens connections; sends nothing.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Service, ServicePort};
use kube::api::{Api, ListParams};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::super::http::Origin;
use super::{PreflightError, Services, inside};

/// An address that takes longer to connect is out of reach. The first packet may get lost once: it is sent again after a second.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest that a new Service is waited for inside the cluster: every node has to learn of it and of its endpoints.
const ROUTED_WITHIN: Duration = Duration::from_secs(10);
/// From one try of it to the next.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
/// Addresses that are tried at a time.
const AT_A_TIME: usize = 16;
/// Nodes whose ports are tried.
const NODES: u32 = 10;

/// The first address of a Service that accepts a connection from here.
pub(super) async fn reachable(
    client: kube::Client,
    namespace: &str,
    name: &str,
    port: Option<&str>,
    services: Services,
) -> Result<Origin, PreflightError> {
    let label = format!("{namespace}/{name}");
    let service = Api::<Service>::namespaced(client.clone(), namespace).get(name).await;
    let failed = |source| PreflightError::Service { service: label.clone(), source: Box::new(source) };
    let service = service.map_err(failed)?;
    let port =
        choose(&service, port).map_err(|(wanted, has)| PreflightError::Port { service: label.clone(), wanted, has })?;
    let (addresses, patience, hint) = match services {
        Services::Any => {
            let nodes = if port.node_port.is_some() { node_addresses(client).await } else { Vec::new() };
            let hint = "run with --in-cluster, or expose it by a NodePort";
            (candidates(&service, &port, &nodes), Duration::ZERO, hint)
        }
        Services::Inside { loopback } => {
            let refused = |why: &'static str| PreflightError::Refused { service: label.clone(), why };
            let (ip, port) = inside::address(&service, &port, loopback).map_err(refused)?;
            let hint = "kubectl get endpointslices says whether a ready pod is behind it";
            (vec![(ip.to_string(), port)], ROUTED_WITHIN, hint)
        }
    };
    let scheme = if port.app_protocol.as_deref() == Some("https") { "https" } else { "http" };
    let mut tried = Vec::new();
    let mut attempts =
        futures::stream::iter(addresses).map(|address| connect_within(address, patience)).buffered(AT_A_TIME);
    while let Some((host, port, outcome)) = attempts.next().await {
        let Err(why) = outcome else {
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            return Ok(format!("{scheme}://{host}:{port}").parse()?);
        };
        tried.push(format!("{host}:{port}: {why}"));
    }
    let tried = if tried.is_empty() { "nothing: it has no address".to_owned() } else { tried.join("; ") };
    Err(PreflightError::OutOfReach { service: label, tried, hint })
}

/// The same as [`connect`], for so long: a Service that was made a moment ago leads nowhere yet.
async fn connect_within((host, port): (String, u16), patience: Duration) -> (String, u16, Result<(), String>) {
    let deadline = Instant::now() + patience;
    loop {
        let outcome = connect(&host, port).await;
        if outcome.is_ok() || Instant::now() >= deadline {
            return (host, port, outcome);
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

/// Whether somebody accepts a connection there; otherwise what came of it.
pub(super) async fn connect(host: &str, port: u16) -> Result<(), String> {
    match tokio::time::timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection in {} s", CONNECT.as_secs())),
    }
}

/// The port that is meant; otherwise what was asked for and what there is.
pub(super) fn choose(service: &Service, wanted: Option<&str>) -> Result<ServicePort, (String, String)> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let found = match (wanted, ports) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(wanted), ports) => ports.iter().find(|port| port.name.as_deref() == Some(wanted)),
    };
    found.cloned().ok_or_else(|| {
        let named = |port: &ServicePort| port.name.clone().unwrap_or_else(|| port.port.to_string());
        let has: Vec<String> = ports.iter().map(named).collect();
        (wanted.unwrap_or("without a name").to_owned(), if has.is_empty() { "none".to_owned() } else { has.join(", ") })
    })
}

/// Addresses to try, the nearest first: the Service's own, its name elsewhere, ports of nodes, load balancers.
pub(super) fn candidates(service: &Service, port: &ServicePort, nodes: &[String]) -> Vec<(String, u16)> {
    let spec = service.spec.as_ref();
    let own = spec.and_then(|spec| spec.cluster_ip.clone()).filter(|ip| !ip.is_empty() && ip != "None");
    let elsewhere = spec.and_then(|spec| spec.external_name.clone());
    let balancers = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let balancers = balancers.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let balancers = balancers.iter().filter_map(|ingress| ingress.ip.clone().or_else(|| ingress.hostname.clone()));
    let service_port = u16::try_from(port.port).ok();
    let node_port = port.node_port.and_then(|port| u16::try_from(port).ok());
    let near = own.into_iter().chain(elsewhere).filter_map(|host| Some((host, service_port?)));
    let on_nodes = nodes.iter().filter_map(|host| Some((host.clone(), node_port?)));
    near.chain(on_nodes).chain(balancers.filter_map(|host| Some((host, service_port?)))).collect()
}

/// Addresses of nodes; none where they may not be read.
async fn node_addresses(client: kube::Client) -> Vec<String> {
    let nodes = Api::<Node>::all(client).list(&ListParams::default().limit(NODES)).await;
    let addresses = nodes.into_iter().flatten().filter_map(|node| node.status?.addresses).flatten();
    let ip = |kind: &str| matches!(kind, "InternalIP" | "ExternalIP");
    addresses.filter(|address| ip(&address.type_)).map(|address| address.address).collect()
}
