//! The instant-messaging application. It reaches the world through [`App`] and [`Ctx`] alone: whatever it can
//! do, an application of one's own can do too.
//!
//! It knows no connection and no transport. Rooms are channels; a person's inbox is the channel `@nick`;
//! what was said, who has read how much of it and who is told is the server's business. What is left for the
//! chat is people, and what they may do.
//!
//! | file | holds |
//! |---|---|
//! | `names`, `nick`, `looks` | who is called what, and that nobody takes a name that looks like another's |
//! | `people` | who is here, looking or away |
//! | `messages` | publishing, copies for the sender's other tabs, deletion, receipts |
//! | `rooms` | the list of rooms |
//! | `receipts`, `recent` | what is known to have been read; a table that forgets |
//! | `pictures`, `image`, `strip` | pictures, what their bytes are, nothing of where they were taken |
//! | `held` | how much memory all this takes, and what of it can be given up |
//! | `moderation`, `admin` | who is muted or banned, and by whose order |

mod admin;
mod entry;
mod held;
#[doc(hidden)]
pub mod image;
mod looks;
mod messages;
mod moderation;
mod names;
#[doc(hidden)]
pub mod nick;
mod people;
mod pictures;
mod receipts;
mod recent;
mod rooms;
#[doc(hidden)]
pub mod strip;

use std::collections::{BTreeSet, HashMap};

use self::moderation::Moderation;
use self::names::Names;
use self::people::{News, People};
use self::pictures::Pictures;
use self::receipts::{Receipt, Receipts};
use self::rooms::Rooms;
use crate::limits::{
    AWAY_MS, AWAY_ROOMS_MAX, PEOPLE_LISTED_MAX, PICTURE_BYTES_DEFAULT, PICTURES_BYTES_DEFAULT, TYPING_MS,
};
use crate::server::{App, ClientId, Command, Ctx, Kept, Object, Refusal, Request, Response};
use crate::web;

/// Where pictures are.
const PICTURES: &str = "/pictures";

/// What whoever runs the chat may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rooms that are listed though nobody is in them. The first is where people begin.
    pub rooms: Vec<String>,
    /// Bytes of one picture.
    pub picture_bytes: usize,
    /// Bytes of all pictures that are kept.
    pub pictures_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            rooms: vec!["lobby".to_owned()],
            picture_bytes: PICTURE_BYTES_DEFAULT,
            pictures_bytes: PICTURES_BYTES_DEFAULT,
        }
    }
}

/// The chat.
#[derive(Debug)]
pub struct Chat {
    options: Options,
    names: Names,
    people: People,
    rooms: Rooms,
    receipts: Receipts,
    pictures: Pictures,
    moderation: Moderation,
    /// Where and when each client was last told of as typing.
    typed: HashMap<ClientId, (String, u64)>,
}

impl Default for Chat {
    fn default() -> Chat {
        Chat::new()
    }
}

impl Chat {
    /// A chat that nobody has entered yet.
    pub fn new() -> Chat {
        Chat::with(Options::default())
    }

    /// A chat with choices of one's own.
    pub fn with(options: Options) -> Chat {
        Chat {
            names: Names::default(),
            people: People::default(),
            rooms: Rooms::default(),
            receipts: Receipts::default(),
            pictures: Pictures::new(options.pictures_bytes, options.picture_bytes),
            moderation: Moderation::default(),
            typed: HashMap::new(),
            options,
        }
    }

    /// `login {nick, secret?, avatar?}`: takes a name. The reply's `secret` proves later that it was this
    /// person who took it.
    fn login(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        let nick = command.string("nick")?;
        let nick = nick.trim();
        let secret = command.optional_string("secret")?;
        let avatar = command.optional_number("avatar")?.map(hue).transpose()?;
        nick::check(nick)?;
        let spelled = self.names.spelled(nick).unwrap_or(nick);
        self.check_login(ctx, client, spelled)?;
        // How many tabs somebody has is told to nobody else.
        self.names.check_owner(client, nick, secret.as_deref())?;
        self.people.admit(spelled, client)?;
        let taken = self.names.take(client, nick, secret.as_deref(), |bytes| ctx.random(bytes))?;
        if let Some(address) = ctx.peer(client).filter(|_| taken.is_new) {
            self.moderation.count_newcomer(address, ctx.now());
        }
        if let Some(freed) = taken.freed {
            ctx.clear(&inbox(&freed));
        }
        // Who is somebody else from now on reads that person's mail no more.
        if let Some(old) = ctx.user(client).map(str::to_owned).filter(|old| *old != taken.nick) {
            ctx.unsubscribe(client, &inbox(&old));
            let news = self.people.leave(&old, client, ctx.now());
            self.announce(ctx, &old, news);
        }
        ctx.set_user(client, Some(&taken.nick));
        let news = self.people.enter(&taken.nick, client, avatar, ctx.now());
        self.announce(ctx, &taken.nick, news);
        Ok(Object::new().string("user", &taken.nick).string("secret", &taken.secret))
    }

    /// Whether a client may be called that, be it for the first time or again.
    fn check_login(&self, ctx: &Ctx<'_>, client: ClientId, nick: &str) -> Result<(), Refusal> {
        let now = ctx.now();
        self.moderation.check_name(nick, now)?;
        // Who is muted does not speak under another name either.
        if let Some(old) = ctx.user(client).filter(|old| *old != nick) {
            self.moderation.check_mute(old, now)?;
        }
        match ctx.peer(client) {
            Some(address) if self.names.spelled(nick).is_none() => {
                self.moderation.check_newcomer(address, now)
            }
            _ => Ok(()),
        }
    }

    /// `away {away}`: this client is not looked at, or again.
    fn away(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        let is_away = command.boolean("away")?;
        let user = user(ctx, client)?;
        let news = self.people.set_away(&user, client, is_away, ctx.now());
        self.announce(ctx, &user, news);
        Ok(Object::new())
    }

    /// Tells the rooms that a user reads that they are away or back, if that is news: a room once, however
    /// many of their clients read it, and so many rooms that one command is not felt by everybody else.
    fn announce(&self, ctx: &mut Ctx<'_>, user: &str, news: News) {
        let is_away = match news {
            News::None => return,
            News::Later => return ctx.set_timer(AWAY_MS, 0),
            News::Told(is_away) => is_away,
        };
        let Some(person) = self.people.find(user) else { return };
        let mut rooms = BTreeSet::new();
        for client in person.clients() {
            rooms.extend(ctx.subscriptions(client).into_iter().filter(|channel| !channel.starts_with('@')));
            if rooms.len() >= AWAY_ROOMS_MAX {
                break;
            }
        }
        for room in rooms.iter().take(AWAY_ROOMS_MAX) {
            ctx.announce(room, user, is_away);
        }
    }

    /// `people {ch}`: who is in a room, and whether they look.
    fn people(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        let channel = command.string("ch")?;
        self.on_subscribe(ctx, client, &channel)?;
        let line = |nick: &str| {
            let person = self.people.find(nick);
            let line = Object::new()
                .string("nick", nick)
                .boolean("away", person.is_some_and(|person| person.is_away));
            match person.and_then(|person| person.avatar) {
                Some(avatar) => line.number("avatar", u64::from(avatar)),
                None => line,
            }
        };
        let people: Vec<Object> = ctx.users(&channel).take(PEOPLE_LISTED_MAX).map(line).collect();
        let (count, readers) = ctx.channel(&channel).map_or((0, 0), |info| (info.users, info.readers));
        Ok(Object::new()
            .string("ch", &channel)
            .array("people", people.iter().map(Object::as_bytes))
            .boolean("more", people.len() < count)
            .number("count", count as u64)
            .number("readers", readers as u64))
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
        self.check_author(ctx, client, &channel)?;
        let now = ctx.now();
        let is_recent = |(last, at): &(String, u64)| *last == channel && now - at < TYPING_MS;
        if self.typed.get(&client).is_some_and(is_recent) {
            return Ok(Object::new());
        }
        // Only the name of a channel that is there is kept, so that nobody is made to keep any other.
        let is_read = channel.starts_with('@') || ctx.subscriptions(client).contains(&channel);
        if !is_read {
            let sentence = "Subscribe to this room before you tell it that you are typing.";
            return Err(Refusal::new(403, "subscribe_first", sentence));
        }
        if ctx.channel(&channel).is_some() {
            self.typed.insert(client, (channel.clone(), now));
            ctx.tell(&channel, &Object::event("typing").string("ch", &channel).string("user", &user));
        }
        Ok(Object::new())
    }

    /// `POST /pictures?sid=…`: leaves a picture; `GET /pictures/<id>` hands it out.
    fn picture(&mut self, ctx: &mut Ctx<'_>, request: &Request<'_>) -> Result<Response, Refusal> {
        if let Some(name) = request.path().strip_prefix(PICTURES).and_then(|path| path.strip_prefix('/')) {
            check_method(request, "GET, HEAD")?;
            return Ok(self.pictures.answer(name));
        }
        check_method(request, "POST")?;
        self.moderation.check_address(request.peer(), ctx.now())?;
        let sid = request.parameter("sid").ok_or_else(|| Refusal::missing("sid"))?;
        let owner = ctx.find(&sid).ok_or_else(Refusal::unknown_sid)?;
        let owner = user(ctx, owner)?;
        self.moderation.check_mute(&owner, ctx.now())?;
        let answer = self.pictures.keep(&owner, request.body, |bytes| ctx.random(bytes))?;
        Ok(Response::json(200, answer.into_bytes()).with_header("Cache-Control", "no-store"))
    }

    /// `GET /config`: what a page has to know before it begins.
    fn config(&self, ctx: &Ctx<'_>, request: &Request<'_>) -> Result<Response, Refusal> {
        check_method(request, "GET, HEAD")?;
        let config = ctx.config();
        let jsonp = config.jsonp.then_some("jsonp");
        let transports = ["websocket", "sse", "stream", "iframe", "poll"].into_iter().chain(jsonp);
        let answer = Object::new()
            .number("picture_bytes", self.options.picture_bytes as u64)
            .strings("rooms", self.options.rooms.iter().map(String::as_str))
            .strings("transports", transports)
            .number("text_bytes", config.bounds.message_bytes as u64)
            .string("version", env!("CARGO_PKG_VERSION"));
        Ok(Response::json(200, answer.into_bytes()).with_header("Cache-Control", "no-cache"))
    }
}

impl App for Chat {
    fn on_connect(&mut self, ctx: &mut Ctx<'_>, _: ClientId, request: &Request<'_>) -> Result<(), Refusal> {
        self.moderation.check_address(request.peer(), ctx.now())
    }

    fn on_return(&mut self, ctx: &mut Ctx<'_>, _: ClientId, request: &Request<'_>) -> Result<(), Refusal> {
        self.moderation.check_address(request.peer(), ctx.now())
    }

    /// Nobody is told anything but in a room, or in an inbox.
    fn needs_channels(&mut self) -> bool {
        true
    }

    fn check_length(&mut self, request: &Request<'_>, length: u64) -> Result<(), Refusal> {
        if request.path() == PICTURES { self.pictures.check_length(length) } else { Ok(()) }
    }

    fn on_command(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        match command.op() {
            "login" => self.login(ctx, client, command),
            "rooms" => Ok(self.rooms.list(ctx, &self.options.rooms)),
            "people" => self.people(ctx, client, command),
            "away" => self.away(ctx, client, command),
            "typing" => self.typing(ctx, client, command),
            "read" => self.receipt(ctx, client, command, Receipt::Read),
            "received" => self.receipt(ctx, client, command, Receipt::Delivered),
            "delete" => self.delete(ctx, client, command),
            other => Err(Refusal::unknown_op(other)),
        }
    }

    fn on_publish(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        channel: &str,
        data: &[u8],
    ) -> Result<(), Refusal> {
        self.check_author(ctx, client, channel)?;
        messages::check_data(channel, data)?;
        self.check_copy(ctx, channel, data)
    }

    fn on_open_publish(&mut self, channel: &str, data: &[u8]) -> Result<(), Refusal> {
        messages::check_data(channel, data)
    }

    fn on_published(&mut self, ctx: &mut Ctx<'_>, _: ClientId, channel: &str, message: &Kept) {
        self.copy(ctx, channel, message);
    }

    fn on_timer(&mut self, ctx: &mut Ctx<'_>, _: u64) {
        if let Some((nick, news)) = self.people.look_later(ctx.now()) {
            self.announce(ctx, &nick, news);
        }
    }

    fn on_close(&mut self, ctx: &mut Ctx<'_>, client: ClientId) {
        self.typed.remove(&client);
        if let Some(nick) = self.names.leave(client) {
            let news = self.people.leave(&nick, client, ctx.now());
            self.announce(ctx, &nick, news);
        }
    }

    fn held(&mut self) -> usize {
        self.bytes()
    }

    fn relieve(&mut self, bytes: usize) {
        self.give_up(bytes);
    }

    fn on_request(&mut self, ctx: &mut Ctx<'_>, request: &Request<'_>) -> Response {
        let path = request.path();
        if path.starts_with(admin::PATH) {
            return self.admin(ctx, request);
        }
        let answer = match path {
            "/config" => self.config(ctx, request),
            _ if path == PICTURES || path.starts_with("/pictures/") => self.picture(ctx, request),
            _ => return web::answer(request),
        };
        answer.unwrap_or_else(|refusal| refusal.to_response())
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

fn no_such_user() -> Refusal {
    Refusal::new(404, "no_such_user", "Nobody of this name was ever here; a name is spelled as it was taken.")
}

/// A hue in degrees.
fn hue(degrees: u64) -> Result<u16, Refusal> {
    let hue = u16::try_from(degrees).ok().filter(|degrees| *degrees < 360);
    hue.ok_or_else(|| Refusal::bad_value("avatar", "a hue from 0 to 359"))
}

/// Refuses every method but those.
fn check_method(request: &Request<'_>, methods: &'static str) -> Result<(), Refusal> {
    if methods.split(", ").any(|method| method == request.method()) {
        return Ok(());
    }
    let refusal = Refusal::new(405, "method_not_allowed", format!("This path takes {methods}."));
    Err(refusal.with_field("Allow", methods))
}
