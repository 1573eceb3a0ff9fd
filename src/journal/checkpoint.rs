//! The checkpoint: the state at the end of a sealed segment, as one file, so that a start reads that and the
//! last segment alone.
//!
//! It knows the bytes of the file and opens none. `parse` and `emit` are twins.
//!
//! ```text
//!   "ENCKESTA" format · through · clock · wall · lost · records · present · kept · redactions · clears ·
//!   segments · keepers · checksum                           each list behind its length
//! ```

use super::bytes::{Put, Take, length};
use super::catalog::{Clear, Erasures, Redaction, Sealed};
use super::entry::Presence;
use super::recover::Lost;
use super::state::State;

/// The name of its file.
pub(super) const NAME: &str = "state";

const MAGIC: &[u8; 8] = b"ENCKESTA";
const FORMAT: u16 = 1;

/// See the top of this file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The number of the last entry that is in it.
    pub(super) through: u64,
    /// The log's clock, and milliseconds since 1970, when it was made.
    pub(super) clock: u64,
    pub(super) wall: u64,
    pub(super) lost: Option<Lost>,
    pub(super) state: State,
    pub(super) erasures: Erasures,
    pub(super) sealed: Vec<Sealed>,
    pub(super) keepers: Vec<Sealed>,
}

/// What a checkpoint is made of.
pub(super) struct Parts<'a> {
    pub(super) through: u64,
    pub(super) clock: u64,
    pub(super) wall: u64,
    pub(super) lost: Option<Lost>,
    pub(super) state: &'a State,
    pub(super) erasures: &'a Erasures,
    pub(super) sealed: &'a [Sealed],
    pub(super) keepers: &'a [Sealed],
}

impl Parts<'_> {
    pub(super) fn emit(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(MAGIC);
        out.put_u16(FORMAT);
        out.put_u64(self.through);
        out.put_u64(self.clock);
        out.put_u64(self.wall);
        let lost = self.lost.unwrap_or(Lost { after: 0, through: 0 });
        out.put_u64(lost.after);
        out.put_u64(lost.through);
        self.emit_state(&mut out);
        out.put_u32(length(self.erasures.redactions.len()));
        for (target, one) in &self.erasures.redactions {
            out.put_u64(*target);
            out.put_u64(one.by);
            out.put_u64(one.clock);
            out.put_text(&one.channel);
            out.put_value(&one.data);
        }
        out.put_u32(length(self.erasures.clears.len()));
        for (channel, one) in &self.erasures.clears {
            out.put_text(channel);
            out.put_u64(one.by);
            out.put_u64(one.clock);
        }
        for files in [self.sealed, self.keepers] {
            out.put_u32(length(files.len()));
            for one in files {
                for number in [one.first, one.last, one.bytes, one.oldest, one.newest] {
                    out.put_u64(number);
                }
                out.put_u32(one.messages);
            }
        }
        let check = crc32c::crc32c(&out);
        out.put_u32(check);
        out
    }

    fn emit_state(&self, out: &mut Vec<u8>) {
        out.put_u32(length(self.state.records.len()));
        for (key, record) in &self.state.records {
            out.put_text(key);
            out.put_u64(record.version);
            out.put_value(&record.value);
        }
        out.put_u32(length(self.state.present.len()));
        for (channel, users) in &self.state.present {
            out.put_text(channel);
            out.put_u32(length(users.len()));
            for (user, is_away) in users {
                out.put_text(user);
                out.put_u8(u8::from(*is_away));
            }
        }
        out.put_u32(length(self.state.kept.messages.len()));
        for (seq, (clock, channel)) in &self.state.kept.messages {
            out.put_u64(*seq);
            out.put_u64(*clock);
            out.put_text(channel);
        }
    }
}

impl Checkpoint {
    /// Reads a checkpoint; `None` for anything else.
    pub(super) fn parse(bytes: &[u8]) -> Option<Checkpoint> {
        let (covered, check) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(covered) != u32::from_le_bytes(*check) {
            return None;
        }
        let mut take = Take(covered.strip_prefix(MAGIC)?);
        if take.u16()? != FORMAT {
            return None;
        }
        let (through, clock, wall) = (take.u64()?, take.u64()?, take.u64()?);
        let lost = Lost { after: take.u64()?, through: take.u64()? };
        let lost = (lost.through > 0).then_some(lost);
        let state = take_state(&mut take)?;
        let mut erasures = Erasures::default();
        for _ in 0..take.u32()? {
            let (target, by, clock) = (take.u64()?, take.u64()?, take.u64()?);
            let (channel, data) = (take.text()?.into(), take.value()?.into());
            erasures.redactions.insert(target, Redaction { by, clock, channel, data });
        }
        for _ in 0..take.u32()? {
            let channel = take.text()?.into();
            erasures.clears.insert(channel, Clear { by: take.u64()?, clock: take.u64()? });
        }
        let (sealed, keepers) = (take_files(&mut take)?, take_files(&mut take)?);
        take.is_empty().then_some(Checkpoint { through, clock, wall, lost, state, erasures, sealed, keepers })
    }
}

fn take_state(take: &mut Take<'_>) -> Option<State> {
    let mut state = State::default();
    for _ in 0..take.u32()? {
        let (key, version) = (take.text()?, take.u64()?);
        state.set(key, Some(take.value()?), version);
    }
    for _ in 0..take.u32()? {
        let channel = take.text()?;
        for _ in 0..take.u32()? {
            let user = take.text()?;
            let what = if take.u8()? == 1 { Presence::Away } else { Presence::Join };
            state.appear(channel, user, what);
        }
    }
    for _ in 0..take.u32()? {
        let (seq, clock) = (take.u64()?, take.u64()?);
        state.kept.add(seq, clock, take.text()?);
    }
    Some(state)
}

fn take_files(take: &mut Take<'_>) -> Option<Vec<Sealed>> {
    let mut files = Vec::new();
    for _ in 0..take.u32()? {
        let (first, last, bytes) = (take.u64()?, take.u64()?, take.u64()?);
        let (oldest, newest, messages) = (take.u64()?, take.u64()?, take.u32()?);
        files.push(Sealed { first, last, bytes, oldest, newest, messages });
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emit_parse_twins() {
        let mut whole = Checkpoint {
            through: 9,
            clock: 8,
            wall: 7,
            lost: Some(Lost { after: 1, through: 2 }),
            ..Checkpoint::default()
        };
        whole.state.set("name/ann", Some(b"secret"), 3);
        whole.state.set("empty", Some(b""), 4);
        whole.state.appear("lobby", "ann", Presence::Away);
        whole.state.appear("lobby", "bob", Presence::Join);
        whole.state.kept.add(5, 6, "@ann");
        let redaction = Redaction { by: 6, clock: 7, channel: "lobby".into(), data: (*b"null").into() };
        whole.erasures.redactions.insert(2, redaction);
        whole.erasures.clears.insert("tearoom".into(), Clear { by: 8, clock: 8 });
        let file = Sealed { first: 1, last: 9, bytes: 4096, oldest: 1, newest: 8, messages: 3 };
        whole.sealed.push(file);
        whole.keepers.push(file);
        let parts = Parts {
            through: whole.through,
            clock: whole.clock,
            wall: whole.wall,
            lost: whole.lost,
            state: &whole.state,
            erasures: &whole.erasures,
            sealed: &whole.sealed,
            keepers: &whole.keepers,
        };
        let bytes = parts.emit();
        assert_eq!(Checkpoint::parse(&bytes), Some(whole));
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert_eq!(Checkpoint::parse(&bytes), None, "byte {at}");
            assert_eq!(Checkpoint::parse(&bytes[..at]), None);
        }
    }
}
