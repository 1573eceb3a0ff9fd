//! What everyone who takes part in a measurement agrees on: the bytes of a message, and the tag in it.
//!
//! ```text
//!   {"type":"message","id":"0badcafe-4711","ch":"bench","from":null,"at":1764000000000,"data":"#00004711@00000000123456789012#xxxx"}
//!    '------------------------- the envelope that encke puts around it --------------------' '------- tag --------------' pad
//! ```
//!
//! Peers that have no envelope of their own are given the whole of this to broadcast, so that all send the
//! same bytes. The tag has the message's number, by which completeness and order are checked, and the time at
//! which it was sent.

#![allow(dead_code, reason = "three programs share it, and none needs all of it")]

use std::io;
use std::net::TcpListener;

/// Bytes of a tag: `#`, 8 digits, `@`, 20 digits, `#`.
pub const TAG_BYTES: usize = 31;

/// What answers a small request here: as many bytes as encke's answer to `/healthz`.
pub const CANNED: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 3\r\n\r\nok\n";

/// A listening socket on a port of the system's choice, with the options that accepted sockets inherit.
pub fn listener() -> io::Result<TcpListener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

/// The answer to an upgrade request: the same bytes as encke's.
pub fn upgraded(request: &[u8]) -> Vec<u8> {
    let start = find(request, b"Sec-WebSocket-Key: ").map_or(request.len(), |at| at + 19);
    let key = &request[start..request.len().min(start + 24)];
    let mut out = Vec::with_capacity(160);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&encke::wire::handshake::accept_key(key));
    out.extend_from_slice(b"\r\n\r\n");
    out
}

/// The data of message `number`, sent at `now`: a JSON string of `bytes` bytes, without its quotes.
pub fn data(number: u32, now: u64, bytes: usize) -> String {
    let mut text = format!("#{number:08}@{now:020}#");
    text.extend(std::iter::repeat_n('x', bytes.saturating_sub(TAG_BYTES)));
    text
}

/// A message as encke would send it, for those who have no envelope.
pub fn envelope(number: u32, data: &str) -> String {
    let id = number % 10_000;
    format!(
        "{{\"type\":\"message\",\"id\":\"0badcafe-{id:04}\",\"ch\":\"bench\",\"from\":null,\
         \"at\":1764000000000,\"data\":\"{data}\"}}"
    )
}

/// The event that encke would send a page that listens with EventSource.
pub fn event(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"id: 0badcafe-4711\nevent: message\ndata: ");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\n\n");
}

/// The answer that encke would give to a held poll.
pub fn answer(payload: &[u8], out: &mut Vec<u8>) {
    const OPEN: &[u8] = b"{\"sid\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"cursor\":\"0badcafe-4711\",\"events\":[";
    out.extend_from_slice(
        b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nCache-Control: no-store, no-transform\r\n\
          Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nContent-Length: ",
    );
    out.extend_from_slice((OPEN.len() + payload.len() + 2).to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(OPEN);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"]}");
}

/// A tag's number and time.
pub fn read(tag: &[u8]) -> Option<(u32, u64)> {
    let digits = |bytes: &[u8]| {
        bytes.iter().try_fold(0_u64, |sum, byte| {
            byte.is_ascii_digit().then(|| sum.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')))
        })
    };
    if tag.len() < TAG_BYTES || tag[9] != b'@' || tag[30] != b'#' {
        return None;
    }
    Some((digits(&tag[1..9])? as u32, digits(&tag[10..30])?))
}
