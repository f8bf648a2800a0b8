//! Whether this process may do everything in [`GRANTS`], asked of the API server. A verb that is missing is told by name, in
//! conditions and on `/readyz`, before something fails for the lack of it.

use std::sync::Arc;
use std::time::Duration;

use chaos_core::api::{ChaosMonkeySpec, GroupBy, KillMode};
use chaos_core::model::Experiment;
use chaos_engine::kube::{CallError, Caller};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use tokio::time::{sleep, timeout};

use crate::grants::{GRANTS, Grant, Role};
use crate::shared::Shared;

/// Permissions are asked for this often while all are there that every installation has, and while one of these is missing.
const EVERY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));
/// However often calls are refused, permissions are asked for this far apart; twice as far each time that they were refused for
/// another reason, up to how often they are asked for anyway.
const LEAST: Duration = Duration::from_secs(1);
/// Verbs that are asked for at once: the first answer holds all kills until it is there.
const AT_ONCE: usize = 8;
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// A verb that this process has not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing {
    pub verb: &'static str,
    pub grant: &'static Grant,
}

/// What is known about the permissions of this process.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Permissions {
    /// Nothing: why not.
    Unknown(String),
    /// Which of [`GRANTS`] are missing.
    Known(Vec<Missing>),
}

/// Why something may not be done.
#[derive(Debug)]
pub(crate) struct Lack {
    /// Stable reason.
    pub reason: &'static str,
    /// The facts, for people.
    pub message: String,
}

impl PartialEq for Missing {
    fn eq(&self, other: &Self) -> bool {
        self.verb == other.verb && std::ptr::eq(self.grant, other.grant)
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { verb, grant } = self;
        let dot = if grant.group.is_empty() { "" } else { "." };
        write!(f, "{verb} {}{dot}{}", grant.resource, grant.group)?;
        if grant.role == Role::Own { write!(f, " in the operator's namespace") } else { Ok(()) }?;
        write!(f, " ({})", grant.purpose)
    }
}

impl Permissions {
    /// What a monkey with this spec misses.
    pub(crate) fn lacks(&self, spec: &ChaosMonkeySpec) -> Option<Lack> {
        self.tell(|grant| concerns(grant, spec))
    }

    /// What a monkey with this spec misses and cannot kill without.
    pub(crate) fn hold(&self, spec: &ChaosMonkeySpec) -> Option<Lack> {
        self.tell(|grant| grant.to_kill && concerns(grant, spec))
    }

    /// What no monkey can kill without.
    pub(crate) fn lacks_always(&self) -> Option<Lack> {
        self.tell(is_for_every_kill)
    }

    /// What no run can do without.
    pub(crate) fn lacks_for_runs(&self) -> Option<Lack> {
        self.tell(|grant| grant.role == Role::Runs || is_for_every_kill(grant))
    }

    /// What a run of this experiment cannot do without, beyond what every run takes.
    pub(crate) fn lacks_for(&self, experiment: &Experiment) -> Option<Lack> {
        let kill = experiment.fault.kill();
        let target = &experiment.target;
        let on_nodes = is_on_nodes(&kill.group) || target.nodes.is_some() || !target.zones.is_empty();
        self.tell(|grant| is_for_such_kills(grant.role, kill.mode, on_nodes))
    }

    /// What no game day can do without, besides what its runs cannot.
    pub(crate) fn lacks_for_days(&self) -> Option<Lack> {
        self.tell(|grant| grant.role == Role::GameDays)
    }

    fn tell(&self, is_meant: impl Fn(&Grant) -> bool) -> Option<Lack> {
        let missing = match self {
            Self::Unknown(why) => return Some(Lack { reason: "PermissionsUnknown", message: why.clone() }),
            Self::Known(missing) => missing.iter().filter(|missing| is_meant(missing.grant)),
        };
        // What is part of no installation that did not ask for it is not mended by another one that does not.
        let is_asked_for = missing.clone().any(|missing| missing.grant.role == Role::Delete);
        let flag = if is_asked_for { " --delete-mode" } else { "" };
        let missing: Vec<_> = missing.map(ToString::to_string).collect();
        let hint = format!("hint: `chaos install{flag}`, or see docs/permissions.md");
        let message = format!("the operator may not {}; {hint}", missing.join(", "));
        (!missing.is_empty()).then_some(Lack { reason: "PermissionMissing", message })
    }
}

/// Whether the work on a monkey with this spec takes that grant.
fn concerns(grant: &Grant, spec: &ChaosMonkeySpec) -> bool {
    let (kill, target) = (&spec.fault.pod_kill, &spec.target);
    let on_nodes = is_on_nodes(&kill.group) || target.nodes.is_some() || !target.zones.is_empty();
    match (grant.role, grant.resource) {
        (Role::Runs | Role::GameDays, _) => false,
        (Role::Delete | Role::Nodes, _) => is_for_such_kills(grant.role, kill.mode, on_nodes),
        (_, "pods/eviction") => kill.mode == KillMode::Evict,
        _ => true,
    }
}

/// Whether no kill can do without that grant, whatever it is like.
fn is_for_every_kill(grant: &Grant) -> bool {
    grant.to_kill && !matches!(grant.role, Role::Nodes | Role::Delete)
}

/// Whether kills of that kind cannot do without that role, although others can.
fn is_for_such_kills(role: Role, mode: KillMode, on_nodes: bool) -> bool {
    match role {
        Role::Delete => mode == KillMode::Delete,
        Role::Nodes => on_nodes,
        Role::Cluster | Role::Runs | Role::GameDays | Role::Own => false,
    }
}

/// Whether such groups cannot be made without knowing the nodes.
fn is_on_nodes(group: &GroupBy) -> bool {
    matches!(group, GroupBy::Zone | GroupBy::Node)
}

/// Whether that grant is part of every installation, or of every one for one namespace: what is not is not missed by every one.
fn is_shipped(grant: &Grant, for_one_namespace: bool) -> bool {
    match grant.role {
        Role::Delete => false,
        Role::Nodes => !for_one_namespace,
        Role::Cluster | Role::Runs | Role::GameDays | Role::Own => true,
    }
}

/// Follows the permissions of this process; asks at once when a call was refused.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let (caller, mut least) = (shared.reads(), LEAST);
    while !shared.stop.is_cancelled() {
        let known = match missing(&caller, &shared).await {
            Ok(missing) => Permissions::Known(missing),
            // Out of reach: what is known stays known, and other signals hold the kills.
            Err(error) if matches!(*shared.permissions.borrow(), Permissions::Known(_)) => {
                tracing::debug!(%error, "failed to ask for permissions");
                shared.permissions.borrow().clone()
            }
            Err(error) => Permissions::Unknown(format!("the permissions are not known: {error}")),
        };
        let pause = pause(&known, shared.watched.is_some());
        if take(&shared, known) {
            least = LEAST;
        }
        sleep(least).await;
        let is_refused = timeout((pause + LEAST).saturating_sub(least), shared.refused.notified()).await.is_ok();
        least = if is_refused { (least * 2).min(pause) } else { LEAST };
    }
}

/// How long this is good for. Each time costs a call for every verb, so one that most installations never have hurries nobody.
fn pause(known: &Permissions, for_one_namespace: bool) -> Duration {
    if known.tell(|grant| is_shipped(grant, for_one_namespace)).is_none() { EVERY.0 } else { EVERY.1 }
}

/// Takes in what is known by now. Whether it is something else than before.
fn take(shared: &Shared, known: Permissions) -> bool {
    let is_shipped = |grant: &Grant| is_shipped(grant, shared.watched.is_some());
    if let Permissions::Known(missing) = &known {
        let missed = missing.iter().filter(|missing| is_shipped(missing.grant));
        shared.metrics.misses_permissions(missed.count());
    }
    let told = known.tell(is_shipped);
    let changed = shared.permissions.send_if_modified(|before| std::mem::replace(before, known.clone()) != known);
    match told {
        Some(lack) if changed => tracing::warn!("{}", lack.message),
        None if changed => tracing::info!("no permission is missing"),
        _ => {}
    }
    changed
}

async fn missing(caller: &Caller, shared: &Shared) -> Result<Vec<Missing>, CallError> {
    let verbs = GRANTS.iter().flat_map(|grant| grant.verbs.iter().map(move |&verb| Missing { verb, grant }));
    let asked: Vec<_> = verbs.map(|verb| if_missing(caller, shared, verb)).collect();
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

/// The verb, if this process has it not.
async fn if_missing(caller: &Caller, shared: &Shared, verb: Missing) -> Result<Option<Missing>, CallError> {
    let is_allowed = is_allowed(caller, shared, verb).await?;
    Ok((!is_allowed).then_some(verb))
}

async fn is_allowed(caller: &Caller, shared: &Shared, asked: Missing) -> Result<bool, CallError> {
    let Missing { verb, grant } = asked;
    let (resource, subresource) = match grant.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (grant.resource, None),
    };
    let namespace = match grant.role {
        Role::Own => Some(shared.namespace.clone()),
        Role::Nodes => None,
        Role::Cluster | Role::Runs | Role::GameDays | Role::Delete => shared.watched.clone(),
    };
    let attributes = ResourceAttributes {
        namespace,
        verb: Some(verb.to_owned()),
        group: Some(grant.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        name: grant.name.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let answer: SelfSubjectAccessReview = caller.create(REVIEWS, &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::StatusCode;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;
    use crate::shared::tests::shared;

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_refused_all_the_time_for_another_reason_have_permissions_asked_for_ever_less_often() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let answer = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {},
                "spec": {}, "status": {"allowed": true}});
            async move { (StatusCode::CREATED, Json(review)) }
        };
        let router: Router = Router::new().fallback(answer);
        let (shared, _teller) = shared(kube::Client::new(router, "default"));
        let following = tokio::spawn(follow(shared.clone()));
        for _ in 0..600 {
            sleep(Duration::from_millis(100)).await;
            shared.refused.notify_one();
        }
        let verbs: usize = GRANTS.iter().map(|grant| grant.verbs.len()).sum();
        let times = asked.load(Ordering::Relaxed) / verbs;
        assert!((4..=8).contains(&times), "{times} times in a minute");
        // For the last refusal, and then as if there had been none.
        sleep(Duration::from_secs(35)).await;
        following.abort();
        assert_eq!(asked.load(Ordering::Relaxed) / verbs - times, 2);
    }

    fn spec(change: impl FnOnce(&mut Value)) -> ChaosMonkeySpec {
        let mut spec = json!({
            "target": {"workloads": [{"kind": "Deployment", "name": "trips"}]},
            "fault": {"podKill": {"mode": "Evict"}}, "mode": "Live",
            "meanTimeBetweenKills": "2h", "minTimeBetweenKills": "1h", "schedule": {}, "guards": [],
            "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 8, "minInterval": "0s", "recoverWithin": "30s",
                "maxBlind": "30s", "allowForce": false},
        });
        change(&mut spec);
        serde_json::from_value(spec).unwrap()
    }

    fn without(verb: &'static str, resource: &str) -> Permissions {
        let grant = GRANTS.iter().find(|grant| grant.resource == resource && grant.verbs.contains(&verb));
        Permissions::Known(vec![Missing { verb, grant: grant.unwrap() }])
    }

    #[test]
    fn a_missing_verb_is_told_by_name_with_what_is_lost() {
        let permissions = without("create", "pods/eviction");
        let Lack { reason, message: told } = permissions.lacks(&spec(|_| ())).unwrap();
        assert_eq!(reason, "PermissionMissing");
        assert!(told.contains("create pods/eviction (the kill, in Evict mode)"), "{told}");
        assert!(permissions.hold(&spec(|_| ())).is_some() && permissions.lacks_always().is_some());
        assert!(without("list", "deployments").lacks_always().unwrap().message.contains("list deployments.apps"));
    }

    #[test]
    fn what_most_installations_never_have_is_not_asked_for_all_the_time() {
        let (all, delete) = (Permissions::Known(Vec::new()), without("delete", "pods"));
        assert_eq!([pause(&all, false), pause(&delete, false)], [EVERY.0; 2]);
        let (nodes, eviction) = (without("list", "nodes"), without("create", "pods/eviction"));
        assert_eq!([pause(&nodes, true), pause(&nodes, false)], [EVERY.0, EVERY.1]);
        assert_eq!([pause(&eviction, false), pause(&Permissions::Unknown(String::new()), false)], [EVERY.1; 2]);
    }

    #[test]
    fn nothing_is_killed_while_the_permissions_are_not_known() {
        let unknown = Permissions::Unknown("not asked yet".to_owned());
        assert_eq!(unknown.hold(&spec(|_| ())).unwrap().reason, "PermissionsUnknown");
        assert!(unknown.lacks_always().is_some());
        assert!(Permissions::Known(Vec::new()).hold(&spec(|_| ())).is_none());
    }

    #[test]
    fn a_kill_is_not_held_for_what_it_does_not_take() {
        assert!(without("create", "events").lacks(&spec(|_| ())).is_some());
        assert!(without("create", "events").hold(&spec(|_| ())).is_none());
        assert!(without("list", "nodes").lacks(&spec(|_| ())).is_none());
        assert!(without("list", "nodes").hold(&spec(|spec| spec["target"]["zones"] = json!(["a"]))).is_some());
        let delete = spec(|spec| spec["fault"]["podKill"]["mode"] = json!("Delete"));
        assert!(without("create", "pods/eviction").hold(&delete).is_none());
        let held = without("delete", "pods").hold(&delete).unwrap();
        assert!(held.message.contains("`chaos install --delete-mode`"), "{}", held.message);
        assert!(without("delete", "pods").lacks_always().is_none());
    }
}
