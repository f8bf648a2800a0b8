//! Mutation tests of the auditor: a clean record passes, and each single falsification of it is found by its invariant.

use super::*;
use crate::api::Ride;
use crate::ride::Place;
use crate::store::LedgerStep;

const NOW: u64 = 1_000_000;
const STUCK_AFTER: u64 = 20_000;

/// A history and ledger of `count` rides that were driven to the end, each by a driver of its own unless changed.
struct Record {
    history: Snapshot,
    ledger: Vec<LedgerRide>,
}

fn driver(n: usize) -> DriverId {
    DriverId(format!("driver-{n}"))
}

fn life(n: usize) -> Vec<Phase> {
    let driver = driver(n);
    vec![
        Phase::Requested,
        Phase::Offered { driver: driver.clone() },
        Phase::Assigned { driver: driver.clone() },
        Phase::EnRoute { driver: driver.clone() },
        Phase::OnTrip { driver: driver.clone() },
        Phase::Completed { driver },
    ]
}

fn ledger_ride(n: usize, phases: &[Phase], first_seq: u64) -> LedgerRide {
    let place = Place { lat: 48.85, lng: 2.35 };
    let steps: Vec<_> = phases
        .iter()
        .zip(1..)
        .map(|(phase, version)| LedgerStep {
            seq: first_seq + version,
            version,
            phase: phase.clone(),
            at_ms: NOW - 60_000 + version,
            by: "trips-1".into(),
        })
        .collect();
    let phase = phases.last().cloned().unwrap_or(Phase::Requested);
    let completed = matches!(phase, Phase::Completed { .. });
    LedgerRide {
        seq: n as u64 + 1,
        key: format!("key-{n}"),
        charges: u32::from(completed),
        ride: Ride {
            id: RideId(format!("ride-{n}")),
            rider: format!("rider-{n}"),
            from: place,
            to: place,
            phase,
            version: phases.len() as u64,
            requested_at_ms: NOW - 60_000,
        },
        steps,
    }
}

impl Record {
    fn clean(count: usize) -> Self {
        let ledger: Vec<_> = (0..count).map(|n| ledger_ride(n, &life(n), n as u64 * 10)).collect();
        let calls = ledger.iter().map(|ride| RideCall {
            rider: ride.ride.rider.clone(),
            key: ride.key.clone(),
            invoked_ms: NOW - 60_001,
            returned_ms: NOW - 59_999,
            attempts: 1,
            outcome: CallOutcome::Acknowledged {
                ride: ride.ride.id.clone(),
                served_by: "gateway-1, trips-1, store-0".into(),
            },
        });
        let acks = ledger.iter().zip(0..).map(|(ride, n)| DriverAck {
            ride: ride.ride.id.clone(),
            driver: driver(n),
            action: DriverAction::Accept,
            at_ms: NOW - 59_000,
            served_by: "gateway-1, trips-1, store-0".into(),
        });
        Self { history: Snapshot { calls: calls.collect(), acks: acks.collect(), forgotten: 0 }, ledger }
    }

    fn violations(&self) -> Vec<Violation> {
        let Self { history, ledger } = self;
        check(&Evidence { history, ledger, now_ms: NOW, stuck_after_ms: STUCK_AFTER })
    }

    fn broken(&self) -> Vec<Invariant> {
        self.violations().into_iter().map(|violation| violation.invariant).collect()
    }
}

#[test]
fn a_clean_record_breaks_nothing() {
    assert_eq!(Record::clean(50).violations(), []);
    assert_eq!(Record::clean(0).violations(), []);
}

#[test]
fn a_ride_missing_from_the_ledger_is_lost_and_its_story_names_ride_rider_and_pods() {
    let mut record = Record::clean(3);
    record.ledger.remove(1);
    let violations = record.violations();
    assert_eq!(record.broken(), [Invariant::I1]);
    for part in ["lost", "ride-1", "rider-1", "key-1", "gateway-1, trips-1", "00:15:40.001"] {
        assert!(violations[0].story.contains(part), "{part} is missing in: {}", violations[0].story);
    }
}

#[test]
fn an_unknown_request_may_have_had_its_effect_or_not() {
    let mut record = Record::clean(2);
    record.ledger.remove(0);
    for call in &mut record.history.calls {
        call.outcome = CallOutcome::Unknown { reason: "reset".into() };
    }
    assert_eq!(record.broken(), []);
}

#[test]
fn overlapping_rides_of_one_driver_are_found_also_inside_a_long_one() {
    let mut record = Record::clean(0);
    let phases = |last: usize| life(7)[..last].to_vec();
    record.ledger.push(ledger_ride(0, &phases(6), 0));
    record.ledger.push(ledger_ride(1, &phases(6), 100));
    assert_eq!(record.broken(), [], "one after the other is fine");
    // Ride 0 now ends after ride 1 has begun and ended; ride 2 begins inside ride 0 as well.
    record.ledger[0].steps[5].seq = 500;
    record.ledger.push(ledger_ride(2, &phases(6), 200));
    assert_eq!(record.broken(), [Invariant::I2, Invariant::I2]);
    assert!(record.violations()[1].story.contains("driver-7"));
}

#[test]
fn a_declined_offer_frees_the_driver() {
    let mut record = Record::clean(0);
    let mut phases = vec![Phase::Requested, Phase::Offered { driver: driver(1) }, Phase::Requested];
    phases.extend(life(2)[1..].to_vec());
    record.ledger.push(ledger_ride(0, &phases, 0));
    record.ledger.push(ledger_ride(1, &life(1), 3));
    assert_eq!(record.broken(), []);
}

#[test]
fn two_drivers_told_that_they_have_the_ride_is_double_service() {
    let mut record = Record::clean(2);
    record.history.acks[1].ride = record.history.acks[0].ride.clone();
    assert_eq!(record.broken(), [Invariant::I3]);
}

#[test]
fn two_completions_are_double_service() {
    let mut record = Record::clean(1);
    let mut again = record.ledger[0].steps[5].clone();
    again.seq += 1;
    again.version += 1;
    record.ledger[0].steps.push(again);
    let broken = record.broken();
    assert!(broken.contains(&Invariant::I3) && broken.contains(&Invariant::I5), "{broken:?}");
}

#[test]
fn one_key_with_two_rides_is_duplicated_and_two_keys_of_one_request_are_two_effects() {
    let mut record = Record::clean(3);
    record.ledger[2].key = record.ledger[1].key.clone();
    assert_eq!(record.broken(), [Invariant::I4]);
    let mut record = Record::clean(3);
    record.ledger[2].ride.rider = record.ledger[1].ride.rider.clone();
    assert_eq!(record.broken(), [Invariant::I10]);
}

#[test]
fn riders_that_the_simulator_does_not_know_may_ask_twice() {
    let mut record = Record::clean(3);
    record.history.calls.clear();
    record.ledger[2].ride.rider = record.ledger[1].ride.rider.clone();
    assert_eq!(record.broken(), []);
}

#[test]
fn skipped_states_and_versions_are_illegal() {
    let mut record = Record::clean(1);
    record.ledger[0].steps[3].version += 1;
    assert_eq!(record.broken(), [Invariant::I5]);
    let mut record = Record::clean(1);
    record.ledger[0].steps.remove(2);
    assert_eq!(record.broken(), [Invariant::I5]);
    let mut record = Record::clean(1);
    record.ledger[0].steps.remove(0);
    assert_eq!(record.broken(), [Invariant::I5]);
}

#[test]
fn an_open_ride_is_stuck_only_after_the_bound() {
    let mut record = Record::clean(1);
    record.ledger[0] = ledger_ride(0, &life(0)[..3], 0);
    assert_eq!(record.broken(), [Invariant::I6]);
    record.ledger[0].steps[2].at_ms = NOW - STUCK_AFTER;
    assert_eq!(record.broken(), []);
}

#[test]
fn charges_must_match_completion() {
    for (charges, last) in [(0, 6), (2, 6), (1, 3)] {
        let mut record = Record::clean(1);
        record.ledger[0] = ledger_ride(0, &life(0)[..last], 0);
        for step in &mut record.ledger[0].steps {
            step.at_ms = NOW;
        }
        record.ledger[0].charges = charges;
        assert_eq!(record.broken(), [Invariant::I7], "{charges} charges after {last} steps");
    }
}

#[test]
fn one_lost_ride_among_twenty_thousand_is_found() {
    let mut record = Record::clean(20_000);
    let lost = record.ledger.swap_remove(12_345);
    let violations = record.violations();
    assert_eq!(violations.len(), 1);
    assert!(violations[0].story.contains(&lost.ride.id.0), "{}", violations[0].story);
}
