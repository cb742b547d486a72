//! Whether a captive portal answers in place of the network: services are asked over plain HTTP whose answers are known
//! beforehand. A portal answers with something else, most often a redirect, which is not followed.

use crate::{
    checks::Inner,
    error::CheckError,
    exit::{self, Host},
    https_echo::web_address,
    settings::PortalService,
};
use futures::future::join_all;
use reqwest::{StatusCode, Url};
use sentinel_model::{Connectivity, Family, Reason};
use std::net::SocketAddr;

/// A portal's page in place of a short text; more of it says nothing new.
const MAX_BODY: usize = 64 * 1024;

/// A service whose answer is known beforehand, its address parsed.
#[derive(Clone, Debug)]
pub(crate) struct Portal {
    url: Url,
    host: Host,
    status: u16,
    body: Option<String>,
}

impl Portal {
    pub(crate) fn parse(portal: &PortalService) -> Result<Self, CheckError> {
        let (url, host) = web_address(&portal.service, "http", "an http:// address")?;
        Ok(Self { url, host, status: portal.status, body: portal.body.clone() })
    }

    /// Whether this is the answer the service itself gives.
    fn is_its_own(&self, status: StatusCode, body: &[u8]) -> bool {
        let same_body = |expected: &String| body.trim_ascii() == expected.as_bytes();
        status.as_u16() == self.status && self.body.as_ref().is_none_or(same_body)
    }
}

/// Asks every service in every family it has an address in, all at once. One expected answer proves the network; an
/// unexpected one, with none expected, a portal. Without any answer there is nothing to say. Takes at most one budget
/// for finding the services and one for asking them.
pub(crate) async fn ask(inner: &Inner, system: &[SocketAddr]) -> Option<Connectivity> {
    let asks = inner.portal.iter().flat_map(|portal| Family::ALL.map(|family| (portal, family)));
    let answers = join_all(asks.map(|(portal, family)| expected(inner, portal, family, system))).await;
    judge(answers.into_iter().flatten())
}

/// Whether the answer was the service's own; `None` without an answer.
async fn expected(inner: &Inner, portal: &Portal, family: Family, system: &[SocketAddr]) -> Option<bool> {
    let clients = inner.echo_clients.as_ref()?;
    let at = exit::locate(&portal.host, family, system, inner).await.ok().flatten()?;
    match clients.get((&portal.url, &portal.host), at, MAX_BODY, inner.budget).await {
        Ok((status, body)) => Some(portal.is_its_own(status, &body)),
        Err(Reason::Malformed(_)) => Some(false), // a page too long to be the answer
        Err(_) => None,
    }
}

fn judge(expected: impl Iterator<Item = bool>) -> Option<Connectivity> {
    expected.fold(None, |word, expected| match (word, expected) {
        (Some(Connectivity::Online), _) | (_, true) => Some(Connectivity::Online),
        (_, false) => Some(Connectivity::Portal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_answer_proves_the_network_and_a_wrong_one_alone_a_portal() {
        assert_eq!(judge([false, true, false].into_iter()), Some(Connectivity::Online));
        assert_eq!(judge([false, false].into_iter()), Some(Connectivity::Portal));
        assert_eq!(judge([].into_iter()), None);
    }

    #[test]
    fn an_answer_is_its_own_by_status_and_text() {
        let parse = |status, body| {
            Portal::parse(&PortalService::new("p", "http://p.example/", status, body)).unwrap()
        };
        let text = parse(None, Some("success"));
        assert!(text.is_its_own(StatusCode::OK, b"success\n"));
        assert!(!text.is_its_own(StatusCode::OK, b"<html>success</html>"));
        assert!(!text.is_its_own(StatusCode::FOUND, b"success"));
        let empty = parse(Some(204), None);
        assert!(empty.is_its_own(StatusCode::NO_CONTENT, b""));
        assert!(!empty.is_its_own(StatusCode::OK, b""));
        assert!(Portal::parse(&PortalService::new("p", "https://p.example/", None, None)).is_err());
    }
}
