//! HTTP/1.1 and 1.0 over real sockets: framing, persistence, and every status where it belongs.

mod common;

use common::{AS_OPERATOR, Response, Running, Way, serve};
use encke::limits;
use serde_json::json;

/// The answer to bytes on a connection of their own, which must end behind it.
#[track_caller]
fn last_answer(server: &Running, bytes: impl AsRef<[u8]>) -> Response {
    let mut client = server.connect();
    client.send(bytes);
    let response = client.response();
    assert_eq!(response.header("connection"), Some("close"), "{response:?}");
    client.expect_end();
    response
}

#[track_caller]
fn is(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, &*response.code()), (status, code));
}

const FIELDS: &str = "Host: encke.localhost\r\n";

#[test]
fn a_connection_takes_one_request_after_the_other() {
    let server = serve(|_| {});
    let mut client = server.connect();
    for _ in 0..3 {
        let response = client.get("/healthz");
        assert_eq!((response.status, &*response.text()), (200, "ok\n"));
        assert_eq!(response.header("connection"), None, "HTTP/1.1 goes on unless it says otherwise");
        assert_eq!(client.post("/publish/a", "1").status, 200);
        assert_eq!(client.get("/nowhere").status, 404, "a refusal is no reason to part");
    }
    assert_eq!(
        client.ask("GET", "/healthz", "Connection: close\r\n", b"").header("connection"),
        Some("close")
    );
    client.expect_end();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = serve(|_| {});
    let mut client = server.connect();
    let mut requests = String::new();
    for number in 0..200 {
        requests += &format!("POST /publish/a HTTP/1.1\r\n{FIELDS}Content-Length: 3\r\n\r\n{number:3}");
        requests += &format!("GET /channels/a/history?limit=1 HTTP/1.1\r\n{FIELDS}\r\n");
    }
    client.send(requests);
    for number in 0..200 {
        assert_eq!(client.response().json()["ok"], true);
        assert_eq!(client.response().json()["messages"][0]["data"], number);
    }
}

#[test]
fn empty_lines_before_a_request_are_passed_over() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.send(format!(
        "\r\nGET /healthz HTTP/1.1\r\n{FIELDS}\r\n\r\n\r\nGET /healthz HTTP/1.1\r\n{FIELDS}\r\n"
    ));
    assert_eq!((client.response().status, client.response().status), (200, 200));
}

#[test]
fn http10_parts_unless_asked_to_stay() {
    let server = serve(|_| {});
    assert_eq!(last_answer(&server, "GET /healthz HTTP/1.0\r\n\r\n").status, 200);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET /healthz HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")));
    }
    is(&last_answer(&server, "GET /healthz HTTP/1.1\r\n\r\n"), 400, "missing_host");
}

#[test]
fn head_is_get_without_its_content() {
    let server = serve(|_| {});
    server.publish("a", "1");
    let mut client = server.connect();
    for path in ["/", "/chat.js", "/healthz", "/channels", "/channels/a", "/channels/a/history", "/nowhere"] {
        let (head, get) = (client.ask("HEAD", path, "", b""), client.get(path));
        assert_eq!(head.status, get.status, "{path}");
        let kept = |response: &Response| {
            response.fields.iter().filter(|(name, _)| name != "date").cloned().collect::<Vec<_>>()
        };
        assert_eq!(kept(&head), kept(&get), "{path}");
        assert!(!get.body.is_empty());
    }
    assert_eq!(client.ask("HEAD", "/metrics", AS_OPERATOR, b"").status, 200);
    assert_eq!(client.ask("HEAD", "/send", "", b"").status, 405);
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn options_names_the_methods() {
    let server = serve(|_| {});
    let mut client = server.connect();
    for (path, methods) in [
        ("/ws", "GET, OPTIONS"),
        ("/sse", "GET, HEAD, OPTIONS"),
        ("/send", "POST, OPTIONS"),
        ("/publish/a", "POST, OPTIONS"),
        ("/channels/a", "GET, HEAD, DELETE, OPTIONS"),
        ("*", "GET, HEAD, POST, DELETE, OPTIONS"),
    ] {
        let response = client.ask("OPTIONS", path, "", b"");
        assert_eq!((response.status, response.header("allow")), (204, Some(methods)), "{path}");
        assert_eq!(response.header("access-control-allow-methods"), None, "nobody asked for that");
    }
}

#[test]
fn a_body_in_any_split() {
    let server = serve(|_| {});
    let plain = format!("POST /publish/a HTTP/1.1\r\n{FIELDS}Content-Length: 12\r\n\r\n[1, 2, \"\u{e9}\"]");
    let chunked = format!(
        "POST /publish/a HTTP/1.1\r\n{FIELDS}Transfer-Encoding: chunked\r\n\r\n\
         3\r\n[1,\r\n05;name=value\r\n 2, \"\r\n2\r\n\u{e9}\r\n2\r\n\"]\r\n0\r\nTrailer: x\r\n\r\n"
    );
    for request in [plain, chunked] {
        let request = request.as_bytes();
        let mut client = server.connect();
        for cut in 1..request.len() {
            client.send(&request[..cut]);
            client.send(&request[cut..]);
            assert_eq!(client.response().status, 200);
        }
        for byte in request {
            client.send([*byte]);
        }
        assert_eq!(client.response().status, 200);
        let kept = server.get("/channels/a/history?limit=1000").json();
        let kept = kept["messages"].as_array().expect("messages");
        assert!(kept.iter().all(|message| message["data"] == json!([1, 2, "\u{e9}"])));
    }
}

#[test]
fn who_waits_for_leave_to_send_a_body_is_given_it() {
    let server = serve(|config| config.open_publish = true);
    let mut client = server.connect();
    let head =
        format!("POST /publish/a HTTP/1.1\r\n{FIELDS}Content-Length: 1\r\nExpect: 100-Continue\r\n\r\n");
    client.send(&head);
    client.expect("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("1");
    assert_eq!(client.response().status, 200);
    client.send(format!("{head}2"));
    assert_eq!(client.response().status, 200, "who has sent it already needs no leave");
    client.send(head.replace("HTTP/1.1", "HTTP/1.0").replace("Length: 1", "Length: 0"));
    assert_eq!(client.response().status, 200, "HTTP/1.0 can't mean it");
}

#[test]
fn who_would_be_refused_is_not_told_to_go_on() {
    let server = serve(|_| {});
    let request = |length: &str, expect: &str| {
        format!("POST /publish/a HTTP/1.1\r\n{FIELDS}Content-Length: {length}\r\nExpect: {expect}\r\n\r\n")
    };
    is(&last_answer(&server, request("99999999999", "100-continue")), 413, "body_too_long");
    is(&last_answer(&server, request("1", "200-ok")), 417, "unmet_expectation");
    // What no message has room for, and no picture.
    is(&last_answer(&server, request("200000", "100-continue")), 413, "message_too_long");
    let text = request("65537", "100-continue").replace("\r\n\r\n", "\r\nContent-Type: text/plain\r\n\r\n");
    is(&last_answer(&server, text), 413, "message_too_long");
    let picture = request("600000", "100-continue").replace("/publish/a", "/pictures?sid=x");
    is(&last_answer(&server, picture), 413, "too_big");
}

#[test]
fn what_the_head_forbids_is_refused_before_the_body_is_asked_for() {
    let server = serve(|config| (config.publish_key, config.open_local) = (Some("key".to_owned()), false));
    let request = |line: &str, fields: &str| {
        format!("{line} HTTP/1.1\r\n{FIELDS}{fields}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    };
    for (line, fields, status, code) in [
        ("POST /publish/a", "", 401, "unauthorized"),
        ("POST /publish/a", "Origin: https://evil.example\r\n", 403, "foreign_origin"),
        ("PUT /publish/a", "", 405, "method_not_allowed"),
        ("POST /send", "Content-Encoding: gzip\r\n", 415, "content_encoding"),
    ] {
        is(&last_answer(&server, request(line, fields)), status, code);
    }
    let mut client = server.connect();
    client.send(request("POST /publish/a", "Authorization: Bearer key\r\n"));
    client.expect("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(client.response().status, 200);
}

#[test]
fn the_host_is_named_once_and_rightly() {
    let server = serve(|_| {});
    for (fields, code) in [
        ("", "missing_host"),
        ("Host: a\r\nHost: a\r\n", "doubled_host"),
        ("Host:\r\n", "invalid_host"),
        ("Host: a b\r\n", "invalid_host"),
        ("Host: http://a\r\n", "invalid_host"),
    ] {
        is(&last_answer(&server, format!("GET /healthz HTTP/1.1\r\n{fields}\r\n")), 400, code);
    }
    let mut client = server.connect();
    for host in ["a", "a.example:8080", "[::1]:80", "127.0.0.1"] {
        client.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.response().status, 200, "{host}");
    }
    client.send("GET http://a.example/healthz HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(client.response().status, 200, "a target as it is sent to a proxy");
}

#[test]
fn requests_that_are_none() {
    let server = serve(|_| {});
    let request = |line: &str| format!("{line}\r\n{FIELDS}\r\n");
    for (bytes, status, code) in [
        (request("GET  / HTTP/1.1"), 400, "invalid_request_line"),
        (request("GET /"), 400, "invalid_request_line"),
        (request("G(T / HTTP/1.1"), 400, "invalid_method"),
        (request(&format!("{} / HTTP/1.1", "M".repeat(33))), 501, "method_too_long"),
        (request("CONNECT a:80 HTTP/1.1"), 501, "connect_unsupported"),
        (request("GET / HTTP/2.0"), 505, "unsupported_version"),
        (request(&format!("GET /{} HTTP/1.1", "x".repeat(8 * 1024))), 414, "target_too_long"),
        (request(&format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(16 * 1024))), 431, "head_too_long"),
        (request(&format!("GET / HTTP/1.1{}", "\r\nA: b".repeat(64))), 431, "too_many_headers"),
        (request("GET nowhere HTTP/1.1"), 400, "invalid_target"),
        (request("GET /#top HTTP/1.1"), 400, "invalid_target"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n".to_owned(), 400, "control_byte"),
    ] {
        let response = last_answer(&server, &bytes);
        assert_eq!((response.status, &*response.code()), (status, code), "{bytes:.100}");
    }
}

#[test]
fn a_method_for_another_path_and_one_for_none() {
    let server = serve(|_| {});
    let mut client = server.connect();
    for (method, path, allow) in [
        ("GET", "/send", "POST, OPTIONS"),
        ("PUT", "/publish/a", "POST, OPTIONS"),
        ("POST", "/channels/a", "GET, HEAD, DELETE, OPTIONS"),
        ("DELETE", "/healthz", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
    ] {
        let response = client.ask(method, path, "", b"");
        is(&response, 405, "method_not_allowed");
        assert_eq!(response.header("allow"), Some(allow), "{path}");
    }
    for path in ["/send", "/publish/a", "/sse", "/", "/config", "/pictures/x", "/admin/users", "/nowhere"] {
        is(&client.ask("BREW", path, "", b""), 501, "unknown_method");
    }
    is(&client.get("/nowhere"), 404, "not_found");
    is(&client.ask("PATCH", "/nowhere", "", b""), 404, "not_found");
}

#[test]
fn a_request_behind_a_head_is_answered() {
    let server = serve(|config| config.jsonp = true);
    for path in ["/poll", "/jsonp", "/sse", "/stream", "/iframe"] {
        let mut client = server.connect();
        let head = format!("HEAD {path}?ch=a HTTP/1.1\r\n{FIELDS}\r\n");
        client.send(format!("{head}{head}GET /healthz HTTP/1.1\r\n{FIELDS}Connection: close\r\n\r\n"));
        for _ in 0..2 {
            let head = client.head();
            assert_eq!((head.status, head.header("connection")), (200, None), "{path}");
        }
        assert_eq!(client.response().text(), "ok\n", "{path}");
        client.expect_end();
    }
    assert_eq!(server.get("/channels/a").status, 404, "a HEAD reads nothing");
}

#[test]
fn a_head_may_be_as_long_as_it_was_said() {
    let cookies =
        |bytes: usize| format!("GET /healthz HTTP/1.1\r\n{FIELDS}Cookie: {}\r\n\r\n", "x".repeat(bytes));
    let server = serve(|_| {});
    let refused = last_answer(&server, cookies(limits::HEAD_BYTES_DEFAULT));
    is(&refused, 431, "head_too_long");
    assert!(refused.json()["detail"].as_str().expect("a sentence").contains("--head-bytes"));
    let server = serve(|config| config.head_bytes = limits::HEAD_BYTES_MAX);
    let mut client = server.connect();
    client.send(cookies(limits::HEAD_BYTES_MAX - 100));
    assert_eq!(client.response().status, 200);
    for byte in cookies(limits::HEAD_BYTES_DEFAULT).as_bytes().chunks(1000) {
        client.send(byte);
    }
    assert_eq!(client.response().status, 200);
    is(&last_answer(&server, cookies(limits::HEAD_BYTES_MAX)), 431, "head_too_long");
    // As many lines as fit, and a request line as long as fits: both are counted in small numbers.
    let lines = "a:\r\n".repeat(limits::HEAD_BYTES_MAX / 4 - 50);
    is(&last_answer(&server, format!("GET / HTTP/1.1\r\n{FIELDS}{lines}\r\n")), 431, "too_many_headers");
    let version = "x".repeat(limits::HEAD_BYTES_MAX - 100);
    is(
        &last_answer(&server, format!("GET / HTTP/1.1{version}\r\n{FIELDS}\r\n")),
        400,
        "invalid_request_line",
    );
}

#[test]
fn an_idle_connection_is_kept_for_as_long_as_it_was_said() {
    let server = serve(|config| config.idle_ms = 2_000_000);
    server.world.freeze();
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/healthz").status, 200);
        server.skip(1_999_000);
    }
    assert_eq!(client.get("/healthz").status, 200);
    server.skip(2_000_000);
    client.expect_end();
}

#[test]
fn reading_for_nobody_is_refused() {
    let server = serve(|config| config.jsonp = true);
    for path in
        ["/sse", "/stream?last=3", "/iframe?callback=f", "/poll?wait=0", "/jsonp", "/sse?since=00000000-1"]
    {
        let response = server.get(path);
        is(&response, 400, "missing_value");
        assert!(response.json()["detail"].as_str().expect("a sentence").contains("?ch="), "{path}");
    }
    assert_eq!(server.connect().ask("HEAD", "/sse", "", b"").status, 400);
    // A client that says so is given a sid, and asks for channels with that.
    let poll = server.get("/poll?sid=&wait=0").json();
    let sid = poll["sid"].as_str().expect("a sid");
    assert_eq!(server.command(sid, &json!({"op": "subscribe", "ch": "a"}))["ok"], true);
    assert_eq!(server.get(&format!("/poll?sid={sid}&wait=0")).status, 200);
    let mut socket = server.connect();
    assert_eq!(socket.upgrade("/ws", "").status, 101);
}

#[test]
fn bodies_that_cannot_be_read_here() {
    let server = serve(|config| config.message_bytes = 1000);
    let mut client = server.connect();
    for path in ["/send?sid=x", "/publish/a", "/publish"] {
        client.send(format!("POST {path} HTTP/1.1\r\n{FIELDS}\r\n"));
        is(&client.response(), 411, "length_required");
        let response = client.ask("POST", path, "Content-Encoding: gzip\r\n", b"x");
        is(&response, 415, "content_encoding");
        assert_eq!(response.header("accept-encoding"), Some("identity"));
        is(
            &client.ask("POST", path, "Content-Type: multipart/form-data; boundary=x\r\n", b"x"),
            415,
            "content_type",
        );
    }
    let head = format!("POST /publish/a HTTP/1.1\r\n{FIELDS}");
    is(&last_answer(&server, format!("{head}Content-Length: 1001\r\n\r\n")), 413, "body_too_long");
    let chunk = "1f4\r\n".to_owned() + &"x".repeat(500) + "\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}");
    is(&last_answer(&server, chunked), 413, "body_too_long");
    is(
        &last_answer(&server, format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n")),
        501,
        "unsupported_transfer_coding",
    );
}

#[test]
fn a_head_that_does_not_come_to_its_end() {
    let server = serve(|_| {});
    server.world.freeze();
    let mut client = server.connect();
    client.send("GET /healthz HTTP/1.1\r\n");
    server.settle();
    server.skip(9_000);
    client.send("Host: a\r\n");
    server.settle();
    server.skip(1_000);
    is(&client.response(), 408, "too_slow");
    client.expect_end();
}

#[test]
fn a_body_that_does_not_come_to_its_end() {
    let server = serve(|_| {});
    server.world.freeze();
    let mut client = server.connect();
    client.send(format!("POST /publish/a HTTP/1.1\r\n{FIELDS}Content-Length: 2\r\n\r\n1"));
    server.settle();
    server.skip(60_000);
    is(&client.response(), 408, "too_slow");
    client.expect_end();
}

#[test]
fn who_says_nothing_is_let_go_without_a_word() {
    let server = serve(|_| {});
    server.world.freeze();
    let (mut silent, mut idle) = (server.connect(), server.connect());
    assert_eq!(idle.get("/healthz").status, 200);
    server.skip(10_000);
    silent.expect_end();
    server.skip(limits::IDLE_MS - 10_000);
    idle.expect_end();
}

#[test]
fn every_answer_has_a_date() {
    let server = serve(|_| {});
    let mut client = server.connect();
    for path in ["/healthz", "/nowhere", "/poll?ch=a"] {
        let response = client.get(path);
        let date = response.header("date").expect("a date").to_owned();
        // RFC 9110, section 5.6.7: Sun, 06 Nov 1994 08:49:37 GMT
        assert_eq!((date.len(), &date[3..5], &date[25..]), (29, ", ", " GMT"), "{date}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn cors_by_name() {
    let server = serve(|config| config.origins = vec!["https://shop.example".to_owned()]);
    let mut client = server.connect();
    let mut ask = |method: &str, path: &str, origin: &str| {
        client.ask(method, path, &format!("Origin: {origin}\r\n{AS_OPERATOR}"), b"")
    };
    let allowed = ask("GET", "/channels", "https://shop.example");
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(allowed.header("access-control-expose-headers"), Some("Retry-After"));
    assert_eq!(allowed.header("vary"), Some("Origin"));
    for origin in ["https://evil.example", "null", "https://shop.example.evil.example", "http://shop.example"]
    {
        let foreign = ask("GET", "/channels", origin);
        is(&foreign, 403, "foreign_origin");
        assert_eq!(foreign.header("access-control-allow-origin"), None, "{origin}");
        assert_eq!(foreign.header("vary"), Some("Origin"), "caches must know that it depends");
    }
    let own = ask("GET", "/channels", "http://encke.localhost");
    assert_eq!((own.status, own.header("access-control-allow-origin")), (200, None));
    is(&ask("GET", "/nowhere", "https://evil.example"), 404, "not_found");
    is(&ask("POST", "/", "https://evil.example"), 403, "foreign_origin");
    assert_eq!(ask("GET", "/healthz", "https://evil.example").status, 200, "nothing there to protect");
}

#[test]
fn a_preflight_is_answered_for_those_allowed() {
    let server = serve(|config| config.origins = vec!["https://shop.example".to_owned()]);
    let mut client = server.connect();
    let mut ask = |origin: &str| {
        let fields = format!(
            "Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: content-type\r\n"
        );
        client.ask("OPTIONS", "/send", &fields, b"")
    };
    let response = ask("https://shop.example");
    assert_eq!(response.status, 204);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(response.header("access-control-allow-methods"), Some("POST, OPTIONS"));
    assert!(
        response.header("access-control-allow-headers").is_some_and(|names| names.contains("Content-Type"))
    );
    assert!(response.header("access-control-max-age").is_some());
    is(&ask("https://evil.example"), 403, "foreign_origin");
}

#[test]
fn a_key_is_asked_for_and_a_client_that_is_gone_is_told() {
    let server =
        serve(|config| (config.publish_key, config.open_local) = (Some("open sesame".to_owned()), false));
    let response = server.post("/publish/a", "1");
    is(&response, 401, "unauthorized");
    assert_eq!(response.header("www-authenticate"), Some("Bearer"));
    is(&server.post("/send?sid=AAAAAAAAAAAAAAAAAAAAAA", "{}"), 410, "unknown_sid");
    is(&server.post("/send", "{}"), 400, "missing_value");
}

#[test]
fn no_room_for_another_reader() {
    let server = serve(|config| config.bounds.readers = 1);
    let _reader = common::Reader::open(&server, Way::Sse, "ch=a");
    let response = server.get("/sse?ch=a");
    is(&response, 503, "too_many_clients");
    assert_eq!(response.header("retry-after"), Some("10"));
}

#[test]
fn a_refusal_is_not_eaten_by_what_comes_behind_it() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.send("GET / HTTP/9.9\r\n\r\n");
    // More than the kernel's buffers keep of what nobody reads.
    for _ in 0..8 {
        client.send([b'x'; 100_000]);
    }
    is(&client.response(), 505, "unsupported_version");
    client.expect_end();
}

#[test]
fn nothing_of_a_request_becomes_a_line_of_the_answer() {
    let server = serve(|config| config.origins = vec!["*".to_owned()]);
    let mut client = server.connect();
    for target in [
        "/publish/a%0d%0aX-Evil:%201",
        "/channels/a%0d%0aX-Evil:%201",
        "/sse?ch=a%0d%0aX-Evil:%201",
        "/iframe?ch=a&callback=a%0d%0aX-Evil:%201",
        "/poll?ch=a&since=%0d%0aX-Evil:%201",
        "/nowhere%0d%0aX-Evil:%201",
    ] {
        let response = client.ask(if target.contains("publish") { "POST" } else { "GET" }, target, "", b"1");
        assert!(response.status >= 400, "{target}");
        assert_eq!(response.header("x-evil"), None, "{target}");
    }
    let response = client.ask("GET", "/healthz", "Origin: https://a.example\tX-Evil: 1\r\n", b"");
    assert_eq!(response.header("x-evil"), None);
}

/// DNS rebinding: a page whose site's name was made to point here calls this server by that name.
#[test]
fn a_name_that_is_not_the_servers_own() {
    let server = serve(|config| config.hosts = Some(vec!["chat.example".to_owned()]));
    let ask = |host: &str, request: &str| {
        let mut client = server.connect();
        client.send(format!("{request} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"));
        let response = client.response();
        (response.status, client)
    };
    for request in ["GET /", "GET /metrics", "GET /ws?ch=a", "GET /sse?ch=a", "POST /publish/a"] {
        let (status, mut client) = ask("evil.example:8080", request);
        assert_eq!(status, 421, "{request}");
        // The request was understood; another one may follow.
        client.send("GET /healthz HTTP/1.1\r\nHost: chat.example\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    for host in ["127.0.0.1", "localhost:8080", "[::1]:1", "chat.example", "Chat.Example:443"] {
        assert_eq!(ask(host, "GET /probe").0, 200, "{host}");
    }
    assert_eq!(ask("chat.example", "GET http://evil.example/probe").0, 421, "the target wins over Host");
    // Whether it is alive is nobody's secret, and those who ask may have a name of their own for it.
    assert_eq!((ask("probe", "GET /healthz").0, ask("probe", "OPTIONS *").0), (200, 204));
}
