//! The watches of our objects. What they bring is kept for as long as the object is there, so it is as small as it can be, and of
//! a run that is over nothing is kept at all: owners keep their runs for years.

use std::fmt::Debug;

use chaos_core::api::{ExperimentRun, RunPhase};
use chaos_engine::kube::Tended;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};

/// Objects in one page of the first list: a run may be 64 KiB, and is several times that once it is understood.
const PAGE: u32 = 50;

/// What a watch brings. It never ends: one that breaks is taken up again.
pub(crate) type Watched<K> = BoxStream<'static, Result<Event<K>, watcher::Error>>;

/// Watches the objects of a kind, in this namespace or in all.
pub(crate) fn watch<K: Tended + Debug>(client: Client, namespace: Option<&str>) -> Watched<K> {
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let watch = watcher::watcher(api, watcher::Config::default().page_size(PAGE)).default_backoff();
    // Who wrote which field is as long as the rest, and nobody asks.
    watch.modify(|object: &mut K| object.meta_mut().managed_fields = None).boxed()
}

/// Whether nothing is left to be done for this run, ever.
pub(crate) fn is_over(run: &ExperimentRun) -> bool {
    run.status.as_ref().is_some_and(|status| status.phase == Some(RunPhase::Completed))
}

#[cfg(test)]
pub(crate) mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::ResourceExt as _;
    use kube::api::{Patch, PatchParams, PostParams};
    use local_cluster::api_server::{ApiServer, ApiServerConfig, Identity};
    use serde_json::json;

    use super::*;

    /// The administrator of a cluster in memory.
    pub(crate) fn admin() -> Client {
        ApiServer::new(ApiServerConfig::default()).unwrap().client(Identity::admin())
    }

    /// A run of that name, which is its UID too.
    pub(crate) fn run(name: &str, phase: RunPhase) -> ExperimentRun {
        let run = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
            "metadata": {"name": name, "namespace": "default", "uid": name},
            "spec": {"mode": "Live", "experimentRef": {"name": "none"}}, "status": {"phase": phase},
        });
        serde_json::from_value(run).unwrap()
    }

    #[tokio::test]
    async fn nobody_keeps_who_wrote_which_field() {
        let admin = admin();
        let crds: Api<CustomResourceDefinition> = Api::all(admin.clone());
        for crd in chaos_core::schema::crds() {
            crds.create(&PostParams::default(), &crd).await.unwrap();
        }
        let runs: Api<ExperimentRun> = Api::namespaced(admin.clone(), "default");
        let mut wanted = run("r", RunPhase::Fault);
        (wanted.metadata.uid, wanted.status) = (None, None);
        let applied = runs.patch("r", &PatchParams::apply("test"), &Patch::Apply(&wanted)).await.unwrap();
        assert!(!applied.managed_fields().is_empty(), "there is something to leave out");
        let mut watched: Watched<ExperimentRun> = watch(admin, Some("default"));
        let seen = loop {
            match watched.next().await {
                Some(Ok(Event::InitApply(run))) => break run,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((seen.name_any(), seen.managed_fields().len()), ("r".to_owned(), 0));
    }
}
