//! Pictures as bytes: what kind they are, by their first bytes, and how large, by their heads.
//!
//! It decodes nothing and believes no file name and no `Content-Type`: a file is what a browser that looks at
//! its bytes takes it for. Read first: PNG (RFC 2083, sections 3.1 and 4.1.1); GIF89a, sections 17 and 18;
//! JPEG (ITU-T T.81, annex B); WebP (RFC 9649, section 2); MIME Sniffing, section 6.1.
//!
//! ```text
//!   PNG    89 P N G 0d 0a 1a 0a | length 13 | I H D R | width | height | …
//!   GIF    G I F 8 9 a | width | height | …
//!   JPEG   ff d8 | ff marker length … | ff marker length … | ff c0 length, precision, height, width
//!   WebP   R I F F size W E B P | V P 8 _ …   |   V P 8 L …   |   V P 8 X …
//! ```

/// The kinds of pictures that every browser shows and none of them takes for a document. (SVG is one.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Portable Network Graphics.
    Png,
    /// Graphics Interchange Format.
    Gif,
    /// JPEG File Interchange Format, or Exif.
    Jpeg,
    /// WebP.
    Webp,
}

impl Kind {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Kind::Png => "image/png",
            Kind::Gif => "image/gif",
            Kind::Jpeg => "image/jpeg",
            Kind::Webp => "image/webp",
        }
    }
}

/// What the head of a picture says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Which of the kinds.
    pub kind: Kind,
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

/// Looks at the bytes of a picture. `None` if they are none, or none that has a width and a height.
pub fn sniff(bytes: &[u8]) -> Option<Image> {
    let (kind, (width, height)) = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        (Kind::Png, png(bytes)?)
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        (Kind::Gif, gif(bytes)?)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        (Kind::Jpeg, jpeg(bytes)?)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12)? == b"WEBP" {
        (Kind::Webp, webp(bytes)?)
    } else {
        return None;
    };
    (width > 0 && height > 0).then_some(Image { kind, width, height })
}

type Size = (u32, u32);

fn png(bytes: &[u8]) -> Option<Size> {
    // The first chunk is the header, and it has thirteen bytes.
    (bytes.get(8..16)? == b"\0\0\0\x0dIHDR").then_some(())?;
    let side = |at| bytes_at(bytes, at).map(u32::from_be_bytes).filter(|side| *side <= i32::MAX as u32);
    Some((side(16)?, side(20)?))
}

fn gif(bytes: &[u8]) -> Option<Size> {
    let side = |at| bytes_at(bytes, at).map(u16::from_le_bytes).map(u32::from);
    Some((side(6)?, side(8)?))
}

/// Goes from marker to marker up to the frame header. Each step is at least two bytes long.
fn jpeg(bytes: &[u8]) -> Option<Size> {
    let mut at = 2;
    loop {
        (*bytes.get(at)? == 0xff).then_some(())?;
        let marker = *bytes.get(at + 1)?;
        match marker {
            // Any number of ff may stand before a marker (B.1.1.2).
            0xff => at += 1,
            // Markers without a length: TEM, RST.
            0x01 | 0xd0..=0xd7 => at += 2,
            // SOF: of every process, but for the three of these numbers that mean something else.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let side = |at| bytes_at(bytes, at).map(u16::from_be_bytes).map(u32::from);
                // As long as what is read of it: its length, the precision, the sides, the components.
                (u16::from_be_bytes(bytes_at(bytes, at + 2)?) >= 8).then_some(())?;
                return Some((side(at + 7)?, side(at + 5)?));
            }
            // A scan, the end or another beginning, and no frame was announced.
            0x00 | 0xd8..=0xda => return None,
            _ => {
                let length = u16::from_be_bytes(bytes_at(bytes, at + 2)?);
                (length >= 2).then_some(())?;
                at += 2 + usize::from(length);
            }
        }
    }
}

fn webp(bytes: &[u8]) -> Option<Size> {
    let minus_one = |at: usize| {
        let [low, middle, high] = bytes_at(bytes, at)?;
        Some(u32::from_le_bytes([low, middle, high, 0]) + 1)
    };
    // The chunk's own length must cover what is read of it.
    let length = u32::from_le_bytes(bytes_at(bytes, 16)?);
    match bytes.get(12..16)? {
        // Lossy: a key frame's start code, then two times fourteen bits and two of scaling.
        b"VP8 " if length >= 10 => {
            (bytes.get(23..26)? == b"\x9d\x01\x2a").then_some(())?;
            let side = |at| bytes_at(bytes, at).map(u16::from_le_bytes).map(|side| u32::from(side & 0x3fff));
            Some((side(26)?, side(28)?))
        }
        // Lossless: two times fourteen bits, each one less than it means.
        b"VP8L" if length >= 5 => {
            (*bytes.get(20)? == 0x2f).then_some(())?;
            let bits = u32::from_le_bytes(bytes_at(bytes, 21)?);
            Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        b"VP8X" if length >= 10 => Some((minus_one(24)?, minus_one(27)?)),
        _ => None,
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads as real encoders write them, each of 258 by 3 pixels.
    fn samples() -> Vec<(Kind, Vec<u8>)> {
        let riff = |chunk: &[u8]| [b"RIFF\x40\0\0\0WEBP", chunk].concat();
        let jpeg = |segments: &[u8]| [b"\xff\xd8", segments].concat();
        vec![
            (Kind::Png, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01\x02\0\0\0\x03\x08\x06\0\0\0".to_vec()),
            (Kind::Gif, b"GIF87a\x02\x01\x03\0\x80\0\0".to_vec()),
            (Kind::Gif, b"GIF89a\x02\x01\x03\0\x80\0\0".to_vec()),
            (Kind::Jpeg, jpeg(b"\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\0\x03\x01\x02\x03")),
            // Fill bytes, a thumbnail's header inside a segment, a table with a number close to the frame's.
            (
                Kind::Jpeg,
                jpeg(
                    b"\xff\xe1\0\x09\xff\xc0\0\x11\x08\0\x09\
                    \xff\xff\xc4\0\x02\xff\xc2\0\x11\x08\0\x03\x01\x02",
                ),
            ),
            (Kind::Webp, riff(b"VP8 \x20\0\0\0\x30\x01\0\x9d\x01\x2a\x02\x01\x03\0")),
            (Kind::Webp, riff(b"VP8L\x20\0\0\0\x2f\x01\x81\x00\x00\0")),
            (Kind::Webp, riff(b"VP8X\x0a\0\0\0\x10\0\0\0\x01\x01\0\x02\0\0")),
        ]
    }

    #[test]
    fn kind_and_size_are_read_from_the_head() {
        for (kind, bytes) in samples() {
            assert_eq!(sniff(&bytes), Some(Image { kind, width: 258, height: 3 }), "{bytes:x?}");
        }
    }

    #[test]
    fn a_head_cut_short_is_no_picture() {
        for (kind, bytes) in samples() {
            let told = (0..bytes.len()).filter(|len| sniff(&bytes[..*len]).is_some());
            // Some bytes at the end of a sample may not matter; no short head has a size.
            assert!(
                told.clone().all(|len| len + 6 > bytes.len()),
                "{kind:?}: {:?}",
                told.collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn what_is_no_picture() {
        let png = |ihdr: &[u8]| [b"\x89PNG\r\n\x1a\n", ihdr].concat();
        for bytes in [
            b"".to_vec(),
            b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><script/></svg>".to_vec(),
            b"<!doctype html><p>GIF89a".to_vec(),
            b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0".to_vec(),
            b"GIF90a\x02\x01\x03\0\x80\0\0".to_vec(),
            b"GIF89a\0\0\x03\0\x80\0\0".to_vec(),
            b" GIF89a\x02\x01\x03\0\x80\0\0".to_vec(),
            png(b"\0\0\0\x0dIDAT\0\0\x01\x02\0\0\0\x03"),
            png(b"\0\0\0\x0cIHDR\0\0\x01\x02\0\0\0\x03"),
            png(b"\0\0\0\x0dIHDR\0\0\0\0\0\0\0\x03"),
            png(b"\0\0\0\x0dIHDR\x80\0\0\0\0\0\0\x03"),
            b"RIFF\x40\0\0\0WAVEVP8X\x0a\0\0\0\x10\0\0\0\x01\x01\0\x02\0\0".to_vec(),
            b"RIFF\x40\0\0\0WEBPALPH\x0a\0\0\0\x10\0\0\0\x01\x01\0\x02\0\0".to_vec(),
            b"RIFF\x40\0\0\0WEBPVP8 \x20\0\0\0\x30\x01\0\x9d\x01\x2b\x02\x01\x03\0".to_vec(),
            // A scan without a frame, the end, a segment of length 1, no marker where one must be.
            b"\xff\xd8\xff\xda\0\x08\xff\xc0\0\x11\x08\0\x03\x01\x02".to_vec(),
            b"\xff\xd8\xff\xd9\xff\xc0\0\x11\x08\0\x03\x01\x02".to_vec(),
            b"\xff\xd8\xff\xe0\0\x01\xff\xc0\0\x11\x08\0\x03\x01\x02".to_vec(),
            b"\xff\xd8\xff\xe0\0\x03a\0\xff\xc0\0\x11\x08\0\x03\x01\x02".to_vec(),
            // Heads that are shorter than what would be read of them.
            b"RIFF\x40\0\0\0WEBPVP8X\x09\0\0\0\x10\0\0\0\x01\x01\0\x02\0\0".to_vec(),
            b"RIFF\x40\0\0\0WEBPVP8L\x04\0\0\0\x2f\x01\x81\x00\x00\0".to_vec(),
            b"RIFF\x40\0\0\0WEBPVP8 \x09\0\0\0\x30\x01\0\x9d\x01\x2a\x02\x01\x03\0".to_vec(),
            b"\xff\xd8\xff\xc0\0\x07\x08\0\x03\x01\x02\x03".to_vec(),
            // The height comes after the scan (DNL); nobody writes that.
            b"\xff\xd8\xff\xc0\0\x11\x08\0\0\x01\x02".to_vec(),
        ] {
            assert_eq!(sniff(&bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn a_head_without_an_end_is_left_at_its_end() {
        assert_eq!(sniff(&[b"\xff\xd8", &[0xff; 100_000][..]].concat()), None);
        assert_eq!(sniff(&[b"\xff\xd8", &b"\xff\x01".repeat(50_000)[..]].concat()), None);
        assert_eq!(sniff(b"\xff\xd8\xff\xe0\xff\xff"), None);
    }
}
