//! What an operator does not see, or cannot read: what people want since then must hold all the same.

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn};
use chaos_core::api::Mode;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

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

impl Fixture {
    /// The monkey as the server has it, after that change of its spec.
    async fn edit_unread(&self, spec: Value) -> DynamicObject {
        let resource = ApiResource::erase::<ChaosMonkey>(&());
        let monkeys: Api<DynamicObject> = Api::namespaced_with(self.admin.clone(), NS, &resource);
        let patch = Patch::Merge(json!({"spec": spec}));
        monkeys.patch("m", &PatchParams::default(), &patch).await.unwrap()
    }

    /// The API server takes any text for an instant from now on, as older ones of ours took what newer ones do not.
    async fn take_any_instant(&self) {
        let crds: Api<DynamicObject> =
            Api::all_with(self.admin.clone(), &ApiResource::erase::<CustomResourceDefinition>(&()));
        let mut crd = crds.get("chaosmonkeys.chaos.dispatch.dev").await.unwrap();
        let until = crd.data.pointer_mut(
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/control/properties/postpone/items/properties/until",
        );
        assert!(until.unwrap().as_object_mut().unwrap().remove("format").is_some());
        crds.replace("chaosmonkeys.chaos.dispatch.dev", &PostParams::default(), &crd).await.unwrap();
    }

    /// UIDs of the pods, once none of them is going.
    async fn pods_at_rest(&self) -> BTreeSet<String> {
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), NS);
        eventually("three pods, none of which is going", || async {
            let all = pods.list(&ListParams::default()).await.unwrap().items;
            let is_going = all.iter().any(|pod| pod.metadata.deletion_timestamp.is_some());
            if all.len() == 3 && !is_going {
                Ok(all.into_iter().filter_map(|pod| pod.metadata.uid).collect())
            } else {
                Err(format!("{} pods", all.len()))
            }
        })
        .await
    }

    /// Waits until a monkey that only pretends has struck so often since now: others could have.
    async fn until_others_struck(&self, times: u64) {
        let monkeys = self.monkeys();
        let strikes = |monkey: &ChaosMonkey| monkey.status.as_ref().map_or(0, |status| status.strikes);
        let before = strikes(&monkeys.get("other").await.unwrap());
        eventually("strikes of another monkey", || async {
            let now = strikes(&monkeys.get("other").await.unwrap());
            if now >= before + times { Ok(()) } else { Err(format!("{now} after {before}")) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monkey_that_cannot_be_read_any_more_kills_no_more_and_says_so_until_it_can() {
    let fixture = Fixture::start().await;
    let mut other = fixture.monkey(|spec| spec["limits"]["maxKills"] = json!(10_000)).await;
    (other.metadata, other.spec.mode) = (ObjectMeta::default(), Mode::DryRun);
    other.metadata.name = Some("other".to_owned());
    fixture.monkeys().create(&PostParams::default(), &other).await.unwrap();
    let operator = fixture.operator("a");
    fixture.until("a kill", |monkey| kills(monkey) > 0).await;

    // A real API server takes it at once: no calendar of ours reaches so far.
    fixture.take_any_instant().await;
    let postpone = json!([{"id": "s999999", "until": "9999-12-31T23:59:59Z"}]);
    fixture.edit_unread(json!({"control": {"postpone": postpone}})).await;
    eventually("conditions that say so", || async {
        let monkey = fixture.edit_unread(json!({})).await;
        let conditions = monkey.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let says = |kind: &str| {
            let is_said = |c: &Value| c["type"] == kind && c["status"] == "False" && c["reason"] == "Unreadable";
            conditions.iter().any(is_said)
        };
        if says("Ready") && says("Active") { Ok(()) } else { Err(format!("{conditions:?}")) }
    })
    .await;
    // What was sent before may still be carried out.
    fixture.until_others_struck(5).await;
    let pods = fixture.pods_at_rest().await;
    fixture.until_others_struck(10).await;
    assert_eq!(fixture.pods_at_rest().await, pods, "something was killed");

    fixture.edit_unread(json!({"control": null})).await;
    let before = kills(&fixture.monkeys().get("m").await.unwrap());
    fixture
        .until("a kill after that", |monkey| kills(monkey) > before && condition(monkey, "Ready") == ("True", "Ready"))
        .await;
    operator.end().await;
}
