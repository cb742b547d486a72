//! The VPN clients.

use super::{
    clients::{
        container, fake_ip, mullvad, namespace, openconnect, openvpn, proton, router_vpn, strongswan,
        wg_quick,
    },
    leak::{Applicability, LeakKind},
    line::LineKind,
    part::PartInfo,
    site::VpnClient,
    uplink::LineIpv6,
};

/// A VPN client, or another way in which the laptop's traffic gets into a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ClientKind {
    /// The real `wg-quick`.
    WgQuick,
    /// OpenVPN with `redirect-gateway def1`.
    OpenVpn,
    /// OpenVPN with a pushed split tunnel.
    OpenVpnSplit,
    /// OpenConnect against ocserv.
    OpenConnect,
    /// A layout like that of Mullvad's client, with a kill switch.
    Mullvad,
    /// A layout like that of Proton's client, with a sink for IPv6.
    Proton,
    /// Policy-based IPsec, without a device.
    Ipsec,
    /// strongSwan with ESP in user space.
    StrongSwan,
    /// The VPN is on the home router.
    OnTheRouter,
    /// A namespace with the tunnel alone.
    Namespace,
    /// A container with a VPN and a firewall of its own.
    Gluetun,
    /// A rootless container behind slirp4netns.
    Slirp4netns,
    /// A rootless container behind pasta.
    Pasta,
    /// A proxy with a TUN device and fake addresses.
    FakeIp,
}

/// Where the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the machine that has the line.
    Machine,
    /// In a network namespace of that machine.
    Namespace,
}

impl ClientKind {
    /// All of them, the most common first.
    pub(crate) const ALL: &'static [Self] = &[
        Self::WgQuick,
        Self::OpenVpn,
        Self::OpenVpnSplit,
        Self::OpenConnect,
        Self::Mullvad,
        Self::Proton,
        Self::Ipsec,
        Self::StrongSwan,
        Self::OnTheRouter,
        Self::Namespace,
        Self::Gluetun,
        Self::Slirp4netns,
        Self::Pasta,
        Self::FakeIp,
    ];

    /// Returns the description.
    pub(crate) fn info(self) -> PartInfo {
        match self {
            Self::WgQuick => wg_quick::INFO,
            Self::OpenVpn => openvpn::INFO,
            Self::OpenVpnSplit => openvpn::SPLIT_INFO,
            Self::OpenConnect => openconnect::INFO,
            Self::Mullvad => mullvad::INFO,
            Self::Proton => proton::INFO,
            Self::Ipsec => router_vpn::IPSEC_INFO,
            Self::StrongSwan => strongswan::INFO,
            Self::OnTheRouter => router_vpn::ROUTER_INFO,
            Self::Namespace => namespace::INFO,
            Self::Gluetun => container::GLUETUN_INFO,
            Self::Slirp4netns => container::SLIRP_INFO,
            Self::Pasta => container::PASTA_INFO,
            Self::FakeIp => fake_ip::INFO,
        }
    }

    /// Creates the client, which is not connected.
    pub(crate) fn create(self) -> Box<dyn VpnClient> {
        match self {
            Self::WgQuick => Box::new(wg_quick::WgQuick::default()),
            Self::OpenVpn => Box::new(openvpn::OpenVpn::default()),
            Self::OpenVpnSplit => Box::new(openvpn::OpenVpn::with_split()),
            Self::OpenConnect => Box::new(openconnect::OpenConnect::default()),
            Self::Mullvad => Box::new(mullvad::Mullvad::default()),
            Self::Proton => Box::new(proton::Proton::default()),
            Self::Ipsec => Box::new(router_vpn::Ipsec::default()),
            Self::StrongSwan => Box::new(strongswan::StrongSwan::default()),
            Self::OnTheRouter => Box::new(router_vpn::OnTheRouter::default()),
            Self::Namespace => Box::new(namespace::TunnelAlone::default()),
            Self::Gluetun => Box::new(container::Gluetun::default()),
            Self::Slirp4netns => Box::new(container::Rootless::slirp4netns()),
            Self::Pasta => Box::new(container::Rootless::pasta()),
            Self::FakeIp => Box::new(fake_ip::FakeIp::default()),
        }
    }

    /// Returns where the node runs.
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Namespace | Self::Gluetun | Self::Slirp4netns | Self::Pasta => Place::Namespace,
            _ => Place::Machine,
        }
    }

    /// Returns why the client cannot be combined with a line, if so.
    pub(crate) fn excludes(self, line: LineKind) -> Option<&'static str> {
        match (self, line.ipv6()) {
            (Self::OnTheRouter, _) if !matches!(line, LineKind::Ethernet | LineKind::Cgnat) => {
                Some("the line has no router of the user's own")
            }
            (Self::Pasta, _) if !line.has_dhcp() => {
                Some("Debian's pasta needs a default route with a gateway")
            }
            (Self::FakeIp, LineIpv6::Native(_)) => {
                Some("the proxy carries IPv4, so that IPv6 would leak at once")
            }
            (Self::OpenConnect, LineIpv6::Native(_)) => {
                Some("its server hands out IPv4 alone here, so that IPv6 would leak at once")
            }
            (Self::Ipsec | Self::StrongSwan, LineIpv6::Native(_)) => {
                Some("its policies are for IPv4, so that IPv6 would leak at once")
            }
            (Self::Proton, _) if line == LineKind::Xlat => {
                Some("its sink takes the translated packets as well")
            }
            _ => None,
        }
    }

    /// Returns what becomes of a leak with this client; `None` if it leaks.
    pub(crate) fn holds(self, leak: LeakKind, line: LineKind) -> Option<Applicability> {
        use Applicability::{Held, Not};
        let native = matches!(line.ipv6(), LineIpv6::Native(_));
        match (self, leak) {
            // What the translator makes of IPv4 is IPv6, which the tunnel takes.
            (
                Self::WgQuick | Self::OpenVpn | Self::OpenVpnSplit | Self::OpenConnect,
                LeakKind::NarrowRoute | LeakKind::PolicyRule | LeakKind::ProgramPast,
            ) if line == LineKind::Xlat => Some(Held),
            (Self::Proton, LeakKind::Ipv6Past) if !native => Some(Held),
            // The provider's resolver is then asked through the tunnel, and learns the names.
            (Self::Namespace | Self::Gluetun | Self::Ipsec | Self::StrongSwan, LeakKind::DnsPast)
                if line.has_public_resolver() =>
            {
                None
            }
            (Self::Namespace | Self::StrongSwan, LeakKind::DnsPast)
            | (Self::Namespace, LeakKind::TunnelGone) => Some(Held),
            (Self::Ipsec | Self::StrongSwan, LeakKind::NarrowRoute | LeakKind::DhcpRoute) => {
                Some(Not("table 220 comes first"))
            }
            (Self::Ipsec, LeakKind::DnsPast) if line.ipv6() == LineIpv6::None => Some(Not("no LAN left out")),
            (
                Self::OnTheRouter | Self::Slirp4netns | Self::Pasta,
                LeakKind::DnsPast | LeakKind::Ipv6Past | LeakKind::TunnelGone,
            ) => None,
            (Self::OnTheRouter | Self::Namespace, _) => Some(Not("no other way")),
            (Self::Gluetun, LeakKind::Ipv6Past) => Some(Not("no IPv6")),
            (Self::Gluetun, LeakKind::DhcpRoute) => Some(Not("no DHCP")),
            (Self::Gluetun | Self::Mullvad, _) => Some(Held),
            (Self::Slirp4netns | Self::Pasta, _) => Some(Not("out of sight")),
            _ => None,
        }
    }

    /// Returns what a user of this client writes under `[expectation]`, with the reason.
    pub(crate) fn expectation(self) -> (&'static str, &'static str) {
        const PROVIDER: &str = "exit_asns = [64510]\n";
        match self {
            Self::WgQuick => ("interface = \"wg0\"\n", "the device is the name of the configuration file"),
            Self::Proton => ("interface = \"proton0\"\n", "the client always calls its device so"),
            Self::OpenVpn | Self::OpenConnect | Self::StrongSwan | Self::FakeIp => {
                ("", "the tunnel is recognised by itself")
            }
            Self::OpenVpnSplit => (
                "excluded = [\"198.19.24.0/24\"]\n",
                "the networks that the server sends past the tunnel on purpose; the tunnel itself is recognised",
            ),
            Self::Mullvad => ("kill_switch = true\n", "the client has a kill switch, which is tested"),
            Self::Ipsec => {
                (PROVIDER, "there is no device to recognise the tunnel by, so the exit's operator is stated")
            }
            Self::OnTheRouter => (PROVIDER, "the laptop sees no tunnel, so the exit's operator is stated"),
            Self::Namespace => ("", "the tunnel is the only device"),
            Self::Gluetun => ("", "the tunnel is recognised by itself; its firewall needs no word"),
            Self::Slirp4netns | Self::Pasta => {
                (PROVIDER, "the tunnel is outside the container, so the exit's operator is stated")
            }
        }
    }
}
