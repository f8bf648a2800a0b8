//! How far the operator's clock is from this run's, bounded by messages that went each way. It must not guess: what no message
//! bounds is not known.

use jiff::{SignedDuration, Timestamp};

/// The operator's clock minus ours lies between the two. Nanoseconds.
///
/// Each bound comes from the message that travelled fastest: something of ours that the operator read at an instant of its
/// clock bounds the offset from above, something of its clock that we saw bounds it from below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset {
    low: Option<i128>,
    high: Option<i128>,
}

impl Offset {
    /// Nothing is known.
    pub(super) const UNKNOWN: Self = Self { low: None, high: None };

    /// It is this, in nanoseconds: both are clocks of one machine.
    pub(super) const fn exactly(nanos: i128) -> Self {
        Self { low: Some(nanos), high: Some(nanos) }
    }

    /// It was the one and is the other, in nanoseconds: a clock was set anew.
    pub(super) fn set_anew(before: i128, after: i128) -> Self {
        Self { low: Some(before.max(after)), high: Some(before.min(after)) }
    }

    /// The operator read at `read_at` (its clock) what we wrote at `sent` (ours).
    pub(super) fn heard(&mut self, sent: Timestamp, read_at: Timestamp) {
        let high = read_at.duration_since(sent).as_nanos();
        self.high = Some(self.high.map_or(high, |known| known.min(high)));
    }

    /// We saw at `seen` (our clock) what the operator wrote at `written` (its clock) or later.
    pub(super) fn told(&mut self, written: Timestamp, seen: Timestamp) {
        let low = written.duration_since(seen).as_nanos();
        self.low = Some(self.low.map_or(low, |known| known.max(low)));
    }

    /// The middle of the interval, in nanoseconds; zero if there is none.
    pub(super) fn nanos(&self) -> i64 {
        let middle = self.low.zip(self.high).map(|(low, high)| low.midpoint(high));
        middle.and_then(|middle| i64::try_from(middle).ok()).unwrap_or(0)
    }

    /// Half the width of the interval, in nanoseconds. The greatest number if it is not bounded, or if the bounds contradict
    /// each other: then a clock was stepped.
    pub(super) fn uncertainty(&self) -> u64 {
        let width = self.low.zip(self.high).map(|(low, high)| high - low);
        width.and_then(|width| u64::try_from(width / 2).ok()).unwrap_or(u64::MAX)
    }

    /// The bounds contradict each other: a clock was set anew, and no further message can make the offset known.
    pub(super) fn is_stepped(&self) -> bool {
        self.stepped_by().is_some()
    }

    /// By about how much a clock was set anew, in nanoseconds, if one was.
    pub(super) fn stepped_by(&self) -> Option<u128> {
        self.low.zip(self.high).filter(|(low, high)| low > high).map(|(low, high)| (low - high).unsigned_abs())
    }

    /// An instant of the operator's clock, by ours.
    pub(super) fn ours(&self, theirs: Timestamp) -> Option<Timestamp> {
        theirs.checked_sub(SignedDuration::from_nanos(self.nanos())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    #[test]
    fn the_fastest_message_of_each_way_bounds_it() {
        // The operator's clock is 1 s ahead.
        let mut offset = Offset::UNKNOWN;
        assert_eq!(offset.uncertainty(), u64::MAX);
        offset.heard(at(0), at(1_250));
        offset.told(at(1_250), at(300));
        assert_eq!((offset.nanos(), offset.uncertainty()), (1_100_000_000, 150_000_000));
        offset.heard(at(2_000), at(3_010));
        offset.told(at(5_000), at(4_002));
        assert_eq!((offset.nanos(), offset.uncertainty()), (1_004_000_000, 6_000_000));
        offset.heard(at(6_000), at(7_200));
        assert_eq!(offset.uncertainty(), 6_000_000, "a slow message changes nothing");
        assert_eq!(offset.ours(at(1_004)), Some(at(0)));
    }

    #[test]
    fn a_stepped_clock_is_not_known() {
        let mut offset = Offset::UNKNOWN;
        offset.heard(at(0), at(10));
        assert!(!offset.is_stepped());
        offset.told(at(5_000), at(1_000));
        assert_eq!((offset.uncertainty(), offset.is_stepped()), (u64::MAX, true));
        assert_eq!(offset.stepped_by(), Some(3_990_000_000));
    }

    #[test]
    fn what_is_known_exactly_is_no_step() {
        let offset = Offset::exactly(-7);
        assert_eq!((offset.nanos(), offset.uncertainty(), offset.is_stepped()), (-7, 0, false));
    }
}
