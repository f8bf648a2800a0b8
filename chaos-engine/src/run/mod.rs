//! One run of an experiment from the outside: carries out what `chaos_core::run` decides and records everything that happens.
//! It must not judge: what a run proves is a function of its record.
//!
//! ```text
//! prepare ── reads the cluster and the probes; orphans ── what earlier runs left there
//! world ── what the step function sees, and how its actions are carried out
//!   ├ observer ── what was seen so far, and what follows from it while the run goes on
//!   │   └ sight (pods and endpoints), vigil (cluster, stop switch), alerts, answers (probes): each watches one thing
//!   └ killer ── who kills, behind one face
//!       ├ own ── this very process
//!       └ monkey ── the operator, by a ChaosMonkey of the run; tracker reads its status, on a clock that is off by offset
//!           └ heartbeat ── keeps it alive
//! told ── a killer's ledger as events, each told once
//! operated ── the same run, driven by the operator
//! ```

mod alerts;
mod answers;
#[cfg(test)]
mod fixture;
mod follow;
mod heartbeat;
mod killer;
mod monkey;
mod observer;
mod offset;
pub mod operated;
pub mod orphans;
mod own;
mod prepare;
mod sight;
mod told;
mod tracker;
mod vigil;
mod world;

use std::sync::Arc;

use chaos_core::model::Experiment;
use chaos_core::run::RunState;
use chaos_core::verdict::JudgeSpec;
use tokio::sync::watch;

use crate::clock::RunClock;
use crate::kube::{Clients, is_of_a_moment, is_turned_away};
use crate::recorder::Recorder;

pub use prepare::{Prepared, Surroundings, Unfit, prepare, prepare_on, read_population};
pub use world::execute;

/// Everything that one run needs.
pub struct RunOrder {
    /// Random identity of the run.
    pub run_id: String,
    /// The hypothesis.
    pub experiment: Arc<Experiment>,
    /// The seed in force.
    pub seed: i64,
    /// What the run will be judged by.
    pub judge: Arc<JudgeSpec>,
    /// The cluster.
    pub clients: Clients,
    /// Namespaces whose pods are watched.
    pub namespaces: Vec<String>,
    /// The environment of the cluster, where it is known.
    pub environment: Option<String>,
    /// The run's clock.
    pub clock: RunClock,
    /// The run's record.
    pub recorder: Recorder,
    /// The name of a signal that asked the run to end, once one did.
    pub asked: watch::Receiver<Option<&'static str>>,
    /// The alerts that guard the run.
    pub guards: Vec<crate::probe::AlertLook>,
    /// Where the run tells where it is.
    pub progress: watch::Sender<RunState>,
}

/// What went wrong between the run and the cluster.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A call to the API server failed.
    #[error("failed to {what}: {}", crate::kube::told(source))]
    Cluster {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: kube::Error,
    },
    /// What was made for it, or may have been, could not be removed after that.
    #[error("{cause}")]
    Left {
        /// Why it is of no use.
        cause: Box<Self>,
        /// What is left for a person to do.
        left: String,
    },
    /// There is no monkey, and none may be made.
    #[error("the run's ChaosMonkey is gone")]
    NoMonkey,
    /// The operator did not say that it is done with the monkey.
    #[error(
        "the operator did not confirm that monkey {monkey} is at rest; hint: is it running? kubectl get pods -n chaos-system"
    )]
    NotSettled {
        /// Name of the monkey.
        monkey: String,
    },
}

impl RunError {
    pub(crate) fn cluster(what: &'static str, source: kube::Error) -> Self {
        Self::Cluster { what, source }
    }

    /// Whether the same may succeed a little later: the server did not answer, could not do it at that time, or turned us away.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Cluster { source, .. } => is_of_a_moment(source) || is_turned_away(source),
            Self::Left { cause, .. } => cause.may_pass(),
            Self::NoMonkey | Self::NotSettled { .. } => false,
        }
    }

    /// What is left on the cluster for a person to do.
    pub(crate) fn left(&self) -> Option<&str> {
        match self {
            Self::Left { left, .. } => Some(left.as_str()),
            Self::Cluster { .. } | Self::NoMonkey | Self::NotSettled { .. } => None,
        }
    }
}
