//! The memory budget, weighed: ten thousand hostile clients of every kind against the program itself, whose
//! resident memory the kernel tells.
//!
//! Linux only, since the weight is read from /proc. The program must never weigh more than its budget and the
//! slack that `docs/security.md` states, and one who behaves must be served all the while.

#![cfg(target_os = "linux")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use common::Client;
use common::client::{UPGRADE, frame};

/// The budget, and what the program may weigh beyond it: itself, one quarter for the allocator.
const BUDGET: usize = 64 << 20;
const SLACK: usize = (4 << 20) + BUDGET / 4;

/// Hostile clients. The program and the test may each hold 20,000 descriptors on the smallest machine.
const HOSTILE: usize = 10_000;

struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(options: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_encke"))
            .args(["--port", "0", "--host", "encke.localhost"])
            .args(options)
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
        let text = Client::connect(self.address).ask("GET", "/metrics", "Connection: close\r\n", b"").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One hostile client, which says what it says and never reads.
fn hostile(address: SocketAddr, number: usize) -> Option<TcpStream> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.set_recv_buffer_size(2048).ok()?;
    socket.connect(&address.into()).ok()?;
    let mut stream = TcpStream::from(socket);
    stream.set_nonblocking(true).ok()?;
    let host = "Host: encke.localhost\r\n";
    let mut bytes = Vec::new();
    match number % 8 {
        // Reads a channel that is full, from its beginning, and takes nothing.
        0 => write!(bytes, "GET /sse?ch=full&since=0 HTTP/1.1\r\n{host}\r\n").ok()?,
        1 => write!(bytes, "GET /stream?ch=full&last=1000 HTTP/1.1\r\n{host}\r\n").ok()?,
        // Half a head, half a body, half a chunk.
        2 => write!(bytes, "GET /{} HTTP/1.1\r\n{host}Cookie: {}", number, "x".repeat(7_000)).ok()?,
        3 => {
            write!(bytes, "POST /publish/x HTTP/1.1\r\n{host}Content-Length: 1000000\r\n\r\n").ok()?;
            bytes.resize(bytes.len() + 60_000, b'1');
        }
        4 => {
            write!(bytes, "POST /publish/x HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nfffff\r\n")
                .ok()?;
            bytes.resize(bytes.len() + 60_000, b'1');
        }
        // Half a message, and half a message of fragments.
        5 => {
            write!(bytes, "GET /ws?ch=c{number} HTTP/1.1\r\n{host}{UPGRADE}\r\n").ok()?;
            bytes.extend_from_slice(&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            bytes.resize(bytes.len() + 60_000, b'1');
        }
        // Subscribes to all that it may, under names of the greatest length, and asks for all histories.
        6 => {
            write!(bytes, "GET /ws?ch=full HTTP/1.1\r\n{host}{UPGRADE}\r\n").ok()?;
            for place in 0..100 {
                let name = format!("{:x<120}", format!("{number}-{place}-"));
                bytes.extend(frame(0x81, format!("{{\"op\":\"subscribe\",\"ch\":\"{name}\"}}")));
            }
            bytes.extend(frame(0x81, "{\"op\":\"history\",\"ch\":\"full\",\"limit\":1000}"));
        }
        // Makes clients and lets each of them go; pipelines histories of which it reads none.
        _ => {
            for _ in 0..20 {
                write!(bytes, "GET /poll?ch=full&last=1000 HTTP/1.1\r\n{host}\r\n").ok()?;
            }
        }
    }
    // Whatever the kernel takes now; the rest is never sent.
    let _ = stream.write(&bytes);
    Some(stream)
}

#[test]
fn ten_thousand_hostile_readers_stay_within_the_budget() {
    let program = Program::start(&["--memory", "64M", "--grace", "5", "--log", "error"]);
    let address = program.address;
    let mut good = Client::connect(address);
    good.upgrade("/ws?ch=good&hb=300", "");
    let (_, welcome) = good.frame();
    assert!(welcome.windows(9).any(|part| part == b"\"welcome\""));
    let mut back_end = Client::connect(address);
    // History beyond its share of the budget.
    let body = "1".repeat(60_000);
    for number in 0..1_000 {
        let response =
            back_end.post(&format!("/publish/{}", if number % 2 == 0 { "full" } else { "other" }), &body);
        assert_eq!(response.status, 200, "{response:?}");
    }
    let mut crowd = Vec::new();
    let mut buffer = [0; 4096];
    for number in 0..HOSTILE {
        crowd.extend(hostile(address, number));
        if number % 50 == 0 {
            let text = format!("\"{number}\"");
            let response = back_end.post("/publish/good", &text);
            assert_eq!(response.status, 200, "{response:?}");
            back_end.post("/publish/full", &body);
            // Presence apart, this is all that happens in its channel.
            let (_, told) = good.frame();
            let told = String::from_utf8_lossy(&told);
            assert!(told.contains(&text), "not told of {number} but {told}");
        }
        // Those who send on, a little each.
        if let Some(stream) = crowd.len().checked_sub(97).and_then(|place| crowd.get_mut(place)) {
            let _ = stream.write(&[b'1'; 60_000]);
            if number % 16 == 0 {
                let _ = stream.read(&mut buffer);
            }
        }
    }
    let most = program.most_resident();
    println!("{} KiB resident at most, for a budget of {} KiB", most / 1024, BUDGET / 1024);
    assert!(most < BUDGET + SLACK, "{} KiB of {} and {}", most / 1024, BUDGET / 1024, SLACK / 1024);
    assert!(program.metric("encke_memory_ended_total") > 0, "the heaviest had to go");
    assert!(program.metric("encke_memory_history_bytes_total") > 0, "after history");
    // Everybody else comes and goes as ever.
    assert_eq!(Client::connect(address).get("/healthz").status, 200);
    drop(crowd);
    good.send(frame(0x81, "{\"op\":\"ping\",\"ref\":1}"));
    let (_, reply) = good.frame();
    assert!(String::from_utf8_lossy(&reply).contains("\"ok\":true"));
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
    let mut gif = b"GIF89a\x02\x01\x03\0\x80\0\0".to_vec();
    gif.resize(500 << 10, 7);
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
