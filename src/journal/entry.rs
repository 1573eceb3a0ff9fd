//! An entry of the log, and a batch of them: as values, and as the bytes that are kept.
//!
//! It knows no file, no channel table and no client. `parse` and `emit` are twins: what one writes the other
//! reads, there is one spelling for each value, and bytes that are anything else are refused. Lengths are
//! checked in both directions, so that nothing is written that could not be read back.
//!
//! ```text
//!   batch   length ┬ entry ┬ length ┬ entry …          all of them or none, numbers that follow each other
//!                  │       │
//!   entry   kind u8 │ flags u8 │ the fields of that kind, in the order in which they are declared
//!
//!   flags of a message   1 has an author   2 has a key   4 is base64   8 is kept   16 names another entry
//! ```
//!
//! An entry may need the number of another entry of its batch before any of them has one: the copy of a
//! private message tells the id of the message. So it holds a [`Link`], the place in its data where an id is
//! missing, and [`Link::fill`] writes the id when the entry is applied.

use std::ops::Range;
use std::sync::Arc;

use super::bytes::{Put, Take, length};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, CHANNEL_NAME_BYTES_MAX, ENTRY_DATA_BYTES_MAX, ENTRY_NAME_BYTES_MAX,
    RECORD_KEY_BYTES_MAX, RECORD_VALUE_BYTES_MAX, REDACTION_BYTES_MAX,
};

/// The hash of an idempotency key in its channel and scope, as the hub makes it.
pub type Digest = [u8; 16];

/// What is proposed, numbered, kept and applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Somebody published to a channel.
    Message {
        /// The channel.
        channel: &'a str,
        /// Its author's name, if it has one.
        from: Option<&'a str>,
        /// The hash of the key under which it was published.
        key: Option<Digest>,
        /// What it says.
        data: Data<'a>,
        /// It waits for its reader: retention by count and size of the log does not drop it.
        is_kept: bool,
        /// Where its data lacks the id of another entry.
        link: Option<Link>,
    },
    /// A user came or went.
    Presence {
        /// The channel.
        channel: &'a str,
        /// The user.
        user: &'a str,
        /// What the user did.
        what: Presence,
    },
    /// A value of the application is set or cleared.
    Record {
        /// Its key, 1 to 256 bytes.
        key: &'a str,
        /// Its value, 4 KiB at most; none clears it.
        value: Option<&'a [u8]>,
        /// What the record must be for this entry to enter the log.
        expect: Expect,
    },
    /// A message gets other data, also on disk.
    Redaction {
        /// The message's channel.
        channel: &'a str,
        /// Which message.
        target: Target,
        /// Canonical JSON that stands in its place.
        data: &'a [u8],
    },
    /// All that a channel kept before is gone, also from disk.
    Clear {
        /// The channel.
        channel: &'a str,
    },
    /// A larger value that is kept in a file of its own and is named from now on.
    Blob {
        /// Its public name, random.
        name: &'a str,
        /// The hash of its bytes, under which its file is found.
        hash: [u8; 32],
        /// How long it is.
        bytes: u64,
    },
    /// Nothing: an entry that was here has been erased. Its number stays taken.
    Hole,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Canonical JSON.
    Json(&'a [u8]),
    /// Bytes that are no text, in base64.
    Base64(&'a str),
}

/// What a user did in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The user's first reader came.
    Join,
    /// The user's last reader is gone.
    Leave,
    /// The user is there but does not look.
    Away,
    /// The user looks again.
    Back,
}

/// A condition on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// None: whatever it is.
    Any,
    /// There is no such record.
    Absent,
    /// It was last set by the entry with this number.
    Version(u64),
}

/// Which entry is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One that is in the log: its number.
    Number(u64),
    /// One of the same batch: its place, from 0.
    Place(u16),
}

/// A place in a message's data where the id of another entry is written when the message is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Bytes of the data that stand before the id.
    pub at: u32,
    /// Whose id.
    pub to: Target,
}

/// An entry that does not fit into the log, or bytes that are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A name, a key, data or the batch is longer than it may be, or a name that may not be empty is.
    Length,
    /// More entries than a batch may have, or none.
    Count,
    /// A place that is not one of the batch's, or beyond the data.
    Target,
    /// Bytes that no entry is spelled as.
    Spelling,
}

impl Target {
    /// The number that is meant, in a batch whose first entry has the number `first`.
    #[must_use]
    pub fn number(self, first: u64) -> u64 {
        match self {
            Target::Number(seq) => seq,
            Target::Place(place) => first + u64::from(place),
        }
    }

    fn emit(self, out: &mut Vec<u8>) {
        match self {
            Target::Number(seq) => {
                out.put_u8(0);
                out.put_u64(seq);
            }
            Target::Place(place) => {
                out.put_u8(1);
                out.put_u16(place);
            }
        }
    }

    fn parse(take: &mut Take<'_>) -> Option<Target> {
        match take.u8()? {
            0 => take.u64().map(Target::Number),
            1 => take.u16().map(Target::Place),
            _ => None,
        }
    }
}

impl Link {
    /// `data` with the id in its place. `first` is the number of the batch's first entry, `id` spells an id.
    #[must_use]
    pub fn fill(self, data: &[u8], first: u64, id: impl FnOnce(u64) -> String) -> Vec<u8> {
        let (before, after) = data.split_at((self.at as usize).min(data.len()));
        [before, id(self.to.number(first)).as_bytes(), after].concat()
    }
}

const MESSAGE: u8 = 1;
const PRESENCE: u8 = 2;
const RECORD: u8 = 3;
const REDACTION: u8 = 4;
const CLEAR: u8 = 5;
const BLOB: u8 = 6;
const HOLE: u8 = 7;

const HAS_AUTHOR: u8 = 1;
const HAS_KEY: u8 = 2;
const IS_BASE64: u8 = 4;
const IS_KEPT: u8 = 8;
const HAS_LINK: u8 = 16;

impl<'a> Entry<'a> {
    /// Appends the entry's bytes. One that does not fit leaves `out` as it was.
    ///
    /// # Errors
    /// A name or a value is too long.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), Offence> {
        self.check()?;
        match *self {
            Entry::Message { .. } => self.emit_message(out),
            Entry::Presence { channel, user, what } => {
                out.put(&[PRESENCE, what as u8]);
                out.put_text(channel);
                out.put_text(user);
            }
            Entry::Record { key, value, expect } => {
                let (code, version) = match expect {
                    Expect::Any => (0, None),
                    Expect::Absent => (1, None),
                    Expect::Version(seq) => (2, Some(seq)),
                };
                out.put(&[RECORD, code << 1 | u8::from(value.is_some())]);
                out.put_text(key);
                version.into_iter().for_each(|seq| out.put_u64(seq));
                value.into_iter().for_each(|value| out.put_value(value));
            }
            Entry::Redaction { channel, target, data } => {
                out.put(&[REDACTION, 0]);
                out.put_text(channel);
                target.emit(out);
                out.put_value(data);
            }
            Entry::Clear { channel } => {
                out.put(&[CLEAR, 0]);
                out.put_text(channel);
            }
            Entry::Blob { name, hash, bytes } => {
                out.put(&[BLOB, 0]);
                out.put_text(name);
                out.put(&hash);
                out.put_u64(bytes);
            }
            Entry::Hole => out.put(&[HOLE, 0]),
        }
        Ok(())
    }

    fn emit_message(&self, out: &mut Vec<u8>) {
        let Entry::Message { channel, from, key, data, is_kept, link } = *self else { return };
        let (is_base64, data) = match data {
            Data::Json(json) => (false, json),
            Data::Base64(text) => (true, text.as_bytes()),
        };
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let flags = flag(from.is_some(), HAS_AUTHOR)
            | flag(key.is_some(), HAS_KEY)
            | flag(is_base64, IS_BASE64)
            | flag(is_kept, IS_KEPT)
            | flag(link.is_some(), HAS_LINK);
        out.put(&[MESSAGE, flags]);
        out.put_text(channel);
        from.into_iter().for_each(|from| out.put_text(from));
        key.into_iter().for_each(|key| out.put(&key));
        if let Some(link) = link {
            out.put_u32(link.at);
            link.to.emit(out);
        }
        out.put_value(data);
    }

    /// Reads the whole of `bytes` as one entry.
    ///
    /// # Errors
    /// They are no entry, or one that may not be in a log.
    pub fn parse(bytes: &'a [u8]) -> Result<Entry<'a>, Offence> {
        let mut take = Take(bytes);
        let entry = Entry::take(&mut take).filter(|_| take.is_empty()).ok_or(Offence::Spelling)?;
        entry.check()?;
        Ok(entry)
    }

    fn take(take: &mut Take<'a>) -> Option<Entry<'a>> {
        let [kind, flags] = take.array()?;
        if flags != 0 && !matches!(kind, MESSAGE | PRESENCE | RECORD) {
            return None;
        }
        Some(match kind {
            MESSAGE => return Entry::take_message(flags, take),
            PRESENCE => {
                let all = [Presence::Join, Presence::Leave, Presence::Away, Presence::Back];
                let what = *all.get(usize::from(flags))?;
                Entry::Presence { channel: take.text()?, user: take.text()?, what }
            }
            RECORD => {
                let key = take.text()?;
                let expect = match flags >> 1 {
                    0 => Expect::Any,
                    1 => Expect::Absent,
                    2 => Expect::Version(take.u64()?),
                    _ => return None,
                };
                let value = if flags & 1 == 1 { Some(take.value()?) } else { None };
                Entry::Record { key, value, expect }
            }
            REDACTION => {
                let (channel, target) = (take.text()?, Target::parse(take)?);
                Entry::Redaction { channel, target, data: take.value()? }
            }
            CLEAR => Entry::Clear { channel: take.text()? },
            BLOB => Entry::Blob { name: take.text()?, hash: take.array()?, bytes: take.u64()? },
            HOLE => Entry::Hole,
            _ => return None,
        })
    }

    fn take_message(flags: u8, take: &mut Take<'a>) -> Option<Entry<'a>> {
        if flags >= HAS_LINK << 1 {
            return None;
        }
        let has = |flag: u8| flags & flag != 0;
        let channel = take.text()?;
        let from = if has(HAS_AUTHOR) { Some(take.text()?) } else { None };
        let key = if has(HAS_KEY) { Some(take.array()?) } else { None };
        let link =
            if has(HAS_LINK) { Some(Link { at: take.u32()?, to: Target::parse(take)? }) } else { None };
        let value = take.value()?;
        let data =
            if has(IS_BASE64) { Data::Base64(std::str::from_utf8(value).ok()?) } else { Data::Json(value) };
        Some(Entry::Message { channel, from, key, data, is_kept: has(IS_KEPT), link })
    }

    /// Whether every part is within its bounds.
    fn check(&self) -> Result<(), Offence> {
        let name = |text: &str| within(text.len(), 1..ENTRY_NAME_BYTES_MAX + 1);
        let channel = |text: &str| within(text.len(), 1..CHANNEL_NAME_BYTES_MAX + 1);
        match *self {
            Entry::Message { channel: ch, from, data, link, .. } => {
                channel(ch)?;
                from.map_or(Ok(()), |from| within(from.len(), 0..ENTRY_NAME_BYTES_MAX + 1))?;
                within(data.as_bytes().len(), 0..ENTRY_DATA_BYTES_MAX + 1)?;
                let fits = link.is_none_or(|link| link.at as usize <= data.as_bytes().len());
                fits.then_some(()).ok_or(Offence::Target)
            }
            Entry::Presence { channel: ch, user, .. } => channel(ch).and_then(|()| name(user)),
            Entry::Record { key, value, .. } => {
                within(key.len(), 1..RECORD_KEY_BYTES_MAX + 1)?;
                within(value.map_or(0, <[u8]>::len), 0..RECORD_VALUE_BYTES_MAX + 1)
            }
            Entry::Redaction { channel: ch, data, .. } => {
                channel(ch).and_then(|()| within(data.len(), 0..REDACTION_BYTES_MAX + 1))
            }
            Entry::Clear { channel: ch } => channel(ch),
            Entry::Blob { name: public, .. } => name(public),
            Entry::Hole => Ok(()),
        }
    }

    /// Where it points to, if it points to another entry.
    fn target(&self) -> Option<Target> {
        match *self {
            Entry::Message { link, .. } => link.map(|link| link.to),
            Entry::Redaction { target, .. } => Some(target),
            _ => None,
        }
    }

    /// The channel that it belongs to.
    #[must_use]
    pub fn channel(&self) -> Option<&'a str> {
        match *self {
            Entry::Message { channel, .. }
            | Entry::Presence { channel, .. }
            | Entry::Redaction { channel, .. }
            | Entry::Clear { channel } => Some(channel),
            Entry::Record { .. } | Entry::Blob { .. } | Entry::Hole => None,
        }
    }
}

impl<'a> Data<'a> {
    /// Its bytes, as published.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Data::Json(json) => json,
            Data::Base64(text) => text.as_bytes(),
        }
    }
}

fn within(len: usize, allowed: Range<usize>) -> Result<(), Offence> {
    if allowed.contains(&len) { Ok(()) } else { Err(Offence::Length) }
}

/// Entries that are kept together or not at all, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    bytes: Arc<[u8]>,
    count: u16,
}

impl Batch {
    /// The bytes of these entries.
    ///
    /// # Errors
    /// An entry or the whole is too long, there are too many or none, or one names a place that is not there.
    pub fn emit(entries: &[Entry<'_>]) -> Result<Batch, Offence> {
        let mut bytes = Vec::new();
        for entry in entries {
            let start = bytes.len();
            bytes.put_u32(0);
            entry.emit(&mut bytes)?;
            let len = length(bytes.len() - start - size_of::<u32>());
            bytes[start..start + size_of::<u32>()].copy_from_slice(&len.to_le_bytes());
        }
        let count = u16::try_from(entries.len()).map_err(|_| Offence::Count)?;
        check(&bytes, count, entries.iter().map(Entry::target))?;
        Ok(Batch { bytes: bytes.into(), count })
    }

    /// The batch of `count` entries that `bytes` spell.
    ///
    /// # Errors
    /// They spell no such batch.
    pub fn parse(bytes: &[u8], count: u16) -> Result<Batch, Offence> {
        let mut targets = Vec::new();
        for entry in split(bytes) {
            targets.push(entry?.target());
            if targets.len() > usize::from(count) {
                return Err(Offence::Count);
            }
        }
        if targets.len() != usize::from(count) {
            return Err(Offence::Count);
        }
        check(bytes, count, targets.into_iter())?;
        Ok(Batch { bytes: bytes.into(), count })
    }

    /// Its entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        split(&self.bytes).map_while(Result::ok)
    }

    /// How many entries it has: as many numbers it takes.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn check(bytes: &[u8], count: u16, targets: impl Iterator<Item = Option<Target>>) -> Result<(), Offence> {
    if count == 0 || count > BATCH_ENTRIES_MAX {
        return Err(Offence::Count);
    }
    within(bytes.len(), 0..BATCH_BYTES_MAX + 1)?;
    let is_inside = |target: Target| !matches!(target, Target::Place(place) if place >= count);
    if targets.flatten().all(is_inside) { Ok(()) } else { Err(Offence::Target) }
}

/// The entries of a batch's bytes, up to the first that is none.
pub(super) fn split(bytes: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, Offence>> {
    let mut take = Take(bytes);
    let mut has_failed = false;
    std::iter::from_fn(move || {
        if take.is_empty() || has_failed {
            return None;
        }
        let entry = take.value().ok_or(Offence::Spelling).and_then(Entry::parse);
        has_failed = entry.is_err();
        Some(entry)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(data: Data<'_>) -> Entry<'_> {
        Entry::Message { channel: "lobby", from: Some("ann"), key: None, data, is_kept: false, link: None }
    }

    fn samples() -> Vec<Entry<'static>> {
        let link = Some(Link { at: 2, to: Target::Place(0) });
        let data = Data::Json(b"{}");
        vec![
            message(Data::Json(b"\"hi\"")),
            Entry::Message { channel: "@bob", from: None, key: Some([7; 16]), data, is_kept: true, link },
            message(Data::Base64("AAAA")),
            Entry::Presence { channel: "lobby", user: "ann", what: Presence::Back },
            Entry::Record { key: "name/ann", value: Some(b"secret"), expect: Expect::Absent },
            Entry::Record { key: "name/ann", value: None, expect: Expect::Version(7) },
            Entry::Record { key: "name/ann", value: Some(b""), expect: Expect::Any },
            Entry::Redaction { channel: "lobby", target: Target::Number(3), data: b"null" },
            Entry::Clear { channel: "lobby" },
            Entry::Blob { name: "p-1", hash: [9; 32], bytes: 512 },
            Entry::Hole,
        ]
    }

    #[test]
    fn emit_parse_twins() {
        for entry in samples() {
            let mut bytes = Vec::new();
            entry.emit(&mut bytes).expect("within the bounds");
            assert_eq!(Entry::parse(&bytes), Ok(entry));
            for cut in 0..bytes.len() {
                assert!(Entry::parse(&bytes[..cut]).is_err(), "{entry:?} cut at {cut}");
            }
            bytes.push(0);
            assert_eq!(Entry::parse(&bytes), Err(Offence::Spelling), "{entry:?} and a byte more");
        }
        let batch = Batch::emit(&samples()).expect("within the bounds");
        assert!(batch.entries().eq(samples()));
        assert_eq!(Batch::parse(batch.bytes(), batch.count()), Ok(batch.clone()));
        assert_eq!(Batch::parse(batch.bytes(), batch.count() - 1), Err(Offence::Count));
        assert_eq!(Batch::parse(batch.bytes(), batch.count() + 1), Err(Offence::Count));
    }

    #[test]
    fn unknown_bits_are_refused() {
        for bytes in [[CLEAR, 1], [MESSAGE, 32], [PRESENCE, 4], [RECORD, 6], [HOLE, 128], [0, 0], [99, 0]] {
            assert_eq!(Entry::parse(&bytes), Err(Offence::Spelling), "{bytes:?}");
        }
    }

    #[test]
    fn too_long_is_refused_in_both_directions() {
        let long = "x".repeat(ENTRY_DATA_BYTES_MAX + 1);
        let offence = |entry: Entry<'_>| entry.emit(&mut Vec::new()).expect_err("too long");
        assert_eq!(offence(message(Data::Base64(&long))), Offence::Length);
        assert_eq!(offence(Entry::Clear { channel: "" }), Offence::Length);
        assert_eq!(offence(Entry::Clear { channel: &long[..CHANNEL_NAME_BYTES_MAX + 1] }), Offence::Length);
        let user = &long[..ENTRY_NAME_BYTES_MAX + 1];
        assert_eq!(offence(Entry::Presence { channel: "a", user, what: Presence::Join }), Offence::Length);
        let key = &long[..RECORD_KEY_BYTES_MAX + 1];
        assert_eq!(offence(Entry::Record { key, value: None, expect: Expect::Any }), Offence::Length);
        let value = Some(&long.as_bytes()[..RECORD_VALUE_BYTES_MAX + 1]);
        assert_eq!(offence(Entry::Record { key: "a", value, expect: Expect::Any }), Offence::Length);
        let data = &long.as_bytes()[..REDACTION_BYTES_MAX + 1];
        let target = Target::Number(1);
        assert_eq!(offence(Entry::Redaction { channel: "a", target, data }), Offence::Length);
        let mut bytes = vec![CLEAR, 0];
        bytes.put_text(&long[..CHANNEL_NAME_BYTES_MAX + 1]);
        assert_eq!(Entry::parse(&bytes), Err(Offence::Length));
    }

    #[test]
    fn a_batch_has_its_bounds() {
        assert_eq!(Batch::emit(&[]), Err(Offence::Count));
        let many = vec![Entry::Hole; usize::from(BATCH_ENTRIES_MAX) + 1];
        assert_eq!(Batch::emit(&many), Err(Offence::Count));
        assert!(Batch::emit(&many[1..]).is_ok());
        let data = "x".repeat(ENTRY_DATA_BYTES_MAX);
        let long = vec![message(Data::Base64(&data)); BATCH_BYTES_MAX / ENTRY_DATA_BYTES_MAX + 1];
        assert_eq!(Batch::emit(&long), Err(Offence::Length));
        let target = Target::Place(1);
        assert_eq!(
            Batch::emit(&[Entry::Redaction { channel: "a", target, data: b"" }]),
            Err(Offence::Target)
        );
    }

    #[test]
    fn a_link_is_filled_with_an_id() {
        let link = Link { at: 7, to: Target::Place(1) };
        let filled = link.fill(b"{\"re\":\"\"}", 41, |seq| format!("0badcafe-{seq}"));
        assert_eq!(filled, b"{\"re\":\"0badcafe-42\"}");
        let at = 4;
        let wild = Entry::Message {
            channel: "a",
            from: None,
            key: None,
            data: Data::Json(b"{}"),
            is_kept: false,
            link: Some(Link { at, to: Target::Number(1) }),
        };
        assert_eq!(wild.emit(&mut Vec::new()), Err(Offence::Target), "beyond the data");
    }
}
