//! Messages: who may publish where, copies for the sender's own tabs, deletion, receipts.
//!
//! It knows the shapes of the data that the chat itself makes and looks into no other. A private message is a
//! message in the receiver's inbox; that the sender's other tabs and devices see it too takes a copy in the
//! sender's own.
//!
//! ```text
//!   ann ── publish {ch:"@bob", data} ──►  @bob   8  from ann   data
//!                                         @ann   9  from ann   {"to":"bob","id":8,"data":data}
//!   bob ── read {ch:"@bob", id:8} ─────►  @ann  12  from bob   {"receipt":"read","ch":"@bob","id":8}
//!   ann ── delete {ch:"@bob", id:8} ───►  @bob   8  from ann   {"deleted":true}
//!                                         @bob  15  from ann   {"deletes":8}
//!                                         @ann   9  from ann   {"to":"bob","id":8,"data":{"deleted":true}}
//!                                         @ann  16  from ann   {"deletes":9}
//! ```
//!
//! The copy is published in the same call as the message, so it is the first thing in its inbox after it:
//! that is how a deletion finds it.

use log::warn;

use super::receipts::Receipt;
use super::{Chat, inbox, no_such_user, user};
use crate::limits::{COPY_BYTES, RECEIPT_ROOM_MAX};
use crate::server::{App, ClientId, Command, Ctx, Kept, Object, Refusal};

/// What is left of a message that its author has deleted.
const DELETED: &[u8] = br#"{"deleted":true}"#;

/// What only the server says: in any channel, and in an inbox. A page acts on these, and `from` does not tell
/// the server from a client without a name.
const SERVERS: [&str; 3] = ["notice", "cleared", "deletes"];
const SERVERS_IN_INBOX: [&str; 2] = ["receipt", "to"];

impl Chat {
    /// Whether a client may write to a channel now, whatever it writes.
    pub(super) fn check_author(&self, ctx: &Ctx<'_>, client: ClientId, channel: &str) -> Result<(), Refusal> {
        match (ctx.user(client), ctx.peer(client)) {
            (Some(user), _) => self.moderation.check_mute(user, ctx.now())?,
            (None, Some(address)) => self.moderation.check_stranger(address, ctx.now())?,
            (None, None) => {}
        }
        let Some(owner) = channel.strip_prefix('@') else { return Ok(()) };
        user(ctx, client)?;
        if self.names.is_spelled(owner) { Ok(()) } else { Err(no_such_user()) }
    }

    /// Whether the copy of a private message will find its place: it is a little longer than the message.
    pub(super) fn check_copy(&self, ctx: &Ctx<'_>, channel: &str, data: &[u8]) -> Result<(), Refusal> {
        let most = ctx.config().bounds.message_bytes.saturating_sub(COPY_BYTES);
        if channel.starts_with('@') && data.len() > most {
            let sentence = format!("A private message has at most {most} bytes.");
            return Err(Refusal::new(413, "message_too_long", sentence));
        }
        Ok(())
    }

    /// Leaves a copy of a private message in its sender's own inbox.
    pub(super) fn copy(&self, ctx: &mut Ctx<'_>, channel: &str, message: &Kept) {
        let (Some(to), Some(from)) = (channel.strip_prefix('@'), &message.from) else { return };
        if to == from {
            return;
        }
        if let Err(refusal) = ctx.publish(&inbox(from), Some(from), copy_of(to, message).as_bytes()) {
            // The message itself is on its way, so it is no failure that its sender should act upon.
            warn!("a private message has no copy: {}", refusal.code);
        }
    }

    /// `delete {ch, id}`: takes back what one has written. It keeps its place and says nothing any more.
    pub(super) fn delete(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        let (channel, id) = (command.string("ch")?, command.string("id")?);
        let user = user(ctx, client)?;
        let may_read = self.on_subscribe(ctx, client, &channel).is_ok();
        let is_own = |message: &Kept| message.from.as_deref() == Some(&*user);
        // To somebody who may not read the channel, another's message is none.
        let message = ctx.message(&channel, &id).filter(|message| may_read || is_own(message));
        let message = message
            .ok_or_else(|| Refusal::new(404, "no_message", "This message is not kept, or no longer."))?;
        if !is_own(&message) {
            return Err(Refusal::new(403, "not_yours", "Only its author deletes a message."));
        }
        if message.data == DELETED {
            return Ok(Object::new());
        }
        if let Some(name) = picture_of(&message.data) {
            self.pictures.forget(&user, &name);
        }
        replace(ctx, &channel, &message, DELETED)?;
        let Some(to) = channel.strip_prefix('@') else { return Ok(Object::new()) };
        let own = inbox(&user);
        let copy = copy_of(to, &message);
        if let Some(kept) = ctx.message_after(&own, &id)
            && kept.data == copy.as_bytes()
        {
            let rest = copy_of(to, &Kept { data: DELETED.to_vec(), ..message });
            replace(ctx, &own, &kept, rest.as_bytes())?;
        }
        Ok(Object::new())
    }

    /// `received {ch, id}` and `read {ch, id}`: everything up to and with that message has arrived, or was
    /// looked at. The author of a private message finds that in the inbox; a room that is not too large is
    /// told, and nothing of it is kept.
    pub(super) fn receipt(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
        receipt: Receipt,
    ) -> Result<Object, Refusal> {
        let (channel, id) = (command.string("ch")?, command.string("id")?);
        let reader = user(ctx, client)?;
        self.on_subscribe(ctx, client, &channel)?;
        let Some(message) = ctx.message(&channel, &id) else { return Ok(Object::new()) };
        if channel.starts_with('@') {
            let Some(author) = message.from.filter(|author| *author != reader) else {
                return Ok(Object::new());
            };
            let own = inbox(&author);
            let is_letter = !is_receipt(&message.data) && self.names.is_spelled(&author);
            if is_letter && self.receipts.is_news(&reader, &own, receipt, message.seq) {
                let told = Object::new().string("receipt", receipt.word());
                let told = told.string("ch", &channel).string("id", &id);
                ctx.publish(&own, Some(&reader), told.as_bytes())?;
            }
            return Ok(Object::new());
        }
        let is_told = ctx.channel(&channel).is_some_and(|room| room.users <= RECEIPT_ROOM_MAX);
        if receipt == Receipt::Read
            && is_told
            && self.receipts.is_news(&reader, &channel, receipt, message.seq)
        {
            let event = Object::event("receipt").string("ch", &channel).string("receipt", receipt.word());
            ctx.tell(&channel, &event.string("user", &reader).string("id", &id));
        }
        Ok(Object::new())
    }
}

/// Whether a client may say that in a channel.
///
/// # Errors
/// It would pass for something that the server said.
pub(super) fn check_data(channel: &str, data: &[u8]) -> Result<(), Refusal> {
    let in_inbox = if channel.starts_with('@') { &SERVERS_IN_INBOX[..] } else { &[] };
    let Some(member) = member_of(data, &[&SERVERS[..], in_inbox].concat()) else { return Ok(()) };
    let sentence = format!("Only the server says `{member}`; give this member of the data another name.");
    Err(Refusal::new(403, "reserved", sentence))
}

/// The copy of a private message for its sender.
fn copy_of(to: &str, message: &Kept) -> Object {
    Object::new().string("to", to).string("id", &message.id).raw("data", &message.data)
}

/// Redacts a message, and tells those who have it on their screens.
fn replace(ctx: &mut Ctx<'_>, channel: &str, message: &Kept, data: &[u8]) -> Result<(), Refusal> {
    ctx.redact(channel, &message.id, data)?;
    let deletion = Object::new().string("deletes", &message.id);
    ctx.publish(channel, message.from.as_deref(), deletion.as_bytes())?;
    Ok(())
}

/// The picture that a message shows.
fn picture_of(data: &[u8]) -> Option<String> {
    let message = Command::members_named(std::str::from_utf8(data).ok()?, &["picture"]).ok()?;
    let picture = message.json("picture").ok()?;
    Command::members_named(std::str::from_utf8(&picture).ok()?, &["id"]).ok()?.string("id").ok()
}

/// A receipt is owed none: two clients that confirm everything would never be done.
fn is_receipt(data: &[u8]) -> bool {
    member_of(data, &["receipt", "deletes"]).is_some()
}

/// The first of those names that data has a member of.
fn member_of(data: &[u8], names: &[&'static str]) -> Option<&'static str> {
    if !data.starts_with(b"{") {
        return None;
    }
    let members = Command::members_named(std::str::from_utf8(data).ok()?, names).ok()?;
    names.iter().find(|name| members.has(name)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_receipts_are_known_by_their_members() {
        assert_eq!(
            picture_of(br#"{"picture":{"id":"abc","name":"a.png"},"text":"x"}"#).as_deref(),
            Some("abc")
        );
        for data in [&b"1"[..], b"\"picture\"", br#"{"picture":1}"#, br#"{"picture":{"id":1}}"#, b"\xff"] {
            assert_eq!(picture_of(data), None);
        }
        assert!(is_receipt(br#"{"receipt":"read","ch":"@a","id":"1"}"#));
        assert!(!is_receipt(br#"{"text":"receipt"}"#) && !is_receipt(b"\"receipt\"") && !is_receipt(b"[]"));
    }

    #[test]
    fn a_copy_is_longer_than_its_message_by_no_more_than_is_kept_for_it() {
        let message =
            Kept { id: format!("ffffffff-{}", u64::MAX), seq: u64::MAX, from: None, data: b"1".to_vec() };
        // Every byte of a nick may take six when it is quoted.
        let nick = "\"".repeat(crate::limits::NICK_CHARS_MAX * 3);
        assert!(copy_of(&nick, &message).as_bytes().len() <= 1 + COPY_BYTES);
    }

    #[test]
    fn what_the_server_says_is_said_by_nobody_else() {
        for data in [r#"{"notice":"x"}"#, r#"{"a":1,"cleared":true}"#, r#"{"deletes":null}"#] {
            assert_eq!(check_data("lobby", data.as_bytes()).unwrap_err().code, "reserved");
            assert_eq!(check_data("@ann", data.as_bytes()).unwrap_err().code, "reserved");
        }
        for data in [r#"{"receipt":"read"}"#, r#"{"to":"bob","id":"1","data":1}"#] {
            assert_eq!(check_data("@ann", data.as_bytes()).unwrap_err().code, "reserved");
            assert!(check_data("lobby", data.as_bytes()).is_ok(), "a room has none of these");
        }
        for data in [r#"{"text":"notice"}"#, r#"{"text":{"notice":1}}"#, r#""notice""#, r#"["notice"]"#] {
            assert!(check_data("@ann", data.as_bytes()).is_ok(), "{data}");
        }
    }
}
