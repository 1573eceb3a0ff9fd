//! A small log with one of everything, the same at each run: for damage, and for the files in `tests/golden`.

use std::collections::BTreeMap;

use encke::journal::{
    Batch, Data, Entry, Expect, Fresh, Link, Opened, Options, Outcome, Presence, Proposal, Read, Store, Sync,
    Target, Ticket, Time, Trouble,
};

use super::Folder;

pub const CHANNELS: [&str; 3] = ["lobby", "@ann", "@bob"];
pub const FRESH: Fresh = Fresh { epoch: 0x0bad_cafe, secret: [7; 16] };
pub const TIME: Time = Time { now: 0, wall: 1_800_000_000_000 };

/// All messages, by number: channel and data.
pub type Messages = BTreeMap<u64, (String, Vec<u8>)>;

pub fn options() -> Options {
    Options {
        sync: Sync::Commit,
        segment_bytes: 500,
        promise_numbers: 8,
        ballast_bytes: 64,
        ..Options::default()
    }
}

pub fn open(folder: &Folder) -> Result<(Store<Folder>, Opened), Trouble> {
    Store::open(folder.clone(), options(), FRESH, TIME)
}

/// Publishes a batch, which must be taken. Its first number.
pub fn publish(store: &mut Store<Folder>, now: u64, entries: &[Entry<'_>]) -> u64 {
    let batch = Batch::emit(entries).expect("a batch");
    let time = Time { now, wall: TIME.wall + now };
    let settled = store.append(vec![Proposal { batch, ticket: None }], time);
    let Outcome::Committed(first) = settled[0].outcome else { panic!("{settled:?}") };
    while store.tend(time) == 0 {}
    first
}

fn message<'a>(channel: &'a str, text: &'a str) -> Entry<'a> {
    let data = Data::Json(text.as_bytes());
    let is_kept = channel.starts_with('@');
    Entry::Message { channel, from: Some("ann"), key: None, data, is_kept, link: None }
}

/// A folder with three sealed segments and one that is written.
pub fn folder() -> Folder {
    let folder = Folder::new(1);
    let (mut store, _) = open(&folder).expect("a new folder");
    let text: Vec<String> = (0..12).map(|n| format!("\"number {n}\"")).collect();
    for (n, text) in text.iter().enumerate().take(9) {
        publish(&mut store, n as u64 * 10, &[message("lobby", text)]);
    }
    let link = Some(Link { at: 7, to: Target::Place(0) });
    let data = Data::Json(b"{\"re\":\"\"}");
    let copy = Entry::Message { channel: "@ann", from: Some("ann"), key: None, data, is_kept: true, link };
    publish(&mut store, 100, &[message("@bob", "\"private\""), copy]);
    let keyed = Entry::Message {
        channel: "lobby",
        from: None,
        key: Some([5; 16]),
        data: Data::Base64("AAAA"),
        is_kept: false,
        link: None,
    };
    publish(&mut store, 110, &[keyed]);
    let value = Some(&b"secret"[..]);
    publish(&mut store, 120, &[Entry::Record { key: "name/ann", value, expect: Expect::Absent }]);
    publish(&mut store, 130, &[Entry::Presence { channel: "lobby", user: "ann", what: Presence::Join }]);
    let target = Target::Number(2);
    publish(&mut store, 140, &[Entry::Redaction { channel: "lobby", target, data: b"null" }]);
    publish(&mut store, 150, &[Entry::Blob { name: "picture", hash: [3; 32], bytes: 512 }]);
    publish(&mut store, 160, &[message("lobby", &text[9])]);
    publish(&mut store, 170, &[message("lobby", &text[10])]);
    publish(&mut store, 180, &[message("lobby", &text[11])]);
    publish(&mut store, 190, &[message("lobby", "\"the last\"")]);
    folder
}

/// Everything that is read back, and whether a page failed.
pub fn messages(store: &Store<Folder>) -> (Messages, bool) {
    let (mut all, mut has_failed) = (BTreeMap::new(), false);
    for channel in CHANNELS {
        let mut after = 0;
        loop {
            let read = Read { channel: channel.into(), after, before: u64::MAX, newest: false, limit: 4 };
            let page = store.read(&read, Ticket(1));
            has_failed |= page.failed;
            for found in page.messages {
                after = found.seq;
                let Ok(Entry::Message { channel, data, link, .. }) = Entry::parse(&found.entry) else {
                    continue;
                };
                let data = data.as_bytes();
                let filled = link.map(|link| link.fill(data, found.first, |seq| format!("0badcafe-{seq}")));
                all.insert(found.seq, (channel.to_owned(), filled.unwrap_or_else(|| data.to_vec())));
            }
            if !page.more {
                break;
            }
        }
    }
    (all, has_failed)
}
