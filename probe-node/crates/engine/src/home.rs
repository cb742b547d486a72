//! What is known about the user's home line.
//!
//! There are three sources: what the user wrote, what was learned while the VPN was off, and what
//! nodes of the role `home` announce. Such a node is on the home line and so always knows its
//! current address. Home is compared on this machine only; no node but one of the role `home`
//! announces its own exit.

use sentinel_judge::Policy;
use sentinel_model::{
    Agreement, Asn, CommandError, ExitView, Family, Home, NodeId, NodeRole, NodeView, Outcome, ShownState,
    Source,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// More addresses than a home line has.
const MAX_ADDRESSES: usize = 8;

/// An exit is trusted if this many voices agree on it.
const MIN_AGREEING: usize = 2;

/// Everything that is known about home, by source.
#[derive(Debug, Default)]
pub(crate) struct HomeSources {
    /// What the user wrote in the configuration.
    pub(crate) configured: Home,
    /// What was learned, or set by a command.
    pub(crate) learned: Home,
    /// The latest addresses that each node of the role `home` announced.
    pub(crate) announced: BTreeMap<NodeId, Vec<IpAddr>>,
}

impl HomeSources {
    /// Merges all sources.
    ///
    /// What was learned counts only for families that no other source covers: the configuration and
    /// a node on the home line are more reliable.
    pub(crate) fn merged(&self) -> Home {
        let mut home = self.configured.clone();
        home.addresses.extend(self.announced.values().flatten());
        let learned = self.learned.addresses.iter().filter(|address| !home.known(Family::of(**address)));
        let learned: Vec<IpAddr> = learned.copied().collect();
        home.addresses.extend(learned);
        home.resolver_asns.extend(&self.learned.resolver_asns);
        let mut unique = BTreeSet::new();
        home.addresses.retain(|address| unique.insert(*address));
        home
    }

    /// Records what the nodes of the role `home` announce. Returns true if that changed anything.
    ///
    /// - An announced address replaces the earlier ones of the same node and family.
    /// - A node that no longer has the role is forgotten.
    /// - An empty list of nodes means that the swarm has not started, and changes nothing.
    pub(crate) fn record_announcements(&mut self, nodes: &[NodeView], policy: &Policy) -> bool {
        if nodes.is_empty() {
            return false;
        }
        let at_home: Vec<_> =
            nodes.iter().filter(|node| !node.is_self && node.role == NodeRole::Home).collect();
        let count = self.announced.len();
        self.announced.retain(|id, _| at_home.iter().any(|node| node.id == *id));
        let mut changed = self.announced.len() != count;
        for node in at_home {
            let addresses = announced_addresses(node, policy);
            if addresses.is_empty() {
                continue;
            }
            let known = self.announced.entry(node.id.clone()).or_default();
            let families: Vec<_> = addresses.iter().map(|address| Family::of(*address)).collect();
            let kept = known.iter().filter(|address| !families.contains(&Family::of(**address)));
            let current: Vec<IpAddr> = addresses.iter().chain(kept).copied().collect();
            changed |= *known != current;
            *known = current;
        }
        changed
    }

    /// Sets the addresses the user typed, in place of what was learned before.
    pub(crate) fn set_addresses(
        &mut self,
        addresses: &[IpAddr],
        policy: &Policy,
    ) -> Result<(), CommandError> {
        let addresses: Vec<_> = addresses.iter().map(IpAddr::to_canonical).collect();
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            return Err(refusal(format!(
                "A home line has between 1 and {MAX_ADDRESSES} addresses, but {} were given.",
                addresses.len()
            )));
        }
        if let Some(private) = addresses.iter().find(|address| policy.is_bogon(**address)) {
            return Err(refusal(format!(
                "{private} is not a public address on the internet, so no one can see you at it. Give the \
                 address that the world sees without the VPN; `vpnsentinel-node home learn` finds it."
            )));
        }
        if let Some(written) = addresses.iter().find(|address| self.configured.known(Family::of(**address))) {
            return Err(refusal(format!(
                "The configuration already says what is home over {}. Change it there, under [home], or \
                 remove it.",
                Family::of(*written)
            )));
        }
        self.learned = Home { addresses, ..Home::default() };
        Ok(())
    }
}

/// Returns the public addresses that a node announces as its own exit.
fn announced_addresses(node: &NodeView, policy: &Policy) -> Vec<IpAddr> {
    let announced = node.announced.iter().flat_map(|announcement| &announcement.home_exit);
    let public = announced.map(IpAddr::to_canonical).filter(|address| !policy.is_bogon(*address));
    public.take(MAX_ADDRESSES).collect()
}

/// Returns what the world sees now, as home.
///
/// Refuses while fewer than two voices agree on an address, and while a tunnel seems to be up
/// unless the person confirmed it: an access line may look like a tunnel.
pub(crate) fn learn_home(now: &ShownState, is_confirmed: bool) -> Result<Home, CommandError> {
    if let Some(tunnel) = now.tunnel.as_ref().filter(|tunnel| tunnel.up && !is_confirmed) {
        return Err(refusal(format!(
            "{} seems to be a VPN's tunnel and is up, so what the world sees may be the VPN's exit. Turn the VPN \
             off and try again, or, if this is your home line all the same, confirm it: `vpnsentinel-node home \
             learn --yes`.",
            tunnel.interface
        )));
    }
    let addresses = exits_where(now, |exit| agreeing_sources(exit).count() >= MIN_AGREEING);
    if addresses.is_empty() {
        return Err(refusal(
            "Fewer than two witnesses agree on your address now, so it cannot be learned. Add a node or \
             allow public services, or set it yourself with `vpnsentinel-node home set ADDRESS`."
                .to_owned(),
        ));
    }
    Ok(Home { addresses, resolver_asns: exit_operators(now), ..Home::default() })
}

/// Returns the operators of the current exits. At home, their resolvers answer.
fn exit_operators(now: &ShownState) -> Vec<Asn> {
    let owners = now.exits.iter().filter_map(|exit| exit.address.measured()?.owner.as_ref()?.asn);
    let asns: BTreeSet<Asn> = owners.collect();
    asns.into_iter().collect()
}

/// Returns the exit that this node announces to the others: none unless it is on the home line.
///
/// One witness of the user's own is enough: if it lies, the result is a false alarm, not a missed
/// one.
pub(crate) fn exit_to_announce(role: NodeRole, now: &ShownState) -> Vec<IpAddr> {
    if role != NodeRole::Home || now.tunnel.as_ref().is_some_and(|tunnel| tunnel.up) {
        return Vec::new();
    }
    exits_where(now, |exit| {
        agreeing_sources(exit).count() >= MIN_AGREEING || agreeing_sources(exit).any(is_own_node)
    })
}

fn exits_where(now: &ShownState, is_trusted: impl Fn(&ExitView) -> bool) -> Vec<IpAddr> {
    let trusted = now.exits.iter().filter(|exit| is_trusted(exit));
    trusted.filter_map(|exit| Some(exit.address.measured()?.address)).collect()
}

/// Returns the sources that measured this exit and agree with it.
fn agreeing_sources(exit: &ExitView) -> impl Iterator<Item = &Source> {
    let agreeing = exit.voices.iter().filter(|voice| voice.agreement == Agreement::Agrees);
    agreeing.filter(|voice| matches!(voice.saw, Outcome::Measured(_))).map(|voice| &voice.voice.source)
}

fn is_own_node(source: &Source) -> bool {
    matches!(source, Source::Node(_))
}

fn refusal(message: String) -> CommandError {
    CommandError { message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_judge::Judge;
    use sentinel_model::{
        Announcement, Attributed, Moment, NetworkKey, Reachability, Timestamp, TunnelView, Verdict, Voice,
        VoiceView,
    };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn policy() -> Policy {
        Policy { bogons: vec!["10.0.0.0/8".parse().unwrap()], ..Policy::default() }
    }

    fn home_of(addresses: &[&str]) -> Home {
        Home { addresses: addresses.iter().map(|text| address(text)).collect(), ..Home::default() }
    }

    fn node(role: NodeRole, home_exit: &[&str]) -> NodeView {
        let announced = Announcement {
            verdict: Verdict::Off,
            since: Timestamp(0),
            open_incidents: 0,
            leaving: false,
            home_exit: home_exit.iter().map(|text| address(text)).collect(),
            at: Timestamp(0),
        };
        NodeView {
            id: "home-server".into(),
            name: "home-server".into(),
            role,
            is_self: false,
            reachability: Reachability::Direct,
            name_error: None,
            announced: Some(announced),
            last_heard: None,
        }
    }

    /// The state of a node whose exit these sources agree on.
    fn seen_by(sources: &[Source]) -> ShownState {
        let mut now = Judge::new(policy(), Moment::default()).assess(Moment::default()).shown;
        let exit = Outcome::Measured(Attributed::bare(address("203.0.113.9")));
        let voice = |source: &Source| VoiceView {
            voice: Voice {
                source: source.clone(),
                name: "v".into(),
                network: NetworkKey::of_prefix(address("192.0.2.1")),
            },
            saw: exit.clone(),
            agreement: Agreement::Agrees,
            rtt: None,
            at: Timestamp(0),
        };
        now.exits[0].voices = sources.iter().map(voice).collect();
        now.exits[0].address = exit;
        now
    }

    #[test]
    fn announcements_of_home_nodes_are_kept_current_beside_the_configuration() {
        let mut home = HomeSources {
            configured: home_of(&["198.51.100.1"]),
            learned: home_of(&["198.51.100.2", "2001:db8:2::2"]),
            ..HomeSources::default()
        };
        assert_eq!(home.merged(), home_of(&["198.51.100.1", "2001:db8:2::2"]));
        assert!(
            home.record_announcements(&[node(NodeRole::Home, &["203.0.113.9", "2001:db8:9::9"])], &policy())
        );
        assert!(
            !home.record_announcements(&[node(NodeRole::Home, &["203.0.113.9", "2001:db8:9::9"])], &policy())
        );
        assert_eq!(home.merged(), home_of(&["198.51.100.1", "203.0.113.9", "2001:db8:9::9"]));
        assert!(home.record_announcements(&[node(NodeRole::Home, &["203.0.113.77"])], &policy()));
        assert_eq!(home.merged(), home_of(&["198.51.100.1", "203.0.113.77", "2001:db8:9::9"]));
        assert!(
            !home.record_announcements(&[node(NodeRole::Home, &[])], &policy()),
            "an empty announcement changes nothing"
        );
        assert!(
            home.record_announcements(&[node(NodeRole::Probe, &[])], &policy()),
            "the node has lost its role"
        );
        assert_eq!(home.merged(), home_of(&["198.51.100.1", "2001:db8:2::2"]));
    }

    #[test]
    fn only_home_nodes_and_public_addresses_count_as_home() {
        let mut home = HomeSources::default();
        for role in [NodeRole::Probe, NodeRole::Desktop] {
            assert!(!home.record_announcements(&[node(role, &["203.0.113.9"])], &policy()));
        }
        assert!(!home.record_announcements(&[node(NodeRole::Home, &["10.0.0.9"])], &policy()));
        assert!(home.merged().is_unknown());
    }

    #[test]
    fn only_a_home_node_announces_its_exit_and_only_if_trusted_voices_agree() {
        let own = Source::Node("vps".into());
        let public = |name: &str| Source::Service(name.into());
        let announces = |role, sources: &[Source]| !exit_to_announce(role, &seen_by(sources)).is_empty();
        assert!(announces(NodeRole::Home, std::slice::from_ref(&own)));
        assert!(announces(NodeRole::Home, &[public("a"), public("b")]));
        assert!(!announces(NodeRole::Home, &[public("a")]));
        assert!(!announces(NodeRole::Probe, std::slice::from_ref(&own)));
        let mut tunnelled = seen_by(&[own, public("a")]);
        tunnelled.tunnel =
            Some(TunnelView { interface: "wg0".into(), up: true, kill_switch: None, underlay: None });
        assert!(exit_to_announce(NodeRole::Home, &tunnelled).is_empty());
        assert!(learn_home(&tunnelled, false).unwrap_err().message.contains("wg0"));
        assert_eq!(learn_home(&tunnelled, true).unwrap().addresses, [address("203.0.113.9")]);
    }

    #[test]
    fn typed_addresses_are_accepted_unless_they_cannot_be_home() {
        let mut home = HomeSources { configured: home_of(&["198.51.100.1"]), ..HomeSources::default() };
        home.set_addresses(&[address("2001:db8:9::9")], &policy()).unwrap();
        assert_eq!(home.merged(), home_of(&["198.51.100.1", "2001:db8:9::9"]));
        for (wrong, word) in [
            (vec![], "between"),
            (vec![address("10.0.0.1")], "internet"),
            (vec![address("203.0.113.1")], "[home]"),
        ] {
            let refusal = home.set_addresses(&wrong, &policy()).unwrap_err();
            assert!(refusal.message.contains(word), "{refusal}");
        }
    }
}
