//! Check "sockets": connected sockets that may be outside a tunnel which is up. Nothing is sent.
//!
//! The routes show where an ordinary packet leaves. A program that binds its sockets to an
//! interface, or that a policy rule singles out, bypasses them.

use crate::{context::Context, platform::SocketQuery, reporter::Reporter};
use sentinel_model::{Epoch, Fact, Family, Outcome, OutsideSocket, PerFamily};
use std::time::Duration;
use tokio::time::sleep;

/// The time between two looks of one round: long enough for a program to be answered once more.
const LOOK_AGAIN: Duration = Duration::from_millis(1100);

/// Looks at the socket table, and again if there are sockets whose packets leave outside the
/// tunnel.
///
/// A single round, such as that of the command `check`, can then tell whether they get through.
pub(crate) async fn look_twice(
    context: &Context,
    tunnels: &PerFamily<Option<String>>,
    epoch: Epoch,
    reporter: &Reporter,
) {
    if look(context, tunnels, epoch, reporter).await {
        sleep(LOOK_AGAIN).await;
        look(context, tunnels, epoch, reporter).await;
    }
}

/// Reports the sockets that may be outside the tunnel, if any family has one.
///
/// Returns true if packets of one of them leave outside the tunnel.
pub(crate) async fn look(
    context: &Context,
    tunnels: &PerFamily<Option<String>>,
    epoch: Epoch,
    reporter: &Reporter,
) -> bool {
    if tunnels.iter().all(Option::is_none) {
        return false;
    }
    let ignored_peers = context.bogons.iter().chain(&context.excluded).copied().collect();
    let query = SocketQuery { tunnels: tunnels.clone(), ignored_peers, epoch };
    let table = context.platform.list_outside_sockets(&query).await;
    let leaves_outside = |socket: &OutsideSocket| {
        let tunnel = tunnels[Family::of(socket.peer.ip())].as_ref();
        socket.leaves_by.measured().is_some_and(|interface| Some(interface) != tunnel)
    };
    let is_outside = table.measured().is_some_and(|table| table.sockets.iter().any(leaves_outside));
    if let Outcome::Unknown(reason) = &table {
        tracing::debug!(%reason, "the socket table could not be read");
    }
    reporter.send(Fact::Sockets(table)).await;
    is_outside
}
