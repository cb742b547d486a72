//! What makes a public service a voice, and which of its reports are accepted.

use crate::{context::Context, platform::PacketKind, reporter::Reporter, services::host::Host};
use sentinel_model::{
    Attributed, ExitPath, ExitSeen, Fact, Family, NetworkKey, Outcome, Reason, Source, Voice, is_within,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns a public service as a voice.
///
/// The address to which its name resolved may be a reserved one that a proxy on this machine made
/// up for the name. Then the service counts by its own name.
///
/// While its address is unknown, it counts as part of the unspecified address's network, together
/// with all other services that could not be located.
pub(super) fn service_voice(
    context: &Context,
    (name, host): (&str, &Host),
    family: Family,
    address: Option<IpAddr>,
) -> Voice {
    let is_made_up = |address: IpAddr| matches!(host, Host::Name(_)) && is_within(address, &context.bogons);
    let network = match (address, family) {
        (Some(address), _) if is_made_up(address) => NetworkKey::Named(name.into()),
        (Some(address), _) => context.ownership.attribute(address).network(),
        (None, Family::V4) => NetworkKey::of_prefix(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (None, Family::V6) => NetworkKey::of_prefix(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    Voice { source: Source::Service(name.to_owned()), name: name.to_owned(), network }
}

/// Returns an error for a service in a network that the user excluded from the tunnel.
///
/// Such a service sees the home address, as intended, so it cannot report the exit.
pub(super) fn reject_excluded(context: &Context, service: IpAddr) -> Result<(), Reason> {
    if is_within(service, &context.excluded) {
        return Err(Reason::Failed("its address is excluded from the tunnel on purpose".into()));
    }
    Ok(())
}

/// Returns the address a voice saw with its operator, or why it cannot be an exit.
pub(super) fn accept_exit(context: &Context, family: Family, address: IpAddr) -> Result<Attributed, Reason> {
    let address = address.to_canonical();
    if Family::of(address) != family {
        return Err(Reason::Malformed(format!("{address} is not an {family} address")));
    }
    if is_within(address, &context.bogons) {
        return Err(Reason::Malformed(format!("private address {address}")));
    }
    Ok(context.ownership.attribute(address))
}

/// Reports the address a voice saw, or why it saw none.
///
/// `asked` is the kind of packet by which the voice was asked, if it could be located.
pub(super) async fn report_exit(
    context: &Context,
    asked: Option<PacketKind>,
    voice: Voice,
    path: ExitPath,
    (family, address): (Family, Outcome<Attributed>),
    reporter: &Reporter,
) {
    let route = match asked.filter(|_| address.measured().is_some()) {
        Some(packet) => context.voice_routes.find(&*context.platform, reporter.epoch(), packet).await,
        None => None,
    };
    reporter.send(Fact::Exit(ExitSeen { family, voice, path, address, route })).await;
}
