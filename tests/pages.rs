//! The pages over real sockets: two forms of each, and nothing sent twice to who has it.

mod common;

use common::{Running, serve, serve_app};
use encke::Library;
use encke::server::{App, Ctx, Request, Response};

#[track_caller]
fn get(server: &Running, path: &str, fields: &str) -> common::Response {
    server.connect().ask("GET", path, fields, b"")
}

const PAGES: [&str; 7] =
    ["/", "/chat.js", "/chat.css", "/encke.js", "/encke.src.js", "/encke.mjs", "/encke.d.ts"];

/// An application with one page, and nothing of the chat.
struct Own;

impl App for Own {
    fn on_request(&mut self, _ctx: &mut Ctx<'_>, request: &Request<'_>) -> Response {
        if request.path() == "/" { Response::text(200, "mine") } else { Response::new(404) }
    }
}

#[test]
fn the_library_is_there_beside_every_application() {
    let server = serve_app(|_| {}, || Box::new(Library(Box::new(Own))));
    for path in PAGES.into_iter().filter(|path| path.starts_with("/encke.")) {
        let page = get(&server, path, "");
        assert_eq!((page.status, page.header("access-control-allow-origin")), (200, None), "{path}");
    }
    assert_eq!(get(&server, "/", "").text(), "mine");
    assert_eq!(get(&server, "/chat.js", "").status, 404);
    assert_eq!(get(&server, "/encke.min.js", "").status, 404);
    let mut stream = server.connect();
    stream.send("GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(stream.head().status, 200, "it did not say that its readers need channels");
}

#[test]
fn a_page_is_compressed_for_who_takes_that() {
    let server = serve(|_| {});
    for path in PAGES {
        let plain = get(&server, path, "");
        assert_eq!((plain.status, plain.header("content-encoding")), (200, None), "{path}");
        let gzip = get(&server, path, "Accept-Encoding: gzip, deflate, br\r\n");
        assert_eq!(gzip.status, 200, "{path}");
        if gzip.header("content-encoding") == Some("gzip") {
            assert!(
                gzip.body.starts_with(b"\x1f\x8b\x08"),
                "{path} begins like RFC 1952, section 2.3.1 says"
            );
            assert!(gzip.body.len() < plain.body.len(), "{path}");
            // Its last four bytes are the length of what it holds.
            let length = gzip.body.last_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes) as usize);
            assert_eq!(length, Some(plain.body.len()), "{path}");
            assert_ne!(gzip.header("etag"), plain.header("etag"), "{path}: two forms, two tags");
        } else {
            assert!(plain.body.len() < 1000, "{path} is long, and not compressed");
        }
        for response in [plain, gzip] {
            assert_eq!(response.header("vary"), Some("Accept-Encoding"), "{path}");
        }
    }
}

#[test]
fn who_has_a_page_is_not_sent_it_again() {
    let server = serve(|_| {});
    for (path, accept) in PAGES.iter().flat_map(|path| [(path, ""), (path, "Accept-Encoding: gzip\r\n")]) {
        let first = get(&server, path, accept);
        let tag = first.header("etag").expect("a tag").to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let again = get(&server, path, &format!("{accept}If-None-Match: {known}\r\n"));
            assert_eq!((again.status, again.body.len()), (304, 0), "{path} {known}");
            // RFC 9110, section 15.4.5: what a 200 would have said of it.
            assert_eq!(again.header("etag"), Some(&*tag), "{path}");
            assert_eq!(again.header("vary"), Some("Accept-Encoding"), "{path}");
            assert_eq!(again.header("content-encoding"), None, "{path}");
        }
        let other = get(&server, path, &format!("{accept}If-None-Match: \"x\"\r\n"));
        assert_eq!(other.status, 200, "{path}");
    }
    let plain = get(&server, "/encke.js", "").header("etag").expect("a tag").to_owned();
    let fields = format!("Accept-Encoding: gzip\r\nIf-None-Match: {plain}\r\n");
    assert_eq!(get(&server, "/encke.js", &fields).status, 200, "it has the other form");
}

#[test]
fn the_library_is_for_every_site_and_the_rest_is_not() {
    let server = serve(|_| {});
    for path in PAGES {
        let policy = get(&server, path, "").header("cross-origin-resource-policy").map(str::to_owned);
        let expected = path.starts_with("/encke.").then_some("cross-origin");
        assert_eq!(policy.as_deref(), expected, "{path}");
    }
}
