//! Reports changes by comparing snapshots, for macOS and Windows.
//!
//! Their notifications also come when a router repeats itself or a neighbour is discovered. So a
//! notification only triggers a new snapshot, and the differences from the last one are reported.
//!
//! Two things are checked every second without a notification:
//! - the resolver configuration, because no notification covers all the places where it can be set;
//! - whether the machine slept.

use super::{
    api::Change,
    routing_table::RouteEntry,
    sleep::SleepDetector,
    timing::{COMPARE_EVERY, SETTLE},
};
use async_trait::async_trait;
use sentinel_model::{ConfiguredResolver, Interface, Millis};
use std::sync::Arc;
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval, sleep},
};

/// Reads the parts of a [`Snapshot`] from the system.
///
/// `None` means that a part could not be read now; it then keeps its last value.
#[async_trait]
pub(super) trait SnapshotSource: Send + Sync {
    /// Reads the interfaces with their addresses.
    async fn read_interfaces(&self) -> Option<Vec<Interface>>;
    /// Reads the routing table.
    async fn read_routes(&self) -> Option<Vec<RouteEntry>>;
    /// Reads the resolver configuration.
    async fn read_resolvers(&self) -> Option<Vec<ConfiguredResolver>>;
    /// Returns how long the machine has slept in total since it booted.
    fn time_slept(&self) -> Millis;
}

/// Starts watching; the task ends when the receiver is dropped.
///
/// `trigger` is notified of possible changes by `subscription`, which must be active before this is
/// called. The subscription is dropped when the task ends.
#[cfg(any(target_os = "macos", target_os = "windows"))]
pub(super) fn start(
    source: impl SnapshotSource + 'static,
    trigger: Arc<Notify>,
    subscription: impl Send + 'static,
) -> Result<mpsc::Receiver<Change>, crate::error::CheckError> {
    let runtime =
        tokio::runtime::Handle::try_current().map_err(|error| crate::error::CheckError::System {
            doing: "watch the network without a Tokio runtime",
            source: std::io::Error::other(error),
        })?;
    let (tx, rx) = mpsc::channel(super::timing::QUEUE);
    runtime.spawn(async move {
        run(source, trigger, tx).await;
        drop(subscription);
    });
    Ok(rx)
}

/// Reports changes until the receiver is dropped.
async fn run(source: impl SnapshotSource, trigger: Arc<Notify>, tx: mpsc::Sender<Change>) {
    let mut snapshot = Snapshot::default();
    snapshot.update(&source).await;
    let mut sleep_detector = SleepDetector::new(source.time_slept());
    let mut tick = interval(COMPARE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut changes = tokio::select! {
            () = tx.closed() => return,
            () = trigger.notified() => {
                sleep(SETTLE).await;
                snapshot.update(&source).await
            }
            _ = tick.tick() => snapshot.update_resolvers(&source).await.into_iter().collect(),
        };
        if let Some(woke) = sleep_detector.detect_wake(source.time_slept()) {
            changes.extend(snapshot.update(&source).await);
            changes.push(woke);
        }
        for change in changes {
            if tx.send(change).await.is_err() {
                return;
            }
        }
    }
}

/// The last state read from the system; `None` for parts not read yet.
#[derive(Default)]
struct Snapshot {
    interfaces: Option<Vec<Interface>>,
    routes: Option<Vec<RouteEntry>>,
    resolvers: Option<Vec<ConfiguredResolver>>,
}

impl Snapshot {
    /// Reads everything anew and returns the changes.
    async fn update(&mut self, source: &impl SnapshotSource) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(mut current) = source.read_interfaces().await {
            current.sort_by(|a, b| a.name.cmp(&b.name));
            for interface in &mut current {
                interface.addresses.sort_unstable();
            }
            if let Some(last) = &self.interfaces {
                changes.extend((link_states(last) != link_states(&current)).then_some(Change::Link));
                changes.extend((addresses(last) != addresses(&current)).then_some(Change::Address));
            }
            self.interfaces = Some(current);
        }
        if let Some(mut current) = source.read_routes().await {
            current.sort_unstable();
            changes.extend(replace(&mut self.routes, current).then_some(Change::Route));
        }
        changes.extend(self.update_resolvers(source).await);
        changes
    }

    /// Reads the resolver configuration anew and returns its change.
    async fn update_resolvers(&mut self, source: &impl SnapshotSource) -> Option<Change> {
        let current = source.read_resolvers().await?;
        replace(&mut self.resolvers, current).then_some(Change::ResolverConfig)
    }
}

/// Stores the current value and returns true if it differs from a value stored before.
fn replace<T: PartialEq>(last: &mut Option<T>, current: T) -> bool {
    let differs = last.as_ref().is_some_and(|last| *last != current);
    *last = Some(current);
    differs
}

fn link_states(interfaces: &[Interface]) -> Vec<(&str, bool)> {
    interfaces.iter().map(|interface| (interface.name.as_str(), interface.up)).collect()
}

fn addresses(interfaces: &[Interface]) -> Vec<(&str, &[ipnet::IpNet])> {
    let addressed = interfaces.iter().filter(|interface| !interface.addresses.is_empty());
    addressed.map(|interface| (interface.name.as_str(), interface.addresses.as_slice())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::timing::QUEUE;
    use sentinel_model::{InterfaceKind, ResolverRole};
    use std::{
        sync::{Mutex, PoisonError},
        time::Duration,
    };
    use tokio::time::timeout;

    #[derive(Clone, Default)]
    struct FakeState {
        interfaces: Option<Vec<Interface>>,
        routes: Vec<RouteEntry>,
        resolvers: Vec<ConfiguredResolver>,
        slept: u64,
        resolver_reads: u32,
    }

    #[derive(Clone, Default)]
    struct FakeSource(Arc<Mutex<FakeState>>);

    impl FakeSource {
        fn with<T>(&self, access: impl FnOnce(&mut FakeState) -> T) -> T {
            access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    #[async_trait]
    impl SnapshotSource for FakeSource {
        async fn read_interfaces(&self) -> Option<Vec<Interface>> {
            self.with(|state| state.interfaces.clone())
        }
        async fn read_routes(&self) -> Option<Vec<RouteEntry>> {
            Some(self.with(|state| state.routes.clone()))
        }
        async fn read_resolvers(&self) -> Option<Vec<ConfiguredResolver>> {
            Some(self.with(|state| {
                state.resolver_reads += 1;
                state.resolvers.clone()
            }))
        }
        fn time_slept(&self) -> Millis {
            Millis(self.with(|state| state.slept))
        }
    }

    fn tunnel(up: bool, address: &str) -> Interface {
        let addresses = vec![address.parse().unwrap()];
        Interface { name: "utun4".into(), kind: InterfaceKind::Tunnel, up, addresses }
    }

    fn default_route(interface: &str) -> RouteEntry {
        RouteEntry {
            destination: "0.0.0.0".parse().unwrap(),
            prefix_len: 0,
            gateway: None,
            interface: Some(interface.into()),
            metric: None,
        }
    }

    fn resolver() -> ConfiguredResolver {
        ConfiguredResolver {
            address: "192.0.2.53".parse().unwrap(),
            interface: None,
            role: ResolverRole::First,
        }
    }

    fn source_and_snapshot() -> (FakeSource, Snapshot) {
        let source = FakeSource::default();
        source.with(|state| {
            state.interfaces = Some(vec![tunnel(true, "10.8.0.2/24")]);
            state.routes = vec![default_route("utun4")];
        });
        (source, Snapshot::default())
    }

    #[tokio::test]
    async fn an_update_without_differences_reports_no_change() {
        let (source, mut snapshot) = source_and_snapshot();
        assert_eq!(snapshot.update(&source).await, [], "the first snapshot is the reference");
        assert_eq!(snapshot.update(&source).await, []);
        source.with(|state| state.interfaces = None);
        assert_eq!(snapshot.update(&source).await, [], "a part that cannot be read has not changed");
    }

    #[tokio::test]
    async fn each_kind_of_difference_is_reported_as_such() {
        let (source, mut snapshot) = source_and_snapshot();
        snapshot.update(&source).await;
        source.with(|state| state.interfaces = Some(vec![tunnel(false, "10.8.0.2/24")]));
        assert_eq!(snapshot.update(&source).await, [Change::Link]);
        source.with(|state| state.interfaces = Some(vec![tunnel(false, "10.8.0.3/24")]));
        assert_eq!(snapshot.update(&source).await, [Change::Address]);
        source.with(|state| state.routes = vec![default_route("en0")]);
        assert_eq!(snapshot.update(&source).await, [Change::Route]);
        source.with(|state| state.resolvers = vec![resolver()]);
        assert_eq!(snapshot.update(&source).await, [Change::ResolverConfig]);
    }

    #[tokio::test]
    async fn a_route_is_reported_when_triggered_and_a_resolver_and_a_wake_also_without() {
        let (source, _) = source_and_snapshot();
        let (trigger, (tx, mut rx)) = (Arc::new(Notify::new()), mpsc::channel(QUEUE));
        let watching = tokio::spawn(run(source.clone(), Arc::clone(&trigger), tx));
        let mut next = async || timeout(Duration::from_secs(10), rx.recv()).await;
        while source.with(|state| state.resolver_reads) == 0 {
            tokio::task::yield_now().await;
        }
        source.with(|state| state.resolvers = vec![resolver()]);
        assert_eq!(next().await, Ok(Some(Change::ResolverConfig)));
        source.with(|state| state.routes = vec![default_route("en0")]);
        trigger.notify_one();
        assert_eq!(next().await, Ok(Some(Change::Route)));
        source.with(|state| state.slept = 60_000);
        assert_eq!(next().await, Ok(Some(Change::Woke(Millis(60_000)))));

        drop(rx);
        assert!(
            timeout(Duration::from_secs(10), watching).await.is_ok(),
            "the task must end with its receiver"
        );
    }
}
