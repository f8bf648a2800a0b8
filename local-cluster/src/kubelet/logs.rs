//! Container logs on disk and how `kubectl logs` reads them: which run's file, from which line, for how long.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::io::AsyncReadExt;

use crate::api_server::{LogError, LogRequest, LogSource, LogStream};
use crate::cache::Cache;
use crate::supervisor::rotated;

/// How often a followed log is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(50);

/// Where the logs are: a folder per pod, a folder per container, a file per run.
#[derive(Clone)]
pub(crate) struct LogFolder {
    root: PathBuf,
    pods: Cache<Pod>,
}

impl LogFolder {
    pub(crate) fn new(root: PathBuf, pods: Cache<Pod>) -> Self {
        Self { root, pods }
    }

    pub(super) fn folder(&self, pod_uid: &str) -> PathBuf {
        self.root.join(pod_uid)
    }

    /// The log of one run, counted from 1.
    pub(super) fn file(&self, pod_uid: &str, container: &str, run: u32) -> PathBuf {
        self.folder(pod_uid).join(container).join(format!("{run}.log"))
    }

    /// Runs that left a log, in order.
    fn runs(&self, request: &LogRequest) -> Vec<u32> {
        let folder = self.folder(&request.pod_uid).join(&request.container);
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut runs: Vec<u32> =
            entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()).collect();
        runs.sort_unstable();
        runs
    }

    /// Whether the container's process may still write.
    fn is_running(&self, request: &LogRequest) -> bool {
        let Some(pod) = self.pods.get(&request.namespace, &request.pod) else { return false };
        let status = pod.status.as_ref();
        let main = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
        let init = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
        let mut containers = main.iter().chain(init).filter(|container| container.name == request.container);
        pod.uid().as_deref() == Some(&request.pod_uid)
            && containers.any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
    }
}

impl LogSource for LogFolder {
    fn open(&self, request: LogRequest) -> BoxFuture<'static, Result<LogStream, LogError>> {
        let folder = self.clone();
        Box::pin(async move { folder.open_run(request).await })
    }
}

impl LogFolder {
    async fn open_run(self, request: LogRequest) -> Result<LogStream, LogError> {
        let runs = self.runs(&request);
        let chosen = if request.previous { runs.iter().rev().nth(1) } else { runs.last() };
        let Some(run) = chosen else {
            let (container, pod) = (&request.container, &request.pod);
            return Err(LogError::NotAvailable(if request.previous {
                format!("previous terminated container \"{container}\" in pod \"{pod}\" not found")
            } else {
                format!("container \"{container}\" in pod \"{pod}\" is waiting to start: ContainerCreating")
            }));
        };
        let path = self.file(&request.pod_uid, &request.container, *run);
        let mut text = tokio::fs::read(rotated(&path)).await.unwrap_or_default();
        let current = tokio::fs::read(&path).await.map_err(|error| LogError::Failed(error.to_string()))?;
        let offset = current.len() as u64;
        text.extend_from_slice(&current);
        let first = select(&text, &request);
        let follow = request.follow && !request.previous;
        let limit = request.limit_bytes;
        let more: BoxStream<'static, std::io::Result<Bytes>> =
            if follow { followed(self, request, path, offset).boxed() } else { stream::empty().boxed() };
        Ok(limited(stream::iter([Ok(Bytes::from(first))]).chain(more).boxed(), limit))
    }
}

/// New lines of a file until the container ends.
fn followed(
    folder: LogFolder,
    request: LogRequest,
    path: PathBuf,
    offset: u64,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> {
    let state = Follower { folder, request: Arc::new(request), path, offset, pending: Vec::new() };
    stream::unfold(state, |mut state| async move {
        loop {
            let was_running = state.folder.is_running(&state.request);
            match state.read_more().await {
                Ok(lines) if !lines.is_empty() => return Some((Ok(Bytes::from(lines)), state)),
                // Looked at before the last read: whatever it wrote until then is out.
                Ok(_) if !was_running => return None,
                Ok(_) => tokio::time::sleep(FOLLOW_INTERVAL).await,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
                Err(error) => return Some((Err(error), state)),
            }
        }
    })
}

struct Follower {
    folder: LogFolder,
    request: Arc<LogRequest>,
    path: PathBuf,
    offset: u64,
    pending: Vec<u8>,
}

impl Follower {
    /// Complete lines that were written since the last call, as the request wants them.
    async fn read_more(&mut self) -> std::io::Result<Vec<u8>> {
        let length = tokio::fs::metadata(&self.path).await?.len();
        if length < self.offset {
            // The file was begun anew. What was written between the last look and that is in the older half.
            let rest = read_from(&rotated(&self.path), self.offset).await.unwrap_or_default();
            self.pending.extend(rest);
            self.offset = 0;
        }
        let fresh = read_from(&self.path, self.offset).await?;
        self.offset += fresh.len() as u64;
        self.pending.extend(fresh);
        let complete = self.pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.pending.drain(..complete).collect();
        Ok(render(lines.split_inclusive(|byte| *byte == b'\n'), &self.request))
    }
}

async fn read_from(path: &Path, offset: u64) -> std::io::Result<Vec<u8>> {
    use tokio::io::AsyncSeekExt;
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(std::io::SeekFrom::Start(offset)).await?;
    let mut fresh = Vec::new();
    file.read_to_end(&mut fresh).await?;
    Ok(fresh)
}

/// The lines that are asked for, of what is there now.
fn select(text: &[u8], request: &LogRequest) -> Vec<u8> {
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")).collect();
    let tail = request.tail_lines.and_then(|tail| usize::try_from(tail).ok()).unwrap_or(usize::MAX);
    let skipped = lines.len().saturating_sub(tail);
    render(lines.into_iter().skip(skipped), request)
}

/// Takes the runtime's prefix off each line, or leaves the time on.
fn render<'a>(lines: impl Iterator<Item = &'a [u8]>, request: &LogRequest) -> Vec<u8> {
    let mut rendered = Vec::new();
    for line in lines {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (Some(stamp), Some(_stream), Some(tag), Some(content)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if let Some(since) = request.since
            && std::str::from_utf8(stamp)
                .ok()
                .and_then(|stamp| stamp.parse::<Timestamp>().ok())
                .is_some_and(|at| at < since)
        {
            continue;
        }
        if request.timestamps {
            rendered.extend_from_slice(stamp);
            rendered.push(b' ');
        }
        let content = if tag == b"P" { content.strip_suffix(b"\n").unwrap_or(content) } else { content };
        rendered.extend_from_slice(content);
    }
    rendered
}

/// Cuts a stream after `limit` bytes.
fn limited(stream: LogStream, limit: Option<u64>) -> LogStream {
    let Some(limit) = limit else { return stream };
    stream
        .scan(limit, |left, part| {
            let result = match part {
                _ if *left == 0 => None,
                Ok(bytes) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    Some(Ok(bytes.slice(..taken)))
                }
                Err(error) => Some(Err(error)),
            };
            futures::future::ready(result)
        })
        .boxed()
}

#[cfg(test)]
mod tests;
