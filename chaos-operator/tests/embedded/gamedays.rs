//! Game days: steps in their order, approvals by patches, a crash of the operator in between, and what a slot may not do.

use std::sync::{Arc, Mutex};

use chaos_core::api::{ExecutionRecord, ExperimentRun, GameDay, StepPhase};

use super::*;

impl Fixture {
    fn days(&self) -> Api<GameDay> {
        Api::namespaced(self.admin.clone(), NS)
    }

    fn day_runs(&self) -> Api<ExperimentRun> {
        Api::namespaced(self.admin.clone(), NS)
    }

    /// Two Experiments, and a game day of dry runs that is started by hand: what is looked at here is their order.
    async fn day(&self, change: impl FnOnce(&mut Value)) -> GameDay {
        for name in ["e1", "e2"] {
            create(
                &self.admin,
                json!({"apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "Experiment",
                    "metadata": {"name": name, "namespace": NS}, "spec": super::runs::experiment()}),
            )
            .await;
        }
        let mut spec = json!({
            "schedule": "Manual", "blackout": [], "startingDeadline": "1m", "mode": "DryRun",
            "steps": [
                {"name": "first", "experiment": {"name": "e1"}},
                {"name": "pause", "dependsOn": ["first"], "wait": "1s"},
                {"name": "look", "dependsOn": ["pause"], "approval": {"prompt": "Is it green?", "within": "1h"}},
                {"name": "second", "dependsOn": ["look"], "experiment": {"name": "e2"}},
            ],
        });
        change(&mut spec);
        let day = json!({"apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "GameDay",
            "metadata": {"name": "d", "namespace": NS}, "spec": spec});
        self.days().create(&PostParams::default(), &serde_json::from_value(day).unwrap()).await.unwrap()
    }

    async fn until_day(&self, what: &str, holds: impl Fn(&GameDay) -> bool) -> GameDay {
        let days = self.days();
        eventually(what, || async {
            let day = days.get("d").await.unwrap();
            if holds(&day) { Ok(day) } else { Err(format!("{:#?}", day.status)) }
        })
        .await
    }

    async fn control(&self, control: Value) {
        let patch = Patch::Merge(json!({"spec": {"control": control}}));
        self.days().patch("d", &PatchParams::default(), &patch).await.unwrap();
    }

    async fn start_day(&self, day: &GameDay, id: &str) {
        self.control(json!({"start": {"gameDayUid": day.uid().unwrap(), "id": id}})).await;
    }
}

fn execution(day: &GameDay) -> Option<&ExecutionRecord> {
    day.status.as_ref().and_then(|status| status.active.first())
}

fn is_in(day: &GameDay, step: &str, phase: StepPhase) -> bool {
    let steps = execution(day).into_iter().flat_map(|execution| &execution.steps);
    steps.into_iter().any(|known| known.name == step && known.phase == phase)
}

fn outcomes(day: &GameDay) -> Vec<(String, String)> {
    let history = day.status.iter().flat_map(|status| &status.history);
    history.map(|result| (result.outcome.clone(), result.reason.clone())).collect()
}

fn skips(day: &GameDay, reason: &str) -> u64 {
    let skipped = day.status.iter().flat_map(|status| &status.skipped);
    skipped.filter(|skip| skip.reason == reason).map(|skip| skip.count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_day_goes_through_its_steps_and_a_crash_repeats_none() {
    let fixture = Fixture::alone().await;
    let day = fixture.day(|_| ()).await;
    let operator = fixture.operator("same-pod");
    fixture.start_day(&day, "go").await;
    fixture.until_day("a first run", |day| execution(day).is_some_and(|of| of.steps[0].run.is_some())).await;
    operator.crash().await;
    let operator = fixture.operator("same-pod");
    let waiting = fixture.until_day("a question", |day| is_in(day, "look", StepPhase::Running)).await;
    let id = execution(&waiting).unwrap().id.clone();
    assert_eq!(fixture.day_runs().list(&ListParams::default()).await.unwrap().items.len(), 1);
    operator.crash().await;
    let operator = fixture.operator("same-pod");
    let approve = |uid: String| json!({"approve": [{"gameDayUid": uid, "execution": id, "step": "look"}]});
    fixture.control(approve("another".to_owned())).await;
    let generation = fixture.days().get("d").await.unwrap().metadata.generation;
    let seen = |day: &GameDay| day.status.as_ref().is_some_and(|status| status.observed_generation == generation);
    let waiting = fixture.until_day("noticed", seen).await;
    assert!(is_in(&waiting, "look", StepPhase::Running), "it was another game day that was approved");
    fixture.control(approve(day.uid().unwrap())).await;
    let over = fixture.until_day("an end", |day| !outcomes(day).is_empty()).await;
    assert_eq!(outcomes(&over), [("planned".to_owned(), "Passed".to_owned())]);
    let runs = fixture.day_runs().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(runs.len(), 2, "each step has one run, whatever crashed");
    for run in &runs {
        assert_eq!(run.owner_references()[0].uid, day.uid().unwrap(), "they go with the game day");
        assert_eq!(run.labels()["chaos.dispatch.dev/execution"], id);
        let experiment = run.spec.experiment_ref.as_ref().unwrap();
        assert_eq!(run.labels()["chaos.dispatch.dev/experiment"], experiment.name);
    }
    assert_eq!(over.status.as_ref().unwrap().started, 1, "an order starts once");
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_start_is_told_and_an_end_can_be_asked_for() {
    let fixture = Fixture::start().await;
    let operator = fixture.operator("a");
    let day = fixture.day(|spec| spec["suspend"] = json!(true)).await;
    fixture.start_day(&day, "suspended").await;
    let day = fixture.until_day("a skip", |day| skips(day, "Suspended") == 1).await;
    assert_eq!(day.status.as_ref().unwrap().started, 0);
    let resume = Patch::Merge(json!({"spec": {"suspend": false}}));
    fixture.days().patch("d", &PatchParams::default(), &resume).await.unwrap();
    fixture.start_day(&day, "one").await;
    let asked = fixture.until_day("a question", |day| is_in(day, "look", StepPhase::Running)).await;
    fixture.start_day(&day, "two").await;
    fixture.until_day("a second skip", |day| skips(day, "StillRunning") == 1).await;
    let id = execution(&asked).unwrap().id.clone();
    fixture.control(json!({"abort": [id]})).await;
    let over = fixture.until_day("an end", |day| !outcomes(day).is_empty()).await;
    assert_eq!(outcomes(&over), [("aborted".to_owned(), "Aborted".to_owned())]);
    assert_eq!(fixture.day_runs().list(&ListParams::default()).await.unwrap().items.len(), 1);
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_is_told_and_what_breaks_a_rule_is_refused() {
    let fixture = Fixture::start().await;
    let operator = fixture.operator("a");
    fixture
        .day(|spec| {
            spec["steps"] = json!([
                {"name": "a", "dependsOn": ["b"], "experiment": {"name": "e1"}},
                {"name": "b", "dependsOn": ["a"], "wait": "1s"},
            ]);
        })
        .await;
    let ready = |day: &GameDay| {
        let conditions = day.status.iter().flat_map(|status| &status.conditions);
        let found = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        found.is_some_and(|found| found.reason == "Invalid" && found.message.contains("a → b → a"))
    };
    fixture.until_day("a condition that names the circle", ready).await;
    for (patch, why) in [
        (json!({"schedule": "every day"}), "five fields"),
        (json!({"startingDeadline": "0s"}), "between 1s and 24h"),
        (json!({"steps": [{"name": "a", "wait": "1s"}]}), "no step is an experiment"),
        (json!({"steps": [{"name": "a", "experiment": {"name": "e"}, "wait": "1s"}]}), "exactly one of"),
        (json!({"steps": [{"name": "a", "experiment": {"name": "e"}, "dependsOn": ["c"]}]}), "is not there"),
        (json!({"steps": [{"name": "a", "experiment": {"name": "e"}}, {"name": "a", "wait": "1s"}]}), "one name"),
    ] {
        let patch = Patch::Merge(json!({"spec": patch}));
        let refused = fixture.days().patch("d", &PatchParams::default(), &patch).await.unwrap_err().to_string();
        assert!(refused.contains(why) || refused.contains("Duplicate"), "{why}: {refused}");
    }
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_created_and_not_noted_is_taken_up_and_not_created_again() {
    let fixture = Fixture::start().await;
    let day = fixture.day(|_| ()).await;
    let operator = fixture.operator("same-pod");
    fixture.start_day(&day, "go").await;
    fixture.until_day("a first run", |day| execution(day).is_some_and(|of| of.steps[0].run_uid.is_some())).await;
    operator.crash().await;
    let created = fixture.day_runs().list(&ListParams::default()).await.unwrap().items;
    // As if the crash had come between the creation and the writing of the status.
    let mut before = fixture.days().get("d").await.unwrap();
    let execution_of = before.status.as_mut().unwrap().active.first_mut().unwrap();
    let (first, others) = execution_of.steps.split_first_mut().unwrap();
    (first.phase, first.run_uid, first.outcome) = (StepPhase::Starting, None, None);
    others.iter_mut().for_each(|step| step.phase = StepPhase::Pending);
    fixture.days().replace_status("d", &PostParams::default(), &before).await.unwrap();
    let operator = fixture.operator("same-pod");
    let waiting = fixture.until_day("a question", |day| is_in(day, "look", StepPhase::Running)).await;
    let runs = fixture.day_runs().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].uid(), created[0].uid(), "the run that was there");
    assert_eq!(execution(&waiting).unwrap().steps[0].run_uid, runs[0].uid());
    operator.end().await;
}

/// A cron expression of every day whose last slot was an hour ago, and a status of three days ago.
fn three_days_ago(is_suspended: bool) -> (String, Value) {
    let hour = |hours: i64| jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
    let schedule = hour(1).strftime("%M %H * * *").to_string();
    let since = hour(72).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let calendar = format!("{schedule} UTC");
    (schedule, json!({"status": {"since": since, "calendar": calendar, "suspended": is_suspended}}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_missed_slots_the_latest_starts_and_those_of_a_suspension_never() {
    for (was_suspended, is_suspended, started) in [(false, false, 1), (true, true, 0), (true, false, 0)] {
        let fixture = Fixture::start().await;
        let (schedule, status) = three_days_ago(was_suspended);
        fixture
            .day(|spec| {
                spec["schedule"] = json!(schedule);
                spec["startingDeadline"] = json!("24h");
                spec["suspend"] = json!(is_suspended);
            })
            .await;
        fixture.days().patch_status("d", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        let operator = fixture.operator("a");
        // A slot that waits for the operator to read its stop switch is the next one, in the past.
        let decided = |day: &GameDay| {
            let next = day.status.as_ref().and_then(|status| status.next_at.as_ref());
            next.is_some_and(|next| next.0 > jiff::Timestamp::now())
        };
        let day = fixture.until_day("a next slot", decided).await;
        assert_eq!(day.status.as_ref().unwrap().started, started, "{was_suspended} {is_suspended}");
        let expected = if started == 1 { ("Missed", 2) } else { ("Suspended", u64::from(is_suspended) * 3) };
        assert_eq!(skips(&day, expected.0), expected.1, "{was_suspended} {is_suspended}");
        // What was slept through is not made up for afterwards either.
        let resume = Patch::Merge(json!({"spec": {"suspend": false, "history": {"passed": 1, "failed": 1}}}));
        let generation = fixture.days().patch("d", &PatchParams::default(), &resume).await.unwrap().metadata.generation;
        let noticed =
            |day: &GameDay| day.status.as_ref().is_some_and(|status| status.observed_generation == generation);
        let day = fixture.until_day("noticed", noticed).await;
        assert_eq!(day.status.as_ref().unwrap().started, started, "{was_suspended} {is_suspended}, resumed");
        operator.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_begins_once_what_it_replaces_is_over() {
    let fixture = Fixture::start().await;
    let operator = fixture.operator("a");
    let day = fixture.day(|spec| spec["concurrencyPolicy"] = json!("Replace")).await;
    fixture.start_day(&day, "one").await;
    fixture.until_day("a question", |day| is_in(day, "look", StepPhase::Running)).await;
    fixture.start_day(&day, "two").await;
    let replaced = fixture.until_day("an end", |day| !outcomes(day).is_empty()).await;
    assert_eq!(outcomes(&replaced), [("aborted".to_owned(), "Replaced".to_owned())]);
    let is_second = |day: &GameDay| {
        execution(day).is_some_and(|execution| execution.id.starts_with("two-"))
            && is_in(day, "look", StepPhase::Running)
    };
    fixture.until_day("the question of the second", is_second).await;
    assert_eq!(fixture.day_runs().list(&ListParams::default()).await.unwrap().items.len(), 2);
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_from_a_step_that_did_not_pass_is_up_to_the_policy() {
    for (policy, runs, second) in [("Stop", 1, StepPhase::NotRun), ("Continue", 2, StepPhase::Passed)] {
        let fixture = Fixture::start().await;
        let operator = fixture.operator("a");
        let day = fixture
            .day(|spec| {
                spec["onFailure"] = json!(policy);
                spec["steps"] = json!([
                    {"name": "first", "experiment": {"name": "not-there"}},
                    {"name": "second", "dependsOn": ["first"], "experiment": {"name": "e2"}},
                ]);
            })
            .await;
        fixture.start_day(&day, "go").await;
        let over = fixture.until_day("an end", |day| !outcomes(day).is_empty()).await;
        let steps = &over.status.as_ref().unwrap().last.as_ref().unwrap().steps;
        assert_eq!((steps[0].phase, steps[1].phase), (StepPhase::Failed, second), "{policy}: {steps:#?}");
        assert_eq!(outcomes(&over)[0].0, "invalid", "{policy}: {steps:#?}");
        assert_eq!(fixture.day_runs().list(&ListParams::default()).await.unwrap().items.len(), runs);
        operator.end().await;
    }
}

/// A Prometheus that says what is left of a budget, and how often it was asked. `None`: it has no answer.
struct Budget {
    left: Arc<Mutex<Option<f64>>>,
    url: String,
}

impl Budget {
    async fn serve() -> Self {
        let left: Arc<Mutex<Option<f64>>> = Arc::default();
        let shared = left.clone();
        let answer = move || {
            let left = *shared.lock().unwrap();
            async move {
                let now = jiff::Timestamp::now().as_second();
                let result = left.map(|left| json!([{"metric": {}, "value": [now, left.to_string()]}]));
                let data = json!({"resultType": "vector", "result": result.unwrap_or(json!([]))});
                axum::Json(json!({"status": "success", "data": data}))
            }
        };
        let app = axum::Router::new().route("/api/v1/query", axum::routing::get(answer.clone()).post(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { left, url }
    }

    fn set(&self, left: Option<f64>) {
        *self.left.lock().unwrap() = left;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_budget_skips_shrinks_and_holds_a_game_day() {
    let fixture = Fixture::start().await;
    let budget = Budget::serve().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let given = format!("{{url: \"{}\", namespaces: [{NS}]}}", budget.url);
    let other = format!("{{url: \"{}\", namespaces: [elsewhere]}}", budget.url);
    std::fs::write(&config, format!("prometheus: {{platform: {given}, theirs: {other}}}\n")).unwrap();
    let operator = fixture.operator_with("a", &config);
    let day = fixture
        .day(|spec| {
            spec["guards"] = json!([{"errorBudget":
                {"source": "platform", "query": "budget_left", "keep": "25%", "shrinkBelow": "50%"}}]);
            spec["steps"] = json!([{"name": "first",
                "experiment": {"name": "e1", "shrunk": {"strikes": {"target": 2, "min": 2}}}}]);
        })
        .await;

    budget.set(Some(0.1));
    fixture.start_day(&day, "spent").await;
    fixture.until_day("a skip", |day| skips(day, "BudgetSpent") == 1).await;

    budget.set(None);
    fixture.start_day(&day, "unknown").await;
    let generation = fixture.days().get("d").await.unwrap().metadata.generation;
    let waits = |day: &GameDay| {
        day.status.as_ref().is_some_and(|of| of.observed_generation == generation && of.start_seen_at.is_some())
    };
    fixture.until_day("an order that waits", waits).await;
    assert!(fixture.day_runs().list(&ListParams::default()).await.unwrap().items.is_empty(), "no answer, no run");

    budget.set(Some(0.4));
    let over = fixture.until_day("an end", |day| !outcomes(day).is_empty()).await;
    assert_eq!(outcomes(&over), [("planned".to_owned(), "Passed".to_owned())]);
    let runs = fixture.day_runs().list(&ListParams::default()).await.unwrap().items;
    let strikes = runs[0].spec.overrides.as_ref().and_then(|overrides| overrides.strikes).unwrap();
    assert_eq!((runs.len(), strikes.target, strikes.min), (1, 2, 2), "it is shrunk");
    let step = over.status.as_ref().unwrap().last.as_ref().unwrap().steps[0].clone();
    assert!(step.guard.unwrap().starts_with("40.0 % of the error budget is left, by source platform"));

    let theirs = Patch::Merge(json!({"spec": {"startingDeadline": "1s", "guards": [{"errorBudget":
        {"source": "theirs", "query": "budget_left", "keep": "25%", "shrinkBelow": "50%"}}]}}));
    fixture.days().patch("d", &PatchParams::default(), &theirs).await.unwrap();
    fixture.start_day(&day, "theirs").await;
    let day = fixture.until_day("a skip", |day| skips(day, "BudgetUnknown") == 1).await;
    let told = &day.status.as_ref().unwrap().skipped.last().unwrap().message;
    assert!(told.contains("not given to this namespace"), "{told}");
    operator.end().await;
}
