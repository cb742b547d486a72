//! What can go wrong before a check has even started. What goes wrong during one is an observation, not an error.

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
        /// What it should have been.
        expected: &'static str,
    },
    /// A name of the panel or a zone is no domain name.
    #[error("\"{name}\" is not a domain name: {cause}; correct it in the configuration")]
    Name {
        /// The name as configured.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The HTTPS client could not be made.
    #[error("could not set up HTTPS: {0}; check that the system's certificate store is installed")]
    Https(#[source] reqwest::Error),
    /// The system's trusted certificates could not be read.
    #[error("could not set up HTTPS: {0}; check that the system's certificate store is installed")]
    Certificates(sentinel_model::Reason),
    /// The file that says who operates addresses cannot be used.
    #[error(
        "cannot use the ownership file {path}: {cause}; put a MaxMind DB file there, or remove `file` from [ownership] in the configuration"
    )]
    OwnershipFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The operating system refused something the checks rest on.
    #[error("could not {doing}: {source}; check that the program may ask this system about its network")]
    System {
        /// What was being attempted.
        doing: &'static str,
        /// What the system answered.
        source: io::Error,
    },
}
