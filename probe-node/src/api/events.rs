//! `GET /api/v1/events`: every snapshot as a server-sent event, the current one at once.

use super::error::ApiError;
use axum::{
    extract::State,
    http::StatusCode,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt};
use sentinel_model::Snapshot;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;

/// The largest number of streams; each costs a connection and a little work per snapshot.
const MAX_STREAMS: usize = 32;

/// The interval of comments on a silent stream; proxies close connections that are silent for 30 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a browser waits before it reconnects.
const RETRY: Duration = Duration::from_secs(1);

/// What the streams are made of, and how many more there may be.
#[derive(Clone)]
pub(super) struct EventStreams {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
}

impl EventStreams {
    /// Prepares streams of these snapshots; they all end when `stop` is cancelled.
    pub(super) fn new(snapshots: watch::Receiver<Arc<Snapshot>>, stop: CancellationToken) -> Self {
        Self { snapshots, permits: Arc::new(Semaphore::new(MAX_STREAMS)), stop }
    }
}

/// Opens a stream. A client that reads slowly misses some snapshots, but never the latest.
pub(super) async fn events(
    State(streams): State<EventStreams>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, ApiError> {
    let permit = streams.permits.try_acquire_owned().map_err(|_| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "This node is being watched by as many dashboards as it allows. Close another one first.",
        )
    })?;
    let stream = WatchStream::new(streams.snapshots)
        .map(move |snapshot| {
            let _held_while_streaming = &permit;
            Event::default().retry(RETRY).json_data(snapshot.as_ref())
        })
        .take_until(streams.stop.cancelled_owned());
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
