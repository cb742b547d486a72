//! The kernel's report: interfaces, routes and far ends, and which interface is the tunnel.

use super::{far_end::FarEnds, path_evidence::PathEvidence};
use crate::{bounded::BoundedMap, context::JudgeContext, dated::Dated, policy::Policy};
use sentinel_model::{
    Attributed, Family, Interface, InterfaceKind, IpsecAction, IpsecPolicy, KillSwitch, Micros, Moment,
    Outcome, PerFamily, RoutePurpose, RouteSeen, Traffic, TunnelView, UnderlaySeen, Uplink, is_link_local,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// How many destinations are remembered; twice what a round looks up at most.
const DESTINATIONS: usize = 512;
/// How many IPsec policies are remembered; a client installs a handful.
const POLICIES: usize = 64;

/// What distinguishes lookups: the destination, why it was looked up, and the traffic, where a rule
/// gives one protocol or port a route of its own.
type LookupKey = (IpAddr, RoutePurpose, Option<Traffic>);

/// A tunnel that was seen to carry traffic.
#[derive(Clone, Debug)]
pub(super) struct RecognisedTunnel {
    /// Its interface.
    pub name: String,
    /// When it was recognised.
    pub since: Moment,
    /// Whether voices saw another exit than home through it, or it replaced one that was known.
    pub is_proven: bool,
}

/// What the kernel last reported, and the tunnels recognised from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteTable {
    pub(super) interfaces: Option<Dated<Outcome<Vec<Interface>>>>,
    pub(super) routes: BoundedMap<LookupKey, Dated<RouteSeen>, DESTINATIONS>,
    pub(super) far_ends: FarEnds,
    /// The exits that voices agree on.
    pub(super) exits: PerFamily<Option<Attributed>>,
    uplinks: Option<Dated<Outcome<Vec<Uplink>>>>,
    /// The IPsec policies that encrypt what leaves, as last reported.
    ipsec: Vec<IpsecPolicy>,
    pub(super) paths: PathEvidence,
    pub(super) tunnels: PerFamily<Option<RecognisedTunnel>>,
    /// Other tunnel-like interfaces that were up while the tunnel was.
    pub(super) idle: BTreeSet<String>,
    /// Since when each interface has been up.
    pub(super) up_since: BTreeMap<String, Moment>,
    /// Since when the tunnel's interface has been missing.
    pub(super) missing_since: Option<Moment>,
}

impl RouteTable {
    /// Records the list of interfaces.
    pub fn record_interfaces(&mut self, interfaces: &Dated<&Outcome<Vec<Interface>>>) {
        self.interfaces = Some(interfaces.cloned());
        self.update_idle();
        if let Outcome::Measured(all) = interfaces.value {
            let up: BTreeSet<&String> =
                all.iter().filter(|interface| interface.up).map(|interface| &interface.name).collect();
            self.up_since.retain(|name, _| up.contains(name));
            for name in up {
                self.up_since.entry(name.clone()).or_insert(interfaces.at);
            }
        }
    }

    /// Records the interfaces by which the machine can reach the internet.
    pub fn record_uplinks(&mut self, uplinks: &Dated<&Outcome<Vec<Uplink>>>) {
        self.uplinks = Some(uplinks.cloned());
    }

    /// Records the IPsec policies; where they cannot be read, none is known.
    pub fn record_ipsec(&mut self, policies: &Outcome<Vec<IpsecPolicy>>) {
        let is_tunnel = |policy: &&IpsecPolicy| matches!(policy.action, IpsecAction::Tunnel { .. });
        let tunnels = policies.measured().into_iter().flatten().filter(is_tunnel);
        self.ipsec = tunnels.take(POLICIES).cloned().collect();
    }

    /// Returns true if an IPsec policy encrypts packets of this route to a destination.
    ///
    /// It does so whichever interface the route names.
    pub(super) fn is_encrypted_by_ipsec(&self, destination: IpAddr, source: Option<IpAddr>) -> bool {
        self.ipsec.iter().any(|policy| {
            policy.destination.contains(&destination)
                && source.is_none_or(|source| policy.source.contains(&source))
        })
    }

    /// Returns true if IPsec policies encrypt whatever leaves over a family.
    pub fn is_carried_by_ipsec(&self, family: Family) -> bool {
        self.ipsec.iter().any(|policy| policy.family() == family && policy.destination.prefix_len() == 0)
    }

    /// Returns the last lookup of a destination for a purpose, of ordinary packets.
    pub(super) fn find_route(&self, destination: IpAddr, purpose: RoutePurpose) -> Option<&Dated<RouteSeen>> {
        self.routes.get(&(destination.to_canonical(), purpose, None))
    }

    /// Records one route.
    pub fn record_route(&mut self, route: &Dated<&RouteSeen>) {
        let key = (route.value.destination.to_canonical(), route.value.purpose, route.value.traffic);
        self.routes.insert(key, route.cloned());
    }

    /// Records a possible far end, whether or not it answered.
    pub fn record_far_end(&mut self, seen: &Dated<&UnderlaySeen>, context: &JudgeContext<'_>) {
        self.far_ends.record(seen, context);
    }

    /// Takes over the exits that voices agree on: a far end is mostly of the same operator.
    pub fn note_exits(&mut self, exits: PerFamily<Option<Attributed>>) {
        self.exits = exits;
    }

    /// Expects no tunnel until one is seen to carry traffic again: the user turned it off.
    pub fn forget_tunnels(&mut self) {
        self.tunnels = PerFamily::default();
        self.missing_since = None;
    }

    /// Notes which other tunnel-like interfaces are up while the tunnel is.
    pub(super) fn update_idle(&mut self) {
        let Some(interfaces) = self.last_interfaces() else { return };
        let known: BTreeSet<&str> =
            self.tunnels.iter().flatten().map(|tunnel| tunnel.name.as_str()).collect();
        let up = || interfaces.iter().filter(|interface| interface.up);
        if up().any(|interface| known.contains(interface.name.as_str())) {
            self.idle = up()
                .filter(|interface| interface.kind == InterfaceKind::Tunnel)
                .map(|interface| interface.name.clone())
                .filter(|name| !known.contains(name.as_str()))
                .collect();
        }
    }

    /// Returns the interfaces as last reported, in whichever epoch.
    pub(super) fn last_interfaces(&self) -> Option<&[Interface]> {
        self.interfaces.as_ref().and_then(Dated::measured).map(Vec::as_slice)
    }

    /// Returns the uplinks as last reported, in whichever epoch.
    pub(super) fn last_uplinks(&self) -> Option<&[Uplink]> {
        self.uplinks.as_ref().and_then(Dated::measured).map(Vec::as_slice)
    }

    /// Returns the interfaces as reported in this epoch.
    pub(super) fn current_interfaces(&self, context: &JudgeContext<'_>) -> Option<&[Interface]> {
        let current = self.interfaces.as_ref().filter(|interfaces| interfaces.epoch == context.epoch);
        current.and_then(Dated::measured).map(Vec::as_slice)
    }

    /// Returns the name of a family's tunnel: as the user stated it, or as recognised.
    ///
    /// IPv6 is expected in the tunnel of IPv4, but not the other way round.
    pub fn tunnel_name<'a>(&'a self, family: Family, policy: &'a Policy) -> Option<&'a str> {
        let recognised = |family| self.tunnels[family].as_ref().map(|tunnel| tunnel.name.as_str());
        let own = policy.expectation.interface.as_deref().or_else(|| recognised(family));
        match family {
            Family::V4 => own,
            Family::V6 => own.or_else(|| recognised(Family::V4)),
        }
    }

    /// Returns true if a family is supposed to go through a tunnel.
    pub fn expects_tunnel(&self, family: Family, policy: &Policy) -> bool {
        self.tunnel_name(family, policy).is_some()
    }

    /// Returns whether a family's tunnel exists and is up; `None` if undetermined in this epoch.
    pub fn is_tunnel_up(&self, family: Family, context: &JudgeContext<'_>) -> Option<bool> {
        let name = self.tunnel_name(family, context.policy)?;
        let interfaces = self.current_interfaces(context)?;
        Some(interfaces.iter().any(|interface| interface.name == name && interface.up))
    }

    /// Returns when the tunnel of a family was recognised.
    pub fn recognised_at(&self, family: Family) -> Option<Moment> {
        self.tunnels[family].as_ref().map(|tunnel| tunnel.since)
    }

    /// Returns true if a family's tunnel has only just come up: a VPN client may still be setting
    /// routes and resolvers.
    pub fn is_settling(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        let name = self.tunnel_name(family, context.policy);
        let up = name.and_then(|name| self.up_since.get(name)).copied();
        let latest = up.into_iter().chain(self.recognised_at(family)).max_by_key(|at| at.boot);
        latest.is_some_and(|at| context.age(at) < context.policy.thresholds.settle)
    }

    /// Returns the first family that is supposed to go through a tunnel.
    pub(super) fn main_family(&self, policy: &Policy) -> Option<Family> {
        Family::ALL.into_iter().find(|family| self.expects_tunnel(*family, policy))
    }

    /// Returns a name for the local network, so that round trips of different networks are not
    /// compared.
    pub fn network_name(&self) -> String {
        let Some(interfaces) = self.last_interfaces() else { return String::new() };
        let physical =
            interfaces.iter().filter(|interface| interface.up && interface.kind == InterfaceKind::Physical);
        let prefixes = |family| -> BTreeSet<String> {
            let networks = physical.clone().flat_map(|interface| {
                interface.addresses.iter().map(move |network| (&interface.name, network.trunc()))
            });
            networks
                .filter(|(_, network)| Family::of(network.addr()) == family && !is_link_local(network.addr()))
                .map(|(name, network)| format!("{name}={network}"))
                .collect()
        };
        let v4 = prefixes(Family::V4);
        let names = if v4.is_empty() { prefixes(Family::V6) } else { v4 };
        names.into_iter().collect::<Vec<_>>().join(" ")
    }

    /// Returns the tunnel as the snapshot shows it.
    pub fn view(
        &self,
        kill_switch: Option<KillSwitch>,
        underlay: Option<Micros>,
        context: &JudgeContext<'_>,
    ) -> Option<TunnelView> {
        let family = self.main_family(context.policy)?;
        let interface = self.tunnel_name(family, context.policy)?.to_owned();
        let interfaces = self.last_interfaces().unwrap_or_default();
        let up = interfaces.iter().any(|known| known.name == interface && known.up);
        Some(TunnelView { interface, up, kill_switch, underlay })
    }
}
