//! Prometheus probes against a real Prometheus, which must be on PATH: also when it hangs and when it dies. They are
//! ignored unless asked for (`.ci/prometheus`), so that a machine without it does not pretend to have asked one.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test target")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chaos_core::model::{Expectation, Experiment, Moment, Patience};
use chaos_core::record::{Answer, Event, Sample};
use chaos_core::validate;
use chaos_engine::clock::RunClock;
use chaos_engine::journal::Redactor;
use chaos_engine::probe::preflight::Reach;
use chaos_engine::probe::set::End;
use chaos_engine::probe::{AlertLook, Expected, Look, LookPlan, ProbeContext, ProbePlan, ProbeSet, PrometheusLook};
use chaos_engine::recorder::Recorder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const METRICS: &str =
    "good 0.5\nnot_a_number NaN\nendless +Inf\npair{a=\"1\"} 1\npair{a=\"2\"} 2\n# TYPE asked counter\nasked 7\n";
const LONG: Duration = Duration::from_secs(60);

/// An application: its metrics, with one sample that is four minutes old, and one value that a test can change.
async fn application() -> (String, Arc<AtomicU64>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let lost = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&lost);
    let metrics = async move || {
        let old = jiff::Timestamp::now().as_millisecond() - 240_000;
        format!("{METRICS}old 1 {old}\nlost {}\n", shown.load(Ordering::SeqCst))
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", get(metrics))).await });
    (target, lost)
}

struct Prometheus {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// Starts one that scrapes `target`, on a port of its own choice.
    fn start(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        let rules = "groups: [{name: g, rules: [{alert: RidesLost, expr: lost > 0, labels: {severity: page}}]}]\n";
        std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .arg("--log.level=info")
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus is on PATH");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let listening = line.split("address=127.0.0.1:").nth(1)?;
            let port: String = listening.chars().take_while(char::is_ascii_digit).collect();
            (port != "0").then_some(port)
        });
        // Its log must be read on, or it would wait for the reader.
        std::thread::spawn(move || lines.for_each(drop));
        let url = format!("http://127.0.0.1:{}", address.expect("it says where it listens"));
        Self { process, url, _folder: folder }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), signal).unwrap();
    }

    async fn ask(&self, query: &str, timeout: Duration) -> Sample {
        let look = PrometheusLook::new(&self.url, query, timeout).unwrap();
        let mut expectation = Expectation::default();
        expectation.min = Some(0.4);
        let plan = LookPlan {
            name: "p".into(),
            when: Moment::Before,
            expected: Expected::Value(expectation),
            look: Look::Prometheus(look),
            patience: Patience::default(),
        };
        once(ProbePlan::Look(Arc::new(plan))).await
    }

    /// The probe of a manifest, prepared as a run prepares it: the rest of it after its URL, with all braces.
    async fn plan(&self, probe: &str) -> Result<ProbePlan, String> {
        let experiment = experiment(&format!("{{name: p, prometheus: {{url: \"{}\", {probe}", self.url), "[]");
        let plans = Reach::default().plans(&experiment.probes).await.map_err(|error| error.to_string());
        plans.map(|mut plans| plans.probes.remove(0))
    }

    async fn guards(&self, matchers: &str) -> Result<Vec<AlertLook>, String> {
        let abort = format!("[{{alert: {{url: \"{}\", matchers: ['{matchers}']}}}}]", self.url);
        let tcp = "{name: p, tcp: {address: \"127.0.0.1:1\", timeout: 1s}}";
        Reach::default().guards(&experiment(tcp, &abort).guards).await.map_err(|error| error.to_string())
    }

    /// Waits until it has a value for a query.
    async fn until(&self, query: &str) {
        while !matches!(self.ask(query, LONG).await.answer, Answer::Value(_)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn reason(&self, query: &str, timeout: Duration) -> String {
        match self.ask(query, timeout).await {
            Sample { answer: Answer::Error { reason, .. }, met: None, .. } => reason,
            answered => panic!("{query}: {answered:?}"),
        }
    }
}

async fn once(plan: ProbePlan) -> Sample {
    let recorder = Recorder::in_memory(Redactor::default());
    let context = ProbeContext { recorder: recorder.clone(), clock: RunClock::start(), seed: 0, run: 0 };
    let set = ProbeSet::start(vec![plan], context).unwrap();
    set.once(End::Before).await;
    let Some(Event::Sample(sample)) = recorder.events().pop() else { panic!("nothing was recorded") };
    sample
}

fn experiment(probe: &str, abort: &str) -> Experiment {
    let text = format!(
        "apiVersion: chaos.dispatch.dev/v1alpha1
kind: Experiment
metadata: {{name: e, namespace: dispatch}}
spec:
  hypothesis: It holds.
  target: {{workloads: [{{kind: Deployment, name: trips}}]}}
  fault: {{podKill: {{mode: Evict, strikes: {{target: 9, min: 1}}, every: {{mean: 1s, min: 500ms}}}}}}
  phases: {{baseline: 10s, fault: 120s, recovery: 1s}}
  probes: [{probe}]
  limits: {{maxUnavailable: 1, minReady: 1, maxKills: 9, minInterval: 100ms, recoverWithin: 9s, maxBlind: 9s, allowForce: false}}
  abort: {abort}
"
    );
    validate::experiment_file("e.yaml", &text).unwrap_or_else(|error| panic!("{error}")).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a real Prometheus must be on PATH"]
async fn a_real_prometheus_answers_hangs_and_dies() {
    let (target, _) = application().await;
    let prometheus = Prometheus::start(&target);

    // It has scraped once when the value is there; before, the answer must be that there is none.
    let first = loop {
        let sample = prometheus.ask("good", LONG).await;
        match &sample.answer {
            Answer::Value(_) => break sample,
            Answer::Error { reason, .. } => assert!(["noData", "unreachable"].contains(&reason.as_str()), "{sample:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((first.answer, first.met), (Answer::Value(0.5.into()), Some(true)));
    assert_eq!(prometheus.ask("good / 2", LONG).await.met, Some(false));
    assert_eq!(prometheus.ask("scalar(good)", LONG).await.met, Some(true));
    for (query, reason) in [
        ("goood", "noData"),
        ("good == 7", "noData"),
        ("not_a_number", "nan"),
        ("endless", "infinite"),
        ("pair", "severalSeries"),
        ("good[1m]", "badQuery"),
        ("good +", "badQuery"),
    ] {
        assert_eq!(prometheus.reason(query, LONG).await, reason, "{query}");
    }

    prometheus.signal(Signal::SIGSTOP);
    assert_eq!(prometheus.reason("good", Duration::from_millis(300)).await, "timeout");
    prometheus.signal(Signal::SIGCONT);
    assert_eq!(prometheus.ask("good", LONG).await.met, Some(true));
    prometheus.signal(Signal::SIGKILL);
    while prometheus.reason("good", LONG).await != "unreachable" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a real Prometheus must be on PATH"]
async fn old_samples_short_windows_and_gaps_are_no_evidence() {
    let (target, _) = application().await;
    let prometheus = Prometheus::start(&target);
    prometheus.until("old").await;
    let ask = async |probe: &str| once(prometheus.plan(probe).await.unwrap()).await;
    let reason = async |probe: &str| match ask(probe).await.answer {
        Answer::Error { reason, .. } => reason,
        answer @ Answer::Value(_) => panic!("{probe}: {answer:?}"),
    };
    let before = "every: 5s}, when: Before, expect: {min: 0.4}}";
    assert_eq!(ask(&format!("query: good, {before}")).await.met, Some(true));
    // Prometheus itself still gives the value of four minutes ago.
    assert_eq!(prometheus.ask("old", LONG).await.met, Some(true));
    assert_eq!(reason(&format!("query: old, {before}")).await, "stale");
    assert_eq!(reason(&format!("query: \"good + on() old\", {before}")).await, "stale");
    assert_eq!(ask(&format!("query: old, maxAge: 5m, {before}")).await.met, Some(true));
    assert_eq!(reason(&format!("query: \"gone or vector(1)\", {before}")).await, "stale", "it rests on nothing");

    // Its own word is that it scrapes every second: half a second holds no two scrapes, whatever the probe declares.
    let short =
        prometheus.plan(&format!("query: \"rate(asked[1s])\", scrapeInterval: 100ms, {before}")).await.unwrap_err();
    assert!(short.contains("less than two scrapes, which are 1s apart") && short.contains("at least 2s"), "{short}");
    assert!(prometheus.plan(&format!("query: \"rate(asked[4s])\", {before}")).await.is_ok());

    let over_three = format!("query: good, range: {{over: 3s, step: 1s}}, {before}");
    while matches!(ask(&over_three).await.answer, Answer::Error { .. }) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let whole = ask(&over_three).await;
    assert_eq!((whole.answer, whole.met), (Answer::Value(vec![0.5; 4].into()), Some(true)));
    assert_eq!(ask(&over_three.replace("min: 0.4", "min: 0.6")).await.met, Some(false));
    // It was started seconds ago: there is nothing at the points before.
    assert_eq!(reason(&format!("query: good, range: {{over: 2m, step: 1s}}, {before}")).await, "gap");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a real Prometheus must be on PATH"]
async fn alerts_that_fire_are_seen_and_those_that_nobody_defined_are_refused() {
    let (target, lost) = application().await;
    let prometheus = Prometheus::start(&target);
    prometheus.until("lost == 0 or vector(1)").await;
    let look = prometheus.guards("alertname=\"RidesLost\"").await.unwrap().remove(0);
    assert_eq!(look.firing().await.unwrap(), None);
    for (matchers, known) in [("severity=~\"page|critical\"", true), ("instance=\"a\"", true)] {
        assert_eq!(prometheus.guards(matchers).await.is_ok(), known, "{matchers}");
    }
    for misspelt in ["alertname=\"RideLost\"", "severity=\"pager\""] {
        let error = prometheus.guards(misspelt).await.unwrap_err();
        assert!(error.contains("no alerting rule"), "{misspelt}: {error}");
    }

    lost.store(3, Ordering::SeqCst);
    let told = loop {
        if let Some(told) = look.firing().await.unwrap() {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(told.contains("RidesLost") && told.contains("severity=\"page\""), "{told}");
    let error = prometheus.guards("alertname=\"RidesLost\"").await.unwrap_err();
    assert!(error.contains("would stop the run at once"), "{error}");

    prometheus.signal(Signal::SIGKILL);
    while look.firing().await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(look.firing().await.unwrap_err().reason, "unreachable");
    let gone = prometheus.guards("alertname=\"RidesLost\"").await.unwrap_err();
    assert!(gone.contains("gives no answer"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a real Prometheus must be on PATH"]
async fn a_source_that_dies_in_mid_run_leaves_errors_and_no_values() {
    let (target, _) = application().await;
    let prometheus = Prometheus::start(&target);
    prometheus.until("good").await;
    let plan = prometheus.plan("query: good, every: 100ms, timeout: 1s}, expect: {min: 0.4}}").await.unwrap();
    let recorder = Recorder::in_memory(Redactor::default());
    let context = ProbeContext { recorder: recorder.clone(), clock: RunClock::start(), seed: 0, run: 0 };
    let mut set = ProbeSet::start(vec![plan], context).unwrap();
    let mut live = recorder.live();
    live.wait_for(|live| live.answers.get("p").is_some_and(|answer| answer.met == Some(true))).await.unwrap();
    prometheus.signal(Signal::SIGSTOP);
    live.wait_for(|live| live.answers["p"].text.starts_with("timeout")).await.unwrap();
    prometheus.signal(Signal::SIGKILL);
    live.wait_for(|live| live.answers["p"].text.starts_with("unreachable")).await.unwrap();
    set.stop().await.unwrap();
    let samples: Vec<Sample> = recorder
        .events()
        .into_iter()
        .filter_map(|event| if let Event::Sample(sample) = event { Some(sample) } else { None })
        .collect();
    let first_error = samples.iter().position(|sample| sample.met.is_none()).unwrap();
    assert!(samples[first_error..].iter().all(|sample| sample.met.is_none()), "no value after the end: {samples:?}");
}
