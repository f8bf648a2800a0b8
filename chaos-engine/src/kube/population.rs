//! Reads a [`Population`] freshly: no cache, every list a quorum read. What may not be read at all (nodes) is told as such;
//! any other failure means that the cluster cannot be seen.

mod part;
mod whole;

use std::collections::BTreeSet;
use std::future::Future;

use chaos_core::api::{labels, switch};
use chaos_core::eligible::bars;
use chaos_core::killer::Scope;
use chaos_core::model::{NamespaceScope, Policy, Target};
use chaos_core::population::{
    BudgetFacts, ContainerFacts, NamespaceFacts, NodeFacts, OwnerFacts, PodFacts, Population, TemplateFacts,
    WorkloadFacts,
};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::core::SelectorExt as _;
use serde::de::DeserializeOwned;

use super::call::{CallError, Caller};
use super::owners::Owners;
use super::switch::read_switch;
use super::wire;

/// Objects in one page of a list: a page is in memory as text and as objects for a moment.
const PAGE: usize = 250;
/// Pages of one list, at most: more objects than any cluster holds. A server that always has one more is followed no further.
const MOST_PAGES: usize = 4_000;
/// Namespaces that are read at once, each with half a dozen requests: a target may be hundreds of them.
const AT_ONCE: usize = 2;
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Reads what decisions about one target are made on.
#[derive(Clone)]
pub struct PopulationReader {
    caller: Caller,
    scope: NamespaceScope,
    environment: Environment,
    /// By whose rights is killed what is read; absent: nothing is, and all is read to be explained.
    policy: Option<Policy>,
}

/// Where the name of the environment comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Environment {
    /// The environment label of this namespace (the operator's own).
    LabelOf(String),
    /// Known already: the CLI's configuration of this context.
    Known(Option<String>),
}

impl PopulationReader {
    /// A reader for this target.
    pub fn new(caller: Caller, target: &Target, environment: Environment) -> Self {
        Self { caller, scope: target.namespaces.clone(), environment, policy: None }
    }

    /// The same for a killer by these rights. Of the whole target it reads no namespace in which nothing may be killed: a selector
    /// may mean all of a cluster, whoever wrote it. What a killer asks for by name, such as where its victims come back, is read
    /// all the same.
    #[must_use]
    pub fn for_killer(self, policy: &Policy) -> Self {
        Self { policy: Some(policy.clone()), ..self }
    }

    /// Reads everything of this scope now.
    pub async fn read(&self, scope: &Scope) -> Result<Population, CallError> {
        let taken_at = Timestamp::now();
        // Beside each other: a list of what seldom changes, such as nodes, may take a server longer than all the others.
        let found = async {
            let namespaces = self.namespaces(scope).await?;
            let open = namespaces.iter().filter(|namespace| self.is_open(namespace, scope));
            let reads = open.map(|namespace| self.contents(&namespace.name, scope)).collect();
            let contents = few_at_a_time(reads).await?;
            Ok::<_, CallError>((namespaces, contents))
        };
        let (found, environment, switch, nodes) =
            futures::join!(found, self.environment(), read_switch(&self.caller), self.nodes());
        let ((namespaces, contents), switch) = (found?, switch?);
        let mut population = Population {
            taken_at,
            environment: environment?,
            switch,
            namespaces,
            workloads: Vec::new(),
            pods: Vec::new(),
            nodes: nodes?,
            budgets: Vec::new(),
        };
        for contents in contents {
            population.workloads.extend(contents.workloads);
            population.pods.extend(contents.pods);
            population.budgets.extend(contents.budgets);
        }
        Ok(population)
    }

    /// What is known of a namespace; absent: there is none of that name.
    pub async fn facts(&self, name: &str) -> Result<Option<NamespaceFacts>, CallError> {
        self.namespace(name).await
    }

    /// What a pod says itself, without what stands above its controller; absent: there is none of that name.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<PodFacts>, CallError> {
        // No list of one: an API server that answers lists from its cache has it catch up first, which may take a tenth of a second.
        let found: Option<wire::Pod> = self.caller.find(&format!("/api/v1/namespaces/{namespace}/pods/{name}")).await?;
        Ok(found.map(|pod| pod_facts(pod, &Owners::default())))
    }

    async fn namespaces(&self, scope: &Scope) -> Result<Vec<NamespaceFacts>, CallError> {
        let names: BTreeSet<&str> = match (scope, &self.scope) {
            (Scope::Workloads(workloads), _) => workloads.iter().map(|workload| workload.namespace.as_str()).collect(),
            (Scope::Namespaces(names), _) | (Scope::Target, NamespaceScope::Named(names)) => {
                names.iter().map(String::as_str).collect()
            }
            (Scope::Target, NamespaceScope::Labelled(selector)) => {
                let all: Vec<wire::Namespace> = self.list("/api/v1/namespaces", "").await?;
                return Ok(all.into_iter().map(namespace_facts).filter(|n| selector.matches(&n.labels)).collect());
            }
        };
        let reads = names.into_iter().map(|name| self.namespace(name)).collect();
        let found = few_at_a_time(reads).await?.into_iter().flatten();
        // Whatever is asked for, no namespace is read that the target does not mean.
        Ok(found.filter(|namespace| self.scope.contains(&namespace.name, &namespace.labels)).collect())
    }

    /// Whether what a namespace holds is read.
    fn is_open(&self, namespace: &NamespaceFacts, scope: &Scope) -> bool {
        let is_barred = self.policy.as_ref().is_some_and(|policy| bars(policy, namespace).is_some());
        *scope != Scope::Target || !is_barred
    }

    /// A namespace; one that does not exist holds no pods, which is no error.
    async fn namespace(&self, name: &str) -> Result<Option<NamespaceFacts>, CallError> {
        let found = self.caller.find(&format!("/api/v1/namespaces/{name}")).await?;
        Ok(found.map(namespace_facts))
    }

    async fn environment(&self) -> Result<Option<String>, CallError> {
        match &self.environment {
            Environment::Known(name) => Ok(name.clone()),
            Environment::LabelOf(namespace) => {
                let facts = self.namespace(namespace).await?;
                Ok(facts.and_then(|facts| facts.labels.get(labels::ENVIRONMENT).cloned()))
            }
        }
    }

    async fn nodes(&self) -> Result<Option<Vec<NodeFacts>>, CallError> {
        match self.list::<wire::Node>("/api/v1/nodes", "").await {
            Ok(nodes) => Ok(Some(nodes.into_iter().map(node_facts).collect())),
            Err(error) if error.is_forbidden() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a namespace holds, as far as that is asked for.
    async fn contents(&self, namespace: &str, scope: &Scope) -> Result<Contents, CallError> {
        match scope {
            Scope::Target | Scope::Namespaces(_) => self.whole(namespace).await,
            Scope::Workloads(workloads) => {
                self.part(namespace, workloads.iter().filter(|workload| workload.namespace == namespace)).await
            }
        }
    }

    /// A whole list of what that further query selects.
    async fn list<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<Vec<T>, CallError> {
        let (mut items, mut pages) = (Vec::new(), self.pages(path, query));
        while let Some(page) = pages.next::<T>().await? {
            items.extend(page);
        }
        Ok(items)
    }

    /// The same page by page, for whoever keeps less than what is read.
    fn pages(&self, path: &str, query: &str) -> Pages<'_> {
        let list = format!("{path}?limit={PAGE}{query}");
        Pages { caller: &self.caller, list, next: Some(String::new()), read: 0 }
    }
}

/// A list that is read page by page.
struct Pages<'a> {
    caller: &'a Caller,
    /// Path and query of the first page.
    list: String,
    /// The token of the next page: an empty one of the first; none after the last.
    next: Option<String>,
    /// Pages that were asked for.
    read: usize,
}

impl Pages<'_> {
    /// The objects of the next page; `None`: that was all.
    async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Vec<T>>, CallError> {
        let Some(token) = self.next.take() else { return Ok(None) };
        let list = &self.list;
        let path = if token.is_empty() { list.clone() } else { format!("{list}&continue={}", encode(&token)) };
        let page: wire::List<T> = self.caller.get(&path).await?;
        self.next = page.metadata.next.filter(|token| !token.is_empty());
        self.read += 1;
        if self.next.as_ref().is_some_and(|next| *next == token || self.read >= MOST_PAGES) {
            let message = "the list goes on without end".to_owned();
            return Err(CallError::Lost { what: format!("read {list}"), message });
        }
        Ok(Some(page.items))
    }
}

/// What all of these reads find, in their order.
async fn few_at_a_time<T>(reads: Vec<impl Future<Output = Result<T, CallError>>>) -> Result<Vec<T>, CallError> {
    stream::iter(reads).buffered(AT_ONCE).try_collect().await
}

/// What was read of one namespace.
struct Contents {
    workloads: Vec<WorkloadFacts>,
    pods: Vec<PodFacts>,
    budgets: Vec<BudgetFacts>,
}

impl Contents {
    fn of(pods: Vec<PodFacts>, owners: &Owners, budgets: Vec<wire::Budget>) -> Self {
        let budgets = budgets.into_iter().map(|budget| budget_facts(budget, &pods)).collect();
        Self { workloads: owners.tops(), pods, budgets }
    }
}

/// The path of a kind of objects in a namespace.
fn path_in(namespace: &str, group: &str, plural: &str) -> String {
    format!("/{group}/namespaces/{namespace}/{plural}")
}

fn namespace_facts(namespace: wire::Namespace) -> NamespaceFacts {
    let meta = namespace.metadata;
    NamespaceFacts {
        stopped: switch::stopped_by(&meta.annotations).is_some(),
        terminating: meta.deletion_timestamp.is_some() || namespace.status.phase.as_deref() == Some("Terminating"),
        name: meta.name,
        labels: meta.labels,
    }
}

fn node_facts(node: wire::Node) -> NodeFacts {
    NodeFacts {
        ready: ready(&node.status.conditions).is_some(),
        name: node.metadata.name,
        labels: node.metadata.labels,
    }
}

fn pod_facts(pod: wire::Pod, owners: &Owners) -> PodFacts {
    let workload = owners.top(&pod.metadata);
    let owner = pod.metadata.controller().map(|owner| OwnerFacts {
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    });
    let ready_since = ready(&pod.status.conditions);
    let template = template_facts(&pod);
    let meta = pod.metadata;
    PodFacts {
        owner,
        workload,
        node: pod.spec.node_name.filter(|name| !name.is_empty()),
        created_at: meta.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
        ready: ready_since.is_some(),
        ready_since: ready_since.flatten(),
        phase: pod.status.phase.unwrap_or_else(|| "Unknown".to_owned()),
        terminating: meta.deletion_timestamp.is_some(),
        mirror: meta.annotations.contains_key(MIRROR),
        priority_class: pod.spec.priority_class_name.filter(|name| !name.is_empty()),
        namespace: meta.namespace,
        name: meta.name,
        uid: meta.uid,
        labels: meta.labels,
        template: Some(template),
    }
}

/// Seconds that Kubernetes gives where a template says nothing.
const DEFAULT_GRACE: u64 = 30;

fn template_facts(pod: &wire::Pod) -> TemplateFacts {
    let image_id = |name: &str| {
        let status = pod.status.container_statuses.iter().find(|status| status.name == name)?;
        status.image_id.clone().filter(|id| !id.is_empty())
    };
    let container = |container: &wire::Container| ContainerFacts {
        name: container.name.clone(),
        image: container.image.clone(),
        image_id: image_id(&container.name),
        has_port: !container.ports.is_empty(),
        has_readiness_probe: container.readiness_probe.is_some(),
        has_pre_stop: container.lifecycle.pre_stop.is_some(),
    };
    TemplateFacts {
        containers: pod.spec.containers.iter().map(container).collect(),
        grace_seconds: pod
            .spec
            .termination_grace_period_seconds
            .map_or(DEFAULT_GRACE, |seconds| u64::try_from(seconds).unwrap_or(1)),
    }
}

fn budget_facts(budget: wire::Budget, pods: &[PodFacts]) -> BudgetFacts {
    let meta = budget.metadata;
    // No selector selects nothing; one that cannot be read covers everything: the safer reading.
    let covers = |pod: &&PodFacts| match budget.spec.selector.clone().map(kube::core::Selector::try_from) {
        None => false,
        Some(Ok(selector)) => selector.matches(&pod.labels),
        Some(Err(_)) => true,
    };
    let covered = pods.iter().filter(|pod| pod.namespace == meta.namespace).filter(covers);
    let is_current = meta.generation.is_none_or(|wanted| budget.status.observed_generation >= Some(wanted));
    BudgetFacts {
        covers: covered.map(|pod| pod.uid.clone()).collect(),
        disruptions_allowed: if is_current { budget.status.disruptions_allowed } else { 0 },
        namespace: meta.namespace,
        name: meta.name,
    }
}

/// Whether condition Ready is True, and since when.
#[expect(clippy::option_option, reason = "not ready, ready, and ready since: three different answers")]
fn ready(conditions: &[wire::Condition]) -> Option<Option<Timestamp>> {
    let condition = conditions.iter().find(|condition| condition.kind == "Ready")?;
    (condition.status == "True").then_some(condition.last_transition_time)
}

/// A value of a query parameter.
fn encode(value: &str) -> String {
    use std::fmt::Write as _;
    value.bytes().fold(String::with_capacity(value.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests;
