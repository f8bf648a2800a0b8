//! What is refused before anything is touched.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_takes_a_right_that_is_not_there_is_refused_by_name() {
    let fixture = Fixture::start().await;
    let stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let (operator, prober) = (fixture.operator("a"), fixture.prober());
    fixture.run(|spec| spec["experiment"]["fault"]["podKill"]["mode"] = json!("Delete")).await;
    let run = fixture.completed().await;
    assert_eq!(verdict(&run), ("invalid", "Refused"), "{}", text(&run));
    assert!(text(&run).contains("the operator may not delete pods"), "{}", text(&run));
    assert!(text(&run).contains("chaos install --delete-mode"), "{}", text(&run));
    assert_told(&fixture, &run, &["Refused"]).await;
    assert_eq!((stack.requests(), killed(&run)), (0, 0));
    operator.end().await;
    prober.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_talked_into_what_the_namespace_may_not() {
    let fixture = Fixture::start().await;
    let _stack = Stack::start(&fixture.admin, NS, "gateway").await;
    create(&fixture.admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "billing"}})).await;
    let other = Stack::start(&fixture.admin, "billing", "secrets").await;
    create(
        &fixture.admin,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metadata", "namespace": NS},
            "spec": {"type": "ExternalName", "externalName": "127.0.0.1",
                "ports": [{"name": "http", "port": other.address.port()}]}}),
    )
    .await;
    create(
        &fixture.admin,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "anywhere", "namespace": NS},
            "spec": {"clusterIP": "127.0.0.1", "ports": [{"name": "http", "port": other.address.port()}]}}),
    )
    .await;
    let (operator, prober) = (fixture.operator("a"), fixture.prober());
    // What the API server refuses by the CRD's rules.
    let http = |value: Value| json!([{"name": "ask", "http": value, "slo": experiment()["probes"][0]["slo"]}]);
    let expect = json!({"min": 1});
    for (what, probes) in [
        ("a url", http(json!({"url": "http://169.254.169.254/", "rate": "1/s", "timeout": "1s"}))),
        ("a file", http(json!({"service": "gateway", "caFile": "/etc/passwd", "rate": "1/s", "timeout": "1s"}))),
        (
            "a program",
            json!([{"name": "c", "when": "After", "expect": {"exitCode": 0},
            "command": {"argv": ["/bin/sh"], "timeout": "1s"}}]),
        ),
        ("a connection", json!([{"name": "t", "tcp": {"address": "169.254.169.254:80", "timeout": "1s"}}])),
        ("a health check", json!([{"name": "g", "grpc": {"address": "169.254.169.254:80", "timeout": "1s"}}])),
        (
            "a source's url",
            json!([{"name": "p", "expect": expect,
            "prometheus": {"url": "http://127.0.0.1/", "query": "up", "every": "1s"}}]),
        ),
        (
            "a secret",
            json!([{"name": "k", "expect": expect,
            "kubernetes": {"resource": "v1/Secret", "name": "x", "jsonPath": "$.data"}}]),
        ),
    ] {
        let refused = fixture.try_run(|spec| spec["experiment"]["probes"] = probes.clone()).await;
        assert!(refused.unwrap_err().to_string().contains("inside a cluster"), "{what}");
    }
    // What operator and prober refuse, with a condition.
    let cases = [
        (
            "another namespace's Service",
            "billing does not allow",
            http(json!({"service": "secrets", "namespace": "billing",
            "rate": "1/s", "timeout": "1s"})),
        ),
        (
            "another namespace's object",
            "billing does not allow",
            json!([{"name": "k", "expect": expect,
            "kubernetes": {"resource": "v1/Pod", "name": "x", "namespace": "billing", "jsonPath": "$.status.phase"}}]),
        ),
        (
            "a name outside",
            "outside of the cluster",
            http(json!({"service": "metadata", "rate": "1/s", "timeout": "1s"})),
        ),
        ("anybody's endpoints", "no selector", http(json!({"service": "anywhere", "rate": "1/s", "timeout": "1s"}))),
        (
            "a source of others",
            "may not ask",
            json!([{"name": "p", "expect": expect,
            "prometheus": {"source": "platform", "query": "up", "every": "1s"}}]),
        ),
    ];
    for (what, said, probes) in cases {
        fixture.run(|spec| spec["experiment"]["probes"] = probes).await;
        let run = fixture.completed().await;
        assert_eq!((verdict(&run).0, killed(&run)), ("invalid", 0), "{what}");
        assert!(text(&run).contains(said), "{what}: {}", text(&run));
        fixture.runs().delete("r", &DeleteParams::default()).await.unwrap();
    }
    fixture.run(|spec| spec["experiment"]["target"]["namespaces"] = json!({"names": ["billing"]})).await;
    let run = fixture.completed().await;
    assert!(text(&run).contains("billing does not allow"), "{}", text(&run));
    assert_eq!(other.requests(), 0, "nothing was fetched");
    operator.end().await;
    prober.end().await;
}
