//! Fuzzes an outbox against a queue of bytes; the check is in `tests/fuzzed/reactor.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::outbox(input));
