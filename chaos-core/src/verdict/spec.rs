//! What a run is judged by: the part of a validated experiment that the verdict needs. Plain data.

use super::rule;
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
    Expectation(Expected),
    /// The application's own checker: any violation fails the run.
    Invariants {
        /// Whether it must have checked something from the beginning of the fault on.
        after_fault: bool,
    },
}

/// What answers must be, and how they are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// What is expected, in words.
    pub words: String,
    /// How long answers may be off before it counts.
    pub tolerate: Duration,
    /// Whether there must be an answer from the beginning of the fault on.
    pub after_fault: bool,
    /// Longest time from one look to the next, for a probe that looks all the time.
    pub gap: Option<Duration>,
}

/// A look may begin this late on a busy machine.
const LATE: std::time::Duration = std::time::Duration::from_secs(2);

impl Expected {
    fn new(words: String, probe: &Probe) -> Self {
        let gap = match probe.when() {
            Some(Moment::Continuous { every }) => {
                Some(every.std().saturating_add(probe.longest_look()).saturating_add(LATE).into())
            }
            _ => None,
        };
        Self { words, tolerate: probe.tolerates(), after_fault: probe.when() != Some(Moment::Before), gap }
    }

    /// As it is judged for that probe.
    pub(super) fn of<'a>(&'a self, probe: &'a str) -> super::expectation::Expectation<'a> {
        super::expectation::Expectation {
            probe,
            expected: &self.words,
            tolerate: self.tolerate.std(),
            after_fault: self.after_fault,
            gap: self.gap.map(Duration::std),
        }
    }
}

impl JudgeSpec {
    /// `m`: the number of tests over kill windows that can fail the run by chance. It divides α for failing only.
    pub fn chances_to_fail(&self) -> usize {
        let of = |probe: &ProbeSpec| match &probe.judged_by {
            JudgedBy::Slo(slo) => slo.claims.len() * rule::chances_to_fail(&slo.evidence),
            JudgedBy::Expectation(_) | JudgedBy::Invariants { .. } => 0,
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
            ProbeKind::Invariants(checker) => JudgedBy::Invariants { after_fault: checker.when != Moment::Before },
            kind => JudgedBy::Expectation(Expected::new(expected(kind, probe.tolerates()), probe)),
        };
        Self { name: probe.name.clone(), judged_by }
    }
}

/// What is expected of an answer, in words; of load and of a checker nothing is.
fn expected(kind: &ProbeKind, tolerate: Duration) -> String {
    match kind {
        ProbeKind::Http(_) | ProbeKind::Invariants(_) => String::new(),
        ProbeKind::Prometheus(prometheus) => match prometheus.range {
            None => words(&prometheus.expect),
            Some(range) => format!("each {} over {}: {}", range.step, range.over, words(&prometheus.expect)),
        },
        ProbeKind::Kubernetes(kubernetes) => match &kubernetes.question {
            Question::Field { .. } => words(&kubernetes.expect),
            Question::Condition { condition, .. } => tolerated(format!("condition {condition}"), tolerate),
            Question::Count { selector, condition } => {
                let with = condition.as_ref().map(|condition| format!(" with {condition}")).unwrap_or_default();
                format!("{} objects {selector}{with}", words(&kubernetes.expect))
            }
        },
        ProbeKind::Command(command) => words(&command.expect),
        ProbeKind::Tcp(tcp) => tolerated(format!("a connection to {}:{}", tcp.host, tcp.port), tolerate),
        ProbeKind::Grpc(_) => tolerated("a gRPC server that serves".to_owned(), tolerate),
    }
}

/// What is expected, and how long it may be off.
fn tolerated(what: String, tolerate: Duration) -> String {
    if tolerate.is_zero() { what } else { format!("{what}, off for at most {tolerate}") }
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
