//! The whole server in a simulated world, and the clients that use it, one step at a time.
//!
//! It knows what each connection is waiting for and what the model must hear of it. What clients do next is decided
//! in `acts`; here it is carried out and what comes back is understood.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use encke::chat::Chat;
use encke::limits::{
    BODY_MS, HEAD_MS, READ_BYTES_PER_TURN_MAX, SPENT_PER_LINK_MAX, TIMERS_WORK_MAX, WRITE_BYTES_PER_TURN_MAX,
};
use encke::reactor::Reactor;
use encke::server::inner::Pressure;
use encke::server::{Config, Limits, Server};
use serde_json::Value;

use crate::sim::client::{Conn, Heard, Transport, Use, poll_body};
use crate::sim::decode::ResponseHead;
use crate::sim::kernel::{Buffers, SimKernel, World};
use crate::sim::model::{Author, Kept, Model, Reader, text};
use crate::sim::rng::Rng;
use crate::witness::{Ledger, Witness};

/// Milliseconds by which a timer of the wheel may be late, and a turn of the simulation long.
const LATE_MS: u64 = 200;

/// Bytes by which a turn may be beyond the memory budget: what a few connections can send in it, and the answers.
const MEMORY_SLACK: usize = 512 * 1024;

/// Work of the longest act of these clients, whose messages are short.
const LONGEST_ACT: u64 = 512 * 1024;

/// From where a subscribe on a stream that reads already begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Now,
    Last(usize),
    Since(u64),
}

/// A command whose reply is awaited.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Publish(usize),
    /// Of a reader, as the client that it was then; on its own WebSocket it can't be another.
    Subscribe(usize, String, Start, Option<String>),
    /// The last: whether it knew its secret.
    Login(usize, Option<String>, bool),
    /// Asked for at that time.
    History(u64),
    /// A message is taken back by its author.
    TakeBack(usize),
    /// It must succeed, and any answer will do.
    Other,
    /// Whether it succeeds is not known here.
    Any,
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
    /// A channel is emptied, if there is one.
    Clear(usize),
    /// What the server says of a channel is kept for whoever asked.
    Describe,
    /// What a channel keeps, asked for at that time.
    History(u64),
    /// Somebody is silenced, kept out, or let go on.
    Order(Order),
    /// A room is emptied, and told.
    ClearRoom(usize),
    /// A picture is left.
    Picture(Vec<u8>),
    /// A picture that was left is asked for.
    GetPicture(usize),
    /// It must be refused.
    Nonsense,
    /// Any status.
    Any,
}

/// What is done to whom.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) person: usize,
    pub(crate) is_ban: bool,
    pub(crate) seconds: u64,
    pub(crate) asked_at: u64,
}

/// A sentence over somebody, as far as it is known outside: from when to when it must hold, and until when it may.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sentence {
    /// An order is under way, or was lost.
    pub(crate) is_open: bool,
    must: Option<(u64, u64)>,
    may_until: u64,
}

impl Sentence {
    pub(crate) fn ask(&mut self) {
        *self = Sentence { is_open: true, must: None, may_until: u64::MAX };
    }

    fn carried_out(&mut self, order: &Order, now: u64) {
        let until = |from: u64| from + order.seconds * 1_000;
        let must = (order.seconds > 0).then(|| (now, until(order.asked_at)));
        *self = Sentence { is_open: false, must, may_until: until(now) };
    }

    /// Whether it held all the time in between.
    fn holds(&self, from: u64, to: u64) -> bool {
        self.must.is_some_and(|(since, until)| since < from && to < until)
    }
}

/// Somebody whom others know by a name. Several readers may be one person, as tabs are.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) nick: String,
    /// What proves the name; one that is not known yet is given with the first login.
    pub(crate) secret: Option<String>,
    /// The life of the server in which it was last told that the name is its own.
    pub(crate) known_in: Option<u64>,
    pub(crate) muted: Sentence,
    pub(crate) banned: Sentence,
    /// A moderator has asked that they be sent away.
    pub(crate) sent_away: bool,
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
    /// The wire was cut for a while.
    pub(crate) was_lost: bool,
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
            was_lost: false,
        }
    }

    /// Whether it has ever kept the server waiting.
    fn is_slow(&self) -> bool {
        self.was_slow || self.was_lost || self.conn.read_max < usize::MAX || self.conn.stalled_until > 0
    }

    /// From here on it reads and writes whatever there is.
    pub(crate) fn hurry(&mut self) {
        self.was_slow = self.is_slow();
        (self.conn.read_max, self.conn.write_max) = (usize::MAX, usize::MAX);
        (self.conn.stalled_until, self.conn.pace_ms) = (0, 0);
    }

    /// Whether its last request was answered: a stream has begun, or the next poll is not sent yet.
    pub(crate) fn is_settled(&self) -> bool {
        !self.ending && (self.conn.is_begun() || self.poll_at.is_some())
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
    pub(crate) config: Config,
    ledger: Rc<RefCell<Ledger>>,
    pub(crate) people: Vec<Person>,
    /// Somebody has left a picture, or tried to, in this life of the server.
    pub(crate) has_pictures: bool,
    /// Pictures that were left: their names, bytes, and the life of the server.
    pub(crate) pictures: Vec<(String, Vec<u8>, u64)>,
    /// What was given up for memory at the last turn.
    pressure: Pressure,
    /// Bytes read and written up to then.
    moved: u64,
    /// What the server said last of a channel.
    pub(crate) described: Option<(u16, Value)>,
    pub(crate) rng: Rng,
    pub(crate) model: Model,
    pub(crate) lines: Vec<Line>,
    pub(crate) channels: Vec<String>,
    pub(crate) small_buffers: bool,
    /// Nobody leaves out the sid it was given: else each time one more client is there for the grace period.
    pub(crate) keeps_sids: bool,
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
    pub(crate) fn new(seed: u64, config: Config, kept: Kept, channels: Vec<String>) -> Scene {
        let mut rng = Rng::new(seed);
        let world = World::new(rng.next());
        let (reactor, server, ledger) = begin(&world, &config, &mut rng);
        Scene {
            world,
            reactor,
            server,
            config,
            ledger,
            people: Vec::new(),
            has_pictures: false,
            pictures: Vec::new(),
            pressure: Pressure::default(),
            moved: 0,
            described: None,
            rng,
            model: Model::new(kept),
            lines: Vec::new(),
            channels,
            small_buffers: false,
            keeps_sids: false,
            healed: false,
            byes: 0,
            next_ref: 0,
            heard: Vec::new(),
            trace: std::env::var_os("ENCKE_TRACE").is_some(),
        }
    }

    /// The server dies and another one begins, which knows nothing of the first. What it had written and nobody
    /// had read is lost.
    pub(crate) fn restart(&mut self) {
        let (reactor, server, ledger) = begin(&self.world, &self.config, &mut self.rng);
        // The old ones go first to last, as a program that is killed: no goodbye, every socket at once.
        drop(std::mem::replace(&mut self.reactor, reactor));
        (self.server, self.ledger) = (server, ledger);
        self.world().reboot();
        self.lines.iter_mut().for_each(|line| line.ending = true);
        self.model.restart();
        (self.pressure, self.moved, self.has_pictures) = (Pressure::default(), 0, false);
        for person in &mut self.people {
            (person.muted, person.banned) = Default::default();
        }
        self.pump();
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
        self.check_work();
        self.reactor.links().audit();
        let apps = self.server.audit(self.reactor.links());
        assert!(apps == 0 || self.has_pictures, "{apps} bytes of images are held by nobody");
        self.check_pressure();
    }

    /// No turn does more than its budget of work, and none does more for one connection than that one's share.
    fn check_work(&self) {
        let stats = self.reactor.links().stats();
        let (turn, link) = (stats.turn_work_max, stats.link_work_max);
        let most = TIMERS_WORK_MAX + READ_BYTES_PER_TURN_MAX + WRITE_BYTES_PER_TURN_MAX + 3 * LONGEST_ACT;
        assert!(turn <= most, "a turn did {turn} of work, and {most} is its budget");
        let share = SPENT_PER_LINK_MAX + LONGEST_ACT;
        assert!(link <= share, "a turn did {link} of work for one connection, and {share} is its share");
    }

    /// What is held stays near the budget, and nobody is ended for it while there is history to give up beyond
    /// its reserve.
    fn check_pressure(&mut self) {
        let (before, now) = (self.pressure, self.server.pressure(self.reactor.links()));
        let most = self.config.memory + MEMORY_SLACK;
        assert!(now.held <= most, "{} bytes are held, beyond the budget of {}", now.held, self.config.memory);
        let is_shed = now.history_bytes > before.history_bytes;
        if is_shed {
            let at = self.now();
            self.model.shed.push(at);
        }
        // What is handed out in this very turn stays.
        let reserve = self.config.memory / encke::limits::MEMORY_RESERVE_SHARE;
        let is_out = before.is_due || now.head != before.head;
        let is_first = now.ended == before.ended || is_shed || before.log_bytes <= reserve || is_out;
        assert!(is_first, "somebody is ended before any history is given up: {before:?} {now:?}");
        // What came, what went out and what was given up in the same turn was held in between.
        let stats = self.reactor.links().stats();
        let moved = stats.read_bytes + stats.written_bytes;
        let passed = (now.history_bytes - before.history_bytes) + (moved - self.moved);
        let is_near = now.held.max(before.held) + passed as usize > self.config.memory / 2;
        // What was ended may have held all that there was.
        let may_shed = !is_shed || is_near || now.ended > before.ended || now.refused > before.refused;
        assert!(may_shed, "history is given up, and there is memory: {before:?} {now:?}");
        (self.pressure, self.moved) = (now, moved);
    }

    /// How much was given up for memory, in this life of the server.
    pub(crate) fn given_up(&self) -> (u64, u64, u64) {
        (self.pressure.history_bytes, self.pressure.ended, self.pressure.refused)
    }

    /// Whether what one does in a time is counted.
    pub(crate) fn has_quotas(&self) -> bool {
        self.config.limits != Limits::Off
    }

    /// Whether memory may be short.
    pub(crate) fn is_short(&self) -> bool {
        self.model.kept.short
    }

    /// Whether that is a refusal for want of anything, of which nobody is to blame who asked.
    fn is_excused(&self, code: &str) -> bool {
        match code {
            "rate_limited" | "too_many_connections" => self.has_quotas(),
            "no_memory" | "too_many_channels" | "too_many_clients" => self.is_short(),
            _ => false,
        }
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
        self.model.now = self.now();
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
        let is_late = line.dies_by.is_some_and(|dies_by| now > dies_by);
        assert!(!is_late || line.was_lost, "it outlives its deadline: {line:?}");
    }

    /// The clock goes on by so much in one step, as it does for a machine that was suspended.
    pub(crate) fn jump(&mut self, ms: u64) {
        self.world().now_ms += ms;
        self.world().wall_ms += ms;
        for line in &mut self.lines {
            // The server had no turn in which to keep it, and finds that nothing was read for long.
            line.dies_by = line.dies_by.map(|dies_by| dies_by + ms);
            line.was_slow = true;
        }
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
        let mut reader = Reader::new(channels);
        if !self.people.is_empty() && self.rng.coin() {
            reader.person = Some(self.rng.below(self.people.len()));
        }
        self.model.readers.push(reader);
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
        // A sid may be left out, or be long forgotten: the cursor alone must do.
        let keeps_sid =
            self.model.readers[reader].cursor.is_some() && (self.keeps_sids || self.rng.per_mille(800));
        if !keeps_sid {
            self.model.readers[reader].forget_session();
        }
        self.model.readers[reader].asked_at = self.now();
        self.model.readers[reader].come_back();
        let state = &self.model.readers[reader];
        let mut query: Vec<String> =
            state.channels().iter().map(|channel| format!("ch={}", escape(channel))).collect();
        let mut asks_for_last = false;
        match state.cursor {
            Some(cursor) => query.push(format!("since={}", self.model.cursor_of(cursor))),
            None if self.rng.per_mille(300) => {
                asks_for_last = true;
                query.push(format!("last={}", self.rng.range(0, 20)));
            }
            None => {}
        }
        match &self.model.readers[reader].sid {
            Some(sid) => query.push(format!("sid={sid}")),
            None if state.channels().is_empty() => query.push("sid=".to_owned()),
            None => {}
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
        match command {
            Command::Subscribe(reader, channel, start, _) => {
                let reader = &mut self.model.readers[*reader];
                if !reader.known_channels().contains(channel) {
                    reader.subscribe(channel, *start != Start::Now);
                }
            }
            Command::Login(reader, ..) => {
                self.model.readers[*reader].logging_in = true;
                self.model.readers[*reader].login_at = self.now();
            }
            Command::TakeBack(nonce) => self.model.take_back(*nonce),
            _ => {}
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
                // The clock may jump past the deadline of a message that is not whole; the reader comes back.
                let is_late = code == Some(1008) && !self.healed || code == Some(1013) && self.is_short();
                let line = &mut self.lines[place];
                assert!(
                    line.bye || line.ending || is_late,
                    "a close frame out of nothing: {code:?} {line:?}"
                );
                line.ending |= is_late;
            }
            Heard::Cut(what) => {
                // Only one that does not read for long, or the end of the program, cuts an answer off.
                let line = &self.lines[place];
                assert!(
                    line.is_slow() || self.small_buffers || self.healed || self.is_short(),
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
                let told = line.bye || line.ending || is_poll || line.is_slow() || self.is_short();
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
            // Between the first word of a restart and the last gap of it a browser remembers that all is lost.
            let is_lost = match text(event, "type") {
                "welcome" => id.is_some_and(|id| id.starts_with("00000000-")),
                "gap" => event["why"] == "restarted" && id.is_none(),
                _ => false,
            };
            assert!(is_lost || cursor == id, "the id of the stream is {id:?}: {event}");
        }
        if self.model.event(reader, event) {
            return;
        }
        match text(event, "type") {
            "heartbeat" => assert!(event["at"].is_u64()),
            "typing" => assert!(self.channels.iter().any(|known| known == text(event, "ch")), "{event}"),
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
        if !ok && self.is_excused(text(&reply["error"], "code")) {
            return self.hear_no(command);
        }
        match command {
            Command::Publish(nonce) if ok => {
                self.check_speaker(*nonce);
                self.model.acknowledged(*nonce, text(reply, "id"));
            }
            Command::Publish(nonce) => {
                if reply["error"]["code"] == "muted" {
                    self.check_silenced(*nonce);
                }
                self.model.refused(*nonce);
            }
            Command::TakeBack(nonce) if ok => self.model.taken_back(*nonce),
            // It is not kept any more.
            Command::TakeBack(_) => {
                let code = text(&reply["error"], "code");
                assert!(matches!(code, "no_message" | "login_first" | "unknown_sid"), "{reply}");
            }
            Command::Subscribe(reader, channel, start, sid) => {
                self.hear_subscribed(*reader, channel, *start, sid.as_deref(), reply);
            }
            Command::Login(reader, sid, knew) => self.hear_login(*reader, sid.as_deref(), *knew, reply),
            Command::History(asked_at) => {
                assert!(ok, "refused: {reply}");
                self.hear_history(reply, *asked_at);
            }
            Command::Any => {}
            Command::Other => assert!(ok, "refused: {reply}"),
            Command::Nonsense => assert!(!ok, "nonsense was taken: {reply}"),
        }
    }

    /// A command was refused that is good, for want of tokens or memory.
    fn hear_no(&mut self, command: &Command) {
        let is_same = |scene: &Scene, reader: usize, sid: &Option<String>| {
            sid.is_none() || scene.model.readers[reader].sid == *sid
        };
        match command {
            Command::Publish(nonce) => self.model.refused(*nonce),
            Command::Subscribe(reader, channel, start, sid) if is_same(self, *reader, sid) => {
                self.model.readers[*reader].not_subscribed(channel, *start != Start::Now);
            }
            Command::Login(reader, sid, _) if is_same(self, *reader, sid) => {
                self.model.readers[*reader].logging_in = false;
            }
            _ => {}
        }
    }

    /// Somebody's message was taken: nobody had silenced its author.
    fn check_speaker(&self, nonce: usize) {
        let attempt = &self.model.attempts[nonce];
        let speaker = self.people.iter().find(|person| attempt.is_from(&Author::User(person.nick.clone())));
        let silenced = speaker.map(|person| person.muted).filter(|muted| muted.holds(attempt.at, self.now()));
        assert!(silenced.is_none(), "a silenced person speaks: {silenced:?} {attempt:?}");
    }

    /// Somebody's message was refused, as if its author were silenced: somebody must have asked for that.
    fn check_silenced(&self, nonce: usize) {
        let attempt = &self.model.attempts[nonce];
        let may_be = |person: &&Person| person.muted.may_until >= attempt.at;
        let speaker = self.people.iter().filter(may_be).find(|person| attempt.may_be_from(&person.nick));
        assert!(speaker.is_some(), "nobody has silenced the author of {attempt:?}");
    }

    fn hear_subscribed(
        &mut self,
        reader: usize,
        channel: &str,
        start: Start,
        sid: Option<&str>,
        reply: &Value,
    ) {
        let is_from_past = start != Start::Now;
        // What another client was told says nothing to the one that it is now.
        let is_same = sid.is_none() || self.model.readers[reader].sid.as_deref() == sid;
        if reply["ok"] != true {
            let is_inbox = channel.starts_with('@');
            assert!(!is_same || is_inbox && !self.model.readers[reader].logged_in, "refused: {reply}");
            return self.model.readers[reader].not_subscribed(channel, is_from_past);
        }
        if !is_same {
            return;
        }
        let since = self.model.seq_of(text(reply, "since"));
        let cursor = self.model.seq_of(text(reply, "cursor"));
        if let Start::Since(asked) = start {
            let is_lost = reply.get("gap").is_some();
            assert!(since == asked || is_lost, "it begins elsewhere: {reply}");
        }
        let is_beside = sid.is_some();
        self.model.readers[reader].subscribed(channel, since, cursor, is_from_past, is_beside);
    }

    fn hear_login(&mut self, reader: usize, sid: Option<&str>, knew: bool, reply: &Value) {
        let life = self.model.life();
        let state = &mut self.model.readers[reader];
        let person = &mut self.people[state.person.expect("it has a name to log in with")];
        let is_same = sid.is_none() || state.sid.as_deref() == sid;
        state.logging_in &= !is_same;
        if reply["ok"] == true {
            let is_banned = person.banned.holds(state.login_at, self.model.now);
            assert!(!is_banned || !is_same, "who is kept out comes in: {reply}");
            assert_eq!(text(reply, "user"), person.nick);
            let secret = text(reply, "secret");
            assert!(person.secret.as_deref().is_none_or(|known| known == secret), "another secret: {reply}");
            person.secret = Some(secret.to_owned());
            person.known_in = Some(life);
            state.logged_in |= is_same;
        } else {
            if reply["error"]["code"] == "banned" {
                assert!(person.banned.may_until >= state.login_at, "nobody keeps them out: {reply}");
                return;
            }
            // Who has lost the answer to the very first login has lost the name.
            assert!(!knew, "the owner of a name is refused: {reply}");
            assert_eq!(reply["error"]["code"], "nick_taken", "{reply}");
        }
    }

    fn hear_history(&mut self, answer: &Value, asked_at: u64) {
        let messages = answer["messages"].as_array().unwrap_or_else(|| panic!("no messages: {answer}"));
        let seqs: Vec<u64> = messages.iter().map(|message| self.model.recorded(message, asked_at)).collect();
        assert!(seqs.is_sorted(), "out of order: {answer}");
        assert!(seqs.len() <= self.config.bounds.channel_messages, "more than is kept: {answer}");
    }

    /// Who a message is from if this reader publishes it now.
    pub(crate) fn author(&self, reader: usize) -> Author {
        let state = &self.model.readers[reader];
        let Some(person) = state.person.map(|person| &self.people[person]) else { return Author::Nobody };
        // A login may overtake it on another connection; and who was sent away comes back as nobody, and may
        // speak before being told so.
        if state.logged_in && !person.sent_away {
            Author::User(person.nick.clone())
        } else {
            Author::Either(person.nick.clone())
        }
    }

    fn hear_answer(&mut self, place: usize, head: &ResponseHead, body: &[u8]) {
        if head.status == 503 || head.status == 429 {
            assert!(head.field("retry-after").is_some(), "no word of when to try again");
        }
        let refused = head.status >= 400;
        if refused && head.status != 404 && head.status != 405 {
            check_problem(head, body);
        }
        if let Use::Reading(transport) = self.lines[place].conn.role {
            let reader = self.lines[place].reader.expect("a reader has asked");
            if refused {
                // An inbox is asked for under a sid that is forgotten: nobody is logged in any more.
                let is_forgotten = head.status == 403 && self.model.readers[reader].logged_in;
                if is_forgotten {
                    self.model.readers[reader].forget_session();
                }
                let is_spared = head.status == 429 && self.has_quotas();
                let is_fine = is_forgotten || is_spared || matches!(head.status, 408 | 503);
                assert!(is_fine, "a reader was refused: {head:?} {}", String::from_utf8_lossy(body));
                self.lines[place].ending = true;
                return;
            }
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
        if matches!(head.status, 503 | 408) || head.status == 429 && self.has_quotas() {
            self.lines[place].ending = true;
            return;
        }
        self.hear_ask(&ask.unwrap_or_else(|| panic!("an answer to nothing: {head:?}")), head, body);
    }

    fn hear_ask(&mut self, ask: &Ask, head: &ResponseHead, body: &[u8]) {
        let fine = (200..300).contains(&head.status);
        match ask {
            Ask::Fine => assert!(fine, "{head:?}"),
            Ask::Clear(clearing) => match head.status {
                204 => self.model.cleared(*clearing),
                404 => {}
                _ => panic!("it is not emptied: {head:?}"),
            },
            Ask::ClearRoom(clearing) => match head.status {
                200 => self.model.cleared(*clearing),
                404 => {}
                _ => panic!("it is not emptied: {head:?}"),
            },
            Ask::Order(order) => self.hear_order(order, head),
            Ask::Picture(bytes) if fine => {
                let answer = crate::sim::decode::json(std::str::from_utf8(body).expect("UTF-8"));
                assert_eq!(answer["type"], "image/gif", "{answer}");
                let life = self.model.life();
                self.pictures.push((text(&answer, "id").to_owned(), bytes.clone(), life));
            }
            // Its owner may be nobody any more, or silenced.
            Ask::Picture(_) => assert!(matches!(head.status, 403 | 410), "{head:?}"),
            Ask::GetPicture(number) => {
                let (_, bytes, life) = &self.pictures[*number];
                let may_be_gone = *life != self.model.life() || self.is_short();
                assert!(fine || may_be_gone && head.status == 404, "a picture is gone: {head:?}");
                if fine {
                    assert_eq!(head.field("content-type"), Some("image/gif"));
                    assert_eq!(head.field("x-content-type-options"), Some("nosniff"));
                    assert!(body == bytes, "another picture");
                }
            }
            Ask::Describe => {
                let answer = crate::sim::decode::json(std::str::from_utf8(body).expect("UTF-8"));
                self.described = Some((head.status, answer));
            }
            // Nobody reads it, and it kept nothing.
            Ask::History(_) if head.status == 404 && self.is_short() => {}
            Ask::History(asked_at) => {
                assert!(fine, "{head:?}");
                let answer = crate::sim::decode::json(std::str::from_utf8(body).expect("UTF-8"));
                self.hear_history(&answer, *asked_at);
            }
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
                    if answer["ok"] == false && self.is_excused(text(&answer["error"], "code")) {
                        self.model.refused(*nonce);
                    } else {
                        self.model.acknowledged(*nonce, text(answer, "id"));
                    }
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

    fn hear_order(&mut self, order: &Order, head: &ResponseHead) {
        let (now, person) = (self.now(), &mut self.people[order.person]);
        let sentence = if order.is_ban { &mut person.banned } else { &mut person.muted };
        match head.status {
            200 => sentence.carried_out(order, now),
            // Nobody has that name.
            404 => *sentence = Sentence::default(),
            _ => panic!("an order is refused: {head:?}"),
        }
    }

    // The end.

    /// Clients present, as the application was told.
    pub(crate) fn present(&self) -> usize {
        self.ledger.borrow().present()
    }

    /// How long a request may take to arrive before the server gives up on it.
    pub(crate) fn patience_ms() -> u64 {
        HEAD_MS.max(BODY_MS) + LATE_MS
    }
}

/// A server that has just been started, its loop, and the ledger of its application.
fn begin(
    world: &Rc<RefCell<World>>,
    config: &Config,
    rng: &mut Rng,
) -> (Reactor<SimKernel>, Server, Rc<RefCell<Ledger>>) {
    let ledger = Rc::default();
    let mut entropy = rng.fork();
    let witness = Witness::new(Chat::new(), Rc::clone(&ledger));
    let server = Server::new(config.clone(), Box::new(witness), Box::new(move |bytes| entropy.fill(bytes)));
    (Reactor::new(SimKernel::new(world)), server, ledger)
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
