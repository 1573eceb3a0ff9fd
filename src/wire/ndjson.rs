//! One JSON object a line: HTTP streaming going down, many messages at once coming up.
//!
//! It does not know JSON: a line is bytes without a line end, and canonical JSON ([`super::json`]) has none.
//!
//! Read first: the NDJSON specification, <https://github.com/ndjson/ndjson-spec>. It lets a reader ignore
//! empty lines, which is what makes padding possible.

use crate::limits::PAD_BYTES_MAX;

/// Writes one object and its line end.
pub fn emit(out: &mut Vec<u8>, json: &[u8]) {
    debug_assert!(!json.contains(&b'\n') && !json.contains(&b'\r'), "an object is one line");
    out.extend_from_slice(json);
    out.push(b'\n');
}

/// Writes a blank line of `bytes` bytes (at least one), so that whoever holds back the start of a response
/// lets it go.
pub fn padding(out: &mut Vec<u8>, bytes: usize) {
    let bytes = bytes.clamp(1, PAD_BYTES_MAX);
    out.resize(out.len() + bytes - 1, b' ');
    out.push(b'\n');
}

/// A line is longer than the splitter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

/// Splits bytes, cut anywhere, into lines. Blank ones are passed over; CRLF ends a line as LF does.
#[derive(Debug)]
pub struct Lines {
    line_bytes_max: usize,
    line: Vec<u8>,
}

impl Lines {
    /// A splitter of lines up to `line_bytes_max` bytes, line end not counted.
    pub fn new(line_bytes_max: usize) -> Lines {
        Lines { line_bytes_max, line: Vec::new() }
    }

    /// Takes bytes off the front of `input` and returns the line they complete; `None` when all of it is
    /// taken.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, LineTooLong> {
        while !input.is_empty() {
            let end = input.iter().position(|&octet| octet == b'\n');
            let (here, rest) = input.split_at(end.unwrap_or(input.len()));
            *input = rest.get(1..).unwrap_or_default();
            // One more than the bound: the CR of a CRLF may be here before its LF.
            if self.line.len() + here.len() > self.line_bytes_max + 1 {
                return Err(LineTooLong);
            }
            self.line.extend_from_slice(here);
            if end.is_some()
                && let Some(line) = self.take()?
            {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// The line that the end of the input ends, if it is not blank.
    pub fn finish(mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        self.take()
    }

    fn take(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() > self.line_bytes_max {
            return Err(LineTooLong);
        }
        Ok(Some(line).filter(|line| !line.iter().all(|octet| matches!(octet, b' ' | b'\t' | b'\r'))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'a>(reads: impl IntoIterator<Item = &'a [u8]>, max: usize) -> Result<Vec<Vec<u8>>, LineTooLong> {
        let mut lines = Lines::new(max);
        let mut all = Vec::new();
        for mut input in reads {
            while let Some(line) = lines.next(&mut input)? {
                all.push(line);
            }
            assert!(input.is_empty());
        }
        all.extend(lines.finish()?);
        Ok(all)
    }

    fn split_all_ways(octets: &[u8], max: usize) -> Result<Vec<Vec<u8>>, LineTooLong> {
        let whole = split([octets], max);
        assert_eq!(split(octets.chunks(1), max), whole, "byte by byte");
        for cut in 0..octets.len() {
            let (head, tail) = octets.split_at(cut);
            assert_eq!(split([head, tail], max), whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn objects_come_back_as_lines() {
        let mut out = Vec::new();
        padding(&mut out, 32);
        assert_eq!(out.len(), 32);
        emit(&mut out, br#"{"a":1}"#);
        padding(&mut out, 0);
        emit(&mut out, br#"{"b":"\n"}"#);
        let lines = [br#"{"a":1}"#.to_vec(), br#"{"b":"\n"}"#.to_vec()];
        assert_eq!(split_all_ways(&out, 64), Ok(lines.to_vec()));
    }

    #[test]
    fn crlf_blank_lines_and_a_last_line_without_end() {
        let lines = [b"1".to_vec(), b"2".to_vec(), b"3".to_vec()];
        assert_eq!(split_all_ways(b"1\r\n\r\n \t\n2\n\n3", 8), Ok(lines.to_vec()));
        assert_eq!(split_all_ways(b"", 8), Ok(vec![]));
    }

    #[test]
    fn the_bound_is_the_line_without_its_end() {
        assert_eq!(split_all_ways(b"1234\r\n1234\n1234", 4).map(|lines| lines.len()), Ok(3));
        assert_eq!(split_all_ways(b"12345\n", 4), Err(LineTooLong));
        assert_eq!(split_all_ways(b"12345", 4), Err(LineTooLong));
        assert_eq!(Lines::new(4).next(&mut &b"123456"[..]), Err(LineTooLong), "before its end is here");
    }
}
