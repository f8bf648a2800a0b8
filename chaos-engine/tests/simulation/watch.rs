//! What a watch brings to a process, and when. A process is some events behind; some events are lost; of several that came
//! together only the last is seen. When the list is read again, which it is from time to time, all is known.

use jiff::{SignedDuration, Timestamp};

use crate::seats::Dice;

/// A watch is so many events behind at most.
pub(crate) const MOST_BEHIND: usize = 10;
/// Chance in a thousand that a watch loses events.
const LOSSY: u32 = 250;

/// An event of a watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// Its number among all events of the watch.
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
}

/// How a process hears of changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    /// An event is brought when so many have followed it.
    behind: u64,
    /// Every second event is lost: those whose number leaves this rest.
    loses: Option<u64>,
    /// After this time the list has been read again.
    read_again: SignedDuration,
}

impl Watch {
    /// A watch whose list is read again after so many milliseconds at most.
    pub(crate) fn new(dice: &mut Dice, longest: i64) -> Self {
        let behind = dice.below(MOST_BEHIND + 1) as u64;
        let loses = dice.chance(LOSSY).then(|| dice.draw() % 2);
        Self { behind, loses, read_again: dice.between(0, longest) }
    }

    /// Whether it has brought that change by now, when the newest event has that number.
    pub(crate) fn brings(&self, change: Change, newest: u64, now: Timestamp) -> bool {
        let is_lost = self.loses == Some(change.number % 2);
        now >= change.at + self.read_again || !is_lost && newest >= change.number + self.behind
    }
}
