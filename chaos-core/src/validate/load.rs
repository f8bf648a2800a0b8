//! `kind: LoadTest`: its flows, and what they must show.

use std::collections::HashMap;

use super::path::Path;
use super::problem::Problems;
use super::target::name;
use super::{Meta, http, names};
use crate::api;
use crate::load::Threshold;
use crate::model::{Flow, LoadTest};
use crate::units::Duration;

const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The load test, if it is valid.
pub(super) fn load(raw: &api::LoadTestSpec, meta: &Meta, problems: &mut Problems) -> Option<LoadTest> {
    let at = Path::root().field("spec");
    meta.check(problems);
    if raw.duration.is_zero() {
        problems.add(&at.field("duration"), "nothing is due in no time").hint("30s is a start");
    } else if raw.duration > LONGEST {
        problems.add(&at.field("duration"), format!("{} is longer than a day", raw.duration));
    }
    let mut seen = HashMap::new();
    let flows = raw.flows.iter().enumerate().map(|(i, raw)| {
        let at = at.field("flows").index(i);
        name(&raw.name, names::dns_label, &at.field("name"), problems);
        if let Some(first) = seen.insert(raw.name.as_str(), i) {
            problems
                .add(&at.field("name"), format!("{:?} is the name of flow {} already", raw.name, first + 1))
                .hint("results are told by name: give each flow its own");
        }
        flow(raw, meta, &at, problems)
    });
    let flows: Option<Vec<Flow>> = flows.collect::<Vec<_>>().into_iter().collect();
    Some(LoadTest { name: meta.name.clone(), duration: raw.duration, flows: flows?, seed: raw.seed })
}

fn flow(raw: &api::LoadFlow, meta: &Meta, at: &Path, problems: &mut Problems) -> Option<Flow> {
    let load = http::load(&raw.http, &meta.namespace, &at.field("http"), problems);
    let mut thresholds = Vec::new();
    for (i, text) in raw.thresholds.iter().enumerate() {
        match text.parse::<Threshold>() {
            Ok(threshold) => thresholds.push(threshold),
            Err(error) => {
                let at = at.field("thresholds").index(i);
                problems.add(&at, error.message).hint(error.hint);
            }
        }
    }
    Some(Flow { name: raw.name.clone(), load: load?, thresholds })
}
