//! The memory budget, step by step over a kernel in memory: what gives way, in which order, and who is
//! spared.
//!
//! The order is drawn at the top of `src/server/memory.rs`. What all of it weighs against the kernel's word
//! is `tests/memory.rs`.

mod sim;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use encke::account::{self, Part};
use encke::chat::Chat;
use encke::limits::{MEMORY_RESERVE_SHARE, MEMORY_STEP_SHARE};
use encke::reactor::{ConnId, Handler, Links, Why};
use encke::server::inner::Pressure;
use encke::server::{App, Config, Server};
use sim::kernel::{Buffers, Peer};
use sim::stage::{Stage, server};

const BUDGET: usize = 1 << 20;

/// Channels that keep history, and messages of about a thousand bytes in each.
const CHANNELS: usize = 8;
const MESSAGES: usize = 40;
const LONG: usize = 1_000;

fn stage(app: impl App + 'static) -> Stage<Server> {
    Stage::of(server(Config { memory: BUDGET, ..Config::default() }, app))
}

impl Stage<Server> {
    fn pressure(&self) -> Pressure {
        self.handler.pressure(self.reactor.links())
    }

    /// Begins a request that holds so many bytes and does not end.
    fn hold(&mut self, bytes: usize) -> Peer {
        let length = 500_000;
        let body = "1".repeat(bytes);
        self.say(&format!(
            "POST /publish/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Has others hold so much each, one after the other, until that many were ended for it.
    fn press(&mut self, bytes: usize, ended: u64) -> Vec<Peer> {
        let mut crowd = Vec::new();
        while self.pressure().ended < ended {
            assert!(crowd.len() * bytes < 2 * BUDGET, "nobody is ended");
            crowd.push(self.hold(bytes));
        }
        crowd
    }

    fn keep_history(&mut self) {
        for place in 0..CHANNELS * MESSAGES {
            let answer = self.ask(&format!("POST /publish/c{}", place % CHANNELS), &"1".repeat(LONG));
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }

    fn is_ended(&self, peer: Peer) -> bool {
        !self.world().is_held(peer) || self.read(peer).0.starts_with(b"HTTP/1.1 503")
    }
}

/// An application that holds what the test says, and gives it up or not.
struct Hoarder {
    held: Rc<Cell<usize>>,
    gives: bool,
}

impl App for Hoarder {
    fn held(&mut self) -> usize {
        self.held.get()
    }

    fn relieve(&mut self, bytes: usize) {
        if self.gives {
            self.held.set(self.held.get().saturating_sub(bytes));
        }
    }
}

#[test]
fn history_goes_before_anybody_does_but_for_its_reserve() {
    let mut stage = stage(Chat::new());
    stage.keep_history();
    let (reserve, before) = (BUDGET / MEMORY_RESERVE_SHARE, stage.pressure().log_bytes);
    assert!(before > 4 * reserve);
    while stage.pressure().history_bytes == 0 {
        stage.hold(10_000);
    }
    assert_eq!(stage.pressure().ended, 0);
    stage.press(10_000, 5);
    let left = stage.pressure().log_bytes;
    assert!(left <= reserve && left > reserve - 2 * LONG, "{left} of {reserve} after {before}");
    for channel in 0..CHANNELS {
        let history = stage.ask(&format!("GET /channels/c{channel}/history"), "");
        assert!(history.contains("\"at\":"), "each has some of its own: {history}");
    }
}

#[test]
fn the_application_is_asked_before_anybody_is_ended() {
    let held = Rc::new(Cell::new(0));
    let mut stage = stage(Hoarder { held: held.clone(), gives: true });
    stage.keep_history();
    let holder = stage.hold(100_000);
    held.set(BUDGET);
    stage.move_on();
    stage.hold(1);
    let (reserve, pressure) = (BUDGET / MEMORY_RESERVE_SHARE, stage.pressure());
    assert!(held.get() < BUDGET - BUDGET / 8, "{}", held.get());
    assert!(pressure.log_bytes <= reserve && pressure.log_bytes > reserve - 2 * LONG, "{pressure:?}");
    assert!(pressure.held < BUDGET - BUDGET / 8 && pressure.ended == 0, "{pressure:?}");
    assert!(!stage.is_ended(holder));
}

/// Where nobody holds anything worth it, history goes to the last of it and newcomers are refused, and no one
/// who is there notices. Once there is memory again, all is as it was.
#[test]
fn what_cannot_be_given_up_keeps_newcomers_out() {
    let held = Rc::new(Cell::new(0));
    let mut stage = stage(Hoarder { held: held.clone(), gives: false });
    stage.keep_history();
    let reader = stage.say("GET /sse?ch=c0 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    held.set(BUDGET);
    stage.hold(1);
    let newcomer = stage.say("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(stage.is_ended(newcomer));
    let pressure = stage.pressure();
    assert_eq!((pressure.log_bytes, pressure.ended), (0, 0));
    held.set(0);
    assert!(stage.ask("POST /publish/c0", "\"again\"").starts_with("HTTP/1.1 200"));
    let told = String::from_utf8(stage.read(reader).0).expect("text");
    assert!(told.contains("\"again\""), "{told}");
}

#[test]
fn the_heaviest_are_ended_first() {
    let mut stage = stage(Chat::new());
    let mut light: Vec<Peer> = (0..10).map(|_| stage.hold(5_000)).collect();
    let heavy = [stage.hold(60_000), stage.hold(240_000), stage.hold(120_000)];
    for (count, heaviest) in (1..).zip([1, 2, 0]) {
        light.extend(stage.press(5_000, count));
        assert_eq!(stage.pressure().ended, count);
        assert!(stage.is_ended(heavy[heaviest]), "{heaviest} at {count}");
    }
    assert!(light.iter().all(|&peer| !stage.is_ended(peer)));
}

/// What is held once and waits for many weighs with each of them what falls to it: they are not as many
/// culprits.
#[test]
fn a_crowd_that_waits_for_the_same_is_lighter_than_one_that_holds_its_own() {
    let mut stage = stage(Chat::new());
    let narrow = Buffers { down_sending: 200, down_arrived: 200, ..Buffers::default() };
    let crowd: Vec<Peer> = (0..50).map(|_| stage.connect_over(narrow)).collect();
    crowd.iter().for_each(|&peer| stage.write(peer, b"GET /sse?ch=a HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    for _ in 0..20 {
        stage.move_on();
        crowd.iter().for_each(|&peer| drop(stage.read(peer)));
    }
    // Nobody reads on.
    stage.ask("POST /publish/a", &"1".repeat(60_000));
    let links = stage.reactor.links();
    assert_eq!(links.iter_from(0).filter(|&id| links.queued(id) > 50_000).count(), crowd.len());
    let own = stage.hold(30_000);
    stage.press(4_000, 1);
    assert!(stage.is_ended(own));
    assert!(crowd.iter().all(|&peer| stage.world().is_held(peer)));
}

/// A server, and how much it made at most between two rounds of writing.
struct Watched {
    server: Server,
    most_made: Rc<RefCell<usize>>,
}

fn made() -> usize {
    account::held(Part::Images) + account::held(Part::Outboxes)
}

impl Handler for Watched {
    fn on_open(&mut self, links: &mut Links, id: ConnId, peer: SocketAddr) {
        self.server.on_open(links, id, peer);
    }
    fn on_read(&mut self, links: &mut Links, id: ConnId, bytes: &[u8]) {
        self.server.on_read(links, id, bytes);
    }
    fn on_eof(&mut self, links: &mut Links, id: ConnId) {
        self.server.on_eof(links, id);
    }
    fn on_drain(&mut self, links: &mut Links, id: ConnId) {
        self.server.on_drain(links, id);
    }
    fn on_deadline(&mut self, links: &mut Links, id: ConnId) {
        self.server.on_deadline(links, id);
    }
    fn on_timer(&mut self, links: &mut Links, key: u64) {
        self.server.on_timer(links, key);
    }
    fn on_close(&mut self, links: &mut Links, id: ConnId, why: Why) {
        self.server.on_close(links, id, why);
    }
    fn on_fan_out(&mut self, links: &mut Links, budget: usize) {
        let before = made();
        self.server.on_fan_out(links, budget);
        let made = made().saturating_sub(before);
        self.most_made.replace_with(|most| made.max(*most));
    }
    fn on_turn(&mut self, links: &mut Links) {
        self.server.on_turn(links);
    }
    fn on_stop(&mut self, links: &mut Links) {
        self.server.on_stop(links);
    }
    fn has_work(&self) -> bool {
        self.server.has_work()
    }
    fn links_max(&self) -> usize {
        self.server.links_max()
    }
    fn refusal(&self) -> &'static [u8] {
        self.server.refusal()
    }
}

/// Each reader needs what nobody else does. What is made for some of them goes out before more is made.
#[test]
fn what_is_made_for_some_goes_out_before_more_is_made() {
    const READERS: usize = 16;
    const LONG: usize = 30_000;
    const MEMORY: usize = 4 << 20;
    for channels in ["ch=c{}", "ch=c{}&ch=d{}"] {
        let most_made = Rc::default();
        let server = server(Config { memory: MEMORY, ..Config::default() }, Chat::new());
        let mut stage = Stage::of(Watched { server, most_made: Rc::clone(&most_made) });
        let wide = Buffers { up_sending: 1 << 20, up_arrived: 1 << 20, ..Buffers::default() };
        let readers: Vec<Peer> = (0..READERS).map(|_| stage.connect_over(wide)).collect();
        for (number, &peer) in readers.iter().enumerate() {
            let query = channels.replace("{}", &number.to_string());
            stage.write(peer, format!("GET /sse?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        }
        stage.settle();
        readers.iter().for_each(|&peer| drop(stage.read(peer)));
        most_made.replace(0);
        let text = "1".repeat(LONG);
        let lines = |kind: char| -> String {
            (0..READERS).map(|n| format!("{{\"ch\":\"{kind}{n}\",\"data\":{text}}}\n")).collect()
        };
        let body = lines('c') + &if channels.contains('d') { lines('d') } else { String::new() };
        let back_end = stage.connect_over(Buffers { up_sending: 2 << 20, up_arrived: 2 << 20, ..wide });
        let length = body.len();
        stage.write(
            back_end,
            format!("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
                .as_bytes(),
        );
        let mut told = [0; READERS];
        for _ in 0..20 {
            stage.world().deliver_all();
            stage.turn();
            stage.world().deliver_all();
            told.iter_mut().zip(&readers).for_each(|(told, &peer)| *told += stage.read(peer).0.len());
        }
        let each = LONG * channels.matches("ch=").count();
        assert!(told.iter().all(|&told| told > each), "{told:?} of {each}");
        let most = *most_made.borrow();
        assert!(most > 0 && most <= MEMORY / MEMORY_STEP_SHARE + 2 * LONG, "{most} for {channels}");
    }
}
