//! The bytes of the journal's entries, and segments that are whole by their checksums and wild in all else.

use encke::journal::segment::{HEADER_BYTES, Head, Header, Holds, Trailer};
use encke::journal::{Batch, Entry, Offence, Options, Read, Store, Sync, Ticket, verify};

use super::Choices;
use super::disk::{Folder, small};

/// Records of one segment.
const RECORDS_MAX: usize = 64;

/// One entry, and a batch of entries behind their lengths: what is read is written in the same bytes.
pub fn journal_entry(input: &[u8]) {
    if let Ok(entry) = Entry::parse(input) {
        let mut bytes = Vec::new();
        entry.emit(&mut bytes).expect("it was read");
        assert_eq!(bytes, input, "{entry:?} has two spellings");
    }
    let Some((&count, bytes)) = input.split_first() else { return };
    if let Ok(batch) = Batch::parse(bytes, count.into()) {
        assert_eq!((batch.bytes(), batch.entries().count()), (bytes, usize::from(count)));
        let entries: Vec<Entry<'_>> = batch.entries().collect();
        assert_eq!(Batch::emit(&entries), Ok(batch.clone()));
        assert_eq!(Batch::parse(bytes, u16::from(count) + 1), Err(Offence::Count));
    }
}

/// The segment of a new log, made of what the input chooses: it is opened, or refused with a place in it.
pub fn journal_segment(input: &[u8]) {
    let mut choices = Choices::new(input);
    let folder = Folder::new(1);
    drop(Store::open(folder.clone(), options(), small::FRESH, small::TIME).expect("a new folder"));
    let mut contents = folder.contents();
    let name = contents.keys().find(|name| name.starts_with("log/")).expect("a segment").clone();
    let segment = contents.get_mut(&name).expect("it is there");
    let (header, check) = Header::parse(segment).expect("it is whole");
    put_records(&mut choices, &header, check, segment);
    let len = segment.len() as u64;

    let folder = Folder::with(&contents);
    let report = verify(&folder).expect("it can be read");
    let Ok((store, opened)) = Store::open(folder.clone(), options(), small::FRESH, small::TIME) else {
        assert!(report.faults_count > 0, "refused, but nothing is wrong: {report:?}");
        return;
    };
    if let Some(cut) = &opened.cut {
        assert!(cut.file == name && cut.at >= HEADER_BYTES as u64 && cut.at + cut.bytes == len, "{cut:?}");
    }
    let found = read(&store);
    assert!(found.iter().all(|(seq, _)| *seq <= opened.head));
    drop(store);
    let (store, again) = Store::open(folder, options(), small::FRESH, small::TIME).expect("it opened before");
    assert_eq!((again.head, &again.records, &again.cut), (opened.head, &opened.records, &None));
    assert_eq!(read(&store), found);
}

fn options() -> Options {
    Options { sync: Sync::Commit, ballast_bytes: 0, ..Options::default() }
}

fn put_records(choices: &mut Choices<'_>, header: &Header, mut previous: u32, out: &mut Vec<u8>) {
    let mut first = header.first;
    for _ in 0..RECORDS_MAX {
        if choices.is_empty() {
            return;
        }
        let at = out.len();
        let what = choices.below(8);
        let holds = match what {
            0..=4 => Holds::Batch,
            5 => Holds::Index,
            6 => Holds::Keys,
            _ => {
                // The end, or bytes that are nothing.
                let trailer = Trailer {
                    index: choices.below(1 << 16) as u32,
                    keys: choices.below(1 << 16) as u32,
                    last: first - 1,
                    oldest: 0,
                    newest: choices.byte().into(),
                    messages: 0,
                    previous,
                };
                if choices.byte().is_multiple_of(2) {
                    out.extend(trailer.emit(header.salt));
                }
                out.extend(choices.bytes());
                continue;
            }
        };
        first += if what == 4 { u64::from(choices.byte()) } else { 0 };
        let synced = if choices.byte() == 0 { 64 } else { choices.below(1 << 16) as u32 };
        let count = u16::from(choices.byte());
        let clock = choices.byte().into();
        let head = Head { holds, previous, first, count, wall: 0, clock, synced, len: 0, body: 0, check: 0 };
        previous = head.emit(header.salt, choices.bytes(), out);
        if what == 3 {
            // Damaged after all.
            let byte = at + choices.below(out.len() - at);
            out[byte] ^= choices.byte();
        }
        first += u64::from(if holds == Holds::Batch { count } else { 0 });
    }
}

/// Number and bytes of the messages of two channels.
fn read(store: &Store<Folder>) -> Vec<(u64, Box<[u8]>)> {
    let mut all = Vec::new();
    for channel in ["a", "@b"] {
        for newest in [false, true] {
            let read = Read { channel: channel.into(), after: 0, before: u64::MAX, newest, limit: 9 };
            let page = store.read(&read, Ticket(1));
            assert!(!page.failed && page.messages.len() <= 9);
            all.extend(page.messages.into_iter().map(|found| (found.seq, found.entry)));
        }
    }
    all
}
