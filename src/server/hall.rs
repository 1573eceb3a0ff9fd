//! Everything the server holds, and the small acts that the rest of it is made of.
//!
//! The hall is where the three pillars meet: sessions (what bytes mean), clients (who they are from) and
//! the hub (what is said). It knows no route and calls no application; what an application is owed is kept in
//! a queue until [`Server`](super::Server) pays it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use log::{debug, warn};
use slab::Slab;

use super::Entropy;
use super::app::Message;
use super::client::ClientId;
use super::client::{Clients, Expiry};
use super::config::Config;
use super::delivery::Runs;
use super::memory::{self, Pressure};
use super::object::Object;
use super::peer::Peer;
use super::quota::{Kind, Quotas};
use super::refusal::Refusal;
use super::session::Session;
use super::timer::Timer;
use super::transport::Transport;
use crate::account::{self, Image, Part};
use crate::defect::Defect;
use crate::hub::{self, Bounds, Data, Hub, Item, NO_EPOCH, ReaderId, Start};
use crate::limits::{
    CLIENT_COST, CLIENTS_PER_CONNECTION, EVENT_COST, HEAD_MS, HIGH_WATER_BYTES, PROXY_MS, RETRY_MS_MAX,
    RETRY_MS_MIN, SEND_QUEUE_BYTES_MAX, SWEEP_CHANNELS, SWEEP_MS, TELL_READERS_MAX,
};
use crate::reactor::{ConnId, Links, Why};
use crate::wire::deflate::{Deflater, Inflater};
use crate::wire::response::httpdate;
use crate::wire::ws::Opcode;
use crate::work;

/// See the top of this file.
pub struct Hall {
    pub(super) config: Config,
    pub(super) hub: Hub,
    /// Under the slot numbers of the links.
    pub(super) sessions: Vec<Session>,
    pub(super) clients: Clients,
    pub(super) entropy: Entropy,
    /// Images made in this turn for readers at the same place.
    pub(super) runs: Runs,
    /// The program's one compressor, and the one for the other way.
    pub(super) deflater: Deflater,
    pub(super) inflater: Inflater,
    /// What is taken from the hub passes through here; kept for its memory.
    pub(super) items: Vec<Item>,
    /// Clients that are gone and whose application has not been told yet.
    pub(super) departed: VecDeque<ClientId>,
    /// The applications' timers: their tags.
    timers: Slab<u64>,
    /// A sweep's timer is out.
    sweeping: bool,
    /// The `Date` of this second.
    pub(super) date: (u64, String),
    /// Mixed into the retry times that clients are told.
    jitter: u64,
    pub(super) quotas: Quotas,
    /// Whose request or frame is being carried out, for what is counted by address.
    /// None for who shows the publish key.
    pub(super) caller: Option<Peer>,
    /// A proxy stands in front of this server: an option says so, or a request has shown it.
    pub(super) has_proxy: bool,
    /// The slot at which the next connection to end for another is looked for.
    pub(super) idle_hand: usize,
    /// How near the memory budget is, and what was given up for it.
    pub(super) pressure: Pressure,
}

impl Hall {
    pub(super) fn new(config: Config, mut entropy: Entropy) -> Hall {
        let (mut epoch, mut jitter, mut key_secret) = ([0; 4], [0; 8], [0; 16]);
        entropy(&mut epoch);
        entropy(&mut jitter);
        entropy(&mut key_secret);
        let readers = config.bounds.readers.min(config.connections.saturating_mul(CLIENTS_PER_CONNECTION));
        let mut secret = [0; 8];
        entropy(&mut secret);
        let secret = u64::from_be_bytes(secret);
        let quotas = Quotas::new(config.limits, config.connections, config.trusted_proxies.clone(), secret);
        let log_bytes = config.bounds.log_bytes.min(memory::log_share(config.memory));
        let keys = config.bounds.keys.min(memory::keys_share(config.memory));
        let bounds = Bounds { readers, log_bytes, keys, ..config.bounds };
        Hall {
            hub: Hub::new(u32::from_be_bytes(epoch).max(NO_EPOCH + 1), key_secret, bounds),
            has_proxy: config.names_proxy(),
            config,
            sessions: Vec::new(),
            clients: Clients::new(&mut *entropy),
            entropy,
            runs: Runs::default(),
            deflater: Deflater::default(),
            inflater: Inflater::default(),
            items: Vec::new(),
            departed: VecDeque::new(),
            timers: Slab::new(),
            sweeping: false,
            date: (u64::MAX, String::new()),
            // An odd number, so that it never becomes zero.
            jitter: u64::from_be_bytes(jitter) | 1,
            quotas,
            caller: None,
            idle_hand: 0,
            pressure: Pressure::default(),
        }
    }

    /// Bytes of the small tables.
    pub(super) fn tables_held(&self) -> usize {
        let items = self.items.capacity() * size_of::<Item>();
        let departed = self.departed.capacity() * size_of::<ClientId>();
        items + departed + self.quotas.held() + self.timers.capacity() * 2 * size_of::<u64>()
    }

    /// Begins a turn.
    pub(super) fn set_time(&mut self, links: &Links) {
        self.hub.set_time(links.now().as_millis(), links.wall());
        let second = links.wall() / 1000;
        if self.date.0 != second {
            self.date = (second, httpdate(links.wall()));
        }
    }

    // Connections.

    pub(super) fn session(&mut self, id: ConnId) -> &mut Session {
        &mut self.sessions[id.slot()]
    }

    pub(super) fn open_session(&mut self, links: &mut Links, id: ConnId, socket: SocketAddr) {
        if self.sessions.len() <= id.slot() {
            self.sessions.resize_with(id.slot() + 1, Session::default);
        }
        let peer = Peer::of_socket(socket, &self.config.trusted_proxies);
        let owes_proxy = self.config.proxy_protocol;
        self.sessions[id.slot()] = Session::new(peer, owes_proxy);
        if owes_proxy && !peer.is_within(&self.config.trusted_proxies) {
            warn!("{id} from {socket} is no trusted proxy; name it with --trusted-proxy if it is yours");
            self.drop_connection(links, id, Why::Aborted);
            return;
        }
        if !owes_proxy {
            self.count_connection(links, id, peer);
        }
        links.set_deadline(id, links.now().after(if owes_proxy { PROXY_MS } else { HEAD_MS }));
    }

    // Clients.

    pub(super) fn reader(&self, client: ClientId) -> Option<ReaderId> {
        self.clients.get(client).map(|_| client.reader())
    }

    /// A new client, with a reader of its own.
    pub(super) fn admit(
        &mut self,
        links: &Links,
        transport: Transport,
        peer: Peer,
    ) -> Result<ClientId, Refusal> {
        self.admit_memory(links)?;
        self.count(links, Kind::Client)?;
        work::spend(CLIENT_COST);
        let reader = match self.hub.join() {
            Err(hub::Refusal::TooManyReaders) if self.end_absent() => self.hub.join()?,
            joined => joined?,
        };
        Ok(self.clients.insert(reader, transport, peer))
    }

    /// The client speaks over `id` from now on.
    pub(super) fn attach(&mut self, client: ClientId, id: ConnId, transport: Transport) {
        self.session(id).set_client(Some(client.slot));
        if let Some(client) = self.clients.get_mut(client) {
            client.set_conn(id);
            client.transport = transport;
        }
    }

    /// The client speaks over `id` no more. It is present for the grace period and gone after it.
    pub(super) fn detach(&mut self, links: &mut Links, id: ConnId) {
        let Some(slot) = self.session(id).client() else { return };
        self.session(id).set_client(None);
        let Some((client, held)) = self.clients.at(slot) else { return };
        if held.conn() != Some(id) {
            return;
        }
        // A socket of the application's has no sid to come back with.
        if held.transport.is_raw() {
            self.remove(client);
            return;
        }
        let grace_ms = if Defect::Grace.is_on() { 0 } else { self.config.grace_ms };
        let expires = links.now().after(grace_ms);
        if self.clients.expire_at(client, expires) {
            links.set_timer(expires, Timer::Client(client).key());
        }
    }

    /// The client of a connection.
    pub(super) fn client_of(&self, id: ConnId) -> Option<ClientId> {
        let slot = self.sessions[id.slot()].client()?;
        let (client, held) = self.clients.at(slot)?;
        (held.conn() == Some(id)).then_some(client)
    }

    /// A client's grace period may be over.
    pub(super) fn expire(&mut self, links: &mut Links, client: ClientId) {
        match self.clients.timer_came(client, links.now()) {
            Expiry::Never => {}
            Expiry::At(instant) => links.set_timer(instant, Timer::Client(client).key()),
            Expiry::Now => self.remove(client),
        }
    }

    /// The client is gone: its subscriptions end, and the application is told in its time.
    pub(super) fn remove(&mut self, client: ClientId) {
        if self.turn_away(client) {
            self.departed.push_back(client);
        }
    }

    /// Ends a client that the application knows nothing of, or turned away itself. Whether there was one.
    pub(super) fn turn_away(&mut self, client: ClientId) -> bool {
        let was_there = self.clients.remove(client).is_some();
        if was_there {
            self.hub.leave(client.reader());
        }
        was_there
    }

    /// Milliseconds after which a client that is sent away should come back: another number for each, so
    /// that they don't all come at once.
    pub(super) fn retry_ms(&mut self) -> u64 {
        // A step of xorshift64: not secret, only spread.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        RETRY_MS_MIN + self.jitter % (RETRY_MS_MAX - RETRY_MS_MIN)
    }

    /// Whether it is on a socket of the application's own.
    pub(super) fn is_raw(&self, client: ClientId) -> bool {
        self.clients.get(client).is_some_and(|held| held.transport.is_raw())
    }

    /// Answers a command that came over the client's own stream. However slowly it reads, the answer is
    /// kept: it is the next command that has to wait.
    pub(super) fn send_reply(&mut self, links: &mut Links, client: ClientId, reply: &Object) {
        if let Some((id, transport)) = self.clients.line(client) {
            // What is made to be sent counts as what was read does, as with an answer over HTTP.
            work::spend(reply.as_bytes().len() as u64);
            links.send(id, transport.answer(reply.as_bytes(), &mut self.deflater));
        }
    }

    // The log.

    pub(super) fn cursor(&self, seq: u64) -> String {
        self.hub.cursor(seq).to_string()
    }

    pub(super) fn publish(
        &mut self,
        channel: &str,
        from: Option<&str>,
        data: Data<'_>,
    ) -> Result<String, Refusal> {
        Ok(self.hub.publish(channel, from, data)?.cursor().to_string())
    }

    /// Looks for what has grown too old, and will again in a second as long as there is anything: a server
    /// without a channel wakes for nothing.
    pub(super) fn sweep(&mut self, links: &mut Links) {
        self.hub.sweep(SWEEP_CHANNELS);
        self.sweeping = false;
        self.want_sweep(links);
    }

    /// Has what grows old looked for, if there is anything. Everything that ages came with bytes of a peer or
    /// from a timer, so it is asked for after each of them.
    pub(super) fn want_sweep(&mut self, links: &mut Links) {
        if self.hub.is_aging() && !std::mem::replace(&mut self.sweeping, true) {
            links.set_timer(links.now().after(SWEEP_MS), Timer::Sweep.key());
        }
    }

    // What an application may do; `Ctx` says what each of these means.

    pub(super) fn send(&mut self, links: &mut Links, client: ClientId, event: &Object) -> bool {
        let Some((id, transport)) = self.clients.line(client) else { return false };
        if transport.is_poll() || links.queued(id) > SEND_QUEUE_BYTES_MAX || !links.is_open(id) {
            return false;
        }
        links.send(id, transport.event(None, event.as_bytes()));
        true
    }

    pub(super) fn send_message(&mut self, links: &mut Links, client: ClientId, message: Message<'_>) -> bool {
        let Some((id, transport @ Transport::Raw(_))) = self.clients.line(client) else { return false };
        if links.queued(id) > SEND_QUEUE_BYTES_MAX || !links.is_open(id) {
            return false;
        }
        let (opcode, payload) = match message {
            Message::Text(text) => (Opcode::Text, text.as_bytes()),
            Message::Binary(bytes) => (Opcode::Binary, bytes),
        };
        links.send(id, transport.frame(opcode, payload, &mut self.deflater));
        true
    }

    pub(super) fn tell(&mut self, links: &mut Links, channel: &str, event: &Object) {
        let Some(id) = self.hub.find(channel) else { return };
        // Made once for all readers of a transport. Who does not keep up is spared it: it is kept nowhere,
        // so a reader must not become a queue for it either.
        let mut made: Vec<(Transport, Image)> = Vec::new();
        for reader in self.hub.readers_of(id).take(TELL_READERS_MAX) {
            let Some((client, _)) = self.clients.at(reader.slot()) else { continue };
            let Some((id, transport)) = self.clients.line(client) else { continue };
            if transport.is_poll() || links.queued(id) > HIGH_WATER_BYTES {
                continue;
            }
            let known = made.iter().find(|(of, _)| *of == transport).map(|(_, image)| image.clone());
            let image = known.unwrap_or_else(|| {
                let image = Image::from(transport.event(None, event.as_bytes()));
                made.push((transport, image.clone()));
                image
            });
            work::spend(EVENT_COST);
            links.send(id, image);
        }
    }

    pub(super) fn subscribe(
        &mut self,
        links: &Links,
        client: ClientId,
        channel: &str,
    ) -> Result<(), Refusal> {
        self.admit_channel(links, client, channel)?;
        if let Some(reader) = self.reader(client) {
            self.hub.subscribe(reader, channel, Start::Now)?;
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, client: ClientId, channel: &str) {
        if let Some(reader) = self.reader(client) {
            self.hub.unsubscribe(reader, channel);
        }
    }

    pub(super) fn dismiss(&mut self, links: &mut Links, client: ClientId, why: &str) {
        if let Some((id, _)) = self.clients.line(client) {
            self.bye(links, id, why);
        }
        self.remove(client);
    }

    pub(super) fn peer(&self, client: ClientId) -> Option<IpAddr> {
        self.clients.get(client).map(|client| client.peer.address())
    }

    pub(super) fn set_user(&mut self, client: ClientId, user: Option<&str>) {
        if let Some(reader) = self.reader(client) {
            self.hub.name(reader, user.map(Rc::from));
        }
    }

    pub(super) fn user(&self, client: ClientId) -> Option<&str> {
        self.hub.user(self.reader(client)?).map(|user| &**user)
    }

    /// The first users of a channel in the order of their names, `most` of them.
    pub(super) fn users(&self, channel: &str, most: usize) -> Vec<String> {
        let id = self.hub.find(channel);
        let users = id.into_iter().flat_map(|id| self.hub.users(id));
        users.map(|(user, _)| user.to_owned()).take(most).collect()
    }

    pub(super) fn set_timer(&mut self, links: &mut Links, ms: u64, tag: u64) {
        let place = self.timers.insert(tag);
        links.set_timer(links.now().after(ms), Timer::App(place).key());
    }

    pub(super) fn timer_tag(&mut self, place: usize) -> Option<u64> {
        self.timers.try_remove(place)
    }

    /// Ends the connection at once, the application having no more say in it.
    pub(super) fn drop_connection(&mut self, links: &mut Links, id: ConnId, why: Why) {
        debug!("{id} ends: {why:?}");
        self.session(id).finish();
        links.doom(id, why);
    }

    /// Checks that sessions, clients and readers agree on who is whose, and the account with what is held.
    /// Returns the bytes of images that nobody here holds.
    ///
    /// # Panics
    /// If they don't.
    pub(super) fn audit(&self, links: &Links) -> usize {
        self.hub.audit();
        let sessions: usize = self.sessions.iter().map(Session::held).sum();
        assert_eq!(sessions, account::held(Part::Sessions), "the account of sessions");
        let mut clients = 0;
        for (id, client) in self.clients.iter() {
            clients += 1;
            assert!(self.hub.is_joined(id.reader()), "client {id:?} has no reader");
            if let Some(conn) = client.conn() {
                let session = &self.sessions[conn.slot()];
                assert_eq!(session.client(), Some(id.slot), "client {id:?} and {conn} don't agree");
                assert!(links.contains(conn), "client {id:?} reads over {conn}, which has ended");
            }
        }
        assert_eq!(clients, self.clients.len());
        assert_eq!(clients, self.hub.readers(), "a reader without a client, or a client without a reader");
        self.audit_images(links)
    }

    /// Each image counts once, however many hold it. What nobody here holds is the application's.
    fn audit_images(&self, links: &Links) -> usize {
        let mut images = BTreeMap::new();
        let mut show = |image: &Image| _ = images.insert(image.as_ptr(), image.cost());
        links.images().for_each(&mut show);
        self.hub.each_image(&mut show);
        self.runs.each_image(&mut show);
        self.deflater.each_image(&mut show);
        let others = account::held(Part::Images).checked_sub(images.values().sum());
        others.expect("the account of images is less than what is held")
    }
}

impl fmt::Debug for Hall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hall")
            .field("config", &self.config)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}
