//! The eta role: a cheap, deterministic price and driving time. Optional: rides are made without it when it is away.

use std::sync::Arc;

use axum::routing::post;
use axum::{Json, Router};
use h3o::LatLng;

use crate::api::{Quote, QuoteRequest};
use crate::metrics::Metrics;
use crate::net::Failure;
use crate::net::server::Service;
use crate::ride::Place;
use crate::trips::price_cents;

/// Average speed in town, km/h.
const SPEED_KMH: f64 = 24.0;

/// The service of the eta role.
pub fn service(metrics: Arc<Metrics>) -> Service {
    Service::new(Router::new().route("/quote", post(quote)), metrics)
}

async fn quote(Json(request): Json<QuoteRequest>) -> Result<Json<Quote>, Failure> {
    for place in [request.from, request.to] {
        LatLng::new(place.lat, place.lng).map_err(Failure::bad_request)?;
    }
    Ok(Json(quote_for(&request)))
}

fn quote_for(request: &QuoteRequest) -> Quote {
    let seconds = 60.0 + distance_km(request.from, request.to) / SPEED_KMH * 3600.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating cast of a positive time")]
    let eta_seconds = seconds.round() as u32;
    Quote { eta_seconds, price_cents: price_cents(request.from, request.to) }
}

/// Distance as the crow flies; 0 when a place is not on Earth.
pub fn distance_km(from: Place, to: Place) -> f64 {
    match (LatLng::new(from.lat, from.lng), LatLng::new(to.lat, to.lng)) {
        (Ok(from), Ok(to)) => from.distance_km(to),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_grow_with_the_distance_and_repeat_exactly() {
        let from = Place { lat: 48.85, lng: 2.35 };
        let near = QuoteRequest { from, to: Place { lat: 48.86, lng: 2.35 } };
        let far = QuoteRequest { from, to: Place { lat: 48.95, lng: 2.35 } };
        assert_eq!(quote_for(&near), quote_for(&near));
        assert!(quote_for(&near).price_cents < quote_for(&far).price_cents);
        assert!(quote_for(&near).eta_seconds < quote_for(&far).eta_seconds);
        assert!((1.0..1.3).contains(&distance_km(near.from, near.to)), "0.01 degree of latitude is 1.1 km");
    }
}
