//! The surface for applications: callbacks, and what may be done from within them.
//!
//! The names are WorkerMan's, as far as Rust lets them be: `onConnect`, `onMessage`, `onClose` are
//! [`App::on_connect`], [`App::on_message`], [`App::on_close`]; a connection's `send`, `close` and the
//! `Timer` are methods of [`Ctx`]. The chat in `chat/` is written on this surface and on nothing else.
//!
//! An application never waits and is never called from within one of its own calls: what it publishes or
//! closes takes effect when the turn comes to it.

use std::net::IpAddr;

use super::client::{ClientId, Sid};
use super::command::Command;
use super::config::Config;
use super::hall::Hall;
use super::object::Object;
use super::peer::Peer;
use super::refusal::Refusal;
use super::rights::Right;
use crate::hub::{ChannelInfo, Data, PresenceEvent};
use crate::reactor::Links;
use crate::wire::http::Head;
use crate::wire::response::Response;
use crate::wire::target::Target;

/// A WebSocket message (RFC 6455, section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

/// A request for plain HTTP, its body whole.
#[derive(Debug)]
pub struct Request<'a> {
    /// The request line and the fields, checked.
    pub head: &'a Head<'a>,
    /// The path and the query.
    pub target: Target<'a>,
    /// The body, decoded.
    pub body: &'a [u8],
    pub(super) peer: Peer,
    /// The subprotocol that a WebSocket of the application's own is opened with: the first of
    /// [`Config::subprotocols`](super::Config::subprotocols) that the client asked for.
    pub subprotocol: Option<&'static str>,
}

impl<'a> Request<'a> {
    /// The request of that head.
    pub(super) fn of(head: &'a Head<'a>, body: &'a [u8], peer: Peer) -> Request<'a> {
        Request { head, target: Target::parse(head.path_and_query()), body, peer, subprotocol: None }
    }

    /// The address of who sent it: the socket's, or the one that a trusted proxy names.
    pub fn peer(&self) -> IpAddr {
        self.peer.address()
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.head.method
    }

    /// The path, not decoded.
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The first value of a field, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The first value of a query parameter. Values with broken escapes count as absent.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.target.query().filter_map(Result::ok);
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// An application. Every callback has a default, so that one implements what one needs.
///
/// An application may be built on another one, which [`App::base`] gives: then every callback that it does
/// not implement is the other's, and those that it does may call the other's or not. `examples/dice.rs` adds
/// a command to the chat in this way.
pub trait App {
    /// The application that this one is built on.
    fn base(&mut self) -> Option<&mut dyn App> {
        None
    }

    /// The server is about to serve. The place to start timers.
    fn on_start(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(base) = self.base() {
            base.on_start(ctx);
        }
    }

    /// A client appeared. `request` is the one that brought it.
    ///
    /// # Errors
    /// A refusal turns the client away; `on_close` is then not called.
    fn on_connect(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        self.base().map_or(Ok(()), |base| base.on_connect(ctx, client, request))
    }

    /// A client shows its sid again: `request` is one to read, or to send commands. It may come from another
    /// address than the last.
    ///
    /// # Errors
    /// A refusal is the answer to the request. The client stays as it was.
    fn on_return(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        self.base().map_or(Ok(()), |base| base.on_return(ctx, client, request))
    }

    /// A message came that is no command: any on a WebSocket of an application's own
    /// ([`Config::comet`](super::Config::comet) off), binary ones elsewhere.
    fn on_message(&mut self, ctx: &mut Ctx<'_>, client: ClientId, message: Message<'_>) {
        if let Some(base) = self.base() {
            return base.on_message(ctx, client, message);
        }
        let error =
            Object::new().string("code", "binary").string("message", "Send commands as text messages.");
        ctx.send(client, &Object::event("reply").boolean("ok", false).object("error", &error));
    }

    /// A command came that the server does not know. The answer's members go into the reply.
    ///
    /// # Errors
    /// A refusal becomes the reply's `error`.
    fn on_command(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        match self.base() {
            Some(base) => base.on_command(ctx, client, command),
            None => Err(Refusal::unknown_op(command.op())),
        }
    }

    /// Whether a reader that names no channel can never be told anything. Then a stream or a poll without
    /// `ch` is refused, unless it shows a sid, or says with an empty one, `sid=`, that it will subscribe by
    /// `/send`. Say so if your application sends events to readers of channels alone, and subscribes nobody
    /// by itself.
    fn needs_channels(&mut self) -> bool {
        self.base().is_some_and(App::needs_channels)
    }

    /// A client wants to read a channel.
    ///
    /// # Errors
    /// A refusal keeps it out. By default `@name` is read by the user of that name alone.
    fn on_subscribe(&mut self, ctx: &mut Ctx<'_>, client: ClientId, channel: &str) -> Result<(), Refusal> {
        if let Some(base) = self.base() {
            return base.on_subscribe(ctx, client, channel);
        }
        match channel.strip_prefix('@') {
            Some(owner) if ctx.user(client) != Some(owner) => {
                Err(Refusal::new(403, "not_yours", "This inbox is read by its owner alone; log in as them."))
            }
            _ => Ok(()),
        }
    }

    /// A client wants to publish `data`, canonical JSON, to a channel. `from` will be the user it is logged
    /// in as, if any.
    ///
    /// # Errors
    /// A refusal keeps the message out. By default an inbox takes messages from users alone.
    fn on_publish(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        channel: &str,
        data: &[u8],
    ) -> Result<(), Refusal> {
        if let Some(base) = self.base() {
            return base.on_publish(ctx, client, channel, data);
        }
        if channel.starts_with('@') && ctx.user(client).is_none() {
            return Err(Refusal::new(403, "login_first", "Log in before you write to somebody's inbox."));
        }
        Ok(())
    }

    /// Somebody who is no client and shows no publish key publishes `data`, canonical JSON, to a room over
    /// HTTP.
    ///
    /// # Errors
    /// A refusal keeps the message out. By default every one is let in.
    fn on_open_publish(&mut self, channel: &str, data: &[u8]) -> Result<(), Refusal> {
        self.base().map_or(Ok(()), |base| base.on_open_publish(channel, data))
    }

    /// A client has published a message. One that is sent again with its key is not published again, and
    /// this is not called again.
    fn on_published(&mut self, ctx: &mut Ctx<'_>, client: ClientId, channel: &str, message: &Kept) {
        if let Some(base) = self.base() {
            base.on_published(ctx, client, channel, message);
        }
    }

    /// A client is gone: it said so, or it did not come back within the grace period.
    fn on_close(&mut self, ctx: &mut Ctx<'_>, client: ClientId) {
        if let Some(base) = self.base() {
            base.on_close(ctx, client);
        }
    }

    /// A timer set with [`Ctx::set_timer`] has come. All applications that are built on one another share the
    /// tags: one that has timers of its own chooses tags that its base has not, and passes on the others. The
    /// chat's is 0.
    fn on_timer(&mut self, ctx: &mut Ctx<'_>, tag: u64) {
        if let Some(base) = self.base() {
            base.on_timer(ctx, tag);
        }
    }

    /// Bytes that the application holds for clients: counted to the memory budget, so it should be cheap to
    /// tell. What grows with what clients do belongs into it, and so does what its base holds.
    fn held(&mut self) -> usize {
        self.base().map_or(0, App::held)
    }

    /// The memory budget is nearly spent, and old history has gone: that many bytes should be given up, if
    /// there are any that can be missed. Connections are ended next.
    fn relieve(&mut self, bytes: usize) {
        if let Some(base) = self.base() {
            base.relieve(bytes);
        }
    }

    /// A request announces a body of `length` bytes, 0 if its length is not known yet, and asks whether to
    /// send it (`Expect: 100-continue`; RFC 9110, section 10.1.1). `request` has no body yet.
    ///
    /// # Errors
    /// A refusal is the answer, and the body is not sent: for one that [`App::on_request`] would refuse
    /// whatever is in it.
    fn check_length(&mut self, request: &Request<'_>, length: u64) -> Result<(), Refusal> {
        self.base().map_or(Ok(()), |base| base.check_length(request, length))
    }

    /// A request came for a path that is not the server's. Its method is one that HTTP knows, unless
    /// [`Config::comet`](super::Config::comet) is off: others were answered with 501.
    fn on_request(&mut self, ctx: &mut Ctx<'_>, request: &Request<'_>) -> Response {
        match self.base() {
            Some(base) => base.on_request(ctx, request),
            None => Response::problem(404, "not_found", "There is nothing at this path."),
        }
    }
}

/// A message that a channel keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// Its number in the log: of two messages the later one has the greater.
    pub seq: u64,
    /// Its author, if that is a user.
    pub from: Option<String>,
    /// What it says, as canonical JSON.
    pub data: Vec<u8>,
}

/// What an application may do from within a callback.
#[derive(Debug)]
pub struct Ctx<'a> {
    pub(super) hall: &'a mut Hall,
    pub(super) links: &'a mut Links,
}

impl Ctx<'_> {
    /// Sends an event to one client, on whichever transport it reads. The event stands outside the log: a
    /// client without a connection does not get it, and neither does one that has too much waiting already.
    /// Returns whether it was taken.
    pub fn send(&mut self, client: ClientId, event: &Object) -> bool {
        self.hall.send(self.links, client, event)
    }

    /// Sends a message as it is to a client on a WebSocket of the application's own. Returns whether it was
    /// taken: not by other clients, and not by one that has gone.
    pub fn send_message(&mut self, client: ClientId, message: Message<'_>) -> bool {
        self.hall.send_message(self.links, client, message)
    }

    /// Sends an event to all who read a channel now, outside the log: nobody finds it there later, and
    /// whoever is behind with reading never gets it.
    pub fn tell(&mut self, channel: &str, event: &Object) {
        self.hall.tell(self.links, channel, event);
    }

    /// Publishes `data`, which must be canonical JSON (an [`Object`]'s bytes, say). Returns the message's id.
    ///
    /// # Errors
    /// The channel's name is bad, the message too long, or there are too many channels.
    pub fn publish(&mut self, channel: &str, from: Option<&str>, data: &[u8]) -> Result<String, Refusal> {
        self.hall.publish(channel, from, Data::Json(data))
    }

    /// Puts other data into a message that is kept, for good, in its place and under its author: who has not
    /// read it yet, and whoever looks into the history, finds it with these. Nobody is told; who has read it
    /// has it as it was. Returns whether there is such a message.
    ///
    /// # Errors
    /// The data is too long.
    pub fn redact(&mut self, channel: &str, id: &str, data: &[u8]) -> Result<bool, Refusal> {
        self.hall.redact(channel, id, data)
    }

    /// Forgets what a channel keeps. Readers that were behind are told of the gap.
    pub fn clear(&mut self, channel: &str) {
        self.hall.hub.clear(channel);
    }

    /// Makes a client read a channel from now on.
    ///
    /// # Errors
    /// The channel's name is bad, there are too many channels or subscriptions, or no memory for one more.
    pub fn subscribe(&mut self, client: ClientId, channel: &str) -> Result<(), Refusal> {
        self.hall.subscribe(self.links, client, channel)
    }

    /// Makes a client read a channel no more.
    pub fn unsubscribe(&mut self, client: ClientId, channel: &str) {
        self.hall.unsubscribe(client, channel);
    }

    /// Ends a client: it is told why, its connection closes, and [`App::on_close`] follows.
    pub fn close(&mut self, client: ClientId, why: &str) {
        self.hall.dismiss(self.links, client, why);
    }

    /// Tells a channel that its user is away, or back. That is news and no more: the list of users is changed
    /// by coming and going alone.
    pub fn announce(&mut self, channel: &str, user: &str, is_away: bool) {
        let event = if is_away { PresenceEvent::Away } else { PresenceEvent::Back };
        self.hall.hub.announce(channel, user, event);
    }

    /// Names the user a client is logged in as, or none. What it publishes is from that user, and the
    /// channels it reads show it present.
    pub fn set_user(&mut self, client: ClientId, user: Option<&str>) {
        self.hall.set_user(client, user);
    }

    /// The user a client is logged in as.
    pub fn user(&self, client: ClientId) -> Option<&str> {
        self.hall.user(client)
    }

    /// Whether a client still exists.
    pub fn is_present(&self, client: ClientId) -> bool {
        self.hall.clients.is_present(client)
    }

    /// The address a client reads from, or read from last. None for one that has gone.
    pub fn peer(&self, client: ClientId) -> Option<IpAddr> {
        self.hall.peer(client)
    }

    /// All clients, in no particular order.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.hall.clients.iter().map(|(client, _)| client)
    }

    /// The users present in a channel, in order of their names.
    pub fn users(&self, channel: &str) -> impl Iterator<Item = &str> {
        let id = self.hall.hub.find(channel);
        id.into_iter().flat_map(|id| self.hall.hub.users(id)).map(|(user, _)| user)
    }

    /// About a channel, if it is open.
    pub fn channel(&self, channel: &str) -> Option<ChannelInfo<'_>> {
        self.hall.hub.find(channel).and_then(|id| self.hall.hub.channel(id))
    }

    /// About every open channel, in no particular order. There may be many.
    pub fn channels(&self) -> impl Iterator<Item = ChannelInfo<'_>> {
        self.hall.hub.channels()
    }

    /// The channels a client reads.
    pub fn subscriptions(&self, client: ClientId) -> Vec<String> {
        self.hall.subscriptions(client)
    }

    /// A kept message, by its id.
    pub fn message(&self, channel: &str, id: &str) -> Option<Kept> {
        self.hall.message(channel, id)
    }

    /// The first message that a channel keeps after a place in the log. The id of a message of any channel
    /// is one.
    pub fn message_after(&self, channel: &str, id: &str) -> Option<Kept> {
        self.hall.message_after(channel, id)
    }

    /// The client that a sid names. Whoever shows one is that client.
    pub fn find(&self, sid: &str) -> Option<ClientId> {
        self.hall.clients.find(&Sid::parse(sid)?)
    }

    /// Whether a request shows the publish key: it comes from a back end, or from whoever runs the server.
    ///
    /// # Errors
    /// It does not: the refusal says what is needed.
    pub fn authorize(&self, request: &Request<'_>) -> Result<(), Refusal> {
        self.hall.permit(Right::Operate, request)
    }

    /// How the server was set up.
    pub fn config(&self) -> &Config {
        &self.hall.config
    }

    /// Calls [`App::on_timer`] with `tag` in `ms` milliseconds.
    pub fn set_timer(&mut self, ms: u64, tag: u64) {
        self.hall.set_timer(self.links, ms, tag);
    }

    /// Fills `bytes` from the system's random source.
    pub fn random(&mut self, bytes: &mut [u8]) {
        (self.hall.entropy)(bytes);
    }

    /// Milliseconds of a clock that is never set back, since some moment before the start.
    pub fn now(&self) -> u64 {
        self.links.now().as_millis()
    }

    /// The wall clock: milliseconds since 1970. It may be set back.
    pub fn wall(&self) -> u64 {
        self.links.wall()
    }
}
