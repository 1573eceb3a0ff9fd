//! Long and short polling over real sockets, and JSONP, which is the same as a script. What happens between
//! two polls, and to two at once, is among the traps.

mod common;

use common::{Client, Reader, Running, Way, serve};
use encke::limits::RUN_MESSAGES_MAX;
use serde_json::{Value, json};

mod long {
    use super::common::Way;
    crate::stories!(Way::Poll);
}

mod jsonp {
    use super::common::Way;
    crate::stories!(Way::Jsonp);
}

/// A reader of `a` whose poll is held.
fn held(server: &Running) -> Reader {
    let mut reader = Reader::open(server, Way::Poll, "ch=a");
    reader.ask();
    server.settle();
    reader
}

#[test]
fn without_a_cursor_it_answers_at_once_with_one() {
    let server = serve(|_| {});
    let id = server.publish("a", "1");
    let body = server.get("/poll?ch=a&wait=60").json();
    assert_eq!((&body["events"], &body["cursor"]), (&json!([]), &json!(id)));
}

#[test]
fn short_polling() {
    let server = serve(|_| {});
    let mut client = server.connect();
    let first = client.get("/poll?ch=a&wait=0").json();
    let target = |body: &serde_json::Value| {
        let text = |name: &str| body[name].as_str().expect("text").to_owned();
        format!("/poll?ch=a&wait=0&sid={}&since={}", text("sid"), text("cursor"))
    };
    let second = client.get(&target(&first)).json();
    assert_eq!((&second["events"], &second["sid"]), (&json!([]), &first["sid"]));
    server.publish("a", "1");
    let third = client.get(&target(&second)).json();
    assert_eq!(third["events"][0]["data"], 1);
    assert_eq!(client.get(&target(&third)).json()["events"], json!([]));
}

#[test]
fn a_held_poll_is_answered_by_the_next_message() {
    let server = serve(|_| {});
    let mut reader = held(&server);
    let id = server.publish("a", "1");
    let response = reader.client.response();
    assert_eq!(response.header("content-type"), Some("application/json"));
    let body = response.json();
    assert_eq!((&body["cursor"], &body["events"][0]["id"]), (&json!(id), &json!(id)));
}

#[test]
fn an_answer_has_a_bound_and_the_next_one_goes_on() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::Poll, "ch=a");
    for number in 0..20 {
        server.publish("a", format!("[{number},\"{}\"]", "x".repeat(40_000)));
    }
    reader.ask();
    let body = reader.client.response();
    assert!((256 * 1024..320 * 1024).contains(&body.body.len()), "{}", body.body.len());
    let mut told = reader.take_poll(&body)["events"].as_array().expect("events").len();
    reader.passed_over();
    let target = format!("/poll?sid={}&since={}", reader.sid, reader.cursor);
    let next = reader.client.get(&target).json();
    assert_eq!(next["events"][0]["data"][0], told, "nothing twice, nothing missing");
    told += next["events"].as_array().expect("events").len();
    assert!(told < 20, "six at a time");
}

/// The `data` of an answer's events.
fn data(body: &Value) -> Vec<u64> {
    let events = body["events"].as_array().expect("events");
    events.iter().map(|event| event["data"].as_u64().expect("a number")).collect()
}

/// Whatever is the same for others that wait at the same place, each is answered as it asked.
#[test]
fn polls_that_wait_together_are_each_answered_as_they_asked() {
    let server = serve(|config| {
        config.jsonp = true;
        config.origins = vec!["http://shop.example".into()];
    });
    let asked: [(&str, &str, &[u64]); 9] = [
        ("/poll?ch=a", "HTTP/1.1\r\n", &[1, 3]),
        ("/poll?ch=a", "HTTP/1.1\r\n", &[1, 3]),
        ("/poll?ch=a", "HTTP/1.1\r\nConnection: close\r\n", &[1, 3]),
        ("/poll?ch=a", "HTTP/1.0\r\n", &[1, 3]),
        ("/poll?ch=a", "HTTP/1.1\r\nOrigin: http://shop.example\r\n", &[1, 3]),
        ("/jsonp?callback=f&ch=a", "HTTP/1.1\r\n", &[1, 3]),
        ("/poll?ch=a&ch=b", "HTTP/1.1\r\n", &[1, 2, 3]),
        ("/poll?ch=b", "HTTP/1.1\r\n", &[2]),
        ("/poll?ch=a", "HTTP/1.1\r\n", &[1, 3]),
    ];
    let ask = |(target, rest, _)| {
        let first = server.get("/poll?sid=&wait=0").json();
        let text = |name: &str| first[name].as_str().expect("text").to_owned();
        let (sid, since) = (text("sid"), text("cursor"));
        let mut client = server.connect();
        client.send(format!("GET {target}&sid={sid}&since={since} {rest}Host: localhost\r\n\r\n"));
        (client, sid)
    };
    let polls: Vec<(Client, String)> = asked.into_iter().map(ask).collect();
    server.settle();
    let line = |channel, data| format!("{{\"ch\":\"{channel}\",\"data\":{data}}}\n");
    server.post_as_operator("/publish", line('a', 1) + &line('b', 2) + &line('a', 3));
    let mut plain = Vec::new();
    for ((mut client, sid), (target, rest, expected)) in polls.into_iter().zip(asked) {
        let response = client.response();
        let text = response.text();
        let call = text.strip_prefix("/**/f(").and_then(|call| call.strip_suffix(");"));
        assert_eq!(call.is_some(), target.starts_with("/jsonp"), "{text}");
        let body: Value = serde_json::from_str(call.unwrap_or(&text)).expect("JSON");
        assert_eq!((&body["sid"], data(&body)), (&json!(sid), expected.to_vec()), "{target} {rest}");
        assert!(body["cursor"].as_str().is_some_and(|cursor| cursor.ends_with("-3")), "{text}");
        let ends = rest.contains("close") || rest.contains("1.0");
        assert_eq!(response.header("connection"), ends.then_some("close"), "{target} {rest}");
        let is_allowed = response.header("access-control-allow-origin").is_some();
        assert_eq!(is_allowed, rest.contains("Origin"), "{target} {rest}");
        if (target, rest) == (asked[0].0, asked[0].1) {
            plain.push((response.fields.clone(), text.replace(&sid, "")));
        }
    }
    assert!(plain.len() == 3 && plain.iter().all(|one| *one == plain[0]), "{plain:?}");
}

#[test]
fn more_than_a_run_is_told_in_one_answer() {
    let server = serve(|_| {});
    let readers = [held(&server), held(&server)];
    let count = 3 * RUN_MESSAGES_MAX as u64;
    let lines: String = (0..count).map(|data| format!("{{\"ch\":\"a\",\"data\":{data}}}\n")).collect();
    server.post("/publish", lines);
    for mut reader in readers {
        let body = reader.client.response().json();
        assert_eq!(data(&body), (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn nothing_is_interpreted_behind_a_held_poll() {
    let server = serve(|_| {});
    let mut reader = held(&server);
    reader.client.send("POST /publish/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1");
    reader.client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(server.get("/channels/b").status, 404, "not published while the poll is held");
    server.publish("a", "1");
    assert_eq!(reader.client.response().json()["events"][0]["data"], 1);
    assert_eq!(reader.client.response().json()["ok"], true);
    assert_eq!(reader.client.response().text(), "ok\n");
    reader.client.expect_end();
}

#[test]
fn a_half_closed_poller_gets_its_answer() {
    let server = serve(|_| {});
    let mut reader = held(&server);
    reader.client.half_close();
    let response = reader.client.response();
    assert_eq!(response.json()["events"], json!([]), "now, since it may have gone");
    assert_eq!(response.header("connection"), Some("close"));
    reader.client.expect_end();
}

#[test]
fn a_poller_that_went_away_has_missed_nothing() {
    let server = serve(|_| {});
    let reader = held(&server);
    let (sid, cursor) = (reader.sid.clone(), reader.cursor.clone());
    drop(reader);
    server.publish("a", "1");
    let body = server.get(&format!("/poll?ch=a&sid={sid}&since={cursor}")).json();
    assert_eq!((&body["events"][0]["data"], &body["sid"]), (&json!(1), &json!(sid)));
}

#[test]
fn wait_has_a_bound() {
    let server = serve(|_| {});
    server.world.freeze();
    let mut client: Client = server.connect();
    let cursor = server.get("/poll?ch=a").json()["cursor"].as_str().expect("a cursor").to_owned();
    client.request("GET", &format!("/poll?ch=a&since={cursor}&wait=99999999"), "", b"");
    server.settle();
    server.skip(120_000);
    assert_eq!(client.response().json()["events"], json!([]));
}

#[test]
fn jsonp_is_off_unless_switched_on() {
    let server = serve(|_| {});
    let response = server.get("/jsonp?ch=a&callback=f");
    assert_eq!((response.status, &*response.code()), (404, "jsonp_off"));
}

#[test]
fn jsonp_is_a_script_that_calls() {
    let server = serve(|config| config.jsonp = true);
    let response = server.get("/jsonp?ch=a&callback=app.got&wait=0");
    assert_eq!(response.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    let text = response.text();
    assert!(text.starts_with("/**/app.got({\"sid\":\"") && text.ends_with("});"), "{text}");
    for callback in ["", "alert(1)", "a;b", "a%0Ab", "a.b.", "a%3C", "*/"] {
        let response = server.get(&format!("/jsonp?ch=a&callback={callback}"));
        assert_eq!((response.status, &*response.code()), (400, "bad_value"), "{callback}");
    }
}
