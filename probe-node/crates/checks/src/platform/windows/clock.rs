//! The interrupt time of Windows, which continues while the machine sleeps, and the unbiased one,
//! which does not.

use sentinel_model::Millis;
use windows_sys::Win32::System::WindowsProgramming::{QueryInterruptTimePrecise, QueryUnbiasedInterruptTime};

/// Both clocks count in steps of 100 ns.
const STEPS_PER_MILLI: u64 = 10_000;

/// Returns the time since the machine booted, including sleep.
#[allow(unsafe_code)]
pub(crate) fn since_boot() -> Millis {
    let mut steps = 0;
    // SAFETY: the function writes one u64 to the pointer, which is valid during the call.
    unsafe { QueryInterruptTimePrecise(&raw mut steps) };
    Millis(steps / STEPS_PER_MILLI)
}

/// Returns the time since the machine booted, excluding sleep.
#[allow(unsafe_code)]
pub(crate) fn awake() -> Millis {
    let mut steps = 0;
    // SAFETY: the function writes one u64 to the pointer, which is valid during the call. It fails
    // only for a null pointer.
    unsafe { QueryUnbiasedInterruptTime(&raw mut steps) };
    Millis(steps / STEPS_PER_MILLI)
}
