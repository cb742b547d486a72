//! What a node remembers: measurements in `history.db`, incidents and what people were told of them in `ledger.db`.
//!
//! [`Store`] is a handle to one writer task that owns both files. Measurements are gathered for a moment and written
//! together, and a crash may cost the last two seconds of them. Everything in the ledger is on the disk before the call
//! that wrote it returns. Readers have connections of their own and never wait for the writer.
//!
//! A file that is damaged is set aside under another name, never deleted, and the node goes on with an empty one. A file
//! that a newer version wrote is refused and left as it is.

mod database;
mod error;
mod history;
mod ledger;
mod maintenance;
mod record;
mod store;
mod upgrade;
mod writer;

pub use error::StoreError;
pub use record::{Interval, Point, Sample, SeriesKey, SeriesKind, Span};
pub use store::{Opened, Store};
