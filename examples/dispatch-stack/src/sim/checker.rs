//! Holds the ledger against what clients were told. Pure, O(n log n) in rides and steps. An empty answer means that every
//! promise that can be checked from outside was kept.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::history::{CallOutcome, DriverAck, RideCall, Snapshot};
use super::story;
use crate::ride::{DriverAction, DriverId, Phase, RideId, is_legal};
use crate::store::LedgerRide;

/// What the platform promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Invariant {
    /// Every acknowledged ride exists.
    I1,
    /// A driver has at most one ride at a time.
    I2,
    /// A ride has one driver and one completion.
    I3,
    /// One Idempotency-Key makes one ride.
    I4,
    /// Only legal steps; versions grow by one.
    I5,
    /// No ride stays open for longer than the bound.
    I6,
    /// A completed ride is charged once, any other not at all.
    I7,
    /// A request with an unknown answer has at most one effect.
    I10,
}

impl Invariant {
    /// What breaking it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::I1 => "lost",
            Self::I2 => "double-dispatched",
            Self::I3 => "double-served",
            Self::I4 => "duplicated",
            Self::I5 => "illegal step",
            Self::I6 => "stuck",
            Self::I7 => "mischarged",
            Self::I10 => "two effects",
        }
    }
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which promise.
    pub invariant: Invariant,
    /// What happened to the ride, line by line, with times and pods.
    pub story: String,
}

/// What is held against what.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What clients were told; taken before the ledger was read.
    pub history: &'a Snapshot,
    /// What is written.
    pub ledger: &'a [LedgerRide],
    /// The ledger's clock when it was read.
    pub now_ms: u64,
    /// How long a ride may stay open without a step.
    pub stuck_after_ms: u64,
}

/// Every broken promise, by invariant, each with its story.
pub fn check(evidence: &Evidence<'_>) -> Vec<Violation> {
    let records = Records::new(evidence);
    let mut found = Vec::new();
    found.extend(records.lost());
    found.extend(records.double_dispatched());
    found.extend(records.double_served());
    found.extend(records.duplicated());
    found.extend(records.illegal_steps());
    found.extend(records.stuck());
    found.extend(records.mischarged());
    found.extend(records.two_effects());
    found
}

/// The evidence, found by name.
pub(super) struct Records<'a> {
    pub(super) evidence: &'a Evidence<'a>,
    pub(super) rides: HashMap<&'a RideId, &'a LedgerRide>,
    pub(super) calls: HashMap<&'a str, &'a RideCall>,
    pub(super) acks: HashMap<&'a RideId, Vec<&'a DriverAck>>,
}

/// A time in which a ride occupies a driver, in positions of the ledger.
struct Occupied<'a> {
    driver: &'a DriverId,
    from: u64,
    until: u64,
    ride: &'a LedgerRide,
}

impl<'a> Records<'a> {
    fn new(evidence: &'a Evidence<'a>) -> Self {
        let mut acks: HashMap<_, Vec<_>> = HashMap::new();
        for ack in &evidence.history.acks {
            acks.entry(&ack.ride).or_default().push(ack);
        }
        Self {
            evidence,
            rides: evidence.ledger.iter().map(|ride| (&ride.ride.id, ride)).collect(),
            calls: evidence.history.calls.iter().map(|call| (call.rider.as_str(), call)).collect(),
            acks,
        }
    }

    fn violation(&self, invariant: Invariant, headline: &str, rides: &[&LedgerRide]) -> Violation {
        Violation { invariant, story: story::of_rides(self, invariant, headline, rides) }
    }

    /// I1.
    fn lost(&self) -> Vec<Violation> {
        let is_lost = |call: &&RideCall| match &call.outcome {
            CallOutcome::Acknowledged { ride, .. } => !self.rides.contains_key(ride),
            _ => false,
        };
        let calls = self.evidence.history.calls.iter().filter(is_lost);
        calls.map(|call| Violation { invariant: Invariant::I1, story: story::of_lost_ride(self, call) }).collect()
    }

    /// I2: intervals of one driver, sorted by their beginning, must not overlap.
    fn double_dispatched(&self) -> Vec<Violation> {
        let mut intervals: Vec<Occupied<'_>> = self.evidence.ledger.iter().flat_map(occupied).collect();
        intervals.sort_by(|a, b| (a.driver, a.from).cmp(&(b.driver, b.from)));
        let mut found = Vec::new();
        let mut longest: Option<&Occupied<'_>> = None;
        for interval in &intervals {
            if let Some(before) = longest.filter(|before| before.driver == interval.driver) {
                if interval.from < before.until {
                    let headline = format!("driver {} was sent to two riders at once", interval.driver.0);
                    found.push(self.violation(Invariant::I2, &headline, &[before.ride, interval.ride]));
                }
                if interval.until <= before.until {
                    continue;
                }
            }
            longest = Some(interval);
        }
        found
    }

    /// I3: by the ledger and by what drivers were told.
    fn double_served(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for ride in self.evidence.ledger {
            let told = self.acks.get(&ride.ride.id).into_iter().flatten();
            let told = told.filter(|ack| ack.action == DriverAction::Accept).map(|ack| &ack.driver);
            let written = ride.steps.iter().filter_map(|step| match &step.phase {
                Phase::Assigned { driver } => Some(driver),
                _ => None,
            });
            let drivers: BTreeSet<_> = told.chain(written).collect();
            let completions = ride.steps.iter().filter(|step| matches!(step.phase, Phase::Completed { .. })).count();
            if drivers.len() > 1 {
                let headline = format!("ride {} was given to {} drivers", ride.ride.id.0, drivers.len());
                found.push(self.violation(Invariant::I3, &headline, &[ride]));
            } else if completions > 1 {
                let headline = format!("ride {} was completed {completions} times", ride.ride.id.0);
                found.push(self.violation(Invariant::I3, &headline, &[ride]));
            }
        }
        found
    }

    /// I4.
    fn duplicated(&self) -> Vec<Violation> {
        let mut by_key: BTreeMap<&str, Vec<&LedgerRide>> = BTreeMap::new();
        for ride in self.evidence.ledger {
            by_key.entry(&ride.key).or_default().push(ride);
        }
        let doubled = by_key.into_iter().filter(|(_, rides)| rides.len() > 1);
        let tell = |(key, rides): (&str, Vec<&LedgerRide>)| {
            let headline = format!("Idempotency-Key {key} made {} rides", rides.len());
            self.violation(Invariant::I4, &headline, &rides)
        };
        doubled.map(tell).collect()
    }

    /// I5.
    fn illegal_steps(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for ride in self.evidence.ledger {
            let starts_well =
                ride.steps.first().is_some_and(|step| step.version == 1 && step.phase == Phase::Requested);
            let jump = ride
                .steps
                .windows(2)
                .find(|pair| pair[1].version != pair[0].version + 1 || !is_legal(&pair[0].phase, &pair[1].phase));
            if !starts_well {
                let headline = format!("ride {} does not begin as requested", ride.ride.id.0);
                found.push(self.violation(Invariant::I5, &headline, &[ride]));
            } else if let Some([before, after]) = jump {
                let headline = format!("ride {} went from {} to {}", ride.ride.id.0, before.phase, after.phase);
                found.push(self.violation(Invariant::I5, &headline, &[ride]));
            }
        }
        found
    }

    /// I6.
    fn stuck(&self) -> Vec<Violation> {
        let Evidence { now_ms, stuck_after_ms, .. } = *self.evidence;
        let mut found = Vec::new();
        for ride in self.evidence.ledger.iter().filter(|ride| !ride.ride.phase.is_terminal()) {
            let last = ride.steps.last().map_or(ride.ride.requested_at_ms, |step| step.at_ms);
            let idle_ms = now_ms.saturating_sub(last);
            if idle_ms > stuck_after_ms {
                let seconds = idle_ms / 1000;
                let headline = format!("ride {} has been {} for {seconds} s", ride.ride.id.0, ride.ride.phase);
                found.push(self.violation(Invariant::I6, &headline, &[ride]));
            }
        }
        found
    }

    /// I7.
    fn mischarged(&self) -> Vec<Violation> {
        let due = |ride: &LedgerRide| u32::from(matches!(ride.ride.phase, Phase::Completed { .. }));
        let wrong = self.evidence.ledger.iter().filter(|ride| ride.charges != due(ride));
        let tell = |ride: &LedgerRide| {
            let (id, phase, charges) = (&ride.ride.id.0, &ride.ride.phase, ride.charges);
            self.violation(Invariant::I7, &format!("ride {id} is {phase} and was charged {charges} times"), &[ride])
        };
        wrong.map(tell).collect()
    }

    /// I10: a rider's name is used for one request only, so all its rides are effects of that request.
    fn two_effects(&self) -> Vec<Violation> {
        let mut by_rider: BTreeMap<&str, Vec<&LedgerRide>> = BTreeMap::new();
        for ride in self.evidence.ledger.iter().filter(|ride| self.calls.contains_key(ride.ride.rider.as_str())) {
            by_rider.entry(&ride.ride.rider).or_default().push(ride);
        }
        let several_keys = |rides: &Vec<&LedgerRide>| rides.iter().any(|ride| ride.key != rides[0].key);
        let doubled = by_rider.into_iter().filter(|(_, rides)| several_keys(rides));
        let tell = |(rider, rides): (&str, Vec<&LedgerRide>)| {
            let headline = format!("one request of rider {rider} made {} rides", rides.len());
            self.violation(Invariant::I10, &headline, &rides)
        };
        doubled.map(tell).collect()
    }
}

/// The times in which `ride` occupied drivers.
fn occupied(ride: &LedgerRide) -> Vec<Occupied<'_>> {
    let mut intervals: Vec<Occupied<'_>> = Vec::new();
    let mut current: Option<&DriverId> = None;
    for step in &ride.steps {
        let driver = step.phase.driver().filter(|_| step.phase.occupies_driver());
        if driver == current {
            continue;
        }
        if let Some(last) = intervals.last_mut().filter(|last| last.until == u64::MAX) {
            last.until = step.seq;
        }
        if let Some(driver) = driver {
            intervals.push(Occupied { driver, from: step.seq, until: u64::MAX, ride });
        }
        current = driver;
    }
    intervals
}
