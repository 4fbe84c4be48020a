//! Limits on connections: how many in all, how many from one address, how many the process has descriptors for.
//!
//! Thread: the front admits; a [`Permit`] may be dropped on any thread, so it gives back by an atomic alone.
//! No socket, no clock. Invariant: a connection is counted exactly as long as its permit lives.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

use super::{Stats, count};

/// Addresses that may be remembered without a connection before the table is swept for the first time.
const ADDRESSES_SWEEP_MIN: usize = 1024;

/// File descriptors that subscribers leave to feeds and to the admin listener.
pub(super) const DESCRIPTORS_RESERVED: u64 = 48;

/// The front's book of connections. It is the only one who admits, so check and count need no lock.
pub(super) struct Limits {
    stats: Arc<Stats>,
    total_max: usize,
    per_address_max: usize,
    by_address: HashMap<IpAddr, Arc<Origin>>,
    /// Where addresses are not limited.
    anywhere: Arc<Origin>,
    sweep_at: usize,
}

/// One connection's place under the limits; free again when dropped.
pub(super) struct Permit {
    origin: Arc<Origin>,
}

/// Where connections come from. One pointer leads a permit to all that it is counted in: each subscriber has one for its life.
struct Origin {
    stats: Arc<Stats>,
    connections: AtomicUsize,
}

impl Origin {
    fn new(stats: &Arc<Stats>) -> Arc<Self> {
        Arc::new(Self { stats: Arc::clone(stats), connections: AtomicUsize::new(0) })
    }
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    /// Connections in all.
    Total,
    /// Connections from this address.
    Address,
}

impl Limits {
    /// Limits of 0 do not limit.
    pub(super) fn new(total_max: usize, per_address_max: usize, stats: Arc<Stats>) -> Self {
        let (by_address, anywhere) = (HashMap::new(), Origin::new(&stats));
        Self { stats, total_max, per_address_max, by_address, anywhere, sweep_at: ADDRESSES_SWEEP_MIN }
    }

    /// Admits one connection from this address.
    pub(super) fn admit(&mut self, address: IpAddr) -> Result<Permit, Exceeded> {
        // ORDERING: Relaxed here and below: the counts guard no other memory. A permit dropped meanwhile on
        // another thread may be seen late; that refuses one too many, never admits one.
        let connections = self.stats.connections.load(Ordering::Relaxed);
        if self.total_max != 0 && connections >= self.total_max as u64 {
            return Err(Exceeded::Total);
        }
        let origin = self.origin(address)?;
        origin.connections.fetch_add(1, Ordering::Relaxed);
        count(&self.stats.connections);
        Ok(Permit { origin })
    }

    /// Where a connection from this address is counted, if that has room.
    fn origin(&mut self, address: IpAddr) -> Result<Arc<Origin>, Exceeded> {
        if self.per_address_max == 0 {
            return Ok(Arc::clone(&self.anywhere));
        }
        self.sweep_when_large();
        // A dual-stack listener shows IPv4 peers as mapped addresses: the same host, the same count.
        let stats = &self.stats;
        let origin = self.by_address.entry(address.to_canonical()).or_insert_with(|| Origin::new(stats));
        if origin.connections.load(Ordering::Relaxed) >= self.per_address_max {
            return Err(Exceeded::Address);
        }
        Ok(Arc::clone(origin))
    }

    /// Forgets addresses without a connection. Doubling what is left keeps the cost a constant per admission, and
    /// the table within twice the addresses that are connected.
    fn sweep_when_large(&mut self) {
        if self.by_address.len() < self.sweep_at {
            return;
        }
        self.by_address.retain(|_, origin| origin.connections.load(Ordering::Relaxed) > 0);
        self.sweep_at = ADDRESSES_SWEEP_MIN.max(2 * self.by_address.len());
    }
}

/// Whether a descriptor is one of the last so many that the process may have. The kernel gives the lowest that is
/// free, so then nearly all are in use.
pub(super) fn is_near_the_last(descriptor: &impl AsRawFd, reserved: u64) -> bool {
    let end = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    u64::try_from(descriptor.as_raw_fd()).is_ok_and(|number| number >= end.saturating_sub(reserved))
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.origin.stats.connections.fetch_sub(1, Ordering::Relaxed);
        self.origin.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn limits(total_max: usize, per_address_max: usize) -> Limits {
        Limits::new(total_max, per_address_max, Arc::new(Stats::default()))
    }

    fn host(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn zero_is_no_limit_and_keeps_no_table() {
        let mut limits = limits(0, 0);
        let permits: Vec<_> = (0..5000).filter_map(|_| limits.admit(host(1)).ok()).collect();
        assert_eq!(permits.len(), 5000);
        assert!(limits.by_address.is_empty());
    }

    #[test]
    fn a_mapped_address_is_the_host_it_maps() {
        let mut limits = limits(0, 1);
        let plain = Ipv4Addr::LOCALHOST;
        let _permit = limits.admit(plain.into()).ok();
        assert_eq!(limits.admit(plain.to_ipv6_mapped().into()).err(), Some(Exceeded::Address));
        assert!(limits.admit(Ipv6Addr::LOCALHOST.into()).is_ok(), "::1 is another address");
    }

    #[test]
    fn addresses_that_left_are_forgotten() {
        let mut limits = limits(0, 1);
        let staying = limits.admit(host(0)).ok();
        for number in 1..100_000 {
            assert!(limits.admit(host(number)).is_ok());
            assert!(limits.by_address.len() <= ADDRESSES_SWEEP_MIN);
        }
        assert_eq!(limits.admit(host(0)).err(), Some(Exceeded::Address), "one that stays is not");
        drop(staying);
        assert!(limits.admit(host(0)).is_ok());
    }

    proptest! {
        /// Against a list of who is connected: admitted exactly when neither limit is reached.
        #[test]
        fn admits_as_a_plain_list_would(
            total_max in 0_usize..6,
            per_address_max in 0_usize..4,
            steps in prop::collection::vec((0_u32..3, any::<prop::sample::Index>(), any::<bool>()), 0..60),
        ) {
            let mut limits = limits(total_max, per_address_max);
            let mut connected: Vec<(u32, Permit)> = Vec::new();
            for (number, leaver, leaves) in steps {
                if leaves && !connected.is_empty() {
                    connected.swap_remove(leaver.index(connected.len()));
                    continue;
                }
                let here = connected.iter().filter(|(other, _)| *other == number).count();
                let expected = if total_max != 0 && connected.len() >= total_max {
                    Some(Exceeded::Total)
                } else if per_address_max != 0 && here >= per_address_max {
                    Some(Exceeded::Address)
                } else {
                    None
                };
                let admitted = limits.admit(host(number));
                prop_assert_eq!(admitted.as_ref().err().copied(), expected);
                connected.extend(admitted.ok().map(|permit| (number, permit)));
                prop_assert_eq!(limits.stats.connections.load(Ordering::Relaxed), connected.len() as u64);
            }
        }
    }
}
