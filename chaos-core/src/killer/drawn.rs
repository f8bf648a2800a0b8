//! What a plan is drawn from, as it is digested: a form of its own, in the words of manifests. Neither a renamed field of
//! the program nor how it prints a value may change it, or an upgrade draws all stored plans anew. What moves no strike
//! stays out.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{KillerSpec, Streams};
use crate::digest::hex;
use crate::model::{
    Blackout, Distribution, Every, GroupBy, Kinds, Minute, NamePattern, Names, NamespaceScope, Schedule, Target,
    WorkloadRef,
};
use crate::units::Duration;

/// So many bytes of the hash tell two specs of one monkey apart.
const KEPT: usize = 8;

/// What the instants and the groups of a plan depend on. Names and order of the fields here are the form.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Drawn<'a> {
    mean: Duration,
    min: Duration,
    distribution: Distribution,
    streams: &'static str,
    schedule: Calendar<'a>,
    until: Option<Timestamp>,
    seed: i64,
    group: &'a GroupBy,
    target: Pods<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calendar<'a> {
    zone: &'a str,
    /// Days since Monday.
    weekdays: Vec<i8>,
    /// Minutes since midnight.
    windows: Vec<[u16; 2]>,
    blackout: Vec<Free>,
}

/// A time without chaos. Why is for people.
#[derive(Serialize)]
#[serde(untagged)]
enum Free {
    Day(Date),
    Span([Timestamp; 2]),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pods<'a> {
    environment: Option<&'a str>,
    workloads: &'a [WorkloadRef],
    selector: String,
    namespaces: Namespaces<'a>,
    pod_names: Filter<Option<String>>,
    owner_kinds: Filter<&'a BTreeSet<String>>,
    nodes: Option<String>,
    zones: &'a BTreeSet<String>,
    min_age: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Namespaces<'a> {
    Names(&'a BTreeSet<String>),
    Selector(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Filter<T> {
    include: T,
    exclude: T,
}

/// The first bytes of the SHA-256 of the form, in hex.
pub(super) fn digest(spec: &KillerSpec) -> String {
    hex(&Sha256::digest(form(spec))[..KEPT])
}

/// The form, as JSON.
pub(super) fn form(spec: &KillerSpec) -> String {
    let Every { mean, min, distribution } = spec.every;
    let drawn = Drawn {
        mean,
        min,
        distribution,
        streams: match spec.streams {
            Streams::PerGroup => "perGroup",
            Streams::Single => "single",
        },
        schedule: calendar(&spec.schedule),
        until: spec.until(),
        seed: spec.seed,
        group: &spec.kill.group,
        target: pods(&spec.target),
    };
    // It is made of texts and numbers: it always serialises.
    serde_json::to_string(&drawn).unwrap_or_default()
}

fn calendar(schedule: &Schedule) -> Calendar<'_> {
    let Schedule { zone, weekdays, windows, blackout } = schedule;
    let free = |blackout: &Blackout| match blackout {
        Blackout::Day { date, reason: _ } => Free::Day(*date),
        Blackout::Span { from, to, reason: _ } => Free::Span([*from, *to]),
    };
    Calendar {
        // A manifest names its zone, so it has a name.
        zone: zone.iana_name().unwrap_or_default(),
        weekdays: weekdays.iter().map(|day| day.since_monday()).collect(),
        windows: windows.iter().map(|window| [window.from, window.to].map(Minute::since_midnight)).collect(),
        blackout: blackout.iter().map(free).collect(),
    }
}

/// Selectors stand as kubectl takes them.
fn pods(target: &Target) -> Pods<'_> {
    let Target { environment, workloads, selector, namespaces, pod_names, owner_kinds, nodes, zones, min_age } = target;
    let Names { include, exclude } = pod_names;
    let source = |pattern: &Option<NamePattern>| pattern.as_ref().map(ToString::to_string);
    let Kinds { include: kinds, exclude: other_kinds } = owner_kinds;
    Pods {
        environment: environment.as_deref(),
        workloads,
        selector: selector.to_string(),
        namespaces: match namespaces {
            NamespaceScope::Named(names) => Namespaces::Names(names),
            NamespaceScope::Labelled(selector) => Namespaces::Selector(selector.to_string()),
        },
        pod_names: Filter { include: source(include), exclude: source(exclude) },
        owner_kinds: Filter { include: kinds, exclude: other_kinds },
        nodes: nodes.as_ref().map(ToString::to_string),
        zones,
        min_age: *min_age,
    }
}
