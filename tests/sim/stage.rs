//! One reactor over a kernel in memory, turn by turn, and a handler that takes note of what it is told.
//!
//! It knows no protocol: the witness answers with what a test gave it. A whole server can stand in its place.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use encke::reactor::{ConnId, Handler, Links, Reactor, Why};
use encke::server::{App, Config, Server};

use super::KEY;
use super::kernel::{Buffers, Got, Peer, SimKernel, World};
use super::rng::Rng;

pub(crate) const REFUSAL: &[u8] = b"no room";

/// What is handed out to whoever is due.
pub(crate) const NEWS: &[u8] = b"news";

/// What the handler was told of one connection.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) bytes: usize,
    pub(crate) ended: bool,
    pub(crate) drained: usize,
    pub(crate) deadlines: Vec<u64>,
    pub(crate) closed: Option<Why>,
}

type OnRead = Box<dyn FnMut(&mut Links, ConnId, &[u8])>;

/// Takes note of everything, does what the test says when bytes come, and checks the order of the calls.
pub(crate) struct Witness {
    pub(crate) seen: Vec<(ConnId, Seen)>,
    pub(crate) links_max: usize,
    pub(crate) on_read: OnRead,
    pub(crate) on_eof: fn(&mut Links, ConnId),
    pub(crate) on_drain: fn(&mut Links, ConnId),
    /// Who is to be told the news, and how many were at a time.
    pub(crate) due: VecDeque<ConnId>,
    /// Whose peers owe so much work that they wait for all others.
    pub(crate) heavy: Vec<ConnId>,
    pub(crate) batches: Vec<usize>,
}

impl Witness {
    fn of(&mut self, id: ConnId) -> &mut Seen {
        let seen = self.seen.iter_mut().find(|(known, _)| *known == id);
        let (_, seen) = seen.expect("no call before on_open");
        assert_eq!(seen.closed, None, "no call after on_close");
        seen
    }
}

impl Handler for Witness {
    fn on_open(&mut self, _: &mut Links, id: ConnId, _: SocketAddr) {
        assert!(self.seen.iter().all(|(known, _)| *known != id), "on_open twice");
        self.seen.push((id, Seen::default()));
    }

    fn on_read(&mut self, links: &mut Links, id: ConnId, bytes: &[u8]) {
        let seen = self.of(id);
        assert!(!seen.ended, "bytes after the end");
        seen.bytes += bytes.len();
        (self.on_read)(links, id, bytes);
    }

    fn on_eof(&mut self, links: &mut Links, id: ConnId) {
        let seen = self.of(id);
        assert!(!seen.ended, "the end was told twice");
        seen.ended = true;
        (self.on_eof)(links, id);
    }

    fn on_drain(&mut self, links: &mut Links, id: ConnId) {
        self.of(id).drained += 1;
        (self.on_drain)(links, id);
    }

    fn is_heavy(&mut self, _: &Links, id: ConnId) -> bool {
        self.heavy.contains(&id)
    }

    fn on_deadline(&mut self, links: &mut Links, id: ConnId) {
        let now = links.now().as_millis();
        self.of(id).deadlines.push(now);
    }

    fn on_timer(&mut self, _: &mut Links, _: u64) {}

    fn on_close(&mut self, _: &mut Links, id: ConnId, why: Why) {
        self.of(id).closed = Some(why);
    }

    fn on_fan_out(&mut self, links: &mut Links, budget: usize) {
        let batch = budget.min(self.due.len());
        self.due.drain(..batch).for_each(|id| links.send(id, NEWS));
        self.batches.push(batch);
    }

    fn on_turn(&mut self, _: &mut Links) {}

    fn on_stop(&mut self, links: &mut Links) {
        for (id, _) in &self.seen {
            links.send(*id, &b"bye"[..]);
        }
    }

    fn has_work(&self) -> bool {
        !self.due.is_empty()
    }

    fn links_max(&self) -> usize {
        self.links_max
    }

    fn refusal(&self) -> &'static [u8] {
        REFUSAL
    }
}

/// A reactor, its kernel and the one handler.
pub(crate) struct Stage<H = Witness> {
    world: Rc<RefCell<World>>,
    pub(crate) reactor: Reactor<SimKernel>,
    pub(crate) handler: H,
}

impl Stage {
    pub(crate) fn new(on_read: impl FnMut(&mut Links, ConnId, &[u8]) + 'static) -> Stage {
        Stage::of(Witness {
            seen: Vec::new(),
            links_max: 10_000,
            on_read: Box::new(on_read),
            on_eof: |links, id| links.close(id),
            on_drain: |_, _| {},
            due: VecDeque::new(),
            heavy: Vec::new(),
            batches: Vec::new(),
        })
    }

    /// A handler that answers nothing.
    pub(crate) fn silent() -> Stage {
        Stage::new(|_, _, _| {})
    }

    pub(crate) fn seen(&self, place: usize) -> &Seen {
        &self.handler.seen[place].1
    }
}

/// A whole server, with a key that [`Stage::ask`] shows.
pub(crate) fn server(mut config: Config, app: impl App + 'static) -> Server {
    let mut entropy = Rng::new(0);
    config.publish_key.get_or_insert_with(|| KEY.to_owned());
    Server::new(config, Box::new(app), Box::new(move |bytes| entropy.fill(bytes)))
}

impl<H: Handler> Stage<H> {
    pub(crate) fn of(handler: H) -> Stage<H> {
        let world = World::new(0);
        let reactor = Reactor::new(SimKernel::new(&world));
        Stage { world, reactor, handler }
    }

    pub(crate) fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    pub(crate) fn connect(&self) -> Peer {
        self.connect_over(Buffers::default())
    }

    pub(crate) fn connect_over(&self, buffers: Buffers) -> Peer {
        self.world().connect(buffers).expect("listening")
    }

    pub(crate) fn write(&self, peer: Peer, bytes: &[u8]) {
        assert_eq!(self.world().write(peer, bytes), bytes.len());
    }

    pub(crate) fn turn(&mut self) {
        self.reactor.turn(&mut self.handler).expect("the simulated poll does not fail");
        self.reactor.links().audit();
    }

    /// Lets `ms` milliseconds pass, in turns as long as the reactor wants to sleep.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.world().now_ms + ms;
        self.world().alarm_ms = until;
        loop {
            self.world().deliver_all();
            self.turn();
            if self.world().now_ms >= until {
                return;
            }
        }
    }

    /// Lets everything move that can move without time passing.
    pub(crate) fn settle(&mut self) {
        self.pass(0);
        for _ in 0..50 {
            self.world().deliver_all();
            self.turn();
        }
    }

    /// Reads what is there: the bytes, and what came after them.
    pub(crate) fn read(&self, peer: Peer) -> (Vec<u8>, Got) {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match self.world().read(peer, &mut buffer) {
                Got::Bytes(count) => bytes.extend_from_slice(&buffer[..count]),
                other => return (bytes, other),
            }
        }
    }

    /// Reads until the end, the wire and the reactor moving in between.
    pub(crate) fn read_to_end(&mut self, peer: Peer) -> (Vec<u8>, Got) {
        let mut bytes = Vec::new();
        for _ in 0..10_000 {
            self.world().deliver_all();
            self.turn();
            let (more, got) = self.read(peer);
            bytes.extend(more);
            if got != Got::Nothing {
                return (bytes, got);
            }
        }
        panic!("{} bytes, and no end", bytes.len());
    }

    /// A connection that has said that.
    pub(crate) fn say(&mut self, text: &str) -> Peer {
        let most = 1 << 20;
        let wide = Buffers { up_sending: most, up_arrived: most, down_sending: most, down_arrived: most };
        let peer = self.connect_over(wide);
        self.write(peer, text.as_bytes());
        self.move_on();
        peer
    }

    /// A few turns, in which an answer comes.
    pub(crate) fn move_on(&mut self) {
        for _ in 0..4 {
            self.world().deliver_all();
            self.turn();
        }
        self.world().deliver_all();
    }

    /// The whole answer to a request on a connection of its own.
    pub(crate) fn ask(&mut self, line: &str, body: &str) -> String {
        let length = body.len();
        let peer = self.say(&format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let answer = String::from_utf8(self.read(peer).0).expect("text");
        self.world().close(peer);
        self.move_on();
        answer
    }
}
