//! A cluster that does not do what is meant: no victims, other victims, victims that stay.

use serde_json::json;

use super::super::draft::Draft;
use super::super::script::forbid_evictions;
use super::{MONKEY, Row};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::refused("zero victims: the target means no pod", 8, "no pod is meant by the target")
            .files(|draft| vec![draft.with(|draft| draft.selector = "app: ap").yaml()]),
        Row::refused("a target that names a workload which is not there", 8, "did you mean app?").files(|draft| {
            let misspelt = "target: {workloads: [{kind: Deployment, name: ap}], selector";
            vec![draft.yaml().replacen("target: {selector", misspelt, 1)]
        }),
        Row::refused("a target in another environment", 4, "EnvironmentMismatch")
            .files(|draft| vec![draft.yaml().replacen("target: {selector", "target: {environment: moon, selector", 1)]),
        Row::refused("a probe of a Service that is not there", 3, "failed to read Service").files(|draft| {
            let url = format!("url: \"http://{}\"", draft.stand_in);
            vec![draft.yaml().replacen(&url, "service: nobody", 1)]
        }),
        Row::refused("pods that are not opted in", 4, "NamespaceNotEnabled").before(|field, row| {
            field.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": row, "labels": {}}}));
        }),
        Row::refused("the operator is not installed", 3, "chaos install")
            .files(|draft| vec![draft.with(|draft| draft.fault = MONKEY.to_owned()).yaml()]),
        Row::new("fewer victims than planned: a budget forbids all evictions", 7, "TooFewKills")
            .says("last reason to wait: DisruptionBudget")
            .files(|draft| vec![draft.with(|draft| draft.phases = "{baseline: 1s, fault: 3s, recovery: 1s}").yaml()])
            .before(forbid_evictions),
        Row::new("fewer victims than planned: a budget forbids evictions in mid-run", 7, "TooFewKills")
            .says("it takes")
            .files(|draft| {
                let short = |draft: &mut Draft| draft.phases = "{baseline: 1s, fault: 15s, recovery: 1s}";
                vec![draft.kills(40, 40).with(short).yaml()]
            })
            .meanwhile(|play| {
                play.until("kill 2/");
                play.forbid_evictions();
            }),
        Row::new("victims that did not die", 7, "TooFewKills").says("still there").before(|field, row| {
            let hook = json!({"preStop": {"sleep": {"seconds": 100}}});
            field.apply(field.deployment(row, 100, &hook));
            field.await_pods(row);
        }),
        Row::new("a reservation that a run has left which died", 0, "HypothesisHeld").says("which died").before(|field, row| {
            let held = r#"{"reservations": [{"run": "gone", "strike": 3, "victimUid": "u", "since": "2026-01-01T00:00:00Z"}]}"#;
            field.apply(json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": "chaos-left", "namespace": row, "annotations": {"chaos.dispatch.dev/budget": held}},
            }));
        }),
        Row::new("a replacement that never becomes Ready", 5, "NotRecovered")
            .files(|draft| {
                let limits = "{maxUnavailable: 1, minReady: 1, maxKills: 60, minInterval: 200ms, recoverWithin: 3s, \
                              maxBlind: 30s, allowForce: false}";
                vec![draft.with(|draft| draft.limits = limits).yaml()]
            })
            .meanwhile(|play| {
                play.until("phase baseline");
                play.scene(|scene| scene.gate_open = false);
            }),
        Row::new("chaos is stopped in the namespace in mid-run", 5, "Switched")
            .files(|draft| vec![draft.kills(60, 2).yaml()])
            .meanwhile(|play| {
                play.until("kill 1/");
                let annotations = json!({"chaos.dispatch.dev/stop": "true"});
                let labels = json!({"chaos.dispatch.dev/enabled": "true"});
                play.field.apply(json!({
                    "apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": play.row, "labels": labels, "annotations": annotations},
                }));
            }),
    ]
}
