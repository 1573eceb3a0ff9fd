//! RFC 6455 and RFC 7692 by the table, over real sockets, against an application that echoes: what suites for
//! conformance cover, in our own words. Whatever is sent is sent whole and again octet by octet.

mod common;

use common::client::{BINARY, CLOSE, PING, PONG, TEXT, frame};
use common::inflate::inflate;
use common::{AS_OPERATOR, Client, Running, serve, serve_app};
use encke::server::{App, ClientId, Ctx, Message};
use flate2::{Compress, Compression, FlushCompress};

struct Echo;

impl App for Echo {
    fn on_message(&mut self, ctx: &mut Ctx<'_>, client: ClientId, message: Message<'_>) {
        assert!(ctx.send_message(client, message), "there is room for every answer");
    }
}

fn echo() -> Running {
    let change = |config: &mut encke::server::Config| {
        (config.comet, config.message_bytes) = (false, 16 << 20);
        config.subprotocols = vec!["second", "first"];
    };
    serve_app(change, || Box::new(Echo))
}

fn open(server: &Running, fields: &str) -> (Client, common::Response) {
    let mut client = server.connect();
    let head = client.upgrade("/", fields);
    assert_eq!(head.status, 101, "{head:?}");
    (client, head)
}

/// What has to come back.
#[derive(Clone, Debug)]
enum Said {
    Frame(u8, Vec<u8>),
    /// A close frame without a payload.
    Bare,
    /// A close frame with this code, and then the end of the connection.
    Code(u16),
}

struct Case {
    name: String,
    send: Vec<u8>,
    expect: Vec<Said>,
}

fn case(name: impl Into<String>, send: impl Into<Vec<u8>>, expect: Vec<Said>) -> Case {
    Case { name: name.into(), send: send.into(), expect }
}

fn said(first: u8, payload: impl AsRef<[u8]>) -> Said {
    Said::Frame(first, payload.as_ref().to_vec())
}

fn text(payload: impl AsRef<[u8]>) -> Said {
    said(TEXT, payload)
}

/// First bytes of frames that are not the last of their message.
const OPEN_TEXT: u8 = 0x01;
const OPEN_BINARY: u8 = 0x02;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

/// Longer cases are sent in pieces of a thousand octets, not of one.
const OCTETWISE_MAX: usize = 1_000;

fn hold(server: &Running, cases: &[Case]) {
    for Case { name, send, expect } in cases {
        let piece = if send.len() > OCTETWISE_MAX { 997 } else { 1 };
        for pieces in [send.len().max(1), piece] {
            let (mut client, _) = open(server, "");
            // Who is refused may be gone before all is sent.
            let _ = send.chunks(pieces).all(|piece| client.try_send(piece));
            let mut has_ended = false;
            for expected in expect {
                assert!(!has_ended, "{name}: nothing comes behind a close frame");
                let (first, payload) = client.frame();
                match expected {
                    Said::Frame(kind, octets) => {
                        assert!(first == *kind && payload == *octets, "{name}: {first:x} {}", payload.len());
                    }
                    Said::Bare => assert_eq!((first, &payload[..]), (CLOSE, &b""[..]), "{name}"),
                    Said::Code(code) => {
                        assert_eq!(first, CLOSE, "{name}: {}", payload.escape_ascii());
                        assert_eq!(u16::from_be_bytes([payload[0], payload[1]]), *code, "{name}");
                    }
                }
                has_ended = !matches!(expected, Said::Frame(..));
            }
            if !has_ended {
                client.send(frame(CLOSE, [0x03, 0xe8]));
                assert_eq!(client.closed(), (1000, String::new()), "{name}");
            }
            // RFC 6455, section 7.1.1: the server is the one to close the connection.
            client.expect_end();
        }
    }
}

#[test]
fn messages_of_every_length_form() {
    let mut cases = Vec::new();
    for len in [0, 1, 124, 125, 126, 127, 128, 255, 256, 65_535, 65_536, 65_537, 1 << 20] {
        let letters = "*".repeat(len);
        cases.push(case(format!("text of {len}"), frame(TEXT, &letters), vec![text(&letters)]));
        let octets = vec![0xfe; len];
        cases.push(case(format!("binary of {len}"), frame(BINARY, &octets), vec![said(BINARY, &octets)]));
    }
    hold(&echo(), &cases);
}

#[test]
fn lengths_in_more_octets_than_they_need() {
    let long = |first: u8, length: &[u8]| [&[first][..], length, &[0; 4], &[0; 125]].concat();
    let mut cases = Vec::new();
    for first in [TEXT, BINARY] {
        for len in [0, 1, 125] {
            let (short, wide) = (long(first, &[0xfe, 0, len]), [0xff, 0, 0, 0, 0, 0, 0, 0, len]);
            cases.push(case(format!("{len} in two octets"), short, vec![Said::Code(1002)]));
            cases.push(case(format!("{len} in eight octets"), long(first, &wide), vec![Said::Code(1002)]));
        }
        let wide = long(first, &[0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        cases.push(case("65535 in eight octets", wide, vec![Said::Code(1002)]));
        let top = long(first, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        cases.push(case("the top bit of a length", top, vec![Said::Code(1002)]));
        let vast = long(first, &[0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        cases.push(case("as long as a length can be", vast, vec![Said::Code(1009)]));
    }
    cases.push(case("no mask", [TEXT, 2, b'h', b'i'], vec![Said::Code(1002)]));
    cases.push(case("no mask on a ping", [PING, 0], vec![Said::Code(1002)]));
    cases.push(case("no mask on a close", [CLOSE, 0], vec![Said::Code(1002)]));
    hold(&echo(), &cases);
}

#[test]
fn pings_and_pongs() {
    let ten: Vec<u8> = (0..10).flat_map(|n| frame(PING, format!("payload {n}"))).collect();
    let answers = (0..10).map(|n| said(PONG, format!("payload {n}"))).collect();
    let cases = [
        case("empty", frame(PING, ""), vec![said(PONG, "")]),
        case("text", frame(PING, "Hello, world!"), vec![said(PONG, "Hello, world!")]),
        case("octets", frame(PING, [0, 0xff, 0xfe, 0xc3]), vec![said(PONG, [0, 0xff, 0xfe, 0xc3])]),
        case("125 octets", frame(PING, [0xfe; 125]), vec![said(PONG, [0xfe; 125])]),
        case("126 octets", frame(PING, [0xfe; 126]), vec![Said::Code(1002)]),
        case("70,000 octets", frame(PING, [0xfe; 70_000]), vec![Said::Code(1002)]),
        case("126 octets in a pong", frame(PONG, [0xfe; 126]), vec![Said::Code(1002)]),
        case("a pong nobody asked for", frame(PONG, ""), vec![]),
        case("the same with a payload", frame(PONG, "unasked"), vec![]),
        case("a pong, then a ping", [frame(PONG, "a"), frame(PING, "b")].concat(), vec![said(PONG, "b")]),
        case("ten, answered in order", ten, answers),
    ];
    hold(&echo(), &cases);
}

/// A good message before the bad frame is answered, one behind it is not.
fn spoiled(name: String, bad: Vec<u8>, code: u16) -> [Case; 2] {
    let between = [frame(TEXT, "good"), bad.clone(), frame(PING, "late")].concat();
    [
        case(format!("{name}, after a message"), between, vec![text("good"), Said::Code(code)]),
        case(name, bad, vec![Said::Code(code)]),
    ]
}

#[test]
fn reserved_bits() {
    let mut cases = Vec::new();
    for bits in 1..8 {
        for (kind, payload) in
            [(TEXT, "x"), (BINARY, ""), (PING, "x"), (PONG, ""), (CLOSE, ""), (OPEN_TEXT, "x")]
        {
            let bad = frame(kind | bits << 4, payload);
            cases.extend(spoiled(format!("bits {bits:03b} on {kind:02x}"), bad, 1002));
        }
    }
    hold(&echo(), &cases);
}

#[test]
fn reserved_opcodes() {
    let mut cases = Vec::new();
    for opcode in (3..8).chain(11..16) {
        for payload in ["", "reserved"] {
            for fin in [0x80, 0] {
                let name = format!("opcode {opcode} with {} octets, fin {fin}", payload.len());
                cases.extend(spoiled(name, frame(fin | opcode, payload), 1002));
            }
        }
    }
    hold(&echo(), &cases);
}

#[test]
fn fragments() {
    let cat = |frames: &[Vec<u8>]| frames.concat();
    let bad = || vec![Said::Code(1002)];
    let many: Vec<u8> = (0..49).flat_map(|_| frame(MORE, "ab")).collect();
    let cases = [
        case("a ping in two", cat(&[frame(0x09, "a"), frame(LAST, "b")]), bad()),
        case("a pong in two", cat(&[frame(0x0a, "a"), frame(LAST, "b")]), bad()),
        case("a close in two", cat(&[frame(0x08, [3]), frame(LAST, [0xe8])]), bad()),
        case("text in two", cat(&[frame(OPEN_TEXT, "a"), frame(LAST, "b")]), vec![text("ab")]),
        case(
            "binary in three, the middle empty",
            cat(&[frame(OPEN_BINARY, [0xff]), frame(MORE, ""), frame(LAST, [0xfe])]),
            vec![said(BINARY, [0xff, 0xfe])],
        ),
        case("all empty", cat(&[frame(OPEN_TEXT, ""), frame(MORE, ""), frame(LAST, "")]), vec![text("")]),
        case(
            "a ping between",
            cat(&[frame(OPEN_TEXT, "a"), frame(PING, "p"), frame(LAST, "b")]),
            vec![said(PONG, "p"), text("ab")],
        ),
        case(
            "pings between all",
            cat(&[
                frame(OPEN_TEXT, "a"),
                frame(PING, "1"),
                frame(MORE, "b"),
                frame(PING, "2"),
                frame(LAST, "c"),
            ]),
            vec![said(PONG, "1"), said(PONG, "2"), text("abc")],
        ),
        case("fifty", cat(&[frame(OPEN_TEXT, ""), many, frame(LAST, "")]), vec![text("ab".repeat(49))]),
        case("a last one of nothing", frame(LAST, "x"), bad()),
        case("an open one of nothing", frame(MORE, "x"), bad()),
        case(
            "one more behind the last",
            cat(&[frame(OPEN_TEXT, "a"), frame(LAST, "b"), frame(LAST, "c")]),
            vec![text("ab"), Said::Code(1002)],
        ),
        case(
            "one more behind a whole message",
            cat(&[frame(TEXT, "a"), frame(LAST, "b")]),
            vec![text("a"), Said::Code(1002)],
        ),
        case("text within text", cat(&[frame(OPEN_TEXT, "a"), frame(TEXT, "b")]), bad()),
        case("binary within text", cat(&[frame(OPEN_TEXT, "a"), frame(OPEN_BINARY, "b")]), bad()),
        case("text within binary", cat(&[frame(OPEN_BINARY, "a"), frame(OPEN_TEXT, "b")]), bad()),
    ];
    hold(&echo(), &cases);
}

#[test]
fn large_messages_in_fragments_of_all_sizes() {
    let server = echo();
    for (len, size) in [(65_536, 50), (1 << 20, 65_536), (4 << 20, 64), (4 << 20, 4096), (16 << 20, 1 << 20)]
    {
        let whole = "0123456789abcdef".repeat(len / 16);
        let mut bytes = Vec::new();
        for (index, piece) in whole.as_bytes().chunks(size).enumerate() {
            bytes.extend(frame(if index == 0 { OPEN_TEXT } else { MORE }, piece));
        }
        // Some only know that a message is over when there is no more of it.
        bytes.extend(frame(LAST, b""));
        let (mut client, _) = open(&server, "");
        client.send(&bytes);
        let (first, payload) = client.frame();
        assert!(first == TEXT && payload == whole.as_bytes(), "{len} octets in fragments of {size}");
    }
}

#[test]
fn text_that_is_utf8() {
    let mut cases = Vec::new();
    for good in [
        "κόσμε",
        "Hello-µ@ßöäüàá-UTF-8!!",
        "\0\x7f",
        "\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
        // Noncharacters are characters to UTF-8.
        "\u{fffe}\u{fffd}\u{fdd0}\u{1fffe}\u{10fffe}",
        "\u{feff}a BOM is one more character",
    ] {
        cases.push(case(good, frame(TEXT, good), vec![text(good)]));
        let mut octetwise = frame(OPEN_TEXT, "");
        octetwise.extend(good.bytes().flat_map(|octet| frame(MORE, [octet])));
        octetwise.extend(frame(LAST, ""));
        cases.push(case(format!("{good} in fragments of one octet"), octetwise, vec![text(good)]));
    }
    hold(&echo(), &cases);
}

/// RFC 3629, section 3: each is bad from its last octet on.
const BAD_TEXTS: [&[u8]; 19] = [
    b"\x80",
    b"\xbf",
    b"a\x80",
    b"\xc0",
    b"\xc1",
    b"\xf5",
    b"\xfe",
    b"\xff",
    b"\xc3\x28",
    b"\xe0\x80",
    b"\xe0\x9f",
    b"\xed\xa0",
    b"\xed\xbf",
    b"\xf0\x80",
    b"\xf0\x8f",
    b"\xf4\x90",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0",
    b"\xe2\x82\x41",
    b"\xf0\x9f\x98\x41",
];

#[test]
fn text_that_is_no_utf8() {
    let mut cases = Vec::new();
    for bad in BAD_TEXTS {
        let name = bad.escape_ascii().to_string();
        cases.push(case(&*name, frame(TEXT, [bad, b"edited"].concat()), vec![Said::Code(1007)]));
        let parts = [frame(OPEN_TEXT, &bad[..bad.len() - 1]), frame(LAST, &bad[bad.len() - 1..])].concat();
        cases.push(case(format!("{name} in two fragments"), parts, vec![Said::Code(1007)]));
        cases.push(case(
            format!("{name} as a reason"),
            frame(CLOSE, [&[3, 0xe8], bad].concat()),
            vec![Said::Code(1007)],
        ));
    }
    for cut in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98", "κόσμ".as_bytes().split_last().expect("octets").1]
    {
        cases.push(case(
            format!("{} at the end", cut.escape_ascii()),
            frame(TEXT, cut),
            vec![Said::Code(1007)],
        ));
    }
    hold(&echo(), &cases);
}

/// RFC 6455, section 8.1, at once: the rest of the frame, and of the message, is not waited for.
#[test]
fn text_fails_at_its_octet_in_the_middle_of_a_frame() {
    let server = echo();
    for bad in BAD_TEXTS {
        for (what, head) in [
            ("frame", frame(TEXT, [bad, &[b'x'; 50]].concat())),
            (
                "fragment",
                [frame(OPEN_TEXT, "so far, so good "), frame(MORE, [bad, &[b'x'; 50]].concat())].concat(),
            ),
        ] {
            let (until_bad, last) = head[..head.len() - 50].split_at(head.len() - 51);
            let (mut client, _) = open(&server, "");
            client.send([frame(PING, "before"), until_bad.to_vec()].concat());
            assert_eq!(client.frame(), (PONG, b"before".to_vec()));
            client.send(last);
            assert_eq!(client.closed().0, 1007, "{} in an unfinished {what}", bad.escape_ascii());
            client.expect_end();
        }
    }
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

#[test]
fn closing() {
    let cat = |frames: &[Vec<u8>]| frames.concat();
    let long = "*".repeat(256 << 10);
    let mut cases = vec![
        case(
            "a message, then a close",
            cat(&[frame(TEXT, "hi"), close(1000, "")]),
            vec![text("hi"), Said::Code(1000)],
        ),
        case("two closes", cat(&[close(1000, ""), close(1001, "")]), vec![Said::Code(1000)]),
        case("a ping behind it", cat(&[close(1000, ""), frame(PING, "late")]), vec![Said::Code(1000)]),
        case("text behind it", cat(&[close(1000, ""), frame(TEXT, "late")]), vec![Said::Code(1000)]),
        case("nonsense behind it", cat(&[close(1000, ""), vec![0xff; 100]]), vec![Said::Code(1000)]),
        case(
            "within a message",
            cat(&[frame(OPEN_TEXT, "a"), close(1000, ""), frame(LAST, "b")]),
            vec![Said::Code(1000)],
        ),
        case(
            "behind a long message",
            cat(&[frame(TEXT, &long), close(1000, ""), frame(PING, "")]),
            vec![text(&long), Said::Code(1000)],
        ),
        case("nothing in it", frame(CLOSE, ""), vec![Said::Bare]),
        case("half a code", frame(CLOSE, [3]), vec![Said::Code(1002)]),
        case("a reason", close(1000, "Hello world!"), vec![Said::Code(1000)]),
        case("the longest reason", close(1000, &"*".repeat(123)), vec![Said::Code(1000)]),
        case("a longer one", close(1000, &"*".repeat(124)), vec![Said::Code(1002)]),
    ];
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        cases.push(case(format!("code {code}"), close(code, "why"), vec![Said::Code(code)]));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(case(format!("code {code}"), close(code, ""), vec![Said::Code(1002)]));
        cases.push(case(format!("code {code} and a reason"), close(code, "why"), vec![Said::Code(1002)]));
    }
    hold(&echo(), &cases);
}

/// RFC 6455, section 7.1.1: the server closes, and does not wait forever for a peer that doesn't.
#[test]
fn a_peer_that_never_closes_is_let_go() {
    let server = serve(|_| {});
    let mut client = server.connect();
    assert_eq!(client.upgrade("/ws?ch=a", "").status, 101);
    client.frame();
    client.send([0xff]);
    assert_eq!(client.closed().0, 1002);
    client.expect_end();
    let mut other = server.connect();
    let mut is_open = |count: usize| {
        other
            .ask("GET", "/metrics", AS_OPERATOR, b"")
            .text()
            .contains(&format!("encke_connections {count}\n"))
    };
    assert!(is_open(2), "it lingers for what is still on its way");
    server.skip(encke::limits::LINGER_MS);
    // The connection that told of the time has to end too.
    assert!((0..10_000).any(|_| is_open(1)), "it is let go");
}

/// A compressed message, its tail taken off. RFC 7692, section 7.2.1.
fn deflate(plain: &[u8], bits: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + plain.len() / 2 + 100);
    let mut compress = Compress::new_with_window_bits(Compression::new(6), false, bits);
    compress.compress_vec(plain, &mut out, FlushCompress::Sync).expect("compressed");
    out.truncate(out.strip_suffix(&[0, 0, 0xff, 0xff]).expect("flushed").len());
    out
}

/// The messages that are sent compressed: nothing, little, what repeats itself, what doesn't.
fn plains() -> Vec<Vec<u8>> {
    let mut state = 1_u64;
    let mut noise = |len: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    };
    let mut plains = vec![Vec::new(), b"a".to_vec(), noise(1000), noise(100_000)];
    for len in [16, 64, 255, 256, 257, 1024, 4096, 32_767, 65_536, 131_072, 1 << 20] {
        let words = (0_u64..).map(|n| format!("{{\"n\":{n},\"sum\":{}}} ", n.wrapping_mul(n * 7919) % 9973));
        let text: String = words.take(len / 8 + 1).collect();
        plains.push(text.as_bytes()[..len].to_vec());
    }
    plains
}

#[test]
fn compressed_messages_both_ways() {
    let server = echo();
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let offers = [("permessage-deflate".to_owned(), 15, String::new())];
    let narrow = (8..=15).map(|bits| {
        let parameter = format!("; server_max_window_bits={bits}");
        (format!("permessage-deflate; client_max_window_bits{parameter}"), bits, parameter)
    });
    for (offer, bits, parameter) in offers.into_iter().chain(narrow) {
        let (mut client, head) = open(&server, &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        let expected = format!("{agreed}{parameter}");
        assert_eq!(head.header("sec-websocket-extensions"), Some(&*expected), "{offer}");
        for plain in plains() {
            let packed = deflate(&plain, bits.max(9));
            let (head, tail) = packed.split_at(packed.len() / 3);
            client.send(frame(BINARY | 0x40, &packed));
            client.send([frame(OPEN_BINARY | 0x40, head), frame(PING, "p"), frame(LAST, tail)].concat());
            client.send(frame(BINARY, &plain));
            let mut echoes = 0;
            while echoes < 3 {
                let (first, payload) = client.frame();
                match first {
                    PONG => continue,
                    BINARY => assert!(payload == plain, "{} octets come back as they are", plain.len()),
                    _ => {
                        assert_eq!(first, BINARY | 0x40);
                        assert!(payload.len() < plain.len(), "compressing paid");
                        let read = inflate(&payload, 1 << bits);
                        assert!(read.as_ref() == Ok(&plain), "{bits} bits: {:?}", read.err());
                    }
                }
                echoes += 1;
            }
        }
    }
}

#[test]
fn compression_that_fails_ends_the_connection() {
    let server = echo();
    let plain = deflate("text ".repeat(1000).as_bytes(), 15);
    let bomb = deflate(&vec![b' '; 17 << 20], 15);
    let latin1 = deflate(b"caf\xe9", 15);
    for (name, bytes, code) in [
        ("no DEFLATE at all", frame(TEXT | 0x40, "Hello"), 1007),
        ("cut short", frame(TEXT | 0x40, &plain[..plain.len() - 5]), 1007),
        ("garbage behind", frame(TEXT | 0x40, [&plain[..], b"garbage"].concat()), 1007),
        ("text that is no UTF-8", frame(TEXT | 0x40, &latin1), 1007),
        ("a bomb", frame(TEXT | 0x40, &bomb), 1009),
        (
            "a bomb in fragments",
            [frame(OPEN_TEXT | 0x40, &bomb[..99]), frame(LAST, &bomb[99..])].concat(),
            1009,
        ),
        ("RSV1 on a continuation", [frame(OPEN_TEXT, "a"), frame(LAST | 0x40, "b")].concat(), 1002),
        ("RSV1 on a ping", frame(PING | 0x40, ""), 1002),
        ("RSV1 on a close", frame(CLOSE | 0x40, ""), 1002),
        ("RSV2", frame(TEXT | 0x60, &plain), 1002),
    ] {
        let (mut client, _) = open(&server, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
        client.send([frame(TEXT, "good"), bytes].concat());
        assert_eq!(client.frame(), (TEXT, b"good".to_vec()), "{name}");
        assert_eq!(client.closed().0, code, "{name}");
        client.expect_end();
    }
}

#[test]
fn offers_of_compression() {
    let server = echo();
    for (offer, is_kept) in [
        ("permessage-deflate; client_no_context_takeover", true),
        ("permessage-deflate; unknown, permessage-deflate", true),
        ("permessage-deflate; client_max_window_bits=\"10\"", true),
        ("permessage-deflate; server_max_window_bits=16", false),
        ("permessage-deflate; server_no_context_takeover=1", false),
        ("x-webkit-deflate-frame", false),
        ("", false),
    ] {
        let (mut client, head) = open(&server, &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        assert_eq!(head.header("sec-websocket-extensions").is_some(), is_kept, "{offer}");
        client.send(frame(TEXT | 0x40, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]));
        if is_kept {
            assert_eq!(client.frame(), (TEXT, b"Hello".to_vec()), "{offer}");
        } else {
            assert_eq!(client.closed().0, 1002, "{offer}");
        }
    }
    for malformed in ["permessage-deflate;", "a b", "permessage-deflate; x=\"y", "=\"\""] {
        let head = server.connect().upgrade("/", &format!("Sec-WebSocket-Extensions: {malformed}\r\n"));
        assert_eq!(head.status, 400, "RFC 6455, section 9.1: {malformed}");
    }
}

#[test]
fn subprotocols() {
    let server = echo();
    for (asked, chosen) in [
        ("", None),
        ("Sec-WebSocket-Protocol: third\r\n", None),
        ("Sec-WebSocket-Protocol: first\r\n", Some("first")),
        ("Sec-WebSocket-Protocol: first, second\r\n", Some("second")),
        ("Sec-WebSocket-Protocol: third\r\nSec-WebSocket-Protocol: first\r\n", Some("first")),
    ] {
        assert_eq!(open(&server, asked).1.header("sec-websocket-protocol"), chosen, "{asked}");
    }
    for bad in ["first, first", "fi rst", "first/1", "\"first\""] {
        let head = server.connect().upgrade("/", &format!("Sec-WebSocket-Protocol: {bad}\r\n"));
        assert_eq!(head.status, 400, "RFC 6455, section 4.1: {bad}");
    }
}
