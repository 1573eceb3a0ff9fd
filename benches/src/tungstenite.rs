//! A peer: a broadcaster over the crate tungstenite, one thread, the plainest loop that works.
//!
//! A path that begins with `/r` reads, any other publishes: every message goes to all readers.

mod tag;

use std::collections::HashMap;
use std::io::{self, ErrorKind};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Message, WebSocket};

const LISTENER: Token = Token(usize::MAX);

struct Peer {
    socket: WebSocket<TcpStream>,
    reads: bool,
}

fn main() -> io::Result<()> {
    let listener = tag::listener()?;
    println!("listening on http://{}", listener.local_addr()?);
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut fresh: HashMap<usize, TcpStream> = HashMap::new();
    let mut peers: HashMap<usize, Peer> = HashMap::new();
    let mut next = 0;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE)?;
                    fresh.insert(next, stream);
                    next += 1;
                }
                continue;
            }
            let slot = event.token().0;
            if let Some(peer) = fresh.remove(&slot).and_then(greet) {
                peers.insert(slot, peer);
            }
            receive(slot, &mut peers);
        }
    }
}

/// The request is here whole: a reader of this bench sends it in one piece.
fn greet(stream: TcpStream) -> Option<Peer> {
    let mut reads = false;
    #[allow(clippy::result_large_err, reason = "the crate's own type")]
    let look = |request: &Request, response: Response| {
        reads = request.uri().path().starts_with("/r");
        Ok(response)
    };
    match tungstenite::accept_hdr(stream, look) {
        Ok(socket) => Some(Peer { socket, reads }),
        Err(HandshakeError::Interrupted(_) | HandshakeError::Failure(_)) => None,
    }
}

fn receive(slot: usize, peers: &mut HashMap<usize, Peer>) {
    loop {
        let Some(peer) = peers.get_mut(&slot) else { return };
        match peer.socket.read() {
            Ok(message @ Message::Text(_)) => broadcast(&message, peers),
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => {
                peers.remove(&slot);
                return;
            }
        }
    }
}

fn broadcast(message: &Message, peers: &mut HashMap<usize, Peer>) {
    for peer in peers.values_mut().filter(|peer| peer.reads) {
        // Whoever does not take it has gone, and is noticed when read from.
        let _ = peer.socket.send(message.clone());
    }
}
