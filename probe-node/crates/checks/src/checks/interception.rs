//! Check "interception": whether a public resolver itself answers the questions sent to it.
//!
//! The same kind of question is asked over every transport the resolver offers. Anyone on the path
//! can answer an unauthenticated question, but not an authenticated one.

use crate::{
    context::Context,
    dns::{udp, whoami},
    reason,
    reporter::Reporter,
    services::public_resolver::PublicResolver,
    settings::WhoamiZone,
};
use futures::future::join_all;
use sentinel_model::{DnsTransport, Fact, InterceptionSeen, Outcome, TransportSeen};
use std::time::Duration;

/// How long after the first answer a second one still counts.
const SECOND_ANSWER: Duration = Duration::from_millis(250);
/// The most resolvers asked: an interceptor seldom affects a single one.
const MAX_RESOLVERS: usize = 3;

/// Asks these public resolvers over every transport, all at once.
///
/// The question is asked under the first of the user's own zones. If there is none, or no transport
/// yields an answer, a public whoami name is asked.
pub(crate) async fn run(
    context: &Context,
    resolvers: &[&PublicResolver],
    canary_zones: &[String],
    reporter: &Reporter,
) {
    let own = context.own_zones(canary_zones);
    let zones: Vec<&WhoamiZone> = own.first().into_iter().chain(context.public_whoami.first()).collect();
    let zones = &zones;
    let budget = context.share(zones.len());
    join_all(resolvers.iter().take(MAX_RESOLVERS).map(|resolver| async move {
        let mut transports = Vec::new();
        for zone in zones {
            let questions =
                resolver.transports().map(|transport| ask(context, resolver, transport, zone, budget));
            transports = join_all(questions).await;
            if transports.iter().any(|seen| matches!(seen.egress_addresses, Outcome::Measured(_))) {
                break;
            }
        }
        if !transports.is_empty() {
            let address = context.ownership.attribute(resolver.address.ip());
            let seen = InterceptionSeen { resolver: resolver.name.clone(), address, transports };
            reporter.send(Fact::Interception(seen)).await;
        }
    }))
    .await;
}

/// Asks over one transport.
///
/// Each transport uses its own label, so that no answer comes from the resolver's cache.
async fn ask(
    context: &Context,
    resolver: &PublicResolver,
    transport: DnsTransport,
    zone: &WhoamiZone,
    budget: Duration,
) -> TransportSeen {
    let mut second_answer = false;
    let addresses = async {
        if transport != DnsTransport::Udp {
            let stub = resolver.stub(transport, &context.tls, budget)?;
            return whoami::ask(&stub, zone).await;
        }
        let name = whoami::question(zone)?;
        let exchange = udp::ask(resolver.address, None, &name, budget, SECOND_ANSWER).await?;
        second_answer = exchange.second_answer;
        whoami::parse_answer(&name, exchange.answer)
    }
    .await;
    let egress_addresses = reason::outcome(addresses.map(|addresses| context.attribute_all(addresses)));
    TransportSeen { transport, egress_addresses, second_answer }
}
