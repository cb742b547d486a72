//! Storing without waiting: the loop hands changes over, tasks of their own write them.
//!
//! 1. [`LedgerWriter`] takes incidents, notices and settings, keeps them in memory until the ledger
//!    has them, tries again when that fails, and shows what is not stored yet.
//! 2. [`Outbox`] offers notices to channels, from the ledger and from memory.
//! 3. [`HistoryWriter`] takes measurements, which may be dropped when the disk does not keep up.

mod change;
mod history_writer;
mod ledger_writer;
mod outbox;
mod shared;
mod unstored;
mod write_task;

pub use change::NoticeId;
pub(crate) use change::{LedgerChange, Setting};
pub(crate) use history_writer::HistoryWriter;
pub(crate) use ledger_writer::LedgerWriter;
pub(crate) use outbox::Outbox;
