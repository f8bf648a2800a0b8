//! ValidatingAdmissionPolicies: CEL rules of the cluster's owner about requests, asked before anything is written.
//!
//! Only policies without parameters are evaluated; one with `paramKind` counts as failing, as its `failurePolicy` says.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, Program, Value as Cel};
use serde_json::{Value, json};

use super::auth::Identity;
use super::error::{ApiError, ApiResult};
use super::write::Admission;
use crate::store::selector::LabelSelector;
use crate::store::{GroupResource, ObjectKey, Store};

const GROUP: &str = "admissionregistration.k8s.io";
/// Words of CEL's own, which expressions write as `__word__` when they mean a field.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// One request as policies see it.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) write: &'a Admission<'a>,
    pub(crate) identity: &'a Identity,
    pub(crate) dry_run: bool,
}

/// Refuses what a policy denies.
pub(crate) fn check(store: &Store, attempt: &Attempt<'_>) -> ApiResult<()> {
    // Nobody may lock the cluster's owner out of the policies themselves.
    if attempt.write.ty.group == GROUP {
        return Ok(());
    }
    let policies = GroupResource::new(GROUP, "validatingadmissionpolicies");
    for binding in store.list(&GroupResource::new(GROUP, "validatingadmissionpolicybindings"), None) {
        let spec = &binding.value()["spec"];
        let denies = spec["validationActions"].as_array().into_iter().flatten().any(|action| action == "Deny");
        let name = spec["policyName"].as_str().unwrap_or_default();
        let Some(policy) = store.get(&policies, &ObjectKey::new("", name)).filter(|_| denies) else { continue };
        let policy = &policy.value()["spec"];
        if !matches_resources(store, &policy["matchConstraints"], attempt, false)
            || !matches_resources(store, &spec["matchResources"], attempt, true)
        {
            continue;
        }
        if let Some(why) = violation(store, policy, attempt) {
            let message = format!(
                "ValidatingAdmissionPolicy '{name}' with binding '{}' denied request: {}",
                binding.key().name,
                why.message
            );
            return Err(ApiError::denied_by_policy(
                &attempt.write.ty.group_resource(),
                &attempt.write.key.name,
                &message,
                &why.reason,
            ));
        }
    }
    Ok(())
}

struct Violation {
    message: String,
    reason: String,
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether `constraints` are about this request; absent ones are as `if_absent` says.
fn matches_resources(store: &Store, constraints: &Value, attempt: &Attempt<'_>, if_absent: bool) -> bool {
    if !constraints.is_object() {
        return if_absent;
    }
    let any = |rules: &Value| rules.as_array().into_iter().flatten().any(|rule| matches_rule(rule, attempt));
    let rules = &constraints["resourceRules"];
    let is_meant = if rules.is_array() { any(rules) } else { if_absent };
    is_meant
        && !any(&constraints["excludeResourceRules"])
        && selects(&constraints["namespaceSelector"], &namespace_object(store, attempt))
        && (selects(&constraints["objectSelector"], attempt.write.object)
            || selects(&constraints["objectSelector"], attempt.write.old))
}

fn matches_rule(rule: &Value, attempt: &Attempt<'_>) -> bool {
    let has = |field: &str, wanted: &str| texts(&rule[field]).iter().any(|item| *item == "*" || *item == wanted);
    let plural = &attempt.write.ty.plural;
    let resource = |rule: &str| match (rule.split_once('/'), attempt.write.subresource) {
        (None, "") => rule == "*" || rule == plural,
        (Some((base, sub)), _) => {
            (base == "*" || base == plural)
                && (sub == attempt.write.subresource || (sub == "*" && !attempt.write.subresource.is_empty()))
                || rule == "*/*"
        }
        (None, _) => false,
    };
    let names = texts(&rule["resourceNames"]);
    has("operations", attempt.write.operation)
        && has("apiGroups", &attempt.write.ty.group)
        && has("apiVersions", &attempt.write.ty.version)
        && texts(&rule["resources"]).into_iter().any(resource)
        && (names.is_empty() || names.contains(&attempt.write.key.name.as_str()))
}

fn selects(selector: &Value, object: &Value) -> bool {
    match LabelSelector::from_object(selector) {
        Ok(Some(selector)) => selector.is_empty() || selector.matches(&object["metadata"]["labels"]),
        Ok(None) => true,
        Err(_) => false,
    }
}

fn namespace_object(store: &Store, attempt: &Attempt<'_>) -> Value {
    let key = ObjectKey::new("", &attempt.write.key.namespace);
    store.get(&GroupResource::new("", "namespaces"), &key).map_or(Value::Null, |found| found.value().clone())
}

/// The first rule of a policy that the request breaks.
fn violation(store: &Store, policy: &Value, attempt: &Attempt<'_>) -> Option<Violation> {
    let fails_closed = policy["failurePolicy"] != "Ignore";
    let failed = |message: String| fails_closed.then(|| Violation { message, reason: "Invalid".to_owned() });
    if policy["paramKind"].is_object() {
        return failed("policies with parameters are not served by this cluster; see SURFACE.md".to_owned());
    }
    let mut context = context(store, attempt);
    for condition in policy["matchConditions"].as_array().into_iter().flatten() {
        match evaluate(&context, &condition["expression"]) {
            Ok(Cel::Bool(true)) => {}
            Ok(_) => return None,
            Err(error) => return failed(error),
        }
    }
    let mut variables = HashMap::new();
    for variable in policy["variables"].as_array().into_iter().flatten() {
        let value = match evaluate(&context, &variable["expression"]) {
            Ok(value) => value,
            Err(error) => return failed(error),
        };
        let name = variable["name"].as_str().unwrap_or_default();
        variables.insert(Key::String(Arc::new(name.to_owned())), value);
        context.add_variable_from_value("variables", Cel::Map(Map { map: Arc::new(variables.clone()) }));
    }
    policy["validations"].as_array().into_iter().flatten().find_map(|validation| {
        match evaluate(&context, &validation["expression"]) {
            Ok(Cel::Bool(true)) => None,
            Ok(_) => Some(Violation {
                message: message(&context, validation),
                reason: validation["reason"].as_str().unwrap_or("Invalid").to_owned(),
            }),
            Err(error) => failed(error),
        }
    })
}

fn message(context: &Context<'_>, validation: &Value) -> String {
    if validation["messageExpression"].is_string()
        && let Ok(Cel::String(text)) = evaluate(context, &validation["messageExpression"])
    {
        return text.to_string();
    }
    match validation["message"].as_str().filter(|text| !text.is_empty()) {
        Some(text) => text.to_owned(),
        None => format!("failed expression: {}", validation["expression"].as_str().unwrap_or_default()),
    }
}

fn evaluate(context: &Context<'_>, expression: &Value) -> Result<Cel, String> {
    let text = expression.as_str().unwrap_or_default();
    let program = Program::compile(text).map_err(|error| format!("expression '{text}' does not compile: {error}"))?;
    program.execute(context).map_err(|error| format!("expression '{text}' resulted in error: {error}"))
}

fn context(store: &Store, attempt: &Attempt<'_>) -> Context<'static> {
    let mut context = Context::default().with_all();
    let ty = attempt.write.ty;
    let kind = json!({"group": ty.group, "version": ty.version, "kind": ty.kind});
    let resource = json!({"group": ty.group, "version": ty.version, "resource": ty.plural});
    let request = json!({
        "kind": kind,
        "resource": resource,
        "subResource": attempt.write.subresource,
        "requestKind": kind,
        "requestResource": resource,
        "requestSubResource": attempt.write.subresource,
        "name": attempt.write.key.name,
        "namespace": attempt.write.key.namespace,
        "operation": attempt.write.operation,
        "userInfo": {
            "username": attempt.identity.user,
            "groups": attempt.identity.groups,
            "uid": attempt.identity.uid,
        },
        "dryRun": attempt.dry_run,
        "options": attempt.write.options,
    });
    for (name, value) in [
        ("object", attempt.write.object),
        ("oldObject", attempt.write.old),
        ("request", &request),
        ("namespaceObject", &namespace_object(store, attempt)),
    ] {
        context.add_variable_from_value(name, to_cel(value));
    }
    context
}

fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cel::Int(whole),
            None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(fields) => {
            let mut map = HashMap::with_capacity(fields.len());
            for (name, value) in fields {
                let value = to_cel(value);
                if RESERVED.contains(&name.as_str()) {
                    map.insert(Key::String(Arc::new(format!("__{name}__"))), value.clone());
                }
                map.insert(Key::String(Arc::new(name.clone())), value);
            }
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}
