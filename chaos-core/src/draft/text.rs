//! The text of a first experiment.

use super::{Entrance, Workload};

/// Characters that the name of an experiment may have.
const LONGEST_NAME: usize = 63;
/// What every first experiment is called after its workload.
const SUFFIX: &str = "-answers-while-pods-die";
/// Words that YAML takes for something else than a text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// The name of a workload's first experiment.
pub fn name(workload: &Workload) -> String {
    let stem: String = workload.name.replace('.', "-").chars().take(LONGEST_NAME - SUFFIX.len()).collect();
    format!("{}{SUFFIX}", stem.trim_end_matches('-'))
}

/// The manifest, with comments. `file` is what the commands in it call it.
pub fn experiment(workload: &Workload, entrance: &Entrance, environment: Option<&str>, file: &str) -> String {
    let Workload { kind, namespace, name: of, .. } = workload;
    let head = format!(
        "\
# Question      Does Service {service} go on answering while pods of {kind} {of} are evicted, one after the other?
# Blast radius  {kind} {of} in namespace {namespace} alone: one pod at a time, 5 evictions in all. Disruption budgets are honoured.
# Expected      pass, if pods drain before they stop and requests that met a dying pod are tried again. Else fail, with the requests.
#
# Next, from harmless to real:
#   chaos validate {file}    # every mistake at once; needs no cluster
#   chaos plan {file}        # who would be hit, and whether a run would start; touches nothing
#   chaos run {file}         # asks before it evicts anything; Ctrl-C winds down
apiVersion: {version}
kind: Experiment
metadata: {{name: {experiment}, namespace: {in_namespace}}}
spec:
  hypothesis: Service {service} goes on answering while pods of {kind} {of} are evicted.
",
        service = entrance.service,
        version = crate::api::API_VERSION,
        experiment = scalar(&name(workload)),
        in_namespace = scalar(namespace),
    );
    [head, target(workload, environment), fault(), probes(entrance), limits(workload)].concat()
}

fn target(workload: &Workload, environment: Option<&str>) -> String {
    let environment = match environment {
        Some(name) => format!("    environment: {}    # of this cluster: nothing is killed on any other\n", scalar(name)),
        None => "    # environment: staging    # this cluster does not say what it is; chaos install --environment NAME does\n"
            .to_owned(),
    };
    let (kind, name) = (scalar(&workload.kind), scalar(&workload.name));
    format!(
        "  target:
{environment}    workloads: [{{kind: {kind}, name: {name}}}]    # whoever replaces a pod is meant as well
"
    )
}

fn fault() -> String {
    "  fault:
    podKill:    # chaos run evicts by itself: no operator is needed
      mode: Evict    # honours disruption budgets, and each pod's own grace period
      victims: 1
      strikes: {target: 5, min: 3}    # fewer than three say too little: the run is inconclusive then
      every: {mean: 12s, min: 10s}    # from kill to kill; a kill waits until the one before is replaced
  phases: {baseline: 10s, fault: 5m, recovery: 10s}    # fault is a ceiling: it ends when the last kill has recovered
"
    .to_owned()
}

fn probes(entrance: &Entrance) -> String {
    let port = entrance.port.as_ref().map(|port| format!("        port: {}\n", scalar(port))).unwrap_or_default();
    format!(
        "  probes:
    - name: answers
      http:
        service: {service}
{port}        path: {path}    # {path_from}
        rate: 10/s    # little load, evenly spaced; ten in a second see an outage of 100 ms
        timeout: 3s
        maxLag: 250ms    # what this machine sends later than that is no evidence
        keepAlive: false    # a connection for each request, so that no replica is missed
      slo:
        availability: 99%    # your promise, not ours: raise it to what you keep elsewhere
        confidence: 95%
        evidence: {{observed: {{}}}}    # a pass says what was seen, and certifies nothing beyond; chaos plan says what that takes
",
        service = scalar(&entrance.service),
        path = scalar(&entrance.path),
        path_from = entrance.path_from,
    )
}

fn limits(workload: &Workload) -> String {
    let ready = least_ready(workload.replicas);
    let why = match workload.replicas {
        0 | 1 => "there is no second pod: scale up, or nothing may be killed".to_owned(),
        replicas => format!("of {replicas}: a kill waits until all of them are ready"),
    };
    format!(
        "  limits:
    maxUnavailable: 1    # over all chaos on the workload, and whatever else took a pod away
    minReady: {ready}    # {why}
    maxKills: 5
    minInterval: 10s
    recoverWithin: 2m    # no ready replacement by then stops the run
    maxBlind: 30s    # no view of the cluster for so long stops it
    allowForce: false
  abort:    # ten times more failures than promised, for half a minute, stop the run
    - burnRate: {{probe: answers, factor: 10, long: 30s, short: 5s}}
"
    )
}

/// All pods but the one that is killed, and never none.
fn least_ready(replicas: u32) -> u32 {
    replicas.saturating_sub(1).max(1)
}

/// A text as YAML reads it again: quoted where it could be taken for something else.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    // What JSON quotes, YAML reads the same.
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
