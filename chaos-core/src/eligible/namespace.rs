//! What a namespace lets be killed, whatever pods it holds: the deny list, what its labels say, and where the spec comes from. The
//! rules about its pods ask these.

use std::collections::BTreeSet;

use super::{DENIED_NAMESPACES, Exclusion, Finding, Reason, failed};
use crate::api::labels;
use crate::model::{Actor, Policy};
use crate::population::{NamespaceFacts, Population};

/// A rule: by whose rights, which namespace, and what is known of it.
type Rule = fn(&Policy, &str, Option<&NamespaceFacts>) -> Finding<Exclusion>;

/// All of them, in the order in which they are told.
const RULES: [Rule; 4] = [denied, enabled, excluded, allowed_from];

/// Why nothing may be killed in this namespace, whatever it holds; `None`: its pods decide. That it is stopped or being deleted is
/// no such reason: the victims of before come back meanwhile, and are looked for.
pub fn bars(policy: &Policy, namespace: &NamespaceFacts) -> Option<Reason> {
    RULES.iter().find_map(|rule| failed(rule(policy, &namespace.name, Some(namespace))))
}

/// The namespaces in which nothing may be killed and of which no pod is known, with the reason: a killer reads none there.
pub fn barred<'a>(policy: &Policy, population: &'a Population) -> Vec<(&'a str, Reason)> {
    let with_pods: BTreeSet<&str> = population.pods.iter().map(|pod| pod.namespace.as_str()).collect();
    let others = population.namespaces.iter().filter(|namespace| !with_pods.contains(namespace.name.as_str()));
    others.filter_map(|namespace| Some((namespace.name.as_str(), bars(policy, namespace)?))).collect()
}

pub(super) fn denied(policy: &Policy, name: &str, _: Option<&NamespaceFacts>) -> Finding<Exclusion> {
    if DENIED_NAMESPACES.contains(&name) || name == policy.operator_namespace {
        return Finding::fail(Exclusion::NamespaceDenied, format!("namespace {name} is never a target"));
    }
    Finding::pass("not on it")
}

pub(super) fn enabled(_: &Policy, name: &str, facts: Option<&NamespaceFacts>) -> Finding<Exclusion> {
    let value = facts.and_then(|namespace| namespace.labels.get(labels::ENABLED));
    if value.is_some_and(|value| value == "true") {
        return Finding::pass("the namespace is labelled");
    }
    Finding::fail(Exclusion::NamespaceNotEnabled, format!("namespace {name} is not labelled {}=true", labels::ENABLED))
}

pub(super) fn excluded(_: &Policy, name: &str, facts: Option<&NamespaceFacts>) -> Finding<Exclusion> {
    // Any value but "false" excludes: whoever writes this label wants to be left alone, even with a typo in its value.
    match facts.and_then(|namespace| namespace.labels.get(labels::EXCLUDE)) {
        Some(value) if value != "false" => Finding::fail(
            Exclusion::NamespaceExcluded,
            format!("namespace {name} is labelled {}={value}", labels::EXCLUDE),
        ),
        _ => Finding::pass("not excluded"),
    }
}

pub(super) fn allowed_from(policy: &Policy, name: &str, facts: Option<&NamespaceFacts>) -> Finding<Exclusion> {
    let from = &policy.spec_namespace;
    if policy.actor == Actor::Cli {
        return Finding::pass("own credentials decide");
    }
    if name == from {
        return Finding::pass("the spec's own namespace");
    }
    match facts.and_then(|namespace| namespace.labels.get(labels::ALLOW_FROM)) {
        Some(allowed) if allowed == from => Finding::pass(format!("the namespace allows {from}")),
        _ => Finding::fail(
            Exclusion::NamespaceNotAllowed,
            format!("namespace {name} is not labelled {}={from}", labels::ALLOW_FROM),
        ),
    }
}
