//! Long and short polling over real sockets, and JSONP, which is the same as a script. What happens between
//! two polls, and to two at once, is among the traps.

mod common;

use common::{Client, Reader, Running, Way, serve};
use serde_json::json;

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

#[test]
fn nothing_is_interpreted_behind_a_held_poll() {
    let server = serve(|_| {});
    let mut reader = held(&server);
    reader.client.send("POST /publish/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1");
    reader.client.send("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
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
