//! WebSocket: frames and messages, against each other and against tungstenite.

use std::io::{self, Cursor, Read, Write};

use encke::limits::CONTROL_PAYLOAD_BYTES_MAX;
use encke::wire::message::{Event, Reader};
use encke::wire::ws::{self, FrameHeader, HEADER_BYTES_MAX, Offence, Opcode};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use super::{Choices, agreed};

/// Bytes of a message here: few, so that the bound is met.
const MESSAGE_BYTES_MAX: u32 = 1000;

/// Each header has one spelling, which is the one that is written; nothing but all of it is a header; and
/// tungstenite reads the same from it. A mask is the same in one piece and in many.
pub fn ws_frames(input: &[u8]) {
    let whole = FrameHeader::parse(input);
    if let Ok(Some((header, used))) = whole {
        assert!(used <= HEADER_BYTES_MAX && header.len >> 63 == 0);
        let mut again = Vec::new();
        header.emit(&mut again);
        assert_eq!(again, &input[..used]);
        for cut in 0..used {
            assert_eq!(FrameHeader::parse(&input[..cut]), Ok(None), "cut at {cut}");
        }
        let other = tungstenite::protocol::frame::FrameHeader::parse(&mut Cursor::new(input));
        let (other, len) = other.expect("legal there too").expect("complete there too");
        assert_eq!(
            (other.is_final, other.rsv1, other.mask, len),
            (header.fin, header.rsv1, header.mask, header.len)
        );
        assert_eq!(u8::from(other.opcode), header.opcode as u8);
    }
    if let Ok(None) = whole {
        assert!(input.len() < HEADER_BYTES_MAX);
    }

    let Some((&key, payload)) = input.split_first_chunk::<4>() else { return };
    let naive: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(octet, key)| octet ^ key).collect();
    let masked = agreed(payload, |pieces| {
        let mut all = Vec::new();
        for piece in pieces {
            let mut piece = piece.to_vec();
            ws::mask(key, all.len(), &mut piece);
            all.append(&mut piece);
        }
        all
    });
    assert_eq!(masked, naive);
}

/// A client's bytes make the same events and the same offence however they arrive. As long as nothing is
/// forbidden tungstenite hears the same; what it forbids is forbidden here.
pub fn ws_messages(input: &[u8]) {
    let (events, offence) = agreed(input, hear);
    let (others, broken) = hear_other(input, events.len());
    assert_eq!(others.len(), events.len());
    for pair in others.iter().zip(&events) {
        // Registered with IANA after RFC 6455 was written; tungstenite takes it for an offence.
        let is_newer = matches!(pair.1, Event::Close(Some((1014, _))));
        assert!(is_newer || pair.0 == pair.1, "{pair:?}");
    }
    assert!(offence.is_some() || !broken, "tungstenite finds fault");
}

/// Messages in fragments with control frames between them are heard as they were said.
pub fn ws_talk(input: &[u8]) {
    let mut choices = Choices::new(input);
    let (mut said, mut bytes) = (Vec::new(), Vec::new());
    while !choices.is_empty() && bytes.len() < 4096 {
        say(&mut choices, &mut said, &mut bytes);
    }
    assert_eq!(agreed(&bytes, hear), (said, None));
}

/// One message in a few fragments, each behind a control frame or none.
fn say(choices: &mut Choices<'_>, said: &mut Vec<Event>, bytes: &mut Vec<u8>) {
    let mut opcode = choices.pick(&[Opcode::Text, Opcode::Binary]);
    let message = match opcode {
        Opcode::Text => Event::Text(choices.text().into_owned()),
        _ => Event::Binary(choices.bytes().to_vec()),
    };
    let mut rest = match &message {
        Event::Text(text) => text.as_bytes(),
        Event::Binary(payload) => payload,
        _ => unreachable!("it was just made"),
    };
    let key = [choices.byte(), choices.byte(), 0x21, 0x3d];
    for _ in 0..choices.below(4) {
        let cut = choices.below(256).min(rest.len());
        let (fragment, left) = rest.split_at(cut);
        ws::client_frame(false, opcode, key, fragment, bytes);
        (rest, opcode) = (left, Opcode::Continuation);
        if choices.below(2) == 1 {
            let payload = choices.bytes();
            let payload = &payload[..payload.len().min(CONTROL_PAYLOAD_BYTES_MAX)];
            let control = choices.pick(&[Opcode::Ping, Opcode::Pong]);
            ws::client_frame(true, control, key, payload, bytes);
            let payload = payload.to_vec();
            said.push(if control == Opcode::Ping { Event::Ping(payload) } else { Event::Pong(payload) });
        }
    }
    ws::client_frame(true, opcode, key, rest, bytes);
    said.push(message);
}

/// What the reader makes of these pieces, and that it never holds more than it may.
fn hear(pieces: &[&[u8]]) -> (Vec<Event>, Option<Offence>) {
    let mut reader = Reader::new(MESSAGE_BYTES_MAX);
    let mut events = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match reader.next(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(offence) => {
                    assert!(ws::is_close_code(offence.close_code()));
                    assert_eq!(reader.next(&mut &piece[..]), Ok(None), "deaf after an offence");
                    return (events, Some(offence));
                }
            }
        }
        assert!(input.is_empty(), "all is taken");
    }
    for event in &events {
        let (capacity, most) = match event {
            Event::Text(text) => (text.capacity(), MESSAGE_BYTES_MAX as usize),
            Event::Binary(payload) => (payload.capacity(), MESSAGE_BYTES_MAX as usize),
            // A vector may double once beyond what it needs.
            Event::Ping(payload) | Event::Pong(payload) => {
                (payload.capacity(), 2 * CONTROL_PAYLOAD_BYTES_MAX)
            }
            Event::Deflated(_) => unreachable!("nothing was agreed on"),
            Event::Close(reason) => {
                (reason.as_ref().map_or(0, |(_, text)| text.len()), CONTROL_PAYLOAD_BYTES_MAX - 2)
            }
        };
        assert!(capacity <= most, "{capacity} bytes for {event:?}");
    }
    (events, None)
}

/// The first `count` events that tungstenite hears in `input`, and whether it finds fault with the next.
fn hear_other(input: &[u8], count: usize) -> (Vec<Event>, bool) {
    let most = Some(MESSAGE_BYTES_MAX as usize);
    let config = WebSocketConfig::default().max_message_size(most).max_frame_size(most);
    let mut other = WebSocket::from_raw_socket(Deaf(input), Role::Server, Some(config));
    let mut events = Vec::new();
    while events.len() < count {
        match other.read() {
            Ok(message) => events.push(event_of(message)),
            Err(error) => panic!("{error} behind {events:?}"),
        }
    }
    let broken = match other.read() {
        Ok(_) => false,
        Err(tungstenite::Error::Protocol(error)) => {
            error != tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
        }
        Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::Io(_)) => false,
        Err(_) => true,
    };
    (events, broken)
}

fn event_of(message: Message) -> Event {
    match message {
        Message::Text(text) => Event::Text(text.as_str().to_owned()),
        Message::Binary(payload) => Event::Binary(payload.to_vec()),
        Message::Ping(payload) => Event::Ping(payload.to_vec()),
        Message::Pong(payload) => Event::Pong(payload.to_vec()),
        Message::Close(reason) => {
            Event::Close(reason.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned())))
        }
        Message::Frame(_) => unreachable!("reading gives no raw frames"),
    }
}

/// A peer whose bytes are all here and that never reads an answer.
#[derive(Debug)]
struct Deaf<'a>(&'a [u8]);

impl Read for Deaf<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Deaf<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
