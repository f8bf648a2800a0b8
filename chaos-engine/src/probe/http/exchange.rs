//! One request and its answer: send, read, judge. Classifies what went wrong by who is to blame; it must not try twice.

use std::error::Error as _;
use std::io;

use bytes::{Bytes, BytesMut};
use chaos_core::model::BodyCheck;
use chaos_core::placeholder::SlotKey;
use chaos_core::record::BadClass;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value;

use super::connection::{Connection, Connections};
use super::{HttpPlan, LoadContext, fnv1a};

/// A body that is to be checked is read up to this size, in bytes.
const LARGEST_BODY: usize = 1 << 20;
/// Details are for people: longer ones are cut, in characters.
const LONGEST_DETAIL: usize = 200;
/// Pods that one answer may name.
const MOST_PODS: usize = 16;

/// Sends the requests of one probe.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) plan: HttpPlan,
    connections: Connections,
    seed: u64,
    run: u128,
}

/// An answer that was read to its end, good or bad.
#[derive(Debug)]
pub(super) struct Answer {
    /// Who served it.
    pub(super) pods: Vec<String>,
    /// What is wrong with it.
    pub(super) wrong: Option<Failure>,
}

/// What went wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: BadClass,
    pub(super) detail: String,
}

impl Exchange {
    pub(super) fn new(plan: HttpPlan, context: &LoadContext) -> Result<Self, rustls::Error> {
        let connections = Connections::new(&plan.origin)?;
        // Two probes of a run draw values of their own.
        let probe = fnv1a(&plan.name);
        let (seed, run) = (context.seed ^ probe, context.run ^ (u128::from(probe) << 64));
        Ok(Self { plan, connections, seed, run })
    }

    /// Sends the request of a slot and reads the answer. The caller bounds the time.
    pub(super) async fn run(&self, slot: u64) -> Result<Answer, Failure> {
        let key = SlotKey { slot, seed: self.seed, run: self.run };
        let request = self.plan.request(key).map_err(|message| Failure::new(BadClass::Unsent, message))?;
        let (response, connection) = self.send(request).await?;
        let (head, body) = response.into_parts();
        let pods = self.pods(&head.headers);
        let wanted = self.plan.success.body.as_ref().filter(|_| self.is_good(head.status));
        let body = read(body, wanted.is_some()).await?;
        if self.plan.keep_alive {
            self.connections.keep(connection);
        }
        let wrong = if self.is_good(head.status) {
            wanted.and_then(|check| wrong_body(check, body.as_deref()))
        } else {
            Some(Failure::new(BadClass::Status, format!("status {}", head.status.as_u16())))
        };
        Ok(Answer { pods, wrong })
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, Connection), Failure> {
        if let Some(mut connection) = self.connections.kept() {
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                Err(mut error) => match error.take_message() {
                    // The server had closed it while it was idle: nothing was written.
                    Some(unwritten) => request = unwritten,
                    None => return Err(Failure::of_hyper("answer", &error.into_error())),
                },
            }
        }
        let mut connection = self.connections.open().await?;
        let response = connection.sender.send_request(request).await;
        Ok((response.map_err(|error| Failure::of_hyper("answer", &error))?, connection))
    }

    fn is_good(&self, status: StatusCode) -> bool {
        let good = &self.plan.success.status;
        if good.is_empty() { status.is_success() } else { good.contains(&status.as_u16()) }
    }

    fn pods(&self, headers: &HeaderMap) -> Vec<String> {
        let Some(name) = &self.plan.exposure else { return Vec::new() };
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        let names = values.flat_map(|value| value.split(',')).map(str::trim);
        names.filter(|name| !name.is_empty() && name.len() <= 253).take(MOST_PODS).map(str::to_owned).collect()
    }
}

/// Reads a body to its end; keeps it where it is wanted and not too large.
async fn read(mut body: Incoming, wanted: bool) -> Result<Option<BytesMut>, Failure> {
    let mut kept = wanted.then(BytesMut::new);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::of_hyper("body", &error))?;
        if let (Some(data), Some(buffer)) = (frame.data_ref(), &mut kept) {
            if buffer.len() + data.len() > LARGEST_BODY {
                return Err(Failure::new(BadClass::Body, format!("larger than {LARGEST_BODY} bytes")));
            }
            buffer.extend_from_slice(data);
        }
    }
    Ok(kept)
}

fn wrong_body(check: &BodyCheck, body: Option<&[u8]>) -> Option<Failure> {
    let wrong = |detail: String| Some(Failure::new(BadClass::Body, detail));
    let value: Value = match serde_json::from_slice(body.unwrap_or_default()) {
        Ok(value) => value,
        Err(error) => return wrong(format!("not JSON: {error}")),
    };
    match check {
        BodyCheck::Exists(path) if path.query(&value).is_empty() => wrong(format!("{path} selects nothing")),
        BodyCheck::Absent(path) if !path.query(&value).is_empty() => wrong(format!("{path} selects something")),
        BodyCheck::Equals(path, expected) => match path.query(&value).first() {
            Some(found) if found == expected => None,
            Some(found) => wrong(format!("{path} is {found}, not {expected}")),
            None => wrong(format!("{path} selects nothing")),
        },
        BodyCheck::Exists(_) | BodyCheck::Absent(_) => None,
    }
}

impl Failure {
    pub(super) fn new(class: BadClass, detail: impl AsRef<str>) -> Self {
        Self { class, detail: detail.as_ref().chars().take(LONGEST_DETAIL).collect() }
    }

    pub(super) fn of_io(stage: &str, error: &io::Error) -> Self {
        if is_own_lack(error) {
            return Self::new(
                BadClass::Unsent,
                format!("{stage}: {error}; hint: raise the limit of open files (ulimit -n)"),
            );
        }
        Self::new(class_of(error), format!("{stage}: {error}"))
    }

    pub(super) fn of_hyper(stage: &str, error: &hyper::Error) -> Self {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return Self::of_io(stage, io);
            }
            cause = inner.source();
        }
        let cut =
            error.is_incomplete_message() || error.is_closed() || error.is_canceled() || error.is_body_write_aborted();
        let class = if cut { BadClass::Reset } else { BadClass::Other };
        Self::new(class, format!("{stage}: {error}"))
    }
}

fn class_of(error: &io::Error) -> BadClass {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => BadClass::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => BadClass::Reset,
        io::ErrorKind::TimedOut => BadClass::Timeout,
        _ => BadClass::Other,
    }
}

/// Whether this machine, not the system under test, ran out of something: files (EMFILE, ENFILE), buffers or ports.
pub(in crate::probe) fn is_own_lack(error: &io::Error) -> bool {
    use nix::libc::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM | EADDRNOTAVAIL))
}
