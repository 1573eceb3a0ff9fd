//! Fuzzes response heads; the check is in `tests/fuzzed/http.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::response(input));
