//! `attempts` and `initialDelay`: allowed only where they cannot heal an outage. A second try asks again where there was *no*
//! answer, so it is for probes whose silence says nothing about the system under test; a delay may not reach into the fault.
//! For the same reason no look may wait an outage out, and none may be tolerated that fits between two looks.

use super::path::Path;
use super::probe::{Around, LONGEST_TIMEOUT, Raw};
use super::problem::Problems;
use crate::api::{self, When};
use crate::model::{Moment, Patience, Probe, ProbeKind};
use crate::units::Duration;

/// No first look is put off longer.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// How patiently the probe looks; what is not allowed is a problem.
pub(super) fn patience(
    raw: &api::Probe,
    kind: &Raw<'_>,
    around: Around<'_>,
    at: &Path,
    problems: &mut Problems,
) -> Patience {
    let patience = Patience { attempts: raw.attempts.max(1), initial_delay: raw.initial_delay.unwrap_or_default() };
    if patience.attempts > 1 {
        attempts(raw, kind, patience.attempts, &at.field("attempts"), problems);
    }
    if !patience.initial_delay.is_zero() {
        delay(raw, kind, patience.initial_delay, around, &at.field("initialDelay"), problems);
    }
    patience
}

/// What may be off between two looks that nobody sees.
pub(super) fn between_looks(probe: &Probe, at: &Path, problems: &mut Problems) {
    let Some(Moment::Continuous { every }) = probe.when() else { return };
    let tolerated = probe.tolerates();
    if !tolerated.is_zero() && tolerated < every {
        problems
            .add(
                &at.fields("expect.for"),
                format!("nobody looks for {every} from one look to the next, so {tolerated} cannot be told"),
            )
            .hint("give at least every, twice as much to tell one look that was off from a long outage");
    }
    // Their answer is whether they get one: who waits for it longer than it may be off sees no outage.
    let (kind, timeout) = match &probe.kind {
        ProbeKind::Command(command) => ("command", command.timeout),
        ProbeKind::Tcp(tcp) => ("tcp", tcp.timeout),
        ProbeKind::Grpc(grpc) => ("grpc", grpc.timeout),
        ProbeKind::Http(_) | ProbeKind::Prometheus(_) | ProbeKind::Kubernetes(_) | ProbeKind::Invariants(_) => return,
    };
    let most = every.max(tolerated);
    if timeout > most {
        problems
            .add(&at.field(kind).field("timeout"), format!("a look that waits {timeout} waits an outage out"))
            .hint(format!(
                "at most {most}: a longer every, or expect: {{for: {timeout}}} to say that it may be off so long"
            ));
    }
}

fn attempts(raw: &api::Probe, kind: &Raw<'_>, attempts: u32, at: &Path, problems: &mut Problems) {
    match kind {
        Raw::Http(_) => problems
            .add_at_key(at, "a second try would heal the outage that is to be measured")
            .hint("leave it out: each request is sent once, and what it may cost stands in slo"),
        Raw::Tcp(_) | Raw::Grpc(_) => problems
            .add_at_key(at, "that nobody answers is the answer of this probe: a second try would heal it")
            .hint("leave it out; expect: {for: 5s} says how long it may be off, and the claim says so too"),
        Raw::Command(_) if raw.when != When::Before => problems
            .add_at_key(at, "a program that hung in an outage could answer at its second try")
            .hint("leave it out, or look before the fault only"),
        Raw::Prometheus(_) | Raw::Kubernetes(_) | Raw::Command(_) | Raw::Invariants(_) => {}
    }
    let timeout = match kind {
        Raw::Prometheus(kind) => kind.timeout,
        Raw::Command(kind) => kind.timeout,
        Raw::Invariants(kind) => kind.timeout,
        Raw::Kubernetes(_) | Raw::Http(_) | Raw::Tcp(_) | Raw::Grpc(_) => return,
    };
    let all = timeout.std().saturating_mul(attempts);
    if all > LONGEST_TIMEOUT.std() {
        problems
            .add(at, format!("{attempts} attempts of {timeout} take {}", Duration::from(all)))
            .hint(format!("all together at most {LONGEST_TIMEOUT}"));
    }
}

fn delay(raw: &api::Probe, kind: &Raw<'_>, delay: Duration, around: Around<'_>, at: &Path, problems: &mut Problems) {
    // Their answers are about what happened, not about how things are when they are asked.
    let looks_back = match kind {
        Raw::Invariants(_) => true,
        Raw::Prometheus(query) => window(query).is_some_and(|window| window >= delay),
        _ => false,
    };
    // A checker that is asked "continuously" is asked at the end.
    let at_the_end = raw.when == When::After || (matches!(kind, Raw::Invariants(_)) && raw.when == When::Continuous);
    if delay > LONGEST_DELAY {
        problems.add(at, format!("{delay} is longer than {LONGEST_DELAY}"));
        return;
    }
    if matches!(kind, Raw::Http(_)) {
        problems
            .add_at_key(at, "load begins with the run: what is not measured could be an outage")
            .hint("leave it out, and give the system its time before the run");
    } else if at_the_end && !looks_back {
        problems
            .add_at_key(at, "what is down after the recovery could heal while nobody looks")
            .hint("leave it out, and give phases.recovery the time that it takes");
    } else if raw.when == When::Continuous && !at_the_end && delay >= around.baseline {
        problems
            .add(
                at,
                format!("the first look would be {delay} after the start, and the fault begins at {}", around.baseline),
            )
            .hint("the baseline must be longer than it");
    }
}

/// How far back a query looks, by its range or by the longest window in it.
fn window(query: &api::PrometheusProbe) -> Option<Duration> {
    let parsed = super::queries::parsed(&query.query)?;
    query.range.map(|range| range.over).max(crate::promql::facts(&parsed).longest)
}
