//! A cluster of tests that has one object: it can be read and its status written until it is removed, and of what is created besides
//! the names are remembered. Whatever else is read is out of reach.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};

/// The cluster.
#[derive(Clone)]
pub(crate) struct OneObject {
    object: Arc<Mutex<Value>>,
    created: Arc<Mutex<Vec<String>>>,
    is_gone: Arc<AtomicBool>,
}

impl OneObject {
    pub(crate) fn new(object: &impl Serialize) -> Self {
        Self { object: Arc::new(Mutex::new(json!(object))), created: Arc::default(), is_gone: Arc::default() }
    }

    pub(crate) fn client(&self) -> kube::Client {
        let here = self.clone();
        let answer = move |method: Method, uri: Uri, body: Bytes| {
            let answer = here.answer(&method, &uri, &body);
            async move { answer }
        };
        let router: Router = Router::new().fallback(answer);
        kube::Client::new(router, "default")
    }

    /// The object as it was last written.
    pub(crate) fn object(&self) -> Value {
        self.object.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Deletes the object.
    pub(crate) fn remove(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }

    /// Names of what was created, in order.
    pub(crate) fn created(&self) -> Vec<String> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, method: &Method, uri: &Uri, body: &[u8]) -> (StatusCode, Json<Value>) {
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        if *method == Method::POST {
            let name = sent["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.created.lock().unwrap_or_else(PoisonError::into_inner).push(name);
            return (StatusCode::CREATED, Json(sent));
        }
        let object = self.object();
        let failure = |code: StatusCode| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
                "message": "no"});
            (code, Json(status))
        };
        if uri.path().split('/').all(|part| object["metadata"]["name"] != part) {
            return failure(StatusCode::SERVICE_UNAVAILABLE);
        }
        if self.is_gone.load(Ordering::Relaxed) {
            return failure(StatusCode::NOT_FOUND);
        }
        if *method == Method::PUT {
            *self.object.lock().unwrap_or_else(PoisonError::into_inner) = sent.clone();
            return (StatusCode::OK, Json(sent));
        }
        (StatusCode::OK, Json(object))
    }
}
