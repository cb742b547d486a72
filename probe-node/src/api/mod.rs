//! The HTTP API and the dashboard.
//!
//! ```text
//! GET  /api/v1/snapshot             the whole current state
//! GET  /api/v1/events               the same as server-sent events, the first one at once
//! POST /api/v1/command              something to do; answers {"ok": reply} or {"error": "sentence"}
//! GET  /api/v1/history/incidents    ?since=&limit=
//! GET  /api/v1/history/intervals    ?fact=&since=&until=
//! GET  /api/v1/history/series       ?target=&family=&since=&until=
//! GET  /healthz                     200 while the node measures, 503 otherwise
//! GET  /                            the dashboard
//! ```
//! Times are milliseconds since 1970. Every error is `{"error": "sentence"}`.

mod access;
mod auth;
mod command;
mod dashboard;
mod events;
mod headers;
mod health;
mod history;
mod problem;

pub(crate) use access::{Access, read_token};

use anyhow::Result;
use axum::{
    Json, Router, extract::DefaultBodyLimit, extract::State, middleware, routing::get, routing::post,
};
use dashboard::Dashboard;
use problem::Problem;
use sentinel_engine::{ApiConfig, Engine};
use sentinel_model::Snapshot;
use std::{io, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tokio_util::sync::CancellationToken;

/// How many may follow the events at once; each costs a connection and a little work per snapshot.
const VIEWERS: usize = 32;

/// Larger than any command.
const BODY: usize = 64 * 1024;

/// What the handlers share.
#[derive(Clone)]
struct Node {
    engine: Engine,
    dashboard: Arc<Dashboard>,
    viewers: Arc<Semaphore>,
    pulse: watch::Receiver<health::Pulse>,
    stop: CancellationToken,
}

/// Takes the configured address, or says who is in the way.
pub(crate) async fn listen(api: &ApiConfig) -> Result<TcpListener> {
    let address = api.listen;
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "The API cannot listen on {address}: another program uses that port. If it is a node, `vpnsentinel-node status` \
             shows it; otherwise set `api.listen` in the configuration to another port."
        ),
        io::ErrorKind::AddrNotAvailable => anyhow::anyhow!(
            "The API cannot listen on {address}: this machine has no such address. Correct `api.listen` in the configuration."
        ),
        _ => anyhow::anyhow!("The API cannot listen on {address}: {error}. Set `api.listen` in the configuration to another address."),
    })
}

/// Serves until told to stop; streams of events end then, other requests may finish.
pub(crate) async fn serve(listener: TcpListener, engine: Engine, access: Access, stop: CancellationToken) {
    let router = router(engine, access, stop.clone());
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the API has stopped");
    }
}

fn router(engine: Engine, access: Access, stop: CancellationToken) -> Router {
    let dashboard = Arc::new(Dashboard::embedded());
    let headers = Arc::new(headers::Headers::new(&dashboard));
    let node = Node {
        pulse: health::feel(engine.snapshot()),
        engine,
        dashboard,
        viewers: Arc::new(Semaphore::new(VIEWERS)),
        stop,
    };
    Router::new()
        .route("/api/v1/snapshot", get(snapshot))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/command", post(command::command))
        .route("/api/v1/history/incidents", get(history::incidents))
        .route("/api/v1/history/intervals", get(history::intervals))
        .route("/api/v1/history/series", get(history::series))
        .route(auth::HEALTH, get(health::health))
        .fallback(dashboard::serve)
        .method_not_allowed_fallback(async || Problem::not_allowed())
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(Arc::new(access), auth::guard))
        .layer(middleware::map_response_with_state(headers, headers::add))
        .with_state(node)
}

async fn snapshot(State(node): State<Node>) -> Json<Snapshot> {
    Json(node.engine.snapshot().borrow().as_ref().clone())
}
