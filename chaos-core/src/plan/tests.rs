//! The plan of the shipped main experiment on a small healthy cluster, and what changes it.

use super::*;
use crate::limits::fixture::{NOW, population};
use crate::population::BudgetFacts;
use crate::validate::experiment_file;

const MAIN: &str = include_str!("../../../experiments/riders-can-request-while-pods-die.yaml");

fn experiment(change: impl FnOnce(String) -> String) -> Experiment {
    experiment_file("x.yaml", &change(MAIN.to_owned())).map_err(|found| found.to_string()).unwrap().remove(0)
}

fn planned(experiment: &Experiment, population: &Population, seed: i64) -> Plan {
    let policy = Policy::cli(&experiment.namespace);
    plan(&PlanRequest { experiment, policy: &policy, population, seed, now: NOW })
}

fn reasons(plan: &Plan) -> Vec<(ObjectionReason, bool)> {
    plan.objections.iter().map(|objection| (objection.reason, objection.forbids)).collect()
}

#[test]
fn the_main_experiment_fits_and_can_prove_its_claim() {
    let plan = planned(&experiment(|text| text), &population(3), 20_261_123);
    assert_eq!(reasons(&plan), []);
    assert_eq!((plan.candidates.len(), plan.excluded.len(), plan.strikes.len()), (3, 0, 61));
    let gaps: Vec<f64> = plan.strikes.windows(2).map(|pair| pair[1].after_seconds - pair[0].after_seconds).collect();
    assert!(gaps.iter().all(|gap| *gap >= 0.399), "{gaps:?}");
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    // 60 gaps of 0.4 + Exp(0.45): five standard errors.
    assert!((mean - 0.85).abs() < 0.3, "{mean}");
    let claim = &plan.claims[0];
    assert_eq!((claim.kills_needed, claim.kills_planned, claim.slack), (Some(29), 61, Some(2)));
    assert!(claim.power[0].pass > 0.999 && claim.power[2].pass > 0.9, "{:?}", claim.power);
    let may = |resource: &str, verb: &str| plan.permissions.iter().any(|p| p.resource == resource && p.verb == verb);
    assert!(may("chaosmonkeys", "create") && !may("pods/eviction", "create") && !may("nodes", "list"));
}

#[test]
fn a_plan_is_the_same_for_the_same_facts_and_only_then() {
    let main = experiment(|text| text);
    let world = population(5);
    let mut shuffled = world.clone();
    shuffled.pods.reverse();
    let plan = planned(&main, &world, 1);
    assert_eq!(plan, planned(&main, &world, 1));
    assert_eq!(plan.strikes, planned(&main, &shuffled, 1).strikes);
    assert_ne!(plan.digest, planned(&main, &world, 2).digest);
    assert_ne!(plan.digest, planned(&main, &population(4), 1).digest);
    let mut opted_out = world;
    opted_out.pods[0].labels.clear();
    let plan = planned(&main, &opted_out, 1);
    assert_eq!(plan.excluded[0].reason, "PodNotEnabled");
    assert_eq!(plan.candidates.len(), 4);
}

#[test]
fn what_cannot_work_is_told_before() {
    let main = experiment(|text| text);
    let mut empty = population(3);
    empty.namespaces[0].labels.clear();
    assert_eq!(reasons(&planned(&main, &empty, 1)), [(ObjectionReason::NoCandidate, true)]);
    assert_eq!(
        reasons(&planned(&main, &population(1), 1)),
        [(ObjectionReason::LimitsForbid, false), (ObjectionReason::LimitsForbid, true)]
    );
    let mut tight = population(3);
    tight.budgets.push(BudgetFacts {
        namespace: "dispatch".into(),
        name: "trips".into(),
        covers: vec!["pod-1".into()],
        disruptions_allowed: 0,
    });
    tight.workloads[0].rollout = Some("a new revision".into());
    assert_eq!(
        reasons(&planned(&main, &tight, 1)),
        [(ObjectionReason::RolloutInProgress, false), (ObjectionReason::NoDisruptionAllowed, false)]
    );
    let wide = experiment(|text| {
        text.replace(
            "    monkey:\n      meanTimeBetweenKills: 850ms\n      minTimeBetweenKills: 400ms\n",
            "    podKill:\n      victims: 70%\n      every: {mean: 850ms, min: 400ms}\n",
        )
        .replace("killMode", "mode")
    });
    let plan = planned(&wide, &population(3), 1);
    assert_eq!(reasons(&plan)[0], (ObjectionReason::StrikeTooWide, true));
    assert!(plan.is_refused());
    assert!(plan.permissions.iter().any(|p| p.resource == "pods/eviction" && p.namespace == "dispatch"));
}

#[test]
fn a_window_that_is_too_short_for_the_seed_is_told() {
    let tight = experiment(|text| text.replace("fault: 120s", "fault: 52s"));
    let found: Vec<_> = (0..40).map(|seed| planned(&tight, &population(3), seed)).collect();
    assert!(found.iter().any(|plan| reasons(plan) == [(ObjectionReason::WindowTooShort, false)]));
    assert!(found.iter().any(|plan| reasons(plan).is_empty()));
}
