//! Fuzzes queries and sids; the check is in `tests/fuzzed/peers.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::params(input));
