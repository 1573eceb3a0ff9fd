//! Attacks, each a test by its name: what the server does about it, and that nobody else notices.
//!
//! `docs/security.md` lists them. They run over real sockets, against the program itself where its memory is
//! weighed; where a time has to pass the server's clock is moved.

mod common;

use common::client::{PING, PONG, TEXT, UPGRADE, frame};
use common::{AS_OPERATOR, Client, Reader, Running, Way, serve};
use encke::limits::{self, Rate};
use encke::server::Limits;
use serde_json::json;

const LOOPBACK: &str = "127.0.0.1";

fn trusting(address: &str) -> encke::server::Network {
    encke::server::Network::parse(address).expect("an address")
}

// Who is who behind a proxy.

/// What only the key opens, wherever a request comes from.
const OPERATIONS: [(&str, &str, &str); 10] = [
    ("GET", "/admin/users", ""),
    ("POST", "/admin/kick", r#"{"user":"ann"}"#),
    ("POST", "/admin/notice", r#"{"text":"x"}"#),
    ("POST", "/admin/clear", r#"{"ch":"lobby"}"#),
    ("POST", "/publish/@ann", "1"),
    ("GET", "/channels/@ann", ""),
    ("GET", "/channels/@ann/history", ""),
    ("DELETE", "/channels/lobby", ""),
    ("DELETE", "/channels/@ann", ""),
    ("GET", "/metrics", ""),
];

/// What a program on this machine may do without the key.
const LOCAL: [(&str, &str, &str); 5] = [
    ("POST", "/publish/lobby", "1"),
    ("POST", "/publish", r#"{"ch":"lobby","data":1}"#),
    ("GET", "/channels", ""),
    ("GET", "/channels/lobby", ""),
    ("GET", "/channels/lobby/history", ""),
];

/// What a request is answered that says this about itself: its version and fields.
fn asked(server: &Running, (method, path, body): (&str, &str, &str), head: &str) -> (u16, String) {
    let mut visitor = server.connect();
    let length = body.len();
    visitor.send(format!("{method} {path} {head}Content-Length: {length}\r\n\r\n{body}"));
    let response = visitor.response();
    (response.status, if response.status == 401 { response.code() } else { String::new() })
}

/// Somebody with mail in a room.
fn with_ann(change: impl FnOnce(&mut encke::server::Config)) -> (Running, Reader) {
    let server = serve(change);
    let mut ann = Reader::open(&server, Way::WebSocket, "ch=lobby");
    assert_eq!(ann.command(&json!({"op": "login", "nick": "ann"}))["ok"], true);
    let answer = server.post_as_operator("/publish/@ann", "\"mail\"");
    assert_eq!(answer.status, 200, "{answer:?}");
    (server, ann)
}

const PLAIN: &str = "HTTP/1.1\r\nHost: localhost\r\n";

#[track_caller]
fn is_refused(server: &Running, asks: &[(&str, &str, &str)], head: &str) {
    for ask in asks {
        assert_eq!(asked(server, *ask, head), (401, "unauthorized".to_owned()), "{ask:?} {head}");
    }
}

#[test]
fn what_concerns_people_takes_the_key_even_on_this_machine() {
    let (server, _ann) = with_ann(|_| {});
    // The first is what nginx sends from 1.29.7 on for a bare `proxy_pass`, whoever the visitor is.
    for head in ["HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: keep-alive\r\n", PLAIN] {
        is_refused(&server, &OPERATIONS, head);
        for ask in LOCAL {
            assert_eq!(asked(&server, ask, head).0, 200, "{ask:?}: no more than every client may");
        }
    }
    let listed = server.get("/channels").json()["channels"].to_string();
    assert!(listed.contains("\"lobby\"") && !listed.contains("@ann"), "{listed}");
    let lines = "{\"ch\":\"@ann\",\"data\":1}\n{\"ch\":\"lobby\",\"data\":2}";
    let answers = server.post("/publish", lines).json();
    assert_eq!((&answers[0]["error"]["code"], &answers[1]["ok"]), (&json!("unauthorized"), &json!(true)));

    let with_key = format!("{PLAIN}{AS_OPERATOR}");
    for ask in LOCAL.iter().chain(&OPERATIONS) {
        assert!(matches!(asked(&server, *ask, &with_key).0, 200 | 204), "{ask:?}");
    }
    let wrong = format!("{PLAIN}Authorization: Bearer wrong\r\n");
    is_refused(&server, &LOCAL, &wrong);
}

#[test]
fn a_proxied_stranger_is_never_local() {
    for fields in ["X-Forwarded-For: 127.0.0.1", "X-Forwarded-Port: 80", "X-Forwarded-Ssl: off", "Via: 1.1 a"]
    {
        let (server, _ann) = with_ann(|_| {});
        let head = format!("{PLAIN}{fields}\r\n");
        is_refused(&server, &LOCAL, &head);
        is_refused(&server, &OPERATIONS, &head);
        // A stranger can leave the field out, so this machine's own programs are believed no more.
        is_refused(&server, &LOCAL, PLAIN);
    }
    let (server, _ann) = with_ann(|_| {});
    is_refused(&server, &LOCAL, "HTTP/1.0\r\nHost: 127.0.0.1:8080\r\n");
    is_refused(&server, &LOCAL, "HTTP/1.0\r\n");
    assert_eq!(server.get("/channels").status, 200, "old tools of this machine say no more than that");
}

#[test]
fn a_public_name_is_never_local() {
    let (server, _ann) = with_ann(|_| {});
    let head = "HTTP/1.1\r\nHost: chat.example\r\n";
    is_refused(&server, &LOCAL, head);
    is_refused(&server, &LOCAL, PLAIN);
    assert_eq!(server.get_as_operator("/metrics").status, 200, "the key is good wherever it comes from");
}

#[test]
fn nobody_is_local_once_an_option_names_a_proxy() {
    let changes: [fn(&mut encke::server::Config); 3] = [
        |config| config.hosts = Some(vec!["chat.example".to_owned()]),
        |config| config.trusted_proxies.push(trusting("127.0.0.1")),
        |config| config.origins.push("https://shop.example".to_owned()),
    ];
    for change in changes {
        let (server, _ann) = with_ann(change);
        // HAProxy in plain `mode http` passes on what the client says, and adds nothing of its own.
        is_refused(&server, &LOCAL, PLAIN);
        is_refused(&server, &OPERATIONS, PLAIN);
    }
    let server = serve(|config| config.hosts = Some(vec!["encke.localhost".to_owned()]));
    assert_eq!(server.get("/channels").status, 200, "a name that only this machine has");
}

#[test]
fn what_the_server_says_takes_the_key() {
    let server = serve(|_| {});
    for data in [r#"{"notice":"x"}"#, r#"{"cleared":true}"#, r#"{"deletes":"1"}"#] {
        let response = server.post("/publish/lobby", data);
        assert_eq!((response.status, &*response.code()), (403, "reserved"), "{data}");
        let answers = server.post("/publish", format!("{{\"ch\":\"lobby\",\"data\":{data}}}")).json();
        assert_eq!(answers[0]["error"]["code"], "reserved", "{data}");
        assert_eq!(server.post_as_operator("/publish/lobby", data).status, 200, "{data}");
    }
}

#[test]
fn a_strangers_key_is_not_a_back_ends() {
    let server = serve(|config| config.open_publish = true);
    let publish = |fields: &str, data: &str| {
        let fields = format!("Idempotency-Key: order-17\r\n{fields}");
        server.connect().ask("POST", "/publish/a", &fields, data.as_bytes()).json()
    };
    assert_eq!(publish("", "1")["repeated"], json!(null));
    assert_eq!(publish("", "1")["repeated"], true, "an answer that was lost");
    assert_eq!(publish("", "2")["repeated"], json!(null), "nobody learns what another has published");
    assert_eq!(publish(AS_OPERATOR, "1")["repeated"], json!(null), "the back end's own is published");
    assert_eq!(publish(AS_OPERATOR, "2")["repeated"], true);
}

#[test]
fn proxy_protocol_names_a_stranger() {
    let server = serve(|config| {
        config.proxy_protocol = true;
        config.trusted_proxies.push(trusting(LOOPBACK));
    });
    let line = b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n".to_vec();
    let block =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xc0\x00\x02\x01\x7f\x00\x00\x01\x00\x01\x00\x02\x04\x00\x00";
    for header in [&line[..], &block[..], b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"] {
        let mut whole = server.connect();
        whole.send([header, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat());
        assert_eq!(whole.response().status, 200);
        assert_eq!(whole.get("/channels").status, 401, "not even one whose proxy says that it is local");
        let mut dribbled = server.connect();
        header.iter().for_each(|octet| dribbled.send([*octet]));
        assert_eq!(dribbled.get("/healthz").status, 200);
    }
}

#[test]
fn proxy_protocol_owed_and_not_given() {
    let server = serve(|config| {
        config.proxy_protocol = true;
        config.trusted_proxies.push(trusting(LOOPBACK));
    });
    for header in
        [&b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], b"PROXY TCP4 1\r\n", &[b'P'; 3000]]
    {
        let mut client = server.connect();
        client.try_send(header);
        client.expect_death();
    }
    let mut silent = server.connect();
    silent.send("PROXY TCP4 192.0.2.1 ");
    let mut behind = server.connect();
    behind.send("PROXY UNKNOWN\r\n");
    behind.settle();
    server.skip(encke::limits::PROXY_MS);
    silent.expect_death();

    let server = serve(|config| {
        config.proxy_protocol = true;
        config.trusted_proxies.push(trusting("192.0.2.0/24"));
    });
    let mut stranger: Client = server.connect();
    stranger
        .try_send("PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stranger.expect_death();
}

/// A server behind a trusted proxy that counts strictly, while its clock stands still.
fn behind_a_proxy() -> Running {
    let server = serve(|config| {
        config.limits = Limits::Strict;
        config.connections = 1_000;
        config.trusted_proxies.push(trusting(LOOPBACK));
    });
    server.world.freeze();
    server
}

#[test]
fn streams_behind_a_proxy_count_for_those_behind_it() {
    let server = behind_a_proxy();
    let of = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let mut crowd: Vec<Reader> = (0..limits::PER_ADDRESS_MIN)
        .map(|number| {
            let ways = [Way::Sse, Way::WebSocket, Way::Stream];
            Reader::open_with(&server, ways[number % ways.len()], "ch=a", &of("192.0.2.1"))
        })
        .collect();
    let mut proxy = server.connect();
    for path in ["/sse?ch=a", "/ws?ch=a", "/poll?ch=a&since=00000000-0"] {
        let response = proxy.ask("GET", path, &format!("{}{UPGRADE}", of("192.0.2.1")), b"");
        assert_eq!((response.status, &*response.code()), (429, "too_many_connections"), "{path}");
        assert_eq!(response.header("retry-after"), Some("10"));
    }
    assert_eq!(proxy.ask("GET", "/poll?ch=a&wait=0", &of("192.0.2.1"), b"").status, 200, "it waits for none");
    Reader::open_with(&server, Way::Sse, "ch=a", &of("192.0.2.2"));
    drop(crowd.pop());
    proxy.settle();
    Reader::open_with(&server, Way::Sse, "ch=a", &of("192.0.2.1"));
}

#[test]
fn waiting_polls_behind_a_proxy_count_while_they_wait() {
    let server = behind_a_proxy();
    let fields = "X-Forwarded-For: 192.0.2.1\r\n";
    let cursor = server.connect().ask("GET", "/poll?ch=a", fields, b"").json()["cursor"].clone();
    let path = format!("/poll?ch=a&wait=60&since={}", cursor.as_str().expect("a cursor"));
    for _ in 0..3 {
        let mut flood: Vec<Client> = (0..limits::PER_ADDRESS_MIN)
            .map(|_| {
                let mut client = server.connect();
                client.request("GET", &path, fields, b"");
                client
            })
            .collect();
        server.settle();
        let mut one_more = server.connect();
        let response = one_more.ask("GET", &path, fields, b"");
        assert_eq!((response.status, &*response.code()), (429, "too_many_connections"));
        // Some give up, some with a reset; the others are answered, and their connections are the proxy's again.
        flood.iter().take(5).for_each(Client::reset_on_drop);
        flood.drain(..10);
        server.settle();
        one_more.request("GET", &path, fields, b"");
        server.settle();
        server.skip(60_000);
        for client in flood.iter_mut().chain([&mut one_more]) {
            assert_eq!(client.response().status, 200);
        }
        server.skip(10_000);
    }
}

// Slowness.

#[test]
fn slowloris_in_a_head() {
    let server = serve(|_| {});
    server.world.freeze();
    let mut slow = server.connect();
    slow.send("GET / HT");
    server.settle();
    for _ in 0..3 {
        server.skip(limits::HEAD_MS / 4);
        slow.send("T");
        server.settle();
    }
    server.skip(limits::HEAD_MS / 4);
    let response = slow.response();
    assert_eq!((response.status, &*response.code()), (408, "too_slow"), "no byte moves the deadline");
    slow.expect_end();
}

#[test]
fn slowloris_in_a_body() {
    let server = serve(|_| {});
    server.world.freeze();
    let mut slow = server.connect();
    slow.send("POST /publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n1");
    server.settle();
    for _ in 0..3 {
        server.skip(limits::BODY_MS / 4);
        slow.send("1");
        server.settle();
    }
    server.skip(limits::BODY_MS / 4);
    let response = slow.response();
    assert_eq!((response.status, &*response.code()), (408, "too_slow"));
    slow.expect_end();
}

/// Reads frames until the close frame, over heartbeats and pongs.
fn close_of(client: &mut Client) -> (u16, String) {
    loop {
        let (first, payload) = client.frame();
        if first == 0x88 {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            return (code, String::from_utf8(payload[2..].to_vec()).expect("UTF-8"));
        }
    }
}

#[test]
fn slowloris_in_a_frame() {
    let server = serve(|_| {});
    server.world.freeze();
    // A header, a payload, and a message of empty fragments with pings between them.
    let begins: [&[u8]; 3] = [&[0x81], &[0x81, 0x85, 0, 0, 0, 0, b'h'], &[0x01, 0x80, 0, 0, 0, 0]];
    let goes_on: [&[u8]; 3] = [&[], b"e", &[0x00, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0]];
    for (begin, more) in begins.into_iter().zip(goes_on) {
        let mut slow = server.connect();
        slow.upgrade("/ws?hb=300", "");
        // Who sends whole messages is not slow, however long a message that is cut by a read.
        slow.send(frame(TEXT, "{\"op\":\"ping\"}"));
        slow.send(begin);
        server.settle();
        for _ in 0..3 {
            server.skip(limits::MESSAGE_MS / 4);
            slow.send(more);
            server.settle();
        }
        server.skip(limits::MESSAGE_MS / 4);
        assert_eq!(close_of(&mut slow), (1008, "the message took too long to arrive".to_owned()));
        slow.expect_end();
    }
    let mut steady = server.connect();
    steady.upgrade("/ws?hb=300", "");
    let message = frame(TEXT, "{\"op\":\"ping\",\"ref\":7}");
    steady.send(&message[..3]);
    for _ in 0..6 {
        server.settle();
        server.skip(limits::MESSAGE_MS / 2);
        // The end of one and the beginning of the next: something is always missing.
        steady.send([&message[3..], &message[..3]].concat());
    }
    steady.send(&message[3..]);
    let mut replies = 0;
    while replies < 7 {
        let (first, payload) = steady.frame();
        assert_eq!(first, TEXT);
        replies += usize::from(String::from_utf8_lossy(&payload).contains("\"ref\":7"));
    }
}

#[test]
fn half_open_peer() {
    let server = serve(|_| {});
    let mut gone = Reader::over(Client::connect_small(server.address), Way::Sse, "ch=a&hb=1", "");
    for _ in 0..60 {
        server.publish("a", format!("\"{}\"", "x".repeat(60_000)));
    }
    server.world.freeze();
    assert_eq!(server.counter("encke_readers{transport=\"sse\"}"), 1);
    for _ in 0..4 {
        server.skip(limits::STALL_MS / 2);
    }
    assert_eq!(server.counter("encke_readers{transport=\"sse\"}"), 0, "it is given up");
    gone.client.wait_for_death();
}

#[test]
fn idle_hoard() {
    let server = serve(|config| config.connections = 8);
    server.world.freeze();
    let mut hoard: Vec<Client> = (0..7)
        .map(|_| {
            let mut idle = server.connect();
            assert_eq!(idle.get("/healthz").status, 200);
            server.world.skip(1_000);
            idle
        })
        .collect();
    let mut busy = server.connect();
    busy.upgrade("/ws?ch=a", "");
    for round in 0..4 {
        let mut newcomer = server.connect();
        assert_eq!(newcomer.get("/healthz").status, 200, "newcomer {round}");
        hoard.remove(0).expect_end();
        hoard.push(newcomer);
        server.world.skip(1_000);
    }
    busy.send(frame(PING, "here"));
    while busy.frame() != (PONG, b"here".to_vec()) {}
}

#[test]
fn newcomers_do_not_push_each_other_out() {
    let server = serve(|config| config.connections = 8);
    server.world.freeze();
    let mut hoard: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    hoard.iter_mut().for_each(|idle| assert_eq!(idle.get("/healthz").status, 200));
    server.world.skip(limits::SPARED_MS);
    let mut newcomer = server.connect();
    // They say nothing, and take all that was idle; and then there is no room for more.
    let _flood: Vec<Client> = (1..8).map(|_| server.connect()).collect();
    hoard.iter_mut().for_each(Client::expect_end);
    for _ in 0..20 {
        let response = server.connect().response();
        assert_eq!((response.status, &*response.code()), (503, "full"));
    }
    assert_eq!(newcomer.get("/healthz").status, 200, "it had its time to speak");
    server.world.skip(limits::SPARED_MS);
    assert_eq!(server.connect().get("/healthz").status, 200, "those who said nothing have had theirs");
}

#[test]
fn a_flood_from_one_address_pushes_out_its_own() {
    const OTHERS: u8 = 10;
    let server = serve(|config| (config.limits, config.connections) = (Limits::Strict, 60));
    server.world.freeze();
    // One after the other, so that an address is modest only at the beginning.
    assert!((limits::MODEST_ADDRESS_MAX as u8) < 60 - OTHERS);
    let idle = |last: u8| {
        let mut client = Client::connect_from(server.address, last);
        assert_eq!(client.get("/healthz").status, 200);
        client
    };
    let mut others: Vec<Client> = (0..OTHERS).map(|other| idle(10 + other)).collect();
    let mut flood: Vec<Client> = (OTHERS..60).map(|_| idle(2)).collect();
    server.world.skip(limits::SPARED_MS);
    // They have been idle for less long than the others.
    (0..10).for_each(|_| flood.push(idle(2)));
    server.world.skip(limits::SPARED_MS);
    flood.iter_mut().take(10).for_each(Client::expect_end);
    let mut newcomer = idle(3);
    for other in others.iter_mut().chain([&mut newcomer]) {
        assert_eq!(other.get("/healthz").status, 200, "nobody else made room");
    }
    flood[10].expect_end();
}

// Floods. `strict` counts the test too.

fn strict() -> Running {
    let server = serve(|config| config.limits = Limits::Strict);
    server.world.freeze();
    server
}

fn burst(rate: Rate) -> u32 {
    rate.burst / limits::STRICT_SHARE
}

#[test]
fn flood_of_pings() {
    let server = strict();
    let mut flood = server.connect();
    flood.upgrade("/ws?ch=a", "");
    // Twice the burst: on a busy machine some are forgiven while they are sent.
    for _ in 0..=2 * burst(limits::FRAMES_RATE) {
        flood.try_send(frame(PING, "x"));
    }
    assert_eq!(close_of(&mut flood), (1008, "too many frames, slow down".to_owned()));
    let mut other = server.connect();
    other.upgrade("/ws?ch=a", "");
    other.send(frame(PING, "y"));
    while other.frame() != (PONG, b"y".to_vec()) {}
}

#[test]
fn flood_of_fragments() {
    let server = strict();
    let mut flood = server.connect();
    flood.upgrade("/ws?ch=a", "");
    flood.try_send(frame(0x01, "x"));
    for _ in 0..2 * burst(limits::FRAMES_RATE) {
        flood.try_send(frame(0x00, ""));
    }
    assert_eq!(close_of(&mut flood), (1008, "too many frames, slow down".to_owned()));
}

#[test]
fn compressed_commands_wait_their_turn() {
    const COUNT: u64 = 100;
    let server = serve(|_| {});
    let mut flood = server.connect();
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    assert_eq!(flood.upgrade("/ws", offer).status, 101);
    flood.frame();
    // Each a thousand times as long as it is sent: all of them are there with one read.
    let frames = (0..COUNT).flat_map(|number| {
        let plain = format!("{{\"op\":\"ping\",\"ref\":{number}{}}}", " ".repeat(130_000));
        let mut packed = Vec::with_capacity(1_000);
        let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
        let sync = flate2::FlushCompress::Sync;
        compress.compress_vec(plain.as_bytes(), &mut packed, sync).expect("compressed");
        packed.truncate(packed.len() - 4);
        frame(TEXT | 0x40, packed)
    });
    let frames: Vec<u8> = frames.collect();
    assert!(frames.len() < limits::READ_BUFFER_BYTES);
    let before = server.world.looks();
    flood.send(frames);
    for number in 0..COUNT {
        let (_, payload) = flood.frame();
        let reply: serde_json::Value = serde_json::from_slice(&payload).expect("a reply");
        assert_eq!((&reply["ref"], &reply["ok"]), (&json!(number), &json!(true)));
    }
    assert!(server.world.looks() - before >= COUNT, "others have their turn between any two of them");
}

#[test]
fn flood_of_commands() {
    let server = strict();
    let mut flood = server.connect();
    flood.upgrade("/ws", "");
    flood.frame();
    let mut answers = |count: u32| -> Vec<serde_json::Value> {
        (0..count)
            .map(|number| {
                flood.send(frame(TEXT, json!({"op": "ping", "ref": number}).to_string()));
                serde_json::from_slice(&flood.frame().1).expect("a reply")
            })
            .collect()
    };
    let most = burst(limits::COMMANDS_RATE);
    assert!(answers(most).iter().all(|reply| reply["ok"] == true));
    let refused = &answers(1)[0];
    assert_eq!((&refused["error"]["code"], &refused["ref"]), (&json!("rate_limited"), &json!(0)));
    let wait = refused["error"]["retry"].as_u64().expect("when to come back");
    server.skip(wait);
    assert_eq!(answers(1)[0]["ok"], true, "as was said");
}

#[test]
fn flood_of_commands_by_post() {
    let server = strict();
    let mut flood = server.connect();
    let sid = flood.get("/poll?ch=a&wait=0").json()["sid"].as_str().expect("a sid").to_owned();
    let path = format!("/send?sid={sid}");
    let pings =
        |count: usize| serde_json::to_vec(&vec![json!({"op": "ping", "ref": 1}); count]).expect("JSON");
    let most = burst(limits::COMMANDS_RATE) as usize;
    let (whole, rest) = (most / limits::COMMANDS_PER_SEND_MAX, most % limits::COMMANDS_PER_SEND_MAX);
    for count in [vec![limits::COMMANDS_PER_SEND_MAX; whole], vec![rest]].concat() {
        let replies = flood.post(&path, pings(count)).json();
        assert!(replies.as_array().expect("replies").iter().all(|reply| reply["ok"] == true), "{replies}");
    }
    let reply = flood.post(&path, pings(2)).json();
    assert_eq!((&reply[1]["error"]["code"], &reply[1]["ref"]), (&json!("rate_limited"), &json!(1)));
    let wait = reply[0]["error"]["retry"].as_u64().expect("when to come back");
    // Another connection, and another way, is no new quota.
    let mut socket = server.connect();
    socket.upgrade(&format!("/ws?sid={sid}"), "");
    socket.frame();
    socket.send(frame(TEXT, json!({"op": "ping", "ref": 2}).to_string()));
    let reply: serde_json::Value = serde_json::from_slice(&socket.frame().1).expect("a reply");
    assert_eq!(reply["error"]["code"], "rate_limited");
    server.skip(wait);
    assert_eq!(flood.post(&path, pings(1)).json()[0]["ok"], true, "as was said");
}

#[test]
fn changing_names_costs_what_is_told() {
    let server = strict();
    let mut flood = server.connect();
    let rooms: Vec<String> = (0..limits::SUBSCRIPTIONS_MAX).map(|room| format!("ch=r{room}")).collect();
    let poll = flood.get(&format!("/poll?{}&wait=0", rooms.join("&"))).json();
    let path = format!("/send?sid={}", poll["sid"].as_str().expect("a sid"));
    let cost = 1 + limits::SUBSCRIPTIONS_MAX as u32 / limits::LOGIN_SHARE;
    let mut login = || flood.post(&path, r#"{"op":"login","nick":"ann"}"#).json();
    for _ in 0..burst(limits::COMMANDS_RATE) / cost {
        assert_eq!(login()["ok"], true);
    }
    assert_eq!(login()["error"]["code"], "rate_limited");
}

#[test]
fn flood_of_publishes() {
    let server = strict();
    let mut flood = server.connect();
    let most = burst(limits::PUBLISHES_RATE);
    for _ in 0..most {
        assert_eq!(flood.post("/publish/a", "1").status, 200);
    }
    let response = flood.post("/publish/a", "1");
    assert_eq!((response.status, &*response.code()), (429, "rate_limited"));
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let wait: u64 = response.header("retry-after").and_then(|s| s.parse().ok()).expect("when to come back");
    server.skip(wait * 1000);
    assert_eq!(flood.post("/publish/a", "1").status, 200);
}

#[test]
fn a_repeated_key_has_its_first_answer_though_a_quota_is_spent() {
    let server = strict();
    let mut flood = server.connect();
    let sid = flood.get("/poll?ch=a&wait=0").json()["sid"].as_str().expect("a sid").to_owned();
    let send = format!("/send?sid={sid}");
    let command = json!({"op": "publish", "ch": "a", "data": 1, "key": "k1"}).to_string();
    let line = "{\"ch\":\"a\",\"data\":2,\"key\":\"k2\"}";
    let keyed = |client: &mut Client| {
        let one = client.ask("POST", "/publish/a", "Idempotency-Key: k3\r\n", b"3").json();
        let many = client.post("/publish", line).json();
        [client.post(&send, &command).json()["id"].clone(), many[0]["id"].clone(), one["id"].clone()]
    };
    let first = keyed(&mut flood);
    assert!(first.iter().all(serde_json::Value::is_string), "{first:?}");
    while flood.post("/publish/a", "1").status == 200 {}
    assert_eq!(keyed(&mut flood), first, "they were published");
    let pings =
        serde_json::to_vec(&vec![json!({"op": "ping"}); limits::COMMANDS_PER_SEND_MAX]).expect("JSON");
    while flood.post(&send, &pings).json()[0]["ok"] == true {}
    assert_eq!(keyed(&mut flood), first, "and commands are no other quota");
    let other = json!({"op": "publish", "ch": "a", "data": 1, "key": "k4"}).to_string();
    assert_eq!(flood.post(&send, other).json()["error"]["code"], "rate_limited");
}

#[test]
fn open_publishing_reaches_no_inbox() {
    let server = serve(|config| config.open_publish = true);
    let mut ann = Reader::open(&server, Way::WebSocket, "ch=lobby");
    assert_eq!(ann.command(&json!({"op": "login", "nick": "ann"}))["ok"], true);
    assert_eq!(ann.command(&json!({"op": "subscribe", "ch": "@ann"}))["ok"], true);
    let response = server.post("/publish/@ann", "1");
    assert_eq!((response.status, &*response.code()), (401, "unauthorized"));
    assert_eq!(server.post("/publish/%40ann", "1").status, 401);
    let lines = "{\"ch\":\"@ann\",\"data\":1}\n{\"ch\":\"lobby\",\"data\":2}\n{\"ch\":\"@ann\",\"data\":3,\"key\":\"k\"}";
    let answers = server.post("/publish", lines).json();
    let codes = [&answers[0]["error"]["code"], &answers[1]["ok"], &answers[2]["error"]["code"]];
    assert_eq!(codes, [&json!("unauthorized"), &json!(true), &json!("unauthorized")]);
    loop {
        let event = ann.unread_event();
        assert_ne!((&event["type"], &event["ch"]), (&json!("message"), &json!("@ann")));
        if event["type"] == "message" {
            break;
        }
    }
    let server = serve(|config| (config.publish_key, config.open_local) = (Some("s3cret".to_owned()), false));
    assert_eq!(server.post("/publish/@ann", "1").status, 401);
    let key = "Authorization: Bearer s3cret\r\n";
    assert_eq!(server.connect().ask("POST", "/publish/@ann", key, b"1").status, 200, "a back end may");
    assert_eq!(server.connect().ask("POST", "/publish", key, lines.as_bytes()).json()[0]["ok"], true);
}

#[test]
fn a_back_end_with_the_key_is_not_counted() {
    let server = serve(|config| {
        config.limits = Limits::Strict;
        (config.publish_key, config.open_local) = (Some("s3cret".to_owned()), false);
    });
    server.world.freeze();
    let mut back_end = server.connect();
    for _ in 0..2 * burst(limits::REQUESTS_RATE) {
        let response = back_end.ask("POST", "/publish/a", "Authorization: Bearer s3cret\r\n", b"1");
        assert_eq!(response.status, 200);
    }
}

#[test]
fn flood_of_requests() {
    let server = strict();
    let mut flood = server.connect();
    let most = burst(limits::REQUESTS_RATE);
    // Pipelined, many at once: nothing is read ahead of an answer.
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for _ in 0..most / 10 {
        flood.send(request.repeat(10));
        (0..10).for_each(|_| assert_eq!(flood.response().status, 200));
    }
    assert_eq!(flood.get("/healthz").status, 429);
    server.skip(1_000);
    assert_eq!(flood.get("/healthz").status, 200);
}

#[test]
fn connections_from_one_address() {
    let server = strict();
    let most = limits::CONNECTIONS_DEFAULT / limits::PER_ADDRESS_SHARE / limits::STRICT_SHARE as usize;
    let mut crowd = Vec::new();
    while crowd.len() < most {
        let mut client = server.connect();
        client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.response().status, 200, "connection {}", crowd.len());
        crowd.push(client);
        if crowd.len() % 100 == 0 {
            server.world.skip(10_000);
        }
    }
    server.world.skip(1_000);
    let mut last = server.connect();
    let response = last.response();
    assert_eq!((response.status, &*response.code()), (429, "too_many_connections"));
    assert_eq!(response.header("retry-after"), Some("10"));
    last.expect_end();
    drop(crowd.pop());
    crowd[0].settle();
    assert_eq!(server.connect().get("/healthz").status, 200, "there is room again");
}

#[test]
fn storm_of_connections() {
    let server = strict();
    let most = burst(limits::CONNECTIONS_RATE);
    let refused = (0..most + 50)
        .filter(|_| {
            let mut client = server.connect();
            client.try_send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            client.response().status == 429
        })
        .count();
    assert_eq!(refused, 50);
}

#[test]
fn storm_of_resets() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::WebSocket, "ch=a");
    let poll = "GET /poll?ch=a&since=00000000-0&wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let stream = "GET /sse?ch=a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let body = "POST /publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1";
    let upgrade = format!("GET /ws?ch=a HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n");
    for bytes in [
        "",
        "GET / HT",
        body,
        poll,
        stream,
        &upgrade,
        "\0\u{1}",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        for number in 0..150 {
            let mut storm = server.connect();
            storm.reset_on_drop();
            storm.try_send(bytes);
            if number % 3 == 0 {
                // Some are there for a while, so that the server has begun to answer them.
                server.settle();
            }
        }
        let id = server.publish("a", "1");
        while reader.event()["id"] != id {}
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn garbage_behind_a_good_request() {
    let server = serve(|_| {});
    let good = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(limits::TARGET_BYTES_MAX));
    for (garbage, status) in [
        ("\0\0\0\0\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\u{2}\r\n\r\n", 400),
        ("SSH-2.0-x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        (&long, 414),
    ] {
        let mut client = server.connect();
        // All of it in one write, and behind it what must never be taken for a request.
        client.send([good, good, garbage, good].concat());
        for _ in 0..2 {
            assert_eq!(client.response().status, 200, "{garbage:?}");
        }
        let refusal = client.response();
        assert_eq!(refusal.status, status, "{garbage:?}");
        assert_eq!(refusal.header("connection"), Some("close"), "{garbage:?}");
        client.expect_end();
    }
    // Behind a poll that waits it is not even looked at.
    let mut client = server.connect();
    let cursor = client.get("/poll?ch=a").json()["cursor"].clone();
    let target = format!("/poll?ch=a&wait=60&since={}", cursor.as_str().expect("a cursor"));
    client.request("GET", &target, "", b"");
    client.send("\0\0\r\n\r\n");
    server.settle();
    server.publish("a", "1");
    assert_eq!(client.response().json()["events"][0]["data"], 1);
    assert_eq!(client.response().status, 400);
    client.expect_end();
}

#[test]
fn flood_of_unanswered_polls() {
    let server = serve(|config| (config.limits, config.connections) = (Limits::Strict, 1_000));
    server.world.freeze();
    let mut one = Client::connect_from(server.address, 2);
    let cursor = one.get("/poll?ch=a").json()["cursor"].clone();
    let path = format!("/poll?ch=a&wait=60&since={}", cursor.as_str().expect("a cursor"));
    let mut flood = vec![one];
    while flood.len() < limits::PER_ADDRESS_MIN {
        flood.push(Client::connect_from(server.address, 2));
    }
    for client in &mut flood {
        // Ahead of the answer any number may be asked for; one waits.
        (0..3).for_each(|_| client.request("GET", &path, "", b""));
    }
    server.settle();
    let response = Client::connect_from(server.address, 2).response();
    assert_eq!((response.status, &*response.code()), (429, "too_many_connections"));
    assert_eq!(server.counter("encke_readers{transport=\"poll\"}"), limits::PER_ADDRESS_MIN as u64);
    let mut other = Reader::open(&server, Way::Poll, "ch=a");
    other.ask();
    server.settle();
    server.publish("a", "1");
    assert_eq!(other.message(), 1, "others are told at once");
    for client in &mut flood {
        // All that were asked for before are behind now.
        (0..3).for_each(|_| assert_eq!(client.response().json()["events"][0]["data"], 1));
    }
}

#[test]
fn a_hundred_thousand_channels_of_one_peer() {
    const CHANNELS: usize = 5_000;
    let server = serve(|config| config.bounds.channels = CHANNELS);
    let mut reader = Reader::open(&server, Way::WebSocket, "ch=read");
    server.publish("kept", "1");
    let mut peer = server.connect();
    for batch in 0..100_000 / limits::BATCH_LINES_MAX {
        let line = |number: usize| format!("{{\"ch\":\"c{batch}-{number}\",\"data\":1}}\n");
        let lines: String = (0..limits::BATCH_LINES_MAX).map(line).collect();
        let answers = peer.post("/publish", lines).json();
        let answers = answers.as_array().expect("answers");
        let refused = answers.iter().find(|answer| answer["ok"] != true);
        assert_eq!(refused, None, "each takes the place of an older one");
        assert!(server.counter("encke_channels") <= CHANNELS as u64);
    }
    server.publish("read", "2");
    assert_eq!(reader.message(), 2, "what is read stays");
    let lost = Reader::open(&server, Way::Poll, "ch=kept&last=1").welcome;
    assert_eq!(lost["events"], json!([]), "what nobody reads made room");
}

#[test]
fn flood_of_clients() {
    let server = strict();
    let mut flood = server.connect();
    let most = burst(limits::CLIENTS_RATE);
    (0..most).for_each(|_| assert_eq!(flood.get("/poll?sid=").status, 200));
    assert_eq!(flood.get("/poll?sid=").status, 429);
}

#[test]
fn absent_hoard() {
    // From this machine nobody counts it, and it needs no more than one connection.
    let server = serve(|config| config.bounds.readers = 50);
    let _reader = Reader::open(&server, Way::Sse, "ch=a");
    let mut hoard = server.connect();
    let first = hoard.get("/poll?ch=a").json();
    (0..200).for_each(|_| assert_eq!(hoard.get("/poll?ch=a").status, 200));
    let newcomer = server.get("/poll?ch=a").json();
    let sid = |body: &serde_json::Value| body["sid"].as_str().expect("a sid").to_owned();
    let ping = |body: &serde_json::Value| {
        server.post(&format!("/send?sid={}", sid(body)), json!({"op": "ping"}).to_string()).status
    };
    assert_eq!(ping(&newcomer), 200);
    assert_eq!(ping(&first), 410, "the hoard's own made room");
    assert_eq!(server.counter("encke_readers{transport=\"sse\"}"), 1, "who is connected stays");
}

#[test]
fn flood_of_channels() {
    let server = strict();
    let mut flood = server.connect();
    let most = burst(limits::CHANNELS_RATE);
    flood.upgrade("/ws", "");
    let made = (0..most.min(burst(limits::COMMANDS_RATE))).filter(|number| {
        flood.send(frame(TEXT, json!({"op": "publish", "ch": format!("c{number}"), "data": 1}).to_string()));
        loop {
            let (_, payload) = flood.frame();
            let reply: serde_json::Value = serde_json::from_slice(&payload).expect("a reply");
            if reply["type"] == "reply" {
                return reply["ok"] == true;
            }
        }
    });
    let made = made.count() as u32;
    let mut second = server.connect();
    for number in made..most {
        assert_eq!(second.post(&format!("/publish/c{number}"), "1").status, 200, "{number} of {most}");
    }
    server.skip(10);
    assert_eq!(second.post("/publish/more", "1").status, 429);
    server.skip(1_000);
    assert_eq!(second.post("/publish/c0", "1").status, 200, "one that is there");
}

#[test]
fn guessing_the_publish_key() {
    let server = serve(|config| {
        config.limits = Limits::Strict;
        (config.publish_key, config.open_local) = (Some("s3cret".to_owned()), false);
    });
    server.world.freeze();
    let mut guess = server.connect();
    let mut try_key =
        |key: &str| guess.ask("POST", "/publish/a", &format!("Authorization: Bearer {key}\r\n"), b"1").status;
    (0..burst(limits::FAILURES_RATE)).for_each(|_| assert_eq!(try_key("wrong"), 401));
    assert_eq!(try_key("wrong"), 429);
    assert_eq!(try_key("s3cret"), 200, "who has it is not kept out by those who guess");
    assert_eq!(try_key("wrong"), 429);
}

#[test]
fn guessing_a_secret_locks_nobody_out() {
    let server = strict();
    let mut ann = server.connect();
    let mut login = |secret: Option<&str>| {
        let sid = ann.get("/poll?ch=a&wait=0").json()["sid"].as_str().expect("a sid").to_owned();
        let mut command = json!({"op": "login", "nick": "ann"});
        secret.into_iter().for_each(|secret| command["secret"] = json!(secret));
        ann.post(&format!("/send?sid={sid}"), command.to_string()).json()
    };
    let secret = login(None)["secret"].as_str().expect("a secret").to_owned();
    for _ in 0..=burst(limits::FAILURES_RATE) {
        assert_eq!(login(None)["error"]["code"], "nick_taken", "no secret is no guess");
    }
    for _ in 0..burst(limits::FAILURES_RATE) {
        assert_eq!(login(Some("wrong"))["error"]["code"], "nick_taken");
    }
    assert_eq!(login(Some("wrong"))["error"]["code"], "rate_limited");
    assert_eq!(login(Some(&secret))["ok"], true);
    assert_eq!(login(Some("wrong"))["error"]["code"], "rate_limited");
}

// Pages of other sites.

#[test]
fn foreign_pages_are_kept_out() {
    let server = serve(|_| {});
    for origin in ["http://evil.example", "null"] {
        let fields = format!("Origin: {origin}\r\n");
        for path in ["/sse?ch=a", "/stream?ch=a", "/poll?ch=a", "/iframe?ch=a"] {
            let response = server.connect().ask("GET", path, &fields, b"");
            assert_eq!((response.status, &*response.code()), (403, "foreign_origin"), "{path}");
            assert_eq!(response.header("access-control-allow-origin"), None);
            assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        }
        for path in ["/publish/a", "/send?sid=x"] {
            assert_eq!(server.connect().ask("POST", path, &fields, b"1").status, 403, "{path}");
        }
        assert_eq!(server.connect().ask("GET", "/ws", &format!("{UPGRADE}{fields}"), b"").status, 403);
    }
    let embedded = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n";
    assert_eq!(server.connect().ask("GET", "/stream?ch=a", embedded, b"").status, 403, "a script element");
    let server = serve(|config| config.origins.push("https://shop.example".to_owned()));
    let response = server.connect().ask("GET", "/poll?ch=a", "Origin: https://shop.example\r\n", b"");
    assert_eq!(response.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(response.header("vary").is_some_and(|vary| vary.contains("Origin")));
    let response = server.get("/poll?ch=a");
    assert!(response.header("vary").is_some_and(|vary| vary.contains("Origin")), "caches must know");
}

#[test]
fn callbacks_inject_nothing() {
    let server = serve(|config| config.jsonp = true);
    for callback in ["alert(1)//", "a%3Cb", "a%22", "a%0Ab", "%2Fa", "a;b", "a%20b", "", "%E2%80%A8"] {
        for path in ["/jsonp?ch=a", "/iframe?ch=a"] {
            let response = server.get(&format!("{path}&callback={callback}"));
            assert_eq!(response.status, 400, "{path} {callback}");
        }
    }
    server.publish("a", "\"</script><script>alert(1)</script>\u{2028}\"");
    let text = server.get("/jsonp?ch=a&last=1&callback=f").text();
    assert!(text.starts_with("/**/f(") && !text.contains("</") && !text.contains('\u{2028}'), "{text}");
}

#[test]
fn no_secret_reaches_the_log() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_encke"))
        .args(["--port", "0", "--log", "trace", "--host", "encke.localhost"])
        .env("ENCKE_PUBLISH_KEY", "SECRET-key")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where");
    let address = line.trim().rsplit('/').next().expect("an address").parse().expect("an address");
    let mut errors = child.stderr.take().expect("piped");
    let reading = std::thread::spawn(move || {
        let mut log = String::new();
        errors.read_to_string(&mut log).expect("UTF-8");
        log
    });
    let mut client = Client::connect(address);
    for key in ["SECRET-key", "SECRET-wrong"] {
        let fields = format!("Authorization: Bearer {key}\r\nCookie: SECRET-cookie\r\n");
        client.ask("POST", "/publish/a?token=SECRET-query", &fields, b"\"SECRET-body\"");
    }
    client.get("/nowhere?token=SECRET-query");
    let sid = client.get("/poll?ch=a&token=SECRET-query").json()["sid"].as_str().expect("a sid").to_owned();
    client.post(&format!("/send?sid={sid}"), r#"{"op":"login","nick":"ann","secret":"SECRET-name"}"#);
    let mut socket = Client::connect(address);
    socket.upgrade(&format!("/ws?sid={sid}&token=SECRET-query"), "");
    socket.send(frame(TEXT, r#"{"op":"SECRET-op"}"#));
    socket.frame();
    socket.send([0xff, 0xff]);
    socket.wait_for_death();
    client.try_send("GET /?token=SECRET-query HTTP/9.9\r\nSECRET-field\r\n\r\n");
    client.wait_for_death();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let log = reading.join().expect("its log was read");
    assert!(log.lines().count() > 10, "there is a log: {log}");
    for secret in ["SECRET", &sid] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

// What is written about all this.

/// Everything under `src` and `tests` in one text.
fn sources() -> String {
    fn add(folder: &std::path::Path, out: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        {
            if entry.is_dir() {
                add(&entry, out);
            } else if entry.extension().is_some_and(|kind| kind == "rs") {
                out.push_str(&std::fs::read_to_string(&entry).expect("UTF-8"));
            }
        }
    }
    let mut out = String::new();
    add("tests".as_ref(), &mut out);
    out
}

#[test]
fn the_table_names_tests_that_exist() {
    let text = std::fs::read_to_string("docs/security.md").expect("it is there");
    let words: Vec<&str> = text.split('`').collect();
    let mut found = 0;
    for pair in words.windows(3).filter(|pair| pair[0].ends_with(".rs") && pair[1] == " ") {
        let source = std::fs::read_to_string(pair[0]).unwrap_or_else(|error| panic!("{}: {error}", pair[0]));
        assert!(source.contains(&format!("fn {}()", pair[2])), "{} has no test {}", pair[0], pair[2]);
        found += 1;
    }
    assert!(found > 25, "{found}");
}

#[test]
fn every_bound_is_tested_or_told() {
    let limits = std::fs::read_to_string("src/limits.rs").expect("it is there");
    let told = std::fs::read_to_string("docs/security.md").expect("it is there") + &sources();
    let mut own = String::new();
    for entry in ["src/wire", "src/hub", "src/server", "src/reactor", "src/chat", "src/ops"] {
        for file in std::fs::read_dir(entry).expect("a folder").map(|file| file.expect("a file").path()) {
            let text = std::fs::read_to_string(file).expect("UTF-8");
            own.extend(text.split("#[cfg(test)]").skip(1));
        }
    }
    let names = limits.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    let silent: Vec<&str> = names.filter(|name| !told.contains(name) && !own.contains(name)).collect();
    assert!(silent.is_empty(), "no test and no line of docs/security.md names {silent:?}");
}
