//! Probes of one container: asks on the probe's schedule, counts against its thresholds, reports when the answer changes.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::machine::ProbeKind;

/// A response head longer than this is no answer to a probe.
const MAX_HEAD: usize = 4096;

/// Runs a command in the container and says whether it succeeded.
pub(super) type Exec = Box<dyn Fn(Vec<String>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// One probe of one container.
pub(super) struct ProbeTask {
    pub(super) kind: ProbeKind,
    pub(super) rules: Probe,
    pub(super) container: Container,
    pub(super) address: Ipv4Addr,
    pub(super) exec: Exec,
    /// Until the first success of a readiness or startup probe, ask this often instead of as the rules say.
    pub(super) first_poll: Option<Duration>,
}

impl ProbeTask {
    /// Asks for ever. `report` hears each change: healthy or not, and why.
    pub(super) async fn run(self, report: impl Fn(bool, String)) {
        let hurried = self.first_poll.filter(|_| self.kind != ProbeKind::Liveness);
        if hurried.is_none() {
            tokio::time::sleep(seconds(self.rules.initial_delay_seconds, 0)).await;
        }
        let timeout = seconds(self.rules.timeout_seconds, 1).max(Duration::from_secs(1));
        let period = seconds(self.rules.period_seconds, 10).max(Duration::from_secs(1));
        let mut counter = Counter::new(self.kind, &self.rules);
        let mut succeeded_once = false;
        loop {
            let answer = tokio::time::timeout(timeout, self.ask())
                .await
                .unwrap_or_else(|_| Err(format!("probe timed out after {}s", timeout.as_secs())));
            succeeded_once |= answer.is_ok();
            // Polls in a hurry must not use up the thresholds of a container that is merely starting.
            let is_hurried_failure = hurried.is_some() && !succeeded_once;
            if !is_hurried_failure && let Some(healthy) = counter.count(answer.is_ok()) {
                report(healthy, answer.err().unwrap_or_default());
            }
            tokio::time::sleep(hurried.filter(|_| !succeeded_once).unwrap_or(period)).await;
        }
    }

    async fn ask(&self) -> Result<(), String> {
        if let Some(http) = &self.rules.http_get {
            return http_get(self.address, &self.container, http).await;
        }
        if let Some(tcp) = &self.rules.tcp_socket {
            let port = port_number(&tcp.port, &self.container)?;
            let host = tcp.host.clone().unwrap_or_else(|| self.address.to_string());
            return TcpStream::connect((host, port)).await.map(drop).map_err(|error| format!("dial tcp: {error}"));
        }
        match &self.rules.exec {
            Some(exec) => (self.exec)(exec.command.clone().unwrap_or_default()).await,
            None => Err("the probe names no handler".to_owned()),
        }
    }
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default))
}

/// A number, or the name of one of the container's ports.
fn port_number(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| format!("the container has no port {port:?}"))
}

/// One GET; any status from 200 to 399 is a success. Also the `httpGet` of preStop hooks.
pub(super) async fn http_get(address: Ipv4Addr, container: &Container, http: &HTTPGetAction) -> Result<(), String> {
    let port = port_number(&http.port, container)?;
    let host = http.host.clone().unwrap_or_else(|| address.to_string());
    let mut stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|error| format!("Get \"http://{host}:{port}\": {error}"))?;
    let path = http.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut request = format!("GET {slash}{path} HTTP/1.1\r\n");
    let headers = http.http_headers.iter().flatten();
    let has_host = headers.clone().any(|header| header.name.eq_ignore_ascii_case("host"));
    if !has_host {
        request.extend(["Host: ", &host, ":", &port.to_string(), "\r\n"]);
    }
    request.push_str("User-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n");
    for header in headers {
        request.extend([header.name.as_str(), ": ", &header.value, "\r\n"]);
    }
    request.push_str("\r\n");
    let code = exchange(&mut stream, request.as_bytes())
        .await
        .map_err(|error| format!("Get \"http://{host}:{port}{path}\": {error}"))?;
    if (200..400).contains(&code) { Ok(()) } else { Err(format!("HTTP probe failed with statuscode: {code}")) }
}

/// Sends the request and reads as far as the status code.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<u16> {
    stream.write_all(request).await?;
    let mut head = Vec::new();
    let mut chunk = [0_u8; 512];
    while !head.contains(&b'\n') && head.len() < MAX_HEAD {
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            break;
        }
        head.extend_from_slice(&chunk[..count]);
    }
    let line = String::from_utf8_lossy(&head);
    let code =
        line.strip_prefix("HTTP/").and_then(|line| line.split_whitespace().nth(1)).and_then(|code| code.parse().ok());
    code.ok_or_else(|| std::io::Error::other("malformed HTTP response"))
}

/// Thresholds of one probe.
#[derive(Debug)]
struct Counter {
    healthy: Option<bool>,
    streak: (bool, i32),
    needed_successes: i32,
    needed_failures: i32,
}

impl Counter {
    fn new(kind: ProbeKind, rules: &Probe) -> Self {
        // What a container counts as before the first verdict.
        let healthy = match kind {
            ProbeKind::Startup => None,
            ProbeKind::Readiness => Some(false),
            ProbeKind::Liveness => Some(true),
        };
        Self {
            healthy,
            streak: (true, 0),
            needed_successes: rules.success_threshold.unwrap_or(1).max(1),
            needed_failures: rules.failure_threshold.unwrap_or(3).max(1),
        }
    }

    /// Counts one answer; `Some` when it changes what the container counts as.
    fn count(&mut self, success: bool) -> Option<bool> {
        let length = if self.streak.0 == success { self.streak.1.saturating_add(1) } else { 1 };
        self.streak = (success, length);
        let needed = if success { self.needed_successes } else { self.needed_failures };
        if length < needed || self.healthy == Some(success) {
            return None;
        }
        self.healthy = Some(success);
        Some(success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(kind: ProbeKind) -> Counter {
        Counter::new(kind, &Probe { failure_threshold: Some(2), success_threshold: Some(1), ..Probe::default() })
    }

    #[test]
    fn only_changes_are_reported_and_only_after_the_threshold() {
        let mut readiness = counter(ProbeKind::Readiness);
        let answers = [false, false, false, true, true, false, true, false, false, false];
        let reports: Vec<_> = answers.into_iter().map(|answer| readiness.count(answer)).collect();
        let expected = [None, None, None, Some(true), None, None, None, None, Some(false), None];
        assert_eq!(reports, expected);
    }

    #[test]
    fn a_container_is_alive_and_not_ready_until_shown_otherwise() {
        assert_eq!(counter(ProbeKind::Liveness).count(true), None);
        assert_eq!(counter(ProbeKind::Startup).count(true), Some(true));
        assert_eq!(counter(ProbeKind::Readiness).count(true), Some(true));
    }

    async fn answer_with(response: &'static [u8]) -> Result<(), String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(response).await.unwrap();
        });
        let http = HTTPGetAction { port: IntOrString::Int(port.into()), ..HTTPGetAction::default() };
        http_get(Ipv4Addr::LOCALHOST, &Container::default(), &http).await
    }

    #[tokio::test]
    async fn statuses_from_200_to_399_are_healthy() {
        assert_eq!(answer_with(b"HTTP/1.1 204 No Content\r\n\r\n").await, Ok(()));
        assert_eq!(answer_with(b"HTTP/1.1 302 Found\r\n\r\n").await, Ok(()));
        let unhealthy = answer_with(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
        assert_eq!(unhealthy, Err("HTTP probe failed with statuscode: 503".to_owned()));
        assert!(answer_with(b"SSH-2.0\r\n").await.is_err());
        assert!(answer_with(b"").await.is_err());
    }
}
