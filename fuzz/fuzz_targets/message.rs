//! Fuzzes messages as they are told; the check is in `tests/fuzzed/hub.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::message(input));
