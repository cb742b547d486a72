//! Web pages with a known response, which reveal captive portals.

use crate::{
    error::CheckError,
    services::host::{Host, parse_url},
    settings::PortalService,
};
use reqwest::{StatusCode, Url};

/// A web page with a known response.
#[derive(Clone, Debug)]
pub(crate) struct PortalPage {
    pub(crate) url: Url,
    pub(crate) host: Host,
    status: u16,
    /// Without surrounding white space.
    body: Option<String>,
}

impl PortalPage {
    /// Parses an `http://` URL.
    pub(crate) fn parse(service: &PortalService) -> Result<Self, CheckError> {
        let (url, host) = parse_url(&service.name, &service.url, "http", "an http:// address")?;
        let body = service.body.as_ref().map(|body| body.trim().to_owned());
        Ok(Self { url, host, status: service.status, body })
    }

    /// Returns true if this is the service's own response, not a portal's.
    pub(crate) fn is_genuine(&self, status: StatusCode, body: &[u8]) -> bool {
        let same_body = |expected: &String| body.trim_ascii() == expected.as_bytes();
        status.as_u16() == self.status && self.body.as_ref().is_none_or(same_body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_genuine_response_has_the_expected_status_and_text() {
        let parse = |status, body| {
            PortalPage::parse(&PortalService::new("p", "http://p.example/", status, body)).unwrap()
        };
        let text = parse(None, Some(" success\n"));
        assert!(text.is_genuine(StatusCode::OK, b"success\n"));
        assert!(!text.is_genuine(StatusCode::OK, b"<html>success</html>"));
        assert!(!text.is_genuine(StatusCode::FOUND, b"success"));
        let empty = parse(Some(204), None);
        assert!(empty.is_genuine(StatusCode::NO_CONTENT, b""));
        assert!(!empty.is_genuine(StatusCode::OK, b""));
        assert!(PortalPage::parse(&PortalService::new("p", "https://p.example/", None, None)).is_err());
    }
}
