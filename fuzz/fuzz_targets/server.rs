//! Fuzzes the whole server and its chat; the check is in `tests/fuzzed/server.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::server(input));
