//! Where a request head ends, and whether it may be read at all.
//!
//! It knows no field and no body, only lines; what they say is for `http`. Read first: RFC 9112, sections
//! 2.2, 3 and 5.2.

use std::borrow::Cow;

use super::offence::Offence;
use super::runs::{all, find, is_token_byte, text_run};
use crate::limits::{
    EMPTY_LINES_MAX, HEAD_BYTES_DEFAULT, HEAD_BYTES_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX,
};

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
    /// Bytes that a head may have.
    bytes_max: u32,
    layout: Layout,
    empty_lines: u8,
    state: ScanState,
}

// Places in a head, and its length, are 32 bits.
const _: () = assert!(HEAD_BYTES_MAX <= u32::MAX as usize);

/// Where the parts of a request line begin in a head, 0 for those that are not there (RFC 9112, section 3),
/// and how many lines follow it.
///
/// ```text
/// GET /ws?ch=lobby HTTP/1.1\r\n
/// ^   ^            ^       ^
/// method  target   version end
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) method: u32,
    pub(super) target: u32,
    pub(super) version: u32,
    pub(super) end: u32,
    pub(super) fields: u32,
}

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
        HeadScanner::behind(0, HEAD_BYTES_DEFAULT)
    }

    /// The same behind so many empty lines that another scanner has passed over, for a head of at most
    /// `bytes_max` bytes.
    pub fn behind(empty_lines: u8, bytes_max: usize) -> HeadScanner {
        let bytes_max = bytes_max.min(HEAD_BYTES_MAX) as u32;
        HeadScanner { seen: 0, bytes_max, layout: Layout::default(), empty_lines, state: ScanState::Start }
    }

    /// Goes on where the last call stopped; `buf` begins at the same byte each time. Returns the length of
    /// the head, empty lines before it and the one behind it included, or `None` while the head is not
    /// complete. Repeating a call repeats its answer.
    pub fn scan(&mut self, buf: &[u8]) -> Result<Option<usize>, Offence> {
        let bytes_max = self.bytes_max as usize;
        let end = buf.len().min(bytes_max);
        if self.seen == 0
            && let Some((len, layout)) = ordinary_head(&buf[..end])
        {
            // No head is longer than HEAD_BYTES_MAX.
            self.seen = len as u32;
            self.layout = layout;
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
            _ if end == bytes_max => Err(Offence::HeadTooLong),
            _ => Ok(None),
        }
    }

    /// The head that was scanned, which has `bytes`, if it is whole.
    pub fn head<'b>(&self, bytes: impl Into<Cow<'b, [u8]>>) -> Option<Scanned<'b>> {
        let bytes = bytes.into();
        let is_whole = self.state == ScanState::Done && bytes.len() == self.seen as usize;
        is_whole.then_some(Scanned { bytes, layout: self.layout })
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
            (Method | Target | Version, b'\r') => {
                self.layout.end = self.seen;
                Ok(LineCr)
            }
            (_, b'\r') => Ok(LineCr),

            // RFC 9112, section 5.2; behind the request line, section 2.2.
            (LineStart, b' ' | b'\t') => Err(Offence::ObsoleteFolding),
            // RFC 9110, section 5.5: NUL and its kin are dangerous everywhere.
            (_, 0..=8 | 0x0b..=0x1f | 0x7f) => Err(Offence::ControlByte),

            (Start, _) if is_token_byte(byte) => {
                self.layout.method = self.seen;
                Ok(Method)
            }
            (Method, b' ') => {
                self.layout.target = self.seen + 1;
                Ok(Target)
            }
            (Start | Method, _) if !is_token_byte(byte) => Err(Offence::InvalidMethod),
            (Method, _) if self.since(self.layout.method) >= METHOD_BYTES_MAX => Err(Offence::MethodTooLong),
            (Target, b' ') => {
                self.layout.version = self.seen + 1;
                Ok(Version)
            }
            // RFC 9110, section 15.5.15.
            (Target, _) if self.since(self.layout.target) >= TARGET_BYTES_MAX => Err(Offence::TargetTooLong),
            (LineStart, _) => {
                self.layout.fields += 1;
                Ok(Field)
            }
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

    fn since(&self, mark: u32) -> usize {
        (self.seen - mark) as usize
    }
}

impl Default for HeadScanner {
    fn default() -> HeadScanner {
        HeadScanner::new()
    }
}

/// The length of a head that is here whole and has nothing odd in it, and its layout: the scanner's answer
/// to nearly every head, a line at a time instead of a byte. `None` says nothing; the scanner then looks at
/// every byte, and it alone names offences.
fn ordinary_head(bytes: &[u8]) -> Option<(usize, Layout)> {
    let method = find(&bytes[..bytes.len().min(METHOD_BYTES_MAX + 1)], b' ')?;
    if method == 0 || !all(&bytes[..method], is_token_byte) {
        return None;
    }
    let target = method + 1;
    let line = target + text_run(&bytes[target..]);
    let target_len = find(&bytes[target..line], b' ')?;
    if target_len >= TARGET_BYTES_MAX {
        return None;
    }
    let (mut at, mut fields) = (line, 0);
    loop {
        match bytes[at..] {
            [b'\r', b'\n', b'\r', b'\n', ..] => break,
            [b'\r', b'\n', b' ' | b'\t' | b'\r', ..] => return None,
            [b'\r', b'\n', ref line @ ..] => at += 2 + text_run(line),
            _ => return None,
        }
        fields += 1;
    }
    // No head is longer than HEAD_BYTES_MAX.
    let layout = Layout {
        method: 0,
        target: target as u32,
        version: (target + target_len + 1) as u32,
        end: line as u32,
        fields,
    };
    Some((at + 4, layout))
}

/// A whole head as a scanner has judged it. Only a scanner makes one, so whoever parses it need not look
/// again, and nobody can parse what was not looked at.
#[derive(Clone, Debug)]
pub struct Scanned<'b> {
    bytes: Cow<'b, [u8]>,
    layout: Layout,
}

impl Scanned<'_> {
    /// The same with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> Scanned<'static> {
        Scanned { bytes: Cow::Owned(self.bytes.into_owned()), layout: self.layout }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes that it holds: none of those that it borrows.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.bytes {
            Cow::Borrowed(_) => 0,
            Cow::Owned(bytes) => bytes.capacity(),
        }
    }
}
