//! Fuzzes the bytes of the journal's entries; the check is in `tests/fuzzed/journal.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::journal_entry(input));
