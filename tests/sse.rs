//! Server-Sent Events over real sockets: what an EventSource sees, byte for byte where it matters.

#[macro_use]
mod common;

use common::{Reader, Way, serve};

stories!(Way::Sse);

#[test]
fn an_event_is_its_lines() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.request("GET", "/sse?ch=a", "", b"");
    assert_eq!(client.head().header("content-type"), Some("text/event-stream"));
    let welcome = client.until("\n\n");
    let lines: Vec<&str> = welcome.lines().collect();
    assert!(lines[0].starts_with("id: ") && lines[0].ends_with("-0"), "{welcome}");
    assert_eq!(lines[1], "event: welcome");
    assert!(lines[2].starts_with(r#"data: {"type":"welcome","#), "{welcome}");
    let id = server.publish("a", r#"{ "say": "<hello>" }"#);
    client.expect(format!("id: {id}\nevent: message\ndata: {{\"type\":\"message\",\"id\":\"{id}\",\"ch\":\"a\",\"from\":null,\"at\":"));
    assert!(client.until("\n\n").ends_with(",\"data\":{\"say\":\"\\u003chello>\"}}\n\n"));
}

#[test]
fn a_heartbeat_is_no_place_to_come_back_to() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::Sse, "ch=a&hb=1");
    let cursor = reader.cursor.clone();
    server.skip(1_000);
    let block = reader.client.until("\n\n");
    assert!(block.starts_with("event: heartbeat\ndata: {"), "{block}");
    assert_eq!(reader.cursor, cursor);
}

#[test]
fn padding_is_a_comment() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.request("GET", "/sse?ch=a&pad=4096", "", b"");
    client.head();
    let padding = client.until("\n");
    assert_eq!((padding.len(), padding.trim()), (4096, ":"));
    assert!(client.until("\n").starts_with("id: "));
}

#[test]
fn retry_comes_before_the_goodbye() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::Sse, "ch=a");
    server.stop();
    let retry = reader.client.until("\n\n");
    let ms = retry.trim().strip_prefix("retry: ").and_then(|ms| ms.parse::<u64>().ok());
    let bye = reader.client.until("\n\n");
    assert!(bye.starts_with("event: bye\ndata: "), "no id, so that the last one holds: {bye}");
    assert!(bye.contains(&format!("\"retry\":{}", ms.expect("milliseconds"))), "{bye}");
}

#[test]
fn an_old_browser_behind_an_old_proxy() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.send("GET /sse?ch=a HTTP/1.0\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status, head.header("connection")), (200, Some("close")));
    assert!(client.until("\n\n").contains("event: welcome\n"));
}
