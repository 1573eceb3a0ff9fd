//! The memory budget, weighed: ten thousand hostile clients of every kind, and of those kinds whose harm
//! outlives their connection, against the program itself, whose resident memory the kernel tells.
//!
//! Linux only, since the weight is read from /proc. The program must never weigh more than its budget and the
//! slack that `docs/security.md` states, and one who behaves must be served all the while.

#![cfg(target_os = "linux")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::Client;
use common::client::{UPGRADE, frame};

/// The budget, and what the program may weigh beyond it: itself, one quarter for the allocator.
const BUDGET: usize = 64 << 20;
const SLACK: usize = (4 << 20) + BUDGET / 4;

/// Hostile clients. The program and the test may each hold 20,000 descriptors on the smallest machine.
const HOSTILE: usize = 10_000;

/// What takes the key of the program under test.
const KEY: &str = "of-those-who-look-in";

struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(options: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_encke"))
            .args(["--port", "0", "--open-publish"])
            .args(options)
            .env("ENCKE_PUBLISH_KEY", KEY)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().rsplit('/').next().expect("an address").parse().expect("an address");
        Program { child, address }
    }

    /// Bytes of physical memory that it had at most.
    fn most_resident(&self) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("VmHWM:")).expect("a line of resident memory");
        let kilobytes: usize = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
        kilobytes * 1024
    }

    fn metric(&self, name: &str) -> u64 {
        let text = Client::connect(self.address).ask("GET", "/metrics", &closing_with_key(), b"").text();
        counter(&text, name)
    }
}

fn closing_with_key() -> String {
    format!("Connection: close\r\nAuthorization: Bearer {KEY}\r\n")
}

fn counter(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().expect("a number")
}

/// What all parts hold together, as the metrics tell it.
fn told(metrics: &str) -> usize {
    let parts = metrics.lines().filter(|line| line.starts_with("encke_memory_bytes{"));
    parts.map(|line| line.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).expect("a number")).sum()
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a hostile client does. None of them ever reads, but to learn what it needs for the next blow.
#[derive(Clone, Copy, Debug)]
enum Hostile {
    /// Reads a channel that is full from its beginning, and takes nothing.
    SlowEvents,
    SlowStream,
    /// Begins and does not end.
    HalfHead,
    HalfBody,
    HalfChunk,
    HalfFrame,
    HalfMessage,
    /// Subscribes to all that it may, under names of nearly the greatest length, and asks for a history.
    Subscriptions,
    /// Reads as many channels as it may, the same as all of its kind.
    Common,
    /// Makes clients, each with a channel of its own, and lets each of them go.
    Sids,
    /// Publishes into channels that nobody knew.
    Channels,
    /// Asks for many histories at once.
    Histories,
    /// Leaves big pictures.
    Pictures,
}

use Hostile::{
    Channels, Common, HalfBody, HalfChunk, HalfFrame, HalfHead, HalfMessage, Histories, Pictures, Sids,
    SlowEvents, SlowStream, Subscriptions,
};

/// Bytes of a picture: nearly all that one may have.
const PICTURE: usize = 500_000;

fn long_name(number: usize, place: usize) -> String {
    format!("{:x<120}", format!("{number}-{place}-"))
}

impl Hostile {
    /// What it says.
    fn bytes(self, number: usize) -> Vec<u8> {
        let host = "Host: encke.localhost\r\n";
        let head = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\n{host}{fields}\r\n").into_bytes();
        let long = |mut bytes: Vec<u8>| {
            bytes.resize(bytes.len() + 60_000, b'1');
            bytes
        };
        match self {
            SlowEvents => head("GET /sse?ch=full0&since=0", ""),
            SlowStream => head("GET /stream?ch=full0&last=1000", ""),
            HalfHead => {
                let line = format!("GET /{number} HTTP/1.1\r\n{host}Cookie: {}", "x".repeat(7_000));
                line.into_bytes()
            }
            HalfBody => long(head("POST /publish/x", "Content-Length: 1000000\r\n")),
            HalfChunk => long(
                [head("POST /publish/x", "Transfer-Encoding: chunked\r\n"), b"fffff\r\n".to_vec()].concat(),
            ),
            HalfFrame => {
                let header = vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                long([head(&format!("GET /ws?ch=c{number}"), UPGRADE), header].concat())
            }
            HalfMessage => {
                let fragment = frame(0x01, [b'1'; 30_000]);
                [head(&format!("GET /ws?ch=c{number}"), UPGRADE), fragment, frame(0x00, [b'1'; 30_000])]
                    .concat()
            }
            Subscriptions => {
                let mut bytes = head("GET /ws?ch=full0", UPGRADE);
                for place in 0..100 {
                    let name = long_name(number, place);
                    bytes.extend(frame(0x81, format!("{{\"op\":\"subscribe\",\"ch\":\"{name}\"}}")));
                }
                bytes.extend(frame(0x81, "{\"op\":\"history\",\"ch\":\"full0\",\"limit\":1000}"));
                bytes
            }
            Common => {
                let names = (0..encke::limits::SUBSCRIPTIONS_MAX).map(|place| format!("ch=s{place}"));
                head(&format!("GET /ws?{}", names.collect::<Vec<_>>().join("&")), UPGRADE)
            }
            Sids => {
                let polls = (0..50)
                    .map(|place| head(&format!("GET /poll?ch={}&wait=0", long_name(number, place)), ""));
                polls.collect::<Vec<_>>().concat()
            }
            Channels => {
                let publishes = (0..50).map(|place| {
                    let line = format!("POST /publish/{}", long_name(number, place));
                    [head(&line, "Content-Length: 1000\r\n"), vec![b'1'; 1000]].concat()
                });
                publishes.collect::<Vec<_>>().concat()
            }
            Histories => head("GET /poll?ch=full0&last=1000", "").repeat(20),
            Pictures => Vec::new(),
        }
    }

    /// One of its kind begins.
    fn begin(self, address: SocketAddr, number: usize) -> Option<TcpStream> {
        use socket2::{Domain, Socket, Type};
        if let Pictures = self {
            // One in so many, or the test would do nothing but send them.
            return number.is_multiple_of(20).then(|| leave_picture(address, number)).flatten();
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
        socket.set_recv_buffer_size(2048).ok()?;
        socket.connect(&address.into()).ok()?;
        let mut stream = TcpStream::from(socket);
        stream.set_nonblocking(true).ok()?;
        // Whatever the kernel takes now; the rest is never sent.
        let _ = stream.write(&self.bytes(number));
        Some(stream)
    }
}

/// A whole picture of about so many bytes: what is no part of one is not kept.
fn gif(bytes: usize, pixels: u8) -> Vec<u8> {
    let head = b"GIF89a\x02\x01\x03\0\0\0\0\x2c\0\0\0\0\x02\x01\x03\0\0\x02";
    let block = [&[255][..], &[pixels; 255]].concat();
    [&head[..], &block.repeat(bytes / block.len() - 1), b"\0;"].concat()
}

/// Somebody with a name leaves a picture. None if there is no memory for that now.
fn leave_picture(address: SocketAddr, number: usize) -> Option<TcpStream> {
    let mut client = Client::connect(address);
    let sid = client.get("/poll?ch=full0").json()["sid"].as_str()?.to_owned();
    let login = format!("{{\"op\":\"login\",\"nick\":\"n{number}\"}}");
    (client.post(&format!("/send?sid={sid}"), login).json()["ok"] == true).then_some(())?;
    (client.post(&format!("/pictures?sid={sid}"), gif(PICTURE, 0)).status == 200).then_some(client.stream)
}

/// Each test here needs half of the descriptors that a process may have.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Ten thousand hostile clients of these kinds, one after the other and all at once, while one reads who
/// behaves and others come and go.
fn storm(kinds: &[Hostile]) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let program = Program::start(&["--memory", "64M", "--grace", "5", "--log", "error"]);
    let address = program.address;
    let mut good = Client::connect(address);
    good.upgrade("/ws?ch=good&ch=quiet&ch=silent&hb=300", "");
    let (_, welcome) = good.frame();
    assert!(welcome.windows(9).any(|part| part == b"\"welcome\""));
    let mut back_end = Client::connect(address);
    // History beyond its share of the budget.
    let body = "1".repeat(60_000);
    for number in 0..1_000 {
        let response = back_end.post(&format!("/publish/full{}", number % 40), &body);
        assert_eq!(response.status, 200, "{response:?}");
    }
    let (mut crowd, mut turned_away, mut most_told) = (Vec::new(), 0, 0);
    let mut buffer = [0; 4096];
    for number in 0..HOSTILE {
        let kind = kinds[number % kinds.len()];
        crowd.extend(kind.begin(address, number).map(|stream| (kind, stream)));
        if number % 50 == 0 {
            let text = format!("\"{number}\"");
            let response = back_end.post("/publish/good", &text);
            assert_eq!(response.status, 200, "{response:?}");
            back_end.post("/publish/full0", &body);
            // Presence apart, this is all that happens in its channels.
            let (_, told) = good.frame();
            let told = String::from_utf8_lossy(&told);
            assert!(told.contains(&text), "not told of {number} but {told}");
        }
        if number % 250 == 0 {
            let mut newcomer = Client::connect(address);
            let fields = closing_with_key();
            newcomer.try_send(format!("GET /metrics HTTP/1.1\r\nHost: encke.localhost\r\n{fields}\r\n"));
            let metrics = newcomer.response();
            turned_away += usize::from(metrics.status == 503);
            if metrics.status == 200 {
                most_told = most_told.max(told(&metrics.text()));
            }
        }
        // Some go on to send, some read a little.
        if let Some((kind, stream)) = crowd.len().checked_sub(97).and_then(|place| crowd.get_mut(place)) {
            if matches!(kind, HalfBody | HalfChunk | HalfFrame) {
                let _ = stream.write(&[b'1'; 60_000]);
            }
            if number % 16 == 0 {
                let _ = stream.read(&mut buffer);
            }
        }
    }
    let most = program.most_resident();
    println!(
        "{} KiB resident and {} KiB told at most, for a budget of {} KiB; {turned_away} of {} turned away",
        most / 1024,
        most_told / 1024,
        BUDGET / 1024,
        HOSTILE / 250
    );
    assert!(most < BUDGET + SLACK, "{} KiB of {} and {}", most / 1024, BUDGET / 1024, SLACK / 1024);
    assert!(most_told <= BUDGET, "{most_told} bytes by its own account");
    assert!(most_told > BUDGET / 2, "the account knows what is held: {most_told}");
    assert!(turned_away <= HOSTILE / 250 / 10, "{turned_away}");
    let metrics = Client::connect(address).ask("GET", "/metrics", &closing_with_key(), b"").text();
    assert!(counter(&metrics, "encke_memory_history_bytes_total") > 0, "history had to go");
    assert!(counter(&metrics, "encke_memory_ended_total") > 0, "and after it the heaviest");
    // Everybody else comes and goes as ever.
    assert_eq!(Client::connect(address).get("/poll?ch=new").status, 200);
    drop(crowd);
    good.send(frame(0x81, "{\"op\":\"ping\",\"ref\":1}"));
    let (_, reply) = good.frame();
    assert!(String::from_utf8_lossy(&reply).contains("\"ok\":true"));
}

#[test]
fn ten_thousand_hostile_readers_stay_within_the_budget() {
    storm(&[
        SlowEvents,
        SlowStream,
        HalfHead,
        HalfBody,
        HalfChunk,
        HalfFrame,
        HalfMessage,
        Subscriptions,
        Common,
        Sids,
        Channels,
        Histories,
        Pictures,
    ]);
}

#[test]
fn what_outlives_a_connection_is_given_up_too() {
    storm(&[Common, Common, Common, Subscriptions, Common, Common, Sids, Common, Channels, Pictures]);
}

/// A sequence of numbers that one seed gives (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// What the attackers of one phase do. Each phase takes what memory there is in pieces of other sizes than
/// the one before it, so that what an allocator was given back doesn't fit what is asked for next.
#[derive(Clone, Copy, Debug)]
enum Wave {
    /// Bodies of up to a megabyte that grow in pieces and never end.
    Bodies,
    /// Messages of all lengths.
    Messages,
    /// Readers that begin with all that there is and take none of it.
    Stopped,
    /// Readers of many channels that nobody else reads.
    Subscribers,
    /// WebSocket messages that grow in fragments and never end.
    Fragments,
    /// Requests whose heads don't end.
    Heads,
}

const WAVES: [Wave; 6] =
    [Wave::Bodies, Wave::Messages, Wave::Stopped, Wave::Subscribers, Wave::Fragments, Wave::Heads];

impl Wave {
    /// What one attacker says, in order. The server has taken what the kernel has taken.
    fn words(self, number: usize, dice: &mut Dice) -> Vec<Vec<u8>> {
        let host = "Host: encke.localhost\r\n";
        let mut pieces =
            |most: usize| -> Vec<usize> { (0..1 + dice.below(16)).map(|_| 1 + dice.below(most)).collect() };
        match self {
            Wave::Bodies => {
                let head = format!("POST /publish/x HTTP/1.1\r\n{host}Content-Length: 1000000\r\n\r\n");
                let bodies = pieces(60_000).into_iter().map(|bytes| vec![b'1'; bytes]);
                std::iter::once(head.into_bytes()).chain(bodies).collect()
            }
            Wave::Fragments => {
                let head = format!("GET /ws?ch=f HTTP/1.1\r\n{host}{UPGRADE}\r\n").into_bytes();
                let sizes = pieces(8_000);
                let fragments =
                    sizes.iter().enumerate().map(|(at, bytes)| frame(u8::from(at == 0), vec![b'1'; *bytes]));
                std::iter::once(head).chain(fragments).collect()
            }
            Wave::Heads => {
                let line = format!("GET /{number} HTTP/1.1\r\n{host}Cookie: ");
                let rest = pieces(1_000).into_iter().map(|bytes| vec![b'x'; bytes]);
                std::iter::once(line.into_bytes()).chain(rest).collect()
            }
            Wave::Stopped => {
                let channels: String = (0..4).map(|_| format!("ch=w{}&", dice.below(40))).collect();
                vec![format!("GET /stream?{channels}last=1000 HTTP/1.1\r\n{host}\r\n").into_bytes()]
            }
            Wave::Subscribers => {
                let count = 1 + dice.below(encke::limits::SUBSCRIPTIONS_MAX);
                let length = 1 + dice.below(60);
                let channels: Vec<String> =
                    (0..count).map(|at| format!("ch={}{number}.{at}", "s".repeat(length))).collect();
                vec![format!("GET /ws?{} HTTP/1.1\r\n{host}{UPGRADE}\r\n", channels.join("&")).into_bytes()]
            }
            Wave::Messages => Vec::new(),
        }
    }

    /// Lets its attackers loose, some at a time, each with one piece of what it says in turn.
    fn run(self, program: &Program, dice: &mut Dice) -> Vec<TcpStream> {
        use socket2::{Domain, Socket, Type};
        let mut line = None;
        if let Wave::Messages = self {
            for _ in 0..300 + dice.below(1_500) {
                let most = [300, 3_000, 60_000][dice.below(3)];
                let (channel, bytes) = (dice.below(40), 1 + dice.below(most));
                let head = format!(
                    "POST /publish/w{channel} HTTP/1.1\r\nHost: encke.localhost\r\nContent-Length: {bytes}\r\n\r\n"
                );
                ask(&mut line, program.address, &[head.into_bytes(), vec![b'1'; bytes]].concat());
            }
            return Vec::new();
        }
        let count = match self {
            Wave::Bodies => 100 + dice.below(150),
            _ => 300 + dice.below(900),
        };
        let mut crowd = Vec::new();
        for number in 0..count {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_recv_buffer_size(2048).expect("it is not open yet");
            if socket.connect(&program.address.into()).is_ok() {
                let stream = TcpStream::from(socket);
                stream.set_nonblocking(true).expect("a socket can wait or not");
                crowd.push((stream, self.words(number, dice)));
            }
        }
        let most = crowd.iter().map(|(_, words)| words.len()).max().unwrap_or(0);
        for at in 0..most {
            for (stream, words) in &mut crowd {
                // What the kernel doesn't take now is never sent.
                let _ = words.get(at).map(|piece| stream.write(piece));
            }
            // By then the server has read what was sent before.
            ask(&mut line, program.address, b"GET /healthz HTTP/1.1\r\nHost: encke.localhost\r\n\r\n");
        }
        crowd.into_iter().map(|(stream, _)| stream).collect()
    }
}

/// A request and its answer. Where there is no memory for it, or for the connection, the server may end the
/// connection in any way; the next request then goes over another one.
fn ask(line: &mut Option<TcpStream>, address: SocketAddr, request: &[u8]) {
    let stream = line.get_or_insert_with(|| {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        stream
    });
    let mut answer = [0; 4096];
    let is_well = stream.write_all(request).is_ok()
        && stream.read(&mut answer).is_ok_and(|count| answer[..count].starts_with(b"HTTP/1.1 200"));
    if !is_well {
        *line = None;
    }
}

/// Attackers in turns, by one seed: every phase leaves holes where the next one's pieces don't fit.
#[test]
fn phases_in_turns_stay_within_the_budget() {
    let seed = std::env::var("ENCKE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x0e5c_4e11);
    let phases = std::env::var("ENCKE_PHASES").ok().and_then(|text| text.parse().ok()).unwrap_or(80);
    let mut dice = Dice(seed);
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let program = Program::start(&["--memory", "64M", "--grace", "2", "--log", "error"]);
    let mut crowds: Vec<Vec<TcpStream>> = Vec::new();
    for phase in 0..phases {
        let wave = WAVES[dice.below(WAVES.len())];
        crowds.push(wave.run(&program, &mut dice));
        while crowds.len() > 4 || (!crowds.is_empty() && dice.below(3) == 0) {
            crowds.swap_remove(dice.below(crowds.len()));
        }
        let most = program.most_resident();
        println!("{phase} {wave:?}: {} KiB resident at most", most / 1024);
        assert!(
            most <= BUDGET + SLACK,
            "{} KiB resident in phase {phase} ({wave:?}) of seed {seed}, and {} promised",
            most / 1024,
            (BUDGET + SLACK) / 1024
        );
    }
    let ended = program.metric("encke_memory_ended_total") + program.metric("encke_memory_refused_total");
    assert!(ended > 0, "the budget was never spent");
}

#[test]
fn a_picture_is_held_once_however_many_look_at_it() {
    const VIEWERS: usize = 200;
    let program = Program::start(&["--memory", "64M", "--log", "error"]);
    let address = program.address;
    let mut back_end = Client::connect(address);
    let body = "1".repeat(30_000);
    for _ in 0..20 {
        assert_eq!(back_end.post("/publish/room", &body).status, 200);
    }
    let mut ann = Client::connect(address);
    ann.upgrade("/ws?ch=room&hb=300", "");
    let (_, welcome) = ann.frame();
    let welcome: serde_json::Value = serde_json::from_slice(&welcome).expect("an object");
    let sid = welcome["sid"].as_str().expect("a sid");
    let mut talker = Client::connect(address);
    let login = talker.post(&format!("/send?sid={sid}"), r#"{"op":"login","nick":"ann"}"#);
    assert_eq!(login.status, 200, "{login:?}");
    let gif = gif(500 << 10, 7);
    let kept = talker.post(&format!("/pictures?sid={sid}"), &gif).json();
    let path = format!("/pictures/{}", kept["id"].as_str().expect("an id"));
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        let mut viewer = Client::connect_small(address);
        viewer.request("GET", &path, "", b"");
        // The rest waits in the server.
        assert_eq!(viewer.head().status, 200);
        viewers.push(viewer);
    }
    assert_eq!(program.metric("encke_memory_history_bytes_total"), 0, "no message had to go");
    let most = program.most_resident();
    assert!(most < VIEWERS * gif.len() / 4, "{most} bytes: the picture is held more than once");
    let whole = viewers.pop().expect("one of them").take(gif.len());
    assert!(whole == gif, "not the picture");
}
