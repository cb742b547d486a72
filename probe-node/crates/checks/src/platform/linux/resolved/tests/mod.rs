//! What the state means, and in [`bus`], how it is read.

mod bus;

use super::{
    state::{Delegate, ResolvedLink, Scope},
    *,
};
use sentinel_model::ConfiguredResolver;
use zbus::zvariant::{OwnedValue, Value};

type Server = (i32, i32, Vec<u8>);
type Domain = (i32, String, bool);

const ETH: i32 = 2;
const WLAN: i32 = 3;
const WG: i32 = 7;

fn name_of(index: u32) -> Option<String> {
    let names = [(2, "eth0"), (3, "wlan0"), (7, "wg0")];
    names.iter().find(|(named, _)| *named == index).map(|(_, name)| (*name).to_owned())
}

fn v4(link: i32, address: [u8; 4]) -> Server {
    (link, 2, address.to_vec())
}

fn domain(link: i32, name: &str) -> Domain {
    (link, name.to_owned(), true)
}

fn owned<'a>(value: impl Into<Value<'a>>) -> OwnedValue {
    value.into().try_into().unwrap()
}

/// The servers of a laptop: the router on the Wi-Fi link and the resolver inside the tunnel.
fn laptop() -> Vec<Server> {
    vec![v4(WLAN, [192, 168, 1, 1]), v4(WG, [10, 64, 0, 1])]
}

fn state(servers: Vec<Server>, domains: Vec<Domain>, links: &[(i32, u64, bool)]) -> ResolvedState {
    let manager = Properties::from([
        ("DNS".to_owned(), owned(servers)),
        ("Domains".to_owned(), owned(domains)),
        ("FallbackDNS".to_owned(), owned(vec![v4(0, [9, 9, 9, 9])])),
    ]);
    let mut state = ResolvedState::from_manager(&manager);
    add_links(&mut state, links);
    state
}

fn add_links(state: &mut ResolvedState, links: &[(i32, u64, bool)]) {
    for (index, scopes, default_route) in links {
        let link = Properties::from([
            ("ScopesMask".to_owned(), owned(*scopes)),
            ("DefaultRoute".to_owned(), owned(*default_route)),
        ]);
        state.links.insert(*index, ResolvedLink::from_properties(&link));
    }
}

fn describe(state: &ResolvedState) -> Vec<String> {
    let line = |each: &ConfiguredResolver| {
        let link = each.interface.as_deref().unwrap_or("-");
        format!("{} {link} {:?}", each.address, each.role)
    };
    state.list_resolvers(name_of).iter().map(line).collect()
}

#[test]
fn a_link_with_the_catch_all_domain_takes_every_name() {
    let links = [(WLAN, 1, true), (WG, 1, true)];
    let all = state(laptop(), vec![domain(WG, "."), domain(WLAN, "fritz.box")], &links);
    assert_eq!(describe(&all), ["10.64.0.1 wg0 Forwarded", "192.168.1.1 wlan0 Scoped"]);
    // A link without servers takes nothing, whatever its domains say.
    let empty = state(laptop(), vec![domain(ETH, ".")], &links);
    assert_eq!(describe(&empty), ["192.168.1.1 wlan0 Forwarded", "10.64.0.1 wg0 Forwarded"]);
    // Neither does a link that is down.
    let down = state(laptop(), vec![domain(WG, ".")], &[(WLAN, 1, true), (WG, 0, true)]);
    assert_eq!(describe(&down), ["192.168.1.1 wlan0 Forwarded", "10.64.0.1 wg0 Scoped"]);
}

#[test]
fn without_a_catch_all_domain_every_default_route_link_and_the_global_servers_are_asked() {
    let mut servers = laptop();
    servers.insert(0, v4(0, [192, 0, 2, 53]));
    let both = state(servers.clone(), Vec::new(), &[(WLAN, 1, true), (WG, 1, true)]);
    assert_eq!(
        describe(&both),
        ["192.0.2.53 - Forwarded", "192.168.1.1 wlan0 Forwarded", "10.64.0.1 wg0 Forwarded"]
    );
    let one = state(servers.clone(), vec![domain(WLAN, "fritz.box")], &[(WLAN, 1, false), (WG, 1, true)]);
    assert_eq!(
        describe(&one),
        ["192.0.2.53 - Forwarded", "10.64.0.1 wg0 Forwarded", "192.168.1.1 wlan0 Scoped"]
    );
    // `Domains=~.` in resolved.conf makes the global servers take every name.
    let global = state(servers, vec![domain(0, ".")], &[(WLAN, 1, true), (WG, 1, true)]);
    assert_eq!(
        describe(&global),
        ["192.0.2.53 - Forwarded", "192.168.1.1 wlan0 Scoped", "10.64.0.1 wg0 Scoped"]
    );
}

#[test]
fn the_role_of_an_unreadable_link_is_not_guessed() {
    // The tunnel's link was removed between two replies, and link 99 is in another network
    // namespace.
    let mut servers = laptop();
    servers.push(v4(99, [192, 0, 2, 1]));
    let gone = state(servers, Vec::new(), &[(WLAN, 1, true), (99, 1, true)]);
    assert_eq!(
        describe(&gone),
        ["192.168.1.1 wlan0 Forwarded", "10.64.0.1 wg0 Unspecified", "192.0.2.1 - Unspecified"]
    );
}

#[test]
fn fallback_servers_are_asked_only_if_there_are_no_others_and_its_own_listener_never_is() {
    assert_eq!(describe(&state(Vec::new(), Vec::new(), &[])), ["9.9.9.9 - Forwarded"]);
    let itself = state(vec![v4(0, [127, 0, 0, 53])], Vec::new(), &[]);
    assert_eq!(describe(&itself), ["9.9.9.9 - Forwarded"]);
}

#[test]
fn fallback_servers_are_used_where_no_server_is_asked_for_every_name() {
    // The only link with servers is no default route (systemd 257 and later).
    let router = || vec![v4(WLAN, [192, 168, 1, 1])];
    let scoped = [(WLAN, 1, false)];
    let both = ["9.9.9.9 - Forwarded", "192.168.1.1 wlan0 Scoped"];
    assert_eq!(describe(&state(router(), Vec::new(), &scoped)), both);
    let one = ["192.168.1.1 wlan0 Forwarded"];
    assert_eq!(describe(&state(router(), Vec::new(), &[(WLAN, 1, true)])), one);
    let global = state([router(), vec![v4(0, [192, 0, 2, 53])]].concat(), Vec::new(), &scoped);
    assert_eq!(describe(&global), ["192.0.2.53 - Forwarded", "192.168.1.1 wlan0 Scoped"]);
    // A link that could not be read may be a default route.
    assert_eq!(describe(&state(router(), Vec::new(), &[])), ["192.168.1.1 wlan0 Unspecified"]);

    // Earlier versions leave such names unanswered, which shows in the server they use.
    let with_current = |server: Server, delegates: Option<Vec<Delegate>>| {
        let manager = Properties::from([
            ("DNS".to_owned(), owned(router())),
            ("FallbackDNS".to_owned(), owned(vec![v4(0, [9, 9, 9, 9])])),
            ("CurrentDNSServer".to_owned(), owned(server)),
        ]);
        let mut state = ResolvedState::from_manager(&manager);
        add_links(&mut state, &scoped);
        state.add_delegates(delegates);
        describe(&state)
    };
    let none = (0, 0, Vec::new());
    assert_eq!(with_current(none.clone(), None), ["192.168.1.1 wlan0 Scoped"]);
    assert_eq!(with_current(v4(0, [9, 9, 9, 9]), None), both);
    assert_eq!(with_current(none, Some(Vec::new())), both, "version 258 has delegates");
}

fn delegate(id: &str, server: [u8; 4], domains: &[&str], default_route: bool) -> Delegate {
    let server = (0, 2, server.to_vec(), 0_u16, String::new());
    let domains: Vec<(String, bool)> = domains.iter().map(|domain| ((*domain).to_owned(), true)).collect();
    let properties = Properties::from([
        ("DNS".to_owned(), owned(vec![server])),
        ("Domains".to_owned(), owned(domains)),
        ("DefaultRoute".to_owned(), owned(default_route)),
    ]);
    Delegate::from_properties(id.to_owned(), &properties)
}

#[test]
fn delegates_take_their_domains_or_every_name() {
    let with = |delegates| {
        let mut state = state(laptop(), Vec::new(), &[(WLAN, 1, false), (WG, 1, true)]);
        state.add_delegates(Some(delegates));
        describe(&state)
    };
    let scoped = with(vec![delegate("corp", [192, 0, 2, 7], &["corp.example"], false)]);
    assert_eq!(scoped, ["10.64.0.1 wg0 Forwarded", "192.168.1.1 wlan0 Scoped", "192.0.2.7 - Scoped"]);
    let default = with(vec![delegate("all", [192, 0, 2, 7], &[], true)]);
    assert_eq!(default, ["10.64.0.1 wg0 Forwarded", "192.0.2.7 - Forwarded", "192.168.1.1 wlan0 Scoped"]);
    let catch_all = with(vec![delegate("all", [192, 0, 2, 7], &["."], false)]);
    assert_eq!(catch_all, ["192.0.2.7 - Forwarded", "192.168.1.1 wlan0 Scoped", "10.64.0.1 wg0 Scoped"]);
}

#[test]
fn the_links_of_another_network_namespace_are_not_this_machines() {
    let mut elsewhere = state(laptop(), Vec::new(), &[(WLAN, 1, false), (WG, 1, true)]);
    elsewhere.is_elsewhere = true;
    assert_eq!(describe(&elsewhere), ["10.64.0.1 - ForwardedElsewhere", "192.168.1.1 - Scoped"]);
}

#[test]
fn properties_of_another_type_are_ignored() {
    let of = |value: OwnedValue| ResolvedState::from_manager(&Properties::from([("DNS".to_owned(), value)]));
    assert_eq!(ResolvedState::from_manager(&Properties::new()), ResolvedState::default());
    assert_eq!(of(owned("text")), ResolvedState::default());
    assert_eq!(of(owned(vec![1_u32, 2])), ResolvedState::default());
    assert_eq!(of(owned(vec![v4(2, [1, 2, 3, 4]), (2, 2, vec![1, 2, 3])])).servers.len(), 1);
    let v6 = vec![(2, 10, "2001:db8::53".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec())];
    assert_eq!(of(owned(v6)).servers, [(Scope::Link(2), "2001:db8::53".parse().unwrap())]);
}
