//! The trips role: the one service that moves rides. Stateless; every decision is made on a read and written with
//! compare-and-set, so that any number of pods may run and any may die at any instant.

mod hasty;
mod routes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::hasty::HastyWriter;
pub use self::routes::service;

use crate::api::{ActionRequest, ActionResult, CreateRide, Proposal, ProposalResult, Ride, Zones};
use crate::fragile::{Flag, Fragile};
use crate::net::join_chain;
use crate::ride::{Action, DriverAction, Phase, Place, RideId, Step, step};
use crate::store::{Answer, MoveRide, NewRide, Op, Outcome, Patience, Query, RideStore, Served, StoreError, ZONES};

/// Rounds of read, decide, compare-and-set before a caller is told to come again.
const ROUNDS: u32 = 4;

/// How long rides may wait before [`Trips::sweep`] moves them on.
pub const PATIENCE: Patience = Patience { requested_ms: 10_000, offered_ms: 2_000, driven_ms: 15_000 };

/// The ride state machine over a store.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "the store is a trait object")]
pub struct Trips {
    store: Arc<dyn RideStore>,
    pod: String,
    fragile: Fragile,
}

/// A created ride and whether an earlier attempt had created it.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    /// As committed.
    pub ride: Ride,
    /// Whether the key was known.
    pub replayed: bool,
}

impl Trips {
    /// `pod` is written into the ledger with every step.
    pub fn new(store: Arc<dyn RideStore>, pod: impl Into<String>, fragile: Fragile) -> Self {
        Self { store, pod: pod.into(), fragile }
    }

    /// The store underneath.
    pub fn store(&self) -> &Arc<dyn RideStore> {
        &self.store
    }

    /// A new ride for `key`, or the ride that this key made before. Durable when it returns.
    pub async fn create(&self, key: &str, request: CreateRide) -> Result<Served<Creation>, StoreError> {
        let served = self.store.write(vec![Op::Create(self.new_ride(key, request))]).await?;
        let creation = match served.value.into_iter().next() {
            Some(Outcome::Created { ride }) => Creation { ride, replayed: false },
            Some(Outcome::Existing { ride }) => Creation { ride, replayed: true },
            other => return Err(unexpected(other.as_ref())),
        };
        Ok(Served { value: creation, served_by: served.served_by })
    }

    /// What [`Trips::create`] writes.
    pub fn new_ride(&self, key: &str, request: CreateRide) -> NewRide {
        NewRide {
            id: RideId(uuid::Uuid::new_v4().simple().to_string()),
            key: key.into(),
            dedupe: !self.fragile.has(Flag::NoIdempotency),
            zone: zone_of(request.from),
            rider: request.rider,
            from: request.from,
            to: request.to,
            by: self.pod.clone(),
        }
    }

    /// One ride, if it exists.
    pub async fn get(&self, id: RideId) -> Result<Served<Option<Ride>>, StoreError> {
        let served = self.rides(Query::Rides { ids: vec![id] }).await?;
        Ok(Served { value: served.value.into_iter().next(), served_by: served.served_by })
    }

    /// The rider calls the ride off.
    pub async fn cancel(&self, id: RideId) -> Result<Served<ActionResult>, StoreError> {
        let mut served = self.apply(vec![(id, Action::Cancel)]).await?;
        let value = served.value.pop().unwrap_or(ActionResult::NotFound);
        Ok(Served { value, served_by: served.served_by })
    }

    /// Drivers act; each action is answered on its own.
    pub async fn act(&self, requests: Vec<ActionRequest>) -> Result<Served<Vec<ActionResult>>, StoreError> {
        let actions =
            requests.into_iter().map(|request| (request.ride, Action::Driver(request.driver, request.action)));
        self.apply(actions.collect()).await
    }

    /// Rides that wait for a driver's answer.
    pub async fn offered(&self) -> Result<Served<Vec<Ride>>, StoreError> {
        self.rides(Query::Offered).await
    }

    /// Rides that wait for a driver; with `take_by` they also leave the queue, for good.
    pub async fn requested(
        &self,
        zones: Vec<u32>,
        limit: u32,
        take_by: Option<String>,
    ) -> Result<Served<Vec<Ride>>, StoreError> {
        let Some(holder) = take_by else { return self.rides(Query::Requested { zones, limit }).await };
        let served = self.store.write(vec![Op::Take { holder, zones, limit }]).await?;
        match served.value.into_iter().next() {
            Some(Outcome::Taken { rides }) => Ok(Served { value: rides, served_by: served.served_by }),
            other => Err(unexpected(other.as_ref())),
        }
    }

    /// A matcher's share of the zones for `ttl`; zero hands everything back.
    pub async fn lease(&self, holder: String, ttl: Duration) -> Result<Served<Zones>, StoreError> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let served = self.store.write(vec![Op::Lease { holder, ttl_ms }]).await?;
        match served.value.into_iter().next() {
            Some(Outcome::Leased { zones }) => Ok(Served { value: Zones { zones }, served_by: served.served_by }),
            other => Err(unexpected(other.as_ref())),
        }
    }

    /// The matcher proposes drivers.
    pub async fn offer(&self, proposals: Vec<Proposal>) -> Result<Served<Vec<ProposalResult>>, StoreError> {
        if self.fragile.has(Flag::ReadThenWriteAssign) {
            return self.offer_unchecked(proposals).await;
        }
        let actions = proposals.into_iter().map(|proposal| (proposal.ride, Action::Offer(proposal.driver))).collect();
        let (served, busy) = self.apply_noting_busy(actions).await?;
        let results = served.value.iter().enumerate().map(|(index, result)| match result {
            ActionResult::Done { .. } => ProposalResult::Offered,
            _ if busy.contains(&index) => ProposalResult::DriverBusy,
            ActionResult::Conflict { .. } | ActionResult::NotFound => ProposalResult::RideGone,
        });
        Ok(Served { value: results.collect(), served_by: served.served_by })
    }

    /// `read-then-write-assign`: whether ride and driver are free is read, and nothing holds it until the write.
    async fn offer_unchecked(&self, proposals: Vec<Proposal>) -> Result<Served<Vec<ProposalResult>>, StoreError> {
        let ids = proposals.iter().map(|proposal| proposal.ride.clone()).collect();
        let drivers = proposals.iter().map(|proposal| proposal.driver.clone()).collect();
        let rides = self.rides(Query::Rides { ids }).await?.value;
        let occupied = self.rides(Query::OfDrivers { drivers }).await?.value;
        let mut results = Vec::with_capacity(proposals.len());
        let mut ops = Vec::new();
        for proposal in &proposals {
            let ride_free = rides.iter().any(|ride| ride.id == proposal.ride && ride.phase == Phase::Requested);
            let driver_free = occupied.iter().all(|ride| ride.phase.driver() != Some(&proposal.driver));
            results.push(match (ride_free, driver_free) {
                (true, true) => ProposalResult::Offered,
                (true, false) => ProposalResult::DriverBusy,
                (false, _) => ProposalResult::RideGone,
            });
            if ride_free && driver_free {
                let to = Phase::Offered { driver: proposal.driver.clone() };
                ops.push(self.move_op(&proposal.ride, None, to, None));
            }
        }
        let served = self.store.write(ops).await?;
        Ok(Served { value: results, served_by: served.served_by })
    }

    /// Moves on rides that waited too long; returns how many moved.
    pub async fn sweep(&self, patience: Patience) -> Result<usize, StoreError> {
        let overdue = self.rides(Query::Overdue(patience)).await?.value;
        if overdue.is_empty() {
            return Ok(0);
        }
        let ops: Vec<Op> = overdue
            .iter()
            .filter_map(|ride| {
                let action = match ride.phase {
                    Phase::Requested => Action::Expire,
                    Phase::Offered { .. } => Action::Lapse,
                    _ => Action::Abandon,
                };
                let Ok(Step::Move(to)) = step(&ride.phase, &action) else { return None };
                // Compared even where riders' and drivers' steps are not: the sweep must not undo an answer of this instant.
                Some(self.move_op(&ride.id, Some(ride.version), to, None))
            })
            .collect();
        let outcomes = self.store.write(ops).await?.value;
        Ok(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Moved { .. })).count())
    }

    async fn apply(&self, actions: Vec<(RideId, Action)>) -> Result<Served<Vec<ActionResult>>, StoreError> {
        self.apply_noting_busy(actions).await.map(|(served, _)| served)
    }

    /// Reads, decides and writes until no other writer was faster; also tells which actions met a busy driver.
    async fn apply_noting_busy(
        &self,
        actions: Vec<(RideId, Action)>,
    ) -> Result<(Served<Vec<ActionResult>>, Vec<usize>), StoreError> {
        let mut results: Vec<Option<ActionResult>> = vec![None; actions.len()];
        let mut busy = Vec::new();
        let mut chain = String::new();
        for _ in 0..ROUNDS {
            let open: Vec<usize> = (0..actions.len()).filter(|index| results[*index].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let ids = open.iter().map(|index| actions[*index].0.clone()).collect();
            let read = self.rides(Query::Rides { ids }).await?;
            chain = read.served_by;
            let rides: HashMap<RideId, Ride> = read.value.into_iter().map(|ride| (ride.id.clone(), ride)).collect();
            let mut writing = Vec::new();
            let mut ops = Vec::new();
            for index in open {
                let (id, action) = &actions[index];
                match self.decide(rides.get(id), action) {
                    Decision::Answer(result) => results[index] = Some(result),
                    Decision::Write(op) => {
                        writing.push(index);
                        ops.push(op);
                    }
                }
            }
            if ops.is_empty() {
                break;
            }
            let outcomes = self.store.write(ops).await?.value;
            for (index, outcome) in writing.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Moved { ride } => results[index] = Some(ActionResult::Done { ride, replayed: false }),
                    Outcome::DriverBusy => {
                        busy.push(index);
                        results[index] = Some(ActionResult::Conflict { reason: "the driver has another ride".into() });
                    }
                    // Somebody was faster: decide again on what is there now.
                    Outcome::Stale { .. } => {}
                    other => return Err(unexpected(Some(&other))),
                }
            }
        }
        let contended = || ActionResult::Conflict { reason: "the ride is changing; ask again".into() };
        let value = results.into_iter().map(|result| result.unwrap_or_else(contended)).collect();
        Ok((Served { value, served_by: join_chain([chain.as_str()]) }, busy))
    }

    fn decide(&self, ride: Option<&Ride>, action: &Action) -> Decision {
        let Some(ride) = ride else { return Decision::Answer(ActionResult::NotFound) };
        match step(&ride.phase, action) {
            Err(refusal) => Decision::Answer(ActionResult::Conflict { reason: refusal.to_string() }),
            Ok(Step::Already) => Decision::Answer(ActionResult::Done { ride: ride.clone(), replayed: true }),
            Ok(Step::Move(to)) => {
                let expect = (!self.fragile.has(Flag::NoVersionCheck)).then_some(ride.version);
                let completes = matches!(action, Action::Driver(_, DriverAction::Complete));
                let charge = completes.then(|| price_cents(ride.from, ride.to));
                Decision::Write(self.move_op(&ride.id, expect, to, charge))
            }
        }
    }

    fn move_op(&self, id: &RideId, expect: Option<u64>, to: Phase, charge_cents: Option<u32>) -> Op {
        Op::Move(MoveRide { id: id.clone(), expect, to, charge_cents, by: self.pod.clone() })
    }

    async fn rides(&self, query: Query) -> Result<Served<Vec<Ride>>, StoreError> {
        let served = self.store.read(query).await?;
        match served.value {
            Answer::Rides { rides } => Ok(Served { value: rides, served_by: served.served_by }),
            other => Err(StoreError::Database(format!("unexpected answer {other:?}"))),
        }
    }
}

enum Decision {
    Answer(ActionResult),
    Write(Op),
}

fn unexpected(outcome: Option<&Outcome>) -> StoreError {
    StoreError::Database(format!("unexpected outcome {outcome:?}"))
}

/// The matching shard of a place: squares of about 1 km, dealt out in turn, so that a busy quarter is shared.
pub fn zone_of(place: Place) -> u32 {
    let square = |degrees: f64| (degrees * 100.0).floor();
    let (row, column) = (square(place.lat), square(place.lng));
    let shard = (row + column * 2.0).rem_euclid(f64::from(ZONES));
    (0..ZONES).rev().find(|zone| shard >= f64::from(*zone)).unwrap_or(0)
}

/// Fare of a ride: 2.50 plus 1.20 a kilometre, as the crow flies, in cents.
pub fn price_cents(from: Place, to: Place) -> u32 {
    let cents = 250.0 + 120.0 * crate::eta::distance_km(from, to);
    // Saturates; no ride on Earth comes near u32::MAX cents.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating cast of a positive price")]
    let cents = cents.round() as u32;
    cents
}
