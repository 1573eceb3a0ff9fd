//! Bounds that take a crowd to reach, over a kernel in memory: who is one too many, and that nobody else notices.
//!
//! What one peer reaches alone is in `tests/bounds.rs`.

mod sim;

use encke::account::{self, Part};
use encke::chat::Chat;
use encke::limits::{
    AWAY_ROOMS_MAX, CLIENTS_PER_CONNECTION, HIGH_WATER_BYTES, IDLE_LOOKS_MAX, NOTICE_ROOMS_MAX,
    PEOPLE_LISTED_MAX, RECEIPT_ROOM_MAX, ROOMS_FRESH_MAX, ROOMS_FRESH_MS, ROOMS_LISTED_MAX,
    SEND_QUEUE_BYTES_MAX, SPARED_MS, SUBSCRIPTIONS_MAX, TELL_READERS_MAX, TYPING_MS,
};
use encke::server::{App, ClientId, Command, Config, Ctx, Object, Refusal, Server};
use serde_json::Value;
use sim::kernel::{Buffers, Peer};
use sim::stage::{Stage, server};

fn stage(change: impl FnOnce(&mut Config), app: impl App + 'static) -> Stage<Server> {
    let mut config = Config::default();
    change(&mut config);
    Stage::of(server(config, app))
}

fn chat() -> Stage<Server> {
    stage(|_| {}, Chat::new())
}

impl Stage<Server> {
    fn text(&self, peer: Peer) -> String {
        String::from_utf8(self.read(peer).0).expect("text")
    }

    /// Somebody who reads a stream, and the sid.
    fn reader(&mut self, query: &str) -> (Peer, String) {
        let peer = self.say(&format!("GET /sse?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let welcome = self.text(peer);
        (peer, sid(&welcome))
    }

    /// Somebody who polled once, and nothing since: the sid.
    fn poller(&mut self, query: &str) -> String {
        sid(&self.ask(&format!("GET /poll?{query}&wait=0"), ""))
    }

    /// Reads all that waits for a peer, and counts `what` in it.
    fn read_on(&mut self, peer: Peer, what: &str) -> usize {
        let (mut text, mut before) = (String::new(), None);
        while before != Some(text.len()) {
            before = Some(text.len());
            self.move_on();
            text += &self.text(peer);
        }
        text.matches(what).count()
    }

    fn command(&mut self, sid: &str, command: &str) -> Value {
        json(&self.ask(&format!("POST /send?sid={sid}"), command))
    }
}

fn sid(text: &str) -> String {
    let sid = text.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next());
    sid.unwrap_or_else(|| panic!("no sid in {text}")).to_owned()
}

fn json(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).expect("JSON")
}

fn length(list: &Value) -> usize {
    list.as_array().expect("a list").len()
}

#[test]
fn so_many_are_told_who_is_typing() {
    let mut stage = chat();
    let (typist, sid) = stage.reader("ch=a");
    let crowd: Vec<Peer> = (0..TELL_READERS_MAX).map(|_| stage.connect()).collect();
    for &peer in &crowd {
        stage.write(peer, b"GET /sse?ch=a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    stage.settle();
    let everybody: Vec<Peer> = [vec![typist], crowd].concat();
    let told = |stage: &mut Stage<Server>, what: &str| {
        everybody.iter().filter(|&&peer| stage.text(peer).contains(what)).count()
    };
    assert_eq!(stage.command(&sid, r#"{"op":"login","nick":"ann"}"#)["ok"], true);
    assert_eq!(stage.command(&sid, r#"{"op":"typing","ch":"a"}"#)["ok"], true);
    assert_eq!(told(&mut stage, "\"typing\""), TELL_READERS_MAX, "one of those who are there is not");
    assert_eq!(stage.command(&sid, r#"{"op":"publish","ch":"a","data":1}"#)["ok"], true);
    stage.settle();
    assert_eq!(told(&mut stage, "\"message\""), TELL_READERS_MAX + 1, "what is kept is told to all");
}

#[test]
fn a_long_answer_to_many_polls_is_held_once() {
    const POLLS: usize = 40;
    const LONG: usize = 60_000;
    let mut stage = chat();
    let narrow = Buffers { down_sending: 1 << 12, down_arrived: 1 << 12, ..Buffers::default() };
    let polls: Vec<Peer> = (0..POLLS).map(|_| stage.connect_over(narrow)).collect();
    for &peer in &polls {
        let first = stage.ask("GET /poll?ch=a&wait=0", "");
        let (sid, cursor) = (sid(&first), json(&first)["cursor"].as_str().expect("a cursor").to_owned());
        let poll = format!("GET /poll?ch=a&sid={sid}&since={cursor} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stage.write(peer, poll.as_bytes());
    }
    stage.settle();
    let told = stage.ask("POST /publish/a", &format!("\"{}\"", "x".repeat(LONG)));
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    let (images, outboxes) = (account::held(Part::Images), account::held(Part::Outboxes));
    assert!((LONG..2 * LONG).contains(&images), "{images} bytes wait for all");
    assert!(outboxes < POLLS * 1024, "{outboxes} bytes wait for one each");
    for peer in polls {
        assert_eq!(stage.read_on(peer, &"x".repeat(LONG)), 1);
    }
}

#[test]
fn who_types_is_told_of_once_in_a_while() {
    let mut stage = chat();
    let (watcher, sid) = stage.reader("ch=a&ch=b");
    stage.command(&sid, r#"{"op":"login","nick":"ann"}"#);
    let is_told = |stage: &mut Stage<Server>, room: &str| {
        stage.text(watcher);
        assert_eq!(stage.command(&sid, &format!(r#"{{"op":"typing","ch":"{room}"}}"#))["ok"], true);
        stage.text(watcher).contains("\"typing\"")
    };
    assert!(is_told(&mut stage, "a"));
    stage.pass(TYPING_MS - 100);
    assert!(!is_told(&mut stage, "a"));
    stage.pass(100);
    assert!(is_told(&mut stage, "a") && is_told(&mut stage, "b"), "another room is another matter");
}

#[test]
fn so_many_rooms_are_told_that_somebody_is_away() {
    let mut stage = chat();
    let rooms: Vec<String> = (0..=AWAY_ROOMS_MAX).map(|number| format!("r{number:03}")).collect();
    // No client reads them all; two tabs of one person do.
    let query = |rooms: &[String]| rooms.iter().map(|room| format!("ch={room}&")).collect::<String>();
    let tabs =
        rooms.chunks(AWAY_ROOMS_MAX / 2 + 1).map(|rooms| stage.reader(&query(rooms))).collect::<Vec<_>>();
    let mut secret = String::new();
    for (_, sid) in &tabs {
        let login =
            format!(r#"{{"op":"login","nick":"ann","secret":"{secret}"}}"#).replace(r#","secret":"""#, "");
        let reply = stage.command(sid, &login);
        assert_eq!(reply["ok"], true, "{reply}");
        secret = reply["secret"].as_str().map_or(secret, ToOwned::to_owned);
    }
    tabs.iter().for_each(|(peer, _)| drop(stage.text(*peer)));
    for (_, sid) in &tabs {
        assert_eq!(stage.command(sid, r#"{"op":"away","away":true}"#)["ok"], true);
    }
    stage.pass(10_000);
    let told: usize = tabs.iter().map(|(peer, _)| stage.read_on(*peer, "\"away\"")).sum();
    assert_eq!(told, AWAY_ROOMS_MAX, "one of the rooms is not told");
}

#[test]
fn so_many_clients_are_kept_for_each_connection() {
    let mut stage = stage(|config| config.connections = 2, Chat::new());
    let most = 2 * CLIENTS_PER_CONNECTION;
    let sids: Vec<String> = (0..=most)
        .map(|_| {
            stage.pass(100);
            stage.poller("ch=a")
        })
        .collect();
    let ping = r#"{"op":"ping"}"#;
    assert_eq!(stage.command(&sids[0], ping)["code"], "unknown_sid", "it was absent for longest");
    assert!(sids[1..].iter().all(|sid| stage.command(sid, ping)["ok"] == true));
}

#[test]
fn so_many_are_looked_at_for_one_that_is_idle() {
    let mut stage = stage(|config| config.connections = IDLE_LOOKS_MAX + 1, Chat::new());
    let busy: Vec<Peer> = (0..IDLE_LOOKS_MAX).map(|_| stage.reader("ch=a").0).collect();
    let idle = stage.connect();
    stage.settle();
    stage.pass(SPARED_MS + 100);
    let newcomer = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let refused = stage.say(newcomer);
    assert!(stage.text(refused).starts_with("HTTP/1.1 503"), "the idle one is behind those looked at");
    let admitted = stage.say(newcomer);
    assert!(stage.text(admitted).starts_with("HTTP/1.1 200"), "the next look goes on from there");
    assert!(stage.world().is_over(idle));
    stage.write(admitted, b"POST /publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1");
    stage.move_on();
    assert!(busy.iter().all(|&peer| stage.text(peer).contains("\"message\"")));
}

/// Sends events to the first client for as long as they are taken.
#[derive(Default)]
struct Flood {
    first: Option<ClientId>,
}

impl App for Flood {
    fn on_command(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        _: &Command<'_>,
    ) -> Result<Object, Refusal> {
        let to = *self.first.get_or_insert(client);
        let event = Object::event("flood").string("text", &"x".repeat(1_000));
        let taken = (0..10_000).take_while(|_| ctx.send(to, &event)).count();
        Ok(Object::new().number("taken", taken as u64).number("each", event.as_bytes().len() as u64))
    }
}

const NARROW: Buffers =
    Buffers { up_sending: 10_000, up_arrived: 10_000, down_sending: 500, down_arrived: 500 };

#[test]
fn so_many_bytes_of_events_wait_for_one() {
    let mut stage = stage(|_| {}, Flood::default());
    let stuck = stage.connect_over(NARROW);
    stage.write(stuck, b"GET /stream?ch=a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stage.move_on();
    let first = sid(&stage.text(stuck));
    let (other, second) = stage.reader("ch=a");
    let reply = stage.command(&first, r#"{"op":"flood"}"#);
    let (taken, each) =
        (reply["taken"].as_u64().expect("a number"), reply["each"].as_u64().expect("a number"));
    let most = SEND_QUEUE_BYTES_MAX as u64;
    assert!((taken - 1) * each <= most && taken * (each + 100) > most, "{taken} of {each}");
    // No more than what went out since is taken, and the other is served meanwhile.
    let more = stage.command(&second, r#"{"op":"flood"}"#)["taken"].as_u64().expect("a number");
    assert!(more <= 1, "{more}");
    stage.ask("POST /publish/a", "1");
    assert!(stage.text(other).contains("\"message\""));
    // Once it has read there is room again.
    let read = stage.read_on(stuck, "\"flood\"");
    assert_eq!(read as u64, taken + more, "what was taken comes");
    assert!(stage.command(&second, r#"{"op":"flood"}"#)["taken"].as_u64() > Some(0));
}

#[test]
fn so_much_of_the_log_waits_for_one() {
    const COUNT: usize = 200;
    let mut stage = chat();
    let stuck = stage.connect_over(NARROW);
    stage.write(stuck, b"GET /stream?ch=a&ch=b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stage.move_on();
    stage.text(stuck);
    let (other, _) = stage.reader("ch=a");
    let mut told = 0;
    for _ in 0..COUNT {
        stage.ask("POST /publish/a", &"1".repeat(1_000));
        told += stage.text(other).matches("\"message\"").count();
    }
    assert_eq!(told, COUNT, "who reads is told of each");
    let (mut text, mut most, mut before) = (String::new(), 0, None);
    while before != Some(text.len()) {
        before = Some(text.len());
        let links = stage.reactor.links();
        most = links.iter_from(0).map(|id| links.queued(id)).max().max(Some(most)).expect("two");
        stage.move_on();
        text += &stage.text(stuck);
    }
    assert!(most > HIGH_WATER_BYTES / 2 && most < HIGH_WATER_BYTES + 2_000, "{most}");
    assert_eq!(text.matches("\"message\"").count(), COUNT, "the rest waited in the log");
}

#[test]
fn so_many_rooms_are_listed_and_told() {
    let mut stage = chat();
    for number in 0..ROOMS_LISTED_MAX {
        stage.ask(&format!("POST /publish/silent{number}"), "1");
    }
    let (reader, sid) = stage.reader("ch=read");
    let rooms = &stage.command(&sid, r#"{"op":"rooms"}"#)["rooms"];
    assert_eq!(length(rooms), ROOMS_LISTED_MAX);
    // By users and by name: with the lobby, which is always there, two too many.
    assert!(
        ["lobby", "read"].iter().all(|name| rooms.to_string().contains(&format!("\"{name}\""))),
        "{rooms}"
    );
    let rooms: Vec<usize> = (0..NOTICE_ROOMS_MAX).collect();
    for some in rooms.chunks(SUBSCRIPTIONS_MAX) {
        stage.reader(&some.iter().map(|number| format!("ch=r{number}")).collect::<Vec<_>>().join("&"));
    }
    // One has two readers, so it is not the one that is left out.
    stage.reader("ch=read");
    let told = json(&stage.ask("POST /admin/notice", r#"{"text":"later"}"#));
    assert_eq!(told["rooms"], NOTICE_ROOMS_MAX);
    assert!(stage.text(reader).contains("\"later\""));
}

#[test]
fn so_many_people_are_listed() {
    let mut stage = chat();
    let mut last = String::new();
    for number in 0..=PEOPLE_LISTED_MAX {
        last = stage.poller("ch=a");
        let reply = stage.command(&last, &format!(r#"{{"op":"login","nick":"n{number}"}}"#));
        assert_eq!(reply["ok"], true, "{reply}");
    }
    let told = stage.command(&last, r#"{"op":"people","ch":"a"}"#);
    assert_eq!(
        (length(&told["people"]), &told["count"], &told["more"]),
        (PEOPLE_LISTED_MAX, &(PEOPLE_LISTED_MAX + 1).into(), &true.into())
    );
    let who = stage.command(&last, r#"{"op":"who","ch":"a"}"#);
    assert_eq!(
        (length(&who["users"]), &who["count"], &who["more"]),
        (PEOPLE_LISTED_MAX, &(PEOPLE_LISTED_MAX + 1).into(), &true.into())
    );
    let channel = json(&stage.ask("GET /channels/a", ""));
    assert_eq!((length(&channel["names"]), &channel["more"]), (PEOPLE_LISTED_MAX, &true.into()));
    let users = json(&stage.ask("GET /admin/users", ""));
    assert_eq!((length(&users["users"]), &users["more"]), (PEOPLE_LISTED_MAX, &true.into()));
}

#[test]
fn so_many_rooms_are_listed_anew_for_each_who_asks() {
    let mut stage = chat();
    let (_, sid) = stage.reader("ch=r0");
    let lists_news = |stage: &mut Stage<Server>, room: usize| {
        stage.command(&sid, &format!(r#"{{"op":"subscribe","ch":"r{room}"}}"#));
        let listed = stage.command(&sid, r#"{"op":"rooms"}"#).to_string();
        stage.command(&sid, &format!(r#"{{"op":"unsubscribe","ch":"r{room}"}}"#));
        listed.contains(&format!("{{\"name\":\"r{room}\",\"readers\":1,"))
    };
    for number in 1..ROOMS_FRESH_MAX {
        stage.ask(&format!("POST /publish/r{number}"), "1");
    }
    assert!(lists_news(&mut stage, 1) && lists_news(&mut stage, 10), "at the bound");
    stage.ask("POST /publish/another", "1");
    assert!(lists_news(&mut stage, 11), "made now, and kept");
    assert!(!lists_news(&mut stage, 12), "beyond it one list serves everybody");
    stage.pass(ROOMS_FRESH_MS + 100);
    assert!(lists_news(&mut stage, 13), "for a while");
}

#[test]
fn so_many_in_a_room_are_told_who_has_read() {
    let mut stage = chat();
    let (watcher, _) = stage.reader("ch=a");
    let message = json(&stage.ask("POST /publish/a", "1"))["id"].clone();
    for number in 1..=RECEIPT_ROOM_MAX + 1 {
        let sid = stage.poller("ch=a");
        stage.command(&sid, &format!(r#"{{"op":"login","nick":"n{number}"}}"#));
        let reply = stage.command(&sid, &format!(r#"{{"op":"read","ch":"a","id":{message}}}"#));
        assert_eq!(reply["ok"], true, "{reply}");
        let is_told = stage.text(watcher).contains("\"receipt\"");
        assert_eq!(is_told, number <= RECEIPT_ROOM_MAX, "{number}");
    }
}
