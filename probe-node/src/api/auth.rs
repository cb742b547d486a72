//! Which requests are let in.
//!
//! On loopback there is no secret, so a web page in the user's browser must be kept out. It could send commands across
//! sites, which `Origin` and `Sec-Fetch-Site` tell, or point a name of its own at 127.0.0.1 (DNS rebinding), which `Host`
//! tells. With a token, `Host` may be anything (a reverse proxy), but a browser that has stored the token sends it with
//! requests of other sites too, so these are refused just the same.

use super::{
    access::{Access, Token},
    problem::Problem,
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

/// Tells monitoring nothing but whether the node is well, so it needs no token.
pub(super) const HEALTH: &str = "/healthz";

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request through or answers it with the reason why not.
pub(super) async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match admit(&access, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn admit(access: &Access, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host = host(uri, headers)?;
    match access {
        Access::Loopback if !names_this_machine(&host) => {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!(
                    "This node answers only to localhost and 127.0.0.1, not to {}. To reach it by another name, set \
                     `api.token_file` in its configuration.",
                    host.host()
                ),
            ));
        }
        Access::Token(token) if uri.path() != HEALTH => check_token(token, headers)?,
        Access::Loopback | Access::Token(_) => {}
    }
    refuse_other_sites(method, uri, headers, &host)
}

/// The name the client used.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
    let mut named = headers.get_all(HOST).iter();
    let header =
        named.next().and_then(|host| host.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    match (uri.authority(), header, named.next()) {
        // A request to a proxy names the host in its first line, and that one counts (RFC 9112, section 3.2.2).
        (Some(authority), _, None) => Ok(authority.clone()),
        (None, Some(authority), None) => Ok(authority),
        _ => Err(Problem::new(StatusCode::BAD_REQUEST, "The request must name its host, once.")),
    }
}

fn names_this_machine(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn refuse_other_sites(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    host: &Authority,
) -> Result<(), Problem> {
    let refused = || {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "Another web site sent this request; only the node's own dashboard may.",
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
    // Following a link from elsewhere to the dashboard is fine; commands and reading the API from elsewhere are not.
    let only_looks = matches!(*method, Method::GET | Method::HEAD) && !uri.path().starts_with("/api/");
    let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    if !only_looks && matches!(site, Some(b"cross-site" | b"same-site")) {
        return refused();
    }
    Ok(())
}

/// The token comes as a bearer token from programs (RFC 6750), and as the password of any user from browsers (RFC 7617).
fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |sentence| Err(Problem::new(StatusCode::UNAUTHORIZED, sentence));
    let Some(given) = headers.get(AUTHORIZATION) else {
        return refused(
            "This node wants its token: as `Authorization: Bearer TOKEN`, or as the password of any user name. It is in the \
             file that `api.token_file` names.",
        );
    };
    let known =
        given.to_str().ok().and_then(|given| given.split_once(' ')).is_some_and(|(scheme, secret)| {
            if scheme.eq_ignore_ascii_case("bearer") {
                token.is(secret.trim().as_bytes())
            } else if scheme.eq_ignore_ascii_case("basic") {
                password(secret).is_some_and(|password| token.is(&password))
            } else {
                false
            }
        });
    if known {
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

    fn ask(
        access: &Access,
        method: &Method,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(), StatusCode> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        admit(access, method, &path.parse().unwrap(), &map).map_err(|problem| {
            assert!(problem.sentence().ends_with('.'));
            problem.status()
        })
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_are_answered() {
        let ask = |host: &str| ask(&Access::Loopback, &Method::GET, "/api/v1/snapshot", &[("host", host)]);
        for host in ["localhost", "LOCALHOST:7466", "127.0.0.1:7466", "[::1]:7466", "127.0.0.1:9999"] {
            assert_eq!(ask(host), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:7466",
            "127.0.0.1.evil.example",
            "192.168.1.2",
            "[::2]:7466",
        ] {
            assert_eq!(ask(host), Err(StatusCode::FORBIDDEN), "{host}");
        }
    }

    #[test]
    fn a_host_is_named_exactly_once() {
        for headers in [&[][..], &[("host", "localhost"), ("host", "evil.example")], &[("host", "a b")]] {
            assert_eq!(
                ask(&Access::Loopback, &Method::GET, "/", headers),
                Err(StatusCode::BAD_REQUEST),
                "{headers:?}"
            );
        }
        assert_eq!(
            ask(&Access::Loopback, &Method::GET, "http://evil.example/", &[("host", "localhost")]),
            Err(StatusCode::FORBIDDEN)
        );
    }

    #[test]
    fn requests_of_other_sites_are_refused() {
        let post = |headers: &[(&'static str, &str)]| {
            let all: Vec<_> = [("host", "127.0.0.1:7466")].iter().chain(headers).copied().collect();
            ask(&Access::Loopback, &Method::POST, "/api/v1/command", &all)
        };
        assert_eq!(post(&[]), Ok(()), "a program, not a browser");
        assert_eq!(post(&[("origin", "http://127.0.0.1:7466"), ("sec-fetch-site", "same-origin")]), Ok(()));
        for origin in ["https://evil.example", "null", "http://127.0.0.1:3000", "http://localhost:7466"] {
            assert_eq!(post(&[("origin", origin)]), Err(StatusCode::FORBIDDEN), "{origin}");
        }
        assert_eq!(post(&[("sec-fetch-site", "cross-site")]), Err(StatusCode::FORBIDDEN));
        let link = [("host", "127.0.0.1:7466"), ("sec-fetch-site", "cross-site")];
        assert_eq!(ask(&Access::Loopback, &Method::GET, "/", &link), Ok(()), "a link to the dashboard");
        assert_eq!(ask(&Access::Loopback, &Method::GET, "/api/v1/events", &link), Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn with_a_token_nothing_but_health_is_open() {
        let access = Access::with_token(TOKEN);
        let get = |path: &str, headers: &[(&'static str, &str)]| {
            let all: Vec<_> = [("host", "node.example")].iter().chain(headers).copied().collect();
            ask(&access, &Method::GET, path, &all)
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
