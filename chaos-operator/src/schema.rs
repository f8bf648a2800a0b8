//! Whether the schemas that the cluster serves for our kinds are the ones this operator was built with. A server prunes the
//! fields that its schema does not know, so with another schema a missing field may be one that was meant to keep pods alive, or
//! one by which a status remembers what was killed. It fills in what its schema has as a default, and holds people to its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;

use chaos_core::api::{ChaosMonkey, Experiment, ExperimentRun, GROUP, GameDay, VERSION};
use chaos_core::schema::structural;
use chaos_engine::kube::{CallError, Caller};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::shared::SchemaState;

/// What decides which fields a server keeps, demands and fills in, and what people may make of them: API servers serve all of this
/// as it stands in the CRD. The rest of a schema is descriptions, most of it, and is not kept even while it is read. Bounds and
/// patterns of single values are left out too: whatever a server lets through, the operator asks them itself.
#[derive(Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Shape {
    properties: BTreeMap<String, Self>,
    required: BTreeSet<String>,
    #[serde(deserialize_with = "of_object")]
    items: Option<Box<Self>>,
    #[serde(deserialize_with = "of_object")]
    additional_properties: Option<Box<Self>>,
    #[serde(rename = "type")]
    kind: Option<Value>,
    #[serde(rename = "enum")]
    values: Option<Value>,
    default: Option<Value>,
    #[serde(rename = "x-kubernetes-validations")]
    rules: BTreeSet<Rule>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    keeps_unknown: bool,
}

/// A rule in CEL. What it says to those who break it may be worded in any way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(default)]
struct Rule {
    rule: String,
}

/// The schemas that a cluster serves for our group.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    components: Components,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Components {
    schemas: BTreeMap<String, Schema>,
}

/// The schema of a kind, or of something else.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Schema {
    #[serde(rename = "x-kubernetes-group-version-kind")]
    kinds: Vec<GroupKind>,
    properties: BTreeMap<String, Shape>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GroupKind {
    group: String,
    kind: String,
}

/// A kind of ours, as this program knows it.
struct Kind {
    name: String,
    schema: Schema,
}

/// Reads the served schema and compares it with ours.
pub(crate) async fn check(caller: &Caller) -> SchemaState {
    let path = format!("/openapi/v3/apis/{GROUP}/{VERSION}");
    match caller.get::<Document>(&path).await {
        Ok(document) => compare(&document),
        Err(error) => unknown(&error),
    }
}

fn unknown(error: &CallError) -> SchemaState {
    let hint = if error.is_not_found() { "; hint: are the CRDs installed? `chaos install`" } else { "" };
    SchemaState::Unknown(format!("{error}{hint}"))
}

/// The first kind that differs decides.
fn compare(document: &Document) -> SchemaState {
    let states = ours().iter().map(|kind| compare_kind(document, kind));
    states.into_iter().find(|state| *state != SchemaState::Same).unwrap_or(SchemaState::Same)
}

/// Our kinds. They are made one at a time, and once: each is a megabyte while it is made.
fn ours() -> &'static [Kind] {
    static OURS: OnceLock<Vec<Kind>> = OnceLock::new();
    let crds: [fn() -> CustomResourceDefinition; 4] =
        [ChaosMonkey::crd, Experiment::crd, ExperimentRun::crd, GameDay::crd];
    OURS.get_or_init(|| crds.into_iter().map(|crd| Kind::of(&crd())).collect())
}

impl Kind {
    fn of(crd: &CustomResourceDefinition) -> Self {
        // One that could not be understood would differ from whatever is served.
        let schema = serde_json::from_value(structural(crd)).unwrap_or_default();
        Self { name: crd.spec.names.kind.clone(), schema }
    }
}

fn compare_kind(document: &Document, kind: &Kind) -> SchemaState {
    let Kind { name, schema: own } = kind;
    let is_it = |known: &GroupKind| known.group == GROUP && known.kind == *name;
    let mut schemas = document.components.schemas.values();
    let Some(served) = schemas.find(|schema| schema.kinds.iter().any(is_it)) else {
        return SchemaState::Unknown(format!("{name} is not served"));
    };
    let differs_in = |part: &str| {
        let path = format!("{name}.{part}");
        difference_of(&path, own.properties.get(part), served.properties.get(part))
    };
    match differs_in("spec").or_else(|| differs_in("status")) {
        None => SchemaState::Same,
        Some(difference) => {
            SchemaState::Other(format!("{difference}; hint: `chaos install` installs the schema of this version"))
        }
    }
}

/// The first place at which two shapes differ of which each may be absent.
fn difference_of(path: &str, own: Option<&Shape>, served: Option<&Shape>) -> Option<String> {
    match (own, served) {
        (Some(own), Some(served)) => first_difference(path, own, served),
        (Some(_), None) => Some(format!("{path} is ours, but is not served")),
        (None, Some(_)) => Some(format!("{path} is served, but is not ours")),
        (None, None) => None,
    }
}

/// The first place at which two shapes differ.
fn first_difference(path: &str, own: &Shape, served: &Shape) -> Option<String> {
    let names: BTreeSet<_> = own.properties.keys().chain(served.properties.keys()).collect();
    let of_field =
        |name: &String| difference_of(&format!("{path}.{name}"), own.properties.get(name), served.properties.get(name));
    let of_required = || {
        let [own, served] = [own, served].map(|shape| shape.required.iter().map(String::as_str).collect::<Vec<_>>());
        (own != served).then(|| format!("{path}.required is [{}], ours is [{}]", served.join(", "), own.join(", ")))
    };
    let of_items = || difference_of(&format!("{path}.items"), own.items.as_deref(), served.items.as_deref());
    let of_others = || {
        let [own, served] = [own, served].map(|shape| shape.additional_properties.as_deref());
        difference_of(&format!("{path}.additionalProperties"), own, served)
    };
    let of_itself = || difference_of_value(path, own, served);
    names.into_iter().find_map(of_field).or_else(of_required).or_else(of_items).or_else(of_others).or_else(of_itself)
}

/// In what two shapes differ apart from what they hold.
fn difference_of_value(path: &str, own: &Shape, served: &Shape) -> Option<String> {
    let said = |value: Option<&Value>| value.map_or_else(|| "not given".to_owned(), Value::to_string);
    let facts = |shape: &Shape| [shape.kind.clone(), shape.values.clone(), shape.default.clone()];
    let of_facts = ["type", "enum", "default"].into_iter().zip(facts(own).into_iter().zip(facts(served)));
    let of_facts = of_facts.filter(|(_, (own, served))| own != served);
    let mut of_facts = of_facts.map(|(what, (own, served))| {
        format!("{path}.{what} is {}, ours is {}", said(served.as_ref()), said(own.as_ref()))
    });
    let of_unknown = || {
        let keeps = |shape: &Shape| if shape.keeps_unknown { "keeps" } else { "drops" };
        let [own, served] = [own, served].map(keeps);
        (own != served).then(|| format!("{path} {served} fields that it does not know, ours {own} them"))
    };
    let of_rules = || {
        let missing = own.rules.difference(&served.rules).next().map(|it| ("lacks our rule", &it.rule));
        let other = || served.rules.difference(&own.rules).next().map(|it| ("has a rule that is not ours", &it.rule));
        missing.or_else(other).map(|(what, rule)| format!("{path} {what}: {rule}"))
    };
    of_facts.next().or_else(of_unknown).or_else(of_rules)
}

/// A schema that is an object. Where `true`, a list or nothing stands, that says nothing of fields.
fn of_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<Shape>>, D::Error> {
    struct AnySchema;

    impl<'de> Visitor<'de> for AnySchema {
        type Value = Option<Box<Shape>>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a schema")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
            Shape::deserialize(MapAccessDeserializer::new(fields)).map(|shape| Some(Box::new(shape)))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(AnySchema)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    fn document(change: impl Fn(&mut Value)) -> Document {
        // As they are installed, which is not all as they are derived.
        let schemas = chaos_core::schema::crds().into_iter().map(|crd| {
            let kind = crd.spec.names.kind.clone();
            let mut schema = structural(&crd);
            schema["x-kubernetes-group-version-kind"] = json!([{"group": GROUP, "version": VERSION, "kind": kind}]);
            if kind == "ExperimentRun" {
                change(&mut schema);
            }
            (format!("some.reversed.{kind}"), schema)
        });
        serde_json::from_value(json!({"components": {"schemas": schemas.collect::<Map<_, _>>()}})).unwrap()
    }

    #[test]
    fn our_own_schema_is_ours_whatever_its_descriptions_say() {
        assert_eq!(compare(&document(|_| ())), SchemaState::Same);
        let described = document(|schema| schema["properties"]["spec"]["description"] = json!("other words"));
        assert_eq!(compare(&described), SchemaState::Same);
    }

    #[test]
    fn a_missing_field_and_a_missing_requirement_are_told() {
        let pruned = document(|schema| {
            schema["properties"]["spec"]["properties"].as_object_mut().unwrap().remove("control");
        });
        assert!(
            matches!(compare(&pruned), SchemaState::Other(why) if why.contains("ExperimentRun.spec.control is ours, but is not served"))
        );
        let lax = document(|schema| {
            schema["properties"]["spec"].as_object_mut().unwrap().remove("required");
        });
        assert!(matches!(compare(&lax), SchemaState::Other(why) if why.contains("ExperimentRun.spec.required")));
    }

    #[test]
    fn a_status_that_would_forget_is_told() {
        let pruned = document(|schema| {
            schema["properties"]["status"]["properties"].as_object_mut().unwrap().remove("killer");
        });
        assert!(
            matches!(compare(&pruned), SchemaState::Other(why) if why.contains("ExperimentRun.status.killer is ours, but is not served"))
        );
        let none = document(|schema| {
            schema["properties"].as_object_mut().unwrap().remove("status");
        });
        assert!(matches!(compare(&none), SchemaState::Other(why) if why.contains("ExperimentRun.status")));
    }

    #[test]
    fn what_a_server_fills_in_takes_or_demands_in_another_way_is_told() {
        fn spec(schema: &mut Value) -> &mut Value {
            &mut schema["properties"]["spec"]
        }
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 7] = [
            (|schema| spec(schema)["properties"]["mode"]["default"] = json!("Live"), "spec.mode.default is \"Live\""),
            (|schema| spec(schema)["properties"]["mode"]["enum"] = json!(["Live"]), "spec.mode.enum is [\"Live\"]"),
            (|schema| spec(schema)["properties"]["mode"]["type"] = json!("integer"), "spec.mode.type is \"integer\""),
            (|schema| _ = spec(schema)["properties"]["mode"].as_object_mut().unwrap().remove("type"), "is not given"),
            (|schema| spec(schema)["x-kubernetes-preserve-unknown-fields"] = json!(true), "spec keeps fields"),
            (|schema| spec(schema)["x-kubernetes-validations"] = json!([]), "spec lacks our rule: "),
            (
                |schema| {
                    let rules = spec(schema)["x-kubernetes-validations"].as_array_mut().unwrap();
                    rules.push(json!({"rule": "false", "message": "no"}));
                },
                "spec has a rule that is not ours: false",
            ),
        ];
        for (change, told) in cases {
            let state = compare(&document(change));
            assert!(matches!(&state, SchemaState::Other(why) if why.contains(told)), "{told}: {state:?}");
        }
        // Words, and what the operator asks itself.
        let worded = document(|schema| {
            for rule in spec(schema)["x-kubernetes-validations"].as_array_mut().unwrap() {
                rule["message"] = json!("other words");
            }
            spec(schema)["properties"]["approval"]["properties"]["within"]["maxLength"] = json!(1_000);
        });
        assert_eq!(compare(&worded), SchemaState::Same);
    }

    #[test]
    fn another_group_is_unknown() {
        assert!(matches!(compare(&Document::default()), SchemaState::Unknown(_)));
    }

    #[test]
    fn a_list_and_a_map_are_told_by_what_they_hold() {
        let own = serde_json::from_value(json!({"properties": {
            "list": {"items": {"properties": {"a": {}}}}, "map": {"additionalProperties": {"required": ["b"]}},
            "any": {"additionalProperties": true},
        }}));
        let own: Shape = own.unwrap();
        let differs = |served: Value| {
            let served: Shape = serde_json::from_value(served).unwrap();
            first_difference("K.spec", &own, &served)
        };
        let (map, any) = (json!({"additionalProperties": {"required": ["b"]}}), json!({}));
        assert_eq!(
            differs(json!({"properties": {"list": {"items": {"properties": {}}}, "map": map, "any": any}})).unwrap(),
            "K.spec.list.items.a is ours, but is not served"
        );
        let list = json!({"items": {"properties": {"a": {"description": "words"}}}});
        assert_eq!(
            differs(json!({"properties": {"list": list, "map": {"additionalProperties": {}}, "any": any}})).unwrap(),
            "K.spec.map.additionalProperties.required is [], ours is [b]"
        );
        assert_eq!(differs(json!({"properties": {"list": list, "map": map, "any": any}})), None);
    }
}
