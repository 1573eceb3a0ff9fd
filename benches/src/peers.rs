//! Who is measured, how each is started, and how one speaks to it.
//!
//! Each is given the settings that its own documentation advises for speed, and told to send the same bytes.
//! What is not installed is left out, with a line that says how to install it.

use std::fs;
use std::io::{self, BufRead, BufReader, Error, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fleet::Greeting;
use crate::tag;

/// Who.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    Floor,
    Encke,
    Bun,
    Nchan,
    Ws,
    SocketIo,
    Tungstenite,
}

/// Over what readers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    WebSocket,
    Sse,
    Stream,
    Poll,
    Echo,
    Request,
}

/// Where things are; said by `benches/run`.
#[derive(Clone)]
pub struct Places {
    /// The program that is measured.
    pub encke: PathBuf,
    /// Its example that echoes.
    pub echo: PathBuf,
    /// Folder of the floor and of other programs of this package.
    pub own: PathBuf,
    /// Folder of scripts and configuration of the peers.
    pub peers: PathBuf,
    /// Folder with `node_modules`.
    pub npm: PathBuf,
    /// For files that are made.
    pub scratch: PathBuf,
    /// The core that servers are pinned to, if they are.
    pub core: Option<String>,
}

/// A server under way. Dropping it ends it.
pub struct Running {
    pub child: Child,
    pub address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked first: a profiler wants to write down what it saw.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Who {
    pub const ALL: [Who; 7] =
        [Who::Floor, Who::Encke, Who::Bun, Who::Nchan, Who::Ws, Who::SocketIo, Who::Tungstenite];

    pub fn name(self) -> &'static str {
        match self {
            Who::Floor => "floor",
            Who::Encke => "encke",
            Who::Bun => "Bun",
            Who::Nchan => "nchan",
            Who::Ws => "ws",
            Who::SocketIo => "socket.io",
            Who::Tungstenite => "tungstenite",
        }
    }

    pub fn of(name: &str) -> Option<Who> {
        Who::ALL.into_iter().find(|who| who.name() == name)
    }

    /// What is missing for it to take part, if anything is.
    pub fn lacks(self, places: &Places) -> Option<String> {
        let npm = |package: &str| {
            let is_there = places.npm.join("node_modules").join(package).exists();
            (!is_there).then(|| format!("npm install --prefix {} {package}", places.npm.display()))
        };
        match self {
            Who::Floor | Who::Encke | Who::Tungstenite => None,
            Who::Bun => npm("bun"),
            Who::Ws => npm("ws"),
            Who::SocketIo => npm("socket.io"),
            Who::Nchan => {
                let is_there = Path::new(NCHAN).exists() && find_program("nginx").is_some();
                (!is_there).then(|| "apt-get install nginx libnginx-mod-nchan".to_owned())
            }
        }
    }

    /// Whether it can do that at all.
    pub fn speaks(self, wire: Wire) -> bool {
        match self {
            Who::Floor => wire != Wire::Stream,
            Who::Encke => true,
            Who::Bun => matches!(wire, Wire::WebSocket | Wire::Sse | Wire::Echo | Wire::Request),
            Who::Nchan => matches!(wire, Wire::WebSocket | Wire::Sse | Wire::Poll | Wire::Request),
            Who::Ws => matches!(wire, Wire::WebSocket | Wire::Echo),
            Who::SocketIo | Who::Tungstenite => wire == Wire::WebSocket,
        }
    }

    /// Starts it, with arguments beyond the usual ones.
    pub fn start(self, places: &Places, wire: Wire, more: &[&str]) -> io::Result<Running> {
        let script = |name: &str| places.peers.join(name).into_os_string();
        let (program, args): (PathBuf, Vec<std::ffi::OsString>) = match self {
            Who::Floor => {
                let mode = match wire {
                    Wire::WebSocket | Wire::Stream => "ws",
                    Wire::Sse => "sse",
                    Wire::Poll => "poll",
                    Wire::Echo => "echo",
                    Wire::Request => "request",
                };
                (places.own.join("floor"), vec![mode.into()])
            }
            Who::Encke if wire == Wire::Echo => return self.start_at_port(places, &places.echo, Vec::new()),
            Who::Encke => {
                let usual = ["--port", "0", "--heartbeat", "300", "--connections", "20000"];
                (places.encke.clone(), usual.iter().chain(more).map(Into::into).collect())
            }
            Who::Bun => (places.npm.join("node_modules/bun/bin/bun.exe"), vec![script("bun.js")]),
            Who::Ws => (find_program("node").unwrap_or_default(), vec![script("ws.mjs")]),
            Who::SocketIo => (find_program("node").unwrap_or_default(), vec![script("socketio.mjs")]),
            Who::Tungstenite => (places.own.join("tungstenite"), Vec::new()),
            Who::Nchan => return self.start_nginx(places),
        };
        let mut child = pinned(places, &program)
            .args(args)
            .env("BENCH_NPM", &places.npm)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().rsplit('/').next().and_then(|address| address.parse().ok());
        let address =
            address.ok_or_else(|| Error::other(format!("{} did not say where it listens", self.name())))?;
        Ok(Running { child, address })
    }

    /// For programs that want to be told a port, as their last argument.
    fn start_at_port(
        self,
        places: &Places,
        program: &Path,
        mut args: Vec<std::ffi::OsString>,
    ) -> io::Result<Running> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        args.push(address.port().to_string().into());
        let child = pinned(places, program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        await_listener(Running { child, address })
    }

    fn start_nginx(self, places: &Places) -> io::Result<Running> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let text = fs::read_to_string(places.peers.join("nchan.conf"))?
            .replace("@MODULE@", NCHAN)
            .replace("@PORT@", &address.port().to_string())
            .replace("@SCRATCH@", &places.scratch.to_string_lossy());
        let file = places.scratch.join("nchan.conf");
        fs::write(&file, text)?;
        let child = pinned(places, &find_program("nginx").unwrap_or_default())
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(&places.scratch)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        await_listener(Running { child, address })
    }

    /// What a reader says.
    pub fn greeting(self, wire: Wire) -> Greeting {
        let path = match (self, wire) {
            (Who::Encke, Wire::WebSocket) => "/ws?ch=bench",
            (Who::Encke, Wire::Sse) => "/sse?ch=bench",
            (Who::Encke, Wire::Stream) => "/stream?ch=bench",
            (Who::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket",
            (Who::Nchan, Wire::WebSocket) => "/ws",
            (_, Wire::Echo) => "/e",
            (_, Wire::Sse) => "/sse",
            _ => "/r",
        };
        if matches!(wire, Wire::WebSocket | Wire::Echo) {
            let then = if self == Who::SocketIo { client_frame(b"40") } else { Vec::new() };
            return Greeting { request: upgrade(path), then, status: b"HTTP/1.1 101" };
        }
        let accept = if wire == Wire::Sse { "Accept: text/event-stream\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n").into_bytes();
        Greeting { request, then: Vec::new(), status: b"HTTP/1.1 200" }
    }
}

const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.exists())
}

fn pinned(places: &Places, program: &Path) -> Command {
    match &places.core {
        None => Command::new(program),
        Some(core) => {
            let mut command = Command::new("taskset");
            command.args(["-c", core]).arg(program);
            command
        }
    }
}

fn await_listener(running: Running) -> io::Result<Running> {
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(running.address).is_err() {
        if Instant::now() > until {
            return Err(Error::other("it does not listen"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(running)
}

/// An upgrade request as a browser's, without the fields that nobody looks at.
pub fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// A text frame as clients send it.
pub fn client_frame(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    encke::wire::ws::client_frame(true, encke::wire::ws::Opcode::Text, [1, 2, 3, 4], payload, &mut out);
    out
}

/// The connection over which messages are published.
pub struct Publisher {
    stream: TcpStream,
    who: Who,
    over_http: bool,
    out: Vec<u8>,
    answers: Vec<u8>,
}

impl Publisher {
    /// Over HTTP or over a WebSocket: socket.io, ws and tungstenite have only the latter.
    pub fn open(who: Who, address: SocketAddr, over_http: bool) -> io::Result<Publisher> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        if !over_http {
            let path = match who {
                Who::Encke => "/ws",
                Who::Nchan => "/pub",
                Who::SocketIo => "/socket.io/?EIO=4&transport=websocket",
                _ => "/p",
            };
            stream.write_all(&upgrade(path))?;
            let mut answer = [0; 1024];
            let count = stream.read(&mut answer)?;
            if !answer[..count].starts_with(b"HTTP/1.1 101") {
                return Err(Error::other(format!("{} refused its publisher", who.name())));
            }
            if who == Who::SocketIo {
                stream.write_all(&client_frame(b"40"))?;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        stream.set_nonblocking(true)?;
        Ok(Publisher { stream, who, over_http, out: Vec::new(), answers: vec![0; 64 * 1024] })
    }

    /// Publishes messages `first..first + count` with data of `bytes` bytes, all in one write.
    pub fn publish(
        &mut self,
        channel: &str,
        first: u32,
        count: u32,
        now: u64,
        bytes: usize,
    ) -> io::Result<()> {
        self.drain()?;
        self.out.clear();
        for number in first..first + count {
            let data = tag::data(number, now, bytes);
            self.append(channel, number, &data);
        }
        let mut at = 0;
        while at < self.out.len() {
            match self.stream.write(&self.out[at..]) {
                Ok(count) => at += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drain()?;
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn append(&mut self, channel: &str, number: u32, data: &str) {
        let text = match (self.who, self.over_http) {
            (Who::Encke, true) => format!("\"{data}\""),
            (Who::Encke, false) => {
                format!("{{\"op\":\"publish\",\"ref\":1,\"ch\":\"{channel}\",\"data\":\"{data}\"}}")
            }
            (Who::SocketIo, _) => {
                let payload = tag::envelope(number, data).replace('"', "\\\"");
                format!("42[\"pub\",\"{payload}\"]")
            }
            _ => tag::envelope(number, data),
        };
        if !self.over_http {
            self.out.extend_from_slice(&client_frame(text.as_bytes()));
            return;
        }
        let path = if self.who == Who::Nchan { "/pub".to_owned() } else { format!("/publish/{channel}") };
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", text.len());
        self.out.extend_from_slice(head.as_bytes());
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Takes the answers in and looks whether one of them is a refusal.
    pub fn drain(&mut self) -> io::Result<()> {
        loop {
            match self.stream.read(&mut self.answers) {
                Ok(0) => return Err(Error::other("the publisher was cut off")),
                Ok(count) => {
                    let text = &self.answers[..count];
                    let is_refused = tag::find(text, b"\"ok\":false").is_some()
                        || (self.over_http && tag::find(text, b"HTTP/1.1 4").is_some());
                    if is_refused {
                        let text = String::from_utf8_lossy(&text[..text.len().min(300)]).into_owned();
                        return Err(Error::other(format!("refused: {text}")));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
