//! The form of a conformance case: a sequence of requests, each with the answer that a real Kubernetes gives.
//! It only describes; `runner` sends and `matcher` judges.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use crate::protobuf::Protobuf;

/// A sequence of requests in a namespace of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// The behaviour, as a sentence.
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    /// Wherein the embedded cluster answers otherwise: the first cell of the row of `local-cluster/SURFACE.md` that says why. Such
    /// a case must fail there.
    #[serde(default)]
    pub(crate) differs: Option<String>,
    /// What it takes of a cluster that not every cluster gives.
    #[serde(default)]
    pub(crate) needs: Option<Need>,
    /// The first minor version of Kubernetes that answers so: 36 for 1.36. Older ones are not asked.
    #[serde(default)]
    pub(crate) since: Option<u32>,
    /// The first minor version that no longer does. That one and newer ones are not asked.
    #[serde(default)]
    pub(crate) before: Option<u32>,
    /// Paths to delete at the end, for objects outside the namespace.
    #[serde(default)]
    pub(crate) cleanup: Vec<String>,
}

impl Case {
    /// What the embedded cluster is known not to do is not waited for as long as for a real one.
    pub(crate) fn hurry(&mut self) {
        let seconds = if self.differs.is_some() { 1 } else { u64::MAX };
        self.steps.iter_mut().for_each(|step| step.within = step.within.map(|within| within.min(seconds)));
    }

    /// Whether a cluster of that minor version answers so.
    pub(crate) fn is_of(&self, minor: u32) -> bool {
        self.since.is_none_or(|since| since <= minor) && self.before.is_none_or(|before| minor < before)
    }
}

/// What a managed cluster may keep to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Need {
    /// Node objects may be made.
    Nodes,
}

/// One request and its expected answer. In every text `$name` is replaced by what an earlier step saved under that name;
/// `$ns` is the case's namespace and `$id` a name part that no other run uses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// Method and path with query: `GET /api/v1/namespaces/$ns/pods?limit=1`.
    #[serde(rename = "do")]
    pub(crate) request: String,
    /// Bearer token to use instead of the administrator's; empty for no token.
    #[serde(default)]
    pub(crate) token: Option<String>,
    /// `Content-Type`, or one of the short forms of [`media_type`].
    #[serde(default, rename = "type")]
    pub(crate) content_type: Option<String>,
    /// `Accept`, or one of the short forms of [`media_type`].
    #[serde(default)]
    pub(crate) accept: Option<String>,
    #[serde(default)]
    pub(crate) send: Option<Value>,
    /// A body in protobuf; see `protobuf` for the notation.
    #[serde(default)]
    pub(crate) send_protobuf: Option<Protobuf>,
    /// A body that is not JSON.
    #[serde(default)]
    pub(crate) send_text: Option<String>,
    /// Seconds in which the answer must come to be as expected, for what controllers do.
    #[serde(default)]
    pub(crate) within: Option<u64>,
    pub(crate) status: u16,
    /// Response headers: name and expected value.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Value>,
    /// Expected body; see `matcher` for the notation.
    #[serde(default)]
    pub(crate) body: Option<Value>,
    /// Expected body that is not JSON.
    #[serde(default)]
    pub(crate) text: Option<Value>,
    /// The first events of a watch, in order.
    #[serde(default)]
    pub(crate) events: Option<Vec<Value>>,
    /// Name to save under, and the JSON pointer of the value in the body (of the last event for a watch).
    #[serde(default)]
    pub(crate) save: BTreeMap<String, String>,
}

/// Reads `cases/AREA.yaml`.
pub(crate) fn read_area(area: &str) -> anyhow::Result<Vec<Case>> {
    let path = cases_dir().join(format!("{area}.yaml"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("failed to parse {}", path.display()))
}

/// What this cluster does not give, by the words of a variable: `nodes`.
pub(crate) fn lacking(words: &str) -> anyhow::Result<Vec<Need>> {
    let words = words.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let need = serde_json::from_value::<Need>(Value::from(word));
            need.with_context(|| format!("CHAOS_TEST_WITHOUT names {word:?}; hint: nodes"))
        })
        .collect()
}

/// The folder of the case files.
pub(crate) fn cases_dir() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/cases"))
}

/// The media type behind a short form; anything else is taken as it is.
pub(crate) fn media_type(short: &str) -> &str {
    match short {
        "json" => "application/json",
        "json-patch" => "application/json-patch+json",
        "merge-patch" => "application/merge-patch+json",
        "strategic-merge-patch" => "application/strategic-merge-patch+json",
        "protobuf" => "application/vnd.kubernetes.protobuf",
        "apply" => "application/apply-patch+yaml",
        "table" => "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        "metadata" => "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        "metadata-list" => "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        other => other,
    }
}
