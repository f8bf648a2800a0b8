//! The audit log: one `audit.k8s.io/v1` event a line, at level Metadata, written when the answer is known.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::auth::Identity;
use super::request::ResourceRequest;

/// Why the audit log could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("failed to open the audit log {path}: {source}")]
pub struct AuditError {
    path: PathBuf,
    source: std::io::Error,
}

/// Where audit events go, if anywhere.
#[derive(Debug, Default)]
pub(crate) struct AuditLog {
    file: Option<Mutex<File>>,
}

/// One finished request.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) received: Timestamp,
    pub(crate) id: &'a str,
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) impersonated: Option<&'a Identity>,
    pub(crate) verb: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) user_agent: &'a str,
    pub(crate) resource: Option<&'a ResourceRequest>,
    /// The UID demanded by preconditions.
    pub(crate) uid: Option<String>,
    pub(crate) code: u16,
}

impl AuditLog {
    /// Appends to a file, or drops everything.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, AuditError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| AuditError { path: path.to_owned(), source })?;
        Ok(Self { file: Some(Mutex::new(file)) })
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.file.is_some()
    }

    /// Writes one line. A full disk must not stop the cluster: the failure is logged.
    pub(crate) fn write(&self, record: &Record<'_>) {
        let Some(file) = &self.file else { return };
        let line = format!("{}\n", event(record));
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::warn!(%error, "failed to write an audit event");
        }
    }
}

fn event(record: &Record<'_>) -> Value {
    let user = |identity: &Identity| json!({"username": identity.user, "groups": identity.groups});
    let mut event = json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": record.id,
        "stage": "ResponseComplete",
        "requestURI": record.uri,
        "verb": record.verb,
        "user": record.identity.map_or(Value::Null, user),
        "userAgent": record.user_agent,
        "responseStatus": {"metadata": {}, "code": record.code},
        "requestReceivedTimestamp": record.received.to_string(),
        "stageTimestamp": Timestamp::now().to_string(),
    });
    if let Some(impersonated) = record.impersonated {
        event["impersonatedUser"] = user(impersonated);
    }
    if let Some(request) = record.resource {
        let fields = [
            ("apiGroup", &request.group),
            ("apiVersion", &request.version),
            ("resource", &request.resource),
            ("namespace", &request.namespace),
            ("name", &request.name),
            ("subresource", &request.subresource),
        ];
        let mut reference = json!({});
        for (field, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
            reference[field] = text.clone().into();
        }
        if let Some(uid) = &record.uid {
            reference["uid"] = uid.clone().into();
        }
        event["objectRef"] = reference;
    }
    event
}
