// A D-Bus interface consists of methods, even without state, whose arguments have names.
#![allow(clippy::unused_self, clippy::used_underscore_binding)]

use super::*;
use crate::platform::{
    api::Change,
    linux::{
        changes, nsswitch::Nsswitch, resolv_conf::ResolvConf, resolver_config::ResolverConfig,
        test_bus::Daemon,
    },
};
use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};
use tokio::{net::UnixListener, sync::mpsc, time::sleep};
use zbus::connection;

/// The errors of systemd-resolved.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.resolve1")]
enum ResolveError {
    #[zbus(error)]
    ZBus(zbus::Error),
    #[zbus(name = "DnsError.NXDOMAIN")]
    NxDomain(String),
    #[zbus(name = "NoSuchRR")]
    NoSuchRr(String),
    NoNameServers(String),
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

    /// Knows `who.example` and its address, and `busy.example`, whose servers fail.
    fn resolve_record(
        &self,
        _link: i32,
        name: &str,
        class: u16,
        kind: u16,
        _flags: u64,
    ) -> Result<(Vec<RawRecord>, u64), ResolveError> {
        match (name, kind) {
            ("who.example.", 16) => {
                let record = b"\x03who\x07example\0\0\x10\0\x01\0\0\0\x3c\0\x0a\x09192.0.2.1".to_vec();
                Ok((vec![(0, class, kind, record)], 0))
            }
            ("busy.example.", _) => Err(ResolveError::NoNameServers("no servers".into())),
            ("who.example.", _) => Err(ResolveError::NoSuchRr("no such record".into())),
            _ => Err(ResolveError::NxDomain("no such name".into())),
        }
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

    let bus = Daemon::start().await;
    let resolved = ResolvedClient::at(bus.address(), "/nonexistent".into());
    assert_eq!(resolved.read_state().await, None, "the service is not on the bus yet");
    assert!(resolved.bus.is_open(), "the connection to the bus must be kept");

    let service = serve(&bus.address()).await;
    let both = resolved.read_state().await.unwrap();
    assert_eq!(describe(&both), ["192.168.1.1 wlan0 Forwarded", "10.64.0.1 wg0 Forwarded"]);
    set_default_route(&service, false).await;
    let one = resolved.read_state().await.unwrap();
    assert_eq!(describe(&one), ["10.64.0.1 wg0 Forwarded", "192.168.1.1 wlan0 Scoped"]);

    // The bus disappears, and the connection with it.
    drop(bus);
    assert_eq!(resolved.read_state().await, None);
    assert!(!resolved.bus.is_open());
}

#[tokio::test]
async fn the_connection_is_reopened_after_the_bus_came_back() {
    let mut bus = Daemon::start().await;
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
    let bus = Daemon::start().await;
    let service = serve(&bus.address()).await;
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("resolv.conf");
    fs::write(&main, "nameserver 127.0.0.53\n").unwrap();
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
    fs::write(&main, "nameserver 192.0.2.1\n").unwrap();
    assert_eq!(next_resolver_change(&mut rx).await, Some(Change::ResolverConfig));
    set_default_route(&service, true).await;
    assert_eq!(timeout(Duration::from_secs(2), next_resolver_change(&mut rx)).await.ok().flatten(), None);
}

/// A machine whose C library is led to systemd-resolved by `nsswitch.conf` alone.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        machine.put("resolv.conf", "nameserver 203.0.113.53\n");
        machine.put("nsswitch.conf", "hosts: mymachines resolve [!UNAVAIL=return] files dns\n");
        machine.put("root/usr/lib/libnss_resolve.so.2", "");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, content: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    fn listen(&self) -> UnixListener {
        fs::create_dir_all(self.path("resolve")).unwrap();
        let _ = fs::remove_file(self.path("resolve/io.systemd.Resolve"));
        UnixListener::bind(self.path("resolve/io.systemd.Resolve")).unwrap()
    }

    fn config(&self, bus: &str) -> ResolverConfig {
        let conf = ResolvConf::new(self.path("resolv.conf"), self.path("upstream.conf"));
        let resolved = ResolvedClient::at(bus.to_owned(), self.path("resolve"));
        ResolverConfig::new(conf, Nsswitch::new(self.path("nsswitch.conf")), resolved, self.path("root"))
    }

    async fn resolvers(&self, bus: &str) -> Vec<String> {
        let line = |each: &ConfiguredResolver| format!("{} {:?}", each.address, each.role);
        self.config(bus).read().await.unwrap().iter().map(line).collect()
    }
}

#[tokio::test]
async fn the_c_library_asks_systemd_resolved_by_its_socket_while_it_runs() {
    let bus = Daemon::start().await;
    let _service = serve(&bus.address()).await;
    let machine = Machine::new();
    let of_file = ["203.0.113.53 First"];
    assert_eq!(machine.resolvers(&bus.address()).await, of_file, "its socket is not there");
    let listener = machine.listen();
    let all = machine.resolvers(&bus.address()).await;
    assert_eq!(all[0], of_file[0], "programs that read the file themselves ask its server");
    assert_eq!(all.len(), 3, "the laptop's servers follow: {all:?}");
    assert!(machine.config(&bus.address()).find_name_service().await.is_some());

    for line in
        ["hosts: files dns\n", "hosts: files dns resolve\n", "hosts: files [NOTFOUND=return] resolve\n"]
    {
        machine.put("nsswitch.conf", line);
        assert_eq!(machine.resolvers(&bus.address()).await, of_file, "{line}");
        assert!(machine.config(&bus.address()).find_name_service().await.is_none(), "{line}");
    }
    machine.put("nsswitch.conf", "hosts: resolve dns\n");
    fs::remove_file(machine.path("root/usr/lib/libnss_resolve.so.2")).unwrap();
    assert_eq!(machine.resolvers(&bus.address()).await, of_file, "the C library has no such module");
    machine.put("root/run/nscd/socket", "");
    assert_eq!(machine.resolvers(&bus.address()).await.len(), 3, "a cache may have it");
    drop(listener);
    assert_eq!(machine.resolvers(&bus.address()).await, of_file, "nobody listens any more");

    // Before version 247 it has no socket, and is asked over the bus.
    fs::remove_dir_all(machine.path("resolve")).unwrap();
    machine.put("resolve/resolv.conf", "");
    assert_eq!(machine.resolvers(&bus.address()).await.len(), 3);
}

#[tokio::test]
async fn its_file_is_read_where_it_does_not_answer_on_the_bus() {
    let machine = Machine::new();
    let _listener = machine.listen();
    machine.put("upstream.conf", "nameserver 192.168.1.1\n");
    let resolvers = machine.resolvers("unix:path=/nonexistent/bus").await;
    assert_eq!(resolvers, ["203.0.113.53 First", "192.168.1.1 Unspecified"]);
}

#[tokio::test]
async fn names_are_looked_up_at_systemd_resolved() {
    let bus = Daemon::start().await;
    let _service = serve(&bus.address()).await;
    let resolved = ResolvedClient::at(bus.address(), "/nonexistent".into());
    let budget = Duration::from_secs(5);
    let records = resolved.look_up("who.example.", 16, budget).await.unwrap();
    assert!(records[0].ends_with(b"192.0.2.1"));
    let error = async |name: &str, kind| resolved.look_up(name, kind, budget).await.unwrap_err();
    assert_eq!(error("none.example.", 16).await, NameServiceError::Nonexistent);
    assert_eq!(error("who.example.", 1).await, NameServiceError::Nonexistent);
    assert_eq!(error("busy.example.", 1).await, NameServiceError::Undetermined(Reason::Unreachable));
    drop(bus);
    let gone = error("who.example.", 16).await;
    assert!(matches!(gone, NameServiceError::Undetermined(Reason::Failed(_))), "{gone:?}");
}

#[tokio::test]
async fn that_it_stops_is_reported_once_although_no_file_changed() {
    let bus = Daemon::start().await;
    let service = serve(&bus.address()).await;
    let machine = Machine::new();
    let listener = machine.listen();
    let mut rx = changes::watch(machine.config(&bus.address())).unwrap();
    let link = service.object_server().interface::<_, FakeLink>(FAKE_WLAN).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while link.get().await.times_read.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < deadline, "the state was not read");
        sleep(Duration::from_millis(5)).await;
    }
    drop(listener);
    assert_eq!(next_resolver_change(&mut rx).await, Some(Change::ResolverConfig));
    assert_eq!(timeout(Duration::from_secs(2), next_resolver_change(&mut rx)).await.ok().flatten(), None);
}
