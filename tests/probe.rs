//! `/probe`: three parts that leave the server a moment apart, for a page to see whether they arrive so; and
//! the blank line that follows what a stream begins with.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use common::serve;
use encke::limits::{FOLLOW_UP_MS, PROBE_MS};

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
fn each_part_comes_a_moment_after_the_one_before() {
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
        server.skip(PROBE_MS);
        let mut second = [0; 2];
        stream.read_exact(&mut second).expect("the second part");
        assert_eq!(&second, b"2\n");
        server.settle();
        assert_eq!(come(&mut stream), "", "nor has that of the third");
        server.world.thaw();
        server.skip(PROBE_MS);
        let mut third = String::new();
        stream.read_to_string(&mut third).expect("the third part, and the end");
        assert_eq!(third, "3\n");
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

/// Something in between may hold back what came together with the head until more comes (Varnish does). It must
/// not be the first heartbeat that brings the welcome.
#[test]
fn a_blank_line_follows_what_a_stream_begins_with() {
    for (path, blank) in [("/sse", ":\n"), ("/stream", "\n"), ("/iframe", "<!---->\n")] {
        let server = serve(|_| {});
        server.world.freeze();
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        let request = format!("GET {path}?ch=a&hb=1 HTTP/1.1\r\nHost: encke.localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut first = String::new();
        while !first.contains(r#""welcome""#) {
            server.settle();
            first.push_str(&come(&mut stream));
        }
        server.settle();
        assert_eq!(come(&mut stream), "", "{path}");
        server.skip(FOLLOW_UP_MS);
        server.settle();
        let mut bytes = vec![0; blank.len()];
        stream.read_exact(&mut bytes).expect("the blank line");
        assert_eq!(String::from_utf8_lossy(&bytes), blank, "{path}");
        server.settle();
        assert_eq!(come(&mut stream), "", "{path}: once");
        server.skip(1000 - FOLLOW_UP_MS);
        let mut byte = [0];
        let mut beat = String::new();
        while !beat.contains(r#""heartbeat""#) {
            stream.read_exact(&mut byte).expect("the heartbeat, when it was due");
            beat.push(char::from(byte[0]));
        }
        server.world.thaw();
    }
}
