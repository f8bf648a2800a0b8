//! `chaos load` as a user meets it: a target on this machine, thresholds, and the documented exit codes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::{beside, chaos};

/// Answers every request with 200 and a little JSON, each connection on a thread of its own, as long as the test lasts.
fn target() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let (body, mut request) = (r#"{"id": "r-7"}"#, [0; 4096]);
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

/// Bounds that a busy machine does not break.
const PATIENT: [&str; 4] = ["--timeout", "30s", "--max-lag", "20s"];

#[test]
fn thresholds_set_the_exit_code_and_the_result_is_told_for_people_and_machines() {
    let _machine = beside();
    let (chaos, url) = (chaos(), format!("{}/rides/{{{{seq}}}}?at={{{{int 1 9}}}}", target()));
    let load = |more: &[&str]| {
        let all = [&["load", &url, "--rate", "50/s", "--duration", "1s", "--seed", "7"], &PATIENT[..], more].concat();
        chaos.run(all)
    };
    let held = load(&["-t", "success>=100%", "--threshold", "max<30s", "--contains", "r-7", "-o", "json"]);
    assert_eq!(held.code, Some(0), "{}", held.stderr);
    let result: serde_json::Value = serde_json::from_str(&held.stdout).unwrap();
    let flow = &result["flows"][0];
    assert_eq!((&flow["due"], &flow["good"], &result["seed"]), (&50.into(), &50.into(), &7.into()), "{}", held.stdout);
    assert_eq!(result["thresholds"][1]["decision"], "held");

    let crossed = load(&["-t", "failures<1", "--status", "201,204"]);
    assert_eq!(crossed.code, Some(1), "{}", crossed.stderr);
    for part in ["50 due, 0 answered well, 50 failed", "50 × Status: status 200", "CROSSED", "failures<1 (50)", "FAIL"]
    {
        assert!(crossed.stdout.contains(part), "{part}:\n{}", crossed.stdout);
    }
    // 1 ns of lag is more than any machine keeps: nothing is known of the target, and nothing is blamed on it.
    let weak = chaos.run(["load", &url, "-d", "1s", "--max-lag", "1ns", "-t", "success>99%"]);
    assert_eq!(weak.code, Some(7), "{}", weak.stderr);
    assert!(weak.stdout.contains("100 sent late") && weak.stdout.contains("UNDECIDED"), "{}", weak.stdout);
}

#[test]
fn a_file_holds_flows_and_is_checked_like_every_manifest() {
    let _machine = beside();
    let chaos = chaos();
    let path = chaos.path("load.yaml");
    let text = format!(
        "apiVersion: chaos.dispatch.dev/v1alpha1\nkind: LoadTest\nmetadata: {{name: rides}}\nspec:\n  duration: 10m\n  flows:\n    \
         - name: ride\n      http:\n        url: {}\n        rate: 20/s\n        timeout: 30s\n        maxLag: 20s\n        \
         extract: {{ride: {{jsonPath: $.id}}}}\n        then: [{{path: '/rides/{{{{ride}}}}'}}]\n      thresholds: ['failed<1%']\n",
        target()
    );
    std::fs::write(&path, &text).unwrap();
    let file = path.to_str().unwrap();
    assert_eq!(chaos.run(["validate", file]).code, Some(0));
    let end = chaos.run(["load", file, "--duration", "1s"]);
    assert_eq!(end.code, Some(0), "{}{}", end.stdout, end.stderr);
    assert!(
        end.stdout.contains("20 due, 20 answered well") && end.stdout.contains("GET /rides/{{ride}}"),
        "{}",
        end.stdout
    );

    let refused = chaos.run(["run", file]);
    assert!(refused.code == Some(2) && refused.stderr.contains("chaos load FILE"), "{}", refused.stderr);
    let flag = chaos.run(["load", file, "--rate", "5/s"]);
    assert!(flag.code == Some(2) && flag.stderr.contains("--rate is for a URL"), "{}", flag.stderr);
    for (old, new, hint) in [
        ("failed<1%", "failed>1%", "failed<1%"),
        ("{{ride}}", "{{rider}}", "{{ride}}"),
        ("then:", "than:", "did you mean then?"),
        ("rate: 20/s", "rate: 20000/s", "requests at once"),
    ] {
        assert!(text.contains(old), "{old}");
        std::fs::write(&path, text.replacen(old, new, 1)).unwrap();
        let end = chaos.run(["load", file]);
        assert!(end.code == Some(2) && end.stderr.contains(hint), "{old} -> {new}: {}", end.stderr);
        assert!(end.stderr.contains("load.yaml:"), "{}", end.stderr);
    }
}

#[test]
fn of_several_tests_in_a_file_the_worst_ends_it_and_none_hides_another() {
    let _machine = beside();
    let chaos = chaos();
    let path = chaos.path("several.yaml");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let test = |name: &str, url: &str, threshold: &str| {
        format!(
            "apiVersion: chaos.dispatch.dev/v1alpha1\nkind: LoadTest\nmetadata: {{name: {name}}}\nspec:\n  duration: 1s\n  flows:\n    \
             - name: ride\n      http: {{url: \"{url}\", rate: 20/s, timeout: 30s, maxLag: 20s}}\n      thresholds: ['{threshold}']\n"
        )
    };
    let (url, nobody) = (target(), format!("http://{closed}"));
    let (held, crossed) = (test("held", &url, "failed<1%"), test("crossed", &url, "rate>1000/s"));
    let (lost, other) = (test("lost", &nobody, "failed<1%"), test("other", &url, "failed<1%"));
    for (tests, code) in [([&crossed, &lost, &held], 1), ([&lost, &held, &other], 3)] {
        std::fs::write(&path, tests.map(String::as_str).join("---\n")).unwrap();
        let end = chaos.run(["load", path.to_str().unwrap()]);
        assert_eq!(end.code, Some(code), "{}{}", end.stdout, end.stderr);
        assert!(end.stderr.contains("Connection refused"), "{}", end.stderr);
        assert!(end.stdout.contains("all thresholds hold"), "the last one runs all the same: {}", end.stdout);
    }
}

#[test]
fn what_cannot_start_says_why() {
    let _machine = beside();
    let chaos = chaos();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = target();
    for (args, code, part) in [
        (vec!["load", &format!("http://{closed}")], 3, "Connection refused"),
        (vec!["load", &url.replace("http:", "https:")], 3, "out of reach"),
        (vec!["load", &url, "-t", "p99=1s"], 2, "p99<300ms"),
        (vec!["load", &url, "--rate", "100"], 2, "100/s"),
        (vec!["load", &url, "-H", "Host: x"], 2, "leave it out"),
        (vec!["load", &format!("{url}/{{{{uid}}}}")], 2, "unknown placeholder"),
        (vec!["load", &url, "--duration", "0s"], 2, "no time"),
        (vec!["load", "no-such-file.yaml"], 2, "a URL starts with http"),
        (vec!["load", &url, "--ca-cert", "/no/such/file"], 2, "failed to read certificates"),
    ] {
        let end = chaos.run(args.clone());
        assert!(end.code == Some(code) && end.stderr.contains(part), "{args:?}: {:?} {}", end.code, end.stderr);
    }
}

#[test]
fn an_interrupt_ends_the_load_and_reports() {
    let _machine = beside();
    let (chaos, url) = (chaos(), target());
    let mut running = chaos.start([&["load", &url, "--duration", "10m", "--rate", "200/s"], &PATIENT[..]].concat());
    running.expect_output("requests,", Duration::from_secs(60));
    running.signal(Signal::SIGINT);
    assert_eq!(running.expect_end(Duration::from_secs(60)), Some(5), "{}", running.output());
    let output = running.output();
    assert!(output.contains("STOPPED") && output.contains("answered well\n"), "{output}");
}

#[test]
fn a_terminal_that_is_gone_ends_the_load_in_order_and_none_does_under_nohup() {
    let _machine = beside();
    let (chaos, url) = (chaos(), target());
    let load = [&["load", &url, "--duration", "10m", "--rate", "200/s"], &PATIENT[..]].concat();
    // Only where the tests themselves are not run under it can they start something that is not.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    if u64::from_str_radix(mask, 16).unwrap() & 1 == 0 {
        let mut running = chaos.start(load.clone());
        running.expect_output("requests,", Duration::from_secs(60));
        // The kernel tells of it, and the shell does.
        running.signal(Signal::SIGHUP);
        running.expect_output("SIGHUP: winding down", Duration::from_secs(60));
        running.signal(Signal::SIGHUP);
        assert_eq!(running.expect_end(Duration::from_secs(60)), Some(5), "{}", running.output());
        assert!(running.output().contains("ended early by SIGHUP"), "{}", running.output());
    }
    let mut kept = chaos.start_in_shell("trap '' HUP; exec \"$0\" \"$@\"", load);
    kept.expect_output("requests,", Duration::from_secs(60));
    kept.signal(Signal::SIGHUP);
    kept.signal(Signal::SIGINT);
    assert_eq!(kept.expect_end(Duration::from_secs(60)), Some(5), "{}", kept.output());
    assert!(kept.output().contains("ended early by SIGINT"), "{}", kept.output());
}

#[test]
fn a_signal_while_nobody_answers_ends_it_before_anything_is_sent() {
    let _machine = beside();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let chaos = chaos();
    let mut running = chaos.start(["load", &url, "--connect-timeout", "10m"]);
    // It is connected to, and says nothing.
    let mut connection = None;
    let connected = || {
        connection = listener.accept().ok();
        connection.is_some()
    };
    assert!(chaos_tests::wait(Duration::from_secs(60), connected), "{}", running.output());
    running.signal(Signal::SIGINT);
    assert_eq!(running.expect_end(Duration::from_secs(60)), Some(5), "{}", running.output());
    assert!(running.output().contains("stopped before anything was sent"), "{}", running.output());
}
