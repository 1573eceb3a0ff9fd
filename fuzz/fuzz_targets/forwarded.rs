//! Fuzzes forwarded addresses and networks; the check is in `tests/fuzzed/peers.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::forwarded(input));
