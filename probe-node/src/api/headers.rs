//! Security headers of every response, so that no other site can embed or read the dashboard.

use super::dashboard::Dashboard;
use axum::{
    extract::State,
    http::{
        HeaderName, HeaderValue,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    response::Response,
};
use std::sync::Arc;

const FIXED: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// The headers that depend on the embedded dashboard.
pub(super) struct SecurityHeaders {
    content_security_policy: HeaderValue,
}

impl SecurityHeaders {
    /// Computes the content security policy. A policy that is not a valid header allows nothing.
    pub(super) fn new(dashboard: &Dashboard) -> Self {
        let content_security_policy = HeaderValue::from_str(&dashboard.content_security_policy())
            .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
        Self { content_security_policy }
    }
}

/// Adds the headers. A response without its own caching rules must not be stored.
pub(super) async fn add_headers(
    State(headers): State<Arc<SecurityHeaders>>,
    mut response: Response,
) -> Response {
    let map = response.headers_mut();
    map.insert(CONTENT_SECURITY_POLICY, headers.content_security_policy.clone());
    for (name, value) in FIXED {
        map.insert(name, HeaderValue::from_static(value));
    }
    map.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
