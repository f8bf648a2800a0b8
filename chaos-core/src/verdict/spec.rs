//! What a run is judged by: the part of a validated experiment that the verdict needs. Plain data.

use crate::model::{ClaimSpec, Expectation, Experiment, Moment, Probe, ProbeKind, Question, Slo};
use crate::units::Duration;

/// The promises and expectations of one experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeSpec {
    /// Name of the experiment.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The sentence to prove or refute.
    pub hypothesis: String,
    /// Strikes planned.
    pub strikes_target: u64,
    /// Fewer than this are inconclusive.
    pub strikes_min: u64,
    /// The probes, in the order of the manifest.
    pub probes: Vec<ProbeSpec>,
}

/// A probe as far as it is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeSpec {
    /// Unique in the experiment.
    pub name: String,
    /// What it is judged by.
    pub judged_by: JudgedBy,
}

/// What a probe is judged by.
#[derive(Debug, Clone, PartialEq)]
pub enum JudgedBy {
    /// http load with a promise.
    Slo(Slo),
    /// Answers that must be as expected.
    Expectation {
        /// What is expected, in words.
        expected: String,
        /// How long answers may be off before it counts.
        tolerate: Duration,
        /// Whether there must be an answer from the beginning of the fault on.
        after_fault: bool,
    },
    /// The application's own checker: any violation fails the run.
    Invariants,
}

impl JudgeSpec {
    /// `m`: the number of promises that can fail the run by chance. It divides α for failing only.
    pub fn promises(&self) -> usize {
        let of = |probe: &ProbeSpec| match &probe.judged_by {
            JudgedBy::Slo(slo) => slo.claims.len(),
            JudgedBy::Expectation { .. } | JudgedBy::Invariants => 0,
        };
        self.probes.iter().map(of).sum()
    }
}

impl From<&Experiment> for JudgeSpec {
    fn from(experiment: &Experiment) -> Self {
        let strikes = experiment.fault.strikes();
        Self {
            name: experiment.name.clone(),
            namespace: experiment.namespace.clone(),
            hypothesis: experiment.hypothesis.clone(),
            strikes_target: u64::from(strikes.target),
            strikes_min: u64::from(strikes.min),
            probes: experiment.probes.iter().map(ProbeSpec::from).collect(),
        }
    }
}

impl From<&Probe> for ProbeSpec {
    fn from(probe: &Probe) -> Self {
        let judged_by = match &probe.kind {
            ProbeKind::Http(http) => JudgedBy::Slo(http.slo.clone()),
            ProbeKind::Prometheus(prometheus) => match prometheus.range {
                None => expectation(&prometheus.expect, prometheus.when),
                Some(range) => {
                    let each = format!("each {} over {}: {}", range.step, range.over, words(&prometheus.expect));
                    expected(each, prometheus.expect.tolerate, prometheus.when)
                }
            },
            ProbeKind::Kubernetes(kubernetes) => match &kubernetes.question {
                Question::Field { .. } => expectation(&kubernetes.expect, kubernetes.when),
                Question::Condition { condition, .. } => {
                    let what = format!("condition {condition}");
                    tolerated(what, kubernetes.expect.tolerate, kubernetes.when)
                }
                Question::Count { selector, condition } => {
                    let with = condition.as_ref().map(|condition| format!(" with {condition}")).unwrap_or_default();
                    let counted = format!("{} objects {selector}{with}", words(&kubernetes.expect));
                    expected(counted, kubernetes.expect.tolerate, kubernetes.when)
                }
            },
            ProbeKind::Command(command) => expectation(&command.expect, command.when),
            ProbeKind::Tcp(tcp) => {
                tolerated(format!("a connection to {}:{}", tcp.host, tcp.port), tcp.tolerate, tcp.when)
            }
            ProbeKind::Grpc(grpc) => tolerated("a gRPC server that serves".to_owned(), grpc.tolerate, grpc.when),
            ProbeKind::Invariants(_) => JudgedBy::Invariants,
        };
        Self { name: probe.name.clone(), judged_by }
    }
}

fn expectation(expect: &Expectation, when: Moment) -> JudgedBy {
    expected(words(expect), expect.tolerate, when)
}

fn expected(expected: String, tolerate: Duration, when: Moment) -> JudgedBy {
    JudgedBy::Expectation { expected, tolerate, after_fault: when != Moment::Before }
}

/// The same where the words do not say yet how long it may be off.
fn tolerated(mut what: String, tolerate: Duration, when: Moment) -> JudgedBy {
    if !tolerate.is_zero() {
        what = format!("{what}, off for at most {tolerate}");
    }
    expected(what, tolerate, when)
}

fn words(expect: &Expectation) -> String {
    let mut words = Vec::new();
    words.extend(expect.min.map(|min| format!("at least {min}")));
    words.extend(expect.max.map(|max| format!("at most {max}")));
    words.extend(expect.equals.as_ref().map(|value| format!("equal to {value}")));
    if !expect.one_of.is_empty() {
        let values: Vec<String> = expect.one_of.iter().map(ToString::to_string).collect();
        words.push(format!("one of {}", values.join(", ")));
    }
    words.extend(expect.exit_code.map(|code| format!("exit code {code}")));
    if !expect.tolerate.is_zero() {
        words.push(format!("off for at most {}", expect.tolerate));
    }
    if words.is_empty() { "an answer".into() } else { words.join(" and ") }
}

/// The promise of a claim in words: what the promised share of requests is.
pub(super) fn promise(claim: ClaimSpec) -> String {
    match claim {
        ClaimSpec::Availability { .. } => "answered well".into(),
        ClaimSpec::Latency { under, .. } => format!("answered well within {under}"),
    }
}
