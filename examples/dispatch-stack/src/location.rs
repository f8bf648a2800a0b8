//! The location role: where idle drivers were last seen, in memory, by H3 cell. Soft state: a new pod knows nothing and
//! heals from the next reports. It may be wrong about who is idle; the database is what prevents double dispatch.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{post, put};
use axum::{Json, Router};
use h3o::{CellIndex, LatLng, Resolution};
use http::StatusCode;
use prometheus_client::metrics::gauge::Gauge;

use crate::api::{NearestRequest, NearestResults, Position, Positions};
use crate::metrics::Metrics;
use crate::net::Failure;
use crate::net::server::Service;
use crate::ride::{DriverId, Place};

/// Cells of about 0.7 km²: five to fifty drivers each in a city.
const RESOLUTION: Resolution = Resolution::Eight;
/// Rings of cells searched around a rider: about 6 km.
const RINGS: u32 = 7;
/// A driver not heard of for this long is forgotten.
const TTL: Duration = Duration::from_secs(15);
/// Candidates are drivers heard of within this time: older reports are likely wrong about who is idle.
const FRESH: Duration = Duration::from_secs(3);
/// Largest request body.
const MAX_BODY: usize = 1 << 20;

/// Last reports of drivers, by cell.
#[derive(Debug, Default)]
pub struct Index {
    drivers: HashMap<DriverId, Seen>,
    idle_by_cell: HashMap<CellIndex, HashSet<DriverId>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    place: LatLng,
    cell: CellIndex,
}

impl Index {
    /// Takes in one report; places that are not on Earth are ignored.
    pub fn report(&mut self, position: &Position, now: Instant) {
        let Ok(place) = LatLng::new(position.place.lat, position.place.lng) else { return };
        let seen = Seen { at: now, place, cell: place.to_cell(RESOLUTION) };
        let before = self.drivers.insert(position.driver.clone(), seen);
        if let Some(before) = before.filter(|before| before.cell != seen.cell || !position.idle) {
            self.leave(before.cell, &position.driver);
        }
        if position.idle {
            self.idle_by_cell.entry(seen.cell).or_default().insert(position.driver.clone());
        }
    }

    /// Idle drivers around `place`, nearest first, at most `limit`.
    pub fn nearest(&self, place: Place, limit: usize, now: Instant) -> Vec<DriverId> {
        let Ok(center) = LatLng::new(place.lat, place.lng) else { return Vec::new() };
        let origin = center.to_cell(RESOLUTION);
        let mut found: Vec<(f64, &DriverId)> = Vec::new();
        for ring in 0..=RINGS {
            let cells: Vec<CellIndex> = if ring == 0 { vec![origin] } else { origin.grid_ring(ring) };
            for driver in cells.iter().filter_map(|cell| self.idle_by_cell.get(cell)).flatten() {
                if let Some(seen) = self.drivers.get(driver).filter(|seen| now.duration_since(seen.at) <= FRESH) {
                    found.push((seen.place.distance_m(center), driver));
                }
            }
            if found.len() >= limit {
                break;
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
        found.into_iter().take(limit).map(|(_, driver)| driver.clone()).collect()
    }

    /// Forgets drivers that have not reported for [`TTL`].
    pub fn expire(&mut self, now: Instant) {
        let silent: Vec<_> = self.drivers.iter().filter(|(_, seen)| now.duration_since(seen.at) > TTL).collect();
        let silent: Vec<_> = silent.into_iter().map(|(driver, seen)| (driver.clone(), seen.cell)).collect();
        for (driver, cell) in silent {
            self.drivers.remove(&driver);
            self.leave(cell, &driver);
        }
    }

    fn leave(&mut self, cell: CellIndex, driver: &DriverId) {
        if let Some(drivers) = self.idle_by_cell.get_mut(&cell) {
            drivers.remove(driver);
            if drivers.is_empty() {
                self.idle_by_cell.remove(&cell);
            }
        }
    }
}

#[derive(Clone)]
struct Shared {
    index: Arc<Mutex<Index>>,
    known: Gauge,
}

/// The service of the location role.
pub fn service(metrics: Arc<Metrics>) -> Service {
    let known = Gauge::default();
    metrics.register("dispatch_drivers_known", "Drivers heard of within the last 15 seconds.", known.clone());
    let shared = Shared { index: Arc::default(), known };
    let router = Router::new()
        .route("/positions", put(positions))
        .route("/nearest", post(nearest))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared);
    Service::new(router, metrics)
}

async fn positions(State(shared): State<Shared>, Json(request): Json<Positions>) -> StatusCode {
    let now = Instant::now();
    let mut index = shared.index.lock().unwrap_or_else(PoisonError::into_inner);
    for position in &request.positions {
        index.report(position, now);
    }
    index.expire(now);
    shared.known.set(i64::try_from(index.drivers.len()).unwrap_or(i64::MAX));
    StatusCode::NO_CONTENT
}

async fn nearest(
    State(shared): State<Shared>,
    Json(request): Json<NearestRequest>,
) -> Result<Json<NearestResults>, Failure> {
    let now = Instant::now();
    let index = shared.index.lock().unwrap_or_else(PoisonError::into_inner);
    let candidates = request.places.iter().map(|place| index.nearest(*place, request.limit, now)).collect();
    Ok(Json(NearestResults { candidates }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(driver: &str, lat: f64, idle: bool) -> Position {
        Position { driver: DriverId(driver.into()), place: Place { lat, lng: 2.35 }, idle }
    }

    fn names(drivers: &[DriverId]) -> Vec<&str> {
        drivers.iter().map(|driver| driver.0.as_str()).collect()
    }

    #[test]
    fn nearest_idle_drivers_come_first_and_busy_or_silent_ones_not_at_all() {
        let start = Instant::now();
        let here = Place { lat: 48.85, lng: 2.35 };
        let mut index = Index::default();
        for (driver, lat) in [("far", 48.87), ("near", 48.851), ("mid", 48.86)] {
            index.report(&at(driver, lat, true), start);
        }
        assert_eq!(names(&index.nearest(here, 2, start)), ["near", "mid"]);
        index.report(&at("near", 48.851, false), start);
        assert_eq!(names(&index.nearest(here, 2, start)), ["mid", "far"]);
        index.report(&at("mid", 48.8501, true), start + FRESH);
        let later = start + FRESH + Duration::from_millis(1);
        assert_eq!(names(&index.nearest(here, 2, later)), ["mid"], "far has not reported lately");
        index.expire(start + TTL + Duration::from_secs(1));
        assert_eq!(index.drivers.len(), 1);
        assert_eq!(index.idle_by_cell.len(), 1, "cells of forgotten drivers are freed");
    }

    #[test]
    fn places_off_the_map_are_ignored() {
        let mut index = Index::default();
        index.report(&at("x", f64::NAN, true), Instant::now());
        assert!(index.drivers.is_empty());
        assert!(index.nearest(Place { lat: f64::INFINITY, lng: 0.0 }, 3, Instant::now()).is_empty());
    }
}
