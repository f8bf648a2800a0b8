//! How much of the cluster a look reads. A strike on a group that lies in one namespace needs nothing of the others, and nor do
//! the pods that come back after it; which groups there are is told by the whole target only. A look never reads more than the
//! target.

use std::collections::BTreeSet;

use super::Streams;
use super::step::{Cursor, LOOK_AHEAD};
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
}

impl Scope {
    /// Whether what is in that namespace is read.
    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::Target => true,
            Self::Namespaces(names) => names.contains(namespace),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Target, _) => true,
            (Self::Namespaces(_), Self::Target) => false,
            (Self::Namespaces(names), Self::Namespaces(others)) => names.is_superset(others),
        }
    }
}

impl Cursor<'_> {
    /// What a strike of that stream needs to see.
    pub(super) fn scope_of(&self, stream: &str) -> Scope {
        self.namespace_of(stream).map_or(Scope::Target, |namespace| Scope::Namespaces([namespace.to_owned()].into()))
    }

    /// What a look has to see that is made for no strike: all of the target from time to time and when it was out of sight; else
    /// the namespaces in which pods recover, and that of a strike that is near.
    pub(super) fn scope_of_survey(&self) -> Scope {
        let is_old = self.survey_of_all_at().is_some_and(|at| at <= self.now);
        if is_old || self.state.surveyed_at.is_none() || self.state.blind.is_some() || !self.has_groups_by_namespace() {
            return Scope::Target;
        }
        let next = self.next().filter(|_| self.is_strike_near());
        let next = next.and_then(|strike| self.namespace_of(&strike.group));
        let recovering = self.state.ledger.recovering.iter().map(|record| record.victim.namespace.as_str());
        let namespaces: BTreeSet<_> = recovering.chain(next).map(str::to_owned).collect();
        if namespaces.is_empty() { Scope::Target } else { Scope::Namespaces(namespaces) }
    }

    /// Whether a look of that scope, whatever it is for, stands for one that is made for no strike: the next of these has time
    /// then.
    pub(super) fn is_enough(&self, scope: &Scope) -> bool {
        let mut recovering = self.state.ledger.recovering.iter().map(|record| record.victim.namespace.as_str());
        *scope == Scope::Target || (self.state.blind.is_none() && recovering.all(|namespace| scope.includes(namespace)))
    }

    /// Whether what is known of the cluster is enough to say whose budget the next strike needs.
    pub(super) fn is_prepared(&self) -> bool {
        let Some((scope, _)) = &self.state.facts else { return false };
        self.next().is_none_or(|next| scope.covers(&self.scope_of(&next.group)))
    }

    pub(super) fn is_strike_near(&self) -> bool {
        self.next_due().is_some_and(|due| due <= after(self.now, LOOK_AHEAD))
    }

    /// The namespace in which all pods of a group are, if its name says so.
    fn namespace_of<'g>(&self, group: &'g str) -> Option<&'g str> {
        group.split('/').next().filter(|_| self.has_groups_by_namespace())
    }

    /// Whether each strike goes to a group in one namespace, of which the target has several.
    pub(super) fn has_groups_by_namespace(&self) -> bool {
        let is_one = matches!(&self.spec.target.namespaces, NamespaceScope::Named(names) if names.len() < 2);
        let of_one = matches!(self.spec.kill.group, GroupBy::Workload | GroupBy::Namespace);
        self.spec.streams == Streams::PerGroup && of_one && !is_one
    }

    /// Takes notice of the groups that a look found; those that it could not see are there as before.
    pub(super) fn regroup(&mut self, facts: &Population, scope: &Scope) {
        let found = self.group_names(facts);
        let mut groups = std::mem::take(&mut self.state.groups);
        groups.retain(|group| self.namespace_of(group).is_some_and(|namespace| !scope.includes(namespace)));
        groups.extend(found);
        self.state.groups = groups;
    }
}
