//! A bounded rate limit per source, for sockets that anyone can send to.

use sentinel_model::{Millis, Monotonic};
use std::{collections::HashMap, net::IpAddr};

/// How many sources are told apart. When the table is full and nobody can be forgotten, newcomers are refused: memory
/// stays bounded and known sources keep being served.
const MAX_SOURCES: usize = 4096;
/// How often the table is cleared of sources that have been quiet, once it is full.
const SWEEP: Millis = Millis::secs(1);

/// So many packets per second and source, with bursts of as many.
#[derive(Debug)]
pub(crate) struct Limiter {
    per_second: u64,
    sources: HashMap<IpAddr, Bucket>,
    swept: Monotonic,
}

#[derive(Debug)]
struct Bucket {
    /// In thousandths of a packet, so that a millisecond refills a whole number.
    level: u64,
    at: Monotonic,
}

impl Limiter {
    /// A limiter for so many packets per second from one source.
    pub(crate) fn new(per_second: u64) -> Self {
        Self { per_second, sources: HashMap::new(), swept: Monotonic(0) }
    }

    /// Whether one more packet from this source is within its rate. IPv6 hosts are counted by their /64, within which
    /// they pick addresses at will.
    pub(crate) fn admits(&mut self, source: IpAddr, now: Monotonic) -> bool {
        let full = self.per_second.saturating_mul(1000);
        let source = subnet(source);
        if !self.sources.contains_key(&source) && self.sources.len() >= MAX_SOURCES {
            // Once a second at most, or forged sources could make every packet cost a walk through the table.
            if now.since(self.swept) < SWEEP {
                return false;
            }
            self.swept = now;
            // A bucket untouched for a second is full again: forgetting it changes nothing.
            self.sources.retain(|_, bucket| now.since(bucket.at) < SWEEP);
            if self.sources.len() >= MAX_SOURCES {
                return false;
            }
        }
        let bucket = self.sources.entry(source).or_insert(Bucket { level: full, at: now });
        let refill = now.since(bucket.at).0.saturating_mul(self.per_second);
        bucket.level = bucket.level.saturating_add(refill).min(full);
        bucket.at = now;
        match bucket.level.checked_sub(1000) {
            Some(rest) => {
                bucket.level = rest;
                true
            }
            None => false,
        }
    }
}

fn subnet(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_limited_and_others_are_not() {
        let mut limiter = Limiter::new(5);
        let (loud, quiet) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let taken = (0..100).filter(|_| limiter.admits(loud, Monotonic(0))).count();
        assert_eq!(taken, 5);
        assert!(limiter.admits(quiet, Monotonic(0)));
        assert!(limiter.admits(loud, Monotonic(200)), "a fifth of a second refills one of five");
        assert!(!limiter.admits(loud, Monotonic(200)));
    }

    #[test]
    fn memory_is_bounded_and_neighbours_in_one_subnet_count_as_one() {
        let mut limiter = Limiter::new(1);
        assert!(limiter.admits("2001:db8::1".parse().unwrap(), Monotonic(0)));
        assert!(!limiter.admits("2001:db8::2".parse().unwrap(), Monotonic(0)));
        for source in 0..20_000_u32 {
            limiter.admits(IpAddr::V4(source.into()), Monotonic(0));
        }
        assert!(limiter.sources.len() <= MAX_SOURCES);
        assert!(
            limiter.admits("198.51.100.1".parse().unwrap(), Monotonic(5000)),
            "old sources are forgotten"
        );
    }
}
