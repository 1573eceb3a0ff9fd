//! Numbers and texts as bytes: what the formats of the journal are written with.
//!
//! It knows no format. Numbers are little-endian; a text or a value stands behind its length. [`Take`] reads
//! what [`Put`] writes, and gives `None` where bytes are missing, so that a reader of damaged bytes ends
//! there and never panics.

/// Writes to the end of a buffer.
pub(super) trait Put {
    fn put(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// A text behind its length in two bytes; callers keep it below 64 KiB.
    fn put_text(&mut self, text: &str) {
        debug_assert!(text.len() <= usize::from(u16::MAX));
        self.put_u16(text.len() as u16);
        self.put(text.as_bytes());
    }

    /// Bytes behind their length in four bytes; callers keep them below 4 GiB.
    fn put_value(&mut self, value: &[u8]) {
        self.put_u32(length(value.len()));
        self.put(value);
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A length as it is written: every buffer of the journal is bounded far below 4 GiB.
pub(super) fn length(len: usize) -> u32 {
    debug_assert!(u32::try_from(len).is_ok());
    len as u32
}

/// Reads from the front of a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Take<'a>(pub(super) &'a [u8]);

impl<'a> Take<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let len = self.u16()?;
        std::str::from_utf8(self.bytes(len.into())?).ok()
    }

    pub(super) fn value(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.bytes(len as usize)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_take_twins() {
        let mut bytes = Vec::new();
        bytes.put_u8(1);
        bytes.put_u16(2);
        bytes.put_u32(3);
        bytes.put_u64(4);
        bytes.put_text("fünf");
        bytes.put_value(&[6; 6]);
        for cut in 0..bytes.len() {
            let mut take = Take(&bytes[..cut]);
            let all =
                (|| Some((take.u8()?, take.u16()?, take.u32()?, take.u64()?, take.text()?, take.value()?)))();
            assert_eq!(all, None, "cut at {cut}");
        }
        let mut take = Take(&bytes);
        assert_eq!((take.u8(), take.u16(), take.u32()), (Some(1), Some(2), Some(3)));
        assert_eq!((take.u64(), take.text(), take.value()), (Some(4), Some("fünf"), Some(&[6; 6][..])));
        assert!(take.is_empty());
    }
}
