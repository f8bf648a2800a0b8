//! Which groups a killer plans for that has a stream of strikes for each: the first by name. Pods of the others are told so wherever
//! it is told who may be killed.

use std::collections::BTreeSet;

use super::Streams;
use crate::check::Row;
use crate::eligible::{Judged, eligible};
use crate::model::{GroupBy, Policy, Target};
use crate::population::{PodFacts, Population};
use crate::victims;

/// Groups that one killer plans for, the first by name: its status has to stay small.
pub const MAX_GROUPS: usize = 300;
/// The stable name of why no pod of a group is killed that nothing is planned for.
pub const NOT_PLANNED: &str = "GroupNotPlanned";

/// Names of the groups that have pods of the target, those included whose pods are in no state to be killed right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupNames(BTreeSet<String>);

impl GroupNames {
    /// Of all the pods that were judged.
    pub fn of(judged: &[Judged<'_>], by: &GroupBy, facts: &Population) -> Self {
        let pods = judged.iter().filter(|judged| is_meant(judged)).map(|judged| judged.pod);
        Self(victims::groups(by, pods, facts).members.into_keys().collect())
    }

    /// Why nothing is planned for that group, if so.
    pub fn leave_out(&self, group: &str) -> Option<String> {
        let first = self.0.iter().nth(MAX_GROUPS)?;
        (group >= first.as_str()).then(|| {
            format!(
                "nothing is planned for its group {group}: there are {}, and one monkey plans for the first {MAX_GROUPS} by name; \
                 hint: several monkeys, each with a target of its own",
                self.0.len()
            )
        })
    }

    pub(super) fn into_inner(self) -> BTreeSet<String> {
        self.0
    }
}

/// Whether the pod is one that the spec means, though its state may forbid to kill it at the moment.
pub(super) fn is_meant(judged: &Judged<'_>) -> bool {
    judged.reasons.iter().all(|reason| reason.exclusion.may_pass())
}

/// The row of `explain` about the group of a pod: whether it has one, and strikes are planned for it.
pub fn explain_group(
    target: &Target,
    policy: &Policy,
    (by, streams): (&GroupBy, Streams),
    facts: &Population,
    pod: &PodFacts,
) -> Row {
    let row = |reason: Option<&'static str>, message| Row { name: "group", pass: reason.is_none(), reason, message };
    let group = match victims::group_of(by, pod, facts) {
        Ok(group) => group,
        Err(why) => return row(Some(why.as_str()), "it belongs to no group".to_owned()),
    };
    let names = || GroupNames::of(&eligible(target, policy, facts, facts.taken_at), by, facts);
    let left_out = if streams == Streams::PerGroup { names().leave_out(&group) } else { None };
    match left_out {
        Some(why) => row(Some(NOT_PLANNED), why),
        None => row(None, format!("its group is {group}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::fixture::population;
    use crate::validate::experiment_file;

    /// A pod on each of so many nodes.
    fn spread(nodes: u32) -> Population {
        let mut facts = population(nodes);
        facts.nodes = None;
        for (number, pod) in facts.pods.iter_mut().enumerate() {
            pod.node = Some(format!("node-{number:03}"));
        }
        facts
    }

    #[test]
    fn a_pod_of_a_group_that_nothing_is_planned_for_is_told_so() {
        let text = include_str!("../../../experiments/riders-can-request-while-pods-die.yaml");
        let experiment = experiment_file("x.yaml", text).map_err(|found| found.to_string()).unwrap().remove(0);
        let policy = Policy::cli(&experiment.namespace);
        let told = |facts: &Population, by: &GroupBy, streams, pod: usize| {
            let row = explain_group(&experiment.target, &policy, (by, streams), facts, &facts.pods[pod]);
            assert_eq!(row.pass, row.reason.is_none());
            (row.reason, row.message)
        };
        let (many, few) = (spread(305), spread(300));
        let own = |name: &str| (None, format!("its group is {name}"));
        assert_eq!(told(&many, &GroupBy::Node, Streams::PerGroup, 299), own("node-299"));
        for pod in [300, 304] {
            let (reason, message) = told(&many, &GroupBy::Node, Streams::PerGroup, pod);
            assert_eq!(reason, Some(NOT_PLANNED));
            assert!(message.contains(&format!("its group node-{pod}")) && message.contains("305"), "{message}");
        }
        assert_eq!(told(&many, &GroupBy::Node, Streams::Single, 304), own("node-304"), "its strikes go to all in turn");
        assert_eq!(told(&few, &GroupBy::Node, Streams::PerGroup, 299), own("node-299"));
        // Pods that nobody means make no group.
        let mut mostly_excluded = many.clone();
        mostly_excluded.pods[..10].iter_mut().for_each(|pod| pod.labels.clear());
        assert_eq!(told(&mostly_excluded, &GroupBy::Node, Streams::PerGroup, 304), own("node-304"));
        // Those that are in no state to be killed do: their strikes are planned for when they are.
        let mut mostly_unready = many.clone();
        mostly_unready.pods[..10].iter_mut().for_each(|pod| pod.ready = false);
        assert_eq!(told(&mostly_unready, &GroupBy::Node, Streams::PerGroup, 304).0, Some(NOT_PLANNED));
        let none = told(&many, &GroupBy::Label("team".into()), Streams::PerGroup, 0);
        assert_eq!(none, (Some("NoGroup"), "it belongs to no group".to_owned()));
        assert_eq!(told(&many, &GroupBy::Zone, Streams::Single, 0).0, Some("NodesUnreadable"));
    }
}
