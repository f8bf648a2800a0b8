//! The simulator: riders who ask whether or not they are answered, drivers who drive, and an auditor who compares what clients
//! were told with what the ledger says. It is a client of the platform and has no part in serving it.

pub mod audit;
pub mod checker;
pub mod drivers;
pub mod history;
pub mod riders;
mod story;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio_util::sync::CancellationToken;

use self::history::History;
use crate::metrics::{Metrics, OutcomeLabel, StateLabel};
use crate::net::client::Peer;
use crate::net::server::Service;
use crate::store::RideStore;

/// Completed rides after which riders and drivers count as moving.
const MOVING: u64 = 10;

/// How the simulation is run.
#[expect(missing_debug_implementations, reason = "the ledger is a trait object")]
pub struct SimConfig {
    /// What riders and drivers talk to.
    pub gateway: Peer,
    /// What the auditor reads.
    pub ledger: Arc<dyn RideStore>,
    /// Rides asked for each second.
    pub rides_per_second: f64,
    /// Drivers on the road.
    pub drivers: usize,
    /// Share of rides that are cancelled, 0 to 1.
    pub cancel_share: f64,
    /// When an open ride counts as stuck.
    pub stuck_after: Duration,
    /// Where the history is written besides memory.
    pub history_file: Option<PathBuf>,
}

/// A simulation that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A rate or share is out of range.
    #[error("failed to start the simulation: {0}")]
    Config(String),
    /// The history file cannot be written.
    #[error("failed to open the history file {path}: {source}")]
    History {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// What riders, drivers and the auditor share.
struct World {
    config: SimConfig,
    history: History,
    measures: Measures,
    /// Set while the auditor waits for things to settle.
    paused: AtomicBool,
    /// Riders' requests that have no final answer yet.
    in_flight: AtomicU64,
    completed: AtomicU64,
}

impl World {
    fn is_moving(&self) -> bool {
        self.completed.load(Ordering::Relaxed) >= MOVING
    }
}

#[derive(Clone, Default)]
struct Measures {
    requests: Family<OutcomeLabel, Counter>,
    drivers: Family<StateLabel, Gauge>,
    match_rate: Gauge<f64, AtomicU64>,
    double_assigned: Counter,
    lost: Counter,
}

impl Measures {
    fn new(metrics: &Metrics) -> Self {
        let measures = Self::default();
        metrics.register("dispatch_sim_requests", "Riders' requests by final outcome.", measures.requests.clone());
        metrics.register("dispatch_driver_state", "Drivers by what they do.", measures.drivers.clone());
        metrics.register("dispatch_match_rate", "Accepted share of acknowledged rides.", measures.match_rate.clone());
        let help = "Drivers found with two rides at once; must be 0.";
        metrics.register("dispatch_double_assign", help, measures.double_assigned.clone());
        metrics.register("dispatch_rides_lost", "Acknowledged rides found lost; must be 0.", measures.lost.clone());
        measures
    }

    fn count_request(&self, outcome: &'static str) {
        self.requests.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

/// Starts riders and drivers, which run until `stop` is cancelled, and returns the service that reports on them.
///
/// # Errors
/// [`SimError`] when a setting is out of range or the history file cannot be opened.
pub async fn start(config: SimConfig, metrics: Arc<Metrics>, stop: CancellationToken) -> Result<Service, SimError> {
    let rate_ok = config.rides_per_second >= 0.0 && config.rides_per_second <= 100_000.0;
    if !rate_ok || !(0.0..=1.0).contains(&config.cancel_share) {
        let reason = "RIDES_PER_SECOND must be 0 to 100000 and CANCEL_SHARE 0 to 1";
        return Err(SimError::Config(reason.into()));
    }
    let history = History::open(config.history_file.as_deref()).await?;
    let world = Arc::new(World {
        measures: Measures::new(&metrics),
        history,
        config,
        paused: AtomicBool::new(false),
        in_flight: AtomicU64::new(0),
        completed: AtomicU64::new(0),
    });
    tokio::spawn(riders::run(Arc::clone(&world), stop.clone()));
    tokio::spawn(drivers::run(Arc::clone(&world), stop));

    let mut service = Service::new(audit::router(Arc::clone(&world)), metrics);
    service.ready = Arc::new(move || {
        let world = Arc::clone(&world);
        Box::pin(async move { if world.is_moving() { Ok(()) } else { Err("no ride has been driven yet".into()) } })
    });
    Ok(service)
}

/// The clients' clock: milliseconds since the Unix epoch.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
