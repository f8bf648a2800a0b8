//! What an execution of a game day goes through, as it is digested: a form of its own, in the words of manifests. An execution that is
//! under way ends when the digest is another one, so no field that is new to the API may change it: each is taken in here by hand, and
//! left out where it is not given.

use serde::Serialize;

use crate::api::{
    ApprovalStep, CheckStep, ExperimentStep, GameDaySpec, GameDayStep, Mode, OnFailure, RunOverrides, Strikes,
};
use crate::digest::sha256_hex;
use crate::units::Duration;

/// Names and order of the fields here and below are the form.
#[derive(Serialize)]
struct Plan<'a>(Vec<Step<'a>>, Mode, OnFailure);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    depends_on: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    experiment: Option<Experiment<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Approval<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check<'a>>,
}

#[derive(Serialize)]
struct Experiment<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    overrides: Option<Overrides>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shrunk: Option<Overrides>,
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<Duration>,
}

#[derive(Serialize)]
struct Overrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strikes: Option<Numbers>,
}

#[derive(Serialize)]
struct Numbers {
    target: u32,
    min: u32,
}

#[derive(Serialize)]
struct Approval<'a> {
    prompt: &'a str,
    within: Duration,
}

#[derive(Serialize)]
struct Check<'a> {
    source: &'a str,
    query: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    within: Duration,
    timeout: Duration,
}

/// The SHA-256 of the form: of another plan it is another one.
pub(super) fn digest(raw: &GameDaySpec) -> String {
    sha256_hex(form(raw).as_bytes())
}

/// The form, as JSON.
fn form(raw: &GameDaySpec) -> String {
    let plan = Plan(raw.steps.iter().map(step).collect(), raw.mode, raw.on_failure);
    // It is made of texts and numbers: it always serialises.
    serde_json::to_string(&plan).unwrap_or_default()
}

fn step(raw: &GameDayStep) -> Step<'_> {
    let GameDayStep { name, depends_on, experiment, wait, approval, check } = raw;
    Step {
        name,
        depends_on,
        experiment: experiment.as_ref().map(|ExperimentStep { name, overrides, shrunk, within }| Experiment {
            name,
            overrides: overrides.as_ref().map(changed),
            shrunk: shrunk.as_ref().map(changed),
            within: *within,
        }),
        wait: *wait,
        approval: approval.as_ref().map(|ApprovalStep { prompt, within }| Approval { prompt, within: *within }),
        check: check.as_ref().map(|CheckStep { source, query, min, max, within, timeout }| Check {
            source,
            query,
            min: *min,
            max: *max,
            within: *within,
            timeout: *timeout,
        }),
    }
}

fn changed(raw: &RunOverrides) -> Overrides {
    let RunOverrides { seed, strikes } = *raw;
    Overrides { seed, strikes: strikes.map(|Strikes { target, min }| Numbers { target, min }) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> GameDaySpec {
        let spec = json!({
            "schedule": "Manual", "blackout": [], "startingDeadline": "10m", "mode": "Live", "onFailure": "Continue",
            "steps": [
                {"name": "riders", "experiment": {"name": "e", "overrides": {"seed": 7, "strikes": {"target": 9, "min": 3}},
                    "shrunk": {"seed": 8}, "within": "2h"}},
                {"name": "settle", "dependsOn": ["riders"], "wait": "5m"},
                {"name": "look", "dependsOn": ["riders", "settle"], "approval": {"prompt": "Go on?", "within": "1h"}},
                {"name": "eta", "check": {"source": "p", "query": "up", "min": 1, "max": 2.5, "within": "5m"}},
            ],
        });
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn no_upgrade_ends_executions_that_are_under_way() {
        let expected = [
            r#"[[{"name":"riders","experiment":{"name":"e","overrides":{"seed":7,"strikes":{"target":9,"min":3}},"#,
            r#""shrunk":{"seed":8},"within":"2h"}},"#,
            r#"{"name":"settle","dependsOn":["riders"],"wait":"5m"},"#,
            r#"{"name":"look","dependsOn":["riders","settle"],"approval":{"prompt":"Go on?","within":"1h"}},"#,
            r#"{"name":"eta","check":{"source":"p","query":"up","min":1.0,"max":2.5,"within":"5m","timeout":"5s"}}],"#,
            r#""Live","Continue"]"#,
        ];
        // Executions have this digest in the status of their game day.
        assert_eq!(form(&spec()), expected.concat());
        assert_eq!(digest(&spec()), "592e4f509aecdc931de3ca9a7284ee624694fcca2e6d4588638de9b1ed487998");
    }

    #[test]
    fn what_an_execution_goes_through_is_another_plan_and_nothing_else_is() {
        let digest_of = |pointer: &str, value: serde_json::Value| {
            let mut changed = json!(spec());
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[field] = value;
            digest(&serde_json::from_value(changed).unwrap())
        };
        let moving = [
            ("/mode", json!("DryRun")),
            ("/onFailure", json!("Stop")),
            ("/steps/0/name", json!("other")),
            ("/steps/0/experiment/name", json!("other")),
            ("/steps/0/experiment/overrides", json!({})),
            ("/steps/0/experiment/shrunk/seed", json!(9)),
            ("/steps/0/experiment/within", json!("3h")),
            ("/steps/1/dependsOn", json!([])),
            ("/steps/1/wait", json!("6m")),
            ("/steps/2/approval/prompt", json!("Stop?")),
            ("/steps/2/approval/within", json!("2h")),
            ("/steps/3/check/query", json!("down")),
            ("/steps/3/check/source", json!("q")),
            ("/steps/3/check/min", json!(0)),
            ("/steps/3/check/max", json!(3)),
            ("/steps/3/check/within", json!("6m")),
            ("/steps/3/check/timeout", json!("6s")),
        ];
        for (pointer, value) in moving {
            assert_ne!(digest_of(pointer, value), digest(&spec()), "{pointer}");
        }
        for (pointer, value) in [("/suspend", json!(true)), ("/schedule", json!("0 9 * * *"))] {
            assert_eq!(digest_of(pointer, value), digest(&spec()), "{pointer}");
        }
    }
}
