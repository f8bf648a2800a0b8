//! Bad input and unreachable clusters: the documented exit code, a message that helps, and nothing started.

use std::time::{Duration, Instant};

use crate::{SHORT, chaos, manifest};

/// Replaces one part of the short experiment, which must be there.
fn with(old: &str, new: &str) -> String {
    assert!(SHORT.contains(old), "the short experiment has no {old:?}");
    SHORT.replacen(old, new, 1)
}

#[test]
fn a_bad_manifest_is_refused_with_line_and_hint_and_nothing_is_started() {
    let cases = [
        ("hypothesis:", "hypotesis:", "hypothesis"),
        ("baseline: 2s", "baseline: 2", "2s"),
        ("availability: 95%", "availability: 0.95", "95%"),
        ("target: 14", "target: many", "14"),
        ("  abort: []\n", "", "abort"),
        ("fault: 60s", "fault: 4s", "fault"),
        ("    workloads: [{kind: Deployment, name: gateway}, {kind: Deployment, name: trips}]\n", "", "target"),
        ("        evidence: {observed: {}}\n", "", "evidence"),
        ("{{uuid}}", "{{uid}}", "uuid"),
    ];
    for (old, new, hint) in cases {
        let chaos = chaos();
        let path = manifest(&chaos, &with(old, new));
        for command in [vec!["validate", &path], vec!["demo", "--experiment", &path]] {
            let end = chaos.run(command);
            assert_eq!(end.code, Some(2), "{old} -> {new}: {}", end.stderr);
            assert!(
                end.stderr.contains("experiment.yaml:") && end.stderr.contains(hint),
                "{old} -> {new}: {}",
                end.stderr
            );
        }
        chaos.expect_nothing_left(Duration::ZERO);
    }
}

#[test]
fn every_error_of_a_file_is_told_at_once() {
    let chaos = chaos();
    let text = with("baseline: 2s", "baseline: 2d").replace("rate: 20/s", "rate: fast").replace("maxBlind", "maxBlnd");
    let end = chaos.run(["validate", &manifest(&chaos, &text)]);
    assert_eq!(end.code, Some(2));
    for part in ["48h", "fast", "maxBlind"] {
        assert!(end.stderr.contains(part), "{part}: {}", end.stderr);
    }
}

#[test]
fn an_unreachable_cluster_is_told_within_the_timeout() {
    let chaos = chaos();
    let kubeconfig = chaos.path("kubeconfig");
    // A port that listens and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (server, within) in
        [(format!("http://{}", silent.local_addr().unwrap()), 3), ("http://127.0.0.1:1".to_owned(), 3)]
    {
        std::fs::write(&kubeconfig, kubeconfig_of(&server)).unwrap();
        let began = Instant::now();
        let kubeconfig = kubeconfig.to_str().unwrap();
        let path = manifest(&chaos, SHORT);
        let end =
            chaos.run(["run", &path, "--kubeconfig", kubeconfig, "--context", "x", "--yes", "--connect-timeout", "1s"]);
        assert_eq!(end.code, Some(3), "{}", end.stderr);
        assert!(end.stderr.contains(&server), "{}", end.stderr);
        assert!(began.elapsed() < Duration::from_secs(within), "{:?}", began.elapsed());
    }
}

#[test]
fn stdout_is_json_where_json_goes_there() {
    let chaos = chaos();
    let kubeconfig = chaos.path("kubeconfig");
    std::fs::write(&kubeconfig, kubeconfig_of("http://127.0.0.1:1")).unwrap();
    let (path, kubeconfig) = (manifest(&chaos, SHORT), kubeconfig.to_str().unwrap());
    let end = chaos.run(["run", &path, &path, "--kubeconfig", kubeconfig, "--context", "x", "--yes", "-o", "json=-"]);
    assert_eq!(end.code, Some(3), "{}", end.stderr);
    let results: serde_json::Value = serde_json::from_str(&end.stdout).unwrap();
    assert_eq!(results["items"].as_array().map(Vec::len), Some(2), "{results}");
    assert!(end.stderr.contains("\nsummary\n") && !end.stderr.contains("ERROR"), "{}", end.stderr);
}

#[test]
fn a_cluster_is_not_touched_without_a_named_agreement() {
    let chaos = chaos();
    let answering = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = answering.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in answering.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || answer_version(&mut stream));
        }
    });
    let kubeconfig = chaos.path("kubeconfig");
    std::fs::write(&kubeconfig, kubeconfig_of(&format!("http://{address}"))).unwrap();
    let path = manifest(&chaos, SHORT);
    let end = chaos.run(["run", &path, "--kubeconfig", kubeconfig.to_str().unwrap(), "--yes"]);
    assert_eq!(end.code, Some(4), "{}", end.stderr);
    assert!(end.stderr.contains("--context"), "{}", end.stderr);
}

#[test]
fn usage_errors_and_help_have_their_codes() {
    let chaos = chaos();
    assert_eq!(chaos.run(["run"]).code, Some(2));
    assert_eq!(chaos.run(["no-such-command"]).code, Some(2));
    assert_eq!(chaos.run(["run", "/no/such/file.yaml"]).code, Some(2));
    assert_eq!(chaos.run(["report", "/no/such/journal"]).code, Some(2));
    let help = chaos.run(["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("demo") && help.stdout.contains("explain"), "{}", help.stdout);
}

/// Answers whatever is asked with a server version, as long as the connection lasts.
fn answer_version(stream: &mut std::net::TcpStream) {
    use std::io::{Read as _, Write as _};
    let body = r#"{"major":"1","minor":"36","gitVersion":"v1.36.3","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

fn kubeconfig_of(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
         users: [{{name: u, user: {{token: t}}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
    )
}
