//! One connection, as a protocol sees it: which bytes mean what, and what may follow what.
//!
//! It takes bytes and gives back what they amount to. It knows no socket, no time and no channel, and it
//! answers nothing: that is for the hall, which tells the session what it did by moving it on. Read first:
//! RFC 9112, sections 2 to 9; RFC 6455, sections 4 and 5.
//!
//! ```text
//!            Proxy    (a PROXY header is owed before anything else)
//!              │ first byte         empty line
//!       ┌──► Idle ─────────► Head ──────────┐
//!       │     │ a whole head in one read    │         a body follows
//!       │     └──────────────────────────► Answering ◄────────────► Body
//!       │  answered, and the peer            │ │ │         body whole
//!       ├────── may go on ───────────────────┘ │ ├──────► Streaming   (an endless response)
//!       │                                      │ └──────► Socket      (a WebSocket)
//!       └──── answered ──── Held ◄─────────────┘
//!                     (a poll that waits)        from anywhere: ──► Done (the last word is said)
//! ```
//!
//! While a request is in `Answering` or `Held`, nothing after it is interpreted: what a peer sends ahead
//! waits in the stash (bounded by one read) and then in the kernel. Responses are therefore in order by
//! construction.

use std::num::NonZeroU32;

use log::trace;

use super::peer::Peer;
use super::polls::Held;
use super::quota::Bucket;
use crate::account::{self, ALLOCATION_BYTES, Part};
use crate::limits::PROXY_HEADER_BYTES_MAX;
use crate::wire::body::Decoder;
use crate::wire::http::{HeadScanner, Scanned};
use crate::wire::message::{Event, Reader};
use crate::wire::{offence, proxy, ws};

/// What bytes amounted to.
#[derive(Debug)]
pub enum Incoming<'i> {
    /// A proxy's word on whose connection this is. Requests follow.
    Proxied(proxy::Source),
    /// A request head, whole. The session is in `Answering` now and waits to be moved on.
    Head(Scanned<'i>),
    /// A request whose body is whole too. The session is in `Answering` again.
    Request(Box<Body>),
    /// A WebSocket message or control frame.
    Event(Event),
}

/// Bytes that are refused. The connection can't go on after them: what follows has no meaning any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not a request that a server may answer otherwise than with a refusal.
    Http(offence::Offence),
    /// Not a frame that RFC 6455 allows here.
    WebSocket(ws::Offence),
    /// Not the header that a proxy owes. There is nothing to answer.
    Proxy(proxy::Offence),
}

/// A request whose body is on its way.
#[derive(Debug)]
pub struct Body {
    /// The head, which was checked before the body was waited for.
    pub head: Scanned<'static>,
    /// What has come of the body, decoded.
    pub body: Vec<u8>,
    decoder: Decoder,
}

/// Where a connection stands. The data of a state exists only in that state.
#[derive(Debug)]
enum State {
    /// So many empty lines have come since the last request.
    Idle(u8),
    #[expect(clippy::box_collection, reason = "8 bytes in every state, against 24")]
    Proxy(Box<Vec<u8>>),
    Head(Box<(HeadScanner, Vec<u8>)>),
    Answering,
    Body(Box<Body>),
    Held(Box<Held>),
    /// So many parts of a probe are still to follow, each at a deadline.
    Streaming(u8),
    Socket(Reader),
    Done,
}

impl Default for State {
    fn default() -> State {
        State::Idle(0)
    }
}

/// The name of a state, without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Between requests.
    Idle,
    /// Before the PROXY header.
    Proxy,
    /// In a request head.
    Head,
    /// A request is being answered.
    Answering,
    /// In a request body.
    Body,
    /// A poll waits for something to tell.
    Held,
    /// An endless response is under way.
    Streaming,
    /// A WebSocket.
    Socket,
    /// The last word is said.
    Done,
}

/// One connection's protocol.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
    /// Bytes that came too early. At most one read's worth: the link is paused while there are any.
    #[expect(clippy::box_collection, reason = "8 bytes in each of many idle sessions, against 24")]
    stash: Option<Box<Vec<u8>>>,
    /// The client this connection speaks for: one more than its slot.
    client: Option<NonZeroU32>,
    /// Whose connection it is. Behind a proxy it is another one's with each request, up to the last.
    peer: Peer,
    /// It counts as one of its address.
    is_counted: bool,
    /// It has asked something already.
    has_asked: bool,
    frames: Bucket,
}

// Paid by every connection, busy or not.
const _: () = assert!(size_of::<Session>() <= 56);

impl Session {
    /// A connection at its beginning. `owes_proxy` for one whose first bytes are a PROXY header.
    pub fn new(peer: Peer, owes_proxy: bool) -> Session {
        let state = if owes_proxy { State::Proxy(Box::default()) } else { State::Idle(0) };
        let mut session = Session::default();
        (session.state, session.peer) = (state, peer);
        account::charge(Part::Sessions, session.held());
        session
    }

    /// Every transition there is. One that isn't listed is a bug of ours, never a peer's doing.
    fn may_follow(from: Stage, to: Stage) -> bool {
        use Stage::{Answering, Body, Done, Head, Held, Idle, Proxy, Socket, Streaming};
        match from {
            Proxy => matches!(to, Idle | Done),
            Idle => matches!(to, Head | Answering | Done),
            Head => matches!(to, Answering | Done),
            Answering => matches!(to, Idle | Body | Held | Streaming | Socket | Done),
            Body => matches!(to, Answering | Done),
            Held => matches!(to, Idle | Done),
            Streaming | Socket => matches!(to, Done),
            Done => false,
        }
    }

    /// The only place where a state is changed.
    fn go(&mut self, to: State) -> State {
        let (from, next) = (self.stage(), to.stage());
        assert!(Session::may_follow(from, next), "no way from {from:?} to {next:?}");
        trace!("{from:?} -> {next:?}");
        self.has_asked |= next == Stage::Answering;
        std::mem::replace(&mut self.state, to)
    }

    /// The one way to change anything here that holds bytes: the account follows it.
    fn change<T>(&mut self, how: impl FnOnce(&mut Session) -> T) -> T {
        let before = self.held();
        let told = how(self);
        account::change(Part::Sessions, before, self.held());
        told
    }

    /// The next thing that `input` amounts to, or `None` once all of it is used and more is needed. A head
    /// may have `head_bytes` bytes.
    ///
    /// # Errors
    /// The peer broke the protocol. What came before in the same input was given out first.
    pub fn next<'i>(
        &mut self,
        input: &mut &'i [u8],
        head_bytes: usize,
    ) -> Result<Option<Incoming<'i>>, Fault> {
        if input.is_empty() {
            return Ok(None);
        }
        self.change(|session| session.next_of_state(input, head_bytes))
    }

    fn next_of_state<'i>(
        &mut self,
        input: &mut &'i [u8],
        head_bytes: usize,
    ) -> Result<Option<Incoming<'i>>, Fault> {
        match &mut self.state {
            State::Idle(_) | State::Head(_) => self.next_head(input, head_bytes).map_err(Fault::Http),
            State::Proxy(_) => self.next_proxy(input).map_err(Fault::Proxy),
            State::Body(_) => self.next_body(input).map_err(Fault::Http),
            State::Socket(reader) => {
                reader.next(input).map(|event| event.map(Incoming::Event)).map_err(Fault::WebSocket)
            }
            // An endless response was asked for as the last one: what comes after it is never answered.
            State::Streaming(_) | State::Done => {
                *input = &[];
                Ok(None)
            }
            State::Answering | State::Held(_) => {
                unreachable!("bytes are stashed while a request is answered")
            }
        }
    }

    /// The header is parsed from its first byte again with each read: it is short.
    fn next_proxy<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Incoming<'i>>, proxy::Offence> {
        let State::Proxy(seen) = &mut self.state else {
            unreachable!("asked for a PROXY header in no place")
        };
        let before = seen.len();
        let more = &input[..input.len().min(PROXY_HEADER_BYTES_MAX - before)];
        seen.extend_from_slice(more);
        let Some((source, len)) = proxy::parse(seen)? else {
            *input = &input[more.len()..];
            return Ok(None);
        };
        *input = &input[len - before..];
        self.go(State::Idle(0));
        Ok(Some(Incoming::Proxied(source)))
    }

    /// Looks for the end of a head. Most heads come whole in one read and are found without being copied
    /// into a buffer first.
    fn next_head<'i>(
        &mut self,
        input: &mut &'i [u8],
        head_bytes: usize,
    ) -> Result<Option<Incoming<'i>>, offence::Offence> {
        if let State::Idle(empty_lines) = &mut self.state {
            let mut scanner = HeadScanner::behind(*empty_lines, head_bytes);
            return match scanner.scan(input)? {
                Some(len) => {
                    let (head, rest) = input.split_at(len);
                    *input = rest;
                    self.go(State::Answering);
                    Ok(scanner.head(head).map(Incoming::Head))
                }
                // The empty lines that old clients send after a body begin nothing (RFC 9112, section 2.2).
                // They are counted however they come: who sends no more than those is no client.
                None if !scanner.has_begun() && input.ends_with(b"\n") => {
                    *empty_lines = scanner.empty_lines();
                    *input = &[];
                    Ok(None)
                }
                None => {
                    self.go(State::Head(Box::new((scanner, input.to_vec()))));
                    *input = &[];
                    Ok(None)
                }
            };
        }
        let State::Head(partial) = &mut self.state else { unreachable!("asked for a head in no head") };
        let (scanner, buffer) = &mut **partial;
        let before = buffer.len();
        buffer.extend_from_slice(input);
        let Some(len) = scanner.scan(buffer)? else {
            *input = &[];
            return Ok(None);
        };
        *input = &input[len - before..];
        buffer.truncate(len);
        let head = scanner.head(std::mem::take(buffer));
        self.go(State::Answering);
        Ok(head.map(Incoming::Head))
    }

    fn next_body<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Incoming<'i>>, offence::Offence> {
        let State::Body(body) = &mut self.state else { unreachable!("asked for a body in no body") };
        let progress = body.decoder.decode(input, &mut body.body)?;
        *input = &input[progress.consumed..];
        if !progress.done {
            return Ok(None);
        }
        let State::Body(body) = self.go(State::Answering) else { unreachable!("it was a body just now") };
        Ok(Some(Incoming::Request(body)))
    }

    /// A head was accepted whose body is still to come.
    pub fn expect_body(&mut self, head: Scanned<'static>, decoder: Decoder) {
        let body = Box::new(Body { head, body: Vec::new(), decoder });
        self.change(|session| session.go(State::Body(body)));
    }

    /// The request is answered; whether another may follow.
    pub fn answered(&mut self, keep_alive: bool) {
        self.change(|session| session.go(if keep_alive { State::Idle(0) } else { State::Done }));
    }

    /// The request is a poll with nothing to tell yet.
    pub fn hold(&mut self, held: Held) {
        self.change(|session| session.go(State::Held(Box::new(held))));
    }

    /// Takes a held poll to be answered now. `None` if there is none.
    pub fn release(&mut self) -> Option<Held> {
        let State::Held(held) = &self.state else { return None };
        let keep_alive = held.reply.keep_alive;
        match self.change(|session| session.go(if keep_alive { State::Idle(0) } else { State::Done })) {
            State::Held(held) => Some(*held),
            _ => None,
        }
    }

    /// The answer has begun. So many parts follow if it is a probe's; a stream has none, and won't end by
    /// itself.
    pub fn stream(&mut self, parts: u8) {
        self.change(|session| session.go(State::Streaming(parts)));
    }

    /// How many parts of a probe were to follow until now; one of them is taken off.
    pub fn take_part(&mut self) -> u8 {
        let State::Streaming(parts) = &mut self.state else { return 0 };
        let before = *parts;
        *parts = before.saturating_sub(1);
        before
    }

    /// The connection is a WebSocket from here on; bytes after the upgrade request are frames already.
    pub fn upgrade(&mut self, reader: Reader) {
        self.change(|session| session.go(State::Socket(reader)));
    }

    /// The last word is said, whatever comes.
    pub fn finish(&mut self) {
        self.change(|session| {
            if session.stage() != Stage::Done
                && let State::Held(held) = session.go(State::Done)
                && let Some(peer) = held.counted_for
            {
                // As which it counts until it has ended.
                (session.peer, session.is_counted) = (peer, true);
            }
            session.stash = None;
        });
    }

    /// Keeps bytes that came too early.
    pub fn stash(&mut self, bytes: &[u8]) {
        self.change(|session| session.stash.get_or_insert_default().extend_from_slice(bytes));
    }

    /// Whether anything came too early.
    pub fn has_stash(&self) -> bool {
        self.stash.is_some()
    }

    /// Takes what was kept.
    pub fn unstash(&mut self) -> Option<Vec<u8>> {
        self.change(|session| session.stash.take().map(|bytes| *bytes))
    }

    /// Says whether it counts as one of its address.
    pub fn set_counted(&mut self, is_counted: bool) {
        self.is_counted = is_counted;
    }

    /// Whether it counts as one of its address.
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Whether it has asked something already.
    pub fn has_asked(&self) -> bool {
        self.has_asked
    }

    /// The frames that it may still send.
    pub fn frames(&mut self) -> &mut Bucket {
        &mut self.frames
    }

    /// Frames since this was asked last that made no event.
    pub fn take_fragments(&mut self) -> u32 {
        match &mut self.state {
            State::Socket(reader) => reader.take_fragments(),
            _ => 0,
        }
    }

    /// Of a message that is not whole, the mark that it was given first: `mark`, if that is now.
    pub fn mark_message(&mut self, mark: u64) -> Option<u64> {
        match &mut self.state {
            State::Socket(reader) => reader.mark(mark),
            _ => None,
        }
    }

    /// An answer is due though nothing was asked.
    pub fn begin_answer(&mut self) {
        self.change(|session| session.go(State::Answering));
    }

    /// Says whose connection it is.
    pub fn set_peer(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// Whose connection it is.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Makes this connection speak for a client, or for none.
    pub fn set_client(&mut self, client: Option<u32>) {
        self.client = client.and_then(|slot| NonZeroU32::new(slot + 1));
    }

    /// The client this connection speaks for.
    pub fn client(&self) -> Option<u32> {
        self.client.map(|client| client.get() - 1)
    }

    /// Bytes that it holds for its peer: what came and is not whole, and what came too early.
    pub fn held(&self) -> usize {
        let stash = self.stash.as_ref().map_or(0, |bytes| boxed(bytes.capacity(), size_of::<Vec<u8>>()));
        self.state.held() + stash
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.state.stage()
    }

    /// Whether nothing may be interpreted now.
    pub fn is_busy(&self) -> bool {
        matches!(self.stage(), Stage::Answering | Stage::Held)
    }

    /// Whether it is a poll that waits and wants an answer like that of most, but for the sid.
    pub fn is_plain_poll(&self) -> bool {
        matches!(&self.state, State::Held(held) if held.is_plain())
    }

    /// Whether it is a poll that waits.
    pub fn is_held(&self) -> bool {
        self.stage() == Stage::Held
    }
}

/// A buffer of that capacity, and the box around it of that size.
fn boxed(capacity: usize, size: usize) -> usize {
    capacity + size + 2 * ALLOCATION_BYTES
}

impl State {
    fn held(&self) -> usize {
        match self {
            State::Idle(_) | State::Answering | State::Streaming(_) | State::Done => 0,
            State::Proxy(seen) => boxed(seen.capacity(), size_of::<Vec<u8>>()),
            State::Head(partial) => boxed(partial.1.capacity(), size_of::<(HeadScanner, Vec<u8>)>()),
            State::Body(body) => boxed(body.head.held() + body.body.capacity(), size_of::<Body>()),
            State::Held(held) => {
                let origin = held.reply.origin.as_ref().map_or(0, String::capacity);
                let callback = held.callback.as_ref().map_or(0, String::capacity);
                boxed(origin + callback, size_of::<Held>())
            }
            State::Socket(reader) => reader.held(),
        }
    }

    fn stage(&self) -> Stage {
        match self {
            State::Idle(_) => Stage::Idle,
            State::Proxy(_) => Stage::Proxy,
            State::Head(_) => Stage::Head,
            State::Answering => Stage::Answering,
            State::Body(_) => Stage::Body,
            State::Held(_) => Stage::Held,
            State::Streaming(_) => Stage::Streaming,
            State::Socket(_) => Stage::Socket,
            State::Done => Stage::Done,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        account::release(Part::Sessions, self.held());
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Reply;
    use super::super::client::Sid;
    use super::*;
    use crate::limits::HEAD_BYTES_DEFAULT;
    use crate::wire::http::Framing;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    fn head_of(session: &mut Session, input: &mut &[u8]) -> Option<Scanned<'static>> {
        match session.next(input, HEAD_BYTES_DEFAULT).expect("a good head") {
            Some(Incoming::Head(head)) => Some(head.into_owned()),
            None => None,
            Some(other) => panic!("not a head: {other:?}"),
        }
    }

    #[test]
    fn idle_a_whole_head_leaves_the_rest() {
        let mut session = Session::default();
        let bytes = [GET, b"GET /2"].concat();
        let mut input = &bytes[..];
        assert_eq!(head_of(&mut session, &mut input).as_ref().map(Scanned::bytes), Some(GET));
        assert_eq!(input, b"GET /2");
        assert_eq!(session.stage(), Stage::Answering);
    }

    #[test]
    fn head_in_dribbles() {
        let mut session = Session::default();
        for byte in &GET[..GET.len() - 1] {
            assert!(head_of(&mut session, &mut &[*byte][..]).is_none());
            assert_eq!(session.stage(), Stage::Head);
        }
        let mut input = &b"\nnext"[..];
        assert_eq!(head_of(&mut session, &mut input).as_ref().map(Scanned::bytes), Some(GET));
        assert_eq!(input, b"next");
    }

    #[test]
    fn body_whole_is_a_request() {
        let mut session = Session::default();
        let head = head_of(&mut session, &mut &GET[..]).expect("whole");
        session.expect_body(head, Decoder::new(Framing::Length(5), 10).expect("within the bound"));
        assert!(session.next(&mut &b"he"[..], HEAD_BYTES_DEFAULT).expect("good").is_none());
        let mut input = &b"lloGET"[..];
        let Ok(Some(Incoming::Request(body))) = session.next(&mut input, HEAD_BYTES_DEFAULT) else {
            panic!("no request")
        };
        assert_eq!((body.head.bytes(), &body.body[..], input), (GET, &b"hello"[..], &b"GET"[..]));
        session.answered(true);
        assert_eq!(session.stage(), Stage::Idle);
    }

    #[test]
    fn the_account_follows_what_is_not_whole() {
        let before = account::held(Part::Sessions);
        let mut session = Session::default();
        let check = |session: &Session, least: usize| {
            assert_eq!(account::held(Part::Sessions) - before, session.held());
            assert!(session.held() >= least, "{} of {least}", session.held());
        };
        check(&session, 0);
        head_of(&mut session, &mut &GET[..20]);
        check(&session, 20);
        let head = head_of(&mut session, &mut &GET[20..]).expect("whole");
        assert_eq!(session.held(), 0);
        session.expect_body(head, Decoder::new(Framing::Length(100), 100).expect("within the bound"));
        session.next(&mut &[b'x'; 99][..], HEAD_BYTES_DEFAULT).expect("good");
        check(&session, GET.len() + 99);
        session.stash(&[b'x'; 1000]);
        check(&session, GET.len() + 1099);
        session.finish();
        assert_eq!(session.held(), 0);
        session.stash(b"late");
        drop(session);
        assert_eq!(account::held(Part::Sessions), before);
    }

    #[test]
    fn held_is_released_once() {
        let mut session = Session::default();
        head_of(&mut session, &mut &GET[..]);
        session.hold(Held {
            reply: Reply { keep_alive: true, ..Reply::default() },
            sid: Sid::parse("AAAAAAAAAAAAAAAAAAAAAA").expect("a sid"),
            callback: None,
            counted_for: None,
        });
        assert!(session.release().is_some());
        assert!(session.release().is_none());
        assert_eq!(session.stage(), Stage::Idle);
    }

    #[test]
    fn streaming_what_comes_after_is_dropped() {
        let mut session = Session::default();
        head_of(&mut session, &mut &GET[..]);
        session.stream(0);
        let mut input = GET;
        assert!(session.next(&mut input, HEAD_BYTES_DEFAULT).expect("ignored").is_none());
        assert!(input.is_empty());
    }

    #[test]
    #[should_panic(expected = "no way from Idle to Streaming")]
    fn idle_cannot_stream() {
        Session::default().stream(0);
    }

    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<Session>() <= 64, "{}", size_of::<Session>());
    }
}
