//! How fast the cluster is. One of two profiles, each a set of durations; no part asks for the profile by name.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::controllers::NodeTimings;

/// How fast the cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// As quick as processes allow: many kills a minute.
    #[default]
    Fast,
    /// As slow as a real cluster: endpoint changes arrive after 0.1 s to 1 s, containers take 1 s to 5 s to start, crash
    /// loops back off from 10 s. Drawn from a fixed seed.
    KubernetesLike,
}

impl Profile {
    pub(crate) fn timings(self) -> Timings {
        match self {
            Self::Fast => Timings {
                endpoint_lag: Duration::ZERO..Duration::ZERO,
                container_start: Duration::ZERO..Duration::ZERO,
                first_readiness_poll: Some(Duration::from_millis(5)),
                back_off: BackOff { first: Duration::from_millis(100), max: Duration::from_secs(5) },
                node: NodeTimings {
                    renew: Duration::from_secs(1),
                    grace: Duration::from_secs(8),
                    eviction: Duration::from_secs(5),
                },
            },
            Self::KubernetesLike => Timings {
                endpoint_lag: Duration::from_millis(100)..Duration::from_secs(1),
                container_start: Duration::from_secs(1)..Duration::from_secs(5),
                first_readiness_poll: None,
                back_off: BackOff { first: Duration::from_secs(10), max: Duration::from_secs(300) },
                node: NodeTimings {
                    renew: Duration::from_secs(10),
                    grace: Duration::from_secs(50),
                    eviction: Duration::from_secs(300),
                },
            },
        }
    }
}

/// The durations of a profile.
#[derive(Debug, Clone)]
pub(crate) struct Timings {
    /// From a change of an EndpointSlice to the moment when new connections follow it.
    pub(crate) endpoint_lag: Range<Duration>,
    /// From the decision to start a container to its first instruction.
    pub(crate) container_start: Range<Duration>,
    /// How often a container that was never ready is asked, instead of the probe's own period.
    pub(crate) first_readiness_poll: Option<Duration>,
    pub(crate) back_off: BackOff,
    pub(crate) node: NodeTimings,
}

/// Pauses between restarts of a container that keeps ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackOff {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
}

impl BackOff {
    /// The pause after the `crashes`-th crash in a row, counted from 1. The first restart is immediate, as kubelet's is.
    pub(crate) fn pause(self, crashes: u32) -> Duration {
        match crashes {
            0 | 1 => Duration::ZERO,
            more => self.first.saturating_mul(1 << (more - 2).min(16)).min(self.max),
        }
    }
}

/// Durations drawn from a range, the same ones in every run.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    generator: Arc<Mutex<StdRng>>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { generator: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))) }
    }

    pub(crate) fn draw(&self, range: &Range<Duration>) -> Duration {
        if range.is_empty() {
            return range.start;
        }
        self.generator.lock().unwrap_or_else(PoisonError::into_inner).random_range(range.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crash_loops_back_off_as_kubelet_does() {
        let back_off = Profile::KubernetesLike.timings().back_off;
        let seconds: Vec<_> = (1..=8).map(|crashes| back_off.pause(crashes).as_secs()).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn the_same_seed_draws_the_same_durations_inside_the_range() {
        let range = Duration::from_millis(100)..Duration::from_secs(1);
        let draw = |dice: &Dice| (0..5).map(|_| dice.draw(&range)).collect::<Vec<_>>();
        assert_eq!(draw(&Dice::new(7)), draw(&Dice::new(7)));
        assert!(draw(&Dice::new(7)).iter().all(|duration| range.contains(duration)));
        assert_eq!(Dice::new(1).draw(&(Duration::ZERO..Duration::ZERO)), Duration::ZERO);
    }
}
