//! Rate limits: a token bucket, and a table of them for sockets that anyone can send to.

use crate::subnet::source;
use sentinel_model::Monotonic;
use std::{collections::hash_map::RandomState, hash::BuildHasher, net::IpAddr};

/// The number of buckets in a table. A power of two, so that a hash is spread evenly.
const BUCKETS: u64 = 4096;
/// What one packet or request costs, so that each millisecond refills a whole number.
const COST: u64 = 1000;

/// A rate, with the number that may come at once after a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub per_second: u64,
    pub burst: u64,
}

/// A token bucket, which is full at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokenBucket {
    spent: u64,
    updated_at: Monotonic,
}

impl TokenBucket {
    /// Returns true if one more is within the rate, and counts it.
    pub(crate) fn admits(&mut self, rate: Rate, now: Monotonic) -> bool {
        let refilled = now.since(self.updated_at).0.saturating_mul(rate.per_second);
        self.spent = self.spent.saturating_sub(refilled);
        self.updated_at = now;
        let spent = self.spent.saturating_add(COST);
        let admitted = spent <= rate.burst.saturating_mul(COST);
        if admitted {
            self.spent = spent;
        }
        admitted
    }
}

/// Limits each source address to a rate.
///
/// The table has a fixed size, and several sources may share a bucket. Which ones do is secret, so
/// that a sender of many forged addresses uses up all buckets only at a very high rate.
#[derive(Debug)]
pub(crate) struct SourceRateLimiter {
    rate: Rate,
    buckets: Vec<TokenBucket>,
    hasher: RandomState,
}

impl SourceRateLimiter {
    /// Makes a limiter that admits `per_second` packets per second from each source.
    pub(crate) fn new(per_second: u64) -> Self {
        Self {
            rate: Rate { per_second, burst: per_second },
            buckets: (0..BUCKETS).map(|_| TokenBucket::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Returns true if one more packet from this source is within its rate, and counts it.
    ///
    /// IPv6 sources are counted per /56, since a host can choose any address within its network.
    pub(crate) fn admits(&mut self, address: IpAddr, now: Monotonic) -> bool {
        let index = usize::try_from(self.hasher.hash_one(source(address)) % BUCKETS).unwrap_or_default();
        self.buckets.get_mut(index).is_some_and(|bucket| bucket.admits(self.rate, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_refills_at_its_rate_up_to_its_burst() {
        let rate = Rate { per_second: 5, burst: 10 };
        let mut bucket = TokenBucket::default();
        let mut admitted = |at| (0..100).filter(|_| bucket.admits(rate, Monotonic(at))).count();
        assert_eq!([admitted(0), admitted(199), admitted(200), admitted(1200)], [10, 0, 1, 5]);
        assert_eq!(admitted(100_000), 10);
    }

    #[test]
    fn a_source_is_limited_without_affecting_others() {
        let mut limiter = SourceRateLimiter::new(5);
        let loud: IpAddr = "192.0.2.1".parse().unwrap();
        let admitted = (0..100).filter(|_| limiter.admits(loud, Monotonic(0))).count();
        assert_eq!(admitted, 5);
        let others = (2..=100).filter(|last| limiter.admits(IpAddr::from([192, 0, 2, *last]), Monotonic(0)));
        assert!(others.count() >= 95, "few of the others share the bucket");
        assert!(limiter.admits(loud, Monotonic(200)), "a fifth of a second refills one of five");
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_limit() {
        let mut limiter = SourceRateLimiter::new(1);
        assert!(limiter.admits("2001:db8::1".parse().unwrap(), Monotonic(0)));
        assert!(!limiter.admits("2001:db8:0:1::2".parse().unwrap(), Monotonic(0)));
    }

    #[test]
    fn a_flood_of_forged_sources_silences_no_other() {
        let mut limiter = SourceRateLimiter::new(32);
        // 50,000 packets in a second, each from another source.
        for number in 0..50_000_u32 {
            limiter.admits(IpAddr::V4(number.into()), Monotonic(u64::from(number / 50)));
        }
        let admitted = (1..=100).filter(|last| limiter.admits([198, 51, 100, *last].into(), Monotonic(1000)));
        assert!(admitted.count() >= 99);
    }
}
