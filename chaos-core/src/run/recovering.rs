//! Which kills have not been made good yet: for each, a pod of the same direct owner that was created after it and became
//! Ready. Fed with the events of a run as they come; the full timeline of each kill is the verdict's business.
//!
//! Only pods that are Ready are hit, as the killer sees them. Where a watch was broken, or the process that watched died before it
//! wrote what it saw, the hit itself is what is known of a pod: it had become Ready by then.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Outcome, VictimRef};
use crate::record::{Event, Kill, PodChange, PodSighting, RunTime};

/// Kills on one side, fresh pods on the other, per direct owner.
#[derive(Debug, Clone, Default)]
pub struct Recovering {
    owners: BTreeMap<String, Owner>,
    /// UIDs of all pods that were planned with, seen or hit. Empty as long as nothing was planned.
    known: BTreeSet<String>,
    /// UIDs of those that were hit since then: for whom each of them stands is settled.
    hit: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
struct Owner {
    /// Kills that no Ready pod stands for yet, oldest first.
    open: Vec<Open>,
    /// Pods that were seen created and not Ready, by UID, with the instant they appeared.
    fresh: BTreeMap<String, RunTime>,
    /// Pods that became Ready before the kill they may stand for was told: when they appeared, and their UIDs.
    spare: Vec<(RunTime, String)>,
    /// Kills with the Ready pods that stand for them.
    made_good: Vec<(Open, (RunTime, String))>,
}

/// A kill that no Ready pod stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    /// When it was sent, as well as that is known: it is as old as this.
    at: RunTime,
    /// It may have been sent as early as this: its replacement can be seen before the instant that is told.
    earliest: RunTime,
    pod: String,
    uid: String,
}

impl Recovering {
    /// Takes notice of an event.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Planned { population, .. } => self.known.extend(population.pods.iter().map(|pod| pod.uid.clone())),
            Event::Kill(kill) => self.take_kill(kill),
            Event::Pod(seen) => self.take_sighting(seen),
            _ => (),
        }
    }

    fn take_kill(&mut self, kill: &Kill) {
        let VictimRef { pod, uid, owner_uid, .. } = &kill.victim;
        let (at, earliest) = (kill.at, RunTime(kill.at.0.saturating_sub(kill.uncertainty)));
        let is_planned = !self.known.is_empty();
        let is_unheard_of = is_planned && self.known.insert(uid.clone());
        if is_planned {
            self.hit.insert(uid.clone());
        }
        let owner = self.owners.entry(owner_uid.clone()).or_default();
        let appeared = owner.fresh.remove(uid).or(is_unheard_of.then_some(at));
        owner.spare.extend(appeared.map(|appeared| (appeared, uid.clone())));
        // One of which nobody knows was made of a pod that was still there when no request could be carried out any more:
        // nothing comes in its place.
        if kill.outcome == Outcome::Killed {
            owner.open.push(Open { at, earliest, pod: pod.clone(), uid: uid.clone() });
            owner.open.sort();
        }
        owner.settle();
    }

    fn take_sighting(&mut self, seen: &PodSighting) {
        if !self.known.is_empty() {
            self.known.insert(seen.uid.clone());
        }
        // A watch that was broken may tell late that it appeared: it stands for no other kill for that.
        if self.hit.contains(&seen.uid) {
            return;
        }
        let Some(owner) = seen.owner_uid.clone() else { return };
        let owner = self.owners.entry(owner).or_default();
        match seen.what {
            PodChange::Created => _ = owner.fresh.insert(seen.uid.clone(), seen.at),
            PodChange::Ready => {
                if let Some(created) = owner.fresh.remove(&seen.uid) {
                    owner.spare.push((created, seen.uid.clone()));
                    owner.settle();
                }
            }
            // One that is gone stays fresh: that it was hit, and so was Ready, may be told after that.
            _ => (),
        }
    }

    /// The oldest kill that was not made good: when it was made, and which pod it hit.
    pub fn oldest(&self) -> Option<(RunTime, &str)> {
        let open = self.owners.values().filter_map(|owner| owner.open.first());
        open.min_by_key(|open| open.at).map(|open| (open.at, open.pod.as_str()))
    }

    /// Kills that were not made good.
    pub fn open(&self) -> usize {
        self.owners.values().map(|owner| owner.open.len()).sum()
    }
}

impl Owner {
    /// Lets Ready pods stand for the oldest kills that came before they appeared; each for one, and none for its own.
    fn settle(&mut self) {
        self.stand();
        if self.open.is_empty() || self.spare.is_empty() {
            return;
        }
        // One that was seen late may stand for a kill that one which appeared sooner, and became Ready later, could have stood for as
        // well: with the pods in the order in which they appeared as many kills are made good as there can be.
        let (kills, pods): (Vec<_>, Vec<_>) = std::mem::take(&mut self.made_good).into_iter().unzip();
        self.open.extend(kills);
        self.open.sort();
        self.spare.extend(pods);
        self.spare.sort();
        self.stand();
    }

    fn stand(&mut self) {
        let (open, made_good) = (&mut self.open, &mut self.made_good);
        self.spare.retain(|(created, uid)| {
            match open.iter().position(|kill| kill.earliest <= *created && kill.uid != *uid) {
                Some(kill) => {
                    made_good.push((open.remove(kill), (*created, uid.clone())));
                    false
                }
                None => true,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::fixture::population;

    fn kill(at: u64, pod: &str) -> Event {
        let victim = VictimRef {
            namespace: "dispatch".into(),
            pod: pod.into(),
            uid: format!("uid-{pod}"),
            workload: "Deployment/trips".into(),
            workload_uid: "deployment-1".into(),
            owner_uid: "rs-1".into(),
            node: None,
        };
        let (uncertainty, strike, nonce, message) = (0, at, format!("n{at}"), None);
        Event::Kill(Kill { at: RunTime(at), uncertainty, strike, nonce, victim, outcome: Outcome::Killed, message })
    }

    fn pod(at: u64, what: PodChange, pod: &str) -> Event {
        let owner_uid = Some("rs-1".into());
        let (namespace, uid) = ("dispatch".into(), format!("uid-{pod}"));
        Event::Pod(PodSighting { at: RunTime(at), what, namespace, pod: pod.into(), uid, owner_uid, node: None })
    }

    fn open_after(events: &[Event]) -> usize {
        let mut recovering = Recovering::default();
        events.iter().for_each(|event| recovering.take(event));
        recovering.open()
    }

    #[test]
    fn a_kill_is_made_good_by_its_own_replacement_only() {
        assert_eq!(open_after(&[kill(10, "a")]), 1);
        assert_eq!(open_after(&[kill(10, "a"), pod(12, PodChange::Created, "b")]), 1);
        let good = [kill(10, "a"), pod(12, PodChange::Created, "b"), pod(15, PodChange::Ready, "b")];
        assert_eq!(open_after(&good), 0);
        // A pod that was there before the kill and becomes Ready again is no replacement.
        assert_eq!(open_after(&[pod(5, PodChange::Created, "b"), kill(10, "a"), pod(15, PodChange::Ready, "b")]), 1);
        // One pod does not stand for two kills.
        assert_eq!(open_after(&[&[kill(9, "c")], &good[..]].concat()), 1);
        // A replacement that appears within the uncertainty of the kill's instant counts.
        let Event::Kill(mut late) = kill(13, "a") else { unreachable!("a kill") };
        late.uncertainty = 2;
        assert_eq!(open_after(&[Event::Kill(late), good[1].clone(), good[2].clone()]), 0);
        // The kill may be told after its replacement was seen.
        assert_eq!(open_after(&[good[1].clone(), good[2].clone(), good[0].clone()]), 0);
    }

    #[test]
    fn a_pod_that_was_seen_late_takes_no_kill_from_one_that_appeared_sooner() {
        // Of b it was written down that it appeared; its operator died, and the next one sees c, d and that b is Ready all at once.
        let before = [kill(10, "a"), pod(11, PodChange::Created, "b"), kill(20, "x"), kill(22, "y")];
        let seen = |name: &'static str| [pod(40, PodChange::Created, name), pod(40, PodChange::Ready, name)];
        for order in ["cbd", "bcd", "cdb"] {
            let found = order.chars().flat_map(|name| match name {
                'b' => vec![pod(40, PodChange::Ready, "b")],
                'c' => seen("c").to_vec(),
                _ => seen("d").to_vec(),
            });
            let events: Vec<Event> = before.iter().cloned().chain(found).collect();
            assert_eq!(open_after(&events), 0, "{order}");
            assert_eq!(open_after(&[&events[..], &[kill(50, "c")]].concat()), 1, "none stands for two: {order}");
        }
    }

    fn planned() -> Event {
        let population = Box::new(population(3));
        Event::Planned { at: RunTime(0), population, eligible: Vec::new(), excluded: Vec::new() }
    }

    #[test]
    fn a_pod_that_was_hit_had_become_ready_though_nobody_saw_it() {
        // Its end may be told before its kill is.
        let unseen = [kill(10, "a"), pod(12, PodChange::Created, "b"), pod(16, PodChange::Deleted, "b"), kill(15, "b")];
        assert_eq!(open_after(&unseen), 1, "b stands for a, and nothing stands for b");
        let replaced = [pod(17, PodChange::Created, "c"), pod(18, PodChange::Ready, "c")];
        assert_eq!(open_after(&[&unseen[..], &replaced].concat()), 0);
        // Nobody saw that there was one at all.
        let unheard_of = [planned(), kill(10, "a"), kill(15, "b")];
        assert_eq!(open_after(&unheard_of), 1);
        assert_eq!(open_after(&[&unheard_of[..], &replaced].concat()), 0);
        // One that was there from the start, or was known before, is no replacement.
        let mut known = kill(15, "b");
        let Event::Kill(hit) = &mut known else { unreachable!("a kill") };
        hit.victim.uid = "pod-1".into();
        assert_eq!(open_after(&[planned(), kill(10, "a"), known]), 2);
        assert_eq!(open_after(&[planned(), pod(5, PodChange::NotReady, "b"), kill(10, "a"), kill(15, "b")]), 2);
        // However late it is seen that one appeared, it stands for one kill.
        let seen_late = [kill(11, "c"), pod(16, PodChange::Created, "b"), pod(17, PodChange::Ready, "b")];
        let seen_early = [planned(), pod(5, PodChange::NotReady, "c"), kill(10, "a"), kill(15, "b")];
        assert_eq!(open_after(&[&seen_early[..], &seen_late].concat()), 2);
        // None stands for its own kill, however badly the instants are known.
        let mut early = kill(15, "b");
        let Event::Kill(hit) = &mut early else { unreachable!("a kill") };
        hit.uncertainty = 10;
        assert_eq!(open_after(&[planned(), pod(12, PodChange::Created, "b"), early]), 1);
    }

    #[test]
    fn a_kill_is_no_older_for_an_instant_that_is_not_known() {
        let unknown = |at: u64, pod: &str| {
            let Event::Kill(known) = kill(at, pod) else { unreachable!("a kill") };
            Event::Kill(Kill { uncertainty: u64::MAX, ..known })
        };
        let mut recovering = Recovering::default();
        recovering.take(&unknown(50, "a"));
        assert_eq!(
            recovering.oldest(),
            Some((RunTime(50), "a")),
            "it may be as early as the run, and is not said to be"
        );
        // What appeared before the instant that is told may have come in its place.
        recovering.take(&pod(47, PodChange::Created, "b"));
        recovering.take(&pod(49, PodChange::Ready, "b"));
        assert_eq!(recovering.open(), 0);
        // One whose instant is known does not wait for another one's replacement.
        recovering.take(&kill(60, "c"));
        recovering.take(&unknown(70, "d"));
        recovering.take(&pod(61, PodChange::Created, "e"));
        recovering.take(&pod(62, PodChange::Ready, "e"));
        assert_eq!(recovering.oldest(), Some((RunTime(70), "d")));
    }

    #[test]
    fn a_kill_that_nobody_knows_of_leaves_nothing_to_make_good() {
        let Event::Kill(unknown) = kill(1, "a") else { panic!("a kill is one") };
        let mut recovering = Recovering::default();
        recovering.take(&Event::Kill(Kill { outcome: Outcome::Unknown, ..unknown }));
        assert_eq!(recovering.oldest(), None);
        recovering.take(&kill(2, "b"));
        assert_eq!(recovering.open(), 1);
    }
}
