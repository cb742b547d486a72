//! The local time zone, for the times in sentences.

use jiff::tz::TimeZone;
use sentinel_model::{Timestamp, UtcOffset};

/// Returns the machine's offset from UTC at a time; zero if the system does not report a time zone.
pub(crate) fn utc_offset(at: Timestamp) -> UtcOffset {
    jiff::Timestamp::from_millisecond(at.0)
        .map(|at| UtcOffset(TimeZone::system().to_offset(at).seconds()))
        .unwrap_or_default()
}
