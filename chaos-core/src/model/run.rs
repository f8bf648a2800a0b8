//! An ExperimentRun as it is meant: the experiment with its overrides, and how it is to be run.

use super::{Experiment, Mode};
use crate::units::Duration;

/// One execution of an experiment by the operator.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// Name of the object.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID; empty for one that no API server has seen.
    pub uid: String,
    /// What is run, overrides applied. It asks nothing that may not be asked from inside a cluster.
    pub experiment: Experiment,
    /// The same as a manifest, for the record.
    pub manifest: String,
    /// SHA-256 of it, in hex.
    pub digest: String,
    /// Whether it touches anything.
    pub mode: Mode,
    /// How long somebody has to approve the plan; absent: nobody needs to.
    pub approval: Option<Duration>,
}
