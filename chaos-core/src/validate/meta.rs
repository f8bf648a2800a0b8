//! `metadata` of a manifest, as far as it matters here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::document::{Data, Node};
use super::names;
use super::path::Path;
use super::problem::Problems;
use super::suggest::closest;
use super::target::name;

/// Who a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID; empty where no API server has seen it.
    pub uid: String,
}

/// What a manifest without one gets, as kubectl has it.
const DEFAULT_NAMESPACE: &str = "default";
/// Fields of `metadata`: those that people write, and those that `kubectl get -o yaml` adds.
const FIELDS: [&str; 13] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "uid",
];

impl From<&ObjectMeta> for Meta {
    fn from(meta: &ObjectMeta) -> Self {
        Self {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            uid: meta.uid.clone().unwrap_or_default(),
        }
    }
}

impl Meta {
    /// From the `metadata` of a document; what is wrong with it is a problem.
    pub(super) fn read(document: &Node, problems: &mut Problems) -> Self {
        let at = Path::root().field("metadata");
        let mut meta = Self { name: String::new(), namespace: DEFAULT_NAMESPACE.to_owned(), uid: String::new() };
        let Some(node) = document.get("metadata") else {
            problems
                .add_at_key(&Path::root(), "the field metadata is missing")
                .hint("add metadata: {name: …, namespace: …}");
            return meta;
        };
        let Data::Map(fields) = &node.data else {
            problems.add(&at, "expected a mapping").hint("write metadata: {name: …, namespace: …}");
            return meta;
        };
        for (key, value) in fields {
            let at = at.field(&key.name);
            let text = match (&value.data, key.name.as_str()) {
                (Data::Text(text), _) => Some(text),
                (_, "name" | "namespace") => {
                    problems.add(&at, "expected text").hint("put it in quotes");
                    None
                }
                _ => None,
            };
            match (key.name.as_str(), text) {
                ("name", Some(text)) => meta.name.clone_from(text),
                ("namespace", Some(text)) => meta.namespace.clone_from(text),
                ("labels" | "annotations", _) => texts(value, &at, problems),
                (known, _) if FIELDS.contains(&known) || known == "resourceVersion" => {}
                (unknown, _) => {
                    let problem = problems.add_at_key(&at, format!("there is no field {unknown:?} here"));
                    if let Some(meant) = closest(unknown, FIELDS.into_iter()) {
                        problem.hint(format!("did you mean {meant}?"));
                    }
                }
            }
        }
        if node.get("name").is_none() {
            problems.add_at_key(&at, "the field name is missing");
        }
        meta
    }

    /// Names that Kubernetes would refuse, or that the names of what a run makes would not fit behind.
    pub(super) fn check(&self, problems: &mut Problems) {
        let at = Path::root().field("metadata");
        if !self.name.is_empty() {
            name(&self.name, names::dns_label, &at.field("name"), problems);
        }
        name(&self.namespace, names::dns_label, &at.field("namespace"), problems);
    }
}

/// A label of a document, where it is the text that it has to be ([`Meta::read`]).
pub(super) fn label<'n>(document: &'n Node, key: &str) -> Option<&'n str> {
    match &document.get("metadata")?.get("labels")?.get(key)?.data {
        Data::Text(text) => Some(text),
        _ => None,
    }
}

/// Labels and annotations map text to text.
fn texts(node: &Node, at: &Path, problems: &mut Problems) {
    let Data::Map(fields) = &node.data else {
        problems.add(at, "expected a mapping of text to text");
        return;
    };
    for (key, _) in fields.iter().filter(|(_, value)| !matches!(value.data, Data::Text(_))) {
        problems.add(&at.field(&key.name), "expected text").hint("put it in quotes");
    }
}
