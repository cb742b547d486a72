//! Services of a machine that look up names for its programs.

use async_trait::async_trait;
use sentinel_model::Reason;
use std::time::Duration;

/// A service of this machine that looks up names for programs, such as systemd-resolved.
#[async_trait]
pub trait NameService: Send + Sync {
    /// Looks up the records of one type, given by its number (RFC 1035).
    ///
    /// Returns each record in wire format. The name is fully qualified.
    async fn look_up(
        &self,
        name: &str,
        record_type: u16,
        budget: Duration,
    ) -> Result<Vec<Vec<u8>>, NameServiceError>;
}

/// Why a [`NameService`] returned no records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameServiceError {
    /// The name, or this type of record, does not exist.
    Nonexistent,
    /// No usable answer.
    Undetermined(Reason),
}
