#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| sentinel_checks::fuzz::netlink(input));
