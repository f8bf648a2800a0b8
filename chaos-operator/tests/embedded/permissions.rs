//! One verb taken away at a time: nothing is killed that takes it, and what is missing is told by name where people look.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use chaos_operator::grants::{GRANTS, Role};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::Role as NamespacedRole;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Fixture, NS, condition, create, eventually, kills};

/// Clusters that a test keeps at a time.
const AT_ONCE: usize = 4;

/// Where a missing verb can be told.
#[derive(Debug, PartialEq)]
enum Told {
    /// A condition of the monkey.
    Condition,
    /// An Event of the monkey, whose status cannot be read or written.
    Event,
    /// `/readyz` of the operator, which sees no monkey or is no leader.
    Health,
}

fn told_by(resource: &str, verb: &str) -> Told {
    match (resource, verb) {
        ("chaosmonkeys/status", _) | ("chaosmonkeys", "get") => Told::Event,
        ("chaosmonkeys" | "leases", _) => Told::Health,
        _ => Told::Condition,
    }
}

/// Takes a verb out of every role that the operator has.
pub(super) async fn take_away(fixture: &Fixture, group: &str, resource: &str, verb: &str) {
    let without = |rules: Option<Vec<PolicyRule>>| -> Option<Vec<PolicyRule>> {
        rules.map(|rules| rules.into_iter().flat_map(|rule| narrowed(rule, group, resource, verb)).collect())
    };
    let roles: Api<ClusterRole> = Api::all(fixture.admin.clone());
    for name in ["chaos-operator", "chaos-operator-runs"] {
        let mut role = roles.get(name).await.unwrap();
        role.rules = without(role.rules.take());
        roles.replace(name, &PostParams::default(), &role).await.unwrap();
    }
    let roles: Api<NamespacedRole> = Api::namespaced(fixture.admin.clone(), "chaos-system");
    let mut role = roles.get("chaos-operator").await.unwrap();
    role.rules = without(role.rules.take());
    roles.replace("chaos-operator", &PostParams::default(), &role).await.unwrap();
}

/// A rule without that verb on that resource, as one rule or two.
fn narrowed(rule: PolicyRule, group: &str, resource: &str, verb: &str) -> Vec<PolicyRule> {
    let is_meant = rule.api_groups.iter().flatten().any(|found| found == group)
        && rule.resources.iter().flatten().any(|found| found == resource);
    if !is_meant {
        return vec![rule];
    }
    let others = rule.resources.iter().flatten().filter(|found| *found != resource).cloned().collect();
    let verbs = rule.verbs.iter().filter(|found| *found != verb).cloned().collect();
    let of_others = PolicyRule { resources: Some(others), ..rule.clone() };
    let of_it = PolicyRule { resources: Some(vec![resource.to_owned()]), verbs, ..rule };
    vec![of_others, of_it]
        .into_iter()
        .filter(|rule| !rule.verbs.is_empty() && rule.resources.iter().flatten().next().is_some())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_verb_is_told_by_name_and_holds_what_takes_it() {
    let mut seen = BTreeSet::new();
    let of_the_operator = GRANTS.iter().filter(|grant| matches!(grant.role, Role::Cluster | Role::Own));
    let verbs = of_the_operator
        // Every account may ask what it may do, by the cluster's own roles.
        .filter(|grant| grant.resource != "selfsubjectaccessreviews")
        .flat_map(|grant| grant.verbs.iter().map(move |&verb| (grant, verb)))
        .filter(|(grant, verb)| seen.insert((grant.group, grant.resource, *verb)));
    // Each has a cluster and an operator of its own, which mostly wait.
    stream::iter(verbs)
        .for_each_concurrent(AT_ONCE, |(grant, verb)| without(grant.group, grant.resource, verb, grant.to_kill))
        .await;
}

async fn without(group: &str, resource: &str, verb: &str, to_kill: bool) {
    let dot = if group.is_empty() { "" } else { "." };
    let name = format!("{verb} {resource}{dot}{group}");
    let fixture = Fixture::start().await;
    take_away(&fixture, group, resource, verb).await;
    let address = free_address();
    let operator = fixture.operator_at("a", &address.to_string());
    fixture.monkey(|_| ()).await;
    match told_by(resource, verb) {
        Told::Condition => {
            let ready = if to_kill { ("False", "PermissionMissing") } else { ("True", "Ready") };
            fixture
                .until(&format!("conditions that name {name:?}"), |monkey| {
                    let conditions = monkey.status.iter().flat_map(|status| &status.conditions);
                    let mut named = conditions.filter(|c| c.type_ == "Permitted" && c.status == "False");
                    named.any(|found| found.message.contains(&name)) && condition(monkey, "Ready") == ready
                })
                .await;
        }
        Told::Event => until_told(&fixture, "ChaosMonkey", resource, verb).await,
        Told::Health => {
            eventually(&format!("a /readyz that names {name:?}"), || async {
                let answer = get(address, "/readyz").await;
                if answer.starts_with("HTTP/1.1 503") && answer.contains(&name) { Ok(()) } else { Err(answer) }
            })
            .await;
        }
    }
    let monkey = fixture.monkeys().get("m").await.unwrap();
    assert!(!to_kill || kills(&monkey) == 0, "{name}: {}", monkey.name_any());
    operator.end().await;
}

/// Waits for an Event about an object of that kind which names the verb.
async fn until_told(fixture: &Fixture, kind: &str, resource: &str, verb: &str) {
    let events: Api<Event> = Api::namespaced(fixture.admin.clone(), NS);
    let words = format!("cannot {verb} resource \"{resource}\"");
    eventually(&format!("an Event of a {kind} that says {words:?}"), || async {
        let events = events.list(&ListParams::default()).await.unwrap();
        let refused = events.items.iter().filter(|event| event.reason.as_deref() == Some("PermissionMissing"));
        let told = refused.map(|event| {
            let regarding = event.regarding.clone().unwrap_or_default();
            (regarding.kind.unwrap_or_default(), event.note.clone().unwrap_or_default())
        });
        let told: Vec<_> = told.collect();
        let is_told = told.iter().any(|(of, note)| of == kind && note.contains(&words));
        if is_told { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_status_may_not_be_written_is_told_by_an_event() {
    let fixture = Fixture::start().await;
    let (resource, verb) = ("experimentruns/status", "update");
    take_away(&fixture, "chaos.dispatch.dev", resource, verb).await;
    let operator = fixture.operator("a");
    let run = json!({
        "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun", "metadata": {"name": "r", "namespace": NS},
        "spec": {"mode": "Live", "experimentRef": {"name": "none"}},
    });
    create(&fixture.admin, run).await;
    until_told(&fixture, "ExperimentRun", resource, verb).await;
    operator.end().await;
}

pub(super) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(super) async fn get(address: SocketAddr, path: &str) -> String {
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return "not served yet".to_owned() };
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
