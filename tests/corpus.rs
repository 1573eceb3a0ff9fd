//! Replays every file of `fuzz/corpus`: what the fuzzers found once, and the seeds they begin with, are looked
//! at by each run of the tests, on stable. How to find more is in `docs/fuzzing.md`.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

mod fuzzed;

fn entries(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).and_then(|all| all.map(|entry| Ok(entry?.path())).collect());
    let mut all: Vec<PathBuf> = all.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    all.sort();
    all
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &str) -> BTreeSet<String> {
    let stem = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    entries(&fuzz().join(folder)).iter().map(stem).collect()
}

#[test]
fn every_file_of_the_corpus_passes() {
    let mut broken = Vec::new();
    for (target, check) in fuzzed::TARGETS {
        for path in entries(&fuzz().join("corpus").join(target)) {
            let input = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if panic::catch_unwind(AssertUnwindSafe(|| check(&input))).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "these fail: {broken:#?}");
}

/// A check that nobody fuzzes, or seeds that nobody replays, would look like one more thing that is tested.
#[test]
fn checks_targets_and_seeds_are_the_same() {
    let checks: BTreeSet<String> = fuzzed::TARGETS.iter().map(|(name, _)| (*name).to_string()).collect();
    assert_eq!(names("fuzz_targets"), checks);
    assert_eq!(names("corpus"), checks);
    assert!(names("dictionaries").is_subset(&checks));
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("the manifest");
    for name in checks {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
    }
}

#[test]
fn the_hub_keeps_its_promise_under_many_seeds() {
    for seed in 1..=30 {
        fuzzed::hub(&random(seed, 4_000));
    }
}

/// The checks that take any choices, with choices at random: a first look without a fuzzer.
#[test]
fn random_choices_pass() {
    let checks: [fuzzed::Check; 5] =
        [fuzzed::ws_talk, fuzzed::outbox, fuzzed::wheel, fuzzed::response, fuzzed::message];
    for seed in 1..=100 {
        let input = random(seed, 300);
        checks.iter().for_each(|check| check(&input));
    }
}

/// xorshift64*: the same bytes for the same seed everywhere.
fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as u8
    };
    (0..len).map(|_| byte()).collect()
}
