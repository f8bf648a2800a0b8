//! The operator: keeps every `ChaosMonkey`'s strike machine, every `ExperimentRun` and every `GameDay` going, writes their status,
//! tells Events, and serves health and metrics. It is a thin shell: `chaos-core` decides and `chaos-engine` acts; what is here only knows how
//! a machine's memory lives in a status, and who may drive it. The prober is another process with another identity.
//!
//! ```text
//! supervisor ── watches our objects, one task each while this process leads
//!   ├ gameday ── a GameDay: claims it, validates it, drives it over its calendar
//!   ├ run ── an ExperimentRun: claims it, validates it, drives it to its verdict
//!   │   ├ under_way ── what one that was under way means, by its record
//!   │   └ latest ── the newest version of it, from the watch or from a write that came upon it
//!   └ monkey ── takes a ChaosMonkey up, validates it, claims it where there is something to say, runs drive() on it, and starts
//!       │       over when the spec changes
//!       └ keeper ── the machine's ledger in .status: every write names the version it was decided on
//! shown ── what metrics show of a single monkey, by whoever looks after the last one of its name
//! board ── how all monkeys stand, for the caps on them together
//! watched ── the watches of our objects
//! signals ── the stop switch, the served schema and the heartbeats, read again and again
//!   └ schema ── whether what is served is what this program was built with
//! conditions ── the conditions of a ChaosMonkey, and what holds its kills
//! shared, teller ── what all of them share, and the one who tells Events
//! turns ── how many objects are taken up at a time, and write what no kill depends on
//! pace ── how often what no kill depends on is written of one monkey, and how often skips are told
//! permitted ── what this process may do, asked of the API server
//! serve ── /livez /readyz /metrics, the only listener
//! ```

mod admission;
mod args;
mod backoff;
mod board;
mod conditions;
mod gameday;
pub mod grants;
mod keeper;
mod latest;
pub mod manifests;
mod metrics;
mod monkey;
#[cfg(test)]
mod one_object;
mod pace;
mod permitted;
pub mod prober;
mod run;
mod schema;
mod serve;
mod shared;
mod shown;
mod signals;
mod supervisor;
mod teller;
mod turns;
mod watched;

use std::future::Future;

use anyhow::Context as _;
use chaos_engine::kube::leader::{ClusterLease, Election, ElectionConfig};
use chaos_engine::kube::{Caller, Clients};
use chaos_engine::program;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use args::{LogFormat, OperatorArgs, ProberArgs};

use shared::Shared;

/// Name of the Lease by which replicas agree on who works.
pub const LEASE: &str = "chaos-operator";
/// What the API server's audit log calls us.
const AGENT: &str = concat!("chaos-operator/", env!("CARGO_PKG_VERSION"));

/// Runs the operator until `shutdown` resolves. Afterwards nothing of it runs any more, and its Lease is free.
///
/// # Errors
/// No cluster is configured, or the address to serve on is taken.
pub async fn run(args: OperatorArgs, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    args.common().init_logs();
    let config = kube::Config::infer().await.context("failed to find the cluster to operate on")?;
    let clients = Clients::new(config, AGENT)?;
    run_on(clients, args, shutdown).await
}

/// Runs the operator on a cluster that is reached through these clients.
///
/// # Errors
/// The configuration is not valid, or the address to serve on is taken.
pub async fn run_on(
    clients: Clients,
    args: OperatorArgs,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let sources = args.common().sources()?;
    let listener = tokio::net::TcpListener::bind(args.common().listen_address()).await.with_context(|| {
        format!("failed to listen on {}; hint: choose another with --listen", args.common().listen_address())
    })?;
    tracing::info!(address = %listener.local_addr()?, identity = %args.identity(), "operator starts");
    let stop = CancellationToken::new();
    let (shared, teller) = Shared::new(clients, &args, sources, stop.clone());
    let (mut background, mut election) = (JoinSet::new(), JoinSet::new());
    // The records of runs name this program: it was read before the first of them begins.
    tokio::task::spawn_blocking(program::digest);
    background.spawn(teller.run());
    background.spawn(signals::follow_switch(shared.clone()));
    background.spawn(signals::follow_schema(shared.clone()));
    background.spawn(permitted::follow(shared.clone()));
    background.spawn(signals::follow_hold(shared.clone()));
    background.spawn(serve::serve(listener, shared.clone()));
    let (leading, is_leader) = watch::channel(!args.leader_election());
    if args.leader_election() {
        let config = ElectionConfig::new(&shared.namespace, LEASE, args.identity());
        let store = ClusterLease::new(Caller::new(shared.clients.write.clone()), &config);
        election.spawn(Election::new(config, store).run(leading, stop.child_token()));
    }
    let mut is_broken = false;
    let ends = async { is_broken = one_has_ended(shutdown, [&mut background, &mut election]).await };
    supervisor::supervise(&shared, args.common().watched_namespace(), is_leader, ends).await;
    // The monkeys are at rest: only now may somebody else take over.
    stop.cancel();
    while let Some(ended) = election.join_next().await {
        ended.context("the leader election ended badly")?;
    }
    background.shutdown().await;
    tracing::info!("operator ends");
    anyhow::ensure!(!is_broken, "a part of the operator has ended by itself; hint: the log says which, and why");
    Ok(())
}

/// Waits for `shutdown`, or until one of these tasks has ended, which none does before it is told to: nobody would do its work any
/// more, and nobody would be told. A process that starts anew does. Whether it is that.
async fn one_has_ended(shutdown: impl Future<Output = ()> + Send, [some, others]: [&mut JoinSet<()>; 2]) -> bool {
    tokio::select! {
        () = shutdown => false,
        Some(_) = some.join_next() => true,
        Some(_) = others.join_next() => true,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn what_goes_on_in_the_background_is_missed_when_it_has_ended() {
        let (mut background, mut none) = (JoinSet::new(), JoinSet::new());
        background.spawn(pending());
        assert!(!one_has_ended(async {}, [&mut background, &mut none]).await, "nothing has ended: it was asked to");
        background.spawn(async { panic!("a mistake") });
        assert!(one_has_ended(pending(), [&mut background, &mut none]).await);
        assert!(!one_has_ended(async {}, [&mut none, &mut background]).await);
    }
}
