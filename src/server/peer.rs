//! Whose connection it is: the address that quotas count and that an application is told.
//!
//! The socket's address is the truth, and behind a proxy the wrong truth. A proxy that is trusted by name
//! (`--trusted-proxy`) may say whom it speaks for, in a field of each request or in a PROXY header in front
//! of the connection; what anybody else says of himself is not listened to. It knows no socket. Read first:
//! RFC 7239, section 4 (`Forwarded`) and 8.1; MDN, "X-Forwarded-For", the part on choosing an address.
//!
//! ```text
//!   X-Forwarded-For: 203.0.113.9, 198.51.100.7, 10.0.0.2        socket: 10.0.0.1
//!                    may be forged  ▲ the first not trusted,          │
//!                                   │ read from the right ◄───────────┘ trusted
//! ```

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::hosts;
use crate::limits::FORWARDED_HOPS_MAX;
use crate::wire::http::{Head, Version};

/// How the names of the fields begin that proxies, load balancers and content networks add to a request, in
/// lower case and in order. A program on this machine needs none of them.
const PROXY_FIELDS: [&str; 43] = [
    "akamai-",
    "cdn-",
    "cf-",
    "client-ip",
    "fastly-",
    "fly-",
    "forwarded",
    "front-end-https",
    "incap-",
    "ngrok-",
    "proxy-",
    "ssl-client",
    "surrogate-",
    "tailscale-",
    "true-client-",
    "via",
    "wl-proxy-",
    "x-accel-",
    "x-amz-cf-",
    "x-amzn-",
    "x-appengine-",
    "x-arr-",
    "x-azure-",
    "x-cache",
    "x-client-",
    "x-cloud-trace-",
    "x-cluster-",
    "x-edge-",
    "x-envoy-",
    "x-forwarded",
    "x-host",
    "x-nf-",
    "x-original-",
    "x-proxy",
    "x-real-",
    "x-remote-",
    "x-request-start",
    "x-scheme",
    "x-ssl",
    "x-sucuri-",
    "x-url-scheme",
    "x-varnish",
    "x-vercel-",
];

/// Addresses with a common beginning: `10.0.0.0/8`, or one address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    bits: u32,
}

impl Network {
    /// Reads `address/bits`, or an address alone. Bits behind the beginning must be zero: who writes others
    /// means something else.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(bits.parse::<u32>().ok()?))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (most, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let bits = bits.unwrap_or(most);
        let network = Network { address: wide(address), bits: (bits <= most).then_some(bits + offset)? };
        (network.address & !network.mask() == 0).then_some(network)
    }

    fn mask(self) -> u128 {
        u128::MAX.checked_shl(128 - self.bits).unwrap_or(0)
    }

    /// Whether an address is one of them.
    pub fn has(self, address: IpAddr) -> bool {
        self.has_wide(wide(address))
    }

    fn has_wide(self, address: u128) -> bool {
        address & self.mask() == self.address
    }
}

/// This machine, as itself: 127.0.0.0/8 and ::1 (RFC 6890, section 2.2).
const LOOPBACK: [Network; 2] =
    [Network { address: 0xffff_7f00_0000, bits: 104 }, Network { address: 1, bits: 128 }];

/// All addresses in one space; IPv4 where IPv6 maps it (RFC 4291, section 2.5.5.2).
fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn wide(address: IpAddr) -> u128 {
    mapped(address).to_bits()
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// In the one form that holds every address: each connection keeps one.
    address: Ipv6Addr,
    /// Somebody stands between us and the address, or may: it is never taken for this machine's own.
    is_proxied: bool,
}

impl Peer {
    /// The peer of a socket.
    pub fn of_socket(address: SocketAddr, trusted: &[Network]) -> Peer {
        let peer = Peer { address: mapped(address.ip()), is_proxied: false };
        Peer { is_proxied: peer.is_within(trusted), ..peer }
    }

    /// The peer that a PROXY header named.
    pub fn of_proxy(address: SocketAddr) -> Peer {
        Peer { address: mapped(address.ip()), is_proxied: true }
    }

    /// Whom this peer speaks for in one request: itself, unless it is a trusted proxy that says otherwise.
    pub fn of_request(self, head: &Head<'_>, trusted: &[Network]) -> Peer {
        // An address of another machine is never local, so its head need not be looked through.
        let is_proxied = self.is_proxied || (self.is_loopback() && may_be_proxied(head));
        let mut peer = Peer { is_proxied, ..self };
        if !self.is_within(trusted) {
            return peer;
        }
        // One of the two is maintained by the proxy, the other may be whatever the client sent: the older
        // field, which nearly every proxy writes, goes first.
        let name = if head.header("x-forwarded-for").is_some() { "x-forwarded-for" } else { "forwarded" };
        let lines: Vec<&[u8]> = head.headers(name).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        for hop in hops.take(FORWARDED_HOPS_MAX) {
            let hop = std::str::from_utf8(hop).ok();
            let hop = if name == "forwarded" { hop.and_then(forwarded_for) } else { hop };
            // A hop that hides its address (`unknown`, `_hidden`): beyond it nothing can be known.
            let Some(address) = hop.and_then(address_of) else { break };
            peer.address = mapped(address);
            if !peer.is_within(trusted) {
                break;
            }
        }
        peer
    }

    /// Its address.
    pub fn address(self) -> IpAddr {
        IpAddr::V6(self.address).to_canonical()
    }

    /// Whether it is a program on this machine, by all that can be seen: who comes through a proxy comes from
    /// anywhere, though the proxy be on this machine. A proxy that shows nothing of itself is taken for a
    /// program of this machine, so no right that concerns people may depend on this.
    pub fn is_local(self) -> bool {
        self.is_loopback() && !self.is_proxied
    }

    /// Whether somebody stands between this server and the address, or may.
    pub(super) fn is_proxied(self) -> bool {
        self.is_proxied
    }

    /// Whether its address is one of this machine's own.
    pub fn is_loopback(self) -> bool {
        self.is_within(&LOOPBACK)
    }

    /// Whether its address is in one of these networks.
    pub fn is_within(self, networks: &[Network]) -> bool {
        networks.iter().any(|network| network.has_wide(self.address.to_bits()))
    }

    /// What quotas count together: one IPv4 address, or the /64 that one IPv6 subscriber is given (RFC 6177).
    /// Never 0.
    pub fn quota_key(self) -> u64 {
        match self.address() {
            // Multicast, which is nobody's address, so no IPv6 network is taken for it.
            IpAddr::V4(address) => 0xffff_ffff_0000_0000 | u64::from(address.to_bits()),
            IpAddr::V6(address) => ((address.to_bits() >> 64) as u64).max(1),
        }
    }
}

impl Default for Peer {
    fn default() -> Peer {
        Peer { address: Ipv6Addr::UNSPECIFIED, is_proxied: true }
    }
}

/// Whether a request may have come through a proxy that nobody named. The HTTP/1.0 that nginx spoke to its
/// upstreams before 1.29.7 is taken for a sign of that; no browser and no tool on this machine need it.
fn may_be_proxied(head: &Head<'_>) -> bool {
    head.version == Version::Http10 || head.authority().is_none() || shows_proxy(head)
}

/// Whether a request shows that a proxy stands in front of this server: it calls the server by a name that is
/// not this machine's own, or carries a field that proxies add.
pub(super) fn shows_proxy(head: &Head<'_>) -> bool {
    let is_elsewhere = head.authority().is_some_and(|host| !hosts::is_loopback(host));
    is_elsewhere || head.field_names().any(is_proxy_field)
}

/// The beginnings are in order and none begins with another, so only the last one that does not stand behind
/// the name can be the name's.
fn is_proxy_field(name: &str) -> bool {
    let lower = || name.bytes().map(|byte| byte.to_ascii_lowercase());
    let behind = PROXY_FIELDS.partition_point(|prefix| prefix.bytes().le(lower()));
    let Some(prefix) = behind.checked_sub(1).map(|last| PROXY_FIELDS[last]) else { return false };
    lower().take(prefix.len()).eq(prefix.bytes())
}

/// The `for` of one element of `Forwarded` (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        trim(name).eq_ignore_ascii_case("for").then(|| trim(value).trim_matches('"'))
    })
}

/// Without the white space that may stand around a value: there is no other (RFC 9110, section 5.6.3).
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address_of(text: &str) -> Option<IpAddr> {
    let text = trim(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(socket: &str, trusted: &[&str], fields: &str) -> Peer {
        let trusted: Vec<Network> = trusted.iter().map(|text| Network::parse(text).unwrap()).collect();
        asking(socket, &trusted, &format!("GET / HTTP/1.1\r\nHost: localhost:8080\r\n{fields}\r\n"))
    }

    fn asking(socket: &str, trusted: &[Network], text: &str) -> Peer {
        let head = Head::parse(text.as_bytes()).expect("a good head");
        Peer::of_socket(SocketAddr::new(socket.parse().unwrap(), 1), trusted).of_request(&head, trusted)
    }

    #[track_caller]
    fn assert_is(peer: Peer, address: &str, is_local: bool) {
        assert_eq!((peer.address().to_string(), peer.is_local()), (address.to_owned(), is_local));
    }

    #[test]
    fn networks() {
        let ten = Network::parse("10.0.0.0/8").unwrap();
        assert!(ten.has("10.255.0.1".parse().unwrap()) && ten.has("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!ten.has("11.0.0.1".parse().unwrap()) && !ten.has("a00::".parse().unwrap()));
        let one = Network::parse("::1").unwrap();
        assert!(one.has("::1".parse().unwrap()) && !one.has("::2".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().has("8.8.8.8".parse().unwrap()));
        assert!(Network::parse("::/0").unwrap().has("8.8.8.8".parse().unwrap()), "IPv6 holds all of IPv4");
        for text in ["10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0", "", "x/8", "10.0.0.0/-1"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_peer_without_a_proxy_is_its_socket() {
        assert_is(peer("127.0.0.1", &[], ""), "127.0.0.1", true);
        assert_is(peer("::1", &[], ""), "::1", true);
        assert_is(peer("::ffff:127.0.0.1", &[], ""), "127.0.0.1", true);
        assert_is(peer("192.0.2.1", &[], ""), "192.0.2.1", false);
    }

    #[test]
    fn who_calls_this_machine_by_another_name_is_not_local() {
        let is_local = |head: &str| asking("127.0.0.1", &[], &format!("{head}\r\n\r\n")).is_local();
        for host in
            ["localhost", "localhost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "a.localhost"]
        {
            assert!(is_local(&format!("GET / HTTP/1.1\r\nHost: {host}")), "{host}");
        }
        for host in ["chat.example", "chat.example:80", "192.0.2.1", "[2001:db8::1]", "localhost.example"] {
            assert!(!is_local(&format!("GET / HTTP/1.1\r\nHost: {host}")), "{host}");
        }
        assert!(!is_local("GET / HTTP/1.0"), "no name at all");
        assert!(!is_local("GET / HTTP/1.0\r\nHost: 127.0.0.1:8080"), "as nginx asks");
    }

    #[test]
    fn fields_that_proxies_add_are_known_by_their_beginnings() {
        for (before, after) in PROXY_FIELDS.iter().zip(&PROXY_FIELDS[1..]) {
            assert!(before < after && !after.starts_with(before), "{before}, {after}");
        }
        for prefix in PROXY_FIELDS {
            assert_eq!(prefix, prefix.to_ascii_lowercase());
        }
        for name in [
            "X-Forwarded-For",
            "X-Forwarded-Port",
            "X-Forwarded-Server",
            "X-Forwarded-Ssl",
            "x-forwarded",
            "Forwarded",
            "Via",
            "X-Real-IP",
            "CF-Ray",
            "CF-Connecting-IP",
            "CDN-Loop",
            "True-Client-IP",
            "Client-IP",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "Fly-Client-IP",
            "Fastly-Client-IP",
            "X-Envoy-External-Address",
            "X-Original-URI",
            "X-Scheme",
            "X-Amzn-Trace-Id",
            "X-Varnish",
            "Proxy-Connection",
        ] {
            assert!(is_proxy_field(name), "{name}");
            let fields = format!("Accept: */*\r\n{name}: 1\r\n");
            assert!(!peer("127.0.0.1", &[], &fields).is_local(), "{name}");
        }
        for name in ["Host", "Accept", "Connection", "Cookie", "Authorization", "Content-Type", "User-Agent"]
        {
            assert!(!is_proxy_field(name), "{name}");
        }
        for name in ["Sec-Fetch-Site", "Upgrade", "X", "X-", "A", "Vi", "X-Requested-With", "Zzz"] {
            assert!(!is_proxy_field(name), "{name}");
        }
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let forged = "X-Forwarded-For: 127.0.0.1\r\n";
        assert_is(peer("192.0.2.1", &[], forged), "192.0.2.1", false);
        assert_is(peer("192.0.2.1", &["10.0.0.0/8"], forged), "192.0.2.1", false);
        assert_is(peer("127.0.0.1", &[], "X-Forwarded-For: 192.0.2.1\r\n"), "127.0.0.1", false);
    }

    #[test]
    fn a_proxied_stranger_is_never_local() {
        let trusted = &["127.0.0.1", "10.0.0.0/8"];
        for fields in [
            "",
            "X-Forwarded-For: 127.0.0.1\r\n",
            "X-Forwarded-For: ::1\r\n",
            "X-Forwarded-For: 10.0.0.1\r\n",
            "Forwarded: for=127.0.0.1\r\n",
            "Via: 1.1 cache\r\n",
            "X-Forwarded-For: \r\n",
        ] {
            assert!(!peer("127.0.0.1", trusted, fields).is_local(), "{fields}");
        }
        assert!(!Peer::of_proxy("127.0.0.1:1".parse().unwrap()).is_local());
    }

    #[test]
    fn the_rightmost_untrusted_hop() {
        let trusted = &["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"];
        for (fields, address) in [
            ("X-Forwarded-For: 192.0.2.9\r\n", "192.0.2.9"),
            ("X-Forwarded-For: 6.6.6.6, 192.0.2.9\r\n", "192.0.2.9"),
            ("X-Forwarded-For: 6.6.6.6, 192.0.2.9 , 10.0.0.1,2001:db8::1\r\n", "192.0.2.9"),
            ("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.9, 10.0.0.1\r\n", "192.0.2.9"),
            ("X-Forwarded-For: 192.0.2.9:4711\r\n", "192.0.2.9"),
            ("X-Forwarded-For: [2001:db9::1]:4711\r\n", "2001:db9::1"),
            ("X-Forwarded-For: [2001:db9::1]\r\n", "2001:db9::1"),
            ("X-Forwarded-For: ::ffff:192.0.2.9\r\n", "192.0.2.9"),
            ("X-Forwarded-For: 10.0.0.7, 10.0.0.1\r\n", "10.0.0.7"),
            ("X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.1\r\n", "10.0.0.1"),
            ("X-Forwarded-For: 6.6.6.6, \r\n", "127.0.0.1"),
            ("Forwarded: for=192.0.2.9;proto=https;by=10.0.0.1\r\n", "192.0.2.9"),
            ("Forwarded: for=6.6.6.6, for=\"[2001:db9::1]:4711\", For=10.0.0.1\r\n", "2001:db9::1"),
            ("Forwarded: for=6.6.6.6, for=_hidden\r\n", "127.0.0.1"),
            ("Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 192.0.2.9\r\n", "192.0.2.9"),
        ] {
            assert_is(peer("127.0.0.1", trusted, fields), address, false);
        }
    }

    #[test]
    fn hops_are_bounded() {
        let hops = vec!["10.0.0.1"; FORWARDED_HOPS_MAX].join(", ");
        let fields = format!("X-Forwarded-For: 192.0.2.9, {hops}\r\n");
        assert_is(peer("10.0.0.2", &["10.0.0.0/8"], &fields), "10.0.0.1", false);
    }

    #[test]
    fn quotas_see_networks_of_ipv6_and_addresses_of_ipv4() {
        let key = |text: &str| Peer::of_proxy(SocketAddr::new(text.parse().unwrap(), 0)).quota_key();
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("::1"), 0);
    }
}
