//! Guards of monkeys as files: every mistake with a hint, and no address where a name of a source belongs.

use super::{Manifest, file, problems};
use crate::model::{Monkey, MonkeyGuard};
use crate::units::Duration;

const GUARDED: &str = r#"
apiVersion: chaos.dispatch.dev/v1alpha1
kind: ChaosMonkey
metadata: {name: standing, namespace: dispatch}
spec:
  target: {selector: {matchLabels: {app.kubernetes.io/part-of: dispatch}}}
  fault: {podKill: {mode: Evict}}
  mode: DryRun
  meanTimeBetweenKills: 8h
  minTimeBetweenKills: 1h
  schedule: {}
  guards:
    - alert: {source: platform, matchers: ['alertname="RidesLost"', 'severity=~"page|critical"'], timeout: 2s}
    - errorBudget: {source: platform, query: "slo:left", keep: 25%}
    - probe: {source: platform, query: "min(up)", min: 1}
  limits: {maxUnavailable: 1, minReady: 1, maxKills: 5, minInterval: 1m, recoverWithin: 5m, maxBlind: 30s, allowForce: false}
"#;

fn monkey(text: &str) -> Monkey {
    let mut manifests = file("x.yaml", text).unwrap_or_else(|error| panic!("{error}"));
    match manifests.remove(0) {
        Manifest::Monkey(monkey) => *monkey,
        other => panic!("{}", other.kind()),
    }
}

#[test]
fn guards_are_of_three_kinds_and_may_be_none() {
    let guards = monkey(GUARDED).guards;
    assert_eq!(guards.iter().map(MonkeyGuard::kind).collect::<Vec<_>>(), ["alert", "errorBudget", "probe"]);
    assert!(guards.iter().all(|guard| guard.source() == "platform"));
    let (MonkeyGuard::Alert(alerts), MonkeyGuard::ErrorBudget(budget)) = (&guards[0], &guards[1]) else {
        panic!("{guards:?}");
    };
    assert_eq!((alerts.timeout, alerts.matchers.len()), (Duration::from_secs(2), 2));
    assert_eq!((budget.question.timeout, budget.shrink_below), (Duration::from_secs(5), None));
    let start = GUARDED.find("  guards:").unwrap();
    let end = GUARDED.find("  limits:").unwrap();
    let none = format!("{}  guards: []\n{}", &GUARDED[..start], &GUARDED[end..]);
    assert!(monkey(&none).guards.is_empty());
    let missing = problems(&format!("{}{}", &GUARDED[..start], &GUARDED[end..]));
    assert!(missing.len() == 1 && missing[0].contains("the field guards is missing"), "{missing:?}");
}

#[test]
fn mistakes_of_guards_are_told() {
    let alert =
        "alert: {source: platform, matchers: ['alertname=\"RidesLost\"', 'severity=~\"page|critical\"'], timeout: 2s}";
    let probe = "probe: {source: platform, query: \"min(up)\", min: 1}";
    let six = format!("{probe}\n{}", format!("    - {probe}\n").repeat(3));
    let both = format!("{alert}\n      {probe}");
    for (from, to, expected) in [
        (
            "alert: {source: platform, ",
            "alert: {source: platform, url: \"http://10.0.0.1\", ",
            "there is no field \"url\"",
        ),
        ("source: platform", "source: Plat_form", "source"),
        ("source: platform", "source: \"http://10.0.0.1\"", "source"),
        ("timeout: 2s", "timeout: 6s", "6s is not between 100ms and 5s"),
        ("timeout: 2s", "timeout: 99ms", "99ms is not between 100ms and 5s"),
        ("alertname=\"RidesLost\"", "alertname=RidesLost", "these are no matchers of alerts"),
        ("alertname=\"RidesLost\"", "alertstate=\"pending\"", "these are no matchers of alerts"),
        ("['alertname=\"RidesLost\"', 'severity=~\"page|critical\"']", "[]", "at least 1"),
        ("keep: 25%", "keep: 0.25", "write 25%"),
        ("keep: 25%", "keep: 25%, shrinkBelow: 50%", "there is no field \"shrinkBelow\""),
        ("query: \"slo:left\"", "query: \"slo left\"", "this is no PromQL"),
        ("query: \"min(up)\"", "query: \"up[5m]\"", "needs one value"),
        ("query: \"min(up)\"", "query: \"vector(1)\"", "it reads nothing as of now"),
        (", min: 1}", "}", "nothing is asked of the value"),
        (", min: 1}", ", min: 2, max: 1}", "2 is above the max of 1"),
        (", min: 1}", ", min: 1, within: 5m}", "there is no field \"within\""),
        (alert, both.as_str(), "give exactly one of alert, errorBudget, probe"),
        (probe, "{}", "this guard guards nothing"),
        (probe, six.as_str(), "at most 5"),
        (
            "  limits:",
            "  until: \"2027-01-01T00:00:00Z\"\n  maxKills: 5\n  heartbeatLease: {name: beat, interval: 2s}\n  limits:",
            "a monkey of a run keeps no guards",
        ),
    ] {
        assert!(GUARDED.contains(from), "the base has no {from:?}");
        let found = problems(&GUARDED.replacen(from, to, 1));
        assert!(found.len() == 1 && found[0].contains(expected), "{from:?} -> {to:?}: {found:#?}");
    }
}
