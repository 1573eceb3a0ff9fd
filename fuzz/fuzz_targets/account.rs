//! Fuzzes the memory account; the check is in `tests/fuzzed/account.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::account(input));
