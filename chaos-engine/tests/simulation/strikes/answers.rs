//! What the simulated cluster answers whoever reads it, and how budgets are written: freshly and by version, unless a mistake is
//! asked for.

use std::collections::BTreeMap;

use chaos_core::api::labels;
use chaos_core::killer::{BudgetVersion, Scope, Sighting, VersionedBudget};
use chaos_core::limits::WorkloadBudget;
use chaos_core::population::{NamespaceFacts, Population, SwitchState, WorkloadFacts, WorkloadKey};

use super::bugs::Bug;
use super::cluster::{NS, OTHER_NS, State, WORKLOADS};
use crate::history::note;
use crate::seats::Stage as _;
use crate::watch::MOST_BEHIND;

fn version(number: usize) -> BudgetVersion {
    BudgetVersion::At { version: number.to_string(), uid: "lease".into() }
}

fn namespace(name: &str, labels: &BTreeMap<String, String>) -> NamespaceFacts {
    NamespaceFacts { name: name.into(), labels: labels.clone(), stopped: false, terminating: false }
}

/// What a look of that scope sees of a cluster.
pub(super) fn seen(mut population: Population, scope: &Scope) -> Population {
    let reaches = |namespace: &str| match scope {
        Scope::Target => true,
        Scope::Namespaces(names) => names.contains(namespace),
        Scope::Workloads(names) => names.iter().any(|it| it.namespace == namespace),
    };
    let sees = |key: &WorkloadKey| match scope {
        Scope::Target | Scope::Namespaces(_) => reaches(&key.namespace),
        Scope::Workloads(names) => {
            names.iter().any(|it| it.namespace == key.namespace && it.kind.as_str() == key.kind && it.name == key.name)
        }
    };
    population.namespaces.retain(|namespace| reaches(&namespace.name));
    population.workloads.retain(|workload| sees(&workload.key));
    population.pods.retain(|pod| pod.workload.as_ref().map_or_else(|| reaches(&pod.namespace), sees));
    population.budgets.retain(|budget| reaches(&budget.namespace));
    for budget in &mut population.budgets {
        budget.covers.retain(|uid| population.pods.iter().any(|pod| pod.uid == *uid));
    }
    population
}

impl State {
    /// Keeps what is there now for whoever reads from a cache.
    pub(super) fn cache_facts(&mut self) {
        if self.old_facts.as_ref().is_none_or(|(written, _)| self.written > written + MOST_BEHIND as u64) {
            self.old_facts = Some((self.written, self.facts()));
        }
    }

    /// What is there now.
    pub(crate) fn facts(&self) -> Population {
        let bug = self.scenario.bug;
        let switch = match self.stopped_at {
            Some(_) if bug != Some(Bug::SwitchIgnored) => SwitchState::Stopped,
            _ => SwitchState::Running,
        };
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let enabled = BTreeMap::from([label(labels::ENABLED, "true"), label(labels::ALLOW_FROM, NS)]);
        let mut pods: Vec<_> = self.pods.iter().map(|pod| pod.facts.clone()).collect();
        if bug == Some(Bug::TerminatingServes) {
            pods.iter_mut().for_each(|pod| pod.terminating = false);
        }
        if bug == Some(Bug::UnreadyServes) {
            pods.iter_mut().for_each(|pod| pod.ready = true);
        }
        if bug == Some(Bug::OptInIgnored) {
            pods.iter_mut().for_each(|pod| pod.labels.clone_from(&enabled));
        }
        Population {
            taken_at: self.now,
            environment: None,
            switch,
            namespaces: [NS, OTHER_NS].map(|name| namespace(name, &enabled)).into(),
            workloads: self.workloads().collect(),
            pods,
            nodes: None,
            budgets: self.disruption_budgets(),
        }
    }

    /// The workloads, as their owners want them.
    pub(super) fn workloads(&self) -> impl Iterator<Item = WorkloadFacts> {
        WORKLOADS.into_iter().enumerate().map(|(index, name)| {
            let desired = match self.scenario.bug {
                Some(Bug::ScaleIgnored) => self.scenario.size.pods[index],
                _ => self.desired[index],
            };
            let is_rolled = self.is_rolled(index) && self.scenario.bug != Some(Bug::RolloutIgnored);
            let rollout = is_rolled.then(|| "1 pod is of the new template".to_owned());
            WorkloadFacts { key: self.scenario.key(name), desired, rollout, terminating: false }
        })
    }

    /// Facts of up to ten events ago that pretend to be of now.
    pub(crate) fn stale_facts(&self) -> Population {
        let old = self.old_facts.as_ref().map_or_else(|| self.facts(), |(_, old)| old.clone());
        Population { taken_at: self.now, ..old }
    }

    /// The newest version of a budget.
    pub(crate) fn budget(&mut self, workload: &WorkloadKey) -> VersionedBudget {
        let behind =
            if self.scenario.bug == Some(Bug::BudgetFromCache) { 1 + self.dice().below(MOST_BEHIND) } else { 0 };
        let versions = self.budgets.get(&workload.uid).map(Vec::as_slice).unwrap_or_default();
        let Some(newest) = versions.len().checked_sub(1) else {
            return VersionedBudget { version: BudgetVersion::Absent, budget: WorkloadBudget::default() };
        };
        VersionedBudget { version: version(versions.len()), budget: versions[newest.saturating_sub(behind)].clone() }
    }

    /// Writes a budget if it is still at that version. Whether it was.
    pub(crate) fn write_budget(
        &mut self,
        workload: &WorkloadKey,
        at: &BudgetVersion,
        budget: WorkloadBudget,
    ) -> Option<BudgetVersion> {
        let versions = self.budgets.entry(workload.uid.clone()).or_default();
        let current = if versions.is_empty() { BudgetVersion::Absent } else { version(versions.len()) };
        if *at != current && self.scenario.bug != Some(Bug::BudgetWithoutVersion) {
            return None;
        }
        note(self.now, || {
            let held: Vec<_> = budget.reservations.iter().map(|held| (&held.run, &held.victim_uid)).collect();
            format!("budget of {} {}: {held:?}", workload.name, versions.len() + 1)
        });
        let last_kill = budget.last_kill.filter(|_| self.scenario.bug != Some(Bug::LastKillForgotten));
        versions.push(WorkloadBudget { last_kill, ..budget });
        self.written += 1;
        Some(version(versions.len()))
    }

    /// What a pod looks like now.
    pub(crate) fn sight(&self, name: &str, uid: &str) -> Sighting {
        match self.pods.iter().find(|pod| pod.facts.name == name && pod.facts.uid == uid) {
            None => Sighting::Gone,
            Some(pod) if pod.facts.terminating => Sighting::Terminating,
            Some(_) => Sighting::Alive,
        }
    }
}
