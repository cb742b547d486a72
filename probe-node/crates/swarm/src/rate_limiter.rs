//! A rate limit per source address, with bounded memory, for sockets that anyone can send to.

use sentinel_model::{Millis, Monotonic};
use std::{collections::HashMap, net::IpAddr};

/// The most sources tracked at once.
///
/// When the table is full of active sources, new ones are refused: memory stays bounded and the
/// sources in the table are still served.
const MAX_SOURCES: usize = 4096;
/// How often quiet sources are removed from a full table, at most.
const SWEEP_INTERVAL: Millis = Millis::secs(1);

/// Limits each source to a number of packets per second, with bursts of the same size.
#[derive(Debug)]
pub(crate) struct SourceRateLimiter {
    per_second: u64,
    buckets: HashMap<IpAddr, TokenBucket>,
    last_sweep: Monotonic,
}

#[derive(Debug)]
struct TokenBucket {
    /// In thousandths of a packet, so that each millisecond refills a whole number.
    milli_tokens: u64,
    updated_at: Monotonic,
}

impl SourceRateLimiter {
    /// Makes a limiter that admits `per_second` packets per second from each source.
    pub(crate) fn new(per_second: u64) -> Self {
        Self { per_second, buckets: HashMap::new(), last_sweep: Monotonic(0) }
    }

    /// Returns true if one more packet from this source is within its rate, and counts it.
    ///
    /// IPv6 sources are counted per /64, since a host can choose any address within it.
    pub(crate) fn admits(&mut self, source: IpAddr, now: Monotonic) -> bool {
        let full = self.per_second.saturating_mul(1000);
        let source = counted_network(source);
        if !self.buckets.contains_key(&source) && !self.make_room(now) {
            return false;
        }
        let bucket =
            self.buckets.entry(source).or_insert(TokenBucket { milli_tokens: full, updated_at: now });
        let refill = now.since(bucket.updated_at).0.saturating_mul(self.per_second);
        bucket.milli_tokens = bucket.milli_tokens.saturating_add(refill).min(full);
        bucket.updated_at = now;
        match bucket.milli_tokens.checked_sub(1000) {
            Some(rest) => {
                bucket.milli_tokens = rest;
                true
            }
            None => false,
        }
    }

    /// Returns true if the table has room for one more source, after a sweep if one is due.
    fn make_room(&mut self, now: Monotonic) -> bool {
        if self.buckets.len() < MAX_SOURCES {
            return true;
        }
        // Without this limit, forged sources could make every packet cost a pass over the table.
        if now.since(self.last_sweep) < SWEEP_INTERVAL {
            return false;
        }
        self.last_sweep = now;
        // A bucket untouched for a second is full again, so dropping it changes nothing.
        self.buckets.retain(|_, bucket| now.since(bucket.updated_at) < SWEEP_INTERVAL);
        self.buckets.len() < MAX_SOURCES
    }
}

/// The address itself for IPv4, its /64 for IPv6.
fn counted_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_limited_without_affecting_others() {
        let mut limiter = SourceRateLimiter::new(5);
        let (loud, quiet) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let admitted = (0..100).filter(|_| limiter.admits(loud, Monotonic(0))).count();
        assert_eq!(admitted, 5);
        assert!(limiter.admits(quiet, Monotonic(0)));
        assert!(limiter.admits(loud, Monotonic(200)), "a fifth of a second refills one of five");
        assert!(!limiter.admits(loud, Monotonic(200)));
    }

    #[test]
    fn memory_is_bounded_and_addresses_of_one_ipv6_subnet_share_a_limit() {
        let mut limiter = SourceRateLimiter::new(1);
        assert!(limiter.admits("2001:db8::1".parse().unwrap(), Monotonic(0)));
        assert!(!limiter.admits("2001:db8::2".parse().unwrap(), Monotonic(0)));
        for source in 0..20_000_u32 {
            limiter.admits(IpAddr::V4(source.into()), Monotonic(0));
        }
        assert!(limiter.buckets.len() <= MAX_SOURCES);
        assert!(
            limiter.admits("198.51.100.1".parse().unwrap(), Monotonic(5000)),
            "quiet sources are removed to make room"
        );
    }
}
