//! What can go wrong before the loop runs.

use std::{io, path::PathBuf};
use thiserror::Error;

/// Why a configuration was refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error(
        "cannot read the configuration {path}: {cause}. Create it from the output of `vpnsentinel-node config sample`, or \
         name another with --config"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file has a mistake.
    #[error(
        "the configuration {path} has a mistake. {cause}Correct that line; `vpnsentinel-node config sample` prints every \
         key with its meaning"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and what.
        cause: Box<toml::de::Error>,
    },
}

/// Why an engine could not start or answer.
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
        "cannot read the invitation in {path}: {cause}. Mount the file there, or remove `invitation_file` from [swarm]"
    )]
    Invitation {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The engine has been shut down.
    #[error("the engine has stopped; start the program again")]
    Stopped,
}
