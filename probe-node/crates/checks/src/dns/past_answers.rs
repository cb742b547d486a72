//! Detects whoami answers that this machine's own cache may have kept from an earlier network.
//!
//! A caching resolver on this machine keeps the answer for a fixed name until its TTL expires, even
//! when the network changes in the meantime. The answer then describes the earlier network.

use crate::settings::{WhoamiKind, WhoamiZone};
use sentinel_model::{Epoch, Reason, ResolverPath};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The last answer for each path and zone, of which there are few.
#[derive(Debug, Default)]
pub(crate) struct PastAnswers {
    answers: Mutex<HashMap<(ResolverPath, String), PastAnswer>>,
}

#[derive(Debug)]
struct PastAnswer {
    egress_addresses: Vec<IpAddr>,
    epoch: Epoch,
    /// When the TTL expires, so that no cache may return the answer any more.
    expires_at: Instant,
}

/// An answer to a whoami question.
pub(crate) struct WhoamiAnswer {
    /// The addresses from which the authoritative server was asked.
    pub(crate) egress_addresses: Vec<IpAddr>,
    /// How long a cache may keep the answer.
    pub(crate) ttl: Duration,
    /// The epoch in which the question was asked.
    pub(crate) epoch: Epoch,
    /// When the answer arrived.
    pub(crate) at: Instant,
}

impl PastAnswers {
    /// Returns the egress addresses of a fresh answer, or an error if it may be an earlier one.
    ///
    /// An answer may come from a cache of an earlier network only if all of this holds:
    ///
    /// - The zone is a fixed name; a canary's label was never used before.
    /// - The resolver is on this machine (`is_local`); any other cache belongs to the network.
    /// - The same addresses were seen in an earlier epoch, and that answer has not expired.
    pub(crate) fn reject_stale(
        &self,
        path: &ResolverPath,
        is_local: bool,
        zone: &WhoamiZone,
        answer: WhoamiAnswer,
    ) -> Result<Vec<IpAddr>, Reason> {
        if zone.kind == WhoamiKind::Canary || !is_local {
            return Ok(answer.egress_addresses);
        }
        let mut egress_addresses = answer.egress_addresses.clone();
        egress_addresses.sort_unstable();
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (path.clone(), zone.name.clone());
        let is_stale = |past: &PastAnswer| {
            past.epoch != answer.epoch
                && past.expires_at > answer.at
                && past.egress_addresses == egress_addresses
        };
        if answers.get(&key).is_some_and(is_stale) {
            return Err(Reason::Failed("the answer may be cached from an earlier network".into()));
        }
        let expires_at = answer.at + answer.ttl;
        answers.insert(key, PastAnswer { egress_addresses, epoch: answer.epoch, expires_at });
        Ok(answer.egress_addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: bool = true;
    const SECOND: Duration = Duration::from_secs(1);

    fn zone(kind: WhoamiKind) -> WhoamiZone {
        WhoamiZone { name: "who.example".into(), kind }
    }

    fn answer(egress: &str, epoch: u64, at: Instant) -> WhoamiAnswer {
        let egress_addresses = vec![egress.parse().unwrap()];
        WhoamiAnswer { egress_addresses, ttl: 60 * SECOND, epoch: Epoch(epoch), at }
    }

    #[test]
    fn an_answer_that_a_local_cache_may_have_kept_from_an_earlier_network_is_rejected() {
        let (past, now) = (PastAnswers::default(), Instant::now());
        let accepts = |is_local, kind, answer| {
            past.reject_stale(&ResolverPath::System, is_local, &zone(kind), answer).is_ok()
        };
        let fixed = WhoamiKind::Fixed;
        assert!(accepts(LOCAL, fixed, answer("198.51.100.53", 1, now)));
        assert!(accepts(LOCAL, fixed, answer("198.51.100.53", 1, now + SECOND)), "same network");
        assert!(!accepts(LOCAL, fixed, answer("198.51.100.53", 2, now + 10 * SECOND)));
        assert!(accepts(LOCAL, fixed, answer("203.0.113.53", 2, now + 10 * SECOND)), "new address");
        assert!(accepts(LOCAL, fixed, answer("203.0.113.53", 3, now + 71 * SECOND)), "TTL expired");
        assert!(accepts(LOCAL, WhoamiKind::Canary, answer("203.0.113.53", 4, now + 72 * SECOND)));
        assert!(accepts(!LOCAL, fixed, answer("203.0.113.53", 5, now + 73 * SECOND)));
    }
}
