//! The instant-messaging application. It reaches the world through [`App`] and [`Ctx`] alone: whatever it can
//! do, an application of one's own can do too.
//!
//! It knows no connection and no transport. Rooms are channels; a person's inbox is the channel `@nick`;
//! who is there, what was said and who may read what is the server's business. What is left for the chat is
//! names: who is called what, and that nobody takes another's.

mod names;

use std::collections::HashMap;

use self::names::Names;
use crate::limits::TYPING_MS;
use crate::server::{App, ClientId, Command, Ctx, Object, Refusal, Request, Response};
use crate::web;

/// The chat.
#[derive(Debug, Default)]
pub struct Chat {
    names: Names,
    /// Where and when each client was last told of as typing, in milliseconds of the wall clock.
    typed: HashMap<ClientId, (String, u64)>,
}

impl Chat {
    /// A chat that nobody has entered yet.
    pub fn new() -> Chat {
        Chat::default()
    }

    /// `login {nick, secret?}`: takes a name. The reply's `secret` proves later that it was this person who
    /// took it.
    fn login(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        let nick = command.string("nick")?;
        let secret = command.optional_string("secret")?;
        let taken = self.names.take(client, nick.trim(), secret.as_deref(), |bytes| ctx.random(bytes))?;
        if let Some(freed) = taken.freed {
            ctx.clear(&inbox(&freed));
        }
        // Who is somebody else from now on reads that person's mail no more.
        if let Some(old) = ctx.user(client).map(inbox).filter(|old| *old != inbox(&taken.nick)) {
            ctx.unsubscribe(client, &old);
        }
        ctx.set_user(client, Some(&taken.nick));
        Ok(Object::new().string("user", &taken.nick).string("secret", &taken.secret))
    }

    /// `typing {ch}`: tells the room, at most once in a while, and keeps nothing of it.
    fn typing(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        let channel = command.string("ch")?;
        let user = user(ctx, client)?;
        self.on_publish(ctx, client, &channel, b"")?;
        let now = ctx.wall();
        // A clock that was set back is no reason to be silent for an hour.
        let is_recent = |(last, at): &(String, u64)| *last == channel && *at <= now && now - at < TYPING_MS;
        if !self.typed.get(&client).is_some_and(is_recent) {
            self.typed.insert(client, (channel.clone(), now));
            ctx.tell(&channel, &Object::event("typing").string("ch", &channel).string("user", &user));
        }
        Ok(Object::new())
    }

    /// `read {ch, id}`: a receipt for the author of a message, as a message in the author's inbox.
    fn read(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        let (channel, id) = (command.string("ch")?, command.string("id")?);
        let user = user(ctx, client)?;
        self.on_subscribe(ctx, client, &channel)?;
        let author =
            ctx.message(&channel, &id).and_then(|message| message.from).filter(|author| *author != user);
        if let Some(author) = author {
            let receipt = Object::new().string("receipt", "read").string("ch", &channel).string("id", &id);
            ctx.publish(&inbox(&author), Some(&user), receipt.as_bytes())?;
        }
        Ok(Object::new())
    }
}

impl App for Chat {
    fn on_command(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        match command.op() {
            "login" => self.login(ctx, client, command),
            "typing" => self.typing(ctx, client, command),
            "read" => self.read(ctx, client, command),
            other => Err(Refusal::unknown_op(other)),
        }
    }

    fn on_close(&mut self, _ctx: &mut Ctx<'_>, client: ClientId) {
        self.names.leave(client);
        self.typed.remove(&client);
    }

    fn on_request(&mut self, _ctx: &mut Ctx<'_>, request: &Request<'_>) -> Response {
        web::answer(request)
    }
}

/// The channel that is a person's inbox.
fn inbox(nick: &str) -> String {
    format!("@{nick}")
}

/// The user of a client that must be one.
fn user(ctx: &Ctx<'_>, client: ClientId) -> Result<String, Refusal> {
    let user = ctx.user(client).map(str::to_owned);
    user.ok_or_else(|| Refusal::new(403, "login_first", "Log in first: {\"op\":\"login\",\"nick\":…}."))
}
