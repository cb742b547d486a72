//! The desktop app this window belongs to: commands `snapshot` and `command`, event `snapshot`, through the global
//! object that Tauri puts into the window.

use super::{Answer, Heard, Listener, browser_time, parse_snapshot, settle};
use js_sys::{Function, JSON, Object, Promise, Reflect};
use leptos::prelude::window;
use leptos::task::spawn_local;
use sentinel_model::{Command, CommandError, Reply};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};

const GLOBAL: &str = "__TAURI__";

pub(super) fn present() -> bool {
    global().is_ok()
}

pub(super) async fn snapshot() -> Result<Answer, String> {
    let value = invoke("snapshot", &Object::new()).await?;
    // One machine, one clock.
    Ok(Answer { snapshot: parse_snapshot(&json(&value)?)?, node_time: Some(browser_time()) })
}

pub(super) async fn command(command: &Command) -> Result<Reply, String> {
    let text = serde_json::to_string(command)
        .map_err(|error| format!("The command could not be written: {error}."))?;
    let arguments = Object::new();
    let value = JSON::parse(&text).map_err(|error| describe(&error))?;
    Reflect::set(&arguments, &"command".into(), &value).map_err(|error| describe(&error))?;
    let reply = invoke("command", &arguments).await?;
    serde_json::from_str(&json(&reply)?)
        .map_err(|error| format!("The app's answer could not be read: {error}."))
}

/// Listens first and asks then, so that no state falls between the two.
pub(super) fn follow(listener: Listener) {
    spawn_local(async move {
        let hear = listener.clone();
        let on_event = Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| {
            let heard = get(&event, "payload")
                .and_then(|payload| json(&payload))
                .and_then(|text| parse_snapshot(&text));
            hear(match heard {
                Ok(snapshot) => Heard::Snapshot(Box::new(snapshot)),
                Err(message) => Heard::Garbled(message),
            });
        });
        let listening = call("event", "listen", &"snapshot".into(), on_event.as_ref());
        // It lives as long as the window.
        on_event.forget();
        let listened = match listening {
            Ok(promise) => settle(promise).await.map_err(|error| describe(&error)),
            Err(message) => Err(message),
        };
        listener(match listened {
            Ok(_) => match snapshot().await {
                Ok(answer) => Heard::Snapshot(Box::new(answer.snapshot)),
                Err(message) => Heard::Garbled(message),
            },
            Err(message) => Heard::Garbled(message),
        });
    });
}

async fn invoke(name: &str, arguments: &Object) -> Result<JsValue, String> {
    let promise = call("core", "invoke", &name.into(), arguments)?;
    settle(promise).await.map_err(|error| describe(&error))
}

/// Calls `window.__TAURI__.<part>.<name>(first, second)`.
fn call(part: &str, name: &str, first: &JsValue, second: &JsValue) -> Result<Promise, String> {
    let function: Function = get(&get(&global()?, part)?, name)?
        .dyn_into()
        .map_err(|_| format!("The app offers no {part}.{name}."))?;
    let promise = function.call2(&JsValue::NULL, first, second).map_err(|error| describe(&error))?;
    promise.dyn_into().map_err(|_| format!("The app's {part}.{name} gave no promise."))
}

fn global() -> Result<JsValue, String> {
    get(&window(), GLOBAL)
}

fn get(object: &JsValue, key: &str) -> Result<JsValue, String> {
    match Reflect::get(object, &key.into()) {
        Ok(value) if !value.is_undefined() && !value.is_null() => Ok(value),
        _ => Err(format!("The app offers no {key}.")),
    }
}

fn json(value: &JsValue) -> Result<String, String> {
    let text = JSON::stringify(value).map_err(|error| describe(&error))?;
    text.as_string().ok_or_else(|| "The app answered with nothing.".to_owned())
}

/// What a rejected promise carries: a sentence, or an error with a message.
fn describe(error: &JsValue) -> String {
    error
        .as_string()
        .or_else(|| JSON::stringify(error).ok()?.as_string().and_then(|text| message(&text)))
        .unwrap_or_else(|| format!("The app refused: {error:?}."))
}

fn message(json: &str) -> Option<String> {
    serde_json::from_str::<CommandError>(json).ok().map(|error| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_shown_by_its_own_sentence() {
        assert_eq!(message(r#"{"message":"No such node."}"#).as_deref(), Some("No such node."));
        assert_eq!(message("42"), None);
    }
}
