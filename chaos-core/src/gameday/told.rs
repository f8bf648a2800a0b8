//! What a status tells of skipped slots that an earlier one did not. Pure.

use crate::api::{GameDayStatus, SlotSkip};

/// Slots that were not started, as far as they are news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSkip<'a> {
    /// The record that tells them: skips in a row for one reason share one, so that some of its slots may be known.
    pub record: &'a SlotSkip,
    /// How many of its slots are news.
    pub slots: u64,
    /// How many slots of the game day were not started up to the last one of this record: no two records have the same.
    pub number: u64,
}

/// What a status tells besides those skips that were known already, oldest first. Of what was found at once there may be several
/// records, each with its own count.
pub fn new_skips(known: u64, status: &GameDayStatus) -> Vec<NewSkip<'_>> {
    let (mut news, mut number) = (status.skips.saturating_sub(known), status.skips);
    let mut found = Vec::new();
    for record in status.skipped.iter().rev() {
        let slots = record.count.min(news);
        if slots == 0 {
            break;
        }
        found.push(NewSkip { record, slots, number });
        news -= slots;
        number = number.saturating_sub(record.count);
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn status(skipped: &[(&str, u64)]) -> GameDayStatus {
        let record = |&(reason, count): &(&str, u64)| SlotSkip {
            slot: Time(jiff::Timestamp::UNIX_EPOCH),
            at: None,
            count,
            reason: reason.to_owned(),
            message: String::new(),
        };
        let skipped: Vec<_> = skipped.iter().map(record).collect();
        GameDayStatus { skips: skipped.iter().map(|skip| skip.count).sum(), skipped, ..GameDayStatus::default() }
    }

    fn news(known: u64, status: &GameDayStatus) -> Vec<(&str, u64, u64)> {
        new_skips(known, status).into_iter().map(|new| (new.record.reason.as_str(), new.slots, new.number)).collect()
    }

    #[test]
    fn each_record_has_its_own_count() {
        let both = status(&[("Missed", 168), ("StartingDeadline", 1)]);
        assert_eq!(news(0, &both), [("Missed", 168, 168), ("StartingDeadline", 1, 169)]);
        assert_eq!(news(168, &both), [("StartingDeadline", 1, 169)]);
        assert!(news(169, &both).is_empty());
    }

    #[test]
    fn what_a_record_told_before_is_no_news_and_what_nobody_remembers_is_not_told() {
        let grown = status(&[("Blackout", 3), ("Missed", 5), ("Held", 1)]);
        assert_eq!(news(6, &grown), [("Missed", 2, 8), ("Held", 1, 9)]);
        let forgotten = GameDayStatus { skips: 40, ..grown.clone() };
        assert_eq!(news(0, &forgotten), [("Blackout", 3, 34), ("Missed", 5, 39), ("Held", 1, 40)]);
        // Somebody wrote the status anew.
        assert!(news(50, &grown).is_empty());
    }
}
