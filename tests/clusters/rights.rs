//! Rights exactly as they are shipped, and then one verb taken away at a time from an operator at work: what is missing is told
//! by name, with what is lost, and nothing is killed that takes it.

use std::collections::BTreeSet;
use std::fmt;

use chaos_core::api::{ChaosMonkey, ExperimentRun, GameDay, switch};
use chaos_operator::grants::{GRANTS, Grant, Role};
use chaos_operator::manifests::NAME as OPERATOR;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role as NamespacedRole};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DynamicObject, ListParams, LogParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::cluster::{Cluster, documents, manifests};
use crate::given;
use crate::runs;
use crate::workload::{Workload, condition, kills};

/// A verb on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub(crate) verb: String,
    /// In the plural, with its subresource.
    pub(crate) resource: String,
    /// Empty: core.
    pub(crate) group: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, resource, group } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "{verb} {resource}{dot}{group}")
    }
}

/// The roles among these objects whose names begin with that of an account.
pub(crate) fn roles(yaml: &str, account: &str) -> Vec<DynamicObject> {
    let is_meant = |object: &DynamicObject| {
        let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
        matches!(kind, "ClusterRole" | "Role") && object.name_any().starts_with(account)
    };
    documents(yaml).into_iter().filter(is_meant).collect()
}

/// All that roles grant.
pub(crate) fn rights(roles: &[DynamicObject]) -> BTreeSet<Right> {
    roles.iter().flat_map(rules).flat_map(|rule| of_rule(&rule)).collect()
}

fn rules(role: &DynamicObject) -> Vec<PolicyRule> {
    serde_json::from_value(role.data["rules"].clone()).unwrap()
}

fn of_rule(rule: &PolicyRule) -> Vec<Right> {
    let mut found = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            let right = |verb: &String| Right { verb: verb.clone(), resource: resource.clone(), group: group.clone() };
            found.extend(rule.verbs.iter().map(right));
        }
    }
    found
}

/// Has the cluster grant what is shipped, without these.
fn grant_without(cluster: &Cluster, shipped: &[DynamicObject], without: &[&Right]) {
    for role in shipped {
        let left: Vec<PolicyRule> = rules(role).iter().flat_map(|rule| narrowed(rule, without)).collect();
        let (name, params, patch) = (role.name_any(), PatchParams::default(), Patch::Merge(json!({"rules": left})));
        let patched = cluster.block(async {
            if let Some(namespace) = role.namespace() {
                let roles: Api<NamespacedRole> = Api::namespaced(cluster.client.clone(), &namespace);
                roles.patch(&name, &params, &patch).await.map(drop)
            } else {
                let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
                roles.patch(&name, &params, &patch).await.map(drop)
            }
        });
        patched.unwrap_or_else(|error| panic!("role {name}: {error}"));
    }
}

/// A rule without these, as one rule for each resource that something is left of.
fn narrowed(rule: &PolicyRule, without: &[&Right]) -> Vec<PolicyRule> {
    let is_of = |group: &String| rule.api_groups.iter().flatten().any(|found| found == group);
    let of_resource = |resource: &String| {
        let is_taken = |verb: &String| {
            without.iter().any(|right| right.verb == *verb && right.resource == *resource && is_of(&right.group))
        };
        let verbs: Vec<String> = rule.verbs.iter().filter(|verb| !is_taken(verb)).cloned().collect();
        (!verbs.is_empty()).then(|| PolicyRule { resources: Some(vec![resource.clone()]), verbs, ..rule.clone() })
    };
    rule.resources.iter().flatten().filter_map(of_resource).collect()
}

/// What a right is granted for, as the table of permissions has it.
fn grants(right: &Right) -> Vec<&'static Grant> {
    let is_it = |grant: &&Grant| {
        let is_same = grant.group == right.group && grant.resource == right.resource;
        is_same && grant.verbs.contains(&right.verb.as_str()) && grant.role != Role::Delete
    };
    GRANTS.iter().filter(is_it).collect()
}

/// How the operator names a missing right: once for each thing that it is granted for.
fn words(right: &Right) -> Vec<String> {
    let in_words = |grant: &Grant| {
        let place = if grant.role == Role::Own { " in the operator's namespace" } else { "" };
        format!("{right}{place} ({})", grant.purpose)
    };
    grants(right).into_iter().map(in_words).collect()
}

/// Where a missing right is told besides the log, which names every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// In a condition of what takes it.
    Condition,
    /// In an Event of the object whose status cannot be written.
    Event,
    /// Nowhere.
    LogAlone,
}

fn told_by(right: &Right) -> Told {
    match (right.resource.as_str(), right.verb.as_str()) {
        ("chaosmonkeys/status", _) => Told::Event,
        // A game day that has nothing to do tries nothing that could be refused.
        ("gamedays/status", _) => Told::LogAlone,
        // An operator that cannot renew its Lease steps down, and then writes nothing.
        ("leases", "get" | "update") => Told::LogAlone,
        _ => Told::Condition,
    }
}

/// Whether no pod may be evicted without it.
fn holds_kills(right: &Right) -> bool {
    grants(right).iter().any(|grant| grant.to_kill && grant.role != Role::Nodes)
}

/// Whether a new run is refused without it, and says so: it is about what runs do, and not about the runs themselves.
fn refuses_runs(right: &Right) -> bool {
    let is_of_runs = grants(right).iter().any(|grant| grant.role == Role::Runs);
    is_of_runs && !holds_kills(right) && !right.resource.starts_with("experimentruns")
}

/// Objects whose conditions tell what is missing: a monkey that kills, one that asks for zones and rests, and a game day that
/// waits to be started.
struct Witnesses<'a> {
    workload: Workload<'a>,
}

impl<'a> Witnesses<'a> {
    fn call(cluster: &'a Cluster) -> Self {
        let workload = Workload::deploy(cluster);
        workload.monkey("kills", |_| ());
        workload.monkey("rests", |spec| {
            spec["suspend"] = json!(true);
            spec["fault"]["podKill"]["group"] = json!("Zone");
        });
        let day = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "GameDay",
            "metadata": {"name": "waits", "namespace": workload.namespace},
            "spec": {
                "schedule": "Manual", "blackout": [], "startingDeadline": "1m", "mode": "DryRun",
                "steps": [{"name": "only", "experiment": {"name": "none"}}],
            },
        });
        cluster.apply(&day.to_string());
        let witnesses = Self { workload };
        witnesses.until_all_is_well("from the beginning");
        witnesses
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.workload.cluster.client.clone(), &self.workload.namespace)
    }

    /// What conditions that are not met say.
    async fn conditions(&self) -> Result<String, String> {
        let all = ListParams::default();
        let monkeys = self.workload.monkeys().list(&all).await.map_err(|error| error.to_string())?;
        let days = self.api::<GameDay>().list(&all).await.map_err(|error| error.to_string())?;
        let of_monkeys = monkeys.items.iter().filter_map(|monkey| monkey.status.as_ref());
        let of_days = days.items.iter().filter_map(|day| day.status.as_ref());
        let conditions =
            of_monkeys.flat_map(|status| &status.conditions).chain(of_days.flat_map(|status| &status.conditions));
        Ok(unmet(conditions))
    }

    /// What Events say of refusals.
    async fn refusals(&self) -> Result<String, String> {
        let events = self.api::<Event>().list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let refused = events.items.into_iter().filter(|event| event.reason.as_deref() == Some("PermissionMissing"));
        Ok(refused.filter_map(|event| event.note).collect::<Vec<_>>().join("\n"))
    }

    /// What operators have logged.
    async fn log(&self) -> Result<String, String> {
        let pods: Api<Pod> = Api::namespaced(self.workload.cluster.client.clone(), switch::NAMESPACE);
        let operators = ListParams::default().labels(&format!("app.kubernetes.io/name={OPERATOR}"));
        let mut log = String::new();
        for pod in pods.list(&operators).await.map_err(|error| error.to_string())? {
            let text = pods.logs(&pod.name_any(), &LogParams::default()).await;
            log.push_str(&text.map_err(|error| error.to_string())?);
        }
        Ok(log)
    }

    /// Waits until a missing right is told wherever it should be; gives the kills by then, if there can be no more.
    fn until_told(&self, right: &Right) -> Option<u64> {
        let (cluster, words) = (self.workload.cluster, words(right));
        assert!(!words.is_empty(), "the table of permissions does not say what {right} is for");
        let mut held = None;
        match told_by(right) {
            Told::Condition if holds_kills(right) => {
                let is_held = |monkey: &ChaosMonkey| {
                    let told = unmet(monkey.status.iter().flat_map(|status| &status.conditions));
                    condition(monkey, "Ready") == ("False", "PermissionMissing") && has_any(&told, &words)
                };
                held = Some(kills(&self.workload.until("kills", &format!("{right} holds it"), is_held)));
            }
            Told::Condition => cluster.eventually(&format!("a condition names {right}"), || async {
                let told = self.conditions().await?;
                if has_any(&told, &words) { Ok(()) } else { Err(told) }
            }),
            Told::Event => cluster.eventually(&format!("an Event names {right}"), || async {
                let told = self.refusals().await?;
                let refusal = format!("cannot {} resource \"{}\"", right.verb, right.resource);
                if told.contains(&refusal) { Ok(()) } else { Err(told) }
            }),
            Told::LogAlone => {}
        }
        cluster.eventually(&format!("the log names {right}"), || async {
            let told = self.log().await?;
            if words.iter().all(|words| told.contains(words)) { Ok(()) } else { Err(told) }
        });
        held
    }

    /// A run that is asked for now is refused, in words that name what is missing.
    fn expect_a_refused_run(&self, name: &str, right: &Right) {
        let (workload, words) = (&self.workload, words(right));
        workload.cluster.apply(&runs::manifests(&workload.namespace, name, "DryRun"));
        let runs = self.api::<ExperimentRun>();
        workload.cluster.eventually(&format!("a run is refused for want of {right}"), || async {
            let status = runs.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            let is_told = |found: &&Condition| found.type_ == "Complete" && found.reason == "Refused";
            let told = status.conditions.iter().find(is_told).map_or("", |found| found.message.as_str());
            if has_any(told, &words) { Ok(()) } else { Err(format!("{status:#?}")) }
        });
    }

    fn until_all_is_well(&self, since: &str) {
        self.workload.cluster.eventually(&format!("nothing is missing {since}"), || async {
            let told = self.conditions().await?;
            if told.contains("the operator may not") || told.contains("permissions") { Err(told) } else { Ok(()) }
        });
        let monkey = self.workload.until("kills", &format!("it can act {since}"), |monkey| {
            condition(monkey, "Ready").0 == "True" && condition(monkey, "Permitted").0 == "True"
        });
        self.workload.until("kills", &format!("a kill {since}"), |now| kills(now) > kills(&monkey));
    }
}

fn unmet<'c>(conditions: impl Iterator<Item = &'c Condition>) -> String {
    let unmet = conditions.filter(|condition| condition.status == "False");
    unmet.map(|condition| condition.message.as_str()).collect::<Vec<_>>().join("\n")
}

fn has_any(text: &str, words: &[String]) -> bool {
    words.iter().any(|words| text.contains(words))
}

#[test]
#[ignore = "takes minutes: the operator looks at its rights every three seconds while one is missing"]
fn each_verb_that_is_taken_away_is_told_by_name_and_holds_what_takes_it() {
    let cluster = Cluster::start();
    cluster.install();
    let witnesses = Witnesses::call(&cluster);
    let shipped = roles(&manifests(), OPERATOR);
    let mut before: Option<Right> = None;
    let mut held = None;
    // Every account may ask what it may do, by a role of the cluster's own.
    let is_ours = |right: &Right| right.resource != "selfsubjectaccessreviews";
    let taken = given::of_today(rights(&shipped).into_iter().filter(is_ours).collect());
    assert!(!taken.is_empty());
    given::say(&format!("{} rights are taken away", taken.len()));
    for (number, right) in taken.into_iter().enumerate() {
        // One is missing at any time: an operator that misses nothing looks every thirty seconds only.
        let both: Vec<&Right> = before.iter().chain([&right]).collect();
        grant_without(&cluster, &shipped, &both);
        grant_without(&cluster, &shipped, &[&right]);
        let now = witnesses.until_told(&right);
        if let (Some(held), Some(now)) = (held, now) {
            assert_eq!(now, held, "kills without {before:?}, and then without {right}");
        }
        if refuses_runs(&right) {
            witnesses.expect_a_refused_run(&format!("refused-{number}"), &right);
        }
        held = now;
        before = Some(right);
    }
    grant_without(&cluster, &shipped, &[]);
    witnesses.until_all_is_well("at the end");
}
