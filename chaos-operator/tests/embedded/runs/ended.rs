//! Runs that end early: whoever measures is lost, or somebody asks for it.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prober_that_is_lost_ends_the_run_as_inconclusive() {
    let fixture = Fixture::start().await;
    let _stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let (operator, prober) = (fixture.operator("a"), fixture.prober());
    fixture.run(|spec| spec["experiment"]["fault"]["podKill"]["strikes"] = json!({"target": 10, "min": 1})).await;
    fixture.until_run("a kill", |run| killed(run) > 0).await;
    prober.crash().await;
    // Another one comes, and does not go on for it.
    let prober = fixture.prober();
    let run = fixture.completed().await;
    assert_eq!(verdict(&run), ("inconclusive", "ProberLost"), "{}", text(&run));
    assert_eq!(says(&run, "Passed").0, "Unknown");
    assert!(text(&run).contains("silent"), "{}", text(&run));
    operator.end().await;
    prober.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_evidence_is_refused_for_too_long_is_stopped_by_that() {
    let fixture = Fixture::start().await;
    let _stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let (operator, prober) = (fixture.operator("a"), fixture.prober());
    fixture.run(|spec| spec["experiment"]["fault"]["podKill"]["strikes"] = json!({"target": 10, "min": 1})).await;
    fixture.until_run("a kill", |run| killed(run) > 0).await;
    permissions::take_away(&fixture, "", "configmaps", "create").await;
    let run = fixture.completed().await;
    assert_eq!(verdict(&run), ("aborted", "JournalFailed"), "{}", text(&run));
    let evidence = run.status.as_ref().unwrap().evidence.clone().unwrap();
    assert!(evidence.operator > 0);
    assert_eq!(evidence.digest, None, "what was judged is not all there");
    operator.end().await;
    prober.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_and_a_deletion_end_the_kills() {
    let fixture = Fixture::start().await;
    let stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let (operator, prober) = (fixture.operator("a"), fixture.prober());
    let long = |spec: &mut Value| spec["experiment"]["fault"]["podKill"]["strikes"] = json!({"target": 10, "min": 1});
    fixture.run(long).await;
    fixture.until_run("a kill", |run| killed(run) > 0).await;
    let patch = |value: Value| Patch::Merge(json!({"spec": value}));
    let runs = fixture.runs();
    let changed = runs.patch("r", &PatchParams::default(), &patch(json!({"experiment": {"seed": 8}}))).await;
    assert!(changed.unwrap_err().to_string().contains("cannot be changed"));
    let abort = json!({"control": {"abort": true, "reason": "the shop is slow"}});
    runs.patch("r", &PatchParams::default(), &patch(abort)).await.unwrap();
    let run = fixture.completed().await;
    assert_eq!(verdict(&run), ("aborted", "Interrupted"));
    assert!(text(&run).contains("spec.control.abort: the shop is slow"), "{}", text(&run));
    assert!(killed(&run) < 10);
    assert_judged(&fixture, &run).await;
    assert_told(&fixture, &run, &["Interrupted", "Started", "Stopping"]).await;
    runs.delete("r", &DeleteParams::default()).await.unwrap();
    eventually("gone", || async { runs.get_opt("r").await.unwrap().map_or(Ok(()), |_| Err(String::new())) }).await;
    fixture.run(long).await;
    fixture.until_run("a kill", |run| killed(run) > 0).await;
    runs.delete("r", &DeleteParams::default()).await.unwrap();
    // Load goes off, so both have noticed that the run is gone.
    eventually("no more requests", || async {
        let before = stack.requests();
        tokio::time::sleep(Duration::from_millis(300)).await;
        if stack.requests() == before { Ok(()) } else { Err(format!("{before}")) }
    })
    .await;
    operator.end().await;
    prober.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_that_no_watch_brings_ends_the_kills_too() {
    let fixture = Fixture::start().await;
    let _stack = Stack::start(&fixture.admin, NS, "gateway").await;
    fixture
        .run(|spec| {
            spec["experiment"]["fault"]["podKill"]["strikes"] = json!({"target": 60, "min": 1});
            spec["experiment"]["limits"]["maxKills"] = json!(60);
        })
        .await;
    let (operator, prober) = (fixture.operator_without_news_of("/experimentruns"), fixture.prober());
    fixture.until_run("a kill", |run| killed(run) > 0).await;
    let abort = Patch::Merge(json!({"spec": {"control": {"abort": true}}}));
    let aborted = fixture.runs().patch("r", &PatchParams::default(), &abort).await.unwrap();
    let run = fixture.completed().await;
    let killer = aborted.status.as_ref().and_then(|status| status.killer.as_ref());
    let open = killer.map_or(0, |killer| killer.intents.len() as u64);
    assert!(killed(&run) <= killed(&aborted) + open, "{} after {} and {open}", killed(&run), killed(&aborted));
    assert_eq!(verdict(&run).0, "aborted", "{}", text(&run));
    operator.end().await;
    prober.end().await;
}
