//! Probes: what they ask and when, and what may rest on that.

use super::*;

#[test]
fn prometheus_queries_are_parsed() {
    let with = |query: &str| {
        let probe = format!(
            "    - name: match-rate\n      prometheus: {{source: platform, query: '{query}', every: 5s}}\n      expect: {{min: 0.99}}\n  limits:"
        );
        problems(&GOOD.replacen("  limits:", &probe, 1))
    };
    for (query, expected) in [
        ("sum(rate(dispatch_rides_total{outcome=\"assigned\"}[30s]))", None),
        ("up", None),
        ("sum(rate(dispatch_rides_total[30s])", Some("this is no PromQL")),
        ("dispatch_rides_total[30s]", Some("a probe needs one value")),
        ("rate(dispatch_rides_total[1h])", Some("looks back over 1h, longer than the fault phase of 2m")),
    ] {
        let found = with(query);
        match expected {
            None => assert_eq!(found, Vec::<String>::new(), "{query}"),
            Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{query}: {found:?}"),
        }
    }
    assert!(with(&"(".repeat(8000))[0].contains("too complex"));
    assert!(with(&format!("{}1", "-".repeat(8000)))[0].contains("too complex"));
}

/// The base with one more probe, which is written in one line.
fn with_probe(probe: &str) -> Vec<String> {
    problems(&GOOD.replacen("  probes:\n", &format!("  probes:\n    - {probe}\n"), 1))
}

#[test]
fn when_a_run_ends_no_value_may_rest_on_what_was_before_the_fault() {
    let oldest = |when: &str| {
        let probe = format!(
            "  probes:\n    - {{name: p, prometheus: {{source: here, query: up, every: 5s, maxAge: 1h}}, when: {when}, expect: {{min: 1}}}}\n"
        );
        let experiment = experiment_file("e.yaml", &GOOD.replacen("  probes:\n", &probe, 1)).unwrap().remove(0);
        let ProbeKind::Prometheus(query) = &experiment.probes[0].kind else { panic!("a query") };
        (query.max_age, experiment.phases.fault)
    };
    for when in ["After", "Continuous"] {
        let (age, fault) = oldest(when);
        assert_eq!(age, Some(fault), "{when}");
    }
    assert_eq!(oldest("Before").0, Some("1h".parse().unwrap()), "all of it was before the fault");
}

#[test]
fn looks_of_every_kind_are_valid_as_they_are_documented() {
    for probe in [
        "{name: p, grpc: {service: eta, port: grpc, healthService: eta, timeout: 1s}}",
        "{name: p, grpc: {address: \"127.0.0.1:50051\", tls: true, timeout: 1s, every: 500ms}, expect: {for: 3s}}",
        "{name: p, kubernetes: {resource: apps/v1/Deployment, name: trips, condition: {type: Available}}}",
        "{name: p, kubernetes: {resource: apps/v1/Deployment, name: trips, condition: {type: Available, status: \"False\"}}, expect: {for: 9s}}",
        "{name: p, kubernetes: {resource: v1/Pod, selector: {matchLabels: {app: trips}}}, expect: {min: 3}}",
        "{name: p, kubernetes: {resource: v1/Pod, selector: {matchLabels: {app: trips}}, condition: {type: Ready}}, expect: {min: 2}, attempts: 3}",
        "{name: p, command: {argv: [./check], timeout: 5s, jsonPath: $.lost}, when: After, expect: {equals: 0}}",
        "{name: p, command: {argv: [./check], timeout: 5s}, when: Before, attempts: 5, initialDelay: 10s, expect: {exitCode: 0}}",
        "{name: p, invariants: {service: sim, path: /v1/invariants}, attempts: 2, initialDelay: 10s}",
        "{name: p, prometheus: {source: here, query: \"sum(rate(x[30s]))\", every: 5s}, when: After, initialDelay: 20s, expect: {min: 1}}",
        "{name: p, command: {argv: [./check], timeout: 5s, every: 1s}, expect: {exitCode: 0, for: 5s}}",
    ] {
        assert_eq!(with_probe(probe), Vec::<String>::new(), "{probe}");
    }
}

#[test]
fn nothing_heals_an_outage_and_nothing_is_ignored() {
    let http = "http: {url: \"http://127.0.0.1:1\", rate: 1/s, timeout: 1s}, slo: {availability: 90%, confidence: 95%, evidence: {observed: {}}}";
    let tcp = "tcp: {address: \"127.0.0.1:1\", timeout: 1s}";
    let count = "kubernetes: {resource: v1/Pod, selector: {matchLabels: {app: trips}}";
    let query = "prometheus: {source: here, every: 5s";
    for (probe, expected) in [
        (format!("{{name: p, {http}, attempts: 2}}"), "each request is sent once"),
        (format!("{{name: p, {http}, initialDelay: 1s}}"), "load begins with the run"),
        (
            format!("{{name: p, {}}}", http.replace("rate: 1/s", "rate: 1/s, caFile: ca.pem")),
            "caFile belongs to TLS, which this url does not speak",
        ),
        (
            format!("{{name: p, {}}}", http.replace("rate: 1/s", "rate: 1/s, serverName: gateway")),
            "serverName belongs to TLS, which this url does not speak",
        ),
        (
            format!("{{name: p, {}}}", http.replace("http://", "https://").replace("rate: 1/s", "rate: 1/s, serverName: a_b")),
            "cannot be a name here",
        ),
        (format!("{{name: p, {tcp}, attempts: 2}}"), "expect: {for: 5s}"),
        (format!("{{name: p, {tcp}, when: After, initialDelay: 1s}}"), "could heal while nobody looks"),
        (format!("{{name: p, {tcp}, initialDelay: 8s}}"), "the baseline must be longer"),
        (format!("{{name: p, {tcp}, initialDelay: 2m}}"), "longer than 1m"),
        (format!("{{name: p, {tcp}, expect: {{min: 1}}}}"), "a connection has no value"),
        (format!("{{name: p, {tcp}, when: After, expect: {{for: 1s}}}}"), "cannot be off for a while"),
        (format!("{{name: p, {tcp}, expect: {{for: 500ms}}}}"), "so 500ms cannot be told"),
        ("{name: p, tcp: {address: \"a:1\", timeout: 3s}}".to_owned(), "waits an outage out"),
        ("{name: p, grpc: {address: \"a:1\", timeout: 3s}, expect: {for: 2s}}".to_owned(), "at most 2s"),
        (
            "{name: p, command: {argv: [a], timeout: 60s, every: 1s}, expect: {exitCode: 0}}".to_owned(),
            "waits an outage out",
        ),
        (format!("{{name: p, {query}, query: vector(1)}}, expect: {{equals: 1}}}}"), "reads nothing as of now"),
        (format!("{{name: p, {query}, query: sum(up offset 1h)}}, expect: {{min: 1}}}}"), "reads nothing as of now"),
        (format!("{{name: p, {query}, query: absent(up)}}, expect: {{min: 1}}}}"), "reads nothing as of now"),
        (
            format!("{{name: p, {query}, query: min(up)}}, when: After, initialDelay: 20s, expect: {{min: 1}}}}"),
            "could heal while nobody looks",
        ),
        ("{name: p, grpc: {address: eta, timeout: 1s}}".to_owned(), "write host:port"),
        ("{name: p, grpc: {address: \"a:1\", port: http, timeout: 1s}}".to_owned(), "port belongs to a service"),
        ("{name: p, grpc: {timeout: 1s}}".to_owned(), "it is not said who is asked"),
        ("{name: p, grpc: {address: \"a:1\", timeout: 1s}, attempts: 2}".to_owned(), "that nobody answers is the answer"),
        (
            "{name: p, command: {argv: [a], timeout: 1s}, when: After, attempts: 2, expect: {exitCode: 0}}".to_owned(),
            "look before the fault only",
        ),
        (
            "{name: p, command: {argv: [a], timeout: 5m}, when: Before, attempts: 3, expect: {exitCode: 0}}".to_owned(),
            "3 attempts of 5m take 15m",
        ),
        (
            "{name: p, command: {argv: [a], timeout: 1s, jsonPath: $.a}, when: After, expect: {exitCode: 0}}".to_owned(),
            "nothing is expected of what it selects",
        ),
        (format!("{{name: p, {count}}}}}"), "has no expect"),
        (format!("{{name: p, {count}, name: a}}, expect: {{min: 1}}}}"), "name and selector are both given"),
        (format!("{{name: p, {count}, jsonPath: $.a}}, expect: {{min: 1}}}}"), "are counted, not read"),
        ("{name: p, kubernetes: {resource: v1/Pod, name: a}, expect: {min: 1}}".to_owned(), "what is asked of the object"),
        (
            "{name: p, kubernetes: {resource: v1/Pod, name: a, jsonPath: $.b, condition: {type: Ready}}, expect: {min: 1}}".to_owned(),
            "jsonPath and condition are both given",
        ),
        (
            "{name: p, kubernetes: {resource: v1/Pod, name: a, condition: {type: Ready}}, expect: {min: 1}}".to_owned(),
            "the condition says what is expected",
        ),
        ("{name: p, kubernetes: {resource: v1/Pod}, expect: {min: 1}}".to_owned(), "which objects are meant"),
    ] {
        let found = with_probe(&probe);
        assert!(found.len() == 1 && found[0].contains(expected), "{probe}\nfound: {found:#?}\nexpected: {expected}");
    }
}

#[test]
fn no_file_of_the_prober_is_read_for_a_run_inside_a_cluster() {
    let found = |more: &str| {
        let text = GOOD.replacen("service: gateway", &format!("service: gateway{more}"), 1);
        let experiment = experiment_file("x.yaml", &text).unwrap().remove(0);
        let mut problems = Problems::default();
        in_cluster::check(&experiment, &Path::root().field("spec"), &mut problems);
        problems.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(found("\n        serverName: gateway.dispatch"), Vec::<String>::new());
    let refused = found("\n        caFile: /etc/ca.pem");
    assert!(refused.len() == 1 && refused[0].contains("no file of the prober is read"), "{refused:?}");
}
