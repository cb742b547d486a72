//! The browser's clock and promises.

use js_sys::Promise;
use sentinel_model::Timestamp;
use std::time::Duration;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

/// Returns the browser's time. No other function reads its clock.
pub fn browser_time() -> Timestamp {
    parse_time(js_sys::Date::now()).unwrap_or_default()
}

/// Converts a JavaScript time (milliseconds since 1970); `None` for "not a number" and before 1970.
pub(super) fn parse_time(milliseconds: f64) -> Option<Timestamp> {
    // Half a millisecond is added because the division is inexact and the conversion truncates.
    let span = Duration::try_from_secs_f64((milliseconds.floor() + 0.5) / 1000.0).ok()?;
    i64::try_from(span.as_millis()).ok().map(Timestamp)
}

/// Waits for a promise.
pub(super) async fn await_promise(promise: Promise) -> Result<JsValue, JsValue> {
    JsFuture::from(promise).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_time_is_whole_milliseconds() {
        assert_eq!(parse_time(1_700_000_000_123.0), Some(Timestamp(1_700_000_000_123)));
        assert_eq!(parse_time(f64::NAN), None);
        assert_eq!(parse_time(-1.0), None, "before 1970");
    }
}
