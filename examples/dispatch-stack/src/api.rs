//! What the roles say to each other and to riders and drivers: wire types only, no behaviour.

use serde::{Deserialize, Serialize};

use crate::ride::{DriverAction, DriverId, Phase, Place, RideId};

/// Body of `POST /v1/rides`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRide {
    /// Who asks.
    pub rider: String,
    /// Where the rider waits.
    pub from: Place,
    /// Where the rider wants to go.
    pub to: Place,
}

/// A ride as everyone outside the database sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ride {
    /// Identity.
    pub id: RideId,
    /// Who asked.
    pub rider: String,
    /// Where the rider waits.
    pub from: Place,
    /// Destination.
    pub to: Place,
    /// Where the ride stands.
    #[serde(flatten)]
    pub phase: Phase,
    /// Grows by one with every step; writers compare it.
    pub version: u64,
    /// When it was asked for: milliseconds since the Unix epoch, by the database's clock.
    pub requested_at_ms: u64,
}

/// Price and time that the rider is shown. Optional: a ride can be had without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    /// Expected driving time in seconds.
    pub eta_seconds: u32,
    /// Price in cents.
    pub price_cents: u32,
}

/// Body of eta's `POST /quote`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuoteRequest {
    /// Start.
    pub from: Place,
    /// Destination.
    pub to: Place,
}

/// Answer of the gateway to a created ride.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RideCreated {
    /// The ride, as committed.
    #[serde(flatten)]
    pub ride: Ride,
    /// `null` when the quote service could not be reached in time.
    pub quote: Option<Quote>,
}

/// One driver's report of where they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Position {
    /// Who reports.
    pub driver: DriverId,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// Whether the driver wants a ride.
    pub idle: bool,
}

/// Body of `PUT /v1/drivers/locations`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Positions {
    /// At most a few hundred a call.
    pub positions: Vec<Position>,
}

/// Answer to reported positions: the rides that these drivers are asked to take.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Offers {
    /// Rides in phase `offered`.
    pub offers: Vec<Ride>,
}

/// One driver's action on one ride.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActionRequest {
    /// Which ride.
    pub ride: RideId,
    /// Who acts.
    pub driver: DriverId,
    /// What they do.
    pub action: DriverAction,
}

/// Body of `POST /v1/drivers/actions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActionRequests {
    /// Each is answered on its own, in the same order.
    pub actions: Vec<ActionRequest>,
}

/// What became of one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum ActionResult {
    /// Done, now or by an earlier attempt.
    Done {
        /// The ride afterwards.
        ride: Ride,
        /// Whether an earlier attempt had done it.
        replayed: bool,
    },
    /// The ride is not where this action applies (cancelled, given to somebody else …).
    Conflict {
        /// Why, for people.
        reason: String,
    },
    /// No such ride.
    NotFound,
}

/// Answer to [`ActionRequests`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActionResults {
    /// In the order of the request.
    pub results: Vec<ActionResult>,
}

/// Body of trips' `POST /matching/leases`: a matcher asks for its share of the zones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// The matcher's pod.
    pub holder: String,
    /// How long the lease is wanted for, in milliseconds; 0 hands everything back.
    pub ttl_ms: u64,
}

/// Zones that a matcher serves until its lease ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zones {
    /// Shard numbers.
    pub zones: Vec<u32>,
}

/// Body of trips' `POST /matching/requested`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequestedRides {
    /// Zones to look in.
    pub zones: Vec<u32>,
    /// Present only with `matcher-in-memory`: takes the rides off the queue for this matcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_by: Option<String>,
}

/// A list of rides.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rides {
    /// Oldest first.
    pub rides: Vec<Ride>,
}

/// One proposal of the matcher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// Which ride.
    pub ride: RideId,
    /// For whom.
    pub driver: DriverId,
}

/// Body of trips' `POST /matching/offers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proposals {
    /// Each is answered on its own, in the same order.
    pub proposals: Vec<Proposal>,
}

/// What became of one proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalResult {
    /// The driver is being asked.
    Offered,
    /// The driver has another ride: try somebody else.
    DriverBusy,
    /// The ride needs no driver any more.
    RideGone,
}

/// Answer to [`Proposals`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProposalResults {
    /// In the order of the request.
    pub results: Vec<ProposalResult>,
}

/// Body of location's `POST /nearest`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NearestRequest {
    /// Where riders wait.
    pub places: Vec<Place>,
    /// Candidates wanted for each.
    pub limit: usize,
}

/// Answer to [`NearestRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NearestResults {
    /// For each place, in the order of the request: idle drivers, nearest first.
    pub candidates: Vec<Vec<DriverId>>,
}

/// An error as clients see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What failed, for people.
    pub error: String,
}
