//! Fuzzes segments of the journal, opened and read; the check is in `tests/fuzzed/journal.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::journal_segment(input));
