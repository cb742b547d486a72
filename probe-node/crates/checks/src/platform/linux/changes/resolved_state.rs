//! Changes of systemd-resolved: whether programs ask it, and how it forwards.
//!
//! Both can change without a file changing, for example by `resolvectl default-route` or when it is
//! stopped. So they are compared every second while the configuration leads programs to it.

use crate::platform::{
    api::Change,
    linux::resolver_config::{ResolvedUse, ResolverConfig},
    timing::COMPARE_EVERY,
};
use std::sync::Arc;
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval},
};

/// Reports changes until the receiver is dropped.
///
/// `files_changed` signals that a change of the resolver configuration was just reported. The state
/// is then read again, but its difference is not reported a second time.
pub(super) async fn run(config: ResolverConfig, files_changed: Arc<Notify>, tx: mpsc::Sender<Change>) {
    let mut last: Option<ResolvedUse> = None;
    let mut tick = interval(COMPARE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_reported = tokio::select! {
            () = tx.closed() => return,
            () = files_changed.notified() => true,
            _ = tick.tick() => false,
        };
        let current = match config.current_resolved_use().await {
            // A state that cannot be read counts as unchanged.
            ResolvedUse::Unreadable | ResolvedUse::Undetermined => continue,
            current => current,
        };
        let differs = last.as_ref().is_some_and(|last| *last != current);
        last = Some(current);
        if differs && !is_reported && tx.send(Change::ResolverConfig).await.is_err() {
            return;
        }
    }
}
