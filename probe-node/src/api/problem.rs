//! Errors as the API tells them: a status and a sentence.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
};

/// An error with its sentence for people.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    sentence: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is nothing at this address. The API is under /api/v1/, the dashboard at /.",
        )
    }

    pub(super) fn not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "This address is not for that method: read with GET, command with POST.",
        )
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    #[cfg(test)]
    pub(super) fn sentence(&self) -> &str {
        &self.sentence
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(serde_json::json!({ "error": self.sentence }))).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // A browser asks for a password then, and sends it with every request, streams of events included.
            response.headers_mut().insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"VPNSentinel\", charset=\"UTF-8\""),
            );
        }
        response
    }
}
