//! Talking to the node that runs, over its HTTP API.

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

/// Longer than the node itself lets a command take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node on this machine answers a connection at once or not at all.
const CONNECT: Duration = Duration::from_secs(3);

/// Why a node did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// There is none.
    #[error("No node answers at {base}: {cause}. Start one with `vpnsentinel-node run`.")]
    NoNode { base: String, cause: String },
    /// There is one, but it does not answer.
    #[error("The node at {base} did not answer within {} s. Look at its log, and restart it.", PATIENCE.as_secs())]
    Silent { base: String },
    /// It said no, and why.
    #[error("{0}")]
    Refused(String),
    /// Whatever answers there is not a node, or not one of this version.
    #[error(
        "What answers at {base} is not a node this program understands ({cause}). Check `api.listen` in the configuration, \
         and that the node and this program have the same version."
    )]
    Strange { base: String, cause: String },
}

/// The answer to a command.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(Reply),
    Error(String),
}

#[derive(Deserialize)]
struct Incidents {
    incidents: Vec<Incident>,
}

/// A connection to a node's API.
pub(crate) struct Client {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// A client for the node with this configuration.
    pub(crate) fn new(api: &ApiConfig) -> Result<Self> {
        let token = crate::api::read_token(api)?;
        // No proxy may see it, and there is no TLS on the way to one's own machine, so no certificates either.
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .build()
            .map_err(|error| anyhow!("The HTTP client could not be set up: {}.", root_cause(&error)))?;
        Ok(Self { base: url(api.listen), token, http })
    }

    /// The node's whole current state.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, ClientError> {
        self.get("/api/v1/snapshot", &[]).await
    }

    /// Incidents that are open or changed since then, newest first.
    pub(crate) async fn incidents(&self, since: Timestamp, limit: u32) -> Result<Vec<Incident>, ClientError> {
        let query = [("since", since.0.to_string()), ("limit", limit.to_string())];
        Ok(self.get::<Incidents>("/api/v1/history/incidents", &query).await?.incidents)
    }

    /// Asks the node to do something and waits until it has.
    pub(crate) async fn command(&self, command: &Command) -> Result<Reply, ClientError> {
        let request = self.http.post(format!("{}/api/v1/command", self.base)).json(command);
        let response = self.send(request).await?;
        let status = response.status();
        let answer = response.json().await.map_err(|error| self.strange(status, &error))?;
        match answer {
            Answer::Ok(reply) => Ok(reply),
            Answer::Error(sentence) => Err(ClientError::Refused(sentence)),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, ClientError> {
        let query: Vec<_> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let response = self.send(self.http.get(format!("{}{path}?{}", self.base, query.join("&")))).await?;
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(|error| self.strange(status, &error));
        }
        match response.json().await {
            Ok(Answer::Error(sentence)) => Err(ClientError::Refused(sentence)),
            Ok(Answer::Ok(_)) => {
                Err(ClientError::Strange { base: self.base.clone(), cause: status.to_string() })
            }
            Err(error) => Err(self.strange(status, &error)),
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
                ClientError::Silent { base }
            } else {
                ClientError::Strange { base, cause: root_cause(&error) }
            }
        })
    }

    fn strange(&self, status: StatusCode, error: &reqwest::Error) -> ClientError {
        let cause = if status.is_success() { root_cause(error) } else { format!("HTTP status {status}") };
        ClientError::Strange { base: self.base.clone(), cause }
    }
}

/// Where a node that listens there answers on its own machine.
pub(crate) fn url(listen: SocketAddr) -> String {
    let mut address = listen;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

/// The innermost reason in a few words, without the layers of libraries around it.
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
    fn a_node_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:7466", "http://127.0.0.1:7466"),
            ("[::]:7466", "http://[::1]:7466"),
            ("192.0.2.1:80", "http://192.0.2.1:80"),
        ] {
            assert_eq!(url(listen.parse().unwrap()), expected);
        }
    }
}
