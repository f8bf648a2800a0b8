//! Checkers, programs and objects that answer badly or not at all.

use super::super::draft::Draft;
use super::super::stand_in::{Checker, Scene};
use super::Row;

pub(super) fn rows() -> Vec<Row> {
    fn rules(draft: Draft) -> Vec<String> {
        vec![draft.asks_rules().yaml()]
    }
    let says = |name, code, reason, scene: fn(&mut Scene)| Row::new(name, code, reason).files(rules).scene(scene);
    vec![
        says("a business rule is broken", 1, "InvariantBroken", |scene| scene.checker = Checker::Broken)
            .says("ride 3 was acknowledged and is gone"),
        says("a checker that looked at nothing", 7, "NothingChecked", |scene| scene.checker = Checker::Idle),
        says("a checker that answers something else", 7, "ProbeUnanswered", |scene| scene.checker = Checker::Garbage),
        says("a checker that is not there", 7, "ProbeUnanswered", |scene| scene.checker = Checker::Dead),
        Row::new("an object that never becomes what is expected", 8, "NotSteady").files(|draft| {
            let object = "kubernetes: {resource: apps/v1/Deployment, name: app, jsonPath: $.status.readyReplicas}";
            vec![draft.probe(&format!("{{name: replicas, {object}, expect: {{min: 30}}}}")).yaml()]
        }),
        Row::new("an object that does not exist", 7, "ProbeUnanswered").files(|draft| {
            let object = "kubernetes: {resource: apps/v1/Deployment, name: ap, jsonPath: $.status.readyReplicas}";
            vec![draft.probe(&format!("{{name: replicas, {object}, expect: {{min: 1}}}}")).yaml()]
        }),
        Row::new("a program that says no", 1, "ExpectationBroken").files(|draft| {
            let program = "command: {argv: [\"false\"], timeout: 10s}, when: After, expect: {exitCode: 0}";
            vec![draft.probe(&format!("{{name: own-check, {program}}}")).yaml()]
        }),
        Row::refused("a program that is not there", 3, "no-such-program").files(|draft| {
            let program = "command: {argv: [no-such-program], timeout: 10s}, when: After, expect: {exitCode: 0}";
            vec![draft.probe(&format!("{{name: own-check, {program}}}")).yaml()]
        }),
        Row::new("a gRPC check of a server that speaks no HTTP/2", 7, "ProbeUnanswered")
            .says("could not answer (notGrpc)")
            .files(|draft| {
                let check = format!("{{name: health, grpc: {{address: \"{}\", timeout: 1s}}}}", draft.stand_in);
                vec![draft.probe(&check).yaml()]
            }),
    ]
}
