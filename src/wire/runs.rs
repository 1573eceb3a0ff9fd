//! Runs of bytes: what may stand in a token and in a text, and how a byte is found among others.
//!
//! It knows no line and no head. Read first: RFC 9110, sections 5.5 and 5.6.2.

/// One in each byte of a word.
const ONES: u64 = u64::MAX / 255;
/// The top bit of each byte of a word.
const TOPS: u64 = ONES << 7;

/// Whether a byte may stand in a token: a method, a field name, a list member. RFC 9110, section 5.6.2.
pub fn is_token_byte(byte: u8) -> bool {
    const TOKEN: [bool; 256] = alphanumerics_and(b"!#$%&'*+-.^_`|~");
    TOKEN[usize::from(byte)]
}

/// Letters, digits and others, as a table: one look instead of many comparisons.
pub(super) const fn alphanumerics_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// Whether a byte may stand in a field value: HTAB, space, visible and 8-bit characters. RFC 9110,
/// section 5.5.
pub fn is_text_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The top bit of each byte of `word` that is `byte`, and maybe of some behind the first such one. The first
/// is the lowest. ("Is any byte equal to n" of Anderson, Bit Twiddling Hacks.)
fn equal(word: u64, byte: u8) -> u64 {
    let apart = word ^ (ONES * u64::from(byte));
    apart.wrapping_sub(ONES) & !apart & TOPS
}

/// Where `byte` comes first, eight bytes at a time. What is searched here is so short that the search of the
/// standard library would have to be paid for its beginning alone.
pub(super) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let hits = equal(u64::from_le_bytes(*word), byte);
        if hits != 0 {
            return Some(place * 8 + hits.trailing_zeros() as usize / 8);
        }
    }
    let before = bytes.len() - rest.len();
    rest.iter().position(|&other| other == byte).map(|place| before + place)
}

/// Whether all bytes are of a kind. It looks at all of them even if the first is not, so that it may look at
/// many at once.
pub(super) fn all(bytes: &[u8], is_one: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |so_far, &byte| so_far & is_one(byte))
}

/// How many text bytes come first, eight at a time as long as all of them are visible or 8-bit characters.
/// (Left to the compiler, the same loop over blocks stays a loop over bytes.)
pub(super) fn text_run(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((word, behind)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*word);
        // "Is any byte less than n", for n up to 128, of the same place; and the one that is equal to it.
        let below_space = word.wrapping_sub(ONES * u64::from(b' '));
        let delete = (word ^ (ONES * 0x7f)).wrapping_sub(ONES);
        rest = match (below_space | delete) & !word & TOPS {
            0 => behind,
            stops => {
                let stop = stops.trailing_zeros() as usize / 8;
                if rest[stop] != b'\t' {
                    return bytes.len() - rest.len() + stop;
                }
                &rest[stop + 1..]
            }
        };
    }
    bytes.len() - rest.len() + rest.iter().take_while(|&&byte| is_text_byte(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_run_stops_at_any_byte_of_a_block() {
        for stop in (0..=255).filter(|&byte| !is_text_byte(byte)) {
            for len in 0..20 {
                let mut bytes = [b'a'; 20];
                bytes[len] = stop;
                assert_eq!(text_run(&bytes), len, "{stop}");
            }
        }
        let all: Vec<u8> = (0..=255).filter(|&byte| is_text_byte(byte)).collect();
        assert_eq!(text_run(&all), all.len());
        assert_eq!(text_run(b"a\t \xff~\t\t\t\tb\tc"), 12);
    }

    #[test]
    fn find_gives_the_first_of_its_kind() {
        // Bytes that differ from it in one bit stand around it, and one of it behind.
        for byte in [0, b' ', b'%', 0x7f, 0x80, 0xff] {
            for place in 0..20 {
                let mut bytes = [byte ^ 1; 20];
                bytes[19] = byte;
                bytes[place] = byte;
                assert_eq!(find(&bytes, byte), Some(place));
                assert_eq!(find(&bytes[..place], byte), None);
            }
        }
    }
}
