//! Attacks, each a test by its name: what the server does about it, and that nobody else notices.
//!
//! `docs/security.md` lists them. They run over real sockets, against the program itself where its memory is
//! weighed; where a time has to pass the server's clock is moved.

mod common;

use common::{Client, serve};

const LOOPBACK: &str = "127.0.0.1";

fn trusting(address: &str) -> encke::server::Network {
    encke::server::Network::parse(address).expect("an address")
}

// Who is who behind a proxy.

#[test]
fn a_proxied_stranger_is_never_local() {
    let server = serve(|config| config.trusted_proxies.push(trusting(LOOPBACK)));
    for fields in ["", "X-Forwarded-For: 127.0.0.1\r\n", "Forwarded: for=\"[::1]\"\r\n", "Via: 1.1 proxy\r\n"]
    {
        let response = server.connect().ask("GET", "/channels", fields, b"");
        assert_eq!((response.status, &*response.code()), (403, "needs_key"), "{fields}");
    }
    let server = serve(|_| {});
    let response = server.connect().ask("GET", "/channels", "X-Forwarded-For: 127.0.0.1\r\n", b"");
    assert_eq!(response.status, 403, "a proxy that nobody named");
    assert_eq!(server.get("/channels").status, 200, "and this one is on this machine");
}

#[test]
fn proxy_protocol_names_a_stranger() {
    let server = serve(|config| {
        config.proxy_protocol = true;
        config.trusted_proxies.push(trusting(LOOPBACK));
    });
    let line = b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n".to_vec();
    let block =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xc0\x00\x02\x01\x7f\x00\x00\x01\x00\x01\x00\x02\x04\x00\x00";
    for header in [&line[..], &block[..], b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"] {
        let mut whole = server.connect();
        whole.send([header, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        assert_eq!(whole.response().status, 200);
        assert_eq!(whole.get("/channels").status, 403, "not even one whose proxy says that it is local");
        let mut dribbled = server.connect();
        header.iter().for_each(|octet| dribbled.send([*octet]));
        assert_eq!(dribbled.get("/healthz").status, 200);
    }
}

#[test]
fn proxy_protocol_owed_and_not_given() {
    let server = serve(|config| {
        config.proxy_protocol = true;
        config.trusted_proxies.push(trusting(LOOPBACK));
    });
    for header in [&b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PROXY TCP4 1\r\n", &[b'P'; 3000]] {
        let mut client = server.connect();
        client.try_send(header);
        client.expect_death();
    }
    let mut silent = server.connect();
    silent.send("PROXY TCP4 192.0.2.1 ");
    let mut behind = server.connect();
    behind.send("PROXY UNKNOWN\r\n");
    behind.settle();
    server.skip(encke::limits::PROXY_MS);
    silent.expect_death();

    let server = serve(|config| {
        config.proxy_protocol = true;
        config.trusted_proxies.push(trusting("192.0.2.0/24"));
    });
    let mut stranger: Client = server.connect();
    stranger.try_send("PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    stranger.expect_death();
}
