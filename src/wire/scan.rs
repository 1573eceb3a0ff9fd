//! Where a request head ends, and whether it may be read at all.
//!
//! It knows no field and no body, only lines; what they say is for `http`. Read first: RFC 9112, sections
//! 2.2, 3 and 5.2.

use std::borrow::Cow;

use super::offence::Offence;
use super::runs::{is_token_byte, ordinary_head, text_run};
use crate::limits::{EMPTY_LINES_MAX, HEAD_BYTES_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX};

/// Finds the end of a request head in a buffer that grows.
///
/// Every byte is looked at once, whatever the pieces it comes in, so a head that dribbles in costs what a
/// whole one costs. Line ends, folding and lengths are judged on the way: a peer that breaks them is told
/// at the offending byte, not after sixteen kilobytes.
///
/// ```text
/// Start --> Method --SP--> Target --SP--> Version --CR--> LineCr --LF--> LineStart --CR--> EndCr
///  |  ^                                                     ^                |                |
/// CR  LF                                                    '-----CR--- Field'               LF
///  v  |                                                                                       v
/// EmptyCr                                                                                    Done
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HeadScanner {
    /// Bytes judged so far.
    seen: u32,
    /// Where the method, then the target begins.
    mark: u32,
    empty_lines: u8,
    state: ScanState,
}

// One lies in every connection's slot.
const _: () = assert!(size_of::<HeadScanner>() <= 16);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScanState {
    Start,
    EmptyCr,
    Method,
    Target,
    Version,
    LineCr,
    LineStart,
    Field,
    EndCr,
    Done,
}

impl HeadScanner {
    /// A scanner at the first byte of a request.
    pub fn new() -> HeadScanner {
        HeadScanner::behind(0)
    }

    /// The same behind so many empty lines that another scanner has passed over.
    pub fn behind(empty_lines: u8) -> HeadScanner {
        HeadScanner { seen: 0, mark: 0, empty_lines, state: ScanState::Start }
    }

    /// Goes on where the last call stopped; `buf` begins at the same byte each time. Returns the length of
    /// the head, empty lines before it and the one behind it included, or `None` while the head is not
    /// complete. Repeating a call repeats its answer.
    pub fn scan(&mut self, buf: &[u8]) -> Result<Option<usize>, Offence> {
        let end = buf.len().min(HEAD_BYTES_MAX);
        if self.seen == 0
            && let Some(len) = ordinary_head(&buf[..end])
        {
            // No head is longer than HEAD_BYTES_MAX.
            self.seen = len as u32;
            self.state = ScanState::Done;
        }
        while let Some(&byte) = buf[..end].get(self.seen as usize) {
            if self.state == ScanState::Done {
                break;
            }
            self.state = self.step(byte)?;
            self.seen += 1;
            if self.state == ScanState::Field {
                // Most bytes of most heads; no run is longer than HEAD_BYTES_MAX.
                self.seen += text_run(&buf[self.seen as usize..end]) as u32;
            }
        }
        match self.state {
            ScanState::Done => Ok(Some(self.seen as usize)),
            _ if end == HEAD_BYTES_MAX => Err(Offence::HeadTooLong),
            _ => Ok(None),
        }
    }

    /// The head that was scanned, which has `bytes`, if it is whole.
    pub fn head<'b>(&self, bytes: impl Into<Cow<'b, [u8]>>) -> Option<Scanned<'b>> {
        let bytes = bytes.into();
        (self.state == ScanState::Done && bytes.len() == self.seen as usize).then_some(Scanned(bytes))
    }

    /// Changes nothing but the state unless the byte is accepted.
    fn step(&mut self, byte: u8) -> Result<ScanState, Offence> {
        use ScanState::*;
        match (self.state, byte) {
            // RFC 9112, section 2.2: empty lines before the request line are passed over, within reason.
            (Start, b'\r') if self.empty_lines == EMPTY_LINES_MAX => Err(Offence::EmptyLines),
            (Start, b'\r') => Ok(EmptyCr),
            (EmptyCr, b'\n') => {
                self.empty_lines += 1;
                Ok(Start)
            }

            // RFC 9112, section 2.2: it allows a bare LF as a line end, and forbids a bare CR. Not all
            // programs in front of us allow the first; both are refused.
            (LineCr, b'\n') => Ok(LineStart),
            (EndCr, b'\n') => Ok(Done),
            (EmptyCr | LineCr | EndCr, _) => Err(Offence::BareCarriageReturn),
            (_, b'\n') => Err(Offence::BareLineFeed),
            (LineStart, b'\r') => Ok(EndCr),
            (_, b'\r') => Ok(LineCr),

            // RFC 9112, section 5.2; behind the request line, section 2.2.
            (LineStart, b' ' | b'\t') => Err(Offence::ObsoleteFolding),
            // RFC 9110, section 5.5: NUL and its kin are dangerous everywhere.
            (_, 0..=8 | 0x0b..=0x1f | 0x7f) => Err(Offence::ControlByte),

            (Start, _) if is_token_byte(byte) => {
                self.mark = self.seen;
                Ok(Method)
            }
            (Method, b' ') => {
                self.mark = self.seen + 1;
                Ok(Target)
            }
            (Start | Method, _) if !is_token_byte(byte) => Err(Offence::InvalidMethod),
            (Method, _) if self.since_mark() >= METHOD_BYTES_MAX => Err(Offence::MethodTooLong),
            (Target, b' ') => Ok(Version),
            // RFC 9110, section 15.5.15.
            (Target, _) if self.since_mark() >= TARGET_BYTES_MAX => Err(Offence::TargetTooLong),
            (LineStart, _) => Ok(Field),
            (state, _) => Ok(state),
        }
    }

    /// Whether a request has begun: empty lines alone, and no bytes at all, are still an idle connection.
    pub fn has_begun(&self) -> bool {
        !matches!(self.state, ScanState::Start | ScanState::EmptyCr)
    }

    /// Empty lines that were passed over.
    pub fn empty_lines(&self) -> u8 {
        self.empty_lines
    }

    fn since_mark(&self) -> usize {
        (self.seen - self.mark) as usize
    }
}

impl Default for HeadScanner {
    fn default() -> HeadScanner {
        HeadScanner::new()
    }
}

/// A whole head as a scanner has judged it. Only a scanner makes one, so whoever parses it need not look
/// again, and nobody can parse what was not looked at.
#[derive(Clone, Debug)]
pub struct Scanned<'b>(Cow<'b, [u8]>);

impl Scanned<'_> {
    /// The same with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> Scanned<'static> {
        Scanned(Cow::Owned(self.0.into_owned()))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Bytes that it holds: none of those that it borrows.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.0 {
            Cow::Borrowed(_) => 0,
            Cow::Owned(bytes) => bytes.capacity(),
        }
    }
}
