//! What no server should take, and what it must: garbage, dribbles, bursts, crowds.

use encke::limits::{HEAD_MS, LINGER_MS};
use serde_json::json;

use super::IDLE_MS;
use super::commands::send;
use super::publishing::{draft, post};
use super::readers::socket;
use crate::scene::{Ask, Command, Scene};
use crate::sim::client::Use;
use crate::sim::kernel::Buffers;
use crate::sim::model::Author;

pub(super) fn garbage(scene: &mut Scene) {
    let requests: [&[u8]; 14] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: encke.localhost\r\n\r\n",
        b"GET /ws HTTP/1.1\nHost: a\n\n",
        b"GET /sse?ch=%zz HTTP/1.1\r\nHost: encke.localhost\r\n\r\n",
        b"GET /sse?ch=a&since=nonsense HTTP/1.1\r\nHost: encke.localhost\r\n\r\n",
        b"GET /iframe?ch=a&callback=alert(1) HTTP/1.1\r\nHost: encke.localhost\r\n\r\n",
        b"GET /ws?ch=a HTTP/1.1\r\nHost: encke.localhost\r\n\r\n",
        b"POST /publish/a HTTP/1.1\r\nHost: encke.localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /publish/a HTTP/1.1\r\nHost: encke.localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /publish/a HTTP/1.1\r\nHost: encke.localhost\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{{{",
        b"POST /publish/a%2Fb HTTP/1.1\r\nHost: encke.localhost\r\nContent-Length: 1\r\n\r\n1",
        b"POST /send?sid=x HTTP/1.1\r\nHost: encke.localhost\r\nContent-Length: 2\r\n\r\n{}",
        b"BREW /publish/a HTTP/1.1\r\nHost: encke.localhost\r\nX: a\r\n b\r\n\r\n",
    ];
    let Some(place) = scene.connect(Use::Garbage) else { return };
    let request = *scene.rng.pick(&requests);
    let line = &mut scene.lines[place];
    line.conn.send_raw(request);
    line.asks.push_back(Ask::Nonsense);
    // Some of it is well-formed, and then the connection may go on; it is bounded all the same.
    line.dies_within = Some(Scene::patience_ms() + IDLE_MS);
}

pub(super) fn garbage_on_socket(scene: &mut Scene) {
    if let Some(place) = socket(scene) {
        let frames: [&[u8]; 5] = [
            b"\x81\x01x",
            b"\xf1\x80\x00\x00\x00\x00",
            b"\x83\x80\x00\x00\x00\x00",
            b"\x09\x80\x00\x00\x00\x00",
            b"\x81\x81\x00\x00\x00\x00\xff",
        ];
        let frame = *scene.rng.pick(&frames);
        let line = &mut scene.lines[place];
        line.conn.send_raw(frame);
        // Nothing sensible can follow.
        line.conn.said_close = true;
        line.ending = true;
    }
}

/// A request that never ends, a byte or two at a time. It has one deadline, from its first byte on.
pub(super) fn dribble(scene: &mut Scene) {
    let Some(place) = scene.connect(Use::Garbage) else { return };
    let line = &mut scene.lines[place];
    line.conn.send_raw(b"GET /sse HTTP/1.1\r\nHost: encke.localhost\r\nX-Long: ");
    line.conn.send_raw(&[b'x'; 12_000]);
    (line.conn.write_max, line.conn.pace_ms) = (3, 10);
    line.asks.push_back(Ask::Any);
    line.dies_within = Some(HEAD_MS + LINGER_MS + 1_000);
}

/// Requests on one connection, each sent before the last one is answered.
pub(super) fn pipeline(scene: &mut Scene) {
    let Some(place) = scene.connect(Use::Asking) else { return };
    for _ in 0..scene.rng.range(2, 12) {
        if scene.rng.coin() {
            let (nonce, _) = draft(scene, Author::Nobody);
            post(scene, place, nonce, "");
        } else {
            scene.lines[place].conn.get("/healthz");
            scene.lines[place].asks.push_back(Ask::Fine);
        }
    }
    if scene.rng.coin() {
        scene.lines[place].conn.write_max = scene.rng.range(1, 500);
    }
}

/// More at once than a link may be read in a turn, and no byte after it that would make a new edge.
pub(super) fn burst(scene: &mut Scene) {
    let wide = Buffers { up_sending: 1 << 20, up_arrived: 1 << 20, ..Buffers::default() };
    let Some(place) = scene.connect_over(Use::Asking, wide) else { return };
    let pad = "x".repeat(50_000);
    for _ in 0..scene.rng.range(5, 10) {
        // Nobody reads it: this is about the way up.
        let nonce = scene.model.attempt("unread", Author::Nobody, |nonce| json!({"n": nonce, "pad": pad}));
        post(scene, place, nonce, "");
    }
}

/// More connections than most tables hold.
pub(super) fn crowd(scene: &mut Scene) {
    for _ in 0..scene.rng.range(5, 60) {
        if let Some(place) = scene.connect(Use::Asking) {
            scene.lines[place].conn.get("/healthz");
            scene.lines[place].asks.push_back(Ask::Fine);
        }
    }
}

/// Several bad peers at once, each of its own kind.
pub(super) fn mob(scene: &mut Scene) {
    for _ in 0..scene.rng.range(3, 8) {
        let doings: [fn(&mut Scene); 6] =
            [garbage, garbage_on_socket, dribble, pipeline, flood_of_pings, super::readers::read_slowly];
        let doing = *scene.rng.pick(&doings);
        doing(scene);
    }
}

/// Commands at once that cost far more than their bytes: a connection's share of a turn is for both.
pub(super) fn greed(scene: &mut Scene) {
    let Some(place) = socket(scene) else { return };
    let pad = "x".repeat(1_000);
    for _ in 0..scene.rng.range(20, 62) {
        send(scene, place, Command::Any, json!({"op": "ping", "pad": pad}));
    }
}

/// Pings without end, and fragments of a message that never comes to one.
fn flood_of_pings(scene: &mut Scene) {
    let Some(place) = socket(scene) else { return };
    for number in 0..scene.rng.range(20, 200) as u64 {
        let payload = number.to_le_bytes().to_vec();
        let line = &mut scene.lines[place];
        line.conn.send_ping(&payload);
        line.pings.push_back(payload);
    }
}
