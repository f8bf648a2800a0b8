//! Guards of standing monkeys: an alert, an error budget and a value that keep them from killing, and a Prometheus that cannot
//! be asked, which does so too.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use chaos_core::api::SkipRecord;

use super::permissions::free_address;
use super::*;

/// What a Prometheus says.
#[derive(Debug, Clone, Copy)]
struct Says {
    fires: bool,
    has_rule: bool,
    /// The value of every query; `None`: it has no data.
    value: Option<f64>,
}

impl Says {
    fn to(self, query: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        let series = |metric: Value, value: f64| json!([{"metric": metric, "value": [now, value.to_string()]}]);
        if query.contains("ALERTS") {
            let labels = json!({"alertname": "RidesLost", "severity": "page"});
            if self.fires { series(labels, 1.0) } else { json!([]) }
        } else if query.contains("time()") {
            // How old the samples are that a value rests on.
            series(json!({}), 1.0)
        } else {
            self.value.map_or(json!([]), |value| series(json!({}), value))
        }
    }
}

/// A Prometheus that says what a test has it say, and counts the requests.
struct Prometheus {
    says: Arc<Mutex<Says>>,
    requests: Arc<AtomicUsize>,
    config: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Given to the namespace of the tests as `platform`, and to another one as `theirs`.
    async fn serve() -> Self {
        let says = Arc::new(Mutex::new(Says { fires: false, has_rule: true, value: Some(1.0) }));
        let requests = Arc::new(AtomicUsize::new(0));
        let (of_query, of_rules, counted) = (says.clone(), says.clone(), requests.clone());
        let query = move |Query(asked): Query<HashMap<String, String>>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let result = of_query.lock().unwrap().to(&asked["query"]);
            async move { Json(json!({"status": "success", "data": {"resultType": "vector", "result": result}})) }
        };
        let rules = move || {
            let rule = json!({"type": "alerting", "name": "RidesLost", "labels": {"severity": "page"}});
            let rules = if of_rules.lock().unwrap().has_rule { json!([rule]) } else { json!([]) };
            async move { Json(json!({"status": "success", "data": {"groups": [{"rules": rules}]}})) }
        };
        let app = Router::new().route("/api/v1/query", get(query)).route("/api/v1/rules", get(rules));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yaml");
        let to = |namespace: &str| format!("{{url: \"{url}\", namespaces: [{namespace}]}}");
        std::fs::write(&config, format!("prometheus: {{platform: {}, theirs: {}}}\n", to(NS), to("elsewhere")))
            .unwrap();
        Self { says, requests, config, _folder: folder }
    }

    fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }
}

fn alert(source: &str) -> Value {
    json!({"alert": {"source": source, "matchers": ["alertname=\"RidesLost\"", "severity=~\"page|critical\""]}})
}

fn error_budget(keep: &str) -> Value {
    json!({"errorBudget": {"source": "platform", "query": "slo:left", "keep": keep}})
}

fn probe(bounds: Value) -> Value {
    let mut probe = json!({"source": "platform", "query": "min(up)"});
    probe.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
    json!({"probe": probe})
}

fn skips(monkey: &ChaosMonkey) -> &[SkipRecord] {
    monkey.status.as_ref().map(|status| status.skipped.as_slice()).unwrap_or_default()
}

async fn pod_uids(fixture: &Fixture) -> BTreeSet<String> {
    let pods: Api<Pod> = Api::namespaced(fixture.admin.clone(), NS);
    pods.list(&ListParams::default()).await.unwrap().items.iter().filter_map(kube::ResourceExt::uid).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_firing_alert_keeps_a_standing_monkey_from_killing_until_it_is_gone() {
    let fixture = Fixture::start().await;
    let prometheus = Prometheus::serve().await;
    prometheus.say(Says { fires: true, has_rule: true, value: None });
    let before = pod_uids(&fixture).await;
    let address = free_address();
    let (listen, config) = (address.to_string(), prometheus.config.to_str().unwrap());
    let operator = fixture.operator_of(&["test", "--listen", &listen, "--pod-name", "a", "--config", config]);
    fixture.monkey(|spec| spec["guards"] = json!([alert("platform")])).await;
    let guarded = fixture
        .until("skips that name the alert", |monkey| {
            let told = skips(monkey).iter().filter(|skip| skip.reason == "GuardAlert");
            told.filter(|skip| skip.message.contains("alertname=\"RidesLost\"")).count() >= 5
        })
        .await;
    assert!(kills(&guarded) == 0 && guarded.status.as_ref().unwrap().history.is_empty());
    assert_eq!(pod_uids(&fixture).await, before, "nothing was touched");
    assert_eq!(condition(&guarded, "Ready"), ("True", "Ready"), "it could act");
    let events: Api<Event> = Api::namespaced(fixture.admin.clone(), NS);
    eventually("an Event that names the alert", || async {
        let events = events.list(&ListParams::default()).await.unwrap();
        let of_guard = events.items.into_iter().filter(|event| event.reason.as_deref() == Some("GuardAlert"));
        let told: Vec<_> = of_guard.map(|event| (event.regarding.unwrap_or_default().name, event.note)).collect();
        let is_told = |(name, note): &(Option<String>, Option<String>)| {
            name.as_deref() == Some("m") && note.as_ref().is_some_and(|note| note.contains("RidesLost"))
        };
        if told.iter().any(is_told) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    let shows = |held: u8| {
        eventually("the metric of the guards", move || async move {
            let line = format!("chaos_monkey_guards_held{{namespace=\"{NS}\",monkey=\"m\"}} {held}");
            let answer = super::permissions::get(address, "/metrics").await;
            if answer.contains(&line) { Ok(()) } else { Err(answer) }
        })
    };
    shows(0).await;

    prometheus.say(Says { fires: false, has_rule: true, value: None });
    let monkey = fixture.until("eight kills", |monkey| kills(monkey) == 8).await;
    shows(1).await;
    assert_accounted(&fixture, &monkey).await;
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_guard_skips_with_its_reason_and_what_is_not_known_does_too() {
    let fixture = Fixture::start().await;
    let prometheus = Prometheus::serve().await;
    let before = pod_uids(&fixture).await;
    let operator = fixture.operator_with("a", &prometheus.config);
    fixture.monkey(|spec| spec["guards"] = json!([alert("theirs")])).await;
    // Whatever comes first, another guard or another answer: neither the old guard nor the new one holds in between.
    let bad = Says { fires: false, has_rule: false, value: None };
    let at_least_one = || probe(json!({"min": 1}));
    let cases = [
        (
            "Live",
            alert("theirs"),
            bad,
            "GuardUnknown",
            "source theirs) is not known: it is not given to this namespace",
        ),
        (
            "Live",
            alert("nowhere"),
            bad,
            "GuardUnknown",
            "source nowhere) is not known: it is not given to this namespace",
        ),
        ("Live", alert("platform"), bad, "GuardUnknown", "(alert, source platform) is not known: noRule"),
        (
            "Live",
            error_budget("25%"),
            Says { value: Some(0.1), ..bad },
            "GuardErrorBudget",
            "10.0 % of the error budget",
        ),
        ("Live", error_budget("30%"), bad, "GuardUnknown", "(errorBudget, source platform) is not known: noData"),
        ("Live", error_budget("35%"), Says { value: Some(f64::NAN), ..bad }, "GuardUnknown", "is not known: nan"),
        ("Live", at_least_one(), Says { value: Some(0.0), ..bad }, "GuardProbe", "0 is not at least 1"),
        ("DryRun", at_least_one(), Says { value: Some(0.5), ..bad }, "GuardProbe", "0.5 is not at least 1"),
        ("DryRun", alert("platform"), Says { fires: true, ..bad }, "GuardAlert", "alert fires"),
    ];
    for (mode, guard, says, reason, part) in cases {
        prometheus.say(says);
        let patch = Patch::Merge(json!({"spec": {"mode": mode, "guards": [guard]}}));
        fixture.monkeys().patch("m", &PatchParams::default(), &patch).await.unwrap();
        let is_told = |skip: &SkipRecord| skip.reason == reason && skip.message.contains(part);
        let monkey = fixture.until(part, |monkey| skips(monkey).iter().filter(|skip| is_told(skip)).count() >= 3).await;
        assert!(kills(&monkey) == 0 && monkey.status.as_ref().unwrap().history.is_empty(), "{reason}: {part}");
        let requests = prometheus.requests.load(Ordering::Relaxed);
        assert!(requests == 0 || !part.contains("not given"), "whoever was not given a source makes nobody ask it");
    }
    assert_eq!(pod_uids(&fixture).await, before, "nothing was touched");
    // The dry run says what would be killed as soon as nothing stands in the way.
    prometheus.say(Says { has_rule: true, ..bad });
    let monkey = fixture.until("three kills that would be", |monkey| kills(monkey) >= 3).await;
    let history = &monkey.status.as_ref().unwrap().history;
    assert!(history.iter().all(|kill| kill.outcome == Outcome::WouldKill));
    operator.end().await;
}
