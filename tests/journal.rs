//! The journal over a folder that loses what was not synced, over damaged files, and over a real folder.
//!
//! `ENCKE_JOURNAL_SEEDS=6000 cargo test --test journal` makes more runs than the few of a plain `cargo test`;
//! `ENCKE_JOURNAL_SEED=4711` makes one. Read first: `docs/durability.md`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::{env, fs};

use encke::journal::{Entry, Fresh, Target, Time, Trouble, backup, repair, verify};
use encke::limits::ERASE_WITHIN_MS;

#[allow(dead_code)]
mod disk;
#[path = "sim/rng.rs"]
#[allow(dead_code)]
mod rng;

use disk::hooked::Hooked;
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

#[test]
fn a_whole_folder_has_no_faults_and_a_damaged_one_is_told_by_place() {
    let folder = small::folder();
    let report = verify(&folder).expect("it can be read");
    assert_eq!((report.faults, report.faults_count, report.torn_bytes), (vec![], 0, 0));
    assert_eq!((report.entries, report.messages, report.records), (20, 16, 1));
    let contents = folder.contents();
    for (name, bytes) in contents.iter().filter(|(name, _)| !["ballast", "lock"].contains(&name.as_str())) {
        for (at, bit) in (0..bytes.len()).zip((0..8).cycle()) {
            let mut damaged = contents.clone();
            damaged.get_mut(name).expect("it is there")[at] ^= 1 << bit;
            let report = verify(&Folder::with(&damaged)).expect("it can be read");
            // Of a promise one slot is enough; between the two there is nothing.
            let is_spare = name == "promise";
            let is_seen = report.faults.iter().any(|fault| fault.file == *name) || report.torn_bytes > 0;
            assert!(is_seen || is_spare, "{name}, byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_repair_keeps_all_that_is_whole() {
    let contents = small::folder().contents();
    let (store, whole) = small::open(&Folder::with(&contents)).expect("it is whole");
    let (messages, _) = small::messages(&store);
    let mut kept_least = usize::MAX;
    for name in contents.keys().filter(|name| !["ballast", "lock"].contains(&name.as_str())) {
        for at in (0..contents[name].len()).step_by(3) {
            let mut damaged = contents.clone();
            damaged.get_mut(name).expect("it is there")[at] ^= 1;
            let into = Folder::new(2);
            let fresh = Fresh { epoch: 77, secret: [1; 16] };
            repair(&Folder::with(&damaged), &into, fresh).expect("it is done");
            assert_eq!(verify(&into).expect("it can be read").faults, [], "{name}, byte {at}");
            let (store, opened) = small::open(&into).expect("it is whole");
            let (found, has_failed) = small::messages(&store);
            assert!(!has_failed);
            for (seq, message) in &found {
                // What was taken back is known only with the checkpoint or the entry that says so.
                let is_told_again = *seq == 2 && message.1 == b"\"number 1\"";
                assert!(
                    messages.get(seq) == Some(message) || is_told_again,
                    "{name}, byte {at}: {message:?}"
                );
            }
            kept_least = kept_least.min(found.len());
            assert!(opened.head >= whole.head || opened.epoch == 77, "{name}, byte {at}: {opened:?}");
            assert_eq!(opened.epoch == 77, name == "meta", "{name}, byte {at}");
        }
    }
    assert!(kept_least >= 10, "of 16 messages {kept_least} are left");
    let full = Folder::with(&contents);
    assert!(repair(&small::folder(), &full, small::FRESH).is_err(), "a folder that is not empty");
    assert_eq!(full.contents(), contents);
}

/// The deletion happens before each of the reads that a backup makes, and is begun or done with the erasing.
#[test]
fn a_message_deleted_during_a_backup_is_deleted_in_it() {
    let secret = "\"number 4\"";
    let (mut moments, mut in_time) = (0, 0);
    for erases in [false, true] {
        for moment in 1.. {
            let folder = small::folder();
            let (mut store, _) = small::open(&folder).expect("it is whole");
            let (messages, _) = small::messages(&store);
            let seq = *messages.iter().find(|(_, one)| one.1 == secret.as_bytes()).expect("it is there").0;
            let hook = move |number| {
                if number == moment {
                    let (target, data) = (Target::Number(seq), &b"null"[..]);
                    small::publish(&mut store, 500, &[Entry::Redaction { channel: "lobby", target, data }]);
                    if erases {
                        let time = Time { now: ERASE_WITHIN_MS, ..small::TIME };
                        while store.tend(time) == 0 {}
                    }
                }
            };
            let from = Hooked::new(folder.clone(), Box::new(hook));
            let into = Hooked::new(Folder::new(5), Box::new(|_| {}));
            backup(&from, &into, 99).expect("it is made");
            if from.reads() < moment {
                break;
            }
            moments += 1;
            let (mut copy, opened) = small::open(&into.folder).expect("it is whole");
            assert_eq!((opened.epoch, opened.lost), (99, None));
            let (messages, has_failed) = small::messages(&copy);
            assert!(!has_failed && messages.len() >= 16, "moment {moment}: {messages:?}");
            // A deletion that the backup is older than is not in it.
            let is_deleted = messages[&seq].1 == b"null";
            let has_entry = opened.head > 20;
            in_time += i32::from(has_entry);
            assert_eq!(is_deleted, has_entry, "moment {moment}");
            while copy.tend(Time { now: 2 * ERASE_WITHIN_MS, ..small::TIME }) == 0 {}
            let has_text =
                |bytes: &Vec<u8>| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert_eq!(into.folder.contents().values().any(has_text), !has_entry, "moment {moment}");
        }
    }
    assert!(in_time > 20 && moments > in_time, "{in_time} of {moments}");
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
