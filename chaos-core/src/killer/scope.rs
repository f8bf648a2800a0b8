//! How much of the cluster a look reads. A strike on the pods of one workload needs nothing of the others, and nor do the pods that
//! come back after it; which groups there are is told by the whole target only. A look never reads more than the target.

use std::collections::BTreeSet;

use super::Streams;
use super::early::ALONG;
use super::step::{Cursor, LOOK_AHEAD};
use crate::api::VictimRef;
use crate::instant::after;
use crate::model::{GroupBy, NamespaceScope};
use crate::population::Population;

/// How much of the cluster a look reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces of the target.
    Target,
    /// These, as far as they belong to the target.
    Namespaces(BTreeSet<String>),
    /// These workloads with their pods, as far as their namespaces belong to the target, and all disruption budgets there.
    Workloads(BTreeSet<WorkloadName>),
}

/// The name of a workload whose pods a selector tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadName {
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: SelectedKind,
    /// Its name.
    pub name: String,
}

/// A kind of which all pods of a workload carry the labels of its selector, which never changes. Whoever reads pods by that has to
/// know every one of these kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names that Kubernetes gives them")]
pub enum SelectedKind {
    DaemonSet,
    Deployment,
    StatefulSet,
}

impl SelectedKind {
    const ALL: [Self; 3] = [Self::DaemonSet, Self::Deployment, Self::StatefulSet];

    /// As objects name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }

    /// The kind of that name; `None`: no selector tells the pods of such workloads.
    pub fn of(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == kind)
    }
}

impl Scope {
    /// The pods of one workload, or its namespace where no selector tells them.
    fn workload(namespace: &str, kind: &str, name: &str) -> Self {
        let Some(kind) = SelectedKind::of(kind) else { return Self::namespace(namespace) };
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self::Workloads([WorkloadName { namespace, kind, name }].into())
    }

    fn namespace(name: &str) -> Self {
        Self::Namespaces([name.to_owned()].into())
    }

    /// What the pods that come back for this victim are among.
    pub(super) fn of_victim(victim: &VictimRef) -> Self {
        match victim.workload.split_once('/') {
            Some((kind, name)) => Self::workload(&victim.namespace, kind, name),
            None => Self::namespace(&victim.namespace),
        }
    }

    /// What reads both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Target, _) | (_, Self::Target) => Self::Target,
            (Self::Workloads(some), Self::Workloads(others)) => {
                Self::Workloads(some.into_iter().chain(others).collect())
            }
            (some, other) => Self::Namespaces(some.into_namespaces().chain(other.into_namespaces()).collect()),
        }
    }

    /// Whether all is read of what `other` reads.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Target, _) => true,
            (_, Self::Target) | (Self::Workloads(_), Self::Namespaces(_)) => false,
            (Self::Namespaces(names), Self::Namespaces(others)) => names.is_superset(others),
            (Self::Namespaces(names), Self::Workloads(others)) => others.iter().all(|it| names.contains(&it.namespace)),
            (Self::Workloads(names), Self::Workloads(others)) => names.is_superset(others),
        }
    }

    fn into_namespaces(self) -> Box<dyn Iterator<Item = String>> {
        match self {
            Self::Target => Box::new(std::iter::empty()),
            Self::Namespaces(names) => Box::new(names.into_iter()),
            Self::Workloads(names) => Box::new(names.into_iter().map(|workload| workload.namespace)),
        }
    }
}

impl Cursor<'_> {
    /// What a strike of that stream needs to see.
    pub(super) fn scope_of(&self, stream: &str) -> Scope {
        if !self.looks_at_parts() {
            return Scope::Target;
        }
        let mut parts = stream.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(kind), Some(name)) => Scope::workload(namespace, kind, name),
            _ => Scope::namespace(stream),
        }
    }

    /// What a look has to see that is made for no strike: all of the target from time to time and when it was out of sight; else
    /// the workloads whose pods recover, and what the strikes need that are near.
    pub(super) fn scope_of_survey(&self) -> Scope {
        let is_old = self.survey_of_all_at().is_some_and(|at| at <= self.now);
        if is_old || self.state.surveyed_at.is_none() || self.state.blind.is_some() {
            return Scope::Target;
        }
        // What a strike needs may be all of the target, which has just not shown what recovers. Whose budgets the next one needs is known
        // as a rule, and may be megabytes: each look at what recovers would read that again, and make it late.
        let is_needed = |near: &Scope| matches!(near, Scope::Workloads(_)) || !self.is_prepared();
        let near = self.scope_of_near().filter(|near| !self.state.leaves_out && is_needed(near));
        self.recovering().chain(near).reduce(Scope::and).unwrap_or(Scope::Target)
    }

    /// Whether a look of that scope, whatever it is for, stands for one that is made for no strike: the next of these has time
    /// then.
    pub(super) fn is_enough(&self, scope: &Scope) -> bool {
        *scope == Scope::Target || (self.state.blind.is_none() && self.recovering().all(|it| scope.covers(&it)))
    }

    /// Whether what is known of the cluster is enough to say whose budgets the next strikes need. One that was looked at needs
    /// nothing more.
    pub(super) fn is_prepared(&self) -> bool {
        if self.next().is_some_and(|next| self.is_ready(next)) {
            return true;
        }
        self.state.facts.as_ref().is_some_and(|(scope, _)| self.is_enough_for_next(scope))
    }

    /// Whether a look of that scope shows whose budgets the next strikes need.
    pub(super) fn is_enough_for_next(&self, scope: &Scope) -> bool {
        self.scope_of_next().is_none_or(|next| scope.covers(&next))
    }

    pub(super) fn is_strike_near(&self) -> bool {
        self.next_due().is_some_and(|due| due <= after(self.now, LOOK_AHEAD))
    }

    /// Whether each strike looks at a part of the target: at one workload, or at one namespace of several.
    pub(super) fn looks_at_parts(&self) -> bool {
        let is_one = matches!(&self.spec.target.namespaces, NamespaceScope::Named(names) if names.len() < 2);
        let is_part = match self.spec.kill.group {
            GroupBy::Workload => true,
            GroupBy::Namespace => !is_one,
            GroupBy::Zone | GroupBy::Node | GroupBy::Label(_) => false,
        };
        self.spec.streams == Streams::PerGroup && is_part
    }

    /// Takes notice of the groups that a look found; those that it could not see are there as before.
    pub(super) fn regroup(&mut self, facts: &Population, scope: &Scope) {
        let found = self.group_names(facts);
        let mut groups = std::mem::take(&mut self.state.groups);
        groups.retain(|group| !scope.covers(&self.scope_of(group)));
        groups.extend(found);
        self.state.groups = groups;
    }

    /// What the next strike needs to see, and those that are looked at together with it.
    fn scope_of_next(&self) -> Option<Scope> {
        let next = self.next()?;
        let along = self.along(next).into_iter().map(|strike| self.scope_of(&strike.group));
        Some(along.fold(self.scope_of(&next.group), Scope::and))
    }

    /// What the next strike needs to see if it is near, with some that come after it: where strikes follow closely upon one another, a
    /// look for each would make it late. Of namespaces those alone that come right after it: a look at several takes as long as theirs.
    fn scope_of_near(&self) -> Option<Scope> {
        let next = self.next().filter(|_| self.is_strike_near())?;
        let is_small = self.spec.kill.group == GroupBy::Workload;
        let soon = if is_small { after(self.now, LOOK_AHEAD * 2) } else { self.close_upon(next) };
        let near = self.pending().filter(|strike| self.begins_at(strike) <= soon).take(ALONG);
        Some(near.map(|strike| self.scope_of(&strike.group)).fold(self.scope_of_next()?, Scope::and))
    }

    /// What each pod that is missing comes back among.
    fn recovering(&self) -> impl Iterator<Item = Scope> {
        self.state.ledger.recovering.iter().map(|record| Scope::of_victim(&record.victim))
    }
}
