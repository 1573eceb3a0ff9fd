//! Fuzzes one compressor over many messages; the check is in `tests/fuzzed/deflate.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::deflate_long(input));
