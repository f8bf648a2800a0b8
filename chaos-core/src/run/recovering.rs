//! Which kills have not been made good yet: for each, a pod of the same direct owner that was created after it and became
//! Ready. Fed with the events of a run as they come; the full timeline of each kill is the verdict's business.

use std::collections::BTreeMap;

use crate::api::Outcome;
use crate::record::{Event, PodChange, RunTime};

/// Kills on one side, fresh pods on the other, per direct owner.
#[derive(Debug, Clone, Default)]
pub struct Recovering {
    owners: BTreeMap<String, Owner>,
}

#[derive(Debug, Clone, Default)]
struct Owner {
    /// Kills that no Ready pod stands for yet, oldest first.
    open: Vec<(RunTime, String)>,
    /// Pods seen created and not Ready yet, by UID, with the instant they appeared.
    fresh: BTreeMap<String, RunTime>,
    /// Pods that became Ready before the kill they may stand for was told, with the instant they appeared.
    spare: Vec<RunTime>,
}

impl Recovering {
    /// Takes notice of an event.
    pub fn take(&mut self, event: &Event) {
        match event {
            // One of which nobody knows was made of a pod that was still there when no request could be carried out any more:
            // nothing comes in its place.
            Event::Kill(kill) if kill.outcome == Outcome::Killed => {
                let owner = self.owners.entry(kill.victim.owner_uid.clone()).or_default();
                // It may have been sent as early as this: its replacement can be seen before the instant that is told.
                let earliest = RunTime(kill.at.0.saturating_sub(kill.uncertainty));
                owner.open.push((earliest, kill.victim.pod.clone()));
                owner.open.sort();
                owner.settle();
            }
            Event::Pod(seen) => {
                let Some(owner) = seen.owner_uid.clone() else { return };
                let owner = self.owners.entry(owner).or_default();
                match seen.what {
                    PodChange::Created => _ = owner.fresh.insert(seen.uid.clone(), seen.at),
                    PodChange::Ready => {
                        if let Some(created) = owner.fresh.remove(&seen.uid) {
                            owner.spare.push(created);
                            owner.settle();
                        }
                    }
                    PodChange::Deleted => _ = owner.fresh.remove(&seen.uid),
                    _ => (),
                }
            }
            _ => (),
        }
    }

    /// The oldest kill that was not made good: when it was made, and which pod it hit.
    pub fn oldest(&self) -> Option<(RunTime, &str)> {
        let open = self.owners.values().filter_map(|owner| owner.open.first());
        open.min_by_key(|(at, _)| *at).map(|(at, pod)| (*at, pod.as_str()))
    }

    /// Kills that were not made good.
    pub fn open(&self) -> usize {
        self.owners.values().map(|owner| owner.open.len()).sum()
    }
}

impl Owner {
    /// Lets Ready pods stand for the oldest kills that came before they appeared; each for one.
    fn settle(&mut self) {
        let open = &mut self.open;
        self.spare.retain(|created| {
            let made_good = open.iter().position(|(killed, _)| killed <= created);
            match made_good {
                Some(kill) => {
                    open.remove(kill);
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
    use crate::api::VictimRef;
    use crate::record::{Kill, PodSighting};

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
    fn a_kill_that_nobody_knows_of_leaves_nothing_to_make_good() {
        let Event::Kill(unknown) = kill(1, "a") else { panic!("a kill is one") };
        let mut recovering = Recovering::default();
        recovering.take(&Event::Kill(Kill { outcome: Outcome::Unknown, ..unknown }));
        assert_eq!(recovering.oldest(), None);
        recovering.take(&kill(2, "b"));
        assert_eq!(recovering.open(), 1);
    }
}
