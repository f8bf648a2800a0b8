//! Which of the eligible pods a strike hits. The choice is a ranking by hash, so that neither the order of a list nor the
//! version of a random-number crate changes it: plan, dry run, kill and replay agree as long as seed, strike and UIDs do.
//!
//! The hash is FNV-1a (64 bit) over the parts, each followed by a zero byte, finished by the mixer of `SplitMix64`. It is part of
//! what a recorded run means: never change it.

use std::collections::BTreeMap;

use crate::eligible::Exclusion;
use crate::model::GroupBy;
use crate::population::{PodFacts, Population};

/// Pods by group, and those that belong to none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Groups<'a> {
    /// Pods by the name of their group; no group is empty.
    pub members: BTreeMap<String, Vec<&'a PodFacts>>,
    /// Pods without a group: without that label, without a zone, or where nodes may not be read.
    pub ungrouped: Vec<(&'a PodFacts, Ungrouped)>,
}

/// Why a pod has no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ungrouped {
    /// Zones are asked for, and nodes may not be read.
    NodesUnreadable,
    /// It has no node, its node no zone, the pod no such label, or its owners are not known.
    NoValue,
}

impl Ungrouped {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NodesUnreadable => Exclusion::NodesUnreadable.as_str(),
            Self::NoValue => "NoGroup",
        }
    }
}

/// Sorts pods into groups.
pub fn groups<'a>(by: &GroupBy, pods: impl IntoIterator<Item = &'a PodFacts>, population: &Population) -> Groups<'a> {
    let mut groups = Groups::default();
    for pod in pods {
        match group_of(by, pod, population) {
            Ok(group) => groups.members.entry(group).or_default().push(pod),
            Err(why) => groups.ungrouped.push((pod, why)),
        }
    }
    groups
}

/// The name of a pod's group: `namespace/Kind/name` of its workload, or the namespace, zone, node or label value itself.
pub fn group_of(by: &GroupBy, pod: &PodFacts, population: &Population) -> Result<String, Ungrouped> {
    let value = match by {
        GroupBy::Workload => pod.workload.as_ref().map(|key| format!("{}/{}/{}", key.namespace, key.kind, key.name)),
        GroupBy::Namespace => Some(pod.namespace.clone()),
        GroupBy::Node => pod.node.clone(),
        GroupBy::Label(key) => pod.labels.get(key).cloned(),
        GroupBy::Zone if population.nodes.is_none() => return Err(Ungrouped::NodesUnreadable),
        GroupBy::Zone => {
            let node = pod.node.as_deref().and_then(|name| population.node(name));
            node.and_then(|node| node.zone()).map(str::to_owned)
        }
    };
    value.ok_or(Ungrouped::NoValue)
}

/// The groups in the order in which strike number `strike` tries them. Over any run of as many strikes as there are groups,
/// counted from a multiple of that number, each group comes first exactly once, in an order that the seed draws anew.
pub fn group_order<'g>(seed: i64, strike: u64, groups: impl IntoIterator<Item = &'g str>) -> Vec<&'g str> {
    let mut names: Vec<&str> = groups.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    let Some(turn) = strike.checked_rem(names.len() as u64) else {
        return names;
    };
    let round = strike / names.len() as u64;
    let lot = lot(b"group", seed, round);
    names.sort_by_key(|name| drawn(lot, name));
    // `turn` is below the number of groups, which is a usize.
    names.rotate_left(usize::try_from(turn).unwrap_or_default());
    names
}

/// The pod that a strike hits: the one of the lowest rank, so that each is equally likely.
pub fn victim<'a>(seed: i64, strike: u64, pods: &[&'a PodFacts]) -> Option<&'a PodFacts> {
    let lot = lot(b"pod", seed, strike);
    pods.iter().copied().min_by_key(|pod| (drawn(lot, &pod.uid), pod.uid.as_str()))
}

/// The rank of a pod in a strike; the lowest is hit first.
pub fn rank(seed: i64, strike: u64, uid: &str) -> u64 {
    drawn(lot(b"pod", seed, strike), uid)
}

/// What the ranks of one draw have in common.
fn lot(of: &[u8], seed: i64, number: u64) -> u64 {
    absorbed(absorbed(absorbed(OFFSET, of), &seed.to_le_bytes()), &number.to_le_bytes())
}

/// FNV-1a's basis and prime, of 64 bits.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a goes on over a part, and a zero that ends it.
fn absorbed(hash: u64, part: &[u8]) -> u64 {
    part.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME)).wrapping_mul(PRIME)
}

/// The rank of one name, after SplitMix64's last steps: FNV-1a alone leaves the high bits of short texts alike.
fn drawn(lot: u64, name: &str) -> u64 {
    let mut z = absorbed(lot, name.as_bytes());
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
