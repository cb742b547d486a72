//! The HTTP API and the dashboard.
//!
//! ```text
//! GET  /api/v1/snapshot             the whole current state
//! GET  /api/v1/events               the same as server-sent events, the first one at once
//! POST /api/v1/command              a command; answers {"ok": reply} or {"error": "sentence"}
//! GET  /api/v1/history/incidents    ?since=&limit=
//! GET  /api/v1/history/intervals    ?fact=&since=&until=
//! GET  /api/v1/history/series       ?target=&family=&since=&until=
//! GET  /healthz                     200 while the node measures, 503 otherwise
//! GET  /                            the dashboard
//! ```
//! Times are milliseconds since 1970. Every error is `{"error": "sentence"}`.
//!
//! Each handler's state is only what that handler needs, so the handlers do not depend on this
//! file.

mod access;
mod auth;
mod command;
mod dashboard;
mod error;
mod events;
mod headers;
mod health;
mod history;

pub(crate) use access::{Access, read_token};

use anyhow::{Result, anyhow};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    handler::Handler,
    middleware,
    routing::{get, post},
};
use dashboard::Dashboard;
use error::ApiError;
use events::EventStreams;
use sentinel_engine::{ApiConfig, Engine};
use sentinel_model::Snapshot;
use std::{io, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The size limit of a request body, in bytes; no command comes near it.
const MAX_BODY: usize = 64 * 1024;

/// Binds the configured address. The error says what prevents it and what to change.
pub(crate) async fn listen(config: &ApiConfig) -> Result<TcpListener> {
    let address = config.listen;
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "The API cannot listen on {address}: another program uses that port. If it is a node, `vpnsentinel-node \
             status` shows it; otherwise set `api.listen` in the configuration to another port."
        ),
        io::ErrorKind::AddrNotAvailable => anyhow!(
            "The API cannot listen on {address}: this machine has no such address. Correct `api.listen` in the \
             configuration."
        ),
        _ => anyhow!(
            "The API cannot listen on {address}: {error}. Set `api.listen` in the configuration to another address."
        ),
    })
}

/// Serves requests until `stop` is cancelled. Event streams end then; other requests may finish.
pub(crate) async fn serve(listener: TcpListener, engine: Engine, access: Access, stop: CancellationToken) {
    let router = build_router(engine, access, stop.clone());
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "The API has stopped");
    }
}

fn build_router(engine: Engine, access: Access, stop: CancellationToken) -> Router {
    let dashboard = Arc::new(Dashboard::embedded());
    let headers = Arc::new(headers::SecurityHeaders::new(&dashboard));
    let activity = health::track_activity(engine.snapshot());
    let streams = EventStreams::new(engine.snapshot(), stop);
    Router::new()
        .route("/api/v1/snapshot", get(snapshot))
        .route("/api/v1/command", post(command::command))
        .route("/api/v1/history/incidents", get(history::incidents))
        .route("/api/v1/history/intervals", get(history::intervals))
        .route("/api/v1/history/series", get(history::series))
        .route("/api/v1/events", get(events::events).with_state(streams))
        .route(auth::HEALTH_PATH, get(health::health).with_state(activity))
        .fallback_service(dashboard::serve_file.with_state(dashboard))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::new(access), auth::authorize))
        .layer(middleware::map_response_with_state(headers, headers::add_headers))
        .with_state(engine)
}

async fn snapshot(State(engine): State<Engine>) -> Json<Snapshot> {
    Json(engine.snapshot().borrow().as_ref().clone())
}
