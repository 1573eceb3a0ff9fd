//! Who asks and for what: forwarded addresses, the query, quotas, against plain readings of each and against lists.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use encke::hub::Cursor;
use encke::limits::{
    CALLBACK_DEFAULT, CHANNELS_RATE, CLIENTS_RATE, CONNECTIONS_RATE, FAILURES_RATE, FORWARDED_HOPS_MAX,
    HEARTBEAT_S_MAX, HEARTBEAT_S_MIN, LAST_MAX, PAD_BYTES_MAX, PUBLISHES_RATE, REQUESTS_RATE, Rate,
    STRICT_SHARE, SUBSCRIPTIONS_MAX, WAIT_S_DEFAULT, WAIT_S_MAX,
};
use encke::server::inner::{Kind, Params, Peer, Position, Quotas, Sid};
use encke::server::{Limits, Network, Refusal};
use encke::wire::http::Head;
use encke::wire::target::{self, Target};

use super::Choices;
use super::text::is_callback;

/// Addresses of proxies that are trusted.
const TRUSTED: [&str; 3] = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"];

/// Nobody is believed who is not a trusted proxy; of what trusted ones say the address is the one that a plain
/// reading from the right comes to, whatever a client wrote at the left. A network is what its bits say.
pub fn forwarded(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for line in text.lines().take(4) {
        check_network(line);
    }

    let trusted: Vec<Network> = TRUSTED.iter().map(|text| Network::parse(text).expect("a network")).collect();
    let proxy = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 1));
    let stranger = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 1));
    let fields: Vec<u8> = input.split(|octet| *octet == b'\n').fold(Vec::new(), |mut all, line| {
        all.extend_from_slice(line);
        all.extend_from_slice(b"\r\n");
        all
    });
    let request = [b"GET / HTTP/1.1\r\nHost: localhost\r\n", &fields[..], b"\r\n"].concat();
    if let Ok(head) = Head::parse(&request) {
        let peer = Peer::of_socket(stranger, &trusted).of_request(&head, &trusted);
        assert_eq!(peer.address(), stranger.ip(), "a stranger is believed");
        let peer = Peer::of_socket(proxy, &trusted).of_request(&head, &trusted);
        assert_eq!(peer.address(), plain_peer(&head, proxy.ip()));
        assert!(!peer.is_local(), "who comes through a proxy comes from anywhere");
        let again = Peer::of_proxy(SocketAddr::new(peer.address(), 1));
        assert_eq!(peer.quota_key(), again.quota_key(), "one address, one quota");
    }

    write_and_read(&mut Choices::new(input), &trusted, proxy);
}

/// A client behind a few proxies, with whatever it wrote itself in front: it is found.
fn write_and_read(choices: &mut Choices<'_>, trusted: &[Network], proxy: SocketAddr) {
    let client = IpAddr::from([203, 0, 113, choices.byte()]);
    let client =
        if choices.below(2) == 0 { client } else { Ipv6Addr::new(0x2001, 0xdb9, 0, 0, 0, 0, 0, 7).into() };
    let name = choices.pick(&["X-Forwarded-For", "x-forwarded-for", "Forwarded"]);
    let is_old = name != "Forwarded";
    let (space, port) = (choices.pick(&["", " ", " \t "]), choices.below(2) == 1);
    let spell = |address: IpAddr| {
        let written = match (address, port) {
            (IpAddr::V6(address), false) if is_old => address.to_string(),
            (IpAddr::V6(address), false) => format!("[{address}]"),
            (address, true) => SocketAddr::new(address, 4711).to_string(),
            (address, false) => address.to_string(),
        };
        if is_old { written } else { format!("by=_us;For=\"{written}\";proto=https") }
    };
    let forged: String = choices.text().chars().filter(|char| !char.is_control()).collect();
    let mut hops = vec![forged, spell(client)];
    for _ in 0..choices.below(FORWARDED_HOPS_MAX - 1) {
        let inner = choices
            .pick(&[IpAddr::from([10, 1, 2, 3]), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()]);
        hops.push(spell(inner));
    }
    let mut fields = String::new();
    for hop in hops {
        // A list may be cut into lines at any comma (RFC 9110, section 5.3).
        let is_first = fields.is_empty();
        let glue = if choices.below(2) == 0 && !is_first {
            format!("{space},{space}")
        } else {
            format!("\r\n{name}: ")
        };
        fields += &format!("{glue}{hop}");
    }
    let request = format!("GET / HTTP/1.1\r\nHost: localhost{fields}\r\n\r\n");
    if let Ok(head) = Head::parse(request.as_bytes()) {
        let peer = Peer::of_socket(proxy, trusted).of_request(&head, trusted);
        assert_eq!(peer.address(), client, "{request:?}");
    }
}

/// The right-most address that is not trusted, found by splitting.
fn plain_peer(head: &Head<'_>, socket: IpAddr) -> IpAddr {
    let is_old = head.header("x-forwarded-for").is_some();
    let name = if is_old { "x-forwarded-for" } else { "forwarded" };
    let list = head.headers(name).collect::<Vec<_>>().join(&b',');
    let mut found = socket;
    let hops: Vec<&[u8]> = list.split(|octet| *octet == b',').collect();
    for hop in hops.iter().rev().take(FORWARDED_HOPS_MAX) {
        // What is no text hides something.
        let Ok(hop) = str::from_utf8(hop) else { break };
        let node = if is_old { Some(hop) } else { plain_for(hop) };
        let Some(address) = node.and_then(plain_address) else { break };
        found = address.to_canonical();
        let is_ours = match found {
            IpAddr::V4(four) => four.octets()[0] == 10 || four == Ipv4Addr::LOCALHOST,
            IpAddr::V6(six) => six.segments()[..2] == [0x2001, 0xdb8],
        };
        if !is_ours {
            break;
        }
    }
    found
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn plain_for(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter(|pair| pair.contains('='));
    let mut pairs = pairs.map(|pair| pair.split_at(pair.find('=').expect("it is there")));
    let (_, value) = pairs.find(|(name, _)| trim(name).eq_ignore_ascii_case("for"))?;
    Some(trim(&value[1..]).trim_matches('"'))
}

/// An address, one in brackets, or either with a port.
fn plain_address(text: &str) -> Option<IpAddr> {
    let text = trim(text);
    let digits = |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|octet| octet.is_ascii_digit());
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_at(rest.find(']')?);
        return match &after[1..] {
            "" => inner.parse().ok(),
            port => {
                // With a port an address may have a zone (RFC 6874).
                let (six, zone) = inner.split_once('%').unwrap_or((inner, "0"));
                let is_zone = zone.parse::<u32>().is_ok() && zone.bytes().all(|octet| octet.is_ascii_digit());
                let six = six.parse::<Ipv6Addr>().ok().filter(|_| is_zone);
                six.filter(|_| digits(port.strip_prefix(':').unwrap_or("no"))).map(IpAddr::V6)
            }
        };
    }
    text.parse().ok().or_else(|| {
        let (four, port) = text.split_once(':')?;
        Some(IpAddr::V4(four.parse().ok().filter(|_| digits(port))?))
    })
}

/// A network as its bits in a row.
fn check_network(text: &str) {
    let bits_of = |address: IpAddr| match address {
        IpAddr::V4(four) => four.octets().iter().map(|octet| format!("{octet:08b}")).collect::<String>(),
        IpAddr::V6(six) => six.octets().iter().map(|octet| format!("{octet:08b}")).collect::<String>(),
    };
    let naive = || {
        let (address, len) = text.split_once('/').map_or((text, None), |(address, len)| (address, Some(len)));
        let bits = bits_of(address.parse::<IpAddr>().ok()?);
        let len = match len {
            None => bits.len(),
            Some(len) if !len.is_empty() && len.bytes().all(|octet| octet.is_ascii_digit()) => {
                len.parse().ok()?
            }
            Some(_) => return None,
        };
        (!bits.get(len..)?.contains('1')).then(|| bits[..len].to_owned())
    };
    let (network, plain) = (Network::parse(text), naive());
    assert_eq!(network.is_some(), plain.is_some(), "{text:?}");
    let (Some(network), Some(plain)) = (network, plain) else { return };
    let is_four = !text.contains(':');
    for probe in ["10.1.2.3", "192.0.2.1", "0.0.0.0", "2001:db8::1", "::1", "fe80::9", "255.255.255.255"] {
        let probe: IpAddr = probe.parse().expect("an address");
        if probe.is_ipv4() == is_four {
            assert_eq!(network.has(probe), bits_of(probe).starts_with(&plain), "{text:?} and {probe}");
        }
    }
}

/// The query says what a plain reading of it says, and a value of a wrong form is refused and nothing else. What is
/// written from parameters is read back. A sid has one spelling.
pub fn params(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    let (query, last) = text.split_once('\n').map_or((text, None), |(query, last)| (query, Some(last)));
    fn read<'t>(query: &'t str, last: Option<&str>) -> Option<Result<Params<'t>, Refusal>> {
        let field = last.map_or_else(String::new, |last| format!("Last-Event-ID: {last}\r\n"));
        let request = format!("GET /sse HTTP/1.1\r\nHost: a\r\n{field}\r\n");
        let head = Head::parse(request.as_bytes()).ok()?;
        Some(Params::parse(&Target::parse(query), &head, 25))
    }
    let query = &format!("/sse?{query}");
    // With a line's end in it, it is two fields.
    let last = last.filter(|last| !last.contains(['\r', '\n']));
    if let Some(read) = read(query, last) {
        let plain = plain_params(&query["/sse?".len()..], last);
        if let Err(refusal) = &read {
            assert_eq!(refusal.status, 400);
        }
        assert_eq!(read.ok(), plain, "{query:?} {last:?}");
    }

    if let Some(sid) = Sid::parse(text) {
        assert_eq!(sid.emit(), text);
    }
    assert_eq!(Sid::parse(text).is_some(), is_sid(text), "{text:?}");

    let mut choices = Choices::new(input);
    let (mut pairs, mut channels) = (Vec::new(), Vec::<String>::new());
    for _ in 0..choices.below(6) {
        let channel = choices.text().into_owned();
        pairs.push(format!("ch={}", target::encode(&channel)));
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    let cursor = Cursor { epoch: choices.below(65_536) as u32, seq: choices.below(65_536) as u64 };
    pairs.push(format!("since={cursor}"));
    pairs.push(format!("{}={}", target::encode("x&y=z+% "), target::encode(&choices.text())));
    let pad = choices.below(PAD_BYTES_MAX.min(65_535));
    pairs.insert(choices.below(pairs.len()), format!("pad={pad}"));
    let query = format!("?{}", pairs.join("&"));
    let written = read(&query, None).expect("a good head").expect("good values");
    assert_eq!(written.channels, channels);
    assert_eq!(written.pad, pad);
    assert_eq!(written.position, Position::After(cursor));
}

/// Sixteen octets in base64url without padding: the last character has two bits of them, and four that are zero.
fn is_sid(text: &str) -> bool {
    let is_letter = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    text.len() == 22 && text.bytes().all(is_letter) && text.ends_with(['A', 'Q', 'g', 'w'])
}

/// The parameters, pair by pair.
fn plain_params(query: &str, last: Option<&str>) -> Option<Params<'static>> {
    let mut params = Params {
        channels: Vec::new(),
        position: Position::Now,
        sid: None,
        has_sid: false,
        wait_s: WAIT_S_DEFAULT,
        heartbeat_s: 25,
        pad: 0,
        callback: CALLBACK_DEFAULT.into(),
    };
    let mut since = None;
    // A fragment never comes to a server; what looks like one belongs to the last value.
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (plain_decode(name)?, plain_decode(value)?);
        match &*name {
            // Beyond so many the request is refused anyway.
            "ch" if params.channels.len() <= SUBSCRIPTIONS_MAX
                && params.channels.iter().any(|other| *other == value) => {}
            "ch" => params.channels.push(value.into()),
            "since" => since = Some(Cursor::parse(&value)?),
            "last" => params.position = Position::Last(plain_number(&value)?.min(u64::from(LAST_MAX)) as u32),
            "sid" => {
                params.has_sid = true;
                if !value.is_empty() {
                    params.sid = Some(Sid::parse(&value).filter(|_| is_sid(&value))?);
                }
            }
            "wait" => params.wait_s = plain_number(&value)?.min(WAIT_S_MAX),
            "hb" => params.heartbeat_s = plain_number(&value)?.clamp(HEARTBEAT_S_MIN, HEARTBEAT_S_MAX) as u16,
            "pad" => params.pad = plain_number(&value)?.min(PAD_BYTES_MAX as u64) as usize,
            "callback" => params.callback = Some(value).filter(|value| is_callback(value))?.into(),
            _ => {}
        }
    }
    if let Some(since) = since {
        params.position = Position::After(since);
    }
    match last.map(trim) {
        None | Some("") => {}
        Some(last) => params.position = Cursor::parse(last).map_or(Position::Lost, Position::After),
    }
    Some(params)
}

fn plain_decode(text: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        octets.push(match first {
            b'+' => b' ',
            b'%' => {
                let (pair, after) = rest.split_first_chunk::<2>()?;
                rest = after;
                let digit = |octet: u8| char::from(octet).to_digit(16);
                (digit(pair[0])? << 4 | digit(pair[1])?) as u8
            }
            other => *other,
        });
    }
    String::from_utf8(octets).ok()
}

/// Digits, as many as may be.
fn plain_number(text: &str) -> Option<u64> {
    let digits: Option<Vec<u32>> = text.chars().map(|char| char.to_digit(10)).collect();
    let digits = digits.filter(|digits| !digits.is_empty())?;
    Some(
        digits
            .iter()
            .fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(*digit))),
    )
}

/// When an address did something of one kind, and since which of it its bucket may have been a new one.
#[derive(Debug, Default)]
struct Taken {
    at: Vec<u64>,
    anew: usize,
}

/// What one address did, and when.
#[derive(Debug, Default)]
struct Doings {
    open: u32,
    taken: BTreeMap<u8, Taken>,
}

const KINDS: [(Kind, Rate); 6] = [
    (Kind::Connection, CONNECTIONS_RATE),
    (Kind::Request, REQUESTS_RATE),
    (Kind::Publish, PUBLISHES_RATE),
    (Kind::Client, CLIENTS_RATE),
    (Kind::Channel, CHANNELS_RATE),
    (Kind::Failure, FAILURES_RATE),
];

/// Connections of the server of these quotas: an address may have a few more than the least.
const CONNECTIONS: usize = 600;

/// An address may do what its rate allows and no more, in any span of time; who is refused is told when it may go
/// on and then may. Addresses that are not known push out nobody with an open connection. Who is not counted is
/// never refused.
pub fn quota(input: &[u8]) {
    let mut choices = Choices::new(input);
    let limits = choices.pick(&[Limits::Strict, Limits::Normal, Limits::Off]);
    let trusted = vec![Network::parse("10.0.0.0/8").expect("a network")];
    let mut quotas = Quotas::new(limits, CONNECTIONS, trusted, u64::from(choices.byte()));
    let share = if limits == Limits::Strict { STRICT_SHARE } else { 1 };
    // Near the end of the buckets' clock, which is that of thirty-two bits.
    let mut now = choices.pick(&[1, 1_000, (1 << 28) - 2_000, (1 << 28) + 5]);
    let names = ["192.0.2.1", "192.0.2.2", "2001:db8:1:2::3", "2001:db8:1:2:9::", "127.0.0.1", "10.0.0.9"];
    let mut doings: BTreeMap<u64, Doings> = BTreeMap::new();
    for _ in 0..200 {
        if choices.is_empty() {
            break;
        }
        let name = choices.pick(&names);
        let peer = Peer::of_socket(SocketAddr::new(name.parse().expect("an address"), 1), &[]);
        let is_spared =
            matches!((limits, name), (Limits::Off, _) | (_, "10.0.0.9") | (Limits::Normal, "127.0.0.1"));
        let counts = !is_spared;
        assert_eq!(quotas.counts(peer), counts, "{name}");
        let done = doings.entry(peer.quota_key()).or_default();
        match choices.below(6) {
            0 => now += u64::from(choices.byte()) * choices.pick(&[1, 10, 100, 1_000]),
            1 if done.open > 0 => {
                quotas.close(peer);
                done.open -= 1;
            }
            2 => {
                strangers(&mut quotas, choices.byte(), now);
                // Whoever they pushed out begins anew.
                for taken in doings.values_mut().flat_map(|done| done.taken.values_mut()) {
                    taken.anew = taken.at.len();
                }
            }
            3 => {
                for _ in 0..choices.byte() {
                    let before = done.open;
                    match quotas.open(peer, now) {
                        Ok(is_counted) => {
                            assert_eq!(is_counted, counts, "{name}");
                            done.open += u32::from(counts);
                        }
                        Err(refusal) if refusal.code == "too_many_connections" => {
                            let most = CONNECTIONS / if limits == Limits::Strict { 32 } else { 8 };
                            assert!(counts && before as usize >= most.max(64), "{name} has {before}");
                        }
                        Err(_) => assert!(counts, "{name} is not counted"),
                    }
                }
                assert!(done.open as usize <= (CONNECTIONS / 8).max(64));
            }
            _ => {
                let (place, times) = (1 + choices.below(KINDS.len() - 1), choices.byte());
                let (kind, rate) = KINDS[place];
                let (burst, per_second) = ((rate.burst / share).max(1), (rate.per_second / share).max(1));
                let taken = done.taken.entry(place as u8).or_default();
                for _ in 0..=times {
                    take(&mut quotas, (peer, kind), now, taken, (burst, per_second), counts);
                }
            }
        }
    }
}

/// Takes one token, and looks whether it was there to be had.
fn take(
    quotas: &mut Quotas,
    (peer, kind): (Peer, Kind),
    now: u64,
    taken: &mut Taken,
    (burst, per_second): (u32, u32),
    counts: bool,
) {
    let checked = quotas.check(peer, kind, now);
    let answer = quotas.take(peer, kind, now);
    assert_eq!(checked, answer, "to ask is not to take, and tells what taking would");
    if let Err(refusal) = answer {
        assert!(counts && refusal.status == 429);
        // Of an address that did nothing yet, at least so many are taken.
        let fills_ms = u64::from(burst) * 1_000 / u64::from(per_second);
        let lately = taken.at.len() - taken.at.partition_point(|at| at + fills_ms < now);
        // One less where the bucket's clock begins anew: a tick is lost to the number that means never used.
        assert!(lately + 1 >= burst as usize, "{lately} of {burst} were taken");
        let retry = refusal.retry_ms.expect("it ends");
        assert!(retry > 0 && quotas.check(peer, kind, now + retry).is_ok(), "it may go on after {retry} ms");
        return;
    }
    if counts {
        taken.at.push(now);
        // A filled bucket and what flowed in since: over no span is more taken than that.
        for since in [taken.at.len().saturating_sub(burst as usize + 1), 0].map(|since| since.max(taken.anew))
        {
            let Some(first) = taken.at.get(since) else { continue };
            let (count, span) = (taken.at.len() - since, now - first);
            let most = u64::from(burst) + 1 + (span * u64::from(per_second)).div_ceil(900);
            assert!(count as u64 <= most, "{count} taken in {span} ms");
        }
    }
}

/// Addresses that come once and never again.
fn strangers(quotas: &mut Quotas, seed: u8, now: u64) {
    for number in 0..16 * u32::from(seed) {
        let address = Ipv4Addr::from(0x0b00_0000 | u32::from(seed) << 16 | number);
        let _ = quotas.take(Peer::of_socket((address, 1).into(), &[]), Kind::Request, now);
    }
}
