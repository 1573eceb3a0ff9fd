//! The side for back ends over real sockets: publishing without being a client, looking in, counters.

mod common;

use common::client::{TEXT, frame};
use common::{AS_OPERATOR, Reader, Response, Running, Way, refused, serve};
use serde_json::{Value, json};

#[track_caller]
fn is(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, &*response.code()), (status, code));
}

/// The newest message of a channel, as it is written.
fn newest(server: &Running, channel: &str) -> String {
    let text = server.get(&format!("/channels/{channel}/history?limit=1")).text();
    let data = text.split_once("\"data\":").expect("a message").1;
    data.strip_suffix("}],\"more\":true}")
        .or(data.strip_suffix("}],\"more\":false}"))
        .expect("one")
        .to_owned()
}

#[test]
fn json_stays_as_it_was_spelled() {
    let server = serve(|_| {});
    for (body, kept) in [
        ("1.0", "1.0"),
        ("12345678901234567890123456789", "12345678901234567890123456789"),
        ("1e400", "1e400"),
        ("-0", "-0"),
        (" { \"b\" : 1 , \"a\" : [ ] } ", r#"{"b":1,"a":[]}"#),
        ("\"<\u{2028}\"", r#""\u003c\u2028""#),
        ("null", "null"),
        ("true", "true"),
        ("hello", "\"hello\""),
        ("tru", "\"tru\""),
        ("{\"a\":1", r#""{\"a\":1""#),
        ("", "\"\""),
    ] {
        server.publish("a", body);
        assert_eq!(newest(&server, "a"), kept, "{body}");
    }
}

#[test]
fn a_content_type_is_believed() {
    let server = serve(|_| {});
    let mut client = server.connect();
    let mut publish = |kind: &str, body: &[u8]| {
        client.ask("POST", "/publish/a", &format!("Content-Type: {kind}\r\n"), body)
    };
    assert_eq!(publish("text/plain", b"1").status, 200);
    assert_eq!(newest(&server, "a"), "\"1\"");
    assert_eq!(publish("Application/JSON; charset=utf-8", b"[1]").status, 200);
    assert_eq!(newest(&server, "a"), "[1]");
    // What `curl -d` calls its body whatever it is.
    assert_eq!(publish("application/x-www-form-urlencoded", b"a=1&b=2").status, 200);
    assert_eq!(newest(&server, "a"), "\"a=1&b=2\"");
    assert_eq!(publish("application/octet-stream", b"abc").status, 200);
    assert_eq!(newest(&server, "a"), "\"YWJj\",\"encoding\":\"base64\"");
    for (kind, body) in
        [("application/json", &b"{"[..]), ("application/problem+json", b"\xff"), ("application/json", b"")]
    {
        is(&publish(kind, body), 400, "bad_json");
    }
}

#[test]
fn other_bytes_travel_as_base64() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::Stream, "ch=a");
    server.publish("a", [0xff, 0x00, 0x3c]);
    let message = reader.event_of("message");
    assert_eq!((&message["data"], &message["encoding"]), (&json!("/wA8"), &json!("base64")));
}

#[test]
fn a_message_has_a_bound() {
    let server = serve(|_| {});
    is(&server.post("/publish/a", format!("\"{}\"", "x".repeat(64 * 1024))), 413, "message_too_long");
    server.publish("a", format!("\"{}\"", "x".repeat(64 * 1024 - 2)));
}

#[test]
fn an_idempotency_key_makes_two_publishes_one() {
    let server = serve(|_| {});
    let publish = |key: &str, body: &str| {
        server.connect().ask("POST", "/publish/a", &format!("Idempotency-Key: {key}\r\n"), body.as_bytes())
    };
    let first = publish("one", "1").json();
    assert_eq!((&first["ok"], &first["repeated"]), (&json!(true), &Value::Null));
    let second = publish("\"one\"", "1").json();
    assert_eq!((&second["id"], &second["repeated"]), (&first["id"], &json!(true)));
    assert_ne!(publish("two", "1").json()["id"], first["id"]);
    is(&publish(&"x".repeat(129), "1"), 400, "bad_value");
    server.skip(4 * 60_000);
    assert_eq!(publish("one", "1").json()["repeated"], true, "remembered for five minutes at least");
    assert_eq!(server.get("/channels/a").json()["kept"], 2);
}

#[test]
fn the_key_opens_what_is_for_back_ends_and_nothing_else_needs_it() {
    let server =
        serve(|config| (config.publish_key, config.open_local) = (Some("open sesame".to_owned()), false));
    let mut client = server.connect();
    let paths = [
        ("POST", "/publish/a"),
        ("POST", "/publish"),
        ("GET", "/channels"),
        ("GET", "/channels/a"),
        ("GET", "/channels/a/history"),
        ("DELETE", "/channels/a"),
        ("GET", "/metrics"),
    ];
    for (method, path) in paths {
        for fields in [
            "",
            "Authorization: Bearer\r\n",
            "Authorization: Bearer open\r\n",
            "Authorization: Basic open sesame\r\n",
        ] {
            let response = client.ask(method, path, fields, b"");
            is(&response, 401, "unauthorized");
            assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        }
    }
    for fields in ["Authorization: Bearer open sesame\r\n", "authorization: bEARER  open sesame \r\n"] {
        assert_eq!(client.ask("POST", "/publish/a", fields, b"1").status, 200);
    }
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.get("/poll?ch=a&last=1").json()["events"][0]["data"], 1);
}

#[test]
fn many_at_once() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::Sse, "ch=a&ch=b");
    let lines = "{\"ch\":\"a\",\"data\":1}\r\n\n{\"ch\":\"b\",\"data\":[2.0],\"key\":\"k\"}\n{\"ch\":\"b\",\"data\":0,\"key\":\"k\"}";
    let results = server.post_as_operator("/publish", lines).json();
    assert_eq!((&results[0]["ok"], &results[2]["repeated"]), (&json!(true), &json!(true)));
    assert_eq!(results[1]["id"], results[2]["id"]);
    assert_eq!((reader.message(), reader.message()), (json!(1), json!([2.0])));
    assert_eq!(reader.cursor, results[1]["id"]);
    assert_eq!(server.post("/publish", "").json(), json!([]));
}

/// Editors and libraries of some systems put a byte order mark in front of UTF-8.
#[test]
fn a_byte_order_mark_is_passed_over() {
    const MARK: &str = "\u{feff}";
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::WebSocket, "ch=a");
    for (body, kind, told) in [
        ("{\"n\": 1}", "application/json", json!({"n": 1})),
        ("{\"n\": 2}", "", json!({"n": 2})),
        ("hello", "text/plain", json!("hello")),
        ("hello", "", json!("hello")),
    ] {
        let field = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let body = format!("{MARK}{body}");
        assert_eq!(server.connect().ask("POST", "/publish/a", &field, body.as_bytes()).status, 200);
        assert_eq!(reader.message(), told, "{kind}");
    }
    let lines =
        format!("{MARK}{{\"ch\":\"a\",\"data\":3}}\r\n{MARK}{{\"ch\":\"a\",\"data\":4}}\r\n{MARK}\r\n");
    assert_eq!(server.post("/publish", lines).status, 200);
    assert_eq!((reader.message(), reader.message()), (json!(3), json!(4)));

    let ping = |text: &str| server.post(&format!("/send?sid={}", reader.sid), format!("{MARK}{text}")).json();
    assert_eq!(ping("{\"op\":\"ping\",\"ref\":1}")["ok"], true);
    assert_eq!(ping(" [{\"op\":\"ping\",\"ref\":1}]")[0]["ok"], true);
    reader.client.send(frame(TEXT, format!("{MARK}{{\"op\":\"ping\",\"ref\":2}}")));
    assert_eq!(reader.event_of("reply")["ok"], true);
    let clear = server.post_as_operator("/admin/clear", format!("{MARK}{{\"ch\":\"a\"}}"));
    assert_eq!(clear.status, 200, "{clear:?}");
}

#[test]
fn a_broken_line_publishes_nothing() {
    let server = serve(|_| {});
    for (line, code) in [
        ("nonsense", "bad_json"),
        ("[]", "bad_json"),
        (r#"{"ch":"a"}"#, "missing_value"),
        (r#"{"data":1}"#, "missing_value"),
        (r#"{"ch":1,"data":1}"#, "bad_value"),
        (r#"{"ch":"a","data":"\ud800"}"#, "bad_json"),
    ] {
        let response = server.post("/publish", format!("{{\"ch\":\"a\",\"data\":1}}\n\n{line}\n"));
        is(&response, 400, code);
        let sentence = response.json()["detail"].as_str().expect("a sentence").to_owned();
        assert!(sentence.starts_with("Line 3: "), "{sentence}");
    }
    is(&server.post("/publish", [0xff]), 400, "bad_json");
    is(&server.post("/publish", "{\"ch\":\"a\",\"data\":1}\n".repeat(10_001)), 413, "too_many_lines");
    is(&server.get("/channels/a"), 404, "no_channel");
    // A name is only known to be bad when it is published to; the others don't suffer from it.
    let results = server.post("/publish", "{\"ch\":\"a/b\",\"data\":1}\n{\"ch\":\"a\",\"data\":1}").json();
    assert_eq!((refused(&results[0]), &results[1]["ok"]), ("bad_channel", &json!(true)));
}

#[test]
fn channels_are_listed_and_described() {
    let server = serve(|_| {});
    assert_eq!(server.get("/channels").json(), json!({"channels": []}));
    let _reader = Reader::open(&server, Way::Sse, "ch=b");
    let ann = Reader::open(&server, Way::WebSocket, "ch=b");
    server.command(&ann.sid, &json!({"op": "login", "nick": "ann"}));
    let id = server.publish("a", "1");
    let response = server.get("/channels");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let channels = response.json()["channels"].clone();
    let names: Vec<_> = channels.as_array().expect("channels").iter().map(|channel| &channel["ch"]).collect();
    assert_eq!(names, ["a", "b"]);
    let a = &channels[0];
    assert_eq!((&a["readers"], &a["kept"], &a["cursor"]), (&json!(0), &json!(1), &json!(id)));
    let b = server.get("/channels/b").json();
    assert_eq!((&b["readers"], &b["users"], &b["names"]), (&json!(2), &json!(1), &json!(["ann"])));
    is(&server.get("/channels/nowhere"), 404, "no_channel");
}

#[test]
fn history_goes_back_page_by_page() {
    let server = serve(|_| {});
    for number in 0..5 {
        server.publish("a", number.to_string());
    }
    let page = server.get("/channels/a/history?limit=2").json();
    assert_eq!((&page["messages"][0]["data"], &page["more"]), (&json!(3), &json!(true)));
    let before = page["messages"][0]["id"].as_str().expect("an id");
    let rest = server.get(&format!("/channels/a/history?before={before}")).json();
    let told: Vec<_> =
        rest["messages"].as_array().expect("messages").iter().map(|m| m["data"].clone()).collect();
    assert_eq!((told, &rest["more"]), (vec![json!(0), json!(1), json!(2)], &json!(false)));
    is(&server.get("/channels/a/history?limit=x"), 400, "bad_value");
    is(&server.get("/channels/a/history?before=x"), 400, "bad_value");
    is(&server.get("/channels/a/history?before=00000000-1"), 410, "restarted");
}

#[test]
fn who_is_behind_a_deleted_history_is_told_of_a_gap() {
    let server = serve(|_| {});
    let (up_to_date, behind) =
        (Reader::open(&server, Way::Stream, "ch=a"), Reader::open(&server, Way::Stream, "ch=a"));
    let (mut up_to_date, cursor) = (up_to_date, behind.cursor.clone());
    drop(behind);
    server.publish("a", "1");
    assert_eq!(up_to_date.message(), 1);
    assert_eq!(server.connect().ask("DELETE", "/channels/a", AS_OPERATOR, b"").status, 204);
    assert_eq!(server.get("/channels/a/history").json()["messages"], json!([]));
    let mut behind = Reader::open(&server, Way::Stream, &format!("ch=a&since={cursor}"));
    assert_eq!(behind.event_of("gap")["why"], "evicted");
    server.publish("a", "2");
    assert_eq!(
        (up_to_date.message(), behind.message()),
        (json!(2), json!(2)),
        "who missed nothing hears of nothing"
    );
    is(&server.connect().ask("DELETE", "/channels/nowhere", AS_OPERATOR, b""), 404, "no_channel");
}

#[test]
fn a_channel_that_is_gone_still_leaves_a_gap() {
    let server = serve(|_| {});
    let cursor = Reader::open(&server, Way::Poll, "ch=b").cursor;
    server.publish("a", "1");
    server.connect().ask("DELETE", "/channels/a", AS_OPERATOR, b"");
    // A day later nobody remembers the channel but its floor.
    server.skip(25 * 3_600_000);
    let mut late = Reader::open(&server, Way::Sse, &format!("ch=a&since={cursor}"));
    assert_eq!(late.event_of("gap")["why"], "evicted");
}

#[test]
fn names_of_every_kind() {
    let server = serve(|_| {});
    let longest = "x".repeat(128);
    for (path, name) in [
        ("caf%C3%A9", "café"),
        ("%F0%9F%92%AC", "💬"),
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("%25", "%"),
        ("..", ".."),
        ("a:b@c;d=e&f", "a:b@c;d=e&f"),
        (&longest, &longest),
    ] {
        server.publish(path, "1");
        assert_eq!(server.get(&format!("/channels/{path}")).json()["ch"], name, "{path}");
    }
    let too_long = "%C3%A9".repeat(64) + "x";
    for path in ["a%2Fb", "a%2Cb", "%3F", "%23", "%00", "%0A", "%7F", &"x".repeat(129), &too_long] {
        is(&server.post(&format!("/publish/{path}"), "1"), 400, "bad_channel");
    }
    for path in ["%", "%zz", "%C3", "%FF", "%C0%80", "%ED%A0%80"] {
        is(&server.post(&format!("/publish/{path}"), "1"), 400, "bad_path");
    }
    is(&server.post("/publish/a/b", "1"), 404, "not_found");
}

#[test]
fn channels_have_a_bound() {
    let server = serve(|config| config.bounds.channels = 1);
    let _reader = Reader::open(&server, Way::Sse, "ch=a");
    let response = server.post("/publish/b", "1");
    is(&response, 503, "too_many_channels");
    assert_eq!(response.header("retry-after"), Some("60"));
}

#[test]
fn counters_count() {
    let server = serve(|_| {});
    assert_eq!(server.get("/healthz").text(), "ok\n");
    let _readers = [Reader::open(&server, Way::Sse, "ch=a"), Reader::open(&server, Way::Iframe, "ch=a")];
    server.publish("a", "1");
    let response = server.get_as_operator("/metrics");
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4"));
    for line in response.text().lines() {
        let known = line.starts_with("# HELP encke_") || line.starts_with("# TYPE encke_");
        assert!(known || line.starts_with("encke_") && line.split(' ').count() == 2, "{line}");
    }
    assert_eq!(server.counter("encke_clients"), 2);
    assert_eq!(server.counter("encke_channels"), 1);
    assert_eq!(server.counter("encke_messages_total"), 1);
    assert_eq!(server.counter("encke_readers{transport=\"sse\"}"), 1);
    assert_eq!(server.counter("encke_readers{transport=\"iframe\"}"), 1);
    assert!(server.counter("encke_accepted_total") >= 8);
}

/// The writer stays and says nothing more, so nothing but a timer can look for what is old.
#[test]
fn what_is_too_old_is_forgotten_on_a_silent_server() {
    let server = serve(|config| config.bounds.message_kept_ms = 10_000);
    let mut writer = server.connect();
    assert_eq!(writer.post("/publish/a", "old").status, 200);
    server.skip(12_000);
    assert_eq!(writer.get("/channels/a/history").json()["messages"], json!([]));
}
