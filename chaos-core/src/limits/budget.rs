//! What a workload has been through: the content of its budget Lease, shared by all chaos on it. Plain data and pure changes;
//! `chaos-engine` stores it, with a resourceVersion, so that two writers never both win.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::instant::whole_micros;

/// The state of a workload's budget. The default is that of a workload that chaos never touched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadBudget {
    /// Kills that are decided and whose outcome is not recorded yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<Reservation>,
    /// The last kill, by any chaos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_kill: Option<LastKill>,
    /// The day (UTC) that `kills_today` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Date>,
    /// Kills on that day, by any chaos.
    #[serde(default)]
    pub kills_today: u32,
}

/// The last kill of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastKill {
    /// When.
    pub at: Timestamp,
    /// UID of the run or of the monkey.
    pub run: String,
    /// Number of the strike: the victims of one strike need no interval between them.
    pub strike: u64,
}

/// A kill that may be on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// UID of the run or of the monkey.
    pub run: String,
    /// Number of the strike.
    pub strike: u64,
    /// UID of the pod.
    pub victim_uid: String,
    /// Since when.
    pub since: Timestamp,
}

/// A reservation that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// Someone else is about to kill that pod.
    #[error("failed to reserve a kill: another reservation holds this pod")]
    VictimTaken,
}

impl WorkloadBudget {
    /// Reserves a kill. The same run, strike and victim again is the same reservation, whose first instant stays.
    pub fn reserve(&mut self, reservation: Reservation) -> Result<(), ReserveError> {
        match self.reservations.iter().find(|held| held.victim_uid == reservation.victim_uid) {
            Some(held) if held.run == reservation.run && held.strike == reservation.strike => Ok(()),
            Some(_) => Err(ReserveError::VictimTaken),
            None => {
                self.reservations.push(reservation);
                Ok(())
            }
        }
    }

    /// Gives the reservations of a strike back. Whether there were any.
    pub fn release(&mut self, run: &str, strike: u64) -> bool {
        let before = self.reservations.len();
        self.reservations.retain(|held| held.run != run || held.strike != strike);
        self.reservations.len() < before
    }

    /// Gives the reservation of one victim of a strike back. Whether there was one. One that was made at another instant (in
    /// microseconds, as statuses keep it) is not it: whoever drives the killer by now may be about to kill on the strength of
    /// that.
    pub fn release_victim(&mut self, run: &str, strike: u64, victim_uid: &str, since: Timestamp) -> bool {
        let before = self.reservations.len();
        let is_it = |held: &Reservation| {
            let is_named = held.run == run && held.strike == strike && held.victim_uid == victim_uid;
            is_named && whole_micros(held.since) == whole_micros(since)
        };
        self.reservations.retain(|held| !is_it(held));
        self.reservations.len() < before
    }

    /// Counts a kill that happened (or that may have: the safer reading).
    pub fn record(&mut self, run: &str, strike: u64, at: Timestamp) {
        let day = day_of(at);
        // A writer whose clock is behind must not move the budget back into yesterday.
        if self.day.is_none_or(|known| known < day) {
            self.day = Some(day);
            self.kills_today = 0;
        }
        self.kills_today = self.kills_today.saturating_add(1);
        self.note_last(run, strike, at);
    }

    /// Counts a kill that a dry run would have made, as it would count at `now`: one of an earlier day for the interval alone.
    pub fn pretend(&mut self, run: &str, strike: u64, at: Timestamp, now: Timestamp) {
        if day_of(at) < day_of(now) {
            self.note_last(run, strike, at);
        } else {
            self.record(run, strike, at);
        }
    }

    fn note_last(&mut self, run: &str, strike: u64, at: Timestamp) {
        if self.last_kill.as_ref().is_none_or(|last| last.at <= at) {
            self.last_kill = Some(LastKill { at, run: run.to_owned(), strike });
        }
    }

    /// Kills on the day (UTC) of `now`. A budget from a later day, of a faster clock, counts as this day's.
    pub fn kills_on(&self, now: Timestamp) -> u32 {
        if self.day.is_some_and(|day| day >= day_of(now)) { self.kills_today } else { 0 }
    }

    /// The latest instant at which another strike killed a pod of this workload, or may have.
    pub fn last_strike_before(&self, run: &str, strike: u64) -> Option<Timestamp> {
        let other = |other_run: &str, other_strike| other_run != run || other_strike != strike;
        let pending = self.reservations.iter().filter(|held| other(&held.run, held.strike)).map(|held| held.since);
        let done = self.last_kill.iter().filter(|last| other(&last.run, last.strike)).map(|last| last.at);
        pending.chain(done).max()
    }
}

fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}
