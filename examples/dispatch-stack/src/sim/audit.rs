//! `GET /v1/invariants`: reads the whole ledger, holds it against the history, and reports. An audit that could not read
//! everything is an error, never a clean report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Query as UrlQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::World;
use super::checker::{Evidence, Invariant, Violation, check};
use super::history::{CallOutcome, Snapshot};
use crate::net::Failure;
use crate::store::{Answer, LedgerRide, Query, RideStore, StoreError};

/// Rides in one page of the ledger.
const PAGE: u32 = 2_000;
/// Stories told for each invariant; all are counted.
const STORIES: usize = 20;
/// Longest time that an audit may wait for things to settle.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// Time between two looks at whether things have settled.
const LOOK: Duration = Duration::from_millis(100);
/// How long a store that is being replaced is waited for.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Rides that were audited.
    pub checked: u64,
    /// Broken promises with their stories, at most a few for each invariant.
    pub violations: Vec<Violation>,
    /// All broken promises, counted by invariant.
    pub violation_counts: BTreeMap<Invariant, u64>,
    /// Rides by what became of them.
    pub rides: RideCounts,
    /// Whether no request and no ride was open when the ledger was read.
    pub quiescent: bool,
}

/// What became of requests and rides.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct RideCounts {
    /// Requests of the simulator's riders that have ended.
    pub asked: u64,
    /// … that were answered 201.
    pub acknowledged: u64,
    /// … that were refused.
    pub refused: u64,
    /// … whose answer is unknown.
    pub unknown: u64,
    /// Requests too old to be audited.
    pub forgotten: u64,
    /// Rides in the ledger, whoever asked for them.
    pub in_ledger: u64,
    /// … driven to the end.
    pub completed: u64,
    /// … called off.
    pub cancelled: u64,
    /// … without a driver in time.
    pub expired: u64,
    /// … not over.
    pub open: u64,
}

#[derive(Clone)]
struct Shared {
    world: Arc<World>,
    /// Audits one at a time: each holds the whole ledger.
    turn: Arc<Mutex<()>>,
}

/// The auditor's routes.
pub(super) fn router(world: Arc<World>) -> Router {
    Router::new().route("/v1/invariants", get(invariants)).with_state(Shared { world, turn: Arc::default() })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Stop asking for rides and wait at most this long until everything is over.
    settle: Option<String>,
    /// Bound of invariant I6.
    stuck_after: Option<String>,
}

fn duration(name: &str, text: Option<&String>) -> Result<Option<Duration>, Failure> {
    let parse =
        |text| humantime::parse_duration(text).map_err(|error| Failure::bad_request(format!("{name}: {error}")));
    text.map(String::as_str).map(parse).transpose()
}

async fn invariants(
    State(shared): State<Shared>,
    UrlQuery(options): UrlQuery<Options>,
) -> Result<Json<Report>, Failure> {
    let settle = duration("settle", options.settle.as_ref())?;
    let stuck_after = duration("stuck_after", options.stuck_after.as_ref())?;
    let world = &shared.world;
    let _turn = shared.turn.lock().await;
    let _paused = settle.map(|_| Paused::new(world));
    if let Some(settle) = settle {
        settled(world, settle.min(SETTLE_MAX)).await;
    }
    // In this order: whatever was acknowledged before the ledger is read must be in it.
    let in_flight = world.in_flight.load(Ordering::Relaxed);
    let history = world.history.snapshot();
    let (ledger, now_ms) = read_ledger(world.config.ledger.as_ref()).await.map_err(Failure::unavailable)?;
    let stuck_after = stuck_after.unwrap_or(world.config.stuck_after);
    let stuck_after_ms = u64::try_from(stuck_after.as_millis()).unwrap_or(u64::MAX);
    let work = move || {
        let evidence = Evidence { history: &history, ledger: &ledger, now_ms, stuck_after_ms };
        report(&evidence, in_flight)
    };
    let report = tokio::task::spawn_blocking(work).await.map_err(Failure::unavailable)?;
    publish(world, &report);
    Ok(Json(report))
}

/// Holds riders back until it is dropped, also when the asker hangs up.
struct Paused<'a>(&'a World);

impl<'a> Paused<'a> {
    fn new(world: &'a World) -> Self {
        world.paused.store(true, Ordering::Relaxed);
        Self(world)
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.paused.store(false, Ordering::Relaxed);
    }
}

/// Waits until nothing is open, at most for `limit`.
async fn settled(world: &World, limit: Duration) {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if world.in_flight.load(Ordering::Relaxed) == 0
            && let Ok(served) = world.config.ledger.read(Query::Stats).await
            && let Answer::Stats(stats) = served.value
            && stats.open == 0
        {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Every ride of the ledger and the ledger's clock.
async fn read_ledger(store: &dyn RideStore) -> Result<(Vec<LedgerRide>, u64), StoreError> {
    let mut ledger: Vec<LedgerRide> = Vec::new();
    let mut give_up = Instant::now() + STORE_PATIENCE;
    loop {
        let after = ledger.last().map_or(0, |ride| ride.seq);
        match store.read(Query::Audit { after, limit: PAGE }).await {
            Ok(served) => {
                let Answer::Audit { rides, now_ms } = served.value else {
                    return Err(StoreError::Database("unexpected answer to an audit".into()));
                };
                give_up = Instant::now() + STORE_PATIENCE;
                let last_page = rides.len() < PAGE as usize;
                ledger.extend(rides);
                if last_page {
                    return Ok((ledger, now_ms));
                }
            }
            Err(error) if Instant::now() >= give_up => return Err(error),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

fn report(evidence: &Evidence<'_>, in_flight: u64) -> Report {
    let mut violations = check(evidence);
    let mut violation_counts = BTreeMap::new();
    violations.retain(|violation| {
        let count = violation_counts.entry(violation.invariant).or_insert(0);
        *count += 1;
        *count <= STORIES as u64
    });
    let rides = count(evidence.history, evidence.ledger);
    let quiescent = in_flight == 0 && rides.open == 0;
    Report { checked: rides.in_ledger, violations, violation_counts, rides, quiescent }
}

fn count(history: &Snapshot, ledger: &[LedgerRide]) -> RideCounts {
    let mut counts = RideCounts { forgotten: history.forgotten, ..RideCounts::default() };
    for call in &history.calls {
        counts.asked += 1;
        match call.outcome {
            CallOutcome::Acknowledged { .. } => counts.acknowledged += 1,
            CallOutcome::Refused { .. } => counts.refused += 1,
            CallOutcome::Unknown { .. } => counts.unknown += 1,
        }
    }
    for ride in ledger {
        counts.in_ledger += 1;
        match ride.ride.phase.name() {
            "completed" => counts.completed += 1,
            "cancelled" => counts.cancelled += 1,
            "expired" => counts.expired += 1,
            _ => counts.open += 1,
        }
    }
    counts
}

/// Brings the alarm counters up to what was found; they never go back.
fn publish(world: &World, report: &Report) {
    let found = |invariant| report.violation_counts.get(&invariant).copied().unwrap_or(0);
    for (counter, invariant) in
        [(&world.measures.lost, Invariant::I1), (&world.measures.double_assigned, Invariant::I2)]
    {
        counter.inc_by(found(invariant).saturating_sub(counter.get()));
    }
    let accepted = report.rides.completed as f64;
    let over = accepted + report.rides.expired as f64;
    world.measures.match_rate.set(if over > 0.0 { accepted / over } else { 1.0 });
}
