//! Fuzzes canonical JSON; the check is in `tests/fuzzed/text.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::json(input));
