//! Looks once a second whether the cluster can be seen and whether a stop switch says that chaos must end. It only tells; what
//! follows is decided by the run's step function.

use std::time::Duration;

use chaos_core::api::{labels, switch};
use chaos_core::record::{Event, RunTime, StopCause};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::RunClock;
use crate::kube::{is_forbidden, told};
use crate::recorder::Recorder;

/// Time between two looks: a stop switch must work within a second.
const LOOK: Duration = Duration::from_millis(500);
/// A look that takes longer saw nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Namespaces that are read at a time: one after the other, those of a wide target take longer than a look may.
const AT_A_TIME: usize = 32;

/// What the vigil has to tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Watchfire {
    /// Since when the cluster cannot be seen, and why.
    pub(super) blind: Option<(RunTime, String)>,
    /// A stop switch was seen.
    pub(super) stop: Option<StopCause>,
}

/// What the vigil needs.
pub(super) struct Vigil {
    pub(super) client: Client,
    pub(super) namespaces: Vec<String>,
    pub(super) clock: RunClock,
    pub(super) recorder: Recorder,
    pub(super) tell: watch::Sender<Watchfire>,
    /// A switch that is missing stops the run: so it is for the operator, and not for a person.
    pub(super) strict: bool,
}

impl Vigil {
    /// Looks until stopped.
    pub(super) async fn keep(self, stop: CancellationToken) {
        loop {
            let began = self.clock.now();
            let seen = match tokio::time::timeout(PATIENCE, self.look()).await {
                Ok(seen) => seen.map_err(|error| told(&error)),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            self.note(began, seen);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => (),
            }
        }
    }

    fn note(&self, at: RunTime, seen: kube::Result<Option<StopCause>, String>) {
        let was_blind = self.tell.borrow().blind.is_some();
        match seen {
            Ok(stop) => {
                if was_blind {
                    self.recorder.record(Event::Sight { at });
                }
                self.tell.send_modify(|fire| {
                    fire.blind = None;
                    fire.stop = fire.stop.take().or(stop);
                });
            }
            Err(cause) if !was_blind => {
                self.recorder.record(Event::Blind { at, cause: cause.clone() });
                self.tell.send_modify(|fire| fire.blind = Some((at, cause)));
            }
            Err(_) => (),
        }
    }

    /// Reads the switches. A cluster without one is fine for a run by a person; one that says anything but Running is not.
    async fn look(&self) -> kube::Result<Option<StopCause>> {
        let switches: Api<ConfigMap> = Api::namespaced(self.client.clone(), switch::NAMESPACE);
        match self.allowed(switches.get_opt(switch::NAME).await)? {
            Some(found) if !found.data.as_ref().is_some_and(switch::is_running) => {
                let message =
                    format!("ConfigMap {}/{} does not say {}", switch::NAMESPACE, switch::NAME, switch::RUNNING);
                return Ok(Some(StopCause::Switch { message }));
            }
            None if self.strict => {
                let message = format!("ConfigMap {}/{} is missing", switch::NAMESPACE, switch::NAME);
                return Ok(Some(StopCause::Switch { message }));
            }
            _ => (),
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for names in self.namespaces.chunks(AT_A_TIME) {
            let read = join_all(names.iter().map(|name| namespaces.get_opt(name))).await;
            for (name, namespace) in names.iter().zip(read) {
                let namespace = self.allowed(namespace)?;
                let stop = namespace.as_ref().and_then(|namespace| switch::stopped_by(namespace.annotations()));
                if let Some(value) = stop {
                    let message = format!("namespace {name} carries {}: {value:?}", labels::STOP);
                    return Ok(Some(StopCause::Switch { message }));
                }
            }
        }
        Ok(None)
    }

    /// A person who may not read a switch still sees the cluster. The operator, which kills, must be able to read it, and sees nothing
    /// until it can: a server that has just been started lets nobody read anything, and that is no stop.
    fn allowed<T>(&self, result: kube::Result<Option<T>>) -> kube::Result<Option<T>> {
        match result {
            Err(error) if !self.strict && is_forbidden(&error) => Ok(None),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{StatusCode, Uri};
    use axum::{Json, Router};
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::journal::Redactor;

    /// What is not there is told by its reason, whatever the code.
    fn reason(code: StatusCode) -> &'static str {
        if code == StatusCode::NOT_FOUND { "NotFound" } else { "No" }
    }

    /// A look at a cluster that answers like this, for a switch and for anything else.
    async fn look(strict: bool, of_switch: StatusCode, other: StatusCode) -> Watchfire {
        let answer = move |uri: Uri| {
            let is_switch = uri.path().ends_with(switch::NAME);
            let code = if is_switch { of_switch } else { other };
            let body: Value = match (code.is_success(), is_switch) {
                (true, true) => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": switch::NAME},
                    "data": {(switch::KEY): switch::RUNNING}}),
                (true, false) => json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
                (false, _) => json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no",
                    "reason": reason(code), "code": code.as_u16()}),
            };
            async move { (code, Json(body)) }
        };
        let router: Router = Router::new().fallback(answer);
        let client = Client::new(router, "default");
        let (recorder, tell) = (Recorder::in_memory(Redactor::default()), watch::channel(Watchfire::default()).0);
        let (namespaces, clock) = (vec!["shop".to_owned()], RunClock::start());
        let vigil = Vigil { client, namespaces, clock, recorder, tell, strict };
        let seen = vigil.look().await.map_err(|error| told(&error));
        vigil.note(RunTime(1), seen);
        vigil.tell.borrow().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn the_namespaces_of_a_wide_target_are_seen_in_one_look() {
        let server = tower::service_fn(|request: Request<Body>| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut metadata = json!({"name": request.uri().path().rsplit('/').next()});
            if request.uri().path().ends_with("/shop-99") {
                metadata["annotations"] = json!({(labels::STOP): "true"});
            }
            let object = json!({"metadata": metadata, "data": {(switch::KEY): switch::RUNNING}});
            Ok::<_, kube::Error>(Response::new(Body::from(object.to_string().into_bytes())))
        });
        let namespaces: Vec<String> = (0..=99).map(|number| format!("shop-{number}")).collect();
        let (recorder, tell) = (Recorder::in_memory(Redactor::default()), watch::channel(Watchfire::default()).0);
        let (client, clock) = (Client::new(server, "default"), RunClock::start());
        let vigil = Vigil { client, namespaces, clock, recorder, tell, strict: true };
        let seen = tokio::time::timeout(PATIENCE, vigil.look()).await.expect("it is seen").unwrap();
        let is_told = matches!(&seen, Some(StopCause::Switch { message }) if message.contains("shop-99"));
        assert!(is_told, "{seen:?}");
    }

    #[tokio::test]
    async fn a_switch_that_may_not_be_read_is_no_stop_and_blinds_the_operator_alone() {
        let (ok, forbidden, missing) = (StatusCode::OK, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND);
        for strict in [true, false] {
            assert_eq!(look(strict, ok, ok).await, Watchfire::default());
            for (of_switch, other) in [(forbidden, ok), (ok, forbidden), (forbidden, forbidden)] {
                let Watchfire { blind, stop } = look(strict, of_switch, other).await;
                assert_eq!((blind.is_some(), stop), (strict, None), "{strict} {of_switch} {other}");
            }
            // What is not there was read.
            let Watchfire { blind, stop } = look(strict, missing, ok).await;
            assert_eq!((blind, stop.is_some()), (None, strict));
        }
    }
}
