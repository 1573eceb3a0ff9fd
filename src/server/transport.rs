//! The ways down: which event becomes which bytes on which of them.
//!
//! It knows no connection and no client. The formats themselves are in `wire/`; here it is said which one a
//! transport uses, and that the bytes are made once for all of its readers.

use crate::account::Image;
use crate::hub::Message;
use crate::limits::DEFLATE_REPLY_BYTES_MAX;
use crate::reactor::Chunk;
use crate::wire::deflate::{Deflater, Window};
use crate::wire::{ndjson, script, sse, ws};

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `/ws`: one object a text frame, compressed to that window if the client takes it so.
    WebSocket(Option<Window>),
    /// `/sse`: Server-Sent Events.
    Sse,
    /// `/stream`: one object a line.
    Stream,
    /// `/iframe`: script calls in an endless document.
    Iframe,
    /// `/poll`: one answer at a time.
    Poll,
    /// `/jsonp`: the same as a script.
    Jsonp,
    /// A WebSocket that belongs to the application.
    Raw(Option<Window>),
}

impl Transport {
    /// All of them, for listings.
    pub const ALL: [Transport; 7] = [
        Transport::WebSocket(None),
        Transport::Sse,
        Transport::Stream,
        Transport::Iframe,
        Transport::Poll,
        Transport::Jsonp,
        Transport::Raw(None),
    ];

    /// The name used in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Transport::WebSocket(_) => "websocket",
            Transport::Sse => "sse",
            Transport::Stream => "stream",
            Transport::Iframe => "iframe",
            Transport::Poll => "poll",
            Transport::Jsonp => "jsonp",
            Transport::Raw(_) => "raw",
        }
    }

    /// Whether it is a WebSocket of the application's own.
    pub fn is_raw(self) -> bool {
        matches!(self, Transport::Raw(_))
    }

    /// How its messages are compressed, if they are.
    fn window(self) -> Option<Window> {
        match self {
            Transport::WebSocket(window) | Transport::Raw(window) => window,
            _ => None,
        }
    }

    /// Whether it is answered once and then asked again.
    pub fn is_poll(self) -> bool {
        matches!(self, Transport::Poll | Transport::Jsonp)
    }

    /// The bytes of an event that is in the log, shared by all readers of this transport.
    ///
    /// # Panics
    /// On a poll, whose answers are made of objects, not of events.
    pub fn image(self, message: &Message, deflater: &mut Deflater) -> Image {
        let Some(window) = self.window() else {
            return message.image(self.slot(), |message| {
                self.event(Some(&message.cursor().to_string()), message.json()).into()
            });
        };
        message.image(self.slot(), |message| {
            match deflater.frame(ws::Opcode::Text, message.json(), window) {
                Some(frame) => frame,
                // Not worth it: the same bytes as for all others.
                None => Transport::WebSocket(None).image(message, deflater),
            }
        })
    }

    /// Which of a message's images is this transport's.
    fn slot(self) -> usize {
        match self {
            Transport::WebSocket(None) | Transport::Raw(None) => 0,
            Transport::Sse => 1,
            Transport::Stream => 2,
            Transport::Iframe => 3,
            Transport::WebSocket(Some(Window::Full)) | Transport::Raw(Some(Window::Full)) => 4,
            Transport::WebSocket(Some(Window::Narrow)) | Transport::Raw(Some(Window::Narrow)) => 5,
            Transport::Poll | Transport::Jsonp => unreachable!("a poll's answer is no stream of events"),
        }
    }

    /// The bytes of one WebSocket message of an application, which may send the same to others too.
    pub fn frame(self, opcode: ws::Opcode, payload: &[u8], deflater: &mut Deflater) -> Chunk {
        let packed = self.window().and_then(|window| deflater.frame_again(opcode, payload, window));
        packed.map_or_else(
            || {
                let mut out = Vec::with_capacity(payload.len() + ws::HEADER_BYTES_MAX);
                ws::frame(opcode, payload, &mut out);
                out.into()
            },
            Chunk::Shared,
        )
    }

    /// The bytes of a reply to one client. A long one is not compressed: see `DEFLATE_REPLY_BYTES_MAX`.
    pub fn answer(self, json: &[u8], deflater: &mut Deflater) -> Chunk {
        let window = self.window().filter(|_| json.len() <= DEFLATE_REPLY_BYTES_MAX);
        let packed = window.and_then(|window| deflater.frame(ws::Opcode::Text, json, window));
        packed.map_or_else(|| self.event(None, json).into(), Chunk::Shared)
    }

    /// The shortest bytes that mean nothing on a stream over HTTP.
    pub fn blank(self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Transport::Sse => sse::padding(&mut out, 1),
            Transport::Stream => ndjson::padding(&mut out, 1),
            Transport::Iframe => script::padding(&mut out, 1),
            Transport::WebSocket(_) | Transport::Raw(_) | Transport::Poll | Transport::Jsonp => {}
        }
        out
    }

    /// The bytes of one event, not compressed. `id` is the cursor after it, for those that have one.
    pub fn event(self, id: Option<&str>, json: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(json.len() + 96);
        self.emit(id, json, &mut out);
        out
    }

    /// The same, behind what is in `out` already.
    pub fn emit(self, id: Option<&str>, json: &[u8], out: &mut Vec<u8>) {
        match self {
            Transport::WebSocket(_) | Transport::Raw(_) => ws::frame(ws::Opcode::Text, json, out),
            Transport::Sse => sse::emit(out, id, kind_of(json), json),
            Transport::Stream => ndjson::emit(out, json),
            Transport::Iframe => script::call(out, json),
            Transport::Poll | Transport::Jsonp => out.extend_from_slice(json),
        }
    }
}

/// The type of an event: its first member, as `Object::event` and the log write it.
fn kind_of(json: &[u8]) -> &str {
    let kind = json.strip_prefix(br#"{"type":""#).and_then(|rest| rest.split(|byte| *byte == b'"').next());
    kind.and_then(|kind| std::str::from_utf8(kind).ok()).unwrap_or("message")
}

#[cfg(test)]
mod tests {
    use super::super::object::Object;
    use super::*;

    #[test]
    fn an_events_type_is_its_first_member() {
        assert_eq!(kind_of(Object::event("typing").string("ch", "a").as_bytes()), "typing");
        assert_eq!(kind_of(Object::new().string("ch", "a").as_bytes()), "message");
    }
}
