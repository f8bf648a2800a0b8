//! A load test as it is meant.

use super::HttpLoad;
use crate::load::Threshold;
use crate::units::Duration;

/// Load without faults.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoadTest {
    /// Its name.
    pub name: String,
    /// For how long requests are due.
    pub duration: Duration,
    /// What is sent; never empty, names are unique.
    pub flows: Vec<Flow>,
    /// The seed in force; absent: to be drawn.
    pub seed: Option<i64>,
}

/// Requests that follow on each other, on a schedule of their own.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Flow {
    /// Unique in the test.
    pub name: String,
    /// What is sent.
    pub load: HttpLoad,
    /// What must hold at the end.
    pub thresholds: Vec<Threshold>,
}
