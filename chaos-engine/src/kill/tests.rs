//! The last moment before a kill: what is known then decides whether it is sent. And guards that nobody asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use chaos_core::api::{PlannedStrike, VictimRef, labels};
use chaos_core::instant::{after, micro_time};
use chaos_core::model::{KillMode, NamespaceScope};
use chaos_core::validate::{self, Meta, experiment_file};
use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::kube::SURVEYS;

/// A keeper that knows this.
struct Knowing(KillerView);

impl Keeper for Knowing {
    type Error = Infallible;

    async fn view(&mut self) -> KillerView {
        self.0.clone()
    }

    async fn save(&mut self, _: &Ledger) -> Result<(), Infallible> {
        Ok(())
    }

    async fn wait(&mut self, _: Option<Timestamp>) {}
}

fn order(now: Timestamp) -> KillOrder {
    let (id, group) = ("s1".to_owned(), "trips".to_owned());
    let strike = PlannedStrike { id, strike: 1, at: micro_time(now), group, waiting_for: None, postponed_from: None };
    let victim = VictimRef {
        namespace: "dispatch".into(),
        pod: "trips-1".into(),
        uid: "u".into(),
        workload: "Deployment/trips".into(),
        workload_uid: "w".into(),
        owner_uid: "rs".into(),
        node: None,
    };
    let deadline = after(now, std::time::Duration::from_secs(60));
    KillOrder { strike, nonce: "n".into(), victim, mode: KillMode::Evict, grace: None, deadline }
}

/// A cluster that accepts everything, and counts the kills.
fn accepting(requests: &Arc<AtomicUsize>) -> ClusterAccess {
    cluster(requests, "Running", &json!({}))
}

/// The same, with that state of the stop switch and that in the metadata of the namespace. It counts the kills.
fn cluster(kills: &Arc<AtomicUsize>, switch: &str, said: &serde_json::Value) -> ClusterAccess {
    access(&Clients::same(kube::Client::new(server(kills, switch, said, Some(victim())), "default")))
}

/// The victim of [`order`], as a server tells of it.
fn victim() -> serde_json::Value {
    let owner = json!([{"kind": "ReplicaSet", "name": "trips-1", "uid": "rs", "controller": true}]);
    json!({
        "metadata": {"name": "trips-1", "namespace": "dispatch", "uid": "u", "labels": {labels::ENABLED: "true"},
            "ownerReferences": owner},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// What a server says of a pod that is not there.
fn no_pod() -> (StatusCode, Json<serde_json::Value>) {
    let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "no", "code": 404});
    (StatusCode::NOT_FOUND, Json(status))
}

/// A server that accepts everything else, with that pod, if any.
fn server(kills: &Arc<AtomicUsize>, switch: &str, said: &serde_json::Value, pod: Option<serde_json::Value>) -> Router {
    let counted = kills.clone();
    let kill = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { (StatusCode::CREATED, Json(json!({}))) }
    };
    let switch = json!({"data": {"state": switch}});
    let mut namespace = json!({"metadata": {"name": "dispatch", "labels": {labels::ENABLED: "true"}}});
    namespace["metadata"].as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    Router::new()
        .route("/api/v1/namespaces/{namespace}/configmaps/{name}", get(async move || Json(switch.clone())))
        .route(
            "/api/v1/namespaces/{namespace}/pods/{name}",
            get(async move || pod.clone().map(Json).ok_or_else(no_pod)),
        )
        .route("/api/v1/namespaces/{name}", get(async move || Json(namespace.clone())))
        .fallback(kill)
}

fn access(clients: &Clients) -> ClusterAccess {
    access_to(clients, "dispatch")
}

/// Access for a killer whose targets are in that namespace.
fn access_to(clients: &Clients, namespace: &str) -> ClusterAccess {
    let manifest = include_str!("../../../experiments/riders-can-request-while-pods-die.yaml");
    let mut target = experiment_file("x.yaml", manifest).unwrap().remove(0).target;
    target.namespaces = NamespaceScope::Named(BTreeSet::from([namespace.to_owned()]));
    let policy = Policy::operator(namespace, "chaos-system");
    ClusterAccess::new(clients, &target, &policy, Environment::Known(None), "test")
}

/// What becomes of a kill, and how many requests leave for it.
async fn asked_to_kill(known: KillerView) -> (KillAnswerKind, usize) {
    let requests: Arc<AtomicUsize> = Arc::default();
    let mut world = KillWorld::new(accepting(&requests), Knowing(known));
    let Response::Kill(answer) = world.perform(Action::Kill(order(Timestamp::now()))).await else {
        panic!("a kill is answered as one");
    };
    (answer.kind, requests.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_kill_that_is_not_wanted_any_more_is_not_sent() {
    let free = KillerView::default;
    assert_eq!(asked_to_kill(free()).await, (KillAnswerKind::Accepted, 1));
    let later = after(Timestamp::now(), std::time::Duration::from_secs(3_600));
    for known in [
        KillerView { suspended: true, ..free() },
        KillerView { hold: Some("the stop switch of the cluster is on".into()), ..free() },
        KillerView { cancel: BTreeSet::from(["s1".to_owned()]), ..free() },
        KillerView { postpone: BTreeMap::from([("s1".to_owned(), later)]), ..free() },
        KillerView { leave: true, ..free() },
    ] {
        assert_eq!(asked_to_kill(known.clone()).await, (KillAnswerKind::NotSent, 0), "{known:?}");
    }
}

#[tokio::test]
async fn what_was_stopped_since_a_kill_was_decided_is_not_killed() {
    let stop = json!({"annotations": {labels::STOP: "true"}});
    let free = json!({});
    let (out, excluded) =
        (json!({"labels": {}}), json!({"labels": {labels::ENABLED: "true", labels::EXCLUDE: "true"}}));
    let leaving = json!({"deletionTimestamp": "2026-11-23T12:00:00Z"});
    for (switch, said, kind) in [
        ("Running", &free, KillAnswerKind::Accepted),
        ("Stopped", &free, KillAnswerKind::NotSent),
        ("Perhaps", &free, KillAnswerKind::NotSent),
        ("Running", &stop, KillAnswerKind::NotSent),
        ("Running", &out, KillAnswerKind::NotSent),
        ("Running", &excluded, KillAnswerKind::NotSent),
        ("Running", &leaving, KillAnswerKind::NotSent),
    ] {
        let kills: Arc<AtomicUsize> = Arc::default();
        let mut world = KillWorld::new(cluster(&kills, switch, said), Knowing(KillerView::default()));
        let Response::Kill(answer) = world.perform(Action::Kill(order(Timestamp::now()))).await else {
            panic!("a kill is answered as one");
        };
        let sent = usize::from(kind == KillAnswerKind::Accepted);
        assert_eq!((answer.kind, kills.load(Ordering::Relaxed)), (kind, sent), "{switch} {said}");
    }
}

/// What becomes of a kill where there is that pod by now, how many kills leave, and what is told of it.
async fn asked_to_kill_pod(pod: Option<serde_json::Value>) -> (KillAnswerKind, usize, String) {
    let kills: Arc<AtomicUsize> = Arc::default();
    let router = server(&kills, "Running", &json!({}), pod);
    let access = access(&Clients::same(kube::Client::new(router, "default")));
    let mut world = KillWorld::new(access, Knowing(KillerView::default()));
    let Response::Kill(answer) = world.perform(Action::Kill(order(Timestamp::now()))).await else {
        panic!("a kill is answered as one");
    };
    (answer.kind, kills.load(Ordering::Relaxed), answer.message.unwrap_or_default())
}

#[tokio::test]
async fn a_pod_that_has_changed_since_its_kill_was_decided_is_not_killed() {
    let changed = |change: fn(&mut serde_json::Value)| {
        let mut pod = victim();
        change(&mut pod);
        pod
    };
    assert_eq!(asked_to_kill_pod(Some(victim())).await, (KillAnswerKind::Accepted, 1, String::new()));
    let (gone, unwanted) = (KillAnswerKind::Gone, KillAnswerKind::NotSent);
    for (pod, kind, why) in [
        (None, gone, "there is no such pod any more"),
        (Some(changed(|pod| pod["metadata"]["uid"] = json!("u2"))), gone, "there is no such pod any more"),
        (
            Some(changed(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T12:00:00Z"))),
            gone,
            "being deleted",
        ),
        (Some(changed(|pod| pod["metadata"]["labels"] = json!({}))), unwanted, "PodNotEnabled: the pod is not"),
        (Some(changed(|pod| pod["metadata"]["labels"][labels::EXCLUDE] = json!("true"))), unwanted, "PodExcluded: "),
        (
            Some(changed(|pod| pod["metadata"]["ownerReferences"] = json!([]))),
            unwanted,
            "no controller would replace it",
        ),
        (
            Some(changed(|pod| pod["metadata"]["ownerReferences"][0]["uid"] = json!("x"))),
            unwanted,
            "another controller",
        ),
        (Some(changed(|pod| pod["status"]["phase"] = json!("Failed"))), unwanted, "its phase is Failed"),
        (Some(changed(|pod| pod["status"]["conditions"] = json!([]))), unwanted, "NotReady: it is not Ready"),
        (Some(json!({"metadata": {"name": 7}})), unwanted, "could not be read"),
    ] {
        let (found, kills, message) = asked_to_kill_pod(pod).await;
        assert_eq!((found, kills), (kind, 0), "{why}");
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn a_namespace_that_the_target_does_not_mean_any_more_is_left_alone() {
    let kills: Arc<AtomicUsize> = Arc::default();
    let router = server(&kills, "Running", &json!({}), Some(victim()));
    let access = access_to(&Clients::same(kube::Client::new(router, "default")), "elsewhere");
    let mut world = KillWorld::new(access, Knowing(KillerView::default()));
    let Response::Kill(answer) = world.perform(Action::Kill(order(Timestamp::now()))).await else {
        panic!("a kill is answered as one");
    };
    assert_eq!((answer.kind, kills.load(Ordering::Relaxed)), (KillAnswerKind::NotSent, 0));
    assert_eq!(answer.message.as_deref(), Some("the target is elsewhere, and no more namespace dispatch"));
}

#[tokio::test]
async fn a_namespace_that_is_stopped_while_the_switch_is_still_being_read_is_left_alone() {
    let (kills, looks, reads): (Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>) =
        (Arc::default(), Arc::default(), Arc::default());
    let counted = kills.clone();
    let kill = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { (StatusCode::CREATED, Json(json!({}))) }
    };
    let switch = move || {
        let is_slow = looks.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if is_slow {
                tokio::time::sleep(STOPS_WITHIN * 3 / 2).await;
            }
            Json(json!({"data": {"state": "Running"}}))
        }
    };
    // Somebody stops it right after it was read.
    let namespace = move || {
        let is_stopped = reads.fetch_add(1, Ordering::Relaxed) > 0;
        let annotations = if is_stopped { json!({labels::STOP: "true"}) } else { json!({}) };
        let labels = json!({labels::ENABLED: "true"});
        async move { Json(json!({"metadata": {"name": "dispatch", "labels": labels, "annotations": annotations}})) }
    };
    let router: Router = Router::new()
        .route("/api/v1/namespaces/{namespace}/configmaps/{name}", get(switch))
        .route("/api/v1/namespaces/{namespace}/pods/{name}", get(async || Json(victim())))
        .route("/api/v1/namespaces/{name}", get(namespace))
        .fallback(kill);
    let access = access(&Clients::same(kube::Client::new(router, "default")));
    let mut world = KillWorld::new(access, Knowing(KillerView::default()));
    let Response::Kill(answer) = world.perform(Action::Kill(order(Timestamp::now()))).await else {
        panic!("a kill is answered as one");
    };
    assert_eq!((answer.kind, kills.load(Ordering::Relaxed)), (KillAnswerKind::NotSent, 0), "{answer:?}");
}

/// A keeper that is told whether guards hold.
struct Told(Vec<bool>);

impl Keeper for Told {
    type Error = Infallible;

    async fn view(&mut self) -> KillerView {
        KillerView::default()
    }

    async fn save(&mut self, _: &Ledger) -> Result<(), Infallible> {
        Ok(())
    }

    async fn wait(&mut self, _: Option<Timestamp>) {}

    fn guarded(&mut self, held: bool) {
        self.0.push(held);
    }
}

#[tokio::test]
async fn guards_that_nobody_asks_for_or_that_cannot_be_asked_do_not_hold() {
    let spec = json!({
        "target": {"workloads": [{"kind": "Deployment", "name": "trips"}]}, "fault": {"podKill": {"mode": "Evict"}},
        "mode": "Live", "meanTimeBetweenKills": "1h", "minTimeBetweenKills": "10m", "schedule": {},
        "guards": [{"probe": {"source": "platform", "query": "up", "min": 1}}],
        "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 8, "minInterval": "0s", "recoverWithin": "30s",
            "maxBlind": "30s", "allowForce": false},
    });
    let meta = Meta { name: "m".into(), namespace: "dispatch".into(), uid: "u".into() };
    let guards = validate::monkey(&serde_json::from_value(spec).unwrap(), &meta).unwrap().guards;
    let world = || KillWorld::new(accepting(&Arc::default()), Told(Vec::new()));
    let unnamed = Asker::new(Arc::default(), "dispatch");
    for mut world in [world(), world().asking(unnamed)] {
        // The plan and recoveries are looked at without them.
        world.perform(Action::Survey(Scope::Target)).await;
        world.perform(Action::Observe { scope: Scope::Target, budgets: Vec::new(), guards: guards.clone() }).await;
        assert_eq!(world.into_keeper().0, [false]);
    }
}

/// A look for a strike that may need one budget.
fn look_for_a_strike(budget: Option<WorkloadKey>) -> Action {
    Action::Observe { scope: Scope::Target, budgets: budget.into_iter().collect(), guards: Vec::new() }
}

async fn look_once(access: ClusterAccess, look: Action) {
    let mut world = KillWorld::new(access, Knowing(KillerView::default()));
    world.perform(look).await;
}

/// Reads of the cluster by so many killers that look at once: how many there were at the same time, and how many in all. Each
/// reads the nodes once.
async fn side_by_side(killers: usize, namespaces: usize, look: &Action) -> (usize, usize) {
    let (reading, most, all): (Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>) =
        (Arc::default(), Arc::default(), Arc::default());
    let (seen, counted) = (most.clone(), all.clone());
    let nodes = move || {
        let (reading, seen) = (reading.clone(), seen.clone());
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            seen.fetch_max(reading.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            reading.fetch_sub(1, Ordering::Relaxed);
            Json(json!({"items": []}))
        }
    };
    let router: Router = Router::new().route("/api/v1/nodes", get(nodes)).fallback(|| async { Json(json!({})) });
    let clients = Clients::same(kube::Client::new(router, "default"));
    let access = |killer: usize| access_to(&clients, &format!("dispatch-{}", killer % namespaces));
    join_all((0..killers).map(|killer| look_once(access(killer), look.clone()))).await;
    (most.load(Ordering::Relaxed), all.load(Ordering::Relaxed))
}

#[tokio::test]
async fn of_killers_that_survey_together_few_read_at_a_time_and_a_strike_waits_for_nobody() {
    let survey = Action::Survey(Scope::Target);
    assert_eq!(side_by_side(20, 20, &survey).await, (SURVEYS, 20));
    assert_eq!(side_by_side(20, 1, &survey).await, (1, 1), "one read serves all that ask before it begins");
    let (namespace, kind) = ("dispatch".into(), "Deployment".into());
    let workload = WorkloadKey { namespace, kind, name: "trips".into(), uid: "w".into() };
    for strike in [Some(workload), None].map(look_for_a_strike) {
        assert_eq!(side_by_side(20, 1, &strike).await, (20, 20), "a kill is decided on what was read for it alone");
    }
}

/// A keeper with a clock of its own.
struct OfRun(RunClock);

impl Keeper for OfRun {
    type Error = Infallible;

    fn clock(&self) -> Option<&RunClock> {
        Some(&self.0)
    }

    async fn view(&mut self) -> KillerView {
        KillerView::default()
    }

    async fn save(&mut self, _: &Ledger) -> Result<(), Infallible> {
        Ok(())
    }

    async fn wait(&mut self, _: Option<Timestamp>) {}
}

/// When a survey of an empty namespace began, as this keeper tells it.
async fn surveyed_at(keeper: impl Keeper) -> Timestamp {
    let namespace = || async { Json(json!({"metadata": {"name": "dispatch"}})) };
    let router: Router =
        Router::new().route("/api/v1/namespaces/dispatch", get(namespace)).fallback(|| async { Json(json!({})) });
    let mut world = KillWorld::new(access(&Clients::same(kube::Client::new(router, "default"))), keeper);
    match world.perform(Action::Survey(Scope::Target)).await {
        Response::Observed(Ok(seen)) => seen.population.taken_at,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_seen_is_as_old_as_the_clock_says_that_its_killer_goes_by() {
    let hour = std::time::Duration::from_secs(3_600);
    let is_about = |at: Timestamp, expected: Timestamp| {
        let late = at.duration_since(expected);
        assert!((0..60).contains(&late.as_secs()), "{late:?}");
    };
    let now = Timestamp::now();
    is_about(surveyed_at(Knowing(KillerView::default())).await, now);
    // The wall clock was set ahead by an hour since the run began.
    let stepped = RunClock::stepped(hour, SignedDuration::from_hours(1));
    let before = stepped.timestamp(stepped.now());
    assert!(now.duration_since(before).as_secs() > 3_000, "{before}");
    is_about(surveyed_at(OfRun(stepped)).await, before);
}

/// A keeper by whose clock it is that late.
struct Dated(Timestamp);

impl Keeper for Dated {
    type Error = Infallible;

    fn now(&self) -> Timestamp {
        self.0
    }

    async fn view(&mut self) -> KillerView {
        KillerView::default()
    }

    async fn save(&mut self, _: &Ledger) -> Result<(), Infallible> {
        Ok(())
    }

    async fn wait(&mut self, _: Option<Timestamp>) {}
}

#[tokio::test]
async fn a_killer_is_told_once_that_its_clock_was_set_ahead() {
    let hour = std::time::Duration::from_secs(3_600);
    let mut world = KillWorld::new(accepting(&Arc::default()), Dated(Timestamp::UNIX_EPOCH));
    assert!(World::<Killer>::view(&mut world).await.ahead.is_zero());
    world.keeper_mut().0 = after(Timestamp::UNIX_EPOCH, hour);
    let ahead = World::<Killer>::view(&mut world).await.ahead;
    // Less by the time that has passed meanwhile.
    assert!(ahead <= hour && ahead > std::time::Duration::from_secs(3_540), "{ahead:?}");
    assert!(World::<Killer>::view(&mut world).await.ahead.is_zero());
    world.keeper_mut().0 = Timestamp::UNIX_EPOCH;
    assert!(World::<Killer>::view(&mut world).await.ahead.is_zero(), "it was set back");
}

#[tokio::test]
async fn a_decision_does_not_become_younger_where_the_clock_is_set_back_between_its_steps() {
    let requests: Arc<AtomicUsize> = Arc::default();
    let (now, moment) = (Timestamp::now(), std::time::Duration::from_millis(50));
    for back in [false, true] {
        let mut world = KillWorld::new(accepting(&requests), Dated(now));
        drop(world.perform(look_for_a_strike(None)).await);
        let asked = requests.load(Ordering::Relaxed);
        // This machine stands still, and wakes up with another clock.
        tokio::time::sleep(moment * 2).await;
        world.keeper.0 = if back { now - SignedDuration::from_secs(10) } else { after(now, moment * 2) };
        drop(world.view().await);
        let order = KillOrder { deadline: after(now, moment), ..order(now) };
        let Response::Kill(answer) = world.perform(Action::Kill(order)).await else {
            panic!("a kill is answered as one");
        };
        assert_eq!(
            (answer.kind, requests.load(Ordering::Relaxed)),
            (KillAnswerKind::NotSent, asked),
            "set back: {back}"
        );
    }
}

/// A keeper whose clock is set ahead by an hour while it is asked what is known.
struct Slow(Timestamp);

impl Keeper for Slow {
    type Error = Infallible;

    fn now(&self) -> Timestamp {
        self.0
    }

    async fn view(&mut self) -> KillerView {
        self.0 = after(self.0, std::time::Duration::from_secs(3_600));
        KillerView::default()
    }

    async fn save(&mut self, _: &Ledger) -> Result<(), Infallible> {
        Ok(())
    }

    async fn wait(&mut self, _: Option<Timestamp>) {}
}

#[tokio::test]
async fn no_step_is_taken_at_an_instant_of_which_it_is_not_told_that_the_clock_was_set_until_then() {
    let mut world = KillWorld::new(accepting(&Arc::default()), Slow(Timestamp::UNIX_EPOCH));
    for _ in 0..2 {
        let before = World::<Killer>::now(&world);
        let ahead = World::<Killer>::view(&mut world).await.ahead;
        let passed = World::<Killer>::now(&world).duration_since(before) - SignedDuration::try_from(ahead).unwrap();
        assert!(passed.abs() < SignedDuration::from_secs(60), "{passed} {ahead:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_sees_the_cluster_waits_for_its_turn_and_not_for_long() {
    let namespace = || async { Json(json!({"metadata": {"name": "dispatch"}})) };
    let router: Router =
        Router::new().route("/api/v1/namespaces/dispatch", get(namespace)).fallback(|| async { Json(json!({})) });
    let clients = Clients::same(kube::Client::new(router, "default"));
    let world = || KillWorld::new(access(&clients), Knowing(KillerView::default()));
    let survey = || Action::Survey(Scope::Target);
    let (mut sees, mut new) = (world(), world());
    assert!(matches!(sees.perform(survey()).await, Response::Observed(Ok(_))));
    let all = u32::try_from(SURVEYS).unwrap();
    let turns = clients.surveys.turns.clone().acquire_many_owned(all).await.unwrap();
    assert!(matches!(sees.perform(survey()).await, Response::Observed(Ok(_))));
    let minute = std::time::Duration::from_secs(60);
    assert!(tokio::time::timeout(minute, new.perform(survey())).await.is_err(), "it begins with all the others");
    let strike = tokio::time::timeout(minute, world().perform(look_for_a_strike(None))).await;
    assert!(matches!(strike, Ok(Response::Observed(Ok(_)))), "a strike has no turn to wait for");
    drop(turns);
    assert!(matches!(new.perform(survey()).await, Response::Observed(Ok(_))));
}
