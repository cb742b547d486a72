//! Tells of changes where the system only hints at them, as macOS and Windows do: their notifications come also when a
//! router repeats itself or a neighbour is learnt. So a hint says when to look, and what is told is what then differs.
//! Without a hint the resolver configuration is compared every second, for which the systems have no notification that
//! covers all the ways it is set, and the clocks tell of having slept.

use super::{Change, table::Entry};
use async_trait::async_trait;
use sentinel_model::{ConfiguredResolver, Interface, Millis};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval, sleep},
};

/// Connecting a VPN makes many hints; waiting this long makes them one look, and is well within what a change may take
/// to be told.
const SETTLE: Duration = Duration::from_millis(10);
/// How soon a resolver set without any other change is noticed, and a wake.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// The clocks are read one after the other; a shorter difference is no sleep.
const SHORTEST_SLEEP: Millis = Millis(100);
/// Beyond this many untold changes looking waits for the receiver.
const QUEUE: usize = 32;

/// What is compared. `None` means that it could not be told now, and is compared with nothing.
#[async_trait]
pub(super) trait Sight: Send + Sync {
    /// The interfaces with their addresses.
    async fn interfaces(&self) -> Option<Vec<Interface>>;
    /// The routing table.
    async fn routes(&self) -> Option<Vec<Entry>>;
    /// The resolver configuration.
    async fn resolvers(&self) -> Option<Vec<ConfiguredResolver>>;
    /// How long the machine has slept since some fixed moment.
    fn slept(&self) -> Millis;
}

/// Starts watching; the task ends when the receiver is dropped, and lets go of `hints` then: whatever gives the hints,
/// from before this is called.
#[cfg(any(target_os = "macos", target_os = "windows"))]
pub(super) fn start(
    sight: impl Sight + 'static,
    hint: Arc<Notify>,
    hints: impl Send + 'static,
) -> Result<mpsc::Receiver<Change>, crate::error::CheckError> {
    let runtime =
        tokio::runtime::Handle::try_current().map_err(|error| crate::error::CheckError::System {
            doing: "watch the network without a Tokio runtime",
            source: std::io::Error::other(error),
        })?;
    let (tx, rx) = mpsc::channel(QUEUE);
    runtime.spawn(async move {
        run(sight, hint, tx).await;
        drop(hints);
    });
    Ok(rx)
}

/// Tells of changes until the receiver is gone. Whatever `hint` is told after the first look leads to another.
async fn run(sight: impl Sight, hint: Arc<Notify>, tx: mpsc::Sender<Change>) {
    let mut known = Known::default();
    known.look(&sight).await;
    let mut slept = sight.slept();
    let mut tick = interval(COMPARE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut found = tokio::select! {
            () = tx.closed() => return,
            () = hint.notified() => {
                sleep(SETTLE).await;
                known.look(&sight).await
            }
            _ = tick.tick() => known.compare_resolvers(&sight).await.into_iter().collect(),
        };
        let now = sight.slept();
        let since = Millis(now.0.saturating_sub(slept.0));
        if since >= SHORTEST_SLEEP {
            slept = now;
            found.extend(known.look(&sight).await);
            found.push(Change::Woke(since));
        }
        for change in found {
            if tx.send(change).await.is_err() {
                return;
            }
        }
    }
}

/// What was seen last.
#[derive(Default)]
struct Known {
    interfaces: Option<Vec<Interface>>,
    routes: Option<Vec<Entry>>,
    resolvers: Option<Vec<ConfiguredResolver>>,
}

impl Known {
    /// Looks at everything.
    async fn look(&mut self, sight: &impl Sight) -> Vec<Change> {
        let mut found = Vec::new();
        if let Some(mut now) = sight.interfaces().await {
            now.sort_by(|a, b| a.name.cmp(&b.name));
            for interface in &mut now {
                interface.addresses.sort_unstable();
            }
            if let Some(before) = &self.interfaces {
                found.extend((links(before) != links(&now)).then_some(Change::Link));
                found.extend((addresses(before) != addresses(&now)).then_some(Change::Address));
            }
            self.interfaces = Some(now);
        }
        if let Some(mut now) = sight.routes().await {
            now.sort_unstable();
            found.extend(differs(&mut self.routes, now).then_some(Change::Route));
        }
        found.extend(self.compare_resolvers(sight).await);
        found
    }

    async fn compare_resolvers(&mut self, sight: &impl Sight) -> Option<Change> {
        let now = sight.resolvers().await?;
        differs(&mut self.resolvers, now).then_some(Change::ResolverConfig)
    }
}

/// Whether what was known differs from what is now, which is known from here on.
fn differs<T: PartialEq>(known: &mut Option<T>, now: T) -> bool {
    let differs = known.as_ref().is_some_and(|before| *before != now);
    *known = Some(now);
    differs
}

fn links(interfaces: &[Interface]) -> Vec<(&str, bool)> {
    interfaces.iter().map(|interface| (interface.name.as_str(), interface.up)).collect()
}

fn addresses(interfaces: &[Interface]) -> Vec<(&str, &[ipnet::IpNet])> {
    let held = interfaces.iter().filter(|interface| !interface.addresses.is_empty());
    held.map(|interface| (interface.name.as_str(), interface.addresses.as_slice())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{InterfaceKind, ResolverRole};
    use std::sync::{Mutex, PoisonError};
    use tokio::time::timeout;

    #[derive(Clone, Default)]
    struct World {
        interfaces: Option<Vec<Interface>>,
        routes: Vec<Entry>,
        resolvers: Vec<ConfiguredResolver>,
        slept: u64,
        resolver_looks: u32,
    }

    #[derive(Clone, Default)]
    struct Eyes(Arc<Mutex<World>>);

    impl Eyes {
        fn world<T>(&self, with: impl FnOnce(&mut World) -> T) -> T {
            with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    #[async_trait]
    impl Sight for Eyes {
        async fn interfaces(&self) -> Option<Vec<Interface>> {
            self.world(|world| world.interfaces.clone())
        }
        async fn routes(&self) -> Option<Vec<Entry>> {
            Some(self.world(|world| world.routes.clone()))
        }
        async fn resolvers(&self) -> Option<Vec<ConfiguredResolver>> {
            Some(self.world(|world| {
                world.resolver_looks += 1;
                world.resolvers.clone()
            }))
        }
        fn slept(&self) -> Millis {
            Millis(self.world(|world| world.slept))
        }
    }

    fn tunnel(up: bool, address: &str) -> Interface {
        let addresses = vec![address.parse().unwrap()];
        Interface { name: "utun4".into(), kind: InterfaceKind::Tunnel, up, addresses }
    }

    fn default_route(interface: &str) -> Entry {
        Entry {
            destination: "0.0.0.0".parse().unwrap(),
            prefix: 0,
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

    fn seeing() -> (Eyes, Known) {
        let eyes = Eyes::default();
        eyes.world(|world| {
            world.interfaces = Some(vec![tunnel(true, "10.8.0.2/24")]);
            world.routes = vec![default_route("utun4")];
        });
        (eyes, Known::default())
    }

    #[tokio::test]
    async fn a_hint_after_which_nothing_differs_is_no_change() {
        let (eyes, mut known) = seeing();
        assert_eq!(known.look(&eyes).await, [], "the first look is what changes are told against");
        assert_eq!(known.look(&eyes).await, []);
        eyes.world(|world| world.interfaces = None);
        assert_eq!(known.look(&eyes).await, [], "what cannot be told now has not changed");
    }

    #[tokio::test]
    async fn each_kind_of_difference_is_told_as_what_it_is() {
        let (eyes, mut known) = seeing();
        known.look(&eyes).await;
        eyes.world(|world| world.interfaces = Some(vec![tunnel(false, "10.8.0.2/24")]));
        assert_eq!(known.look(&eyes).await, [Change::Link]);
        eyes.world(|world| world.interfaces = Some(vec![tunnel(false, "10.8.0.3/24")]));
        assert_eq!(known.look(&eyes).await, [Change::Address]);
        eyes.world(|world| world.routes = vec![default_route("en0")]);
        assert_eq!(known.look(&eyes).await, [Change::Route]);
        eyes.world(|world| world.resolvers = vec![resolver()]);
        assert_eq!(known.look(&eyes).await, [Change::ResolverConfig]);
    }

    #[tokio::test]
    async fn a_route_is_told_on_a_hint_a_resolver_and_a_wake_also_without() {
        let (eyes, _) = seeing();
        let (hint, (tx, mut rx)) = (Arc::new(Notify::new()), mpsc::channel(QUEUE));
        let watching = tokio::spawn(run(eyes.clone(), Arc::clone(&hint), tx));
        let mut next = async || timeout(Duration::from_secs(10), rx.recv()).await;
        while eyes.world(|world| world.resolver_looks) == 0 {
            tokio::task::yield_now().await;
        }
        eyes.world(|world| world.resolvers = vec![resolver()]);
        assert_eq!(next().await, Ok(Some(Change::ResolverConfig)));
        eyes.world(|world| world.routes = vec![default_route("en0")]);
        hint.notify_one();
        assert_eq!(next().await, Ok(Some(Change::Route)));
        eyes.world(|world| world.slept = 60_000);
        assert_eq!(next().await, Ok(Some(Change::Woke(Millis(60_000)))));

        drop(rx);
        assert!(timeout(Duration::from_secs(10), watching).await.is_ok(), "it ends with its receiver");
    }
}
