//! The headers every answer carries, so that a browser keeps the dashboard to itself.

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

/// Headers that depend on the embedded dashboard.
pub(super) struct Headers {
    policy: HeaderValue,
}

impl Headers {
    /// Computes the content security policy. If it could not be a header, nothing at all would be allowed.
    pub(super) fn new(dashboard: &Dashboard) -> Self {
        let policy = HeaderValue::from_str(&dashboard.content_security_policy())
            .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
        Self { policy }
    }
}

/// Adds them. What is not marked as cacheable must not be kept.
pub(super) async fn add(State(headers): State<Arc<Headers>>, mut response: Response) -> Response {
    let map = response.headers_mut();
    map.insert(CONTENT_SECURITY_POLICY, headers.policy.clone());
    for (name, value) in FIXED {
        map.insert(name, HeaderValue::from_static(value));
    }
    map.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
