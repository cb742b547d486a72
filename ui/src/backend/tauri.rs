//! The backend of a window of the desktop app.
//!
//! It uses the commands `snapshot` and `command` and the event `snapshot`, through the global
//! object that Tauri puts into the window.

use super::{
    browser::{await_promise, browser_time},
    messages::{Listener, TimedSnapshot, parse_snapshot},
};
use js_sys::{Function, JSON, Object, Promise, Reflect};
use leptos::prelude::window;
use leptos::task::spawn_local;
use sentinel_model::{Command, CommandError, Reply};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};

const GLOBAL: &str = "__TAURI__";

/// Returns true if this page runs in a window of the desktop app.
pub(super) fn is_present() -> bool {
    global().is_ok()
}

pub(super) async fn snapshot() -> Result<TimedSnapshot, String> {
    let value = invoke("snapshot", &Object::new()).await?;
    // The node runs on this machine, so its clock is the browser's.
    Ok(TimedSnapshot { snapshot: parse_snapshot(&to_json(&value)?)?, node_time: Some(browser_time()) })
}

pub(super) async fn command(command: &Command) -> Result<Reply, String> {
    let text = serde_json::to_string(command)
        .map_err(|error| format!("The command could not be encoded: {error}."))?;
    let arguments = Object::new();
    let value = JSON::parse(&text).map_err(|error| describe(&error))?;
    Reflect::set(&arguments, &"command".into(), &value).map_err(|error| describe(&error))?;
    let reply = invoke("command", &arguments).await?;
    serde_json::from_str(&to_json(&reply)?)
        .map_err(|error| format!("The app's answer could not be read: {error}."))
}

/// Subscribes to the event before it fetches a snapshot, so that no change in between is missed.
pub(super) fn follow(listener: Listener) {
    spawn_local(async move {
        let on_snapshot = listener.clone();
        let on_event = Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| {
            let parsed = get(&event, "payload")
                .and_then(|payload| to_json(&payload))
                .and_then(|text| parse_snapshot(&text));
            on_snapshot(parsed.into());
        });
        let listening = call("event", "listen", &"snapshot".into(), on_event.as_ref());
        // The closure lives as long as the window.
        on_event.forget();
        let subscribed = match listening {
            Ok(promise) => await_promise(promise).await.map_err(|error| describe(&error)),
            Err(message) => Err(message),
        };
        let first = match subscribed {
            Ok(_) => snapshot().await.map(|answer| answer.snapshot),
            Err(message) => Err(message),
        };
        listener(first.into());
    });
}

async fn invoke(name: &str, arguments: &Object) -> Result<JsValue, String> {
    let promise = call("core", "invoke", &name.into(), arguments)?;
    await_promise(promise).await.map_err(|error| describe(&error))
}

/// Calls `window.__TAURI__.<part>.<name>(first, second)`.
fn call(part: &str, name: &str, first: &JsValue, second: &JsValue) -> Result<Promise, String> {
    let function: Function = get(&get(&global()?, part)?, name)?
        .dyn_into()
        .map_err(|_| format!("The app does not provide {part}.{name}."))?;
    let promise = function.call2(&JsValue::NULL, first, second).map_err(|error| describe(&error))?;
    promise.dyn_into().map_err(|_| format!("{part}.{name} of the app returned no promise."))
}

fn global() -> Result<JsValue, String> {
    get(&window(), GLOBAL)
}

fn get(object: &JsValue, key: &str) -> Result<JsValue, String> {
    match Reflect::get(object, &key.into()) {
        Ok(value) if !value.is_undefined() && !value.is_null() => Ok(value),
        _ => Err(format!("The app does not provide {key}.")),
    }
}

fn to_json(value: &JsValue) -> Result<String, String> {
    let text = JSON::stringify(value).map_err(|error| describe(&error))?;
    text.as_string().ok_or_else(|| "The app sent an empty answer.".to_owned())
}

/// Returns the sentence of a rejected promise, which is a string or an error with a message.
fn describe(error: &JsValue) -> String {
    error
        .as_string()
        .or_else(|| JSON::stringify(error).ok()?.as_string().and_then(|text| parse_message(&text)))
        .unwrap_or_else(|| format!("The app refused: {error:?}."))
}

fn parse_message(json: &str) -> Option<String> {
    serde_json::from_str::<CommandError>(json).ok().map(|error| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_of_a_refusal_is_shown() {
        assert_eq!(parse_message(r#"{"message":"No such node."}"#).as_deref(), Some("No such node."));
        assert_eq!(parse_message("42"), None);
    }
}
