//! One sample: its requests, one after the other, and their answers. Classifies what went wrong by who is to blame; it must
//! not try twice.

use std::error::Error as _;
use std::io;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chaos_core::model::{Source, Success};
use chaos_core::placeholder::{Extracted, SlotKey};
use chaos_core::record::BadClass;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::connection::{Connection, Connections, Sent};
use super::judge;
use super::plan::StepPlan;
use super::request::Requests;
use super::{HttpPlan, LoadContext, LoadError, fnv1a};

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
    requests: Requests,
    connections: Connections,
    seed: u64,
    run: u128,
}

/// What came of a sample that was sent.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Who served it.
    pub(super) pods: Vec<String>,
    /// How long each of its requests took until its answer was whole, as far as there were answers.
    pub(super) took: Vec<Duration>,
    /// What is wrong with it.
    pub(super) wrong: Option<Failure>,
}

/// What went wrong.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::probe) struct Failure {
    pub(in crate::probe) class: BadClass,
    pub(in crate::probe) detail: String,
}

impl Exchange {
    pub(super) fn new(plan: HttpPlan, context: &LoadContext) -> Result<Self, LoadError> {
        let requests =
            Requests::new(&plan).map_err(|message| LoadError::Requests { probe: plan.name.clone(), message })?;
        let verified = plan.server_name.as_deref().unwrap_or(&plan.origin.host);
        let connections = Connections::new(&plan.origin, verified, plan.version, plan.keep_alive, &plan.trust)?;
        // Two probes of a run draw values of their own.
        let probe = fnv1a(&plan.name);
        let (seed, run) = (context.seed ^ probe, context.run ^ (u128::from(probe) << 64));
        Ok(Self { plan, requests, connections, seed, run })
    }

    /// Sends the requests of a slot, each on a good answer to the one before, and reads the answers. The caller bounds the
    /// time.
    pub(super) async fn run(&self, slot: u64) -> Answer {
        let key = SlotKey { slot, seed: self.seed, run: self.run };
        let (mut answer, mut extracted) = (Answer::default(), Extracted::new());
        let steps = self.plan.steps.len();
        for (i, (step, request)) in self.plan.steps.iter().zip(&self.requests.steps).enumerate() {
            let began = Instant::now();
            let request = self.requests.request(request, key, &extracted);
            // What a server gave is to blame where it makes the next request invalid.
            let class = if i == 0 { BadClass::Unsent } else { BadClass::Body };
            let answered = match request {
                Ok(request) => self.step(step, request, &mut answer.pods, &mut extracted).await,
                Err(message) => Err(Failure::new(class, message)),
            };
            if let Err(failure) = answered {
                answer.wrong = Some(if steps == 1 { failure } else { failure.in_step(i + 1, steps) });
                break;
            }
            answer.took.push(began.elapsed());
        }
        answer
    }

    /// One request, its answer, and what is wrong with it.
    async fn step(
        &self,
        step: &StepPlan,
        request: Request<Full<Bytes>>,
        pods: &mut Vec<String>,
        extracted: &mut Extracted,
    ) -> Result<(), Failure> {
        let (response, connection) = self.send(request).await?;
        let (head, body) = response.into_parts();
        self.served(&head.headers, pods);
        let good = is_good(&step.success, head.status);
        let body = read(body, good && wants_body(step)).await?;
        self.connections.keep(connection);
        if !good {
            return Err(Failure::new(BadClass::Status, format!("status {}", head.status.as_u16())));
        }
        judge::headers(&step.success, &head.headers)?;
        judge::body(step, &head.headers, body.as_deref().unwrap_or_default(), extracted)
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, Connection), Failure> {
        if let Some(connection) = self.connections.kept() {
            match connection.send(request).await {
                Sent::Answered(response, connection) => return Ok((response, connection)),
                Sent::Failed(failure) => return Err(failure),
                Sent::Unwritten(unwritten) => request = unwritten,
            }
        }
        // Boxed: what a handshake needs would else be part of the task of every request.
        match Box::pin(self.connections.open()).await?.send(request).await {
            Sent::Answered(response, connection) => Ok((response, connection)),
            Sent::Failed(failure) => Err(failure),
            Sent::Unwritten(_) => {
                Err(Failure::new(BadClass::Reset, "answer: the connection was closed as soon as it was open"))
            }
        }
    }

    /// Opens a connection and closes it again: whether anybody is there.
    pub(super) async fn knock(&self) -> Result<(), Failure> {
        self.connections.open().await.map(drop)
    }

    fn served(&self, headers: &HeaderMap, pods: &mut Vec<String>) {
        let Some(name) = &self.plan.exposure else { return };
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        let names = values.flat_map(|value| value.split(',')).map(str::trim);
        let named = names.filter(|name| !name.is_empty() && name.len() <= 253).take(MOST_PODS).map(str::to_owned);
        for pod in named {
            if !pods.contains(&pod) {
                pods.push(pod);
            }
        }
    }
}

fn is_good(success: &Success, status: StatusCode) -> bool {
    let good = &success.status;
    if good.is_empty() { status.is_success() } else { good.contains(&status.as_u16()) }
}

fn wants_body(step: &StepPlan) -> bool {
    !step.success.bodies.is_empty() || step.extract.iter().any(|extract| matches!(extract.from, Source::Body(_)))
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

impl Failure {
    pub(super) fn new(class: BadClass, detail: impl AsRef<str>) -> Self {
        Self { class, detail: detail.as_ref().chars().take(LONGEST_DETAIL).collect() }
    }

    /// Says which request of a flow it was.
    fn in_step(self, step: usize, of: usize) -> Self {
        Self::new(self.class, format!("request {step} of {of}: {}", self.detail))
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
            if let Some(http2) = inner.downcast_ref::<h2::Error>() {
                return Self::of_http2(stage, http2);
            }
            cause = inner.source();
        }
        let cut =
            error.is_incomplete_message() || error.is_closed() || error.is_canceled() || error.is_body_write_aborted();
        let class = if cut { BadClass::Reset } else { BadClass::Other };
        Self::new(class, format!("{stage}: {error}"))
    }

    /// A stream or connection that the other side gave up is cut; one that it used wrongly is not HTTP/2.
    fn of_http2(stage: &str, error: &h2::Error) -> Self {
        if let Some(io) = error.get_io() {
            return Self::of_io(stage, io);
        }
        let class = if error.is_remote() { BadClass::Reset } else { BadClass::Other };
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
