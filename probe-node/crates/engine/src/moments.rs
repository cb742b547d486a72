//! Arithmetic on instants that are kept on both clocks.

use sentinel_model::{Millis, Moment, Monotonic, Timestamp};

/// Returns the instant `age` before `now`, no earlier than the start of each clock.
pub(crate) fn moment_before(now: Moment, age: Millis) -> Moment {
    let wall = i64::try_from(age.0).unwrap_or(i64::MAX);
    Moment {
        boot: Monotonic(now.boot.0.saturating_sub(age.0)),
        wall: Timestamp(now.wall.0.saturating_sub(wall)),
    }
}
