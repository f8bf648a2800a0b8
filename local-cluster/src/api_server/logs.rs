//! Container logs: asked for here, answered by whoever runs the containers.

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::error::{ApiError, ApiResult};
use super::request::Query;
use super::state::State;
use crate::store::Object;

/// Which part of which container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// Name of the container.
    pub container: String,
    /// Go on with new lines until the container ends.
    pub follow: bool,
    /// The log of the container's previous run.
    pub previous: bool,
    /// Only that many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only lines written since then.
    pub since: Option<Timestamp>,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Only that many bytes.
    pub limit_bytes: Option<u64>,
}

/// Why there is no log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The container does not (yet, or any more) have such a log. The text says why.
    #[error("{0}")]
    NotAvailable(String),
    /// Reading failed.
    #[error("failed to read the log: {0}")]
    Failed(String),
}

/// The log's bytes as they come.
pub type LogStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Something that has container logs: a kubelet.
pub trait LogSource: Send + Sync {
    /// Opens a log. The stream ends at the end of the log, or when a followed container ends.
    fn open(&self, request: LogRequest) -> BoxFuture<'static, Result<LogStream, LogError>>;
}

/// Answers `GET pods/NAME/log`.
pub(crate) async fn serve(state: &State, pod: &Object, query: &Query) -> ApiResult<Response<Body>> {
    let request = read_request(pod, query)?;
    if pod.value()["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        // No node has it, so there is nobody to ask: the real server answers with nothing as well.
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let Some(source) = state.log_source() else {
        return Err(ApiError::not_implemented("this API server has no kubelet to ask for logs"));
    };
    let stream = source.open(request).await.map_err(|error| match error {
        LogError::NotAvailable(why) => ApiError::bad_request(why),
        LogError::Failed(_) => ApiError::internal(error),
    })?;
    let stop = state.shutdown.clone();
    let mut response = Response::new(Body::from_stream(stream.take_until(stop.cancelled_owned())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

fn read_request(pod: &Object, query: &Query) -> ApiResult<LogRequest> {
    let since = match (query.number::<i64>("sinceSeconds")?, query.get("sinceTime")) {
        (Some(seconds), _) => {
            let span = SignedDuration::from_secs(seconds.max(0));
            Some(Timestamp::now().checked_sub(span).unwrap_or(Timestamp::MIN))
        }
        (None, Some(time)) => {
            Some(time.parse().map_err(|_| ApiError::bad_request(format!("sinceTime: {time:?} is not a time")))?)
        }
        (None, None) => None,
    };
    Ok(LogRequest {
        namespace: pod.key().namespace.clone(),
        pod: pod.key().name.clone(),
        pod_uid: pod.value()["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        container: choose_container(pod, query.get("container"))?,
        follow: query.flag("follow") && query.get("follow").is_some(),
        previous: query.get("previous").is_some() && query.flag("previous"),
        tail_lines: query.number("tailLines")?,
        since,
        timestamps: query.get("timestamps").is_some() && query.flag("timestamps"),
        limit_bytes: query.number("limitBytes")?,
    })
}

fn choose_container(pod: &Object, asked: Option<&str>) -> ApiResult<String> {
    let names = |field: &str| -> Vec<&str> {
        let containers = pod.value()["spec"][field].as_array().into_iter().flatten();
        containers.filter_map(|container| container["name"].as_str()).collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    let pod_name = &pod.key().name;
    match asked {
        Some(name) if main.contains(&name) || init.contains(&name) => Ok(name.to_owned()),
        Some(name) => Err(ApiError::bad_request(format!("container {name} is not valid for pod {pod_name}"))),
        None if main.len() == 1 => Ok(main.concat()),
        None => {
            let annotated = &pod.value()["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"];
            let choice = annotated.as_str().filter(|name| main.contains(name));
            choice.map(str::to_owned).ok_or_else(|| ApiError::bad_request(container_required(pod_name, &main, &init)))
        }
    }
}

fn container_required(pod: &str, main: &[&str], init: &[&str]) -> String {
    let init = if init.is_empty() { String::new() } else { format!(" or one of the init containers: {init:?}") };
    format!("a container name must be specified for pod {pod}, choose one of: [{}]{init}", main.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ObjectKey;
    use serde_json::{Value, json};

    fn pod(containers: &[&str]) -> Object {
        let containers: Vec<Value> = containers.iter().map(|name| json!({"name": name})).collect();
        Object::preview(ObjectKey::new("a", "p"), json!({"metadata": {"uid": "u"}, "spec": {"containers": containers}}))
    }

    #[test]
    fn the_only_container_need_not_be_named() {
        let query = Query::parse("tailLines=3&previous=true&follow=false");
        let request = read_request(&pod(&["c"]), &query).unwrap();
        assert_eq!((request.container.as_str(), request.tail_lines), ("c", Some(3)));
        assert!(request.previous && !request.follow);
    }

    #[test]
    fn one_of_several_containers_must_be_named_rightly() {
        let error = read_request(&pod(&["a", "b"]), &Query::default()).unwrap_err();
        assert_eq!(error.to_string(), "a container name must be specified for pod p, choose one of: [a b]");
        let error = read_request(&pod(&["a"]), &Query::parse("container=x")).unwrap_err();
        assert_eq!(error.to_string(), "container x is not valid for pod p");
    }
}
