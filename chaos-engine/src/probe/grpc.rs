//! The standard health check of a gRPC server, `grpc.health.v1.Health/Check`, spoken by hand over HTTP/2: the request is one
//! string and the answer one number. That nobody answers, or that a server says it does not serve, is an answer; one that
//! cannot say (no such check, no such service, no gRPC at all) is none.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use chaos_core::model::HttpVersion;
use chaos_core::record::BadClass;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::Trust;
use super::http::{Connections, Origin, Sent, is_own_lack};
use super::look::NoAnswer;

const METHOD: &str = "/grpc.health.v1.Health/Check";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Largest answer, in bytes; a whole one has seven.
const LARGEST: usize = 4_096;

/// A server to ask.
#[derive(Debug)]
pub struct GrpcLook {
    connections: Connections,
    origin: Origin,
    service: String,
    timeout: Duration,
}

/// What came of a check.
enum Check {
    /// The number that the server gave.
    Status(u64),
    /// Nobody answers there.
    Silent(String),
}

impl GrpcLook {
    /// A check of `service` (empty: of the server as a whole).
    pub fn new(origin: Origin, trust: &Trust, service: &str, timeout: Duration) -> Result<Self, NoAnswer> {
        // Each look has a connection of its own: a kept one would pin it to one of several servers.
        let connections = Connections::new(&origin, &origin.host, HttpVersion::Http2, false, trust);
        let connections = connections.map_err(|error| NoAnswer::new("tls", error))?;
        Ok(Self { connections, origin, service: service.to_owned(), timeout })
    }

    /// `{serving: true, status}` or `{serving: false, …}` with the status or why there is none.
    pub(super) async fn value(&self) -> Result<Value, NoAnswer> {
        let silent = |why: String| json!({"serving": false, "error": why});
        match tokio::time::timeout(self.timeout, self.check()).await {
            Err(_) => Ok(silent(format!("no answer in {} ms", self.timeout.as_millis()))),
            Ok(check) => match check? {
                Check::Silent(why) => Ok(silent(why)),
                Check::Status(0) => Ok(json!({"serving": false, "status": "UNKNOWN"})),
                Check::Status(1) => Ok(json!({"serving": true, "status": "SERVING"})),
                Check::Status(2) => Ok(json!({"serving": false, "status": "NOT_SERVING"})),
                Check::Status(3) => Err(self.unknown_service()),
                Check::Status(other) => Err(NoAnswer::new("unparsable", format!("{other} is no health status"))),
            },
        }
    }

    async fn check(&self) -> Result<Check, NoAnswer> {
        let stream = match self.connections.reach().await {
            Ok(stream) => stream,
            Err(error) if is_own_lack(&error) => return Err(NoAnswer::new("ownLack", error)),
            // Whatever the network says of it (no route, no such name): whoever was not reached has not spoken something else.
            Err(error) => return Ok(Check::Silent(format!("connect: {error}"))),
        };
        let connection = match self.connections.begin(stream).await {
            Ok(connection) => connection,
            Err(failure) => return silent_or_none(failure.class, &failure.detail),
        };
        match connection.send(self.request()?).await {
            // The connection must live until the answer was read.
            Sent::Answered(response, _connection) => self.read(response).await,
            Sent::Failed(failure) => silent_or_none(failure.class, &failure.detail),
            Sent::Unwritten(_) => Ok(Check::Silent("the connection was closed as soon as it was open".to_owned())),
        }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, NoAnswer> {
        let invalid = |error: http::Error| NoAnswer::new("badUrl", error);
        let scheme = if self.origin.tls { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(self.origin.authority()).path_and_query(METHOD).build();
        let mut request = Request::new(Full::new(framed(&self.service)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.map_err(invalid)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        Ok(request)
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Check, NoAnswer> {
        let (head, mut body) = response.into_parts();
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if head.status != StatusCode::OK || !kind.starts_with("application/grpc") {
            // What a proxy says in place of a server that is gone.
            if matches!(head.status.as_u16(), 502..=504) {
                return Ok(Check::Silent(format!("http status {}", head.status.as_u16())));
            }
            let found = format!("http status {} and content type {kind:?}", head.status.as_u16());
            return Err(NoAnswer::new("notGrpc", format!("the server speaks no gRPC: {found}")));
        }
        let (mut message, mut trailers) = (BytesMut::new(), head.headers);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => match frame.into_data() {
                    Ok(data) if message.len() + data.len() <= LARGEST => message.extend_from_slice(&data),
                    Ok(_) => {
                        return Err(NoAnswer::new("tooLarge", format!("the answer has more than {LARGEST} bytes")));
                    }
                    Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
                },
                Err(error) => return Ok(Check::Silent(format!("the answer broke off: {error}"))),
            }
        }
        self.outcome(&trailers, &message)
    }

    /// By the status of the call, and the message if it is 0 (OK).
    fn outcome(&self, trailers: &HeaderMap, message: &[u8]) -> Result<Check, NoAnswer> {
        let text = |name: HeaderName| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let status = text(STATUS).parse::<u32>();
        let told = format!("gRPC status {}: {}", text(STATUS), text(MESSAGE));
        match status {
            Ok(0) => parse(message).map(Check::Status),
            Ok(5) => Err(self.unknown_service()),
            Ok(7 | 16) => Err(NoAnswer::new("refused", told)),
            Ok(12) => Err(NoAnswer::new(
                "unimplemented",
                "the server has no health check; hint: register grpc.health.v1.Health, or use tcp",
            )),
            // DEADLINE_EXCEEDED and UNAVAILABLE.
            Ok(4 | 14) => Ok(Check::Silent(told)),
            Ok(_) => Err(NoAnswer::new("failed", told)),
            Err(_) => Err(NoAnswer::new("unparsable", "the answer has no gRPC status")),
        }
    }

    fn unknown_service(&self) -> NoAnswer {
        let service = &self.service;
        NoAnswer::new("unknownService", format!("the server's health check knows no service {service:?}"))
    }
}

/// A connection that fails is an answer, unless it is this machine that lacks something, or TLS that is set up wrongly.
fn silent_or_none(class: BadClass, detail: &str) -> Result<Check, NoAnswer> {
    match class {
        BadClass::Unsent => Err(NoAnswer::new("ownLack", detail)),
        BadClass::Tls => Err(NoAnswer::new("tls", detail)),
        BadClass::Other => Err(NoAnswer::new("notGrpc", detail)),
        _ => Ok(Check::Silent(detail.to_owned())),
    }
}

/// `HealthCheckRequest {string service = 1}` behind the prefix of a gRPC message: no compression, length in four bytes.
fn framed(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        put_varint(service.len() as u64, &mut message);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(&message);
    framed.freeze()
}

/// The status in a `HealthCheckResponse {ServingStatus status = 1}`; absent: 0. Unknown fields are passed over.
fn parse(mut framed: &[u8]) -> Result<u64, NoAnswer> {
    let torn = || NoAnswer::new("unparsable", "the answer is no HealthCheckResponse");
    if framed.len() < 5 || framed.get_u8() != 0 {
        return Err(torn());
    }
    let length = framed.get_u32() as usize;
    if framed.len() != length {
        return Err(torn());
    }
    let mut status = 0;
    while framed.has_remaining() {
        let key = varint(&mut framed).ok_or_else(torn)?;
        let value = match key & 7 {
            0 => varint(&mut framed).ok_or_else(torn)?,
            wire => {
                let skipped = match wire {
                    1 => Some(8),
                    2 => varint(&mut framed).and_then(|length| usize::try_from(length).ok()),
                    5 => Some(4),
                    _ => None,
                };
                let skipped = skipped.filter(|skipped| *skipped <= framed.len()).ok_or_else(torn)?;
                framed.advance(skipped);
                continue;
            }
        };
        if key >> 3 == 1 {
            status = value;
        }
    }
    Ok(status)
}

fn put_varint(mut value: u64, out: &mut BytesMut) {
    while value >= 0x80 {
        out.put_u8(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.put_u8(u8::try_from(value).unwrap_or_default());
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.has_remaining().then(|| bytes.get_u8())?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
