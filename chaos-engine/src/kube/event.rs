//! Events: what happened to a pod, for `kubectl describe` and for the record. Their names follow from what they tell, so
//! that telling it again (after a restart) changes nothing.

use chaos_core::api::{KillRecord, Outcome, SkipRecord};
use chaos_core::digest::sha256_hex;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::call::{CallError, Caller};

/// The controller that Events name as their reporter.
const CONTROLLER: &str = "chaos.dispatch.dev/operator";

/// Writes Events.
#[derive(Clone)]
pub struct EventSink {
    write: Caller,
    instance: String,
}

/// Something to tell about an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// Name of the Event: the same happening has the same.
    pub name: String,
    /// The object.
    pub regarding: ObjectReference,
    /// Another object that had a part in it.
    pub related: Option<ObjectReference>,
    /// Stable reason.
    pub reason: String,
    /// What was done.
    pub action: &'static str,
    /// The facts, for people.
    pub note: String,
    /// Whether people should look at it.
    pub is_warning: bool,
    /// When.
    pub at: Timestamp,
}

impl Happening {
    /// A kill call, told of the pod.
    pub fn of_kill(kill: &KillRecord, by: &ObjectReference) -> Self {
        let (reason, is_warning, what) = match kill.outcome {
            Outcome::Killed => ("Killed", false, "killed"),
            Outcome::WouldKill => ("WouldKill", false, "would have been killed (dry run)"),
            Outcome::Blocked => ("KillBlocked", false, "was not evicted: a disruption budget forbids it"),
            Outcome::Gone => ("VictimGone", false, "was gone before it could be killed"),
            Outcome::Failed => ("KillFailed", true, "could not be killed"),
            Outcome::Unknown => ("KillUnknown", true, "may have been killed: the answer was lost"),
        };
        let owner = format!("{} {}", by.kind.as_deref().unwrap_or("run"), by.name.as_deref().unwrap_or_default());
        let message = kill.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        Self {
            name: format!("chaos-{}", kill.nonce),
            regarding: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                namespace: Some(kill.victim.namespace.clone()),
                name: Some(kill.victim.pod.clone()),
                uid: Some(kill.victim.uid.clone()),
                ..ObjectReference::default()
            },
            related: Some(by.clone()),
            reason: reason.to_owned(),
            action: "Kill",
            note: shorten(&format!("{what} by {owner}, strike {}{message}", kill.strike)),
            is_warning,
            at: kill.at.0,
        }
    }

    /// A strike that did not happen, told of the monkey.
    pub fn of_skip(skip: &SkipRecord, monkey: &ObjectReference) -> Self {
        let uid = monkey.uid.as_deref().unwrap_or_default();
        Self {
            name: format!("chaos-skip-{}-{}-{:x}", &uid[..uid.len().min(8)], skip.strike, skip.at.0.as_microsecond()),
            regarding: monkey.clone(),
            related: None,
            reason: skip.reason.clone(),
            action: "Skip",
            note: shorten(&format!("strike {} on {} skipped: {}", skip.strike, skip.group, skip.message)),
            is_warning: false,
            at: skip.at.0,
        }
    }

    /// The server refuses what the work on an object takes; told of the object, once for each thing refused.
    pub fn of_refusal(object: &ObjectReference, error: &CallError) -> Self {
        let uid = object.uid.as_deref().unwrap_or_default();
        let note = shorten(&error.to_string());
        let digest = sha256_hex(note.as_bytes());
        Self {
            name: format!("chaos-refused-{}-{}", &uid[..uid.len().min(8)], &digest[..8]),
            regarding: object.clone(),
            related: None,
            reason: "PermissionMissing".to_owned(),
            action: "Reconcile",
            note,
            is_warning: true,
            at: Timestamp::now(),
        }
    }
}

impl EventSink {
    /// Events signed by this instance.
    pub fn new(write: Caller, instance: impl Into<String>) -> Self {
        Self { write, instance: instance.into() }
    }

    /// Tells it, once: an Event of that name that exists already is this one.
    pub async fn tell(&self, happening: &Happening) -> Result<(), CallError> {
        let namespace = happening.regarding.namespace.as_deref().unwrap_or("default");
        let event = Event {
            metadata: ObjectMeta {
                name: Some(happening.name.clone()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            regarding: Some(happening.regarding.clone()),
            related: happening.related.clone(),
            reason: Some(happening.reason.clone()),
            action: Some(happening.action.to_owned()),
            note: Some(happening.note.clone()),
            type_: Some(if happening.is_warning { "Warning" } else { "Normal" }.to_owned()),
            event_time: Some(MicroTime(happening.at)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        match self.write.create::<serde_json::Value>(&path, &event).await {
            Err(error) if !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }
}

/// The API takes notes of up to 1 kB.
fn shorten(note: &str) -> String {
    note.chars().take(900).collect()
}
