#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| sentinel_checks::fuzz::far_ends(input));
