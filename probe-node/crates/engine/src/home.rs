//! Which line is home: what the user wrote, what was learned while the VPN was off, and what a node of the role `home`
//! says, which sits on that line and so knows for ever. Home is compared here and told to nobody; only such a node tells
//! the others its own exit.

use sentinel_judge::{Assessment, Policy};
use sentinel_model::{
    Agreement, Asn, CommandError, ExitView, Family, Home, NodeId, NodeRole, NodeView, Outcome, Source,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// More addresses than a line has.
const MAX_ADDRESSES: usize = 8;

/// Everything that is known of home.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What the user wrote.
    pub(crate) configured: Home,
    /// What was learned, or set by a command.
    pub(crate) learned: Home,
    /// What the nodes of the role `home` said last.
    pub(crate) announced: BTreeMap<NodeId, Vec<IpAddr>>,
}

impl Known {
    /// All of it together. What was learned counts only for families nobody else speaks for: the user's own word and that
    /// of a node on the line are better.
    pub(crate) fn merged(&self) -> Home {
        let mut home = self.configured.clone();
        home.addresses.extend(self.announced.values().flatten());
        let new = self.learned.addresses.iter().filter(|address| !home.known(Family::of(**address)));
        let new: Vec<IpAddr> = new.copied().collect();
        home.addresses.extend(new);
        home.resolver_asns.extend(&self.learned.resolver_asns);
        let mut seen = BTreeSet::new();
        home.addresses.retain(|address| seen.insert(*address));
        home
    }

    /// Takes in what the nodes on the home line say of it; tells whether that is news. An address in a family replaces
    /// what the same node said before in that family, and a node that is none of that role any more is forgotten.
    pub(crate) fn hear(&mut self, nodes: &[NodeView], policy: &Policy) -> bool {
        if nodes.is_empty() {
            return false;
        }
        let on_the_line = |node: &&NodeView| !node.is_self && node.role == NodeRole::Home;
        let count = self.announced.len();
        self.announced.retain(|id, _| nodes.iter().filter(on_the_line).any(|node| node.id == *id));
        let mut news = self.announced.len() != count;
        for node in nodes.iter().filter(on_the_line) {
            let Some(said) = &node.announced else { continue };
            let said = said.home_exit.iter().map(IpAddr::to_canonical);
            let said: Vec<_> =
                said.filter(|address| !policy.is_bogon(*address)).take(MAX_ADDRESSES).collect();
            if said.is_empty() {
                continue;
            }
            let before = self.announced.entry(node.id.clone()).or_default();
            let families: Vec<_> = said.iter().map(|address| Family::of(*address)).collect();
            let kept = before.iter().filter(|address| !families.contains(&Family::of(**address)));
            let now: Vec<IpAddr> = said.iter().chain(kept).copied().collect();
            news |= *before != now;
            *before = now;
        }
        news
    }

    /// Takes addresses as the user typed them.
    pub(crate) fn set(&mut self, addresses: &[IpAddr], policy: &Policy) -> Result<(), CommandError> {
        let addresses: Vec<_> = addresses.iter().map(IpAddr::to_canonical).collect();
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            return Err(refuse(format!(
                "A home line has between 1 and {MAX_ADDRESSES} addresses, and {} were given.",
                addresses.len()
            )));
        }
        if let Some(private) = addresses.iter().find(|address| policy.is_bogon(**address)) {
            return Err(refuse(format!(
                "{private} is no address on the internet, so nobody outside can see you at it. Give the one the world \
                 sees without the VPN; `vpnsentinel-node home learn` finds it out."
            )));
        }
        if let Some(written) = addresses.iter().find(|address| self.configured.known(Family::of(**address))) {
            return Err(refuse(format!(
                "The configuration already says what is home over {}. Change it under [home] there, or remove it.",
                Family::of(*written)
            )));
        }
        self.learned = Home { addresses, ..Home::default() };
        Ok(())
    }
}

/// What the world sees now, as home; refused while a tunnel is up or nobody agrees on an address.
pub(crate) fn learn(now: &Assessment) -> Result<Home, CommandError> {
    if let Some(tunnel) = now.shown.tunnel.as_ref().filter(|tunnel| tunnel.up) {
        return Err(refuse(format!(
            "The tunnel {} is up, so what the world sees is not your home line. Turn the VPN off and ask again.",
            tunnel.interface
        )));
    }
    let addresses = seen(now, |exit| agreeing(exit).count() >= 2);
    if addresses.is_empty() {
        return Err(refuse(
            "Fewer than two witnesses agree on your address now, so it cannot be learned. Add a node or allow public \
             services, or say it yourself with `vpnsentinel-node home set ADDRESS`."
                .to_owned(),
        ));
    }
    Ok(Home { addresses, resolver_asns: operators(now), ..Home::default() })
}

/// Who operates the line now: its resolvers answer names at home.
fn operators(now: &Assessment) -> Vec<Asn> {
    let owners = now.shown.exits.iter().filter_map(|exit| exit.address.measured()?.owner.as_ref()?.asn);
    let asns: BTreeSet<Asn> = owners.collect();
    asns.into_iter().collect()
}

/// Where the world sees this node, for the others to know, if this node sits on the home line. One witness of the user's
/// own is enough: should it lie, an alarm is raised in vain, but none is missed.
pub(crate) fn own_exit(role: NodeRole, now: &Assessment) -> Vec<IpAddr> {
    if role != NodeRole::Home || now.shown.tunnel.as_ref().is_some_and(|tunnel| tunnel.up) {
        return Vec::new();
    }
    seen(now, |exit| agreeing(exit).count() >= 2 || agreeing(exit).any(is_own))
}

fn seen(now: &Assessment, enough: impl Fn(&ExitView) -> bool) -> Vec<IpAddr> {
    let known = now.shown.exits.iter().filter(|exit| enough(exit));
    known.filter_map(|exit| Some(exit.address.measured()?.address)).collect()
}

fn agreeing(exit: &ExitView) -> impl Iterator<Item = &Source> {
    let agreeing = exit.voices.iter().filter(|voice| voice.agreement == Agreement::Agrees);
    agreeing.filter(|voice| matches!(voice.saw, Outcome::Measured(_))).map(|voice| &voice.voice.source)
}

fn is_own(source: &Source) -> bool {
    matches!(source, Source::Node(_))
}

fn refuse(message: String) -> CommandError {
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
            announced: Some(announced),
            last_heard: None,
        }
    }

    /// The world sees this node there, say these sources.
    fn seen_by(sources: &[Source]) -> Assessment {
        let mut now = Judge::new(policy(), Moment::default()).assess(Moment::default());
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
        now.shown.exits[0].voices = sources.iter().map(voice).collect();
        now.shown.exits[0].address = exit;
        now
    }

    #[test]
    fn what_a_node_on_the_line_says_is_kept_current_and_beside_what_the_user_wrote() {
        let mut known = Known {
            configured: home_of(&["198.51.100.1"]),
            learned: home_of(&["198.51.100.2", "2001:db8:2::2"]),
            ..Known::default()
        };
        assert_eq!(known.merged(), home_of(&["198.51.100.1", "2001:db8:2::2"]));
        assert!(known.hear(&[node(NodeRole::Home, &["203.0.113.9", "2001:db8:9::9"])], &policy()));
        assert!(!known.hear(&[node(NodeRole::Home, &["203.0.113.9", "2001:db8:9::9"])], &policy()));
        assert_eq!(known.merged(), home_of(&["198.51.100.1", "203.0.113.9", "2001:db8:9::9"]));
        assert!(known.hear(&[node(NodeRole::Home, &["203.0.113.77"])], &policy()));
        assert_eq!(known.merged(), home_of(&["198.51.100.1", "203.0.113.77", "2001:db8:9::9"]));
        assert!(!known.hear(&[node(NodeRole::Home, &[])], &policy()), "silence is no news");
        assert!(known.hear(&[node(NodeRole::Probe, &[])], &policy()), "it is no such node any more");
        assert_eq!(known.merged(), home_of(&["198.51.100.1", "2001:db8:2::2"]));
    }

    #[test]
    fn nobody_else_says_where_home_is_and_no_private_address_is_home() {
        let mut known = Known::default();
        for role in [NodeRole::Probe, NodeRole::Desktop] {
            assert!(!known.hear(&[node(role, &["203.0.113.9"])], &policy()));
        }
        assert!(!known.hear(&[node(NodeRole::Home, &["10.0.0.9"])], &policy()));
        assert!(known.merged().is_unknown());
    }

    #[test]
    fn a_node_on_the_line_tells_its_exit_when_it_is_sure_and_others_never_do() {
        let own = Source::Node("vps".into());
        let public = |name: &str| Source::Service(name.into());
        let tells = |role, sources: &[Source]| !own_exit(role, &seen_by(sources)).is_empty();
        assert!(tells(NodeRole::Home, std::slice::from_ref(&own)));
        assert!(tells(NodeRole::Home, &[public("a"), public("b")]));
        assert!(!tells(NodeRole::Home, &[public("a")]));
        assert!(!tells(NodeRole::Probe, std::slice::from_ref(&own)));
        let mut tunnelled = seen_by(&[own]);
        tunnelled.shown.tunnel =
            Some(TunnelView { interface: "wg0".into(), up: true, kill_switch: None, underlay: None });
        assert!(own_exit(NodeRole::Home, &tunnelled).is_empty());
        assert!(learn(&tunnelled).unwrap_err().message.contains("wg0"));
    }

    #[test]
    fn what_the_user_types_is_taken_unless_it_cannot_be_right() {
        let mut known = Known { configured: home_of(&["198.51.100.1"]), ..Known::default() };
        known.set(&[address("2001:db8:9::9")], &policy()).unwrap();
        assert_eq!(known.merged(), home_of(&["198.51.100.1", "2001:db8:9::9"]));
        for (wrong, word) in [
            (vec![], "between"),
            (vec![address("10.0.0.1")], "internet"),
            (vec![address("203.0.113.1")], "[home]"),
        ] {
            let refused = known.set(&wrong, &policy()).unwrap_err();
            assert!(refused.message.contains(word), "{refused}");
        }
    }
}
