//! Follows a watch until told to stop. What an event means is for whoever asked.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::runtime::watcher;
use tokio_util::sync::CancellationToken;

/// The watcher backs off on its own only between polls: a short pause keeps an unreachable server from being hammered.
const PAUSE: Duration = Duration::from_millis(200);

/// Hands every event to `take` until stopped or the stream ends. A broken watch is resumed: nothing that changed meanwhile is
/// lost, as the watcher lists anew.
pub(super) async fn follow<T>(
    stream: impl Stream<Item = watcher::Result<T>>,
    stop: &CancellationToken,
    mut take: impl FnMut(T),
) {
    let mut stream = pin!(stream);
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return,
            next = stream.next() => next,
        };
        match next {
            Some(Ok(event)) => take(event),
            Some(Err(error)) => {
                tracing::debug!(%error, "watch broke, resuming");
                tokio::time::sleep(PAUSE).await;
            }
            None => return,
        }
    }
}
