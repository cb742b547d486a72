//! One public resolver's answers, compared across the transports by which it was queried.
//!
//! A resolver queries authoritative servers from other addresses, sites and even networks than the
//! one it is reached at. Only operators are therefore compared, and an egress address of the
//! resolver's own operator is always genuine. Where the operator of either side is unknown, only
//! home is identified as an interceptor.

use super::operators::share_operator;
use crate::context::JudgeContext;
use sentinel_model::{Attributed, DnsTransport, InterceptionSeen};

/// The transports that anybody on the path can answer.
const PLAIN: [DnsTransport; 2] = [DnsTransport::Udp, DnsTransport::Tcp];

/// What the transports of one resolver amount to.
#[derive(Clone, Debug, Default)]
pub(super) struct TransportComparison {
    /// Whether there was anything to compare.
    pub is_comparable: bool,
    /// The plain transports that an interceptor answered, with the egress address seen.
    pub strangers: Vec<(DnsTransport, Attributed)>,
    /// The plain transports of which one was answered by an interceptor, where it is undetermined
    /// which.
    pub conflicting: Vec<(DnsTransport, Attributed)>,
    /// The transports that brought a second, different answer.
    pub doubled: Vec<DnsTransport>,
}

/// The egress addresses seen over one plain transport.
type PlainEgress<'a> = (DnsTransport, Vec<&'a Attributed>);

impl TransportComparison {
    /// Compares the transports of one test.
    pub fn of(seen: &InterceptionSeen, context: &JudgeContext<'_>) -> Self {
        let authenticated: Vec<&Attributed> =
            egress_addresses(seen, DnsTransport::is_authenticated).collect();
        let plain: Vec<PlainEgress<'_>> = PLAIN
            .into_iter()
            .map(|plain| (plain, egress_addresses(seen, |transport| transport == plain).collect()))
            .filter(|(_, egress): &PlainEgress<'_>| !egress.is_empty())
            .collect();
        let doubled = seen.transports.iter().filter(|seen| seen.second_answer);
        let mut comparison = Self {
            is_comparable: authenticated.is_empty() && plain.len() == PLAIN.len(),
            doubled: doubled.map(|seen| seen.transport).collect(),
            ..Self::default()
        };
        comparison.compare_with_authenticated(seen, &plain, &authenticated, context);
        if let ([udp, tcp], true) =
            (plain.as_slice(), authenticated.is_empty() && comparison.strangers.is_empty())
        {
            comparison.compare_plain(seen, udp, tcp);
        }
        comparison.is_comparable |= comparison.is_suspicious();
        comparison
    }

    /// Returns true if an interceptor answered in place of the resolver, or may have.
    pub fn is_suspicious(&self) -> bool {
        !(self.strangers.is_empty() && self.conflicting.is_empty() && self.doubled.is_empty())
    }

    /// Finds plain transports whose egress is home's, or of another operator than the authenticated
    /// transports' and the resolver's own.
    fn compare_with_authenticated(
        &mut self,
        seen: &InterceptionSeen,
        plain: &[PlainEgress<'_>],
        authenticated: &[&Attributed],
        context: &JudgeContext<'_>,
    ) {
        let home = &context.policy.home;
        // A resolver that is home's own may answer as such.
        let is_of_home =
            |egress: &Attributed| home.contains_resolver(egress) && !home.contains_resolver(&seen.address);
        for (transport, egress) in plain {
            let of_home = egress.iter().find(|egress| is_of_home(egress));
            let is_genuine = share_operator(egress, authenticated) || names_resolver(egress, seen);
            let is_distinguishable =
                !authenticated.is_empty() && have_owners(egress) && have_owners(authenticated);
            if is_genuine && !authenticated.is_empty() {
                self.is_comparable = true;
            } else if let Some(stranger) = of_home.or(egress.first().filter(|_| is_distinguishable)) {
                self.strangers.push((*transport, (*stranger).clone()));
            }
        }
    }

    /// Compares the two plain transports, where there is no authenticated one.
    fn compare_plain(&mut self, seen: &InterceptionSeen, udp: &PlainEgress<'_>, tcp: &PlainEgress<'_>) {
        if share_operator(&udp.1, &tcp.1) {
            return;
        }
        if !have_owners(&udp.1) || !have_owners(&tcp.1) {
            self.is_comparable = false;
            return;
        }
        let named = |(transport, egress): &PlainEgress<'_>| {
            egress.first().map(|egress| (*transport, (*egress).clone()))
        };
        match (names_resolver(&udp.1, seen), names_resolver(&tcp.1, seen)) {
            (true, false) => self.strangers = named(tcp).into_iter().collect(),
            (false, true) => self.strangers = named(udp).into_iter().collect(),
            (false, false) => self.conflicting = named(udp).into_iter().chain(named(tcp)).collect(),
            (true, true) => {}
        }
    }
}

/// Returns the egress addresses seen over the transports that `is_wanted` selects.
fn egress_addresses(
    seen: &InterceptionSeen,
    is_wanted: impl Fn(DnsTransport) -> bool,
) -> impl Iterator<Item = &Attributed> {
    let wanted = seen.transports.iter().filter(move |seen| is_wanted(seen.transport));
    wanted.filter_map(|seen| seen.egress_addresses.measured()).flatten()
}

/// Returns true if one of the egress addresses is of the resolver's own operator.
fn names_resolver(egress: &[&Attributed], seen: &InterceptionSeen) -> bool {
    egress.iter().any(|egress| egress.same_operator(&seen.address))
}

/// Returns true if all operators are known, so that two sides can be distinguished.
fn have_owners(egress: &[&Attributed]) -> bool {
    egress.iter().all(|egress| egress.owner.is_some())
}
