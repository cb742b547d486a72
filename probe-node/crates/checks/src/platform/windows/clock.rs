//! Windows' interrupt time, which runs on while the machine sleeps, and its unbiased twin, which does not.

use sentinel_model::Millis;
use windows_sys::Win32::System::WindowsProgramming::{QueryInterruptTimePrecise, QueryUnbiasedInterruptTime};

/// Both count in steps of 100 ns.
const STEPS_PER_MILLI: u64 = 10_000;

/// Since the machine started, sleep included.
#[allow(unsafe_code)]
pub(crate) fn since_boot() -> Millis {
    let mut steps = 0;
    // SAFETY: the function writes one u64 to where it is pointed, which is valid for the call.
    unsafe { QueryInterruptTimePrecise(&raw mut steps) };
    Millis(steps / STEPS_PER_MILLI)
}

/// Since the machine started, sleep left out.
#[allow(unsafe_code)]
pub(crate) fn awake() -> Millis {
    let mut steps = 0;
    // SAFETY: the function writes one u64 to where it is pointed, which is valid for the call. It fails for a null
    // pointer only.
    unsafe { QueryUnbiasedInterruptTime(&raw mut steps) };
    Millis(steps / STEPS_PER_MILLI)
}
