//! Where the state comes from and where commands go: the desktop app this window belongs to, or the node that served
//! this page. Both speak the same JSON, so that everything behind this file is the same.

mod http;
mod tauri;

use js_sys::Promise;
use sentinel_model::{Command, CommandError, Reply, SCHEMA, Snapshot, Timestamp};
use serde::Deserialize;
use std::{rc::Rc, time::Duration};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

/// One of the two ways to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The node that served this page: HTTP and server-sent events.
    Http,
    /// The desktop app this window belongs to.
    Tauri,
}

/// What following a node brings.
pub enum Heard {
    /// A new state.
    Snapshot(Box<Snapshot>),
    /// The stream broke; the backend is already trying again.
    Broken,
    /// Something arrived that this dashboard does not understand; the sentence says what to do.
    Garbled(String),
}

/// A state together with the node's clock when it was asked for, where the backend can tell.
pub struct Answer {
    /// The state.
    pub snapshot: Snapshot,
    /// The node's wall clock.
    pub node_time: Option<Timestamp>,
}

/// Called with everything that is heard.
pub type Listener = Rc<dyn Fn(Heard)>;

impl Backend {
    /// The backend of the surroundings this page runs in.
    pub fn detect() -> Self {
        if tauri::present() { Self::Tauri } else { Self::Http }
    }

    /// The state now. The error is a sentence for the person.
    pub async fn snapshot(self) -> Result<Answer, String> {
        match self {
            Self::Http => http::snapshot().await,
            Self::Tauri => tauri::snapshot().await,
        }
    }

    /// Carries out a command.
    pub async fn command(self, command: &Command) -> Result<Reply, CommandError> {
        match self {
            Self::Http => http::command(command).await,
            Self::Tauri => tauri::command(command).await,
        }
        .map_err(|message| CommandError { message })
    }

    /// Calls `listener` with every new state until the page goes away.
    pub fn follow(self, listener: Listener) {
        match self {
            Self::Http => http::follow(listener),
            Self::Tauri => tauri::follow(listener),
        }
    }
}

/// A browser's clock, in milliseconds since 1970. The only place that reads it.
pub fn browser_time() -> Timestamp {
    timestamp(js_sys::Date::now()).unwrap_or_default()
}

/// A JavaScript time; nothing for "not a number" and for times before 1970.
fn timestamp(milliseconds: f64) -> Option<Timestamp> {
    // Half a millisecond more, because the division does not come out even and what follows cuts off.
    let span = Duration::try_from_secs_f64((milliseconds.floor() + 0.5) / 1000.0).ok()?;
    i64::try_from(span.as_millis()).ok().map(Timestamp)
}

async fn settle(promise: Promise) -> Result<JsValue, JsValue> {
    JsFuture::from(promise).await
}

/// A snapshot from its JSON. The version is read first, so that a newer node is told apart from garbage.
fn parse_snapshot(json: &str) -> Result<Snapshot, String> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    match serde_json::from_str::<Version>(json) {
        Ok(version) if version.schema != SCHEMA => Err(format!(
            "The node speaks version {} of the state, this dashboard version {SCHEMA}. Reload the page.",
            version.schema
        )),
        _ => serde_json::from_str(json)
            .map_err(|error| format!("The node's answer could not be read: {error}. Reload the page.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_of_the_state_is_named_and_garbage_is_called_garbage() {
        let newer = parse_snapshot(r#"{"schema": 99}"#).unwrap_err();
        assert!(newer.contains("version 99"), "{newer}");
        let garbage = parse_snapshot("<html>").unwrap_err();
        assert!(garbage.contains("could not be read"), "{garbage}");
    }

    #[test]
    fn a_browser_time_is_whole_milliseconds() {
        assert_eq!(timestamp(1_700_000_000_123.0), Some(Timestamp(1_700_000_000_123)));
        assert_eq!(timestamp(f64::NAN), None);
    }
}
