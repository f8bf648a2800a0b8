//! `spec.target`: parses selectors and patterns, and refuses what would reach more than was meant.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::names;
use super::path::Path;
use super::problem::Problems;
use crate::api;
use crate::eligible::DENIED_NAMESPACES;
use crate::model::{Kinds, NamePattern, Names, NamespaceScope, Operator, Requirement, Selector, Target};

/// The target, as far as it is valid; whatever is not is a problem.
pub(super) fn target(raw: &api::Target, own_namespace: &str, at: &Path, problems: &mut Problems) -> Target {
    let selector = raw.selector.as_ref().map(|raw| selector(raw, &at.field("selector"), problems));
    if raw.workloads.is_empty() && raw.selector.is_none() {
        problems
            .add_at_key(at, "the target is empty: it would be every pod of the namespace")
            .hint("name workloads: [{kind: Deployment, name: …}], or give a selector");
    }
    for (i, workload) in raw.workloads.iter().enumerate() {
        let at = at.field("workloads").index(i);
        name(&workload.kind, names::kind, &at.field("kind"), problems);
        name(&workload.name, names::dns_subdomain, &at.field("name"), problems);
    }
    if let Some(environment) = &raw.environment {
        name(environment, non_empty_label, &at.field("environment"), problems);
    }
    for (i, zone) in raw.zones.iter().enumerate() {
        name(zone, non_empty_label, &at.field("zones").index(i), problems);
    }
    Target {
        environment: raw.environment.clone(),
        workloads: raw.workloads.clone(),
        selector: selector.unwrap_or_default(),
        namespaces: namespaces(raw, own_namespace, at, problems),
        pod_names: pod_names(raw.pod_names.as_ref(), &at.field("podNames"), problems),
        owner_kinds: owner_kinds(raw.owner_kinds.as_ref(), &at.field("ownerKinds"), problems),
        nodes: raw.nodes.as_ref().map(|nodes| selector_of(&nodes.selector, &at.fields("nodes.selector"), problems)),
        zones: raw.zones.iter().cloned().collect(),
        min_age: raw.min_age.unwrap_or_default(),
    }
}

/// Checks a name and tells what is wrong with it.
pub(super) fn name(value: &str, rule: impl Fn(&str) -> Result<(), &'static str>, at: &Path, problems: &mut Problems) {
    if let Err(rule) = rule(value) {
        problems.add(at, format!("{value:?} cannot be a name here")).hint(rule);
    }
}

/// Checks a base URL. It is not repeated: what is wrong with it may be the credentials in it.
pub(super) fn url(value: &str, at: &Path, problems: &mut Problems) {
    let Err(rule) = names::base_url(value) else { return };
    let problem = "this is no base URL";
    match names::authority(value) {
        Ok(_) => problems.judge(at, problem).hint(rule),
        Err(_) => problems.add(at, problem).hint(rule),
    }
}

fn non_empty_label(value: &str) -> Result<(), &'static str> {
    if value.is_empty() { Err("it must not be empty") } else { names::label_value(value) }
}

fn selector(raw: &LabelSelector, at: &Path, problems: &mut Problems) -> Selector {
    selector_of(raw, at, problems)
}

/// Labels and values that one selector may name. Each pod that it does not select is told what it asks for.
const MOST_NAMED: usize = 200;

pub(super) fn selector_of(raw: &LabelSelector, at: &Path, problems: &mut Problems) -> Selector {
    let of_expression = |raw: &LabelSelectorRequirement| 1 + raw.values.iter().flatten().count();
    let in_expressions: usize = raw.match_expressions.iter().flatten().map(of_expression).sum();
    let named = raw.match_labels.iter().flatten().count() + in_expressions;
    if named > MOST_NAMED {
        problems.add(at, format!("{named} labels and values are named, more than {MOST_NAMED}"));
        return Selector::default();
    }
    let mut requirements = Vec::new();
    for (key, value) in raw.match_labels.iter().flatten() {
        let at = at.field("matchLabels").field(key);
        name(key, names::label_key, &at, problems);
        name(value, names::label_value, &at, problems);
        requirements.push(Requirement { key: key.clone(), operator: Operator::In(BTreeSet::from([value.clone()])) });
    }
    for (i, raw) in raw.match_expressions.iter().flatten().enumerate() {
        requirements.extend(requirement(raw, &at.field("matchExpressions").index(i), problems));
    }
    if named == 0 {
        problems
            .add_at_key(at, "this selector is empty: it would select everything")
            .hint("say which labels are meant");
    }
    Selector::new(requirements)
}

fn requirement(raw: &LabelSelectorRequirement, at: &Path, problems: &mut Problems) -> Option<Requirement> {
    name(&raw.key, names::label_key, &at.field("key"), problems);
    let values: BTreeSet<String> = raw.values.iter().flatten().cloned().collect();
    for (i, value) in raw.values.iter().flatten().enumerate() {
        name(value, names::label_value, &at.field("values").index(i), problems);
    }
    let wants_values = matches!(raw.operator.as_str(), "In" | "NotIn");
    let operator = match raw.operator.as_str() {
        "In" => Operator::In(values.clone()),
        "NotIn" => Operator::NotIn(values.clone()),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            problems
                .add(&at.field("operator"), format!("{other:?} is no operator"))
                .hint("it is In, NotIn, Exists or DoesNotExist");
            return None;
        }
    };
    if wants_values && values.is_empty() {
        problems.add_at_key(at, format!("{} needs values", raw.operator));
    } else if !wants_values && !values.is_empty() {
        problems.add(&at.field("values"), format!("{} takes no values", raw.operator));
    }
    Some(Requirement { key: raw.key.clone(), operator })
}

fn namespaces(raw: &api::Target, own: &str, at: &Path, problems: &mut Problems) -> NamespaceScope {
    let own_alone = || NamespaceScope::Named(BTreeSet::from([own.to_owned()]));
    let Some(filter) = &raw.namespaces else {
        denied(own, &Path::root().fields("metadata.namespace"), problems);
        return own_alone();
    };
    let at = at.field("namespaces");
    match (filter.names.is_empty(), &filter.selector) {
        (false, None) => {
            for (i, namespace) in filter.names.iter().enumerate() {
                let at = at.field("names").index(i);
                name(namespace, names::dns_label, &at, problems);
                denied(namespace, &at, problems);
            }
            NamespaceScope::Named(filter.names.iter().cloned().collect())
        }
        (true, Some(selector)) => NamespaceScope::Labelled(selector_of(selector, &at.field("selector"), problems)),
        (false, Some(_)) => {
            problems.add_at_key(&at, "names and selector are both given").hint("keep one of them");
            own_alone()
        }
        (true, None) => {
            problems
                .add_at_key(&at, "neither names nor a selector is given")
                .hint("leave it out to mean the manifest's own");
            own_alone()
        }
    }
}

fn denied(namespace: &str, at: &Path, problems: &mut Problems) {
    if DENIED_NAMESPACES.contains(&namespace) || namespace == api::switch::NAMESPACE {
        problems.add(at, format!("namespace {namespace} is never a target"));
    }
}

fn pod_names(raw: Option<&api::NameFilter>, at: &Path, problems: &mut Problems) -> Names {
    let Some(raw) = raw else {
        return Names::default();
    };
    if raw.include.is_none() && raw.exclude.is_none() {
        problems.add_at_key(at, "neither include nor exclude is given");
    }
    let mut pattern = |source: &Option<String>, field: &str| {
        let source = source.as_deref()?;
        NamePattern::new(source)
            .map_err(|error| {
                let message = format!("{source:?} is no regular expression that can be used here");
                problems.add(&at.field(field), message).hint(last_line(&error.to_string()));
            })
            .ok()
    };
    Names { include: pattern(&raw.include, "include"), exclude: pattern(&raw.exclude, "exclude") }
}

fn owner_kinds(raw: Option<&api::OwnerKindFilter>, at: &Path, problems: &mut Problems) -> Kinds {
    let Some(raw) = raw else {
        return Kinds::default();
    };
    if raw.include.is_empty() && raw.exclude.is_empty() {
        problems.add_at_key(at, "neither include nor exclude is given");
    }
    for (field, kinds) in [("include", &raw.include), ("exclude", &raw.exclude)] {
        for (i, kind) in kinds.iter().enumerate() {
            name(kind, names::kind, &at.field(field).index(i), problems);
        }
    }
    for (i, kind) in raw.exclude.iter().enumerate().filter(|(_, kind)| raw.include.contains(kind)) {
        problems.add(&at.field("exclude").index(i), format!("{kind} is included and excluded"));
    }
    Kinds { include: raw.include.iter().cloned().collect(), exclude: raw.exclude.iter().cloned().collect() }
}

/// The regex crate draws a picture of the pattern; its last line says what is wrong.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
}
