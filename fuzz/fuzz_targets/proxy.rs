//! Fuzzes well-formed messages in any fragments; the check is in `tests/fuzzed/ws.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::proxy(input));
