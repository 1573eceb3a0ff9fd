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
    // The blank line that follows the beginning of every stream may stand before it.
    let block = block.trim_start_matches(":\n");
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

/// HTML, section 9.2.4: a browser sends back what it remembers, and can be made to remember anything.
#[test]
fn last_event_id_of_any_bytes() {
    let server = serve(|_| {});
    server.publish("a", "kept");
    for garbage in
        [&b"\x80\xff"[..], b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"caf\xe9-1", b"\xed\xa0\x80", b"x y\tz"]
    {
        let mut client = server.connect();
        client.send(b"GET /sse?ch=a HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: ");
        client.send(garbage);
        client.send("\r\n\r\n");
        assert_eq!(client.head().status, 200, "{}", garbage.escape_ascii());
        assert!(client.until("\n\n").contains("event: welcome\n"));
        let gap = client.until("\n\n");
        assert!(gap.contains("event: gap\n") && gap.contains("restarted"), "{gap}");
        assert!(client.until("\n\n").contains("kept"), "all that there is comes after it");
    }
}

/// WHATWG Fetch, section 4.8: what a page of another origin asks before it reads on with a header of its own.
#[test]
fn a_preflight_of_an_allowed_page() {
    let server = serve(|config| config.origins = vec!["https://shop.example".to_owned()]);
    let ask = "Origin: https://shop.example\r\nAccess-Control-Request-Method: GET\r\n\
        Access-Control-Request-Headers: cache-control,last-event-id\r\n";
    for path in ["/sse?ch=a", "/stream?ch=a", "/poll?ch=a", "/send?sid=x", "/publish/a", "/channels"] {
        let response = server.connect().ask("OPTIONS", path, ask, b"");
        assert_eq!(response.status, 204, "{path}");
        assert_eq!(response.header("access-control-allow-origin"), Some("https://shop.example"), "{path}");
        let fields = response.header("access-control-allow-headers").expect("fields");
        assert!(fields.contains("Last-Event-ID") && fields.contains("cache-control"), "{path}: {fields}");
        let vary = "Access-Control-Request-Method, Access-Control-Request-Headers, Origin";
        assert_eq!(response.header("vary"), Some(vary), "{path}");
        let foreign = ask.replace("shop", "evil");
        let response = server.connect().ask("OPTIONS", path, &foreign, b"");
        assert_eq!((response.status, response.header("access-control-allow-origin")), (403, None), "{path}");
    }
}

/// A page may send credentials where its origin is allowed by name, and nowhere else.
#[test]
fn credentials_are_for_origins_allowed_by_name() {
    let origins = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    for (allowed, credentials) in [
        (origins(&["https://shop.example"]), Some("true")),
        (origins(&["*", "https://shop.example"]), Some("true")),
        (origins(&["*"]), None),
    ] {
        let server = serve(|config| config.origins = allowed.clone());
        let fields = "Origin: https://shop.example\r\n";
        for (method, path) in
            [("GET", "/poll?ch=a"), ("GET", "/poll?last=x"), ("OPTIONS", "/sse"), ("GET", "/healthz")]
        {
            let response = server.connect().ask(method, path, fields, b"");
            assert_eq!(
                response.header("access-control-allow-credentials"),
                credentials,
                "{path} {allowed:?}"
            );
            let origin = response.header("access-control-allow-origin");
            assert_eq!(origin, Some("https://shop.example"), "never a star: {path} {allowed:?}");
        }
        let mut client = server.connect();
        client.request("GET", "/sse?ch=a", fields, b"");
        assert_eq!(client.head().header("access-control-allow-credentials"), credentials, "{allowed:?}");
        let own = server.connect().ask("GET", "/poll?ch=a", "", b"");
        assert_eq!(own.header("access-control-allow-credentials"), None);
    }
}

/// Ids are made of what passes through a header, an attribute and a URL alike.
#[test]
fn ids_are_letters_digits_dot_underscore_and_hyphen() {
    let server = serve(|_| {});
    let mut reader = Reader::open(&server, Way::Sse, "ch=a");
    for n in 0..50 {
        server.publish("a", n.to_string());
        let block = reader.client.until("\n\n");
        let id = block.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        assert!(!id.is_empty() && id.chars().all(is_plain), "{id}");
    }
}
