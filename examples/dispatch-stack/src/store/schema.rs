//! The SQLite schema. Uniqueness that the platform's promises rest on is held here, by the database, and nowhere else.

use rusqlite::Connection;

/// Phases in which a ride occupies its driver, as an SQL list.
macro_rules! occupied {
    () => {
        "('offered','assigned','en_route','on_trip')"
    };
}
pub(super) use occupied;

/// Creates what is missing and sets how safely the file is written.
///
/// # Errors
/// SQLite's, when the file is not ours or the disk is full.
pub fn prepare(connection: &Connection, unique_driver_index: bool) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    // FULL syncs the log with every commit: an acknowledged ride survives a power cut, not just a killed process.
    connection.pragma_update(None, "synchronous", "full")?;
    // The root file system of a pod is read-only.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.execute_batch(TABLES)?;
    if unique_driver_index {
        connection.execute_batch(ONE_RIDE_A_DRIVER)?;
    }
    Ok(())
}

const TABLES: &str = concat!(
    "
CREATE TABLE IF NOT EXISTS rides (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  key TEXT NOT NULL,
  dedupe_key TEXT UNIQUE,
  rider TEXT NOT NULL,
  from_lat REAL NOT NULL, from_lng REAL NOT NULL, to_lat REAL NOT NULL, to_lng REAL NOT NULL,
  zone INTEGER NOT NULL,
  state TEXT NOT NULL,
  driver TEXT,
  version INTEGER NOT NULL,
  requested_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  taken_by TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS rides_requested ON rides (zone, seq) WHERE state = 'requested' AND taken_by IS NULL;
CREATE INDEX IF NOT EXISTS rides_offered ON rides (seq) WHERE state = 'offered';
CREATE INDEX IF NOT EXISTS rides_by_driver ON rides (driver) WHERE state IN ",
    occupied!(),
    ";
CREATE INDEX IF NOT EXISTS rides_driven ON rides (changed_at) WHERE state IN ('assigned','en_route','on_trip');
CREATE INDEX IF NOT EXISTS rides_open ON rides (requested_at) WHERE state NOT IN ('completed','cancelled','expired');
CREATE TABLE IF NOT EXISTS steps (
  seq INTEGER PRIMARY KEY,
  ride INTEGER NOT NULL REFERENCES rides (seq),
  version INTEGER NOT NULL,
  state TEXT NOT NULL,
  driver TEXT,
  at INTEGER NOT NULL,
  by TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS steps_by_ride ON steps (ride, seq);
CREATE TABLE IF NOT EXISTS charges (seq INTEGER PRIMARY KEY, ride INTEGER NOT NULL, cents INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS charges_by_ride ON charges (ride);
CREATE TABLE IF NOT EXISTS leases (zone INTEGER PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS matchers (holder TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT;
"
);

/// The index that makes double dispatch impossible, whatever the services believe.
const ONE_RIDE_A_DRIVER: &str =
    concat!("CREATE UNIQUE INDEX IF NOT EXISTS one_ride_a_driver ON rides (driver) WHERE state IN ", occupied!(), ";");

/// Rides of one driver that occupy them.
pub(super) const OF_DRIVER: &str = concat!("driver = ?1 AND state IN ", occupied!());
