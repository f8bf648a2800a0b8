//! Monkeys beside each other: how many pods each has killed today (UTC), and how many of those are not back yet. A monkey says how
//! it stands, the kill that it is about to make included, before it asks whether it may make it: so of several that ask at once
//! none overlooks another. What nobody tells any more lapses by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::IN_DOUBT;
use super::ledger::{kills_on, last_kills};
use crate::api::{ChaosMonkeySpec, ChaosMonkeyStatus};
use crate::instant::after;

/// A kill counts as in hand for so long, if nobody tells what became of it. That is looked up until it is no more in doubt, and told
/// somewhat later, and in between it must not count for nothing.
const IN_HAND: Duration = IN_DOUBT.saturating_mul(2);

/// Upper bounds of all monkeys together; absent: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// Kills of a day (UTC).
    pub kills_per_day: Option<u32>,
    /// Pods that were killed and are not back yet.
    pub at_once: Option<u32>,
}

/// How all monkeys stand, by what they told last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    monkeys: BTreeMap<String, Standing>,
}

/// How one monkey stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    /// When each of its groups had its last kill.
    lasts: Vec<Timestamp>,
    /// Its kills on the day of the latest.
    kills: u64,
    /// Until when each kill counts whose outcome is not known.
    in_hand: Vec<Timestamp>,
    /// Until when each pod counts that is not back.
    out: Vec<Timestamp>,
}

impl Tally {
    /// A monkey tells how it stands. What it killed before it began to pretend counts on, whatever its mode is by now.
    pub fn tell(&mut self, monkey: &str, spec: &ChaosMonkeySpec, status: &ChaosMonkeyStatus, now: Timestamp) {
        self.monkeys.retain(|_, standing| standing.counts(now));
        self.monkeys.insert(monkey.to_owned(), Standing::of(spec, status));
    }

    /// Why that monkey may kill nobody more at present, in words that stay the same meanwhile. `is_told`: the kill in question is among
    /// those that it has told, as one is that is about to be sent. One whose answer was lost may be in hand as well, and is not the
    /// one in question.
    pub fn objection(
        &self,
        monkey: &str,
        spec: &ChaosMonkeySpec,
        caps: Caps,
        now: Timestamp,
        is_told: bool,
    ) -> Option<String> {
        let own = self.monkeys.get(monkey);
        let asked = u64::from(!is_told);
        let exceeds = |count: u64, most: u32| count + asked > u64::from(most);
        let out = |standing: &Standing| running(&standing.out, now);
        if let Some(most) = spec.max_at_once.filter(|most| exceeds(own.map_or(0, out), *most)) {
            return Some(format!("maxAtOnce is {most}, and so many pods that it killed are not back yet"));
        }
        if let Some(most) = caps.at_once.filter(|most| exceeds(self.monkeys.values().map(out).sum(), *most)) {
            return Some(format!("all monkeys together may have {most} pods killed at once, and have"));
        }
        let of_today = |standing: &Standing| standing.kills_on(now) + running(&standing.in_hand, now);
        let most = caps.kills_per_day.filter(|most| exceeds(self.monkeys.values().map(of_today).sum(), *most))?;
        Some(format!("all monkeys together may kill {most} pods a day (UTC), and have"))
    }
}

impl Standing {
    fn of(spec: &ChaosMonkeySpec, status: &ChaosMonkeyStatus) -> Self {
        let (kills, groups) = match &status.live {
            Some(live) => (live.kills_today, &live.groups),
            None => (status.kills_today, &status.groups),
        };
        let in_hand = status.intents.iter().map(|intent| after(intent.decided_at.0, IN_HAND));
        // Later it is a kill that has not recovered, which ends the monkey.
        let out = status.recovering.iter().map(|record| after(record.since.0, spec.limits.recover_within.std()));
        Self { lasts: last_kills(groups).collect(), kills, in_hand: in_hand.collect(), out: out.collect() }
    }

    /// Kills on the day (UTC) of `now`, as the monkey itself counts them.
    fn kills_on(&self, now: Timestamp) -> u64 {
        kills_on(self.lasts.iter().copied(), self.kills, now)
    }

    /// Whether anything of it still counts.
    fn counts(&self, now: Timestamp) -> bool {
        self.kills_on(now) + running(&self.in_hand, now) + running(&self.out, now) > 0
    }
}

/// How many of these have not lapsed.
fn running(ends: &[Timestamp], now: Timestamp) -> u64 {
    ends.iter().filter(|end| now < **end).count() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::LiveCounts;

    const NOON: &str = "2026-11-23T12:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn spec(mode: &str, max_at_once: Option<u32>) -> ChaosMonkeySpec {
        let spec = json!({
            "target": {"workloads": [{"kind": "Deployment", "name": "trips"}]},
            "fault": {"podKill": {"mode": "Evict"}}, "mode": mode, "maxAtOnce": max_at_once,
            "meanTimeBetweenKills": "2h", "minTimeBetweenKills": "1h", "schedule": {}, "guards": [],
            "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 8, "minInterval": "0s", "recoverWithin": "1m",
                "maxBlind": "30s", "allowForce": false},
        });
        serde_json::from_value(spec).unwrap()
    }

    /// A status with so many kills at noon, so many pods that are not back, and so many kills whose outcome is open.
    fn status(kills: u64, out: usize, in_hand: usize) -> ChaosMonkeyStatus {
        let victim = json!({"namespace": "n", "pod": "p", "uid": "u", "workload": "Deployment/trips", "workloadUid": "w",
            "ownerUid": "rs"});
        let recovering =
            json!({"strike": 1, "victim": victim, "since": "2026-11-23T12:00:00.000000Z", "servingBefore": 3});
        let intent = json!({"strike": 1, "nonce": "n", "group": "g", "victim": victim, "due": "2026-11-23T12:00:00.000000Z",
            "decidedAt": "2026-11-23T12:00:00.000000Z", "deadline": "2026-11-23T12:00:05.000000Z"});
        let group = json!({"group": "g", "drawn": 1, "kills": kills, "lastKillAt": "2026-11-23T12:00:00.000000Z", "active": "0s"});
        let groups = if kills > 0 { vec![group] } else { Vec::new() };
        let status = json!({"killsToday": kills, "kills": kills, "groups": groups,
            "recovering": vec![recovering; out], "intents": vec![intent; in_hand]});
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn the_cap_of_a_day_counts_all_monkeys_and_what_they_are_about_to_do_and_no_dry_run() {
        let (live, dry) = (spec("Live", None), spec("DryRun", None));
        let caps = Caps { kills_per_day: Some(5), at_once: None };
        let mut tally = Tally::default();
        tally.tell("a", &live, &status(3, 0, 0), at(NOON));
        tally.tell("b", &live, &status(1, 0, 0), at(NOON));
        let pretended = ChaosMonkeyStatus { live: Some(LiveCounts::default()), ..status(100, 0, 0) };
        tally.tell("c", &dry, &pretended, at(NOON));
        // As it is until its first save after the mode was changed.
        tally.tell("d", &live, &pretended, at(NOON));
        assert_eq!(tally.objection("b", &live, caps, at(NOON), false), None, "4 are done, and this one is the fifth");
        // Two that decide at once both tell it before they ask.
        tally.tell("b", &live, &status(1, 1, 1), at(NOON));
        assert_eq!(tally.objection("b", &live, caps, at(NOON), true), None);
        tally.tell("a", &live, &status(3, 1, 1), at(NOON));
        for (monkey, is_told) in [("a", true), ("b", true), ("new", false)] {
            let why = tally.objection(monkey, &live, caps, at(NOON), is_told).unwrap();
            assert!(why.contains("5 pods a day"), "{why}");
        }
        assert_eq!(tally.objection("a", &live, Caps::default(), at(NOON), false), None, "nobody has set a cap");
        let tomorrow = at("2026-11-24T00:00:00Z");
        assert_eq!(tally.objection("a", &live, caps, tomorrow, false), None);
        tally.tell("e", &live, &status(0, 0, 0), tomorrow);
        assert!(!tally.monkeys.contains_key("a"), "nothing is kept of it");
    }

    #[test]
    fn a_kill_in_doubt_counts_until_it_is_told_what_became_of_it() {
        let live = spec("Live", None);
        let caps = Caps { kills_per_day: Some(1), at_once: None };
        let mut tally = Tally::default();
        tally.tell("a", &live, &status(0, 1, 1), at(NOON));
        // It is looked up once a second, and is about to be told.
        assert!(tally.objection("b", &live, caps, after(at(NOON), IN_DOUBT + Duration::from_secs(5)), false).is_some());
        tally.tell("a", &live, &status(0, 0, 0), at(NOON));
        assert_eq!(tally.objection("b", &live, caps, at(NOON), false), None, "it did not happen");
        // Of a monkey that is gone nobody tells anything.
        tally.tell("a", &live, &status(0, 1, 1), at(NOON));
        assert_eq!(tally.objection("b", &live, caps, after(at(NOON), Duration::from_secs(3_600)), false), None);
    }

    #[test]
    fn what_was_killed_by_a_clock_that_was_days_ahead_is_not_counted_anew_each_day_until_then() {
        let live = spec("Live", None);
        let caps = Caps { kills_per_day: Some(5), at_once: None };
        let mut killed = status(5, 0, 0);
        // Another group of it was killed by such a clock.
        let mut ahead = killed.groups[0].clone();
        ahead.group = "ahead".to_owned();
        ahead.last_kill_at = Some(crate::instant::micro_time(at("2026-12-23T12:00:00Z")));
        killed.groups.push(ahead);
        let mut tally = Tally::default();
        tally.tell("a", &live, &killed, at(NOON));
        assert!(tally.objection("b", &live, caps, at(NOON), false).is_some(), "they were today");
        let tomorrow = at("2026-11-24T12:00:00Z");
        assert_eq!(tally.objection("b", &live, caps, tomorrow, false), None);
        tally.tell("b", &live, &status(0, 0, 0), tomorrow);
        assert!(!tally.monkeys.contains_key("a"), "it is kept for a month");
    }

    #[test]
    fn while_one_kill_is_in_doubt_no_other_is_decided_past_a_cap() {
        let (live, alone) = (spec("Live", None), spec("Live", Some(1)));
        let (no_cap, a_day) = (Caps::default(), Caps { kills_per_day: Some(2), at_once: None });
        let at_once = Caps { kills_per_day: None, at_once: Some(1) };
        let mut tally = Tally::default();
        tally.tell("a", &alone, &status(1, 1, 1), at(NOON));
        for (spec, caps) in [(&alone, no_cap), (&live, a_day), (&live, at_once)] {
            assert!(tally.objection("a", spec, caps, at(NOON), false).is_some(), "{caps:?}");
            assert_eq!(tally.objection("a", spec, caps, at(NOON), true), None, "it may be sent: {caps:?}");
        }
    }

    #[test]
    fn what_was_killed_before_a_dry_run_counts_for_the_caps() {
        let (live, dry) = (spec("Live", None), spec("DryRun", None));
        let caps = Caps { kills_per_day: Some(5), at_once: None };
        let killed = status(5, 0, 0);
        let ChaosMonkeyStatus { kills, kills_today, groups, .. } = killed.clone();
        let begun = ChaosMonkeyStatus { live: Some(LiveCounts { kills, kills_today, groups }), ..status(1, 0, 0) };
        // Edited and not saved yet, and saved.
        for told in [killed, begun] {
            let mut tally = Tally::default();
            tally.tell("a", &dry, &told, at(NOON));
            assert!(tally.objection("b", &live, caps, at(NOON), false).is_some_and(|why| why.contains("5 pods a day")));
        }
    }

    #[test]
    fn the_caps_at_once_count_pods_until_they_are_back_or_their_time_is_over() {
        let (live, alone) = (spec("Live", None), spec("Live", Some(1)));
        let caps = Caps { kills_per_day: None, at_once: Some(2) };
        let mut tally = Tally::default();
        tally.tell("a", &live, &status(1, 1, 0), at(NOON));
        assert_eq!(tally.objection("a", &live, caps, at(NOON), false), None);
        assert!(tally.objection("a", &alone, caps, at(NOON), false).unwrap().contains("maxAtOnce is 1"));
        assert_eq!(tally.objection("b", &alone, caps, at(NOON), false), None, "one of each");
        tally.tell("b", &alone, &status(1, 1, 1), at(NOON));
        assert_eq!(tally.objection("b", &alone, caps, at(NOON), true), None, "its kill is the one in hand");
        assert!(tally.objection("a", &live, caps, at(NOON), false).unwrap().contains("2 pods killed at once"));
        tally.tell("b", &alone, &status(1, 0, 0), at(NOON));
        assert_eq!(tally.objection("a", &live, caps, at(NOON), false), None, "one is back");
        // Whoever was deleted tells nothing any more.
        tally.tell("b", &alone, &status(1, 1, 1), at(NOON));
        assert_eq!(tally.objection("a", &live, caps, at("2026-11-23T12:01:01Z"), false), None);
    }
}
