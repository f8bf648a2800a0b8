//! Numbers for Prometheus: rate, errors and duration of every route, and the business measures that each role adds.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// Upper bounds of latency buckets in seconds.
const LATENCY_BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Labels of a request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    role: &'static str,
    route: String,
    code: u16,
}

/// Labels of a duration.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    role: &'static str,
    route: String,
}

/// Label of a ride's or a request's outcome.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// What it came to.
    pub outcome: &'static str,
}

/// Label of a driver's state.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StateLabel {
    /// What the driver is doing.
    pub state: &'static str,
}

/// The metrics of one process.
pub struct Metrics {
    role: &'static str,
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics of a process in `role`.
    pub fn new(role: &'static str) -> Self {
        let metrics = Self {
            role,
            registry: Mutex::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(latency_histogram),
        };
        metrics.register("dispatch_http_requests", "Requests answered, by route and status.", metrics.requests.clone());
        metrics.register(
            "dispatch_http_request_duration_seconds",
            "Time from a request's head to its answer's head.",
            metrics.durations.clone(),
        );
        metrics
    }

    /// Adds a metric; a counter's name gets `_total` when it is written.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        // The writer adds the full stop itself.
        let help = help.trim_end_matches('.');
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    /// Counts one answered request.
    pub fn observe_request(&self, route: &str, code: u16, took: Duration) {
        let role = self.role;
        self.requests.get_or_create(&RequestLabels { role, route: route.into(), code }).inc();
        self.durations.get_or_create(&RouteLabels { role, route: route.into() }).observe(took.as_secs_f64());
    }

    /// The text that Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

/// A histogram of seconds, 1 ms to 5 s.
pub fn latency_histogram() -> Histogram {
    Histogram::new(LATENCY_BUCKETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_with_role_route_and_code() {
        let metrics = Metrics::new("trips");
        metrics.observe_request("/rides", 201, Duration::from_millis(3));
        let text = metrics.encode();
        assert!(text.contains(r#"dispatch_http_requests_total{role="trips",route="/rides",code="201"} 1"#), "{text}");
        let bucket = r#"dispatch_http_request_duration_seconds_bucket{le="0.005",role="trips",route="/rides"} 1"#;
        assert!(text.contains(bucket), "{text}");
    }
}
