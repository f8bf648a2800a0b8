//! Puts each role together from its parts and runs it until it is told to stop. All wiring is here; no logic is.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{Cli, GatewayArgs, MatcherArgs, PodArgs, Role, SimArgs, StoreArgs, TripsArgs};
use crate::fragile::{Flag, Fragile};
use crate::gateway::{self, GatewayConfig};
use crate::matcher::{self, MatcherConfig};
use crate::metrics::Metrics;
use crate::net::client::{Peer, PeerError};
use crate::net::server::{Pod, ServeError, Service, Shutdown, serve};
use crate::sim::{self, SimConfig, SimError};
use crate::store::postgres::{PostgresOptions, PostgresStore};
use crate::store::remote::RemoteStore;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{RideStore, StoreError};
use crate::trips::{self, HastyWriter, Trips};
use crate::{eta, location, store};

/// Why a role could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A signal handler could not be installed.
    #[error("failed to listen for signals: {0}")]
    Signals(std::io::Error),
    /// An address of another role is wrong.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not clear which database is meant.
    #[error(
        "failed to choose a database: {0}\nhint: exactly one of DATA_DIR (a folder, for SQLite) and DATABASE_URL (a PostgreSQL server)"
    )]
    Database(&'static str),
    /// The simulator cannot start.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The server cannot run.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs the role until SIGTERM or SIGINT, then shuts it down as it was told.
///
/// # Errors
/// [`RunError`] when the role cannot start or its server breaks.
pub async fn run_until_signal(cli: Cli) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.cancel();
    });
    run(cli, stop).await
}

/// Runs the role until `stop` is cancelled.
///
/// # Errors
/// [`RunError`] when the role cannot start or its server breaks.
pub async fn run(cli: Cli, stop: CancellationToken) -> Result<(), RunError> {
    let metrics = Arc::new(Metrics::new(cli.role.name()));
    let pod = pod(&cli.role, &cli.pod);
    let context = Context { pod: &pod.name, fragile: &cli.pod.fragile, metrics, stop: stop.clone() };
    let mut background = None;
    let service = match cli.role {
        Role::Gateway(args) => context.gateway(&args)?,
        Role::Trips(args) => context.trips(&args)?,
        Role::Matcher(args) => {
            let (service, work) = context.matcher(&args)?;
            background = Some(work);
            service
        }
        Role::Location => location::service(context.metrics),
        Role::Eta => eta::service(context.metrics),
        Role::Store(args) => context.store(&args)?,
        Role::Sim(args) => context.sim(&args).await?,
    };
    let waits_for_background = matches!(pod.shutdown, Shutdown::Drain(_));
    serve(pod, service, stop).await?;
    if let Some(work) = background
        && waits_for_background
    {
        // A panic has been reported by the runtime; the process ends either way.
        let _ = work.await;
    }
    Ok(())
}

fn pod(role: &Role, args: &PodArgs) -> Pod {
    let shutdown =
        if args.fragile.has(Flag::InstantExit) { Shutdown::Instant } else { Shutdown::Drain(args.drain_delay) };
    Pod {
        name: args.pod_name.clone().unwrap_or_else(|| role.name().into()),
        listen: SocketAddr::new(args.pod_ip, args.port.unwrap_or_else(|| role.default_port())),
        shutdown,
    }
}

/// What the parts of every role need.
struct Context<'a> {
    pod: &'a str,
    fragile: &'a Fragile,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl Context<'_> {
    fn gateway(&self, args: &GatewayArgs) -> Result<Service, RunError> {
        let config = GatewayConfig {
            trips: Peer::new("trips", &args.trips.trips_url)?,
            location: Peer::new("location", &args.location.location_url)?,
            eta: Peer::new("eta", &args.eta_url)?,
            deadline: args.deadline,
            retry_new_key: self.fragile.has(Flag::RetryNewKey),
        };
        Ok(gateway::service(config, Arc::clone(&self.metrics)))
    }

    fn trips(&self, args: &TripsArgs) -> Result<Service, RunError> {
        let store: Arc<dyn RideStore> = Arc::new(RemoteStore::new(Peer::new("store", &args.store.store_url)?));
        let hasty = self.fragile.has(Flag::AckBeforeCommit).then(|| HastyWriter::start(Arc::clone(&store)));
        let trips = Trips::new(store, self.pod, self.fragile.clone());
        Ok(trips::service(trips, hasty, Arc::clone(&self.metrics)))
    }

    fn matcher(&self, args: &MatcherArgs) -> Result<(Service, tokio::task::JoinHandle<()>), RunError> {
        let config = MatcherConfig {
            pod: self.pod.to_owned(),
            trips: Peer::new("trips", &args.trips.trips_url)?,
            location: Peer::new("location", &args.location.location_url)?,
            in_memory: self.fragile.has(Flag::MatcherInMemory),
        };
        let (metrics, stop) = (Arc::clone(&self.metrics), self.stop.clone());
        let work = tokio::spawn(async move { matcher::run(config, &metrics, stop).await });
        Ok((matcher::service(Arc::clone(&self.metrics)), work))
    }

    fn store(&self, args: &StoreArgs) -> Result<Service, RunError> {
        let unique_driver_index = !self.fragile.has(Flag::NoUniqueIndex);
        // An empty variable is how a manifest says that there is none.
        let folder = args.data_dir.as_deref().filter(|folder| !folder.as_os_str().is_empty());
        let url = args.database_url.as_ref().filter(|url| !url.reveal().is_empty());
        let store: Arc<dyn RideStore> = match (folder, url) {
            (Some(folder), None) => Arc::new(SqliteStore::open(folder, SqliteOptions { unique_driver_index })?),
            (None, Some(url)) => {
                let options = PostgresOptions { unique_driver_index, ca_file: args.database_ca_file.clone() };
                Arc::new(PostgresStore::start(url.reveal(), &options)?)
            }
            (Some(_), Some(_)) => return Err(RunError::Database("both are set")),
            (None, None) => return Err(RunError::Database("neither is set")),
        };
        Ok(store::server::service(store, Arc::clone(&self.metrics)))
    }

    async fn sim(&self, args: &SimArgs) -> Result<Service, RunError> {
        let config = SimConfig {
            gateway: Peer::new("gateway", &args.gateway_url)?,
            ledger: Arc::new(RemoteStore::new(Peer::new("store", &args.store.store_url)?)),
            rides_per_second: args.rides_per_second,
            drivers: args.drivers,
            cancel_share: args.cancel_share,
            stuck_after: args.stuck_after,
            history_file: args.history_file.clone(),
        };
        Ok(sim::start(config, Arc::clone(&self.metrics), self.stop.clone()).await?)
    }
}
