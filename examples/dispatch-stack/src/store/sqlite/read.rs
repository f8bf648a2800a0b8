//! Answers to questions. Reads committed data and changes nothing.

use rusqlite::{Connection, Params, params};

use super::{phase_from, ride_columns, ride_from_row};
use crate::api::Ride;
use crate::ride::{DriverId, RideId};
use crate::store::schema::OF_DRIVER;
use crate::store::{Answer, LedgerRide, LedgerStep, OVERDUE_LIMIT, Patience, Query, Stats};

pub(super) fn answer(connection: &Connection, query: &Query, now_ms: u64) -> rusqlite::Result<Answer> {
    let rides = match query {
        Query::Rides { ids } => by_id(connection, ids)?,
        Query::Requested { zones, limit } => requested(connection, zones, *limit)?,
        Query::Offered => rides(
            connection,
            concat!("SELECT ", ride_columns!(), " FROM rides WHERE state = 'offered' ORDER BY seq"),
            [],
        )?,
        Query::OfDrivers { drivers } => of_drivers(connection, drivers)?,
        Query::Overdue(patience) => overdue(connection, *patience, now_ms)?,
        Query::Audit { after, limit } => {
            return Ok(Answer::Audit { rides: audit(connection, *after, *limit)?, now_ms });
        }
        Query::Stats => return stats(connection, now_ms).map(Answer::Stats),
    };
    Ok(Answer::Rides { rides })
}

fn rides(connection: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<Vec<Ride>> {
    connection.prepare_cached(sql)?.query_map(params, ride_from_row)?.collect()
}

fn by_id(connection: &Connection, ids: &[RideId]) -> rusqlite::Result<Vec<Ride>> {
    let sql = concat!("SELECT ", ride_columns!(), " FROM rides WHERE id = ?1");
    let found = ids.iter().map(|id| rides(connection, sql, [&id.0]));
    Ok(found.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

pub(super) fn requested(connection: &Connection, zones: &[u32], limit: u32) -> rusqlite::Result<Vec<Ride>> {
    let sql = concat!(
        "SELECT ",
        ride_columns!(),
        " FROM rides WHERE state = 'requested' AND taken_by IS NULL AND zone = ?1 ORDER BY seq LIMIT ?2"
    );
    let mut found = Vec::new();
    for zone in zones {
        found.extend(rides(connection, sql, params![zone, limit])?);
    }
    found.sort_by_key(|ride| ride.requested_at_ms);
    found.truncate(limit as usize);
    Ok(found)
}

fn of_drivers(connection: &Connection, drivers: &[DriverId]) -> rusqlite::Result<Vec<Ride>> {
    let sql = format!(concat!("SELECT ", ride_columns!(), " FROM rides WHERE {}"), OF_DRIVER);
    let found = drivers.iter().map(|driver| rides(connection, &sql, [&driver.0]));
    Ok(found.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn overdue(connection: &Connection, patience: Patience, now_ms: u64) -> rusqlite::Result<Vec<Ride>> {
    let by_phase = [
        (
            concat!(
                "SELECT ",
                ride_columns!(),
                " FROM rides WHERE state = 'requested' AND taken_by IS NULL AND requested_at <= ?1 LIMIT ?2"
            ),
            patience.requested_ms,
        ),
        (
            concat!("SELECT ", ride_columns!(), " FROM rides WHERE state = 'offered' AND changed_at <= ?1 LIMIT ?2"),
            patience.offered_ms,
        ),
        (
            concat!(
                "SELECT ",
                ride_columns!(),
                " FROM rides WHERE state IN ('assigned','en_route','on_trip') AND changed_at <= ?1 LIMIT ?2"
            ),
            patience.driven_ms,
        ),
    ];
    let mut found = Vec::new();
    for (sql, allowed_ms) in by_phase {
        found.extend(rides(connection, sql, params![now_ms.saturating_sub(allowed_ms), OVERDUE_LIMIT])?);
    }
    Ok(found)
}

fn audit(connection: &Connection, after: u64, limit: u32) -> rusqlite::Result<Vec<LedgerRide>> {
    // One snapshot for rides, steps and charges: without it a ride could show a step that its row does not have yet.
    let snapshot = connection.unchecked_transaction()?;
    let sql = concat!(
        "SELECT ",
        ride_columns!(),
        ", key, (SELECT count(*) FROM charges WHERE charges.ride = rides.seq) FROM rides WHERE seq > ?1 ORDER BY seq LIMIT ?2"
    );
    let mut page: Vec<LedgerRide> = snapshot
        .prepare_cached(sql)?
        .query_map(params![after, limit], |row| {
            let (seq, key, charges) = (row.get(10)?, row.get(11)?, row.get(12)?);
            Ok(LedgerRide { seq, key, charges, ride: ride_from_row(row)?, steps: Vec::new() })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut steps = snapshot
        .prepare_cached("SELECT seq, version, state, driver, at, by FROM steps WHERE ride = ?1 ORDER BY seq")?;
    for ride in &mut page {
        let found = steps.query_map([ride.seq], |row| {
            Ok(LedgerStep {
                seq: row.get(0)?,
                version: row.get(1)?,
                phase: phase_from(&row.get::<_, String>(2)?, row.get(3)?)?,
                at_ms: row.get(4)?,
                by: row.get(5)?,
            })
        })?;
        ride.steps = found.collect::<rusqlite::Result<_>>()?;
    }
    Ok(page)
}

fn stats(connection: &Connection, now_ms: u64) -> rusqlite::Result<Stats> {
    let sql = "SELECT count(*), min(requested_at) FROM rides WHERE state NOT IN ('completed','cancelled','expired')";
    connection.prepare_cached(sql)?.query_row([], |row| {
        let oldest: Option<u64> = row.get(1)?;
        Ok(Stats { open: row.get(0)?, oldest_open_ms: oldest.map_or(0, |oldest| now_ms.saturating_sub(oldest)) })
    })
}
