//! What the API server said no with, found among the causes of an error: in its own words, and with what a person can do.

use std::error::Error;

use chaos_engine::kube::{CallError, Unanswered, is_unserved, said};
use kube::core::Status;

/// A cause in words: of an answer of the API server its message and code.
pub(crate) fn words(cause: &(dyn Error + 'static)) -> String {
    match status(cause) {
        // It says what was asked, too.
        Some(_) if cause.is::<CallError>() => cause.to_string(),
        Some(status) => said(status),
        None => match cause.downcast_ref::<kube::Error>() {
            // Which layer of the client it was says nothing to a person.
            Some(kube::Error::Service(inner)) => inner.to_string(),
            _ => cause.to_string(),
        },
    }
}

/// What a person can do about this cause, if it is an answer of the API server that lets no doubt about it, or none at all.
pub(crate) fn hint(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    if cause.is::<Unanswered>() {
        return Some("does the API server answer others? kubectl get --raw /readyz");
    }
    let status = status(cause)?;
    if is_unserved(status) {
        Some("`chaos install`")
    } else if is_forbidden(status) {
        Some("docs/permissions.md says which permissions are needed")
    } else {
        None
    }
}

/// Whether a missing permission is what it failed on.
pub(crate) fn is_of_permission(error: &anyhow::Error) -> bool {
    error.chain().filter_map(status).any(is_forbidden)
}

fn is_forbidden(status: &Status) -> bool {
    status.code == 403
}

/// The answer of the API server, if that is what this cause is.
fn status<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a Status> {
    let boxed = || cause.downcast_ref::<Box<kube::Error>>().map(|error| &**error);
    if let Some(error) = cause.downcast_ref::<kube::Error>().or_else(boxed) {
        return match error {
            kube::Error::Api(status) => Some(status),
            _ => None,
        };
    }
    if let Some(CallError::Refused { status, .. }) = cause.downcast_ref::<CallError>() {
        return Some(status);
    }
    let boxed = || cause.downcast_ref::<Box<Status>>().map(|status| &**status);
    cause.downcast_ref::<Status>().or_else(boxed)
}
