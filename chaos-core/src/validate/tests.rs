//! Validation as its users meet it: whole files in, rendered problems out.

mod gameday;
mod hostile;
mod monkey_guards;
mod probes;
mod run;

use super::*;
use crate::model::{Endpoint, Fault, Moment, ProbeKind};

/// The shipped main experiment: what every other case here is a small change of.
const GOOD: &str = include_str!("../../../experiments/riders-can-request-while-pods-die.yaml");

fn problems(text: &str) -> Vec<String> {
    match file("x.yaml", text) {
        Ok(_) => Vec::new(),
        Err(found) => found
            .iter()
            .map(|p| {
                let hint = p.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                format!("{}:{} {}: {}{hint}", p.line, p.column, p.path, p.message)
            })
            .collect(),
    }
}

#[track_caller]
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(GOOD.contains(from), "the base has no {from:?}");
    let found: Vec<String> = problems(&GOOD.replacen(from, to, 1));
    let told = |part: &&str| found.iter().any(|found| found.contains(part));
    let same = found.len() == expected.len() && expected.iter().all(told);
    assert!(same, "{from:?} -> {to:?}\nfound:    {found:#?}\nexpected: {expected:#?}");
}

#[test]
fn the_shipped_experiments_are_valid_and_mean_what_they_say() {
    for text in [
        GOOD,
        include_str!("../../../experiments/rides-stay-fast-while-eta-dies.yaml"),
        include_str!("../../../experiments/no-ride-is-lost-when-the-store-dies.yaml"),
    ] {
        assert_eq!(problems(text), Vec::<String>::new());
    }
    let experiment = experiment_file("x.yaml", GOOD).unwrap().remove(0);
    assert_eq!(
        (experiment.name.as_str(), experiment.namespace.as_str()),
        ("riders-can-request-while-pods-die", "dispatch")
    );
    assert!(matches!(&experiment.fault, Fault::Monkey(monkey) if monkey.strikes.target == 61));
    let http = experiment.probe("request-ride").unwrap().http().unwrap();
    let gateway = Endpoint::Service { namespace: "dispatch".into(), name: "gateway".into(), port: Some("http".into()) };
    assert_eq!(http.load.endpoint, gateway);
    assert!(matches!(&experiment.probe("ledger").unwrap().kind, ProbeKind::Invariants(p) if p.when == Moment::After));
}

/// A kubeconfig or a Deployment in the place of a manifest is one mistake, not one for each of its fields.
#[test]
fn an_object_of_others_is_one_error() {
    for (text, told) in [
        ("apiVersion: v1\nkind: Config\nclusters: []\nusers: []\n", "v1 Config is no manifest of ours"),
        ("apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 3}\n", "apps/v1 Deployment is no manifest of ours"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].contains(told) && found[0].starts_with("1:13 "), "{found:#?}");
    }
    for (from, to) in [("kind: Experiment", "kind: Experimnt"), ("chaos.dispatch.dev/v1alpha1", "v1")] {
        let found = problems(&GOOD.replacen(from, to, 1));
        assert!(!found.is_empty() && !found[0].contains("no manifest of ours"), "{found:#?}");
    }
}

#[test]
fn shape_errors_have_line_column_and_hint() {
    for (from, to, expected) in [
        ("  hypothesis:", "  hypotesis:", &["\"hypotesis\" here (did you mean hypothesis?)"][..]),
        ("maxKills: 61", "maxKill: 61", &["did you mean maxKills?"]),
        ("maxKills: 61", "maxKills: sixty", &["expected a whole number, found the text \"sixty\""]),
        ("maxKills: 61", "maxKills: 0", &["at least 1"]),
        ("maxUnavailable: 1", "maxUnavailable: \"1\"", &["write 1 without quotes, or 1%"]),
        ("maxUnavailable: 1", "maxUnavailable: -1", &["expected a count"]),
        ("maxUnavailable: 1", "maxUnavailable: 0.3", &["expected a count"]),
        ("recoverWithin: 30s", "recoverWithin: 30", &["say the unit: 30s or 30ms"]),
        ("recoverWithin: 30s", "recoverWithin: 1d", &["write 24h"]),
        ("availability: 99.9%", "availability: 0.999", &["found the number 0.999 (write 99.9%)"]),
        ("availability: 99.9%", "availability: 101%", &["\"101%\" is not a percentage"]),
        ("rate: 100/s", "rate: 100", &["write 100/s"]),
        ("killMode: Evict", "killMode: evict", &["did you mean Evict?"]),
        ("allowForce: false", "allowForce: \"no\"", &["expected true or false, found the text \"no\""]),
        ("abort: []", "abort: none", &["expected a list"]),
        ("  abort: []", "", &["field abort is missing (abort: What stops the run early; required, may be empty)"]),
        ("group: Namespace", "group: namespace", &["did you mean Namespace?"]),
        ("kind: Experiment", "kind: Experimnt", &["did you mean Experiment?"]),
        ("chaos.dispatch.dev/v1alpha1", "chaos.dispatch.dev/v1", &["write chaos.dispatch.dev/v1alpha1"]),
        ("  namespace: dispatch", "  namespce: dispatch", &["did you mean namespace?"]),
        ("maxBlind: 30s", "maxBlind: 30s\n    maxBlind: 31s", &["\"maxBlind\" is written twice (it stands in line"]),
    ] {
        check(from, to, expected);
    }
    let text = GOOD.replace("maxKills: 61", "maxKills: many");
    let line = text.lines().position(|line| line.contains("maxKills: many")).unwrap() + 1;
    assert!(problems(&text)[0].starts_with(&format!("{line}:15 spec.limits.maxKills: ")), "{:?}", problems(&text));
}

#[test]
fn what_the_values_mean_together_is_checked() {
    for (from, to, expected) in [
        ("minTimeBetweenKills: 400ms", "minTimeBetweenKills: 850ms", &["nothing would be left to chance"][..]),
        ("minTimeBetweenKills: 400ms", "minTimeBetweenKills: 100ms", &["limits.minInterval refuses them before 400ms"]),
        ("strikes: {target: 61, min: 29}", "strikes: {target: 61, min: 62}", &["at least 62 strikes of 61"]),
        ("strikes: {target: 61, min: 29}", "strikes: {target: 62, min: 29}", &["raise limits.maxKills to 62"]),
        ("strikes: {target: 61, min: 29}", "strikes: {target: 28, min: 20}", &["takes 29 kills without a bad one"]),
        (
            "fault: 120s",
            "fault: 40s",
            &["61 strikes at a mean of 850ms take about 52 s, and the fault phase ends after 40s"],
        ),
        ("availability: 99.9%", "availability: 100%", &["cannot be proven"]),
        ("        availability: 99.9%\n", "", &["nothing is promised"]),
        (
            "harmlessKills: {share: 90%, maxLoss: 0}",
            "observed: {}\n          harmlessKills: {share: 90%, maxLoss: 0}",
            &["more than one kind"],
        ),
        ("exposure: {header: x-served-by}", "", &["only kills of pods that served requests certify"]),
        ("exposure: {header: x-served-by}", "exposure: {header: \"x served\"}", &["cannot be a name here"]),
        ("service: gateway", "service: gateway\n        url: http://127.0.0.1", &["service and url are both given"]),
        (
            "service: gateway\n        port: http\n",
            "url: http://127.0.0.1:99999\n",
            &["this is no base URL (a port is a number from 1 to 65535)"],
        ),
        ("name: ledger", "name: request-ride", &["name of probe 1 already"]),
        ("method: POST", "method: Post", &["is no method"]),
        ("{{uuid}}", "{{uid}}", &["unknown placeholder"]),
        ("jsonPath: $.status.readyReplicas", "jsonPath: status.readyReplicas", &["is no JSONPath"]),
        ("resource: apps/v1/Deployment", "resource: Deployment", &["is no kind of object"]),
        ("      expect: {min: 1}\n", "", &["has no expect"]),
        ("expect: {min: 1}", "expect: {min: 2, max: 1}", &["no answer could be both"]),
        ("expect: {min: 1}", "expect: {}", &["nothing is expected"]),
        ("names: [dispatch]", "names: [kube-system]", &["is never a target"]),
        ("killMode: Evict", "gracePeriod: 0s", &["set limits.allowForce: true"]),
        ("killMode: Evict", "gracePeriod: 1500ms", &["in whole seconds"]),
        ("maxUnavailable: 1", "maxUnavailable: 0%", &["no pod can be killed"]),
        (
            "abort: []",
            "abort: [{burnRate: {probe: request-rid, factor: 2, long: 30s, short: 5s}}]",
            &["did you mean request-ride?"],
        ),
        (
            "abort: []",
            "abort: [{burnRate: {probe: ledger, factor: 2, long: 5s, short: 5s}}]",
            &["has no slo", "not within the long one"],
        ),
        (
            "abort: []",
            "abort: [{burnRate: {probe: request-ride, factor: 1001, long: 30s, short: 5s}}]",
            &["burns 1000.0 times too fast, and never 1001 times"],
        ),
        ("path: /v1/rides", "path: v1/rides", &["start it with a slash"]),
        ("success: {status: [201]}", "success: {status: [101]}", &["is no final status"]),
        ("success: {status: [201]}", "success: {within: 2s}", &["longer than the timeout"]),
        ("success: {status: [201]}", "success: {headers: {etag: {}}}", &["nothing is asked of this header"]),
        ("success: {status: [201]}", "success: {bodies: [{exists: true}]}", &["add jsonPath"]),
        ("success: {status: [201]}", "success: {body: {jsonPath: $.a, exists: true, contains: b}}", &["two checks"]),
        ("success: {status: [201]}", "extract: {ride: {header: etag}}", &["nothing comes after this request"]),
        (
            "success: {status: [201]}",
            "extract: {ride: {jsonPath: $.id}}\n        then: [{path: '/{{rider}}'}]",
            &["unknown placeholder"],
        ),
        (
            "success: {status: [201]}",
            "extract: {seq: {jsonPath: $.id, header: etag}}\n        then: [{path: /, success: {within: 1s}}]",
            &["cannot be a name here", "both given", "one sample, with one bound"],
        ),
        ("rate: 100/s", "rate: 100/s\n        stages: [{for: 1s, to: 90000/s}]", &["90000 requests at once"]),
        ("rate: 100/s", "rate: 100/s\n        stages: [{for: 25h, to: 1/s}]", &["more than a day"]),
        ("Idempotency-Key:", "Content-Length:", &["follows from the request"]),
    ] {
        check(from, to, expected);
    }
    let all_fail = "abort: [{burnRate: {probe: request-ride, factor: 1000, long: 30s, short: 5s}}]";
    assert_eq!(problems(&GOOD.replacen("abort: []", all_fail, 1)), Vec::<String>::new());
}

#[test]
fn targets_that_reach_too_far_are_refused() {
    let start = GOOD.find("    workloads:").unwrap();
    let end = GOOD.find("    namespaces: {names").unwrap();
    let with = |target: &str| problems(&format!("{}{target}{}", &GOOD[..start], &GOOD[end..]));
    for (target, expected) in [
        ("", "the target is empty"),
        ("    selector: {}\n", "this selector is empty"),
        ("    selector: {matchLabels: {}}\n", "this selector is empty"),
        ("    selector: {matchExpressions: [{key: a, operator: Inn, values: [b]}]}\n", "is no operator"),
        ("    selector: {matchExpressions: [{key: a, operator: In}]}\n", "In needs values"),
        ("    selector: {matchLabel: {a: b}}\n", "did you mean matchLabels?"),
        ("    workloads: [{kind: deployment, name: a}]\n", "a kind in the singular"),
        ("    workloads: [{kind: Deployment, name: a}]\n    podNames: {include: \"a(\"}\n", "no regular expression"),
        (
            "    workloads: [{kind: Deployment, name: a}]\n    podNames: {include: \"(((a{1000}){1000}){1000})\"}\n",
            "no regular expression",
        ),
    ] {
        let found = with(target);
        assert!(found.len() == 1 && found[0].contains(expected), "{target:?}: {found:?}");
    }
    let of_values = |count: usize| {
        let values: Vec<String> = (0..count).map(|i| format!("v{i}")).collect();
        with(&format!(
            "    selector: {{matchExpressions: [{{key: a, operator: In, values: [{}]}}]}}\n",
            values.join(", ")
        ))
    };
    assert_eq!(of_values(199), Vec::<String>::new());
    for (count, told) in
        [(200, "201 labels and values are named, more than 200"), (20_000, "20000 elements: at most 200 elements")]
    {
        let found = of_values(count);
        assert!(found.len() == 1 && found[0].contains(told), "{found:?}");
    }
}

#[test]
fn all_errors_come_at_once_with_their_lines() {
    let text = GOOD
        .replace("maxKills: 61", "maxKil: 61")
        .replace("rate: 100/s", "rate: fast")
        .replace("baseline: 8s", "baseline: 8");
    assert_eq!(problems(&text).len(), 3, "{:#?}", problems(&text));
    let rendered = file("x.yaml", &text).unwrap_err().to_string();
    insta::assert_snapshot!(rendered);
}

#[test]
fn monkeys_are_validated_by_the_same_rules() {
    let good = "
apiVersion: chaos.dispatch.dev/v1alpha1
kind: ChaosMonkey
metadata: {name: standing, namespace: dispatch}
spec:
  target: {selector: {matchLabels: {app.kubernetes.io/part-of: dispatch}}}
  fault: {podKill: {mode: Evict}}
  mode: Live
  meanTimeBetweenKills: 8h
  minTimeBetweenKills: 1h
  schedule: {timeZone: Europe/Paris, weekdays: [Mon, Tue], hours: [{from: \"09:00\", to: \"17:00\"}], blackout: [{date: 2026-12-24}]}
  guards: []
  limits: {maxUnavailable: 34%, minReady: 1, maxKills: 5, minInterval: 1m, recoverWithin: 5m, maxBlind: 30s, allowForce: false}
";
    assert_eq!(problems(good), Vec::<String>::new());
    for (from, to, expected) in [
        ("Europe/Paris", "Europe/Pariss", "did you mean Europe/Paris?"),
        ("Mon, Tue", "Mon, Tus", "did you mean Tue?"),
        ("Mon, Tue", "Mon, Mon", "a day is listed twice"),
        ("to: \"17:00\"", "to: \"08:00\"", "write two: 09:00-24:00 and 00:00-08:00"),
        ("to: \"17:00\"", "to: \"25:00\"", "is no time of day"),
        ("date: 2026-12-24", "date: 2026-12-32", "is no day"),
        ("date: 2026-12-24", "reason: holidays", "a blackout is a date, or from and to"),
        ("  mode: Live\n", "", "the field mode is missing"),
        ("  mode: Live\n", "  mode: Live\n  maxKills: 5\n", "belong together"),
        ("  schedule:", "  dryrun: true\n  schedule:", "there is no field \"dryrun\" here"),
        ("minTimeBetweenKills: 1h", "minTimeBetweenKills: 9h", "nothing would be left to chance"),
        ("to: \"17:00\"", "to: \"09:01\"", "8h is longer than all that the schedule allows in a year, 1h44m"),
        (
            "TimeBetweenKills: 8h",
            "TimeBetweenKills: 833h",
            "833h is longer than all that the schedule allows in a year",
        ),
    ] {
        assert!(good.contains(from), "{from}");
        let found = problems(&good.replacen(from, to, 1));
        assert!(found.len() == 1 && found[0].contains(expected), "{to:?}: {found:#?}");
    }
    let once_a_year = good.replacen("TimeBetweenKills: 8h", "TimeBetweenKills: 832h", 1);
    assert_eq!(problems(&once_a_year), Vec::<String>::new());
    assert!(experiment_file("x.yaml", good).unwrap_err().to_string().contains("kubectl apply -f FILE"));
}

#[test]
fn several_documents_may_stand_in_one_file() {
    let two = format!("{GOOD}---\n{}---\n", GOOD.replace("name: riders-can", "name: drivers-can"));
    let names: Vec<_> = experiment_file("x.yaml", &two).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["riders-can-request-while-pods-die", "drivers-can-request-while-pods-die"]);
}

#[test]
fn certified_availability_needs_more_than_its_own_declaration() {
    // 0.1 % of 100/s over about 62 s and 61 kills: each may cost 0.101 requests on average.
    let with = |worst: u64, shape: fn(&str) -> String| {
        let evidence = format!("availability: {{worstLossPerKill: {worst}, source: drain tests}}");
        problems(&shape(&GOOD.replace("harmlessKills: {share: 90%, maxLoss: 0}", &evidence)))
    };
    assert_eq!(with(1, str::to_owned), Vec::<String>::new());
    let found = with(4, str::to_owned);
    assert!(found.len() == 1 && found[0].contains("kills without loss; 61 are planned"), "{found:?}");
    let found = with(1, |text| text.replace("availability: 99.9%", "availability: 50%"));
    assert!(found.len() == 1 && found[0].contains("that would be the proof itself"), "{found:?}");
}

#[test]
fn the_kills_of_one_strike_are_one_trial() {
    let two = |share: &str| {
        GOOD.replace(
            "    monkey:\n      meanTimeBetweenKills: 850ms\n      minTimeBetweenKills: 400ms\n",
            "    podKill:\n      victims: 2\n      every: {mean: 850ms, min: 400ms}\n",
        )
        .replace("killMode", "mode")
        .replace("{target: 61, min: 29}", "{target: 30, min: 29}")
        .replace("maxUnavailable: 1", "maxUnavailable: 2")
        .replace("{share: 90%, maxLoss: 0}", &format!("{{share: {share}, maxLoss: 0}}"))
    };
    assert_eq!(problems(&two("90%")), Vec::<String>::new());
    // 60 kills, and 59 windows are needed: there will be 30.
    let found = problems(&two("95%"));
    let told =
        "takes 59 kills without a bad one at 95% confidence; 30 are planned, for those of one strike count as one";
    assert!(found.len() == 1 && found[0].contains(told), "{found:?}");
}

#[test]
fn a_seed_that_follows_from_a_uid_is_one_that_every_tool_can_read_back() {
    let seeds: Vec<i64> = (0..100).map(|number| seed_of(&format!("uid-{number}"))).collect();
    assert!(seeds.iter().all(|seed| u32::try_from(*seed).is_ok()), "{seeds:?}");
    assert!(seeds.windows(2).all(|two| two[0] != two[1]), "{seeds:?}");
    assert_eq!(seed_of("uid-0"), seeds[0]);
}
