//! The whole server in a simulated world, and the clients that use it, one step at a time.
//!
//! It knows what each connection is waiting for and what the model must hear of it. What clients do next is decided
//! in `acts`; here it is carried out and what comes back is understood.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use encke::limits::{BODY_MS, HEAD_MS};
use encke::reactor::Reactor;
use encke::server::{App, ClientId, Config, Ctx, Refusal, Request, Server};
use serde_json::Value;

use crate::sim::client::{Conn, Heard, Transport, Use, poll_body};
use crate::sim::decode::ResponseHead;
use crate::sim::kernel::{Buffers, SimKernel, World};
use crate::sim::model::{Model, Reader, text};
use crate::sim::rng::Rng;

/// Milliseconds by which a timer of the wheel may be late, and a turn of the simulation long.
const LATE_MS: u64 = 200;

/// What the application was told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    present: BTreeSet<ClientId>,
    seen: BTreeSet<ClientId>,
}

/// An application that only checks that each client comes once and goes once.
struct Witness {
    ledger: Rc<RefCell<Ledger>>,
}

impl App for Witness {
    fn on_connect(&mut self, _: &mut Ctx<'_>, client: ClientId, _: &Request<'_>) -> Result<(), Refusal> {
        let mut ledger = self.ledger.borrow_mut();
        assert!(ledger.seen.insert(client), "on_connect twice for {client:?}");
        ledger.present.insert(client);
        Ok(())
    }

    fn on_close(&mut self, _: &mut Ctx<'_>, client: ClientId) {
        assert!(
            self.ledger.borrow_mut().present.remove(&client),
            "on_close for {client:?}, which isn't there"
        );
    }
}

/// A command whose reply is awaited.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Publish(usize),
    Subscribe(usize, String),
    /// Any answer will do.
    Other,
    /// The answer must be a refusal.
    Nonsense,
}

/// A request whose answer is awaited.
#[derive(Debug)]
pub(crate) enum Ask {
    /// It must succeed, if the server has room.
    Fine,
    Publish(usize),
    Batch(Vec<usize>),
    Commands(Vec<(u64, Command)>),
    /// It must be refused.
    Nonsense,
    /// Any status.
    Any,
}

/// A connection and what it is for.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) conn: Conn,
    pub(crate) reader: Option<usize>,
    /// Answers that are due, in order.
    pub(crate) asks: VecDeque<Ask>,
    /// Replies that are due over a WebSocket, by their refs.
    pub(crate) commands: BTreeMap<u64, Command>,
    pub(crate) pings: VecDeque<Vec<u8>>,
    /// We have done something after which the server may end a stream without a word.
    pub(crate) ending: bool,
    was_slow: bool,
    bye: bool,
    /// A poll has been answered: when the next one is sent.
    poll_at: Option<u64>,
    /// So many milliseconds after it was accepted the server must have ended the connection.
    pub(crate) dies_within: Option<u64>,
    dies_by: Option<u64>,
}

impl Line {
    pub(crate) fn new(conn: Conn, reader: Option<usize>) -> Line {
        Line {
            conn,
            reader,
            asks: VecDeque::new(),
            commands: BTreeMap::new(),
            pings: VecDeque::new(),
            ending: false,
            was_slow: false,
            bye: false,
            poll_at: None,
            dies_within: None,
            dies_by: None,
        }
    }

    /// Whether it has ever kept the server waiting.
    fn is_slow(&self) -> bool {
        self.was_slow || self.conn.read_max < usize::MAX || self.conn.stalled_until > 0
    }

    /// From here on it reads and writes whatever there is.
    pub(crate) fn hurry(&mut self) {
        self.was_slow = self.is_slow();
        (self.conn.read_max, self.conn.write_max) = (usize::MAX, usize::MAX);
        (self.conn.stalled_until, self.conn.pace_ms) = (0, 0);
    }

    /// Whether it is a stream or a WebSocket that can be used in both directions.
    pub(crate) fn is_live_socket(&self) -> bool {
        self.conn.is_socket() && !self.ending && !self.bye
    }
}

pub(crate) struct Scene {
    world: Rc<RefCell<World>>,
    pub(crate) reactor: Reactor<SimKernel>,
    pub(crate) server: Server,
    ledger: Rc<RefCell<Ledger>>,
    pub(crate) rng: Rng,
    pub(crate) model: Model,
    pub(crate) lines: Vec<Line>,
    pub(crate) channels: Vec<String>,
    pub(crate) small_buffers: bool,
    pub(crate) grace_ms: u64,
    /// Faults are over: nothing may be reset, refused or cut off any more.
    pub(crate) healed: bool,
    /// Goodbyes that were heard on streams.
    pub(crate) byes: usize,
    next_ref: u64,
    heard: Vec<Heard>,
    /// Turns on `true`, everything that is heard is printed.
    trace: bool,
}

impl Scene {
    pub(crate) fn new(seed: u64, config: Config, kept: usize, channels: Vec<String>) -> Scene {
        let mut rng = Rng::new(seed);
        let world = World::new(rng.next());
        let reactor = Reactor::new(SimKernel::new(&world));
        let ledger = Rc::default();
        let mut entropy = rng.fork();
        let grace_ms = config.grace_ms;
        let witness = Witness { ledger: Rc::clone(&ledger) };
        let server = Server::new(config, Box::new(witness), Box::new(move |bytes| entropy.fill(bytes)));
        Scene {
            world,
            reactor,
            server,
            ledger,
            rng,
            model: Model::new(kept),
            lines: Vec::new(),
            channels,
            small_buffers: false,
            grace_ms,
            healed: false,
            byes: 0,
            next_ref: 0,
            heard: Vec::new(),
            trace: std::env::var_os("ENCKE_TRACE").is_some(),
        }
    }

    pub(crate) fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    pub(crate) fn now(&self) -> u64 {
        self.world().now_ms
    }

    // Steps.

    /// One turn of the server, with a while before it.
    pub(crate) fn turn(&mut self, wait_ms: u64) {
        let alarm = self.now() + wait_ms;
        self.world().alarm_ms = alarm;
        self.reactor.turn(&mut self.server).expect("the simulated poll does not fail");
        self.reactor.links().audit();
        self.server.audit(self.reactor.links());
    }

    /// Everybody reads and writes, and the wire carries some of it.
    pub(crate) fn shake(&mut self) {
        self.pump();
        let peers = self.world().sockets();
        for peer in 0..peers {
            if self.rng.per_mille(700) {
                let max = if self.rng.coin() { usize::MAX } else { self.rng.range(1, 2000) };
                self.world().deliver(peer, max);
            }
        }
        self.pump();
    }

    /// Lets `ms` milliseconds pass while everybody goes on.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now() + ms;
        while self.now() < until {
            self.calm();
            self.world().now_ms += 1;
            self.world().wall_ms += 1;
            let left = until.saturating_sub(self.now());
            // Clients that poll must be heard in between.
            self.turn(left.min(500));
        }
    }

    /// Carries all that the wire and the readers take without the server doing anything.
    pub(crate) fn calm(&mut self) {
        loop {
            let before = self.world().carried;
            self.pump();
            self.world().deliver_all();
            if self.world().carried == before {
                return;
            }
        }
    }

    /// Every connection writes and reads, and what was heard is understood.
    pub(crate) fn pump(&mut self) {
        for place in 0..self.lines.len() {
            let mut heard = std::mem::take(&mut self.heard);
            self.lines[place].conn.pump(&mut self.world.borrow_mut(), &mut heard);
            for one in heard.drain(..) {
                if self.trace {
                    let line = &self.lines[place];
                    eprintln!("{} peer {} reader {:?} {one:?}", self.now(), line.conn.peer, line.reader);
                }
                self.hear(place, one);
            }
            self.heard = heard;
            self.poll_again(place);
            self.check_deadline(place);
        }
        for line in self.lines.extract_if(.., |line| line.conn.is_over()) {
            self.world.borrow_mut().close(line.conn.peer);
        }
    }

    fn check_deadline(&mut self, place: usize) {
        let (now, peer) = (self.now(), self.lines[place].conn.peer);
        let is_held = self.world().is_held(peer);
        let line = &mut self.lines[place];
        if let (Some(ms), None, true) = (line.dies_within, line.dies_by, is_held) {
            line.dies_by = Some(now + ms);
        }
        assert!(line.dies_by.is_none_or(|dies_by| now <= dies_by), "it outlives its deadline: {line:?}");
    }

    // Readers.

    /// A line of its own.
    pub(crate) fn connect(&mut self, role: Use) -> Option<usize> {
        let buffers = self.buffers();
        self.connect_over(role, buffers)
    }

    pub(crate) fn connect_over(&mut self, role: Use, buffers: Buffers) -> Option<usize> {
        let peer = self.world().connect(buffers)?;
        self.lines.push(Line::new(Conn::new(peer, role), None));
        Some(self.lines.len() - 1)
    }

    fn buffers(&mut self) -> Buffers {
        if !self.small_buffers || self.rng.coin() {
            return Buffers::default();
        }
        let size = |rng: &mut Rng| *rng.pick(&[64, 300, 1000, 4000, 20_000]);
        Buffers {
            up_sending: size(&mut self.rng),
            up_arrived: size(&mut self.rng),
            down_sending: size(&mut self.rng),
            down_arrived: size(&mut self.rng),
        }
    }

    /// A new reader of `channels`.
    pub(crate) fn new_reader(&mut self, channels: &[String], transport: Transport) -> Option<usize> {
        self.model.readers.push(Reader::new(channels));
        self.read(self.model.readers.len() - 1, transport)
    }

    /// Reads over a new line, from where the reader stands.
    pub(crate) fn read(&mut self, reader: usize, transport: Transport) -> Option<usize> {
        let place = self.connect(Use::Reading(transport))?;
        self.lines[place].reader = Some(reader);
        self.ask_to_read(place, reader, transport);
        Some(place)
    }

    fn ask_to_read(&mut self, place: usize, reader: usize, transport: Transport) {
        self.model.readers[reader].come_back();
        let state = &self.model.readers[reader];
        let mut query: Vec<String> =
            state.channels().iter().map(|channel| format!("ch={}", escape(channel))).collect();
        let mut asks_for_last = false;
        match (state.cursor, &state.sid) {
            (Some(cursor), sid) => {
                query.push(format!("since={}", self.model.cursor_of(cursor)));
                // A sid may be left out, or be long forgotten: the cursor alone must do.
                if let Some(sid) = sid.as_ref().filter(|_| self.rng.per_mille(800)) {
                    query.push(format!("sid={sid}"));
                }
            }
            (None, _) if self.rng.per_mille(300) => {
                asks_for_last = true;
                query.push(format!("last={}", self.rng.range(0, 20)));
            }
            (None, _) => {}
        }
        self.model.readers[reader].asked_for_last = asks_for_last;
        if transport.is_poll() {
            query.push(format!("wait={}", self.rng.pick(&[0, 1, 5, 20])));
        }
        if self.rng.per_mille(200) {
            query.push(format!("pad={}", self.rng.range(0, 3000)));
        }
        query.push(format!("hb={}", self.rng.pick(&[5, 10, 30])));
        let line = &mut self.lines[place];
        line.poll_at = None;
        line.conn.ask_to_read(transport, &query.join("&"), &mut self.rng);
    }

    fn poll_again(&mut self, place: usize) {
        let now = self.now();
        let line = &self.lines[place];
        let (Some(reader), Use::Reading(transport)) = (line.reader, line.conn.role) else { return };
        if line.poll_at.is_some_and(|at| at <= now) && !line.conn.is_over() && !line.ending {
            self.ask_to_read(place, reader, transport);
        }
    }

    /// The line of a reader, if it has one.
    pub(crate) fn line_of(&self, reader: usize) -> Option<usize> {
        self.lines.iter().position(|line| line.reader == Some(reader) && !line.conn.is_over())
    }

    /// Takes the line away from its reader: what still comes over it is nobody's.
    pub(crate) fn abandon(&mut self, place: usize, reset: bool) {
        let line = self.lines.remove(place);
        if reset {
            self.world().reset(line.conn.peer);
        } else {
            self.world().close(line.conn.peer);
        }
    }

    // Commands.

    /// A command's text under a new ref.
    pub(crate) fn command(&mut self, command: &Command, mut object: Value) -> (u64, String) {
        self.next_ref += 1;
        object["ref"] = self.next_ref.into();
        if let Command::Subscribe(reader, channel) = command {
            self.model.readers[*reader].subscribe(channel);
        }
        (self.next_ref, object.to_string())
    }

    // What is heard.

    fn hear(&mut self, place: usize, heard: Heard) {
        match heard {
            Heard::Begun => {}
            Heard::Event(event, id) => self.hear_event(place, &event, id.as_deref()),
            Heard::Answer(head, body) => self.hear_answer(place, &head, &body),
            Heard::Pong(payload) => {
                if payload != b"between" {
                    let sent = self.lines[place].pings.pop_front();
                    assert_eq!(sent, Some(payload), "a pong to another ping");
                }
            }
            Heard::CloseFrame(code) => {
                let line = &self.lines[place];
                assert!(line.bye || line.ending, "a close frame out of nothing: {code:?} {line:?}");
            }
            Heard::Cut(what) => {
                // Only one that does not read for long, or the end of the program, cuts an answer off.
                let line = &self.lines[place];
                assert!(
                    line.is_slow() || self.small_buffers || self.healed,
                    "cut off after {what}: {line:?}"
                );
            }
            Heard::End => {
                let line = &self.lines[place];
                let is_stream =
                    line.reader.is_some() && line.conn.role != Use::Asking && line.poll_at.is_none();
                let is_poll = matches!(line.conn.role, Use::Reading(transport) if transport.is_poll());
                // A poll's connection may be closed between two polls, and the next one cross that on its way. One
                // that does not read for minutes is given up, and can't be told.
                let told = line.bye || line.ending || is_poll || line.is_slow();
                assert!(told || !is_stream, "a stream ended without a goodbye: {line:?}");
            }
            Heard::Reset => assert!(!self.healed || self.lines[place].ending, "reset though all is well"),
        }
    }

    fn hear_event(&mut self, place: usize, event: &Value, id: Option<&str>) {
        let Some(reader) = self.lines[place].reader else { panic!("an event for nobody: {event}") };
        assert!(!self.lines[place].bye, "an event after the goodbye: {event}");
        if self.lines[place].conn.role == Use::Reading(Transport::Sse) {
            let cursor = event["id"].as_str().or(event["cursor"].as_str());
            assert_eq!(cursor, id, "the id of the stream and the cursor of the object differ");
        }
        if self.model.event(reader, event) {
            return;
        }
        match text(event, "type") {
            "heartbeat" => assert!(event["at"].is_u64()),
            "bye" => {
                assert!(event["retry"].is_u64());
                let line = &mut self.lines[place];
                line.bye = true;
                self.byes += usize::from(!line.ending);
            }
            "reply" => {
                let number = event["ref"].as_u64().unwrap_or_else(|| panic!("a reply to nothing: {event}"));
                let command = self.lines[place].commands.remove(&number);
                self.hear_reply(&command.unwrap_or_else(|| panic!("a second reply: {event}")), event);
            }
            other => panic!("an event of type {other}: {event}"),
        }
    }

    fn hear_reply(&mut self, command: &Command, reply: &Value) {
        let ok = reply["ok"].as_bool().unwrap_or_else(|| panic!("neither good nor bad: {reply}"));
        if !ok {
            assert!(
                !text(&reply["error"], "code").is_empty() && !text(&reply["error"], "message").is_empty()
            );
        }
        match command {
            Command::Publish(nonce) if ok => {
                self.model.acknowledged(*nonce, text(reply, "id"));
            }
            Command::Publish(nonce) => self.model.refused(*nonce),
            Command::Subscribe(reader, channel) => {
                assert!(ok, "refused: {reply}");
                let seq = self.model.seq_of(text(reply, "since"));
                self.model.readers[*reader].subscribed(channel, seq);
            }
            Command::Other => assert!(ok, "refused: {reply}"),
            Command::Nonsense => assert!(!ok, "nonsense was taken: {reply}"),
        }
    }

    fn hear_answer(&mut self, place: usize, head: &ResponseHead, body: &[u8]) {
        if head.status == 503 {
            assert!(head.field("retry-after").is_some(), "no word of when to try again");
        }
        let refused = head.status >= 400;
        if refused && head.status != 404 && head.status != 405 {
            check_problem(head, body);
        }
        if let Use::Reading(transport) = self.lines[place].conn.role {
            if refused {
                assert!(matches!(head.status, 408 | 503), "a reader was refused: {head:?}");
                self.lines[place].ending = true;
                return;
            }
            let reader = self.lines[place].reader.expect("a poll belongs to a reader");
            let body = poll_body(transport, body);
            self.model.poll(reader, &body);
            let mut events = body["events"].as_array().into_iter().flatten();
            if events.any(|event| event["type"] == "bye") {
                self.lines[place].bye = true;
            }
            self.lines[place].poll_at = Some(self.now() + self.rng.range(0, 300) as u64);
            if head.closes() {
                self.lines[place].ending = true;
            }
            return;
        }
        let ask = self.lines[place].asks.pop_front();
        if head.status == 503 || head.status == 408 {
            self.lines[place].ending = true;
            return;
        }
        self.hear_ask(&ask.unwrap_or_else(|| panic!("an answer to nothing: {head:?}")), head, body);
    }

    fn hear_ask(&mut self, ask: &Ask, head: &ResponseHead, body: &[u8]) {
        let fine = (200..300).contains(&head.status);
        match ask {
            Ask::Fine => assert!(fine, "{head:?}"),
            Ask::Nonsense => assert!((400..=599).contains(&head.status), "nonsense was taken: {head:?}"),
            Ask::Any => {}
            Ask::Publish(nonce) if fine => {
                let answer = crate::sim::decode::json(std::str::from_utf8(body).expect("UTF-8"));
                self.model.acknowledged(*nonce, text(&answer, "id"));
            }
            Ask::Publish(nonce) => {
                assert_eq!(head.status, 413, "refused: {head:?} {}", String::from_utf8_lossy(body));
                self.model.refused(*nonce);
            }
            Ask::Batch(nonces) => {
                assert!(fine, "{head:?} {}", String::from_utf8_lossy(body));
                let answers = answers(body);
                assert_eq!(answers.len(), nonces.len(), "as many answers as lines");
                for (nonce, answer) in nonces.iter().zip(&answers) {
                    self.model.acknowledged(*nonce, text(answer, "id"));
                }
            }
            // The client is gone for good: its sid is no longer known.
            Ask::Commands(_) if head.status == 410 => {}
            Ask::Commands(commands) => {
                assert!(fine, "{head:?} {}", String::from_utf8_lossy(body));
                let answers = answers(body);
                assert_eq!(answers.len(), commands.len(), "as many replies as commands");
                for ((number, command), reply) in commands.iter().zip(&answers) {
                    assert_eq!(reply["ref"].as_u64(), Some(*number), "replies out of order");
                    self.hear_reply(command, reply);
                }
            }
        }
    }

    // The end.

    /// Clients present, as the application was told.
    pub(crate) fn present(&self) -> usize {
        self.ledger.borrow().present.len()
    }

    /// How long a request may take to arrive before the server gives up on it.
    pub(crate) fn patience_ms() -> u64 {
        HEAD_MS.max(BODY_MS) + LATE_MS
    }
}

/// The answers in a body: one object, an array of them, or one a line.
fn answers(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).expect("an answer is UTF-8");
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(answers)) => answers,
        Ok(answer) => vec![answer],
        Err(_) => text.lines().map(crate::sim::decode::json).collect(),
    }
}

/// A refusal says what is wrong in a form that programs read (RFC 9457).
fn check_problem(head: &ResponseHead, body: &[u8]) {
    assert_eq!(head.field("content-type"), Some("application/problem+json"), "{head:?}");
    let problem = crate::sim::decode::json(std::str::from_utf8(body).expect("UTF-8"));
    assert!(!text(&problem, "code").is_empty(), "{problem}");
}

/// Percent-encodes all but letters and digits.
pub(crate) fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    escaped.collect()
}
