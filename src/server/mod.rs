//! The hall: it joins the pillars. Sessions, clients, routes, and the surface for applications.
//!
//! Bytes come in as `on_read` and go through a session, which says what they amount to; a request goes to
//! its route, a frame to its command. What is published goes to the hub and, at the end of the turn, comes
//! back as readers that are due, whose bytes go to the links. In between, [`App`] is asked and told.
//!
//! ```text
//!   reactor ── bytes ──► session ── head, body ──► route ──► reading │ writing │ backend │ App
//!                           └────── frame ───────► command ──┘            │
//!   reactor ◄── image ── delivery ◄── due ── hub ◄──────── publish ───────┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `session` | one connection's states and transitions |
//! | `hall`, `lookup` | all that is held, and the small acts on it |
//! | `timer` | what a timer is for |
//! | `memory` | how much is held, and what gives way |
//! | `client` | who reads and writes, across connections |
//! | `requests`, `routes`, `params`, `origin`, `hosts` | what is asked for, and whether this page may |
//! | `peer`, `quota`, `manners` | whose connection it is, behind any proxies, and how much they may do |
//! | `frames` | what a WebSocket's messages are answered with |
//! | `reading`, `delivery`, `transport` | down: how reading begins, what is sent, in which form |
//! | `answer`, `polls` | what a request is answered with, at once or when there is something to tell |
//! | `probe` | whether a proxy lets a stream through |
//! | `writing`, `command`, `object` | up: commands and replies |
//! | `rights` | what a request may do beyond what every client may |
//! | `backend` | publishing and looking in from other programs |
//! | `app`, `config`, `refusal` | what users of the crate meet |

mod answer;
mod app;
mod backend;
mod client;
mod command;
mod config;
mod delivery;
mod frames;
mod hall;
pub(crate) mod hosts;
mod lookup;
mod manners;
mod memory;
mod object;
pub(crate) mod origin;
mod params;
mod peer;
mod polls;
mod probe;
mod quota;
mod reading;
mod refusal;
mod requests;
mod rights;
mod routes;
mod session;
mod timer;
mod transport;
mod writing;

use std::fmt;
use std::net::SocketAddr;

use log::{debug, warn};

use self::answer::Reply;
pub use self::app::{App, Ctx, Kept, Message, Request};
pub use self::client::{ClientId, same_bytes};
pub use self::command::Command;
pub use self::config::Config;
use self::hall::Hall;
pub use self::object::Object;
pub use self::peer::Network;
use self::peer::Peer;
pub use self::quota::Limits;
pub use self::refusal::Refusal;
use self::session::{Fault, Incoming, Stage};
use self::timer::Timer;
pub use self::transport::Transport;
/// Bytes for the body of a response that are held once, however many are being sent them.
pub use crate::account::Image as Shared;
use crate::defect::Defect;
pub use crate::hub::ChannelInfo;
use crate::limits::{
    DEFLATE_BYTES_PER_TURN_MAX, FAN_OUT_SPENT_MAX, HEAD_MS, HIGH_WATER_BYTES, INFLATED_BYTES_PER_TURN_MAX,
    ITEM_COST, SPENT_PER_LINK_MAX, TIMERS_WORK_MAX,
};
use crate::reactor::{ConnId, Handler, Links, Why};
use crate::wire::http::Head;
use crate::wire::proxy::Source;
pub use crate::wire::response::Response;
use crate::work;

/// What reads the words of peers and counts their doings, for the machines of `tests/fuzzed`: nothing that an
/// application needs, and no promise.
#[doc(hidden)]
pub mod inner {
    pub use super::client::Sid;
    pub use super::params::{Params, Position};
    pub use super::peer::Peer;
    pub use super::quota::{Kind, Quotas};

    /// Bytes held for peers, and what was given up since the start.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Pressure {
        /// Bytes held.
        pub held: usize,
        /// Bytes of history, as its bound counts them.
        pub log_bytes: usize,
        /// The number of the newest message.
        pub head: u64,
        /// Something is being handed out, and stays until it is.
        pub is_due: bool,
        /// Bytes of history given up.
        pub history_bytes: u64,
        /// Connections and clients ended.
        pub ended: u64,
        /// Requests, messages and connections refused.
        pub refused: u64,
    }
}

/// What a connection is told for which there is no room (RFC 9110, section 15.6.4).
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: application/problem+json\r\nContent-Length: 108\r\n\r\n\
    {\"status\":503,\"code\":\"full\",\"title\":\"Service Unavailable\",\
    \"detail\":\"All connections are taken; try again.\"}\n";

/// What a connection is told for which there is no memory.
const NO_MEMORY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: application/problem+json\r\nContent-Length: 117\r\n\r\n\
    {\"status\":503,\"code\":\"no_memory\",\"title\":\"Service Unavailable\",\
    \"detail\":\"The server has no memory left; try again.\"}\n";

/// What a connection is told whose address has too many (RFC 6585, section 4).
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\nConnection: close\r\n\
    Content-Type: application/problem+json\r\nContent-Length: 139\r\n\r\n\
    {\"status\":429,\"code\":\"too_many_connections\",\"title\":\"Too Many Requests\",\
    \"detail\":\"Too many connections from this address; wait a little.\"}\n";

/// Fills bytes that nobody can guess or, under a simulation, that a seed decides.
pub type Entropy = Box<dyn FnMut(&mut [u8])>;

/// The server: everything above the reactor.
pub struct Server {
    hall: Hall,
    app: Box<dyn App>,
    started: bool,
}

impl Server {
    /// A server for `app`.
    pub fn new(config: Config, app: Box<dyn App>, entropy: Entropy) -> Server {
        Server { hall: Hall::new(config, entropy), app, started: false }
    }

    /// Checks that sessions, clients, readers and channels agree with each other and with the links, and that
    /// each part of the account is what is held. Returns the bytes of images that only the application holds.
    ///
    /// # Panics
    /// If they don't.
    pub fn audit(&self, links: &Links) -> usize {
        self.hall.audit(links)
    }

    /// How much is held for peers and what was given up for the budget, for who watches it from outside.
    #[doc(hidden)]
    pub fn pressure(&self, links: &Links) -> inner::Pressure {
        let given = &self.hall.pressure;
        inner::Pressure {
            held: self.hall.memory(links),
            log_bytes: self.hall.hub.bytes(),
            head: self.hall.hub.head(),
            is_due: self.hall.hub.has_due(),
            history_bytes: given.history_bytes,
            ended: given.ended,
            refused: given.refused,
        }
    }

    /// Bytes that were compressed since the start, as they were before.
    #[doc(hidden)]
    pub fn deflated(&self) -> u64 {
        self.hall.deflater.counts().plain
    }

    /// Takes bytes of a connection apart and does what they ask, one thing after the other.
    fn feed(&mut self, links: &mut Links, id: ConnId, bytes: &[u8]) {
        let mut input = bytes;
        let begun = self.hall.inflater.counts().plain;
        let enough = work::spent() + SPENT_PER_LINK_MAX;
        while !input.is_empty() && links.is_open(id) {
            // What was compressed costs what it has become, and a few bytes may ask for much: the others come
            // first then.
            let is_inflated = self.hall.inflater.counts().plain - begun >= INFLATED_BYTES_PER_TURN_MAX;
            let is_spent = work::spent() >= enough && !Defect::Work.is_on();
            if is_inflated || is_spent {
                self.hall.session(id).stash(input);
                links.pause(id);
                links.yield_turn(id);
                break;
            }
            // Whoever sends faster than it reads, or ahead of an answer, waits: what came is kept, the rest
            // stays in the kernel.
            if self.hall.session(id).is_busy() || links.queued(id) > HIGH_WATER_BYTES {
                self.hall.session(id).stash(input);
                links.pause(id);
                links.want_drain(id);
                break;
            }
            let was_idle = self.hall.session(id).stage() == Stage::Idle;
            let head_bytes = self.hall.config.head_bytes;
            match self.hall.session(id).next(&mut input, head_bytes) {
                Ok(None) if was_idle => self.arm_head(links, id),
                Ok(None) => self.on_part(links, id),
                Ok(Some(Incoming::Proxied(source))) => self.on_proxied(links, id, source),
                Ok(Some(Incoming::Head(head))) => self.on_head(links, id, head, input.is_empty()),
                Ok(Some(Incoming::Request(body))) => match Head::parse_scanned(&body.head) {
                    Ok(head) => self.on_request(links, id, &head, &body.body),
                    Err(offence) => self.refuse(links, id, offence),
                },
                Ok(Some(Incoming::Event(event))) => self.on_event(links, id, event),
                Err(Fault::Http(offence)) => self.refuse(links, id, offence),
                Err(Fault::WebSocket(offence)) => self.fail_socket(links, id, offence),
                Err(Fault::Proxy(offence)) => {
                    warn!("{id} is not a proxy, or not ours: {}", offence.reason());
                    self.hall.drop_connection(links, id, Why::Aborted);
                }
            }
        }
        work::spend(self.hall.inflater.counts().plain - begun);
    }

    /// A proxy has said whose connection this is.
    fn on_proxied(&mut self, links: &mut Links, id: ConnId, source: Source) {
        if let Source::Peer(address) = source {
            debug!("{id} is passed on for {}", address.ip());
            let peer = Peer::of_proxy(address);
            self.hall.session(id).set_peer(peer);
            match self.hall.quotas.open(peer, links.now().as_millis()) {
                Ok(is_counted) => self.hall.session(id).set_counted(is_counted),
                Err(refusal) => {
                    self.hall.session(id).begin_answer();
                    self.hall.answer(links, id, &Reply::default(), refusal.to_response());
                    return;
                }
            }
        }
        links.set_deadline(id, links.now().after(HEAD_MS));
    }

    /// A request has begun and its head is not whole. It has one deadline, from its first byte on, however
    /// often a byte of it comes.
    fn arm_head(&mut self, links: &mut Links, id: ConnId) {
        if self.hall.session(id).stage() == Stage::Head {
            links.set_deadline(id, links.now().after(HEAD_MS));
        }
    }

    /// Tells the application of the clients that are gone, those that the turn has time for. It may send away
    /// more of them.
    fn tell_departures(&mut self, links: &mut Links) {
        let enough = work::spent() + TIMERS_WORK_MAX;
        while work::spent() < enough
            && let Some(client) = self.hall.departed.pop_front()
        {
            work::spend(ITEM_COST);
            self.app.on_close(&mut Ctx { hall: &mut self.hall, links }, client);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("hall", &self.hall).finish_non_exhaustive()
    }
}

impl Handler for Server {
    fn on_open(&mut self, links: &mut Links, id: ConnId, peer: SocketAddr) {
        debug!("{id} from {peer}");
        self.hall.open_session(links, id, peer);
    }

    fn on_read(&mut self, links: &mut Links, id: ConnId, bytes: &[u8]) {
        let owed = work::owed();
        self.hall.hub.set_urgent(!links.is_heavy(id));
        self.feed(links, id, bytes);
        self.hall.settle(links, id, owed);
        self.relieve(links);
        self.hall.check_memory(links, id);
        self.hall.want_sweep(links);
    }

    fn on_eof(&mut self, links: &mut Links, id: ConnId) {
        match self.hall.session(id).stage() {
            // It waits for an answer that may be the last it reads, or it has gone: an empty one serves both.
            Stage::Held => self.hall.end_poll(links, id, None),
            // It may still read. If it has gone, it answers the next byte with a reset, and then we know.
            Stage::Streaming => self.hall.heartbeat(links, id),
            Stage::Proxy | Stage::Idle | Stage::Head | Stage::Body | Stage::Socket => {
                self.hall.detach(links, id);
                self.hall.session(id).finish();
                links.close(id);
            }
            Stage::Answering | Stage::Done => {}
        }
    }

    fn on_drain(&mut self, links: &mut Links, id: ConnId) {
        let owed = work::owed();
        self.hall.hub.set_urgent(!links.is_heavy(id));
        if self.hall.session(id).is_held() {
            self.hall.answer_poll(links, id);
        }
        // What the peer asked comes before what the log holds for it: a reader that is far behind would
        // else never be answered.
        if !self.hall.session(id).is_busy()
            && !links.has_yielded(id)
            && let Some(bytes) = self.hall.session(id).unstash()
        {
            links.resume(id);
            self.feed(links, id, &bytes);
        }
        self.hall.settle(links, id, owed);
        if let Some(client) = self.hall.client_of(id) {
            // Who is behind may need images that nobody else does.
            self.relieve(links);
            self.hall.pump(links, client);
        }
    }

    fn on_deadline(&mut self, links: &mut Links, id: ConnId) {
        match self.hall.session(id).stage() {
            Stage::Proxy | Stage::Idle => {
                self.hall.session(id).finish();
                links.close(id);
            }
            Stage::Head | Stage::Body => {
                let sentence = "The request took too long to arrive; send it in one go.";
                let response = Refusal::new(408, "too_slow", sentence).to_response();
                self.hall.answer(links, id, &Reply::default(), response);
            }
            Stage::Held => self.hall.end_poll(links, id, None),
            Stage::Streaming | Stage::Socket => self.hall.heartbeat(links, id),
            Stage::Answering | Stage::Done => {}
        }
    }

    fn on_timer(&mut self, links: &mut Links, key: u64) {
        match Timer::of(key) {
            Timer::Client(client) => self.hall.expire(links, client),
            Timer::Sweep => self.hall.sweep(links),
            Timer::FollowUp(client) => self.hall.follow_up(links, client),
            Timer::App(place) => {
                if let Some(tag) = self.hall.timer_tag(place) {
                    self.app.on_timer(&mut Ctx { hall: &mut self.hall, links }, tag);
                    self.hall.want_sweep(links);
                }
            }
        }
    }

    fn on_close(&mut self, links: &mut Links, id: ConnId, why: Why) {
        debug!("{id} has ended: {why:?}");
        self.hall.detach(links, id);
        self.hall.session(id).finish();
        if self.hall.session(id).is_counted() {
            let peer = self.hall.session(id).peer();
            self.hall.quotas.close(peer);
        }
        *self.hall.session(id) = session::Session::default();
        self.tell_departures(links);
    }

    fn on_fan_out(&mut self, links: &mut Links, budget: usize) {
        self.tell_departures(links);
        self.relieve(links);
        // What was made for some goes out before more is made for others.
        let enough = memory::made() + self.hall.step();
        let spent = work::spent() + FAN_OUT_SPENT_MAX;
        for _ in 0..budget {
            let Some(due) = self.hall.hub.next_due() else { break };
            self.hall.serve(links, due);
            if memory::made() > enough || work::spent() >= spent {
                break;
            }
        }
    }

    fn on_turn(&mut self, links: &mut Links) {
        self.hall.runs.clear();
        self.hall.deflater.forget();
        self.hall.deflater.grant(DEFLATE_BYTES_PER_TURN_MAX);
        self.hall.set_time(links);
        if !std::mem::replace(&mut self.started, true) {
            self.app.on_start(&mut Ctx { hall: &mut self.hall, links });
        }
        // What the application holds may have changed without a word from anybody.
        self.relieve(links);
    }

    fn is_heavy(&mut self, links: &Links, id: ConnId) -> bool {
        self.hall.owes_much(links, id)
    }

    fn on_stop(&mut self, links: &mut Links) {
        let ids: Vec<ConnId> = self.hall.clients.iter().filter_map(|(_, client)| client.conn()).collect();
        for id in ids {
            self.hall.bye(links, id, "shutdown");
        }
    }

    fn has_work(&self) -> bool {
        self.hall.hub.has_due() || !self.hall.departed.is_empty()
    }

    fn links_max(&self) -> usize {
        self.hall.config.connections
    }

    fn refusal(&self) -> &'static [u8] {
        NO_ROOM
    }

    fn admit(&mut self, links: &mut Links, peer: SocketAddr, open: usize) -> Option<&'static [u8]> {
        if self.hall.admit_memory(links).is_err() {
            return Some(NO_MEMORY);
        }
        let peer = Peer::of_socket(peer, &self.hall.config.trusted_proxies);
        // Behind a proxy that says so first, nothing is known yet of whose it is.
        if !self.hall.config.proxy_protocol {
            let now = links.now().as_millis();
            if self.hall.quotas.check_open(peer, now).is_err() {
                return Some(TOO_MANY);
            }
        }
        let is_full = open >= self.hall.config.connections && !self.hall.end_idle(links, peer);
        is_full.then_some(NO_ROOM)
    }
}
