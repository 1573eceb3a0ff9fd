//! Pictures without what a camera or a program wrote into them: where a photograph was taken, with which
//! device, by whom, smaller copies of it, and whatever stands behind its end.
//!
//! It decodes no pixel. It copies the parts that a picture is shown from, named here one by one, and leaves
//! out all others, so that a kind of metadata nobody thought of goes too. One fact is kept of what is left
//! out: how the picture has to be turned (EXIF orientation), in an EXIF block that says nothing else. A part
//! that is cut short is copied as far as it goes; where the structure is lost, the copy ends. Each step moves
//! on, so the time is linear, and the copy is at most `GROWTH_BYTES_MAX` longer than the original.
//! Read first: PNG (third edition), section 11; GIF89a, sections 17 to 27; JPEG (ITU-T T.81), annex B;
//! WebP (RFC 9649, section 2); EXIF 2.32, section 4.6 (TIFF tags).
//!
//! | format | kept | left out, for instance |
//! |---|---|---|
//! | PNG | header, palette, pixels, colour, animation | `tEXt` `tIME` `eXIf`, bytes behind `IEND` |
//! | GIF | screen, palettes, frames, delays, looping | comments, text, XMP, other applications' blocks |
//! | JPEG | tables, frames, scans, density, ICC, Adobe | EXIF, XMP, IPTC, MPF, thumbnails, comments |
//! | WebP | header, frames, alpha, animation, ICC | `EXIF`, `XMP `, unknown chunks |

use super::image::Kind;

/// Bytes by which a copy may be longer than its original: a whole EXIF block in the place of one cut short.
pub const GROWTH_BYTES_MAX: usize = 8;

/// How a picture that is stored has to be turned to be shown: the value of the EXIF tag, 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation(u8);

impl Orientation {
    /// Shown as it is stored.
    pub const UPRIGHT: Orientation = Orientation(1);

    /// Whether lines are shown as columns, so that width and height change places.
    pub fn swaps_sides(self) -> bool {
        self.0 >= 5
    }

    /// As EXIF has it. `None` if the block says nothing of it, or nothing that counts.
    fn parse(exif: &[u8]) -> Option<Orientation> {
        let is_big = match exif.get(..2)? {
            b"MM" => true,
            b"II" => false,
            _ => return None,
        };
        let short = |at: usize| {
            let two = *exif.get(at..)?.first_chunk::<2>()?;
            Some(if is_big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
        };
        let long = |at: usize| {
            let four = *exif.get(at..)?.first_chunk::<4>()?;
            Some(if is_big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
        };
        (short(2)? == 42).then_some(())?;
        let directory = usize::try_from(long(4)?).ok().filter(|directory| *directory >= 8)?;
        let entries = usize::from(short(directory)?);
        let first = directory.checked_add(2)?;
        let tag = (0..entries)
            .map_while(|n| first.checked_add(n * 12).filter(|at| at + 12 <= exif.len()))
            .find(|at| short(*at) == Some(0x0112))?;
        let value = (short(tag + 2)? == 3).then(|| short(tag + 8)).flatten()?;
        u8::try_from(value).ok().filter(|value| (2..=8).contains(value)).map(Orientation)
    }

    /// An EXIF block with this tag and no other. Nothing for `UPRIGHT`.
    fn emit(self) -> Option<[u8; 26]> {
        let mut exif = *b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0";
        exif[19] = self.0;
        (self != Orientation::UPRIGHT).then_some(exif)
    }
}

/// The copy of a picture, and how it is to be turned.
#[derive(Debug, PartialEq, Eq)]
pub struct Stripped {
    /// What is kept.
    pub bytes: Vec<u8>,
    /// As the copy says it too.
    pub orientation: Orientation,
}

/// Copies what a picture is shown from. `kind` is what `image::sniff` found the bytes to be.
pub fn strip(kind: Kind, bytes: &[u8]) -> Stripped {
    let mut copy = Copy { from: bytes, bytes: Vec::with_capacity(bytes.len() + GROWTH_BYTES_MAX) };
    let orientation = match kind {
        Kind::Png => png(&mut copy),
        Kind::Gif => gif(&mut copy),
        Kind::Jpeg => jpeg(&mut copy),
        Kind::Webp => webp(&mut copy),
    };
    let orientation = orientation.unwrap_or(Orientation::UPRIGHT);
    Stripped { bytes: copy.bytes, orientation }
}

/// The original and what was copied of it.
struct Copy<'a> {
    from: &'a [u8],
    bytes: Vec<u8>,
}

impl<'a> Copy<'a> {
    /// From `at` up to `end`, as far as there is anything.
    fn part(&self, at: usize, end: usize) -> &'a [u8] {
        let end = end.min(self.from.len());
        &self.from[at.min(end)..end]
    }

    fn take(&mut self, at: usize, end: usize) {
        let part = self.part(at, end);
        self.bytes.extend_from_slice(part);
    }
}

// ---- PNG: a signature, then chunks of length, type, content and checksum ----

const PNG_SIGNATURE_BYTES: usize = 8;
const PNG_KEPT: [&[u8]; 18] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV",
    b"cLLI", b"sBIT", b"bKGD", b"pHYs", b"acTL", b"fcTL", b"fdAT",
];

/// Where each chunk begins and ends, and its type. The last one may be cut short.
fn png_chunks(bytes: &[u8]) -> impl Iterator<Item = (usize, usize, &[u8])> {
    let mut at = PNG_SIGNATURE_BYTES;
    let mut is_over = false;
    std::iter::from_fn(move || {
        let head = bytes.get(at..)?.first_chunk::<8>().filter(|_| !is_over)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let begin = at;
        at = at.saturating_add(12).saturating_add(length as usize);
        let name = &bytes[begin + 4..begin + 8];
        is_over = name == b"IEND";
        Some((begin, at, name))
    })
}

fn png(copy: &mut Copy<'_>) -> Option<Orientation> {
    let bytes = copy.from;
    let exif = png_chunks(bytes).find(|(_, _, name)| *name == b"eXIf");
    let orientation =
        exif.and_then(|(at, end, _)| Orientation::parse(copy.part(at + 8, end.saturating_sub(4))));
    copy.take(0, PNG_SIGNATURE_BYTES);
    for (n, (at, end, name)) in png_chunks(bytes).enumerate() {
        if PNG_KEPT.contains(&name) {
            copy.take(at, end);
        }
        if n == 0
            && let Some(exif) = orientation.and_then(Orientation::emit)
        {
            copy.bytes.extend_from_slice(&(exif.len() as u32).to_be_bytes());
            let checked = [&b"eXIf"[..], &exif].concat();
            copy.bytes.extend_from_slice(&checked);
            copy.bytes.extend_from_slice(&crc32(&checked).to_be_bytes());
        }
    }
    orientation
}

/// The checksum of PNG's chunks (annex D), a bit at a time: it is made for one block of 30 bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

// ---- GIF: a screen, then frames and extensions, whose content is in blocks of at most 255 bytes ----

fn gif(copy: &mut Copy<'_>) -> Option<Orientation> {
    let bytes = copy.from;
    let mut at = 13 + colours(bytes.get(10));
    copy.take(0, at);
    while let Some(introducer) = bytes.get(at) {
        let label = bytes.get(at + 1).copied();
        let begin = at;
        at = match (introducer, label) {
            (0x2c, _) => {
                let blocks = at + 11 + colours(bytes.get(at + 9));
                end_of_blocks(bytes, blocks)
            }
            (0x21, Some(_)) => end_of_blocks(bytes, at + 2),
            (0x3b, _) => {
                copy.bytes.push(0x3b);
                break;
            }
            _ => break,
        };
        if *introducer == 0x2c || is_kept_extension(copy.part(begin, at)) {
            copy.take(begin, at);
        }
    }
    None // it has no place for one
}

/// Bytes of the palette that a packed field announces.
fn colours(packed: Option<&u8>) -> usize {
    packed.map_or(0, |packed| if packed & 0x80 == 0 { 0 } else { 3 << ((packed & 7) + 1) })
}

fn end_of_blocks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(length) = bytes.get(at) {
        at += 1 + usize::from(*length);
        if *length == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

/// How long a frame is shown and what is seen through it; how often the frames are repeated.
fn is_kept_extension(extension: &[u8]) -> bool {
    match extension {
        [0x21, 0xf9, 4, _, _, _, _, 0] => true,
        [0x21, 0xff, 11, name @ .., 3, 1, _, _, 0] => matches!(name, b"NETSCAPE2.0" | b"ANIMEXTS1.0"),
        _ => false,
    }
}

// ---- JPEG: segments of marker and length, and behind the header of a scan its pixels ----

fn jpeg(copy: &mut Copy<'_>) -> Option<Orientation> {
    let bytes = copy.from;
    let mut orientation = None;
    copy.take(0, 2);
    let mut at = 2;
    while let (Some(0xff), Some(marker)) = (bytes.get(at), bytes.get(at + 1)) {
        match marker {
            // Any number of ff may stand before a marker (B.1.1.2).
            0xff => at += 1,
            // Markers without a length that mean nothing here: TEM, RST.
            0x01 | 0xd0..=0xd7 => at += 2,
            0xd9 => {
                copy.take(at, at + 2);
                break;
            }
            // No marker, or a further picture begins.
            0x00 | 0xd8 => break,
            _ => {
                let Some(length) = bytes.get(at + 2..).and_then(<[u8]>::first_chunk) else { break };
                let end = at + 2 + usize::from(u16::from_be_bytes(*length)).max(2);
                let content = copy.part(at + 4, end);
                if let (0xe1, Some(exif), None) = (marker, content.strip_prefix(b"Exif\0\0"), orientation) {
                    orientation = Orientation::parse(exif);
                    if let Some(exif) = orientation.and_then(Orientation::emit) {
                        segment(copy, *marker, &[b"Exif\0\0", &exif[..]].concat());
                    }
                }
                match marker {
                    // JFIF: its version and density; what may follow is a small copy of the picture.
                    0xe0 if content.starts_with(b"JFIF\0") && content.len() >= 12 => {
                        segment(copy, *marker, &[&content[..12], &[0, 0]].concat());
                    }
                    0xee if content.starts_with(b"Adobe") && content.len() >= 12 => {
                        segment(copy, *marker, &content[..12]);
                    }
                    0xe2 if content.starts_with(b"ICC_PROFILE\0") => copy.take(at, end),
                    // Frames, tables, scans; not JPG (c8), which means nothing yet.
                    0xc0..=0xc7 | 0xc9..=0xcf | 0xda..=0xdf => copy.take(at, end),
                    _ => {}
                }
                at = end;
                if *marker == 0xda {
                    let end = end_of_scan(bytes, at);
                    copy.take(at, end);
                    at = end;
                }
            }
        }
    }
    orientation
}

fn segment(copy: &mut Copy<'_>, marker: u8, content: &[u8]) {
    copy.bytes.extend_from_slice(&[0xff, marker]);
    copy.bytes.extend_from_slice(&(content.len() as u16 + 2).to_be_bytes());
    copy.bytes.extend_from_slice(content);
}

/// Where the next marker is that is no part of the pixels: neither a stuffed ff nor a restart.
fn end_of_scan(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let marker =
        rest.windows(2).position(|two| two[0] == 0xff && !matches!(two[1], 0x00 | 0xd0..=0xd7 | 0xff));
    marker.map_or(bytes.len(), |marker| at + marker)
}

// ---- WebP: RIFF chunks of name, length and content, padded to an even length ----

const EXIF_FLAG: u8 = 0x08;
const XMP_FLAG: u8 = 0x04;
const ANIMATION_FRAME_BYTES: usize = 16;

/// Each chunk's name and content; the content of the last one may be cut short.
fn riff_chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let content = &after[..length.min(after.len())];
        rest = after.get(length.saturating_add(length % 2)..).unwrap_or_default();
        Some((name, content))
    })
}

fn put_chunk(out: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(&(content.len() as u32).to_le_bytes());
    out.extend_from_slice(content);
    out.resize(out.len() + content.len() % 2, 0);
}

fn webp(copy: &mut Copy<'_>) -> Option<Orientation> {
    let chunks = webp_chunks(copy.from);
    let exif = riff_chunks(chunks).find(|(name, _)| *name == b"EXIF");
    // Some programs put the name in front that JPEG has there.
    let orientation =
        exif.and_then(|(_, exif)| Orientation::parse(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)));
    let turned = orientation.and_then(Orientation::emit);
    copy.take(0, 12);
    let mut is_extended = false;
    for (n, (name, content)) in riff_chunks(chunks).enumerate() {
        match name {
            b"VP8X" if n == 0 => {
                is_extended = true;
                let mut head = content[..content.len().min(10)].to_vec();
                if let Some(flags) = head.first_mut() {
                    let kept = if turned.is_some() { EXIF_FLAG } else { 0 };
                    *flags = *flags & !(EXIF_FLAG | XMP_FLAG) | kept;
                }
                put_chunk(&mut copy.bytes, name, &head);
            }
            b"VP8 " | b"VP8L" if n == 0 || is_extended => put_chunk(&mut copy.bytes, name, content),
            b"ALPH" | b"ANIM" | b"ICCP" if is_extended => put_chunk(&mut copy.bytes, name, content),
            b"ANMF" if is_extended => put_chunk(&mut copy.bytes, name, &webp_frame(content)),
            _ => {}
        }
    }
    // A head without a place for flags has none for EXIF.
    let turned = turned.filter(|_| is_extended);
    if let Some(exif) = turned {
        put_chunk(&mut copy.bytes, b"EXIF", &exif);
    }
    let length = copy.bytes.len().saturating_sub(8) as u32;
    copy.bytes[4..8].copy_from_slice(&length.to_le_bytes());
    turned.and(orientation)
}

/// The chunks of the file: as far as its head says that it goes, but in any case the first one, which has
/// the size.
fn webp_chunks(bytes: &[u8]) -> &[u8] {
    let length =
        |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_le_bytes(*four));
    let first = 20_usize.saturating_add(length(16) as usize);
    let end = 8_usize.saturating_add(length(4) as usize).max(first).min(bytes.len());
    bytes.get(12..end).unwrap_or_default()
}

/// A frame of an animation: its place and duration, and the chunks with its pixels.
fn webp_frame(content: &[u8]) -> Vec<u8> {
    let (head, chunks) = content.split_at(content.len().min(ANIMATION_FRAME_BYTES));
    let mut frame = head.to_vec();
    for (name, content) in riff_chunks(chunks) {
        if matches!(name, b"ALPH" | b"VP8 " | b"VP8L") {
            put_chunk(&mut frame, name, content);
        }
    }
    frame
}

/// A GIF of so many bytes of which none is left out.
#[cfg(test)]
pub(super) fn gif_of(length: usize) -> Vec<u8> {
    let mut bytes = b"GIF89a\x02\x01\x03\0\0\0\0\x2c\0\0\0\0\x02\x01\x03\0\0\x02".to_vec();
    while bytes.len() + 2 < length {
        let block = (length - bytes.len() - 3).min(200);
        bytes.push(block as u8);
        bytes.resize(bytes.len() + block, 7);
    }
    bytes.extend(b"\0;");
    assert_eq!(bytes.len(), length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::image::sniff;

    const SECRET: &[u8] = b"50.0619N 19.9369E";

    /// What a camera writes: where, and how the picture is to be turned.
    fn exif(orientation: u8, is_big: bool) -> Vec<u8> {
        let order =
            |bytes: &[u8]| if is_big { bytes.to_vec() } else { bytes.iter().rev().copied().collect() };
        let short = |value: u16| order(&value.to_be_bytes());
        let long = |value: u32| order(&value.to_be_bytes());
        let entry = |tag: u16, kind: u16, count: u32, value: Vec<u8>| {
            [short(tag), short(kind), long(count), value].concat()
        };
        let turn = [short(u16::from(orientation)), short(0)].concat();
        [
            if is_big { b"MM".to_vec() } else { b"II".to_vec() },
            short(42),
            long(8),
            short(2),
            entry(0x010e, 2, SECRET.len() as u32, long(38)),
            entry(0x0112, 3, 1, turn),
            long(0),
            SECRET.to_vec(),
        ]
        .concat()
    }

    fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        for (name, content) in chunks {
            let checked = [&name[..], content].concat();
            bytes.extend((content.len() as u32).to_be_bytes());
            bytes.extend(&checked);
            bytes.extend(crc32(&checked).to_be_bytes());
        }
        bytes
    }

    fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
        for (name, content) in chunks {
            put_chunk(&mut bytes, name, content);
        }
        let length = bytes.len() as u32 - 8;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    fn jpeg(segments: &[(u8, &[u8])], scan: &[u8]) -> Vec<u8> {
        let mut copy = Copy { from: b"", bytes: b"\xff\xd8".to_vec() };
        for (marker, content) in segments {
            segment(&mut copy, *marker, content);
        }
        [&copy.bytes[..], scan].concat()
    }

    const IHDR: &[u8] = b"\0\0\x01\x02\0\0\0\x03\x08\x02\0\0\0";
    const SOF: &[u8] = b"\x08\0\x03\x01\x02\x01\x01\x11\0";
    const SCAN: &[u8] = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0ab\xff\0cd\xff\xd0ef\xff\xd9";
    const VP8X: &[u8] = b"\0\0\0\0\x01\x01\0\x02\0\0";
    const LOSSY: &[u8] = b"\x30\x01\0\x9d\x01\x2a\x02\x01\x03\0";

    /// A picture with the secret in every place there is, and the same without.
    type Pair = (Vec<u8>, Vec<u8>);

    fn png_pair() -> Pair {
        let secret = SECRET;
        let upright = exif(1, true);
        (
            [
                png(&[
                    (b"IHDR", IHDR),
                    (b"eXIf", &upright),
                    (b"tEXt", secret),
                    (b"iTXt", secret),
                    (b"gAMA", b"\0\0\xb1\x8f"),
                    (b"IDAT", b"one"),
                    (b"zTXt", secret),
                    (b"IDAT", b"two"),
                    (b"tIME", secret),
                    (b"prVt", secret),
                    (b"IEND", b""),
                ]),
                png(&[(b"IDAT", secret)])[8..].to_vec(),
            ]
            .concat(),
            png(&[
                (b"IHDR", IHDR),
                (b"gAMA", b"\0\0\xb1\x8f"),
                (b"IDAT", b"one"),
                (b"IDAT", b"two"),
                (b"IEND", b""),
            ]),
        )
    }

    fn gif_pair() -> Pair {
        let secret = SECRET;
        let gif_head = b"GIF89a\x02\x01\x03\0\x80\0\0abcdef".to_vec();
        let block = |blocks: &[&[u8]]| {
            let mut bytes: Vec<u8> =
                blocks.iter().flat_map(|block| [&[block.len() as u8], *block].concat()).collect();
            bytes.push(0);
            bytes
        };
        let looping = [b"\x21\xff".to_vec(), block(&[b"NETSCAPE2.0", b"\x01\0\0"])].concat();
        let delay = [b"\x21\xf9".to_vec(), block(&[b"\x04\x10\0\0"])].concat();
        let frame = [b"\x2c\0\0\0\0\x02\x01\x03\0\0\x02".to_vec(), block(&[b"pixels"])].concat();
        let extension = |label: u8, blocks: &[&[u8]]| [vec![0x21, label], block(blocks)].concat();
        (
            [
                &gif_head[..],
                &extension(0xfe, &[secret, secret]),
                &looping,
                &extension(0xff, &[b"XMP DataXMP", secret]),
                &extension(0xff, &[b"NETSCAPE2.0", secret]),
                &extension(0xf9, &[secret]),
                &delay,
                &frame,
                &extension(0x01, &[&[0; 12], secret]),
                b";",
                secret,
            ]
            .concat(),
            [&gif_head[..], &looping, &delay, &frame, b";"].concat(),
        )
    }

    fn jpeg_pair() -> Pair {
        let secret = SECRET;
        let upright = exif(1, true);
        (
            [
                jpeg(
                    &[
                        (0xe0, &[b"JFIF\0\x01\x02\0\0\x01\0\x01\x05\x01", secret].concat()),
                        (0xe0, &[b"JFXX\0\x13", secret].concat()),
                        (0xe1, &[b"Exif\0\0", &upright[..]].concat()),
                        (0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", secret].concat()),
                        (0xe2, b"ICC_PROFILE\0\x01\x01colours"),
                        (0xe2, &[b"MPF\0", secret].concat()),
                        (0xed, &[b"Photoshop 3.0\0", secret].concat()),
                        (0xee, &[b"Adobe\0\x64\0\0\0\0\x01", secret].concat()),
                        (0xfe, secret),
                        (0xdb, b"table"),
                        (0xc0, SOF),
                    ],
                    SCAN,
                ),
                jpeg(&[(0xc0, SOF), (0xfe, secret)], SCAN),
            ]
            .concat(),
            jpeg(
                &[
                    (0xe0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0"),
                    (0xe2, b"ICC_PROFILE\0\x01\x01colours"),
                    (0xee, b"Adobe\0\x64\0\0\0\0\x01"),
                    (0xdb, b"table"),
                    (0xc0, SOF),
                ],
                SCAN,
            ),
        )
    }

    fn webp_pair() -> Pair {
        let secret = SECRET;
        let upright = exif(1, true);
        let inner = |name: &[u8; 4], content: &[u8]| {
            let mut bytes = vec![7; ANIMATION_FRAME_BYTES];
            if name != b"ANMF" {
                put_chunk(&mut bytes, name, content);
            }
            put_chunk(&mut bytes, b"VP8 ", LOSSY);
            bytes
        };
        (
            [
                riff(&[
                    (b"VP8X", &[&[EXIF_FLAG | XMP_FLAG | 0x20], &VP8X[1..]].concat()),
                    (b"ICCP", b"colours"),
                    (b"ANMF", &inner(b"UNKN", secret)),
                    (b"EXIF", &upright),
                    (b"XMP ", secret),
                    (b"UNKN", secret),
                ]),
                riff(&[(b"VP8 ", secret)])[12..].to_vec(),
            ]
            .concat(),
            riff(&[
                (b"VP8X", &[&[0x20], &VP8X[1..]].concat()),
                (b"ICCP", b"colours"),
                (b"ANMF", &inner(b"ANMF", b"")),
            ]),
        )
    }

    fn simple_webp_pair() -> Pair {
        let secret = SECRET;
        ([riff(&[(b"VP8 ", LOSSY), (b"EXIF", secret)]), secret.to_vec()].concat(), riff(&[(b"VP8 ", LOSSY)]))
    }

    fn pairs() -> [Pair; 5] {
        [png_pair(), gif_pair(), jpeg_pair(), webp_pair(), simple_webp_pair()]
    }

    fn stripped(bytes: &[u8]) -> Stripped {
        strip(sniff(bytes).expect("a picture").kind, bytes)
    }

    #[test]
    fn what_a_camera_wrote_is_gone_and_the_picture_is_not() {
        for (bytes, expected) in pairs() {
            assert!(bytes.windows(SECRET.len()).any(|part| part == SECRET));
            let found = stripped(&bytes);
            assert_eq!(found.bytes, expected, "{}", bytes.escape_ascii());
            assert_eq!(found.orientation, Orientation::UPRIGHT);
            assert_eq!(sniff(&expected), sniff(&bytes));
        }
    }

    #[test]
    fn a_copy_of_a_copy_is_the_same_wherever_the_original_was_cut() {
        for (bytes, _) in pairs() {
            for end in 0..bytes.len() {
                let Some(image) = sniff(&bytes[..end]) else { continue };
                let once = strip(image.kind, &bytes[..end]);
                assert_eq!(sniff(&once.bytes), Some(image), "cut at {end}");
                assert_eq!(strip(image.kind, &once.bytes), once, "cut at {end}");
            }
        }
    }

    #[test]
    fn how_a_picture_is_turned_is_kept_and_nothing_else() {
        for orientation in 2..=8 {
            for is_big in [true, false] {
                let exif = exif(orientation, is_big);
                let named = [b"Exif\0\0", &exif[..]].concat();
                for bytes in [
                    png(&[(b"IHDR", IHDR), (b"IDAT", b"pixels"), (b"eXIf", &exif), (b"IEND", b"")]),
                    jpeg(&[(0xe1, &named), (0xc0, SOF)], SCAN),
                    riff(&[(b"VP8X", VP8X), (b"VP8 ", LOSSY), (b"EXIF", &exif)]),
                    riff(&[(b"VP8X", VP8X), (b"VP8 ", LOSSY), (b"EXIF", &named)]),
                ] {
                    let once = stripped(&bytes);
                    assert_eq!(once.orientation, Orientation(orientation));
                    assert_eq!(once.orientation.swaps_sides(), orientation >= 5);
                    assert!(!once.bytes.windows(SECRET.len()).any(|part| part == SECRET));
                    assert!(once.bytes.len() < bytes.len());
                    assert_eq!(stripped(&once.bytes), once, "the copy says so itself");
                }
            }
        }
    }

    #[test]
    fn an_orientation_that_is_none_turns_nothing() {
        let good = exif(6, true);
        assert_eq!(Orientation::parse(&good), Some(Orientation(6)));
        for orientation in [0, 1, 9, 255] {
            assert_eq!(Orientation::parse(&exif(orientation, true)), None);
        }
        for end in 0..34 {
            assert_eq!(Orientation::parse(&good[..end]), None, "cut at {end}");
        }
        let with = |at: usize, byte: u8| {
            let mut exif = good.clone();
            exif[at] = byte;
            exif
        };
        // Another order of bytes, no 42, a directory within the head or behind the end, another type.
        for exif in [with(1, b'I'), with(3, 43), with(7, 6), with(4, 0xff), with(25, 4)] {
            assert_eq!(Orientation::parse(&exif), None, "{exif:x?}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_png() {
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
    }

    #[test]
    fn long_rows_of_next_to_nothing_are_left_at_their_end() {
        let many = 200_000;
        for bytes in [
            [b"\xff\xd8\xff\xc0\0\x0b", SOF, &[0xff; 1][..], &vec![0xff; many]].concat(),
            [b"\xff\xd8\xff\xc0\0\x0b", SOF, &b"\xff\x01".repeat(many)[..]].concat(),
            [b"GIF89a\x02\x01\x03\0\0\0\0", &b"\x21\xfe\0".repeat(many)[..]].concat(),
            [&png(&[(b"IHDR", IHDR)])[..], &b"\0\0\0\0aaaa\0\0\0\0".repeat(many)].concat(),
            [&riff(&[(b"VP8X", VP8X)])[..], &b"ANMF\0\0\0\0".repeat(many)].concat(),
        ] {
            assert!(stripped(&bytes).bytes.len() < 64, "{}", bytes[..20].escape_ascii());
        }
    }
}
