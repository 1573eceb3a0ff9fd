//! permessage-deflate without a socket: what is compressed is read by an inflater of the tests' own, what is
//! inflated was written by hand from RFC 7692 or by zlib in all of its ways.

mod common;

use common::inflate::inflate;
use encke::limits::{DEFLATE_BYTES_MIN, DEFLATE_STREAMS_MAX};
use encke::wire::deflate::{Deflater, Inflater, Window};
use encke::wire::message::{Event, Reader};
use encke::wire::ws::{FrameHeader, Offence, Opcode, client_frame, deflated_client_frame};
use flate2::{Compress, Compression, FlushCompress};

const MAX: u32 = 1 << 20;

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Text that repeats itself at all distances.
fn prose(seed: u64, len: usize) -> Vec<u8> {
    let mut seed = seed | 1;
    let mut out = Vec::new();
    while out.len() < len {
        match xorshift(&mut seed) % 3 {
            0 => out.extend((0..xorshift(&mut seed) % 40).map(|n| b'a' + (n * n % 26) as u8)),
            1 => out.extend(xorshift(&mut seed).to_string().bytes()),
            _ if out.is_empty() => {}
            _ => {
                let from = xorshift(&mut seed) as usize % out.len();
                let again: Vec<u8> = out[from..].iter().take(300).copied().collect();
                out.extend(again);
            }
        }
    }
    out.truncate(len);
    out
}

fn noise(len: usize) -> Vec<u8> {
    let mut seed = 5;
    (0..len).map(|_| (xorshift(&mut seed) >> 20) as u8).collect()
}

/// The payload of a frame that the server made, which must be one whole compressed message.
fn payload_of(frame: &[u8]) -> &[u8] {
    let (header, used) = FrameHeader::parse(frame).expect("legal").expect("whole");
    assert!(header.fin && header.rsv1 && header.opcode == Opcode::Text && header.mask.is_none());
    assert_eq!(header.len as usize, frame.len() - used);
    &frame[used..]
}

/// What an encoder makes of a message, its tail taken off. RFC 7692, section 7.2.1.
fn deflate(plain: &[u8], level: u32, bits: u8, flush: FlushCompress) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * plain.len() + 100);
    let mut compress = Compress::new_with_window_bits(Compression::new(level), false, bits);
    compress.compress_vec(plain, &mut out, flush).expect("compressed");
    match flush {
        // Section 7.2.3.4.
        FlushCompress::Finish => out.push(0),
        _ => out.truncate(out.strip_suffix(&[0, 0, 0xff, 0xff]).expect("flushed").len()),
    }
    out
}

fn inflated(payload: &[u8], max: usize) -> Result<Vec<u8>, Offence> {
    Inflater::default().inflate(payload, max)
}

#[test]
fn no_reference_leaves_the_window() {
    let mut deflater = Deflater::default();
    let lens = [256, 257, 512, 513, 600, 1000, 4096, 40_000, 70_000, 300_000];
    for (seed, len) in lens.into_iter().enumerate() {
        let plain = prose(seed as u64, len);
        for (window, octets) in [(Window::Full, 1 << 15), (Window::Narrow, 1 << 8)] {
            let Some(frame) = deflater.frame(Opcode::Text, &plain, window) else {
                panic!("{len} octets of text don't shrink into {window:?}");
            };
            assert!(frame.len() < plain.len());
            let read = inflate(payload_of(&frame), octets);
            assert!(read.as_ref() == Ok(&plain), "{len} octets, {window:?}: {:?}", read.err());
        }
        let full = deflater.frame(Opcode::Text, &plain, Window::Full).expect("as before");
        assert!(len < 4096 || inflate(payload_of(&full), 1 << 8).is_err(), "this inflater can tell");
    }
    assert_eq!(deflater.counts().messages, 3 * lens.len() as u64);
}

#[test]
fn what_does_not_pay_is_not_compressed() {
    let mut deflater = Deflater::default();
    for window in [Window::Full, Window::Narrow] {
        assert!(deflater.frame(Opcode::Text, b"", window).is_none());
        assert!(deflater.frame(Opcode::Text, &vec![b'a'; DEFLATE_BYTES_MIN - 1], window).is_none());
        assert!(deflater.frame(Opcode::Text, &vec![b'a'; DEFLATE_BYTES_MIN], window).is_some());
        for len in [DEFLATE_BYTES_MIN, 1000, 100_000] {
            assert!(deflater.frame(Opcode::Binary, &noise(len), window).is_none(), "{len}");
        }
        // Nothing of a message that was given up goes into the next.
        let frame = deflater.frame(Opcode::Text, &prose(1, 3000), window).expect("compressed");
        assert_eq!(inflate(payload_of(&frame), 1 << 15), Ok(prose(1, 3000)));
    }
}

/// A compressor that was stopped when its output had no room left must not remember it.
#[test]
fn messages_that_do_not_shrink_leave_nothing_behind() {
    let mut deflater = Deflater::default();
    for window in [Window::Full, Window::Narrow] {
        for (len, times) in [(DEFLATE_BYTES_MIN, 1000), (5000, 100), (100_000, 10)] {
            for _ in 0..times {
                assert!(deflater.frame(Opcode::Binary, &noise(len), window).is_none(), "{len}");
            }
        }
        let frame = deflater.frame(Opcode::Text, &prose(1, 3000), window).expect("compressed");
        assert_eq!(inflate(payload_of(&frame), 1 << 15), Ok(prose(1, 3000)));
    }
}

#[test]
fn a_message_is_the_same_bytes_whatever_came_before() {
    let (mut fresh, mut used) = (Deflater::default(), Deflater::default());
    for seed in 0..20 {
        used.frame(Opcode::Text, &prose(seed, 5000), Window::Full);
    }
    let plain = prose(99, 5000);
    let expected = fresh.frame(Opcode::Text, &plain, Window::Full).expect("compressed");
    assert_eq!(*used.frame(Opcode::Text, &plain, Window::Full).expect("compressed"), *expected);
}

#[test]
fn one_message_to_many_is_compressed_once() {
    let mut deflater = Deflater::default();
    let mut again = |opcode, plain: &[u8], window| {
        let frame = deflater.frame_again(opcode, plain, window).map(|frame| frame.to_vec());
        (frame, deflater.counts().messages)
    };
    let (plain, other) = (prose(1, 3000), prose(2, 3000));
    let (first, _) = again(Opcode::Text, &plain, Window::Full);
    let (narrow, _) = again(Opcode::Text, &plain, Window::Narrow);
    for _ in 0..10 {
        assert_eq!(again(Opcode::Text, &plain, Window::Full), (first.clone(), 2));
        assert_eq!(again(Opcode::Text, &plain, Window::Narrow), (narrow.clone(), 2));
    }
    // Another kind, another payload, another turn: another frame.
    let (binary, count) = again(Opcode::Binary, &plain, Window::Full);
    let (first, binary) = (first.expect("compressed"), binary.expect("compressed"));
    assert_eq!((binary[0], first[0], &binary[1..], count), (0xc2, 0xc1, &first[1..], 3));
    assert_ne!(again(Opcode::Binary, &other, Window::Full).0, Some(binary));
    assert_eq!(again(Opcode::Text, &noise(3000), Window::Full), (None, 4));
    assert_eq!(again(Opcode::Text, &noise(3000), Window::Full), (None, 4));
    let long = prose(3, 300_000);
    let (frame, _) = again(Opcode::Text, &long, Window::Full);
    assert_eq!(inflate(payload_of(&frame.expect("compressed")), 1 << 15), Ok(long));
    deflater.frame_again(Opcode::Text, &plain, Window::Full);
    deflater.forget();
    deflater.frame_again(Opcode::Text, &plain, Window::Full);
    assert_eq!(deflater.counts().messages, 7);
}

#[test]
fn rfc7692_7_2_3_examples() {
    let hello = Ok(b"Hello".to_vec());
    assert_eq!(inflated(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5), hello, "7.2.3.1");
    assert_eq!(
        inflated(&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], 5),
        hello,
        "7.2.3.3, no compression"
    );
    assert_eq!(inflated(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], 5), hello, "7.2.3.4, BFINAL");
    assert_eq!(
        inflated(&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00], 5),
        hello,
        "7.2.3.5, two blocks"
    );
    assert_eq!(inflated(&[0x00], 5), Ok(vec![]), "7.2.3.6, an empty message");
    assert_eq!(inflated(&[], 5), Ok(vec![]), "an empty message of those who send nothing for it");
    // 7.2.3.2, the same message with a context that was never agreed on.
    assert_eq!(inflated(&[0xf2, 0x00, 0x11, 0x00, 0x00], 5), Err(Offence::BadDeflate));
}

#[test]
fn every_encoder_is_understood() {
    let mut inflater = Inflater::default();
    let messages = [vec![], b"a".to_vec(), prose(3, 100), prose(4, 70_000), noise(70_000), vec![0; 1 << 20]];
    for plain in &messages {
        for (level, bits) in [(0, 15), (1, 15), (6, 9), (6, 15), (9, 12)] {
            for flush in [FlushCompress::Sync, FlushCompress::Full, FlushCompress::Finish] {
                let payload = deflate(plain, level, bits, flush);
                let found = inflater.inflate(&payload, 1 << 20);
                assert!(found.as_ref() == Ok(plain), "{} octets, {level} {bits} {flush:?}", plain.len());
                assert_eq!(inflate(&payload, 1 << 15).as_ref(), Ok(plain), "by the tests' own inflater");
            }
        }
    }
}

#[test]
fn streams_may_end_within_a_message() {
    let last = |plain: &[u8]| {
        let mut payload = deflate(plain, 6, 15, FlushCompress::Finish);
        payload.pop();
        payload
    };
    let (one, two) = (last(b"one, one, one"), last(b" and two"));
    let joined = b"one, one, one and two".to_vec();
    assert_eq!(inflated(&[&one[..], &two, &[0]].concat(), 100), Ok(joined.clone()));
    assert_eq!(inflated(&[&one[..], &two].concat(), 100), Ok(joined.clone()), "the last octet left out");
    let open = deflate(b" and two", 6, 15, FlushCompress::Sync);
    assert_eq!(inflated(&[&one[..], &open].concat(), 100), Ok(joined));
    // A stream knows nothing of the one before it.
    assert_eq!(inflated(&[&one[..], &[0x02, 0x13, 0x00, 0x00]].concat(), 100), Err(Offence::BadDeflate));
    let many = last(b"").repeat(DEFLATE_STREAMS_MAX);
    assert_eq!(inflated(&many, 100), Ok(vec![]));
    assert_eq!(inflated(&[many, last(b"")].concat(), 100), Err(Offence::BadDeflate));
}

#[test]
fn what_is_no_deflate_is_refused() {
    let good = deflate(&prose(1, 2000), 6, 15, FlushCompress::Sync);
    for cut in 1..good.len() {
        assert_eq!(inflated(&good[..cut], 1 << 20), Err(Offence::BadDeflate), "cut at {cut}");
    }
    let with = |tail: &[u8]| inflated(&[&good[..], tail].concat(), 1 << 20);
    for tail in [&[0xff][..], b"garbage", &[0x00; 7], &[0xff; 100]] {
        assert_eq!(with(tail), Err(Offence::BadDeflate), "{tail:x?} behind");
    }
    assert_eq!(with(&[0, 0, 0xff, 0xff]), Err(Offence::BadDeflate), "section 7.2.1: the tail is taken off");
    for payload in
        [&b"Hello"[..], &[0x06], &[0x07], &[0xff; 20], &[0x00, 0x05, 0x00, 0xfa, 0xfe, 1, 2, 3, 4, 5]]
    {
        assert_eq!(inflated(payload, 2000), Err(Offence::BadDeflate), "{payload:x?}");
    }
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let bomb = deflate(&vec![0; 64 << 20], 9, 15, FlushCompress::Sync);
    assert!(bomb.len() < 70_000);
    assert_eq!(inflated(&bomb, 1 << 20), Err(Offence::TooBig));
    for max in [0, 1, 63, 64, 65, 1000, 99_999] {
        let exact = deflate(&vec![7; max], 6, 15, FlushCompress::Sync);
        let over = deflate(&vec![7; max + 1], 6, 15, FlushCompress::Sync);
        let found = inflated(&exact, max).expect("just fits");
        assert!(found.len() == max && found.capacity() <= max + 64, "{} for {max}", found.capacity());
        assert_eq!(inflated(&over, max), Err(Offence::TooBig), "{max}");
    }
}

/// What a reader makes of these bytes, inflated.
fn hear(reader: &mut Reader, mut input: &[u8]) -> Result<Vec<Event>, Offence> {
    let mut inflater = Inflater::default();
    let mut events = Vec::new();
    while let Some(event) = reader.next(&mut input)? {
        events.push(match event {
            Event::Deflated(message) => message.inflate(&mut inflater)?,
            event => event,
        });
    }
    Ok(events)
}

fn heard(input: &[u8]) -> Result<Vec<Event>, Offence> {
    let whole = hear(&mut Reader::new(MAX).with_deflate(), input);
    let mut reader = Reader::new(MAX).with_deflate();
    let bytewise: Result<Vec<_>, _> = input.chunks(1).map(|byte| hear(&mut reader, byte)).collect();
    assert_eq!(bytewise.map(|events| events.concat()), whole, "byte by byte");
    whole
}

const KEY: [u8; 4] = [1, 2, 3, 4];

#[test]
fn fragments_are_joined_before_they_are_inflated() {
    let plain = "grüße ".repeat(100);
    let payload = deflate(plain.as_bytes(), 6, 15, FlushCompress::Sync);
    for cut in 0..=payload.len() {
        let (head, tail) = payload.split_at(cut);
        let mut bytes = Vec::new();
        deflated_client_frame(false, Opcode::Text, KEY, head, &mut bytes);
        client_frame(true, Opcode::Ping, KEY, b"between", &mut bytes);
        client_frame(false, Opcode::Continuation, KEY, b"", &mut bytes);
        client_frame(true, Opcode::Continuation, KEY, tail, &mut bytes);
        client_frame(true, Opcode::Text, KEY, b"plain", &mut bytes);
        let expected =
            vec![Event::Ping(b"between".to_vec()), Event::Text(plain.clone()), Event::Text("plain".into())];
        assert_eq!(heard(&bytes), Ok(expected), "cut at {cut}");
    }
}

/// RFC 7692, section 6: RSV1 stands on the first frame of a message and on no other.
#[test]
fn rsv1_where_it_may_stand() {
    let payload = deflate(b"Hello", 6, 15, FlushCompress::Sync);
    let frame = |fin, opcode| {
        let mut bytes = Vec::new();
        deflated_client_frame(fin, opcode, KEY, &payload, &mut bytes);
        bytes
    };
    assert_eq!(heard(&frame(true, Opcode::Text)), Ok(vec![Event::Text("Hello".into())]));
    assert_eq!(heard(&frame(true, Opcode::Binary)), Ok(vec![Event::Binary(b"Hello".to_vec())]));
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        assert_eq!(heard(&frame(true, opcode)), Err(Offence::ReservedBits), "{opcode:?}");
    }
    let mut first = Vec::new();
    client_frame(false, Opcode::Text, KEY, b"", &mut first);
    let continued = [first, frame(true, Opcode::Continuation)].concat();
    assert_eq!(heard(&continued), Err(Offence::ReservedBits), "on a continuation");
    let twice = [frame(false, Opcode::Text), frame(true, Opcode::Continuation)].concat();
    assert_eq!(heard(&twice), Err(Offence::ReservedBits), "on both");
    assert_eq!(
        hear(&mut Reader::new(MAX), &frame(true, Opcode::Text)),
        Err(Offence::ReservedBits),
        "where nothing was agreed on"
    );
}

#[test]
fn text_is_judged_as_it_comes_out() {
    let send = |opcode, plain: &[u8]| {
        let mut bytes = Vec::new();
        let payload = deflate(plain, 6, 15, FlushCompress::Sync);
        deflated_client_frame(true, opcode, KEY, &payload, &mut bytes);
        heard(&bytes)
    };
    assert_eq!(send(Opcode::Text, b"caf\xc3\x28"), Err(Offence::NotUtf8));
    assert_eq!(send(Opcode::Text, b"cut \xe2\x82"), Err(Offence::NotUtf8));
    assert_eq!(send(Opcode::Binary, b"\xc3\x28"), Ok(vec![Event::Binary(b"\xc3\x28".to_vec())]));
    assert_eq!(send(Opcode::Text, "κόσμε".as_bytes()), Ok(vec![Event::Text("κόσμε".into())]));
}

#[test]
fn a_compressed_message_is_bounded_on_the_wire_too() {
    let promise = |len: u64| {
        let mut out = Vec::new();
        FrameHeader { fin: true, rsv1: true, opcode: Opcode::Binary, mask: Some(KEY), len }.emit(&mut out);
        hear(&mut Reader::new(MAX).with_deflate(), &out)
    };
    // The poorest lawful encoder there is takes nine bits for an octet.
    assert_eq!(promise(u64::from(MAX) / 8 * 9), Ok(vec![]));
    assert_eq!(promise(u64::from(MAX) / 8 * 9 + 65), Err(Offence::TooBig));
}
