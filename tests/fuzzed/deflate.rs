//! permessage-deflate and the PROXY protocol, against the plainest readers of both.
//!
//! DEFLATE is read a second time by `tests/common/inflate.rs`, which keeps its window to the octet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use encke::wire::deflate::{Deflater, Inflater, Window};
use encke::wire::extensions;
use encke::wire::message::{Event, Reader};
use encke::wire::proxy::{self, Source};
use encke::wire::ws::{self, FrameHeader, Offence, Opcode};

use super::inflate::inflate;
use super::{Choices, agreed};

/// Bytes of a message here: few, so that the bound is met.
const MESSAGE_BYTES_MAX: usize = 2000;

/// Bytes of all messages of a long life together.
const LIFE_BYTES_MAX: usize = 256 * 1024;

/// How far back an octet may point.
const WINDOW: usize = 1 << 15;

/// What is inflated is what the plain reader finds, and never longer than it may be. What is compressed stays within its window and is read back by both.
pub fn deflate(input: &[u8]) {
    let found = Inflater::default().inflate(input, MESSAGE_BYTES_MAX);
    let plain = inflate(input, WINDOW);
    match &found {
        // Where a last block ends the payload the plain reader misses the octet of section 7.2.3.4.
        Ok(found) => {
            assert!(found.len() <= MESSAGE_BYTES_MAX);
            let patient = plain.clone().or_else(|_| inflate(&[input, &[0]].concat(), WINDOW));
            assert_eq!(patient.as_ref(), Ok(found));
        }
        // zlib refuses codes that are not complete, which the plain reader takes.
        Err(Offence::BadDeflate) => {}
        Err(offence) => {
            assert_eq!(*offence, Offence::TooBig);
            assert!(!plain.is_ok_and(|plain| plain.len() <= MESSAGE_BYTES_MAX));
        }
    }

    let mut choices = Choices::new(input);
    let (window, octets) = choices.pick(&[(Window::Full, WINDOW), (Window::Narrow, 256)]);
    let payload = choices.rest().repeat(1 + input.len() % 7);
    let mut deflater = Deflater::default();
    // One compressor serves message after message, and remembers nothing of the one before.
    let first = deflater.frame(Opcode::Text, &payload, window);
    assert_eq!(deflater.frame(Opcode::Text, &payload, window), first);
    let Some(frame) = first else { return };
    let (header, used) = FrameHeader::parse(&frame).expect("legal").expect("whole");
    assert!(header.fin && header.rsv1 && header.len as usize == frame.len() - used);
    assert!(header.len < payload.len() as u64, "it is a gain");
    assert_eq!(inflate(&frame[used..], octets).as_ref(), Ok(&payload));
    assert_eq!(Inflater::default().inflate(&frame[used..], payload.len()).as_ref(), Ok(&payload));
    let too_little = Inflater::default().inflate(&frame[used..], payload.len() - 1);
    assert_eq!(too_little, Err(Offence::TooBig));
}

/// One compressor and one decompressor serve message after message for as long as the program runs. Nothing of
/// a message, and nothing of one that could not be read or did not shrink, is left for the next.
pub fn deflate_long(input: &[u8]) {
    let mut choices = Choices::new(input);
    let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
    let mut bytes = 0;
    while !choices.is_empty() && bytes < LIFE_BYTES_MAX {
        if choices.below(8) == 0 {
            let garbage = choices.bytes();
            let found = inflater.inflate(garbage, MESSAGE_BYTES_MAX);
            assert_eq!(found, Inflater::default().inflate(garbage, MESSAGE_BYTES_MAX));
            continue;
        }
        let (window, octets) = choices.pick(&[(Window::Full, WINDOW), (Window::Narrow, 256)]);
        let (mut state, spread) = (u32::from(choices.byte()) + 1, choices.byte());
        let (len, times) = (choices.below(1 << 12), choices.below(1 << 8));
        for _ in 0..=times {
            let payload: Vec<u8> = (0..len).map(|_| noise(&mut state) & spread).collect();
            bytes += len;
            let Some(frame) = deflater.frame(Opcode::Binary, &payload, window) else { continue };
            let (_, used) = FrameHeader::parse(&frame).expect("legal").expect("whole");
            assert_eq!(inflate(&frame[used..], octets).as_ref(), Ok(&payload));
            assert_eq!(inflater.inflate(&frame[used..], len).as_ref(), Ok(&payload));
            if bytes >= LIFE_BYTES_MAX {
                assert_eq!(Deflater::default().frame(Opcode::Binary, &payload, window), Some(frame));
                break;
            }
        }
    }
}

/// The next octet of a row in which nothing repeats (Marsaglia's xorshift).
fn noise(state: &mut u32) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state as u8
}

/// Compressed messages in any fragments between others are heard as they were said; what was never agreed on is
/// an offence.
pub fn ws_deflated(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut bytes = Vec::new();
    let mut said = Vec::new();
    while !choices.is_empty() && bytes.len() < 4096 {
        let text = choices.text().into_owned();
        let is_stored = choices.below(3) > 0;
        let payload = if is_stored { stored(text.as_bytes()) } else { text.as_bytes().to_vec() };
        let cut = choices.below(256).min(payload.len());
        let (first, rest) = payload.split_at(cut);
        put(&mut bytes, FrameHeader { rsv1: is_stored, ..header(false, Opcode::Text) }, first);
        if choices.below(4) == 0 {
            put(&mut bytes, header(true, Opcode::Ping), b"between");
            said.push(Event::Ping(b"between".to_vec()));
        }
        put(&mut bytes, header(true, Opcode::Continuation), rest);
        said.push(Event::Text(text));
    }
    assert_eq!(agreed(&bytes, hear), (said, None));
    // And whatever else comes is the same however it comes.
    agreed(input, hear);
}

fn header(fin: bool, opcode: Opcode) -> FrameHeader {
    FrameHeader { fin, rsv1: false, opcode, mask: Some([1, 2, 3, 4]), len: 0 }
}

fn put(bytes: &mut Vec<u8>, header: FrameHeader, payload: &[u8]) {
    FrameHeader { len: payload.len() as u64, ..header }.emit(bytes);
    let from = bytes.len();
    bytes.extend_from_slice(payload);
    ws::mask([1, 2, 3, 4], 0, &mut bytes[from..]);
}

/// Text as one stored block (RFC 1951, section 3.2.4), the plainest thing that is DEFLATE.
pub(super) fn stored(text: &[u8]) -> Vec<u8> {
    let len = text.len() as u16;
    let [a, b] = len.to_le_bytes();
    [&[0, a, b, !a, !b], text, &[0]].concat()
}

fn hear(pieces: &[&[u8]]) -> (Vec<Event>, Option<Offence>) {
    let (mut reader, mut inflater) =
        (Reader::new(4 * MESSAGE_BYTES_MAX as u32).with_deflate(), Inflater::default());
    let mut events = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            let event = reader.next(&mut input).and_then(|event| match event {
                Some(Event::Deflated(deflated)) => deflated.inflate(&mut inflater).map(Some),
                other => Ok(other),
            });
            match event {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(offence) => return (events, Some(offence)),
            }
        }
    }
    (events, None)
}

/// Lists of extensions never confuse: what is agreed on is the one extension there is, and our own answer is an
/// offer that we would take.
pub fn extensions(input: &[u8]) {
    let lines = || input.split(|octet| *octet == b'\n');
    let Ok(Some(agreed)) = extensions::negotiate(lines()) else { return };
    let all = input.to_ascii_lowercase();
    assert!(all.windows(18).any(|name| name == b"permessage-deflate"));
    let mut answer = Vec::new();
    agreed.emit(&mut answer);
    assert!(
        answer.starts_with(b"permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
    assert!(answer.iter().all(|octet| (b' '..=b'~').contains(octet)));
    assert_eq!(extensions::negotiate([&answer[..]].into_iter()), Ok(Some(agreed)));
    // A line more that offers nothing changes nothing.
    let more = lines().chain([&b"x-unknown; a=1"[..]]);
    assert_eq!(extensions::negotiate(more), Ok(Some(agreed)));
}

/// A header is the same header however it comes, is never taken for one before it is whole, and says what a plain
/// reading finds. What is written is read back.
pub fn proxy(input: &[u8]) {
    let whole = proxy::parse(input);
    for cut in 0..input.len().min(300) {
        let part = proxy::parse(&input[..cut]);
        assert!(part == Ok(None) || part == whole, "cut at {cut}: {part:?}, {whole:?}");
    }
    if let Ok(Some((source, used))) = whole {
        assert!(used <= input.len());
        let plain = plain_line(&input[..used]).or_else(|| plain_block(&input[..used]));
        assert_eq!(plain, Some(source));
    }

    let mut choices = Choices::new(input);
    let is_four = choices.below(2) == 0;
    let mut address = || {
        let mut octets = [0; 16];
        octets.fill_with(|| choices.byte());
        let four = Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]);
        let ip = if is_four { IpAddr::from(four) } else { Ipv6Addr::from(octets).into() };
        SocketAddr::new(ip, u16::from_be_bytes([choices.byte(), choices.byte()]))
    };
    let pair = (address(), address());
    let source = (choices.below(4) > 0).then_some(pair);
    let expected = source.map_or(Source::Unknown, |(source, _)| Source::Peer(source));
    let (mut line, mut block) = (Vec::new(), Vec::new());
    proxy::emit_line(source, &mut line);
    proxy::emit_block(source, choices.bytes(), &mut block);
    for emitted in [line, block] {
        let len = emitted.len();
        let followed = [&emitted[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(proxy::parse(&followed), Ok(Some((expected, len))));
    }
}

/// Version 1, word by word.
fn plain_line(header: &[u8]) -> Option<Source> {
    let line = str::from_utf8(header).ok()?.strip_suffix("\r\n")?;
    let words: Vec<&str> = line.split(' ').collect();
    let address = |is_four: bool| {
        let source: IpAddr = words.get(2)?.parse().ok()?;
        let destination: IpAddr = words.get(3)?.parse().ok()?;
        let port: u16 = words.get(4)?.parse().ok()?;
        words.get(5)?.parse::<u16>().ok()?;
        let fits = source.is_ipv4() == is_four && destination.is_ipv4() == is_four && words.len() == 6;
        fits.then_some(Source::Peer(SocketAddr::new(source, port)))
    };
    match (*words.first()?, *words.get(1)?) {
        ("PROXY", "UNKNOWN") => Some(Source::Unknown),
        ("PROXY", "TCP4") => address(true),
        ("PROXY", "TCP6") => address(false),
        _ => None,
    }
}

/// Version 2, octet by octet.
fn plain_block(header: &[u8]) -> Option<Source> {
    let rest = header.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n")?;
    let ([command, family, high, low], body) = rest.split_first_chunk::<4>()?;
    if body.len() != usize::from(u16::from_be_bytes([*high, *low])) {
        return None;
    }
    let port = |at: usize| body.get(at..at + 2).map(|port| u16::from_be_bytes([port[0], port[1]]));
    match (command, family) {
        (0x20, _) => Some(Source::Unknown),
        (0x21, 0x11) => {
            let octets = *body.first_chunk::<4>()?;
            Some(Source::Peer(SocketAddr::new(Ipv4Addr::from(octets).into(), port(8)?)))
        }
        (0x21, 0x21) => {
            let octets = *body.first_chunk::<16>()?;
            Some(Source::Peer(SocketAddr::new(Ipv6Addr::from(octets).into(), port(32)?)))
        }
        (0x21, _) => Some(Source::Unknown),
        _ => None,
    }
}
