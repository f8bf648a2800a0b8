//! The one place where a pod is killed: one request, never repeated, with the pod's UID as precondition.

use std::time::Duration;

use chaos_core::killer::{KillAnswer, KillAnswerKind, KillOrder};
use chaos_core::model::KillMode;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::{CallError, Caller};

/// A kill that was sent right before its deadline has so long for its answer. What is not sent by then, as the way to the server was
/// still being opened, is not sent at all.
const ANSWER: Duration = Duration::from_millis(500);

/// Kills pods.
#[derive(Clone)]
pub struct Hand {
    write: Caller,
}

impl Hand {
    /// `write` must send every request once.
    pub const fn new(write: Caller) -> Self {
        Self { write }
    }

    /// Sends the kill, unless its deadline has passed, and gives it up a moment after that: what becomes of it then is not known.
    /// `at` is the present, by the clock that the deadline is meant in.
    pub async fn kill(&self, order: &KillOrder, at: Timestamp) -> KillAnswer {
        if at > order.deadline {
            let message = "it was decided too long ago".to_owned();
            return KillAnswer { at, kind: KillAnswerKind::NotSent, message: Some(message) };
        }
        let pod = format!("/api/v1/namespaces/{}/pods/{}", order.victim.namespace, order.victim.pod);
        let within = Duration::try_from(order.deadline.duration_since(at)).unwrap_or_default().saturating_add(ANSWER);
        let (method, path, body, verb) = match order.mode {
            KillMode::Evict => (Method::POST, format!("{pod}/eviction"), eviction(order), "evict"),
            KillMode::Delete => (Method::DELETE, pod, delete_options(order), "delete"),
        };
        let answer: Result<Value, CallError> = self.write.send_within(within, method, &path, &body, verb).await;
        match answer {
            Ok(_) => KillAnswer { at, kind: KillAnswerKind::Accepted, message: None },
            Err(error) => KillAnswer { at, kind: kill_answer(&error), message: Some(error.to_string()) },
        }
    }
}

fn delete_options(order: &KillOrder) -> Value {
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": order.victim.uid},
    });
    if let Some(grace) = order.grace {
        // Whole seconds, rounded up: a grace of half a second must not become none.
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        options["gracePeriodSeconds"] = json!(seconds);
    }
    options
}

fn eviction(order: &KillOrder) -> Value {
    let mut options = delete_options(order);
    if let Some(options) = options.as_object_mut() {
        options.remove("apiVersion");
        options.remove("kind");
    }
    json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": order.victim.pod, "namespace": order.victim.namespace},
        "deleteOptions": options,
    })
}

/// What an error says about the pod that was to be killed.
pub fn kill_answer(error: &CallError) -> KillAnswerKind {
    let CallError::Refused { status, .. } = error else {
        return if error.may_have_happened() { KillAnswerKind::Unknown } else { KillAnswerKind::Refused };
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let by_budget = causes.clone().any(|cause| cause.reason == "DisruptionBudget");
    let message = status.message.to_lowercase();
    match status.code {
        429 if by_budget => KillAnswerKind::Blocked,
        404 => KillAnswerKind::Gone,
        409 if message.contains("uid in precondition") || message.contains("uid in the precondition") => {
            KillAnswerKind::Gone
        }
        // The server's own refusal to choose between two budgets, told as an internal error.
        500 if message.contains("more than one poddisruptionbudget") => KillAnswerKind::Blocked,
        500.. => KillAnswerKind::Unknown,
        _ => KillAnswerKind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaos_core::api::{PlannedStrike, VictimRef};
    use chaos_core::instant::{after, micro_time};
    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use kube::core::Status;
    use kube::core::response::{StatusCause, StatusDetails};

    fn refused(code: u16, message: &str, cause: Option<&str>) -> CallError {
        let mut status = Status::failure(message, "Reason").with_code(code);
        status.details = cause.map(|reason| StatusDetails {
            causes: vec![StatusCause { reason: reason.to_owned(), message: String::new(), field: String::new() }],
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            retry_after_seconds: 0,
        });
        CallError::Refused { what: "evict".into(), status: Box::new(status) }
    }

    /// What becomes of a kill whose deadline is that far ahead where nobody answers, and how long that takes.
    async fn unanswered(ahead: Duration) -> (KillAnswerKind, Duration) {
        let silent = tower::service_fn(|_: Request<Body>| std::future::pending::<kube::Result<Response<Body>>>());
        let now = Timestamp::UNIX_EPOCH;
        let (id, group) = ("s1".to_owned(), "app".to_owned());
        let strike =
            PlannedStrike { id, strike: 1, at: micro_time(now), group, waiting_for: None, postponed_from: None };
        let victim = VictimRef {
            namespace: "shop".into(),
            pod: "app-1".into(),
            uid: "u".into(),
            workload: "Deployment/app".into(),
            workload_uid: "w".into(),
            owner_uid: "rs".into(),
            node: None,
        };
        let (nonce, mode, deadline) = ("n".to_owned(), KillMode::Delete, after(now, ahead));
        let order = KillOrder { strike, nonce, victim, mode, grace: None, deadline };
        let began = tokio::time::Instant::now();
        let answer = Hand::new(Caller::new(Client::new(silent, "shop"))).kill(&order, now).await;
        (answer.kind, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_kill_is_not_left_on_its_way_far_beyond_its_deadline() {
        let moment = Duration::from_millis(10);
        for (ahead, longest) in [(100, 600), (2_000, 2_500), (60_000, 5_000)] {
            let (kind, took) = unanswered(Duration::from_millis(ahead)).await;
            let longest = Duration::from_millis(longest);
            // Whether it reached the server is not known.
            assert_eq!(kind, KillAnswerKind::Unknown);
            assert!(took >= longest && took <= longest + moment, "{took:?}, {ahead} ms before its deadline");
        }
    }

    #[test]
    fn answers_say_what_became_of_the_pod() {
        let table = [
            (refused(429, "Cannot evict pod as it would violate…", Some("DisruptionBudget")), KillAnswerKind::Blocked),
            (refused(429, "too many requests, please try again later", None), KillAnswerKind::Refused),
            (refused(404, "pods \"a\" not found", None), KillAnswerKind::Gone),
            (
                refused(409, "Precondition failed: UID in precondition: a, UID in object meta: b", None),
                KillAnswerKind::Gone,
            ),
            (
                refused(409, "the UID in the precondition (a) does not match the UID in record (b)…", None),
                KillAnswerKind::Gone,
            ),
            (refused(409, "the object has been modified", None), KillAnswerKind::Refused),
            (
                refused(409, "cannot be fulfilled on pods \"liquid-1\": it has been modified", None),
                KillAnswerKind::Refused,
            ),
            (refused(403, "forbidden", None), KillAnswerKind::Refused),
            (refused(500, "This pod has more than one PodDisruptionBudget, which …", None), KillAnswerKind::Blocked),
            (refused(500, "etcdserver: request timed out", None), KillAnswerKind::Unknown),
            (refused(503, "apiserver is shutting down", None), KillAnswerKind::Unknown),
            (CallError::Lost { what: "evict".into(), message: "reset".into() }, KillAnswerKind::Unknown),
            (CallError::Unreached { what: "evict".into(), message: "refused".into() }, KillAnswerKind::Refused),
        ];
        for (error, kind) in table {
            assert_eq!(kill_answer(&error), kind, "{error}");
        }
    }
}
