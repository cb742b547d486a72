//! Check "sockets": connected sockets that may be outside a tunnel which is up. Nothing is sent.
//!
//! The routes show where an ordinary packet leaves. A program that binds its sockets to an
//! interface, or that a policy rule singles out, bypasses them.

use crate::{context::Context, platform::SocketQuery, reporter::Reporter};
use sentinel_model::{Epoch, Fact, PerFamily};

/// Reports the sockets that may be outside the tunnel, if any family has one.
pub(crate) async fn run(
    context: &Context,
    tunnels: &PerFamily<Option<String>>,
    epoch: Epoch,
    reporter: &Reporter,
) {
    if tunnels.iter().all(Option::is_none) {
        return;
    }
    let ignored_peers = context.bogons.iter().chain(&context.excluded).copied().collect();
    let query = SocketQuery { tunnels: tunnels.clone(), ignored_peers, epoch };
    let table = context.platform.list_outside_sockets(&query).await;
    reporter.send(Fact::Sockets(table)).await;
}
