//! Fuzzes frame headers and masks; the check is in `tests/fuzzed/ws.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::ws_frames(input));
