//! The prober's process: watches `ExperimentRuns` and measures for those whose operator asks for it, with an identity that cannot
//! kill. Several may work beside each other: a run is measured by the one that wrote the first report.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::routing::get;
use chaos_core::api::{ExperimentRun, ProberStage};
use chaos_engine::kube::Clients;
use chaos_engine::prober::{ProberDesk, probe};
use chaos_engine::program;
use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::args::ProberArgs;
use crate::watched::{self, Trouble, Unreadable, Watched, is_over};

/// What the API server's audit log calls us.
const AGENT: &str = concat!("chaos-prober/", env!("CARGO_PKG_VERSION"));
/// How often the loop shows that it is not stuck, and gives runs that wait their turn.
const BEAT: Duration = Duration::from_secs(2);
/// A loop that was silent for longer is stuck.
const STUCK_AFTER_SECONDS: u64 = 60;
/// How long probers may take to end their load when this process ends.
const REST_WITHIN: Duration = Duration::from_secs(5);

/// Runs the prober until `shutdown` resolves. Runs that it measures then are lost to it, and end as inconclusive.
///
/// # Errors
/// No cluster is configured, the configuration is not valid, or the address to serve on is taken.
pub async fn run(args: ProberArgs, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    args.common().init_logs();
    let config = kube::Config::infer().await.context("failed to find the cluster to measure on")?;
    // A cluster whose API server is on this machine has its Services there too.
    let loopback = config.cluster_url.host().is_some_and(is_loopback);
    let clients = Clients::new(config, AGENT)?;
    run_on(clients, loopback, args, shutdown).await
}

/// Runs the prober on a cluster that is reached through these clients. `loopback`: the whole cluster is on this machine.
///
/// # Errors
/// The configuration is not valid, or the address to serve on is taken.
pub async fn run_on(
    clients: Clients,
    loopback: bool,
    args: ProberArgs,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let sources = args.common().sources()?;
    let address = args.common().listen_address();
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen on {address}; hint: choose another with --listen"))?;
    let instance = format!("{}/{}", args.identity(), uuid::Uuid::new_v4().simple());
    tracing::info!(address = %listener.local_addr()?, instance, "prober starts");
    let health = Arc::new(Health::new());
    let served = tokio::spawn(serve(listener, health.clone()));
    let tool_digest = tokio::task::spawn_blocking(program::digest).await.context("failed to read this program")?;
    let desk = ProberDesk { clients, instance, tool_digest, sources, loopback };
    let mut bench = Bench { desk, health, most: args.runs(), runs: BTreeMap::new(), listed: BTreeSet::new() };
    bench.work(args.common().watched_namespace(), shutdown).await;
    bench.end().await;
    served.abort();
    tracing::info!("prober ends");
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The runs that are known, but for those that are over.
struct Bench {
    desk: ProberDesk,
    health: Arc<Health>,
    most: usize,
    runs: BTreeMap<String, Known>,
    /// Objects of the list that is just being read: what is not among them is gone.
    listed: BTreeSet<String>,
}

/// A run that is there.
struct Known {
    object: watch::Sender<Arc<ExperimentRun>>,
    /// Whether it may be measured: until then it waits.
    turn: watch::Sender<bool>,
    /// Whoever measures for it, once somebody was asked for. It is not done twice.
    task: Option<JoinHandle<()>>,
}

impl Known {
    fn is_at_work(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }
}

impl Bench {
    async fn work(&mut self, namespace: Option<&str>, shutdown: impl Future<Output = ()> + Send) {
        let mut events: Watched<ExperimentRun> = watched::watch(self.desk.clients.read.clone(), namespace);
        let mut shutdown = std::pin::pin!(shutdown);
        let mut tick = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = tick.tick() => {
                    self.health.beat();
                    self.employ();
                }
                event = events.next() => self.take(event),
            }
        }
    }

    fn take(&mut self, event: Option<Result<Event<ExperimentRun>, Trouble>>) {
        match event {
            Some(Ok(Event::Init)) => self.listed.clear(),
            Some(Ok(Event::InitApply(object))) => {
                self.listed.insert(object.uid().unwrap_or_default());
                self.apply(object);
            }
            Some(Ok(Event::InitDone)) => {
                self.health.sees.store(1, Ordering::Relaxed);
                let listed = std::mem::take(&mut self.listed);
                self.runs.retain(|uid, _| listed.contains(uid));
            }
            Some(Ok(Event::Apply(object))) => self.apply(object),
            // Dropping the sender tells whoever measures that the run is gone.
            Some(Ok(Event::Delete(object))) => _ = self.runs.remove(&object.uid().unwrap_or_default()),
            Some(Err(Trouble::Unreadable(object))) => self.leave(*object),
            Some(Err(Trouble::Broken(error))) => {
                self.health.failures.inc();
                tracing::warn!(%error, "the watch of ExperimentRuns broke; it is taken up again");
            }
            None => {}
        }
        self.employ();
    }

    /// Nobody knows what is wanted of that run: who measures for it leaves, as if it were gone. It is kept, so that it is not
    /// measured a second time should it be readable again.
    fn leave(&mut self, object: Unreadable) {
        let Unreadable { metadata, why, is_gone } = object;
        let uid = metadata.uid.unwrap_or_default();
        if is_gone {
            self.runs.remove(&uid);
            return;
        }
        let (namespace, name) = (metadata.namespace, metadata.name);
        tracing::warn!(namespace, run = name, why, "it cannot be read, and is not measured");
        if let Some(known) = self.runs.get_mut(&uid) {
            // Dropping the sender tells whoever measures.
            let last = known.object.borrow().clone();
            known.object = watch::channel(last).0;
        }
        self.listed.insert(uid);
    }

    fn apply(&mut self, object: ExperimentRun) {
        let uid = object.uid().unwrap_or_default();
        let object = Arc::new(object);
        if let Some(known) = self.runs.get(&uid) {
            known.object.send_replace(object);
            return;
        }
        let (object, turn) = (watch::channel(object).0, watch::channel(false).0);
        self.runs.insert(uid, Known { object, turn, task: None });
    }

    /// Has somebody for each run that asks to be measured, and lets as many of them begin as may be at once, the oldest first.
    /// Those that are over ask for nothing any more.
    fn employ(&mut self) {
        self.runs.retain(|_, known| known.is_at_work() || !is_over(&known.object.borrow()));
        for known in self.runs.values_mut().filter(|known| known.task.is_none()) {
            let object = known.object.borrow().clone();
            let order = object.status.as_ref().and_then(|status| status.probing.as_ref());
            if order.is_none_or(|probing| probing.order == ProberStage::Release) {
                continue;
            }
            tracing::info!(namespace = object.namespace(), run = object.name_any(), "asked to measure");
            let probing = probe(self.desk.clone(), known.object.subscribe(), known.turn.subscribe());
            known.task = Some(tokio::spawn(probing));
        }
        let mut waiting: Vec<&Known> =
            self.runs.values().filter(|known| known.is_at_work() && !*known.turn.borrow()).collect();
        waiting.sort_by_key(|known| known.object.borrow().creation_timestamp().map(|created| created.0));
        for known in waiting.into_iter().take(self.most.saturating_sub(self.busy())) {
            known.turn.send_replace(true);
        }
        self.health.runs.set(i64::try_from(self.busy()).unwrap_or(i64::MAX));
    }

    /// Runs that are measured.
    fn busy(&self) -> usize {
        self.runs.values().filter(|known| known.is_at_work() && *known.turn.borrow()).count()
    }

    /// Lets load go off; what takes too long is dropped.
    async fn end(self) {
        let deadline = tokio::time::Instant::now() + REST_WITHIN;
        let tasks: Vec<_> = self.runs.into_values().filter_map(|known| known.task).collect();
        for mut task in tasks {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

/// Health and metrics.
struct Health {
    registry: Registry,
    runs: Gauge,
    failures: Counter,
    started: Instant,
    alive_at: AtomicU64,
    /// 1 once the runs were listed.
    sees: AtomicU64,
}

impl Health {
    fn new() -> Self {
        let (mut registry, runs, failures) = (Registry::default(), Gauge::default(), Counter::default());
        registry.register("chaos_prober_runs", "Runs that are measured at present", runs.clone());
        registry.register("chaos_prober_watch_errors", "Times that the watch of runs broke", failures.clone());
        let (started, alive_at, sees) = (Instant::now(), AtomicU64::new(0), AtomicU64::new(0));
        Self { registry, runs, failures, started, alive_at, sees }
    }

    fn beat(&self) {
        self.alive_at.store(self.started.elapsed().as_secs(), Ordering::Relaxed);
    }

    fn silent_for(&self) -> u64 {
        self.started.elapsed().as_secs().saturating_sub(self.alive_at.load(Ordering::Relaxed))
    }

    /// All metrics, in the text format of `OpenMetrics`.
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

async fn serve(listener: tokio::net::TcpListener, health: Arc<Health>) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "health and metrics are no longer served");
    }
}

/// Fails only when stuck: a restart is what helps then, and nothing else does.
async fn livez(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    match health.silent_for() {
        silent if silent > STUCK_AFTER_SECONDS => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("the prober has been silent for {silent} s\n"))
        }
        _ => (StatusCode::OK, "ok\n".to_owned()),
    }
}

/// Fails when it would not notice a run.
async fn readyz(State(health): State<Arc<Health>>) -> (StatusCode, &'static str) {
    match health.sees.load(Ordering::Relaxed) {
        0 => (StatusCode::SERVICE_UNAVAILABLE, "the runs were not listed yet\n"),
        _ => (StatusCode::OK, "ok\n"),
    }
}

async fn metrics(State(health): State<Arc<Health>>) -> ([(header::HeaderName, &'static str); 1], String) {
    let text = health.text();
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

#[cfg(test)]
mod tests {
    use chaos_core::api::RunPhase;
    use chaos_engine::sources::Sources;

    use super::*;
    use crate::metrics::tests::{documented, exported};
    use crate::watched::tests::{admin, run, unreadable};

    /// A prober that measures one run at a time.
    fn bench() -> Bench {
        let clients = Clients::same(admin());
        let (instance, sources) = ("test".into(), Sources::default());
        let desk = ProberDesk { clients, instance, tool_digest: None, sources, loopback: true };
        Bench { desk, health: Arc::new(Health::new()), most: 1, runs: BTreeMap::new(), listed: BTreeSet::new() }
    }

    #[test]
    fn a_cluster_on_this_machine_is_known_by_its_address() {
        for (host, here) in
            [("127.0.0.1", true), ("[::1]", true), ("localhost", true), ("10.0.0.1", false), ("api", false)]
        {
            assert_eq!(is_loopback(host), here, "{host}");
        }
    }

    #[test]
    fn the_page_of_operations_has_every_metric_of_the_prober_and_no_other() {
        assert_eq!(exported(&Health::new().text()), documented(true));
    }

    #[tokio::test]
    async fn of_a_run_that_is_over_nothing_is_kept() {
        let mut bench = bench();
        bench.take(Some(Ok(Event::Apply(run("old", RunPhase::Completed)))));
        assert!(bench.runs.is_empty());
        bench.take(Some(Ok(Event::Apply(run("r", RunPhase::Fault)))));
        assert!(bench.runs.contains_key("r"));
        bench.runs.get_mut("r").unwrap().task = Some(tokio::spawn(std::future::pending()));
        bench.take(Some(Ok(Event::Apply(run("r", RunPhase::Completed)))));
        assert!(bench.runs.contains_key("r"), "whoever measures would take it for gone");
        bench.runs["r"].task.as_ref().unwrap().abort();
        while bench.busy() > 0 {
            tokio::task::yield_now().await;
        }
        bench.employ();
        assert!(bench.runs.is_empty());
    }

    #[tokio::test]
    async fn whoever_measures_for_a_run_that_cannot_be_read_any_more_leaves_and_nobody_begins_again() {
        let mut bench = bench();
        bench.take(Some(Ok(Event::Apply(run("r", RunPhase::Fault)))));
        let mut object = bench.runs["r"].object.subscribe();
        // It measures until its run is gone.
        let measuring = async move { while object.changed().await.is_ok() {} };
        bench.runs.get_mut("r").unwrap().task = Some(tokio::spawn(measuring));
        bench.take(Some(Err(unreadable("r", false))));
        let left = async {
            while bench.runs["r"].is_at_work() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), left).await.expect("it goes on measuring");
        bench.take(Some(Ok(Event::Apply(run("r", RunPhase::Fault)))));
        assert!(!bench.runs["r"].is_at_work() && bench.runs["r"].task.is_some(), "it was begun again");
        bench.take(Some(Err(unreadable("r", true))));
        assert!(bench.runs.is_empty());
    }
}
