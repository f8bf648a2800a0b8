//! The changes of one transaction. Runs on the writer thread only, so that what it reads cannot change before it writes.

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

use super::{ride_columns, ride_from_row};
use crate::api::Ride;
use crate::ride::RideId;
use crate::store::{MoveRide, NewRide, Op, Outcome, share_of_zones};

/// Applies all calls in one transaction and returns once it is on disk.
pub(super) fn commit_group(
    connection: &Connection,
    calls: &[Vec<Op>],
    now_ms: u64,
) -> rusqlite::Result<Vec<Vec<Outcome>>> {
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let apply_all = |ops: &Vec<Op>| ops.iter().map(|op| apply(&transaction, op, now_ms)).collect();
    let results = calls.iter().map(apply_all).collect::<rusqlite::Result<Vec<Vec<Outcome>>>>()?;
    transaction.commit()?;
    Ok(results)
}

fn apply(connection: &Connection, op: &Op, now_ms: u64) -> rusqlite::Result<Outcome> {
    match op {
        Op::Create(new) => create(connection, new, now_ms),
        Op::Move(change) => move_ride(connection, change, now_ms),
        Op::Lease { holder, ttl_ms } => lease(connection, holder, *ttl_ms, now_ms),
        Op::Take { holder, zones, limit } => take(connection, holder, zones, *limit),
    }
}

fn create(connection: &Connection, new: &NewRide, now_ms: u64) -> rusqlite::Result<Outcome> {
    let dedupe_key = new.dedupe.then_some(new.key.as_str());
    let inserted = connection
        .prepare_cached(
            "INSERT INTO rides (id, key, dedupe_key, rider, from_lat, from_lng, to_lat, to_lng, zone, state, version, requested_at, changed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'requested', 1, ?10, ?10) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            new.id.0, new.key, dedupe_key, new.rider, new.from.lat, new.from.lng, new.to.lat, new.to.lng, new.zone, now_ms
        ])?;
    if inserted == 0 {
        // The key was used before, or this very write is being repeated because its answer was lost.
        let sql = concat!("SELECT ", ride_columns!(), " FROM rides WHERE dedupe_key = ?1 OR id = ?2");
        let ride = connection.prepare_cached(sql)?.query_row(params![dedupe_key, new.id.0], ride_from_row)?;
        return Ok(Outcome::Existing { ride });
    }
    let ride = new.requested(now_ms);
    record_step(connection, connection.last_insert_rowid(), &ride, &new.by, now_ms)?;
    Ok(Outcome::Created { ride })
}

fn move_ride(connection: &Connection, change: &MoveRide, now_ms: u64) -> rusqlite::Result<Outcome> {
    let Some((seq, mut ride)) = find(connection, &change.id)? else { return Ok(Outcome::NotFound) };
    if change.expect.is_some_and(|expected| expected != ride.version) {
        return Ok(Outcome::Stale { ride });
    }
    ride.phase = change.to.clone();
    ride.version += 1;
    let driver = ride.phase.driver().map(|driver| driver.0.as_str());
    let updated = connection
        // Whoever had taken the ride off the queue is done with it: declined, it waits for anyone again.
        .prepare_cached(
            "UPDATE rides SET state = ?2, driver = ?3, version = ?4, changed_at = ?5, taken_by = NULL WHERE seq = ?1",
        )?
        .execute(params![seq, ride.phase.name(), driver, ride.version, now_ms]);
    match updated {
        Ok(_) => {}
        // The statement is undone, the transaction goes on: only this operation is refused.
        Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::ConstraintViolation => {
            return Ok(Outcome::DriverBusy);
        }
        Err(error) => return Err(error),
    }
    record_step(connection, seq, &ride, &change.by, now_ms)?;
    if let Some(cents) = change.charge_cents {
        connection
            .prepare_cached("INSERT INTO charges (ride, cents, at) VALUES (?1, ?2, ?3)")?
            .execute(params![seq, cents, now_ms])?;
    }
    Ok(Outcome::Moved { ride })
}

fn find(connection: &Connection, id: &RideId) -> rusqlite::Result<Option<(i64, Ride)>> {
    let sql = concat!("SELECT ", ride_columns!(), " FROM rides WHERE id = ?1");
    connection.prepare_cached(sql)?.query_row([&id.0], |row| Ok((row.get(10)?, ride_from_row(row)?))).optional()
}

fn record_step(connection: &Connection, seq: i64, ride: &Ride, by: &str, now_ms: u64) -> rusqlite::Result<()> {
    let driver = ride.phase.driver().map(|driver| driver.0.as_str());
    connection
        .prepare_cached("INSERT INTO steps (ride, version, state, driver, at, by) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![seq, ride.version, ride.phase.name(), driver, now_ms, by])?;
    Ok(())
}

fn lease(connection: &Connection, holder: &str, ttl_ms: u64, now_ms: u64) -> rusqlite::Result<Outcome> {
    connection.prepare_cached("DELETE FROM leases WHERE until <= ?1")?.execute([now_ms])?;
    connection
        .prepare_cached("DELETE FROM matchers WHERE until <= ?1 OR holder = ?2")?
        .execute(params![now_ms, holder])?;
    let held: Vec<u32> = connection
        .prepare_cached("DELETE FROM leases WHERE holder = ?1 RETURNING zone")?
        .query_map([holder], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if ttl_ms == 0 {
        return Ok(Outcome::Leased { zones: Vec::new() });
    }
    let until = now_ms + ttl_ms;
    connection
        .prepare_cached("INSERT INTO matchers (holder, until) VALUES (?1, ?2)")?
        .execute(params![holder, until])?;
    let matchers: u32 = connection.prepare_cached("SELECT count(*) FROM matchers")?.query_row([], |row| row.get(0))?;
    let others: Vec<u32> = connection
        .prepare_cached("SELECT zone FROM leases")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let zones = share_of_zones(&held, &others, matchers);
    for zone in &zones {
        connection
            .prepare_cached("INSERT INTO leases (zone, holder, until) VALUES (?1, ?2, ?3)")?
            .execute(params![zone, holder, until])?;
    }
    Ok(Outcome::Leased { zones })
}

fn take(connection: &Connection, holder: &str, zones: &[u32], limit: u32) -> rusqlite::Result<Outcome> {
    let mut rides = super::read::requested(connection, zones, limit)?;
    let mut mark = connection.prepare_cached("UPDATE rides SET taken_by = ?2 WHERE id = ?1")?;
    for ride in &rides {
        mark.execute(params![ride.id.0, holder])?;
    }
    rides.sort_by_key(|ride| ride.requested_at_ms);
    Ok(Outcome::Taken { rides })
}
