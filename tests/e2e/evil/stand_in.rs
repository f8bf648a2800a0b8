//! What the experiments of the table ask: a small application, a Prometheus, a checker of business rules and a readiness
//! gate, all on one loopback port and each row on a path of its own. It answers what a row's scene says, lies included.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A request that is longer than this is cut.
const LONGEST: usize = 64 << 10;

/// What the application answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    /// 200 and a JSON body.
    Well,
    /// The connection is closed without an answer.
    Gone,
    /// So many requests are lost like that, the others are answered well.
    Losing(u64),
    /// Every so many-th request is lost.
    LosesEvery(u64),
    /// 200, but not the body that was asked for.
    WrongBody,
    /// A redirect to a place that would answer well.
    Redirects,
    /// Well, after this many milliseconds.
    Slow(u64),
    /// `103 Early Hints`, for ever.
    Informs,
}

/// What Prometheus answers to every query; a real one scrapes what is a value, and else nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// One series with this value, for now.
    Value(&'static str),
    /// No series.
    Empty,
    /// Two series.
    Two,
    /// One series, for ten minutes ago.
    Stale,
    /// The login page of a proxy.
    Login,
    /// The connection is closed without an answer.
    Dead,
    /// No answer at all.
    Hangs,
}

/// What becomes of the one alert, RidesLost, that Prometheus has a rule for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alert {
    /// It does not fire.
    Silent,
    /// It fires.
    Fires,
    /// Nobody knows: the connection is closed without an answer.
    Dead,
}

/// What the checker of business rules answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checker {
    /// Everything is fine.
    Fine,
    /// One rule is broken.
    Broken,
    /// It looked at nothing.
    Idle,
    /// It answers something else.
    Garbage,
    /// The connection is closed without an answer.
    Dead,
}

/// What one row sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scene {
    pub(crate) app: App,
    pub(crate) metric: Metric,
    pub(crate) alert: Alert,
    pub(crate) checker: Checker,
    /// Whether new pods become Ready.
    pub(crate) gate_open: bool,
    /// What the application says who served a request; absent: the row's own Ready pods.
    pub(crate) served_by: Option<&'static str>,
    /// Names of the row's Ready pods, as they are.
    pub(crate) pods: String,
    /// Requests to the application so far.
    pub(crate) asked: u64,
    /// How often its metrics were scraped so far.
    pub(crate) scraped: u64,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            app: App::Well,
            metric: Metric::Value("1"),
            alert: Alert::Silent,
            checker: Checker::Fine,
            gate_open: true,
            served_by: None,
            pods: String::new(),
            asked: 0,
            scraped: 0,
        }
    }
}

/// The scenes of all rows, by namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stage {
    scenes: Arc<Mutex<BTreeMap<String, Scene>>>,
}

impl Stage {
    /// Changes the scene of a row.
    pub(crate) fn set(&self, row: &str, change: impl FnOnce(&mut Scene)) {
        let mut scenes = self.scenes.lock().unwrap_or_else(PoisonError::into_inner);
        change(scenes.entry(row.to_owned()).or_default());
    }

    fn with<T>(&self, row: &str, read: impl FnOnce(&mut Scene) -> T) -> T {
        let mut scenes = self.scenes.lock().unwrap_or_else(PoisonError::into_inner);
        read(scenes.entry(row.to_owned()).or_default())
    }
}

/// What becomes of one request.
enum Reply {
    Answer {
        status: &'static str,
        headers: String,
        body: String,
        after: Duration,
    },
    Close,
    Never,
    /// Informational answers until whoever asked is gone.
    Informs,
}

impl Reply {
    fn ok(body: impl Into<String>) -> Self {
        Self::Answer { status: "200 OK", headers: String::new(), body: body.into(), after: Duration::ZERO }
    }
}

/// Serves a stage on a free loopback port for as long as the runtime lives.
pub(crate) fn serve(runtime: &Runtime, stage: &Stage) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("its address");
    let stage = stage.clone();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, stage.clone()));
        }
    });
    address
}

/// Answers the requests of one connection, one after the other.
async fn converse(mut stream: TcpStream, stage: Stage) -> Option<()> {
    loop {
        let path = request(&mut stream).await?;
        match reply(&stage, &path) {
            Reply::Close => return None,
            Reply::Never => return std::future::pending().await,
            Reply::Informs => loop {
                stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.ok()?;
            },
            Reply::Answer { status, headers, body, after } => {
                tokio::time::sleep(after).await;
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
            }
        }
    }
}

/// Reads a request to its end; gives its path.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0 && bytes.len() < LONGEST)?;
        bytes.extend_from_slice(&chunk[..read]);
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length: usize =
        text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    let mut rest = (head + length).saturating_sub(bytes.len()).min(LONGEST);
    while rest > 0 {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk[..rest.min(4096)]).await.ok().filter(|read| *read > 0)?;
        rest -= read;
    }
    String::from_utf8_lossy(&bytes).split_whitespace().nth(1).map(str::to_owned)
}

/// `/ROW/PART…`
fn reply(stage: &Stage, path: &str) -> Reply {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (row, part) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    stage.with(row, |scene| match part.split(['/', '?']).next() {
        Some("ride") => app(scene),
        Some("metrics") => scraped(scene),
        Some("prom") if part.contains("/api/v1/rules") => rules(scene.alert),
        Some("prom") if part.contains("ALERTS") => alerts(scene.alert),
        Some("prom") => metric(scene.metric),
        Some("rules") => checker(scene.checker),
        Some("ready") if scene.gate_open => Reply::ok("ready"),
        _ => Reply::Answer {
            status: "503 Service Unavailable",
            headers: String::new(),
            body: String::new(),
            after: Duration::ZERO,
        },
    })
}

fn app(scene: &mut Scene) -> Reply {
    scene.asked += 1;
    let served_by = scene.served_by.unwrap_or(&scene.pods);
    let headers = format!("content-type: application/json\r\nx-served-by: {served_by}\r\n");
    let answer = |status, body: &str, after| Reply::Answer { status, headers, body: body.to_owned(), after };
    let well = r#"{"id": "ride-1"}"#;
    match &mut scene.app {
        App::Well => answer("200 OK", well, Duration::ZERO),
        App::Losing(0) => answer("200 OK", well, Duration::ZERO),
        App::Losing(left) => {
            *left -= 1;
            Reply::Close
        }
        App::LosesEvery(every) if scene.asked.is_multiple_of(*every) => Reply::Close,
        App::LosesEvery(_) => answer("200 OK", well, Duration::ZERO),
        App::Gone => Reply::Close,
        App::WrongBody => answer("200 OK", r#"{"error": "no driver"}"#, Duration::ZERO),
        App::Redirects => Reply::Answer {
            status: "302 Found",
            headers: "location: /elsewhere/ride\r\n".to_owned(),
            body: String::new(),
            after: Duration::ZERO,
        },
        App::Informs => Reply::Informs,
        App::Slow(millis) => answer("200 OK", well, Duration::from_millis(*millis)),
    }
}

/// What a real Prometheus is to store: the same value that the one of the stand-in would answer, and whatever else that one
/// would do, there is nothing to scrape.
fn scraped(scene: &mut Scene) -> Reply {
    scene.scraped += 1;
    let Metric::Value(value) = scene.metric else { return Reply::Close };
    Reply::Answer {
        status: "200 OK",
        headers: "content-type: text/plain; version=0.0.4\r\n".to_owned(),
        body: format!("rides_assigned {value}\n"),
        after: Duration::ZERO,
    }
}

fn metric(metric: Metric) -> Reply {
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1e3;
    let series =
        |name: &str, value: &str, at: f64| format!(r#"{{"metric": {{"pod": "{name}"}}, "value": [{at}, "{value}"]}}"#);
    let series = match metric {
        Metric::Value(value) => series("a", value, now),
        Metric::Empty => String::new(),
        Metric::Two => format!("{}, {}", series("a", "1", now), series("b", "1", now)),
        Metric::Stale => series("a", "1", now - 600.0),
        Metric::Login => return Reply::ok("<html>please log in</html>"),
        Metric::Dead => return Reply::Close,
        Metric::Hangs => return Reply::Never,
    };
    vector(&series)
}

/// What Prometheus answers to a query.
fn vector(series: &str) -> Reply {
    json(format!(r#"{{"status": "success", "data": {{"resultType": "vector", "result": [{series}]}}}}"#))
}

fn json(body: String) -> Reply {
    let headers = "content-type: application/json\r\n".to_owned();
    Reply::Answer { status: "200 OK", headers, body, after: Duration::ZERO }
}

/// The alerting rules.
fn rules(alert: Alert) -> Reply {
    if alert == Alert::Dead {
        return Reply::Close;
    }
    let rule = r#"{"type": "alerting", "name": "RidesLost", "labels": {"severity": "page"}}"#;
    json(format!(r#"{{"status": "success", "data": {{"groups": [{{"name": "rides", "rules": [{rule}]}}]}}}}"#))
}

/// The series of alerts that fire.
fn alerts(alert: Alert) -> Reply {
    let labels = r#"{"__name__": "ALERTS", "alertname": "RidesLost", "alertstate": "firing", "severity": "page"}"#;
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1e3;
    match alert {
        Alert::Silent => vector(""),
        Alert::Fires => vector(&format!(r#"{{"metric": {labels}, "value": [{now}, "1"]}}"#)),
        Alert::Dead => Reply::Close,
    }
}

fn checker(checker: Checker) -> Reply {
    match checker {
        Checker::Fine => Reply::ok(r#"{"checked": 7, "violations": []}"#),
        Checker::Broken => Reply::ok(
            r#"{"checked": 7, "violations": [{"invariant": "noLostRide", "story": "ride 3 was acknowledged and is gone"}]}"#,
        ),
        Checker::Idle => Reply::ok(r#"{"checked": 0, "violations": []}"#),
        Checker::Garbage => Reply::ok("<html>please log in</html>"),
        Checker::Dead => Reply::Close,
    }
}
