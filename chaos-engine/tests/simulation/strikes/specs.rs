//! The killers that play in a schedule: the monkey, as its manifest says it and the schedule wants it, and a run that kills by
//! itself.

use std::sync::LazyLock;

use chaos_core::api::ChaosMonkeySpec;
use chaos_core::killer::{Killer, KillerSpec, Life, Streams, Victims};
use chaos_core::model::{GroupBy, KillMode, Mode, NamespaceScope, Policy, Schedule};
use chaos_core::units::{CountOrPercent, Duration};
use chaos_core::validate::{self, Meta};
use serde_json::json;

use super::bugs::Bug;
use super::cluster::{NS, WORKLOADS, start};
use super::metrics::guards;
use super::scenario::{MONKEY, OTHER, Scenario};
use crate::seats::millis;

/// A monkey as its manifest says it. To read one takes as long as to play a short schedule, so it is done once.
pub(super) static MANIFEST: LazyLock<ChaosMonkeySpec> = LazyLock::new(|| {
    let spec = json!({
        "target": {"workloads": [{"kind": "StatefulSet", "name": "trips"}, {"kind": "StatefulSet", "name": "gateway"}]},
        "fault": {"podKill": {"mode": "Delete", "group": "Namespace"}},
        "mode": "Live", "meanTimeBetweenKills": "3s", "minTimeBetweenKills": "500ms", "schedule": {}, "guards": [],
        "limits": {
            "maxUnavailable": 1, "minReady": 1, "maxKills": 6, "minInterval": "0s", "recoverWithin": "100s",
            "maxBlind": "50s", "allowForce": false,
        },
        "until": (start() + millis(60_000)).to_string(), "maxKills": 6,
        "heartbeatLease": {"name": "beat", "interval": "2s"},
        "seed": 0,
    });
    serde_json::from_value(spec).unwrap()
});

/// The same, as it is meant.
static SPEC: LazyLock<KillerSpec> = LazyLock::new(|| {
    let meta = Meta { name: "m".into(), namespace: NS.into(), uid: MONKEY.into() };
    let monkey = validate::monkey(&MANIFEST, &meta).unwrap_or_else(|problems| panic!("{problems:?}"));
    KillerSpec::of_monkey(&monkey, "chaos-system")
});

/// The monkey of a schedule.
pub(crate) fn monkey(scenario: &Scenario) -> KillerSpec {
    let mut spec = SPEC.clone();
    let size = scenario.size;
    spec.seed = scenario.seed.cast_signed();
    (spec.every.mean, spec.every.min) = (Duration::from_millis(size.mean), Duration::from_millis(size.min));
    spec.life = Life::OfRun {
        until: scenario.until(),
        strikes: size.strikes.0,
        heartbeat: Some(millis(size.beat).unsigned_abs()),
    };
    spec.limits.max_kills = size.strikes.0;
    spec.limits.max_unavailable = scenario.max_unavailable();
    spec.limits.min_ready = scenario.min_ready();
    spec.limits.recover_within = Duration::from_secs(size.recover_within);
    spec.limits.max_blind = Duration::from_secs(size.max_blind);
    // A manifest may not ask for more kills than its limits allow; here two killers share a workload, so that they do.
    spec.limits.min_interval = Duration::from_millis(scenario.min_interval.unsigned_abs());
    // The manifest of a run's monkey may name none, and the machine keeps those that it is given.
    if scenario.is_guarded && scenario.bug != Some(Bug::GuardsIgnored) {
        spec.guards = guards();
    }
    let namespaces = WORKLOADS.map(|workload| scenario.namespace(workload).to_owned());
    spec.target.namespaces = NamespaceScope::Named(namespaces.into());
    if scenario.has_rivals() {
        spec.target.workloads.retain(|workload| workload.name == WORKLOADS[0]);
    }
    if scenario.by_workload {
        spec.kill.group = GroupBy::Workload;
    }
    if scenario.disruptions.is_some() {
        spec.kill.mode = KillMode::Evict;
    }
    if let Some(standing) = scenario.standing {
        spec.life = Life::Standing;
        spec.limits.max_kills = standing.kills;
        spec.schedule = scenario.schedule(standing);
        spec.mode = if standing.is_dry { Mode::DryRun } else { Mode::Live };
    }
    match scenario.bug {
        Some(Bug::MinIntervalIgnored) => spec.limits.min_interval = Duration::from_millis(0),
        Some(Bug::WindowIgnored) => spec.schedule = Schedule::always(),
        Some(Bug::MinReadyIgnored) => spec.limits.min_ready = 0,
        _ => {}
    }
    spec
}

/// Another monkey of the same operator.
pub(super) fn other(scenario: &Scenario) -> Killer {
    let mut spec = KillerSpec { run: OTHER.to_owned(), ..monkey(scenario) };
    if scenario.has_rivals() {
        // The same plan, and no budget in common.
        spec.target.workloads.clone_from(&SPEC.target.workloads);
        spec.target.workloads.retain(|workload| workload.name == WORKLOADS[1]);
    } else {
        spec.seed = spec.seed.wrapping_add(2);
    }
    Killer::new(spec)
}

/// A run that kills by itself, beside the monkey.
pub(crate) fn own_killer(scenario: &Scenario) -> Killer {
    let size = scenario.size;
    let mut spec = monkey(scenario);
    // Those of a standing monkey are of a day.
    spec.limits.max_kills = size.strikes.0.max(size.strikes.1 * scenario.victims);
    Killer::new(KillerSpec {
        run: "run".to_owned(),
        victims: Victims { count: CountOrPercent::Count(scenario.victims), at_least_one: true },
        guards: Vec::new(),
        policy: Policy::cli(NS),
        streams: Streams::Single,
        schedule: Schedule::always(),
        mode: Mode::Live,
        life: Life::OfRun { until: scenario.until(), strikes: size.strikes.1, heartbeat: None },
        seed: spec.seed.wrapping_add(1),
        ..spec
    })
}
