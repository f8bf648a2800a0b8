//! The store in another pod, over HTTP. Keeps connections open: with one store nothing is balanced, and of several that share a
//! database each answers the same. One that drains, or cannot reach its database, closes them.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Answer, Op, Outcome, Query, RideStore, Served, StoreError};
use crate::net::client::{Call, Peer};

/// What one call may take: several disk syncs of a slow laptop.
const CALL_MAX: Duration = Duration::from_secs(3);

/// A client of [`super::server`].
#[derive(Clone, Debug)]
pub struct RemoteStore {
    peer: Peer,
}

impl RemoteStore {
    /// Reaches the store behind `peer`.
    pub fn new(peer: Peer) -> Self {
        Self { peer: peer.reusing_connections() }
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<Served<T>, StoreError> {
        let call = Call::post(path, body);
        let unavailable = |error: crate::net::client::CallError| StoreError::Unavailable(error.to_string());
        let reply = self.peer.call(&call, CALL_MAX).await.map_err(unavailable)?;
        let value = reply.json().map_err(unavailable)?;
        Ok(Served { value, served_by: reply.served_by().to_owned() })
    }
}

impl RideStore for RemoteStore {
    fn write(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Served<Vec<Outcome>>, StoreError>> {
        async move { self.post("/write", &ops).await }.boxed()
    }

    fn read(&self, query: Query) -> BoxFuture<'_, Result<Served<Answer>, StoreError>> {
        async move { self.post("/read", &query).await }.boxed()
    }
}
