//! Tells what happened to a ride: for the person who has to find out why. Words only; judges nothing.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::checker::{Invariant, Records};
use super::history::{CallOutcome, RideCall};
use crate::store::LedgerRide;

/// Lines of a story, each with its time, sorted before they are told.
#[derive(Default)]
struct Timeline(Vec<(u64, String)>);

impl Timeline {
    fn add(&mut self, at_ms: u64, what: String) {
        self.0.push((at_ms, what));
    }

    fn tell(mut self, headline: &str) -> String {
        self.0.sort_by_key(|(at_ms, _)| *at_ms);
        let mut story = headline.to_owned();
        for (at_ms, what) in self.0 {
            // Writing to a String cannot fail.
            let _ = write!(story, "\n  {}  {what}", clock(at_ms));
        }
        story
    }

    fn add_call(&mut self, call: &RideCall) {
        let tries = if call.attempts == 1 { String::new() } else { format!(", {} attempts", call.attempts) };
        self.add(call.invoked_ms, format!("rider {} asks, key {}{tries}", call.rider, call.key));
        let answer = match &call.outcome {
            CallOutcome::Acknowledged { ride, served_by } => {
                format!("rider is answered 201, ride {}, by {served_by}", ride.0)
            }
            CallOutcome::Refused { reason } => format!("rider is refused: {reason}"),
            CallOutcome::Unknown { reason } => format!("rider gives up: {reason}"),
        };
        self.add(call.returned_ms, answer);
    }

    fn add_ride(&mut self, records: &Records<'_>, ride: &LedgerRide) {
        let short = &ride.ride.id.0[..ride.ride.id.0.len().min(8)];
        for step in &ride.steps {
            let (version, phase, by) = (step.version, &step.phase, &step.by);
            self.add(step.at_ms, format!("ledger: {short} v{version} {phase}, written by {by}"));
        }
        for ack in records.acks.get(&ride.ride.id).into_iter().flatten() {
            let (driver, action, by) = (&ack.driver.0, ack.action.name(), &ack.served_by);
            self.add(ack.at_ms, format!("driver {driver} is told that {action} of {short} is done, by {by}"));
        }
    }
}

/// The story of rides that are in the ledger.
pub(super) fn of_rides(records: &Records<'_>, invariant: Invariant, headline: &str, rides: &[&LedgerRide]) -> String {
    let mut timeline = Timeline::default();
    let mut told = std::collections::BTreeSet::new();
    for ride in rides {
        if let Some(call) = records.calls.get(ride.ride.rider.as_str()).filter(|call| told.insert(call.rider.clone())) {
            timeline.add_call(call);
        }
        timeline.add_ride(records, ride);
    }
    timeline.tell(&format!("{}: {headline}", invariant.name()))
}

/// The story of a ride that is not in the ledger.
pub(super) fn of_lost_ride(records: &Records<'_>, call: &RideCall) -> String {
    let mut timeline = Timeline::default();
    timeline.add_call(call);
    timeline.add(records.evidence.now_ms, "the ledger has no such ride".into());
    let ride = match &call.outcome {
        CallOutcome::Acknowledged { ride, .. } => ride.0.as_str(),
        CallOutcome::Refused { .. } | CallOutcome::Unknown { .. } => "?",
    };
    timeline.tell(&format!(
        "{}: ride {ride} of rider {} was acknowledged and is gone",
        Invariant::I1.name(),
        call.rider
    ))
}

/// Time of day, UTC, to the millisecond.
fn clock(at_ms: u64) -> String {
    let stamp = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at_ms)).to_string();
    stamp.split_once('T').map_or_else(|| stamp.clone(), |(_, time)| time.to_owned())
}
