//! The durable truth: rides, who drives them, what they were charged. [`RideStore`] is what the platform needs from a
//! database; [`sqlite::SqliteStore`] keeps it in a file, [`postgres::PostgresStore`] on a PostgreSQL server, and
//! [`remote::RemoteStore`] reaches one in another pod. Rules of business (which step is legal) are not here: they are in
//! [`crate::ride`].

pub mod postgres;
pub mod remote;
pub mod schema;
pub mod server;
pub mod sqlite;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::api::Ride;
use crate::ride::{DriverId, Phase, Place, RideId};

/// How many shards the map is cut into for matching.
pub const ZONES: u32 = 4;

/// A database that can keep rides. Every [`RideStore::write`] is durable (synced to disk) before it answers.
pub trait RideStore: Send + Sync {
    /// Applies each operation, in order, and answers once all are durable. Operations of one call are not atomic with one
    /// another; each is atomic in itself.
    fn write(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Served<Vec<Outcome>>, StoreError>>;

    /// Reads committed data.
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Served<Answer>, StoreError>>;

    /// Whether writes and reads are answered now: the readiness of a pod.
    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move { self.read(Query::Stats).await.map(drop) }.boxed()
    }

    /// Whether this process can still do its work, without which only a new one helps: the liveness of a pod.
    fn is_alive(&self) -> bool {
        true
    }
}

/// The zones of one matcher, that holds `held` while others hold `others`: those it has, up to its fair share, then free ones.
fn share_of_zones(held: &[u32], others: &[u32], matchers: u32) -> Vec<u32> {
    let share = ZONES.div_ceil(matchers.max(1)) as usize;
    let free = (0..ZONES).filter(|zone| !others.contains(zone) && !held.contains(zone));
    let mut zones: Vec<u32> = held.iter().copied().chain(free).take(share).collect();
    zones.sort_unstable();
    zones
}

/// Overdue rides handed out at a time, of each kind.
const OVERDUE_LIMIT: u32 = 500;

/// A value and the pods that served it, outermost first (empty when it was this process).
#[derive(Clone, Debug, PartialEq)]
pub struct Served<T> {
    /// The answer.
    pub value: T,
    /// As in the `x-served-by` header.
    pub served_by: String,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// A new ride, in phase `requested`, version 1.
    Create(NewRide),
    /// Moves a ride to another phase.
    Move(MoveRide),
    /// Gives a matcher its share of the zones, for a time.
    Lease {
        /// The matcher's pod.
        holder: String,
        /// Milliseconds from now; 0 gives everything back.
        ttl_ms: u64,
    },
    /// Takes requested rides off the queue for one matcher that keeps them in memory.
    Take {
        /// The matcher's pod.
        holder: String,
        /// Zones to look in.
        zones: Vec<u32>,
        /// At most so many.
        limit: u32,
    },
}

/// What is needed for a new ride.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewRide {
    /// Identity, drawn by the caller.
    pub id: RideId,
    /// The client's Idempotency-Key.
    pub key: String,
    /// Whether a ride with the same key answers instead of a second one being made.
    pub dedupe: bool,
    /// Who asks.
    pub rider: String,
    /// Where the rider waits.
    pub from: Place,
    /// Destination.
    pub to: Place,
    /// Matching shard, below [`ZONES`].
    pub zone: u32,
    /// The pod that writes, for the ledger.
    pub by: String,
}

impl NewRide {
    /// The ride that it begins as.
    pub fn requested(&self, requested_at_ms: u64) -> Ride {
        Ride {
            id: self.id.clone(),
            rider: self.rider.clone(),
            from: self.from,
            to: self.to,
            phase: Phase::Requested,
            version: 1,
            requested_at_ms,
        }
    }
}

/// One step of a ride.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoveRide {
    /// Which ride.
    pub id: RideId,
    /// The version that the caller decided on; `None` writes over whatever is there.
    pub expect: Option<u64>,
    /// Where the ride goes.
    #[serde(flatten)]
    pub to: Phase,
    /// Cents to charge with this step.
    pub charge_cents: Option<u32>,
    /// The pod that writes, for the ledger.
    pub by: String,
}

/// What became of an [`Op`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The ride is new.
    Created {
        /// As committed.
        ride: Ride,
    },
    /// A ride with this key was there before.
    Existing {
        /// As it stands.
        ride: Ride,
    },
    /// The ride moved.
    Moved {
        /// As committed.
        ride: Ride,
    },
    /// The ride is at another version than expected; nothing was written.
    Stale {
        /// As it stands.
        ride: Ride,
    },
    /// The driver is occupied by another ride; nothing was written.
    DriverBusy,
    /// No such ride.
    NotFound,
    /// The holder's zones.
    Leased {
        /// Shard numbers.
        zones: Vec<u32>,
    },
    /// Rides taken off the queue.
    Taken {
        /// Oldest first.
        rides: Vec<Ride>,
    },
}

/// One question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "snake_case")]
pub enum Query {
    /// These rides; unknown ones are left out.
    Rides {
        /// Which.
        ids: Vec<RideId>,
    },
    /// Rides that wait for a driver, oldest first.
    Requested {
        /// Zones to look in.
        zones: Vec<u32>,
        /// At most so many.
        limit: u32,
    },
    /// Rides that wait for a driver's answer.
    Offered,
    /// Rides that occupy one of these drivers.
    OfDrivers {
        /// Which.
        drivers: Vec<DriverId>,
    },
    /// Rides that have been in their phase for too long.
    Overdue(Patience),
    /// The ledger, a page of rides at a time.
    Audit {
        /// Rides written after this position; 0 is the beginning.
        after: u64,
        /// Rides a page.
        limit: u32,
    },
    /// Numbers for the metrics.
    Stats,
}

/// How long a ride may stay in a phase, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patience {
    /// Without a driver.
    pub requested_ms: u64,
    /// Without the driver's answer.
    pub offered_ms: u64,
    /// Without the driver's next step.
    pub driven_ms: u64,
}

/// What a [`Query`] found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Rides, oldest first.
    Rides {
        /// What was asked for.
        rides: Vec<Ride>,
    },
    /// A page of the ledger.
    Audit {
        /// In the order in which they were created.
        rides: Vec<LedgerRide>,
        /// The database's clock, milliseconds since the Unix epoch.
        now_ms: u64,
    },
    /// Numbers.
    Stats(Stats),
}

/// The state of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Rides that are not over.
    pub open: u64,
    /// Age of the oldest of them, in milliseconds.
    pub oldest_open_ms: u64,
}

/// Everything that was ever written about a ride.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerRide {
    /// Position in the ledger.
    pub seq: u64,
    /// The client's Idempotency-Key.
    pub key: String,
    /// How often it was charged.
    pub charges: u32,
    /// As it stands.
    pub ride: Ride,
    /// Its steps, in the order in which they were committed.
    pub steps: Vec<LedgerStep>,
}

/// One committed step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerStep {
    /// Position among all steps of all rides.
    pub seq: u64,
    /// The ride's version with this step.
    pub version: u64,
    /// Where the ride went.
    #[serde(flatten)]
    pub phase: Phase,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The pod that wrote it.
    pub by: String,
}

/// Why the store could not answer. After [`StoreError::Unavailable`] a write may or may not have happened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Opening or migrating the file.
    #[error(
        "failed to open the database {path}: {source}\nhint: DATA_DIR must name a folder that this process may write"
    )]
    Open {
        /// Which file.
        path: String,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// What a pod was told of its database cannot be used.
    #[error("{0}")]
    Config(String),
    /// A statement or a commit; the transaction was rolled back.
    #[error("failed to use the database: {0}")]
    Database(String),
    /// The database is gone or does not answer in time.
    #[error("failed to reach the store: {0}")]
    Unavailable(String),
}
