//! Texts of manifests in every form that YAML has, with a caller that hides what is called secret: what is masked, what is not
//! touched, and that the rest means what it meant.

use super::super::document::read;
use super::*;

const MASK: &str = "(redacted)";

/// Hides every `s3cret`, and the whole value of what is named `secret`.
fn hide(place: Place<'_>, text: &str) -> Option<String> {
    let clean = match place {
        Place::Named("secret") | Place::Selected("$.secret") | Place::Argument(Some("--secret")) => MASK.to_owned(),
        _ => text.replace("s3cret", MASK),
    };
    (clean != text).then_some(clean)
}

fn hidden(text: &str) -> String {
    without_credentials(text, hide).unwrap()
}

/// A probe's http with these lines.
fn http(lines: &str) -> String {
    let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("        {line}\n") };
    let lines: String = lines.lines().map(indented).collect();
    format!("spec:\n  probes:\n    - name: s3cret\n      http:\n{lines}")
}

fn json(text: &str) -> Vec<Value> {
    read(text).unwrap().iter().map(Node::to_json).collect()
}

#[test]
fn values_are_replaced_where_they_stand_and_nothing_else_is_touched() {
    for (before, after) in [
        ("headers: {secret: a b, other: x}", "headers: {secret: (redacted), other: x}"),
        ("headers: {secret: 'a''b'} # why", "headers: {secret: '(redacted)'} # why"),
        (
            "headers: {secret: \"a\\\"b\"  }   # why: \"s3cret\"",
            "headers: {secret: \"(redacted)\"  }   # why: \"(redacted)\"",
        ),
        (
            "headers:\n  \"secret\": a\n    b # s3cret\n  x: 'é'",
            "headers:\n  \"secret\": (redacted) # (redacted)\n  x: 'é'",
        ),
        ("path: /a?k=s3cret&b=1", "path: /a?k=(redacted)&b=1"),
        (
            "path: \"/é\" # s3cret\nbody: s3cret é, s3cret",
            "path: \"/é\" # (redacted)\nbody: \"(redacted) é, (redacted)\"",
        ),
        (
            "body: |  # s3cret\n  {\"a\": \"s3cret\",\n\n    \"b\": 1}\n\nrate: 1/s",
            "body: |  # (redacted)\n  {\"a\": \"(redacted)\",\n\n    \"b\": 1}\n\nrate: 1/s",
        ),
        ("body: >-\n  s3cret\n  more\nrate: 1/s", "body: >-\n  (redacted) more\nrate: 1/s"),
        ("then:\n  - path: /\n    headers: {secret: a}", "then:\n  - path: /\n    headers: {secret: (redacted)}"),
        ("url: http://s3cret:80", "url: \"http://(redacted):80\""),
        ("success: {headers: {secret: {equals: a}}}", "success: {headers: {secret: {equals: (redacted)}}}"),
        ("success: {headers: {secret: {exists: true}}}", "success: {headers: {secret: {exists: true}}}"),
        (
            "success: {body: {equals: 7, jsonPath: $.secret}}",
            "success: {body: {equals: (redacted), jsonPath: $.secret}}",
        ),
        ("success: {body: {equals: 7, jsonPath: $.other}}", "success: {body: {equals: 7, jsonPath: $.other}}"),
        (
            "success: {body: {jsonPath: $.user, equals: {secret: a, n: [{secret: [b, 7]}], c: 1}}}",
            "success: {body: {jsonPath: $.user, equals: {secret: (redacted), n: [{secret: [(redacted), (redacted)]}], c: 1}}}",
        ),
        (
            "success: {bodies: [{jsonPath: $.secret, equals: [a, b]}]}",
            "success: {bodies: [{jsonPath: $.secret, equals: [(redacted), (redacted)]}]}",
        ),
        ("extract: {secret: {jsonPath: $.s3cret}}", "extract: {secret: {jsonPath: $.s3cret}}"),
        ("service: s3cret\nport: s3cret", "service: s3cret\nport: s3cret"),
    ] {
        let clean = hidden(&http(before));
        assert_eq!(clean, http(after));
        assert_eq!(hidden(&clean), clean, "hiding twice changes nothing");
    }
}

#[test]
fn the_other_places_are_known_and_no_others() {
    for (before, after) in [
        (
            "metadata: {name: s3cret, annotations: {secret: a, b: s3cret}}",
            "metadata: {name: s3cret, annotations: {secret: (redacted), b: (redacted)}}",
        ),
        ("metadata: {labels: {secret: a}}", "metadata: {labels: {secret: a}}"),
        (
            "spec: {hypothesis: s3cret, target: {selector: {matchLabels: {secret: a}}}}",
            "spec: {hypothesis: s3cret, target: {selector: {matchLabels: {secret: a}}}}",
        ),
        (
            "spec: {probes: [{command: {argv: [x, --secret, a, s3cret]}}]}",
            "spec: {probes: [{command: {argv: [x, --secret, (redacted), (redacted)]}}]}",
        ),
        (
            "spec: {probes: [{tcp: {address: \"s3cret:1\"}, expect: {equals: s3cret}}]}",
            "spec: {probes: [{tcp: {address: \"s3cret:1\"}, expect: {equals: s3cret}}]}",
        ),
        ("spec: {probes: [{invariants: {path: /s3cret}}]}", "spec: {probes: [{invariants: {path: /(redacted)}}]}"),
        (
            "spec: {abort: [{alert: {url: /s3cret, matchers: [s3cret]}}]}",
            "spec: {abort: [{alert: {url: /(redacted), matchers: [s3cret]}}]}",
        ),
        (
            "spec: {experiment: {probes: [{http: {headers: {secret: a}}}]}}",
            "spec: {experiment: {probes: [{http: {headers: {secret: (redacted)}}}]}}",
        ),
        ("spec: {flows: [{http: {body: s3cret}}]}", "spec: {flows: [{http: {body: (redacted)}}]}"),
    ] {
        assert_eq!(hidden(before), after);
    }
}

#[test]
fn anchors_and_several_documents_mean_what_they_meant() {
    // The anchor stays, and what is masked is masked for its aliases.
    let text = http("headers: &h\n  secret: &k a\nthen: [{path: /, headers: *h}]");
    assert_eq!(hidden(&text), text.replace("&k a", "&k (redacted)"));
    // What the alias stands for is hidden in one place only.
    let shared = http("service: &k s3cret\nbody: *k");
    assert_eq!(hidden(&shared), shared.replace("*k", "(redacted)"));
    // Here the text that is to be hidden in one place is written in the other.
    let labels = "spec: {target: &m {secret: a}, probes: [{http: {headers: *m}}]}";
    let clean = hidden(labels);
    let wanted =
        serde_json::json!({"spec": {"target": {"secret": "a"}, "probes": [{"http": {"headers": {"secret": MASK}}}]}});
    assert_eq!(json(&clean), [wanted], "{clean}");
    let two = format!("# s3cret\n---\n{}---\n{}# s3cret", http("body: s3cret"), http("path: /s3cret"));
    assert_eq!(
        hidden(&two),
        two.replace("body: s3cret", "body: (redacted)")
            .replace("/s3cret", "/(redacted)")
            .replace("# s3cret", "# (redacted)")
    );
    assert_eq!(json(&hidden(&two)).len(), 2);
    for same in ["", "# nothing\n", "a: 1 # s3\n", "---\n---\n"] {
        assert_eq!(hidden(same), same);
    }
    assert_eq!(without_credentials("a: [", hide), None);
}

#[test]
fn a_form_that_cannot_hold_the_new_value_is_given_up_for_json() {
    let text = http("body: >\n  s3cret\n\n  more\nrate: 1/s");
    let clean = hidden(&text);
    assert_eq!(json(&clean)[0]["spec"]["probes"][0]["http"]["body"], "(redacted)\nmore\n", "{clean}");
    assert_eq!(json(&clean)[0]["spec"]["probes"][0]["name"], "s3cret");
    let quoted = http("body: 'a\n\n  s3cret'");
    assert_eq!(hidden(&quoted), http("body: \"a\\n(redacted)\""), "a line break is written as one");
}
