//! Fuzzes the timer wheel against a plain list; the check is in `tests/fuzzed/reactor.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::wheel(input));
