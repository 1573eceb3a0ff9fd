//! An application of one's own over real sockets: the callbacks, what may be done from within them, and
//! WebSockets that carry nothing but its messages.

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use common::client::{BINARY, TEXT, UPGRADE, frame};
use common::{Reader, Running, Way, refused, serve_app};
use encke::server::{App, ClientId, Command, Config, Ctx, Message, Object, Refusal, Request, Response};
use serde_json::json;

/// Tells the test of every call and does what messages and paths ask for.
struct Witness {
    told: Sender<String>,
    clients: Vec<ClientId>,
}

impl Witness {
    fn tell(&self, what: impl Into<String>) {
        // The test may have seen enough.
        let _ = self.told.send(what.into());
    }

    fn place(&self, client: ClientId) -> usize {
        self.clients.iter().position(|known| *known == client).expect("on_connect came first")
    }
}

impl App for Witness {
    fn on_start(&mut self, ctx: &mut Ctx<'_>) {
        self.tell("start");
        ctx.set_timer(60_000, 7);
    }

    fn on_connect(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        if request.parameter("token").as_deref() == Some("wrong") {
            return Err(Refusal::new(403, "wrong_token", "Show the right token.").with_retry(1_500));
        }
        self.clients.push(client);
        self.tell(format!("connect {}", self.place(client)));
        if request.parameter("token").as_deref() == Some("dismissed") {
            ctx.close(client, "dismissed");
        }
        Ok(())
    }

    fn on_return(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        if request.parameter("token").as_deref() == Some("dismissed") {
            ctx.close(client, "dismissed");
        }
        Ok(())
    }

    fn on_message(&mut self, ctx: &mut Ctx<'_>, client: ClientId, message: Message<'_>) {
        match message {
            Message::Text("close") => ctx.close(client, "asked for"),
            Message::Text("twice") => {
                ctx.close(client, "once");
                ctx.close(client, "twice");
                assert!(!ctx.send_message(client, Message::Text("late")));
                assert!(!ctx.is_present(client));
            }
            Message::Text("timer") => ctx.set_timer(5_000, 8),
            _ => assert!(ctx.send_message(client, message)),
        }
    }

    fn on_command(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        match command.op() {
            "join" => ctx.subscribe(client, &command.string("ch")?)?,
            "leave" => ctx.unsubscribe(client, &command.string("ch")?),
            "whisper" => assert!(ctx.send(client, &Object::event("whisper").number("volume", 1))),
            "shout" => ctx.tell(&command.string("ch")?, &Object::event("shout")),
            "say" => {
                let id = ctx.publish(&command.string("ch")?, Some("the app"), &command.json("data")?)?;
                return Ok(Object::new().string("id", &id));
            }
            "close" => ctx.close(client, "asked for"),
            other => return Err(Refusal::unknown_op(other)),
        }
        Ok(Object::new())
    }

    fn on_publish(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        channel: &str,
        _: &[u8],
    ) -> Result<(), Refusal> {
        if channel == "trap" {
            ctx.close(client, "trapped");
        }
        Ok(())
    }

    fn on_subscribe(&mut self, ctx: &mut Ctx<'_>, client: ClientId, channel: &str) -> Result<(), Refusal> {
        match channel {
            "secret" => return Err(Refusal::new(403, "secret", "Nobody reads this.")),
            "trap" => ctx.close(client, "trapped"),
            _ => {}
        }
        Ok(())
    }

    fn on_close(&mut self, ctx: &mut Ctx<'_>, client: ClientId) {
        assert!(!ctx.is_present(client) && !ctx.send(client, &Object::event("late")));
        self.tell(format!("close {}", self.place(client)));
        ctx.publish("departures", None, self.place(client).to_string().as_bytes()).expect("published");
    }

    fn on_timer(&mut self, _: &mut Ctx<'_>, tag: u64) {
        self.tell(format!("timer {tag}"));
    }

    fn on_request(&mut self, _: &mut Ctx<'_>, request: &Request<'_>) -> Response {
        let text = format!("{} {} {}", request.method(), request.path(), request.body.len());
        let value = request.header("x-echo").unwrap_or_default().to_owned();
        Response::text(200, text)
            .with_header("X-Echo", value + "\r\nX-Evil: 1")
            .with_header("X-Peer", request.peer().to_string())
    }
}

struct Told(Receiver<String>);

impl Told {
    #[track_caller]
    fn expect(&self, what: &str) {
        let told = self.0.recv_timeout(Duration::from_secs(5));
        assert_eq!(told.as_deref(), Ok(what));
    }
}

fn witnessed(change: impl FnOnce(&mut Config)) -> (Running, Told) {
    let (told, heard) = channel();
    let server = serve_app(change, || Box::new(Witness { told, clients: Vec::new() }));
    let heard = Told(heard);
    heard.expect("start");
    (server, heard)
}

/// A server whose every WebSocket is the application's.
fn raw() -> (Running, Told) {
    witnessed(|config| config.comet = false)
}

#[test]
fn each_client_connects_once_and_closes_once() {
    let (server, told) = witnessed(|config| config.grace_ms = 5_000);
    server.world.freeze();
    for (number, way) in
        [Way::WebSocket, Way::Sse, Way::Stream, Way::Iframe, Way::Poll].into_iter().enumerate()
    {
        let mut reader = Reader::open(&server, way, "ch=a");
        told.expect(&format!("connect {number}"));
        if way.is_poll() {
            reader.ask();
        }
        let query = format!("ch=a&sid={}&since={}", reader.sid, reader.cursor);
        let again = Reader::open(&server, Way::Stream, &query);
        drop((reader, again));
    }
    let mut watcher = Reader::open(&server, Way::WebSocket, "ch=departures&hb=1");
    told.expect("connect 5");
    // Those who went away without a word are found out by what is sent to them.
    server.publish("a", "1");
    server.publish("a", "2");
    let mut gone = Vec::new();
    while gone.len() < 5 {
        server.skip(5_000);
        let event = watcher.event();
        gone.extend((event["type"] == "message").then(|| event["data"].as_u64().expect("a number")));
    }
    gone.sort_unstable();
    assert_eq!(gone, [0, 1, 2, 3, 4]);
}

#[path = "../examples/dice.rs"]
#[allow(dead_code)]
mod dice;

/// An application that is built on the chat is the chat, and what it adds.
#[test]
fn the_chat_is_extended_by_a_command() {
    let server = serve_app(|_| {}, || Box::new(dice::Dice::default()));
    assert_eq!(server.get("/").status, 200, "the chat's page");
    assert_eq!(server.get("/sse").status, 400, "what the chat asks for");
    let mut reader = Reader::open(&server, Way::Sse, "ch=lobby");
    let roll = json!({"op": "roll", "ch": "lobby", "dice": [6, 20], "ref": 1});
    assert_eq!(refused(&server.command(&reader.sid, &json!({"op": "away", "away": true}))), "login_first");
    assert_eq!(server.command(&reader.sid, &json!({"op": "login", "nick": "ann"}))["ok"], true);
    reader.event_of("presence");
    let reply = server.command(&reader.sid, &roll);
    assert_eq!(reply["ok"], true, "{reply}");
    let thrown = reader.event_of("message");
    assert_eq!((&thrown["id"], &thrown["from"]), (&reply["id"], &json!("ann")));
    let text = thrown["data"]["text"].as_str().expect("a text").to_owned();
    let dice: Vec<u64> = text.split(' ').skip(1).map(|die| die.parse().expect("a number")).collect();
    assert!(matches!(dice[..], [1..=6, 1..=20]), "{text}");
    assert_eq!(
        refused(&server.command(&reader.sid, &json!({"op": "roll", "ch": "lobby", "dice": [1]}))),
        "bad_value"
    );
    assert_eq!(refused(&server.command(&reader.sid, &json!({"op": "rol", "ch": "lobby"}))), "unknown_op");
    assert_eq!(server.post_as_operator("/admin/mute", r#"{"user":"ann","seconds":60}"#).status, 200);
    assert_eq!(refused(&server.command(&reader.sid, &roll)), "muted", "the chat is asked");
}

#[test]
fn close_comes_after_connect_and_nothing_after_it() {
    let (server, told) = raw();
    for number in 0..3 {
        let mut client = server.connect();
        client.upgrade("/", "");
        told.expect(&format!("connect {number}"));
        client.send([frame(TEXT, "hello"), frame(TEXT, "twice"), frame(TEXT, "more")].concat());
        assert_eq!(client.frame(), (TEXT, b"hello".to_vec()));
        assert_eq!(client.closed(), (1001, "once".to_owned()));
        client.expect_end();
        told.expect(&format!("close {number}"));
    }
}

#[test]
fn a_client_that_its_own_call_ends_is_answered_and_gone() {
    let (server, told) = witnessed(|_| {});
    let mut number = 0;
    let mut gone = || {
        told.expect(&format!("connect {number}"));
        told.expect(&format!("close {number}"));
        number += 1;
    };
    for path in ["/sse", "/stream", "/iframe", "/ws", "/poll", "/poll?since=00000000-0"] {
        let mark = if path.contains('?') { '&' } else { '?' };
        let response = server.connect().ask("GET", &format!("{path}{mark}ch=trap"), UPGRADE, b"");
        assert_eq!((response.status, &*response.code()), (403, "dismissed"), "{path}");
        gone();
    }
    for op in ["subscribe", "publish", "who", "history"] {
        let command = json!({"op": op, "ch": "trap", "data": 1});
        let mut reader = Reader::open(&server, Way::WebSocket, "ch=a");
        reader.client.send(frame(TEXT, command.to_string()));
        let bye = reader.event_of("bye");
        assert_eq!(bye["why"], "trapped", "{op}");
        assert_eq!(reader.client.closed(), (1001, "trapped".to_owned()), "{op}");
        gone();
        let mut reader = Reader::open(&server, Way::Sse, "ch=a");
        assert_eq!(refused(&server.command(&reader.sid, &command)), "dismissed", "{op}");
        assert_eq!(reader.event_of("bye")["why"], "trapped");
        gone();
    }
    let mut reader = Reader::open(&server, Way::Sse, "ch=a");
    let response = server.get(&format!("/poll?ch=trap&sid={}", reader.sid));
    assert_eq!((response.status, &*response.code()), (403, "dismissed"), "one that comes back");
    assert_eq!(reader.event_of("bye")["why"], "trapped");
    gone();
    for command in [json!({"op": "ping"}), json!([{"op": "publish", "ch": "trap", "data": 1}])] {
        let mut reader = Reader::open(&server, Way::Sse, "ch=a");
        let path = format!("/send?sid={}&token=dismissed", reader.sid);
        let response = server.post(&path, command.to_string());
        assert_eq!(
            (response.status, &*response.code()),
            (403, "dismissed"),
            "one that comes back to say {command}"
        );
        assert_eq!(reader.event_of("bye")["why"], "dismissed");
        gone();
    }
    assert_eq!(server.get("/channels/trap").status, 404, "nothing was published, nobody reads");
}

#[test]
fn a_socket_that_just_ends_closes_too() {
    let (server, told) = raw();
    let mut client = server.connect();
    client.upgrade("/", "");
    told.expect("connect 0");
    drop(client);
    told.expect("close 0");
}

#[test]
fn an_echo_of_text_and_bytes() {
    let (server, _told) = raw();
    let (mut socket, _) =
        tungstenite::connect(format!("ws://{}/any/path", server.address)).expect("upgraded");
    let long = "é".repeat(100_000);
    for message in [
        tungstenite::Message::text("hello"),
        tungstenite::Message::text(""),
        tungstenite::Message::text(long),
        tungstenite::Message::binary((0..=255).collect::<Vec<u8>>()),
        tungstenite::Message::binary(Vec::new()),
    ] {
        socket.send(message.clone()).expect("sent");
        assert_eq!(socket.read().expect("an echo"), message);
    }
}

#[test]
fn a_message_of_sixteen_megabytes() {
    const BYTES: usize = 16 * 1024 * 1024;
    let (server, _told) = witnessed(|config| {
        config.comet = false;
        config.message_bytes = BYTES;
    });
    let mut client = server.connect();
    client.upgrade("/", "");
    let payload: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    client.send(frame(BINARY, &payload));
    let (first, echo) = client.frame();
    assert!(first == BINARY && echo == payload);
    // A byte more is known to be too much before it comes.
    client.send(&frame(BINARY, [&payload[..], b"!"].concat())[..14]);
    assert_eq!(client.closed().0, 1009);
}

#[test]
fn a_message_in_as_many_fragments_as_it_may_have() {
    const MOST: usize = encke::limits::FRAGMENTS_MAX as usize;
    let (server, _told) = raw();
    let mut client = server.connect();
    client.upgrade("/", "");
    let mut fragments = frame(0x01, "a");
    for _ in 0..MOST - 2 {
        fragments.extend(frame(0x00, "b"));
    }
    client.send(&fragments);
    client.send(frame(0x80, "c"));
    let (first, echo) = client.frame();
    assert_eq!((first, echo.len(), &echo[..2], &echo[MOST - 1..]), (TEXT, MOST, &b"ab"[..], &b"c"[..]));
    client.send(&fragments);
    client.send([frame(0x00, "b"), frame(0x00, "b")].concat());
    assert_eq!(client.closed().0, 1008, "one more than there may be");
}

#[test]
fn requests_are_the_applications() {
    let (server, _told) = raw();
    for path in ["/", "/ws", "/publish/a", "/anything?x=1"] {
        let response = server.connect().ask("POST", path, "X-Echo: a\tb\r\n", b"12345");
        let path = path.split('?').next().expect("a path");
        assert_eq!(response.text(), format!("POST {path} 5"));
        assert_eq!(response.header("x-evil"), None, "nobody adds a line");
        assert_eq!(response.header("x-peer"), Some("127.0.0.1"));
        assert!(response.header("x-echo").is_some_and(|value| value.ends_with("X-Evil: 1")), "{response:?}");
    }
    let (server, _told) = witnessed(|_| {});
    assert_eq!(server.get("/elsewhere").text(), "GET /elsewhere 0");
    assert_eq!(server.get("/healthz").text(), "ok\n");
}

#[test]
fn who_is_refused_never_was_there() {
    let (server, told) = witnessed(|_| {});
    for way in [Way::Sse, Way::Poll, Way::Stream] {
        let response = server.get(&format!("{}?ch=a&token=wrong", way.path()));
        assert_eq!((response.status, &*response.code()), (403, "wrong_token"));
        assert_eq!(response.header("retry-after"), Some("2"), "seconds, rounded up");
    }
    let fields = common::client::UPGRADE;
    assert_eq!(server.connect().ask("GET", "/ws?ch=a&token=wrong", fields, b"").status, 403);
    assert_eq!(server.counter("encke_clients"), 0);
    drop(Reader::open(&server, Way::Sse, "ch=a"));
    told.expect("connect 0");
    let response = server.get("/sse?ch=a&token=dismissed");
    assert_eq!((response.status, &*response.code()), (403, "dismissed"));
    told.expect("connect 1");
    told.expect("close 1");
    let response = server.get("/sse?ch=secret");
    assert_eq!((response.status, &*response.code()), (403, "secret"));

    let (server, told) = raw();
    assert_eq!(server.connect().ask("GET", "/?token=wrong", fields, b"").code(), "wrong_token");
    assert_eq!(server.connect().upgrade("/", "Origin: https://evil.example\r\n").status, 403);
    server.connect().upgrade("/", "");
    told.expect("connect 0");
}

#[test]
fn what_may_be_done_from_within() {
    let (server, _told) = witnessed(|_| {});
    let mut ann = Reader::open(&server, Way::WebSocket, "ch=a");
    let mut bob = Reader::open(&server, Way::Sse, "ch=b");
    assert_eq!(ann.command(&json!({"op": "whisper"}))["ok"], true);
    assert_eq!(ann.passed_over()[0], json!({"type": "whisper", "volume": 1}));
    server.command(&bob.sid, &json!({"op": "whisper"}));
    assert_eq!(bob.event()["type"], "whisper");

    ann.command(&json!({"op": "join", "ch": "b"}));
    let said = ann.command(&json!({"op": "say", "ch": "b", "data": 1}));
    let message = ann.event_of("message");
    assert_eq!((&message["id"], &message["from"]), (&said["id"], &json!("the app")));
    assert_eq!(bob.event()["from"], "the app");
    ann.command(&json!({"op": "leave", "ch": "b"}));
    ann.command(&json!({"op": "shout", "ch": "b"}));
    assert_eq!(bob.event()["type"], "shout");
    assert_eq!(common::refused(&ann.command(&json!({"op": "say", "ch": "a/b", "data": 1}))), "bad_channel");

    server.command(&bob.sid, &json!({"op": "close"}));
    assert_eq!(bob.event_of("bye")["why"], "asked for");
    bob.expect_end("asked for");
    assert_eq!(server.post(&format!("/send?sid={}", bob.sid), "{}").status, 410);
    ann.client.send(frame(TEXT, r#"{"op":"close"}"#));
    assert_eq!(ann.event_of("bye")["why"], "asked for");
    ann.expect_end("asked for");
}

#[test]
fn timers_come_in_their_time() {
    let (server, told) = raw();
    server.world.freeze();
    let mut client = server.connect();
    client.upgrade("/", "");
    told.expect("connect 0");
    client.send([frame(TEXT, "timer"), frame(TEXT, "set")].concat());
    client.frame();
    server.skip(5_000);
    told.expect("timer 8");
    server.skip(55_000);
    told.expect("timer 7");
}

#[test]
fn shutdown_closes_every_client() {
    let (server, told) = raw();
    server.world.freeze();
    let mut client = server.connect();
    client.upgrade("/", "");
    told.expect("connect 0");
    server.stop();
    assert_eq!(client.closed(), (1012, "shutdown".to_owned()));
    client.expect_end();
    drop(client);
    told.expect("close 0");
    server.join();
}

/// Whose pages may send what is the server's to say, for the application's paths too.
#[test]
fn a_preflight_for_a_path_of_the_applications() {
    let (server, _told) = witnessed(|config| config.origins = vec!["https://shop.example".to_owned()]);
    let ask = |origin: &str, fields: &str| {
        server.connect().ask("OPTIONS", "/own", &format!("Origin: https://{origin}\r\n{fields}"), b"")
    };
    let preflight = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
    let response = ask("shop.example", preflight);
    assert_eq!(response.status, 204);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(response.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
    let response = ask("evil.example", preflight);
    assert_eq!(
        (response.text().as_str(), response.header("access-control-allow-origin")),
        ("OPTIONS /own 0", None)
    );
    assert_eq!(ask("shop.example", "").text(), "OPTIONS /own 0", "a question to the application");
}
