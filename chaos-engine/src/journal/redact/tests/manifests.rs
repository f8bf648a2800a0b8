//! Manifests whose secrets are hidden are the same manifests: every shape that a credential, or what only looks like one, has in
//! them, and what is told by a journal of each.

use std::path::Path;

use chaos_core::model::Experiment;
use chaos_core::record::{Event, Phase, RunTime, Started};
use chaos_core::validate::experiment_file;
use chaos_core::verdict::{JudgeSpec, judge};
use jiff::Timestamp;

use super::super::*;
use crate::journal::{self, JournalWriter};
use crate::recorder::Recorder;

const BASE: &str = "# Question: do riders get a ride?
apiVersion: chaos.dispatch.dev/v1alpha1
kind: Experiment
metadata: {name: rides, namespace: shop}
spec:
  hypothesis: Riders can request rides while pods die.
  target: {selector: {matchLabels: {app: user-auth, session-token: a}}}
  fault: {podKill: {mode: Evict, victims: 1, strikes: {target: 3, min: 2}, every: {mean: 300ms, min: 300ms, distribution: Fixed}, group: Workload}}
  phases: {baseline: 1s, fault: 60s, recovery: 1s}
  probes:
    - name: ride
      http:
        service: user-auth
        rate: 20/s
        timeout: 5s
        maxLag: 3s
";
const PROMISE: &str = "slo: {availability: 90%, confidence: 95%, evidence: {observed: {}}}";
const REST: &str = "  limits: {maxUnavailable: 1, minReady: 1, maxKills: 60, minInterval: 200ms, recoverWithin: 60s, maxBlind: 30s, allowForce: false}
  abort: []
  seed: 7
";

/// What http probes say that looks like a credential and is none.
const HARMLESS: [&str; 7] = [
    "extract: {access_token: {jsonPath: $.access_token}, refreshToken: {header: x-refresh-token}}
then: [{path: /me, extract: {id_token: {jsonPath: $.id_token}}}, {path: /you}]",
    "extract:
  access_token:
    jsonPath: $.access_token
then:
  - path: /me",
    "success: {headers: {set-cookie: {exists: true}, x-auth-token: {exists: false}}}",
    "success:
  headers:
    set-cookie:
      exists: true",
    "success: {body: {jsonPath: $.access_token, exists: true}}",
    "headers: {x-upstream: \"user-auth:8080\", x-image: ghcr.io/acme/user-auth:1.2.3}",
    "path: /user-auth:8080/x",
];

/// Further probes of that kind.
const PROBES: [&str; 6] = [
    "{name: user-auth, tcp: {address: \"user-auth:8080\", timeout: 1s}}",
    "{name: b, http: {url: http://user-auth:8080/api-key, rate: 1/s, timeout: 1s}, slo: {availability: 90%, confidence: 95%, evidence: {observed: {}}}}",
    "{name: c, http: {url: \"http://user-auth:8080\", rate: 1/s, timeout: 1s}, slo: {availability: 90%, confidence: 95%, evidence: {observed: {}}}}",
    "{name: d, kubernetes: {resource: v1/Pod, selector: {matchLabels: {session-token: a, auth-key: b}}}, expect: {min: 1}}",
    "{name: e, kubernetes: {resource: v1/ConfigMap, name: user-auth, jsonPath: $.data.access_token}, expect: {equals: \"access_token: a\"}}",
    "{name: f, prometheus: {url: \"http://user-auth:9090\", query: 'up{auth_token=\"a\"}', every: 1s}, expect: {min: 1}}",
];

/// Credentials where http probes have them: `very-secret` wherever it stands.
const SECRET: [&str; 18] = [
    "headers: {Authorization: Bearer very-secret, X-Api-Key: very-secret, accept: \"*/*\"}",
    "headers: {Token: very-secret, Secret: very-secret, Session: very-secret, Auth: very-secret, Signature: very-secret}",
    "headers:
  Authorization: >-
    Bearer
    very-secret
  Cookie: 'id=very-secret; b=c' # Cookie: very-secret
  accept: text/plain",
    "headers: &shared {Authorization: &key very-secret}
then: [{path: /, headers: *shared}]",
    "extract: {access_token: {jsonPath: $.access_token}}
then: [{path: \"/me?token={{access_token}}&key=very-secret\", headers: {Authorization: \"Bearer {{access_token}} very-secret\"}}]",
    "success: {headers: {set-cookie: {equals: sid=very-secret}, x-auth-token: {contains: very-secret}}}",
    "success: {body: {jsonPath: $.token, equals: very-secret}, bodies: [{contains: '\"password\": \"very-secret\"'}]}",
    "method: POST
body: '{\"client_secret\": \"very-secret\", \"token\": \"very-secret\", \"id\": \"{{uuid}}\"}'",
    "method: POST
body: |
  {\"password\": \"very-secret\",

   \"id\": {{seq}}}",
    "method: POST
body: \"{\\\"password\\\": \\\"very-secret\\\", \\\"user\\\": \\\"me\\\"}\"",
    "method: POST
body: grant=x&client_secret=very-secret&id={{seq}}",
    "method: POST
body: 'token={{choice very-secret b}}&id=1&session=very-secret'",
    "method: POST
body: 'secret-key={{choice very-secret, b}} {{uuid}}'",
    "path: /rides?token=very-secret&page=2",
    "path: \"/rides?token={{choice very-secret b}}&page=2\"",
    "headers: {X-Api-Key: very-secret}
path: /rides/very-secret",
    "success: {body: {jsonPath: $.user, equals: {password: very-secret, id: 7}}}",
    "success: {bodies: [{jsonPath: $.tokens, equals: [very-secret, very-secret]}]}",
];

/// Further probes of that kind.
const TELLING: [&str; 2] = [
    "{name: g, command: {argv: [curl, -H, \"Authorization: Bearer very-secret\", --token, very-secret, --password=very-secret, -u, \"me:very-secret\", -H, \"Token: very-secret\", \"--user=me:very-secret\", \"-ume:very-secret\", \"--header=Token: very-secret\", \"-HToken: very-secret\", \"https://me:very-secret@host/\"], timeout: 1s}, when: After, expect: {exitCode: 0}}",
    "{name: h, invariants: {service: user-auth, path: /rules?api_key=very-secret}}",
];

fn manifest(http: &str, probe: Option<&str>) -> String {
    let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("        {line}\n") };
    let http: String = http.lines().map(indented).collect();
    let probe = probe.map(|probe| format!("    - {probe}\n")).unwrap_or_default();
    format!("{BASE}{http}      {PROMISE}\n{probe}{REST}")
}

fn read(text: &str) -> Experiment {
    let read = experiment_file("x.yaml", text);
    read.unwrap_or_else(|problems| panic!("{text}\n{problems}")).remove(0)
}

/// The text without the secrets of its experiment, and that this changes nothing else.
fn hidden(text: &str) -> String {
    let experiment = read(text);
    let redactor = Redactor::of(&experiment.probes);
    let clean = redactor.manifest(text);
    let recorded = read(&clean);
    assert_eq!(JudgeSpec::from(&recorded), JudgeSpec::from(&experiment), "{clean}");
    assert_eq!((&recorded.target, &recorded.fault), (&experiment.target, &experiment.fault), "{clean}");
    redactor.check(text, &experiment).unwrap();
    assert_eq!(redactor.manifest(&clean), clean, "hiding twice changes nothing");
    // Whoever takes a run up knows its secrets no more.
    assert_eq!(Redactor::of(&recorded.probes).manifest(&clean), clean, "hiding twice changes nothing");
    clean
}

/// Every manifest of this file.
fn all() -> impl Iterator<Item = String> {
    let https = HARMLESS.into_iter().chain(SECRET).map(|http| manifest(http, None));
    https.chain(PROBES.into_iter().chain(TELLING).map(|probe| manifest("port: http", Some(probe))))
}

#[test]
fn what_only_looks_like_a_credential_is_left_as_it_is() {
    for http in HARMLESS {
        let text = manifest(http, None);
        assert_eq!(hidden(&text), text);
    }
    for probe in PROBES {
        let text = manifest("port: http", Some(probe));
        assert_eq!(hidden(&text), text);
    }
}

#[test]
fn credentials_are_hidden_in_every_form_and_all_else_stays() {
    for text in SECRET
        .map(|http| manifest(http, None))
        .into_iter()
        .chain(TELLING.map(|probe| manifest("port: http", Some(probe))))
    {
        assert!(text.contains("very-secret"));
        let clean = hidden(&text);
        assert!(!clean.contains("very-secret") && clean.contains(MASK), "{clean}");
        // It was masked in place: all around it is as it was written.
        assert!(clean.starts_with(BASE) && clean.ends_with(REST), "{clean}");
    }
    let flow = manifest("headers: {X-Api-Key: very-secret, accept: all} # X-Api-Key: very-secret", None);
    let wanted = manifest("headers: {X-Api-Key: (redacted), accept: all} # X-Api-Key: (redacted)", None);
    assert_eq!(hidden(&flow), wanted);
}

#[test]
fn a_secret_that_is_spelt_like_a_name_hides_the_name_nowhere() {
    for secret in ["user-auth", "shop-1", "chaos.dispatch.dev", "Experiment", "session-token"] {
        let text = manifest(&format!("headers: {{X-Api-Key: {secret}}}\npath: /{secret}/x"), Some(PROBES[0]));
        let clean = hidden(&text);
        assert!(clean.contains("X-Api-Key: (redacted)") && clean.contains("path: /(redacted)/x"), "{clean}");
        let rest = clean.replace("X-Api-Key: (redacted)", "").replace("/(redacted)/x", "");
        assert!(!rest.contains(MASK), "{clean}");
    }
}

#[test]
fn an_annotation_may_hold_a_whole_manifest() {
    let applied = r#"{"headers":{"Authorization":"Bearer very-secret","X-Api-Key":"very-secret"}}"#;
    let annotations = format!(
        "namespace: shop, annotations: {{example.com/api-token: very-secret, kubectl.kubernetes.io/last-applied-configuration: '{applied}'}}}}"
    );
    let text = manifest("port: http", None).replace("namespace: shop}", &annotations);
    let clean = hidden(&text);
    assert!(
        !clean.contains("very-secret") && clean.contains("kubectl.kubernetes.io/last-applied-configuration"),
        "{clean}"
    );
}

#[test]
fn a_journal_tells_what_memory_tells_whatever_was_hidden() {
    for text in all() {
        let experiment = read(&text);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.chaos");
        let recorder = Recorder::with_journal(JournalWriter::create(&path).unwrap(), Redactor::of(&experiment.probes));
        let at = RunTime(1);
        for event in [
            Event::Started(Box::new(started(&text))),
            Event::Phase { at, phase: Phase::Baseline },
            Event::Note { at, text: "user-auth:8080 was told X-Api-Key: very-secret".into() },
            Event::Finished { at: RunTime(2), exit_code: 5 },
        ] {
            recorder.record(event);
        }
        let by_memory = judge(&JudgeSpec::from(&experiment), &recorder.events());
        // Closes the file.
        drop(recorder);
        assert!(!String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("very-secret"));
        let events = journal::read(&path).unwrap().events;
        let Some(Event::Started(started)) = events.first() else { panic!("no start") };
        assert_eq!(judge(&JudgeSpec::from(&read(&started.manifest)), &events), by_memory);
        // What is read is recorded again where a run is taken up or fetched: byte for byte the same, as its digest is.
        let again = Redactor::default();
        assert_eq!(events.iter().cloned().map(|event| again.event(event)).collect::<Vec<_>>(), events);
    }
}

fn started(manifest: &str) -> Started {
    Started {
        run_id: "r".into(),
        started_at: Timestamp::UNIX_EPOCH,
        tool: "1".into(),
        tool_digest: None,
        manifest: manifest.to_owned(),
        experiment: "rides".into(),
        manifest_source: "rides.yaml".into(),
        manifest_digest: String::new(),
        seed: 7,
        attempt: 1,
        cluster: "kind at https://user-auth:6443".into(),
        environment: vec![("image".into(), "ghcr.io/acme/user-auth:1.2.3".into())],
    }
}

#[test]
fn shipped_experiments_are_recorded_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = vec![root.join("tests/e2e/short.yaml")];
    files.extend(std::fs::read_dir(root.join("experiments")).unwrap().map(|entry| entry.unwrap().path()));
    let mut experiments = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let redactor = Redactor::default();
        // Other kinds are no experiments, and nobody's secrets either.
        assert_eq!(redactor.manifest(&text), text, "{}", file.display());
        if let Ok(read) = experiment_file("x.yaml", &text) {
            experiments += read.len();
            assert_eq!(hidden(&text), text);
            read.iter().for_each(|experiment| redactor.check(&text, experiment).unwrap());
        }
    }
    assert!(experiments >= 4, "{experiments}");
}

#[test]
fn a_record_that_nobody_could_judge_is_refused_with_a_hint() {
    let text = manifest("port: http", None);
    let (experiment, redactor) = (read(&text), Redactor::default());
    let twice = text.replace("Riders can", "Drivers can") + "---\n" + &text;
    for (manifest, why) in [
        (text.replace("Riders can", "Drivers can"), "says something else of experiment \"rides\""),
        (text.replace("name: rides", "name: other"), "holds no experiment \"rides\""),
        (text.replace("baseline: 1s", "baseline: 1"), "is not valid (spec.phases.baseline: "),
        (twice, "says something else of experiment \"rides\""),
        ("a: [".to_owned(), "is not valid (this is not YAML"),
    ] {
        let refused = redactor.check(&manifest, &experiment).unwrap_err().to_string();
        assert!(refused.contains(why) && refused.contains("; hint: "), "{refused}");
    }
    redactor.check(&text, &experiment).unwrap();
}

#[test]
fn what_cannot_be_read_is_hidden_as_a_text() {
    let redactor = Redactor::default();
    assert_eq!(redactor.manifest("headers: {Cookie: a=b"), "headers: {Cookie: (redacted)");
    assert_eq!(redactor.manifest("a: [\n  X-Api-Key: b\nc: d"), "a: [\n  X-Api-Key: (redacted)\nc: d");
}
