//! `GET /api/v1/history/...`: what happened.

use super::{Node, problem::Problem};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use sentinel_model::{Family, SCHEMA, Timestamp};
use sentinel_store::{RecordedFact, SeriesKey, SeriesKind};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Display;

const DAY_MS: i64 = 86_400_000;
const MOST_INCIDENTS: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentsQuery {
    #[serde(default)]
    since: Timestamp,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IntervalsQuery {
    fact: RecordedFact,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeriesQuery {
    target: String,
    family: Family,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// Incidents that are open or changed since then, newest first.
pub(super) async fn incidents(
    State(node): State<Node>,
    query: Result<Query<IncidentsQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query.map_err(|rejection| misread(&rejection, "since=0&limit=100"))?;
    let limit = query.limit.unwrap_or(100).min(MOST_INCIDENTS);
    let incidents = node.engine.incidents(query.since, limit).await.map_err(failed)?;
    Ok(Json(json!({ "schema": SCHEMA, "incidents": incidents })))
}

/// The values a fact had, oldest first; the last day unless told.
pub(super) async fn intervals(
    State(node): State<Node>,
    query: Result<Query<IntervalsQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query.map_err(|rejection| misread(&rejection, "fact=verdict"))?;
    let (since, until) = range(&node, query.since, query.until);
    let spans = node.engine.history().intervals(query.fact, since, until).await.map_err(failed)?;
    Ok(Json(json!({ "schema": SCHEMA, "intervals": spans })))
}

/// The round trips to a target, oldest first; the last day unless told.
pub(super) async fn series(
    State(node): State<Node>,
    query: Result<Query<SeriesQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query.map_err(|rejection| misread(&rejection, "target=NODE&family=v4"))?;
    let (since, until) = range(&node, query.since, query.until);
    let key = SeriesKey { kind: SeriesKind::Rtt, target: query.target, family: query.family };
    let points = node.engine.history().series(&key, since, until).await.map_err(failed)?;
    Ok(Json(json!({ "schema": SCHEMA, "points": points })))
}

fn range(node: &Node, since: Option<Timestamp>, until: Option<Timestamp>) -> (Timestamp, Timestamp) {
    let until = until.unwrap_or_else(|| Timestamp(node.engine.snapshot().borrow().at.0 + 1));
    (since.unwrap_or_else(|| Timestamp(until.0.saturating_sub(DAY_MS))), until)
}

fn misread(rejection: &QueryRejection, example: &str) -> Problem {
    let reason = rejection.body_text();
    Problem::new(
        StatusCode::BAD_REQUEST,
        format!("The question could not be read: {reason}. Ask for example ?{example}."),
    )
}

fn failed(error: impl Display) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
