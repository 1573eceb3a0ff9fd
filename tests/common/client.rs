//! A connection as a test sees it: bytes out, bytes in, and the formats on them, read in the plainest way.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long bytes are waited for before the test fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection.
#[derive(Debug)]
pub struct Client {
    pub stream: TcpStream,
    unread: Vec<u8>,
    ended: bool,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).expect("the server listens"))
    }

    /// A connection whose kernel takes hardly anything that isn't read.
    pub fn connect_small(address: SocketAddr) -> Client {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket.connect(&address.into()).expect("the server listens");
        Client::over(socket.into())
    }

    /// A connection from another address of this machine: Linux has all of 127.0.0.0/8.
    pub fn connect_from(address: SocketAddr, last: u8) -> Client {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into()).expect("an address of this machine");
        socket.connect(&address.into()).expect("the server listens");
        Client::over(socket.into())
    }

    fn over(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client { stream, unread: Vec::new(), ended: false }
    }

    /// Has the connection end with a reset when it is dropped, and not in good order.
    pub fn reset_on_drop(&self) {
        let now = Some(Duration::ZERO);
        socket2::SockRef::from(&self.stream).set_linger(now).expect("a socket may be reset");
    }

    /// Sends bytes, all of them.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.stream.write_all(bytes.as_ref()) {
            panic!("can't send: {error}; unread: {:?}", self.shown());
        }
    }

    /// Sends bytes to a peer that may be gone before all are sent; whether they were.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        // It may be over already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Waits for more bytes; false at the end.
    #[track_caller]
    fn fill(&mut self, what: &str) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.ended = true;
                false
            }
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("waited too long for {what}; unread: {:?}", self.shown())
            }
            Err(error) => panic!("{error} while waiting for {what}; unread: {:?}", self.shown()),
        }
    }

    fn shown(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.unread).into_owned();
        if text.len() > 2000 {
            text = format!("{}… ({} bytes)", text.chars().take(1000).collect::<String>(), self.unread.len());
        }
        text
    }

    /// The next `count` bytes.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.fill("bytes"), "ended before {count} bytes; unread: {:?}", self.shown());
        }
        let rest = self.unread.split_off(count);
        std::mem::replace(&mut self.unread, rest)
    }

    /// The bytes up to `mark` and with it.
    #[track_caller]
    pub fn until(&mut self, mark: &str) -> String {
        let mut from = 0;
        loop {
            let found = self.unread[from..].windows(mark.len()).position(|part| part == mark.as_bytes());
            if let Some(at) = found {
                return String::from_utf8(self.take(from + at + mark.len())).expect("UTF-8");
            }
            from = self.unread.len().saturating_sub(mark.len() - 1);
            assert!(self.fill(mark), "ended before {mark:?}; unread: {:?}", self.shown());
        }
    }

    /// Expects exactly these bytes next.
    #[track_caller]
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let came = self.take(bytes.len());
        assert_eq!(String::from_utf8_lossy(&came), String::from_utf8_lossy(bytes));
    }

    /// Everything up to the end of the connection, which must be an end and not a reset.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        while !self.ended && self.fill("the end") {}
        std::mem::take(&mut self.unread)
    }

    /// Expects the end of the connection and nothing before it.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "before the end: {:?}", String::from_utf8_lossy(&rest));
    }

    /// Waits until the connection is over, be it by an end or by a reset.
    pub fn wait_for_death(&mut self) {
        let mut buffer = [0; 4096];
        while matches!(self.stream.read(&mut buffer), Ok(1..)) {}
    }

    /// Expects the end of the connection, be it by an end or by a reset, and nothing before it.
    #[track_caller]
    pub fn expect_death(&mut self) {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("not the end: {other:?}"),
        }
    }

    /// A response without its body: the head of a stream, or the answer to HEAD.
    #[track_caller]
    pub fn head(&mut self) -> Response {
        let head = self.until("\r\n\r\n");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no response: {head:?}"));
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
            assert!(!value.contains(['\r', '\n']), "{head:?}");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Response { status, fields: lines.map(field).collect(), body: Vec::new() }
    }

    /// A response with its body.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        let is_bare = response.status < 200 || matches!(response.status, 204 | 304);
        match response.header("content-length") {
            Some(length) => response.body = self.take(length.parse().expect("a length")),
            None if is_bare => {}
            None => response.body = self.rest(),
        }
        response
    }

    /// All responses up to the end of the connection.
    #[track_caller]
    pub fn responses(&mut self) -> Vec<Response> {
        let mut found = Vec::new();
        while !self.unread.is_empty() || self.fill("a response or the end") {
            found.push(self.response());
        }
        found
    }

    /// Sends a request. `fields` are whole lines.
    #[track_caller]
    pub fn request(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) {
        let length = match (method, body.len()) {
            ("GET" | "HEAD" | "DELETE" | "OPTIONS", 0) => String::new(),
            (_, length) => format!("Content-Length: {length}\r\n"),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: encke.localhost\r\n{fields}{length}\r\n");
        self.send([head.as_bytes(), body].concat());
    }

    /// Sends a request and reads the response.
    #[track_caller]
    pub fn ask(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) -> Response {
        self.request(method, path, fields, body);
        if method == "HEAD" { self.head() } else { self.response() }
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.ask("GET", path, "", b"")
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.ask("POST", path, "", body.as_ref())
    }

    /// See [`Running::settle`](super::Running::settle).
    #[track_caller]
    pub fn settle(&mut self) {
        self.get("/healthz");
        self.get("/healthz");
    }

    /// Makes the connection a WebSocket.
    #[track_caller]
    pub fn upgrade(&mut self, path: &str, fields: &str) -> Response {
        self.request("GET", path, &format!("{UPGRADE}{fields}"), b"");
        let head = self.head();
        if head.status == 101 {
            // The key's answer in RFC 6455, section 1.3.
            assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        }
        head
    }

    /// A frame: its first byte and its payload. A server's frames have no mask.
    #[track_caller]
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let header = self.take(2);
        assert!(header[1] < 128, "a server's frame has no mask");
        let length = match header[1] {
            126 => u16::from_be_bytes(self.take(2).try_into().expect("two")) as usize,
            127 => u64::from_be_bytes(self.take(8).try_into().expect("eight")) as usize,
            short => short as usize,
        };
        (header[0], self.take(length))
    }

    /// A close frame: its code and its reason. The end of the connection follows.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let (first, payload) = self.frame();
        assert_eq!(first, 0x88, "a close frame");
        let code = u16::from_be_bytes([payload[0], payload[1]]);
        (code, String::from_utf8(payload[2..].to_vec()).expect("UTF-8"))
    }
}

/// The fields of an upgrade, with the key of RFC 6455, section 1.3.
pub const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// First bytes of frames.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// A frame as a client sends it.
pub fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        long @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
        huge => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(huge as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// In order, their names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a field that comes once at most.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(known, _)| known == name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        value.map(|(_, value)| &**value)
    }

    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The `code` of a refusal, after a look at its form.
    #[track_caller]
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem["code"].as_str().expect("a code").to_owned()
    }
}
