//! An API server of a few lines that holds one run, and what an operator brings along: for the tests of this module.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chaos_core::api::{ExperimentRun, ExperimentRunStatus, KillRecord, SkipRecord, switch};
use chaos_core::model::Run;
use chaos_core::population::{Population, SwitchState};
use chaos_core::record::{Event, RunTime};
use chaos_core::validate;
use http::{Method, StatusCode};
use jiff::Timestamp;
use kube::Resource as _;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::ledger::OwnRow;
use super::link::Link;
use super::live::{Live, LiveParts};
use super::{Announcer, Backing, key, started};
use crate::clock::RunClock;
use crate::journal::Redactor;
use crate::kube::{Caller, Clients, StatusDesk, StatusStore, fixture};
use crate::recorder::Recorder;

const NAMESPACE: &str = "shop";

/// The server. Clones are the same one.
#[derive(Clone)]
pub(super) struct Server(Arc<Mutex<State>>);

struct State {
    /// By path.
    objects: BTreeMap<String, Value>,
    /// Requests that begin like this are refused, so, and so often.
    refusal: Option<(&'static str, StatusCode, usize)>,
}

impl Server {
    /// With a run, and a switch that lets it go on.
    pub(super) fn start() -> Self {
        let of_runs = ExperimentRun::url_path(&(), Some(NAMESPACE));
        let switch_path = format!("/api/v1/namespaces/{}/configmaps/{}", switch::NAMESPACE, switch::NAME);
        let objects = BTreeMap::from([
            (format!("{of_runs}/r"), object("30s")),
            (
                switch_path,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": switch::NAME},
                    "data": {(switch::KEY): switch::RUNNING}}),
            ),
        ]);
        Self(Arc::new(Mutex::new(State { objects, refusal: None })))
    }

    /// Refuses to create anything from here on.
    pub(super) fn refuse(&self, code: StatusCode) {
        self.refuse_some("POST ", code, usize::MAX);
    }

    /// Refuses the next requests whose method and path begin like this.
    pub(super) fn refuse_some(&self, what: &'static str, code: StatusCode, times: usize) {
        self.0.lock().unwrap().refusal = Some((what, code, times));
    }

    /// The object at that path.
    pub(super) fn object(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// The run is deleted.
    pub(super) fn forget_the_run(&self) {
        let path = format!("{}/r", ExperimentRun::url_path(&(), Some(NAMESPACE)));
        self.0.lock().unwrap().objects.remove(&path);
    }

    /// A client without retries.
    pub(super) fn client(&self) -> kube::Client {
        let server = self.clone();
        fixture::client(NAMESPACE, move |method, path, body| server.answer(method, path, body))
    }

    /// A desk at the status of the run.
    pub(super) async fn desk(&self) -> StatusDesk<ExperimentRun> {
        let caller = || Caller::new(self.client());
        StatusDesk::new(StatusStore::open(caller(), caller(), NAMESPACE, "r").await.unwrap())
    }

    /// What an operator brings along.
    pub(super) fn backing(&self) -> Backing {
        Backing {
            clients: Clients::same(self.client()),
            operator_namespace: switch::NAMESPACE.to_owned(),
            identity: "operator".to_owned(),
            instance: "operator/1".to_owned(),
            tool_digest: Some("facade".to_owned()),
            hold: watch::channel(None).1,
            lacks: Arc::new(|_| None),
            announcer: Arc::new(Silent),
        }
    }

    fn answer(&self, method: &Method, path: &str, body: &Bytes) -> (StatusCode, Value) {
        let mut state = self.0.lock().unwrap();
        if let Some((what, code, left @ 1..)) = &mut state.refusal
            && format!("{method} {path}").starts_with(*what)
        {
            *left -= 1;
            return (*code, Value::Null);
        }
        if *method == Method::GET {
            let found = state.objects.get(path).cloned();
            return found.map_or((StatusCode::NOT_FOUND, Value::Null), |object| (StatusCode::OK, object));
        }
        if *method == Method::DELETE {
            let deleted = state.objects.remove(path);
            return deleted.map_or((StatusCode::NOT_FOUND, Value::Null), |object| (StatusCode::OK, object));
        }
        let mut object: Value = serde_json::from_slice(body).unwrap();
        let at = match method.as_str() {
            "POST" => format!("{path}/{}", object["metadata"]["name"].as_str().unwrap()),
            _ => path.trim_end_matches("/status").to_owned(),
        };
        let known = state.objects.get(&at).cloned();
        match (*method == Method::POST, &known) {
            (true, Some(_)) => return (StatusCode::CONFLICT, Value::Null),
            (false, None) => return (StatusCode::NOT_FOUND, Value::Null),
            _ => {}
        }
        if let (&Method::PATCH, Some(known)) = (method, known) {
            object = patched(known, object);
        }
        state.objects.insert(at, object.clone());
        (StatusCode::OK, object)
    }
}

/// An object with a merge patch.
fn patched(known: Value, patch: Value) -> Value {
    match (known, patch) {
        (Value::Object(mut known), Value::Object(patch)) => {
            for (key, value) in patch {
                let before = known.remove(&key).unwrap_or_default();
                known.insert(key, patched(before, value));
            }
            Value::Object(known)
        }
        (_, patch) => patch,
    }
}

/// The run, as its object says it.
pub(super) fn run(max_blind: &str) -> Run {
    let object: ExperimentRun = serde_json::from_value(object(max_blind)).unwrap();
    validate::run(&object, None).unwrap()
}

/// An object whose experiment was changed like this, and its run.
pub(super) fn changed_run(change: impl FnOnce(&mut Value)) -> (ExperimentRun, Run) {
    let mut object = object("30s");
    change(&mut object["spec"]["experiment"]);
    let object: ExperimentRun = serde_json::from_value(object).unwrap();
    let run = validate::run(&object, None).unwrap();
    (object, run)
}

/// The same run under way, with nothing of its record written yet, and its prober, of whom nothing is heard.
pub(super) async fn begun(server: &Server, max_blind: &str) -> (Live, Link) {
    under_way(server, run(max_blind)).await
}

/// That run under way in the same manner.
pub(super) async fn under_way(server: &Server, run: Run) -> (Live, Link) {
    let (backing, run, desk) = (server.backing(), Arc::new(run), server.desk().await);
    let reads = Caller::new(server.client());
    let link = Link::open(reads, key(&run), Arc::new(run.experiment.clone()), desk.clone());
    let recorder = Recorder::in_memory(Redactor::default());
    let row = OwnRow::open(&backing.clients, key(&run), &backing.instance, recorder).await.unwrap();
    let clock = RunClock::start();
    row.recorder().record(Event::Started(Box::new(started(&backing, &run, 7, clock.started_at(), None))));
    row.recorder().record(planned());
    let object = watch::channel(Arc::new(desk.object().await)).1;
    let parts = LiveParts { backing, run, seed: 7, desk, object, clock, slack: link.slack(), row };
    let live = Live::start(parts).unwrap();
    (live, link)
}

fn planned() -> Event {
    let population = Population {
        taken_at: Timestamp::now(),
        environment: None,
        switch: SwitchState::Running,
        namespaces: Vec::new(),
        workloads: Vec::new(),
        pods: Vec::new(),
        nodes: None,
        budgets: Vec::new(),
    };
    Event::Planned { at: RunTime(0), population: Box::new(population), eligible: Vec::new(), excluded: Vec::new() }
}

/// A run with that `maxBlind`.
fn object(max_blind: &str) -> Value {
    json!({
        "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
        "metadata": {"name": "r", "namespace": NAMESPACE, "uid": "u-1", "resourceVersion": "1"},
        "spec": {"mode": "Live", "experiment": {
            "hypothesis": "The gateway answers while trips pods die.",
            "target": {"environment": "demo", "workloads": [{"kind": "Deployment", "name": "trips"}]},
            "fault": {"podKill": {"strikes": {"target": 4, "min": 2}, "every": {"mean": "1s", "distribution": "Fixed"}}},
            "phases": {"baseline": "1s", "fault": "40s", "recovery": "1s"},
            "probes": [{"name": "ask", "http": {"service": "gateway", "rate": "50/s", "timeout": "1s", "maxLag": "5s"},
                "slo": {"availability": "90%", "confidence": "95%", "evidence": {"observed": {}}}}],
            "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 10, "minInterval": "0s", "recoverWithin": "30s",
                "maxBlind": max_blind, "allowForce": false},
            "abort": [], "seed": 7,
        }},
    })
}

/// Tells nobody anything.
struct Silent;

impl Announcer for Silent {
    fn killed(&self, _: &ExperimentRun, _: &KillRecord) {}

    fn skipped(&self, _: &ExperimentRun, _: &SkipRecord) {}

    fn changed(&self, _: &ExperimentRun, _: &ExperimentRunStatus, _: &ExperimentRunStatus) {}
}
