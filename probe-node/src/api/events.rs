//! `GET /api/v1/events`: every snapshot as a server-sent event, the current one at once.

use super::{Node, problem::Problem};
use axum::{
    extract::State,
    http::StatusCode,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt};
use std::time::Duration;
use tokio_stream::wrappers::WatchStream;

/// Proxies close connections that are silent for half a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a browser waits before it comes back.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the snapshots. One that reads slowly misses some, never the latest.
pub(super) async fn events(
    State(node): State<Node>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Problem> {
    let place = node.viewers.try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many are watching this node already. Close another dashboard first.",
        )
    })?;
    let stream = WatchStream::new(node.engine.snapshot())
        .map(move |snapshot| {
            let _held_while_streaming = &place;
            Event::default().retry(RETRY).json_data(snapshot.as_ref())
        })
        .take_until(node.stop.cancelled_owned());
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
