//! The two tasks that write, one per file, so that neither waits for the other.
//!
//! ```text
//!  samples, facts     --> history inbox --> buffered for two seconds --> history.db
//!  incidents, outbox  --> ledger inbox  --> one transaction each     --> ledger.db, then a reply
//! ```
//!
//! Maintenance is done in short steps, each a request, so that other requests are served between
//! two steps.

mod history;
mod ledger;
mod shared;

pub(crate) use history::{HistoryRequest, HistoryWriter};
pub(crate) use ledger::{LedgerRequest, LedgerWriter};
