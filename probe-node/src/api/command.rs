//! `POST /api/v1/command`.

use super::{Node, problem::Problem};
use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use sentinel_model::Command;
use serde_json::{Value, json};

/// Carries out a command and answers when it is done.
pub(super) async fn command(
    State(node): State<Node>,
    command: Result<Json<Command>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(command) = command.map_err(|rejection| {
        Problem::new(
            rejection.status(),
            format!(
                "The command could not be read: {}. Send JSON such as {{\"command\":\"check_now\"}}.",
                rejection.body_text()
            ),
        )
    })?;
    let reply = node
        .engine
        .command(command)
        .await
        .map_err(|error| Problem::new(StatusCode::CONFLICT, error.message))?;
    Ok(Json(json!({ "ok": reply })))
}
