//! The attacks, one function each: what is prepared, `ready`, and what is then said.
//!
//! Each has channels, names and addresses of its own, so that all can go on at once against one server.

use std::fmt::Write as _;
use std::io;
use std::net::TcpStream;
use std::time::Duration;

use encke::wire::ws::Opcode;

use crate::crowd::Crowd;

/// How long an attack may take, once it is prepared.
const TIME: Duration = Duration::from_secs(8);

/// Bytes of a long message: a little less than the most that there may be.
const LONG: usize = 60_000;

/// Long messages: as many as a channel keeps.
const LONG_MESSAGES: usize = 17;

/// Members of an object, keys of three characters: it has 96 KB.
const MEMBERS: usize = 12_000;

/// Longer than the images of messages are kept (`FRESH_MS`).
const STALE: Duration = Duration::from_millis(11_500);

/// One attack.
pub struct Attack {
    pub name: &'static str,
    /// It asks for what only programs of this machine may have: without a proxy, and counted by strict
    /// quotas alone.
    pub is_local: bool,
    pub run: fn(&mut Crowd) -> io::Result<()>,
}

const fn attack(name: &'static str, run: fn(&mut Crowd) -> io::Result<()>) -> Attack {
    Attack { name, is_local: false, run }
}

const fn local(name: &'static str, run: fn(&mut Crowd) -> io::Result<()>) -> Attack {
    Attack { name, is_local: true, run }
}

/// All of them.
pub const ATTACKS: &[Attack] = &[
    attack("nothing", nothing),
    attack("history", |crowd| history(crowd, "history", 1)),
    attack("history-64", |crowd| history(crowd, "history-64", 64)),
    attack("subscribe", |crowd| subscribe(crowd, "subscribe", 1)),
    attack("subscribe-64", |crowd| subscribe(crowd, "subscribe-64", 64)),
    attack("subscribe-many", subscribe_many),
    attack("history-short", history_short),
    attack("sockets-last", sockets_last),
    attack("sockets-channels", sockets_channels),
    attack("events-last", events_last),
    attack("private", private),
    attack("deletes", deletes),
    attack("heads", heads),
    attack("rooms-900", |crowd| rooms(crowd, "few", 8)),
    attack("rooms-9000", |crowd| rooms(crowd, "many", 75)),
    attack("who", |crowd| listing_of_users(crowd, "who")),
    attack("people", |crowd| listing_of_users(crowd, "people")),
    attack("logins", logins),
    attack("objects-command", |crowd| commands(crowd, &members_command())),
    attack("objects-data", |crowd| publishes(crowd, "objects", &object(MEMBERS))),
    attack("objects-small", |crowd| publishes(crowd, "small-objects", &object(7_500))),
    attack("objects-nested", |crowd| publishes(crowd, "nested", &nested_objects())),
    attack("arrays-deep", |crowd| publishes(crowd, "deep", &deep(60_000))),
    attack("arrays-64", |crowd| publishes(crowd, "deep-64", &deep_many())),
    attack("numbers", |crowd| publishes(crowd, "numbers", &numbers())),
    attack("escapes", |crowd| publishes(crowd, "escapes", &escapes("\\u003c", 20_000))),
    attack("angles", |crowd| publishes(crowd, "angles", &escapes("<", 64_000))),
    attack("letters", |crowd| publishes(crowd, "letters", &format!("\"{}\"", letters(LONG, 1)))),
    attack("send-objects", |crowd| send(crowd, &members_command())),
    attack("send-megabyte", |crowd| send(crowd, &format!("{{\"op\":\"ping\",\"x\":{}}}", object(130_000)))),
    attack("send-pings", |crowd| send(crowd, &array(r#"{"op":"ping"}"#, 100))),
    attack("send-many", |crowd| send(crowd, &array("{}", 300_000))),
    attack("send-history", send_history),
    attack("bombs", bombs),
    attack("pings", pings),
    attack("fragments", fragments),
    attack("slow-readers", slow_readers),
    attack("polls-last", |crowd| polls(crowd, "polls", 1)),
    attack("polls-last-64", |crowd| polls(crowd, "polls-64", 64)),
    attack("polls-channels", polls_channels),
    attack("sids", sids),
    attack("connects", connects),
    attack("presence", presence),
    attack("typing", typing),
    attack("crowd", crowd_publishes),
    attack("pictures-left", pictures_left),
    attack("pictures-seen", pictures_seen),
    attack("pages", |crowd| gets(crowd, "GET /encke.js", 8)),
    attack("strange-bodies", strange_bodies),
    local("publish-objects", |crowd| posts(crowd, "POST /publish/objects", object(7_500).as_bytes())),
    local("publish-escapes", |crowd| posts(crowd, "POST /publish/esc", escapes("<", 64_000).as_bytes())),
    local("publish-bytes", |crowd| posts(crowd, "POST /publish/bytes", &[0xff; 45_000])),
    local("batch", |crowd| posts(crowd, "POST /publish", batch().as_bytes())),
    local("batch-wrong", |crowd| posts(crowd, "POST /publish", "{}\n".repeat(10_000).as_bytes())),
    local("listing", listing),
    local("http-history", http_history),
    local("metrics", |crowd| gets(crowd, "GET /metrics", 8)),
];

fn nothing(crowd: &mut Crowd) -> io::Result<()> {
    crowd.ready(Duration::from_secs(4));
    crowd.go_for(Duration::from_secs(4))
}

/// Random letters a and b, which take a compressor longest.
fn letters(count: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bit = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state & 1 << 20 == 0 { 'a' } else { 'b' }
    };
    (0..count).map(|_| bit()).collect()
}

/// Fills a channel with long messages.
fn fill(crowd: &mut Crowd, channel: &str) -> io::Result<()> {
    let slot = crowd.join(900 + crowd.len() as u32, "/ws")?;
    for number in 0..LONG_MESSAGES {
        let text = letters(LONG, number as u64 + 7);
        crowd.say(slot, &format!(r#"{{"op":"publish","ch":"{channel}","data":"{text}"}}"#));
    }
    crowd.say_last(slot);
    crowd.go()
}

/// The same for many connections, which share 64 addresses, each with a last command behind it.
fn all_say(
    crowd: &mut Crowd,
    slots: &[usize],
    count: usize,
    command: impl Fn(usize) -> String,
) -> io::Result<()> {
    for slot in slots {
        for number in 0..count {
            crowd.say(*slot, &command(number));
        }
        crowd.say_last(*slot);
    }
    crowd.go()
}

fn join_all(crowd: &mut Crowd, count: usize, path: &str) -> io::Result<Vec<usize>> {
    (0..count).map(|number| crowd.join(number as u32, path)).collect()
}

/// `history` of long messages, 400 times on each connection.
fn history(crowd: &mut Crowd, channel: &str, connections: usize) -> io::Result<()> {
    fill(crowd, channel)?;
    let slots = join_all(crowd, connections, "/ws")?;
    crowd.ready(TIME);
    all_say(crowd, &slots, 400, |_| format!(r#"{{"op":"history","ch":"{channel}"}}"#))
}

/// Subscribing anew to long messages whose images are no longer kept. What is subscribed to and left in one
/// turn is told to nobody, so there is a little time between the two.
fn subscribe(crowd: &mut Crowd, channel: &str, connections: usize) -> io::Result<()> {
    fill(crowd, channel)?;
    let slots = join_all(crowd, connections, "/ws")?;
    crowd.go_for(STALE)?;
    crowd.ready(TIME);
    for _ in 0..20 {
        for slot in &slots {
            crowd.say(*slot, &format!(r#"{{"op":"subscribe","ch":"{channel}","last":17}}"#));
        }
        crowd.go_for(Duration::from_millis(100))?;
        for slot in &slots {
            crowd.say(*slot, &format!(r#"{{"op":"unsubscribe","ch":"{channel}"}}"#));
        }
        crowd.go_for(Duration::from_millis(50))?;
    }
    all_say(crowd, &slots, 0, |_| String::new())
}

/// The same for many channels, each connection beginning somewhere else.
fn subscribe_many(crowd: &mut Crowd) -> io::Result<()> {
    for number in 0..16 {
        fill(crowd, &format!("subscribe-many{number}"))?;
    }
    let slots = join_all(crowd, 32, "/ws")?;
    crowd.go_for(STALE)?;
    crowd.ready(TIME);
    for round in 0..20 {
        for (number, slot) in slots.iter().enumerate() {
            let (channel, last) = ((number + round) % 16, 17 - (number + round) % 17);
            let command = format!(r#"{{"op":"subscribe","ch":"subscribe-many{channel}","last":{last}}}"#);
            crowd.say(*slot, &command);
        }
        crowd.go_for(Duration::from_millis(30))?;
        for (number, slot) in slots.iter().enumerate() {
            let channel = (number + round) % 16;
            crowd.say(*slot, &format!(r#"{{"op":"unsubscribe","ch":"subscribe-many{channel}"}}"#));
        }
    }
    all_say(crowd, &slots, 0, |_| String::new())
}

/// As many messages as a channel keeps, short ones.
fn fill_short(crowd: &mut Crowd, channel: &str) -> io::Result<()> {
    for address in 0..10 {
        let slot = crowd.join(910 + address, "/ws")?;
        for number in 0..100 {
            crowd.say(slot, &format!(r#"{{"op":"publish","ch":"{channel}","data":{number}}}"#));
        }
        crowd.say_last(slot);
    }
    crowd.go()
}

/// `history` of a thousand short messages, 400 times on each connection.
fn history_short(crowd: &mut Crowd) -> io::Result<()> {
    fill_short(crowd, "history-short")?;
    let slots = join_all(crowd, 8, "/ws")?;
    crowd.ready(TIME);
    all_say(crowd, &slots, 400, |_| r#"{"op":"history","ch":"history-short","limit":1000}"#.to_owned())
}

/// Connections that begin with all of the long messages.
fn sockets_last(crowd: &mut Crowd) -> io::Result<()> {
    fill(crowd, "sockets-last")?;
    crowd.go_for(STALE)?;
    crowd.ready(TIME);
    for number in 0..200 {
        let slot = crowd.join(number % 8, "/ws?ch=sockets-last&last=17")?;
        crowd.say_last(slot);
    }
    crowd.go()
}

/// Connections that read as many channels as they may.
fn sockets_channels(crowd: &mut Crowd) -> io::Result<()> {
    let channels: Vec<String> = (0..128).map(|number| format!("ch=c{number}")).collect();
    let path = format!("/ws?{}", channels.join("&"));
    crowd.ready(TIME);
    for number in 0..1_000 {
        let slot = crowd.join(number % 8, &path)?;
        crowd.say_last(slot);
    }
    crowd.go()
}

/// Streams of events that begin with all of the long messages, which end when there is no time left.
fn events_last(crowd: &mut Crowd) -> io::Result<()> {
    fill(crowd, "events-last")?;
    crowd.go_for(STALE)?;
    crowd.ready(TIME);
    for number in 0..400 {
        let slot = crowd.connect()?;
        let request = crowd.request(number % 8, "GET /sse?ch=events-last&last=17", b"");
        crowd.send(slot, &request);
    }
    crowd.go_for(Duration::from_secs(3))
}

/// Users who write to each other's inbox.
fn private(crowd: &mut Crowd) -> io::Result<()> {
    let slots = users(crowd, "private", 64)?;
    crowd.ready(TIME);
    let text = "x".repeat(1_000);
    all_say(crowd, &slots, 100, |number| {
        format!(r#"{{"op":"publish","ch":"@private{}","data":{{"text":"{text}"}}}}"#, number % 64)
    })
}

/// Deletions of messages that are not there, or somebody else's.
fn deletes(crowd: &mut Crowd) -> io::Result<()> {
    fill_short(crowd, "deletes")?;
    let slots = users(crowd, "deletes", 64)?;
    crowd.ready(TIME);
    all_say(crowd, &slots, 400, |number| {
        format!(r#"{{"op":"delete","ch":"deletes","id":"00000000-{number}"}}"#)
    })
}

/// So many users of a room, each with a name of its own.
fn users(crowd: &mut Crowd, room: &str, count: usize) -> io::Result<Vec<usize>> {
    let slots = join_all(crowd, count, &format!("/ws?ch={room}"))?;
    for (number, slot) in slots.iter().enumerate() {
        crowd.say(*slot, &format!(r#"{{"op":"login","nick":"{room}{number}"}}"#));
        crowd.say_last(*slot);
    }
    crowd.go()?;
    crowd.reopen();
    Ok(slots)
}

/// Heads of requests with as much in them as there may be.
fn heads(crowd: &mut Crowd) -> io::Result<()> {
    let fields: String = (0..60).map(|number| format!("X-Field-{number}: {}\r\n", "v".repeat(200))).collect();
    crowd.ready(TIME);
    for number in 0..8 {
        let slot = crowd.connect()?;
        let query = "ch=%41%42%43&".repeat(120);
        let request = crowd.request(number, &format!("GET /poll?{query}wait=0"), b"");
        let request = String::from_utf8_lossy(&request).replacen("\r\n", &format!("\r\n{fields}"), 1);
        again_and_again(crowd, slot, request.as_bytes(), 400);
    }
    crowd.go()
}

/// Many rooms, 120 from each address, then their list.
fn rooms(crowd: &mut Crowd, name: &str, addresses: usize) -> io::Result<()> {
    for address in 0..addresses {
        let slot = crowd.join(address as u32 + 1, "/ws")?;
        for number in 0..120 {
            let room = format!("{name}-{}-{address}-{number}", "r".repeat(100));
            crowd.say(slot, &format!(r#"{{"op":"publish","ch":"{room}","data":1}}"#));
        }
        crowd.say_last(slot);
    }
    crowd.go()?;
    let slot = crowd.join(0, "/ws")?;
    crowd.ready(TIME);
    all_say(crowd, &[slot], 400, |_| r#"{"op":"rooms"}"#.to_owned())
}

/// A client that reads a channel by polls, under a name, and nothing open.
fn user(
    crowd: &mut Crowd,
    stream: &mut Option<TcpStream>,
    address: u32,
    channel: &str,
    name: &str,
) -> io::Result<String> {
    let poll = crowd.request(address, &format!("GET /poll?ch={channel}&wait=0"), b"");
    let answer = crowd.ask(stream, &poll)?;
    let sid = answer.split(r#""sid":""#).nth(1).and_then(|rest| rest.split('"').next());
    let sid = sid.ok_or_else(|| io::Error::other(format!("no client: {answer}")))?.to_owned();
    let login = format!(r#"{{"op":"login","nick":"{name}"}}"#);
    let login = crowd.request(address, &format!("POST /send?sid={sid}"), login.as_bytes());
    crowd.ask(stream, &login)?;
    Ok(sid)
}

/// 12,000 users in one channel, made from 80 networks, then their list.
fn listing_of_users(crowd: &mut Crowd, op: &str) -> io::Result<()> {
    let channel = format!("full-{op}");
    let mut stream = None;
    for number in 0..12_000 {
        user(crowd, &mut stream, number / 150 + 1, &channel, &format!("{op}ever{number}"))?;
    }
    let slot = crowd.join(0, &format!("/ws?ch={channel}"))?;
    crowd.ready(TIME);
    all_say(crowd, &[slot], 450, |_| format!(r#"{{"op":"{op}","ch":"{channel}"}}"#))
}

/// Clients that read the same 128 rooms and log in under changing names.
fn logins(crowd: &mut Crowd) -> io::Result<()> {
    let channels: Vec<String> = (0..128).map(|number| format!("ch=l{number}")).collect();
    let slots = join_all(crowd, 64, &format!("/ws?{}", channels.join("&")))?;
    crowd.ready(TIME);
    for round in 0..30 {
        for (number, slot) in slots.iter().enumerate() {
            crowd.say(*slot, &format!(r#"{{"op":"login","nick":"login{number}x{}"}}"#, round % 8));
        }
    }
    for slot in slots {
        crowd.say_last(slot);
    }
    crowd.go()
}

/// An object with so many members whose names are in no order.
fn object(members: usize) -> String {
    let mut text = "{".to_owned();
    for number in 0..members {
        // Prime to all of them.
        let shuffled = number * 7_919 % 46_656;
        let digit = |at: usize| char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[at % 36]);
        let comma = if number == 0 { "" } else { "," };
        let (a, b, c) = (digit(shuffled / 1_296), digit(shuffled / 36), digit(shuffled));
        let _ = write!(text, "{comma}\"{a}{b}{c}\":0");
    }
    text.push('}');
    text
}

/// A command that is itself such an object.
fn members_command() -> String {
    object(MEMBERS).replacen('{', r#"{"op":"ping","#, 1)
}

fn deep(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// As deep as allowed, again and again.
fn deep_many() -> String {
    array(&deep(60), 500)
}

fn nested_objects() -> String {
    array(&format!("{}0{}", r#"{"a":"#.repeat(60), "}".repeat(60)), 170)
}

fn numbers() -> String {
    array("1e1", 15_900)
}

fn escapes(what: &str, bytes: usize) -> String {
    format!("\"{}\"", what.repeat(bytes / what.len()))
}

fn array(of: &str, count: usize) -> String {
    format!("[{}]", vec![of; count].join(","))
}

/// One command again and again, on eight connections of one address.
fn commands(crowd: &mut Crowd, command: &str) -> io::Result<()> {
    let slots: Vec<usize> = (0..8).map(|_| crowd.join(0, "/ws")).collect::<io::Result<_>>()?;
    crowd.ready(TIME);
    all_say(crowd, &slots, 100, |_| command.to_owned())
}

fn publishes(crowd: &mut Crowd, channel: &str, data: &str) -> io::Result<()> {
    commands(crowd, &format!(r#"{{"op":"publish","ch":"{channel}","data":{data}}}"#))
}

/// One body to `POST /send` again and again, on eight connections of one address.
fn send(crowd: &mut Crowd, body: &str) -> io::Result<()> {
    send_as(crowd, body, 60)
}

fn send_as(crowd: &mut Crowd, body: &str, times: usize) -> io::Result<()> {
    let mut stream = None;
    let name = format!("sender{}", body.len());
    let sids: Vec<String> = (0..8)
        .map(|number| user(crowd, &mut stream, 0, "lobby", &format!("{name}x{number}")))
        .collect::<io::Result<_>>()?;
    crowd.ready(TIME);
    for sid in sids {
        let slot = crowd.connect()?;
        let request = crowd.request(0, &format!("POST /send?sid={sid}"), body.as_bytes());
        again_and_again(crowd, slot, &request, times);
    }
    crowd.go()
}

fn again_and_again(crowd: &mut Crowd, slot: usize, request: &[u8], times: usize) {
    for _ in 0..times {
        crowd.send(slot, request);
    }
    let last = crowd.request(0, "GET /healthz", b"");
    let text = String::from_utf8_lossy(&last).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    crowd.send(slot, text.as_bytes());
}

fn send_history(crowd: &mut Crowd) -> io::Result<()> {
    fill(crowd, "send-history")?;
    send_as(crowd, &array(r#"{"op":"history","ch":"send-history"}"#, 100), 20)
}

/// Commands that are small while compressed.
fn bombs(crowd: &mut Crowd) -> io::Result<()> {
    let slots = join_all(crowd, 32, "/ws")?;
    crowd.ready(TIME);
    let command = format!(r#"{{"op":"ping","x":"{}"}}"#, "x".repeat(130_000));
    for slot in slots {
        for _ in 0..400 {
            crowd.say_deflated(slot, &command);
        }
        crowd.say_last(slot);
    }
    crowd.go()
}

fn pings(crowd: &mut Crowd) -> io::Result<()> {
    let slots = join_all(crowd, 64, "/ws")?;
    crowd.ready(TIME);
    for slot in slots {
        for _ in 0..1_990 {
            crowd.say_frame(slot, true, Opcode::Ping, &[b'x'; 125]);
        }
        crowd.say_last(slot);
    }
    crowd.go()
}

fn fragments(crowd: &mut Crowd) -> io::Result<()> {
    let slots = join_all(crowd, 64, "/ws")?;
    crowd.ready(TIME);
    for slot in slots {
        crowd.say_frame(slot, false, Opcode::Text, b"x");
        for _ in 0..1_990 {
            crowd.say_frame(slot, false, Opcode::Continuation, b"x");
        }
    }
    crowd.go_for(Duration::from_secs(3))
}

/// Readers that begin with long messages and take none of them.
fn slow_readers(crowd: &mut Crowd) -> io::Result<()> {
    fill(crowd, "slow")?;
    crowd.go_for(STALE)?;
    crowd.ready(TIME);
    for number in 0..400 {
        let slot = crowd.join(number % 64, "/ws?ch=slow&last=17")?;
        crowd.stop_reading(slot);
    }
    crowd.reopen();
    let slot = crowd.join(901, "/ws")?;
    for number in 0..60 {
        let text = letters(LONG, number);
        crowd.say(slot, &format!(r#"{{"op":"publish","ch":"slow","data":"{text}"}}"#));
    }
    crowd.say_last(slot);
    crowd.go()
}

fn polls(crowd: &mut Crowd, channel: &str, connections: u32) -> io::Result<()> {
    fill(crowd, channel)?;
    crowd.go_for(STALE)?;
    crowd.ready(TIME);
    for number in 0..connections {
        let slot = crowd.connect()?;
        let request = crowd.request(number, &format!("GET /poll?ch={channel}&last=17&wait=0"), b"");
        again_and_again(crowd, slot, &request, 400 / connections as usize + 10);
    }
    crowd.go()
}

fn polls_channels(crowd: &mut Crowd) -> io::Result<()> {
    let channels: Vec<String> = (0..128).map(|number| format!("ch=p{number}")).collect();
    crowd.ready(TIME);
    for number in 0..8 {
        let slot = crowd.connect()?;
        let request = crowd.request(number, &format!("GET /poll?{}&wait=0", channels.join("&")), b"");
        again_and_again(crowd, slot, &request, 400);
    }
    crowd.go()
}

/// New clients, as many as may be.
fn sids(crowd: &mut Crowd) -> io::Result<()> {
    crowd.ready(TIME);
    for number in 0..32 {
        let slot = crowd.connect()?;
        let request = crowd.request(number, "GET /poll?ch=sids&wait=0", b"");
        again_and_again(crowd, slot, &request, 1_000);
    }
    crowd.go()
}

fn connects(crowd: &mut Crowd) -> io::Result<()> {
    crowd.ready(TIME);
    for number in 0..4_000 {
        crowd.join(number % 20, "/ws?ch=connects")?;
    }
    crowd.go_for(Duration::from_millis(200))
}

/// Users who come into and leave one room.
fn presence(crowd: &mut Crowd) -> io::Result<()> {
    let slots = users(crowd, "presence", 400)?;
    crowd.ready(TIME);
    all_say(crowd, &slots, 60, |number| match number % 2 {
        0 => r#"{"op":"unsubscribe","ch":"presence"}"#.to_owned(),
        _ => r#"{"op":"subscribe","ch":"presence"}"#.to_owned(),
    })
}

/// Users who say that they are typing, in turns in two rooms, and are away and back.
fn typing(crowd: &mut Crowd) -> io::Result<()> {
    let slots = join_all(crowd, 400, "/ws?ch=typing1&ch=typing2")?;
    for (number, slot) in slots.iter().enumerate() {
        crowd.say(*slot, &format!(r#"{{"op":"login","nick":"typist{number}"}}"#));
        crowd.say_last(*slot);
    }
    crowd.go()?;
    crowd.reopen();
    crowd.ready(TIME);
    all_say(crowd, &slots, 120, |number| match number % 3 {
        2 => format!(r#"{{"op":"away","away":{}}}"#, number % 2 == 0),
        room => format!(r#"{{"op":"typing","ch":"typing{}"}}"#, room + 1),
    })
}

/// Long messages to many readers.
fn crowd_publishes(crowd: &mut Crowd) -> io::Result<()> {
    let readers = join_all(crowd, 400, "/ws?ch=crowded")?;
    let slot = crowd.join(901, "/ws")?;
    crowd.ready(TIME);
    for number in 0..100 {
        let text = letters(LONG, number);
        crowd.say(slot, &format!(r#"{{"op":"publish","ch":"crowded","data":"{text}"}}"#));
    }
    for slot in readers {
        crowd.say_last(slot);
    }
    crowd.say_last(slot);
    crowd.go_for(Duration::from_secs(5))
}

/// As large as a picture may be, behind a head that says that it is one.
fn picture() -> Vec<u8> {
    let mut bytes = include_bytes!("../../../docs/chat-narrow.png").to_vec();
    bytes.resize(512 * 1024, 0);
    bytes
}

fn pictures_left(crowd: &mut Crowd) -> io::Result<()> {
    let mut stream = None;
    let sid = user(crowd, &mut stream, 0, "lobby", "painter")?;
    crowd.ready(TIME);
    for _ in 0..8 {
        let slot = crowd.connect()?;
        let request = crowd.request(0, &format!("POST /pictures?sid={sid}"), &picture());
        again_and_again(crowd, slot, &request, 40);
    }
    crowd.go()
}

fn pictures_seen(crowd: &mut Crowd) -> io::Result<()> {
    let mut stream = None;
    let sid = user(crowd, &mut stream, 0, "lobby", "viewer")?;
    let request = crowd.request(0, &format!("POST /pictures?sid={sid}"), &picture());
    let answer = crowd.ask(&mut stream, &request)?;
    let name = answer.split(r#"/pictures/"#).nth(1).and_then(|rest| rest.split('"').next());
    let id = answer.split(r#""id":""#).nth(1).and_then(|rest| rest.split('"').next());
    let name = name.or(id).ok_or_else(|| io::Error::other(format!("no picture: {answer}")))?.to_owned();
    gets(crowd, &format!("GET /pictures/{name}"), 16)
}

/// One path again and again, on so many connections of one address.
fn gets(crowd: &mut Crowd, line: &str, connections: usize) -> io::Result<()> {
    crowd.ready(TIME);
    for _ in 0..connections {
        let slot = crowd.connect()?;
        let request = crowd.request(0, line, b"");
        again_and_again(crowd, slot, &request, 4_000 / connections);
    }
    crowd.go()
}

/// Bodies that a stranger may not send, as large as they are taken.
fn strange_bodies(crowd: &mut Crowd) -> io::Result<()> {
    posts(crowd, "POST /publish/strange", &vec![b'['; 1_000_000])
}

fn posts(crowd: &mut Crowd, line: &str, body: &[u8]) -> io::Result<()> {
    crowd.ready(TIME);
    for _ in 0..8 {
        let slot = crowd.connect()?;
        let request = crowd.request(0, line, body);
        again_and_again(crowd, slot, &request, 30);
    }
    crowd.go()
}

/// As many lines as a batch may have.
fn batch() -> String {
    (0..10_000).map(|number| format!("{{\"ch\":\"batch{}\",\"data\":{number}}}\n", number % 100)).collect()
}

/// Many channels, then their list.
fn listing(crowd: &mut Crowd) -> io::Result<()> {
    let slot = crowd.join(0, "/ws")?;
    for number in 0..120 {
        crowd.say(slot, &format!(r#"{{"op":"publish","ch":"listed{number}","data":1}}"#));
    }
    crowd.say_last(slot);
    crowd.go()?;
    gets(crowd, "GET /channels", 8)
}

fn http_history(crowd: &mut Crowd) -> io::Result<()> {
    fill(crowd, "http-history")?;
    gets(crowd, "GET /channels/http-history/history?limit=1000", 8)
}
