//! The whole platform as processes, under load, while its pods are killed at random: the resilient one keeps every promise,
//! the fragile one breaks those it is said to break.

use std::time::Duration;

use dispatch_stack::fragile::{Flag, Fragile};
use serde_json::Value;

use crate::postgres::server::PostgresServer;
use crate::stack::{Kill, Plan, Stack};

/// Time between two kills.
const PACE: Duration = Duration::from_millis(600);

fn count(report: &Value, what: &str) -> u64 {
    report["rides"][what].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_resilient_platform_loses_and_doubles_nothing_whoever_dies_and_however() {
    let stack = Stack::start(Plan::resilient()).await;
    // Every other pod is evicted politely; the store, which has no second pod, never is.
    let kill = |n: usize, role: &str| if n.is_multiple_of(2) || role == "store" { Kill::Abrupt } else { Kill::Evicted };
    keeps_every_promise(stack, &["trips", "gateway", "matcher", "location", "eta", "trips", "gateway", "store"], kill)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a PostgreSQL"]
async fn the_resilient_platform_on_postgresql_loses_and_doubles_nothing_when_one_of_its_stores_dies() {
    let server = PostgresServer::start();
    let stack = Stack::start(Plan::postgres(server.new_database().await)).await;
    let kill = |n: usize, _: &str| if n.is_multiple_of(2) { Kill::Abrupt } else { Kill::Evicted };
    keeps_every_promise(stack, &["store", "trips", "gateway", "store", "matcher"], kill).await;
}

/// Kills pod after pod of these roles under load, in turns, and asks the auditor.
async fn keeps_every_promise(mut stack: Stack, victims: &[&'static str], how: impl Fn(usize, &str) -> Kill) {
    answers_name_the_pods_that_served_them_and_a_key_makes_one_ride(&stack).await;
    let mut pace = tokio::time::interval(PACE);
    for (n, role) in victims.iter().copied().cycle().take(16).enumerate() {
        pace.tick().await;
        stack.kill_and_replace(role, how(n, role)).await;
    }
    let report = stack.audit("settle=30s").await;
    assert_eq!(report["violations"], Value::Array(Vec::new()), "{report}");
    assert_eq!(report["quiescent"], true, "{}", report["rides"]);
    assert!(count(&report, "acknowledged") > 50, "{}", report["rides"]);
    assert!(count(&report, "completed") > 50, "{}", report["rides"]);
    assert!(report["checked"].as_u64().is_some_and(|checked| checked >= count(&report, "acknowledged")));
    stack.stop_politely(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fragile_platform_loses_rides_when_its_pods_are_evicted() {
    let all: Fragile = Flag::ALL.into_iter().collect();
    let mut stack = Stack::start(Plan::fragile(&all)).await;
    let mut pace = tokio::time::interval(PACE);
    for role in ["trips", "matcher", "gateway", "eta"].iter().cycle().take(16) {
        pace.tick().await;
        stack.kill_and_replace(role, Kill::Evicted).await;
    }
    let report = stack.audit("settle=4s&stuck_after=2s").await;
    let counts = &report["violation_counts"];
    for invariant in ["I1", "I6"] {
        assert!(counts[invariant].as_u64().is_some_and(|count| count > 0), "{invariant} is not broken: {counts}");
    }
    let stories: Vec<&str> =
        report["violations"].as_array().into_iter().flatten().filter_map(|v| v["story"].as_str()).collect();
    assert!(stories.iter().any(|story| story.starts_with("lost: ride ") && story.contains("trips-")), "{stories:#?}");
}

async fn answers_name_the_pods_that_served_them_and_a_key_makes_one_ride(stack: &Stack) {
    let (first, chain) = stack.create_ride("one-key").await;
    let (again, _) = stack.create_ride("one-key").await;
    assert_eq!(first["id"], again["id"]);
    let roles: Vec<_> = chain.split(", ").filter_map(|pod| pod.split('-').next()).collect();
    assert_eq!(roles[..3], ["gateway", "trips", "store"], "{chain}");
}
