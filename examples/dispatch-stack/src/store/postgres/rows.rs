//! Rows of the database as the platform's own types, and numbers as the database has them.

use tokio_postgres::Row;

use super::link::Failure;
use crate::api::Ride;
use crate::ride::{Phase, Place, RideId};

/// Columns that [`ride_at`] reads, in its order.
macro_rules! ride_columns {
    () => {
        "id, rider, from_lat, from_lng, to_lat, to_lng, state, driver, version, requested_at"
    };
}
pub(super) use ride_columns;

/// How many columns that is.
pub(super) const RIDE_COLUMNS: usize = 10;

/// The ride that stands in a row from column `at` on.
pub(super) fn ride_at(row: &Row, at: usize) -> Result<Ride, Failure> {
    Ok(Ride {
        id: RideId(row.try_get(at)?),
        rider: row.try_get(at + 1)?,
        from: Place { lat: row.try_get(at + 2)?, lng: row.try_get(at + 3)? },
        to: Place { lat: row.try_get(at + 4)?, lng: row.try_get(at + 5)? },
        phase: phase_at(row, at + 6)?,
        version: unsigned(row.try_get(at + 8)?)?,
        requested_at_ms: unsigned(row.try_get(at + 9)?)?,
    })
}

/// The phase whose name and driver stand in a row from column `at` on.
pub(super) fn phase_at(row: &Row, at: usize) -> Result<Phase, Failure> {
    let (state, driver): (String, Option<String>) = (row.try_get(at)?, row.try_get(at + 1)?);
    let wrong = format!("state {state} with driver {driver:?}");
    Phase::from_parts(&state, driver).ok_or(Failure::RolledBack(wrong))
}

/// A number of the platform as the database has numbers.
pub(super) fn signed(number: u64) -> Result<i64, Failure> {
    i64::try_from(number).map_err(|_| Failure::RolledBack(format!("{number} is too large for the database")))
}

/// A number of the database, where it can be no other than this.
pub(super) fn unsigned<T: TryFrom<i64>>(number: i64) -> Result<T, Failure> {
    T::try_from(number).map_err(|_| Failure::RolledBack(format!("{number} is out of range")))
}
