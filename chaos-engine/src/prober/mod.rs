//! The prober: measures for a run that an operator drives, with an identity that can read and create ConfigMaps, and nothing
//! else. It carries out what `chaos_core::prober` decides. It connects to Services of namespaces that agreed and to the sources
//! of its own configuration, to nothing that a manifest brings along.

mod agreed;
mod prepare;
mod world;

use std::sync::Arc;

use chaos_core::api::ExperimentRun;
use chaos_core::prober::Prober;
use tokio::sync::watch;

use crate::drive::drive;
use crate::kube::Clients;
use crate::sources::Sources;

use world::ProberWorld;

/// What a prober brings along.
#[derive(Clone)]
pub struct ProberDesk {
    /// The cluster.
    pub clients: Clients,
    /// Who this is: another process is another prober.
    pub instance: String,
    /// SHA-256 of its program, in hex; absent where it is not known.
    pub tool_digest: Option<String>,
    /// What may be asked besides Services.
    pub sources: Sources,
    /// The whole cluster is on this machine, its Services too.
    pub loopback: bool,
}

/// Measures for one run until it is over or gone (its senders dropped). A run of another prober is left alone, and nothing is
/// measured before `turn` says that it is this run's.
pub async fn probe(desk: ProberDesk, object: watch::Receiver<Arc<ExperimentRun>>, turn: watch::Receiver<bool>) {
    let mut world = ProberWorld::new(desk, object, turn);
    match drive(&Prober, &mut world, ()).await {
        Ok(_) => (),
        Err(never) => match never {},
    }
}
