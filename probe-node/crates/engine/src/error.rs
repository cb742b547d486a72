//! Errors of reading the configuration and of starting the engine.

use std::{io, path::PathBuf};
use thiserror::Error;

/// An error in the configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error(
        "cannot read the configuration {path}: {cause}. Create it from the output of \
         `vpnsentinel-node config sample`, or name another with --config"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The file cannot be parsed.
    #[error(
        "the configuration {path} has a mistake. {cause}Correct that line; \
         `vpnsentinel-node config sample` prints every key with its meaning"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The mistake and its line.
        cause: Box<toml::de::Error>,
    },
}

/// An error of starting or using the engine.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The history or the ledger could not be opened or read.
    #[error(transparent)]
    Store(#[from] sentinel_store::StoreError),
    /// The swarm could not start.
    #[error(transparent)]
    Swarm(#[from] sentinel_swarm::SwarmError),
    /// The checks could not be set up.
    #[error(transparent)]
    Checks(#[from] sentinel_checks::CheckError),
    /// The file with the invitation could not be read.
    #[error(
        "cannot read the invitation in {path}: {cause}. Mount the file there, or remove \
         `invitation_file` from [swarm]"
    )]
    Invitation {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The engine has been shut down.
    #[error("the engine has stopped; start the program again")]
    Stopped,
}
