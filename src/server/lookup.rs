//! What an application may look up and put right in the log; `Ctx` says what each of these means.
//!
//! It knows messages as the hub tells them, as JSON, and takes them apart for whoever needs their parts.

use super::app::Kept;
use super::client::ClientId;
use super::command::Command;
use super::hall::Hall;
use super::refusal::Refusal;
use crate::hub::{Cursor, Message};

impl Hall {
    /// Refuses to go on for a client that the application has ended in a call that was about it.
    pub(super) fn check_present(&self, client: ClientId) -> Result<(), Refusal> {
        if self.clients.is_present(client) { Ok(()) } else { Err(Refusal::dismissed()) }
    }

    pub(super) fn subscriptions(&self, client: ClientId) -> Vec<String> {
        let Some(reader) = self.reader(client) else { return Vec::new() };
        let channels = self.hub.subscriptions(reader).filter_map(|id| self.hub.channel(id));
        channels.map(|channel| channel.name.to_string()).collect()
    }

    pub(super) fn message(&self, channel: &str, id: &str) -> Option<Kept> {
        let seq = self.seq(id)?;
        let message = self.hub.history(channel, Some(seq.checked_add(1)?), 1).pop()?;
        kept(&message).filter(|kept| kept.seq == seq)
    }

    pub(super) fn message_after(&self, channel: &str, id: &str) -> Option<Kept> {
        kept(&*self.hub.next_message(channel, self.seq(id)?)?)
    }

    pub(super) fn redact(&mut self, channel: &str, id: &str, data: &[u8]) -> Result<bool, Refusal> {
        let Some(seq) = self.seq(id) else { return Ok(false) };
        // What was joined earlier in this turn holds it as it was.
        self.runs.clear();
        Ok(self.hub.redact(channel, seq, data)?)
    }

    /// The number in this log that an id names.
    fn seq(&self, id: &str) -> Option<u64> {
        Cursor::parse(id).filter(|cursor| cursor.epoch == self.hub.epoch()).map(|cursor| cursor.seq)
    }
}

/// The parts of a message.
fn kept(message: &Message) -> Option<Kept> {
    let text = std::str::from_utf8(message.json()).ok()?;
    let members = Command::members(text).ok()?;
    Some(Kept {
        id: message.cursor().to_string(),
        seq: message.seq(),
        from: members.optional_string("from").ok()?,
        data: members.json("data").ok()?,
    })
}
