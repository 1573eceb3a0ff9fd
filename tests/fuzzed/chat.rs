//! What the chat reads for itself: the heads of pictures, their metadata, and names that people bear.
//!
//! Pictures are written here as their formats say and read back, and read a second time by a plain reader that goes
//! by the tables of the formats. Which names are one name is asked of the Unicode algorithm itself
//! (`caseless`, The Unicode Standard, section 3.13, D146).

use encke::chat::image::{self, Image, Kind};
use encke::chat::nick;
use encke::chat::strip::{GROWTH_BYTES_MAX, strip};
use encke::limits::NICK_CHARS_MAX;
use unicode_normalization::UnicodeNormalization;

use super::Choices;

/// What is a picture says so in the first bytes of its kind, has the size that a plain reader finds, and has it
/// whatever stands behind. A picture that was just written has the size with which it was written.
pub fn picture(input: &[u8]) {
    let sniffed = image::sniff(input);
    assert_eq!(sniffed, plain(input));
    if sniffed.is_some() {
        assert_eq!(image::sniff(&[input, b"more"].concat()), sniffed, "what stands behind changes nothing");
    }

    let mut choices = Choices::new(input);
    let kind = choices.pick(&[Kind::Png, Kind::Gif, Kind::Jpeg, Kind::Webp]);
    let (width, height) = (1 + choices.below(16_383) as u32, 1 + choices.below(16_383) as u32);
    let bytes = match kind {
        Kind::Png => png(width, height),
        Kind::Gif => gif(width as u16, height as u16),
        Kind::Jpeg => jpeg(width as u16, height as u16, &mut choices),
        Kind::Webp => webp(width, height, &mut choices),
    };
    let written = [&bytes, choices.rest()].concat();
    assert_eq!(image::sniff(&written), Some(Image { kind, width, height }), "{written:x?}");
    let short = (0..bytes.len()).find(|len| image::sniff(&bytes[..*len]).is_some());
    assert_eq!(short, None, "a head cut short has no size");
}

/// A copy without metadata is a picture of the same kind and size, no longer than its original but for a turn told
/// in full, the same when it is copied again, and has none of what stands between or behind the parts of a
/// picture that was just written.
pub fn picture_strip(input: &[u8]) {
    if let Some(image) = image::sniff(input) {
        let copy = strip(image.kind, input);
        assert_eq!(image::sniff(&copy.bytes), Some(image), "{input:x?}");
        assert!(copy.bytes.len() <= input.len() + GROWTH_BYTES_MAX, "{input:x?}");
        assert_eq!(strip(image.kind, &copy.bytes), copy, "{input:x?}");
    }

    let mut choices = Choices::new(input);
    let kind = choices.pick(&[Kind::Png, Kind::Gif, Kind::Jpeg, Kind::Webp]);
    let (whole, clean) = noted(kind, &mut choices);
    assert_eq!(strip(kind, &whole).bytes, clean, "{whole:x?}");
}

/// A picture with notes of all kinds in it and behind it, and the same picture without.
fn noted(kind: Kind, choices: &mut Choices<'_>) -> (Vec<u8>, Vec<u8>) {
    // The head, what a part of pixels and a note look like, and the end.
    type Part = fn(&mut Choices<'_>) -> Vec<u8>;
    let (head, pixels, note, end): (Vec<u8>, Part, Part, &[u8]) = match kind {
        Kind::Png => {
            let sides = &png(5, 7)[16..];
            let head = [b"\x89PNG\r\n\x1a\n", &png_chunk(b"IHDR", &[sides, &[8, 2, 0, 0, 0]].concat())[..]];
            let pixels = |choices: &mut Choices<'_>| {
                png_chunk(choices.pick(&[b"IDAT", b"fdAT", b"PLTE", b"tRNS"]), choices.bytes())
            };
            let note = |choices: &mut Choices<'_>| {
                png_chunk(choices.pick(&[b"tEXt", b"iTXt", b"zTXt", b"tIME", b"caBX"]), choices.bytes())
            };
            (head.concat(), pixels, note, b"\0\0\0\0IEND\xae\x42\x60\x82")
        }
        Kind::Gif => {
            let pixels = |choices: &mut Choices<'_>| {
                [&b"\x2c\0\0\0\0\x05\0\x07\0\0\x02"[..], &gif_blocks(choices)].concat()
            };
            let note = |choices: &mut Choices<'_>| {
                let label = choices.pick(&[0xfe, 0x01, 0xce]);
                [&[0x21, label][..], &gif_blocks(choices)].concat()
            };
            ([&gif(5, 7)[..], &[0, 0, 0]].concat(), pixels, note, b";")
        }
        Kind::Jpeg => {
            let pixels = |choices: &mut Choices<'_>| {
                let marker = choices.pick(&[0xc0, 0xc4, 0xdb, 0xdd, 0xda]);
                let content = choices.bytes();
                let scan: &[u8] = if marker == 0xda { b"ab\xff\0cd\xff\xd7" } else { b"" };
                [&jpeg_segment(marker, content)[..], scan].concat()
            };
            let note = |choices: &mut Choices<'_>| {
                let marker = choices.pick(&[0xfe, 0xe1, 0xe3, 0xed, 0xef]);
                jpeg_segment(marker, &[b"note", choices.bytes()].concat())
            };
            (b"\xff\xd8".to_vec(), pixels, note, b"\xff\xd9")
        }
        Kind::Webp => {
            let pixels = |choices: &mut Choices<'_>| {
                webp_chunk(choices.pick(&[b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ICCP"]), choices.bytes())
            };
            let note = |choices: &mut Choices<'_>| {
                webp_chunk(choices.pick(&[b"XMP ", b"UNKN", b"vp8 "]), choices.bytes())
            };
            let head = webp_chunk(b"VP8X", b"\x10\0\0\0\x04\0\0\x06\0\0");
            ([&b"RIFF\0\0\0\0WEBP"[..], &head].concat(), pixels, note, b"")
        }
    };
    let (mut whole, mut clean) = (head.clone(), head);
    for _ in 0..choices.below(12) {
        if choices.below(2) == 0 {
            let part = pixels(choices);
            whole.extend(&part);
            clean.extend(&part);
        } else {
            whole.extend(note(choices));
        }
    }
    for bytes in [&mut whole, &mut clean] {
        bytes.extend(end);
        if kind == Kind::Webp {
            let length = bytes.len() as u32 - 8;
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
        }
    }
    whole.extend(choices.rest());
    (whole, clean)
}

/// With a checksum that nobody looks at.
fn png_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_be_bytes()[..], name, content, b"summ"].concat()
}

fn gif_blocks(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..choices.below(4) {
        let block = choices.bytes();
        if !block.is_empty() {
            bytes.push(block.len() as u8);
            bytes.extend(block);
        }
    }
    bytes.push(0);
    bytes
}

fn jpeg_segment(marker: u8, content: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
}

fn webp_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = &b"\0"[..content.len() % 2];
    [&name[..], &(content.len() as u32).to_le_bytes(), content, padding].concat()
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", &sides[..]].concat()
}

fn gif(width: u16, height: u16) -> Vec<u8> {
    [b"GIF89a", &width.to_le_bytes()[..], &height.to_le_bytes()].concat()
}

/// Segments of any kind that is no frame, fill bytes between them, then a frame of any process.
fn jpeg(width: u16, height: u16, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = b"\xff\xd8".to_vec();
    for _ in 0..choices.below(5) {
        bytes.extend(std::iter::repeat_n(0xff, 1 + choices.below(3)));
        match choices.below(3) {
            0 => bytes.push(choices.pick(&[0x01, 0xd0, 0xd7])),
            _ => {
                let content = choices.bytes();
                bytes.push(choices.pick(&[0xe0, 0xe1, 0xfe, 0xdb, 0xc4, 0xc8, 0xcc, 0xdc, 0x02]));
                bytes.extend((content.len() as u16 + 2).to_be_bytes());
                bytes.extend(content);
            }
        }
    }
    let process = choices.pick(&[0xc0, 0xc1, 0xc2, 0xc3, 0xc5, 0xc7, 0xc9, 0xcb, 0xcd, 0xcf]);
    bytes.extend([0xff, process, 0, 17, 8]);
    bytes.extend([height.to_be_bytes(), width.to_be_bytes()].concat());
    bytes
}

fn webp(width: u32, height: u32, choices: &mut Choices<'_>) -> Vec<u8> {
    let chunk = match choices.below(3) {
        0 => {
            let scale = (choices.below(4) as u16) << 14;
            let side = |side: u32| (side as u16 | scale).to_le_bytes();
            [b"VP8 \0\x01\0\0\x10\x02\0\x9d\x01\x2a", &side(width)[..], &side(height)].concat()
        }
        1 => {
            let bits = (width - 1) | (height - 1) << 14 | (choices.below(2) as u32) << 28;
            [b"VP8L\0\x01\0\0\x2f", &bits.to_le_bytes()[..]].concat()
        }
        _ => {
            let side = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
            [b"VP8X\x0a\0\0\0\x10\0\0\0", &side(width)[..], &side(height)].concat()
        }
    };
    [b"RIFF\0\x02\0\0WEBP", &chunk[..]].concat()
}

/// The formats once more, as tables: signatures, and where in them the sides are.
fn plain(bytes: &[u8]) -> Option<Image> {
    let number = |from: usize, len: usize, is_big: bool| {
        let mut octets = bytes.get(from..from + len)?.to_vec();
        if is_big {
            octets.reverse();
        }
        Some(octets.iter().rev().fold(0_u32, |number, octet| number << 8 | u32::from(*octet)))
    };
    let is = |at: usize, what: &[u8]| bytes.get(at..at + what.len()) == Some(what);
    let (kind, width, height) = if is(0, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR") {
        let (width, height) = (number(16, 4, true)?, number(20, 4, true)?);
        (Kind::Png, (width >> 31 == 0).then_some(width)?, (height >> 31 == 0).then_some(height)?)
    } else if is(0, b"GIF87a") || is(0, b"GIF89a") {
        (Kind::Gif, number(6, 2, false)?, number(8, 2, false)?)
    } else if is(0, b"\xff\xd8\xff") {
        let frame = frame_of(bytes)?;
        (number(frame + 2, 2, true)? >= 8).then_some(())?;
        (Kind::Jpeg, number(frame + 7, 2, true)?, number(frame + 5, 2, true)?)
    } else if is(0, b"RIFF") && is(8, b"WEBPVP8 ") && is(23, b"\x9d\x01\x2a") && number(16, 4, false)? >= 10 {
        (Kind::Webp, number(26, 2, false)? & 0x3fff, number(28, 2, false)? & 0x3fff)
    } else if is(0, b"RIFF") && is(8, b"WEBPVP8L") && is(20, b"\x2f") && number(16, 4, false)? >= 5 {
        let bits = number(21, 4, false)?;
        (Kind::Webp, bits % (1 << 14) + 1, (bits >> 14) % (1 << 14) + 1)
    } else if is(0, b"RIFF") && is(8, b"WEBPVP8X") && number(16, 4, false)? >= 10 {
        (Kind::Webp, number(24, 3, false)? + 1, number(27, 3, false)? + 1)
    } else {
        return None;
    };
    (width > 0 && height > 0).then_some(Image { kind, width, height })
}

/// Where the frame header of a JPEG begins: the ff right before the number of its process.
fn frame_of(bytes: &[u8]) -> Option<usize> {
    let mut rest = &bytes[2..];
    loop {
        let fill = rest.iter().take_while(|octet| **octet == 0xff).count();
        let marker = *rest.get(fill)?;
        if fill == 0 {
            return None;
        }
        let after = &rest[fill + 1..];
        match marker {
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some(bytes.len() - after.len() - 2);
            }
            0x00 | 0xd8 | 0xd9 | 0xda => return None,
            0x01 | 0xd0..=0xd7 => rest = after,
            _ => {
                let len = usize::from(*after.first()?) << 8 | usize::from(*after.get(1)?);
                rest = after.get(if len < 2 { usize::MAX } else { len }..)?;
            }
        }
    }
}

/// What a nick is known by is the same for all that Unicode takes for the same, and is not changed by being made
/// anew. What may be a nick fits where nicks are put and shows no trick.
pub fn nick(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    // Longer ones are refused before they are folded.
    if nick::is_none(text) {
        assert!(nick::check(text).is_err());
        return;
    }
    let folded = nick::fold(text);
    assert_eq!(nick::fold(&folded), folded, "once is enough for {text:?}");
    let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    let (one, other) = text.split_at(middle);
    for (one, other) in
        [(one, other), (text, &*folded), (text, &*text.to_uppercase()), (text, &*text.to_lowercase())]
    {
        // What Unicode takes for one is one here. (That which is one here may be more: what looks alike.)
        if caseless::compatibility_caseless_match_str(one, other) {
            assert_eq!(nick::fold(one), nick::fold(other), "{one:?} and {other:?}");
            assert_eq!(nick::looks(one)[..2], nick::looks(other)[..2], "{one:?} and {other:?}");
        }
    }
    if nick::check(text).is_ok() {
        assert!(nick::looks(text).iter().all(|look| !look.is_empty()), "all of {text:?} is seen");
        // As they are seen: a syllable of Hangul may be three jamo.
        let chars = text.nfkc().count();
        assert!((1..=NICK_CHARS_MAX).contains(&chars), "{text:?}");
        assert!(!text.chars().any(|char| char.is_control() || "/,?#@".contains(char)), "{text:?}");
        assert!(!text.contains("  ") && text.chars().all(|char| char == ' ' || !char.is_whitespace()));
        // Behind an `@` it names an inbox.
        assert!(encke::hub::is_channel_name(&format!("@{text}")), "{text:?}");
    }
}
