//! An operating system whose network a test decides.

use async_trait::async_trait;
use sentinel_checks::{Change, CheckError, PacketKind, Platform, SocketQuery};
use sentinel_model::{
    ConfiguredResolver, Interface, InterfaceKind, Outcome, OutsideSocket, RouteTaken, SocketTable,
};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A machine with one wired interface, and a tunnel that a test can remove.
pub(super) struct ScriptedPlatform {
    has_tunnel: Mutex<bool>,
    outside_sockets: Mutex<Vec<OutsideSocket>>,
    hold: Mutex<Option<CancellationToken>>,
    calls: AtomicUsize,
    held: AtomicUsize,
    released: AtomicUsize,
    changes: Mutex<Option<mpsc::Receiver<Change>>>,
    change_sender: Mutex<Option<mpsc::Sender<Change>>>,
}

impl ScriptedPlatform {
    pub(super) fn new() -> Self {
        let (sender, changes) = mpsc::channel(8);
        Self {
            has_tunnel: Mutex::new(true),
            outside_sockets: Mutex::default(),
            hold: Mutex::new(None),
            calls: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
            changes: Mutex::new(Some(changes)),
            change_sender: Mutex::new(Some(sender)),
        }
    }

    /// Adds or removes the tunnel, without reporting a change.
    pub(super) fn set_tunnel(&self, present: bool) {
        *self.has_tunnel.lock().unwrap() = present;
    }

    /// Lets programs have these sockets outside the tunnel.
    pub(super) fn set_outside_sockets(&self, sockets: Vec<OutsideSocket>) {
        *self.outside_sockets.lock().unwrap() = sockets;
    }

    /// Reports that a link changed.
    pub(super) async fn report_change(&self) {
        let sender = self.change_sender.lock().unwrap().clone();
        sender.unwrap().send(Change::Link).await.unwrap();
    }

    /// Stops reporting changes for good.
    pub(super) fn stop_reporting(&self) {
        self.change_sender.lock().unwrap().take();
    }

    /// Delays the answer of every question for the interfaces from now on, until the token is
    /// cancelled.
    ///
    /// A delayed answer is what was true when the question was asked.
    pub(super) fn hold_answers(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.hold.lock().unwrap() = Some(token.clone());
        token
    }

    /// Answers new questions at once again; those already delayed stay so.
    pub(super) fn answer_at_once(&self) {
        self.hold.lock().unwrap().take();
    }

    /// Counts the questions for the interfaces.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Counts the answers that were delayed.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Counts the answers that were given after a delay.
    pub(super) fn released(&self) -> usize {
        self.released.load(Ordering::SeqCst)
    }

    fn interfaces_now(&self) -> Vec<Interface> {
        let interface = |name: &str, kind, address: &str| Interface {
            name: name.to_owned(),
            kind,
            up: true,
            addresses: vec![address.parse().unwrap()],
        };
        let mut interfaces = vec![interface("eth0", InterfaceKind::Physical, "192.168.1.20/24")];
        if *self.has_tunnel.lock().unwrap() {
            interfaces.push(interface("wg0", InterfaceKind::Tunnel, "10.64.0.2/32"));
        }
        interfaces
    }
}

#[async_trait]
impl Platform for ScriptedPlatform {
    async fn find_route(&self, _: PacketKind) -> Outcome<RouteTaken> {
        let (interface, kind) = if *self.has_tunnel.lock().unwrap() {
            ("wg0", InterfaceKind::Tunnel)
        } else {
            ("eth0", InterfaceKind::Physical)
        };
        Outcome::Measured(RouteTaken { interface: interface.to_owned(), kind, gateway: None, source: None })
    }

    async fn list_interfaces(&self) -> Outcome<Vec<Interface>> {
        let answer = self.interfaces_now();
        self.calls.fetch_add(1, Ordering::SeqCst);
        let hold = self.hold.lock().unwrap().clone();
        if let Some(hold) = hold {
            self.held.fetch_add(1, Ordering::SeqCst);
            hold.cancelled().await;
            self.released.fetch_add(1, Ordering::SeqCst);
        }
        Outcome::Measured(answer)
    }

    async fn list_outside_sockets(&self, query: &SocketQuery) -> Outcome<SocketTable> {
        assert_eq!(query.tunnels.v4.as_deref(), Some("wg0"));
        let sockets = self.outside_sockets.lock().unwrap().clone();
        Outcome::Measured(SocketTable { sockets, is_complete: true })
    }

    async fn read_resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
        Outcome::Measured(Vec::new())
    }

    fn watch_changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        Ok(self.changes.lock().unwrap().take().unwrap())
    }
}
