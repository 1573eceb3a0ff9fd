//! What a silent reader costs: the growth of the program's resident memory over 10,000 connections.
//!
//! `cargo bench --bench idle` prints one line a transport, in bytes a connection. It starts the program
//! itself, in a process of its own, and reads what the kernel says of it; the kernel's own socket buffers
//! are not part of that figure. Linux only, since the figure is read from /proc.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Connections opened. A process may hold 20,000 descriptors on the machines this was made for.
const CONNECTIONS: usize = 10_000;

/// Opened before the first measurement, so that tables and pools have been touched once.
const WARM_UP: usize = 200;

struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start() -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_encke"))
            .args(["--port", "0", "--heartbeat", "300"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().rsplit('/').next().expect("an address").to_owned();
        Program { child, address }
    }

    /// Bytes of physical memory the process has.
    fn resident_bytes(&self) -> usize {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(path).expect("Linux tells of its processes");
        let line = text.lines().find(|line| line.starts_with("Rss:")).expect("a line of resident memory");
        let kilobytes: usize = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
        kilobytes * 1024
    }

    /// Opens one reader and waits for its welcome.
    fn open(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it accepts");
        stream.write_all(request.as_bytes()).expect("it reads");
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        while !seen.windows(9).any(|window| window == b"\"welcome\"") {
            let count = stream.read(&mut buffer).expect("it answers");
            assert!(count > 0, "refused: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
        stream
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, which the measurement has noticed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measure(name: &str, request: &str) {
    let program = Program::start();
    let at_start = program.resident_bytes();
    let mut readers: Vec<TcpStream> = (0..WARM_UP).map(|_| program.open(request)).collect();
    let before = program.resident_bytes();
    readers.extend((0..CONNECTIONS).map(|_| program.open(request)));
    let grown = program.resident_bytes() - before;
    println!(
        "{name:10} {:5} bytes a connection ({} KiB resident with none, {} KiB with {})",
        grown / CONNECTIONS,
        at_start / 1024,
        program.resident_bytes() / 1024,
        readers.len()
    );
}

fn main() {
    // `cargo test --benches` runs benches too, and has no use for a measurement.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let fields = "Host: localhost\r\n";
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    measure("WebSocket", &format!("GET /ws?ch=idle HTTP/1.1\r\n{fields}{upgrade}\r\n"));
    measure("SSE", &format!("GET /sse?ch=idle HTTP/1.1\r\n{fields}\r\n"));
    measure("stream", &format!("GET /stream?ch=idle HTTP/1.1\r\n{fields}\r\n"));
}
