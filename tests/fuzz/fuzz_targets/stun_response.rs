#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| sentinel_checks::fuzz::stun_response(input.1, input.0));
