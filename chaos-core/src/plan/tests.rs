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
fn pods_of_groups_that_a_monkey_plans_nothing_for_are_told_and_nothing_is_promised_of_them() {
    let mut world = population(302);
    world.nodes = None;
    for (number, pod) in world.pods.iter_mut().enumerate() {
        pod.node = Some(format!("node-{number:03}"));
    }
    let by_node = experiment(|text| text.replace("group: Namespace", "group: Node"));
    let plan = planned(&by_node, &world, 1);
    assert_eq!((plan.candidates.len(), plan.groups.len()), (300, 300));
    let excluded: Vec<_> = plan.excluded.iter().map(|it| (it.pod.as_str(), it.reason.as_str())).collect();
    assert_eq!(excluded, [("dispatch/trips-300", "GroupNotPlanned"), ("dispatch/trips-301", "GroupNotPlanned")]);
    assert!(plan.excluded[0].message.contains("; hint: "), "{}", plan.excluded[0].message);
    // A run that kills by itself goes to all groups in turn.
    let itself = experiment(|text| {
        text.replace("group: Namespace", "group: Node")
            .replace(
                "    monkey:\n      meanTimeBetweenKills: 850ms\n      minTimeBetweenKills: 400ms\n",
                "    podKill:\n      every: {mean: 850ms, min: 400ms}\n",
            )
            .replace("killMode", "mode")
    });
    assert_eq!(planned(&itself, &world, 1).candidates.len(), 302);
}

#[test]
fn a_namespace_whose_pods_nobody_has_looked_at_is_told_as_one() {
    let main = experiment(|text| text);
    let mut world = population(3);
    world.namespaces[0].labels.clear();
    let plan = planned(&main, &world, 1);
    assert_eq!(plan.excluded.len(), 3, "each pod says so itself");
    assert!(plan.excluded.iter().all(|excluded| excluded.is_pod() && excluded.reason == "NamespaceNotEnabled"));
    world.pods.clear();
    let plan = planned(&main, &world, 1);
    let [of_all] = plan.excluded.as_slice() else { panic!("{:?}", plan.excluded) };
    assert_eq!((of_all.pod.as_str(), of_all.reason.as_str()), ("dispatch/*", "NamespaceNotEnabled"));
    assert!(!of_all.is_pod() && plan.is_refused());
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
    // Both victims of a strike are in one window, which the promise may cost twice as much.
    let two = experiment(|text| {
        text.replace(
            "    monkey:\n      meanTimeBetweenKills: 850ms\n      minTimeBetweenKills: 400ms\n",
            "    podKill:\n      victims: 2\n      every: {mean: 850ms, min: 400ms}\n",
        )
        .replace("killMode", "mode")
        .replace("{target: 61, min: 29}", "{target: 30, min: 29}")
        .replace("maxUnavailable: 1", "maxUnavailable: 2")
    });
    let claim = &planned(&two, &population(3), 1).claims[0];
    assert_eq!((claim.kills_needed, claim.kills_planned, claim.slack), (Some(29), 30, Some(0)));
    // 30 strikes 850 ms apart and 10 s of recovery at 100/s.
    assert!((claim.budget_per_kill - 3.55 / 60.0).abs() < 1e-4, "{}", claim.budget_per_kill);
    let plan = planned(&wide, &population(3), 1);
    assert_eq!(reasons(&plan)[0], (ObjectionReason::StrikeTooWide, true));
    assert!(plan.is_refused());
    let narrow = |victims: &str| {
        let experiment = experiment(|text| {
            text.replace(
                "    monkey:\n      meanTimeBetweenKills: 850ms\n      minTimeBetweenKills: 400ms\n",
                &format!("    podKill:\n      {victims}\n      every: {{mean: 850ms, min: 400ms}}\n"),
            )
            .replace("killMode", "mode")
        });
        let found = reasons(&planned(&experiment, &population(3), 1));
        found.contains(&(ObjectionReason::StrikeWithoutVictim, true))
    };
    assert!(narrow("victims: 33%"), "33 % of three pods");
    assert!(!narrow("victims: 34%") && !narrow("victims: 33%\n      atLeastOne: true"));
    assert!(plan.permissions.iter().any(|p| p.resource == "pods/eviction" && p.namespace == "dispatch"));
}

#[test]
fn what_is_named_and_not_there_is_told_with_what_may_be_meant() {
    fn named(workload: &str, namespaces: &[&str], change: fn(&mut Population)) -> Vec<String> {
        let experiment = experiment(|text| {
            text.replace("      - {kind: Deployment, name: gateway}\n", "")
                .replace("      - {kind: Deployment, name: eta}\n", "")
                .replace("      - {kind: Deployment, name: trips}\n", &format!("      - {workload}\n"))
        });
        let mut world = population(3);
        change(&mut world);
        let known: Vec<String> = namespaces.iter().map(|name| (*name).to_owned()).collect();
        missing(&experiment.target, &world, &known).iter().map(ToString::to_string).collect()
    }
    let trips = "{kind: Deployment, name: trips}";
    assert_eq!(named(trips, &[], |_| ()), Vec::<String>::new());
    let told = "there is no Deployment tirps in dispatch (did you mean trips?)";
    assert_eq!(named("{kind: Deployment, name: tirps}", &[], |_| ()), [told]);
    assert_eq!(
        named("{kind: Deployment, name: payments}", &[], |_| ()),
        ["there is no Deployment payments in dispatch"]
    );
    let told = "there is no StatefulSet trips in dispatch (did you mean Deployment trips?)";
    assert_eq!(named("{kind: StatefulSet, name: trips}", &[], |_| ()), [told]);
    let told = "there is no namespace dispatch (did you mean dispatchs?)";
    assert_eq!(named(trips, &["default", "dispatchs"], |world| world.namespaces.clear()), [told]);
}

#[test]
fn a_window_that_is_too_short_for_the_seed_is_told() {
    let tight = experiment(|text| text.replace("fault: 120s", "fault: 52s"));
    let found: Vec<_> = (0..40).map(|seed| planned(&tight, &population(3), seed)).collect();
    assert!(found.iter().any(|plan| reasons(plan) == [(ObjectionReason::WindowTooShort, false)]));
    assert!(found.iter().any(|plan| reasons(plan).is_empty()));
}

#[test]
fn a_plan_says_what_its_kills_can_prove_and_how_long_it_takes() {
    let plan = planned(&experiment(|text| text), &population(3), 7);
    let claim = &plan.claims[0];
    // 61 kills 850 ms apart and 10 s of recovery at 100/s.
    assert!(claim.requests_planned.abs_diff(6_185) <= 1, "{}", claim.requests_planned);
    assert_eq!(claim.requests_needed, 1_000);
    assert!((claim.budget_per_kill - 6.185 / 61.0).abs() < 1e-9);
    assert!((claim.harmless_share_provable - 0.05f64.powf(1.0 / 61.0)).abs() < 1e-12);
    assert_eq!(claim.worst_loss_provable, Some(2));
    let of = |loss: u64| claim.kills_by_worst_loss.iter().find(|row| row.worst_loss == loss).unwrap().kills;
    assert!(of(2) <= 61 && of(4) > 61, "{:?}", claim.kills_by_worst_loss);
    assert!((plan.expected_seconds - (8.0 + 61.0 * 0.85 + 10.0)).abs() < 1e-9);
    assert!((plan.longest_seconds - 138.0).abs() < 1e-9);
    assert_eq!((claim.by_design.clone(), claim.budget_30d), (None, None));
}

#[test]
fn a_promise_that_a_killed_pod_breaks_by_design_is_ruled_out_with_the_numbers() {
    let declared = |detection: &str, rescued: &str| {
        let slo = format!(
            "      slo:\n        requestsPer30d: 10000000\n        declared: {{detection: {detection}, rescued: {rescued}}}\n"
        );
        planned(&experiment(|text| text.replacen("      slo:\n", &slo, 1)), &population(3), 7)
    };
    // Three pods of one workload, a kill every 0.85 s: U = 1/3 · D/0.85 · (1 − r) of at most 0.1 %.
    let ruled_out = declared("100ms", "90%");
    let bound = ruled_out.claims[0].by_design.clone().unwrap();
    assert!((bound.unavailability - 0.1 / 0.85 / 3.0 * 0.1).abs() < 1e-9, "{bound:?}");
    assert!((bound.detection_allowed_seconds - 0.001 * 3.0 * 0.85 / 0.1).abs() < 1e-9, "{bound:?}");
    assert_eq!((bound.pods, bound.workload.as_str()), (3, "Deployment/trips"));
    assert_eq!(reasons(&ruled_out), [(ObjectionReason::RuledOutByDesign, true)]);
    assert!(
        ruled_out.is_refused() && ruled_out.objections[0].message.contains("0.3922 % fail by design"),
        "{:?}",
        ruled_out.objections
    );
    // All pods dead at once: what is not rescued fails, and no more.
    let all = declared("10m", "90%");
    assert!(
        (all.claims[0].by_design.clone().unwrap().unavailability - 0.1).abs() < 1e-9,
        "{:?}",
        all.claims[0].by_design
    );
    assert_eq!(reasons(&declared("100ms", "98%")), []);
    assert_eq!(reasons(&declared("20ms", "90%")), []);
    let budget = ruled_out.claims[0].budget_30d.unwrap();
    assert!((budget.allowed - 10_000.0).abs() < 1e-6 && (budget.share_of_run - 6.185 / 10_000.0).abs() < 1e-9);
}

#[test]
fn the_published_example_of_the_bound_comes_out() {
    // N = 3, T = 60 s, r = 0: D = 1 s costs 0.556 %, 0.1 s 0.056 %, 10 ms 0.006 %; 99.9 % allows 180 ms.
    for (detection, percent) in [("1s", 0.5556), ("100ms", 0.0556), ("10ms", 0.0056)] {
        let slow = experiment(|text| {
            text.replace("meanTimeBetweenKills: 850ms", "meanTimeBetweenKills: 60s")
                .replace("fault: 120s", "fault: 6000s")
                .replacen(
                    "      slo:\n",
                    &format!("      slo:\n        declared: {{detection: {detection}, rescued: 0%}}\n"),
                    1,
                )
        });
        let bound = planned(&slow, &population(3), 7).claims[0].by_design.clone().unwrap();
        assert!((bound.unavailability * 100.0 - percent).abs() < 1e-4, "{bound:?}");
        assert!((bound.detection_allowed_seconds - 0.18).abs() < 1e-9, "{bound:?}");
    }
}

#[test]
fn too_few_requests_for_a_promise_are_told_before_and_refused_where_no_run_can_have_enough() {
    // 99.9 % takes 1,000. The fault lasts 120 s at most, the recovery of its last kill 30 s, the recovery phase 10 s.
    let at = |rate: &str| {
        let few = experiment(|text| text.replace("rate: 100/s", &format!("rate: {rate}")));
        planned(&few, &population(3), 7)
    };
    assert_eq!(reasons(&at("17/s")), []);
    for (rate, forbids) in [("10/s", false), ("6.3/s", false), ("6.2/s", true), ("2/s", true)] {
        let plan = at(rate);
        assert_eq!(reasons(&plan), [(ObjectionReason::TooFewRequests, forbids)], "{rate}");
        assert_eq!(plan.is_refused(), forbids, "{rate}");
    }
    assert!(at("2/s").objections[0].message.contains("321 requests can be due at most"), "{:?}", at("2/s").objections);
    // By chance there may be more, but not as many as that.
    let poisson = |rate: &str| {
        let few = experiment(|text| text.replace("rate: 100/s", &format!("rate: {rate}\n        arrival: Poisson")));
        reasons(&planned(&few, &population(3), 7))
    };
    assert_eq!(poisson("6.2/s"), [(ObjectionReason::TooFewRequests, false)]);
    assert_eq!(poisson("2/s"), [(ObjectionReason::TooFewRequests, true)]);
}
