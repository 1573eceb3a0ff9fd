//! Nicks: what may be one, and which of them are one and the same.
//!
//! It knows nobody who bears one. A nick is read by people, so two that look alike are one nick, and what
//! can't be seen is in none. Read first: UAX #15 (normalization), UTS #39, sections 4 and 5 (confusables,
//! mixed scripts). This is less than UTS #39 asks for: a word that is Cyrillic from end to end may still
//! look like a Latin one.

use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization;

use crate::limits::NICK_CHARS_MAX;
use crate::server::Refusal;

/// Bytes of a nick.
pub(super) const NICK_BYTES_MAX: usize = NICK_CHARS_MAX * 3;

/// Characters without ink: Default_Ignorable_Code_Point (UAX #44, section 5.12), marks of annotation, the
/// braille pattern without a dot.
const UNSEEN: [RangeInclusive<char>; 18] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

/// The scripts whose letters are taken for each other's, by their blocks.
const SCRIPTS: [&[RangeInclusive<char>]; 3] = [
    &['a'..='z', 'A'..='Z', '\u{c0}'..='\u{2af}', '\u{1e00}'..='\u{1eff}', '\u{2c60}'..='\u{2c7f}'],
    &['\u{370}'..='\u{3ff}', '\u{1f00}'..='\u{1fff}'],
    &['\u{400}'..='\u{52f}', '\u{1c80}'..='\u{1c8f}', '\u{2de0}'..='\u{2dff}', '\u{a640}'..='\u{a69f}'],
];

/// A nick must fit into a channel's name behind `@`, and must not look like another one by what can't be
/// seen or told apart.
///
/// # Errors
/// It is none, and what a nick is.
pub fn check(nick: &str) -> Result<(), Refusal> {
    let is_bad = |char: char| {
        let is_blank = char.is_control() || (char.is_whitespace() && char != ' ');
        is_blank || has(&UNSEEN, char) || "/,?#@".contains(char)
    };
    let is_long = |nick: &str| nick.len() > NICK_BYTES_MAX || nick.nfkc().count() > NICK_CHARS_MAX;
    if nick.is_empty() || is_long(nick) || nick.chars().any(is_bad) || nick.contains("  ") {
        let wants = format!("1 to {NICK_CHARS_MAX} visible characters and single spaces, none of / , ? # @");
        return Err(Refusal::bad_value("nick", &wants));
    }
    if nick.split(' ').any(is_mixed) {
        return Err(Refusal::bad_value("nick", "words of one alphabet each: Latin, Greek or Cyrillic"));
    }
    Ok(())
}

/// What a nick is known by, however it is spelled. The order of the steps is that of caseless matching (The
/// Unicode Standard, D146): the iota below becomes a letter, so the marks behind it must have been put in
/// their order before, and no mark that only looks like one may be among them yet.
pub fn fold(nick: &str) -> String {
    let seen = small(nick.nfd());
    small(seen.nfkd()).nfkc().collect()
}

/// In lower case. Upper case first is what makes one of ß and ss, of ς and σ: there is no letter left that
/// has another case.
fn small(chars: impl Iterator<Item = char>) -> String {
    chars.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Whether that is too long for a nick, and not worth to be folded.
pub fn is_none(nick: &str) -> bool {
    nick.len() > NICK_BYTES_MAX
}

/// Whether a word has letters of two alphabets that share shapes: `Аnn`, the first letter of it Cyrillic.
fn is_mixed(word: &str) -> bool {
    let is_used =
        |script: &&&[RangeInclusive<char>]| word.nfkc().any(|char| char.is_alphabetic() && has(script, char));
    SCRIPTS.iter().filter(is_used).count() > 1
}

fn has(ranges: &[RangeInclusive<char>], char: char) -> bool {
    ranges.iter().any(|range| range.contains(&char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_nick_is_refused() {
        let long = "x".repeat(NICK_CHARS_MAX + 1);
        for nick in ["", "a/b", "@ann", "a\nb", &long, "\u{fdfa}\u{fdfa}"] {
            assert_eq!(check(nick).unwrap_err().code, "bad_value", "{nick:?}");
        }
        for nick in ["李雷", "Ann-Marie O'Neil 2", "Мария", "Ann Мария", "Ελένη", "Zoë", "山田 Taro", "🦊"]
        {
            assert!(check(nick).is_ok(), "{nick:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for range in UNSEEN {
            for char in [*range.start(), *range.end()] {
                assert!(check(&format!("Ann{char}")).is_err(), "{char:?}");
            }
        }
        for blank in ["  ", "\u{a0}", "\u{2003}", "\u{3000}", "\u{1680}", "\u{2028}", "\t"] {
            assert!(check(&format!("Ann{blank}B")).is_err(), "{blank:?}");
        }
    }

    #[test]
    fn alphabets_that_share_shapes_are_not_mixed() {
        for nick in
            ["\u{410}nn", "Ann B\u{43e}b", "\u{391}nn", "\u{391}\u{43d}", "\u{410}-nn", "\u{ff21}\u{43d}"]
        {
            assert!(check(nick).is_err(), "{nick:?}");
        }
    }

    #[test]
    fn nicks_that_look_alike_are_one() {
        for (one, other) in [
            ("Ann", "aNN"),
            ("Ann", "\u{ff21}nn"),
            ("Zo\u{eb}", "Zoe\u{308}"),
            ("\u{3bf}\u{3b4}\u{3cc}\u{3c2}", "\u{39f}\u{394}\u{38c}\u{3a3}"),
            ("Stra\u{df}e", "STRASSE"),
            ("\u{fb01}n", "fin"),
            ("\u{1d400}nn", "ann"),
            ("\u{391}\u{345}\u{301}\u{301}", "\u{3b1}\u{345}\u{301}\u{301}"),
            ("a\u{345}\u{ff9f}", "a\u{399}\u{ff9f}"),
        ] {
            assert_eq!(fold(one), fold(other));
            assert_eq!(fold(&fold(one)), fold(one));
        }
        assert_ne!(fold("Ann"), fold("Anna"));
    }
}
