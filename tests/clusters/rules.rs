//! What the API server refuses by a definition, `chaos validate` and the operator refuse as well, and what it takes they take, but
//! for what no definition can say. One table for each kind (`rules/`): a spec, and what becomes of it by changes.
//!
//! ```yaml
//! kind: ChaosMonkey
//! base: {…}                 # a spec that is valid
//! rules:
//!   - rule: a day has two windows of hours only if they do not overlap
//!     good: [{…}]           # changes after which it still is
//!     bad: [{…}]            # and after which it is not
//!     beyond: [{…}]         # not valid either, but nothing that a definition could say: the API server takes it
//! ```
//!
//! A change maps places to merge patches (null takes a field away): a field of the spec, or the way to a place in it from a slash
//! on. An item of a list is called by its name, or by its number; `-` is a new one at the end.

use chaos_core::api::{ChaosMonkeySpec, ExperimentRun, ExperimentRunSpec, ExperimentSpec, GameDaySpec};
use chaos_core::validate::{self, Meta};
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, LABEL};
use crate::workload::unique;

const TABLES: [&str; 4] = [
    include_str!("rules/chaosmonkey.yaml"),
    include_str!("rules/experiment.yaml"),
    include_str!("rules/experimentrun.yaml"),
    include_str!("rules/gameday.yaml"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    kind: String,
    base: Value,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(rename = "rule")]
    says: String,
    good: Vec<Change>,
    #[serde(default)]
    bad: Vec<Change>,
    #[serde(default)]
    beyond: Vec<Change>,
}

type Change = Map<String, Value>;

/// What a table says of one change.
#[derive(Clone, Copy)]
struct Wanted {
    /// Whether the API server takes the object.
    served: bool,
    /// Whether it is valid.
    valid: bool,
}

fn tables() -> Vec<Table> {
    let read = |text: &&str| {
        let options = serde_yaml::options! { legacy_octal_numbers: true };
        let documents: Vec<Value> = serde_yaml::from_multiple_with_options(text, options).unwrap();
        documents.into_iter().map(|table| serde_json::from_value(table).unwrap()).collect::<Vec<Table>>()
    };
    TABLES.iter().flat_map(read).collect()
}

/// The changes of a rule, with what is wanted of them.
fn cases(rule: &Rule) -> Vec<(Wanted, &Change)> {
    fn of(changes: &[Change], served: bool, valid: bool) -> impl Iterator<Item = (Wanted, &Change)> {
        changes.iter().map(move |change| (Wanted { served, valid }, change))
    }
    of(&rule.good, true, true).chain(of(&rule.bad, false, false)).chain(of(&rule.beyond, true, false)).collect()
}

/// A JSON merge patch.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let fields = into.as_object_mut().unwrap();
    for (name, value) in patch {
        match value {
            Value::Null => _ = fields.remove(name),
            other => merge(fields.entry(name.clone()).or_insert(Value::Null), other),
        }
    }
}

/// A merge patch for what stands at the end of that way.
fn merge_at(value: &mut Value, way: &[&str], patch: &Value) {
    match (way, value) {
        ([], value) => merge(value, patch),
        ([name], Value::Object(fields)) if patch.is_null() => _ = fields.remove(*name),
        (["-", rest @ ..], Value::Array(items)) => {
            items.push(Value::Null);
            merge_at(items.last_mut().unwrap(), rest, patch);
        }
        ([item, rest @ ..], Value::Array(items)) => {
            let by_name = |found: &Value| found["name"] == **item;
            let at = item.parse().ok().or_else(|| items.iter().position(by_name)).expect("an item of that name");
            merge_at(&mut items[at], rest, patch);
        }
        ([name, rest @ ..], fields) => merge_at(&mut fields[*name], rest, patch),
    }
}

fn changed(base: &Value, change: &Change) -> Value {
    let mut spec = base.clone();
    for (place, patch) in change {
        match place.strip_prefix('/') {
            Some(way) => merge_at(&mut spec, &way.split('/').collect::<Vec<_>>(), patch),
            None => merge(&mut spec, &json!({(place.as_str()): patch})),
        }
    }
    spec
}

/// An object of the kind, called `m`.
fn object(kind: &str, namespace: &str, spec: Value) -> Value {
    json!({"apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": kind, "metadata": {"name": "m", "namespace": namespace},
        "spec": spec})
}

/// What `chaos validate` has against it.
fn by_file(object: &Value) -> Result<(), String> {
    validate::file("the case", &object.to_string()).map(drop).map_err(|problems| {
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect::<Vec<_>>().join("; ")
    })
}

/// What the operator has against it: the same rules, but for those that the API server has kept by then.
fn by_operator(object: &Value) -> Result<(), String> {
    fn of<S: serde::de::DeserializeOwned, T>(
        object: &Value,
        rules: impl Fn(&S, &Meta) -> Result<T, Vec<validate::Problem>>,
    ) -> Result<(), String> {
        let meta = Meta { name: "m".into(), namespace: "n".into(), uid: "u".into() };
        let spec = serde_json::from_value::<S>(object["spec"].clone()).map_err(|error| error.to_string())?;
        // A run of an Experiment that is not looked up is nothing yet, and nothing is wrong with it.
        let told = |problems: Vec<validate::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        rules(&spec, &meta).map(drop).or_else(|problems| match told(problems) {
            told if told.is_empty() => Ok(()),
            told => Err(told.join("; ")),
        })
    }
    match object["kind"].as_str().unwrap() {
        "ChaosMonkey" => of::<ChaosMonkeySpec, _>(object, validate::monkey),
        "Experiment" => of::<ExperimentSpec, _>(object, validate::experiment),
        "GameDay" => of::<GameDaySpec, _>(object, validate::gameday),
        "ExperimentRun" => of(object, |spec: &ExperimentRunSpec, _| {
            let mut run = ExperimentRun::new("m", spec.clone());
            run.metadata.namespace = Some("n".into());
            validate::run(&run, None)
        }),
        other => panic!("{other} has no rules"),
    }
}

/// A namespace for objects that are only tried.
struct Namespace<'a> {
    cluster: &'a Cluster,
    name: String,
    manifest: String,
}

impl<'a> Namespace<'a> {
    fn create(cluster: &'a Cluster) -> Self {
        let name = unique();
        let metadata = json!({"name": name, "labels": {(LABEL.0): LABEL.1}});
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}).to_string();
        cluster.apply(&manifest);
        Self { cluster, name, manifest }
    }

    /// What the API server has against an object.
    fn by_server(&self, object: &Value) -> Result<(), String> {
        let kind = object["kind"].as_str().unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("chaos.dispatch.dev", "v1alpha1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.cluster.client.clone(), &self.name, &resource);
        let object = serde_json::from_value(object.clone()).unwrap();
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        match self.cluster.block(api.create(&dry_run, &object)) {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 422 || status.code == 400 => Err(status.message.clone()),
            Err(error) => panic!("the API server was asked, and gave no answer: {error}"),
        }
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // Best effort: a test that failed must not hide why.
        let _ = self.cluster.try_delete(&self.manifest);
    }
}

/// Whose answer it is, whether it should be yes, and what it is.
type Answer = (&'static str, bool, Result<(), String>);

/// What is not as it is wanted, of all tables.
fn differences(namespace: &str, answers: impl Fn(&Value, Wanted) -> Vec<Answer>) -> Vec<String> {
    let mut differences = Vec::new();
    for Table { kind, base, rules } in tables() {
        for rule in &rules {
            for (wanted, change) in cases(rule) {
                let object = object(&kind, namespace, changed(&base, change));
                let others =
                    answers(&object, wanted).into_iter().filter(|(_, wanted, answer)| answer.is_ok() != *wanted);
                differences.extend(others.map(|(whose, _, answer)| {
                    let answer = answer.err().map_or("takes it".to_owned(), |why| format!("refuses it: {why}"));
                    format!("{kind}: {}\n  {}\n  {whose} {answer}", rule.says, Value::Object(change.clone()))
                }));
            }
        }
    }
    differences
}

fn assert_none(differences: &[String]) {
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Needs no cluster: what the tables want of `chaos validate` and of the operator.
#[test]
fn what_is_valid_by_the_tables_is_so_for_a_file_and_for_the_operator() {
    assert_none(&differences("n", |object, wanted| {
        let mut answers = vec![("chaos validate", wanted.valid, by_file(object))];
        if wanted.served {
            answers.push(("the operator", wanted.valid, by_operator(object)));
        }
        answers
    }));
}

#[test]
fn the_api_server_refuses_what_is_not_valid_and_takes_what_is() {
    let cluster = Cluster::installed();
    let namespace = Namespace::create(&cluster);
    assert_none(&differences(&namespace.name, |object, wanted| {
        vec![("the API server", wanted.served, namespace.by_server(object))]
    }));
}

#[test]
fn every_rule_of_the_tables_has_both_sides() {
    let one_sided = |rule: &Rule| rule.good.is_empty() || (rule.bad.is_empty() && rule.beyond.is_empty());
    let rules = tables().into_iter().flat_map(|table| table.rules);
    let one_sided: Vec<String> = rules.filter(one_sided).map(|rule| rule.says).collect();
    assert!(one_sided.is_empty(), "{one_sided:#?}");
}
