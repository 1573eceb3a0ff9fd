//! The PROXY protocol: the line or the block in which a proxy says whose connection it passes on.
//!
//! It knows no connection and trusts nobody; who may send a header is for the hall. Read first: HAProxy's
//! `doc/proxy-protocol.txt`, sections 2.1 (version 1), 2.2 (version 2) and 4 (what a receiver must not do:
//! guess whether there is a header).
//!
//! ```text
//! 1   PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 CR LF
//! 2   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A │ 2x │ family │ length │ addresses, ports, then TLVs
//!     '------------- signature ---------'  ver,            2 octets, all of which follow
//!                                          command
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::limits::PROXY_HEADER_BYTES_MAX;

/// Octets of the longest line of version 1, its line end included (section 2.1).
const LINE_BYTES_MAX: usize = 107;

/// What every header of version 2 begins with: no line of any protocol does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Octets of version 2 before its addresses.
const BLOCK_BYTES_MIN: usize = 16;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The peer of the proxy.
    Peer(SocketAddr),
    /// The proxy itself (a health check), or a peer of a family that has no address here: what the socket
    /// says is all that is known.
    Unknown,
}

/// What is wrong with a header. There is no answer to it: the peer speaks no protocol that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// Neither version begins like this.
    NoHeader,
    /// A line of version 1 that is too long, or does not end in CR LF.
    BadLine,
    /// A family, address or port of version 1 that is none.
    BadAddress,
    /// Version 2 with another version, command, or too short for its family.
    BadBlock,
    /// Longer than `PROXY_HEADER_BYTES_MAX`.
    TooLong,
}

impl Offence {
    /// What is wrong, for a log.
    pub fn reason(self) -> &'static str {
        match self {
            Offence::NoHeader => "it does not begin with a PROXY header",
            Offence::BadLine => "the PROXY line is too long or not ended by CR LF",
            Offence::BadAddress => "the PROXY line names no address and port of its family",
            Offence::BadBlock => "the PROXY block has another version, an unknown command, or is cut short",
            Offence::TooLong => "the PROXY block is longer than is read here",
        }
    }
}

/// Reads the header that `input` begins with: whose connection it is and how many octets said so. `None` if
/// the end of it is not here yet; it never takes more than `PROXY_HEADER_BYTES_MAX` octets to say otherwise.
///
/// # Errors
/// It is no header, as soon as one octet says so.
pub fn parse(input: &[u8]) -> Result<Option<(Source, usize)>, Offence> {
    let is_block = begins_alike(input, &SIGNATURE);
    if is_block && input.len() < BLOCK_BYTES_MIN {
        return Ok(None);
    }
    if is_block {
        return parse_block(input);
    }
    if !begins_alike(input, b"PROXY ") {
        return Err(Offence::NoHeader);
    }
    parse_line(input)
}

/// Whether `input` begins with `mark`, as far as it goes.
fn begins_alike(input: &[u8], mark: &[u8]) -> bool {
    input.iter().zip(mark).all(|(octet, expected)| octet == expected)
}

fn parse_line(input: &[u8]) -> Result<Option<(Source, usize)>, Offence> {
    let shown = &input[..input.len().min(LINE_BYTES_MAX)];
    let Some(end) = shown.iter().position(|octet| *octet == b'\r') else {
        return if shown.len() == LINE_BYTES_MAX { Err(Offence::BadLine) } else { Ok(None) };
    };
    match input.get(end + 1) {
        _ if end + 2 > LINE_BYTES_MAX => return Err(Offence::BadLine),
        Some(b'\n') => {}
        Some(_) => return Err(Offence::BadLine),
        None => return Ok(None),
    }
    let line = std::str::from_utf8(&input[..end]).map_err(|_| Offence::BadAddress)?;
    let mut words = line.split(' ').skip(1);
    let source = match words.next() {
        // Whatever follows has to be ignored (section 2.1).
        Some("UNKNOWN") => Source::Unknown,
        Some("TCP4") => Source::Peer(line_addresses::<Ipv4Addr>(words)?),
        Some("TCP6") => Source::Peer(line_addresses::<Ipv6Addr>(words)?),
        _ => return Err(Offence::BadAddress),
    };
    Ok(Some((source, end + 2)))
}

/// Source address, destination address, source port, destination port, each of them checked.
fn line_addresses<'a, A: FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<SocketAddr, Offence> {
    let mut address = || words.next()?.parse::<A>().ok();
    let source = address().ok_or(Offence::BadAddress)?;
    address().ok_or(Offence::BadAddress)?;
    let mut port = || {
        let word = words.next()?;
        // No sign, no leading zero: section 2.1 writes ports in the one canonical way.
        let is_canonical =
            word.bytes().all(|octet| octet.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        word.parse::<u16>().ok().filter(|_| is_canonical)
    };
    let source_port = port().ok_or(Offence::BadAddress)?;
    port().ok_or(Offence::BadAddress)?;
    match words.next() {
        None => Ok(SocketAddr::new(source.into(), source_port)),
        Some(_) => Err(Offence::BadAddress),
    }
}

fn parse_block(input: &[u8]) -> Result<Option<(Source, usize)>, Offence> {
    let (command, family) = (input[12], input[13]);
    let len = BLOCK_BYTES_MIN + usize::from(u16::from_be_bytes([input[14], input[15]]));
    if len > PROXY_HEADER_BYTES_MAX {
        return Err(Offence::TooLong);
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Offence::BadBlock),
    };
    let Some(rest) = input.get(BLOCK_BYTES_MIN..len) else { return Ok(None) };
    // What lies behind the addresses are TLVs, of which none is of use here (section 2.2.7).
    let source = match family {
        _ if is_local => Source::Unknown,
        0x11 => Source::Peer(block_address::<4>(rest)?),
        0x21 => Source::Peer(block_address::<16>(rest)?),
        // Unspecified, datagrams, Unix sockets: accepted, and their addresses passed over.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Source::Unknown,
        _ => return Err(Offence::BadBlock),
    };
    Ok(Some((source, len)))
}

/// The source out of source address, destination address, source port, destination port.
fn block_address<const N: usize>(octets: &[u8]) -> Result<SocketAddr, Offence>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = octets.split_first_chunk::<N>().ok_or(Offence::BadBlock)?;
    let (_, rest) = rest.split_first_chunk::<N>().ok_or(Offence::BadBlock)?;
    let (ports, _) = rest.split_first_chunk::<4>().ok_or(Offence::BadBlock)?;
    Ok(SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes([ports[0], ports[1]])))
}

/// Writes a header of version 1.
pub fn emit_line(source: Option<(SocketAddr, SocketAddr)>, out: &mut Vec<u8>) {
    let line = match source {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some((from, to)) => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
        }
    };
    out.extend_from_slice(line.as_bytes());
}

/// Writes a header of version 2 with TLVs behind the addresses. Both addresses are of one family.
pub fn emit_block(source: Option<(SocketAddr, SocketAddr)>, tlvs: &[u8], out: &mut Vec<u8>) {
    let mut rest = Vec::new();
    let mut octets = |address: IpAddr| match address {
        IpAddr::V4(address) => rest.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => rest.extend_from_slice(&address.octets()),
    };
    let (command, family) = match source {
        None => (0x20, 0x00),
        Some((from, to)) => {
            octets(from.ip());
            octets(to.ip());
            rest.extend_from_slice(&from.port().to_be_bytes());
            rest.extend_from_slice(&to.port().to_be_bytes());
            (0x21, if from.is_ipv4() { 0x11 } else { 0x21 })
        }
    };
    rest.extend_from_slice(tlvs);
    out.extend_from_slice(&SIGNATURE);
    out.extend_from_slice(&[command, family]);
    out.extend_from_slice(&(rest.len() as u16).to_be_bytes());
    out.extend_from_slice(&rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(from: &str, to: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((from.parse().unwrap(), to.parse().unwrap()))
    }

    /// The header of `bytes`, which must be the same whether they come at once or one by one.
    fn read(bytes: &[u8]) -> Result<Option<(Source, usize)>, Offence> {
        let whole = parse(bytes);
        let first = (1..=bytes.len()).map(|len| parse(&bytes[..len])).find(|read| *read != Ok(None));
        assert_eq!(first.unwrap_or(Ok(None)), whole, "{bytes:?}");
        whole
    }

    #[test]
    fn twins_of_both_versions() {
        for (from, to) in
            [("192.0.2.7:56324", "198.51.100.1:443"), ("[2001:db8::7]:1", "[2001:db8::1]:65535")]
        {
            let pair = pair(from, to);
            let source = Source::Peer(from.parse().unwrap());
            let mut line = Vec::new();
            emit_line(pair, &mut line);
            assert_eq!(read(&[&line[..], b"GET /"].concat()), Ok(Some((source, line.len()))));
            let mut block = Vec::new();
            emit_block(pair, b"\x03\x00\x04abcd", &mut block);
            assert_eq!(read(&[&block[..], b"GET /"].concat()), Ok(Some((source, block.len()))));
        }
    }

    #[test]
    fn the_proxy_itself_and_families_without_an_address() {
        let mut local = Vec::new();
        emit_block(None, b"", &mut local);
        assert_eq!(read(&local), Ok(Some((Source::Unknown, 16))));
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), Ok(Some((Source::Unknown, 15))));
        assert_eq!(read(b"PROXY UNKNOWN ffff:f...f 1 2\r\n"), Ok(Some((Source::Unknown, 30))));
        let mut unix = Vec::new();
        emit_block(pair("1.2.3.4:5", "1.2.3.4:6"), b"", &mut unix);
        for family in [0x00, 0x12, 0x31, 0x32] {
            unix[13] = family;
            assert_eq!(read(&unix), Ok(Some((Source::Unknown, unix.len()))));
        }
    }

    #[test]
    fn what_is_no_header() {
        for (bytes, offence) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Offence::NoHeader),
            (b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Offence::NoHeader),
            (b"\r\n\r\n\0\r\nQUIT\r", Offence::NoHeader),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n\r\n", Offence::BadAddress),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx", Offence::BadLine),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", Offence::BadAddress),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", Offence::BadAddress),
            (b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", Offence::BadAddress),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", Offence::BadAddress),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", Offence::BadAddress),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", Offence::BadAddress),
            (b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", Offence::BadAddress),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n", Offence::BadAddress),
            (b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", Offence::BadAddress),
            (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", Offence::BadAddress),
            (b"PROXY \xff\r\n", Offence::BadAddress),
        ] {
            assert_eq!(parse(bytes), Err(offence), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_line_is_bounded() {
        let line = |len: usize| [b"PROXY UNKNOWN ".as_slice(), &vec![b'x'; len - 16], b"\r\n"].concat();
        assert_eq!(parse(&line(107)), Ok(Some((Source::Unknown, 107))));
        assert_eq!(parse(&line(108)), Err(Offence::BadLine));
        assert_eq!(parse(&line(107)[..106]), Ok(None));
        assert_eq!(parse(&[b'P'; 1]), Ok(None));
        assert_eq!(parse(&line(200)[..107]), Err(Offence::BadLine), "no octet more is waited for");
    }

    #[test]
    fn a_block_is_bounded_and_whole() {
        let mut block = Vec::new();
        emit_block(pair("1.2.3.4:5", "1.2.3.4:6"), &vec![0; PROXY_HEADER_BYTES_MAX - 28], &mut block);
        assert_eq!(block.len(), PROXY_HEADER_BYTES_MAX);
        assert!(matches!(read(&block), Ok(Some((Source::Peer(_), PROXY_HEADER_BYTES_MAX)))));
        let mut long = Vec::new();
        emit_block(pair("1.2.3.4:5", "1.2.3.4:6"), &vec![0; PROXY_HEADER_BYTES_MAX - 27], &mut long);
        assert_eq!(parse(&long[..16]), Err(Offence::TooLong), "before a byte of it is waited for");
        for (at, octet) in [(12, 0x11), (12, 0x22), (13, 0x41), (13, 0x10), (15, 11)] {
            let mut bad = Vec::new();
            emit_block(pair("1.2.3.4:5", "1.2.3.4:6"), b"", &mut bad);
            bad[at] = octet;
            assert_eq!(parse(&bad), Err(Offence::BadBlock), "{at} {octet}");
        }
    }
}
