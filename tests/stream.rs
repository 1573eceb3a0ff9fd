//! HTTP streaming over real sockets: one object a line, as `curl -N` and fetch read it.

#[macro_use]
mod common;

use common::{Reader, Way, serve};

stories!(Way::Stream);

#[test]
fn an_object_is_a_line() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.request("GET", "/stream?ch=a", "", b"");
    assert_eq!(client.head().header("content-type"), Some("application/x-ndjson"));
    assert!(client.until("\n").starts_with(r#"{"type":"welcome","#));
    server.publish("a", "two\nlines\u{2028}three");
    assert!(client.until("\n").ends_with("\"data\":\"two\\nlines\\u2028three\"}\n"));
}

#[test]
fn padding_is_a_blank_line() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.request("GET", "/stream?ch=a&pad=1024", "", b"");
    client.head();
    let padding = client.until("\n");
    assert_eq!((padding.len(), padding.trim()), (1024, ""));
    assert!(client.until("\n").starts_with('{'));
}

#[test]
fn padding_has_a_bound() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.request("GET", "/stream?ch=a&pad=99999999999999999999999999", "", b"");
    client.head();
    assert_eq!(client.until("\n").len(), 16 * 1024);
}

#[test]
fn who_says_no_more_may_still_listen() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::Stream, "ch=a");
    reader.client.half_close();
    reader.event_of("heartbeat");
    server.publish("a", "1");
    assert_eq!(reader.message(), 1);
}

#[test]
fn what_is_sent_behind_the_request_is_never_answered() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.send("GET /stream?ch=a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nnoise");
    client.head();
    client.until("\n");
    client.send([0; 1000]);
    server.publish("a", "1");
    assert!(client.until("\n").contains("\"data\":1"));
}

#[test]
fn a_reader_that_goes_away_is_noticed() {
    let server = serve(|config| config.grace_ms = 0);
    drop(Reader::open(&server, Way::Stream, "ch=a&hb=1"));
    // Every turn with a heartbeat due finds out more: the first byte is answered with a reset.
    for _ in 0..50 {
        server.skip(1_000);
        if server.counter("encke_clients") == 0 {
            return;
        }
    }
    panic!("nobody noticed");
}
