//! Addresses of one cluster: which loopback range it owns and who holds which address in it.
//!
//! Every cluster owns one `127.A.0.0/16`. Linux answers on all of `127.0.0.0/8` without any set-up, so a pod can have an
//! address of its own with no privilege. This module hands addresses out; [`proxy`] makes those of Services answer.

mod proxy;
mod routes;

pub(crate) use proxy::ServiceProxy;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

/// Gives Services their cluster addresses. The API server calls it while it creates a Service, so that the address is
/// in the very first version of the object that anyone sees.
pub trait ServiceIpAllocator: Send + Sync {
    /// Reserves an address: the `requested` one, or any free one.
    fn allocate(&self, requested: Option<Ipv4Addr>) -> Result<Ipv4Addr, ServiceIpError>;
    /// Gives an address back. Addresses that were never handed out are ignored.
    fn release(&self, address: Ipv4Addr);
}

/// Why a Service got no address. The texts are those of the real API server's `spec.clusterIPs` causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServiceIpError {
    /// Another Service holds it.
    #[error("failed to allocate IP {0}: provided IP is already allocated")]
    Taken(Ipv4Addr),
    /// The address is not in this cluster's Service range.
    #[error("failed to allocate IP {0}: the provided IP is not in the valid range")]
    OutOfRange(Ipv4Addr),
    /// Every address is in use.
    #[error("failed to allocate a serviceIP: range is full")]
    Full,
}

/// The `127.A.0.0/16` of one cluster.
///
/// | part | use |
/// |---|---|
/// | `127.A.0.1` – `127.A.0.250` | nodes |
/// | `127.A.1.0` – `127.A.15.255` | Services |
/// | `127.A.16.0` – `127.A.253.255` | pods |
/// | `127.A.255.254` | the lock that says the range is taken |
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AddressRange {
    second_octet: u8,
}

impl AddressRange {
    /// Every range that a cluster may claim. `127.0/16` and `127.1/16` are left to everybody else on the machine.
    pub fn all() -> impl Iterator<Item = Self> {
        (2..=254).map(|second_octet| Self { second_octet })
    }

    /// The address whose UDP port [`Self::LOCK_PORT`] is held for as long as anything of the cluster lives.
    pub const fn lock_address(self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.second_octet, 255, 254)
    }

    /// The port of the lock. UDP, so that nothing can connect to it by accident.
    pub const LOCK_PORT: u16 = 10_250;

    /// The address of the node at `index`, counted from 0. More than 250 nodes share addresses.
    pub fn node(self, index: usize) -> Ipv4Addr {
        let last = u8::try_from(index % 250).unwrap_or(0) + 1;
        Ipv4Addr::new(127, self.second_octet, 0, last)
    }

    /// The pool that Services take their addresses from.
    pub fn services(self) -> AddressPool {
        AddressPool::new(self.address(1, 1), self.address(15, 254))
    }

    /// The pool that pods take their addresses from.
    pub fn pods(self) -> AddressPool {
        AddressPool::new(self.address(16, 1), self.address(253, 254))
    }

    const fn address(self, third: u8, fourth: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.second_octet, third, fourth)
    }
}

/// A range of addresses handed out in turn, so that one just given back is the last to be used again: a connection
/// meant for a dead pod must not reach the next one.
#[derive(Debug, Clone)]
pub struct AddressPool {
    inner: Arc<Mutex<PoolState>>,
}

#[derive(Debug)]
struct PoolState {
    first: u32,
    last: u32,
    next: u32,
    taken: BTreeSet<u32>,
}

impl AddressPool {
    /// A pool of the addresses from `first` to `last`, both included.
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Self {
        let (first, last) = (first.to_bits(), last.to_bits());
        Self { inner: Arc::new(Mutex::new(PoolState { first, last, next: first, taken: BTreeSet::new() })) }
    }

    fn with_state<R>(&self, act: impl FnOnce(&mut PoolState) -> R) -> R {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServiceIpAllocator for AddressPool {
    fn allocate(&self, requested: Option<Ipv4Addr>) -> Result<Ipv4Addr, ServiceIpError> {
        self.with_state(|pool| match requested {
            Some(wanted) => pool.take(wanted),
            None => pool.take_next(),
        })
    }

    fn release(&self, address: Ipv4Addr) {
        self.with_state(|pool| pool.taken.remove(&address.to_bits()));
    }
}

impl PoolState {
    fn take(&mut self, wanted: Ipv4Addr) -> Result<Ipv4Addr, ServiceIpError> {
        let bits = wanted.to_bits();
        if !(self.first..=self.last).contains(&bits) {
            return Err(ServiceIpError::OutOfRange(wanted));
        }
        if self.taken.insert(bits) { Ok(wanted) } else { Err(ServiceIpError::Taken(wanted)) }
    }

    fn take_next(&mut self) -> Result<Ipv4Addr, ServiceIpError> {
        let size = self.last - self.first + 1;
        for _ in 0..size {
            let candidate = self.next;
            self.next = if candidate == self.last { self.first } else { candidate + 1 };
            // The .0 and .255 of each /24 look like network addresses to people; they are left out.
            if !matches!(candidate & 0xff, 0 | 0xff) && self.taken.insert(candidate) {
                return Ok(Ipv4Addr::from_bits(candidate));
            }
        }
        Err(ServiceIpError::Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(last: u8) -> AddressPool {
        AddressPool::new(Ipv4Addr::new(127, 9, 1, 1), Ipv4Addr::new(127, 9, 1, last))
    }

    #[test]
    fn an_address_given_back_is_the_last_to_be_used_again() {
        let pool = pool(3);
        let first = pool.allocate(None).unwrap();
        pool.release(first);
        assert_eq!(pool.allocate(None).unwrap(), Ipv4Addr::new(127, 9, 1, 2));
        assert_eq!(pool.allocate(None).unwrap(), Ipv4Addr::new(127, 9, 1, 3));
        assert_eq!(pool.allocate(None).unwrap(), first);
        assert_eq!(pool.allocate(None), Err(ServiceIpError::Full));
    }

    #[test]
    fn a_requested_address_is_given_once_and_only_inside_the_range() {
        let pool = pool(3);
        let wanted = Ipv4Addr::new(127, 9, 1, 2);
        assert_eq!(pool.allocate(Some(wanted)), Ok(wanted));
        assert_eq!(pool.allocate(Some(wanted)), Err(ServiceIpError::Taken(wanted)));
        let outside = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(pool.allocate(Some(outside)), Err(ServiceIpError::OutOfRange(outside)));
    }

    #[test]
    fn parts_of_a_range_do_not_overlap() {
        let range = AddressRange::all().next().unwrap();
        let service = range.services().allocate(None).unwrap();
        let pod = range.pods().allocate(None).unwrap();
        assert_eq!(service, Ipv4Addr::new(127, 2, 1, 1));
        assert_eq!(pod, Ipv4Addr::new(127, 2, 16, 1));
        assert_eq!(range.node(0), Ipv4Addr::new(127, 2, 0, 1));
        assert_ne!(range.node(0), range.lock_address());
    }
}
