//! The columns of the built-in kinds.

use jiff::Timestamp;
use serde_json::Value;

use super::super::registry::ResourceType;
use super::{age, idle, pods, volumes};

/// Headings (name, type, priority) and the function that fills a row.
pub(super) struct View {
    pub(super) headings: &'static [(&'static str, &'static str, i64)],
    pub(super) cells: fn(&Value, Timestamp) -> Vec<Value>,
}

pub(super) const NAME: (&str, &str, i64) = ("Name", "string", 0);
pub(super) const AGE: (&str, &str, i64) = ("Age", "string", 0);

/// The view of a built-in kind.
pub(super) fn of(ty: &ResourceType) -> View {
    match (ty.group.as_str(), ty.kind.as_str()) {
        ("", "Pod") => pods::view(),
        ("", "Namespace") => View {
            headings: &[NAME, ("Status", "string", 0), AGE],
            cells: |o, now| vec![name(o), at(o, "status.phase"), age::of(o, now)],
        },
        ("", "Service") => View { headings: SERVICE, cells: service },
        ("", "Node") => View { headings: NODE, cells: node },
        ("" | "events.k8s.io", "Event") => View { headings: EVENT, cells: event },
        ("", "ConfigMap") => View {
            headings: &[NAME, ("Data", "string", 0), AGE],
            cells: |o, now| vec![name(o), (count(&o["data"]) + count(&o["binaryData"])).into(), age::of(o, now)],
        },
        ("", "Secret") => View {
            headings: &[NAME, ("Type", "string", 0), ("Data", "string", 0), AGE],
            cells: |o, now| vec![name(o), at(o, "type"), count(&o["data"]).into(), age::of(o, now)],
        },
        ("", "ServiceAccount") => View {
            headings: &[NAME, ("Secrets", "string", 0), AGE],
            cells: |o, now| vec![name(o), count(&o["secrets"]).into(), age::of(o, now)],
        },
        ("", "Endpoints") => View { headings: &[NAME, ("Endpoints", "string", 0), AGE], cells: endpoints },
        ("", "PersistentVolume") => volumes::of_volume(),
        ("", "PersistentVolumeClaim") => volumes::of_claim(),
        ("storage.k8s.io", "StorageClass") => volumes::of_class(),
        ("apps", "DaemonSet") => idle::of_daemon_set(),
        ("batch", "CronJob") => idle::of_cron_job(),
        ("apps", "Deployment") => View { headings: DEPLOYMENT, cells: deployment },
        ("apps", "ReplicaSet") | ("", "ReplicationController") => View { headings: REPLICA_SET, cells: replica_set },
        ("apps", "StatefulSet") => View { headings: STATEFUL_SET, cells: stateful_set },
        ("batch", "Job") => idle::of_job(),
        ("policy", "PodDisruptionBudget") => View { headings: BUDGET, cells: budget },
        ("discovery.k8s.io", "EndpointSlice") => View { headings: SLICE, cells: slice },
        ("coordination.k8s.io", "Lease") => View {
            headings: &[NAME, ("Holder", "string", 0), AGE],
            cells: |o, now| vec![name(o), at(o, "spec.holderIdentity"), age::of(o, now)],
        },
        ("scheduling.k8s.io", "PriorityClass") => View {
            headings: PRIORITY,
            cells: |o, now| {
                vec![
                    name(o),
                    at(o, "value"),
                    (o["globalDefault"] == true).into(),
                    age::of(o, now),
                    at(o, "preemptionPolicy"),
                ]
            },
        },
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            View { headings: BINDING, cells: binding }
        }
        ("rbac.authorization.k8s.io" | "apiextensions.k8s.io", _) => View {
            headings: &[NAME, ("Created At", "date", 0)],
            cells: |o, _| vec![name(o), at(o, "metadata.creationTimestamp")],
        },
        _ => View { headings: &[NAME, ("Age", "date", 0)], cells: |o, now| vec![name(o), age::of(o, now)] },
    }
}

const SERVICE: &[(&str, &str, i64)] = &[
    NAME,
    ("Type", "string", 0),
    ("Cluster-IP", "string", 0),
    ("External-IP", "string", 0),
    ("Port(s)", "string", 0),
    AGE,
    ("Selector", "string", 1),
];
const NODE: &[(&str, &str, i64)] = &[
    NAME,
    ("Status", "string", 0),
    ("Roles", "string", 0),
    AGE,
    ("Version", "string", 0),
    ("Internal-IP", "string", 1),
    ("External-IP", "string", 1),
    ("OS-Image", "string", 1),
    ("Kernel-Version", "string", 1),
    ("Container-Runtime", "string", 1),
];
const EVENT: &[(&str, &str, i64)] = &[
    ("Last Seen", "string", 0),
    ("Type", "string", 0),
    ("Reason", "string", 0),
    ("Object", "string", 0),
    ("Subobject", "string", 1),
    ("Source", "string", 1),
    ("Message", "string", 0),
    ("First Seen", "string", 1),
    ("Count", "string", 1),
    ("Name", "string", 1),
];
const DEPLOYMENT: &[(&str, &str, i64)] = &[
    NAME,
    ("Ready", "string", 0),
    ("Up-to-date", "string", 0),
    ("Available", "string", 0),
    AGE,
    ("Containers", "string", 1),
    ("Images", "string", 1),
    ("Selector", "string", 1),
];
const REPLICA_SET: &[(&str, &str, i64)] = &[
    NAME,
    ("Desired", "integer", 0),
    ("Current", "integer", 0),
    ("Ready", "integer", 0),
    AGE,
    ("Containers", "string", 1),
    ("Images", "string", 1),
    ("Selector", "string", 1),
];
const STATEFUL_SET: &[(&str, &str, i64)] =
    &[NAME, ("Ready", "string", 0), AGE, ("Containers", "string", 1), ("Images", "string", 1)];
const BUDGET: &[(&str, &str, i64)] = &[
    NAME,
    ("Min Available", "string", 0),
    ("Max Unavailable", "string", 0),
    ("Allowed Disruptions", "integer", 0),
    AGE,
];
const SLICE: &[(&str, &str, i64)] =
    &[NAME, ("AddressType", "string", 0), ("Ports", "string", 0), ("Endpoints", "string", 0), AGE];
const PRIORITY: &[(&str, &str, i64)] =
    &[NAME, ("Value", "integer", 0), ("Global-Default", "boolean", 0), AGE, ("PreemptionPolicy", "string", 0)];
const BINDING: &[(&str, &str, i64)] = &[
    NAME,
    ("Role", "string", 0),
    AGE,
    ("Users", "string", 1),
    ("Groups", "string", 1),
    ("ServiceAccounts", "string", 1),
];

/// The value at a path of field names, `null` if there is none.
pub(super) fn at(object: &Value, path: &str) -> Value {
    path.split('.').try_fold(object, |value, field| value.get(field)).cloned().unwrap_or(Value::Null)
}

pub(super) fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

/// Text, or a placeholder where there is none.
pub(super) fn text_or(value: &Value, placeholder: &str) -> Value {
    match value {
        Value::String(text) if !text.is_empty() => text.clone().into(),
        Value::Null | Value::String(_) => placeholder.into(),
        other => other.to_string().into(),
    }
}

pub(super) fn number(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or(0)
}

pub(super) fn count(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    }
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// A map of labels, or a whole selector, as a selector's text.
pub(super) fn selector(value: &Value) -> Value {
    let parsed = if value.get("matchLabels").is_some() || value.get("matchExpressions").is_some() {
        crate::store::selector::LabelSelector::from_object(value).ok().flatten().map(|selector| selector.to_string())
    } else {
        let pairs = value.as_object().into_iter().flatten();
        Some(joined(pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))))
    };
    text_or(&parsed.unwrap_or_default().into(), "<none>")
}

pub(super) fn containers(object: &Value) -> [Value; 2] {
    let containers = &object["spec"]["template"]["spec"]["containers"];
    let all = |field: &str| joined(list(containers).map(|c| c[field].as_str().unwrap_or_default().to_owned()));
    [all("name").into(), all("image").into()]
}

fn service(o: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &o["spec"];
    let ports = joined(list(&spec["ports"]).map(|port| {
        let node_port = port["nodePort"].as_i64().filter(|port| *port > 0).map(|port| format!(":{port}"));
        format!("{}{}/{}", port["port"], node_port.unwrap_or_default(), port["protocol"].as_str().unwrap_or("TCP"))
    }));
    let external = if spec["type"] == "ExternalName" { spec["externalName"].clone() } else { Value::Null };
    vec![
        name(o),
        at(o, "spec.type"),
        text_or(&spec["clusterIP"], "<none>"),
        text_or(&external, "<none>"),
        text_or(&ports.into(), "<none>"),
        age::of(o, now),
        selector(&spec["selector"]),
    ]
}

fn node(o: &Value, now: Timestamp) -> Vec<Value> {
    let ready = list(&o["status"]["conditions"]).find(|condition| condition["type"] == "Ready");
    let mut status = match ready.and_then(|condition| condition["status"].as_str()) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if o["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    let labels = o["metadata"]["labels"].as_object().into_iter().flatten();
    let roles = joined(labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/").map(str::to_owned)));
    let address = |kind: &str| {
        let found = list(&o["status"]["addresses"]).find(|address| address["type"] == kind);
        text_or(found.map_or(&Value::Null, |address| &address["address"]), "<none>")
    };
    let info = |field: &str| text_or(&o["status"]["nodeInfo"][field], "<unknown>");
    vec![
        name(o),
        status.into(),
        text_or(&roles.into(), "<none>"),
        age::of(o, now),
        at(o, "status.nodeInfo.kubeletVersion"),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn event(o: &Value, now: Timestamp) -> Vec<Value> {
    let either = |old: &str, new: &str| if o[old].is_null() { o[new].clone() } else { o[old].clone() };
    let since = |value: &Value| {
        let value = if value.is_null() { &o["eventTime"] } else { value };
        age::since_text(value, now)
    };
    let object = either("involvedObject", "regarding");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (series, first) = (&o["series"], either("firstTimestamp", "deprecatedFirstTimestamp"));
    let last = if series.is_object() {
        series["lastObservedTime"].clone()
    } else {
        either("lastTimestamp", "deprecatedLastTimestamp")
    };
    let count = if series.is_object() { series["count"].clone() } else { either("count", "deprecatedCount") };
    let source = either("source", "deprecatedSource");
    let component = if source["component"].is_string() {
        source["component"].clone()
    } else {
        either("reportingComponent", "reportingController")
    };
    vec![
        since(&last).into(),
        o["type"].clone(),
        o["reason"].clone(),
        format!("{}/{}", text(&object["kind"]).to_lowercase(), text(&object["name"])).into(),
        text(&object["fieldPath"]).into(),
        text(&component).into(),
        text(&either("message", "note")).trim().into(),
        since(&first).into(),
        count.as_i64().unwrap_or(1).into(),
        name(o),
    ]
}

fn endpoints(o: &Value, now: Timestamp) -> Vec<Value> {
    let all: Vec<String> = list(&o["subsets"])
        .flat_map(|subset| {
            list(&subset["addresses"]).flat_map(move |address| {
                let ip = address["ip"].as_str().unwrap_or_default();
                list(&subset["ports"]).map(move |port| format!("{ip}:{}", port["port"]))
            })
        })
        .collect();
    let shown = all.iter().take(3).cloned().collect::<Vec<_>>().join(",");
    let more = if all.len() > 3 { format!(" + {} more...", all.len() - 3) } else { String::new() };
    vec![name(o), text_or(&format!("{shown}{more}").into(), "<none>"), age::of(o, now)]
}

fn deployment(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o);
    vec![
        name(o),
        format!("{}/{}", number(o, "status.readyReplicas"), number(o, "spec.replicas")).into(),
        number(o, "status.updatedReplicas").into(),
        number(o, "status.availableReplicas").into(),
        age::of(o, now),
        names,
        images,
        selector(&o["spec"]["selector"]),
    ]
}

fn replica_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o);
    vec![
        name(o),
        number(o, "spec.replicas").into(),
        number(o, "status.replicas").into(),
        number(o, "status.readyReplicas").into(),
        age::of(o, now),
        names,
        images,
        selector(&o["spec"]["selector"]),
    ]
}

fn stateful_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o);
    let ready = format!("{}/{}", number(o, "status.readyReplicas"), number(o, "spec.replicas"));
    vec![name(o), ready.into(), age::of(o, now), names, images]
}

fn budget(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(o),
        text_or(&at(o, "spec.minAvailable"), "N/A"),
        text_or(&at(o, "spec.maxUnavailable"), "N/A"),
        number(o, "status.disruptionsAllowed").into(),
        age::of(o, now),
    ]
}

fn slice(o: &Value, now: Timestamp) -> Vec<Value> {
    let ports = joined(list(&o["ports"]).map(|port| text_or(&port["port"], "*").as_str().unwrap_or("*").to_owned()));
    let addresses = joined(
        list(&o["endpoints"])
            .flat_map(|endpoint| list(&endpoint["addresses"]))
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    vec![
        name(o),
        at(o, "addressType"),
        text_or(&ports.into(), "<unset>"),
        text_or(&addresses.into(), "<unset>"),
        age::of(o, now),
    ]
}

fn binding(o: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| {
        let found = list(&o["subjects"]).filter(|subject| subject["kind"] == kind);
        Value::from(joined(found.map(|subject| {
            let name = subject["name"].as_str().unwrap_or_default();
            match subject["namespace"].as_str() {
                Some(namespace) if kind == "ServiceAccount" => format!("{namespace}/{name}"),
                _ => name.to_owned(),
            }
        })))
    };
    let role = &o["roleRef"];
    vec![
        name(o),
        format!("{}/{}", role["kind"].as_str().unwrap_or_default(), role["name"].as_str().unwrap_or_default()).into(),
        age::of(o, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}
