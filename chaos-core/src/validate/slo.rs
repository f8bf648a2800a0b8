//! `slo`: the promise of an http probe, and what a pass must prove.

use super::path::Path;
use super::problem::Problems;
use crate::api;
use crate::model::{ClaimSpec, DeclaredOutage, Evidence, Slo};
use crate::units::Percent;

/// The promise, if it is valid.
pub(super) fn slo(raw: &api::Slo, http: &api::HttpProbe, at: &Path, problems: &mut Problems) -> Option<Slo> {
    let mut claims = Vec::new();
    if let Some(share) = raw.availability {
        between(share, &at.field("availability"), problems);
        claims.push(ClaimSpec::Availability { share });
    }
    if let Some(latency) = raw.latency {
        let at = at.field("latency");
        between(latency.share, &at.field("share"), problems);
        if latency.under.is_zero() {
            problems.add(&at.field("under"), "nothing answers in no time");
        } else if latency.under > http.timeout {
            problems
                .add(&at.field("under"), format!("{} is longer than the timeout {}", latency.under, http.timeout))
                .hint("a request that is given up cannot be slow: raise http.timeout or lower this");
        }
        if http.success.within.is_some_and(|within| latency.under >= within) {
            problems
                .add(&at.field("under"), format!("an answer after {} is no success anyway", latency.under))
                .hint("http.success.within must be longer than this, or be left out");
        }
        claims.push(ClaimSpec::Latency { under: latency.under, share: latency.share });
    }
    if claims.is_empty() {
        problems.add_at_key(at, "nothing is promised").hint("give availability, latency {under, share}, or both");
    }
    between(raw.confidence, &at.field("confidence"), problems);
    if raw.confidence.ratio() > 0.0 && raw.confidence.ratio() < 0.5 {
        problems
            .add(&at.field("confidence"), format!("{} is less than a coin toss", raw.confidence))
            .hint("95% is usual");
    }
    if raw.requests_per30d == Some(0) {
        problems.add(&at.field("requestsPer30d"), "there is no budget of no requests").hint("leave it out");
    }
    let declared =
        raw.declared.map(|declared| DeclaredOutage { detection: declared.detection, rescued: declared.rescued });
    if declared.is_some_and(|declared| declared.detection.is_zero()) {
        problems
            .add(&at.fields("declared.detection"), "a dead pod is not noticed in no time")
            .hint("leave declared out where a kill costs nothing by design");
    }
    let evidence = evidence(&raw.evidence, http, &at.field("evidence"), problems)?;
    (!claims.is_empty()).then_some(Slo {
        claims,
        confidence: raw.confidence,
        evidence,
        requests_per_30d: raw.requests_per30d,
        declared,
    })
}

fn evidence(raw: &api::Evidence, http: &api::HttpProbe, at: &Path, problems: &mut Problems) -> Option<Evidence> {
    let needs_exposure = |name: &str, problems: &mut Problems| {
        if http.exposure.is_none() {
            problems
                .add_at_key(&at.field(name), "only kills of pods that served requests certify anything, and it is not said how that is known")
                .hint("add http.exposure: {header: …} with a response header that lists the pods, or ask for observed: {}");
        }
    };
    match (&raw.observed, &raw.harmless_kills, &raw.availability) {
        (Some(_), None, None) => Some(Evidence::Observed),
        (None, Some(harmless), None) => {
            between(harmless.share, &at.fields("harmlessKills.share"), problems);
            needs_exposure("harmlessKills", problems);
            Some(Evidence::HarmlessKills { share: harmless.share, max_loss: harmless.max_loss })
        }
        (None, None, Some(certified)) => {
            needs_exposure("availability", problems);
            Some(Evidence::Availability {
                worst_loss_per_kill: certified.worst_loss_per_kill,
                source: certified.source.clone(),
            })
        }
        (None, None, None) => {
            problems.add_at_key(at, "it is not said what a pass must prove").hint(
                "give one of observed: {}, harmlessKills: {share, maxLoss}, availability: {worstLossPerKill, source}",
            );
            None
        }
        _ => {
            problems
                .add_at_key(at, "more than one kind of evidence is asked for")
                .hint("keep one; a higher one includes observed");
            None
        }
    }
}

/// A share that can be proven and refuted: neither nothing nor everything.
fn between(share: Percent, at: &Path, problems: &mut Problems) {
    if share.ratio() <= 0.0 {
        problems.add(at, "0% promises nothing");
    } else if share.complement() <= 0.0 {
        problems.add(at, "100% cannot be proven by any number of samples").hint("99.99% can");
    }
}
