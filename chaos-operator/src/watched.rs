//! The watches of our objects. What they bring is kept for as long as the object is there, so it is as small as it can be, and of
//! a run that is over nothing is kept at all: owners keep their runs for years.

use std::borrow::Cow;
use std::fmt::Debug;

use chaos_core::api::{ExperimentRun, RunPhase};
use chaos_engine::kube::{Shallow, Tended};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

/// Objects in one page of the first list: a run may be 64 KiB, and is several times that once it is understood.
const PAGE: u32 = 50;

/// What a watch brings. It never ends: one that breaks is taken up again.
pub(crate) type Watched<K> = BoxStream<'static, Result<Event<K>, Trouble>>;

/// What a watch brings besides objects.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It broke, and is taken up again.
    Broken(Box<watcher::Error>),
    /// An object that cannot be read, or not any more: what was known of it holds no longer.
    Unreadable(Box<Unreadable>),
}

/// An object that cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct Unreadable {
    pub metadata: ObjectMeta,
    pub why: String,
    /// It was deleted.
    pub is_gone: bool,
}

/// Watches the objects of a kind, in this namespace or in all.
pub(crate) fn watch<K: Tended + Debug>(client: Client, namespace: Option<&str>) -> Watched<K> {
    let api: Api<Read<K>> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let watch = watcher::watcher(api, watcher::Config::default().page_size(PAGE)).default_backoff();
    watch.map(readable).boxed()
}

/// An object as the server has it. A schema says less than we ask for (an instant in the year 9999 is none to us, nor is a value
/// that is nested without end), and older ones said less than newer ones: an object that cannot be read must not keep all others
/// from being read.
#[derive(Debug, Clone)]
struct Read<K>(Result<K, Unreadable>);

impl<'de, K: DeserializeOwned> Deserialize<'de> for Read<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = Shallow::deserialize(deserializer)?;
        let read = match found.understood::<K>() {
            Ok(object) => Ok(object),
            Err(why) => {
                let metadata = ObjectMeta::deserialize(&found.object["metadata"]).map_err(D::Error::custom)?;
                Err(Unreadable { metadata, why, is_gone: false })
            }
        };
        Ok(Self(read))
    }
}

impl<K: Resource> Resource for Read<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}

/// An event of an object that can be read, or of none.
fn readable<K: Resource>(event: Result<Event<Read<K>>, watcher::Error>) -> Result<Event<K>, Trouble> {
    let keep = |Read(object): Read<K>, is_gone: bool| match object {
        Ok(mut object) => {
            // Who wrote which field is as long as the rest, and nobody asks.
            object.meta_mut().managed_fields = None;
            Ok(object)
        }
        Err(unreadable) => Err(Trouble::Unreadable(Box::new(Unreadable { is_gone, ..unreadable }))),
    };
    match event.map_err(|error| Trouble::Broken(Box::new(error)))? {
        Event::Init => Ok(Event::Init),
        Event::InitDone => Ok(Event::InitDone),
        Event::InitApply(object) => keep(object, false).map(Event::InitApply),
        Event::Apply(object) => keep(object, false).map(Event::Apply),
        Event::Delete(object) => keep(object, true).map(Event::Delete),
    }
}

/// Whether nothing is left to be done for this run, ever.
pub(crate) fn is_over(run: &ExperimentRun) -> bool {
    run.status.as_ref().is_some_and(|status| status.phase == Some(RunPhase::Completed))
}

#[cfg(test)]
pub(crate) mod tests {
    use chaos_core::api::ChaosMonkey;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::ResourceExt as _;
    use kube::api::{Patch, PatchParams, PostParams};
    use local_cluster::api_server::{ApiServer, ApiServerConfig, Identity};
    use serde_json::{Value, json};

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

    /// A monkey of that name, which is its UID too, with that status.
    pub(crate) fn monkey(name: &str, status: &Value) -> ChaosMonkey {
        let monkey = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ChaosMonkey",
            "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"},
            "spec": {
                "target": {"workloads": [{"kind": "Deployment", "name": "trips"}]},
                "fault": {"podKill": {"mode": "Evict"}}, "mode": "Live",
                "meanTimeBetweenKills": "2h", "minTimeBetweenKills": "1h", "schedule": {}, "guards": [],
                "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 8, "minInterval": "0s", "recoverWithin": "1m",
                    "maxBlind": "30s", "allowForce": false},
            },
            "status": status,
        });
        serde_json::from_value(monkey).unwrap()
    }

    /// What a watch brings of a run of that name whose mode is none.
    pub(crate) fn unreadable(name: &str, is_gone: bool) -> Trouble {
        let metadata = run(name, RunPhase::Fault).metadata;
        Trouble::Unreadable(Box::new(Unreadable { metadata, why: "no such mode".to_owned(), is_gone }))
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

    #[test]
    fn an_object_that_cannot_be_read_keeps_no_other_from_being_read() {
        let good = serde_json::to_value(run("good", RunPhase::Fault)).unwrap();
        let mut bad = serde_json::to_value(run("bad", RunPhase::Fault)).unwrap();
        bad["spec"]["mode"] = json!("Neither");
        let (version, kind) = ("chaos.dispatch.dev/v1alpha1", "ExperimentRunList");
        let list = json!({"apiVersion": version, "kind": kind, "metadata": {}, "items": [bad, good]});
        let list: kube::core::ObjectList<Read<ExperimentRun>> = serde_json::from_value(list).unwrap();
        let mut brought = list.items.into_iter().map(|object| readable(Ok(Event::InitApply(object))));
        let Some(Err(Trouble::Unreadable(told))) = brought.next() else { panic!("the first one can be read") };
        assert_eq!((told.metadata.name.as_deref(), told.is_gone), (Some("bad"), false));
        assert!(told.why.contains("Neither"), "{told:?}");
        match brought.next() {
            Some(Ok(Event::InitApply(run))) => assert_eq!(run.name_any(), "good"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(readable::<ExperimentRun>(Ok(Event::InitDone)), Ok(Event::InitDone)));
    }

    #[test]
    fn an_object_that_is_nested_without_end_keeps_no_other_from_being_read() {
        let levels = 10_000;
        let spec = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let deep = format!(r#"{{"metadata": {{"name": "deep"}}, "spec": {spec}}}"#);
        let good = serde_json::to_value(run("good", RunPhase::Fault)).unwrap();
        let (version, kind) = ("chaos.dispatch.dev/v1alpha1", "ExperimentRunList");
        let list =
            format!(r#"{{"apiVersion": "{version}", "kind": "{kind}", "metadata": {{}}, "items": [{deep}, {good}]}}"#);
        let list: kube::core::ObjectList<Read<ExperimentRun>> = serde_json::from_str(&list).unwrap();
        let [Read(Err(told)), Read(Ok(run))] = list.items.as_slice() else { panic!("{list:?}") };
        assert_eq!((told.metadata.name.as_deref(), run.name_any().as_str()), (Some("deep"), "good"));
        assert!(told.why.contains("nested deeper"), "{told:?}");
        let event = format!(r#"{{"type": "ADDED", "object": {deep}}}"#);
        let event: kube::core::WatchEvent<Read<ExperimentRun>> = serde_json::from_str(&event).unwrap();
        assert!(matches!(event, kube::core::WatchEvent::Added(Read(Err(_)))), "{event:?}");
    }

    #[test]
    fn of_an_object_that_cannot_be_read_its_deletion_is_told_too() {
        let mut bad = serde_json::to_value(run("bad", RunPhase::Fault)).unwrap();
        bad["spec"]["mode"] = json!("Neither");
        let bad: Read<ExperimentRun> = serde_json::from_value(bad).unwrap();
        let Err(Trouble::Unreadable(told)) = readable(Ok(Event::Delete(bad))) else { panic!("it can be read") };
        assert_eq!((told.metadata.uid.as_deref(), told.is_gone), (Some("bad"), true));
    }
}
