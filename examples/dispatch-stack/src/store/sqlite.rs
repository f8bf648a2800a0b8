//! Rides in an SQLite file. One thread writes, with **group commit**: all writes that wait while the disk syncs share the next
//! transaction, so that a disk with 100 syncs a second carries thousands of rides. Another thread reads. Nothing is
//! acknowledged before its transaction is on disk.

mod read;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use futures::future::BoxFuture;
use rusqlite::{Connection, Row};
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Op, Outcome, Query, RideStore, Served, StoreError, schema};
use crate::api::Ride;
use crate::ride::{Phase, Place, RideId};

/// Calls that may wait for a thread before callers are held back.
const QUEUE: usize = 1024;
/// Calls that share one transaction at most.
const GROUP: usize = 256;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A handle on the two database threads; they end when it is dropped.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    writes: mpsc::Sender<(Vec<Op>, Reply<Vec<Outcome>>)>,
    reads: mpsc::Sender<(Query, Reply<Answer>)>,
    writer_alive: Arc<AtomicBool>,
}

/// How a database file is opened.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Whether the database itself refuses a second active ride of one driver.
    pub unique_driver_index: bool,
}

impl SqliteStore {
    /// Opens or creates `rides.db` in `folder`; the write-ahead log of a killed process is replayed.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the folder cannot be written or the file is no database.
    pub fn open(folder: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let path = folder.join("rides.db");
        let failed = |source| StoreError::Open { path: path.display().to_string(), source };
        let write_connection = Connection::open(&path).map_err(failed)?;
        schema::prepare(&write_connection, options.unique_driver_index).map_err(failed)?;
        let read_connection = Connection::open(&path).map_err(failed)?;
        read_connection.pragma_update(None, "query_only", true).map_err(failed)?;
        for connection in [&write_connection, &read_connection] {
            connection.set_prepared_statement_cache_capacity(64);
        }

        let (writes, write_queue) = mpsc::channel(QUEUE);
        let (reads, read_queue) = mpsc::channel(QUEUE);
        let writer_alive = Arc::new(AtomicBool::new(true));
        let alive = AliveUntilDropped(Arc::clone(&writer_alive));
        let spawn_failed = |error: std::io::Error| StoreError::Database(format!("failed to start a thread: {error}"));
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                let _alive = alive;
                run_writer(&write_connection, write_queue);
            })
            .map_err(spawn_failed)?;
        std::thread::Builder::new()
            .name("store-reader".into())
            .spawn(move || run_reader(&read_connection, read_queue))
            .map_err(spawn_failed)?;
        Ok(Self { writes, reads, writer_alive })
    }
}

impl RideStore for SqliteStore {
    fn write(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Served<Vec<Outcome>>, StoreError>> {
        call(&self.writes, ops).boxed()
    }

    fn read(&self, query: Query) -> BoxFuture<'_, Result<Served<Answer>, StoreError>> {
        call(&self.reads, query).boxed()
    }

    /// Whether the thread that writes is there.
    fn is_alive(&self) -> bool {
        self.writer_alive.load(Ordering::Relaxed)
    }
}

async fn call<Q, A>(queue: &mpsc::Sender<(Q, Reply<A>)>, question: Q) -> Result<Served<A>, StoreError> {
    let ended = || StoreError::Unavailable("the database thread has ended".into());
    let (reply, answer) = oneshot::channel();
    queue.send((question, reply)).await.map_err(|_| ended())?;
    let value = answer.await.map_err(|_| ended())??;
    Ok(Served { value, served_by: String::new() })
}

struct AliveUntilDropped(Arc<AtomicBool>);

impl Drop for AliveUntilDropped {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn run_writer(connection: &Connection, mut queue: mpsc::Receiver<(Vec<Op>, Reply<Vec<Outcome>>)>) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP {
            let Ok(next) = queue.try_recv() else { break };
            group.push(next);
        }
        let (calls, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        // A caller that gave up waiting will retry and find its write done: its reply may go nowhere.
        match write::commit_group(connection, &calls, now_ms()) {
            Ok(results) => {
                for (reply, outcomes) in replies.into_iter().zip(results) {
                    let _ = reply.send(Ok(outcomes));
                }
            }
            Err(error) => {
                tracing::warn!(%error, calls = calls.len(), "transaction rolled back; each call is written by itself");
                for (reply, call) in replies.into_iter().zip(calls) {
                    let _ = reply.send(commit_alone(connection, call));
                }
            }
        }
    }
}

/// One call that fails must not take down those that shared its transaction.
fn commit_alone(connection: &Connection, call: Vec<Op>) -> Result<Vec<Outcome>, StoreError> {
    let failed = |error: rusqlite::Error| {
        tracing::error!(%error, "call rolled back");
        StoreError::Database(error.to_string())
    };
    let mut results = write::commit_group(connection, &[call], now_ms()).map_err(failed)?;
    Ok(results.pop().unwrap_or_default())
}

fn run_reader(connection: &Connection, mut queue: mpsc::Receiver<(Query, Reply<Answer>)>) {
    while let Some((query, reply)) = queue.blocking_recv() {
        let answer =
            read::answer(connection, &query, now_ms()).map_err(|error| StoreError::Database(error.to_string()));
        let _ = reply.send(answer);
    }
}

/// The database's clock: the only one whose stamps are in the ledger.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Columns that [`ride_from_row`] reads, in its order.
macro_rules! ride_columns {
    () => {
        "id, rider, from_lat, from_lng, to_lat, to_lng, state, driver, version, requested_at, seq"
    };
}
use ride_columns;

fn ride_from_row(row: &Row<'_>) -> rusqlite::Result<Ride> {
    Ok(Ride {
        id: RideId(row.get(0)?),
        rider: row.get(1)?,
        from: Place { lat: row.get(2)?, lng: row.get(3)? },
        to: Place { lat: row.get(4)?, lng: row.get(5)? },
        phase: phase_from(&row.get::<_, String>(6)?, row.get(7)?)?,
        version: row.get(8)?,
        requested_at_ms: row.get(9)?,
    })
}

fn phase_from(state: &str, driver: Option<String>) -> rusqlite::Result<Phase> {
    let reason = || format!("state {state} with driver {driver:?}");
    let wrong = rusqlite::Error::FromSqlConversionFailure(6, rusqlite::types::Type::Text, reason().into());
    Phase::from_parts(state, driver).ok_or(wrong)
}
