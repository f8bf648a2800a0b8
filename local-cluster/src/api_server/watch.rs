//! Watches: the events of a collection from a revision on, as a stream of JSON lines.
//!
//! A watcher holds no queue: it remembers one revision and reads the store's log when woken, so that a hundred idle
//! watchers cost nothing and a slow one cannot hold anybody up; falling behind the log ends it with 410.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::{ApiError, ApiResult, FieldError};
use super::read::{Selection, check_not_future};
use super::request::Query;
use super::respond::{Representation, json_response, object_json};
use super::state::State;
use crate::store::{Event, EventKind, Object};

const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long a watch lasts that does not say: the real server draws from 30 to 60 minutes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);
/// Lines put into one chunk of the body at most, so that a long backlog does not have to fit in memory at once.
const LINES_PER_CHUNK: usize = 256;

/// What the client asked of its watch.
struct Options {
    representation: Representation,
    bookmarks: bool,
    deadline: Instant,
}

struct Watcher {
    state: Arc<State>,
    selection: Selection,
    options: Options,
    changes: watch::Receiver<u64>,
    /// Everything up to here was sent or did not concern this watch.
    revision: u64,
    backlog: VecDeque<Bytes>,
    next_bookmark: Instant,
    is_over: bool,
}

/// Starts a watch; what follows is sent as it happens.
pub(crate) fn watch(
    state: Arc<State>,
    selection: Selection,
    query: &Query,
    representation: Representation,
) -> ApiResult<Response<Body>> {
    let seconds = query.number::<u64>("timeoutSeconds")?.filter(|seconds| *seconds > 0);
    let timeout = seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    let start = Instant::now();
    // No watch lasts for ages; it is begun anew.
    let deadline = start.checked_add(timeout).unwrap_or(start + DEFAULT_TIMEOUT);
    let options = Options { representation, bookmarks: query.flag("allowWatchBookmarks"), deadline };
    let changes = state.changes(&selection.ty.storage);
    let (revision, backlog) = first_events(&state, &selection, query, &options)?;
    let watcher = Watcher {
        state,
        selection,
        options,
        changes,
        revision,
        backlog,
        next_bookmark: start + BOOKMARK_INTERVAL,
        is_over: false,
    };
    let stream = futures::stream::unfold(watcher, |mut watcher| async move {
        let chunk = watcher.next_chunk().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), watcher))
    });
    Ok(json_response(StatusCode::OK, Body::from_stream(stream)))
}

/// Where the watch starts, and what it sends before anything new happens.
fn first_events(
    state: &State,
    selection: &Selection,
    query: &Query,
    options: &Options,
) -> ApiResult<(u64, VecDeque<Bytes>)> {
    let revision = query.number::<u64>("resourceVersion")?.unwrap_or(0);
    let initial = query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents"));
    check_initial(initial, query)?;
    let store = state.read();
    check_not_future(&store, revision)?;
    if revision > 0 && initial != Some(true) {
        // Tells at once, instead of in the stream, that the history is gone; clients accept both.
        let mut backlog = VecDeque::new();
        if let Err(compacted) = store.events_after(&selection.ty.storage, revision) {
            backlog.push_back(error_line(&compacted.into()));
            return Ok((u64::MAX, backlog));
        }
        return Ok((revision, backlog));
    }
    let now = store.revision();
    if initial == Some(false) {
        return Ok((now, VecDeque::new()));
    }
    let mut backlog: VecDeque<Bytes> = store
        .list(&selection.ty.storage, selection.namespace.as_deref())
        .filter(|object| selection.matches(object))
        .map(|object| event_line("ADDED", &object_json(&selection.ty, object, options.representation)))
        .collect();
    if initial == Some(true) && options.bookmarks {
        backlog.push_back(bookmark_line(selection, now, true));
    }
    Ok((now, backlog))
}

fn check_initial(initial: Option<bool>, query: &Query) -> ApiResult<()> {
    let mode = query.get("resourceVersionMatch");
    let (field, refused) = match (initial, mode) {
        (None, Some(_)) => {
            ("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        }
        (Some(_), None) => {
            ("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        }
        (Some(_), Some(mode)) if mode != "NotOlderThan" => {
            ("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        }
        (Some(true), Some(_)) if !query.flag("allowWatchBookmarks") => {
            ("sendInitialEvents", "sendInitialEvents requires setting allowWatchBookmarks to true")
        }
        _ => return Ok(()),
    };
    Err(ApiError::invalid_options("ListOptions", FieldError::forbidden(field, refused)))
}

impl Watcher {
    /// The next lines, or `None` when the watch is over.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            if !self.backlog.is_empty() {
                return Some(self.take_chunk());
            }
            if self.is_over || self.revision == u64::MAX {
                return None;
            }
            // Marked as seen before reading, so that a change between the two wakes us again.
            self.changes.mark_unchanged();
            self.read_log();
            if !self.backlog.is_empty() {
                continue;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        let wake = self.options.deadline.min(self.next_bookmark);
        let shutdown = self.state.shutdown.clone();
        tokio::select! {
            changed = self.changes.changed() => self.is_over |= changed.is_err(),
            () = tokio::time::sleep_until(wake) => self.tick(Instant::now()),
            () = shutdown.cancelled() => self.is_over = true,
        }
    }

    fn tick(&mut self, now: Instant) {
        self.is_over |= now >= self.options.deadline;
        self.next_bookmark = now + BOOKMARK_INTERVAL;
        if self.options.bookmarks {
            self.read_log();
            // A watch that fell behind has ended, and nothing follows its error.
            if self.revision != u64::MAX {
                self.backlog.push_back(bookmark_line(&self.selection, self.revision, false));
            }
        }
    }

    fn take_chunk(&mut self) -> Bytes {
        if self.backlog.len() == 1 {
            return self.backlog.pop_front().unwrap_or_default();
        }
        let mut chunk = BytesMut::new();
        for line in self.backlog.drain(..self.backlog.len().min(LINES_PER_CHUNK)) {
            chunk.put_slice(&line);
        }
        chunk.freeze()
    }

    fn read_log(&mut self) {
        // The lock must not borrow the watcher itself.
        let state = Arc::clone(&self.state);
        let store = state.read();
        match store.events_after(&self.selection.ty.storage, self.revision) {
            Ok(events) => {
                let lines: Vec<Bytes> = events.iter().filter_map(|event| self.line(event)).collect();
                self.backlog.extend(lines);
                self.revision = store.revision();
            }
            Err(compacted) => {
                self.backlog.push_back(error_line(&compacted.into()));
                self.revision = u64::MAX;
            }
        }
    }

    /// An event as this watch sees it: an object that stops matching is deleted, one that starts to is added.
    fn line(&self, event: &Event) -> Option<Bytes> {
        let matched = event.previous.as_ref().is_some_and(|previous| self.selection.matches(previous));
        let matches = event.kind != EventKind::Deleted && self.selection.matches(&event.object);
        let kind = match (matched, matches) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        let left_selection = kind == "DELETED" && event.kind != EventKind::Deleted;
        let json = match (&event.previous, left_selection) {
            (Some(previous), true) => self.json(&last_seen(previous, &event.object)),
            _ => self.json(&event.object),
        };
        Some(event_line(kind, &json))
    }

    fn json(&self, object: &Object) -> Bytes {
        object_json(&self.selection.ty, object, self.options.representation)
    }
}

/// The version that last matched, at the revision at which it stopped to.
fn last_seen(previous: &Object, now: &Object) -> Object {
    let mut value = previous.value().clone();
    value["metadata"]["resourceVersion"] = now.revision().to_string().into();
    Object::preview(previous.key().clone(), value)
}

fn event_line(kind: &str, object: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + 40);
    line.put_slice(b"{\"type\":\"");
    line.put_slice(kind.as_bytes());
    line.put_slice(b"\",\"object\":");
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}

fn error_line(error: &ApiError) -> Bytes {
    event_line("ERROR", error.status().to_string().as_bytes())
}

fn bookmark_line(selection: &Selection, revision: u64, ends_initial_events: bool) -> Bytes {
    let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": Value::Null});
    if ends_initial_events {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let ty = &selection.ty;
    let mut object = json!({"kind": ty.kind, "apiVersion": ty.api_version(), "metadata": metadata});
    // Typed clients decode a bookmark like any object of the kind, so its required parts must be there.
    if ty.is("", "Pod") {
        object["spec"] = json!({"containers": []});
    }
    event_line("BOOKMARK", object.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::PostParams;

    use super::super::{ApiServer, ApiServerConfig, Identity};
    use super::*;

    #[tokio::test]
    async fn nothing_follows_the_end_of_a_watch_that_fell_behind() {
        let server = ApiServer::new(ApiServerConfig { log_capacity: 4, ..ApiServerConfig::default() }).unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(server.client(Identity::admin()), "default");
        let mut map = ConfigMap::default();
        for number in 0..30 {
            map.metadata.name = Some(format!("m{number}"));
            maps.create(&PostParams::default(), &map).await.unwrap();
        }
        let state = Arc::clone(&server.state);
        let selection =
            Selection::new(state.registry().builtin("", "configmaps").unwrap(), "default", "", &Query::parse(""));
        let (selection, now) = (selection.unwrap(), Instant::now());
        let deadline = now + DEFAULT_TIMEOUT;
        let mut watcher = Watcher {
            changes: state.changes(&selection.ty.storage),
            state,
            selection,
            options: Options { representation: Representation::Object, bookmarks: true, deadline },
            revision: 1,
            backlog: VecDeque::new(),
            next_bookmark: now,
            is_over: false,
        };
        // Time for a bookmark, before it has heard of any change.
        watcher.tick(now);
        let last = watcher.next_chunk().await.unwrap();
        let told = std::str::from_utf8(&last).unwrap();
        assert!(told.starts_with("{\"type\":\"ERROR\"") && told.lines().count() == 1, "{told}");
        assert!(watcher.next_chunk().await.is_none());
    }
}
