//! The experiment of these tests: one workload, killed three times, and a pod that is. What differs is how it is measured.

use chaos_core::api::VictimRef;
use chaos_core::model::Experiment;
use chaos_core::validate;

/// Load that sends one request a minute.
pub(super) const SLOW_LOAD: &str = r#"
    - name: ride
      http: {url: "http://127.0.0.1:1", rate: 1/m, timeout: 2s, maxLag: 100ms}
      slo: {availability: 90%, confidence: 95%, evidence: {observed: {}}}
"#;

/// A pod of that UID, of a Deployment.
pub(super) fn victim(deployment: &str, pod: &str, uid: &str) -> VictimRef {
    VictimRef {
        namespace: "shop".into(),
        pod: pod.into(),
        uid: uid.into(),
        workload: format!("Deployment/{deployment}"),
        workload_uid: "deployment".into(),
        owner_uid: "replicas".into(),
        node: None,
    }
}

/// With these probes: items of a list, indented by four.
pub(super) fn experiment(probes: &[&str]) -> Experiment {
    let text = format!(
        "apiVersion: chaos.dispatch.dev/v1alpha1
kind: Experiment
metadata: {{name: e, namespace: dispatch}}
spec:
  hypothesis: It holds.
  target: {{workloads: [{{kind: Deployment, name: trips}}]}}
  fault: {{podKill: {{mode: Evict, strikes: {{target: 3, min: 1}}, every: {{mean: 1s, min: 500ms}}}}}}
  phases: {{baseline: 1s, fault: 60s, recovery: 1s}}
  probes:{}
  limits: {{maxUnavailable: 1, minReady: 1, maxKills: 9, minInterval: 100ms, recoverWithin: 9s, maxBlind: 9s, allowForce: false}}
  abort: []
",
        probes.concat().trim_end()
    );
    validate::experiment_file("e.yaml", &text).unwrap_or_else(|error| panic!("{error}")).remove(0)
}
