//! The forever iframe and htmlfile over real sockets: an endless document of script calls.

#[macro_use]
mod common;

use common::{Way, serve};

stories!(Way::Iframe);

#[test]
fn a_document_that_calls_its_parent() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.request("GET", "/iframe?ch=a&callback=app.on_event", "", b"");
    let head = client.head();
    assert_eq!(head.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(
        head.header("content-security-policy"),
        Some("default-src 'none'; script-src 'unsafe-inline'; frame-ancestors 'self'")
    );
    let document = client.until("</head><body>\n");
    assert!(document.starts_with("<!DOCTYPE html>") && document.contains("p.app.on_event(o)"), "{document}");
    assert_eq!(client.until("-->\n").len(), 2048, "browsers hold back the first kilobyte");
    assert!(client.until("\n").starts_with(r#"<script>e({"type":"welcome","#));
    server.publish("a", "</script><script>alert(1)</script>");
    let call = client.until("\n");
    assert!(
        call.ends_with("\"data\":\"\\u003c/script>\\u003cscript>alert(1)\\u003c/script>\"})</script>\n"),
        "{call}"
    );
}

#[test]
fn the_callback_has_a_name_and_nothing_else() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.request("GET", "/iframe?ch=a", "", b"");
    client.head();
    assert!(client.until("</head>").contains("p.encke(o)"));
    let long = "x".repeat(129);
    for callback in
        ["", "alert(1)", "a.", ".a", "a..b", "1a", "a-b", "a%3Cb", "a%0Ab", "a%20b", "caf%C3%A9", &long]
    {
        let response = server.get(&format!("/iframe?ch=a&callback={callback}"));
        assert_eq!((response.status, &*response.code()), (400, "bad_value"), "{callback}");
    }
}

#[test]
fn padding_as_asked_for() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.request("GET", "/iframe?ch=a&pad=8192", "", b"");
    client.head();
    client.until("</head><body>\n");
    assert_eq!(client.until("-->\n").len(), 8192);
}
