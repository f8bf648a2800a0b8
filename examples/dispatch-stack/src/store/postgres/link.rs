//! One connection to the server, set up so that what it commits is durable and nothing on it takes for ever. Knows how a driver's
//! error is to be read: what surely did not happen, and what may have.

use std::error::Error as _;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::address::Address;
use crate::store::StoreError;

/// What connecting may take in all; after it, another attempt is better.
const OPEN_MAX: Duration = Duration::from_secs(3);
/// How each session is set up, and what must be known of the server:
/// - what a statement, a lock and a client between two statements of a transaction may take: one that hangs must not hold up the other
///   pods for longer;
/// - that a commit waits for the disk, and for standbys where there are any;
/// - that statements go by the indexes: they are planned once, maybe when the tables are still empty.
const SETTINGS: &str = "SELECT current_setting('fsync'),
    set_config('statement_timeout', '2000', false), set_config('lock_timeout', '1500', false),
    set_config('idle_in_transaction_session_timeout', '2000', false),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
    set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false), set_config('client_min_messages', 'warning', false)";
/// What an answer may take before the connection counts as dead: longer than the server itself lets a statement run.
pub(super) const ANSWER_MAX: Duration = Duration::from_millis(2_200);

/// Why something could not be done, and what that says of the transaction that it was part of.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused it: the transaction is rolled back, and the connection goes on.
    RolledBack(String),
    /// The connection is gone, and the transaction with it: it never was committed.
    Lost(String),
    /// The connection went while a commit was under way: it may have happened.
    Unknown(String),
}

impl Failure {
    /// In words.
    pub(super) fn into_reason(self) -> String {
        match self {
            Self::RolledBack(reason) | Self::Lost(reason) | Self::Unknown(reason) => reason,
        }
    }

    /// As callers of the store are told.
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::RolledBack(reason) => StoreError::Database(reason),
            Self::Lost(reason) | Self::Unknown(reason) => StoreError::Unavailable(reason),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if is_refusal(&error) || !(error.is_closed() || error.as_db_error().is_some()) {
            return Self::RolledBack(reason(&error));
        }
        Self::Lost(reason(&error))
    }
}

/// Whether the server itself said no and goes on, so that the transaction is certainly not committed.
pub(super) fn is_refusal(error: &Error) -> bool {
    error.as_db_error().is_some_and(|refusal| refusal.parsed_severity() == Some(Severity::Error))
}

/// An error in words, without what the driver leaves out or adds.
pub(super) fn reason(error: &Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return format!("{} ({})", refusal.message(), refusal.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Waits for the server for [`ANSWER_MAX`]. Whoever is told [`Failure::Lost`] must drop the connection.
pub(super) async fn within<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER_MAX, asked).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::Lost(format!("no answer within {ANSWER_MAX:?}"))),
    }
}

/// A connection. When it is dropped the server notices at once, and rolls back what was not committed.
pub(super) struct Link {
    pub(super) client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// Connects and sets the session up.
    ///
    /// # Errors
    /// The server's name and the reason, and nothing secret.
    pub(super) async fn open(address: &Address) -> Result<Self, String> {
        let failed = |reason: String| format!("the database at {}: {reason}", address.name);
        match tokio::time::timeout(OPEN_MAX, Self::connect(address)).await {
            Ok(opened) => opened.map_err(failed),
            Err(_) => Err(failed(format!("not connected within {OPEN_MAX:?}"))),
        }
    }

    async fn connect(address: &Address) -> Result<Self, String> {
        let connected = address.config.connect(address.encryption.clone()).await;
        let (client, connection) = connected.map_err(|error| format!("{}{}", reason(&error), hint(&error)))?;
        let driver = tokio::spawn(async move {
            // An error here is also returned by the statement that it broke.
            let _ = connection.await;
        });
        let link = Self { client, driver };
        let answered = link.client.simple_query(SETTINGS).await.map_err(|error| reason(&error))?;
        let fsync = answered.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten(),
            _ => None,
        });
        if fsync != Some("on") {
            return Err(
                "fsync is off, so that what it acknowledges may be lost\nhint: fsync = on in postgresql.conf".into()
            );
        }
        Ok(link)
    }

    /// Whether nothing can be asked any more.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits until the connection is gone.
    pub(super) async fn closed(&mut self) {
        // Aborted or panicked, it is gone as well.
        let _ = (&mut self.driver).await;
    }
}

/// What a person can do about a refused connection.
fn hint(error: &Error) -> &'static str {
    match error.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "\nhint: DATABASE_URL holds user and password, and pg_hba.conf who may connect"
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => "\nhint: the database must exist; its tables are made",
        Some(_) => "",
        None if error.to_string().contains("TLS") => {
            "\nhint: DATABASE_CA_FILE says whom to trust, and the host of DATABASE_URL is the name in the certificate"
        }
        None => "",
    }
}
