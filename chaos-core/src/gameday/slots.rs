//! When a cron expression comes round in a zone. A slot is a time by the clock on the wall: one that the clock skips comes when
//! the clock jumps over it, one that it shows twice comes the first time, so each comes once. Pure arithmetic on instants.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::model::Cron;

/// Slots are counted up to here; one more stands for all that are more.
pub const MOST_COUNTED: u64 = 10_000;
/// Slots that are looked at around one change of the clock: more than a day has minutes.
const AROUND_A_CHANGE: usize = 3_000;

/// The first slot after an instant; `None`: there is none.
pub fn next_slot(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut local = whole(zone.to_datetime(after));
    for _ in 0..AROUND_A_CHANGE {
        local = cron.next_after(local)?;
        let slot = instant(zone, local)?;
        if slot > after {
            return Some(slot);
        }
    }
    None
}

/// The last slot at or before an instant; `None`: there is none.
pub fn last_slot(cron: &Cron, zone: &TimeZone, until: Timestamp) -> Option<Timestamp> {
    let mut local = whole(zone.to_datetime(until));
    // The clock was set back: it has shown later times already.
    if let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(local).offset() {
        local = local.checked_add(after.until(before).abs()).ok()?;
    }
    for _ in 0..AROUND_A_CHANGE {
        let slot_local = cron.last_until(local)?;
        let slot = instant(zone, slot_local)?;
        if slot <= until {
            return Some(slot);
        }
        local = slot_local.checked_sub(jiff::SignedDuration::from_secs(1)).ok()?;
    }
    None
}

/// How many slots there are after the one instant and before the other, and the last of them. At most one more than
/// [`MOST_COUNTED`] are counted.
pub fn slots_between(cron: &Cron, zone: &TimeZone, after: Timestamp, before: Timestamp) -> (u64, Option<Timestamp>) {
    let second = std::time::Duration::from_secs(1);
    let last = before.checked_sub(second).ok().and_then(|until| last_slot(cron, zone, until));
    let Some(last) = last.filter(|last| *last > after) else { return (0, None) };
    let (mut count, mut at) = (0, after);
    while count <= MOST_COUNTED {
        match next_slot(cron, zone, at).filter(|slot| *slot <= last) {
            Some(slot) => (count, at) = (count + 1, slot),
            None => break,
        }
    }
    (count, Some(last))
}

fn instant(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(local).ok()
        }
        AmbiguousOffset::Gap { after, .. } => {
            let before_the_change = after.to_timestamp(local).ok()?;
            zone.following(before_the_change).next().map(|change| change.timestamp())
        }
    }
}

fn whole(local: DateTime) -> DateTime {
    local.with().subsec_nanosecond(0).build().unwrap_or(local)
}
