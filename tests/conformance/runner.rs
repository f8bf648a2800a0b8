//! Sends the requests of a case and collects where the answers differ from what is expected. It judges nothing itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config};
use local_cluster::api_server::{ApiServer, Identity};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::case::{Case, Step, media_type};
use crate::matcher::differences;
use crate::protobuf::Protobuf;

/// Longest wait for the events of a watch.
const WATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two tries of a step that has time to become true.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How requests reach the cluster under test.
#[derive(Clone)]
pub(crate) enum Connection {
    /// Over TCP and TLS, with the administrator's credentials.
    Tcp(Config),
    /// A call in this process: the embedded server alone can be reached so.
    InProcess(ApiServer),
}

/// The cluster under test, as administrator.
pub(crate) struct Runner {
    connection: Connection,
    admin: Client,
}

/// What a server answered.
struct Answer {
    status: u16,
    headers: HeaderMap,
    /// A list of events for a watch, text if the body is not JSON.
    body: Value,
}

impl Runner {
    /// A runner for the cluster behind this connection.
    pub(crate) fn new(mut connection: Connection) -> anyhow::Result<Self> {
        let admin = match &mut connection {
            Connection::Tcp(config) => {
                // An answer such as 429 is what a case is about: it must arrive as it is.
                config.default_retry = false;
                Client::try_from(config.clone())?
            }
            Connection::InProcess(server) => server.client(Identity::admin()),
        };
        Ok(Self { connection, admin })
    }

    /// Runs a case in a new namespace and returns where the cluster differs from it.
    pub(crate) async fn run(&self, case: &Case) -> anyhow::Result<Vec<String>> {
        let id = unique_id();
        let namespace = format!("chaos-conformance-{id}");
        let labels = json!({"chaos.dispatch.dev/test": "conformance"});
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}});
        let created = self.send(&self.admin, &request("POST /api/v1/namespaces", Some(&object))?).await?;
        anyhow::ensure!(created.status == 201, "failed to create namespace {namespace}: {}", created.body);

        let mut variables = BTreeMap::from([("ns".to_owned(), json!(namespace)), ("id".to_owned(), json!(id))]);
        let found = self.run_steps(case, &mut variables).await;
        for path in case.cleanup.iter().map(|path| fill_text(path, &variables)) {
            self.send(&self.admin, &request(&format!("DELETE {path}"), None)?).await?;
        }
        self.send(&self.admin, &request(&format!("DELETE /api/v1/namespaces/{namespace}"), None)?).await?;
        found
    }

    /// Stops at the first step that differs, as later ones build on it.
    async fn run_steps(&self, case: &Case, variables: &mut BTreeMap<String, Value>) -> anyhow::Result<Vec<String>> {
        for (index, step) in case.steps.iter().enumerate() {
            let place = format!("step {} ({})", index + 1, step.request);
            let found = self.run_step(step, variables).await.with_context(|| place.clone())?;
            if !found.is_empty() {
                return Ok(found.into_iter().map(|difference| format!("{place}: {difference}")).collect());
            }
        }
        Ok(Vec::new())
    }

    async fn run_step(&self, step: &Step, variables: &mut BTreeMap<String, Value>) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + Duration::from_secs(step.within.unwrap_or(0));
        let client = self.client_of(step, variables)?;
        loop {
            let answer = self.send(&client, &Prepared::new(step, variables)?).await?;
            let found = judge(step, &answer, variables);
            if found.is_empty() {
                for (name, pointer) in &step.save {
                    let source = answer.body.as_array().and_then(|events| events.last()).unwrap_or(&answer.body);
                    let Some(value) = source.pointer(pointer) else { bail!("nothing to save at {pointer}: {source}") };
                    variables.insert(name.clone(), value.clone());
                }
                return Ok(found);
            }
            if Instant::now() >= deadline {
                return Ok(found);
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    fn client_of(&self, step: &Step, variables: &BTreeMap<String, Value>) -> anyhow::Result<Client> {
        let Some(token) = &step.token else { return Ok(self.admin.clone()) };
        let token = fill_text(token, variables);
        match &self.connection {
            Connection::Tcp(config) => {
                let mut config = config.clone();
                config.auth_info = AuthInfo { token: (!token.is_empty()).then(|| token.into()), ..AuthInfo::default() };
                Ok(Client::try_from(config)?)
            }
            Connection::InProcess(server) => Ok(with_token(server, token)),
        }
    }

    async fn send(&self, client: &Client, prepared: &Prepared) -> anyhow::Result<Answer> {
        let response = client.send(prepared.request()?).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match prepared.events {
            Some(count) if status == 200 => read_events(response.into_body(), count).await?,
            _ => {
                let bytes = response.into_body().collect().await?.to_bytes();
                serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into())
            }
        };
        Ok(Answer { status, headers, body })
    }
}

/// A client in this process that says who it is by a bearer token, as one over a socket does; empty: it says nothing.
fn with_token(server: &ApiServer, token: String) -> Client {
    let router = server.router();
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (router, token) = (router.clone(), token.clone());
        async move {
            if !token.is_empty() {
                request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}"))?);
            }
            let answer: Result<_, Infallible> = router.oneshot(request).await;
            Ok::<_, http::header::InvalidHeaderValue>(answer.unwrap_or_else(|never| match never {}))
        }
    });
    Client::new(service, "default")
}

/// A step with its variables filled in.
struct Prepared {
    method: String,
    target: String,
    content_type: String,
    accept: String,
    body: Vec<u8>,
    /// How many events to read, if it is a watch.
    events: Option<usize>,
}

impl Prepared {
    fn new(step: &Step, variables: &BTreeMap<String, Value>) -> anyhow::Result<Self> {
        let mut prepared = request(
            &fill_text(&step.request, variables),
            step.send.as_ref().map(|body| fill(body, variables)).as_ref(),
        )?;
        if let Some(object) = &step.send_protobuf {
            let filled = |text: &str| fill_text(text, variables);
            let (api_version, kind) = (filled(&object.api_version), filled(&object.kind));
            prepared.body = Protobuf { api_version, kind, message: fill(&object.message, variables) }.encode()?;
        }
        if let Some(text) = &step.send_text {
            prepared.body = fill_text(text, variables).into_bytes();
        }
        if let Some(content_type) = &step.content_type {
            media_type(content_type).clone_into(&mut prepared.content_type);
        }
        if let Some(accept) = &step.accept {
            media_type(accept).clone_into(&mut prepared.accept);
        }
        prepared.events = step.events.as_ref().map(Vec::len);
        Ok(prepared)
    }

    fn request(&self) -> anyhow::Result<Request<Body>> {
        let builder = Request::builder().method(self.method.as_str()).uri(&self.target).header("Accept", &self.accept);
        let builder = if self.body.is_empty() { builder } else { builder.header("Content-Type", &self.content_type) };
        Ok(builder.body(Body::from(self.body.clone()))?)
    }
}

fn request(line: &str, body: Option<&Value>) -> anyhow::Result<Prepared> {
    let (method, target) = line.split_once(' ').with_context(|| format!("no method and path in {line:?}"))?;
    Ok(Prepared {
        method: method.to_owned(),
        target: target.to_owned(),
        content_type: media_type("json").to_owned(),
        accept: media_type("json").to_owned(),
        body: body.map(serde_json::to_vec).transpose()?.unwrap_or_default(),
        events: None,
    })
}

/// The first `count` events of a watch, or fewer if it ends before or nothing comes for [`WATCH_TIMEOUT`].
async fn read_events(body: Body, count: usize) -> anyhow::Result<Value> {
    let stream = body.into_data_stream().map_err(std::io::Error::other).into_async_read();
    let mut lines = futures::io::BufReader::new(stream).lines();
    let mut events = Vec::new();
    while events.len() < count {
        let Ok(Some(line)) = tokio::time::timeout(WATCH_TIMEOUT, lines.next()).await else { break };
        events.push(serde_json::from_str(&line?)?);
    }
    Ok(Value::Array(events))
}

fn judge(step: &Step, answer: &Answer, variables: &BTreeMap<String, Value>) -> Vec<String> {
    if answer.status != step.status {
        return vec![format!("expected status {}, found {}: {}", step.status, answer.status, answer.body)];
    }
    let mut found = Vec::new();
    for (name, expected) in &step.headers {
        let actual = answer.headers.get(name).and_then(|value| value.to_str().ok());
        found.extend(differences(
            &json!({name: fill(expected, variables)}),
            &actual.map_or(json!({}), |value| json!({name: value})),
        ));
    }
    let events = step.events.clone().map(Value::Array);
    for expected in [&step.body, &step.text, &events].into_iter().flatten() {
        found.extend(differences(&fill(expected, variables), &answer.body));
    }
    found
}

/// Replaces `$name` in all texts; a text that is nothing but `$name` becomes the saved value with its type.
fn fill(value: &Value, variables: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('$').and_then(|name| variables.get(name)) {
            Some(saved) => saved.clone(),
            None => Value::String(fill_text(text, variables)),
        },
        Value::Array(list) => list.iter().map(|element| fill(element, variables)).collect(),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(key, value)| (fill_text(key, variables), fill(value, variables))).collect(),
        ),
        other => other.clone(),
    }
}

fn fill_text(text: &str, variables: &BTreeMap<String, Value>) -> String {
    // Longest names first: `$uid2` is not `$uid` and a 2.
    let mut names: Vec<_> = variables.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names.into_iter().fold(text.to_owned(), |text, (name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.replace(&format!("${name}"), &value)
    })
}

/// A part of a name that no other run on the same cluster uses.
fn unique_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() & 0xffff_ffff;
    format!("{now:08x}{:03x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
