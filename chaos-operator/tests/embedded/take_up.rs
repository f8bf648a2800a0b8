//! What an operator that starts asks the API server for monkeys that another has left in order: nothing, until there is something
//! to be written, or until somebody else writes.

use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::http::Method;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::permissions::{free_address, get};
use super::*;

/// Requests that were answered: method and path of each.
#[derive(Clone, Default)]
struct Answered(Arc<Mutex<Vec<(Method, String)>>>);

impl Answered {
    /// Those for one monkey each: no list, and no watch.
    fn of_single_monkeys(&self) -> Vec<(Method, String)> {
        let answered = self.0.lock().unwrap();
        answered.iter().filter(|(_, path)| path.contains("/chaosmonkeys/")).cloned().collect()
    }

    /// Whether the cluster was looked at.
    fn has_survey(&self) -> bool {
        self.0.lock().unwrap().iter().any(|(method, path)| *method == Method::GET && path.ends_with("/pods"))
    }
}

fn driver(monkey: &ChaosMonkey) -> Option<String> {
    monkey.status.as_ref().and_then(|status| status.driver.clone())
}

/// The versions of all monkeys.
async fn versions(fixture: &Fixture) -> BTreeSet<(String, Option<String>)> {
    let all = fixture.monkeys().list(&ListParams::default()).await.unwrap();
    all.items.iter().map(|monkey| (monkey.name_any(), monkey.resource_version())).collect()
}

impl Fixture {
    /// So many monkeys that plan, strike next month at the soonest, and were left so by an operator.
    async fn settled(&self, count: usize) {
        let operator = self.operator("before");
        let mut monkey = self
            .monkey(|spec| {
                spec["mode"] = json!("DryRun");
                (spec["meanTimeBetweenKills"], spec["minTimeBetweenKills"]) = (json!("1440h"), json!("720h"));
            })
            .await;
        monkey.status = None;
        for index in 1..count {
            monkey.metadata = ObjectMeta { name: Some(format!("m-{index}")), ..ObjectMeta::default() };
            self.monkeys().create(&PostParams::default(), &monkey).await.unwrap();
        }
        eventually("a plan of each monkey", || async {
            let all = self.monkeys().list(&ListParams::default()).await.unwrap().items;
            let is_settled = |monkey: &&ChaosMonkey| {
                let has_plan = monkey.status.as_ref().is_some_and(|status| !status.upcoming.is_empty());
                has_plan && condition(monkey, "Ready") == ("True", "Ready")
            };
            let settled = all.iter().filter(is_settled).count();
            if settled == count { Ok(()) } else { Err(format!("{settled} of {count}")) }
        })
        .await;
        operator.end().await;
    }

    /// An operator that has taken up so many monkeys and looked at the cluster, and what it has asked so far.
    async fn operator_that_has_taken_up(&self, count: usize) -> (Operator, Answered) {
        let (token, answered) = (self.server.issue_token("chaos-system", "chaos-operator"), Answered::default());
        let noted = answered.clone();
        let noting = from_fn(move |mut request: Request, next: Next| {
            let (token, noted) = (token.clone(), noted.clone());
            async move {
                let what = (request.method().clone(), request.uri().path().to_owned());
                request.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
                let response = next.run(request).await;
                noted.0.lock().unwrap().push(what);
                response
            }
        });
        let client = Client::new(self.server.router().layer(noting), "default");
        let address = free_address();
        let operator = Operator::start(client, &["test", "--listen", &address.to_string(), "--pod-name", "after"]);
        let count = format!("chaos_reconcile_seconds_count {count}");
        eventually("all taken up, and a look at the cluster", || async {
            let metrics = get(address, "/metrics").await;
            let is_up = metrics.lines().any(|line| line == count);
            if is_up && answered.has_survey() { Ok(()) } else { Err(metrics) }
        })
        .await;
        (operator, answered)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_starts_asks_nothing_for_monkeys_that_are_settled() {
    // What holds all kills has to be read in time, or all statuses say that it is not known.
    let fixture = Fixture::alone().await;
    fixture.settled(5).await;
    let before = versions(&fixture).await;
    let (operator, answered) = fixture.operator_that_has_taken_up(5).await;
    operator.end().await;
    let asked = answered.of_single_monkeys();
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(versions(&fixture).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monkey_that_is_not_claimed_is_read_afresh_and_claimed_once_somebody_else_writes_it() {
    let fixture = Fixture::alone().await;
    fixture.settled(1).await;
    let left = fixture.monkeys().get("m").await.unwrap();
    let (operator, answered) = fixture.operator_that_has_taken_up(1).await;
    assert_eq!(driver(&fixture.monkeys().get("m").await.unwrap()), driver(&left));
    let asked = answered.of_single_monkeys();
    assert!(asked.is_empty(), "{asked:?}");
    // A leader that has not noticed yet that it is none any more.
    let written = Patch::Merge(json!({"status": {"driver": "another", "skips": 7}}));
    fixture.monkeys().patch_status("m", &PatchParams::default(), &written).await.unwrap();
    let claimed = fixture
        .until("claimed by the operator", |monkey| {
            driver(monkey).is_some_and(|driver| driver != "another") && driver(monkey) != driver(&left)
        })
        .await;
    assert_eq!(claimed.status.as_ref().map(|status| status.skips), Some(7), "what was written is not lost");
    let asked = answered.of_single_monkeys();
    assert!(asked.iter().any(|(method, _)| *method == Method::GET), "it is not read: {asked:?}");
    operator.end().await;
}
