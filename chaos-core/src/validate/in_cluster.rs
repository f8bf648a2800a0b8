//! What may not be asked from inside a cluster with the rights of operator and prober: whoever may write an ExperimentRun must
//! not make them run a program, fetch an address of their choice, or look into namespaces that did not agree.

use std::collections::BTreeSet;

use super::path::Path;
use super::problem::Problems;
use crate::api::labels;
use crate::model::{Endpoint, Experiment, Guard, HttpLoad, NamespaceScope, Probe, ProbeKind, PrometheusSource};
use crate::population::NamespaceFacts;

/// Requests a second of all http probes of a run together.
const MOST_REQUESTS: f64 = 5_000.0;
/// Kinds of objects that a kubernetes probe may look at: `group/Kind`.
const READABLE: [&str; 8] = [
    "/Pod",
    "/Service",
    "apps/DaemonSet",
    "apps/Deployment",
    "apps/ReplicaSet",
    "apps/StatefulSet",
    "batch/Job",
    "policy/PodDisruptionBudget",
];

/// Everything that may not be asked.
pub(super) fn check(experiment: &Experiment, at: &Path, problems: &mut Problems) {
    for (index, probe) in experiment.probes.iter().enumerate() {
        check_probe(probe, &at.field("probes").index(index), problems);
    }
    for (index, guard) in experiment.guards.iter().enumerate() {
        if matches!(guard, Guard::Alert(_)) {
            problems
                .add(&at.field("abort").index(index), "alerts are not looked at from inside a cluster")
                .hint("guard the run by burnRate, or use chaos run from a terminal");
        }
    }
    let requests: f64 = experiment.probes.iter().filter_map(Probe::http).map(|http| most_requests(&http.load)).sum();
    if requests > MOST_REQUESTS {
        problems
            .add(&at.field("probes"), format!("{requests:.0} requests a second are too many for the prober"))
            .hint(format!("at most {MOST_REQUESTS} together"));
    }
}

fn check_probe(probe: &Probe, at: &Path, problems: &mut Problems) {
    let url = "an address of its own choice is not fetched from inside a cluster";
    if probe.http().is_some_and(|http| http.load.ca_file.is_some()) {
        problems
            .add(&at.fields("http.caFile"), "no file of the prober is read for a manifest inside a cluster")
            .hint("use chaos run from a terminal, or a certificate that the prober's image trusts");
    }
    match &probe.kind {
        ProbeKind::Http(http) if matches!(http.load.endpoint, Endpoint::Url(_)) => {
            problems.add(&at.fields("http.url"), url).hint("name a service");
        }
        ProbeKind::Invariants(checker) if matches!(checker.endpoint, Endpoint::Url(_)) => {
            problems.add(&at.fields("invariants.url"), url).hint("name a service");
        }
        ProbeKind::Prometheus(query) if matches!(query.source, PrometheusSource::Url(_)) => {
            problems.add(&at.fields("prometheus.url"), url).hint("name a source of the prober's configuration");
        }
        ProbeKind::Command(_) => {
            problems
                .add(&at.field("command"), "no program is run inside a cluster")
                .hint("use chaos run from a terminal");
        }
        ProbeKind::Tcp(_) => {
            problems.add(&at.field("tcp"), url).hint("use http with a service");
        }
        ProbeKind::Kubernetes(field) => {
            let kind = format!("{}/{}", field.group, field.kind);
            if !READABLE.contains(&kind.as_str()) {
                problems
                    .add(&at.fields("kubernetes.resource"), format!("the prober may not look at a {}", field.kind))
                    .hint(format!("it may look at {}", READABLE.map(|kind| kind.trim_start_matches('/')).join(", ")));
            }
        }
        ProbeKind::Grpc(grpc) if matches!(grpc.endpoint, Endpoint::Url(_)) => {
            problems.add(&at.fields("grpc.address"), url).hint("name a service");
        }
        ProbeKind::Http(_) | ProbeKind::Invariants(_) | ProbeKind::Prometheus(_) | ProbeKind::Grpc(_) => {}
    }
}

/// Requests a second at the most: all steps of a flow are requests, and stages change the rate.
fn most_requests(load: &HttpLoad) -> f64 {
    let highest = load.stages.iter().map(|stage| stage.to).fold(load.rate.per_second(), f64::max);
    highest * load.steps.len().max(1) as f64
}

/// Namespaces that the probes of an experiment look into, besides its own.
pub fn probed_namespaces(experiment: &Experiment) -> BTreeSet<String> {
    let of_probe = |probe: &Probe| match (&probe.kind, probe.endpoint()) {
        (ProbeKind::Kubernetes(field), _) => Some(field.namespace.clone()),
        (_, Some(Endpoint::Service { namespace, .. })) => Some(namespace.clone()),
        (_, Some(Endpoint::Url(_)) | None) => None,
    };
    experiment.probes.iter().filter_map(of_probe).filter(|namespace| *namespace != experiment.namespace).collect()
}

/// Namespaces that an experiment targets by name, besides its own.
pub fn targeted_namespaces(experiment: &Experiment) -> BTreeSet<String> {
    match &experiment.target.namespaces {
        NamespaceScope::Named(names) => {
            names.iter().filter(|namespace| **namespace != experiment.namespace).cloned().collect()
        }
        NamespaceScope::Labelled(_) => BTreeSet::new(),
    }
}

/// Whether a namespace lets specs of another one look into it, or hit it.
pub fn allows(namespace: &NamespaceFacts, from: &str) -> bool {
    namespace.name == from || namespace.labels.get(labels::ALLOW_FROM).is_some_and(|allowed| allowed == from)
}
