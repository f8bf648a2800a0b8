//! Bad input and unreachable clusters: the documented exit code, a message that helps, and nothing started.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::{SHORT, chaos, manifest};

/// What an API server says of its version.
const VERSION: &str = r#"{"major":"1","minor":"36","gitVersion":"v1.36.3","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;

/// What an API server says that removed something.
const SUCCESS: &str = r#"{"apiVersion":"v1","kind":"Status","metadata":{},"status":"Success"}"#;

/// How often one was asked to that had nothing to remove at first.
static REMOVALS: AtomicUsize = AtomicUsize::new(0);

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
fn a_file_that_cannot_be_read_keeps_no_other_from_being_checked() {
    let chaos = chaos();
    let end = chaos.run(["validate", "/no/such/file.yaml", &manifest(&chaos, &with("baseline: 2s", "baseline: 2d"))]);
    assert_eq!(end.code, Some(2), "{}", end.stderr);
    assert!(end.stderr.contains("/no/such/file.yaml") && end.stderr.contains("experiment.yaml:"), "{}", end.stderr);
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
fn a_server_that_answers_once_and_then_no_more_holds_no_command_up() {
    let chaos = chaos();
    let kubeconfig = chaos.path("kubeconfig");
    let server = answering(|request| match request {
        first if first.contains("/version") => (200, VERSION.to_owned()),
        _ => loop {
            std::thread::park();
        },
    });
    std::fs::write(&kubeconfig, kubeconfig_of(&server)).unwrap();
    let flags = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--context", "x", "--yes"];
    let commands: [&[&str]; 8] = [
        &["stop", "--all"],
        &["stop", "-n", "shop"],
        &["resume", "--all"],
        &["monkey", "list"],
        &["gameday", "list"],
        &["runs", "list"],
        &["runs", "show", "r"],
        &["status", "-A"],
    ];
    std::thread::scope(|threads| {
        for command in commands {
            let (chaos, flags) = (&chaos, &flags);
            threads.spawn(move || {
                let end = chaos.run_within(command.iter().chain(flags), Duration::from_secs(90));
                assert_eq!(end.code, Some(3), "{command:?}: {}", end.stderr);
                let told = if command.contains(&"show") { "no answer within 10 s" } else { "no answer within 35 s" };
                let is_told = end.stderr.contains(told) && end.stderr.contains("hint:");
                assert!(is_told, "{command:?}: {}", end.stderr);
            });
        }
    });
}

#[test]
fn a_signal_ends_a_run_that_waits_for_its_cluster() {
    let chaos = chaos();
    let kubeconfig = chaos.path("kubeconfig");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    std::fs::write(&kubeconfig, kubeconfig_of(&format!("http://{}", silent.local_addr().unwrap()))).unwrap();
    let (path, kubeconfig) = (manifest(&chaos, SHORT), kubeconfig.to_str().unwrap());
    let mut running =
        chaos.start(["run", &path, "--kubeconfig", kubeconfig, "--context", "x", "--yes", "--connect-timeout", "1h"]);
    let _asked = silent.accept().unwrap();
    running.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(running.expect_end(Duration::from_secs(10)), Some(5), "{}", running.output());
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
fn every_experiment_stands_in_the_results_also_where_another_file_is_not_valid() {
    let chaos = chaos();
    let path = manifest(&chaos, SHORT);
    let end = chaos.run(["run", "/no/such/file.yaml", &path, "-o", "json=-"]);
    assert_eq!(end.code, Some(2), "{}", end.stderr);
    let results = end.document();
    let told = |i: usize| (&results["items"][i]["run"]["experiment"], &results["items"][i]["verdict"]["exitCode"]);
    assert_eq!([told(0), told(1)], [(&"file.yaml".into(), &2.into()), (&"short".into(), &2.into())], "{results}");
}

#[test]
fn a_cluster_is_not_touched_without_a_named_agreement() {
    let chaos = chaos();
    let kubeconfig = chaos.path("kubeconfig");
    std::fs::write(&kubeconfig, kubeconfig_of(&answering(|_| (200, VERSION.to_owned())))).unwrap();
    let path = manifest(&chaos, SHORT);
    let end = chaos.run(["run", &path, "--kubeconfig", kubeconfig.to_str().unwrap(), "--yes"]);
    assert_eq!(end.code, Some(4), "{}", end.stderr);
    assert!(end.stderr.contains("--context"), "{}", end.stderr);
}

#[test]
fn a_run_of_which_nobody_heard_whether_it_was_submitted_is_removed_or_somebody_is_told_to() {
    let removed = answering(|request| match request.split(' ').next() {
        Some("GET") if request.contains("/version") => (200, VERSION.to_owned()),
        Some("POST") => refusal(504),
        Some("DELETE") => (200, SUCCESS.to_owned()),
        _ => refusal(404),
    });
    let forbidding = answering(|request| match request.split(' ').next() {
        Some("GET") if request.contains("/version") => (200, VERSION.to_owned()),
        Some("GET") => refusal(404),
        Some("DELETE") => refusal(403),
        _ => refusal(504),
    });
    // It is made once it was looked for, by a server that was in trouble for a while.
    let late = answering(|request| match request.split(' ').next() {
        Some("GET") if request.contains("/version") => (200, VERSION.to_owned()),
        Some("POST") => refusal(504),
        Some("DELETE") => match REMOVALS.fetch_add(1, Ordering::Relaxed) {
            0 => refusal(503),
            1 => refusal(404),
            _ => (200, SUCCESS.to_owned()),
        },
        _ => refusal(404),
    });
    for (server, code, is_left) in [(removed, 3, false), (forbidding, 6, true), (late, 3, false)] {
        let chaos = chaos();
        let (path, kubeconfig) = (manifest(&chaos, SHORT), chaos.path("kubeconfig"));
        std::fs::write(&kubeconfig, kubeconfig_of(&server)).unwrap();
        let kubeconfig = kubeconfig.to_str().unwrap();
        let end = chaos.run(["run", "--in-cluster", &path, "--kubeconfig", kubeconfig, "--context", "x", "--yes"]);
        assert_eq!(end.code, Some(code), "{}", end.stderr);
        assert!(end.stderr.contains("failed to create the ExperimentRun"), "{}", end.stderr);
        assert_eq!(end.stderr.contains("delete ExperimentRun dispatch/short-"), is_left, "{}", end.stderr);
    }
    assert_eq!(REMOVALS.load(Ordering::Relaxed), 3, "nobody can begin it behind anybody's back");
}

#[test]
fn a_run_of_which_nothing_could_be_kept_is_not_submitted() {
    let chaos = chaos();
    let (path, kubeconfig) = (manifest(&chaos, SHORT), chaos.path("kubeconfig"));
    std::fs::write(&kubeconfig, kubeconfig_of(&answering(|_| (200, VERSION.to_owned())))).unwrap();
    let cluster = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--context", "x", "--yes"];
    let end = chaos.run(["run", "--in-cluster", &path, "--out", "/proc/no"].iter().chain(&cluster));
    assert_eq!((end.code, end.stderr.contains("ExperimentRun")), (Some(3), false), "{}", end.stderr);
}

#[test]
fn a_game_day_that_cannot_be_read_is_told_and_the_others_are_listed() {
    let chaos = chaos();
    let kubeconfig = chaos.path("kubeconfig");
    let server =
        answering(|request| (200, if request.contains("/gamedays") { game_days() } else { VERSION.to_owned() }));
    std::fs::write(&kubeconfig, kubeconfig_of(&server)).unwrap();
    let end = chaos.run(["gameday", "list", "-A", "-o", "json", "--kubeconfig", kubeconfig.to_str().unwrap()]);
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let days = end.document();
    assert_eq!((days.as_array().map(Vec::len), &days[0]["metadata"]["name"]), (Some(1), &"good".into()), "{days}");
    assert!(end.stderr.contains("GameDay shop/bad cannot be read: "), "{}", end.stderr);
}

#[test]
fn usage_errors_and_help_have_their_codes() {
    let chaos = chaos();
    assert_eq!(chaos.run(["run"]).code, Some(2));
    assert_eq!(chaos.run(["no-such-command"]).code, Some(2));
    assert_eq!(chaos.run(["run", "/no/such/file.yaml"]).code, Some(2));
    assert_eq!(chaos.run(["report", "/no/such/journal"]).code, Some(2));
    for command in ["stop", "resume"] {
        assert_eq!(chaos.run([command]).code, Some(2), "{command}");
        // Whoever names a namespace does not mean all of them.
        let both = chaos.run([command, "--all", "-n", "shop"]);
        assert!(both.code == Some(2) && both.stderr.contains("hint: "), "{command}: {both:?}");
    }
    let help = chaos.run(["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("demo") && help.stdout.contains("explain"), "{}", help.stdout);
}

#[test]
fn what_has_no_end_is_refused_at_once() {
    let chaos = chaos();
    let pipe = chaos.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (pipe, endless, path) = (pipe.to_str().unwrap(), "/dev/zero", manifest(&chaos, SHORT));
    for (args, told) in [
        (vec!["validate", endless], "larger than"),
        (vec!["run", endless], "larger than"),
        (vec!["load", endless], "larger than"),
        (vec!["load", "http://127.0.0.1:1", "--body", "@/dev/zero"], "larger than"),
        (vec!["diff", endless, endless], "larger than"),
        (vec!["report", endless], "is no file"),
        (vec!["replay", endless], "is no file"),
        (vec!["report", pipe], "is no file"),
    ] {
        let end = chaos.run_within(&args, Duration::from_secs(20));
        assert_eq!(end.code, Some(2), "{args:?}: {}", end.stderr);
        assert!(end.stderr.contains(told), "{args:?}: {}", end.stderr);
    }
    let with_stdin = |args: [&str; 2], stdin: &str| {
        let ended = chaos.command(args).stdin(std::fs::File::open(stdin).unwrap()).output().unwrap();
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    for (args, told) in [(["validate", "-"], "larger than"), (["validate", "/dev/stdin"], "larger than")] {
        let (code, stderr) = with_stdin(args, endless);
        assert!(code == Some(2) && stderr.contains(told), "{args:?}: {code:?} {stderr}");
        assert_eq!(with_stdin(args, &path).0, Some(0), "{args:?}");
    }
    let (code, stderr) = with_stdin(["report", "/dev/stdin"], endless);
    assert!(code == Some(2) && stderr.contains("is no file"), "{code:?} {stderr}");
}

#[test]
fn what_cannot_be_written_to_standard_output_is_an_error_and_a_reader_that_went_away_is_none() {
    let chaos = chaos();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let end = chaos.command(["crds"]).stdout(full).output().unwrap();
    let told = String::from_utf8_lossy(&end.stderr);
    assert_eq!(end.status.code(), Some(5), "{told}");
    assert!(told.contains("failed to write to standard output"), "{told}");

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let end = chaos.command(["crds"]).stdout(writer).output().unwrap();
    assert_eq!((end.status.code(), end.stderr.len()), (Some(0), 0), "{}", String::from_utf8_lossy(&end.stderr));
}

#[test]
fn a_watch_ends_with_its_reader() {
    let chaos = chaos();
    let kubeconfig = chaos.path("kubeconfig");
    let server = answering(|request| match request.split(' ').nth(1).unwrap_or_default() {
        path if path.contains("/version") => (200, VERSION.to_owned()),
        path if path.contains("/namespaces/") => refusal(404),
        _ => (200, r#"{"apiVersion":"v1","kind":"List","metadata":{},"items":[]}"#.to_owned()),
    });
    std::fs::write(&kubeconfig, kubeconfig_of(&server)).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = chaos.command(["status", "-A", "--watch", "--kubeconfig", kubeconfig.to_str().unwrap()]);
    let mut watching = command.stdout(writer).stderr(std::process::Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let ended = loop {
        match watching.try_wait().unwrap() {
            None if began.elapsed() < Duration::from_secs(20) => std::thread::sleep(Duration::from_millis(20)),
            ended => break ended,
        }
    };
    // One that goes on must not outlive its test.
    let _ = watching.kill();
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}

/// A status code and the JSON that comes with it.
type Answer = (u16, String);

/// The address of a server that answers each request as `say` does its first line, as long as the test lasts.
fn answering(say: fn(&str) -> Answer) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || answer(&stream, say));
        }
    });
    format!("http://{address}")
}

/// Answers as long as the connection lasts.
fn answer(mut stream: &std::net::TcpStream, say: fn(&str) -> Answer) {
    use std::io::Write as _;
    let mut requests = std::io::BufReader::new(stream);
    while let Some(first_line) = next_request(&mut requests) {
        let (code, body) = say(&first_line);
        let length = body.len();
        let head = format!("HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

/// Reads a request to its end; gives its first line.
fn next_request(requests: &mut impl std::io::BufRead) -> Option<String> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if first.is_empty() {
            first = line;
        }
    }
    let mut body = vec![0; length];
    requests.read_exact(&mut body).ok()?;
    Some(first)
}

/// A refusal as an API server words it.
fn refusal(code: u16) -> Answer {
    let reason = if code == 404 { "NotFound" } else { "Timeout" };
    let status = serde_json::json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "message": "no", "reason": reason,
        "code": code,
    });
    (code, status.to_string())
}

/// Two game days, one of which is of a mode that there is not.
fn game_days() -> String {
    let day = |name: &str, mode: &str| {
        serde_json::json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "GameDay",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"schedule": "Manual", "blackout": [], "startingDeadline": "10m", "mode": mode,
                "steps": [{"name": "settle", "wait": "5m"}]},
        })
    };
    serde_json::json!({
        "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "GameDayList", "metadata": {},
        "items": [day("bad", "Neither"), day("good", "Live")],
    })
    .to_string()
}

fn kubeconfig_of(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
         users: [{{name: u, user: {{token: t}}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
    )
}
