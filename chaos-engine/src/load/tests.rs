//! A whole load test against a small application on this machine.

use std::collections::BTreeSet;
use std::sync::Mutex as StdMutex;

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use chaos_core::load::Decision;
use chaos_core::verdict::ExitCode;
use serde_json::json;

use super::*;

type Seen = Arc<StdMutex<Vec<String>>>;

/// Rides can be requested, and looked at by their id; ride 3 of each ten cannot.
async fn application(seen: Seen) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asking, looking) = (Arc::clone(&seen), seen);
    let request = async move |body: String| {
        asking.lock().unwrap().push(body.clone());
        (StatusCode::CREATED, Json(json!({"id": format!("ride-{body}")})))
    };
    let look = async move |Path(ride): Path<String>| {
        looking.lock().unwrap().push(ride.clone());
        let state = if ride.ends_with('3') { "lost" } else { "assigned" };
        Json(json!({"id": ride, "state": state}))
    };
    let app = axum::Router::new().route("/rides", post(request)).route("/rides/{ride}", get(look));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

fn test(url: &str, more: &str) -> LoadTest {
    let text = format!(
        "apiVersion: chaos.dispatch.dev/v1alpha1
kind: LoadTest
metadata: {{name: rides}}
spec:
  duration: 1s
  flows:
    - name: ride
      http:
        url: {url}
        method: POST
        path: /rides
        body: '{{{{seq}}}}'
        rate: 50/s
        timeout: 20s
        maxLag: 10s
        success: {{status: [201]}}
        extract: {{ride: {{jsonPath: $.id}}}}
        then:
          - path: '/rides/{{{{ride}}}}'
            success: {{body: {{jsonPath: $.state, equals: assigned}}}}
{more}"
    );
    chaos_core::validate::load_file("load.yaml", &text)
        .unwrap_or_else(|error| panic!("{}", error.render(false)))
        .remove(0)
}

async fn run(test: LoadTest, asked: watch::Receiver<Option<&'static str>>) -> LoadResult {
    let origin = |flow: &chaos_core::model::Flow| match &flow.load.endpoint {
        chaos_core::model::Endpoint::Url(url) => url.parse().unwrap(),
        chaos_core::model::Endpoint::Service { .. } => panic!("no cluster"),
    };
    let plans = test.flows.iter().map(|flow| HttpPlan::new(&flow.name, &flow.load, origin(flow)).unwrap()).collect();
    LoadRun::new(test, plans, 7).execute(asked).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_one_sample_and_its_values_go_from_answer_to_request() {
    let seen = Seen::default();
    let url = application(Arc::clone(&seen)).await;
    let thresholds = "      thresholds: ['success>=90%', 'success>90%', 'max<20s']";
    let (_asked, nobody) = watch::channel(None);
    let result = run(test(&url, thresholds), nobody).await;

    let flow = &result.flows[0].summary;
    assert_eq!((flow.due, flow.good, flow.failed), (50, 45, 5), "exactly what the schedule says: {flow:?}");
    assert_eq!(flow.causes[0].detail, "request 2 of 2: $.state is \"lost\", not \"assigned\"");
    let seen: BTreeSet<String> = seen.lock().unwrap().iter().cloned().collect();
    assert!((0..50).all(|slot| seen.contains(&slot.to_string()) && seen.contains(&format!("ride-{slot}"))), "{seen:?}");
    let steps: Vec<_> = flow.steps.iter().map(|step| (step.request.as_str(), step.latency.count)).collect();
    assert_eq!(steps, [("POST /rides", 50), ("GET /rides/{{ride}}", 45)]);
    let decisions: Vec<_> = result.thresholds.iter().map(|judged| judged.decision).collect();
    assert_eq!(
        decisions,
        [Decision::Held, Decision::Crossed, Decision::Crossed],
        "a failed flow is slower than any bound"
    );
    assert_eq!((result.exit_code, result.seconds), (ExitCode::Failed, 1.0));
    assert!(result.processor_share > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_early_and_nothing_in_flight_is_lost() {
    let seen = Seen::default();
    let url = application(Arc::clone(&seen)).await;
    let (ask, asked) = watch::channel(None);
    let mut test = test(&url, "");
    test.duration = "10m".parse().unwrap();
    let running = tokio::spawn(run(test, asked));
    while seen.lock().unwrap().len() < 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ask.send_replace(Some("SIGINT"));
    let result = running.await.unwrap();
    let flow = &result.flows[0].summary;
    assert_eq!((result.exit_code, result.stopped_by.as_deref()), (ExitCode::Stopped, Some("SIGINT")));
    assert!(flow.due >= 10 && flow.due == flow.good + flow.failed && result.seconds < 300.0, "{result:?}");
}
