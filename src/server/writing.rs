//! Up: the commands of clients.
//!
//! A command means the same wherever it comes from, a WebSocket frame or a `POST /send`, and is answered by
//! the same reply. What the server doesn't know goes to the application.

use std::fmt;

use serde_core::Deserializer as _;
use serde_core::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Server;
use super::app::{Ctx, Kept, Request};
use super::client::ClientId;
use super::client::Sid;
use super::command::Command;
use super::hall::Hall;
use super::object::Object;
use super::params::{self, Position};
use super::quota::Kind;
use super::refusal::Refusal;
use crate::hub::{Cursor, Data, Once, Published};
use crate::limits::{
    COMMANDS_PER_SEND_MAX, HISTORY_BYTES_MAX, HISTORY_DEFAULT, HISTORY_MAX, KEY_BYTES_MAX, LAST_MAX,
    PARSED_BYTE_COST, PEOPLE_LISTED_MAX, SEND_REPLY_BYTES_MAX,
};
use crate::reactor::Links;
use crate::wire::json;
use crate::wire::response::Response;
use crate::wire::target::Target;
use crate::work;

impl Server {
    /// `POST /send`: one command or an array of them, for the client that `sid` names.
    pub(super) fn send(&mut self, links: &mut Links, request: &Request<'_>) -> Result<Response, Refusal> {
        let client = self.sender(&request.target)?;
        self.app.on_return(&mut Ctx { hall: &mut self.hall, links }, client, request)?;
        self.hall.check_present(client)?;
        let text = std::str::from_utf8(request.body).map_err(|_| not_json("it is not UTF-8"))?;
        let text = json::without_mark(text);
        if !text.trim_start().starts_with('[') {
            let reply = self.command(links, client, text);
            return Ok(Response::json(200, reply.into_bytes()));
        }
        let commands = commands_of(text)?;
        let mut body = vec![b'['];
        for (index, command) in commands.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            let reply = if body.len() > SEND_REPLY_BYTES_MAX {
                let sentence = "The replies before this one are too long together; send this again alone.";
                let reference = Command::parse(command.get()).map(|command| command.reference().to_vec());
                let refusal = Refusal::new(413, "too_much", sentence);
                reply(&reference.unwrap_or(b"null".to_vec()), Err(refusal))
            } else {
                self.command(links, client, command.get())
            };
            body.extend_from_slice(reply.as_bytes());
        }
        body.push(b']');
        Ok(Response::json(200, body))
    }

    fn sender(&self, target: &Target<'_>) -> Result<ClientId, Refusal> {
        let sid = target.query().filter_map(Result::ok).find(|(name, _)| name == "sid");
        let sid = sid.ok_or_else(|| Refusal::missing("sid"))?.1;
        let sid = Sid::parse(&sid).ok_or_else(|| Refusal::bad_value("sid", "one given by `welcome`"))?;
        self.hall.clients.find(&sid).ok_or_else(Refusal::unknown_sid)
    }

    /// Carries out one command and says how it went. It never fails: what is wrong is in the reply.
    pub(super) fn command(&mut self, links: &mut Links, client: ClientId, text: &str) -> Object {
        work::spend(PARSED_BYTE_COST * text.len() as u64);
        let command = Command::parse(text);
        let is_login = command.as_ref().is_ok_and(|command| command.op() == "login");
        let admitted = self.admit_command(links, client, is_login);
        match command {
            Ok(command) => {
                let answer = match command.op() {
                    "publish" => self.publish(links, client, Draft::of(&command), admitted),
                    _ => admitted.and_then(|()| self.execute(links, client, &command)),
                };
                reply(command.reference(), answer)
            }
            Err(refusal) => reply(b"null", Err(refusal)),
        }
    }

    fn execute(
        &mut self,
        links: &mut Links,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        match command.op() {
            "subscribe" => self.subscribe(links, client, command),
            "unsubscribe" => {
                self.hall.unsubscribe(client, &command.string("ch")?);
                Ok(Object::new())
            }
            "who" => {
                let channel = self.readable(links, client, command)?;
                Ok(self.hall.who(&channel))
            }
            "history" => {
                let channel = self.readable(links, client, command)?;
                let before = command.optional_string("before")?;
                self.hall.history(&channel, before.as_deref(), command.optional_number("limit")?)
            }
            "ping" => Ok(Object::new().number("at", links.wall())),
            "login" => {
                let answer = self.app.on_command(&mut Ctx { hall: &mut self.hall, links }, client, command);
                // Who tries one secret after the other has to wait. A right one passes whoever else failed
                // behind the same address, and a name that is taken is no guess.
                let is_refused =
                    answer.as_ref().is_err_and(|refusal| matches!(refusal.status, 401 | 403 | 409));
                if is_refused && command.optional_string("secret")?.is_some() {
                    self.hall.count(links, Kind::Failure)?;
                }
                answer
            }
            _ => self.app.on_command(&mut Ctx { hall: &mut self.hall, links }, client, command),
        }
    }

    /// The channel of a command that reads it: whoever may not subscribe to it may not look into it.
    fn readable(
        &mut self,
        links: &mut Links,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<String, Refusal> {
        let channel = command.string("ch")?;
        self.app.on_subscribe(&mut Ctx { hall: &mut self.hall, links }, client, &channel)?;
        self.hall.check_present(client)?;
        Ok(channel)
    }

    fn subscribe(
        &mut self,
        links: &mut Links,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        let channel = self.readable(links, client, command)?;
        let position = match (command.optional_string("since")?, command.optional_number("last")?) {
            (Some(since), _) => Position::After(params::cursor("since", &since)?),
            (None, Some(last)) => Position::Last(last.min(u64::from(LAST_MAX)) as u32),
            (None, None) => Position::Now,
        };
        let mut answer = Object::new().string("ch", &channel);
        let Some(reader) = self.hall.reader(client) else { return Ok(answer) };
        // A second subscribe without a start must not skip what is still under way from the first.
        let is_subscribed = self.hall.hub.position_in(reader, &channel).is_some();
        if !(is_subscribed && position == Position::Now) {
            self.hall.admit_channel(links, client, &channel)?;
            self.hall.count_channel(links, &channel)?;
            let (start, is_lost) = self.hall.start_of(position);
            let id = self.hall.hub.subscribe(reader, &channel, start)?;
            if is_lost {
                // In the reply, since a poller has no stream to be told on.
                let gap = self.hall.gap(id, "restarted", &self.hall.cursor(0));
                answer = answer.object("gap", &gap);
                self.hall.send(links, client, &gap);
            }
            if let Some((conn, _)) = self.hall.clients.line(client) {
                // What is already there for it is sent in this turn, or answers its poll.
                links.want_drain(conn);
            }
        }
        // From where on this channel is told, and where to go on from if the connection is lost before all up
        // to the head is told: this answer may overtake events that are newer than what is to be told again.
        let hub = &self.hall.hub;
        let position = hub.position(reader);
        let since = hub.position_in(reader, &channel).unwrap_or(position);
        let cursor = |seq| self.hall.cursor(seq);
        Ok(answer
            .string("since", &cursor(since))
            .string("cursor", &cursor(position))
            .string("head", &cursor(hub.head())))
    }

    /// Publishes, unless it was published before under the same key: then the first answer is given again,
    /// and nothing since then takes it back, not a quota that is spent, nor what an application thinks of its
    /// author now. Else the author would be told that a message is not published which everybody has read.
    ///
    /// With `since` it was sent before, when the log's head was that cursor or a later one, and the answer
    /// was lost. A message of the same log, whose key would answer for it, may have been evicted since then:
    /// nobody can say whether it was published, so it is not published now.
    fn publish(
        &mut self,
        links: &mut Links,
        client: ClientId,
        draft: Result<Draft, Refusal>,
        admitted: Result<(), Refusal>,
    ) -> Result<Object, Refusal> {
        if let Ok(Draft { channel, data, key: Some(key), since }) = &draft {
            let scope = scope_of(self.hall.user(client), data);
            let once = Once { scope: &scope, key, is_back_end: false };
            if let Some(answer) = self.hall.repeated(channel, once) {
                return Ok(answer);
            }
            if channel.starts_with('@') && since.is_some() {
                // What became of an inbox is told to nobody who may not write there.
                self.app.on_publish(&mut Ctx { hall: &mut self.hall, links }, client, channel, data)?;
                self.hall.check_present(client)?;
            }
            let hub = &self.hall.hub;
            let is_ours = |since: &Cursor| since.epoch == hub.epoch();
            if since.filter(is_ours).is_some_and(|since| hub.has_lost_since(channel, since.seq)) {
                return Err(Refusal::new(409, "unknown", UNKNOWN));
            }
        }
        admitted?;
        let Draft { channel, data, key, .. } = draft?;
        self.app.on_publish(&mut Ctx { hall: &mut self.hall, links }, client, &channel, &data)?;
        self.hall.check_present(client)?;
        self.hall.count_publish(links, &channel)?;
        let from = self.hall.user(client).map(str::to_owned);
        let published = match key {
            None => {
                let seq = self.hall.hub.publish(&channel, from.as_deref(), Data::Json(&data))?.seq();
                Published { seq, repeated: false }
            }
            Some(key) => {
                let scope = scope_of(from.as_deref(), &data);
                let once = Once { scope: &scope, key: &key, is_back_end: false };
                self.hall.publish_once(&channel, from.as_deref(), once, Data::Json(&data))?
            }
        };
        let answer = self.hall.answer_publish(published);
        if !published.repeated {
            let message = Kept { id: self.hall.cursor(published.seq), seq: published.seq, from, data };
            self.app.on_published(&mut Ctx { hall: &mut self.hall, links }, client, &channel, &message);
        }
        Ok(answer)
    }
}

/// What a client wants published.
struct Draft {
    channel: String,
    /// Canonical JSON.
    data: Vec<u8>,
    key: Option<String>,
    /// It was sent before: the log's head was here then, or further.
    since: Option<Cursor>,
}

/// Said to the author of a message that may have been published.
const UNKNOWN: &str = "This was sent before, and so long ago that the log can't tell any more whether it was \
    published; look, and publish it anew if it was not.";

impl Draft {
    fn of(command: &Command<'_>) -> Result<Draft, Refusal> {
        Ok(Draft {
            channel: command.string("ch")?,
            data: command.json("data")?,
            key: command.optional_string("key")?,
            since: command
                .optional_string("since")?
                .map(|since| params::cursor("since", &since))
                .transpose()?,
        })
    }
}

impl Hall {
    /// Publishes unless the same key was published before; the answer is then the first one's.
    pub(super) fn publish_once(
        &mut self,
        channel: &str,
        from: Option<&str>,
        once: Once<'_>,
        data: Data<'_>,
    ) -> Result<Published, Refusal> {
        if once.key.is_empty() || once.key.len() > KEY_BYTES_MAX {
            return Err(Refusal::bad_value("key", &format!("a string of 1 to {KEY_BYTES_MAX} bytes")));
        }
        Ok(self.hub.publish_once(channel, from, once, data)?)
    }

    /// The answer to a publish that came before under the same key.
    pub(super) fn repeated(&self, channel: &str, once: Once<'_>) -> Option<Object> {
        let seq = self.hub.published_once(channel, once)?;
        Some(self.answer_publish(Published { seq, repeated: true }))
    }

    /// What a publish is answered with.
    pub(super) fn answer_publish(&self, published: Published) -> Object {
        let answer = Object::new().string("id", &self.cursor(published.seq));
        if published.repeated { answer.boolean("repeated", true) } else { answer }
    }

    /// Who is in a channel: the first of its users by name, how many there are, counted as presence events
    /// count them, and all who read it, with a name or without. `more` says that not all are listed.
    pub(super) fn who(&self, channel: &str) -> Object {
        let info = self.hub.find(channel).and_then(|id| self.hub.channel(id));
        let (count, readers) = info.map_or((0, 0), |info| (info.users, info.readers));
        let users = self.users(channel, PEOPLE_LISTED_MAX);
        Object::new()
            .string("ch", channel)
            .strings("users", users.iter().map(String::as_str))
            .boolean("more", users.len() < count)
            .number("count", count as u64)
            .number("readers", readers as u64)
    }

    /// What a channel keeps before a cursor, the newest that fit, oldest first.
    pub(super) fn history(
        &self,
        channel: &str,
        before: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Object, Refusal> {
        let before = before.map(|before| params::cursor("before", before)).transpose()?;
        if before.is_some_and(|cursor| cursor.epoch != self.hub.epoch()) {
            return Err(Refusal::new(
                410,
                "restarted",
                "This cursor is from before a restart, as are the messages before it; ask without `before`.",
            ));
        }
        let limit = limit.unwrap_or(HISTORY_DEFAULT).min(HISTORY_MAX) as usize;
        let mut messages = self.hub.history(channel, before.map(|cursor| cursor.seq), limit + 1);
        let mut more = messages.len() > limit;
        if more {
            messages.remove(0);
        }
        let mut bytes: usize = messages.iter().map(|message| message.json().len()).sum();
        while bytes > HISTORY_BYTES_MAX && messages.len() > 1 {
            bytes -= messages.remove(0).json().len();
            more = true;
        }
        Ok(Object::new()
            .string("ch", channel)
            .array("messages", messages.iter().map(|message| message.json()))
            .boolean("more", more))
    }
}

/// Whose key it is. A client that has lost its sid comes back as another one, so its key can't belong to
/// that. Two that nobody knows by name may both count from 1; what they say tells them apart.
fn scope_of(user: Option<&str>, data: &[u8]) -> String {
    match user {
        Some(user) => format!("user {user}"),
        None => format!("anonymous {}", String::from_utf8_lossy(data)),
    }
}

fn reply(reference: &[u8], answer: Result<Object, Refusal>) -> Object {
    let reply = Object::event("reply").raw("ref", reference);
    match answer {
        Ok(answer) => reply.boolean("ok", true).members(&answer),
        Err(refusal) => reply.boolean("ok", false).object("error", &refusal.to_object()),
    }
}

/// Takes the commands of an array, and reads no further than the first one too many.
struct Commands<'c, 'a>(&'c mut Vec<&'a RawValue>);

impl<'a> Visitor<'a> for Commands<'_, 'a> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while self.0.len() <= COMMANDS_PER_SEND_MAX
            && let Some(command) = items.next_element()?
        {
            self.0.push(command);
        }
        Ok(())
    }
}

/// The commands of an array.
fn commands_of(text: &str) -> Result<Vec<&RawValue>, Refusal> {
    let mut commands = Vec::new();
    let mut parser = serde_json::Deserializer::from_str(text);
    let read = parser.deserialize_seq(Commands(&mut commands)).and_then(|()| parser.end());
    if commands.len() > COMMANDS_PER_SEND_MAX {
        let sentence = format!("Send at most {COMMANDS_PER_SEND_MAX} commands at once.");
        return Err(Refusal::new(413, "too_many_commands", sentence));
    }
    read.map(|()| commands).map_err(|error| not_json(&error.to_string()))
}

fn not_json(why: &str) -> Refusal {
    Refusal::new(400, "bad_json", format!("The body must be one JSON object or an array of them: {why}."))
}
