#![allow(clippy::unused_self)] // a D-Bus interface consists of methods, even without state

use super::{state::Scope, *};
use crate::platform::{
    api::Change,
    linux::{changes, nsswitch::Nsswitch, resolv_conf::ResolvConf, resolver_config::ResolverConfig},
};
use sentinel_model::ConfiguredResolver;
use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};
use tokio::{sync::mpsc, time::sleep};
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
fn properties_of_another_type_are_ignored() {
    let of = |value: OwnedValue| ResolvedState::from_manager(&Properties::from([("DNS".to_owned(), value)]));
    assert_eq!(ResolvedState::from_manager(&Properties::new()), ResolvedState::default());
    assert_eq!(of(owned("text")), ResolvedState::default());
    assert_eq!(of(owned(vec![1_u32, 2])), ResolvedState::default());
    assert_eq!(of(owned(vec![v4(2, [1, 2, 3, 4]), (2, 2, vec![1, 2, 3])])).servers.len(), 1);
    let v6 = vec![(2, 10, "2001:db8::53".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec())];
    assert_eq!(of(owned(v6)).servers, [(Scope::Link(2), "2001:db8::53".parse().unwrap())]);
}

/// A D-Bus daemon private to the test.
struct Bus {
    daemon: Child,
    dir: tempfile::TempDir,
}

impl Bus {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bus = Self { daemon: Self::spawn(&dir), dir };
        bus.wait_until_up().await;
        bus
    }

    /// Replaces the daemon by a new one at the same address.
    async fn restart(&mut self) {
        let _ = (self.daemon.kill(), self.daemon.wait());
        let _ = std::fs::remove_file(self.dir.path().join("bus"));
        self.daemon = Self::spawn(&self.dir);
        self.wait_until_up().await;
    }

    fn spawn(dir: &tempfile::TempDir) -> Child {
        let mut daemon = Command::new("dbus-daemon");
        daemon.args(["--session", "--nofork", "--nosyslog"]);
        daemon.arg(format!("--address=unix:path={}", dir.path().join("bus").display()));
        daemon.stdout(Stdio::null()).spawn().unwrap()
    }

    async fn wait_until_up(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.dir.path().join("bus").exists() {
            assert!(Instant::now() < deadline, "the bus did not come up");
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.dir.path().join("bus").display())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = (self.daemon.kill(), self.daemon.wait());
    }
}

struct FakeManager;

#[zbus::interface(name = "org.freedesktop.resolve1.Manager")]
impl FakeManager {
    fn get_link(&self, index: i32) -> zbus::fdo::Result<OwnedObjectPath> {
        let path = format!("/org/freedesktop/resolve1/link/_{index}");
        OwnedObjectPath::try_from(path).map_err(|error| zbus::fdo::Error::Failed(error.to_string()))
    }

    #[zbus(property, name = "DNS")]
    fn dns(&self) -> Vec<Server> {
        laptop()
    }

    #[zbus(property)]
    fn domains(&self) -> Vec<Domain> {
        vec![domain(WLAN, "fritz.box")]
    }
}

struct FakeLink {
    default_route: bool,
    times_read: AtomicU32,
}

impl FakeLink {
    fn on_by_default() -> Self {
        Self { default_route: true, times_read: AtomicU32::new(0) }
    }
}

#[zbus::interface(name = "org.freedesktop.resolve1.Link")]
impl FakeLink {
    #[zbus(property)]
    fn scopes_mask(&self) -> u64 {
        1
    }

    #[zbus(property)]
    fn default_route(&self) -> bool {
        self.times_read.fetch_add(1, Ordering::Relaxed);
        self.default_route
    }
}

const FAKE_WLAN: &str = "/org/freedesktop/resolve1/link/_3";

async fn serve(address: &str) -> Connection {
    connection::Builder::address(address)
        .unwrap()
        .serve_at(MANAGER_PATH, FakeManager)
        .unwrap()
        .serve_at(FAKE_WLAN, FakeLink::on_by_default())
        .unwrap()
        .serve_at("/org/freedesktop/resolve1/link/_7", FakeLink::on_by_default())
        .unwrap()
        .name(SERVICE)
        .unwrap()
        .build()
        .await
        .unwrap()
}

async fn set_default_route(service: &Connection, default_route: bool) {
    let link = service.object_server().interface::<_, FakeLink>(FAKE_WLAN).await.unwrap();
    link.get_mut().await.default_route = default_route;
}

#[tokio::test]
async fn the_state_is_read_over_a_bus_and_an_absent_bus_or_service_is_not_waited_for() {
    let absent = ResolvedClient::at("unix:path=/nonexistent/bus".into(), "/nonexistent".into());
    assert_eq!(absent.read_state().await, None);

    let bus = Bus::start().await;
    let resolved = ResolvedClient::at(bus.address(), "/nonexistent".into());
    assert_eq!(resolved.read_state().await, None, "the service is not on the bus yet");
    assert!(resolved.lock_connection().is_some(), "the connection to the bus must be kept");

    let service = serve(&bus.address()).await;
    let both = resolved.read_state().await.unwrap();
    assert_eq!(describe(&both), ["192.168.1.1 wlan0 Forwarded", "10.64.0.1 wg0 Forwarded"]);
    set_default_route(&service, false).await;
    let one = resolved.read_state().await.unwrap();
    assert_eq!(describe(&one), ["10.64.0.1 wg0 Forwarded", "192.168.1.1 wlan0 Scoped"]);

    // The bus disappears, and the connection with it.
    drop(bus);
    assert_eq!(resolved.read_state().await, None);
    assert!(resolved.lock_connection().is_none());
}

#[tokio::test]
async fn the_connection_is_reopened_after_the_bus_came_back() {
    let mut bus = Bus::start().await;
    let resolved = ResolvedClient::at(bus.address(), "/nonexistent".into());
    let first = serve(&bus.address()).await;
    assert!(resolved.read_state().await.is_some());
    drop(first);
    bus.restart().await;
    let _second = serve(&bus.address()).await;
    // The first request may still fail on the old connection.
    let deadline = Instant::now() + Duration::from_secs(10);
    while resolved.read_state().await.is_none() {
        assert!(Instant::now() < deadline, "the new bus was not reached");
    }
}

async fn next_resolver_change(rx: &mut mpsc::Receiver<Change>) -> Option<Change> {
    let resolver_change = async {
        while let Some(change) = rx.recv().await {
            if change == Change::ResolverConfig {
                return Some(change);
            }
        }
        None
    };
    timeout(Duration::from_secs(5), resolver_change).await.ok().flatten()
}

#[tokio::test]
async fn a_changed_default_route_is_reported_although_no_file_changed() {
    let bus = Bus::start().await;
    let service = serve(&bus.address()).await;
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("resolv.conf");
    std::fs::write(&main, "nameserver 127.0.0.53\n").unwrap();
    let resolved = ResolvedClient::at(bus.address(), dir.path().to_owned());
    let conf = ResolvConf::new(&main, "/nonexistent/uplink");
    let config = ResolverConfig::new(conf, Nsswitch::new("/nonexistent"), resolved, "/nonexistent");
    let mut rx = changes::watch(config).unwrap();
    // The first state read is the reference.
    let link = service.object_server().interface::<_, FakeLink>(FAKE_WLAN).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while link.get().await.times_read.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < deadline, "the link was not read");
        sleep(Duration::from_millis(5)).await;
    }
    set_default_route(&service, false).await;
    assert_eq!(next_resolver_change(&mut rx).await, Some(Change::ResolverConfig));

    // Once resolv.conf names another server, a change inside systemd-resolved is not reported.
    std::fs::write(&main, "nameserver 192.0.2.1\n").unwrap();
    assert_eq!(next_resolver_change(&mut rx).await, Some(Change::ResolverConfig));
    set_default_route(&service, true).await;
    assert_eq!(timeout(Duration::from_secs(2), next_resolver_change(&mut rx)).await.ok().flatten(), None);
}
