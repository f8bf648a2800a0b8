//! Requests that were cut off shortly before or after another one of their probe was answered: somebody served at that time,
//! and whoever had asked again would have been answered too.

use super::load::State;
use crate::record::{BadClass, BadSlot, RunTime};

/// How far apart the two may be due.
const NEAR_NANOS: u64 = 200_000_000;

/// Finds them among the slots of one probe, which come in the order in which they were due.
#[derive(Default)]
pub(super) struct Neighbours<'a> {
    answered: Option<RunTime>,
    /// Cut off, and nothing was answered since.
    waiting: Vec<&'a BadSlot>,
    found: Vec<&'a BadSlot>,
}

impl<'a> Neighbours<'a> {
    pub(super) fn add(&mut self, due: RunTime, state: State, bad: Option<&'a BadSlot>) {
        match (state, bad) {
            (State::Good | State::Slow, _) => {
                let waiting = self.waiting.drain(..);
                self.found.extend(waiting.filter(|slot| is_near(slot.due, due)));
                self.answered = Some(due);
            }
            (State::Failed, Some(slot)) if matches!(slot.class, BadClass::Refused | BadClass::Reset) => {
                if self.answered.is_some_and(|answered| is_near(answered, due)) {
                    self.found.push(slot);
                } else {
                    self.waiting.push(slot);
                }
            }
            (State::Failed | State::Unknown, _) => {}
        }
    }

    /// In the order in which they were due.
    pub(super) fn found(mut self) -> Vec<&'a BadSlot> {
        self.found.sort_by_key(|slot| slot.due);
        self.found
    }
}

const fn is_near(earlier: RunTime, later: RunTime) -> bool {
    later.0.saturating_sub(earlier.0) <= NEAR_NANOS
}
