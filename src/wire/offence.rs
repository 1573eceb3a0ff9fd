//! What a peer can do wrong in an HTTP/1 request, one variant an offence.
//!
//! It knows neither where an offence is found (`http`, `body`) nor how it is answered (`response`). After
//! any of them the end of the request is a matter of opinion, and two opinions are how requests are
//! smuggled: the answer closes the connection.
//!
//! Read first: RFC 9112, sections 2.2, 5, 6.3 and 11.2; RFC 9110, section 15.

use std::fmt;

/// One row an offence: name, status, code, and the sentence that says what to do instead.
macro_rules! offences {
    ($($name:ident $status:literal $code:literal $sentence:literal)*) => {
        /// What is wrong with a request. The documentation of a variant is the sentence its sender reads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Offence {
            $(#[doc = $sentence] $name,)*
        }

        impl Offence {
            /// Every offence there is, for tables and tests.
            pub const ALL: &'static [Offence] = &[$(Offence::$name),*];

            /// The status that answers it.
            pub fn status(&self) -> u16 {
                match self { $(Offence::$name => $status,)* }
            }

            /// Its stable name for programs, the `code` of the problem document.
            pub fn code(&self) -> &'static str {
                match self { $(Offence::$name => $code,)* }
            }

            /// A sentence for people that says what to do.
            pub fn sentence(&self) -> &'static str {
                match self { $(Offence::$name => $sentence,)* }
            }
        }
    };
}

offences! {
    // Lines.
    BareLineFeed 400 "bare_line_feed" "End every line with CR LF, not with LF alone."
    BareCarriageReturn 400 "bare_carriage_return" "Follow every CR with LF."
    ControlByte 400 "control_byte" "Send no control bytes in a request head or a trailer."
    ObsoleteFolding 400 "obsolete_folding" "Put each header field on one line; folded lines are refused."
    EmptyLines 400 "empty_lines" "Begin with the request line, not with empty lines."
    HeadTooLong 431 "head_too_long"
        "Send fewer or shorter header fields (cookies are the usual cause), or start encke with --head-bytes."
    IncompleteHead 400 "incomplete_head" "End the request head with an empty line."

    // The request line.
    InvalidRequestLine 400 "invalid_request_line"
        "Send `METHOD target HTTP/1.1` with one space between the parts."
    InvalidMethod 400 "invalid_method" "Send a method made of token characters, such as GET."
    MethodTooLong 501 "method_too_long" "Use a method of HTTP; none is this long."
    ConnectUnsupported 501 "connect_unsupported" "Send CONNECT to a proxy; this server is none."
    InvalidTarget 400 "invalid_target"
        "Send a path that begins with a slash, or an http URI, percent-encoded and without a fragment."
    TargetTooLong 414 "target_too_long" "Shorten the request target, or move its parameters into a body."
    UnsupportedVersion 505 "unsupported_version" "Speak HTTP/1.1 or HTTP/1.0."

    // Header fields.
    InvalidHeader 400 "invalid_header"
        "Send header fields as `Name: value`, the name made of token characters."
    SpaceBeforeColon 400 "space_before_colon" "Put no space between a field's name and its colon."
    TooManyHeaders 431 "too_many_headers" "Send fewer header fields."
    MissingHost 400 "missing_host" "Name the server in a Host field; HTTP/1.1 requires it."
    DoubledHost 400 "doubled_host" "Send one Host field only."
    InvalidHost 400 "invalid_host"
        "Send Host as a name or an address, with an optional port and nothing else."
    UnmetExpectation 417 "unmet_expectation" "Expect nothing but 100-continue."

    // The length of a body.
    BothLengths 400 "both_lengths" "Send either Content-Length or Transfer-Encoding, never both."
    DoubledLength 400 "doubled_length" "Send one Content-Length with one number."
    InvalidLength 400 "invalid_length" "Send Content-Length as decimal digits and nothing else."
    InvalidTransferCoding 400 "invalid_transfer_coding"
        "Send `Transfer-Encoding: chunked`, once, as the last coding and without parameters."
    UnsupportedTransferCoding 501 "unsupported_transfer_coding"
        "Send the body with Content-Length, or with `Transfer-Encoding: chunked` alone."
    TransferCodingInHttp10 400 "transfer_coding_in_http10"
        "Use Content-Length in HTTP/1.0, or speak HTTP/1.1."

    // The body.
    BodyTooLong 413 "body_too_long" "Send a smaller body."
    InvalidChunk 400 "invalid_chunk"
        "Send each chunk as its size in hexadecimal digits, CR LF, that many bytes, CR LF."
    ChunkLineTooLong 400 "chunk_line_too_long" "Shorten or leave out the chunk extensions."
    TrailersTooLong 431 "trailers_too_long" "Send fewer or shorter trailer fields."
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for Offence {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_snake_case() {
        for (at, offence) in Offence::ALL.iter().enumerate() {
            let code = offence.code();
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!(Offence::ALL[..at].iter().all(|other| other.code() != code), "{code} twice");
        }
    }

    #[test]
    fn sentences_are_sentences_and_statuses_are_errors() {
        for offence in Offence::ALL {
            assert!(offence.to_string().ends_with('.'), "{offence:?}");
            assert!((400..600).contains(&offence.status()), "{offence:?}");
        }
    }
}
