//! Events as `kubectl describe` shows them. Recording never blocks and never fails its caller: an Event is a courtesy.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;

use crate::objects::time;

/// Repeats of an Event are counted on the first one for as long as it is remembered.
const REMEMBERED: usize = 4096;

/// What an Event is about, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    pub(crate) about: ObjectReference,
    pub(crate) kind: NoticeKind,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// `type` of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoticeKind {
    Normal,
    Warning,
}

impl Notice {
    pub(crate) fn normal<K: Resource<DynamicType = ()>>(
        about: &K,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { about: reference(about), kind: NoticeKind::Normal, reason, message: message.into() }
    }

    pub(crate) fn warning<K: Resource<DynamicType = ()>>(
        about: &K,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { about: reference(about), kind: NoticeKind::Warning, reason, message: message.into() }
    }

    /// About one container of a pod.
    pub(crate) fn for_container(mut self, container: &str) -> Self {
        self.about.field_path = Some(format!("spec.containers{{{container}}}"));
        self
    }
}

fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: object.meta().namespace.clone(),
        name: object.meta().name.clone(),
        uid: object.meta().uid.clone(),
        resource_version: object.meta().resource_version.clone(),
        field_path: None,
    }
}

/// Where Events of one component go in.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    notices: mpsc::UnboundedSender<Notice>,
}

impl Recorder {
    /// Starts a recorder; it ends when its last clone is dropped.
    pub(crate) fn start(client: Client, component: &str, host: Option<&str>) -> Self {
        let (notices, pending) = mpsc::unbounded_channel();
        let source = EventSource { component: Some(component.to_owned()), host: host.map(ToOwned::to_owned) };
        tokio::spawn(write_events(client, source, pending));
        Self { notices }
    }

    pub(crate) fn record(&self, notice: Notice) {
        // The writer is gone only when the cluster is.
        let _ = self.notices.send(notice);
    }
}

async fn write_events(client: Client, source: EventSource, mut pending: mpsc::UnboundedReceiver<Notice>) {
    let mut written: HashMap<String, (String, i32)> = HashMap::new();
    while let Some(notice) = pending.recv().await {
        if written.len() > REMEMBERED {
            written.clear();
        }
        let namespace = notice.about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let identity =
            format!("{:?}/{}/{}/{:?}", notice.about.uid, notice.reason, notice.message, notice.about.field_path);
        let now = Timestamp::now();
        let result = match written.get_mut(&identity) {
            Some((name, count)) => {
                *count += 1;
                let patch = json!({ "count": *count, "lastTimestamp": time(now) });
                api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
            }
            None => api.create(&PostParams::default(), &event(&notice, &source, now)).await,
        };
        match result {
            Ok(event) => {
                written.entry(identity).or_insert((event.metadata.name.unwrap_or_default(), 1));
            }
            Err(error) => {
                written.remove(&identity);
                tracing::debug!(reason = notice.reason, %error, "event was not recorded");
            }
        }
    }
}

fn event(notice: &Notice, source: &EventSource, now: Timestamp) -> Event {
    let about = notice.about.name.as_deref().unwrap_or_default();
    let unique = uuid::Uuid::new_v4().simple().to_string();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{about}.{}", &unique[..16])),
            namespace: Some(notice.about.namespace.clone().unwrap_or_else(|| "default".to_owned())),
            ..ObjectMeta::default()
        },
        involved_object: notice.about.clone(),
        type_: Some(match notice.kind {
            NoticeKind::Normal => "Normal".to_owned(),
            NoticeKind::Warning => "Warning".to_owned(),
        }),
        reason: Some(notice.reason.to_owned()),
        message: Some(notice.message.clone()),
        count: Some(1),
        first_timestamp: Some(time(now)),
        last_timestamp: Some(time(now)),
        source: Some(source.clone()),
        reporting_component: Some(source.component.clone().unwrap_or_default()),
        reporting_instance: Some(source.host.clone().unwrap_or_default()),
        ..Event::default()
    }
}
