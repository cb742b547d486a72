//! Persistent state of a node, in two SQLite files.
//!
//! | file | contents | after a crash |
//! |---|---|---|
//! | `history.db` | samples and intervals | the last two seconds may be lost |
//! | `ledger.db` | incidents, outbox, membership, settings | every completed call is kept |
//!
//! [`Store`] is a handle to two writer tasks, one per file, neither of which waits for the other.
//! Readers have their own connections and never wait for a writer, so they do not see what is not
//! written yet.
//!
//! A damaged file is renamed, never deleted, and the node continues with an empty one. A file
//! written by a newer version is refused and left untouched. Incidents written by an older version
//! are converted when they are read.

mod damaged;
mod database;
mod error;
mod fact;
mod history;
mod ledger;
mod maintenance;
mod record;
mod store;
mod timeline;
mod upgrade;
mod writer;

pub use error::StoreError;
pub use fact::{RecordedFact, UnknownFact};
pub use record::{FactInterval, FactValue, Sample, SeriesKey, SeriesKind, SeriesPoint};
pub use store::{OpenedStore, Store};
