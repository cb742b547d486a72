//! `POST /api/v1/command`.

use super::error::ApiError;
use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use sentinel_engine::Engine;
use sentinel_model::Command;
use serde_json::{Value, json};

/// Carries out a command, and responds when it is done.
pub(super) async fn command(
    State(engine): State<Engine>,
    command: Result<Json<Command>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(command) = command.map_err(|rejection| {
        ApiError::new(
            rejection.status(),
            format!(
                "The command could not be read: {}. Send JSON such as {{\"command\":\"check_now\"}}.",
                rejection.body_text()
            ),
        )
    })?;
    let reply =
        engine.command(command).await.map_err(|error| ApiError::new(StatusCode::CONFLICT, error.message))?;
    Ok(Json(json!({ "ok": reply })))
}
