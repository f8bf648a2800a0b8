//! The matcher role: pairs waiting rides with idle drivers, a tick at a time. Holds a lease on its zones so that two pods do
//! not do the same work; correctness never rests on the lease. Keeps no state that matters: a new pod goes on at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::api::{
    LeaseRequest, NearestRequest, NearestResults, Proposal, ProposalResult, ProposalResults, Proposals, RequestedRides,
    Ride, Rides, Zones,
};
use crate::metrics::Metrics;
use crate::net::client::{Call, CallError, Peer};
use crate::net::server::Service;
use crate::ride::{DriverId, RideId};

/// Time between two looks at the queue.
const TICK: Duration = Duration::from_millis(100);
/// How long a zone stays with a pod that is not heard of.
const LEASE: Duration = Duration::from_millis(1500);
/// Time between two renewals.
const RENEW: Duration = Duration::from_millis(500);
/// Time between two sweeps of rides that waited too long.
const SWEEP: Duration = Duration::from_secs(1);
/// What one call to another role may take.
const CALL_MAX: Duration = Duration::from_secs(2);
/// Candidates asked for each ride.
const CANDIDATES: usize = 12;
/// Rounds of proposals in one tick: busy candidates are replaced by the next.
const ROUNDS: usize = 3;
/// A driver just proposed is left alone for this long: location hears of it only with the driver's next report.
const REST: Duration = Duration::from_millis(1500);
/// `matcher-in-memory`: rides are gathered for this long before they are matched, "for better pairs".
const GATHER: Duration = Duration::from_secs(1);

/// Whom the matcher talks to and how it works.
#[derive(Clone, Debug)]
pub struct MatcherConfig {
    /// This pod, holder of leases.
    pub pod: String,
    /// Where rides wait.
    pub trips: Peer,
    /// Where drivers are.
    pub location: Peer,
    /// `matcher-in-memory`: rides are taken off the queue and kept here.
    pub in_memory: bool,
}

/// The matcher's server: health and metrics only.
pub fn service(metrics: Arc<Metrics>) -> Service {
    Service::new(Router::new(), metrics)
}

#[derive(Clone)]
struct Measures {
    zones: Gauge,
    offers: Counter,
    busy: Counter,
    failed_ticks: Counter,
}

impl Measures {
    fn new(metrics: &Metrics) -> Self {
        let measures = Self {
            zones: Gauge::default(),
            offers: Counter::default(),
            busy: Counter::default(),
            failed_ticks: Counter::default(),
        };
        metrics.register("dispatch_matcher_zones", "Zones that this pod holds.", measures.zones.clone());
        metrics.register("dispatch_offers", "Rides proposed to a driver.", measures.offers.clone());
        metrics.register("dispatch_offers_busy", "Proposals refused as the driver has a ride.", measures.busy.clone());
        metrics.register(
            "dispatch_matcher_failed_ticks",
            "Ticks cut short by an error.",
            measures.failed_ticks.clone(),
        );
        measures
    }
}

/// The loop of one pod.
struct Matcher {
    config: MatcherConfig,
    measures: Measures,
    zones: Vec<u32>,
    resting: HashMap<DriverId, Instant>,
    /// Used with `in_memory` only.
    held: Vec<Ride>,
}

/// Matches until `stop` is cancelled, then hands the zones back.
pub async fn run(config: MatcherConfig, metrics: &Metrics, stop: CancellationToken) {
    let measures = Measures::new(metrics);
    let in_memory = config.in_memory;
    let mut matcher = Matcher { config, measures, zones: Vec::new(), resting: HashMap::new(), held: Vec::new() };
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut renew_at, mut sweep_at, mut match_at) = (Instant::now(), Instant::now(), Instant::now());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        let now = Instant::now();
        let work = async {
            if now >= renew_at {
                matcher.renew(LEASE).await?;
                renew_at = now + RENEW;
            }
            if now >= sweep_at {
                matcher.post::<usize>(&matcher.config.trips, "/matching/sweep", &()).await?;
                sweep_at = now + SWEEP;
            }
            let due = !in_memory || now >= match_at;
            if due {
                match_at = now + GATHER;
            }
            matcher.tick(now, due).await
        };
        let worked = tokio::select! {
            worked = work => worked,
            // Every call may be left half done: whoever takes the zones over looks at the ledger, not at us.
            () = stop.cancelled() => break,
        };
        if let Err(error) = worked {
            matcher.measures.failed_ticks.inc();
            tracing::debug!(%error, "tick cut short");
        }
    }
    if let Err(error) = matcher.renew(Duration::ZERO).await {
        tracing::info!(%error, "zones are not handed back; their lease ends by itself");
    }
}

impl Matcher {
    async fn renew(&mut self, ttl: Duration) -> Result<(), CallError> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let request = LeaseRequest { holder: self.config.pod.clone(), ttl_ms };
        let leased: Zones = self.post(&self.config.trips, "/matching/leases", &request).await?;
        self.zones = leased.zones;
        self.measures.zones.set(i64::try_from(self.zones.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// One look at the queue; `matching` is false while rides are only gathered.
    async fn tick(&mut self, now: Instant, matching: bool) -> Result<(), CallError> {
        self.resting.retain(|_, until| *until > now);
        if self.zones.is_empty() && self.held.is_empty() {
            return Ok(());
        }
        let take_by = self.config.in_memory.then(|| self.config.pod.clone());
        let request = RequestedRides { zones: self.zones.clone(), take_by };
        let waiting: Rides = self.post(&self.config.trips, "/matching/requested", &request).await?;
        let mut rides = std::mem::take(&mut self.held);
        rides.extend(waiting.rides);
        if !matching || rides.is_empty() {
            self.held = rides;
            return Ok(());
        }
        let outcome = self.propose(&rides, now).await;
        if self.config.in_memory {
            // What could not be offered stays in memory: the queue has forgotten it.
            let done = outcome.as_ref().map(Clone::clone).unwrap_or_default();
            rides.retain(|ride| !done.contains(&ride.id));
            self.held = rides;
        }
        outcome.map(drop)
    }

    /// Proposes drivers for `rides`; returns those that need no further look.
    async fn propose(&mut self, rides: &[Ride], now: Instant) -> Result<HashSet<RideId>, CallError> {
        let places = rides.iter().map(|ride| ride.from).collect();
        let request = NearestRequest { places, limit: CANDIDATES };
        let nearest: NearestResults = self.post(&self.config.location, "/nearest", &request).await?;
        let mut done = HashSet::new();
        for _ in 0..ROUNDS {
            let waiting = rides.iter().zip(&nearest.candidates).filter(|(ride, _)| !done.contains(&ride.id));
            let proposals = pair(waiting, &mut self.resting, now + REST);
            if proposals.is_empty() {
                break;
            }
            let request = Proposals { proposals };
            let answer: ProposalResults = self.post(&self.config.trips, "/matching/offers", &request).await?;
            for (proposal, result) in request.proposals.iter().zip(answer.results) {
                match result {
                    ProposalResult::Offered => {
                        self.measures.offers.inc();
                        done.insert(proposal.ride.clone());
                    }
                    ProposalResult::DriverBusy => {
                        self.measures.busy.inc();
                    }
                    ProposalResult::RideGone => {
                        self.resting.remove(&proposal.driver);
                        done.insert(proposal.ride.clone());
                    }
                }
            }
        }
        Ok(done)
    }

    async fn post<T: DeserializeOwned>(&self, peer: &Peer, path: &str, body: &impl Serialize) -> Result<T, CallError> {
        peer.call(&Call::post(path, body), CALL_MAX).await?.json()
    }
}

/// Gives each ride, oldest first, its nearest candidate that nobody else was given; marks drivers as resting until `until`.
fn pair<'a>(
    waiting: impl Iterator<Item = (&'a Ride, &'a Vec<DriverId>)>,
    resting: &mut HashMap<DriverId, Instant>,
    until: Instant,
) -> Vec<Proposal> {
    let mut proposals = Vec::new();
    for (ride, candidates) in waiting {
        let Some(driver) = candidates.iter().find(|driver| !resting.contains_key(*driver)) else { continue };
        resting.insert(driver.clone(), until);
        proposals.push(Proposal { ride: ride.id.clone(), driver: driver.clone() });
    }
    proposals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ride::{Phase, Place};

    fn ride(id: &str) -> Ride {
        let place = Place { lat: 48.85, lng: 2.35 };
        let id = RideId(id.into());
        Ride { id, rider: "r".into(), from: place, to: place, phase: Phase::Requested, version: 1, requested_at_ms: 0 }
    }

    #[test]
    fn a_driver_is_proposed_once_and_the_oldest_ride_chooses_first() {
        let drivers = |names: &[&str]| names.iter().map(|name| DriverId((*name).into())).collect::<Vec<_>>();
        let rides = [ride("old"), ride("young"), ride("youngest")];
        let candidates = [drivers(&["ann", "bob"]), drivers(&["ann", "bob"]), drivers(&["ann"])];
        let mut resting = HashMap::new();
        let until = Instant::now() + REST;
        let pairs = pair(rides.iter().zip(&candidates), &mut resting, until);
        let pairs: Vec<_> = pairs.iter().map(|pair| (pair.ride.0.as_str(), pair.driver.0.as_str())).collect();
        assert_eq!(pairs, [("old", "ann"), ("young", "bob")]);
        assert!(pair(rides.iter().zip(&candidates), &mut resting, until).is_empty(), "all candidates are resting");
    }
}
