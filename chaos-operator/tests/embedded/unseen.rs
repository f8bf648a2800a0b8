//! An operator whose watch stands still: what people want since then must hold all the same.

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn};

use super::*;

impl Fixture {
    /// An operator to which no watch of this resource brings anything after the list that it begins with.
    pub(super) fn operator_without_news_of(&self, resource: &'static str) -> Operator {
        let token = self.server.issue_token("chaos-system", "chaos-operator");
        let frozen = from_fn(move |mut request: Request, next: Next| {
            let token = token.clone();
            async move {
                let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
                if is_watch && request.uri().path().ends_with(resource) {
                    std::future::pending::<()>().await;
                }
                request.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
                next.run(request).await
            }
        });
        let client = Client::new(self.server.router().layer(frozen), "default");
        Operator::start(client, &["test", "--listen", "127.0.0.1:0", "--pod-name", "a"])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monkey_that_is_suspended_unseen_kills_no_more() {
    let fixture = Fixture::start().await;
    fixture.monkey(|spec| spec["limits"]["maxKills"] = json!(1000)).await;
    let operator = fixture.operator_without_news_of("/chaosmonkeys");
    fixture.until("a kill", |monkey| kills(monkey) > 0).await;
    let patch = Patch::Merge(json!({"spec": {"suspend": true}}));
    let suspended = fixture.monkeys().patch("m", &PatchParams::default(), &patch).await.unwrap();
    let later = fixture
        .until("suspended, and nothing open", |monkey| {
            let is_settled = monkey.status.as_ref().is_some_and(|status| status.intents.is_empty());
            is_settled && condition(monkey, "Active") == ("False", "Suspended")
        })
        .await;
    // What was announced before may have been carried out.
    let open = suspended.status.as_ref().map_or(0, |status| status.intents.len() as u64);
    assert!(kills(&later) <= kills(&suspended) + open, "{} after {} and {open}", kills(&later), kills(&suspended));
    operator.end().await;
}
