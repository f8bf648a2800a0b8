//! What is hidden, and that nothing else is changed by it: names, UIDs and numbers of events, and what a manifest means.

mod manifests;

use chaos_core::api::{Outcome, VictimRef};
use chaos_core::population::{Population, SwitchState, WorkloadFacts, WorkloadKey};
use chaos_core::record::{BadClass, BadSlot, Excluded, Kill, PodChange, PodSighting, RunTime, Sample, Violation};
use jiff::Timestamp;
use serde_json::json;

use super::*;

#[test]
fn credentials_are_hidden_wherever_they_stand() {
    let mut redactor = Redactor::default();
    redactor.hide(["hunter2hunter2".to_owned(), "abc".to_owned()]);
    redactor.hide_header("AUTHORIZATION", "Bearer very-secret");
    redactor.hide_header("accept", "text/plain");
    for (text, clean) in [
        ("nothing to hide, abc, text/plain", "nothing to hide, abc, text/plain"),
        ("said hunter2hunter2!", "said (redacted)!"),
        ("x very-secret y", "x (redacted) y"),
        ("GET /rides?token=t0p&page=2", "GET /rides?token=(redacted)&page=2"),
        ("http://me:pw@host/x", "http://(redacted)@host/x"),
        ("    Authorization: Digest a=\"b\", c=\"d\"", "    Authorization: (redacted)"),
        ("headers: {X-Api-Key: k1, accept: all}", "headers: {X-Api-Key: (redacted), accept: all}"),
        (r#"{"cookie": "id=1; s=2", "a": 1}"#, r#"{"cookie": (redacted), "a": 1}"#),
        ("got bearer abcdefgh", "got bearer (redacted)"),
        ("  - X-Vault-Token: hvs.1", "  - X-Vault-Token: (redacted)"),
        (
            "{private-token: a, apikey: b, x-amz-security-token: c}",
            "{private-token: (redacted), apikey: (redacted), x-amz-security-token: (redacted)}",
        ),
        ("an unexpected token: comma; idempotency-key: 7", "an unexpected token: comma; idempotency-key: 7"),
        ("a: 1\nCookie: c=d\nb: 2", "a: 1\nCookie: (redacted)\nb: 2"),
        (r#"body: '{"client_secret": "s3", "grant": "x"}'"#, r#"body: '{"client_secret": (redacted), "grant": "x"}'"#),
        (
            r#"body: "{\"password\": \"p, w\", \"user\": \"me\"}""#,
            r#"body: "{\"password\": (redacted), \"user\": \"me\"}""#,
        ),
        (
            r#"{"refreshToken": "a", "access_token": "b"}"#,
            r#"{"refreshToken": (redacted), "access_token": (redacted)}"#,
        ),
        ("bearerTokenFile: /etc/token, next: 1", "bearerTokenFile: /etc/token, next: 1"),
    ] {
        assert_eq!(redactor.text(text), clean);
        assert_eq!(redactor.text(clean), clean, "hiding twice changes nothing");
    }
}

#[test]
fn headers_with_credentials_are_known_by_their_names() {
    for (name, hidden) in [
        ("Authorization", true),
        ("proxy-authorization", true),
        ("X-Vault-Token", true),
        ("Ocp-Apim-Subscription-Key", true),
        ("x-api-key", true),
        ("Token", true),
        ("Secret", true),
        ("Session", true),
        ("Auth", true),
        ("Signature", true),
        ("accept", false),
        ("idempotency-key", false),
        ("x-request-id", false),
    ] {
        let mut redactor = Redactor::default();
        redactor.hide_header(name, "Bearer very-secret");
        assert_eq!(redactor.text("so very-secret") != "so very-secret", hidden, "{name}");
    }
}

#[test]
fn a_secret_that_is_part_of_the_mask_is_hidden_by_it() {
    let mut redactor = Redactor::default();
    redactor.hide(["redacted".to_owned(), MASK.to_owned()]);
    redactor.hide_header("Authorization", "Bearer (redacted)");
    assert_eq!(redactor.text("Cookie: a=b, (redacted) redacted"), "Cookie: (redacted)");
    assert_eq!(redactor.text("(redacted) redacted"), "(redacted) redacted");
}

#[test]
fn texts_deep_in_an_event_are_reached() {
    let redactor = Redactor::default();
    let at = RunTime(1);
    let note = redactor.event(Event::Note { at, text: "see http://h/?api_key=1234".into() });
    assert_eq!(note, Event::Note { at, text: "see http://h/?api_key=(redacted)".into() });
    let told = |text: &str| Event::Told { exit_code: 1, reason_code: "SloRefuted".into(), reason_text: text.into() };
    assert_eq!(redactor.event(told("see http://h/?api_key=1234")), told("see http://h/?api_key=(redacted)"));
    let Event::Bad(clean) = redactor.event(Event::Bad(bad("Cookie: a=b"))) else { panic!("another event") };
    assert_eq!(clean.detail, "Cookie: (redacted)");
    let answer = json!({"token": "a", "secrets": [{"a": 1}], "pin_secret": 7, "session": true, "list": ["got bearer abcdefgh", 7], "state": "on"});
    let sample = |answer| Event::Sample(Sample { probe: "x-auth: p".into(), at, answer, met: Some(true) });
    let clean = json!({"token": "(redacted)", "secrets": "(redacted)", "pin_secret": "(redacted)", "session": true, "list": ["got bearer (redacted)", 7], "state": "on"});
    assert_eq!(redactor.event(sample(Answer::Value(answer))), sample(Answer::Value(clean)));
    let error = |message: &str| sample(Answer::Error { reason: "refused".into(), message: message.into() });
    assert_eq!(redactor.event(error("X-Auth: a")), error("X-Auth: (redacted)"));
    let stop = |message: &str| Event::Stop { at, cause: StopCause::Guard { message: message.into() } };
    assert_eq!(redactor.event(stop("Cookie: a")), stop("Cookie: (redacted)"));
    let left = |text: &str| Event::WoundDown { at, left: vec![text.into()] };
    assert_eq!(redactor.event(left("Cookie: a")), left("Cookie: (redacted)"));
    let blind = |cause: &str| Event::Blind { at, cause: cause.into() };
    assert_eq!(redactor.event(blind("Cookie: a")), blind("Cookie: (redacted)"));
    let broken = |text: &str| {
        let violations = vec![Violation { invariant: "no lost ride".into(), story: text.into() }];
        Event::Invariants { probe: "ledger".into(), at, checked: 1, total: None, violations }
    };
    assert_eq!(redactor.event(broken("Cookie: a")), broken("Cookie: (redacted)"));
    let killed = |message: &str| Event::Kill(Kill { message: Some(message.into()), ..kill() });
    assert_eq!(redactor.event(killed("Cookie: a")), killed("Cookie: (redacted)"));
}

#[test]
fn the_name_before_a_placeholder_is_no_secret() {
    assert_eq!(before_last_name("session="), "");
    assert_eq!(before_last_name("id=very-secret; session="), "id=very-secret");
}

#[test]
fn names_uids_and_images_stay_what_they_are() {
    let mut redactor = Redactor::default();
    // What is also the name of something is no secret there.
    redactor.hide(["user-auth".to_owned(), "0f0f0f0f".to_owned(), "ghcr.io".to_owned()]);
    let at = RunTime(1);
    let VictimRef { namespace, pod, uid, .. } = kill().victim;
    let sighting = PodSighting { at, what: PodChange::Ready, namespace, pod, uid, owner_uid: None, node: None };
    for event in [
        Event::Kill(kill()),
        Event::Intent { at, strike: 1, nonce: "0f0f0f0f".into(), victim: kill().victim },
        Event::Pod(sighting),
        Event::Served { probe: "user-auth".into(), pod: "user-auth-0".into(), at },
        Event::Bad(BadSlot { probe: "user-auth".into(), ..bad("refused by user-auth-0") }),
        Event::Planned {
            at,
            population: Box::new(population()),
            eligible: vec!["0f0f0f0f".into()],
            excluded: excluded(),
        },
    ] {
        let wanted = match event.clone() {
            Event::Bad(slot) => Event::Bad(BadSlot { detail: "refused by (redacted)-0".into(), ..slot }),
            same => same,
        };
        assert_eq!(redactor.event(event), wanted);
    }
}

fn bad(detail: &str) -> BadSlot {
    BadSlot {
        probe: "p".into(),
        slot: 1,
        due: RunTime(1),
        lag: None,
        latency: None,
        failed_after: None,
        class: BadClass::Other,
        detail: detail.into(),
    }
}

fn kill() -> Kill {
    let victim = VictimRef {
        namespace: "shop".into(),
        pod: "user-auth-0".into(),
        uid: "0f0f0f0f".into(),
        workload: "StatefulSet/user-auth".into(),
        workload_uid: "w-0f0f0f0f".into(),
        owner_uid: "w-0f0f0f0f".into(),
        node: None,
    };
    let (nonce, outcome) = ("n-1".to_owned(), Outcome::Killed);
    Kill { at: RunTime(1), uncertainty: 0, strike: 1, nonce, victim, outcome, message: None }
}

fn population() -> Population {
    let (namespace, kind) = ("shop".to_owned(), "StatefulSet".to_owned());
    let key = WorkloadKey { namespace, kind, name: "user-auth".into(), uid: "w-0f0f0f0f".into() };
    Population {
        taken_at: Timestamp::UNIX_EPOCH,
        environment: Some("user-auth".into()),
        switch: SwitchState::Running,
        namespaces: Vec::new(),
        workloads: vec![WorkloadFacts { key, desired: 3, rollout: None, terminating: false }],
        pods: Vec::new(),
        nodes: None,
        budgets: Vec::new(),
    }
}

fn excluded() -> Vec<Excluded> {
    let (reason, message) = ("NotReady".to_owned(), "StatefulSet/user-auth: 2 of 3 are ready".to_owned());
    vec![Excluded { pod: "shop/user-auth-1".into(), uid: "0f0f0f0f".into(), reason, message }]
}
