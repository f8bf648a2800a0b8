//! How all monkeys stand, as this process knows it while it leads: what the watch brought of those that nobody here has kept yet, and
//! what their keepers saved. What follows from it is decided in `chaos-core`.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chaos_core::api::{ChaosMonkey, ChaosMonkeyStatus};
use chaos_core::killer::{Caps, Tally};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;

use crate::watched::Trouble;

/// How all monkeys stand.
pub(crate) struct Board {
    caps: Caps,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tally: Tally,
    /// Monkeys (by UID) of which a keeper of this process has told something. Of others the watch tells also what another process
    /// writes that still drives them: a monkey is claimed by the first write only.
    told: BTreeSet<String>,
    /// All monkeys were listed: none is overlooked.
    is_complete: bool,
}

impl Board {
    pub(crate) fn new(caps: Caps) -> Self {
        Self { caps, known: Mutex::default() }
    }

    /// This process begins to lead: what it knew is old.
    pub(crate) fn begin(&self) {
        *self.known() = Known::default();
    }

    /// The watch brought something. What a keeper has told is newer.
    pub(crate) fn notice(&self, event: Option<&Result<Event<ChaosMonkey>, Trouble>>) {
        match event {
            Some(Ok(Event::InitApply(monkey) | Event::Apply(monkey))) => {
                let mut known = self.known();
                if let (Some(uid), Some(status)) = (monkey.uid(), &monkey.status)
                    && !known.told.contains(&uid)
                {
                    known.tally.tell(&uid, &monkey.spec, status, Timestamp::now());
                }
            }
            Some(Ok(Event::InitDone)) => self.known().is_complete = true,
            // The kills of one that is gone, or cannot be read any more, count until their time is over.
            Some(Ok(Event::Delete(monkey))) => _ = monkey.uid().is_some_and(|uid| self.known().told.remove(&uid)),
            Some(Ok(Event::Init) | Err(_)) | None => {}
        }
    }

    /// A keeper has saved this.
    pub(crate) fn tell(&self, monkey: &ChaosMonkey, status: &ChaosMonkeyStatus) {
        let uid = monkey.uid().unwrap_or_default();
        let mut known = self.known();
        known.tally.tell(&uid, &monkey.spec, status, Timestamp::now());
        known.told.insert(uid);
    }

    /// Why this monkey may kill nobody more at present, because of what was killed already. `is_told`: the kill in question was saved.
    pub(crate) fn objection(&self, monkey: &ChaosMonkey, is_told: bool) -> Option<String> {
        let known = self.known();
        if self.caps != Caps::default() && !known.is_complete {
            return Some("not all monkeys are known yet, and there is a cap on all of them together".to_owned());
        }
        let uid = monkey.uid().unwrap_or_default();
        known.tally.objection(&uid, &monkey.spec, self.caps, Timestamp::now(), is_told)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::watched::tests;

    fn monkey(uid: &str, kills: u64) -> ChaosMonkey {
        // Of a clock that is ahead: it counts as this day's, whatever time it is here.
        let at = Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let group = json!({"group": "g", "drawn": 1, "lastKillAt": format!("{at:.6}")});
        tests::monkey(uid, &json!({"killsToday": kills, "groups": [group]}))
    }

    #[test]
    fn nobody_kills_under_a_cap_before_all_monkeys_were_listed_and_what_was_killed_before_counts() {
        let capped = Board::new(Caps { kills_per_day: Some(3), at_once: None });
        let (one, other) = (monkey("one", 2), monkey("other", 1));
        for leads in 1..=2 {
            capped.begin();
            capped.notice(Some(&Ok(Event::Init)));
            capped.notice(Some(&Ok(Event::InitApply(one.clone()))));
            assert!(capped.objection(&one, false).unwrap().contains("not all monkeys are known yet"), "{leads}");
            capped.notice(Some(&Ok(Event::InitDone)));
            assert_eq!(capped.objection(&one, false), None);
            capped.notice(Some(&Ok(Event::Apply(other.clone()))));
            assert!(capped.objection(&one, false).unwrap().contains("3 pods a day"), "{leads}");
            capped.notice(Some(&Ok(Event::Delete(other.clone()))));
            assert!(capped.objection(&one, false).is_some(), "whoever makes a monkey anew resets nothing");
        }
        assert_eq!(Board::new(Caps::default()).objection(&one, false), None);
    }

    #[test]
    fn what_another_process_kills_counts_while_no_keeper_here_has_told_anything_of_that_monkey() {
        let capped = Board::new(Caps { kills_per_day: Some(3), at_once: None });
        capped.notice(Some(&Ok(Event::InitApply(monkey("one", 1)))));
        capped.notice(Some(&Ok(Event::InitDone)));
        let (one, other) = (monkey("one", 3), monkey("other", 0));
        assert_eq!(capped.objection(&other, false), None);
        capped.notice(Some(&Ok(Event::Apply(one))));
        assert!(capped.objection(&other, false).unwrap().contains("3 pods a day"));
    }

    #[test]
    fn what_a_watch_brings_late_does_not_hide_what_a_keeper_has_told() {
        let capped = Board::new(Caps { kills_per_day: Some(3), at_once: None });
        capped.notice(Some(&Ok(Event::InitDone)));
        let (before, now) = (monkey("one", 1), monkey("one", 3));
        capped.tell(&now, now.status.as_ref().unwrap());
        capped.notice(Some(&Ok(Event::Apply(before))));
        assert!(capped.objection(&now, false).is_some());
    }
}
