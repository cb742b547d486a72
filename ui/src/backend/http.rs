//! The backend of a page that a node served.
//!
//! It uses `GET /api/v1/snapshot`, `GET /api/v1/events` (server-sent events, each a whole snapshot)
//! and `POST /api/v1/command`.

use super::{
    browser::{await_promise, parse_time},
    messages::{Listener, StreamEvent, TimedSnapshot, parse_snapshot},
};
use leptos::prelude::{set_timeout, window};
use sentinel_model::{Command, Reply};
use serde::Deserialize;
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{Event, EventSource, Headers, MessageEvent, RequestInit, Response};

const SNAPSHOT: &str = "api/v1/snapshot";
const EVENTS: &str = "api/v1/events";
const COMMAND: &str = "api/v1/command";

/// The delay before a stream is reopened that the browser has given up; it retries by itself
/// otherwise.
const REOPEN_AFTER: Duration = Duration::from_secs(2);

/// The body of a response: the reply to a command, or a sentence that says what is wrong.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ApiResponse {
    Ok(Reply),
    Error(String),
}

pub(super) async fn snapshot() -> Result<TimedSnapshot, String> {
    let request = RequestInit::new();
    let response = fetch(SNAPSHOT, &request).await?;
    let node_time =
        response.headers().get("date").ok().flatten().and_then(|date| parse_time(js_sys::Date::parse(&date)));
    let body = read_text(&response).await?;
    if !response.ok() {
        return Err(error_sentence(response.status(), &body));
    }
    Ok(TimedSnapshot { snapshot: parse_snapshot(&body)?, node_time })
}

pub(super) async fn command(command: &Command) -> Result<Reply, String> {
    let body = serde_json::to_string(command)
        .map_err(|error| format!("The command could not be encoded: {error}."))?;
    let headers = Headers::new().map_err(describe)?;
    headers.set("content-type", "application/json").map_err(describe)?;
    let request = RequestInit::new();
    request.set_method("POST");
    request.set_headers(&headers);
    request.set_body(&JsValue::from_str(&body));
    let response = fetch(COMMAND, &request).await?;
    let body = read_text(&response).await?;
    match serde_json::from_str(&body) {
        Ok(ApiResponse::Ok(reply)) => Ok(reply),
        Ok(ApiResponse::Error(message)) => Err(message),
        Err(_) => Err(error_sentence(response.status(), &body)),
    }
}

/// Opens the stream, and reopens it if the browser gives up; on other errors the browser
/// reconnects.
pub(super) fn follow(listener: Listener) {
    let Ok(stream) = EventSource::new(EVENTS) else {
        listener(StreamEvent::Interrupted);
        return;
    };
    let on_snapshot = listener.clone();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let json = event.data().as_string().unwrap_or_default();
        on_snapshot(parse_snapshot(&json).into());
    });
    let failed = stream.clone();
    let on_error = Closure::<dyn FnMut(Event)>::new(move |_| {
        listener(StreamEvent::Interrupted);
        if failed.ready_state() == EventSource::CLOSED {
            let listener = listener.clone();
            set_timeout(move || follow(listener), REOPEN_AFTER);
        }
    });
    stream.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    stream.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    // The closures live as long as the stream, and that as long as the page.
    on_message.forget();
    on_error.forget();
}

async fn fetch(path: &str, request: &RequestInit) -> Result<Response, String> {
    await_promise(window().fetch_with_str_and_init(path, request))
        .await
        .and_then(JsCast::dyn_into)
        .map_err(|_| "The node does not answer. Check that vpnsentinel-node is running.".to_owned())
}

async fn read_text(response: &Response) -> Result<String, String> {
    let promise = response.text().map_err(describe)?;
    let body = await_promise(promise).await.map_err(describe)?;
    Ok(body.as_string().unwrap_or_default())
}

/// Returns the sentence of an error response: the node's own if it sent one.
fn error_sentence(status: u16, body: &str) -> String {
    match serde_json::from_str(body) {
        Ok(ApiResponse::Error(message)) => message,
        _ => format!(
            "The node refused with HTTP status {status}. Open the address that the node printed when it started."
        ),
    }
}

fn describe(error: impl Into<JsValue>) -> String {
    format!("The browser refused: {:?}.", error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_of_the_node_takes_precedence_over_a_bare_status() {
        assert_eq!(
            error_sentence(409, r#"{"error":"No such incident. Reload the page."}"#),
            "No such incident. Reload the page."
        );
        assert!(error_sentence(401, "").contains("401"));
    }

    #[test]
    fn a_reply_is_read_from_a_response() {
        let ok: ApiResponse =
            serde_json::from_str(r#"{"ok":{"reply":"waiting","fingerprint":"7QK2-M9XD"}}"#).unwrap();
        assert!(matches!(ok, ApiResponse::Ok(Reply::Waiting { .. })));
    }
}
