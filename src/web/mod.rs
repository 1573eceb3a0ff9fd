//! The pages, embedded in the program.
//!
//! It knows no client: a page is bytes with a type and a tag. Read first: RFC 9110, section 13.1.2
//! (If-None-Match).

use std::hash::{DefaultHasher, Hasher};

use crate::server::{Request, Response};

/// One file.
struct Page {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const PAGES: [Page; 6] = [
    Page { path: "/", content_type: "text/html; charset=utf-8", bytes: include_bytes!("index.html") },
    Page {
        path: "/chat.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("chat.js"),
    },
    Page { path: "/chat.css", content_type: "text/css; charset=utf-8", bytes: include_bytes!("chat.css") },
    Page {
        path: "/encke.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("encke.js"),
    },
    Page {
        path: "/encke.mjs",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("encke.mjs"),
    },
    Page {
        path: "/encke.d.ts",
        content_type: "text/plain; charset=utf-8",
        bytes: include_bytes!("encke.d.ts"),
    },
];

/// What the paths of the client library begin with. Any site may load that with a script element, which is
/// what it is for; the rest is for pages of our own.
const LIBRARY: &str = "/encke.";

/// As `Allow` lists them.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// Nothing inline, nothing from elsewhere; frames only of our own, for the forever iframe; nobody's frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; frame-src 'self'; frame-ancestors 'none'; \
    base-uri 'none'; form-action 'none'; object-src 'none'";

/// Answers a request for a page.
pub fn answer(request: &Request<'_>) -> Response {
    let Some(page) = PAGES.iter().find(|page| page.path == request.path()) else {
        return Response::problem(404, "not_found", "There is nothing at this path; the chat is at /.");
    };
    match request.method() {
        "GET" | "HEAD" => {}
        "OPTIONS" => return Response::new(204).with_header("Allow", METHODS),
        _ => {
            return Response::problem(405, "method_not_allowed", &format!("This path takes {METHODS}."))
                .with_header("Allow", METHODS);
        }
    }
    let tag = tag(page.bytes);
    let is_known =
        request.header("if-none-match").is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag));
    let response = if is_known {
        Response::new(304)
    } else {
        Response::new(200)
            .with_body(page.content_type, page.bytes)
            .with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            .with_header("Referrer-Policy", "same-origin")
    };
    let response = if page.path.starts_with(LIBRARY) {
        response.with_header("Cross-Origin-Resource-Policy", "cross-origin")
    } else {
        response
    };
    // Asked for every time, sent only when it has changed: a new version of the program is seen at once.
    response.with_header("ETag", tag).with_header("Cache-Control", "no-cache")
}

/// The entity tag of a file: the same for the same bytes, whatever program they are in.
fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("\"{:016x}\"", hasher.finish())
}
