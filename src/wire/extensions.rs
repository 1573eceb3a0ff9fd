//! What a WebSocket's handshake agrees on beyond RFC 6455: extensions, of which there is one here.
//!
//! It knows no connection. It reads `Sec-WebSocket-Extensions` as strictly as its grammar is (what is no
//! list of extensions fails the handshake) and takes the first offer of permessage-deflate that can be kept.
//! An offer with a parameter that is unknown, doubled or has no such value is passed over, the next one
//! looked at, and in the end there may be none: then messages go as they are.
//!
//! Read first: RFC 6455, section 9.1; RFC 7692, sections 5.1 and 7.1.
//!
//! ```text
//!   permessage-deflate; server_max_window_bits=10, permessage-deflate; client_max_window_bits
//!   '----name--------'  '-------parameter-------'
//!   '------------------offer--------------------'  '----------------offer-----------------'
//! ```

use super::deflate::Window;
use super::http::is_token_byte;

/// The extension's name. RFC 7692, section 7.
const NAME: &str = "permessage-deflate";

/// A list of extensions that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// That messages may be compressed, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deflate {
    /// The window that the client asked for, 8 to 15 bits, if it did.
    server_bits: Option<u8>,
}

impl Deflate {
    /// How far back the server's messages may point.
    pub fn window(self) -> Window {
        match self.server_bits {
            None | Some(15) => Window::Full,
            Some(_) => Window::Narrow,
        }
    }

    /// Writes the answer to the offer: the field's value.
    ///
    /// Both sides begin afresh with each message, whatever was offered; why is told in [`super::deflate`]. A
    /// client's window is left to the client: any fits into ours.
    pub fn emit(self, out: &mut Vec<u8>) {
        out.extend_from_slice(NAME.as_bytes());
        out.extend_from_slice(b"; server_no_context_takeover; client_no_context_takeover");
        if let Some(bits) = self.server_bits {
            // Section 7.1.2.1: accepted by saying it again.
            out.extend_from_slice(b"; server_max_window_bits=");
            out.extend_from_slice(bits.to_string().as_bytes());
        }
    }
}

/// The first offer that can be kept, from all lines of the field. RFC 7692, section 5.1.
///
/// # Errors
/// A line is no list of extensions. RFC 6455, section 9.1: that fails the handshake.
pub fn negotiate<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<Option<Deflate>, Malformed> {
    let mut agreed = None;
    for line in lines {
        let mut rest = Rest(line);
        while let Some(offer) = rest.extension()? {
            agreed = agreed.or(offer);
        }
    }
    Ok(agreed)
}

/// The parameters of one offer, as far as they were read.
#[derive(Debug, Default)]
struct Offer {
    is_declined: bool,
    seen: [bool; 4],
    server_bits: Option<u8>,
}

impl Offer {
    /// RFC 7692, section 7.1.1 and 7.1.2; section 7.1 says which make an offer one that is declined.
    fn add(&mut self, name: &str, value: Option<&str>) {
        let (index, is_good) = match name {
            "server_no_context_takeover" => (0, value.is_none()),
            "client_no_context_takeover" => (1, value.is_none()),
            "server_max_window_bits" => {
                self.server_bits = value.and_then(window_bits);
                (2, self.server_bits.is_some())
            }
            // It says that the client would heed one of ours, and with a value that its own is not larger.
            "client_max_window_bits" => (3, value.is_none_or(|value| window_bits(value).is_some())),
            _ => return self.is_declined = true,
        };
        self.is_declined |= !is_good || std::mem::replace(&mut self.seen[index], true);
    }
}

/// 8 to 15, without zeros in front. RFC 7692, section 7.1.2.
fn window_bits(value: &str) -> Option<u8> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    value.parse().ok().filter(|bits| is_plain && (8..=15).contains(bits))
}

/// What is left of a line.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// The next element of the list: an offer that can be kept, or one that can't. `None` at the end.
    /// RFC 9110, section 5.6.1.2 has empty elements passed over.
    fn extension(&mut self) -> Result<Option<Option<Deflate>>, Malformed> {
        while self.take(b',') {}
        if self.0.is_empty() {
            return Ok(None);
        }
        let is_known = self.token()? == NAME;
        let mut offer = Offer::default();
        while self.take(b';') {
            let name = self.token()?;
            let quoted;
            let value = match self.take(b'=') {
                false => None,
                true if self.take(b'"') => {
                    quoted = self.quoted()?;
                    Some(&*quoted)
                }
                true => Some(self.token()?),
            };
            offer.add(name, value);
        }
        if !self.0.is_empty() && !self.take(b',') {
            return Err(Malformed);
        }
        let is_kept = is_known && !offer.is_declined;
        Ok(Some(is_kept.then_some(Deflate { server_bits: offer.server_bits })))
    }

    /// Takes a separator, and the space that may stand around it.
    fn take(&mut self, separator: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        let Some((&first, rest)) = self.0.split_first() else { return false };
        if first == separator {
            // Behind an opening quotation mark a space would be part of the value.
            self.0 = if separator == b'"' { rest } else { rest.trim_ascii_start() };
        }
        first == separator
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        let end = self.0.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        // Token bytes are ASCII.
        str::from_utf8(token).ok().filter(|token| !token.is_empty()).ok_or(Malformed)
    }

    /// A value behind its opening quotation mark. RFC 6455, section 9.1: unescaped it must be a token.
    fn quoted(&mut self) -> Result<String, Malformed> {
        let mut value = String::new();
        loop {
            let (mut byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            if *byte == b'"' {
                return if value.is_empty() { Err(Malformed) } else { Ok(value) };
            }
            if *byte == b'\\' {
                (byte, self.0) = self.0.split_first().ok_or(Malformed)?;
            }
            if !is_token_byte(*byte) {
                return Err(Malformed);
            }
            value.push(char::from(*byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &[&str]) -> Result<Option<String>, Malformed> {
        let agreed = negotiate(lines.iter().map(|line| line.as_bytes()))?;
        Ok(agreed.map(|agreed| {
            let mut out = Vec::new();
            agreed.emit(&mut out);
            String::from_utf8(out).expect("ASCII")
        }))
    }

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn rfc7692_7_1_3_offers() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=\"15\"",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate;client_no_context_takeover;client_max_window_bits=10",
            "\tpermessage-deflate ; client_max_window_bits = 10 ",
        ] {
            assert_eq!(answer(&[offer]).as_ref().map(Option::as_deref), Ok(Some(PLAIN)), "{offer}");
        }
        for bits in 8..=15 {
            let expected = format!("{PLAIN}; server_max_window_bits={bits}");
            for offer in [
                format!("permessage-deflate; server_max_window_bits={bits}"),
                format!("permessage-deflate; server_max_window_bits=\"{bits}\"; client_max_window_bits"),
                format!("permessage-deflate; server_max_window_bits={bits}, permessage-deflate"),
            ] {
                assert_eq!(answer(&[&offer]), Ok(Some(expected.clone())), "{offer}");
            }
        }
    }

    #[test]
    fn offers_that_cant_be_kept_are_declined() {
        for offer in [
            "x-webkit-deflate-frame",
            "permessage-bzip2; level=9",
            "PERMESSAGE-DEFLATE",
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+8",
            "permessage-deflate; server_max_window_bits=ten",
            "permessage-deflate; server_max_window_bits=99999999999999999999",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=015",
        ] {
            assert_eq!(answer(&[offer]), Ok(None), "{offer}");
        }
    }

    #[test]
    fn the_first_offer_that_can_be_kept_is_taken() {
        let kept = Ok(Some(format!("{PLAIN}; server_max_window_bits=9")));
        let (bad, good) = ("permessage-deflate; foo=bar", "permessage-deflate; server_max_window_bits=9");
        assert_eq!(answer(&[&format!("{bad}, {good}, permessage-deflate")]), kept);
        assert_eq!(answer(&["other; x=\"y\"", bad, good, "permessage-deflate"]), kept);
        assert_eq!(answer(&[&format!(", ,{good},")]), kept);
        assert_eq!(answer(&["permessage-deflate", good]), Ok(Some(PLAIN.to_owned())));
        assert_eq!(answer(&[]), Ok(None));
        assert_eq!(answer(&["", " , "]), Ok(None));
    }

    #[test]
    fn quoted_values_are_unescaped() {
        let expected = Ok(Some(format!("{PLAIN}; server_max_window_bits=10")));
        assert_eq!(answer(&["permessage-deflate; server_max_window_bits=\"\\1\\0\""]), expected);
    }

    #[test]
    fn what_is_no_list_of_extensions_fails() {
        for line in [
            ";",
            "=",
            "a b",
            "permessage-deflate;",
            "permessage-deflate; ;",
            "permessage-deflate; =1",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"",
            "permessage-deflate; client_max_window_bits=\"\"",
            "permessage-deflate; client_max_window_bits=\"1 0\"",
            "permessage-deflate; client_max_window_bits=\" 10\"",
            "permessage-deflate; client_max_window_bits=\"10\\",
            "permessage-deflate; client_max_window_bits=\"10\"x",
            "permessage-deflate; client_max_window_bits=10 11",
            "permessage-deflate; client_max_window_bits=(10)",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate, \u{e9}",
            "permessage-deflate/1",
        ] {
            assert_eq!(answer(&[line]), Err(Malformed), "{line}");
            assert_eq!(answer(&["permessage-deflate", line]), Err(Malformed), "{line}");
        }
    }
}
