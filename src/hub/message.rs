//! A message: what it says as one JSON object, and its images, the forms in which it goes on a wire.
//!
//! It does not know what a wire is: an image has a slot, and whoever needs it brings the encoder.
//! The object is RFC 8259 JSON, made once at publish, safe in a script block as it stands.
//!
//! ```text
//!   Rc<Message> ── seq, epoch, kind, kept_at
//!               ── digest  of the key under which it was published, if it had one
//!               ── json    {"type":"message","id":"0badcafe-7","ch":"lobby",…,"data":…}
//!               ── images  nothing, until a first reader needs one; then IMAGES slots
//!                            └ slot 2 ── Image  shared by every reader of that wire
//! ```

use std::cell::{Cell, RefCell};
use std::fmt::Write;

use super::keys::Digest;
use super::log::Cursor;
use crate::account::Image;

/// Slots for images, one for each wire a message may go out on.
pub const IMAGES: usize = 6;

/// Bytes counted for a message beyond its JSON: the struct with its two reference counts, its place in a
/// ring, and what an allocator rounds up. Images are not counted: they live for some
/// seconds, and only wires that have a reader make one.
pub(super) const OVERHEAD_BYTES: usize = 96;

const _: () = assert!(size_of::<Message>() + 2 * size_of::<usize>() + size_of::<usize>() <= 96);

type Images = [Option<Image>; IMAGES];

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody published it; it is kept within the bounds of its channel and missed with a gap.
    Message,
    /// Somebody came or went. A few are kept; one that is dropped is missed without a word, because the
    /// next one, or the list of users, tells the state.
    Presence,
}

/// What a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceEvent {
    /// The user's first reader subscribed.
    Join,
    /// The user's last reader is gone.
    Leave,
    /// The user is there but not looking. Announced by the caller.
    Away,
    /// The user looks again. Announced by the caller.
    Back,
}

impl PresenceEvent {
    /// As it is spelled on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            PresenceEvent::Join => "join",
            PresenceEvent::Leave => "leave",
            PresenceEvent::Away => "away",
            PresenceEvent::Back => "back",
        }
    }
}

/// When and where in the log a message is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) cursor: Cursor,
    /// Monotonic milliseconds; ages are counted from it.
    pub(super) kept_at: u64,
    /// Wall milliseconds since 1970; only ever told, never computed with.
    pub(super) wall: u64,
}

/// One entry of the log. Shared by reference, never changed but for its images.
#[derive(Debug)]
pub struct Message {
    seq: u64,
    kept_at: u64,
    epoch: u32,
    kind: Kind,
    /// See `keys`.
    digest: Option<Digest>,
    json: Box<[u8]>,
    /// Made while the message is new; see [`Message::grow_stale`].
    images: RefCell<Option<Box<Images>>>,
    is_stale: Cell<bool>,
}

/// What is published.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// Canonical JSON, with `<`, U+2028 and U+2029 escaped.
    Json(&'a [u8]),
    /// Bytes that are no text, in base64; the message says so in its `encoding`.
    Base64(&'a str),
}

impl<'a> From<&'a [u8]> for Data<'a> {
    fn from(json: &'a [u8]) -> Data<'a> {
        Data::Json(json)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Data<'a> {
    fn from(json: &'a [u8; N]) -> Data<'a> {
        Data::Json(json)
    }
}

impl Data<'_> {
    /// Its length in bytes, as published.
    pub(super) fn len(self) -> usize {
        match self {
            Data::Json(json) => json.len(),
            Data::Base64(text) => text.len(),
        }
    }
}

impl Message {
    pub(super) fn published(stamp: Stamp, ch: &str, from: Option<&str>, data: Data<'_>) -> Message {
        let (data, is_base64) = match data {
            Data::Json(json) => (json, false),
            Data::Base64(text) => (text.as_bytes(), true),
        };
        let room = ch.len() + from.map_or(0, str::len) + data.len();
        let mut json = open("message", stamp.cursor, ch, room);
        json.push_str(",\"from\":");
        match from {
            Some(user) => quote(&mut json, user),
            None => json.push_str("null"),
        }
        number(&mut json, "at", stamp.wall);
        json.push_str(",\"data\":");
        let mut json = json.into_bytes();
        if is_base64 {
            json.push(b'"');
            json.extend_from_slice(data);
            json.extend_from_slice(b"\",\"encoding\":\"base64\"}");
        } else {
            json.extend_from_slice(data);
            json.push(b'}');
        }
        Message::new(stamp, Kind::Message, json)
    }

    pub(super) fn presence(
        stamp: Stamp,
        ch: &str,
        event: PresenceEvent,
        user: &str,
        count: usize,
    ) -> Message {
        let mut json = open("presence", stamp.cursor, ch, ch.len() + user.len());
        json.push_str(",\"event\":");
        quote(&mut json, event.word());
        json.push_str(",\"user\":");
        quote(&mut json, user);
        number(&mut json, "count", count as u64);
        number(&mut json, "at", stamp.wall);
        json.push('}');
        Message::new(stamp, Kind::Presence, json.into_bytes())
    }

    fn new(stamp: Stamp, kind: Kind, json: Vec<u8>) -> Message {
        Message {
            seq: stamp.cursor.seq,
            kept_at: stamp.kept_at,
            epoch: stamp.cursor.epoch,
            kind,
            digest: None,
            // Kept for a day, so without the slack of the buffer it was written in.
            json: json.into_boxed_slice(),
            images: RefCell::default(),
            is_stale: Cell::new(false),
        }
    }

    /// The same message, published under a key.
    pub(super) fn with_digest(self, digest: Option<Digest>) -> Message {
        Message { digest, ..self }
    }

    /// The same message with other data: its place, its key, its author and its time stay what they were.
    pub(super) fn redacted(&self, data: &[u8]) -> Message {
        // Within a string every quote has a backslash before it, so the first of these is the member.
        const DATA: &[u8] = b",\"data\":";
        let start = self.json.windows(DATA.len()).position(|part| part == DATA);
        let start = start.map_or(self.json.len(), |start| start + DATA.len());
        let json = [&self.json[..start], data, b"}"].concat();
        Message {
            json: json.into_boxed_slice(),
            images: RefCell::default(),
            is_stale: self.is_stale.clone(),
            ..*self
        }
    }

    /// Its number in the server's one sequence; the first is 1.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The place just after it.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.seq }
    }

    /// Of its key, if it was published under one.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether it was published or tells of a presence.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Monotonic milliseconds at which it was made.
    #[must_use]
    pub fn kept_at(&self) -> u64 {
        self.kept_at
    }

    /// The whole object as it goes on a wire: UTF-8, without line breaks, safe in a script block.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The image in `slot` (less than [`IMAGES`]), made by `encode` for the first who asks and shared by
    /// all who ask after, as long as the message is new. The encoder of a slot must always be the same one;
    /// it may give another slot's image.
    pub fn image(&self, slot: usize, encode: impl FnOnce(&Message) -> Image) -> Image {
        assert!(slot < IMAGES, "no image slot {slot}");
        let made = self.images.borrow().as_ref().and_then(|images| images[slot].clone());
        made.unwrap_or_else(|| {
            let image = encode(self);
            if !self.is_stale.get() {
                self.images.borrow_mut().get_or_insert_default()[slot] = Some(image.clone());
            }
            image
        })
    }

    /// Shows the images that it holds.
    pub(super) fn each_image(&self, show: &mut dyn FnMut(&Image)) {
        self.images.borrow().iter().flat_map(|images| images.iter().flatten()).for_each(show);
    }

    /// Lets go of the images. Nearly all of a message's readers take it in the turn in which it is
    /// published; for the few that come late it is encoded again, which is cheaper than to keep all images
    /// of everything for as long as messages are kept.
    pub(super) fn grow_stale(&self) {
        self.is_stale.set(true);
        self.images.take();
    }

    /// Whether it has let go of its images.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale.get()
    }

    /// What it counts for in the account of its channel.
    pub(super) fn bytes(&self) -> usize {
        self.json.len() + OVERHEAD_BYTES
    }
}

/// The object up to its channel, with room for `room` bytes and what surrounds them.
fn open(kind: &str, cursor: Cursor, ch: &str, room: usize) -> String {
    let mut json = String::with_capacity(128 + room);
    // Writing to a String can't fail.
    let _ = write!(json, "{{\"type\":\"{kind}\",\"id\":\"{cursor}\",\"ch\":");
    quote(&mut json, ch);
    json
}

fn number(json: &mut String, name: &str, value: u64) {
    // Writing to a String can't fail.
    let _ = write!(json, ",\"{name}\":{value}");
}

/// A JSON string (RFC 8259, section 7). Beyond what JSON asks for, `<` is escaped, so that no `</script>`
/// can stand in it, and the two line separators that older JavaScript forbids in a string literal.
fn quote(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\0'..='\x1f' | '<' | '\u{2028}' | '\u{2029}' => {
                // Writing to a String can't fail.
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            _ => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const STAMP: Stamp =
        Stamp { cursor: Cursor { epoch: 0x0bad_cafe, seq: 7 }, kept_at: 5, wall: 1_700_000_000_000 };

    #[test]
    fn json_of_each_kind() {
        let text = |message: &Message| String::from_utf8_lossy(message.json()).into_owned();
        let message = Message::published(STAMP, "lobby", Some("ann"), b"{\"a\":1}".into());
        assert_eq!(
            text(&message),
            "{\"type\":\"message\",\"id\":\"0badcafe-7\",\"ch\":\"lobby\",\"from\":\"ann\",\
             \"at\":1700000000000,\"data\":{\"a\":1}}"
        );
        let message = Message::published(STAMP, "a", None, b"0".into());
        assert!(text(&message).contains("\"from\":null,"));
        let presence = Message::presence(STAMP, "lobby", PresenceEvent::Join, "ann", 3);
        assert_eq!(
            text(&presence),
            "{\"type\":\"presence\",\"id\":\"0badcafe-7\",\"ch\":\"lobby\",\"event\":\"join\",\
             \"user\":\"ann\",\"count\":3,\"at\":1700000000000}"
        );
    }

    #[test]
    fn quote_is_safe_in_a_script() {
        let mut json = String::new();
        quote(&mut json, "a\"\\\n\0</script>\u{2028}\u{2029}é");
        assert_eq!(json, "\"a\\\"\\\\\\u000a\\u0000\\u003c/script>\\u2028\\u2029é\"");
    }

    #[test]
    fn redaction_changes_the_data_alone() {
        for from in [None, Some("ann"), Some(",\"data\":")] {
            for data in [Data::Json(b"{\"data\":[1,\"data\"]}"), Data::Base64("AAAA"), Data::Json(b"1")] {
                let message = Message::published(STAMP, ",\"data\":", from, data);
                let expected = Message::published(STAMP, ",\"data\":", from, b"{\"deleted\":true}".into());
                message.image(0, |m| Image::from(m.json()));
                let redacted = message.redacted(b"{\"deleted\":true}");
                assert_eq!(redacted.json(), expected.json());
                assert_eq!((redacted.seq(), redacted.kept_at()), (7, 5));
                assert_eq!(*redacted.image(0, |m| Image::from(m.json())), *expected.json(), "made anew");
            }
        }
    }

    #[test]
    fn image_is_made_once_a_slot() {
        let message = Message::published(STAMP, "a", None, b"1".into());
        let made = Cell::new(0);
        let encode = |m: &Message| {
            made.set(made.get() + 1);
            Image::from(m.json())
        };
        let first = message.image(1, encode);
        let second = message.image(1, encode);
        assert!(std::ptr::eq(first.as_ptr(), second.as_ptr()));
        assert!(!std::ptr::eq(first.as_ptr(), message.image(3, encode).as_ptr()));
        assert_eq!(made.get(), 2);
    }
}
