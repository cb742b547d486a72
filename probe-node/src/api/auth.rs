//! Which requests are accepted.
//!
//! - On loopback there is no secret, so a web page in the user's browser must be kept out. It could
//!   send commands across sites, which `Origin` and `Sec-Fetch-Site` reveal, or point a name of its
//!   own at 127.0.0.1 (DNS rebinding), which `Host` reveals.
//! - With a token, any `Host` is accepted, because a reverse proxy may set it. A browser that has
//!   stored the token sends it with requests of other sites too, so these are refused as well.

use super::{
    access::{Access, Token},
    error::ApiError,
};
use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{AUTHORIZATION, HOST, HeaderName, ORIGIN},
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use data_encoding::BASE64;
use std::{net::IpAddr, sync::Arc};

/// The path of the health check. It reveals only whether the node works, so it needs no token.
pub(super) const HEALTH_PATH: &str = "/healthz";

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Passes an accepted request on; answers any other with the reason for the refusal.
pub(super) async fn authorize(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match check_request(&access, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check_request(access: &Access, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let host = requested_host(uri, headers)?;
    match access {
        Access::Loopback if !is_loopback_name(&host) => {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                format!(
                    "This node can be reached as localhost or 127.0.0.1 only, not as {}. To reach it by another name, set \
                     `api.token_file` in its configuration.",
                    host.host()
                ),
            ));
        }
        Access::Token(token) if uri.path() != HEALTH_PATH => check_token(token, headers)?,
        Access::Loopback | Access::Token(_) => {}
    }
    check_origin(method, uri, headers, &host)
}

/// Returns the host that the client names.
fn requested_host(uri: &Uri, headers: &HeaderMap) -> Result<Authority, ApiError> {
    let mut named = headers.get_all(HOST).iter();
    let header =
        named.next().and_then(|host| host.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    match (uri.authority(), header, named.next()) {
        // An absolute URI in the request line takes precedence (RFC 9112, section 3.2.2).
        (Some(authority), _, None) => Ok(authority.clone()),
        (None, Some(authority), None) => Ok(authority),
        _ => Err(ApiError::new(StatusCode::BAD_REQUEST, "The request must name its host exactly once.")),
    }
}

fn is_loopback_name(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn check_origin(method: &Method, uri: &Uri, headers: &HeaderMap, host: &Authority) -> Result<(), ApiError> {
    let refused = || {
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "This request comes from another web site. Only the node's own dashboard is allowed to send it.",
        ))
    };
    if let Some(origin) = headers.get(ORIGIN) {
        let same = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host.as_str()));
        if !same {
            return refused();
        }
    }
    // A link from another site to the dashboard is allowed; using the API from another site is not.
    let opens_a_page = matches!(*method, Method::GET | Method::HEAD) && !uri.path().starts_with("/api/");
    let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    if !opens_a_page && matches!(site, Some(b"cross-site" | b"same-site")) {
        return refused();
    }
    Ok(())
}

/// Checks the token: a bearer token (RFC 6750), or the password of any user name (RFC 7617).
fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), ApiError> {
    let refused = |sentence| Err(ApiError::new(StatusCode::UNAUTHORIZED, sentence));
    let Some(authorization) = headers.get(AUTHORIZATION) else {
        return refused(
            "This node requires its token: as `Authorization: Bearer TOKEN`, or as the password of any user name. It is in \
             the file that `api.token_file` names.",
        );
    };
    let matches = authorization.to_str().ok().and_then(|value| value.split_once(' ')).is_some_and(
        |(scheme, secret)| {
            if scheme.eq_ignore_ascii_case("bearer") {
                token.matches(secret.trim().as_bytes())
            } else if scheme.eq_ignore_ascii_case("basic") {
                password(secret).is_some_and(|password| token.matches(&password))
            } else {
                false
            }
        },
    );
    if matches {
        Ok(())
    } else {
        refused("That is not this node's token. It is in the file that `api.token_file` names.")
    }
}

fn password(credentials: &str) -> Option<Vec<u8>> {
    let decoded = BASE64.decode(credentials.trim().as_bytes()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    decoded.get(colon + 1..).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn send(
        access: &Access,
        method: &Method,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(), StatusCode> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        check_request(access, method, &path.parse().unwrap(), &map).map_err(|error| {
            assert!(error.sentence().ends_with('.'));
            error.status()
        })
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_are_accepted() {
        let send = |host: &str| send(&Access::Loopback, &Method::GET, "/api/v1/snapshot", &[("host", host)]);
        for host in ["localhost", "LOCALHOST:7466", "127.0.0.1:7466", "[::1]:7466", "127.0.0.1:9999"] {
            assert_eq!(send(host), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:7466",
            "127.0.0.1.evil.example",
            "192.168.1.2",
            "[::2]:7466",
        ] {
            assert_eq!(send(host), Err(StatusCode::FORBIDDEN), "{host}");
        }
    }

    #[test]
    fn a_host_is_named_exactly_once() {
        for headers in [&[][..], &[("host", "localhost"), ("host", "evil.example")], &[("host", "a b")]] {
            assert_eq!(
                send(&Access::Loopback, &Method::GET, "/", headers),
                Err(StatusCode::BAD_REQUEST),
                "{headers:?}"
            );
        }
        assert_eq!(
            send(&Access::Loopback, &Method::GET, "http://evil.example/", &[("host", "localhost")]),
            Err(StatusCode::FORBIDDEN)
        );
    }

    #[test]
    fn requests_from_other_sites_are_refused() {
        let post = |headers: &[(&'static str, &str)]| {
            let all: Vec<_> = [("host", "127.0.0.1:7466")].iter().chain(headers).copied().collect();
            send(&Access::Loopback, &Method::POST, "/api/v1/command", &all)
        };
        assert_eq!(post(&[]), Ok(()), "a program, not a browser");
        assert_eq!(post(&[("origin", "http://127.0.0.1:7466"), ("sec-fetch-site", "same-origin")]), Ok(()));
        for origin in ["https://evil.example", "null", "http://127.0.0.1:3000", "http://localhost:7466"] {
            assert_eq!(post(&[("origin", origin)]), Err(StatusCode::FORBIDDEN), "{origin}");
        }
        assert_eq!(post(&[("sec-fetch-site", "cross-site")]), Err(StatusCode::FORBIDDEN));
        let link = [("host", "127.0.0.1:7466"), ("sec-fetch-site", "cross-site")];
        assert_eq!(send(&Access::Loopback, &Method::GET, "/", &link), Ok(()), "a link to the dashboard");
        assert_eq!(
            send(&Access::Loopback, &Method::GET, "/api/v1/events", &link),
            Err(StatusCode::FORBIDDEN)
        );
    }

    #[test]
    fn with_a_token_only_the_health_check_is_open() {
        let access = Access::with_token(TOKEN);
        let get = |path: &str, headers: &[(&'static str, &str)]| {
            let all: Vec<_> = [("host", "node.example")].iter().chain(headers).copied().collect();
            send(&access, &Method::GET, path, &all)
        };
        let basic = |user_password: &str| format!("Basic {}", BASE64.encode(user_password.as_bytes()));
        assert_eq!(get("/healthz", &[]), Ok(()));
        for path in ["/", "/api/v1/snapshot", "/app.js"] {
            assert_eq!(get(path, &[]), Err(StatusCode::UNAUTHORIZED), "{path}");
            assert_eq!(get(path, &[("authorization", &format!("Bearer {TOKEN}"))]), Ok(()));
            assert_eq!(get(path, &[("authorization", &basic(&format!("anyone:{TOKEN}")))]), Ok(()));
            for wrong in
                ["Bearer", "Bearer x", "Basic !!!", TOKEN, &basic(TOKEN), &basic("anyone:x"), "Digest x"]
            {
                assert_eq!(get(path, &[("authorization", wrong)]), Err(StatusCode::UNAUTHORIZED), "{wrong}");
            }
        }
        let stored = [("authorization", &*format!("Bearer {TOKEN}")), ("origin", "https://evil.example")];
        assert_eq!(get("/api/v1/snapshot", &stored), Err(StatusCode::FORBIDDEN));
    }
}
