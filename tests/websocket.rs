//! WebSocket over real sockets: RFC 6455 as a browser speaks it, as another's client does, and as nobody should.

#[macro_use]
mod common;

use common::client::{BINARY, CLOSE, PING, PONG, TEXT, frame};
use common::inflate::inflate;
use common::{Client, Reader, Way, serve};
use serde_json::{Value, json};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

stories!(Way::WebSocket);

/// A connection that has just become a WebSocket and read its welcome.
fn socket(server: &common::Running) -> Client {
    Reader::open(server, Way::WebSocket, "ch=a").client
}

#[test]
fn a_client_that_no_one_here_wrote() {
    let server = serve(|_| {});
    let (mut socket, _) = tungstenite::connect(format!("ws://{}/ws?ch=a", server.address)).expect("upgraded");
    let read = |socket: &mut WebSocket<_>| -> Value {
        let text = socket.read().expect("a message").into_text().expect("text");
        serde_json::from_str(&text).expect("JSON")
    };
    assert_eq!(read(&mut socket)["type"], "welcome");
    socket.send(Message::text(r#"{"op":"publish","ref":1,"ch":"a","data":"hello"}"#)).expect("sent");
    let (reply, message) = (read(&mut socket), read(&mut socket));
    assert_eq!((&reply["type"], &reply["ref"], &reply["ok"]), (&json!("reply"), &json!(1), &json!(true)));
    assert_eq!((&message["data"], &message["id"]), (&json!("hello"), &reply["id"]));
    socket.send(Message::Ping(b"are you there"[..].into())).expect("sent");
    assert_eq!(socket.read().expect("a pong"), Message::Pong(b"are you there"[..].into()));
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    socket.close(Some(goodbye)).expect("sent");
    assert!(matches!(socket.read(), Ok(Message::Close(Some(frame))) if frame.code == CloseCode::Normal));
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
}

#[test]
fn an_ordinary_request_is_told_what_this_is() {
    let server = serve(|_| {});
    let response = server.get("/ws?ch=a");
    assert_eq!((response.status, &*response.code()), (426, "upgrade_required"));
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert!(response.header("connection").is_some_and(|options| options.contains("Upgrade")), "{response:?}");
}

#[test]
fn a_handshake_that_does_not_hold() {
    let server = serve(|_| {});
    let (upgrade, connection) = ("Upgrade: websocket\r\n", "Connection: Upgrade\r\n");
    let (key, version) = ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Version: 13\r\n");
    let refused = |fields: &[&str]| {
        let response = server.connect().ask("GET", "/ws?ch=a", &fields.concat(), b"");
        (response.status, response.code(), response.header("sec-websocket-version").map(str::to_owned))
    };
    let is = |status: u16, code: &str| (status, code.to_owned(), None);
    assert_eq!(refused(&[connection, key, version]), is(426, "upgrade_required"));
    assert_eq!(refused(&[upgrade, key, version]), is(426, "upgrade_required"));
    assert_eq!(refused(&[upgrade, connection, version]), is(400, "websocket_key"));
    assert_eq!(refused(&[upgrade, connection, version, key, key]), is(400, "websocket_key"));
    assert_eq!(
        refused(&[upgrade, connection, version, "Sec-WebSocket-Key: c2hvcnQ=\r\n"]),
        is(400, "websocket_key")
    );
    let old = refused(&[upgrade, connection, key, "Sec-WebSocket-Version: 8\r\n"]);
    assert_eq!(old, (426, "websocket_version".to_owned(), Some("13".to_owned())));

    let mut client = server.connect();
    client
        .send(format!("GET /ws?ch=a HTTP/1.0\r\nHost: localhost\r\n{upgrade}{connection}{key}{version}\r\n"));
    assert_eq!(client.response().status, 426, "RFC 9110, section 7.8: not in HTTP/1.0");
    assert_eq!(server.counter("encke_clients"), 0);
}

#[test]
fn tokens_in_any_case_and_company() {
    let server = serve(|_| {});
    let fields = "UPGRADE: h2c, WebSocket\r\nconnection: keep-alive, uPgRaDe\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(server.connect().ask("GET", "/ws?ch=a", fields, b"").status, 101);
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let server = serve(|_| {});
    let mut client = socket(&server);
    for payload in [&b""[..], b"hello", &[0xff; 125]] {
        client.send(frame(PING, payload));
        assert_eq!(client.frame(), (PONG, payload.to_vec()));
    }
    client.send(frame(PONG, "nobody asked"));
    client.send(frame(PING, "still here"));
    assert_eq!(client.frame(), (PONG, b"still here".to_vec()));
}

#[test]
fn a_message_in_fragments_with_a_ping_between_them() {
    let server = serve(|_| {});
    let mut client = socket(&server);
    client.send(frame(0x01, r#"{"op":"#));
    client.send(frame(0x00, ""));
    client.send(frame(PING, "between"));
    client.send(frame(0x00, r#""ping","ref":""#));
    // A character may be cut in two.
    let tail = "é\"}".as_bytes();
    client.send(frame(0x00, &tail[..1]));
    client.send(frame(0x80, &tail[1..]));
    assert_eq!(client.frame(), (PONG, b"between".to_vec()));
    let (first, reply) = client.frame();
    let reply: Value = serde_json::from_slice(&reply).expect("JSON");
    assert_eq!((first, &reply["ref"], &reply["ok"]), (TEXT, &json!("é"), &json!(true)));
}

#[test]
fn frames_in_dribbles() {
    let server = serve(|_| {});
    let mut client = socket(&server);
    let long = format!(r#"{{"op":"ping","ref":1,"note":"{}"}}"#, "x".repeat(300));
    for byte in frame(TEXT, long) {
        client.send([byte]);
    }
    assert_eq!(client.frame().0, TEXT);
}

#[test]
fn a_close_is_answered_in_kind() {
    let server = serve(|_| {});
    for code in [1000_u16, 1001, 3000, 4999] {
        let mut client = socket(&server);
        client.send(frame(CLOSE, [&code.to_be_bytes()[..], b"bye"].concat()));
        assert_eq!(client.closed().0, code);
        client.expect_end();
    }
    let mut client = socket(&server);
    client.send(frame(CLOSE, ""));
    assert_eq!(client.frame(), (CLOSE, Vec::new()));
    client.expect_end();
}

#[test]
fn what_breaks_the_protocol_is_told_with_its_code() {
    let server = serve(|config| config.bounds.message_bytes = 1000);
    let unmasked = [TEXT, 2, b'{', b'}'];
    let long_ping = frame(PING, [0; 126]);
    let cases: [(&str, Vec<u8>, u16); 12] = [
        ("no mask", unmasked.to_vec(), 1002),
        ("reserved bit", frame(TEXT | 0x40, "{}"), 1002),
        ("reserved opcode", frame(0x83, ""), 1002),
        ("reserved control opcode", frame(0x8b, ""), 1002),
        ("fragmented ping", frame(0x09, ""), 1002),
        ("long ping", long_ping, 1002),
        ("continuation of nothing", frame(0x80, "x"), 1002),
        ("message within a message", [frame(0x01, "a"), frame(TEXT, "b")].concat(), 1002),
        ("close code of one byte", frame(CLOSE, [3]), 1002),
        ("close code that nobody may send", frame(CLOSE, 1005_u16.to_be_bytes()), 1002),
        ("text that is no UTF-8", frame(TEXT, [0xc3, 0x28]), 1007),
        ("too long", frame(TEXT, "x".repeat(7000)), 1009),
    ];
    for (what, bytes, code) in cases {
        let mut client = socket(&server);
        client.send(bytes);
        let (told, reason) = client.closed();
        assert_eq!(told, code, "{what}: {reason}");
        assert!(!reason.is_empty(), "{what}");
        client.expect_end();
    }
}

#[test]
fn a_length_is_refused_before_its_bytes_come() {
    let server = serve(|_| {});
    let mut client = socket(&server);
    client.send([TEXT, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
    assert_eq!(client.closed().0, 1009);
}

#[test]
fn a_binary_message_is_refused_and_the_next_one_heard() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::WebSocket, "ch=a");
    reader.client.send(frame(BINARY, [0, 1, 2]));
    assert_eq!(common::refused(&reader.event_of("reply")), "binary");
    assert_eq!(reader.command(&json!({"op": "ping", "ref": 2}))["ok"], true);
}

#[test]
fn many_commands_at_once_are_answered_in_order() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::WebSocket, "ch=a");
    let commands: Vec<u8> =
        (0..500).flat_map(|number| frame(TEXT, format!(r#"{{"op":"ping","ref":{number}}}"#))).collect();
    reader.client.send(commands);
    for number in 0..500 {
        assert_eq!(reader.event_of("reply")["ref"], number);
    }
}

#[test]
fn a_client_that_half_closes_is_gone() {
    let server = serve(|_| {});
    let mut client = socket(&server);
    client.half_close();
    client.expect_end();
}

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
const NARROW: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8\r\n";

/// The object of the next frame, and whether it came compressed.
fn object(client: &mut Client, window: usize) -> (Value, bool) {
    let (first, payload) = client.frame();
    let is_deflated = first == TEXT | 0x40;
    assert!(is_deflated || first == TEXT, "{first:x}");
    let payload = if is_deflated { inflate(&payload, window).expect("whole") } else { payload };
    (serde_json::from_slice(&payload).expect("JSON"), is_deflated)
}

#[test]
fn a_message_is_compressed_once_for_all() {
    let server = serve(|_| {});
    let mut readers: Vec<(Client, usize)> = [DEFLATE, DEFLATE, DEFLATE, NARROW, NARROW, ""]
        .iter()
        .map(|fields| {
            let mut client = server.connect();
            assert_eq!(client.upgrade("/ws?ch=a", fields).status, 101);
            let window = if *fields == NARROW { 1 << 8 } else { 1 << 15 };
            assert_eq!(object(&mut client, window).0["type"], "welcome");
            (client, window)
        })
        .collect();
    let (long, short) = ("all the same, ".repeat(100), "short");
    server.publish("a", &long);
    server.publish("a", short);
    for (index, (client, window)) in readers.iter_mut().enumerate() {
        let (message, is_deflated) = object(client, *window);
        assert_eq!((&message["data"], is_deflated), (&json!(long), index < 5), "reader {index}");
        let (message, is_deflated) = object(client, *window);
        assert_eq!((&message["data"], is_deflated), (&json!(short), false), "reader {index}");
    }
    assert_eq!(server.counter("encke_deflated_total"), 2, "once for each window");
    assert!(
        server.counter("encke_deflated_bytes_total") < server.counter("encke_deflated_plain_bytes_total")
    );
}

#[test]
fn many_messages_at_once_are_joined_compressed() {
    let server = serve(|_| {});
    let mut client = server.connect();
    assert_eq!(client.upgrade("/ws?ch=a", DEFLATE).status, 101);
    object(&mut client, 1 << 15);
    let line = |n: usize| json!({"ch": "a", "data": format!("{n} {}", "word ".repeat(n * 20))}).to_string();
    let batch: Vec<String> = (0..40).map(line).collect();
    assert_eq!(server.post("/publish", batch.join("\n")).status, 200);
    for n in 0..40 {
        let (message, is_deflated) = object(&mut client, 1 << 15);
        assert!(message["data"].as_str().is_some_and(|data| data.starts_with(&format!("{n} "))), "{message}");
        assert!(is_deflated || n < 5);
    }
}

#[test]
fn commands_and_their_replies_may_be_compressed() {
    let server = serve(|_| {});
    let mut client = server.connect();
    assert_eq!(client.upgrade("/ws?ch=a", DEFLATE).status, 101);
    object(&mut client, 1 << 15);
    // {"op":"ping"}, by RFC 7692, section 7.2.3.3: without compression.
    let plain = br#"{"op":"ping"}"#;
    let stored = [&[0, plain.len() as u8, 0, !(plain.len() as u8), 0xff], &plain[..], &[0]].concat();
    client.send(frame(TEXT | 0x40, stored));
    assert_eq!(object(&mut client, 1 << 15).0["ok"], true);
    for _ in 0..20 {
        server.publish("a", "a line of the history that is asked for");
        object(&mut client, 1 << 15);
    }
    client.send(frame(TEXT, r#"{"op":"history","ref":1,"ch":"a"}"#));
    let (reply, is_deflated) = object(&mut client, 1 << 15);
    assert!(is_deflated);
    assert_eq!(reply["messages"].as_array().map(Vec::len), Some(20));
    assert_eq!(server.counter("encke_inflated_total"), 1);
}

#[test]
fn no_deflate_is_declined() {
    let server = serve(|config| config.deflate = false);
    let mut client = server.connect();
    let head = client.upgrade("/ws?ch=a", DEFLATE);
    assert_eq!((head.status, head.header("sec-websocket-extensions")), (101, None));
    client.frame();
    client.send(frame(TEXT | 0x40, [0x00]));
    assert_eq!(client.closed().0, 1002);
}
