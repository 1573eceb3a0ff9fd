//! Fuzzes how metadata is taken out of pictures; the check is in `tests/fuzzed/chat.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::picture_strip(input));
