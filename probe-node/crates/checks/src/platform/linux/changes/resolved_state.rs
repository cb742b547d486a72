//! Changes of systemd-resolved's state.
//!
//! It can change without a file changing, for example by `resolvectl default-route`. So it is
//! compared every second while `resolv.conf` names systemd-resolved's listener.

use crate::platform::{
    api::Change,
    linux::{
        resolv_conf::ResolvConf,
        resolved::{ResolvedClient, ResolvedState},
    },
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
pub(super) async fn run(
    conf: ResolvConf,
    resolved: Arc<ResolvedClient>,
    files_changed: Arc<Notify>,
    tx: mpsc::Sender<Change>,
) {
    let mut last: Option<ResolvedState> = None;
    let mut tick = interval(COMPARE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_reported = tokio::select! {
            () = tx.closed() => return,
            () = files_changed.notified() => true,
            _ = tick.tick() => false,
        };
        // A state that cannot be read counts as unchanged.
        let current = if conf.uses_resolved() { resolved.read_state().await } else { None };
        let Some(current) = current else { continue };
        let differs = last.as_ref().is_some_and(|last| *last != current);
        last = Some(current);
        if differs && !is_reported && tx.send(Change::ResolverConfig).await.is_err() {
            return;
        }
    }
}
