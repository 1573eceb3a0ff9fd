//! The pages, embedded in the program.
//!
//! It knows no client: a page is bytes with a type and a tag, each in two forms, as it is and compressed.
//! Adding one is a line in `PAGES`; `build.rs` beside this has compressed it by then. Read first: RFC 9110,
//! sections 12.5.3 (Accept-Encoding), 12.5.5 (Vary) and 13.1.2 (If-None-Match).

use std::fmt;

use crate::server::{App, Ctx, Request, Response};

/// One file.
struct Page {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    gzip: &'static [u8],
    tag: &'static str,
}

/// A file of this folder, at a path.
macro_rules! page {
    ($path:literal, $file:literal, $content_type:expr) => {
        Page {
            path: $path,
            content_type: $content_type,
            bytes: include_bytes!($file),
            gzip: include_bytes!(concat!(env!("OUT_DIR"), "/", $file, ".gz")),
            tag: include_str!(concat!(env!("OUT_DIR"), "/", $file, ".tag")),
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

const PAGES: &[Page] = &[
    page!("/", "index.html", HTML),
    page!("/theme.js", "theme.js", SCRIPT),
    page!("/theme.css", "theme.css", CSS),
    page!("/logo.svg", "logo.svg", SVG),
    page!("/chat.css", "chat.css", CSS),
    page!("/chat-log.css", "chat-log.css", CSS),
    page!("/chat-parts.css", "chat-parts.css", CSS),
    page!("/chat.js", "chat.js", SCRIPT),
    page!("/chat-address.js", "chat-address.js", SCRIPT),
    page!("/chat-compose.js", "chat-compose.js", SCRIPT),
    page!("/chat-dialogs.js", "chat-dialogs.js", SCRIPT),
    page!("/chat-dom.js", "chat-dom.js", SCRIPT),
    page!("/chat-emoji.js", "chat-emoji.js", SCRIPT),
    page!("/chat-emoji-table.js", "chat-emoji-table.js", SCRIPT),
    page!("/chat-inbound.js", "chat-inbound.js", SCRIPT),
    page!("/chat-kept.js", "chat-kept.js", SCRIPT),
    page!("/chat-line.js", "chat-line.js", SCRIPT),
    page!("/chat-link.js", "chat-link.js", SCRIPT),
    page!("/chat-log.js", "chat-log.js", SCRIPT),
    page!("/chat-markup.js", "chat-markup.js", SCRIPT),
    page!("/chat-model.js", "chat-model.js", SCRIPT),
    page!("/chat-outbound.js", "chat-outbound.js", SCRIPT),
    page!("/chat-picture.js", "chat-picture.js", SCRIPT),
    page!("/chat-session.js", "chat-session.js", SCRIPT),
    page!("/chat-side.js", "chat-side.js", SCRIPT),
    page!("/chat-suggest.js", "chat-suggest.js", SCRIPT),
    page!("/chat-text.js", "chat-text.js", SCRIPT),
    page!("/chat-tray.js", "chat-tray.js", SCRIPT),
    page!("/chat-words.js", "chat-words.js", SCRIPT),
    page!("/lab", "lab.html", HTML),
    page!("/lab.css", "lab.css", CSS),
    page!("/lab.js", "lab.js", SCRIPT),
    page!("/lab-wires.js", "lab-wires.js", SCRIPT),
    page!("/lab-words.js", "lab-words.js", SCRIPT),
    page!("/encke.js", "encke.min.js", SCRIPT),
    page!("/encke.src.js", "encke.js", SCRIPT),
    page!("/encke.mjs", "encke.mjs", SCRIPT),
    page!("/encke.d.ts", "encke.d.ts", TEXT),
];

/// What the paths of the client library begin with. Any site may load that with a script element, which is
/// what it is for; the rest is for pages of our own.
const LIBRARY: &str = "/encke.";

/// As `Allow` lists them.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// Nothing inline, nothing from elsewhere; pictures of our own, and those that a page makes to send them;
/// frames only of our own, for the forever iframe; nobody's frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' blob:; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
    form-action 'none'";

/// Where the laboratory asks how much a browser sends with each request, which no browser tells it.
const HEAD_BYTES: &str = "/lab/head";

/// An application with the client library beside it: `/encke.js`, `/encke.src.js`, `/encke.mjs` and
/// `/encke.d.ts`. [`serve`](crate::serve) makes one of each application that has the server's own routes.
pub struct Library(pub Box<dyn App>);

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}

impl App for Library {
    fn base(&mut self) -> Option<&mut dyn App> {
        Some(&mut *self.0)
    }

    fn on_request(&mut self, ctx: &mut Ctx<'_>, request: &Request<'_>) -> Response {
        let is_library = request.path().starts_with(LIBRARY) && page(request.path()).is_some();
        if is_library { answer(request) } else { self.0.on_request(ctx, request) }
    }
}

fn page(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path)
}

/// Answers a request for a page.
pub fn answer(request: &Request<'_>) -> Response {
    if request.path() == HEAD_BYTES && request.method() == "GET" {
        // The number and no field: a cookie that scripts may not see stays unseen.
        let answer = format!("{{\"bytes\":{}}}", request.head.bytes());
        return Response::json(200, answer).with_header("Cache-Control", "no-store");
    }
    let Some(page) = page(request.path()) else {
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
    let is_gzip =
        page.gzip.len() < page.bytes.len() && request.header("accept-encoding").is_some_and(takes_gzip);
    // The two forms are two representations, so they have two tags (RFC 9110, section 8.8.3.3).
    let tag = if is_gzip { format!("\"{}-gz\"", page.tag) } else { format!("\"{}\"", page.tag) };
    let mut response = if request.header("if-none-match").is_some_and(|known| names(known, &tag)) {
        Response::new(304)
    } else {
        let bytes = if is_gzip { page.gzip } else { page.bytes };
        Response::new(200)
            .with_body(page.content_type, bytes)
            .with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            .with_header("Referrer-Policy", "same-origin")
    };
    if is_gzip && response.status() == 200 {
        response = response.with_header("Content-Encoding", "gzip");
    }
    if page.path.starts_with(LIBRARY) {
        response = response.with_header("Cross-Origin-Resource-Policy", "cross-origin");
    }
    // Asked for every time, sent only when it has changed: a new version of the program is seen at once.
    response
        .with_header("ETag", tag)
        .with_header("Vary", "Accept-Encoding")
        .with_header("Cache-Control", "no-cache")
}

/// Whether `Accept-Encoding` lets gzip pass: named, or meant by `*`, with a weight above nothing.
fn takes_gzip(accepted: &str) -> bool {
    let weight = |name: &str| {
        let mut codings = accepted.split(',').map(|coding| coding.split(';').map(str::trim));
        codings.find_map(|mut parts| {
            parts.next().filter(|coding| coding.eq_ignore_ascii_case(name))?;
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            Some(weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)))
        })
    };
    weight("gzip").or_else(|| weight("x-gzip")).or_else(|| weight("*")).unwrap_or(false)
}

/// Whether `If-None-Match` names the tag. A proxy that compressed the page itself made it a weak one, which
/// names it just as well here (RFC 9110, section 13.1.2).
fn names(known: &str, tag: &str) -> bool {
    let mut tags = known.split(',').map(str::trim);
    tags.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_welcome() {
        for welcome in ["gzip", "deflate, gzip;q=1.0, *;q=0.5", "br;q=1, GZIP ; q=0.001", "*", "x-gzip"] {
            assert!(takes_gzip(welcome), "{welcome}");
        }
        for unwelcome in ["", "br", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "gzipped", "gzip;q=x"] {
            assert!(!takes_gzip(unwelcome), "{unwelcome}");
        }
    }

    #[test]
    fn a_tag_is_found_in_a_list_and_when_it_is_weak() {
        assert!(names("\"a\", W/\"b\"", "\"b\""));
        assert!(names("*", "\"b\""));
        assert!(!names("\"a\", b", "\"b\""));
    }
}
