//! What clients do: each act is one thing that a browser, a back end, a bad network or a bad peer would do.
//!
//! It knows no server. Which acts happen in a run, and how often, is drawn from the seed: a run in which everything
//! happens at once finds less than many runs that each insist on something.

use encke::limits::{HEAD_MS, IDLE_MS, LINGER_MS};
use encke::server::Config;
use serde_json::{Value, json};

use crate::scene::{Ask, Command, Scene, escape};
use crate::sim::client::{Transport, Use};
use crate::sim::kernel::{Buffers, Faults};
use crate::sim::rng::Rng;

type Act = fn(&mut Scene);

/// Every act and how often it happens beside the others.
const ACTS: &[(Act, u32)] = &[
    (new_reader, 30),
    (come_back, 30),
    (move_over, 10),
    (publish_over_socket, 25),
    (publish_one, 25),
    (publish_many, 10),
    (publish_by_sid, 10),
    (publish_twice, 10),
    (flood, 4),
    (publish_too_much, 2),
    (subscribe, 8),
    (unsubscribe, 8),
    (look_around, 8),
    (stall, 10),
    (read_slowly, 8),
    (cut, 10),
    (hang_up, 8),
    (half_close, 6),
    (ping, 8),
    (close_socket, 6),
    (garbage, 10),
    (garbage_on_socket, 4),
    (dribble, 4),
    (pipeline, 8),
    (burst, 3),
    (crowd, 2),
    (seconds_pass, 4),
    (minutes_pass, 1),
    (wall_clock_jumps, 3),
    (descriptors_run_out, 4),
    (noise, 4),
];

/// The acts of one run, weighed.
pub(crate) struct Plan {
    weights: Vec<u32>,
}

impl Plan {
    pub(crate) fn new(rng: &mut Rng) -> Plan {
        let weights = ACTS.iter().map(|(_, weight)| match rng.below(4) {
            0 => 0,
            1 => *weight * 4,
            _ => *weight,
        });
        let mut weights: Vec<u32> = weights.collect();
        // Without readers and messages there is nothing to see.
        weights[0] = weights[0].max(10);
        weights[4] = weights[4].max(10);
        Plan { weights }
    }

    pub(crate) fn act(&self, scene: &mut Scene) {
        let (act, _) = ACTS[scene.rng.weighted(&self.weights)];
        act(scene);
    }
}

/// The choices of one run.
pub(crate) fn draw_config(rng: &mut Rng) -> (Config, usize) {
    let mut config = Config { jsonp: true, ..Config::default() };
    let kept = *rng.pick(&[2, 8, 64, 512]);
    // The model counts what a channel keeps, and weighs nothing.
    config.bounds.channel_messages = kept;
    config.bounds.channel_bytes = 64 << 20;
    config.grace_ms = *rng.pick(&[1_000, 15_000, 60_000]);
    config.connections = *rng.pick(&[8, 40, 1000, 1000]);
    (config, kept)
}

// Readers.

fn transport(scene: &mut Scene) -> Transport {
    *scene.rng.pick(&Transport::ALL)
}

fn some_channels(scene: &mut Scene) -> Vec<String> {
    let count = scene.rng.range(1, scene.channels.len());
    let mut channels = scene.channels.clone();
    while channels.len() > count {
        channels.remove(scene.rng.below(channels.len()));
    }
    channels
}

fn new_reader(scene: &mut Scene) {
    if scene.model.readers.len() < 40 {
        let (channels, transport) = (some_channels(scene), transport(scene));
        scene.new_reader(&channels, transport);
    }
}

/// A reader without a line.
fn come_back(scene: &mut Scene) {
    let absent: Vec<usize> =
        (0..scene.model.readers.len()).filter(|reader| scene.line_of(*reader).is_none()).collect();
    if !absent.is_empty() {
        let (reader, transport) = (*scene.rng.pick(&absent), transport(scene));
        scene.read(reader, transport);
    }
}

/// A reader with a line leaves it for another one, at once.
fn move_over(scene: &mut Scene) {
    if let Some(place) = reading_line(scene) {
        let reader = scene.lines[place].reader.expect("a reading line has a reader");
        let (reset, transport) = (scene.rng.coin(), transport(scene));
        scene.abandon(place, reset);
        scene.read(reader, transport);
    }
}

fn some_line(scene: &mut Scene, which: impl Fn(&crate::scene::Line) -> bool) -> Option<usize> {
    let places: Vec<usize> = (0..scene.lines.len()).filter(|place| which(&scene.lines[*place])).collect();
    (!places.is_empty()).then(|| *scene.rng.pick(&places))
}

fn reading_line(scene: &mut Scene) -> Option<usize> {
    some_line(scene, |line| line.reader.is_some())
}

fn socket(scene: &mut Scene) -> Option<usize> {
    some_line(scene, |line| line.is_live_socket() && line.reader.is_some())
}

fn cut(scene: &mut Scene) {
    if let Some(place) = some_line(scene, |_| true) {
        scene.abandon(place, true);
    }
}

fn hang_up(scene: &mut Scene) {
    if let Some(place) = some_line(scene, |_| true) {
        scene.abandon(place, false);
    }
}

fn half_close(scene: &mut Scene) {
    if let Some(place) = some_line(scene, |line| line.conn.is_flushed() && !line.ending) {
        let peer = scene.lines[place].conn.peer;
        scene.world().shut(peer);
        scene.lines[place].ending = true;
    }
}

fn stall(scene: &mut Scene) {
    if let Some(place) = reading_line(scene) {
        let ms = *scene.rng.pick(&[100, 1_000, 10_000, 100_000]);
        scene.lines[place].conn.stalled_until = scene.now() + ms;
    }
}

fn read_slowly(scene: &mut Scene) {
    if let Some(place) = reading_line(scene) {
        scene.lines[place].conn.read_max = scene.rng.range(1, 200);
        scene.lines[place].conn.pace_ms = *scene.rng.pick(&[0, 10, 200]);
    }
}

/// More connections than most tables hold.
fn crowd(scene: &mut Scene) {
    for _ in 0..scene.rng.range(5, 60) {
        if let Some(place) = scene.connect(Use::Asking) {
            scene.lines[place].conn.get("/healthz");
            scene.lines[place].asks.push_back(Ask::Fine);
        }
    }
}

// Commands over a WebSocket, and by sid.

fn ping(scene: &mut Scene) {
    if let Some(place) = socket(scene) {
        let payload = scene.rng.next().to_le_bytes()[..scene.rng.range(0, 8)].to_vec();
        let line = &mut scene.lines[place];
        line.conn.send_ping(&payload);
        line.pings.push_back(payload);
    }
}

fn close_socket(scene: &mut Scene) {
    if let Some(place) = socket(scene) {
        let line = &mut scene.lines[place];
        line.conn.send_close(1000);
        line.ending = true;
    }
}

fn send(scene: &mut Scene, place: usize, command: Command, object: Value) {
    let (number, text) = scene.command(&command, object);
    let line = &mut scene.lines[place];
    line.commands.insert(number, command);
    line.conn.send_text(&text, &mut scene.rng);
}

fn publish_over_socket(scene: &mut Scene) {
    if let Some(place) = socket(scene) {
        let (nonce, channel) = draft(scene);
        let object = json!({"op": "publish", "ch": channel, "data": scene.model.attempts[nonce].data});
        send(scene, place, Command::Publish(nonce), object);
    }
}

fn subscribe(scene: &mut Scene) {
    let Some(place) = socket(scene) else { return };
    let reader = scene.lines[place].reader.expect("asked for above");
    let known = scene.model.readers[reader].known_channels();
    let new: Vec<String> =
        scene.channels.iter().filter(|channel| !known.contains(channel)).cloned().collect();
    if !new.is_empty() {
        let channel = scene.rng.pick(&new).clone();
        let object = json!({"op": "subscribe", "ch": channel});
        send(scene, place, Command::Subscribe(reader, channel), object);
    }
}

fn unsubscribe(scene: &mut Scene) {
    let Some(place) = socket(scene) else { return };
    let reader = scene.lines[place].reader.expect("asked for above");
    let channels = scene.model.readers[reader].channels();
    if channels.len() > 1 {
        let channel = scene.rng.pick(&channels).clone();
        scene.model.readers[reader].unsubscribe(&channel);
        send(scene, place, Command::Other, json!({"op": "unsubscribe", "ch": channel}));
    }
}

fn look_around(scene: &mut Scene) {
    let channel = scene.rng.pick(&scene.channels.clone()).clone();
    let objects = [
        (Command::Other, json!({"op": "ping"})),
        (Command::Other, json!({"op": "who", "ch": channel})),
        (Command::Other, json!({"op": "history", "ch": channel, "limit": 5})),
        (Command::Nonsense, json!({"op": "dance"})),
        (Command::Nonsense, json!({"op": "subscribe", "ch": "a/b"})),
        (Command::Nonsense, json!({"op": "publish", "ch": channel})),
    ];
    let (command, object) = scene.rng.pick(&objects).clone();
    if let Some(place) = socket(scene) {
        send(scene, place, command, object);
    } else if let Some(place) = scene.connect(Use::Asking) {
        let channel = escape(&channel);
        let target = match scene.rng.below(4) {
            0 => "/channels".to_owned(),
            1 => format!("/channels/{channel}"),
            2 => format!("/channels/{channel}/history?limit=3"),
            _ => "/metrics".to_owned(),
        };
        scene.lines[place].conn.get(&target);
        scene.lines[place].asks.push_back(Ask::Any);
    }
}

/// The commands of a client that reads over something else: `POST /send`.
fn publish_by_sid(scene: &mut Scene) {
    let sids: Vec<String> = scene.model.readers.iter().filter_map(|reader| reader.sid.clone()).collect();
    if sids.is_empty() {
        return;
    }
    let sid = scene.rng.pick(&sids).clone();
    let Some(place) = asking_line(scene) else { return };
    let count = scene.rng.range(1, 4);
    let mut commands = Vec::new();
    let mut texts = Vec::new();
    for _ in 0..count {
        let (nonce, channel) = draft(scene);
        let command = Command::Publish(nonce);
        let object = json!({"op": "publish", "ch": channel, "data": scene.model.attempts[nonce].data});
        let (number, text) = scene.command(&command, object);
        commands.push((number, command));
        texts.push(text);
    }
    let body = if count == 1 { texts.remove(0) } else { format!("[{}]", texts.join(",")) };
    let chunk = scene.rng.coin().then(|| scene.rng.range(1, 300));
    let line = &mut scene.lines[place];
    line.conn.post(&format!("/send?sid={sid}"), "Content-Type: application/json\r\n", body.as_bytes(), chunk);
    line.asks.push_back(Ask::Commands(commands));
}

// Publishing.

/// A message to a random channel: small or not, with all that is awkward on some transport.
fn draft(scene: &mut Scene) -> (usize, String) {
    let channel = scene.rng.pick(&scene.channels.clone()).clone();
    let awkward =
        ["", "plain", "</script><!--", "a\nb\r\nc", "\u{2028}\u{2029}\u{0}\u{1f}", "\"\\/é😀", "data: x\n\n"];
    let text = *scene.rng.pick(&awkward);
    let pad = "x".repeat(*scene.rng.pick(&[0, 0, 0, 50, 200, 3_000]));
    let nonce = scene.model.attempt(&channel, |nonce| json!({"n": nonce, "text": text, "pad": pad}));
    (nonce, channel)
}

/// A line for requests: an old one if it is idle, or else a new one.
fn asking_line(scene: &mut Scene) -> Option<usize> {
    let idle = some_line(scene, |line| {
        line.conn.role == Use::Asking && !line.ending && line.asks.is_empty() && line.dies_within.is_none()
    });
    match idle {
        // An idle connection may be closed by the server just now, as with every keep-alive.
        Some(place) if scene.rng.coin() && !scene.healed => Some(place),
        _ => scene.connect(Use::Asking),
    }
}

pub(crate) fn publish_one(scene: &mut Scene) {
    let (nonce, _) = draft(scene);
    if let Some(place) = asking_line(scene) {
        post(scene, place, nonce, "");
    }
}

/// Publishes a message to a channel and tells which it is.
pub(crate) fn publish_to(scene: &mut Scene, channel: &str) -> usize {
    let nonce = scene.model.attempt(channel, |nonce| json!({ "n": nonce, "last": true }));
    publish_again(scene, nonce);
    nonce
}

/// The same once more: under its key it is one message, however often it is published.
pub(crate) fn publish_again(scene: &mut Scene, nonce: usize) {
    if let Some(place) = scene.connect(Use::Asking) {
        post(scene, place, nonce, &format!("Idempotency-Key: key-{nonce}\r\n"));
    }
}

fn post(scene: &mut Scene, place: usize, nonce: usize, fields: &str) {
    let attempt = &scene.model.attempts[nonce];
    let (target, body) = (format!("/publish/{}", escape(&attempt.channel)), attempt.data.to_string());
    let chunk = scene.rng.per_mille(300).then(|| scene.rng.range(1, 100));
    let line = &mut scene.lines[place];
    line.conn.post(&target, &format!("Content-Type: application/json\r\n{fields}"), body.as_bytes(), chunk);
    line.asks.push_back(Ask::Publish(nonce));
}

fn publish_many(scene: &mut Scene) {
    let Some(place) = asking_line(scene) else { return };
    let (mut body, mut nonces) = (String::new(), Vec::new());
    for _ in 0..scene.rng.range(1, 20) {
        let (nonce, channel) = draft(scene);
        body += &format!("{}\n", json!({"ch": channel, "data": scene.model.attempts[nonce].data}));
        nonces.push(nonce);
    }
    let line = &mut scene.lines[place];
    line.conn.post("/publish", "Content-Type: application/x-ndjson\r\n", body.as_bytes(), None);
    line.asks.push_back(Ask::Batch(nonces));
}

/// A publisher that never got its answer, or can't know, tries again with the same key: one message.
fn publish_twice(scene: &mut Scene) {
    let (nonce, _) = draft(scene);
    publish_again(scene, nonce);
    publish_again(scene, nonce);
}

/// More than the rings keep, at once.
fn flood(scene: &mut Scene) {
    for _ in 0..scene.rng.range(2, 8) {
        publish_many(scene);
    }
}

fn publish_too_much(scene: &mut Scene) {
    let Some(place) = scene.connect(Use::Asking) else { return };
    let channel = scene.channels[0].clone();
    let pad = "x".repeat(70_000);
    let nonce = scene.model.attempt(&channel, |nonce| json!({"n": nonce, "pad": pad}));
    post(scene, place, nonce, "");
}

// What no server should take, and what it must.

fn garbage(scene: &mut Scene) {
    let requests: [&[u8]; 14] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /ws HTTP/1.1\nHost: a\n\n",
        b"GET /sse?ch=%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /sse?ch=a&since=nonsense HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /iframe?ch=a&callback=alert(1) HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /ws?ch=a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /publish/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{{{",
        b"POST /publish/a%2Fb HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1",
        b"POST /send?sid=x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        b"BREW /publish/a HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    ];
    let Some(place) = scene.connect(Use::Garbage) else { return };
    let request = *scene.rng.pick(&requests);
    let line = &mut scene.lines[place];
    line.conn.send_raw(request);
    line.asks.push_back(Ask::Nonsense);
    // Some of it is well-formed, and then the connection may go on; it is bounded all the same.
    line.dies_within = Some(Scene::patience_ms() + IDLE_MS);
}

fn garbage_on_socket(scene: &mut Scene) {
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
fn dribble(scene: &mut Scene) {
    let Some(place) = scene.connect(Use::Garbage) else { return };
    let line = &mut scene.lines[place];
    line.conn.send_raw(b"GET /sse HTTP/1.1\r\nHost: a\r\nX-Long: ");
    line.conn.send_raw(&[b'x'; 12_000]);
    (line.conn.write_max, line.conn.pace_ms) = (3, 10);
    line.asks.push_back(Ask::Any);
    line.dies_within = Some(HEAD_MS + LINGER_MS + 1_000);
}

/// Requests on one connection, each sent before the last one is answered.
fn pipeline(scene: &mut Scene) {
    let Some(place) = scene.connect(Use::Asking) else { return };
    for _ in 0..scene.rng.range(2, 12) {
        if scene.rng.coin() {
            let (nonce, _) = draft(scene);
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
fn burst(scene: &mut Scene) {
    let wide = Buffers { up_sending: 1 << 20, up_arrived: 1 << 20, ..Buffers::default() };
    let Some(place) = scene.connect_over(Use::Asking, wide) else { return };
    let pad = "x".repeat(50_000);
    for _ in 0..scene.rng.range(5, 10) {
        // Nobody reads it: this is about the way up.
        let nonce = scene.model.attempt("unread", |nonce| json!({"n": nonce, "pad": pad}));
        post(scene, place, nonce, "");
    }
}

// Time and the machine.

fn seconds_pass(scene: &mut Scene) {
    let ms = scene.rng.range(1_000, 20_000) as u64;
    scene.pass(ms);
}

fn minutes_pass(scene: &mut Scene) {
    let ms = scene.rng.range(60_000, 200_000) as u64;
    scene.pass(ms);
}

fn wall_clock_jumps(scene: &mut Scene) {
    let hour = 3_600_000;
    let wall = scene.world().wall_ms;
    scene.world().wall_ms = if scene.rng.coin() { wall + hour } else { wall - hour };
}

/// A shortage begins, or ends: it lasts until this act comes again.
fn descriptors_run_out(scene: &mut Scene) {
    let shortage = scene.world().faults.descriptors.is_some();
    let open = scene.world().open();
    let max = open + scene.rng.below(4);
    scene.world().faults.descriptors = (!shortage).then_some(max);
}

/// The kernel's own moods.
fn noise(scene: &mut Scene) {
    let mut chance = |max| if scene.rng.coin() { scene.rng.below(max) as u32 } else { 0 };
    let faults = Faults {
        aborted: chance(100),
        interrupted: chance(200),
        unwatched: chance(30),
        stale: chance(300),
        spurious: chance(300),
        partial: chance(500),
        descriptors: None,
    };
    let descriptors = scene.world().faults.descriptors;
    scene.world().faults = Faults { descriptors, ..faults };
}
