//! Every bound that refuses something, reached and passed: what is at the bound is taken, what is beyond it
//! gets the documented answer, and nobody else notices.
//!
//! `docs/security.md` lists the bounds. Those of the parsers and of the hub are tested beside them, with small
//! numbers; here are those that a peer meets with the numbers that it meets.

mod common;

use common::client::{TEXT, frame};
use common::{Reader, Running, Way, serve};
use encke::limits;
use serde_json::{Value, json};

fn sid_of(server: &Running) -> String {
    server.get("/poll?ch=a").json()["sid"].as_str().expect("a sid").to_owned()
}

/// The code of a refused reply; "ok" of one that is not.
fn verdict(reply: &Value) -> String {
    if reply["ok"] == true { "ok" } else { reply["error"]["code"].as_str().expect("a code") }.to_owned()
}

#[test]
fn a_body_has_so_many_bytes() {
    let server = serve(|_| {});
    let body = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    let response = server.post("/publish/a", body(limits::MESSAGE_BYTES_MAX));
    assert_eq!(response.status, 200);
    let response = server.post("/publish/a", body(limits::MESSAGE_BYTES_MAX + 1));
    assert_eq!((response.status, &*response.code()), (413, "message_too_long"));
    // As many spaces as fit, for a path that takes any body.
    let spaces = |length: usize| server.post("/publish", " ".repeat(length));
    assert_eq!(spaces(limits::MESSAGE_BYTES_DEFAULT).status, 200);
    let mut client = server.connect();
    let length = limits::MESSAGE_BYTES_DEFAULT + 1;
    client.send(format!("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"));
    assert_eq!(client.response().status, 413, "refused before it is sent");
    client.expect_end();
    let mut client = server.connect();
    client.send("POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.try_send(format!("{length:x}\r\n"));
    assert_eq!(client.response().status, 413, "as soon as it is said");
}

#[test]
fn names_and_keys_have_so_many_bytes() {
    let server = serve(|_| {});
    let name = |length: usize| "n".repeat(length);
    let (most, beyond) = (name(limits::CHANNEL_NAME_BYTES_MAX), name(limits::CHANNEL_NAME_BYTES_MAX + 1));
    assert_eq!(server.post(&format!("/publish/{most}"), "1").status, 200);
    for response in [
        server.post(&format!("/publish/{beyond}"), "1"),
        server.get(&format!("/poll?ch={beyond}")),
        server.get(&format!("/sse?ch=a&ch={beyond}")),
    ] {
        assert_eq!((response.status, &*response.code()), (400, "bad_channel"));
    }
    let sid = sid_of(&server);
    for (name, code) in [(&most, "ok"), (&beyond, "bad_channel")] {
        for op in ["subscribe", "publish"] {
            let reply = server.command(&sid, &json!({"op": op, "ch": name, "data": 1}));
            assert_eq!(verdict(&reply), code, "{op}");
        }
    }
    for (length, code) in
        [(limits::KEY_BYTES_MAX, "ok"), (limits::KEY_BYTES_MAX + 1, "bad_value"), (0, "bad_value")]
    {
        let key = "k".repeat(length);
        let command = json!({"op": "publish", "ch": "a", "data": 1, "key": key});
        assert_eq!(verdict(&server.command(&sid, &command)), code, "{length}");
        let line = json!({"ch": "a", "data": 1, "key": key}).to_string();
        assert_eq!(verdict(&server.post("/publish", line).json()[0]), code, "{length}");
        let fields = format!("Idempotency-Key: {key}\r\n");
        let response = server.connect().ask("POST", "/publish/a", &fields, b"1");
        assert_eq!(response.status == 200, code == "ok", "{length}");
    }
    // Quotes count as they are written.
    for (length, code) in
        [(limits::COMMAND_REF_BYTES_MAX, "ok"), (limits::COMMAND_REF_BYTES_MAX + 1, "bad_value")]
    {
        let reply = server.command(&sid, &json!({"op": "ping", "ref": "r".repeat(length - 2)}));
        assert_eq!(verdict(&reply), code, "{length}: {reply}");
    }
}

#[test]
fn a_command_has_so_many_bytes() {
    let server = serve(|_| {});
    // What a message may come to when every byte of it is escaped, and a little around it.
    let most = 2 * limits::MESSAGE_BYTES_MAX + limits::COMMAND_BYTES_MAX;
    let command = |length: usize| {
        let short = json!({"op": "ping", "ref": 1, "x": ""}).to_string();
        json!({"op": "ping", "ref": 1, "x": "x".repeat(length - short.len())}).to_string()
    };
    let mut reader = Reader::open(&server, Way::WebSocket, "ch=a");
    reader.client.send(frame(TEXT, command(most)));
    assert_eq!(reader.event_of("reply")["ok"], true);
    reader.client.try_send(frame(TEXT, command(most + 1)));
    assert_eq!(reader.client.closed().0, 1009);
}

#[test]
fn a_send_has_so_many_commands_and_replies_so_many_bytes() {
    let server = serve(|_| {});
    let sid = sid_of(&server);
    let path = format!("/send?sid={sid}");
    let pings = |count: usize| serde_json::to_vec(&vec![json!({"op": "ping"}); count]).expect("JSON");
    let replies = server.post(&path, pings(limits::COMMANDS_PER_SEND_MAX)).json();
    assert_eq!(replies.as_array().map(Vec::len), Some(limits::COMMANDS_PER_SEND_MAX));
    let response = server.post(&path, pings(limits::COMMANDS_PER_SEND_MAX + 1));
    assert_eq!((response.status, &*response.code()), (413, "too_many_commands"));
    let long = format!("\"{}\"", "x".repeat(60_000));
    (0..10).for_each(|_| drop(server.publish("a", &long)));
    let histories: Vec<Value> = (0..20).map(|n| json!({"op": "history", "ch": "a", "ref": n})).collect();
    let response = server.post(&path, json!(histories).to_string());
    assert!(response.body.len() < limits::SEND_REPLY_BYTES_MAX + limits::HISTORY_BYTES_MAX + 10_000);
    let replies = response.json();
    let verdicts: Vec<String> = replies.as_array().expect("replies").iter().map(verdict).collect();
    assert!(verdicts[0] == "ok" && verdicts[19] == "too_much", "{verdicts:?}");
    assert_eq!(replies[19]["ref"], 19, "it is known which were not carried out");
}

#[test]
fn a_batch_has_so_many_lines() {
    let server = serve(|_| {});
    let lines = |count: usize| "{\"ch\":\"a\",\"data\":1}\n".repeat(count);
    let answers = server.post("/publish", lines(limits::BATCH_LINES_MAX)).json();
    assert_eq!(answers.as_array().map(Vec::len), Some(limits::BATCH_LINES_MAX));
    let before = server.counter("encke_messages_total");
    let response = server.post("/publish", lines(limits::BATCH_LINES_MAX + 1));
    assert_eq!((response.status, &*response.code()), (413, "too_many_lines"));
    assert_eq!(server.counter("encke_messages_total"), before, "none of them was published");
}

#[test]
fn answers_are_cut_and_say_so() {
    let server = serve(|_| {});
    let lines = |from: usize, to: usize| -> String {
        (from..to).map(|number| format!("{{\"ch\":\"a\",\"data\":{number}}}\n")).collect()
    };
    let most = limits::HISTORY_MAX as usize;
    server.post("/publish", lines(0, most));
    let history = |query: &str| {
        let answer = server.get(&format!("/channels/a/history{query}")).json();
        (answer["messages"].as_array().expect("messages").len(), answer["more"] == true)
    };
    assert_eq!(history(""), (limits::HISTORY_DEFAULT as usize, true));
    assert_eq!(history("?limit=1000000"), (most, false), "all there is");
    server.post("/publish", lines(most, most + 1));
    assert_eq!(history("?limit=1000000"), (most, true));
    assert!(limits::LAST_MAX as usize <= most);
    let poll = server.get("/poll?ch=a&last=4000000000").json();
    assert_eq!(poll["events"].as_array().map(Vec::len), Some(limits::LAST_MAX as usize));

    // By bytes: the oldest are left out of a history, the newest of a poll, which goes on from its cursor.
    let long = format!("\"{}\"", "x".repeat(50_000));
    (0..12).for_each(|_| drop(server.publish("b", &long)));
    let answer = server.get("/channels/b/history").json();
    let told = answer["messages"].to_string().len();
    assert!(answer["more"] == true && (1..=limits::HISTORY_BYTES_MAX + 100).contains(&told), "{told}");
    let mut reader = Reader::open(&server, Way::Poll, "ch=b&last=12");
    let first = reader.head.body.len();
    assert!((limits::POLL_BYTES_MAX..limits::POLL_BYTES_MAX + 60_000).contains(&first), "{first}");
    (0..12).for_each(|_| drop(reader.message()));
}

#[test]
fn a_reader_has_so_many_channels() {
    let server = serve(|_| {});
    let query = |count: usize| (0..count).map(|n| format!("ch=c{n}")).collect::<Vec<_>>().join("&");
    let sid = server.get(&format!("/poll?{}", query(limits::SUBSCRIPTIONS_MAX))).json()["sid"].clone();
    let sid = sid.as_str().expect("a sid");
    let reply = server.command(sid, &json!({"op": "subscribe", "ch": "one more"}));
    assert_eq!(verdict(&reply), "too_many_subscriptions");
    assert_eq!(
        verdict(&server.command(sid, &json!({"op": "subscribe", "ch": "c7"}))),
        "ok",
        "it has that one"
    );
    let response = server.get(&format!("/sse?{}", query(limits::SUBSCRIPTIONS_MAX + 1)));
    assert_eq!((response.status, &*response.code()), (400, "too_many_subscriptions"));
    assert_eq!(server.get("/channels/c128").status, 404, "nothing was opened for it");
}

#[test]
fn tables_are_full_at_their_bounds() {
    let server = serve(|config| {
        config.bounds.channels = 3;
        config.bounds.readers = 4;
        config.open_publish = true;
    });
    let mut readers: Vec<Reader> =
        ["a", "b", "c"].iter().map(|ch| Reader::open(&server, Way::Sse, &format!("ch={ch}"))).collect();
    let response = server.post("/publish/d", "1");
    assert_eq!((response.status, &*response.code()), (503, "too_many_channels"), "all are read");
    assert!(response.header("retry-after").is_some());
    readers.push(Reader::open(&server, Way::Sse, "ch=a"));
    let response = server.get("/sse?ch=a");
    assert_eq!((response.status, &*response.code()), (503, "too_many_clients"), "all are connected");
    assert!(response.header("retry-after").is_some());
    for (reader, channel) in readers.iter_mut().zip(["a", "b", "c", "a"]) {
        server.publish(channel, "\"there\"");
        while reader.event()["data"] != "there" {}
    }
}

#[test]
fn keys_of_evicted_messages_are_kept_up_to_a_bound() {
    let server = serve(|config| {
        config.bounds.channel_messages = 1;
        config.bounds.keys = 8;
    });
    let keyed = |key: usize| {
        let fields = format!("Idempotency-Key: k{key}\r\n");
        let response = server.connect().ask("POST", "/publish/a", &fields, b"1");
        assert_eq!(response.status, 200);
        response.json()["repeated"] == true
    };
    // One message is kept, the keys of eight before it are.
    (0..9).for_each(|key| assert!(!keyed(key), "{key} is new"));
    (0..9).for_each(|key| assert!(keyed(key), "{key} was published"));
    assert!(!keyed(9));
    (1..10).for_each(|key| assert!(keyed(key), "{key} was published"));
    assert!(!keyed(0), "beyond the bound the oldest was forgotten");
}

#[test]
fn what_comes_after_the_end_is_read_up_to_a_bound() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().status, 200);
    // Who sends on and on after the end is cut off, however it goes on.
    let block = [b'x'; 64 * 1024];
    let mut sent = 0;
    while client.try_send(block) {
        sent += block.len();
        assert!(sent < 64 * limits::LINGER_BYTES_MAX as usize, "it is read for ever");
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn an_absent_reader_is_told_where_it_is_cut() {
    let server = serve(|config| {
        config.bounds.channel_messages = 3;
        config.bounds.presences_kept = 2;
    });
    let reader = Reader::open(&server, Way::Poll, "ch=a");
    for number in 0..=3 {
        server.publish("a", number.to_string());
    }
    let query = format!("/poll?ch=a&since={}", reader.cursor);
    let events = server.get(&query).json()["events"].clone();
    let kinds: Vec<&str> =
        events.as_array().expect("events").iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(kinds, ["gap", "message", "message", "message"]);
    assert_eq!((&events[0]["why"], &events[1]["data"]), (&json!("evicted"), &json!(1)));
}
