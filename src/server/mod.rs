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
//! | `hall` | all that is held, and the small acts on it |
//! | `client` | who reads and writes, across connections |
//! | `routes`, `params`, `origin` | what is asked for, and whether this page may |
//! | `reading`, `delivery`, `transport` | down: how reading begins, what is sent, in which form |
//! | `writing`, `command`, `object` | up: commands and replies |
//! | `backend` | publishing and looking in from other programs |
//! | `app`, `config`, `refusal` | what users of the crate meet |

mod app;
mod backend;
mod client;
mod command;
mod config;
mod delivery;
mod hall;
mod object;
mod origin;
mod params;
mod reading;
mod refusal;
mod routes;
mod session;
mod transport;
mod writing;

use std::fmt;
use std::net::SocketAddr;

use log::debug;

pub use self::app::{App, ClientId, Ctx, Message, Request};
pub use self::client::same_bytes;
pub use self::command::Command;
pub use self::config::Config;
use self::hall::{Hall, Timer};
pub use self::object::Object;
use self::origin::Verdict;
pub use self::refusal::Refusal;
use self::routes::Route;
use self::session::{Fault, Incoming, Reply, Stage};
pub use self::transport::Transport;
use crate::limits::{BODY_MS, HEAD_MS, HIGH_WATER_BYTES};
use crate::reactor::{ConnId, Handler, Links, Why};
use crate::wire::body::Decoder;
use crate::wire::http::{Framing, Head, Offence, Version};
use crate::wire::message::Event;
use crate::wire::response::CONTINUE;
pub use crate::wire::response::Response;
use crate::wire::target::Target;
use crate::wire::ws;

/// What a connection is told for which there is no room (RFC 9110, section 15.6.4).
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: application/problem+json\r\nContent-Length: 108\r\n\r\n\
    {\"status\":503,\"code\":\"full\",\"title\":\"Service Unavailable\",\
    \"detail\":\"All connections are taken; try again.\"}\n";

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

    /// Checks that sessions, clients, readers and channels agree with each other and with the links.
    ///
    /// # Panics
    /// If they don't.
    pub fn audit(&self, links: &Links) {
        self.hall.audit(links);
    }

    /// Takes bytes of a connection apart and does what they ask, one thing after the other.
    fn feed(&mut self, links: &mut Links, id: ConnId, bytes: &[u8]) {
        let mut input = bytes;
        while !input.is_empty() && links.is_open(id) {
            // Whoever sends faster than it reads, or ahead of an answer, waits: what came is kept, the rest
            // stays in the kernel.
            if self.hall.session(id).is_busy() || links.queued(id) > HIGH_WATER_BYTES {
                self.hall.session(id).stash(input);
                links.pause(id);
                links.want_drain(id);
                return;
            }
            let was_idle = self.hall.session(id).stage() == Stage::Idle;
            match self.hall.session(id).next(&mut input) {
                Ok(None) if was_idle => self.arm_head(links, id),
                Ok(None) => {}
                Ok(Some(Incoming::Head(head))) => self.on_head(links, id, head, input.is_empty()),
                Ok(Some(Incoming::Request(body))) => match Head::parse(&body.head) {
                    Ok(head) => self.on_request(links, id, &head, &body.body),
                    Err(offence) => self.refuse(links, id, offence),
                },
                Ok(Some(Incoming::Event(event))) => self.on_event(links, id, event),
                Err(Fault::Http(offence)) => self.refuse(links, id, offence),
                Err(Fault::WebSocket(offence)) => self.fail_socket(links, id, offence),
            }
        }
    }

    /// A request has begun and its head is not whole. It has one deadline, from its first byte on, however
    /// often a byte of it comes.
    fn arm_head(&mut self, links: &mut Links, id: ConnId) {
        if self.hall.session(id).stage() == Stage::Head {
            links.set_deadline(id, links.now().after(HEAD_MS));
        }
    }

    fn on_head(&mut self, links: &mut Links, id: ConnId, bytes: Vec<u8>, is_last: bool) {
        let head = match Head::parse(&bytes) {
            Ok(head) => head,
            Err(offence) => return self.refuse(links, id, offence),
        };
        let asked = head.framing().and_then(|framing| Ok((framing, head.expects_continue()?)));
        let (framing, expects) = match asked {
            Ok(asked) => asked,
            Err(offence) => return self.refuse(links, id, offence),
        };
        if matches!(framing, Framing::None | Framing::Length(0)) {
            return self.on_request(links, id, &head, &[]);
        }
        match Decoder::new(framing, self.hall.config.message_bytes as u64) {
            Err(offence) => self.refuse(links, id, offence),
            Ok(decoder) => {
                self.hall.session(id).expect_body(bytes, decoder);
                links.set_deadline(id, links.now().after(BODY_MS));
                // Who has sent the body already does not wait for leave (RFC 9110, section 10.1.1).
                if expects && is_last {
                    links.send(id, CONTINUE);
                }
            }
        }
    }

    /// A request that has no second interpretation, or none at all: it is refused, and so is all after it.
    fn refuse(&mut self, links: &mut Links, id: ConnId, offence: Offence) {
        debug!("{id} is refused: {}", offence.code());
        if self.hall.session(id).stage() == Stage::Done {
            return;
        }
        self.hall.session(id).finish();
        self.hall.answer(links, id, &Reply::default(), Response::from(offence));
    }

    fn on_request(&mut self, links: &mut Links, id: ConnId, head: &Head<'_>, body: &[u8]) {
        let mut reply = Reply {
            keep_alive: head.keep_alive(),
            head_only: head.method == "HEAD",
            http10: head.version == Version::Http10,
            origin: None,
        };
        let verdict = origin::judge(head, &self.hall.config.origins);
        if let Verdict::Allowed(origin) = &verdict {
            reply.origin = Some(origin.clone());
        }
        let request = Request { head, target: Target::parse(head.path_and_query()), body };
        match self.route(links, id, &reply, &verdict, &request) {
            Ok(Some(response)) => self.hall.answer(links, id, &reply, response),
            Ok(None) => {}
            Err(refusal) => self.hall.answer(links, id, &reply, refusal.to_response()),
        }
    }

    /// Takes a request where it belongs. `None`: it is answered already, or will be.
    fn route(
        &mut self,
        links: &mut Links,
        id: ConnId,
        reply: &Reply,
        verdict: &Verdict,
        request: &Request<'_>,
    ) -> Result<Option<Response>, Refusal> {
        if !self.hall.config.comet {
            return self.route_to_app(links, id, verdict, request);
        }
        let route = Route::of(&request.target)?;
        route.admit(request.method()).map_err(|refusal| refusal.with_field("Allow", route.methods()))?;
        if request.method() == "OPTIONS" && route != Route::App {
            return origin::preflight(verdict, &route, request).map(Some);
        }
        if route == Route::App {
            return self.route_to_app(links, id, verdict, request);
        }
        // A script element of another site is what JSONP is for. It sends no Origin, only that it is foreign.
        let is_script = request.head.header("origin").is_none();
        let is_jsonp = route == Route::Read(Transport::Jsonp) && self.hall.config.jsonp && is_script;
        origin::admit(verdict, is_jsonp || route == Route::Health)?;
        check_body(&route, request)?;
        if route.is_back_end() {
            self.hall.authorize(&route, request)?;
            return self.hall.back_end(links, &route, request).map(Some);
        }
        match route {
            Route::Read(transport) => self.read(links, id, reply, transport, request).map(|()| None),
            Route::Send => self.send(links, &request.target, request.body).map(Some),
            _ => Ok(Some(Response::text(200, "ok\n"))),
        }
    }

    fn route_to_app(
        &mut self,
        links: &mut Links,
        id: ConnId,
        verdict: &Verdict,
        request: &Request<'_>,
    ) -> Result<Option<Response>, Refusal> {
        // A page that anyone may link to is not the same as a form that anyone may send.
        let is_safe = matches!(request.method(), "GET" | "HEAD" | "OPTIONS");
        let upgrades = !self.hall.config.comet && request.head.has_token("upgrade", "websocket");
        origin::admit(verdict, is_safe && !upgrades)?;
        if upgrades {
            return self.open_socket(links, id, request).map(|()| None);
        }
        let mut ctx = Ctx { hall: &mut self.hall, links };
        Ok(Some(self.app.on_request(&mut ctx, request)))
    }

    fn on_event(&mut self, links: &mut Links, id: ConnId, event: Event) {
        let Some(client) = self.hall.client_of(id) else { return };
        let is_raw = self.hall.is_raw(client);
        match event {
            Event::Text(text) if !is_raw => {
                let reply = self.command(links, client, &text);
                self.hall.send_reply(links, client, &reply);
            }
            Event::Text(text) => {
                let mut ctx = Ctx { hall: &mut self.hall, links };
                self.app.on_message(&mut ctx, client, Message::Text(&text));
            }
            Event::Binary(bytes) => {
                let mut ctx = Ctx { hall: &mut self.hall, links };
                self.app.on_message(&mut ctx, client, Message::Binary(&bytes));
            }
            Event::Ping(payload) => {
                let mut out = Vec::with_capacity(payload.len() + ws::HEADER_BYTES_MAX);
                ws::frame(ws::Opcode::Pong, &payload, &mut out);
                links.send(id, out);
            }
            Event::Pong(_) => {}
            Event::Close(reason) => {
                // The code comes back as it was given (RFC 6455, section 5.5.1); without one, without one.
                let mut out = Vec::new();
                match reason {
                    Some((code, _)) => ws::close_frame(code, "", &mut out),
                    None => ws::frame(ws::Opcode::Close, &[], &mut out),
                }
                self.end_socket(links, id, out);
            }
        }
    }

    fn fail_socket(&mut self, links: &mut Links, id: ConnId, offence: ws::Offence) {
        debug!("{id} breaks the protocol: {}", offence.reason());
        let mut out = Vec::new();
        ws::close_frame(offence.close_code(), offence.reason(), &mut out);
        self.end_socket(links, id, out);
    }

    /// Sends a close frame and ends the connection: the server is the one to close it (RFC 6455, 7.1.1).
    fn end_socket(&mut self, links: &mut Links, id: ConnId, close: Vec<u8>) {
        links.send(id, close);
        self.hall.detach(links, id);
        self.hall.session(id).finish();
        links.close(id);
    }

    /// Tells the application of the clients that are gone. It may send away more of them.
    fn tell_departures(&mut self, links: &mut Links) {
        while let Some(client) = self.hall.departed.pop_front() {
            self.app.on_close(&mut Ctx { hall: &mut self.hall, links }, client);
        }
    }
}

/// A body that can't be read here, or a post without one.
fn check_body(route: &Route, request: &Request<'_>) -> Result<(), Refusal> {
    if !matches!(route, Route::Send | Route::Publish(_) | Route::PublishMany) {
        return Ok(());
    }
    if matches!(request.head.framing(), Ok(Framing::None)) {
        let sentence = "Say how long the body is: Content-Length, or Transfer-Encoding: chunked.";
        return Err(Refusal::new(411, "length_required", sentence));
    }
    let coding = request.header("content-encoding").unwrap_or("identity");
    if !coding.eq_ignore_ascii_case("identity") {
        let refusal =
            Refusal::new(415, "content_encoding", "Send the body as it is, without Content-Encoding.");
        return Err(refusal.with_field("Accept-Encoding", "identity"));
    }
    let is_form = request.header("content-type").is_some_and(|kind| kind.starts_with("multipart/"));
    if is_form {
        return Err(Refusal::new(
            415,
            "content_type",
            "Send the data itself as the body, not a form around it.",
        ));
    }
    Ok(())
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("hall", &self.hall).finish_non_exhaustive()
    }
}

impl Handler for Server {
    fn on_open(&mut self, links: &mut Links, id: ConnId, peer: SocketAddr) {
        debug!("{id} from {peer}");
        self.hall.open_session(links, id);
    }

    fn on_read(&mut self, links: &mut Links, id: ConnId, bytes: &[u8]) {
        self.feed(links, id, bytes);
    }

    fn on_eof(&mut self, links: &mut Links, id: ConnId) {
        match self.hall.session(id).stage() {
            // It waits for an answer that may be the last it reads, or it has gone: an empty one serves both.
            Stage::Held => self.hall.end_poll(links, id, None),
            // It may still read. If it has gone, it answers the next byte with a reset, and then we know.
            Stage::Streaming => self.hall.heartbeat(links, id),
            Stage::Idle | Stage::Head | Stage::Body | Stage::Socket => {
                self.hall.detach(links, id);
                self.hall.session(id).finish();
                links.close(id);
            }
            Stage::Answering | Stage::Done => {}
        }
    }

    fn on_drain(&mut self, links: &mut Links, id: ConnId) {
        if self.hall.session(id).is_held() {
            self.hall.answer_poll(links, id);
        }
        // What the peer asked comes before what the log holds for it: a reader that is far behind would
        // else never be answered.
        if !self.hall.session(id).is_busy()
            && let Some(bytes) = self.hall.session(id).unstash()
        {
            links.resume(id);
            self.feed(links, id, &bytes);
        }
        if let Some(client) = self.hall.client_of(id) {
            self.hall.pump(links, client);
        }
    }

    fn on_deadline(&mut self, links: &mut Links, id: ConnId) {
        match self.hall.session(id).stage() {
            Stage::Idle => {
                self.hall.session(id).finish();
                links.close(id);
            }
            Stage::Head | Stage::Body => {
                self.hall.session(id).finish();
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
            Timer::Sweep => self.hall.sweep(),
            Timer::App(place) => {
                if let Some(tag) = self.hall.timer_tag(place) {
                    self.app.on_timer(&mut Ctx { hall: &mut self.hall, links }, tag);
                }
            }
        }
    }

    fn on_close(&mut self, links: &mut Links, id: ConnId, why: Why) {
        debug!("{id} has ended: {why:?}");
        self.hall.detach(links, id);
        *self.hall.session(id) = session::Session::default();
        self.tell_departures(links);
    }

    fn on_fan_out(&mut self, links: &mut Links, budget: usize) {
        self.tell_departures(links);
        for _ in 0..budget {
            let Some(due) = self.hall.hub.next_due() else { break };
            self.hall.serve(links, due);
        }
        self.hall.runs.clear();
    }

    fn on_turn(&mut self, links: &mut Links) {
        self.hall.set_time(links);
        if !std::mem::replace(&mut self.started, true) {
            self.app.on_start(&mut Ctx { hall: &mut self.hall, links });
        }
    }

    fn on_stop(&mut self, links: &mut Links) {
        let ids: Vec<ConnId> = self.hall.clients.iter().filter_map(|(_, client)| client.conn).collect();
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
}
