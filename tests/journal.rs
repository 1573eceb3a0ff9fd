//! The journal over a folder that loses what was not synced, over damaged files, and over a real folder.
//!
//! `ENCKE_JOURNAL_SEEDS=6000 cargo test --test journal` makes more runs than the few of a plain `cargo test`;
//! `ENCKE_JOURNAL_SEED=4711` makes one. Read first: `docs/durability.md`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::{env, fs};

use encke::journal::Trouble;

#[allow(dead_code)]
mod disk;
#[path = "sim/rng.rs"]
#[allow(dead_code)]
mod rng;

use disk::model::Model;
use disk::{Folder, small};

/// Doings of one run.
const DOINGS: usize = 120;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn seeds(default: u64) -> RangeInclusive<u64> {
    match number("ENCKE_JOURNAL_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("ENCKE_JOURNAL_SEEDS").unwrap_or(default),
    }
}

#[test]
fn what_was_acknowledged_is_there_after_every_crash() {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds(150) {
        let mut model = Model::new(seed);
        model.run(DOINGS);
        for (what, times) in model.seen {
            *seen.entry(what).or_default() += times;
        }
    }
    println!("{seen:?}");
    if number("ENCKE_JOURNAL_SEED").is_none() {
        let all = [
            "told",
            "repeated",
            "conflict",
            "full",
            "busy",
            "read-only",
            "unknown",
            "unknown is there",
            "worked",
            "lost power",
            "killed",
            "lost",
            "died at start",
            "erased",
        ];
        for what in all {
            assert!(seen.contains_key(what), "{what} never happened: {seen:?}");
        }
    }
}

#[test]
fn a_flipped_byte_is_a_cut_tail_or_a_refusal_and_never_wrong_data() {
    let contents = small::folder().contents();
    let (store, whole) = small::open(&Folder::with(&contents)).expect("it is whole");
    let (messages, has_failed) = small::messages(&store);
    assert!(!has_failed && messages.len() == 16, "{messages:?}");
    let (mut refused, mut cut, mut unread) = (0, 0, 0);
    for (name, bytes) in contents.iter().filter(|(name, _)| *name != "ballast" && *name != "lock") {
        for (at, bit) in (0..bytes.len()).zip((0..8).cycle()) {
            let mut damaged = contents.clone();
            damaged.get_mut(name).expect("it is there")[at] ^= 1 << bit;
            let Ok((store, opened)) = small::open(&Folder::with(&damaged)) else {
                refused += 1;
                continue;
            };
            let (found, has_failed) = small::messages(&store);
            for (seq, message) in &found {
                assert_eq!(messages.get(seq), Some(message), "{name}, byte {at}");
            }
            let lost = messages.keys().filter(|seq| !found.contains_key(seq));
            // What a reader is not given is the end of the log, which the start says to have cut, or a page
            // that says that it failed.
            let last = found.keys().next_back().copied().unwrap_or(0);
            let is_told = |seq: &u64| has_failed || (opened.cut.is_some() && *seq > last);
            assert!(
                lost.clone().all(is_told),
                "{name}, byte {at}: {:?} are missing",
                lost.collect::<Vec<_>>()
            );
            assert!(opened.cut.is_some() || opened.records == whole.records, "{name}, byte {at}");
            assert!(opened.head >= whole.head || opened.cut.is_some(), "{name}, byte {at}");
            cut += u32::from(opened.cut.is_some());
            unread += u32::from(has_failed);
        }
    }
    println!("refused {refused}, cut {cut}, pages that failed {unread}");
    assert!(refused > 300 && cut > 50 && unread > 300);
}

#[test]
fn a_damaged_record_below_the_synced_part_is_refused_with_its_place() {
    let mut contents = small::folder().contents();
    let name = contents.keys().rfind(|name| name.starts_with("log/")).expect("a segment").clone();
    contents.get_mut(&name).expect("it is there")[70] ^= 1;
    match small::open(&Folder::with(&contents)) {
        Err(Trouble::Damaged { file, at, .. }) => assert_eq!((file, at), (name, 64)),
        other => panic!("{:?}", other.map(|(_, opened)| opened)),
    }
}

#[test]
fn a_segment_that_is_missing_is_refused() {
    let contents = small::folder().contents();
    let names: Vec<&String> = contents.keys().filter(|name| name.starts_with("log/")).collect();
    assert!(names.len() > 3);
    let mut lacking = contents.clone();
    lacking.remove(names[1]);
    let refused = small::open(&Folder::with(&lacking));
    assert!(matches!(&refused, Err(Trouble::Damaged { file, .. }) if file == names[1]));
    // The oldest may have been dropped.
    let mut lacking = contents.clone();
    lacking.remove(names[0]);
    assert!(small::open(&Folder::with(&lacking)).is_ok());
}

#[test]
fn two_programs_do_not_share_a_folder() {
    let folder = small::folder();
    let (store, _) = small::open(&folder).expect("it is free");
    assert!(matches!(small::open(&folder), Err(Trouble::Locked)));
    drop(store);
    assert!(small::open(&folder).is_ok());
}

/// The bytes of a log, file by file. What was written by an earlier version must be read by this one;
/// `ENCKE_GOLDEN=write` writes them anew when the format is changed, which needs another number of it.
#[test]
fn the_format_is_what_it_was() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal");
    let contents = small::folder().contents();
    if env::var("ENCKE_GOLDEN").is_ok_and(|what| what == "write") {
        for (name, bytes) in &contents {
            let path = golden.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, bytes).expect("written");
        }
    }
    let mut kept = BTreeMap::new();
    for (name, bytes) in &contents {
        let old = fs::read(golden.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(old, *bytes, "{name} is spelled in another way");
        kept.insert(name.clone(), old);
    }
    let (store, opened) = small::open(&Folder::with(&kept)).expect("it is whole");
    let (messages, _) = small::messages(&store);
    assert_eq!(opened.records, [("name/ann".into(), b"secret".to_vec().into(), 13)]);
    assert_eq!(opened.present, [("lobby".into(), "ann".into())]);
    assert_eq!(messages[&2], ("lobby".to_owned(), b"null".to_vec()), "it was taken back");
    assert_eq!(messages[&11], ("@ann".to_owned(), b"{\"re\":\"0badcafe-10\"}".to_vec()));
}
