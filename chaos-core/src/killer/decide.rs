//! Whom a strike hits and whether it may: `eligible`, `victims` and `limits` on one set of facts, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::groups::{GroupNames, is_meant};
use super::messages::Observation;
use super::plan::SINGLE;
use super::reason::{Refused, SkipReason};
use super::state::{Attempt, Decision};
use super::step::Cursor;
use super::{IN_DOUBT, Streams, Victims, elapsed};
use crate::api::{KillRecord, Mode, Outcome, VictimRef};
use crate::eligible::{Judged, Reason, barred, eligible};
use crate::limits::{self, KillRequest, Reservation, WorkloadBudget};
use crate::population::{PodFacts, Population, WorkloadKey};
use crate::units::CountOrPercent;
use crate::victims;

/// So long a reservation of others holds once it was seen, however old it is told to be: their clock may be far behind this one. Longer
/// than one is in use: its kill is sent within [`SEND_WITHIN`](super::SEND_WITHIN), and a server is done with that 15 s later.
const SEEN_FOR: Duration = Duration::from_secs(30);
/// One that is told to be that old holds no more: no clocks are that far apart, and a run that has little time waits for nothing.
const LONG_PAST: Duration = Duration::from_secs(15 * 60);

/// The pod that a strike would hit on these facts.
pub(super) struct Pick<'a> {
    pub pod: &'a PodFacts,
    pub workload: &'a WorkloadKey,
    pub group: String,
    /// Pods of the workload that serve.
    pub serving: usize,
    /// Pods of the workload that are wanted.
    pub desired: usize,
}

impl Cursor<'_> {
    /// The groups that have pods of the target.
    pub(super) fn group_names(&self, facts: &Population) -> BTreeSet<String> {
        GroupNames::of(&self.eligible(facts), &self.spec.kill.group, facts).into_inner()
    }

    /// The pod that this strike hits on these facts.
    pub(super) fn pick<'f>(&self, attempt: &Attempt, facts: &'f Population) -> Result<Pick<'f>, Refused> {
        let judged = self.eligible(facts);
        let meant = judged.iter().filter(|judged| is_meant(judged)).map(|judged| judged.pod);
        let groups = victims::groups(&self.spec.kill.group, meant, facts);
        let stream = attempt.strike.group.as_str();
        let group = match (&attempt.group, self.spec.streams) {
            // The first victim may have been the last pod of it, and whose turn it is another's by that.
            (Some(group), _) => group.as_str(),
            (None, Streams::PerGroup) => stream,
            (None, Streams::Single) => {
                let names = groups.members.keys().map(String::as_str);
                let order = victims::group_order(self.spec.seed, attempt.strike.strike, names);
                order.first().copied().unwrap_or(SINGLE)
            }
        };
        let members = groups.members.get(group).map(Vec::as_slice).unwrap_or_default();
        let eligible: BTreeSet<_> = judged.iter().filter(|j| j.is_eligible()).map(|j| j.pod.uid.as_str()).collect();
        let is_of = |pod: &PodFacts, uid: &String| pod.workload.as_ref().is_some_and(|key| key.uid == *uid);
        let is_shared = |pod: &PodFacts| attempt.workload.as_ref().is_none_or(|uid| is_of(pod, uid));
        let in_reach = members.iter().copied().filter(|pod| eligible.contains(pod.uid.as_str()) && is_shared(pod));
        let (hit, candidates): (Vec<_>, Vec<_>) = in_reach.partition(|pod| self.state.ledger.has_hit(&pod.uid));
        // What was told as gone and is listed all the same has to be tried again only if there is nobody else.
        let gone: BTreeSet<_> = self.state.ledger.told_gone(attempt.strike.strike).collect();
        let (gone, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|pod| gone.contains(pod.uid.as_str()));
        let candidates = if others.is_empty() { gone } else { others };
        let victim = victims::victim(self.spec.seed, attempt.strike.strike, &candidates);
        let Some((pod, workload)) = victim.and_then(|pod| Some((pod, pod.workload.as_ref()?))) else {
            let barred = barred(&self.spec.policy, facts);
            return Err(Refused::new(SkipReason::NoEligiblePod, why_nobody(&judged, hit.len(), &barred)));
        };
        let of_workload = |p: &&PodFacts| p.workload.as_ref().is_some_and(|key| key.uid == workload.uid);
        let serving = facts.pods.iter().filter(of_workload).filter(|p| facts.serves(p)).count();
        let desired = facts.workload(&workload.uid).map_or(0, |w| w.desired as usize);
        Ok(Pick { pod, workload, group: group.to_owned(), serving, desired })
    }

    /// Whether that pod may be killed now, with the reservation made in `budget`.
    pub(super) fn admit(
        &self,
        attempt: &Attempt,
        pick: &Pick<'_>,
        facts: &Population,
        budget: &WorkloadBudget,
    ) -> Result<Decision, Refused> {
        let mut budget = self.settled(budget, facts);
        if self.spec.mode == Mode::DryRun {
            self.count_pretended(&mut budget, pick.workload);
        }
        let strike = attempt.strike.strike;
        let companions = match attempt.companions {
            Some(left) => left,
            None => self.companions(pick)?,
        };
        let as_of = self.as_of(attempt);
        let request = KillRequest {
            limits: &self.spec.limits,
            policy: &self.spec.policy,
            mode: self.spec.kill.mode,
            run: &self.spec.run,
            strike,
            done: self.spec.kills_done(&self.state.ledger, as_of),
            victim: pick.pod,
            companions,
        };
        limits::admit(&request, facts, &budget, as_of)
            .map_err(|refusal| Refused::new(SkipReason::Limit(refusal.reason), refusal.message))?;
        let reservation =
            Reservation { run: self.spec.run.clone(), strike, victim_uid: pick.pod.uid.clone(), since: self.now };
        budget.reserve(reservation).map_err(|error| Refused::new(SkipReason::VictimTaken, error.to_string()))?;
        let is_share = matches!(self.spec.victims.count, CountOrPercent::Percent(_));
        Ok(Decision {
            attempt: Attempt {
                companions: Some(companions),
                group: Some(pick.group.clone()),
                workload: is_share.then(|| pick.workload.uid.clone()),
                ..attempt.clone()
            },
            at: self.now,
            victim: victim_ref(pick.pod, pick.workload),
            workload: pick.workload.clone(),
            budget,
            group: pick.group.clone(),
            serving: u32::try_from(pick.serving).unwrap_or(u32::MAX),
        })
    }

    /// A budget without the reservations that nobody can use any more; kills they stood for are counted.
    ///
    /// Ours without an open intent were never sent, or their outcome is in the history: this ledger was saved after they were
    /// seen, so that nobody else can save an intent for them any more. Those of others end with the time in which a request
    /// may still be carried out, whatever their clock says.
    fn settled(&self, budget: &WorkloadBudget, facts: &Population) -> WorkloadBudget {
        let mut settled = budget.clone();
        for held in &budget.reservations {
            let uid = held.victim_uid.as_str();
            let killed_at = if held.run == self.spec.run {
                if self.has_open_intent(uid) {
                    continue;
                }
                self.killed_at(uid)
            } else {
                if !self.is_over(held) {
                    continue;
                }
                let is_gone = !facts.pods.iter().any(|pod| pod.uid == uid && !pod.terminating);
                is_gone.then_some(held.since)
            };
            settled.release_victim(&held.run, held.strike, uid, held.since);
            if let Some(at) = killed_at {
                settled.record(&held.run, held.strike, at);
            }
        }
        settled
    }

    /// Remembers since when each reservation of others is known.
    pub(super) fn sight(&mut self, observation: &Observation) {
        let (spec, now) = (self.spec, self.now);
        let sighted = &mut self.state.sighted;
        sighted.retain(|(_, at)| elapsed(*at, now) < LONG_PAST);
        let read = observation.budgets.iter().filter_map(|(_, read)| read.as_ref().ok());
        for held in read.flat_map(|read| &read.budget.reservations).filter(|held| held.run != spec.run) {
            if !sighted.iter().any(|(known, _)| known == held) {
                sighted.push((held.clone(), now));
            }
        }
    }

    /// Whether nobody can use that reservation of others any more. In doubt it holds.
    fn is_over(&self, held: &Reservation) -> bool {
        let age = self.in_doubt_for(held.since);
        let seen = self.state.sighted.iter().find(|(known, _)| known == held);
        let seen_for = seen.map_or(Duration::ZERO, |(_, at)| elapsed(*at, self.now));
        age >= LONG_PAST || (age >= IN_DOUBT && seen_for >= SEEN_FOR)
    }

    /// Counts what this dry run would have killed of that workload: a live run would find it in the budget.
    fn count_pretended(&self, budget: &mut WorkloadBudget, workload: &WorkloadKey) {
        let would = |kill: &&KillRecord| kill.outcome == Outcome::WouldKill && kill.victim.workload_uid == workload.uid;
        for kill in self.state.ledger.history.iter().filter(would) {
            budget.pretend(&self.spec.run, kill.strike, kill.at.0, self.now);
        }
    }

    /// Reservations of this killer of which the ledger knows neither an open intent nor a kill.
    pub(super) fn orphans(&self, budget: &WorkloadBudget) -> Vec<Reservation> {
        let is_orphan = |held: &&Reservation| {
            let uid = held.victim_uid.as_str();
            held.run == self.spec.run && !self.has_open_intent(uid) && self.killed_at(uid).is_none()
        };
        budget.reservations.iter().filter(is_orphan).cloned().collect()
    }

    fn has_open_intent(&self, uid: &str) -> bool {
        self.state.ledger.intents.iter().any(|intent| intent.victim.uid == uid)
    }

    fn killed_at(&self, uid: &str) -> Option<Timestamp> {
        let is_it = |kill: &&KillRecord| kill.victim.uid == uid && super::ledger::is_kill(kill.outcome);
        self.state.ledger.history.iter().find(is_it).map(|kill| kill.at.0)
    }

    /// Victims of a strike on the workload of that pod besides the first. A share of it that is none is not one.
    fn companions(&self, pick: &Pick<'_>) -> Result<u32, Refused> {
        let Victims { count, at_least_one } = self.spec.victims;
        let others = count.of(pick.desired).max(usize::from(at_least_one)).checked_sub(1).ok_or_else(|| {
            let (WorkloadKey { kind, name, .. }, desired) = (pick.workload, pick.desired);
            let message =
                format!("{kind} {name} wants {desired} pods, of which {count} is none, and atLeastOne is false");
            Refused::new(SkipReason::NoEligiblePod, message)
        })?;
        Ok(u32::try_from(others).unwrap_or(u32::MAX))
    }

    fn eligible<'f>(&self, facts: &'f Population) -> Vec<Judged<'f>> {
        eligible(&self.spec.target, &self.spec.policy, facts, self.now)
    }
}

/// Why no pod may be killed: how many pods each reason excludes, and how many namespaces of which no pod is known. `hit` pods of the
/// group have no other than that an earlier strike hit them: its kill is open still, or they outlived it.
fn why_nobody(judged: &[Judged<'_>], hit: usize, barred: &[(&str, Reason)]) -> String {
    let excluded = judged.iter().filter_map(|judged| judged.reasons.first()).map(|reason| reason.exclusion.as_str());
    let pods = most_frequent(excluded.chain(std::iter::repeat_n("hit by an earlier strike", hit)));
    let namespaces = most_frequent(barred.iter().map(|(_, reason)| reason.exclusion.as_str()));
    let text = if pods.is_empty() {
        "there is no pod of this group".to_owned()
    } else {
        format!("no pod of this group may be killed; pods that were looked at, by first reason: {pods}")
    };
    if namespaces.is_empty() { text } else { format!("{text}; namespaces in which none may be: {namespaces}") }
}

/// How often there is each reason, the most frequent first.
fn most_frequent<'r>(reasons: impl Iterator<Item = &'r str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    counts.truncate(5);
    counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}

fn victim_ref(pod: &PodFacts, workload: &WorkloadKey) -> VictimRef {
    VictimRef {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        workload: format!("{}/{}", workload.kind, workload.name),
        workload_uid: workload.uid.clone(),
        owner_uid: pod.owner.as_ref().map(|owner| owner.uid.clone()).unwrap_or_default(),
        node: pod.node.clone(),
    }
}
