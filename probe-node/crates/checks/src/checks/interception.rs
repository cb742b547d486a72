//! Whether a public resolver itself answers when it is asked: the same kind of question by every way it offers. What
//! travels in the clear can be answered by anybody on the way; what is authenticated cannot.

use crate::{
    checks::Inner, names::Servers, public_resolver::PublicResolver, reason, report::Report,
    settings::WhoamiZone, udp, whoami,
};
use futures::future::join_all;
use sentinel_model::{DnsTransport, Fact, InterceptionSeen, Outcome, TransportSeen};
use std::time::Duration;

/// How long after the first answer a second one still counts.
const SECOND_ANSWER: Duration = Duration::from_millis(250);
/// Somebody on the way seldom meddles with one resolver alone; more would only cost traffic.
const MAX_RESOLVERS: usize = 3;

/// Asks these public resolvers by every way, all at once: under a zone of the user's own, or, if there is none or it
/// told nothing by any way, at a public name.
pub(crate) async fn run(inner: &Inner, resolvers: &[&PublicResolver], canaries: &[String], report: &Report) {
    let own = whoami::own_zones(inner, canaries);
    let zones: Vec<&WhoamiZone> = own.first().into_iter().chain(inner.public_whoami.first()).collect();
    let budget = whoami::share(inner, zones.len());
    join_all(resolvers.iter().take(MAX_RESOLVERS).map(|resolver| {
        let zones = &zones;
        async move {
            let mut ways = Vec::new();
            for zone in zones {
                ways = join_all(resolver.ways().map(|way| ask(inner, resolver, way, zone, budget))).await;
                if ways.iter().any(|way| matches!(way.egress_addresses, Outcome::Measured(_))) {
                    break;
                }
            }
            if !ways.is_empty() {
                let address = inner.ownership.attribute(resolver.address.ip());
                let seen = InterceptionSeen { resolver: resolver.name.clone(), address, transports: ways };
                report.fact(Fact::Interception(seen)).await;
            }
        }
    }))
    .await;
}

/// One way, under a label of its own: what one way put into the resolver's cache must not answer another.
async fn ask(
    inner: &Inner,
    resolver: &PublicResolver,
    transport: DnsTransport,
    zone: &WhoamiZone,
    budget: Duration,
) -> TransportSeen {
    let mut second_answer = false;
    let egress_addresses = async {
        if transport != DnsTransport::Udp {
            let servers = Servers::over(resolver, transport, &inner.tls, budget)?;
            return whoami::ask(inner, &servers, zone).await;
        }
        let name = whoami::question(zone)?;
        let exchange = udp::ask(resolver.address, None, &name, budget, SECOND_ANSWER).await?;
        second_answer = exchange.second_answer;
        whoami::told(inner, &name, exchange.told)
    }
    .await;
    TransportSeen { transport, egress_addresses: reason::outcome(egress_addresses), second_answer }
}
