//! Nodes that are drained, and nodes and zones that are lost, beside a monkey that kills: together they never take more than each
//! of them may, kills wait while a loss has used up what is allowed, and go on once the rest carries the load. On a cluster of
//! `tests/real-kubernetes/up --nodes 3` alone, one zone each, as root.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use chaos_core::api::{ChaosMonkey, KillRecord};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::cluster::{Cluster, PATIENCE};
use crate::given;
use crate::leader::leader;
use crate::machines::Lost;
use crate::workload::{Workload, kills};

/// A kill that was decided before a loss was told is sent no later than this after it (`SEND_WITHIN`, and a second for the way).
const SENT: Duration = Duration::from_secs(6);
/// Many times what lies between two strikes.
const LONG: Duration = Duration::from_secs(15);

/// Pods that serve as the API server tells it, by UID, and the node of each.
type Serving = BTreeMap<String, String>;

/// An installation with two operators, and three pods, one in each zone. A lost node keeps its pod for so many seconds.
fn spread(cluster: &Cluster, keeps: u32) -> Workload<'_> {
    let zones = cluster.block(async {
        let nodes = Api::<Node>::all(cluster.client.clone()).list(&ListParams::default()).await.unwrap();
        let zone = |node: Node| node.metadata.labels?.remove("topology.kubernetes.io/zone");
        nodes.items.into_iter().filter_map(zone).collect::<BTreeSet<_>>()
    });
    assert_eq!(zones.len(), 3, "zones {zones:?}; hint: tests/real-kubernetes/up --nodes 3");
    cluster.install_with(&["--environment", "test", "--replicas", "2"]);
    let workload = Workload::deploy(cluster);
    let stay =
        |taint: &str| json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": keeps});
    let spec = json!({
        // Of one revision, and over nodes that take pods: a node that is lost or cordoned does not count.
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
            "nodeTaintsPolicy": "Honor", "labelSelector": {"matchLabels": {"app": "eta"}},
            "matchLabelKeys": ["pod-template-hash"],
        }],
        "tolerations": [stay("node.kubernetes.io/unreachable"), stay("node.kubernetes.io/not-ready")],
    });
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), &workload.namespace);
    let patch = Patch::Merge(json!({"spec": {"template": {"spec": spec}}}));
    cluster.block(deployments.patch("eta", &PatchParams::default(), &patch)).unwrap();
    cluster.eventually("the new revision is out", || async {
        let deployment = deployments.get("eta").await.map_err(|error| error.to_string())?;
        let status = deployment.status.unwrap_or_default();
        let counts = [status.replicas, status.updated_replicas, status.ready_replicas];
        let is_seen = status.observed_generation >= deployment.metadata.generation;
        if is_seen && counts == [Some(3); 3] { Ok(()) } else { Err(format!("{counts:?}")) }
    });
    let nodes = || serving(&workload).map(|serving| serving.into_values().collect::<BTreeSet<_>>());
    assert!(chaos_tests::wait(PATIENCE, || nodes().is_some_and(|nodes| nodes.len() == 3)), "{:?}", nodes());
    workload
}

fn is_ready_node(node: &Node) -> bool {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_ready_pod(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// All pods of the namespace; nothing if there was no answer.
fn pods(workload: &Workload<'_>) -> Option<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(workload.cluster.client.clone(), &workload.namespace);
    Some(workload.cluster.block(pods.list(&ListParams::default())).ok()?.items)
}

/// Pods that are Ready, not on their way out, and on a Ready node; nothing if there was no answer.
fn serving(workload: &Workload<'_>) -> Option<Serving> {
    let pods = pods(workload)?;
    let nodes: Api<Node> = Api::all(workload.cluster.client.clone());
    let nodes = workload.cluster.block(nodes.list(&ListParams::default())).ok()?.items;
    let ready: BTreeSet<_> = nodes.iter().filter(|node| is_ready_node(node)).map(|node| &node.metadata.name).collect();
    let serves = |pod: &Pod| {
        let node = pod.spec.as_ref()?.node_name.clone();
        let is_so = is_ready_pod(pod) && pod.metadata.deletion_timestamp.is_none() && ready.contains(&node);
        Some((pod.metadata.uid.clone()?, node?)).filter(|_| is_so)
    };
    Some(pods.iter().filter_map(serves).collect())
}

/// UIDs of the pods for which that holds.
fn uids(workload: &Workload<'_>, holds: impl Fn(&Pod) -> bool) -> BTreeSet<String> {
    let pods = pods(workload).expect("the API server answers");
    pods.into_iter().filter(holds).filter_map(|pod| pod.metadata.uid).collect()
}

/// Whether the pod is on its way out of that node.
fn leaves(pod: &Pod, node: &str) -> bool {
    let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    on == Some(node) && pod.metadata.deletion_timestamp.is_some()
}

/// Looks until it holds. The fewest pods that served at any of these looks.
fn fewest_until(workload: &Workload<'_>, what: &str, mut holds: impl FnMut(&Serving) -> bool) -> usize {
    let mut fewest = usize::MAX;
    let is_so = chaos_tests::wait(PATIENCE, || {
        let Some(serving) = serving(workload) else { return false };
        fewest = fewest.min(serving.len());
        holds(&serving)
    });
    assert!(is_so, "{what} within {PATIENCE:?}: never; pods that serve: {:?}", serving(workload));
    fewest
}

/// The monkey as it is now.
fn monkey(workload: &Workload<'_>) -> ChaosMonkey {
    workload.until("m", "it is readable", |_| true)
}

/// Looks until the monkey has made so many more kills. The fewest pods that served meanwhile.
fn fewest_until_more(workload: &Workload<'_>, more: u64) -> usize {
    let wanted = kills(&monkey(workload)) + more;
    fewest_until(workload, &format!("{more} more kills"), |_| kills(&monkey(workload)) >= wanted)
}

/// Kill calls of the monkey from one instant to another.
fn calls(monkey: &ChaosMonkey, from: Timestamp, to: Timestamp) -> Vec<KillRecord> {
    let history = monkey.status.iter().flat_map(|status| &status.history);
    history.filter(|kill| (from..=to).contains(&kill.at.0)).cloned().collect()
}

/// Waits until a strike since then was skipped because too many pods are out.
fn until_skipped(workload: &Workload<'_>, since: Timestamp) {
    workload.until("m", "a strike is skipped for the loss", |monkey| {
        let mut skips = monkey.status.iter().flat_map(|status| &status.skipped);
        skips.any(|skip| skip.reason == "MaxUnavailable" && skip.at.0 >= since)
    });
}

/// The node of an operator.
fn node_of(cluster: &Cluster, operator: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "chaos-system");
    cluster.block(pods.get(operator)).unwrap().spec.unwrap().node_name.expect("it runs")
}

/// Waits until the API server tells the loss, and whatever was decided before is sent. From when on no kill is due, and the fewest
/// pods that served.
fn until_told(workload: &Workload<'_>, node: &str) -> (Timestamp, usize) {
    let nodes: Api<Node> = Api::all(workload.cluster.client.clone());
    workload.cluster.eventually("the node is not Ready", || async {
        let node = nodes.get(node).await.map_err(|error| error.to_string())?;
        if is_ready_node(&node) { Err("it is Ready".to_owned()) } else { Ok(()) }
    });
    let from = Timestamp::now() + SENT;
    (from, fewest_until(workload, "what was decided before is sent", |_| Timestamp::now() >= from))
}

/// A node that takes pods again when this goes.
struct Drained<'a> {
    cluster: &'a Cluster,
    node: String,
}

impl Drop for Drained<'_> {
    fn drop(&mut self) {
        let mut kubectl = Command::new("kubectl");
        kubectl.arg("--kubeconfig").arg(self.cluster.kubeconfig()).args(["uncordon", &self.node]);
        let ended = kubectl.output();
        assert!(ended.is_ok_and(|output| output.status.success()) || std::thread::panicking(), "it is uncordoned");
    }
}

#[test]
#[ignore = "takes the three nodes of a cluster of tests/real-kubernetes/up --nodes 3"]
fn the_node_of_the_leader_is_drained_and_drain_and_monkey_never_take_two_pods_at_once() {
    if given::lacks_machines() {
        return;
    }
    let cluster = Cluster::start();
    let workload = spread(&cluster, 300);
    cluster.apply(&format!(
        "{{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {{name: eta, namespace: {}}}, \
         spec: {{maxUnavailable: 1, selector: {{matchLabels: {{app: eta}}}}}}}}",
        workload.namespace
    ));
    // The drain tries again every five seconds: there has to be room between two kills.
    workload.monkey("m", |spec| {
        (spec["meanTimeBetweenKills"], spec["minTimeBetweenKills"]) = (json!("4s"), json!("2s"));
    });
    workload.until("m", "two kills", |monkey| kills(monkey) >= 2);
    let first = leader(&cluster);
    let node = node_of(&cluster, &first);

    let drained = Drained { cluster: &cluster, node: node.clone() };
    let log = std::fs::File::create(cluster.path("drain.log")).unwrap();
    let mut drain = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .args(["drain", &node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=150s"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("kubectl is installed");
    let during = fewest_until(&workload, "the drain ends", |_| drain.try_wait().unwrap().is_some());
    let told = std::fs::read_to_string(cluster.path("drain.log")).unwrap();
    assert!(drain.wait().unwrap().success(), "{told}");
    let after = fewest_until_more(&workload, 3);
    assert!(
        during.min(after) >= 2,
        "{during} pods served while the node was drained, {after} after it; 2 are promised"
    );
    assert!(serving(&workload).unwrap().values().all(|on| *on != node), "pods are on a node that was drained");
    assert_ne!(leader(&cluster), first, "the leader has left its node as well");
    drop(drained);
    fewest_until_more(&workload, 2);
    workload.assert_accounted("m");
}

#[test]
#[ignore = "takes the three nodes of a cluster of tests/real-kubernetes/up --nodes 3"]
fn a_node_whose_kubelet_dies_holds_the_kills_until_it_is_back() {
    if given::lacks_machines() {
        return;
    }
    let cluster = Cluster::start();
    // Its pod may not move: what is lost stays lost until the node is back.
    let workload = spread(&cluster, 300);
    workload.monkey("m", |_| ());
    workload.until("m", "three kills", |monkey| kills(monkey) >= 3);
    let leads = node_of(&cluster, &leader(&cluster));
    let node = ["node1", "node2", "node3"].into_iter().find(|node| *node != leads).unwrap();
    let lost = Lost::program(node, "kubelet");
    let (from, told) = until_told(&workload, node);
    let during = fewest_until(&workload, "strikes come and go", |_| Timestamp::now() >= from + LONG);
    until_skipped(&workload, from);
    let sent = calls(&monkey(&workload), from, from + LONG);
    assert!(sent.is_empty(), "{node} is lost, and so is all that may be unavailable: {sent:#?}");
    // One pod on the lost node, and at most one whose kill was sent before that was told.
    assert!(told.min(during) >= 1, "{told} and {during} pods served");

    let leaving = uids(&workload, |pod| leaves(pod, node));
    drop(lost);
    fewest_until_more(&workload, 3);
    let left = || uids(&workload, |pod| leaving.contains(pod.metadata.uid.as_ref().unwrap()));
    assert!(chaos_tests::wait(PATIENCE, || left().is_empty()), "pods hang on {node}: {:?}", left());
    workload.assert_accounted("m");
}

#[test]
#[ignore = "takes the three nodes of a cluster of tests/real-kubernetes/up --nodes 3"]
fn a_zone_is_lost_with_the_leader_in_it_and_kills_wait_until_the_other_zones_carry_the_load() {
    if given::lacks_machines() {
        return;
    }
    let cluster = Cluster::start();
    let workload = spread(&cluster, 20);
    workload.monkey("m", |_| ());
    workload.until("m", "three kills", |monkey| kills(monkey) >= 3);
    let first = leader(&cluster);
    let node = node_of(&cluster, &first);
    let lost = Lost::machine(&node);
    let (from, told) = until_told(&workload, &node);
    // Kills are due again as soon as a pod serves that was not there when the loss was told.
    let known = uids(&workload, |_| true);
    let (mut to, mut last) = (from, from);
    let during = fewest_until(&workload, "three pods serve in two zones", |serving| {
        if serving.keys().all(|uid| known.contains(uid)) {
            to = last;
        }
        last = Timestamp::now();
        serving.len() == 3
    });
    assert!(to > from, "the loss was over before it could be looked at");
    until_skipped(&workload, from);
    let sent = calls(&monkey(&workload), from, to);
    assert!(sent.is_empty(), "a zone is lost, and with it all that may be unavailable: {sent:#?}");

    // Kills go on without the zone, by the other operator, and never of what was lost.
    let after = fewest_until_more(&workload, 3);
    assert!(told.min(during).min(after) >= 1, "{told}, {during} and {after} pods served");
    let now = monkey(&workload);
    assert!(calls(&now, to, Timestamp::now()).iter().all(|kill| kill.victim.node.as_ref() != Some(&node)), "{now:#?}");
    assert_ne!(leader(&cluster), first, "a leader on a machine that is gone");

    let leaving = uids(&workload, |pod| leaves(pod, &node));
    assert!(!leaving.is_empty(), "nobody takes a pod off a machine that is gone");
    drop(lost);
    let left = || uids(&workload, |pod| leaving.contains(pod.metadata.uid.as_ref().unwrap()));
    assert!(chaos_tests::wait(PATIENCE, || left().is_empty()), "pods hang on {node}: {:?}", left());
    fewest_until_more(&workload, 3);
    workload.assert_accounted_in_doubt("m");
}

#[test]
#[ignore = "takes the three nodes of a cluster of tests/real-kubernetes/up --nodes 3"]
fn a_monkey_of_one_zone_kills_there_alone_and_one_by_zones_plans_for_each() {
    if given::lacks_machines() {
        return;
    }
    let cluster = Cluster::start();
    let workload = spread(&cluster, 300);
    workload.monkey("zones", |spec| {
        spec["fault"]["podKill"]["group"] = json!("Zone");
        spec["mode"] = json!("DryRun");
        (spec["meanTimeBetweenKills"], spec["minTimeBetweenKills"]) = (json!("2h"), json!("1h"));
    });
    workload.until("zones", "a plan for each zone", |monkey| {
        let upcoming = monkey.status.iter().flat_map(|status| &status.upcoming);
        upcoming.map(|strike| strike.group.as_str()).collect::<BTreeSet<_>>()
            == BTreeSet::from(["zone-a", "zone-b", "zone-c"])
    });
    workload.monkey("m", |spec| spec["target"]["zones"] = json!(["zone-b"]));
    workload.until("m", "four kills", |monkey| kills(monkey) >= 4);
    workload.assert_accounted("m");
    let history = monkey(&workload).status.unwrap().history;
    assert!(history.iter().all(|kill| kill.victim.node.as_deref() == Some("node2")), "{history:#?}");
}
