//! What a target names and the cluster does not have: a misspelt name hits nobody, and no pod says so.

use std::fmt;

use crate::model::{NamespaceScope, Target};
use crate::population::Population;
use crate::validate::closest;

/// Kinds that a population holds whether they have pods or not.
const ALWAYS_READ: [&str; 3] = ["Deployment", "StatefulSet", "ReplicaSet"];

/// Something that a target names and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is not there.
    pub what: String,
    /// Of what there is, what looks most like it.
    pub meant: Option<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no {}", self.what)?;
        self.meant.as_ref().map_or(Ok(()), |meant| write!(f, " (did you mean {meant}?)"))
    }
}

/// Everything of that kind. `namespaces` are those that the cluster has, as far as that is known.
pub fn missing(target: &Target, population: &Population, namespaces: &[String]) -> Vec<Missing> {
    let mut found = Vec::new();
    if let NamespaceScope::Named(names) = &target.namespaces {
        let is_there = |name: &str| population.namespaces.iter().any(|facts| facts.name == name);
        for name in names.iter().filter(|name| !is_there(name)) {
            let meant = closest(name, namespaces.iter().map(String::as_str)).map(str::to_owned);
            found.push(Missing { what: format!("namespace {name}"), meant });
        }
    }
    // Where no namespace is, no workload can be: the one name is what is wrong.
    if population.namespaces.is_empty() {
        return found;
    }
    let keys = || population.workloads.iter().map(|workload| &workload.key);
    for wanted in &target.workloads {
        if keys().any(|key| key.kind == wanted.kind && key.name == wanted.name) {
            continue;
        }
        let of_kind = keys().filter(|key| key.kind == wanted.kind).map(|key| key.name.as_str());
        let of_name = || keys().find(|key| key.name == wanted.name).map(|key| format!("{} {}", key.kind, key.name));
        let with_pods = if ALWAYS_READ.contains(&wanted.kind.as_str()) { "" } else { " with pods" };
        found.push(Missing {
            what: format!("{} {}{with_pods} in {}", wanted.kind, wanted.name, target.namespaces),
            meant: of_name().or_else(|| closest(&wanted.name, of_kind).map(str::to_owned)),
        });
    }
    found
}
