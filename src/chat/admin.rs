//! Moderation over HTTP: what whoever runs the server may do to those who chat.
//!
//! Every request here is authorised like one of a back end, with the publish key, or from this machine
//! without one. What is decided is carried out at once: clients are closed, rooms are told.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::moderation::network;
use super::people::Person;
use super::{Chat, inbox};
use crate::limits::{NOTICE_ROOMS_MAX, PEOPLE_LISTED_MAX};
use crate::server::{ClientId, Command, Ctx, Object, Refusal, Request, Response};

/// What the paths of this file begin with.
pub(super) const PATH: &str = "/admin/";

impl Chat {
    /// Answers a request for one of the paths below [`PATH`].
    pub(super) fn admin(&mut self, ctx: &mut Ctx<'_>, request: &Request<'_>) -> Response {
        match self.moderate(ctx, request) {
            Ok(answer) => {
                Response::json(200, Object::new().boolean("ok", true).members(&answer).into_bytes())
                    .with_header("Cache-Control", "no-store")
            }
            Err(refusal) => refusal.to_response(),
        }
    }

    fn moderate(&mut self, ctx: &mut Ctx<'_>, request: &Request<'_>) -> Result<Object, Refusal> {
        ctx.authorize(request)?;
        let action = request.path().strip_prefix(PATH).unwrap_or_default();
        if action == "users" {
            super::check_method(request, "GET, HEAD")?;
            return Ok(self.users(ctx, request.parameter("user").as_deref()));
        }
        let act = match action {
            "kick" => Chat::kick,
            "mute" => Chat::mute,
            "ban" => Chat::ban,
            "clear" => Chat::clear,
            "notice" => Chat::notice,
            _ => return Err(Refusal::new(404, "not_found", "There is no such thing to do.")),
        };
        super::check_method(request, "POST")?;
        let text = std::str::from_utf8(request.body)
            .map_err(|_| Refusal::new(400, "bad_json", "The body must be one JSON object in UTF-8."))?;
        act(self, ctx, &Command::members(text)?)
    }

    /// `{"user","why"?}`: ends all clients of somebody, who may come back.
    fn kick(&mut self, ctx: &mut Ctx<'_>, order: &Command<'_>) -> Result<Object, Refusal> {
        let nick = self.known(order)?;
        let clients = self.clients_of(&nick);
        if clients.is_empty() {
            return Err(Refusal::new(404, "not_here", "Nobody of this name is here now."));
        }
        tell_why(ctx, &nick, order)?;
        clients.iter().for_each(|client| ctx.close(*client, "kicked"));
        Ok(Object::new().number("clients", clients.len() as u64))
    }

    /// `{"user","seconds","why"?}`: somebody may read, and not write. With them go strangers and newcomers of
    /// the addresses that they are here from.
    fn mute(&mut self, ctx: &mut Ctx<'_>, order: &Command<'_>) -> Result<Object, Refusal> {
        let (nick, seconds) = (self.known(order)?, seconds(order)?);
        self.moderation.mute(&nick, seconds, ctx.now())?;
        for address in self.addresses_of(ctx, &nick) {
            self.moderation.hush(address, seconds, ctx.now())?;
        }
        tell_why(ctx, &nick, order)?;
        Ok(Object::new())
    }

    /// `{"user"|"address","seconds","why"?}`: keeps somebody out. With a user go the addresses that they are
    /// here from, but for this machine's own: behind a proxy that is everybody's. They are lifted together.
    fn ban(&mut self, ctx: &mut Ctx<'_>, order: &Command<'_>) -> Result<Object, Refusal> {
        let (seconds, now) = (seconds(order)?, ctx.now());
        let mut addresses = BTreeSet::new();
        let mut clients = Vec::new();
        if let Some(address) = order.optional_string("address")? {
            let address = address.parse().map_err(|_| Refusal::bad_value("address", "an IP address"))?;
            self.moderation.ban_address(address, seconds, now)?;
            addresses.insert(network(address));
        } else if seconds == 0 {
            let nick = order.string("user")?;
            addresses = self.moderation.lift(&nick);
            let nick = self.names.spelled(&nick).unwrap_or_default().to_owned();
            tell_why(ctx, &nick, order)?;
        } else {
            let nick = order.string("user")?;
            self.moderation.ban(&nick, seconds, now)?;
            // A name may be kept from people before anybody has taken it.
            let nick = self.names.spelled(&nick).unwrap_or_default().to_owned();
            clients = self.clients_of(&nick);
            addresses = self.addresses_of(ctx, &nick);
            tell_why(ctx, &nick, order)?;
            for address in &addresses {
                self.moderation.ban_along(&nick, *address, seconds, now)?;
            }
        }
        if seconds > 0 {
            let is_banned = |client: &ClientId| {
                ctx.peer(*client).is_some_and(|address| addresses.contains(&network(address)))
            };
            clients.extend(ctx.clients().filter(is_banned));
            clients.sort_unstable();
            clients.dedup();
            clients.iter().for_each(|client| ctx.close(*client, "banned"));
        }
        let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        Ok(Object::new()
            .strings("addresses", addresses.iter().map(String::as_str))
            .number("clients", clients.len() as u64))
    }

    /// `{"ch"}`: forgets what a room keeps, and tells those who have it on their screens.
    fn clear(&mut self, ctx: &mut Ctx<'_>, order: &Command<'_>) -> Result<Object, Refusal> {
        let room = order.string("ch")?;
        if ctx.channel(&room).is_none() {
            return Err(Refusal::new(404, "no_channel", "There is no such room now."));
        }
        ctx.clear(&room);
        ctx.publish(&room, None, Object::new().boolean("cleared", true).as_bytes())?;
        Ok(Object::new())
    }

    /// `{"text"}`: tells every room in which somebody is. Who is in several knows the notice by its nonce.
    fn notice(&mut self, ctx: &mut Ctx<'_>, order: &Command<'_>) -> Result<Object, Refusal> {
        let text = order.string("text")?;
        let read = ctx.channels().filter(|channel| channel.readers > 0 && !channel.name.starts_with('@'));
        let mut rooms: Vec<(Reverse<usize>, String)> =
            read.map(|room| (Reverse(room.readers), room.name.to_string())).collect();
        rooms.sort_unstable();
        rooms.truncate(NOTICE_ROOMS_MAX);
        let mut nonce = [0; 9];
        ctx.random(&mut nonce);
        let notice = Object::new().string("notice", &text).string("nonce", &URL_SAFE_NO_PAD.encode(nonce));
        for (_, room) in &rooms {
            ctx.publish(room, None, notice.as_bytes())?;
        }
        Ok(Object::new().number("rooms", rooms.len() as u64))
    }

    /// Who is here, and who may not be or may not speak; one of them if asked for one.
    fn users(&self, ctx: &Ctx<'_>, only: Option<&str>) -> Object {
        let until = |left: u64| ctx.wall() + left;
        let mut here = self.people.iter().filter(|(nick, _)| only.is_none_or(|only| only == *nick));
        let users: Vec<Object> =
            here.by_ref().take(PEOPLE_LISTED_MAX).map(|(nick, person)| user(ctx, nick, person)).collect();
        let list = |whom: &str, left: u64| Object::new().string("user", whom).number("until", until(left));
        let now = ctx.now();
        let muted: Vec<Object> =
            self.moderation.muted.iter(now).map(|(nick, left)| list(nick, left)).collect();
        let banned = self.moderation.banned.iter(now).map(|(nick, left)| list(nick, left));
        let networks = self.moderation.networks.iter(now).map(|(address, left)| {
            Object::new().string("address", &address.to_string()).number("until", until(left))
        });
        let banned: Vec<Object> = banned.chain(networks).collect();
        Object::new()
            .number("count", self.people.len() as u64)
            .array("users", users.iter().map(Object::as_bytes))
            .boolean("more", here.next().is_some())
            .array("muted", muted.iter().map(Object::as_bytes))
            .array("banned", banned.iter().map(Object::as_bytes))
    }

    /// The user of an order, as the name is spelled.
    fn known(&self, order: &Command<'_>) -> Result<String, Refusal> {
        let nick = order.string("user")?;
        self.names.spelled(&nick).map(str::to_owned).ok_or_else(super::no_such_user)
    }

    /// Where somebody is here from, but for this machine itself and trusted proxies: that is everybody.
    fn addresses_of(&self, ctx: &Ctx<'_>, nick: &str) -> BTreeSet<IpAddr> {
        let peers = self.clients_of(nick).into_iter().filter_map(|client| ctx.peer(client));
        let proxies = &ctx.config().trusted_proxies;
        let is_everybody =
            |address: &IpAddr| address.is_loopback() || proxies.iter().any(|proxy| proxy.has(*address));
        peers.filter(|address| !is_everybody(address)).map(network).collect()
    }

    fn clients_of(&self, nick: &str) -> Vec<ClientId> {
        self.people.find(nick).into_iter().flat_map(Person::clients).collect()
    }
}

fn seconds(order: &Command<'_>) -> Result<u64, Refusal> {
    order.optional_number("seconds")?.ok_or_else(|| Refusal::missing("seconds"))
}

/// Leaves word in somebody's inbox, so that it is found on whichever transport and however late.
fn tell_why(ctx: &mut Ctx<'_>, nick: &str, order: &Command<'_>) -> Result<(), Refusal> {
    if let Some(why) = order.optional_string("why")?.filter(|_| !nick.is_empty()) {
        ctx.publish(&inbox(nick), None, Object::new().string("notice", &why).as_bytes())?;
    }
    Ok(())
}

/// One line of the list of users.
fn user(ctx: &Ctx<'_>, nick: &str, person: &Person) -> Object {
    let (mut addresses, mut rooms) = (BTreeSet::new(), BTreeSet::new());
    for client in person.clients() {
        addresses.extend(ctx.peer(client).map(|address| address.to_string()));
        rooms.extend(ctx.subscriptions(client).into_iter().filter(|channel| !channel.starts_with('@')));
    }
    Object::new()
        .string("user", nick)
        .number("clients", person.clients().count() as u64)
        .boolean("away", person.is_away)
        .strings("addresses", addresses.iter().map(String::as_str))
        .strings("rooms", rooms.iter().map(String::as_str))
}
