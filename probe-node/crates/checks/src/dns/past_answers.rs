//! Whether an answer may come from this machine's own cache. A fixed name that tells who asked is kept there for as long
//! as its TTL says, also across a change of the network: the answer would then tell of the network before.

use crate::settings::{WhoamiKind, WhoamiZone};
use sentinel_model::{Attributed, Epoch, Reason, ResolverPath};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What was answered last, by the path and the zone. There are few of either.
#[derive(Debug, Default)]
pub(crate) struct Cached {
    answers: Mutex<HashMap<(ResolverPath, String), Answer>>,
}

#[derive(Debug)]
struct Answer {
    egress_addresses: Vec<IpAddr>,
    epoch: Epoch,
    /// Until when a cache may go on telling it.
    until: Instant,
}

/// One answer, and how long it may be kept.
pub(crate) struct Heard {
    pub(crate) egress_addresses: Vec<Attributed>,
    pub(crate) ttl: Duration,
    pub(crate) epoch: Epoch,
    pub(crate) at: Instant,
}

impl Cached {
    /// The egress_addresses, unless the answer is what a cache on this machine would still tell of an earlier network. Only fixed
    /// names can be in a cache, and only a resolver on this machine outlives the network.
    pub(crate) fn unless_old(
        &self,
        path: &ResolverPath,
        servers: &[SocketAddr],
        zone: &WhoamiZone,
        heard: Heard,
    ) -> Result<Vec<Attributed>, Reason> {
        let local = servers.first().is_some_and(|server| server.ip().is_loopback());
        if zone.kind == WhoamiKind::Canary || !local {
            return Ok(heard.egress_addresses);
        }
        let mut egress_addresses: Vec<_> =
            heard.egress_addresses.iter().map(|egress| egress.address).collect();
        egress_addresses.sort_unstable();
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (path.clone(), zone.name.clone());
        let before = answers.get(&key);
        let old = |before: &Answer| {
            before.epoch != heard.epoch
                && before.until > heard.at
                && before.egress_addresses == egress_addresses
        };
        if before.is_some_and(old) {
            return Err(Reason::Failed("the answer may be one of the network before, from a cache".into()));
        }
        answers.insert(key, Answer { egress_addresses, epoch: heard.epoch, until: heard.at + heard.ttl });
        Ok(heard.egress_addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "127.0.0.53:53";
    const SECOND: Duration = Duration::from_secs(1);

    fn zone(kind: WhoamiKind) -> WhoamiZone {
        WhoamiZone { name: "who.example".into(), kind }
    }

    fn heard(egress: &str, epoch: u64, at: Instant) -> Heard {
        let egress_addresses = vec![Attributed::bare(egress.parse().unwrap())];
        Heard { egress_addresses, ttl: 60 * SECOND, epoch: Epoch(epoch), at }
    }

    #[test]
    fn what_a_local_cache_may_still_hold_from_the_network_before_is_no_word_about_this_one() {
        let (cached, now) = (Cached::default(), Instant::now());
        let tells = |server: &str, kind, heard| {
            cached.unless_old(&ResolverPath::System, &[server.parse().unwrap()], &zone(kind), heard).is_ok()
        };
        let fixed = WhoamiKind::Fixed;
        assert!(tells(LOCAL, fixed, heard("198.51.100.53", 1, now)));
        assert!(tells(LOCAL, fixed, heard("198.51.100.53", 1, now + SECOND)), "the same network");
        assert!(!tells(LOCAL, fixed, heard("198.51.100.53", 2, now + 10 * SECOND)));
        assert!(tells(LOCAL, fixed, heard("203.0.113.53", 2, now + 10 * SECOND)), "news");
        assert!(tells(LOCAL, fixed, heard("203.0.113.53", 3, now + 71 * SECOND)), "its time is over");
        assert!(tells(LOCAL, WhoamiKind::Canary, heard("203.0.113.53", 4, now + 72 * SECOND)));
        assert!(tells("192.0.2.53:53", fixed, heard("203.0.113.53", 5, now + 73 * SECOND)));
    }
}
