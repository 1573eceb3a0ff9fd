//! The server under attack, and the one client that has done nothing: how long its own words take to come
//! back to it.
//!
//! It publishes on time whatever has come back so far, so that one long stop is seen in every echo that
//! waited for its end.

use std::fs;
use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use encke::wire::ws::{self, Opcode};
use socket2::{Domain, Socket, Type};

/// Between two words of the victim.
const EVERY: Duration = Duration::from_millis(50);

/// For how long the last echoes are waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server under way. Dropping it ends it.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts the program, on a core of its own if one was named.
    pub fn start(program: &Path, core: Option<&str>, args: &[String]) -> io::Result<Server> {
        let mut command = match core {
            None => Command::new(program),
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", core]).arg(program);
                command
            }
        };
        command.args(["--port", "0"]).args(args).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| Error::other("no output"))?;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            let address = line.split("http://").nth(1).and_then(|rest| rest.split(['/', ' ']).next());
            if let Some(address) = address.and_then(|address| address.parse().ok()) {
                return Ok(Server { child, address });
            }
        }
        Err(Error::other("the server did not say where it listens"))
    }

    /// The most memory that it had resident, in bytes.
    pub fn most_resident(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        number.unwrap_or(0) * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the attack is doing meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Preparing,
    Attacking,
    Over,
}

/// What the victim has seen.
#[derive(Default)]
pub struct Seen {
    /// Milliseconds of each echo during the attack, sorted.
    pub echoes: Vec<f64>,
    /// The worst while the attack was being prepared.
    pub worst_before: f64,
    /// Words that never came back.
    pub missing: usize,
    /// Words that the server refused.
    pub refused: usize,
}

impl Seen {
    /// The echo that this part of all are not slower than.
    pub fn quantile(&self, part: f64) -> f64 {
        let at = ((self.echoes.len() as f64 * part).ceil() as usize).clamp(1, self.echoes.len().max(1));
        self.echoes.get(at - 1).copied().unwrap_or(f64::NAN)
    }
}

/// The victim, speaking in a thread of its own.
pub struct Victim {
    phase: Arc<AtomicU8>,
    thread: JoinHandle<io::Result<Seen>>,
}

impl Victim {
    pub fn begin(address: SocketAddr, is_proxied: bool) -> io::Result<Victim> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into())?;
        socket.connect(&address.into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        let who = if is_proxied { "X-Forwarded-For: 203.0.113.7\r\n" } else { "" };
        let head = format!(
            "GET /ws?ch=victim HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{who}\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut answer = [0; 1024];
        let count = stream.read(&mut answer)?;
        if !answer[..count].starts_with(b"HTTP/1.1 101") {
            return Err(Error::other("the victim was refused"));
        }
        let phase = Arc::new(AtomicU8::new(Phase::Preparing as u8));
        let theirs = Arc::clone(&phase);
        let thread = std::thread::spawn(move || speak(stream, &theirs));
        Ok(Victim { phase, thread })
    }

    pub fn tell(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// Waits for the last echoes.
    pub fn end(self) -> io::Result<Seen> {
        self.tell(Phase::Over);
        self.thread.join().map_err(|_| Error::other("the victim panicked"))?
    }
}

struct Word {
    at: Instant,
    in_attack: bool,
    has_come: bool,
}

fn speak(mut stream: TcpStream, phase: &AtomicU8) -> io::Result<Seen> {
    let (mut words, mut seen) = (Vec::<Word>::new(), Seen::default());
    let mut next = Instant::now();
    let mut give_up = None;
    let (mut buffer, mut text) = (vec![0; 64 * 1024], Vec::new());
    let mut came = 0;
    loop {
        let now = Instant::now();
        let phase = phase.load(Ordering::SeqCst);
        let is_over = phase == Phase::Over as u8;
        if is_over && came + seen.refused >= words.len() {
            break;
        }
        if is_over && now > *give_up.get_or_insert(now + PATIENCE) {
            break;
        }
        if !is_over && now >= next {
            let number = words.len();
            let command =
                format!(r##"{{"op":"publish","ref":{number},"ch":"victim","data":"#{number:08}#"}}"##);
            let mut frame = Vec::new();
            ws::client_frame(true, Opcode::Text, [1, 2, 3, 4], command.as_bytes(), &mut frame);
            words.push(Word { at: now, in_attack: phase == Phase::Attacking as u8, has_come: false });
            stream.write_all(&frame)?;
            next += EVERY;
        }
        let wait = next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(if is_over { EVERY } else { wait }))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Err(Error::other("the victim was cut off")),
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        let taken = take(&text, |number| {
            if let Some(word) = words.get_mut(number)
                && !std::mem::replace(&mut word.has_come, true)
            {
                came += 1;
                let ms = now.duration_since(word.at).as_secs_f64() * 1e3;
                if word.in_attack {
                    seen.echoes.push(ms);
                } else {
                    seen.worst_before = seen.worst_before.max(ms);
                }
            }
        });
        seen.refused += memchr::memmem::find_iter(&text[..taken], br#""ok":false"#).count();
        text.drain(..taken);
    }
    seen.missing = words.len() - came - seen.refused;
    seen.echoes.sort_by(f64::total_cmp);
    Ok(seen)
}

/// Finds the numbers of words in whole frames; how many bytes those were.
fn take(bytes: &[u8], mut found: impl FnMut(usize)) -> usize {
    let mut at = 0;
    while let Ok(Some((header, head_len))) = ws::FrameHeader::parse(&bytes[at..]) {
        let end = at + head_len + header.len as usize;
        let Some(frame) = bytes.get(at + head_len..end) else { break };
        if let Some(start) = memchr::memmem::find(frame, br##""data":"#"##) {
            let digits = frame.get(start + 9..start + 17).and_then(|digits| std::str::from_utf8(digits).ok());
            if let Some(number) = digits.and_then(|digits| digits.parse().ok()) {
                found(number);
            }
        }
        at = end;
    }
    at
}
