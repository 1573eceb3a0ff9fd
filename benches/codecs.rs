//! Codecs, each by itself, so that a regression is seen where it is: frames taken apart and made, masks,
//! request heads, and a message's form on every wire.
//!
//! `cargo bench --manifest-path benches/Cargo.toml`

use divan::{Bencher, black_box, counter::BytesCount};
use encke::server::Transport;
use encke::wire::http::{Head, HeadScanner};
use encke::wire::message::Reader;
use encke::wire::ws::{self, FrameHeader, Opcode};
use encke::wire::{json, ndjson, poll, script, sse, target::Target};

fn main() {
    divan::main();
}

const SIZES: [usize; 4] = [16, 125, 1_024, 65_536];

const BROWSER: &[u8] = b"GET /ws?ch=lobby&since=0badcafe-4711&sid=AAAAAMDbD7JwEVhcq6xQZw HTTP/1.1\r\n\
    Host: example.org\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\nOrigin: https://example.org\r\nSec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=4f1d2c3b4a5968778695a4b3c2d1e0ff; theme=dark\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

const SMALL: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

const HEADS: [(&str, &[u8]); 2] = [("browser", BROWSER), ("small", SMALL)];

const JSON: &[u8] = br#"{"type":"message","id":"0badcafe-4711","ch":"lobby","from":"ann","at":1764000000000,"data":{"text":"A message of about a hundred bytes, as people write them to each other all day long."}}"#;

fn head_of(name: &str) -> &'static [u8] {
    HEADS.iter().find(|(known, _)| *known == name).map_or(SMALL, |(_, head)| head)
}

#[divan::bench(args = ["browser", "small"])]
fn head_scan(bencher: Bencher<'_, '_>, name: &str) {
    let head = head_of(name);
    bencher.counter(BytesCount::new(head.len())).bench(|| HeadScanner::new().scan(black_box(head)));
}

#[divan::bench(args = ["browser", "small"])]
fn head_parse(bencher: Bencher<'_, '_>, name: &str) {
    let head = head_of(name);
    bencher
        .counter(BytesCount::new(head.len()))
        .bench(|| Head::parse(black_box(head)).map(|head| head.keep_alive()));
}

#[divan::bench]
fn query() -> usize {
    let target = Target::parse(black_box("/poll?ch=lobby&ch=caf%C3%A9&since=0badcafe-4711&wait=25"));
    target.query().filter_map(Result::ok).map(|(key, value)| key.len() + value.len()).sum()
}

#[divan::bench(args = SIZES)]
fn mask(bencher: Bencher<'_, '_>, size: usize) {
    let mut payload = vec![b'x'; size];
    bencher.counter(BytesCount::new(size)).bench_local(|| ws::mask([1, 2, 3, 4], 0, black_box(&mut payload)));
}

#[divan::bench]
fn frame_header_parse() -> bool {
    FrameHeader::parse(black_box(&[0x81, 0xfe, 0x01, 0x00, 1, 2, 3, 4, 5, 6])).is_ok()
}

#[divan::bench(args = SIZES)]
fn frame_emit(bencher: Bencher<'_, '_>, size: usize) {
    let payload = vec![b'x'; size];
    let mut out = Vec::with_capacity(size + 16);
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        out.clear();
        ws::frame(Opcode::Text, black_box(&payload), &mut out);
        out.len()
    });
}

#[divan::bench(args = SIZES)]
fn message_read(bencher: Bencher<'_, '_>, size: usize) {
    let mut frame = Vec::new();
    ws::client_frame(true, Opcode::Text, [1, 2, 3, 4], &vec![b'x'; size], &mut frame);
    let mut reader = Reader::new(1 << 20);
    bencher.counter(BytesCount::new(size)).bench_local(|| reader.next(&mut black_box(&frame[..])));
}

#[divan::bench(args = [Transport::WebSocket(None), Transport::Sse, Transport::Stream, Transport::Iframe])]
fn event(bencher: Bencher<'_, '_>, transport: Transport) {
    let id = Some("0badcafe-4711");
    let mut out = Vec::with_capacity(1_024);
    bencher.counter(BytesCount::new(JSON.len())).bench_local(|| {
        out.clear();
        let json = black_box(JSON);
        match transport {
            Transport::Sse => sse::emit(&mut out, id, "message", json),
            Transport::Stream => ndjson::emit(&mut out, json),
            Transport::Iframe => script::call(&mut out, json),
            _ => ws::frame(Opcode::Text, json, &mut out),
        }
        out.len()
    });
}

#[divan::bench]
fn poll_answer(bencher: Bencher<'_, '_>) {
    let mut out = Vec::with_capacity(1_024);
    bencher.bench_local(|| {
        out.clear();
        poll::emit(&mut out, "AAAAAMDbD7JwEVhcq6xQZw", "0badcafe-4711", [black_box(JSON)].into_iter());
        out.len()
    });
}

#[divan::bench]
fn compact_json(bencher: Bencher<'_, '_>) {
    let text = std::str::from_utf8(JSON).expect("it is ASCII");
    bencher.counter(BytesCount::new(JSON.len())).bench(|| json::compact(black_box(text)));
}
