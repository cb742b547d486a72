//! The node that served this page: `GET /api/v1/snapshot`, `GET /api/v1/events` (server-sent events, each a whole
//! snapshot) and `POST /api/v1/command`.

use super::{Answer, Heard, Listener, parse_snapshot, settle, timestamp};
use leptos::prelude::{set_timeout, window};
use sentinel_model::{Command, Reply};
use serde::Deserialize;
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{Event, EventSource, Headers, MessageEvent, RequestInit, Response};

const SNAPSHOT: &str = "api/v1/snapshot";
const EVENTS: &str = "api/v1/events";
const COMMAND: &str = "api/v1/command";

/// How long to wait before opening a stream anew that the browser has given up; it retries by itself otherwise.
const REOPEN_AFTER: Duration = Duration::from_secs(2);

/// What the node answers to a command.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answered {
    Ok(Reply),
    Error(String),
}

pub(super) async fn snapshot() -> Result<Answer, String> {
    let request = RequestInit::new();
    let response = fetch(SNAPSHOT, &request).await?;
    let node_time =
        response.headers().get("date").ok().flatten().and_then(|date| timestamp(js_sys::Date::parse(&date)));
    let body = text(&response).await?;
    if !response.ok() {
        return Err(refusal(response.status(), &body));
    }
    Ok(Answer { snapshot: parse_snapshot(&body)?, node_time })
}

pub(super) async fn command(command: &Command) -> Result<Reply, String> {
    let body = serde_json::to_string(command)
        .map_err(|error| format!("The command could not be written: {error}."))?;
    let headers = Headers::new().map_err(describe)?;
    headers.set("content-type", "application/json").map_err(describe)?;
    let request = RequestInit::new();
    request.set_method("POST");
    request.set_headers(&headers);
    request.set_body(&JsValue::from_str(&body));
    let response = fetch(COMMAND, &request).await?;
    let body = text(&response).await?;
    match serde_json::from_str(&body) {
        Ok(Answered::Ok(reply)) => Ok(reply),
        Ok(Answered::Error(message)) => Err(message),
        Err(_) => Err(refusal(response.status(), &body)),
    }
}

/// Opens the stream; on a break the browser reconnects by itself, and where it has given up the stream is opened anew.
pub(super) fn follow(listener: Listener) {
    let Ok(stream) = EventSource::new(EVENTS) else {
        listener(Heard::Broken);
        return;
    };
    let hear = listener.clone();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let json = event.data().as_string().unwrap_or_default();
        hear(match parse_snapshot(&json) {
            Ok(snapshot) => Heard::Snapshot(Box::new(snapshot)),
            Err(message) => Heard::Garbled(message),
        });
    });
    let broken = stream.clone();
    let on_error = Closure::<dyn FnMut(Event)>::new(move |_| {
        listener(Heard::Broken);
        if broken.ready_state() == EventSource::CLOSED {
            let listener = listener.clone();
            set_timeout(move || follow(listener), REOPEN_AFTER);
        }
    });
    stream.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    stream.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    // They live as long as the stream, which lives as long as the page.
    on_message.forget();
    on_error.forget();
}

async fn fetch(path: &str, request: &RequestInit) -> Result<Response, String> {
    settle(window().fetch_with_str_and_init(path, request))
        .await
        .and_then(JsCast::dyn_into)
        .map_err(|_| "The node does not answer. Check that vpnsentinel-node is running.".to_owned())
}

async fn text(response: &Response) -> Result<String, String> {
    let promise = response.text().map_err(describe)?;
    let body = settle(promise).await.map_err(describe)?;
    Ok(body.as_string().unwrap_or_default())
}

/// The sentence of an answer that is an error: the node's own where it gave one.
fn refusal(status: u16, body: &str) -> String {
    match serde_json::from_str(body) {
        Ok(Answered::Error(message)) => message,
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
    fn the_nodes_own_sentence_wins_over_a_bare_status() {
        assert_eq!(
            refusal(409, r#"{"error":"No such incident. Reload the page."}"#),
            "No such incident. Reload the page."
        );
        assert!(refusal(401, "").contains("401"));
    }

    #[test]
    fn replies_are_read_in_both_forms() {
        let ok: Answered =
            serde_json::from_str(r#"{"ok":{"reply":"waiting","fingerprint":"7QK2-M9XD"}}"#).unwrap();
        assert!(matches!(ok, Answered::Ok(Reply::Waiting { .. })));
    }
}
