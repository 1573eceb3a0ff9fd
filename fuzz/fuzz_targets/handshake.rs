//! Fuzzes the opening handshake of a WebSocket; the check is in `tests/fuzzed/http.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::handshake(input));
