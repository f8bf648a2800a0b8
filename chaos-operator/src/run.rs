//! One `ExperimentRun` from its first sight to its end: read it afresh, claim it, validate it, drive it. Its deletion is an
//! abort; a process that is told to rest leaves it to the next one.

mod under_way;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::api::{Experiment, ExperimentRun, ExperimentRunStatus};
use chaos_core::forbidden::FORBIDDEN_AT_MOST;
use chaos_core::model::Run;
use chaos_core::operated::{
    Facts, OperatedRun, Record, Stage, Unfit, leaving, order_of, read_record, update_conditions, write_record,
};
use chaos_core::run::RunMachine;
use chaos_core::validate;
use chaos_core::verdict::Conclusion;
use chaos_engine::drive::drive;
use chaos_engine::kube::{CallError, StatusDesk, StatusStore, StoreError, is_of_a_moment, is_turned_away, told};
use chaos_engine::program;
use chaos_engine::run::operated::{Announcer as _, Backing, OperatedWorld, let_rest};
use jiff::Timestamp;
use kube::{Api, Resource as _, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::latest::Latest;
use crate::shared::Shared;
use under_way::Unread;

/// Pause before an Experiment is read again that could not be for lack of a permission.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Looks after one run until it is over, gone, or `rest` is cancelled. Where somebody else has written its status it is taken up
/// once more after a pause: that process may not lead any more, and a run that nobody drives has no deadline. Whoever takes it up
/// writes its name first, so that the other one can save no intent: never do two kill for it.
pub(crate) async fn tend(shared: Arc<Shared>, object: watch::Receiver<Arc<ExperimentRun>>, rest: CancellationToken) {
    let (mut backoff, mut unread) = (Backoff::new(), Unread::default());
    while !rest.is_cancelled() && object.has_changed().is_ok() {
        let seen = object.borrow().clone();
        let began = Instant::now();
        match stint(&shared, &object, &seen, &mut unread, &rest).await {
            Ok(()) | Err(StoreError::Gone) => return,
            Err(error) => {
                let (namespace, run) = (seen.namespace().unwrap_or_default(), seen.name_any());
                tracing::warn!(%error, namespace, run, "starting over");
                let reference = seen.object_ref(&());
                tokio::select! {
                    // What it counts and tells comes before its pause.
                    biased;
                    () = shared.start_over(&reference, &error, &mut backoff, began, &rest) => {}
                    () = asked_to_end(object.clone()), if !seen.is_aborted() => {}
                }
            }
        }
    }
}

/// Waits until the run is asked to end: whoever asks waits for no pause.
async fn asked_to_end(mut object: watch::Receiver<Arc<ExperimentRun>>) {
    // An error means that it is gone.
    _ = object.wait_for(|run| run.is_aborted()).await;
}

/// Drives it until it is over or gone, or this process rests.
async fn stint(
    shared: &Arc<Shared>,
    object: &watch::Receiver<Arc<ExperimentRun>>,
    seen: &ExperimentRun,
    unread: &mut Unread,
    rest: &CancellationToken,
) -> Result<(), StoreError> {
    let began = Instant::now();
    let (namespace, name) = (seen.namespace().unwrap_or_default(), seen.name_any());
    let store: StatusStore<ExperimentRun> =
        StatusStore::open(shared.reads(), shared.writes(), &namespace, &name).await?;
    let fresh = store.object().clone();
    if fresh.metadata.deletion_timestamp.is_some() || fresh.metadata.uid != seen.metadata.uid {
        return Ok(());
    }
    // Whoever wrote the status, be it this process without an answer, may not have got round to telling it.
    shared.retell_run(&fresh);
    let status = fresh.status.clone().unwrap_or_default();
    let record = read_record(&status);
    if record.stage == Stage::Completed {
        return Ok(());
    }
    let desk = StatusDesk::new(store);
    desk.update(|status| status.driver = Some(shared.instance.clone())).await?;
    let meant = match unread.by_record(shared.reads(), &desk, &fresh, &record).await? {
        Some(meant) => meant,
        None => understood(shared, &fresh, &record, rest).await?,
    };
    let run = match meant {
        Ok(run) => run,
        Err(unfit) => {
            let left = left_of(shared, &fresh, &record).await;
            let (before, after) = conclude(&desk, &fresh, &unfit, left.as_deref()).await?;
            shared.changed(&fresh, &before, &after);
            tracing::warn!(namespace, run = name, why = unfit.message, "not run");
            shared.metrics.judged(unfit.exit_code.outcome().into());
            return Ok(());
        }
    };
    let seed = seed(&status, &run);
    let machine = OperatedRun { run: RunMachine::new(&run.experiment), mode: run.mode, approval: run.approval };
    let latest = Latest::new(fresh, object.clone(), shared.hold.subscribe(), desk.clone());
    let backing = Backing { hold: latest.hold(), ..shared.backing() };
    let mut world = OperatedWorld::new(backing, run, seed, desk, latest.object(), record.stage.clone());
    shared.metrics.taken_up(began.elapsed().as_secs_f64());
    tracing::info!(namespace, run = name, stage = ?record.stage, "taken up");
    let ended = drive_on(&machine, &mut world, record, latest, rest).await?;
    if let Some(verdict) = ended.and_then(|record| record.verdict) {
        let (outcome, reason) = (&verdict.outcome, &verdict.reason_code);
        tracing::info!(namespace, run = name, outcome, reason, text = verdict.reason_text, "run ended");
        shared.metrics.judged(Conclusion::read(outcome));
    }
    Ok(())
}

/// Drives the run to its end. `None`: it was left before, because it is gone, or this process rests.
async fn drive_on(
    machine: &OperatedRun,
    world: &mut OperatedWorld,
    record: Record,
    mut latest: Latest,
    rest: &CancellationToken,
) -> Result<Option<Record>, StoreError> {
    let fenced = world.fenced();
    let driven = tokio::select! {
        driven = drive(machine, world, record) => Some(driven),
        () = latest.follow() => None,
        () = fenced.cancelled() => None,
        () = rest.cancelled() => None,
    };
    if let Some(driven) = driven {
        return driven.map(|state| Some(state.record));
    }
    world.leave().await;
    if fenced.is_cancelled() { Err(StoreError::Fenced) } else { Ok(None) }
}

/// The run as its objects mean it, before it is under way.
async fn understood(
    shared: &Shared,
    object: &ExperimentRun,
    record: &Record,
    rest: &CancellationToken,
) -> Result<Result<Run, Unfit>, StoreError> {
    let named = match &object.spec.experiment_ref {
        None => None,
        Some(reference) => {
            let namespace = object.namespace().unwrap_or_default();
            let experiments: Api<Experiment> = Api::namespaced(shared.clients.read.clone(), &namespace);
            match read(&experiments, &reference.name, rest).await {
                Ok(Some(experiment)) => Some(experiment.spec),
                Ok(None) => {
                    let message = format!("there is no Experiment {namespace}/{}", reference.name);
                    return Ok(Err(Unfit::invalid(message)));
                }
                // A server that fails for a moment ends no run, least of all one that waits for somebody's approval.
                Err(error) if is_of_a_moment(&error) || rest.is_cancelled() => {
                    let what = format!("read Experiment {namespace}/{}", reference.name);
                    return Err(CallError::Lost { what, message: told(&error) }.into());
                }
                Err(error) => return Ok(Err(Unfit::out_of_reach(format!("failed to read the Experiment: {error}")))),
            }
        }
    };
    let run = validate::run(object, named.as_ref())
        .map_err(|problems| Unfit::invalid(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")));
    let changed = |run: &Run| record.resolved.as_ref().is_some_and(|resolved| resolved.experiment_digest != run.digest);
    Ok(match run {
        Ok(run) if changed(&run) && !matches!(record.stage, Stage::AwaitingApproval { .. }) => {
            Err(Unfit::invalid("the experiment was changed after it was resolved; hint: create another run"))
        }
        other => other,
    })
}

/// The Experiment of that name, as soon as it may be read: that it may not be is borne with for a while, unless this process rests.
async fn read(experiments: &Api<Experiment>, name: &str, rest: &CancellationToken) -> kube::Result<Option<Experiment>> {
    let deadline = tokio::time::Instant::now() + FORBIDDEN_AT_MOST;
    loop {
        let found = experiments.get_opt(name).await;
        let is_early = found.as_ref().is_err_and(is_turned_away) && tokio::time::Instant::now() < deadline;
        if !is_early || rest.is_cancelled() {
            return found;
        }
        tokio::select! {
            () = tokio::time::sleep(TRY_AGAIN) => {}
            () = rest.cancelled() => {}
        }
    }
}

/// Sees to it that nobody kills for a run any more that was under way, as nobody drives it. What a person has to know besides.
async fn left_of(shared: &Shared, object: &ExperimentRun, record: &Record) -> Option<String> {
    if !record.stage.is_under_way() {
        return None;
    }
    let (namespace, uid) = (object.namespace().unwrap_or_default(), object.uid().unwrap_or_default());
    let_rest(&shared.clients, &namespace, &uid, &object.status.clone().unwrap_or_default()).await
}

/// Ends a run that cannot be run; gives its status before and after. `left`: what a person has to know besides.
async fn conclude(
    desk: &StatusDesk<ExperimentRun>,
    object: &ExperimentRun,
    unfit: &Unfit,
    left: Option<&str>,
) -> Result<(ExperimentRunStatus, ExperimentRunStatus), StoreError> {
    let now = Timestamp::now();
    desk.update(|status| {
        let verdict = Some(left.map_or_else(|| unfit.verdict(), |left| leaving(unfit.verdict(), left)));
        let record = Record { stage: Stage::Completed, verdict, resolved: status.resolved.clone() };
        write_record(&record, status, now);
        // Whoever measures for it may be sending load, and would go on with that for as long as the run might have taken.
        if let (Some(probing), Some(order)) = (&mut status.probing, order_of(&record.stage)) {
            probing.order = order;
        }
        let facts = Facts { generation: object.metadata.generation, hindrance: None, now };
        update_conditions(&record, status, &facts);
    })
    .await
}

/// The seed in force: the one that was resolved, the one that was given, or one that follows from the run's UID, so that it is
/// the same however often it is asked for.
fn seed(status: &ExperimentRunStatus, run: &Run) -> i64 {
    let resolved = status.resolved.as_ref().map(|resolved| resolved.seed);
    resolved.or(run.experiment.seed).unwrap_or_else(|| validate::seed_of(&run.uid))
}

impl Shared {
    /// What runs need of this process.
    fn backing(self: &Arc<Self>) -> Backing {
        Backing {
            clients: self.clients.clone(),
            operator_namespace: self.namespace.clone(),
            identity: self.identity.clone(),
            instance: self.instance.clone(),
            tool_digest: program::digest(),
            hold: self.hold.subscribe(),
            lacks: {
                let permissions = self.permissions.subscribe();
                Arc::new(move |experiment| permissions.borrow().lacks_for(experiment).map(|lack| lack.message))
            },
            announcer: self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use axum::http::{Method, StatusCode};
    use axum::{Json, Router};
    use chaos_core::api::RunPhase;
    use serde_json::json;

    use super::*;
    use crate::shared::tests::shared;

    /// What becomes of a run whose experiment is answered for like this, by how often that was asked for, and after how long.
    async fn taken_up(
        answers: fn(usize) -> StatusCode,
        rest: &CancellationToken,
    ) -> (Result<Result<Run, Unfit>, StoreError>, Duration) {
        let asked = Arc::new(AtomicUsize::new(0));
        let answer = move || {
            let code = answers(asked.fetch_add(1, Ordering::Relaxed));
            let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "No" };
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
                "message": "no", "reason": reason});
            async move { (code, Json(status)) }
        };
        let router: Router = Router::new().fallback(answer);
        let shared = shared(kube::Client::new(router, "default")).0;
        let new = ExperimentRunStatus::default();
        let (run, began) = (crate::watched::tests::run("r", RunPhase::Resolving), tokio::time::Instant::now());
        (understood(&shared, &run, &read_record(&new), rest).await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_for_a_moment_ends_no_run_and_one_that_goes_on_refusing_does() {
        let rest = CancellationToken::new();
        let passing: [fn(usize) -> StatusCode; 3] = [
            |_| StatusCode::INTERNAL_SERVER_ERROR,
            |_| StatusCode::SERVICE_UNAVAILABLE,
            |_| StatusCode::TOO_MANY_REQUESTS,
        ];
        for answers in passing {
            let (failed, lasted) = taken_up(answers, &rest).await;
            assert!(matches!(failed, Err(StoreError::Call(_))) && lasted < TRY_AGAIN, "{failed:?}");
        }
        let (missing, lasted) = taken_up(|_| StatusCode::NOT_FOUND, &rest).await;
        assert!(matches!(missing, Ok(Err(_))) && lasted < TRY_AGAIN, "{missing:?}");
        // One that has just been started knows nobody's permissions.
        let early = |asked: usize| if asked < 5 { StatusCode::FORBIDDEN } else { StatusCode::NOT_FOUND };
        let (missing, _) = taken_up(early, &rest).await;
        assert!(matches!(&missing, Ok(Err(unfit)) if unfit.message.contains("there is no Experiment")), "{missing:?}");
        let (refused, lasted) = taken_up(|_| StatusCode::FORBIDDEN, &rest).await;
        assert!(matches!(refused, Ok(Err(_))) && lasted >= FORBIDDEN_AT_MOST, "{lasted:?} {refused:?}");
        // Whoever rests leaves the run to the next process.
        rest.cancel();
        let (left, _) = taken_up(|_| StatusCode::FORBIDDEN, &rest).await;
        assert!(matches!(left, Err(StoreError::Call(_))), "{left:?}");
    }

    #[tokio::test]
    async fn a_run_that_another_process_has_written_is_taken_up_again_and_not_touched_before_it_is_claimed() {
        static READS: AtomicUsize = AtomicUsize::new(0);
        static CLAIMS: AtomicUsize = AtomicUsize::new(0);
        static OTHERS: AtomicUsize = AtomicUsize::new(0);
        // Whenever it is read another process has just written it, and whoever writes then is too late.
        let answer = |method: Method| async move {
            let reads = READS.fetch_add(usize::from(method == Method::GET), Ordering::Relaxed);
            CLAIMS.fetch_add(usize::from(method == Method::PUT), Ordering::Relaxed);
            if method == Method::GET {
                let mut run = json!(crate::watched::tests::run("r", RunPhase::Resolving));
                run["status"]["driver"] = json!(format!("another/{reads}"));
                return (StatusCode::OK, Json(run));
            }
            OTHERS.fetch_add(usize::from(method != Method::PUT), Ordering::Relaxed);
            let conflict = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 409,
                "message": "no", "reason": "Conflict"});
            (StatusCode::CONFLICT, Json(conflict))
        };
        let router: Router = Router::new().fallback(answer);
        let (shared, _teller) = shared(kube::Client::new(router, "default"));
        let (_watch, object) = watch::channel(Arc::new(crate::watched::tests::run("r", RunPhase::Resolving)));
        let rest = CancellationToken::new();
        let tending = tokio::spawn(tend(shared.clone(), object, rest.clone()));
        let again = async {
            while CLAIMS.load(Ordering::Relaxed) < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), again).await.expect("nobody drives it any more");
        assert_eq!(OTHERS.load(Ordering::Relaxed), 0, "who has not claimed it does nothing for it");
        assert!(shared.metrics.text().contains("chaos_reconcile_errors_total{reason=\"Fenced\"}"));
        rest.cancel();
        tokio::time::timeout(Duration::from_secs(20), tending).await.expect("it rests").unwrap();
    }
}
