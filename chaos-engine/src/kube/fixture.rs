//! A client of an API server that is one function: for the tests of this crate.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// A client without retries, whose requests (method, path, body) are answered by that.
pub(crate) fn client<A>(namespace: &str, answer: A) -> Client
where
    A: Fn(&Method, &str, &Bytes) -> (StatusCode, Value) + Clone + Send + 'static,
{
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let (code, object) = answer(&head.method, head.uri.path(), &body);
            let mut response = Response::new(Body::from(object.to_string().into_bytes()));
            *response.status_mut() = code;
            Ok::<_, kube::Error>(response)
        }
    });
    Client::new(service, namespace)
}
