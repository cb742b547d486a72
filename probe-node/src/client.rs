//! A client for the HTTP API of the running node.

use anyhow::{Result, anyhow};
use reqwest::{Response, StatusCode};
use sentinel_engine::ApiConfig;
use sentinel_model::{Command, Incident, Reply, Snapshot, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use thiserror::Error;

/// The time limit of a request, longer than the node lets any command take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The time limit of a connection attempt; a node on this machine accepts at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The error for a reply of another type than the command calls for.
pub(crate) const UNEXPECTED_REPLY: &str =
    "The node sent an unexpected reply. Check that the node and this program have the same version.";

/// Why a request to the node failed.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// No node accepts connections there.
    #[error("No node answers at {base}: {cause}. Start one with `vpnsentinel-node run`.")]
    NoNode { base: String, cause: String },
    /// A node accepted the connection, but sent no answer in time.
    #[error("The node at {base} did not answer within {} s. Look at its log, and restart it.", REQUEST_TIMEOUT.as_secs())]
    TimedOut { base: String },
    /// The node refused, with a reason.
    #[error("{0}")]
    Refused(String),
    /// Something other than a node answered, or a node of another version.
    #[error(
        "The server at {base} is not a node that this program understands ({cause}). Check `api.listen` in the \
         configuration, and that the node and this program have the same version."
    )]
    NotUnderstood { base: String, cause: String },
}

/// The body of a response: the reply to a command, or a sentence that says what is wrong.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ApiResponse {
    Ok(Reply),
    Error(String),
}

#[derive(Deserialize)]
struct IncidentsResponse {
    incidents: Vec<Incident>,
}

/// A client for one node.
pub(crate) struct Client {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// Builds the client for the node that runs with this configuration.
    pub(crate) fn new(api: &ApiConfig) -> Result<Self> {
        let token = crate::api::read_token(api)?;
        // The token must not reach a proxy. The connection stays on this machine and uses no TLS,
        // so no certificates are loaded.
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| anyhow!("The HTTP client could not be created: {}.", root_cause(&error)))?;
        Ok(Self { base: base_url(api.listen), token, http })
    }

    /// Fetches the current state of the node.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, ClientError> {
        self.get("/api/v1/snapshot", &[]).await
    }

    /// Fetches the incidents that are open or have changed since then, newest first.
    pub(crate) async fn incidents(&self, since: Timestamp, limit: u32) -> Result<Vec<Incident>, ClientError> {
        let query = [("since", since.0.to_string()), ("limit", limit.to_string())];
        Ok(self.get::<IncidentsResponse>("/api/v1/history/incidents", &query).await?.incidents)
    }

    /// Sends a command and waits until it has been carried out.
    pub(crate) async fn command(&self, command: &Command) -> Result<Reply, ClientError> {
        let request = self.http.post(format!("{}/api/v1/command", self.base)).json(command);
        let response = self.send(request).await?;
        let status = response.status();
        let body = response.json().await.map_err(|error| self.not_understood(status, &error))?;
        match body {
            ApiResponse::Ok(reply) => Ok(reply),
            ApiResponse::Error(sentence) => Err(ClientError::Refused(sentence)),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, ClientError> {
        let query: Vec<_> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let response = self.send(self.http.get(format!("{}{path}?{}", self.base, query.join("&")))).await?;
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(|error| self.not_understood(status, &error));
        }
        match response.json().await {
            Ok(ApiResponse::Error(sentence)) => Err(ClientError::Refused(sentence)),
            Ok(ApiResponse::Ok(_)) => {
                Err(ClientError::NotUnderstood { base: self.base.clone(), cause: status.to_string() })
            }
            Err(error) => Err(self.not_understood(status, &error)),
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, ClientError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.map_err(|error| {
            let base = self.base.clone();
            if error.is_connect() {
                ClientError::NoNode { base, cause: root_cause(&error) }
            } else if error.is_timeout() {
                ClientError::TimedOut { base }
            } else {
                ClientError::NotUnderstood { base, cause: root_cause(&error) }
            }
        })
    }

    fn not_understood(&self, status: StatusCode, error: &reqwest::Error) -> ClientError {
        let cause = if status.is_success() { root_cause(error) } else { format!("HTTP status {status}") };
        ClientError::NotUnderstood { base: self.base.clone(), cause }
    }
}

/// Returns the URL at which a node that listens there is reached from its own machine.
pub(crate) fn base_url(listen: SocketAddr) -> String {
    let mut address = listen;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

/// Returns the innermost cause in a few words, without the layers of libraries around it.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        _ => innermost.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_listens_on_all_addresses_is_reached_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:7466", "http://127.0.0.1:7466"),
            ("[::]:7466", "http://[::1]:7466"),
            ("192.0.2.1:80", "http://192.0.2.1:80"),
        ] {
            assert_eq!(base_url(listen.parse().unwrap()), expected);
        }
    }
}
