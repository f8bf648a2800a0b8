//! The state of objects of the cluster: a field or a condition of one, or how many there are. An absent object, an absent
//! field or condition, and a field that is there several times have causes of their own. That a list is empty is an answer.

use chaos_core::model::{Condition, KUBERNETES_TIMEOUT, Question};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope, pinned_kind};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::look::NoAnswer;
use crate::kube::told;

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// More objects than this are not counted.
const MOST_OBJECTS: usize = 20_000;

/// Objects to look at.
#[derive(Clone)]
pub struct KubernetesLook {
    client: kube::Client,
    kind: GroupVersionKind,
    namespace: String,
    question: Question,
    resource: OnceCell<(ApiResource, Scope)>,
}

impl std::fmt::Debug for KubernetesLook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, namespace, question, .. } = self;
        write!(f, "KubernetesLook({kind:?} in {namespace}: {question:?})")
    }
}

impl KubernetesLook {
    /// A question about objects of that kind, in that namespace unless the kind has none.
    pub fn new(client: kube::Client, kind: GroupVersionKind, namespace: &str, question: Question) -> Self {
        Self { client, kind, namespace: namespace.to_owned(), question, resource: OnceCell::new() }
    }

    /// The one value: of the field, `"True"`, `"False"` or `"Unknown"` of the condition, or the number of objects.
    pub(super) async fn value(&self) -> Result<Value, NoAnswer> {
        let value = tokio::time::timeout(KUBERNETES_TIMEOUT, self.ask()).await;
        value.map_err(|_| NoAnswer::new("timeout", format!("no answer in {} s", KUBERNETES_TIMEOUT.as_secs())))?
    }

    async fn ask(&self) -> Result<Value, NoAnswer> {
        let api = self.api().await?;
        match &self.question {
            Question::Field { name, path } => {
                let object = json(&api.get(name).await.map_err(|error| cause(&error))?)?;
                match path.query(&object).all().as_slice() {
                    [] => Err(NoAnswer::new("noData", format!("{path} selects nothing in {name}"))),
                    [value] => Ok((*value).clone()),
                    several => {
                        let message = format!("{path} selects {} values; hint: write a path to one", several.len());
                        Err(NoAnswer::new("severalValues", message))
                    }
                }
            }
            Question::Condition { name, condition } => {
                let object = json(&api.get(name).await.map_err(|error| cause(&error))?)?;
                status_of(&object, condition).map(Value::from).ok_or_else(|| {
                    let kinds: Vec<&str> = conditions(&object).filter_map(|found| found["type"].as_str()).collect();
                    let has = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
                    let message = format!("{name} has no condition {}; it has {has}", condition.kind);
                    NoAnswer::new("noData", message)
                })
            }
            Question::Count { selector, condition } => {
                self.count(&api, &selector.to_string(), condition.as_ref()).await.map(Value::from)
            }
        }
    }

    /// An object without the condition does not have it.
    async fn count(
        &self,
        api: &Api<DynamicObject>,
        selector: &str,
        condition: Option<&Condition>,
    ) -> Result<usize, NoAnswer> {
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        let (mut seen, mut counted) = (0, 0);
        loop {
            let page = api.list(&params).await.map_err(|error| cause(&error))?;
            seen += page.items.len();
            if seen > MOST_OBJECTS {
                return Err(NoAnswer::new("tooLarge", format!("more than {MOST_OBJECTS} objects are selected")));
            }
            for object in &page.items {
                let counts = match condition {
                    None => true,
                    Some(condition) => status_of(&json(object)?, condition).as_ref() == Some(&condition.status),
                };
                counted += usize::from(counts);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(counted),
            }
        }
    }

    async fn api(&self) -> Result<Api<DynamicObject>, NoAnswer> {
        let kind = self.resource.get_or_try_init(async || {
            let (resource, capabilities) = pinned_kind(&self.client, &self.kind).await?;
            Ok((resource, capabilities.scope))
        });
        let (resource, scope) = kind.await.map_err(|error: kube::Error| match error {
            kube::Error::Discovery(_) => NoAnswer::new("notFound", self.unserved()),
            other => cause(&other),
        })?;
        Ok(match scope {
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), &self.namespace, resource),
            Scope::Cluster => Api::all_with(self.client.clone(), resource),
        })
    }

    /// What is said of a kind that the server does not know.
    fn unserved(&self) -> String {
        let GroupVersionKind { group, version, kind } = &self.kind;
        let slash = if group.is_empty() { "" } else { "/" };
        format!("the server serves no {kind} of {group}{slash}{version}; hint: `kubectl api-resources`")
    }
}

fn json(object: &DynamicObject) -> Result<Value, NoAnswer> {
    serde_json::to_value(object).map_err(|error| NoAnswer::new("unparsable", error))
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object["status"]["conditions"].as_array().into_iter().flatten()
}

/// The status of the condition, where the object has it.
fn status_of(object: &Value, condition: &Condition) -> Option<String> {
    let found = conditions(object).find(|found| found["type"] == condition.kind.as_str())?;
    found["status"].as_str().map(str::to_owned)
}

fn cause(error: &kube::Error) -> NoAnswer {
    let reason = match error {
        kube::Error::Api(status) if status.code == 404 => "notFound",
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => "refused",
        kube::Error::Api(_) => "failed",
        kube::Error::SerdeError(_) => "unparsable",
        _ => "unreachable",
    };
    NoAnswer::new(reason, told(error))
}

#[cfg(test)]
mod tests;
