//! The work queue of one controller: each key at most once, failures retried with growing pauses.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cache::ObjectKey;

/// First pause after a failure; it doubles with each further one, up to [`MAX_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(5);
const MAX_RETRY: Duration = Duration::from_secs(10);
/// A pause that ends at no instant that a clock can tell is one of this.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// See the module. Clones share the queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    order: VecDeque<ObjectKey>,
    waiting: HashSet<ObjectKey>,
    failures: HashMap<ObjectKey, u32>,
    /// When a key is to be put in line; the earliest wish of each key.
    due: HashMap<ObjectKey, Instant>,
}

impl Queue {
    /// Puts a key in line, unless it stands there already.
    pub(crate) fn add(&self, key: ObjectKey) {
        let mut state = self.lock();
        if state.waiting.insert(key.clone()) {
            state.order.push_back(key);
            self.inner.added.notify_one();
        }
    }

    /// Puts all keys in line.
    pub(crate) fn add_all(&self, keys: impl IntoIterator<Item = ObjectKey>) {
        for key in keys {
            self.add(key);
        }
    }

    /// Puts a key in line after a pause. An earlier wish of the same key makes a later one unnecessary: what is decided
    /// then includes what comes next.
    pub(crate) fn add_after(&self, key: ObjectKey, pause: Duration) {
        let now = Instant::now();
        let due = now.checked_add(pause).unwrap_or(now + FAR);
        {
            let mut state = self.lock();
            if state.due.get(&key).is_some_and(|known| *known <= due) {
                return;
            }
            state.due.insert(key.clone(), due);
        }
        let queue = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(due).await;
            let is_current = queue.lock().due.get(&key) == Some(&due);
            if is_current {
                queue.lock().due.remove(&key);
                queue.add(key);
            }
        });
    }

    /// The next key, whenever there is one. For one consumer: it never has the same key twice in hand.
    pub(crate) async fn next(&self) -> ObjectKey {
        loop {
            if let Some(key) = self.take() {
                return key;
            }
            self.inner.added.notified().await;
        }
    }

    /// The key's work is done; the next failure is its first.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.lock().failures.remove(key);
    }

    /// The key's work failed: again, after a pause.
    pub(crate) fn retry(&self, key: ObjectKey) {
        let pause = {
            let mut state = self.lock();
            let failures = state.failures.entry(key.clone()).or_default();
            *failures += 1;
            retry_pause(*failures)
        };
        self.add_after(key, pause);
    }

    fn take(&self) -> Option<ObjectKey> {
        let mut state = self.lock();
        let key = state.order.pop_front()?;
        state.waiting.remove(&key);
        Some(key)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `failures` counts from 1.
fn retry_pause(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(MAX_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    #[tokio::test]
    async fn a_key_waits_once_and_may_be_added_again_while_it_is_worked_on() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("b"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("b"));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(queue.take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn wishes_for_later_do_not_pile_up() {
        let queue = Queue::default();
        for _ in 0..10 {
            queue.add_after(key("a"), Duration::from_secs(5));
        }
        queue.add_after(key("a"), Duration::from_secs(1));
        queue.add_after(key("b"), Duration::MAX);
        let started = Instant::now();
        queue.next().await;
        assert_eq!(started.elapsed().as_secs(), 1);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(queue.take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_pause_longer_and_longer_until_one_success() {
        let queue = Queue::default();
        let started = tokio::time::Instant::now();
        for _ in 0..3 {
            queue.retry(key("a"));
            queue.next().await;
        }
        assert_eq!(started.elapsed().as_millis(), 5 + 10 + 20);
        queue.forget(&key("a"));
        assert_eq!(queue.lock().failures.len(), 0);
        assert_eq!((retry_pause(1), retry_pause(40)), (FIRST_RETRY, MAX_RETRY));
    }
}
