//! Rides on a PostgreSQL server, which any number of pods may share: this process keeps nothing. One connection writes, with
//! **group commit**: all writes that wait while the server syncs share the next transaction. A few others read. Nothing is
//! acknowledged before the server has said that its transaction is on disk, and what is not known to have failed or happened is told
//! as unknown: the same write, sent again, finds what it had done.

mod address;
mod link;
mod read;
mod rows;
mod schema;
mod tls;
mod write;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use self::address::Address;
use self::link::{Failure, Link};
use self::read::Readers;
use self::write::Writer;
use super::{Answer, Op, Outcome, Query, RideStore, Served, StoreError};

/// Calls that may wait for the writer before callers are held back.
const QUEUE: usize = 1024;
/// Calls that share one transaction at most.
const GROUP: usize = 256;
/// Operations after which no further call joins a transaction: other pods wait for its end.
const GROUP_OPS: usize = 1_000;
/// What a caller waits at most, for a server that is away as well: less than the pods that call this one wait.
const CALL_MAX: Duration = Duration::from_millis(2_800);
/// What making the schema may take: an index of a large table, or another pod that makes one.
const PREPARE_MAX: Duration = Duration::from_secs(120);
/// Shortest pause before the server is tried again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How the database is used.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Whether the database itself refuses a second active ride of one driver.
    pub unique_driver_index: bool,
    /// PEM file of the authorities that an encrypted server is trusted by; the system's without one.
    pub ca_file: Option<PathBuf>,
}

/// A write and who waits for it.
struct Call {
    ops: Vec<Op>,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Vec<Outcome>, StoreError>>;

/// A handle on the connections; they end when the last one is dropped.
#[derive(Clone)]
pub struct PostgresStore {
    writes: mpsc::Sender<Call>,
    readers: Arc<Readers>,
    /// Why nothing can be written, while that is so.
    trouble: watch::Receiver<Option<String>>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("trouble", &*self.trouble.borrow()).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Starts on the current runtime to connect to the server, to make its schema, and to do so again whenever it was away. That it is
    /// away is no error here: [`RideStore::check`] says so.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the URL or the file of certificates cannot be used.
    pub fn start(url: &str, options: &PostgresOptions) -> Result<Self, StoreError> {
        let address = Arc::new(Address::read(url, options.ca_file.as_deref())?);
        tracing::info!(database = address.name, "the database is on a PostgreSQL server");
        let (writes, queue) = mpsc::channel(QUEUE);
        let (told, trouble) = watch::channel(Some("not connected yet".to_owned()));
        let readers = Arc::new(Readers::new(Arc::clone(&address)));
        tokio::spawn(run_writer(address, options.unique_driver_index, queue, told));
        Ok(Self { writes, readers, trouble })
    }

    async fn ask(&self, ops: Vec<Op>) -> Result<Vec<Outcome>, StoreError> {
        let ended = || StoreError::Unavailable("the writer has ended".into());
        let (reply, answer) = oneshot::channel();
        self.writes.send(Call { ops, reply }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Waits for an answer for as long as a caller may wait.
    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<Served<T>, StoreError> {
        let Ok(answer) = tokio::time::timeout(CALL_MAX, asked).await else {
            let trouble = self.trouble.borrow().clone();
            return Err(StoreError::Unavailable(trouble.unwrap_or_else(|| format!("no answer within {CALL_MAX:?}"))));
        };
        Ok(Served { value: answer?, served_by: String::new() })
    }
}

impl RideStore for PostgresStore {
    fn write(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Served<Vec<Outcome>>, StoreError>> {
        self.in_time(self.ask(ops)).boxed()
    }

    fn read(&self, query: Query) -> BoxFuture<'_, Result<Served<Answer>, StoreError>> {
        async move { self.in_time(self.readers.answer(&query)).await }.boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let trouble = self.trouble.borrow().clone();
            match trouble {
                Some(reason) => Err(StoreError::Unavailable(reason)),
                None => self.read(Query::Stats).await.map(drop),
            }
        }
        .boxed()
    }

    /// Whether the task that writes is there; that the server is away is no reason for another process.
    fn is_alive(&self) -> bool {
        !self.writes.is_closed()
    }
}

/// Writes until the last handle is gone; connects again for as long as that takes.
async fn run_writer(
    address: Arc<Address>,
    unique_driver_index: bool,
    mut queue: mpsc::Receiver<Call>,
    trouble: watch::Sender<Option<String>>,
) {
    let mut waiting = Vec::new();
    let mut pause = PAUSE_MIN;
    while !(queue.is_closed() && queue.is_empty()) {
        match open(&address, unique_driver_index).await {
            Ok(mut writer) => {
                tracing::info!(database = address.name, "connected");
                trouble.send_replace(None);
                pause = PAUSE_MIN;
                waiting = serve(&mut writer, &mut queue, waiting).await;
                trouble.send_replace(Some("the connection to the database was lost".into()));
            }
            Err(reason) => {
                if trouble.borrow().as_ref() != Some(&reason) {
                    tracing::warn!("{reason}");
                }
                trouble.send_replace(Some(reason));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// A connection that can write, to a database whose schema is there.
async fn open(address: &Address, unique_driver_index: bool) -> Result<Writer, String> {
    let link = Link::open(address).await?;
    let named = |reason: String| format!("the database at {}: {reason}", address.name);
    let prepared = tokio::time::timeout(PREPARE_MAX, schema::prepare(&link.client, unique_driver_index)).await;
    prepared.unwrap_or_else(|_| Err(format!("its schema is not made within {PREPARE_MAX:?}"))).map_err(named)?;
    Writer::new(link).await.map_err(|failure| named(failure.into_reason()))
}

/// Commits group after group until the connection is lost or nobody can ask any more. Calls whose transaction went with the connection
/// are handed back: they surely were not committed.
async fn serve(writer: &mut Writer, queue: &mut mpsc::Receiver<Call>, mut group: Vec<Call>) -> Vec<Call> {
    loop {
        if group.is_empty() {
            let next = tokio::select! {
                next = queue.recv() => next,
                () = writer.closed() => return group,
            };
            let Some(first) = next else { return group };
            group.push(first);
        }
        let mut ops: usize = group.iter().map(|call| call.ops.len()).sum();
        while group.len() < GROUP && ops < GROUP_OPS {
            let Ok(next) = queue.try_recv() else { break };
            ops += next.ops.len();
            group.push(next);
        }
        // Who gave up waiting has been told that the outcome is unknown; not to do it at all is the better one.
        group.retain(|call| !call.reply.is_closed());
        group = commit(writer, group).await;
        if !group.is_empty() || writer.is_lost() {
            return group;
        }
    }
}

/// Commits a group and answers; returns the calls that surely were not committed and have no answer.
async fn commit(writer: &mut Writer, group: Vec<Call>) -> Vec<Call> {
    let (calls, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|call| (call.ops, call.reply)).unzip();
    if calls.is_empty() {
        return Vec::new();
    }
    match writer.commit_group(&calls).await {
        Err(Failure::RolledBack(reason)) if calls.len() > 1 => {
            tracing::warn!(reason, calls = calls.len(), "transaction rolled back; each call is written by itself");
            commit_alone(writer, together(calls, replies)).await
        }
        result => settle(result, calls, replies),
    }
}

/// One call that fails must not take down those that shared its transaction.
async fn commit_alone(writer: &mut Writer, calls: Vec<Call>) -> Vec<Call> {
    let mut calls = calls.into_iter();
    while let Some(call) = calls.next() {
        if call.reply.is_closed() {
            continue;
        }
        let ops = vec![call.ops];
        let result = writer.commit_group(&ops).await;
        let mut left = settle(result, ops, vec![call.reply]);
        if !left.is_empty() || writer.is_lost() {
            left.extend(calls);
            return left;
        }
    }
    Vec::new()
}

fn together(calls: Vec<Vec<Op>>, replies: Vec<Reply>) -> Vec<Call> {
    calls.into_iter().zip(replies).map(|(ops, reply)| Call { ops, reply }).collect()
}

/// Answers as far as something is known; returns the calls that surely were not committed and can be written again.
fn settle(result: Result<Vec<Vec<Outcome>>, Failure>, calls: Vec<Vec<Op>>, replies: Vec<Reply>) -> Vec<Call> {
    let count = calls.len();
    let answers: Vec<Result<Vec<Outcome>, StoreError>> = match result {
        Ok(results) => results.into_iter().map(Ok).collect(),
        Err(Failure::Lost(reason)) => {
            tracing::warn!(reason, calls = count, "connection lost before the commit; the calls are written again");
            return together(calls, replies);
        }
        Err(Failure::Unknown(reason)) => {
            tracing::warn!(reason, calls = count, "connection lost in mid-commit; whether it happened is unknown");
            (0..count).map(|_| Err(StoreError::Unavailable(reason.clone()))).collect()
        }
        Err(Failure::RolledBack(reason)) => {
            tracing::error!(reason, "call rolled back");
            (0..count).map(|_| Err(StoreError::Database(reason.clone()))).collect()
        }
    };
    for (reply, answer) in replies.into_iter().zip(answers) {
        // A caller that gave up waiting will retry and find its write done: its reply may go nowhere.
        let _ = reply.send(answer);
    }
    Vec::new()
}
