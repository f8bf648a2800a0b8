//! What the experiment of a run is called: records, reports and folders have that name.

use serde_json::{Value, json};

use crate::api::{ExperimentRun, ExperimentSpec, labels};
use crate::model::{Endpoint, Run};
use crate::validate::{Manifest, Meta, experiment_file, experiment_name, file, recorded_run, run};

/// An experiment that may be run inside a cluster.
fn experiment() -> Value {
    json!({
        "hypothesis": "The gateway answers while trips pods die.",
        "target": {"environment": "demo", "workloads": [{"kind": "Deployment", "name": "trips"}]},
        "fault": {"podKill": {"strikes": {"target": 4, "min": 2}, "every": {"mean": "1s", "distribution": "Fixed"}}},
        "phases": {"baseline": "1s", "fault": "40s", "recovery": "1s"},
        "probes": [{"name": "ask", "http": {"service": "gateway", "rate": "50/s", "timeout": "1s", "maxLag": "5s"},
            "slo": {"availability": "90%", "confidence": "95%", "evidence": {"observed": {}}}}],
        "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 10, "minInterval": "0s", "recoverWithin": "30s",
            "maxBlind": "30s", "allowForce": false},
        "abort": [],
    })
}

/// A run of it that holds it, or that names it.
fn manifest(label: Option<&str>, reference: Option<&str>) -> Value {
    let spec = match reference {
        Some(name) => json!({"mode": "Live", "experimentRef": {"name": name}}),
        None => json!({"mode": "Live", "experiment": experiment()}),
    };
    let labels = label.map_or_else(|| json!({}), |label| json!({(labels::EXPERIMENT): label}));
    json!({
        "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
        "metadata": {"name": "r", "namespace": "shop", "labels": labels}, "spec": spec,
    })
}

/// The run as the API server has it, or all that is wrong with it.
fn meant(label: Option<&str>, reference: Option<&str>) -> Result<Run, String> {
    let object: ExperimentRun = serde_json::from_value(manifest(label, reference)).unwrap();
    let named: Option<ExperimentSpec> = reference.map(|_| serde_json::from_value(experiment()).unwrap());
    let meant = run(&object, named.as_ref());
    if let Ok(run) = &meant {
        assert_eq!(experiment_name(&object), run.experiment.name);
        let recorded = experiment_file("the record", &run.manifest).unwrap().remove(0);
        assert_eq!(recorded, run.experiment, "what is recorded says the same");
    }
    meant.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn an_experiment_is_called_as_the_run_says_and_else_as_the_run_is() {
    for (label, reference, name) in [
        (None, None, "r"),
        (Some("gateway-answers"), None, "gateway-answers"),
        (None, Some("gateway-answers"), "gateway-answers"),
        (Some("gateway-answers"), Some("gateway-answers"), "gateway-answers"),
    ] {
        let run = meant(label, reference).unwrap();
        assert_eq!((run.experiment.name.as_str(), run.name.as_str()), (name, "r"), "{label:?} {reference:?}");
        assert_eq!(run.digest, meant(None, None).unwrap().digest, "it is the same that is run");
    }
}

#[test]
fn a_name_that_no_experiment_could_have_is_refused() {
    let long = "a".repeat(64);
    for label in ["", "Gateway", "gateway.answers", "gateway_answers", "../../etc", "-a", "a\nb", &long] {
        let refused = meant(Some(label), None).unwrap_err();
        let place = format!("metadata.labels.{}: ", labels::EXPERIMENT);
        assert!(refused.starts_with(&place) && refused.contains("cannot be a name here"), "{refused}");
        assert_eq!(refused.lines().count(), 1, "{refused}");
        let object: ExperimentRun = serde_json::from_value(manifest(Some(label), None)).unwrap();
        assert_eq!(experiment_name(&object), "r", "nor is it shown: {label:?}");
    }
    let other = meant(Some("another"), Some("gateway-answers")).unwrap_err();
    assert!(other.contains("\"another\" is not the experiment that is run") && other.contains("leave"), "{other}");
}

#[test]
fn a_file_says_it_by_the_same_label_and_its_mistakes_are_told_with_their_lines() {
    let text = |label: &str| serde_json::to_string_pretty(&manifest(Some(label), None)).unwrap();
    let found = file("x.yaml", &text("gateway-answers")).unwrap();
    assert!(matches!(&found[..], [Manifest::Run(Some(run))] if run.experiment.name == "gateway-answers"), "{found:?}");
    let wrong = text("Gateway");
    let line = wrong.lines().position(|line| line.contains(labels::EXPERIMENT)).unwrap() + 1;
    let problems = file("x.yaml", &wrong).unwrap_err();
    let told: Vec<(usize, &str)> = problems.iter().map(|told| (told.line, told.message.as_str())).collect();
    assert_eq!(told, [(line, "\"Gateway\" cannot be a name here")]);
}

/// The run that a record tells of whose experiment was changed like that. It would not begin any more.
fn recorded(change: impl FnOnce(&mut Value)) -> Option<Run> {
    let mut spec = experiment();
    change(&mut spec);
    let metadata = json!({"name": "r", "namespace": "shop"});
    let text =
        json!({"apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "Experiment", "metadata": metadata, "spec": spec});
    let text = text.to_string();
    assert!(experiment_file("x.yaml", &text).is_err(), "{text}");
    let object: ExperimentRun = serde_json::from_value(manifest(None, None)).unwrap();
    recorded_run(&text, &object.spec, &Meta::from(&object.metadata), "digest")
}

/// A record is read whose probe asks there.
fn assert_url_is_read(url: &str) {
    let run = recorded(|spec| {
        let http = spec["probes"][0]["http"].as_object_mut().unwrap();
        http.remove("service");
        http.insert("url".into(), json!(url));
    });
    let probe = run.unwrap().experiment.probes.remove(0);
    assert_eq!(probe.http().unwrap().load.endpoint, Endpoint::Url(url.into()));
}

#[test]
fn what_an_older_version_let_begin_is_read_from_its_record_though_it_would_be_refused_by_now() {
    let guard = |probe: &str| json!([{"burnRate": {"probe": probe, "factor": 11, "long": "30s", "short": "5s"}}]);
    let untripped = recorded(|spec| spec["abort"] = guard("ask")).unwrap();
    assert_eq!(untripped.experiment.guards.len(), 1);
    assert_url_is_read("http://127.0.0.1:99999");
    assert!(recorded(|spec| spec["abort"] = guard("nobody")).is_none(), "nothing says what that guards");
}

#[test]
fn a_record_is_read_though_a_pattern_or_a_length_of_today_refuses_what_it_says() {
    let long = "The gateway answers while trips pods die. ".repeat(20);
    let run = recorded(|spec| spec["hypothesis"] = json!(long)).unwrap();
    assert_eq!(run.experiment.hypothesis, long.trim());
    assert_url_is_read("http://host!");
    assert!(recorded(|spec| spec["probes"] = json!([])).is_none(), "nothing says what is to be proven");
}
