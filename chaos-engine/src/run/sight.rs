//! Watches the pods and endpoints of a run's namespaces and records what happens to them, each on this run's clock. It only
//! looks: what a sighting means for a kill is decided in `chaos_core::evidence`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chaos_core::population::PodFacts;
use chaos_core::record::{Event, PodChange, PodSighting, RunTime};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::runtime::watcher::{self, Event as Watched};
use kube::{Api, Client, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::follow::follow;
use crate::clock::RunClock;
use crate::recorder::Recorder;

/// Where sightings go and by which clock.
#[derive(Clone)]
pub(super) struct Lookout {
    /// For watching.
    pub client: Client,
    /// The run's clock.
    pub clock: RunClock,
    /// The run's record.
    pub recorder: Recorder,
    /// Ends the watches.
    pub stop: CancellationToken,
    /// In how many namespaces all pods were looked at.
    pub listed: Arc<AtomicUsize>,
}

impl Lookout {
    /// Watches the pods of a namespace until stopped. Nothing that changed while a watch was broken is lost, as every relist
    /// is compared with what was known.
    pub(super) async fn watch_pods(self, namespace: String, known: Vec<KnownPod>) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let mut known = KnownPods::of(known);
        let events = watcher::watcher(pods, watcher::Config::default().any_semantic());
        let mut is_listed = false;
        follow(events, &self.stop, |event| {
            let is_end_of_list = matches!(event, Watched::InitDone);
            known.take(event).into_iter().for_each(|seen| self.record(seen));
            if is_end_of_list && !std::mem::replace(&mut is_listed, true) {
                // What was found is recorded before.
                self.listed.fetch_add(1, Ordering::Release);
            }
        })
        .await;
    }

    /// Watches the endpoints of a namespace until stopped.
    pub(super) async fn watch_endpoints(self, namespace: String) {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &namespace);
        let mut known = KnownEndpoints::default();
        let events = watcher::watcher(slices, watcher::Config::default().any_semantic());
        follow(events, &self.stop, |event| {
            for out in known.take(event) {
                self.record(Seen { namespace: namespace.clone(), ..out });
            }
        })
        .await;
    }

    fn record(&self, seen: Seen) {
        let Seen { what, namespace, pod, uid, owner_uid, node } = seen;
        let at = self.clock.now();
        self.recorder.record(Event::Pod(PodSighting { at, what, namespace, pod, uid, owner_uid, node }));
    }
}

/// A pod, and the changes of it that were told.
type KnownPod = (PodSighting, BTreeSet<PodChange>);

/// The pods that a run knew of before it was taken up again.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(HashMap<String, KnownPod>);

impl Known {
    /// From the record so far.
    pub(super) fn of(events: &[Event]) -> Self {
        let mut known = Self::default();
        for event in events {
            match event {
                Event::Planned { population, at, .. } => {
                    known.0.extend(population.pods.iter().map(|pod| (pod.uid.clone(), planned(pod, *at))));
                }
                Event::Pod(seen) => known.take(seen),
                _ => (),
            }
        }
        known
    }

    fn take(&mut self, seen: &PodSighting) {
        match seen.what {
            PodChange::Deleted => _ = self.0.remove(&seen.uid),
            PodChange::EndpointOut => (),
            what => {
                let (_, told) = self.0.entry(seen.uid.clone()).or_insert_with(|| (seen.clone(), BTreeSet::new()));
                told.insert(what);
                if let Some(other) = opposite(what) {
                    told.remove(&other);
                }
            }
        }
    }

    /// Those of a namespace.
    pub(super) fn pods_of(&self, namespace: &str) -> Vec<KnownPod> {
        self.0.values().filter(|(seen, _)| seen.namespace == namespace).cloned().collect()
    }
}

/// A pod of the population, with all that it has been through before anybody looked.
fn planned(pod: &PodFacts, at: RunTime) -> KnownPod {
    let (namespace, name, uid) = (pod.namespace.clone(), pod.name.clone(), pod.uid.clone());
    let owner_uid = pod.owner.as_ref().map(|owner| owner.uid.clone());
    let node = pod.node.clone();
    let seen = PodSighting { at, what: PodChange::Created, namespace, pod: name, uid, owner_uid, node };
    let mut told = BTreeSet::from([PodChange::Created]);
    told.extend(pod.node.as_ref().map(|_| PodChange::Scheduled));
    told.extend((pod.phase == "Running").then_some(PodChange::Started));
    told.insert(if pod.ready { PodChange::Ready } else { PodChange::NotReady });
    told.extend(pod.terminating.then_some(PodChange::Terminating));
    (seen, told)
}

/// Readiness comes and goes: telling one makes the other news again.
const fn opposite(what: PodChange) -> Option<PodChange> {
    match what {
        PodChange::Ready => Some(PodChange::NotReady),
        PodChange::NotReady => Some(PodChange::Ready),
        _ => None,
    }
}

/// A sighting without its instant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    what: PodChange,
    namespace: String,
    pod: String,
    uid: String,
    owner_uid: Option<String>,
    node: Option<String>,
}

/// What is known of a pod so far: the changes that were told already.
#[derive(Debug, Default)]
struct KnownPods {
    /// By UID.
    pods: HashMap<String, (Seen, BTreeSet<PodChange>)>,
    /// UIDs of a relist under way.
    relisted: Option<BTreeSet<String>>,
    /// The first list is what stood there before the run looked: it is not news.
    primed: bool,
}

impl KnownPods {
    /// Knowing some from before, the first list is compared with them: what happened meanwhile is news.
    fn of(known: Vec<KnownPod>) -> Self {
        let primed = !known.is_empty();
        let seen = |(seen, told): KnownPod| {
            let PodSighting { what, namespace, pod, uid, owner_uid, node, .. } = seen;
            (uid.clone(), (Seen { what, namespace, pod, uid, owner_uid, node }, told))
        };
        Self { pods: known.into_iter().map(seen).collect(), relisted: None, primed }
    }

    fn take(&mut self, event: Watched<Pod>) -> Vec<Seen> {
        match event {
            Watched::Init => {
                self.relisted = Some(BTreeSet::new());
                Vec::new()
            }
            Watched::InitApply(pod) => {
                if let (Some(relisted), Some(uid)) = (&mut self.relisted, pod.uid()) {
                    relisted.insert(uid);
                }
                let news = self.apply(&pod);
                if self.primed { news } else { Vec::new() }
            }
            Watched::InitDone => {
                self.primed = true;
                let present = self.relisted.take().unwrap_or_default();
                let gone: Vec<String> = self.pods.keys().filter(|uid| !present.contains(*uid)).cloned().collect();
                gone.iter().filter_map(|uid| self.remove(uid)).collect()
            }
            Watched::Apply(pod) => self.apply(&pod),
            Watched::Delete(pod) => pod.uid().and_then(|uid| self.remove(&uid)).into_iter().collect(),
        }
    }

    fn apply(&mut self, pod: &Pod) -> Vec<Seen> {
        let Some(uid) = pod.uid() else { return Vec::new() };
        let state = state_of(pod);
        let (seen, told) = self.pods.entry(uid).or_insert_with_key(|uid| (first_seen(pod, uid), BTreeSet::new()));
        seen.node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let mut news = Vec::new();
        for what in &state {
            if told.insert(*what) {
                news.push(Seen { what: *what, ..seen.clone() });
            }
        }
        for other in state.iter().filter_map(|what| opposite(*what)) {
            told.remove(&other);
        }
        news
    }

    fn remove(&mut self, uid: &str) -> Option<Seen> {
        let (seen, _) = self.pods.remove(uid)?;
        Some(Seen { what: PodChange::Deleted, ..seen })
    }
}

fn first_seen(pod: &Pod, uid: &str) -> Seen {
    Seen {
        what: PodChange::Created,
        namespace: pod.namespace().unwrap_or_default(),
        pod: pod.name_any(),
        uid: uid.to_owned(),
        owner_uid: controller_uid(pod),
        node: None,
    }
}

/// Every change that a pod has been through, as its object shows it, in the order in which they happen.
fn state_of(pod: &Pod) -> Vec<PodChange> {
    let status = pod.status.as_ref();
    let mut conditions = status.into_iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.find(|condition| condition.type_ == "Ready").map(|ready| ready.status == "True");
    let started = status.and_then(|status| status.container_statuses.as_ref()).is_some_and(|containers| {
        !containers.is_empty()
            && containers.iter().all(|c| c.state.as_ref().is_some_and(|state| state.running.is_some()))
    });
    let mut state = vec![PodChange::Created];
    if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
        state.push(PodChange::Scheduled);
    }
    if started {
        state.push(PodChange::Started);
    }
    match ready {
        Some(true) => state.push(PodChange::Ready),
        Some(false) if started => state.push(PodChange::NotReady),
        _ => (),
    }
    if pod.metadata.deletion_timestamp.is_some() {
        state.push(PodChange::Terminating);
    }
    state
}

fn controller_uid(pod: &Pod) -> Option<String> {
    pod.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
}

/// Which pods are ready endpoints, per slice.
#[derive(Debug, Default)]
struct KnownEndpoints {
    slices: HashMap<String, HashMap<String, Seen>>,
    relisted: Option<BTreeSet<String>>,
}

impl KnownEndpoints {
    fn take(&mut self, event: Watched<EndpointSlice>) -> Vec<Seen> {
        match event {
            Watched::Init => {
                self.relisted = Some(BTreeSet::new());
                Vec::new()
            }
            Watched::InitApply(slice) => {
                if let Some(relisted) = &mut self.relisted {
                    relisted.insert(slice.name_any());
                }
                self.replace(slice.name_any(), ready_endpoints(&slice))
            }
            Watched::InitDone => {
                let present = self.relisted.take().unwrap_or_default();
                let gone: Vec<String> = self.slices.keys().filter(|name| !present.contains(*name)).cloned().collect();
                gone.into_iter().flat_map(|name| self.replace(name, HashMap::new())).collect()
            }
            Watched::Apply(slice) => self.replace(slice.name_any(), ready_endpoints(&slice)),
            Watched::Delete(slice) => self.replace(slice.name_any(), HashMap::new()),
        }
    }

    /// Replaces what is known of a slice; gives the pods that are a ready endpoint of no slice any more.
    fn replace(&mut self, slice: String, ready: HashMap<String, Seen>) -> Vec<Seen> {
        let before = if ready.is_empty() { self.slices.remove(&slice) } else { self.slices.insert(slice, ready) };
        let before = before.unwrap_or_default();
        let still = |uid: &String| self.slices.values().any(|slice| slice.contains_key(uid));
        before.into_iter().filter(|(uid, _)| !still(uid)).map(|(_, seen)| seen).collect()
    }
}

fn ready_endpoints(slice: &EndpointSlice) -> HashMap<String, Seen> {
    let ready = |endpoint: &&Endpoint| {
        // Absent means ready: the API says so.
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    };
    let target = |endpoint: &Endpoint| {
        let target = endpoint.target_ref.as_ref()?;
        let (uid, pod) = (target.uid.clone()?, target.name.clone()?);
        let seen = Seen {
            what: PodChange::EndpointOut,
            namespace: String::new(),
            pod,
            uid: uid.clone(),
            owner_uid: None,
            node: None,
        };
        Some((uid, seen))
    };
    slice.endpoints.iter().filter(ready).filter_map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, json: serde_json::Value) -> Pod {
        let mut object = serde_json::json!({
            "metadata": {"name": format!("pod-{uid}"), "namespace": "dispatch", "uid": uid,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs-1", "controller": true}]},
        });
        let serde_json::Value::Object(more) = json else { panic!("an object") };
        for (key, value) in more {
            match object.get_mut(&key).and_then(serde_json::Value::as_object_mut) {
                Some(old) => old.extend(value.as_object().cloned().unwrap_or_default()),
                None => object[key] = value,
            }
        }
        serde_json::from_value(object).unwrap()
    }

    fn running(ready: bool) -> serde_json::Value {
        serde_json::json!({"spec": {"nodeName": "node-a", "containers": []}, "status": {
            "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": ready, "restartCount": 0,
                "state": {"running": {}}}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
    }

    fn whats(seen: &[Seen]) -> Vec<PodChange> {
        seen.iter().map(|seen| seen.what).collect()
    }

    #[test]
    fn tells_each_change_once_and_the_first_list_is_no_news() {
        let mut known = KnownPods::default();
        known.take(Watched::Init);
        assert!(known.take(Watched::InitApply(pod("a", running(true)))).is_empty());
        known.take(Watched::InitDone);
        assert!(known.take(Watched::Apply(pod("a", running(true)))).is_empty());
        assert_eq!(whats(&known.take(Watched::Apply(pod("b", serde_json::json!({}))))), [PodChange::Created]);
        let started = known.take(Watched::Apply(pod("b", running(false))));
        assert_eq!(whats(&started), [PodChange::Scheduled, PodChange::Started, PodChange::NotReady]);
        assert_eq!(started[0].owner_uid.as_deref(), Some("rs-1"));
        assert_eq!(whats(&known.take(Watched::Apply(pod("b", running(true))))), [PodChange::Ready]);
        assert_eq!(whats(&known.take(Watched::Apply(pod("b", running(false))))), [PodChange::NotReady]);
        assert_eq!(whats(&known.take(Watched::Apply(pod("b", running(true))))), [PodChange::Ready]);
        assert_eq!(whats(&known.take(Watched::Delete(pod("b", running(true))))), [PodChange::Deleted]);
    }

    #[test]
    fn a_relist_tells_what_was_missed() {
        let mut known = KnownPods::default();
        known.take(Watched::Init);
        known.take(Watched::InitApply(pod("a", running(true))));
        known.take(Watched::InitDone);
        known.take(Watched::Init);
        let born = known.take(Watched::InitApply(pod("b", running(true))));
        assert!(whats(&born).contains(&PodChange::Ready));
        let gone = known.take(Watched::InitDone);
        assert_eq!((whats(&gone), gone[0].uid.as_str()), (vec![PodChange::Deleted], "a"));
    }

    #[test]
    fn a_run_that_is_taken_up_again_tells_what_happened_meanwhile() {
        let sighting = |what, uid: &str| {
            let owner_uid = Some("rs-1".to_owned());
            let (namespace, pod) = ("dispatch".to_owned(), format!("pod-{uid}"));
            Event::Pod(PodSighting { at: RunTime(1), what, namespace, pod, uid: uid.to_owned(), owner_uid, node: None })
        };
        let record = [
            sighting(PodChange::Created, "a"),
            sighting(PodChange::Created, "b"),
            sighting(PodChange::Ready, "b"),
            sighting(PodChange::Created, "c"),
            sighting(PodChange::Deleted, "c"),
        ];
        let mut known = KnownPods::of(Known::of(&record).pods_of("dispatch"));
        known.take(Watched::Init);
        let of_a = known.take(Watched::InitApply(pod("a", running(true))));
        assert_eq!(whats(&of_a), [PodChange::Scheduled, PodChange::Started, PodChange::Ready]);
        assert!(whats(&known.take(Watched::InitApply(pod("d", running(true))))).contains(&PodChange::Created));
        let gone = known.take(Watched::InitDone);
        assert_eq!((whats(&gone), gone[0].uid.as_str()), (vec![PodChange::Deleted], "b"));
    }

    #[test]
    fn an_endpoint_is_out_when_no_slice_has_it_ready() {
        let slice = |name: &str, endpoints: &[(&str, bool)]| -> EndpointSlice {
            let endpoints: Vec<_> = endpoints
                .iter()
                .map(|(uid, ready)| {
                    serde_json::json!({"addresses": ["127.0.0.2"], "conditions": {"ready": ready},
                    "targetRef": {"kind": "Pod", "name": format!("pod-{uid}"), "uid": uid}})
                })
                .collect();
            serde_json::from_value(
                serde_json::json!({"metadata": {"name": name}, "addressType": "IPv4", "endpoints": endpoints}),
            )
            .unwrap()
        };
        let uids = |seen: Vec<Seen>| seen.into_iter().map(|seen| seen.uid).collect::<Vec<_>>();
        let mut known = KnownEndpoints::default();
        known.take(Watched::Apply(slice("one", &[("a", true), ("b", true)])));
        known.take(Watched::Apply(slice("two", &[("a", true)])));
        assert_eq!(uids(known.take(Watched::Apply(slice("one", &[("a", false), ("b", false)])))), ["b"]);
        assert_eq!(uids(known.take(Watched::Delete(slice("two", &[])))), ["a"]);
    }
}
