//! `GET /api/v1/history/...`: incidents, recorded facts and round trips of the past.

use super::error::ApiError;
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use sentinel_engine::Engine;
use sentinel_model::{Family, SCHEMA, Timestamp};
use sentinel_store::{RecordedFact, SeriesKey, SeriesKind};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Display;

const DAY_MS: i64 = 86_400_000;
const MAX_INCIDENTS: u32 = 1000;

/// The query of `incidents`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentsQuery {
    #[serde(default)]
    since: Timestamp,
    limit: Option<u32>,
}

/// The query of `intervals`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IntervalsQuery {
    fact: RecordedFact,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// The query of `series`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeriesQuery {
    target: String,
    family: Family,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// Returns the incidents that are open or have changed since a time, newest first.
pub(super) async fn incidents(
    State(engine): State<Engine>,
    query: Result<Query<IncidentsQuery>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(query) = query.map_err(|rejection| query_error(&rejection, "since=0&limit=100"))?;
    let limit = query.limit.unwrap_or(100).min(MAX_INCIDENTS);
    let incidents = engine.incidents(query.since, limit).await.map_err(storage_error)?;
    Ok(Json(json!({ "schema": SCHEMA, "incidents": incidents })))
}

/// Returns the values of a fact over a range, oldest first; over the last day by default.
pub(super) async fn intervals(
    State(engine): State<Engine>,
    query: Result<Query<IntervalsQuery>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(query) = query.map_err(|rejection| query_error(&rejection, "fact=verdict"))?;
    let (since, until) = range(&engine, query.since, query.until);
    let spans = engine.history().intervals(query.fact, since, until).await.map_err(storage_error)?;
    Ok(Json(json!({ "schema": SCHEMA, "intervals": spans })))
}

/// Returns the round trips to a target over a range, oldest first; over the last day by default.
pub(super) async fn series(
    State(engine): State<Engine>,
    query: Result<Query<SeriesQuery>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(query) = query.map_err(|rejection| query_error(&rejection, "target=NODE&family=v4"))?;
    let (since, until) = range(&engine, query.since, query.until);
    let key = SeriesKey { kind: SeriesKind::Rtt, target: query.target, family: query.family };
    let points = engine.history().series(&key, since, until).await.map_err(storage_error)?;
    Ok(Json(json!({ "schema": SCHEMA, "points": points })))
}

fn range(engine: &Engine, since: Option<Timestamp>, until: Option<Timestamp>) -> (Timestamp, Timestamp) {
    let until = until.unwrap_or_else(|| Timestamp(engine.snapshot().borrow().at.0 + 1));
    (since.unwrap_or_else(|| Timestamp(until.0.saturating_sub(DAY_MS))), until)
}

fn query_error(rejection: &QueryRejection, example: &str) -> ApiError {
    let reason = rejection.body_text();
    ApiError::new(
        StatusCode::BAD_REQUEST,
        format!("The query could not be read: {reason}. An example that works: ?{example}."),
    )
}

fn storage_error(error: impl Display) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
