//! Fuzzes one connection, its bytes cut anywhere; the check is in `tests/fuzzed/server.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::session_split(input));
