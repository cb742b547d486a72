//! What systemd-resolved asks of which link can change without any file changing (`resolvectl default-route`), so its
//! own state is compared every second, while names are asked of it.

use crate::platform::{
    Change,
    linux::{
        resolv_conf::ResolvConf,
        resolved::{Resolved, State},
    },
};
use std::sync::Arc;
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval},
};

/// Tells of changes until the receiver is gone. `told` says that a change was just told for another reason: what is
/// then read is not told again.
pub(super) async fn run(
    conf: ResolvConf,
    resolved: Arc<Resolved>,
    told: Arc<Notify>,
    tx: mpsc::Sender<Change>,
) {
    let mut last: Option<State> = None;
    let mut tick = interval(super::COMPARE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_told = tokio::select! {
            () = tx.closed() => return,
            () = told.notified() => true,
            _ = tick.tick() => false,
        };
        // What cannot be told now has not changed, and where nobody asks resolved its state is of no interest.
        let now = if conf.asks_resolved() { resolved.state().await } else { None };
        let Some(now) = now else { continue };
        let differs = last.as_ref().is_some_and(|last| *last != now);
        last = Some(now);
        if differs && !is_told && tx.send(Change::ResolverConfig).await.is_err() {
            return;
        }
    }
}
