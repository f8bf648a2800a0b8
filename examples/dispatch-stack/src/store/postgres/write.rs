//! The changes of one transaction. While it holds the writer's lock no other pod writes, so that what it reads cannot change before
//! it writes. Statements are sent together and answered in order: a group costs a few round trips, however many operations it has.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join, join3, maybe_done};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row, SimpleQueryMessage, Statement};

use super::link::{Failure, Link, is_refusal, reason, within};
use super::rows::{RIDE_COLUMNS, ride_at, ride_columns, signed, unsigned};
use super::schema::{ONE_RIDE_A_DRIVER, WRITER_LOCK};
use crate::store::{MoveRide, NewRide, Op, Outcome, share_of_zones};

/// Operations that are sent together at most.
const TOGETHER: usize = 128;
/// What a commit may take: a disk that is slow, a standby that is waited for.
const COMMIT_MAX: Duration = Duration::from_millis(2_500);

/// A connection that can write.
pub(super) struct Writer {
    link: Link,
    create: Statement,
    advance: Statement,
    take: Statement,
    /// Nothing more can be asked of the connection, or be believed.
    lost: bool,
}

/// Why one operation has no outcome of its own.
enum Refused {
    /// The driver is occupied: the operation can be undone alone.
    Busy,
    /// The whole transaction is over.
    Failed(Failure),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Writer {
    /// Makes a connection one that writes; the schema must be there.
    pub(super) async fn new(link: Link) -> Result<Self, Failure> {
        let create = within(link.client.prepare(CREATE)).await?;
        let advance = within(link.client.prepare(ADVANCE)).await?;
        let take = within(link.client.prepare(TAKE)).await?;
        Ok(Self { link, create, advance, take, lost: false })
    }

    /// Waits until the connection is gone.
    pub(super) async fn closed(&mut self) {
        self.link.closed().await;
    }

    /// Whether only another connection can go on.
    pub(super) fn is_lost(&self) -> bool {
        self.lost || self.link.is_closed()
    }

    /// Applies all calls in one transaction and returns once it is on disk.
    pub(super) async fn commit_group(&mut self, calls: &[Vec<Op>]) -> Result<Vec<Vec<Outcome>>, Failure> {
        let result = self.transact(calls).await;
        self.lost |= matches!(result, Err(Failure::Lost(_) | Failure::Unknown(_)));
        result
    }

    async fn transact(&self, calls: &[Vec<Op>]) -> Result<Vec<Vec<Outcome>>, Failure> {
        let ops: Vec<&Op> = calls.iter().flatten().collect();
        let applied = async {
            // No call is to blame for what is refused here: all of them are written again, on another connection.
            let now = self.begin().await.map_err(|failure| Failure::Lost(failure.into_reason()))?;
            self.apply_all(&ops, now).await
        };
        match applied.await {
            Ok(outcomes) => {
                self.commit().await?;
                let mut outcomes = outcomes.into_iter();
                Ok(calls.iter().map(|call| outcomes.by_ref().take(call.len()).collect()).collect())
            }
            Err(Failure::RolledBack(reason)) => {
                within(self.link.client.batch_execute("ROLLBACK")).await?;
                Err(Failure::RolledBack(reason))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Begins a transaction that writes alone. The stamp is the database's, taken after every earlier writer's.
    async fn begin(&self) -> Result<i64, Failure> {
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({WRITER_LOCK});
             SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
        );
        let answered = within(self.link.client.simple_query(&sql)).await?;
        let stamp = answered.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten(),
            _ => None,
        });
        stamp.and_then(|text| text.parse().ok()).ok_or_else(|| Failure::RolledBack("the database tells no time".into()))
    }

    /// Nothing but a plain yes means that the transaction is on disk. The server's own limit would end the wait for a standby with a
    /// yes, so it is off here; and where switching it off is refused, the transaction had failed, and its commit is a rollback.
    async fn commit(&self) -> Result<(), Failure> {
        let client = &self.link.client;
        let both = join(client.batch_execute("SET LOCAL statement_timeout = 0"), client.batch_execute("COMMIT"));
        match tokio::time::timeout(COMMIT_MAX, both).await {
            Ok((Ok(()), Ok(()))) => Ok(()),
            Ok((Err(error), Ok(()))) => Err(Failure::RolledBack(reason(&error))),
            Ok((_, Err(error))) if is_refusal(&error) => Err(Failure::RolledBack(reason(&error))),
            Ok((_, Err(error))) => Err(Failure::Unknown(format!("no answer to a commit: {}", reason(&error)))),
            Err(_) => Err(Failure::Unknown(format!("no answer to a commit within {COMMIT_MAX:?}"))),
        }
    }

    async fn apply_all(&self, ops: &[&Op], now: i64) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = Vec::with_capacity(ops.len());
        while let Some(op) = ops.get(outcomes.len()) {
            if let Op::Lease { holder, ttl_ms } = op {
                outcomes.push(self.lease(holder, *ttl_ms, now).await?);
                continue;
            }
            let rest = ops[outcomes.len()..].iter().take_while(|op| !matches!(op, Op::Lease { .. })).take(TOGETHER);
            let sent = together(rest.map(|op| self.apply(op, now)).collect());
            let answers = within(sent.map(Ok)).await?;
            for answer in answers {
                match answer {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(Refused::Busy) => {
                        // Those behind it were refused because of it, and are sent again.
                        let undo = "ROLLBACK TO SAVEPOINT one; RELEASE SAVEPOINT one";
                        within(self.link.client.batch_execute(undo)).await?;
                        outcomes.push(Outcome::DriverBusy);
                        break;
                    }
                    Err(Refused::Failed(failure)) => return Err(failure),
                }
            }
        }
        Ok(outcomes)
    }

    /// One operation. All that it sends is sent when it is first polled.
    fn apply<'a>(&'a self, op: &'a Op, now: i64) -> BoxFuture<'a, Result<Outcome, Refused>> {
        match op {
            Op::Create(new) => self.create(new, now).boxed(),
            Op::Move(change) if change.to.occupies_driver() => self.occupy(change, now).boxed(),
            Op::Move(change) => async move { Ok(moved(&self.advance(change, now).await?)?) }.boxed(),
            Op::Take { holder, zones, limit } => self.take(holder, zones, *limit).boxed(),
            Op::Lease { holder, ttl_ms } => async move { Ok(self.lease(holder, *ttl_ms, now).await?) }.boxed(),
        }
    }

    async fn create(&self, new: &NewRide, now: i64) -> Result<Outcome, Refused> {
        let dedupe_key = new.dedupe.then_some(new.key.as_str());
        let (from, to, zone) = (new.from, new.to, i64::from(new.zone));
        let rows = self
            .link
            .client
            .query(
                &self.create,
                &[
                    &new.id.0,
                    &new.key,
                    &dedupe_key,
                    &new.rider,
                    &from.lat,
                    &from.lng,
                    &to.lat,
                    &to.lng,
                    &zone,
                    &now,
                    &new.by,
                ],
            )
            .await?;
        let Some(row) = rows.first() else {
            return Err(Failure::RolledBack("a ride is neither new nor there".into()).into());
        };
        if row.try_get(RIDE_COLUMNS)? {
            return Ok(Outcome::Created { ride: new.requested(unsigned(now)?) });
        }
        // The key was used before, or this very write is being repeated because its answer was lost.
        Ok(Outcome::Existing { ride: ride_at(row, 0)? })
    }

    /// A step after which the ride occupies its driver, which the database may refuse.
    async fn occupy(&self, change: &MoveRide, now: i64) -> Result<Outcome, Refused> {
        let client = &self.link.client;
        let (begun, rows, ended) = join3(
            client.batch_execute("SAVEPOINT one"),
            self.advance(change, now),
            client.batch_execute("RELEASE SAVEPOINT one"),
        )
        .await;
        begun?;
        match rows {
            Ok(rows) => {
                ended?;
                Ok(moved(&rows)?)
            }
            Err(error) if is_busy_driver(&error) => Err(Refused::Busy),
            Err(error) => Err(error.into()),
        }
    }

    async fn advance(&self, change: &MoveRide, now: i64) -> Result<Vec<Row>, Error> {
        // No ride is at such a version: it is stale, whatever was expected.
        let expect = change.expect.map(|version| i64::try_from(version).unwrap_or(i64::MAX));
        let driver = change.to.driver().map(|driver| driver.0.as_str());
        let cents = change.charge_cents.map(i64::from);
        let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&change.id.0, &expect, &change.to.name(), &driver, &now, &change.by, &cents];
        self.link.client.query(&self.advance, params).await
    }

    async fn take(&self, holder: &str, zones: &[u32], limit: u32) -> Result<Outcome, Refused> {
        let zones: Vec<i64> = zones.iter().copied().map(i64::from).collect();
        let rows = self.link.client.query(&self.take, &[&holder, &zones, &i64::from(limit)]).await?;
        // What an update returns has no order of its own.
        let mut placed = Vec::with_capacity(rows.len());
        for row in &rows {
            placed.push((row.try_get::<_, i64>(RIDE_COLUMNS)?, ride_at(row, 0)?));
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok(Outcome::Taken { rides: placed.into_iter().map(|(_, ride)| ride).collect() })
    }

    /// Gives `holder` its fair share of the zones.
    async fn lease(&self, holder: &str, ttl_ms: u64, now: i64) -> Result<Outcome, Failure> {
        let client = &self.link.client;
        let until = signed(unsigned::<u64>(now)?.saturating_add(ttl_ms))?;
        let (leases, matchers) = within(async {
            let leases = "SELECT zone, holder FROM leases WHERE until > $1 ORDER BY zone";
            let leases = client.query(leases, &[&now]).await?;
            let matchers = "SELECT count(*) FROM matchers WHERE until > $1 AND holder <> $2";
            Ok((leases, client.query_one(matchers, &[&now, &holder]).await?.try_get::<_, i64>(0)?))
        })
        .await?;
        let (mut held, mut others) = (Vec::new(), Vec::new());
        for row in leases {
            let of = if row.try_get::<_, String>(1)? == holder { &mut held } else { &mut others };
            of.push(unsigned(row.try_get(0)?)?);
        }
        let matchers = unsigned::<u32>(matchers)?.saturating_add(1);
        let zones = if ttl_ms == 0 { Vec::new() } else { share_of_zones(&held, &others, matchers) };
        within(async {
            client.execute("DELETE FROM leases WHERE until <= $1 OR holder = $2", &[&now, &holder]).await?;
            client.execute("DELETE FROM matchers WHERE until <= $1 OR holder = $2", &[&now, &holder]).await?;
            if ttl_ms > 0 {
                let numbers: Vec<i64> = zones.iter().copied().map(i64::from).collect();
                client.execute("INSERT INTO matchers (holder, until) VALUES ($1, $2)", &[&holder, &until]).await?;
                let leases = "INSERT INTO leases (zone, holder, until) SELECT unnest($1::bigint[]), $2, $3";
                client.execute(leases, &[&numbers, &holder, &until]).await?;
            }
            Ok(())
        })
        .await?;
        Ok(Outcome::Leased { zones })
    }
}

/// Whether the database held "one ride a driver" against a step.
fn is_busy_driver(error: &Error) -> bool {
    error.as_db_error().is_some_and(|refusal| {
        *refusal.code() == SqlState::UNIQUE_VIOLATION && refusal.constraint() == Some(ONE_RIDE_A_DRIVER)
    })
}

fn moved(rows: &[Row]) -> Result<Outcome, Failure> {
    let Some(row) = rows.first() else { return Ok(Outcome::NotFound) };
    let ride = ride_at(row, 0)?;
    Ok(if row.try_get(RIDE_COLUMNS)? { Outcome::Moved { ride } } else { Outcome::Stale { ride } })
}

/// Awaits all of them. Each is polled before those behind it, so that what they send is sent in this order; and as they are answered in
/// this order as well, only the first that waits is looked at.
async fn together<T>(all: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(maybe_done).collect();
    let (mut sent, mut answered) = (false, 0);
    poll_fn(|context| {
        if !sent {
            for one in &mut all {
                let _ = Pin::new(one).poll(context);
            }
            sent = true;
        }
        while let Some(one) = all.get_mut(answered) {
            if Pin::new(one).poll(context).is_pending() {
                return Poll::Pending;
            }
            answered += 1;
        }
        Poll::Ready(())
    })
    .await;
    all.iter_mut().filter_map(|one| Pin::new(one).take_output()).collect()
}

const CREATE: &str = concat!(
    "WITH made AS (
       INSERT INTO rides (id, key, dedupe_key, rider, from_lat, from_lng, to_lat, to_lng, zone, state, version, requested_at, changed_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'requested', 1, $10, $10) ON CONFLICT DO NOTHING RETURNING *),
     stepped AS (
       INSERT INTO steps (ride, version, state, driver, at, by) SELECT seq, version, state, driver, $10, $11::text FROM made)
     SELECT ",
    ride_columns!(),
    ", true FROM made UNION ALL (SELECT ",
    ride_columns!(),
    ", false FROM rides WHERE dedupe_key = $3 OR id = $1 ORDER BY seq LIMIT 1)"
);

/// Whoever had taken the ride off the queue is done with it: declined, it waits for anyone again.
const ADVANCE: &str = concat!(
    "WITH found AS (SELECT * FROM rides WHERE id = $1),
     moved AS (
       UPDATE rides SET state = $3, driver = $4, version = version + 1, changed_at = $5, taken_by = NULL
       WHERE id = $1 AND ($2::bigint IS NULL OR version = $2) RETURNING *),
     stepped AS (
       INSERT INTO steps (ride, version, state, driver, at, by) SELECT seq, version, state, driver, $5, $6::text FROM moved),
     charged AS (
       INSERT INTO charges (ride, cents, at) SELECT seq, $7::bigint, $5 FROM moved WHERE $7::bigint IS NOT NULL)
     SELECT ",
    ride_columns!(),
    ", true FROM moved UNION ALL SELECT ",
    ride_columns!(),
    ", false FROM found WHERE NOT EXISTS (SELECT FROM moved)"
);

const TAKE: &str = concat!(
    "WITH waiting AS (
       SELECT found.seq AS taken, row_number() OVER (ORDER BY found.requested_at, wanted.place, found.seq) AS place
       FROM unnest($2::bigint[]) WITH ORDINALITY AS wanted (number, place)
       CROSS JOIN LATERAL (
         SELECT seq, requested_at FROM rides WHERE state = 'requested' AND taken_by IS NULL AND zone = wanted.number
         ORDER BY seq LIMIT $3::bigint) AS found
       ORDER BY place LIMIT $3::bigint)
     UPDATE rides SET taken_by = $1 FROM waiting WHERE seq = waiting.taken RETURNING ",
    ride_columns!(),
    ", waiting.place"
);
