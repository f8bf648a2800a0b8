//! Installing, bringing up to date, and removing in any order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chaos_core::api::{ExperimentRun, labels, switch};
use chaos_operator::manifests::Installation;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::cluster::{Cluster, documents, manifests, root, whole};
use crate::earlier::{self, Kept};
use crate::workload::{Workload, kills};
use crate::{gamedays, given, runs};

/// What belongs to us must be gone by then, whatever was removed first.
const GONE: Duration = Duration::from_secs(5);
/// What the owner of a cluster writes to name a metrics source, for the operator and for the prober.
const SOURCES: &str = "prometheus: {platform: {url: 'http://prometheus.monitoring:9090', namespaces: [dispatch]}}\n";
const CONFIGURATIONS: [&str; 2] = ["chaos-operator-config", "chaos-prober-config"];

fn crds() -> String {
    chaos_core::schema::crds_yaml()
}

/// The ConfigMaps beside the operator.
fn maps(cluster: &Cluster) -> Api<ConfigMap> {
    Api::namespaced(cluster.client.clone(), switch::NAMESPACE)
}

fn switch_state(cluster: &Cluster) -> Option<String> {
    cluster.block(maps(cluster).get_opt(switch::NAME)).unwrap()?.data?.remove(switch::KEY)
}

fn name_a_source(cluster: &Cluster) {
    for name in CONFIGURATIONS {
        let metadata = format!("{{name: {name}, namespace: {}}}", switch::NAMESPACE);
        cluster.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {metadata}\ndata:\n  config.yaml: |\n    {SOURCES}"
        ));
    }
}

fn assert_the_source_is_named(cluster: &Cluster) {
    for name in CONFIGURATIONS {
        let data = cluster.block(maps(cluster).get(name)).unwrap().data.unwrap_or_default();
        assert_eq!(data.get("config.yaml").map(String::as_str), Some(SOURCES), "{name}");
    }
}

#[test]
fn bringing_an_installation_up_to_date_keeps_objects_environment_sources_and_a_stopped_switch() {
    let cluster = Cluster::start();
    cluster.apply(&earlier::definitions());
    let before = earlier::specs(&cluster);
    let workload = Workload::deploy(&cluster);
    let kept = Kept::make(&workload);
    cluster.install();
    for (now, before) in earlier::specs(&cluster).iter().zip(&before) {
        assert_ne!(now, before, "each definition is brought up to date");
    }
    kept.until_planned();
    cluster.chaos(&["stop", "--all"]);
    name_a_source(&cluster);
    let again = cluster.install_with(&["--replicas", "1"]);
    assert!(again.stderr.contains("chaos resume --all"), "{}", again.stderr);
    assert_eq!(switch_state(&cluster).as_deref(), Some(switch::STOPPED));
    assert_the_source_is_named(&cluster);
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let namespace = cluster.block(namespaces.get(switch::NAMESPACE)).unwrap();
    assert_eq!(namespace.labels().get(labels::ENVIRONMENT).map(String::as_str), Some("test"));
    kept.assert_there();
    drop(cluster.block(maps(&cluster).delete(switch::NAME, &DeleteParams::default())).unwrap());
    let again = cluster.install_with(&["--replicas", "1"]);
    assert!(again.stderr.contains("chaos resume --all"), "{}", again.stderr);
    assert!(cluster.block(maps(&cluster).get_opt(switch::NAME)).unwrap().is_none(), "a missing switch stays so");
    cluster.chaos(&["resume", "--all"]);
    let patch = kube::api::Patch::Merge(json!({"spec": {"suspend": false}}));
    cluster.block(workload.monkeys().patch("kept", &kube::api::PatchParams::default(), &patch)).unwrap();
    workload.until("kept", "it kills", |monkey| kills(monkey) > 0);
}

#[test]
fn whatever_is_removed_first_nothing_of_ours_is_stuck() {
    let cluster = Cluster::start();
    let workload = Workload::deploy(&cluster);
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", switch::NAMESPACE);
    let own = format!(
        "apiVersion: chaos.dispatch.dev/v1alpha1\nkind: ChaosMonkey\nmetadata: {{name: m, namespace: {}}}\n",
        workload.namespace
    );
    let (crds, manifests) = (crds(), manifests());
    let orders: [(&str, &[&str]); 4] = [
        ("the CRDs first", &[&crds, &manifests]),
        ("the operator first", &[&namespace, &manifests, &own, &crds]),
        ("the objects first", &[&own, &crds, &manifests]),
        ("the permissions first", &[&manifests, &crds]),
    ];
    for (order, parts) in orders {
        cluster.install();
        workload.monkey("m", |_| ());
        workload.until("m", "it kills", |monkey| kills(monkey) > 0);
        let began = Instant::now();
        parts.iter().for_each(|part| cluster.delete(part));
        let ours = [own.as_str(), crds.as_str()].join("---\n");
        cluster.within(GONE, &format!("removed with {order}"), || cluster.are_gone(&ours));
        assert!(began.elapsed() < GONE * 2, "{order}: {:?}", began.elapsed());
        // A namespace takes what its pods take to end, and what the namespace controller takes to look again.
        cluster.eventually("the rest is gone", || cluster.are_gone(&manifests));
    }
}

/// One object after the other, each in time, and none because somebody has to agree.
fn expect_gone_at_once(cluster: &Cluster, objects: &[String]) {
    for object in objects {
        cluster.delete(object);
        let name = documents(object)[0].name_any();
        cluster.within(GONE, &format!("{name} is gone"), || cluster.are_gone(object));
    }
}

#[test]
fn with_the_operator_gone_first_every_object_and_every_definition_goes_at_once() {
    let cluster = Cluster::start();
    cluster.install();
    let workload = Workload::deploy(&cluster);
    workload.monkey("m", |_| ());
    cluster.apply(&gamedays::manifests(&workload.namespace));
    cluster.apply(&runs::manifests(&workload.namespace, "r", "Live"));
    workload.until("m", "it kills", |monkey| kills(monkey) > 0);
    let runs: Api<ExperimentRun> = Api::namespaced(cluster.client.clone(), &workload.namespace);
    cluster.eventually("the run is under way", || async {
        let status = runs.get("r").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if status.started_at.is_some() { Ok(()) } else { Err(format!("{status:#?}")) }
    });
    let operator = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {}}}}}", switch::NAMESPACE);
    cluster.delete(&operator);
    // What ends namespaces asks their pods to go after five seconds, and looks again after half of what these may take to.
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), switch::NAMESPACE);
    drop(cluster.block(pods.delete_collection(&DeleteParams::default(), &ListParams::default())).unwrap());
    cluster.eventually("the operator is gone", || cluster.are_gone(&operator));

    let kinds = [("ChaosMonkey", "m"), ("Experiment", "eta"), ("ExperimentRun", "r"), ("GameDay", "weekly")];
    let object = |(kind, name): (&str, &str)| {
        let metadata = format!("{{name: {name}, namespace: {}}}", workload.namespace);
        format!("{{apiVersion: chaos.dispatch.dev/v1alpha1, kind: {kind}, metadata: {metadata}}}")
    };
    let objects = kinds.map(object);
    let definitions: Vec<String> = documents(&crds()).iter().map(|crd| serde_json::to_string(crd).unwrap()).collect();
    assert_eq!(definitions.len(), objects.len(), "an object of each kind");
    for found in objects.iter().flat_map(|object| cluster.get(object)) {
        assert!(found.finalizers().is_empty(), "{:?}", found.metadata);
    }
    for installed in documents(&manifests()) {
        let kind = installed.types.map(|types| types.kind).unwrap_or_default();
        assert!(!kind.ends_with("WebhookConfiguration"), "{kind}");
    }
    expect_gone_at_once(&cluster, &objects);
    expect_gone_at_once(&cluster, &definitions);
    let rest = manifests();
    cluster.delete(&rest);
    cluster.eventually("the rest is gone", || cluster.are_gone(&rest));
}

/// The same objects but for namespaces.
fn without_namespaces(yaml: &str) -> String {
    let objects = documents(yaml).into_iter();
    let others = objects.filter(|object| object.types.as_ref().is_none_or(|types| types.kind != "Namespace"));
    others.map(|object| serde_json::to_string(&object).unwrap()).collect::<Vec<_>>().join("\n---\n")
}

#[test]
fn uninstall_removes_all_that_install_made() {
    let delete_mode = include_str!("../../deploy/overlays/delete-mode/rbac.yaml").to_owned();
    let (cluster, ours) = (Cluster::start(), [crds(), manifests(), delete_mode].join("---\n"));
    cluster.install_with(&["--environment", "test", "--replicas", "1", "--delete-mode"]);
    let (began, rest) = (Instant::now(), without_namespaces(&ours));
    cluster.chaos(&["uninstall"]);
    let took = began.elapsed();
    assert!(took < GONE, "uninstall took {took:?}");
    cluster.within(GONE.saturating_sub(took), "all but the namespace is gone", || cluster.are_gone(&rest));
    // That one waits for its pods, which have time to end.
    cluster.eventually("nothing is left", || cluster.are_gone(&ours));
    // Again, where nothing is installed.
    let again = cluster.chaos(&["uninstall"]);
    assert!(again.stderr.contains("there is none"), "{}", again.stderr);
}

#[test]
fn what_was_granted_in_one_namespace_goes_with_the_installation_whoever_forgets_to_name_it() {
    let cluster = Cluster::start();
    let workload = Workload::deploy(&cluster);
    let namespace = "chaos-granted-elsewhere";
    cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"));
    let granted = |namespace: &str| {
        let roles = chaos_operator::manifests::roles(Some(namespace)).into_iter().map(|(_, yaml)| yaml);
        roles.collect::<Vec<_>>().join("---\n")
    };
    let flags = |namespace| ["--replicas", "1", "--delete-mode", "--wait", "0s", "--watch-namespace", namespace];
    cluster.install_with(&flags(namespace));
    assert!(!cluster.get(&granted(namespace)).is_empty());
    let again = cluster.install_with(&flags(workload.namespace.as_str()));
    assert!(again.stderr.contains(&format!("earlier installation in namespace {namespace}")), "{}", again.stderr);
    assert_eq!(cluster.block(cluster.are_gone(&granted(namespace))), Ok(()));
    assert!(!cluster.get(&granted(&workload.namespace)).is_empty(), "they are there");
    cluster.chaos(&["uninstall"]);
    assert_eq!(cluster.block(cluster.are_gone(&granted(&workload.namespace))), Ok(()));
    let ours = manifests();
    cluster.eventually("nothing is left", || cluster.are_gone(&ours));
    cluster.delete(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"));
}

#[test]
fn uninstall_says_what_goes_and_keeps_it_where_the_crds_are_kept() {
    let (cluster, ours) = (Cluster::start(), manifests());
    let workload = Workload::deploy(&cluster);
    cluster.install();
    let before = workload.monkey("m", |spec| spec["suspend"] = true.into());
    let kept = cluster.chaos(&["uninstall", "--keep-crds"]);
    assert!(kept.stderr.contains("1 ChaosMonkey"), "{}", kept.stderr);
    cluster.eventually("the operator is gone", || cluster.are_gone(&ours));
    let after = cluster.block(workload.monkeys().get("m")).unwrap();
    assert_eq!(after.uid(), before.uid());
    let gone = cluster.chaos(&["uninstall"]);
    assert!(gone.stderr.contains("1 ChaosMonkey"), "{}", gone.stderr);
    let definitions = crds();
    cluster.eventually("the definitions are gone", || cluster.are_gone(&definitions));
}

#[test]
#[ignore = "takes kubectl, which a machine for `cargo test` need not have"]
fn kubectl_applies_the_same_and_never_touches_the_switch() {
    if given::lacks(given::image().is_some(), "the overlays name the image that `chaos image` writes") {
        return;
    }
    let (cluster, ours) = (Cluster::start(), [crds(), manifests()].join("---\n"));
    let workload = Workload::deploy(&cluster);
    let overlay = if cluster.is_embedded() { "deploy/overlays/demo" } else { "deploy/overlays/real" };
    for how in [&["apply"][..], &["apply", "--server-side", "--force-conflicts"][..]] {
        cluster.kubectl(&[how, &["-f", earlier::FOLDER]].concat());
        let kept = Kept::make(&workload);
        cluster.kubectl(&[how, &["-k", overlay]].concat());
        if !cluster.is_embedded() {
            cluster.kubectl(&["create", "-k", "deploy/switch"]);
        }
        cluster.kubectl(&["-n", switch::NAMESPACE, "rollout", "status", "deployment/chaos-operator", "--timeout=120s"]);
        kept.assert_there();
        cluster.chaos(&["stop", "--all"]);
        if !cluster.is_embedded() {
            name_a_source(&cluster);
            cluster.kubectl(&[how, &["-k", overlay]].concat());
            assert_eq!(switch_state(&cluster).as_deref(), Some(switch::STOPPED));
            assert_the_source_is_named(&cluster);
        }
        cluster.kubectl(&["delete", "--wait=false", "-k", overlay]);
        cluster.eventually("nothing is left", || cluster.are_gone(&ours));
    }
}

/// Runs Helm; it must succeed.
fn helm(args: &[&str]) -> String {
    let mut command = std::process::Command::new("helm");
    let output = command.args(args).current_dir(root()).output().expect("helm is installed");
    assert!(output.status.success(), "helm {args:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What Helm adds for itself is no difference.
fn plain(yaml: &str) -> BTreeMap<String, Value> {
    let object = |object: DynamicObject| {
        let mut value = with_equal_numbers(serde_json::to_value(object).unwrap());
        let metadata = value["metadata"].as_object_mut().unwrap();
        metadata.remove("annotations");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, metadata) = (text(&value["kind"]), &value["metadata"]);
        (format!("{kind} {}/{}", text(&metadata["namespace"]), text(&metadata["name"])), value)
    };
    documents(yaml).into_iter().map(object).collect()
}

/// A whole number is the same with and without a decimal point, which kustomize leaves out.
fn with_equal_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(with_equal_numbers).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, with_equal_numbers(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

/// What such an installation holds, but for the switch: whoever renders and applies it again must not turn a stopped one back on.
fn without_switch(installation: &Installation<'_>) -> BTreeMap<String, Value> {
    let mut objects = plain(&[crds(), whole(installation)].join("---\n"));
    assert!(objects.remove(&format!("ConfigMap {}/{}", switch::NAMESPACE, switch::NAME)).is_some());
    objects
}

/// What the chart is with these values.
fn rendered(set: &str) -> BTreeMap<String, Value> {
    plain(&helm(&["template", "chaos", "deploy/helm", "--kube-version", "1.36.3", "--set", set]))
}

#[test]
#[ignore = "takes helm, which a machine for `cargo test` need not have"]
fn the_chart_is_what_install_prints() {
    for namespace in [None, Some("shop")] {
        let installation =
            Installation { environment: Some("demo"), image: "registry.example/chaos:1", replicas: 3, namespace };
        let mut ours = without_switch(&installation);
        let watched = namespace.map(|namespace| format!(",watchNamespace={namespace}")).unwrap_or_default();
        let set = format!("environment=demo,image=registry.example/chaos:1,replicas=3{watched}");
        assert_eq!(rendered(&set), ours);
        let deletes: Vec<_> =
            chaos_operator::manifests::delete_mode(namespace).into_iter().map(|(_, yaml)| yaml).collect();
        ours.extend(plain(&deletes.join("---\n")));
        assert_eq!(rendered(&format!("{set},deleteMode=true")), ours);
    }
    let without = rendered("networkPolicy=false");
    assert!(without.keys().all(|key| !key.contains("NetworkPolicy")), "{:?}", without.keys());
    helm(&["lint", "--strict", "deploy/helm"]);
    helm(&["lint", "--strict", "deploy/helm", "--set", "watchNamespace=shop"]);
}

#[test]
#[ignore = "takes helm, which a machine for `cargo test` need not have"]
fn the_chart_refuses_to_work_on_the_namespace_that_it_makes() {
    let set = format!("watchNamespace={}", switch::NAMESPACE);
    let mut command = std::process::Command::new("helm");
    let output = command.args(["template", "chaos", "deploy/helm", "--set", &set]).current_dir(root()).output();
    assert!(!output.expect("helm is installed").status.success());
}

#[test]
#[ignore = "takes kubectl, which a machine for `cargo test` need not have"]
fn the_overlay_for_one_namespace_is_what_install_prints() {
    let mut command = std::process::Command::new("kubectl");
    let output = command.args(["kustomize", "deploy/overlays/one-namespace"]).current_dir(root()).output();
    let output = output.expect("kubectl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let replicas = chaos_operator::manifests::REPLICAS;
    let installation = Installation { replicas, namespace: Some("dispatch"), ..Installation::default() };
    assert_eq!(plain(&String::from_utf8_lossy(&output.stdout)), without_switch(&installation));
}

#[test]
#[ignore = "takes helm, which a machine for `cargo test` need not have"]
fn helm_installs_upgrades_and_uninstalls_and_keeps_switch_sources_and_objects() {
    let (cluster, ours, definitions) = (Cluster::start(), manifests(), crds());
    let here = ["--kubeconfig", cluster.kubeconfig().to_str().unwrap(), "--namespace", "default"];
    let run = |args: &[&str]| helm(&[args, &here, &["--wait", "--timeout", "3m"]].concat());
    let image = given::image().map(|image| format!("image={image}"));
    let mut values = vec!["--set", "environment=test"];
    values.extend(image.iter().flat_map(|image| ["--set", image.as_str()]));
    if cluster.is_embedded() {
        // It serves neither: see local-cluster/SURFACE.md.
        values.extend(["--set", "networkPolicy=false", "--disable-openapi-validation"]);
    }
    let workload = Workload::deploy(&cluster);
    // Its operators are not ready, as those definitions are not theirs: nobody waits for them.
    helm(&[&["install", "chaos", earlier::chart(&cluster).to_str().unwrap()], values.as_slice(), &here].concat());
    let kept = Kept::make(&workload);
    let chart = [&["chaos", "deploy/helm"], values.as_slice()].concat();
    run(&[&["upgrade"][..], &chart].concat());
    kept.assert_there();
    assert_eq!(switch_state(&cluster), None, "the chart leaves the switch to people");
    cluster.chaos(&["resume", "--all"]);
    assert_eq!(switch_state(&cluster).as_deref(), Some(switch::RUNNING));
    workload.monkey("m", |_| ());
    workload.until("m", "a kill", |monkey| kills(monkey) >= 1);
    workload.assert_accounted("m");
    cluster.chaos(&["stop", "--all"]);
    name_a_source(&cluster);
    run(&[&["upgrade"][..], &chart, &["--set", "replicas=1"]].concat());
    assert_eq!(switch_state(&cluster).as_deref(), Some(switch::STOPPED), "an upgrade resumes nothing");
    assert_the_source_is_named(&cluster);
    run(&["uninstall", "chaos"]);
    cluster.eventually("nothing but the definitions is left", || cluster.are_gone(&ours));
    workload.until("m", "it is kept", |monkey| kills(monkey) >= 1);
    cluster.delete(&definitions);
    cluster.eventually("nothing is left", || cluster.are_gone(&definitions));
}
