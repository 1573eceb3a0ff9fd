//! Whose pages may use the server: its own, and those of origins allowed by name.
//!
//! It knows no route. Read first: RFC 6454, section 7; WHATWG Fetch, section 3.2 (CORS); RFC 6455, section
//! 10.2. Browsers send `Origin` with every WebSocket and every POST of a page, and no page can forge it; who
//! sends none is no page (curl, a back end) or reads from its own site.

use super::app::Request;
use super::hosts;
use super::refusal::Refusal;
use super::routes::Route;
use crate::limits::PREFLIGHT_FIELDS_BYTES_MAX;
use crate::wire::http::{Head, is_token_byte};
use crate::wire::response::Response;
use crate::wire::target::Authority;

/// The request fields that encke itself reads.
const USUAL_FIELDS: &str = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID";

/// Seconds for which a browser need not ask again. Chromium's own bound.
const PREFLIGHT_S: &str = "7200";

/// Whose request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody's page, or one of this site.
    Own,
    /// A page of another site that is allowed by name; CORS headers name it.
    Allowed(String),
    /// A page of a site that is not allowed.
    Foreign,
}

/// An origin for the list, as browsers write it: in lower case, without a port that its scheme implies. The
/// first label of its host may be `*`, for every name below the rest. `*` alone is every origin.
///
/// # Errors
/// No browser ever sends it: what to write instead.
pub fn parse(text: &str) -> Result<String, &'static str> {
    if text == "*" || text == "null" {
        return Ok(text.to_owned());
    }
    let text = text.to_ascii_lowercase();
    let Some((scheme, authority)) = text.split_once("://") else {
        return Err("scheme://host or scheme://host:port");
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme || authority.contains(['/', '?', '#', '@']) {
        return Err("scheme://host or scheme://host:port without a path");
    }
    if !authority.is_ascii() {
        return Err("a host as browsers send it: xn--… for letters beyond ASCII");
    }
    let is_wild = authority.starts_with("*.");
    let exact = authority.strip_prefix("*.").unwrap_or(authority);
    let Some(host) = Authority::parse(exact.as_bytes()) else {
        return Err("scheme://host or scheme://host:port");
    };
    let name = hosts::as_sent(host.name())
        .ok_or("a host as browsers send it: a name of letters, digits and hyphens, or an address")?;
    let is_whole_zone = !name.contains('.') && name != "localhost";
    if is_wild && (is_whole_zone || hosts::is_address(&name)) {
        return Err("`*.` in front of a name of two labels at least");
    }
    let port = match &exact[host.name().len()..] {
        "" => None,
        port => Some(port[1..].parse::<u16>().map_err(|_| "a port from 1 to 65535 behind the colon")?),
    };
    let is_implied = matches!((scheme, port), ("http" | "ws", Some(80)) | ("https" | "wss", Some(443)));
    let port = port.filter(|_| !is_implied).map(|port| format!(":{port}")).unwrap_or_default();
    let wild = if is_wild { "*." } else { "" };
    Ok(format!("{scheme}://{wild}{name}{port}"))
}

/// Whether an origin is the one on the list, or below it: `https://*.example.com` is every name below
/// example.com, by the same scheme and at the same port, and not example.com itself.
fn is_meant(one: &str, origin: &str) -> bool {
    let Some((scheme, rest)) = one.split_once("://*") else { return one == origin };
    let below = origin.strip_prefix(scheme).and_then(|origin| origin.strip_prefix("://"));
    let labels = below.and_then(|host| host.strip_suffix(rest));
    labels.is_some_and(|labels| labels.split('.').all(is_label))
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Judges a request. `allowed` holds origins as [`parse`] gives them; `*` allows every one.
pub fn judge(head: &Head<'_>, allowed: &[String]) -> Verdict {
    let mut origins = head.headers("origin");
    let Some(origin) = origins.next() else {
        // Requests of a page that carry no Origin (a script element, an image) still say where they come
        // from in current browsers.
        let navigates = || head.header("sec-fetch-mode") == Some(b"navigate");
        return match head.header("sec-fetch-site") {
            Some(b"cross-site") if !navigates() && !allowed.iter().any(|one| one == "*") => Verdict::Foreign,
            _ => Verdict::Own,
        };
    };
    let Ok(origin) = std::str::from_utf8(origin) else { return Verdict::Foreign };
    if origins.next().is_some() {
        return Verdict::Foreign;
    }
    // A proxy that puts its own name for us into Host hides the site's; the browser compared the two itself,
    // and no page can make it say this (Fetch Metadata, section 2.3).
    let is_own = head.header("sec-fetch-site") == Some(b"same-origin");
    if is_own || head.host().is_some_and(|host| is_same(origin, host)) {
        return Verdict::Own;
    }
    let origin = origin.to_ascii_lowercase();
    if allowed.iter().any(|one| one == "*" || is_meant(one, &origin)) {
        Verdict::Allowed(origin)
    } else {
        Verdict::Foreign
    }
}

/// Lets a request pass unless it is a foreign page's; `is_open` names what even those may see.
///
/// # Errors
/// 403, with what the operator has to do if the page is meant to be let in.
pub fn admit(verdict: &Verdict, is_open: bool) -> Result<(), Refusal> {
    if is_open || *verdict != Verdict::Foreign {
        return Ok(());
    }
    let sentence = "Pages of this origin may not use this server; start encke with --origin to allow one by \
        name. If it is the server's own, the proxy in between has to pass Host on.";
    Err(Refusal::new(403, "foreign_origin", sentence))
}

/// The answer to OPTIONS, be it a browser's preflight (WHATWG Fetch, section 4.8) or someone's question.
///
/// # Errors
/// 403 for a foreign page.
pub fn preflight(verdict: &Verdict, route: &Route, request: &Request<'_>) -> Result<Response, Refusal> {
    admit(verdict, false)?;
    let response = Response::new(204).with_header("Allow", route.methods());
    if !is_preflight(request) {
        return Ok(response);
    }
    Ok(response
        .with_header("Access-Control-Allow-Methods", allowed_methods(route, request))
        .with_header("Access-Control-Allow-Headers", allowed_fields(request.head))
        .with_vary("Access-Control-Request-Method")
        .with_vary("Access-Control-Request-Headers")
        .with_header("Access-Control-Max-Age", PREFLIGHT_S))
}

/// Whether `origin` is allowed by its own name: its pages may then send cookies and other credentials, and
/// read the answers. `*` allows none of that (WHATWG Fetch, section 3.3.5): a page of any site could act with
/// what a visitor's browser knows of this one.
pub fn is_named(origin: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|one| is_meant(one, origin))
}

/// The request fields that a page of an allowed origin may send: those that encke reads, and whatever the
/// preflight asks for. encke gives no field a meaning that its own pages may not use, and a library of the
/// page or a proxy on the way may need others than encke reads. A preflight that asks for too many, or for
/// what is no field name, gets the first alone.
fn allowed_fields(head: &Head<'_>) -> String {
    let mut list = USUAL_FIELDS.to_owned();
    let bytes_max = list.len() + PREFLIGHT_FIELDS_BYTES_MAX;
    for name in head.tokens("access-control-request-headers") {
        let name = std::str::from_utf8(name).unwrap_or_default();
        if name.is_empty() || !name.bytes().all(is_token_byte) || list.len() + name.len() > bytes_max {
            return USUAL_FIELDS.to_owned();
        }
        if !list.split(", ").any(|listed| listed.eq_ignore_ascii_case(name)) {
            list.push_str(", ");
            list.push_str(name);
        }
    }
    list
}

/// The methods that the route takes; for the application's paths also the one that is asked for, since only
/// the application knows which it takes.
fn allowed_methods(route: &Route, request: &Request<'_>) -> String {
    let methods = route.methods().to_owned();
    let asked = request.header("access-control-request-method").unwrap_or_default();
    let is_method = !asked.is_empty() && asked.bytes().all(is_token_byte);
    let is_listed = methods.split(", ").any(|method| method == asked);
    if *route == Route::App && is_method && !is_listed && asked.len() <= PREFLIGHT_FIELDS_BYTES_MAX {
        format!("{methods}, {asked}")
    } else {
        methods
    }
}

/// Whether a browser asks on behalf of a page (WHATWG Fetch, section 3.3.1).
pub fn is_preflight(request: &Request<'_>) -> bool {
    request.method() == "OPTIONS" && request.header("access-control-request-method").is_some()
}

/// Whether `origin` is that of the site at `host`. The scheme is not compared: behind a proxy that ends TLS
/// the page is https and the request is not.
fn is_same(origin: &str, host: &str) -> bool {
    let (authority, default_port) = match origin.split_once("://") {
        Some(("http", authority)) => (authority, ":80"),
        Some(("https", authority)) => (authority, ":443"),
        _ => return false,
    };
    let host = host.strip_suffix(default_port).unwrap_or(host);
    authority.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(fields: &str, allowed: &[&str]) -> Verdict {
        let text = format!("GET /ws HTTP/1.1\r\nHost: chat.example\r\n{fields}\r\n");
        let head = Head::parse(text.as_bytes()).expect("a good head");
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        judge(&head, &allowed)
    }

    #[test]
    fn its_own_pages_and_those_who_are_no_page() {
        assert_eq!(verdict("", &[]), Verdict::Own);
        assert_eq!(verdict("Origin: http://chat.example\r\n", &[]), Verdict::Own);
        assert_eq!(verdict("Origin: https://Chat.Example\r\n", &[]), Verdict::Own);
    }

    #[test]
    fn foreign_origin() {
        for origin in [
            "http://evil.example",
            "null",
            "",
            "http://chat.example.evil",
            "http://chat.example:81",
            "chat.example",
            "ftp://chat.example",
            "http://x@chat.example",
        ] {
            assert_eq!(verdict(&format!("Origin: {origin}\r\n"), &[]), Verdict::Foreign, "{origin}");
        }
        assert_eq!(
            verdict("Origin: http://chat.example\r\nOrigin: http://evil.example\r\n", &[]),
            Verdict::Foreign
        );
        assert_eq!(
            verdict("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n", &[]),
            Verdict::Foreign
        );
        assert_eq!(verdict("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", &[]), Verdict::Own);
    }

    #[test]
    fn a_proxy_that_renames_us() {
        let page = "Origin: https://public.example\r\nSec-Fetch-Site: ";
        assert_eq!(verdict(&format!("{page}same-origin\r\n"), &[]), Verdict::Own);
        assert_eq!(verdict(&format!("{page}same-site\r\n"), &[]), Verdict::Foreign);
        assert_eq!(verdict(&format!("{page}cross-site\r\n"), &[]), Verdict::Foreign);
    }

    #[test]
    fn names_below_a_name() {
        let allowed = ["https://*.example.com", "http://*.example.org:8080"].map(String::from);
        for origin in [
            "https://a.example.com",
            "https://a.b.example.com",
            "https://x-1.example.com",
            "http://a.example.org:8080",
        ] {
            assert!(is_named(origin, &allowed), "{origin}");
            let fields = format!("Origin: {}\r\n", origin.to_uppercase().replace("HTTP", "http"));
            assert_eq!(
                verdict(&fields, &["https://*.example.com", "http://*.example.org:8080"]),
                Verdict::Allowed(origin.to_owned())
            );
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://aexample.com",
            "http://a.example.com",
            "https://a.example.com:444",
            "https://a.example.com.evil.example",
            "https://evil.example/.example.com",
            "https://evil.example?.example.com",
            "https://a@b.example.com",
            "https://a..example.com",
            "https://*.example.com",
            "http://a.example.org",
            "null",
        ] {
            assert!(!is_named(origin, &allowed), "{origin}");
        }
    }

    #[test]
    fn origins_for_the_list() {
        for (text, origin) in [
            ("HTTPS://Shop.Example", "https://shop.example"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://shop.example:80", "http://shop.example"),
            ("http://shop.example:443", "http://shop.example:443"),
            ("http://localhost:0080", "http://localhost"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[0:0::1]:8080", "http://[::1]:8080"),
            ("http://192.0.2.1", "http://192.0.2.1"),
            ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("https://*.Example.com:8443", "https://*.example.com:8443"),
            ("http://*.localhost", "http://*.localhost"),
            ("*", "*"),
            ("null", "null"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(origin), "{text}");
        }
        for text in [
            "",
            "example.com",
            "https://",
            "https://example.com/",
            "https://example.com/chat",
            "https://example.com?x",
            "https://me@example.com",
            "https://*",
            "https://*.com",
            "https://*.*.example.com",
            "https://a.*.example.com",
            "https://*example.com",
            "https://*.192.0.2.1",
            "https://*.[::1]",
            "https://b\u{fc}cher.example",
            "https://example.com:",
            "https://example.com:99999",
            "https://127.1",
            "https://exa mple.com",
            "https://exa%6dple.com",
            "1https://example.com",
            "://example.com",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn allowed_by_name() {
        let shop = "Origin: https://shop.example\r\n";
        assert_eq!(verdict(shop, &["https://shop.example"]), Verdict::Allowed("https://shop.example".into()));
        assert_eq!(verdict(shop, &["https://other.example"]), Verdict::Foreign);
        assert_eq!(verdict("Origin: null\r\n", &["*"]), Verdict::Allowed("null".into()));
    }

    #[test]
    fn a_preflight_gets_the_fields_that_it_asks_for() {
        let allowed = |fields: &str| {
            let text = format!("OPTIONS /sse HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let list = allowed_fields(&Head::parse(text.as_bytes()).expect("a good head"));
            list.strip_prefix(USUAL_FIELDS).expect("what encke reads").to_owned()
        };
        let one = |list: &str| allowed(&format!("Access-Control-Request-Headers: {list}\r\n"));
        assert_eq!(one("cache-control"), ", cache-control");
        assert_eq!(one(" cache-control ,x-own,, Cache-Control,content-type"), ", cache-control, x-own");
        let twice = "Access-Control-Request-Headers: a\r\nAccess-Control-Request-Headers: b\r\n";
        assert_eq!(allowed(twice), ", a, b");
        for none in ["", ", ,", "a, two words", "a;b", "a, caf\u{e9}", "a, \"b\""] {
            assert_eq!(one(none), "", "{none:?}");
        }
        assert_eq!(allowed(""), "");
        let longest = "x".repeat(PREFLIGHT_FIELDS_BYTES_MAX);
        assert_eq!(one(&longest), format!(", {longest}"));
        assert_eq!(one(&format!("{longest}x")), "");
        assert_eq!(one(&format!("{longest},a")), "");
    }

    #[test]
    fn an_origin_is_named_by_its_own_name_alone() {
        let allowed: Vec<String> = ["*", "https://shop.example"].map(String::from).into();
        assert!(is_named("https://shop.example", &allowed));
        for other in ["https://other.example", "https://shop.example.evil", "null", ""] {
            assert!(!is_named(other, &allowed), "{other}");
        }
    }

    #[test]
    fn default_ports_are_the_same_site() {
        let text = "GET / HTTP/1.1\r\nHost: a.example:443\r\nOrigin: https://a.example\r\n\r\n";
        assert_eq!(judge(&Head::parse(text.as_bytes()).unwrap(), &[]), Verdict::Own);
    }
}
