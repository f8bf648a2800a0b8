//! A first experiment for a workload, written from what stands on the cluster: as careful as one can be that still says something.
//! It is a text for people, with the reason of each choice beside it, and passes the same validator as any other.

#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodTemplateSpec, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub use text::{experiment, name};

use crate::api::labels;
use crate::verdict::words::counted;

/// What is to be killed.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Its kind: Deployment or StatefulSet.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Pods it wants.
    pub replicas: u32,
    /// How its pods are made.
    pub template: PodTemplateSpec,
}

/// What requests are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// Name of the Service.
    pub service: String,
    /// Name of its port; absent: it has one port alone.
    pub port: Option<String>,
    /// The path.
    pub path: String,
    /// Where the path comes from, for people.
    pub path_from: String,
}

/// What was asked for by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes<'a> {
    /// The Service.
    pub service: Option<&'a str>,
    /// Name or number of its port.
    pub port: Option<&'a str>,
    /// The path.
    pub path: Option<&'a str>,
}

/// It cannot be said where requests go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unclear(String);

impl Workload {
    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.template.metadata.as_ref()?.labels.as_ref()
    }

    /// What stands in the way of a run, each with the command that changes it; nothing is changed by it being said.
    pub fn lacks(&self, namespace: &BTreeMap<String, String>) -> Vec<String> {
        let Self { kind, namespace: place, name, replicas, .. } = self;
        let is_set = |labels: Option<&BTreeMap<String, String>>, key: &str| {
            labels.and_then(|labels| labels.get(key)).is_some_and(|value| value == "true")
        };
        let mut found = Vec::new();
        if !is_set(Some(namespace), labels::ENABLED) {
            found.push(format!(
                "namespace {place} is not opted in; hint: kubectl label namespace {place} {}=true",
                labels::ENABLED
            ));
        }
        if !is_set(self.labels(), labels::ENABLED) {
            let patch = serde_json::json!({"spec": {"template": {"metadata": {"labels": {labels::ENABLED: "true"}}}}});
            found.push(format!(
                "the pods of {kind} {name} are not opted in; hint: kubectl patch {} {name} -n {place} --type merge -p '{patch}' \
                 (this replaces its pods)",
                kind.to_ascii_lowercase()
            ));
        }
        if is_set(Some(namespace), labels::EXCLUDE) || is_set(self.labels(), labels::EXCLUDE) {
            found.push(format!("{} forbids every kill there, whatever else is said", labels::EXCLUDE));
        }
        if *replicas < 2 {
            found.push(format!(
                "{kind} {name} wants {}, and one must stay ready: no kill is allowed; hint: kubectl scale {} {name} \
                 -n {place} --replicas 2",
                counted(u64::from(*replicas), "pod"),
                kind.to_ascii_lowercase()
            ));
        }
        found
    }

    /// Where requests go, as far as it can be told from Services and readiness probe.
    pub fn entrance(&self, services: &[Service], wishes: Wishes<'_>) -> Result<Entrance, Unclear> {
        let service = self.service(services, wishes.service)?;
        let service_name = service.metadata.name.clone().unwrap_or_default();
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let port = self.port(&service_name, ports, wishes.port)?;
        let (path, path_from) = self.path(port, wishes.path);
        Ok(Entrance { service: service_name, port: port.name.clone().filter(|name| !name.is_empty()), path, path_from })
    }

    fn service<'s>(&self, services: &'s [Service], wanted: Option<&str>) -> Result<&'s Service, Unclear> {
        let named = |name: &str| services.iter().find(|service| service.metadata.name.as_deref() == Some(name));
        let names =
            |of: &[&Service]| of.iter().filter_map(|one| one.metadata.name.clone()).collect::<Vec<_>>().join(", ");
        if let Some(wanted) = wanted {
            let has =
                || if services.is_empty() { "none".to_owned() } else { names(&services.iter().collect::<Vec<_>>()) };
            let unknown =
                || Unclear(format!("there is no Service {wanted} in {}; hint: it has {}", self.namespace, has()));
            return named(wanted).ok_or_else(unknown);
        }
        let fitting: Vec<&Service> = services.iter().filter(|service| self.is_selected_by(service)).collect();
        let same = fitting.iter().copied().find(|service| service.metadata.name.as_ref() == Some(&self.name));
        match (same, fitting.as_slice()) {
            (Some(service), _) => Ok(service),
            (None, [only]) => Ok(*only),
            (None, []) => Err(Unclear(format!(
                "no Service with an address in {} selects the pods of {} {}; hint: name one: --service NAME, or make one: \
                 kubectl expose {} {} -n {} --port PORT",
                self.namespace,
                self.kind,
                self.name,
                self.kind.to_ascii_lowercase(),
                self.name,
                self.namespace
            ))),
            (None, several) => Err(Unclear(format!(
                "several Services select the pods of {} {}; hint: name one of {}: --service NAME",
                self.kind,
                self.name,
                names(several)
            ))),
        }
    }

    /// Whether a Service with an address of its own leads to these pods.
    fn is_selected_by(&self, service: &Service) -> bool {
        let Some(spec) = &service.spec else { return false };
        let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty());
        let Some((selector, labels)) = selector.zip(self.labels()) else { return false };
        let is_headless = spec.cluster_ip.as_deref() == Some("None");
        !is_headless && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    fn port<'p>(
        &self,
        service: &str,
        ports: &'p [ServicePort],
        wanted: Option<&str>,
    ) -> Result<&'p ServicePort, Unclear> {
        let is_named = |port: &&ServicePort, name: &str| port.name.as_deref() == Some(name);
        let found = match (wanted, ports) {
            (Some(wanted), _) => ports.iter().find(|port| is_named(port, wanted) || port.port.to_string() == wanted),
            (None, [only]) => Some(only),
            (None, _) => {
                let asked = || ports.iter().find(|port| self.readiness_of(port).is_some());
                ports.iter().find(|port| is_named(port, "http")).or_else(asked)
            }
        };
        found.ok_or_else(|| {
            let told = |port: &ServicePort| port.name.clone().unwrap_or_else(|| port.port.to_string());
            let has: Vec<String> = ports.iter().map(told).collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            let what = wanted
                .map_or_else(|| "which port is meant is not clear".to_owned(), |port| format!("it has no port {port}"));
            Unclear(format!("Service {service}: {what}; hint: it has {has}, name one: --port NAME"))
        })
    }

    /// The path by which a kubelet asks the pods behind this port whether they are ready.
    fn readiness_of(&self, port: &ServicePort) -> Option<String> {
        let same = IntOrString::Int(port.port);
        let behind = port.target_port.as_ref().unwrap_or(&same);
        self.template.spec.iter().flat_map(|spec| &spec.containers).find_map(|container| {
            let number = |port: &IntOrString| match port {
                IntOrString::Int(number) => Some(*number),
                IntOrString::String(name) => {
                    let mut ports = container.ports.iter().flatten();
                    ports.find(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port)
                }
            };
            let asked = container.readiness_probe.as_ref()?.http_get.as_ref()?;
            let is_same = number(&asked.port).is_some() && number(&asked.port) == number(behind);
            let path = asked.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
            is_same.then(|| if path.starts_with('/') { path } else { format!("/{path}") })
        })
    }

    fn path(&self, port: &ServicePort, wanted: Option<&str>) -> (String, String) {
        match (wanted, self.readiness_of(port).filter(|path| is_a_path(path))) {
            (Some(wanted), _) => (wanted.to_owned(), "as asked for".to_owned()),
            (None, Some(path)) => (path, "that of the readiness probe: better name what users ask for".to_owned()),
            (None, None) => {
                ("/".to_owned(), "a guess, as no readiness probe names one: name what users ask for".to_owned())
            }
        }
    }
}

/// Whether a request of a probe can have it as it stands: a kubelet asks for anything.
fn is_a_path(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') && !path.contains("{{")
}
