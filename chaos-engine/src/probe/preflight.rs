//! Before anything is touched: where each probe's answers come from. Finds an address of a Service that this machine can
//! reach, and says by name what it cannot. Reads only.

mod error;
mod inside;
mod present;
mod service;

use std::collections::BTreeMap;
use std::sync::Arc;

use chaos_core::model::{
    Endpoint, Guard, HttpProbe, InvariantsProbe, Patience, Probe, ProbeKind, PrometheusProbe, PrometheusSource,
};
use kube::core::GroupVersionKind;

use super::expect::Expected;
use super::http::{HttpPlan, Origin};
use super::look::{Look, LookPlan};
use super::prometheus::Unready;
use super::set::ProbePlan;
use super::{
    Access, AlertLook, CommandLook, GrpcLook, InvariantsPlan, JsonField, KubernetesLook, PrometheusLook, TcpLook, Trust,
};
pub use error::PreflightError;
use service::reachable;

/// Probes that may be started.
#[derive(Debug, Default)]
pub struct Plans {
    /// A plan for each probe, in their order.
    pub probes: Vec<ProbePlan>,
    /// What could not be found out about them, for a person.
    pub notes: Vec<String>,
}

/// What probes may ask.
#[derive(Clone, Default)]
pub struct Reach {
    /// The target cluster.
    pub client: Option<kube::Client>,
    /// The Prometheus sources of the configuration, by name.
    pub prometheus: BTreeMap<String, Access>,
    /// Which addresses of a Service may be tried.
    pub services: Services,
}

/// Which addresses of a Service may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Services {
    /// Any that it has: whoever asks does so with their own rights.
    #[default]
    Any,
    /// The one that the cluster gave it, from inside the cluster and with the prober's rights.
    Inside {
        /// The whole cluster is on this machine, its Services too.
        loopback: bool,
    },
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client, prometheus, services } = self;
        let mut told = f.debug_struct("Reach");
        told.field("client", &client.is_some()).field("prometheus", prometheus).field("services", services).finish()
    }
}

impl Reach {
    /// The plan of every probe, or the first reason why one cannot be asked.
    pub async fn plans(&self, probes: &[Probe]) -> Result<Plans, PreflightError> {
        let mut plans = Plans::default();
        for probe in probes {
            let plan = self.plan(probe, &mut plans.notes).await?;
            plans.probes.push(plan);
        }
        Ok(plans)
    }

    async fn plan(&self, probe: &Probe, notes: &mut Vec<String>) -> Result<ProbePlan, PreflightError> {
        let name = probe.name.clone();
        let (when, expected, look) = match &probe.kind {
            ProbeKind::Http(http) => return self.http(&name, http).await,
            ProbeKind::Invariants(checker) => return self.invariants(name, checker, probe.patience).await,
            ProbeKind::Prometheus(query) => {
                let access = self.source(&name, &query.source)?;
                let url = access.url.as_str();
                present::listens(url).await.map_err(|message| PreflightError::Prometheus {
                    probe: name.clone(),
                    url: url.to_owned(),
                    message,
                })?;
                let look = PrometheusLook::of_probe(&access, query);
                let look = look.map_err(|source| PreflightError::Client { probe: name.clone(), source })?;
                let expected = match query.range {
                    None => Expected::Value(query.expect.clone()),
                    Some(_) => Expected::Each(query.expect.clone()),
                };
                notes.extend(self.check(&name, &look, query, url).await?);
                (query.when, expected, Look::Prometheus(look))
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

    /// What could not be found out about a query that may be asked, if there is anything.
    async fn check(
        &self,
        probe: &str,
        look: &PrometheusLook,
        query: &PrometheusProbe,
        url: &str,
    ) -> Result<Option<String>, PreflightError> {
        let probe = probe.to_owned();
        let checked = look.check(&query.facts.windows, query.scrape_interval).await;
        let unknown = checked.map_err(|unready| match unready {
            Unready::Silent(cause) => {
                PreflightError::Silent { asker: format!("probe {probe}"), url: url.to_owned(), cause }
            }
            few @ Unready::FewScrapes { .. } => {
                PreflightError::FewScrapes { probe: probe.clone(), message: few.to_string() }
            }
        })?;
        Ok((!unknown.is_empty()).then(|| unheld(&probe, &unknown)))
    }

    /// The alerts of every guard that has any; none of them may fire already, and each must be able to.
    pub async fn guards(&self, guards: &[Guard]) -> Result<Vec<AlertLook>, PreflightError> {
        let mut looks = Vec::new();
        for guard in guards {
            let Guard::Alert(guard) = guard else { continue };
            let asker = "an alert guard".to_owned();
            let access = self.source(&asker, &guard.source)?;
            let url = access.url.as_str();
            let silent = |cause| PreflightError::Silent { asker: asker.clone(), url: url.to_owned(), cause };
            let look = AlertLook::new(&access, &guard.matchers, guard.timeout.std()).map_err(silent)?;
            if !look.has_rule().await.map_err(silent)? {
                return Err(PreflightError::NoRule { matchers: guard.matchers.join(", ") });
            }
            if let Some(message) = look.firing().await.map_err(silent)? {
                return Err(PreflightError::Firing { message });
            }
            looks.push(look);
        }
        Ok(looks)
    }

    fn client(&self, probe: &str) -> Result<kube::Client, PreflightError> {
        self.client.clone().ok_or_else(|| PreflightError::NoCluster { probe: probe.to_owned() })
    }

    fn source(&self, probe: &str, source: &PrometheusSource) -> Result<Access, PreflightError> {
        match source {
            PrometheusSource::Url(url) => Ok(Access::from(url.as_str())),
            PrometheusSource::Named(name) => self.prometheus.get(name).cloned().ok_or_else(|| {
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
                reachable(client, namespace, name, port.as_deref(), self.services).await
            }
        }
    }
}

fn unheld(probe: &str, selectors: &[String]) -> String {
    format!(
        "the windows of probe {probe} could not be held to its scrapes: the server does not tell how often {} is scraped; \
         hint: scrapeInterval",
        selectors.join(", ")
    )
}

#[cfg(test)]
mod tests;
