//! Why a probe cannot be started: each kind says by name what is out of reach, and what to do.

use super::super::http::PlanError;
use super::super::look::NoAnswer;
use crate::kube::told;

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
    #[error("failed to read Service {service}: {}{}", told(source), misspelt(source))]
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
    #[error("Service {service} is out of reach from here (tried {tried}); hint: {hint}")]
    OutOfReach {
        /// `namespace/name`.
        service: String,
        /// The addresses and what came of each.
        tried: String,
        /// What may help.
        hint: &'static str,
    },
    /// An address that may not be connected to from inside the cluster.
    #[error("Service {service} is not asked from inside the cluster: {why}")]
    Refused {
        /// `namespace/name`.
        service: String,
        /// Why.
        why: &'static str,
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
    /// A Prometheus gives no answer.
    #[error("{asker} asks Prometheus {url}, which gives no answer: {cause}")]
    Silent {
        /// Who asks.
        asker: String,
        /// Its base URL.
        url: String,
        /// Why.
        cause: NoAnswer,
    },
    /// A rate has too few samples to go by.
    #[error("probe {probe}: {message}")]
    FewScrapes {
        /// The probe.
        probe: String,
        /// Which, and what to do.
        message: String,
    },
    /// No rule can give the alerts of a guard.
    #[error(
        "no alerting rule can give an alert with {matchers}; hint: such a guard would never stop anything, is a name misspelt?"
    )]
    NoRule {
        /// The matchers of the guard.
        matchers: String,
    },
    /// An alert of a guard fires before the run.
    #[error("{message}; hint: a guard would stop the run at once")]
    Firing {
        /// Which.
        message: String,
    },
    /// The probe is not valid http.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// What to do about a Service that is not there.
fn misspelt(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) if status.code == 404 => "; hint: is its name or its namespace misspelt?",
        _ => "",
    }
}
