//! Errors that prevent the checks from starting.
//!
//! A failure while a check runs is an observation with a reason, not an error.

use std::{io, path::PathBuf};
use thiserror::Error;

/// Why the checks could not be set up.
#[derive(Debug, Error)]
pub enum CheckError {
    /// A public service's address cannot be used.
    #[error(
        "the service \"{name}\" has the address \"{address}\", which is not {expected}; correct it under [services] in the configuration"
    )]
    Service {
        /// The service's name.
        name: String,
        /// Its address as configured.
        address: String,
        /// The expected form of the address.
        expected: &'static str,
    },
    /// A name of the panel, or a zone, is not a domain name.
    #[error("\"{name}\" is not a domain name: {cause}; correct it in the configuration")]
    Name {
        /// The name as configured.
        name: String,
        /// Why it was rejected.
        cause: String,
    },
    /// The HTTPS client could not be built.
    #[error("could not set up HTTPS: {0}; check that the system's certificate store is installed")]
    Https(#[source] reqwest::Error),
    /// The system's trusted certificates could not be read.
    #[error("could not set up HTTPS: {0}; check that the system's certificate store is installed")]
    Certificates(sentinel_model::Reason),
    /// The database of address owners cannot be used.
    #[error(
        "cannot use the ownership file {path}: {cause}; put a MaxMind DB file there, or remove `file` from [ownership] in the configuration"
    )]
    OwnershipFile {
        /// The file.
        path: PathBuf,
        /// Why it was rejected.
        cause: String,
    },
    /// The operating system refused a request that the checks depend on.
    #[error(
        "could not {doing}: {source}; check that this program is permitted to query the system's network state"
    )]
    System {
        /// What was being attempted.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl CheckError {
    /// Returns the error for a public service whose address does not have the expected form.
    pub(crate) fn service(name: &str, address: &str, expected: &'static str) -> Self {
        Self::Service { name: name.to_owned(), address: address.to_owned(), expected }
    }
}
