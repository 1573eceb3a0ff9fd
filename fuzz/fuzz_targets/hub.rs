//! Fuzzes channels and readers against a plain list; the check is in `tests/fuzzed/hub.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::hub(input));
