//! Prometheus probes against a real Prometheus, which must be on PATH: also when it hangs and when it dies. Built only with
//! the feature `real-prometheus`, so that a machine without it does not pretend to have asked one.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test target")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chaos_core::model::{Expectation, Moment, Patience};
use chaos_core::record::{Answer, Event, Sample};
use chaos_engine::clock::RunClock;
use chaos_engine::journal::Redactor;
use chaos_engine::probe::set::End;
use chaos_engine::probe::{Expected, Look, LookPlan, ProbeContext, ProbePlan, ProbeSet, PrometheusLook};
use chaos_engine::recorder::Recorder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const METRICS: &str = "good 0.5\nnot_a_number NaN\nendless +Inf\npair{a=\"1\"} 1\npair{a=\"2\"} 2\n";

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
            "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: app, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
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
        let recorder = Recorder::in_memory(Redactor::default());
        let context = ProbeContext { recorder: recorder.clone(), clock: RunClock::start(), seed: 0, run: 0 };
        let set = ProbeSet::start(vec![ProbePlan::Look(Arc::new(plan))], context).unwrap();
        set.once(End::Before).await;
        let Some(Event::Sample(sample)) = recorder.events().pop() else { panic!("nothing was recorded") };
        sample
    }

    async fn reason(&self, query: &str, timeout: Duration) -> String {
        match self.ask(query, timeout).await {
            Sample { answer: Answer::Error { reason, .. }, met: None, .. } => reason,
            answered => panic!("{query}: {answered:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_answers_hangs_and_dies() {
    const LONG: Duration = Duration::from_secs(60);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let app = Router::new().route("/metrics", get(async || METRICS));
    tokio::spawn(async move { axum::serve(listener, app).await });
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
