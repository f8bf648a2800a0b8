//! What people see of an operator and how they hold it, by the command line.

use std::time::Duration;

use serde_json::json;

use crate::cluster::Cluster;
use crate::workload::{Workload, kills};

/// The words of a line of a table that begin with this one.
fn row<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    row_by(table, 0, first)
}

/// The words of the first line of a table that has this one at that place.
fn row_by<'a>(table: &'a str, place: usize, word: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split_whitespace().nth(place) == Some(word));
    line.unwrap_or_else(|| panic!("no line of {word}:\n{table}")).split_whitespace().collect()
}

#[test]
fn strikes_are_listed_and_called_off_and_monkeys_are_suspended() {
    let cluster = Cluster::start();
    cluster.install();
    let workload = Workload::deploy(&cluster);
    let (name, here) = (format!("{}/m", workload.namespace), ["-n", &workload.namespace]);
    let chaos = |args: &[&str]| cluster.run(&[args, &here].concat());
    // Far enough away to be called off, and soon enough to be planned.
    let far = |spec: &mut serde_json::Value| {
        (spec["meanTimeBetweenKills"], spec["minTimeBetweenKills"]) = (json!("2h"), json!("1h"));
    };
    workload.monkey("m", far);
    let planned = workload.until("m", "a strike is planned", |monkey| {
        monkey.status.as_ref().is_some_and(|status| !status.upcoming.is_empty())
    });
    let strike = planned.status.unwrap().upcoming[0].clone();

    let upcoming = chaos(&["monkey", "upcoming", "m"]);
    assert_eq!(row(&upcoming.stdout, &name)[1..3], [&strike.id, &strike.at.0.to_string()].map(String::as_str));
    let strikes = chaos(&["monkey", "upcoming", "m", "-o", "json"]).document();
    assert_eq!((&strikes[0]["monkey"], &strikes[0]["id"]), (&json!("m"), &json!(strike.id)));
    let unknown = chaos(&["monkey", "cancel", "m", "s99"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    assert!(unknown.stderr.contains(&format!("planned are {}", strike.id)), "{}", unknown.stderr);
    let postponed = chaos(&["monkey", "postpone", "m", &strike.id, "--until", "2199-01-01T00:00:00Z"]);
    assert_eq!(postponed.code, Some(0), "{}", postponed.stderr);
    let upcoming = chaos(&["monkey", "upcoming", "m"]);
    let moved = row_by(&upcoming.stdout, 1, &strike.id);
    assert_eq!(moved[2], "2199-01-01T00:00:00Z");
    assert_eq!(moved.last(), Some(&strike.at.0.to_string().as_str()), "where it was before");
    let cancelled = chaos(&["monkey", "cancel", "m", &strike.id]);
    assert_eq!(cancelled.code, Some(0), "{}", cancelled.stderr);
    let monkey = workload.until("m", "it is skipped", |monkey| {
        monkey.status.as_ref().is_some_and(|status| status.skipped.iter().any(|skip| skip.strike == strike.strike))
    });
    assert!(monkey.status.as_ref().unwrap().upcoming.iter().all(|planned| planned.id != strike.id));
    assert_eq!(kills(&monkey), 0);

    let status = chaos(&["status"]);
    assert!(status.stdout.contains("chaos may happen") && status.stdout.contains("1 of 1 ready"), "{}", status.stdout);
    assert_eq!(row(&status.stdout, &name)[1..6], ["Live", "active", "0", "0", "1"]);
    let status = chaos(&["status", "-o", "json"]).document();
    assert_eq!((&status["switch"], &status["operator"]["ready"]), (&json!("Running"), &json!(1)));
    assert_eq!((&status["monkeys"][0]["name"], &status["runs"]), (&json!("m"), &json!([])));
    assert_eq!(chaos(&["monkey", "list", "-o", "json"]).document()[0]["state"], "active");
    let suspended = chaos(&["monkey", "suspend", "m"]);
    assert_eq!(suspended.code, Some(0), "{}", suspended.stderr);
    assert_eq!(row(&chaos(&["monkey", "list"]).stdout, &name)[2], "suspended");
    let held = chaos(&["monkey", "upcoming", "m"]).stdout;
    assert_eq!(held, format!("nothing is planned\n{name} is suspended until it is resumed\n"));
    assert_eq!(chaos(&["monkey", "resume", "m"]).code, Some(0));
    assert_eq!(chaos(&["monkey", "suspend", "none"]).code, Some(2));

    cluster.chaos(&["stop", "--all"]);
    assert!(chaos(&["status"]).stdout.contains("STOPPED"));
    cluster.chaos(&["uninstall"]);
    // A server takes a moment to stop serving a kind.
    assert!(
        chaos_tests::wait(Duration::from_secs(60), || chaos(&["status"]).code == Some(3)),
        "there is nothing to speak of"
    );
}

#[test]
fn a_change_that_no_operator_takes_up_is_told() {
    let cluster = Cluster::start();
    cluster.apply(&chaos_core::schema::crds_yaml());
    let workload = Workload::deploy(&cluster);
    workload.monkey("m", |_| ());
    let written = cluster.run(&["monkey", "suspend", "m", "-n", &workload.namespace]);
    assert_eq!(written.code, Some(3), "{}", written.stderr);
    assert!(written.stderr.contains("no operator has taken it up"), "{}", written.stderr);
    let monkey = workload.until("m", "it is suspended", |monkey| monkey.spec.suspend);
    assert_eq!(kills(&monkey), 0);
}
