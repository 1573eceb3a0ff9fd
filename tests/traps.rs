//! The traps of this trade (design, section 4), each a test by its name, over real sockets.
//!
//! Three need a kernel that obeys, and are shown to the reactor in `tests/reactor.rs`: the writable edge that
//! is consumed already, the stale event on a reused slot, and the exact turn at which a budget stops.

mod common;

use common::client::{TEXT, frame};
use common::{AS_OPERATOR, Client, Reader, Running, Way, refused, serve, serve_app};
use encke::server::{App, ClientId, Command, Ctx, Object, Refusal};
use serde_json::json;

#[test]
fn lost_edge_when_a_budget_stops_early() {
    let server = serve(|_| {});
    let mut client = server.connect();
    // More than is read from one connection in a turn; behind the last byte no edge comes any more.
    let body = "1".repeat(1024 * 1024 - 1);
    for _ in 0..4 {
        let response = client.post("/publish/a", &body);
        assert_eq!((response.status, &*response.code()), (413, "message_too_long"), "read to its end");
    }
}

#[test]
fn accept_at_the_descriptor_limit() {
    let server = serve(|_| {});
    let mut inside = server.connect();
    let counter = |client: &mut Client, name: &str| -> u64 {
        let text = client.ask("GET", "/metrics", AS_OPERATOR, b"").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.expect("a counter").parse().expect("a number")
    };
    counter(&mut inside, "encke_turns_total");
    server.world.set_no_descriptor(true);
    let mut waiting = server.connect();
    waiting.request("GET", "/healthz", "", b"");
    // Nobody is let in, those inside are served, and it is tried again and again, but not without a pause.
    server.world.freeze();
    while counter(&mut inside, "encke_accept_faults_total") == 0 {}
    let (turns, faults) =
        (counter(&mut inside, "encke_turns_total"), counter(&mut inside, "encke_accept_faults_total"));
    for _ in 0..20 {
        inside.get("/healthz");
    }
    assert!(counter(&mut inside, "encke_turns_total") < turns + 50, "no spin");
    for retry in 1..4 {
        server.world.skip(100);
        counter(&mut inside, "encke_accept_faults_total");
        assert_eq!(counter(&mut inside, "encke_accept_faults_total"), faults + retry, "no stall");
    }
    server.world.set_no_descriptor(false);
    server.world.skip(100);
    inside.get("/healthz");
    assert_eq!(waiting.response().status, 200);
}

#[test]
fn table_full() {
    let server = serve(|config| config.connections = 2);
    // One that is between two requests would make room.
    let (mut first, mut second) = (server.connect(), server.connect());
    for client in [&mut first, &mut second] {
        assert_eq!(client.upgrade("/ws?ch=a", "").status, 101);
    }
    first.frame();
    for _ in 0..3 {
        let mut third = server.connect();
        third.request("GET", "/healthz", "", b"");
        let response = third.response();
        assert_eq!((response.status, &*response.code()), (503, "full"));
        assert_eq!(
            (response.header("retry-after"), response.header("connection")),
            (Some("5"), Some("close"))
        );
        third.expect_end();
    }
    first.send(frame(0x89, ""));
    assert_eq!(first.frame(), (0x8a, vec![]), "those inside notice nothing");
    second.send(frame(0x88, ""));
    second.wait_for_death();
    drop(second);
    for _ in 0..2 {
        first.send(frame(0x89, ""));
        first.frame();
    }
    assert_eq!(server.get("/healthz").status, 200, "there is room again");
}

#[test]
fn half_close_after_a_complete_request() {
    let server = serve(|_| {});
    server.publish("a", format!("\"{}\"", "x".repeat(60_000)));
    for path in ["/healthz", "/channels/a/history", "/nowhere"] {
        let mut client = server.connect();
        client.request("GET", path, "", b"");
        client.half_close();
        let response = client.response();
        assert_eq!(response.status, if path == "/nowhere" { 404 } else { 200 });
        client.expect_end();
    }
    let mut client = server.connect();
    client.send("POST /publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n1");
    client.half_close();
    client.expect_end();
    assert_eq!(server.get("/channels/a").json()["kept"], 1, "half a request is none");
}

#[test]
fn a_reset_that_eats_the_last_response() {
    let server = serve(|_| {});
    for round in 0..20 {
        let mut client = server.connect();
        client.send("POST /publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n");
        // What nobody will read is there when the socket is closed, and comes on behind.
        client.send(vec![b'x'; round * 20_000]);
        assert_eq!(client.response().status, 413);
        client.expect_end();
    }
}

#[test]
fn slow_reader() {
    let server = serve(|config| config.bounds.channel_messages = 50);
    let mut stuck = Reader::over(Client::connect_small(server.address), Way::WebSocket, "ch=a", "");
    let mut quick = Reader::open(&server, Way::Sse, "ch=a");
    for number in 0..200 {
        server.publish("a", format!("[{number},\"{}\"]", "x".repeat(20_000)));
        assert_eq!(quick.message()[0], number, "nobody waits for those who are stuck");
    }
    // A ring and a few buffers, not two hundred messages: its place in the log is all that is kept for it.
    let first = stuck.message()[0].as_u64().expect("a number");
    let mut event = stuck.event();
    while event["type"] == "message" {
        event = stuck.event();
    }
    assert_eq!((first, &event["type"], &event["why"]), (0, &json!("gap"), &json!("evicted")));
    assert_eq!(stuck.message()[0], 150, "the oldest that is kept");
}

#[test]
fn head_in_dribbles() {
    let server = serve(|_| {});
    server.world.freeze();
    let mut client = server.connect();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nCookie: {}\r\n\r\n", "x".repeat(15_000));
    for byte in head.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response().status, 200);
    // Every byte may come in time and the head still be late: the deadline is that of the first byte.
    client.send("GET /");
    for _ in 0..9 {
        server.settle();
        server.skip(1_100);
        client.send("x");
    }
    assert_eq!(client.response().status, 408);
}

#[test]
fn bytes_after_the_upgrade_request() {
    let server = serve(|_| {});
    let mut client = server.connect();
    let head = format!("GET /ws?ch=a HTTP/1.1\r\nHost: localhost\r\n{}\r\n", common::client::UPGRADE);
    let ping = frame(TEXT, r#"{"op":"ping","ref":"early"}"#);
    client.send([head.as_bytes(), &ping, &ping[..5]].concat());
    assert_eq!(client.head().status, 101);
    let text = |client: &mut Client| String::from_utf8(client.frame().1).expect("UTF-8");
    assert!(text(&mut client).contains("welcome"));
    assert!(text(&mut client).contains("early"));
    client.send(&ping[5..]);
    assert!(text(&mut client).contains("early"), "the half of a frame that came with the request was kept");
}

/// Publishes when somebody comes, sends somebody away when a message is published, and publishes in between.
struct Domino {
    clients: Vec<ClientId>,
}

impl App for Domino {
    fn on_connect(
        &mut self,
        _: &mut Ctx<'_>,
        client: ClientId,
        _: &encke::server::Request<'_>,
    ) -> Result<(), Refusal> {
        self.clients.push(client);
        Ok(())
    }

    fn on_command(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        _: &Command<'_>,
    ) -> Result<Object, Refusal> {
        ctx.publish("a", None, b"\"first\"")?;
        if let Some(next) = self.clients.iter().copied().find(|other| *other != client) {
            ctx.close(next, "pushed");
        }
        ctx.publish("a", None, b"\"second\"")?;
        Ok(Object::new())
    }

    fn on_close(&mut self, ctx: &mut Ctx<'_>, client: ClientId) {
        self.clients.retain(|known| *known != client);
        ctx.publish("a", None, format!("{{\"left\":{}}}", self.clients.len()).as_bytes()).expect("published");
        if self.clients.len() > 1 {
            ctx.close(self.clients[1], "pushed");
        }
    }
}

#[test]
fn publish_inside_on_close_inside_publish() {
    let server = serve_app(|_| {}, || Box::new(Domino { clients: Vec::new() }));
    let mut pusher = Reader::open(&server, Way::WebSocket, "ch=a");
    let fallen: Vec<Reader> = (0..5).map(|_| Reader::open(&server, Way::Sse, "ch=a")).collect();
    assert_eq!(pusher.command(&json!({"op": "push"}))["ok"], true);
    let told: Vec<_> = (0..7).map(|_| pusher.unread_event()["data"].clone()).collect();
    let mut expected = vec![json!("first"), json!("second")];
    expected.extend((1..=5).rev().map(|left| json!({ "left": left })));
    assert_eq!(told, expected, "in order, each once");
    for mut reader in fallen {
        while reader.event()["type"] != "bye" {}
        reader.expect_end("pushed");
    }
}

#[test]
fn newline_in_sse_data() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::Sse, "ch=a");
    for text in
        ["a\nb", "a\r\nb", "a\rb", "\n\nid: 0badcafe-9\nevent: bye\n\n", "\u{2028}\u{2029}\u{85}\u{b}"]
    {
        server.publish("a", text);
        server.publish("a", json!({ text: [text] }).to_string());
        assert_eq!((reader.message(), reader.message()), (json!(text), json!({ text: [text] })));
    }
}

#[test]
fn end_of_script_in_an_iframe() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.request("GET", "/iframe?ch=a", "", b"");
    client.until("-->\n");
    client.until("\n");
    for text in ["</script>", "<!--", "<script", "</SCRIPT\t>", "]]>", "\u{2028}"] {
        server.publish("a", text);
        server.publish("a", json!({ text: 1 }).to_string());
        for _ in 0..2 {
            let call = client.until("\n");
            let inside = call.strip_prefix("<script>").and_then(|call| call.strip_suffix("</script>\n"));
            let inside = inside.unwrap_or_else(|| panic!("no call: {call}"));
            assert!(!inside.contains(['<', '\u{2028}', '\u{2029}']), "{call}");
        }
    }
}

#[test]
fn line_end_in_a_header() {
    let server = serve(|config| config.origins = vec!["*".to_owned()]);
    let mut client = server.connect();
    let evil = "%0d%0aX-Evil:%20yes%0d%0a%0d%0a";
    for path in ["/iframe?ch=a&callback=", "/poll?ch=a&since=", "/poll?ch=", "/channels/", "/nowhere/"] {
        let response = client.get(&format!("{path}{evil}"));
        assert!(response.status >= 400 && response.header("x-evil").is_none(), "{response:?}");
    }
    // What stands in a field of a request can't hold a line end: it is two fields, or no request.
    let response = client.ask("GET", "/healthz", "Origin: https://a\rX-Evil: yes\r\n", b"");
    assert_eq!((response.status, &*response.code()), (400, "bare_carriage_return"));
}

#[test]
fn request_smuggling() {
    let server = serve(|_| {});
    let smuggled = "POST /publish/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1";
    let length = smuggled.len();
    let shapes = [
        ("both lengths", format!("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}")),
        (
            "the same turned round",
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        ("doubled lengths", format!("Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{smuggled}")),
        ("doubled and equal", format!("Content-Length: 0\r\nContent-Length: 0\r\n\r\n{smuggled}")),
        ("a list of lengths", format!("Content-Length: 0, {length}\r\n\r\n{smuggled}")),
        ("a length with a sign", format!("Content-Length: +0\r\n\r\n{smuggled}")),
        ("a length in hexadecimal", format!("Content-Length: 0x0\r\n\r\n{smuggled}")),
        ("a negative length", format!("Content-Length: -1\r\n\r\n{smuggled}")),
        ("an empty length", format!("Content-Length: \r\n\r\n{smuggled}")),
        ("a space before the colon", format!("Content-Length : 0\r\n\r\n{smuggled}")),
        ("a folded line", format!("X: y\r\n Content-Length: 0\r\n\r\n{smuggled}")),
        ("a folded coding", format!("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{smuggled}")),
        ("a bare LF", format!("X: y\nContent-Length: 0\r\n\r\n{smuggled}")),
        ("a bare LF at the end", format!("Content-Length: 0\r\n\n{smuggled}")),
        ("a NUL", format!("X: \0\r\nContent-Length: 0\r\n\r\n{smuggled}")),
        ("another coding", format!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}")),
        ("chunked twice", format!("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n{smuggled}")),
        (
            "two codings",
            format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        ("a vertical tab", format!("Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n{smuggled}")),
        ("a chunk size with a sign", format!("Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n{smuggled}")),
        (
            "a chunk size of more than 64 bits",
            format!("Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{smuggled}"),
        ),
        ("a chunk line with LF alone", format!("Transfer-Encoding: chunked\r\n\r\n0\n\n{smuggled}")),
        (
            "a chunk longer than it says",
            format!("Transfer-Encoding: chunked\r\n\r\n1\r\n12\r\n0\r\n\r\n{smuggled}"),
        ),
        ("a LF in a chunk extension", format!("Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n{smuggled}")),
    ];
    for (what, shape) in &shapes {
        let mut client = server.connect();
        client.send(format!("POST /publish/a HTTP/1.1\r\nHost: localhost\r\n{shape}"));
        let response = client.response();
        assert!(matches!(response.status, 400 | 501), "{what}: {response:?}");
        assert_eq!(response.header("connection"), Some("close"), "{what}");
        client.expect_end();
    }
    let mut client = server.connect();
    client.send(format!("POST /publish/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"));
    assert_eq!(client.response().status, 400);
    assert_eq!(server.get("/channels/smuggled").status, 404, "none of them got through");
}

#[test]
fn foreign_origin() {
    let server = serve(|_| {});
    let sid = Reader::open(&server, Way::Sse, "ch=a").sid;
    let send = format!("/send?sid={sid}");
    let requests = [
        ("POST", "/publish/a", ""),
        ("POST", &send, ""),
        ("DELETE", "/channels/a", ""),
        ("GET", "/channels", ""),
        ("GET", "/metrics", ""),
        ("GET", "/sse?ch=a", ""),
        ("GET", "/ws?ch=a", common::client::UPGRADE),
    ];
    for (method, path, fields) in requests {
        for origin in
            ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"]
        {
            let response = server.connect().ask(method, path, &format!("{fields}{origin}"), b"");
            assert_eq!((response.status, &*response.code()), (403, "foreign_origin"), "{path} {origin}");
        }
    }
}

#[test]
fn recovery_before_the_first_message() {
    let server = serve(|_| {});
    for way in [Way::WebSocket, Way::Sse, Way::Stream, Way::Iframe, Way::Poll] {
        server.publish("a", "\"before\"");
        let cursor = Reader::open(&server, way, "ch=a").cursor;
        server.publish("a", "\"between\"");
        let mut reader = Reader::open_with(&server, way, "ch=a", &format!("Last-Event-ID: {cursor}\r\n"));
        assert_eq!(reader.message(), "between", "the connection is as good as its welcome");
    }
}

#[test]
fn two_messages_in_one_poll() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::Poll, "ch=a&ch=b");
    reader.ask();
    server.settle();
    assert_eq!(server.post("/publish", "{\"ch\":\"a\",\"data\":1}\n{\"ch\":\"b\",\"data\":2}").status, 200);
    let body = reader.client.response().json();
    assert_eq!(body["events"].as_array().map(Vec::len), Some(2));
    assert_eq!((&body["events"][0]["data"], &body["events"][1]["data"]), (&json!(1), &json!(2)));
    assert_eq!(body["cursor"], body["events"][1]["id"]);
}

#[test]
fn two_requests_at_once_with_one_sid() {
    let server = serve(|_| {});
    let mut first = Reader::open(&server, Way::Poll, "ch=a");
    first.ask();
    server.settle();
    let target = format!("/poll?ch=a&sid={}&since={}&wait=5", first.sid, first.cursor);
    let mut second = server.connect();
    second.request("GET", &target, "", b"");
    let bye = first.client.response().json();
    assert_eq!((&bye["events"][0]["type"], &bye["events"][0]["why"]), (&json!("bye"), &json!("replaced")));
    server.publish("a", "1");
    assert_eq!(second.response().json()["events"][0]["data"], 1, "told once, to the one that asked last");
    assert_eq!(first.client.get("/healthz").status, 200, "its connection may ask for something else");
}

#[test]
fn a_message_published_between_two_polls() {
    let server = serve(|_| {});
    for way in [Way::Poll, Way::Jsonp] {
        let server = if way == Way::Jsonp { &serve(|config| config.jsonp = true) } else { &server };
        let mut reader = Reader::open(server, way, "ch=a");
        for number in 0..10 {
            server.publish("a", number.to_string());
            assert_eq!(reader.message(), number);
        }
    }
}

#[test]
fn the_wall_clock_set_back_an_hour() {
    let server = serve(|config| config.grace_ms = 5_000);
    server.world.freeze();
    let mut reader = Reader::open(&server, Way::Sse, "ch=a&hb=1");
    let before = server.publish("a", "1");
    server.world.move_wall(-3_600_000);
    let after = server.publish("a", "2");
    let (first, second) = (reader.event_of("message"), reader.event_of("message"));
    assert_eq!(
        (&first["id"], &second["id"]),
        (&json!(before), &json!(after)),
        "order is not a matter of clocks"
    );
    assert!(second["at"].as_u64() < first["at"].as_u64(), "but a message says what the clock says");
    server.skip(1_000);
    reader.event_of("heartbeat");
    let kept = server.get("/channels/a").json();
    assert_eq!(kept["kept"], 2, "nothing is too old, or kept for an hour more");
    server.world.move_wall(7_200_000);
    server.publish("a", "3");
    assert_eq!(reader.message(), 3);
    let mut late = Reader::open(&server, Way::Poll, &format!("ch=a&since={before}"));
    assert_eq!((late.message(), late.message()), (json!(2), json!(3)));
}

#[test]
fn garbage_in_last_event_id() {
    let server = serve(|_| {});
    server.publish("a", "1");
    for garbage in [&b"0"[..], b"\xff\xfe", b"undefined", b"null", b"0badcafe-1, 0badcafe-2", &[b'9'; 4_000]]
    {
        let mut client = server.connect();
        client.send(
            [b"GET /sse?ch=a HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: ", garbage, b"\r\n\r\n"].concat(),
        );
        assert_eq!(client.head().status, 200, "a browser would never come back from a refusal");
        assert!(client.until("\n\n").contains("event: welcome"));
        assert!(client.until("\n\n").contains("event: gap"));
        assert!(client.until("\n\n").contains("\"data\":1"));
    }
}

/// What a watcher of `a` is told of presence.
#[track_caller]
fn presence(watcher: &mut Reader) -> (String, String) {
    let event = watcher.event_of("presence");
    let text = |name: &str| event[name].as_str().expect("text").to_owned();
    (text("event"), text("user"))
}

/// Goes away and is known to be gone.
fn leave(server: &Running, reader: &mut Reader) {
    reader.client.half_close();
    reader.client.wait_for_death();
    server.settle();
}

#[test]
fn a_users_second_tab() {
    let server = serve(|config| config.grace_ms = 5_000);
    server.world.freeze();
    let mut watcher = Reader::open(&server, Way::Sse, "ch=a");
    let mut first = Reader::open(&server, Way::WebSocket, "ch=a");
    let mut second = Reader::open(&server, Way::WebSocket, "ch=a");
    let secret = first.command(&json!({"op": "login", "nick": "ann"}))["secret"].clone();
    assert_eq!(refused(&second.command(&json!({"op": "login", "nick": "ann"}))), "nick_taken");
    let login = json!({"op": "login", "nick": "ann", "secret": secret});
    assert_eq!(second.command(&login)["ok"], true);
    assert_eq!(presence(&mut watcher), ("join".to_owned(), "ann".to_owned()));
    leave(&server, &mut first);
    server.skip(5_000);
    assert_eq!(server.get("/channels/a").json()["names"], json!(["ann"]));
    server.publish("a", "1");
    assert_eq!(watcher.message(), 1, "one tab of two is nobody's news");
    leave(&server, &mut second);
    server.skip(5_000);
    assert_eq!(presence(&mut watcher), ("leave".to_owned(), "ann".to_owned()));
}

#[test]
fn a_poller_who_is_present_between_two_polls() {
    let server = serve(|config| config.grace_ms = 5_000);
    server.world.freeze();
    let mut watcher = Reader::open(&server, Way::Sse, "ch=a");
    let mut ann = Reader::open(&server, Way::Poll, "ch=a");
    server.command(&ann.sid, &json!({"op": "login", "nick": "ann"}));
    assert_eq!(presence(&mut watcher), ("join".to_owned(), "ann".to_owned()));
    for number in 0..4 {
        server.skip(4_000);
        assert_eq!(server.get("/channels/a").json()["names"], json!(["ann"]));
        server.publish("a", number.to_string());
        assert_eq!(watcher.message(), number);
        while ann.event()["data"] != number {}
    }
    server.skip(5_000);
    assert_eq!(presence(&mut watcher), ("leave".to_owned(), "ann".to_owned()));
}

#[test]
fn shutdown_with_open_streams_ends_at_once() {
    let server = serve(|config| config.jsonp = true);
    let readers: Vec<Reader> =
        Way::ALL.iter().cycle().take(60).map(|way| Reader::open(&server, *way, "ch=a")).collect();
    let mut idle = server.connect();
    server.settle();
    // Whatever waits for a time to pass waits for ever.
    server.world.freeze();
    server.stop();
    for mut reader in readers {
        if !reader.way.is_poll() {
            assert_eq!(reader.event_of("bye")["why"], "shutdown");
            reader.expect_end("shutdown");
        }
    }
    idle.expect_end();
    drop(idle);
    server.join();
}
