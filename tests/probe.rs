//! `/probe`: two parts that leave the server a moment apart, for a page to see whether they arrive so.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use common::serve;
use encke::limits::PROBE_MS;

/// All that has come so far.
fn come(stream: &mut TcpStream) -> String {
    stream.set_nonblocking(true).expect("a socket");
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
    stream.set_nonblocking(false).expect("a socket");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn the_second_part_comes_a_moment_after_the_first() {
    for (query, version, before) in [("", "1.1", ""), ("?pad=100", "1.1", " "), ("", "1.0", "")] {
        let server = serve(|_| {});
        server.world.freeze();
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        let request = format!("GET /probe{query} HTTP/{version}\r\nHost: encke.localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut first = String::new();
        while !first.ends_with("1\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the first part");
            first.push(char::from(byte[0]));
        }
        let (head, body) = first.split_once("\r\n\r\n").expect("a head");
        assert!(body.starts_with(if before.is_empty() { "1\n" } else { before }), "{body:?}");
        let head = head.to_lowercase();
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        for field in ["connection: close", "x-accel-buffering: no", "cache-control: no-store, no-transform"] {
            assert!(head.contains(field), "{head}");
        }
        assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
        server.settle();
        assert_eq!(come(&mut stream), "", "its time has not come");
        server.world.thaw();
        server.skip(PROBE_MS);
        let mut second = String::new();
        stream.read_to_string(&mut second).expect("the second part, and the end");
        assert_eq!(second, "2\n");
    }
}

#[test]
fn a_head_of_it_is_answered_at_once() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.send("HEAD /probe HTTP/1.1\r\nHost: encke.localhost\r\n\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.get("/healthz").status, 200);
}
