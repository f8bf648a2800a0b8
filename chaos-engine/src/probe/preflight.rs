//! Before anything is touched: where each probe's answers come from. Finds an address of a Service that this machine can
//! reach, and says by name what it cannot. Reads only.

mod present;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::model::{Endpoint, HttpProbe, InvariantsProbe, Patience, Probe, ProbeKind, PrometheusSource};
use k8s_openapi::api::core::v1::{Node, Service, ServicePort};
use kube::api::{Api, ListParams};
use kube::core::GroupVersionKind;
use tokio::net::TcpStream;

use super::expect::Expected;
use super::http::{HttpPlan, Origin, PlanError};
use super::look::{Look, LookPlan, NoAnswer};
use super::set::ProbePlan;
use super::{CommandLook, GrpcLook, InvariantsPlan, JsonField, KubernetesLook, PrometheusLook, TcpLook, Trust};

/// An address that takes longer to connect is out of reach.
const CONNECT: Duration = Duration::from_secs(1);
/// Nodes whose ports are tried.
const NODES: u32 = 10;

/// What probes may ask.
#[derive(Clone, Default)]
pub struct Reach {
    /// The target cluster.
    pub client: Option<kube::Client>,
    /// Base URLs of the Prometheus sources of the configuration, by name.
    pub prometheus: BTreeMap<String, String>,
}

/// Why a probe cannot ask anybody.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// No cluster, but a probe needs one.
    #[error("probe {probe} asks the cluster, and there is none; hint: use url instead of service, or --kubeconfig")]
    NoCluster {
        /// The probe.
        probe: String,
    },
    /// The Service could not be read.
    #[error("failed to read Service {service}: {source}")]
    Service {
        /// `namespace/name`.
        service: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The Service has no such port, or several.
    #[error("Service {service} has no port {wanted}; hint: it has {has}, name one in port")]
    Port {
        /// `namespace/name`.
        service: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        has: String,
    },
    /// No address of the Service can be reached from here.
    #[error(
        "Service {service} is out of reach from here (tried {tried}); hint: run with --in-cluster, or expose it by a NodePort"
    )]
    OutOfReach {
        /// `namespace/name`.
        service: String,
        /// The addresses and what came of each.
        tried: String,
    },
    /// No such Prometheus in the configuration.
    #[error(
        "probe {probe} asks Prometheus source {name}, which the configuration does not name; hint: it names {known}"
    )]
    Source {
        /// The probe.
        probe: String,
        /// The source.
        name: String,
        /// Those that it does.
        known: String,
    },
    /// Nobody listens there.
    #[error("probe {probe} asks Prometheus at {url}, which is out of reach: {message}; hint: does it run?")]
    Prometheus {
        /// The probe.
        probe: String,
        /// Its base URL.
        url: String,
        /// Why.
        message: String,
    },
    /// No such program.
    #[error(
        "probe {probe} runs {program:?}, which is no program that can be started; hint: give its path, or see PATH"
    )]
    Program {
        /// The probe.
        probe: String,
        /// As the manifest calls it.
        program: String,
    },
    /// A client could not be made.
    #[error("failed to prepare probe {probe}: {source}")]
    Client {
        /// The probe.
        probe: String,
        /// Why.
        source: NoAnswer,
    },
    /// The probe is not valid http.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").field("cluster", &self.client.is_some()).field("prometheus", &self.prometheus).finish()
    }
}

impl Reach {
    /// The plan of every probe, or the first reason why one cannot be asked.
    pub async fn plans(&self, probes: &[Probe]) -> Result<Vec<ProbePlan>, PreflightError> {
        let mut plans = Vec::with_capacity(probes.len());
        for probe in probes {
            plans.push(self.plan(probe).await?);
        }
        Ok(plans)
    }

    async fn plan(&self, probe: &Probe) -> Result<ProbePlan, PreflightError> {
        let name = probe.name.clone();
        let (when, expected, look) = match &probe.kind {
            ProbeKind::Http(http) => return self.http(&name, http).await,
            ProbeKind::Invariants(checker) => return self.invariants(name, checker, probe.patience).await,
            ProbeKind::Prometheus(query) => {
                let url = self.source(&name, &query.source)?;
                present::listens(url).await.map_err(|message| PreflightError::Prometheus {
                    probe: name.clone(),
                    url: url.to_owned(),
                    message,
                })?;
                let look = PrometheusLook::new(url, &query.query, query.timeout.std());
                let look = look.map_err(|source| PreflightError::Client { probe: name.clone(), source })?;
                (query.when, Expected::Value(query.expect.clone()), Look::Prometheus(look))
            }
            ProbeKind::Kubernetes(field) => {
                let kind = GroupVersionKind::gvk(&field.group, &field.version, &field.kind);
                let look = KubernetesLook::new(self.client(&name)?, kind, &field.namespace, field.question.clone());
                (field.when, Expected::Value(field.expect.clone()), Look::Kubernetes(Box::new(look)))
            }
            ProbeKind::Command(command) if !present::can_start(&command.program) => {
                return Err(PreflightError::Program { probe: name, program: command.program.clone() });
            }
            ProbeKind::Command(command) => {
                let (program, args) = (command.program.clone(), command.args.clone());
                let json = command
                    .json_path
                    .clone()
                    .map(|path| JsonField { path, exit_code: command.expect.exit_code.unwrap_or(0) });
                let look = CommandLook { program, args, timeout: command.timeout.std(), json };
                (command.when, Expected::Exit(command.expect.clone()), Look::Command(look))
            }
            ProbeKind::Tcp(tcp) => {
                let look = TcpLook { host: tcp.host.clone(), port: tcp.port, timeout: tcp.timeout.std() };
                (tcp.when, Expected::Connected, Look::Tcp(look))
            }
            ProbeKind::Grpc(grpc) => {
                let mut origin = self.origin(&name, &grpc.endpoint).await?;
                origin.tls |= grpc.tls;
                let look = GrpcLook::new(origin, &Trust::default(), &grpc.health_service, grpc.timeout.std());
                let look = look.map_err(|source| PreflightError::Client { probe: name.clone(), source })?;
                (grpc.when, Expected::Serving, Look::Grpc(Box::new(look)))
            }
        };
        let patience = probe.patience;
        Ok(ProbePlan::Look(Arc::new(LookPlan { name, when, expected, look, patience })))
    }

    async fn http(&self, name: &str, http: &HttpProbe) -> Result<ProbePlan, PreflightError> {
        let origin = self.origin(name, &http.load.endpoint).await?;
        Ok(ProbePlan::Http(Box::new(HttpPlan::of_probe(name, http, origin)?)))
    }

    async fn invariants(
        &self,
        name: String,
        checker: &InvariantsProbe,
        patience: Patience,
    ) -> Result<ProbePlan, PreflightError> {
        let origin = self.origin(&name, &checker.endpoint).await?;
        let (when, path, timeout) = (checker.when, checker.path.clone(), checker.timeout.std());
        Ok(ProbePlan::Invariants(InvariantsPlan { name, when, origin, path, timeout, patience }))
    }

    fn client(&self, probe: &str) -> Result<kube::Client, PreflightError> {
        self.client.clone().ok_or_else(|| PreflightError::NoCluster { probe: probe.to_owned() })
    }

    fn source<'a>(&'a self, probe: &str, source: &'a PrometheusSource) -> Result<&'a str, PreflightError> {
        match source {
            PrometheusSource::Url(url) => Ok(url),
            PrometheusSource::Named(name) => self.prometheus.get(name).map(String::as_str).ok_or_else(|| {
                let known: Vec<&str> = self.prometheus.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                PreflightError::Source { probe: probe.to_owned(), name: name.clone(), known }
            }),
        }
    }

    /// A base URL of an endpoint that this machine can connect to: a literal URL as it stands (that nothing listens there is
    /// for the probe to find out), a Service by the first of its addresses that accepts a connection.
    pub async fn origin(&self, probe: &str, endpoint: &Endpoint) -> Result<Origin, PreflightError> {
        match endpoint {
            Endpoint::Url(url) => Ok(url.parse()?),
            Endpoint::Service { namespace, name, port } => {
                let client = self.client(probe)?;
                reachable(client, (namespace, name), port.as_deref()).await
            }
        }
    }
}

async fn reachable(
    client: kube::Client,
    (namespace, name): (&str, &str),
    port: Option<&str>,
) -> Result<Origin, PreflightError> {
    let label = format!("{namespace}/{name}");
    let service = Api::<Service>::namespaced(client.clone(), namespace).get(name).await;
    let failed = |source| PreflightError::Service { service: label.clone(), source: Box::new(source) };
    let service = service.map_err(failed)?;
    let port =
        choose(&service, port).map_err(|(wanted, has)| PreflightError::Port { service: label.clone(), wanted, has })?;
    let nodes = if port.node_port.is_some() { node_addresses(client).await } else { Vec::new() };
    let scheme = if port.app_protocol.as_deref() == Some("https") { "https" } else { "http" };
    let mut tried = Vec::new();
    for (host, port) in candidates(&service, &port, &nodes) {
        match tokio::time::timeout(CONNECT, TcpStream::connect((host.as_str(), port))).await {
            Ok(Ok(_)) => {
                let host = if host.contains(':') { format!("[{host}]") } else { host };
                return Ok(format!("{scheme}://{host}:{port}").parse()?);
            }
            Ok(Err(error)) => tried.push(format!("{host}:{port}: {error}")),
            Err(_) => tried.push(format!("{host}:{port}: no connection in {} s", CONNECT.as_secs())),
        }
    }
    let tried = if tried.is_empty() { "nothing: it has no address".to_owned() } else { tried.join("; ") };
    Err(PreflightError::OutOfReach { service: label, tried })
}

/// The port that is meant; otherwise what was asked for and what there is.
fn choose(service: &Service, wanted: Option<&str>) -> Result<ServicePort, (String, String)> {
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
fn candidates(service: &Service, port: &ServicePort, nodes: &[String]) -> Vec<(String, u16)> {
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

#[cfg(test)]
mod tests;
