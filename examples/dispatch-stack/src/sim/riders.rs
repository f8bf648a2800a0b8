//! Riders: an open loop. A ride is asked for when its time has come, whether or not earlier ones were answered. A rider who
//! gets no answer tries again with the same Idempotency-Key.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::history::{CallOutcome, RideCall};
use super::{World, now_ms};
use crate::api::{CreateRide, RideCreated};
use crate::net::client::{Call, CallError, Reply};
use crate::net::{DEADLINE_MS, IDEMPOTENCY_KEY};
use crate::ride::{Place, RideId};

/// The town: south-west corner and size in degrees, about 9 by 10 km.
const CORNER: Place = Place { lat: 48.81, lng: 2.28 };
const SIZE: Place = Place { lat: 0.09, lng: 0.13 };
/// What a rider waits for one answer.
const ATTEMPT_MAX: Duration = Duration::from_secs(3);
/// When a rider gives up.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pause before the second attempt; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(40);
/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// Requests without an answer at which new ones are not sent any more.
const IN_FLIGHT_MAX: u64 = 5_000;

/// Asks for rides until `stop` is cancelled.
pub(super) async fn run(world: Arc<World>, stop: CancellationToken) {
    if world.config.rides_per_second <= 0.0 {
        return;
    }
    let run = uuid::Uuid::new_v4().simple().to_string();
    let mut due = tokio::time::interval(Duration::from_secs_f64(1.0 / world.config.rides_per_second));
    // A late tick is made up for: the load must not shrink because the platform is slow.
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for seq in 1_u64.. {
        tokio::select! {
            _ = due.tick() => {}
            () = stop.cancelled() => return,
        }
        if world.paused.load(Ordering::Relaxed) {
            continue;
        }
        if world.in_flight.load(Ordering::Relaxed) >= IN_FLIGHT_MAX {
            world.measures.count_request("unsent");
            continue;
        }
        world.in_flight.fetch_add(1, Ordering::Relaxed);
        let world = Arc::clone(&world);
        let rider = format!("sim-{}-{seq:06}", &run[..6]);
        tokio::spawn(async move {
            ask_for_ride(&world, rider).await;
            world.in_flight.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// A random place in town.
pub(super) fn somewhere() -> Place {
    let mut rng = rand::rng();
    Place { lat: CORNER.lat + SIZE.lat * rng.random::<f64>(), lng: CORNER.lng + SIZE.lng * rng.random::<f64>() }
}

async fn ask_for_ride(world: &World, rider: String) {
    let key = uuid::Uuid::new_v4().to_string();
    let request = CreateRide { rider: rider.clone(), from: somewhere(), to: somewhere() };
    let call = Call::post("/v1/rides", &request).header(IDEMPOTENCY_KEY, &key);
    let invoked_ms = now_ms();
    let (attempts, outcome) = until_answered(world, &call).await;
    world.measures.count_request(match &outcome {
        CallOutcome::Acknowledged { .. } => "acknowledged",
        CallOutcome::Refused { .. } => "refused",
        CallOutcome::Unknown { .. } => "unknown",
    });
    let promised = match &outcome {
        CallOutcome::Acknowledged { ride, .. } => Some(ride.clone()),
        _ => None,
    };
    world.history.record_call(RideCall { rider, key, invoked_ms, returned_ms: now_ms(), attempts, outcome });
    let changes_mind = rand::rng().random_bool(world.config.cancel_share);
    if let Some(ride) = promised.filter(|_| changes_mind) {
        cancel(world, &ride).await;
    }
}

/// Tries until there is an answer that is final, or until the rider gives up.
async fn until_answered(world: &World, call: &Call) -> (u32, CallOutcome) {
    let give_up = Instant::now() + PATIENCE;
    let mut pause = PAUSE_MIN;
    let call = call.clone().header(DEADLINE_MS, &ATTEMPT_MAX.as_millis().to_string());
    for attempt in 1_u32.. {
        let last_error = match judge(world.config.gateway.call(&call, ATTEMPT_MAX).await) {
            Ok(outcome) => return (attempt, outcome),
            Err(reason) => reason,
        };
        if Instant::now() + pause >= give_up {
            return (attempt, CallOutcome::Unknown { reason: last_error });
        }
        let jitter = rand::rng().random_range(0.7..1.3);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    (u32::MAX, CallOutcome::Unknown { reason: "out of attempts".into() })
}

/// A final answer, or the reason why there is none.
fn judge(answer: Result<Reply, CallError>) -> Result<CallOutcome, String> {
    let reply = answer.map_err(|error| error.to_string())?;
    if reply.status.is_client_error() {
        let reason = format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body));
        return Ok(CallOutcome::Refused { reason });
    }
    let created: RideCreated = reply.json().map_err(|error| error.to_string())?;
    Ok(CallOutcome::Acknowledged { ride: created.ride.id, served_by: reply.served_by().to_owned() })
}

/// A few attempts: a cancellation that does not get through costs the rider a ride, not the platform a promise.
async fn cancel(world: &World, ride: &RideId) {
    let call = Call::post(format!("/v1/rides/{}/cancel", ride.0), &());
    for _ in 0..3 {
        if world.config.gateway.call(&call, ATTEMPT_MAX).await.is_ok_and(|reply| !reply.status.is_server_error()) {
            return;
        }
        tokio::time::sleep(PAUSE_MIN).await;
    }
}
