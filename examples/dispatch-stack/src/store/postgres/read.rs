//! Answers to questions: committed data, each answer from one statement and so from one snapshot. A few connections take turns.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio_postgres::{Row, Statement};

use super::address::Address;
use super::link::{Failure, Link, within};
use super::rows::{RIDE_COLUMNS, phase_at, ride_at, ride_columns, unsigned};
use crate::ride::{DriverId, RideId};
use crate::store::schema::occupied;
use crate::store::{Answer, LedgerRide, LedgerStep, OVERDUE_LIMIT, Patience, Query, Stats, StoreError};

/// Connections that read at a time.
const READERS: usize = 4;

/// A connection that can answer.
struct Reader {
    link: Link,
    rides: Statement,
    requested: Statement,
    offered: Statement,
    of_drivers: Statement,
    overdue: Statement,
    audit: Statement,
    stats: Statement,
}

/// The connections that read, made when they are needed.
pub(super) struct Readers {
    address: Arc<Address>,
    turns: Semaphore,
    idle: Mutex<Vec<Reader>>,
}

impl Readers {
    pub(super) fn new(address: Arc<Address>) -> Self {
        Self { address, turns: Semaphore::new(READERS), idle: Mutex::default() }
    }

    /// Answers when it is this question's turn; whoever asks limits how long that may take.
    pub(super) async fn answer(&self, query: &Query) -> Result<Answer, StoreError> {
        let closed = |_| StoreError::Unavailable("the readers have ended".into());
        let _turn = self.turns.acquire().await.map_err(closed)?;
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let was_kept = kept.is_some();
            let reader = if let Some(reader) = kept {
                reader
            } else {
                let link = Link::open(&self.address).await.map_err(StoreError::Unavailable)?;
                Reader::new(link).await.map_err(Failure::into_error)?
            };
            let answer = reader.answer(query).await;
            if !matches!(answer, Err(Failure::Lost(_))) && !reader.link.is_closed() {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            }
            match answer {
                // A connection that lay idle while the server went away: reading is repeated on another one.
                Err(Failure::Lost(_)) if was_kept => {}
                answered => return answered.map_err(Failure::into_error),
            }
        }
    }
}

impl Reader {
    async fn new(link: Link) -> Result<Self, Failure> {
        let overdue = overdue_sql();
        let client = &link.client;
        let prepared = within(async {
            Ok((
                client.prepare(RIDES).await?,
                client.prepare(REQUESTED).await?,
                client.prepare(OFFERED).await?,
                client.prepare(OF_DRIVERS).await?,
                client.prepare(&overdue).await?,
                client.prepare(AUDIT).await?,
                client.prepare(STATS).await?,
            ))
        });
        let (rides, requested, offered, of_drivers, overdue, audit, stats) = prepared.await?;
        Ok(Self { link, rides, requested, offered, of_drivers, overdue, audit, stats })
    }

    async fn answer(&self, query: &Query) -> Result<Answer, Failure> {
        let client = &self.link.client;
        let rows = match query {
            Query::Rides { ids } => {
                let ids: Vec<&str> = ids.iter().map(|RideId(id)| id.as_str()).collect();
                within(client.query(&self.rides, &[&ids])).await?
            }
            Query::Requested { zones, limit } => {
                let zones: Vec<i64> = zones.iter().copied().map(i64::from).collect();
                within(client.query(&self.requested, &[&zones, &i64::from(*limit)])).await?
            }
            Query::Offered => within(client.query(&self.offered, &[])).await?,
            Query::OfDrivers { drivers } => {
                let drivers: Vec<&str> = drivers.iter().map(|DriverId(id)| id.as_str()).collect();
                within(client.query(&self.of_drivers, &[&drivers])).await?
            }
            Query::Overdue(Patience { requested_ms, offered_ms, driven_ms }) => {
                // Nothing waits longer than the database can count.
                let [requested, offered, driven] =
                    [requested_ms, offered_ms, driven_ms].map(|ms| i64::try_from(*ms).unwrap_or(i64::MAX));
                within(client.query(&self.overdue, &[&requested, &offered, &driven])).await?
            }
            Query::Audit { after, limit } => {
                let after = i64::try_from(*after).unwrap_or(i64::MAX);
                let rows = within(client.query(&self.audit, &[&after, &i64::from(*limit)])).await?;
                return audit(&rows);
            }
            Query::Stats => return stats(&within(client.query_one(&self.stats, &[])).await?),
        };
        let rides = rows.iter().map(|row| ride_at(row, 0)).collect::<Result<_, _>>()?;
        Ok(Answer::Rides { rides })
    }
}

/// A row for each step, with its ride before it; of a page without rides one that has the clock alone.
fn audit(rows: &[Row]) -> Result<Answer, Failure> {
    const RIDE: usize = 1;
    const SEQ: usize = RIDE + RIDE_COLUMNS;
    const STEP: usize = SEQ + 3;
    let mut rides: Vec<LedgerRide> = Vec::new();
    let mut now_ms = 0;
    for row in rows {
        now_ms = unsigned(row.try_get(0)?)?;
        let Some(seq) = row.try_get::<_, Option<i64>>(SEQ)?.map(unsigned::<u64>).transpose()? else { continue };
        if rides.last().is_none_or(|ride| ride.seq != seq) {
            let (key, charges) = (row.try_get(SEQ + 1)?, unsigned(row.try_get(SEQ + 2)?)?);
            rides.push(LedgerRide { seq, key, charges, ride: ride_at(row, RIDE)?, steps: Vec::new() });
        }
        let Some(step) = row.try_get::<_, Option<i64>>(STEP)? else { continue };
        if let Some(ride) = rides.last_mut() {
            ride.steps.push(LedgerStep {
                seq: unsigned(step)?,
                version: unsigned(row.try_get(STEP + 1)?)?,
                phase: phase_at(row, STEP + 2)?,
                at_ms: unsigned(row.try_get(STEP + 4)?)?,
                by: row.try_get(STEP + 5)?,
            });
        }
    }
    Ok(Answer::Audit { rides, now_ms })
}

fn stats(row: &Row) -> Result<Answer, Failure> {
    let (open, oldest, now): (i64, Option<i64>, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let oldest_open_ms = oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0).unsigned_abs());
    Ok(Answer::Stats(Stats { open: unsigned(open)?, oldest_open_ms }))
}

/// The database's clock, milliseconds since the Unix epoch. One instant for a whole statement, so that indexes can be used with it.
macro_rules! now_ms {
    () => {
        "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint"
    };
}

const RIDES: &str = concat!(
    "SELECT ",
    ride_columns!(),
    " FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place) JOIN rides ON id = wanted.name ORDER BY wanted.place"
);

const REQUESTED: &str = concat!(
    "SELECT ",
    ride_columns!(),
    " FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (number, place)
     CROSS JOIN LATERAL (
       SELECT * FROM rides WHERE state = 'requested' AND taken_by IS NULL AND zone = wanted.number
       ORDER BY seq LIMIT $2::bigint) AS found
     ORDER BY requested_at, wanted.place, seq LIMIT $2::bigint"
);

const OFFERED: &str = concat!("SELECT ", ride_columns!(), " FROM rides WHERE state = 'offered' ORDER BY seq");

const OF_DRIVERS: &str = concat!(
    "SELECT ",
    ride_columns!(),
    " FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place) JOIN rides ON driver = wanted.name AND state IN ",
    occupied!(),
    " ORDER BY wanted.place, seq"
);

/// One select for each kind of waiting, each with a limit of its own.
fn overdue_sql() -> String {
    let kinds = [
        concat!("state = 'requested' AND taken_by IS NULL AND requested_at <= ", now_ms!(), " - $1::bigint"),
        concat!("state = 'offered' AND changed_at <= ", now_ms!(), " - $2::bigint"),
        concat!("state IN ('assigned','en_route','on_trip') AND changed_at <= ", now_ms!(), " - $3::bigint"),
    ];
    let columns = ride_columns!();
    let selects = kinds.map(|kind| format!("(SELECT {columns} FROM rides WHERE {kind} LIMIT {OVERDUE_LIMIT})"));
    selects.join(" UNION ALL ")
}

const AUDIT: &str = concat!(
    "WITH page AS (SELECT * FROM rides WHERE seq > $1 ORDER BY seq LIMIT $2)
     SELECT ",
    now_ms!(),
    ", page.id, page.rider, page.from_lat, page.from_lng, page.to_lat, page.to_lng, page.state, page.driver, page.version,
       page.requested_at, page.seq, page.key, (SELECT count(*) FROM charges WHERE charges.ride = page.seq),
       steps.seq, steps.version, steps.state, steps.driver, steps.at, steps.by
     FROM (SELECT) AS always LEFT JOIN page ON true LEFT JOIN steps ON steps.ride = page.seq
     ORDER BY page.seq, steps.seq"
);

const STATS: &str = concat!(
    "SELECT count(*), min(requested_at), ",
    now_ms!(),
    " FROM rides WHERE state NOT IN ('completed','cancelled','expired')"
);
