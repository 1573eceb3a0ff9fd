//! Nicks: what may be one, and which of them are one and the same.
//!
//! It knows nobody who bears one. A nick is read by people, so two that look alike are one nick, and what
//! can't be seen is in none. Read first: UAX #15 (normalization), UTS #39, sections 4 and 5 (confusables,
//! mixed scripts).
//!
//! Upper and lower case are one here, and letters look alike in one case and not in the other (`I` and `l`,
//! `0` and `O`). If both were joined letter by letter, `i` would be `l`, and `Lia` could not talk to `Ila`.
//! So a name has several looks: as it is spelled, in lower case and in capitals. Two names are one if they
//! share one of them.

use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_script::{Script, UnicodeScript};
use unicode_security::skeleton;

use crate::limits::NICK_CHARS_MAX;
use crate::server::Refusal;

/// Bytes of a nick.
pub(super) const NICK_BYTES_MAX: usize = NICK_CHARS_MAX * 3;

/// Marks in a row, of whatever kind: a syllable of Burmese has five (လျှို့).
const MARKS_MAX: usize = 5;

/// Of them those in one place of the letter, that is of one canonical combining class, which stack on each
/// other: Vietnamese puts two above (ế). More would be drawn over other lines.
const MARKS_OF_CLASS_MAX: usize = 2;

/// Characters without ink, in many fonts at least: Default_Ignorable_Code_Point (UAX #44, section 5.12),
/// controls of Arabic, Syriac, Brahmi and Egyptian writing, joiners and fillers, marks of annotation, the
/// braille pattern without a dot, the replacement for an object.
const UNSEEN: [RangeInclusive<char>; 28] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{600}'..='\u{605}',
    '\u{61c}'..='\u{61c}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{890}'..='\u{891}',
    '\u{8e2}'..='\u{8e2}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{2d7f}'..='\u{2d7f}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffc}',
    '\u{1107f}'..='\u{1107f}',
    '\u{13430}'..='\u{1343f}',
    '\u{16fe4}'..='\u{16fe4}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d159}'..='\u{1d159}',
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
        // No script has what is not assigned or for private use: nobody knows what a font draws.
        is_blank || has(&UNSEEN, char) || char.script() == Script::Unknown || "/,?#@".contains(char)
    };
    let is_long = |nick: &str| nick.len() > NICK_BYTES_MAX || nick.nfkc().count() > NICK_CHARS_MAX;
    if nick.is_empty() || is_long(nick) || nick.chars().any(is_bad) || nick.contains("  ") {
        let wants = format!("1 to {NICK_CHARS_MAX} visible characters and single spaces, none of / , ? # @");
        return Err(Refusal::bad_value("nick", &wants));
    }
    if is_stacked(nick) {
        return Err(Refusal::bad_value("nick", "letters with few marks on each"));
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

/// What a nick looks like, by the shapes that letters share: as it is spelled, in lower case and in capitals.
/// Two spellings of one name have the first and the second in common.
pub fn looks(nick: &str) -> [String; 3] {
    let small = fold(nick);
    let large: String = small.chars().flat_map(char::to_uppercase).collect();
    let seen: String = nick.nfkc().collect();
    [small, large, seen].map(|text| skeleton(&text).collect())
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

/// Whether somewhere more marks are on a letter than any language puts there.
fn is_stacked(nick: &str) -> bool {
    let (mut run, mut of_class, mut last) = (0, 0, None);
    for char in nick.nfd() {
        if !is_combining_mark(char) {
            (run, of_class, last) = (0, 0, None);
            continue;
        }
        // The canonical order puts marks of one class side by side. Class 0 says of no two that they meet.
        let class = canonical_combining_class(char);
        let is_same = class != 0 && last.is_some_and(|last| canonical_combining_class(last) == class);
        (run, of_class) = (run + 1, if is_same { of_class + 1 } else { 1 });
        if run > MARKS_MAX || of_class > MARKS_OF_CLASS_MAX || last == Some(char) {
            return true;
        }
        last = Some(char);
    }
    false
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
    fn what_the_algorithm_of_looks_leaves_out_is_in_no_nick() {
        for char in '\u{80}'..=char::MAX {
            let is_left_out = skeleton(&char.to_string()).next().is_none();
            assert!(!is_left_out || check(&format!("Ann{char}")).is_err(), "{char:?}");
        }
        for char in ['\u{e000}', '\u{10fffd}', '\u{378}', '\u{fdd0}', '\u{fffc}', '\u{e0041}', '\u{13430}'] {
            assert!(check(&format!("Ann{char}")).is_err(), "{char:?}");
        }
    }

    #[test]
    fn marks_are_as_many_as_languages_need() {
        for nick in [
            "Nguy\u{1ec5}n",
            "Nguye\u{302}\u{303}n",
            "\u{e19}\u{e49}\u{e33}\u{e1d}\u{e19}",
            "\u{e1b}\u{e35}\u{e4a}",
            "\u{915}\u{94d}\u{937}\u{93f}\u{924}\u{93f}\u{91c}",
            "\u{917}\u{921}\u{93c}\u{940}\u{902}",
            "\u{645}\u{64f}\u{62d}\u{64e}\u{645}\u{651}\u{64e}\u{62f}",
            "\u{634}\u{5b0}\u{5dc}\u{5b9}\u{5de}\u{5b9}\u{5d4}",
            "\u{5e9}\u{5c1}\u{5bc}\u{5b8}",
            "\u{101c}\u{103b}\u{103e}\u{102d}\u{102f}\u{1037}",
            "\u{f62}\u{f92}\u{fb1}\u{f74}",
            "\u{1f84}\u{3c1}\u{3b1}",
            "\u{1793}\u{17d2}\u{179a}\u{17c4}\u{17c7}",
        ] {
            assert_eq!(check(nick), Ok(()), "{nick}");
        }
        for marks in [
            "\u{301}".repeat(30),
            "\u{300}\u{301}\u{302}".to_owned(),
            "\u{316}\u{317}\u{318}".to_owned(),
            "\u{e47}\u{e47}".to_owned(),
            "\u{20dd}\u{20de}\u{20df}\u{20e0}\u{20e2}\u{20e3}".to_owned(),
        ] {
            assert!(check(&format!("o{marks}")).is_err(), "{marks:?}");
        }
    }

    fn share_a_look(one: &str, other: &str) -> bool {
        looks(one).iter().any(|look| looks(other).contains(look))
    }

    #[test]
    fn letters_that_share_a_shape_make_one_name() {
        for (one, other) in [
            ("Alice", "AIice"),
            ("alice", "aIice"),
            ("Alice", "ALlCE"),
            ("Alice", "A1ice"),
            ("Bob", "B0b"),
            ("bob", "b0b"),
            ("Bob", "B\u{585}b"),
            ("Ann", "\u{13aa}nn"),
            ("ann", "\u{251}nn"),
            ("coco", "\u{441}\u{43e}\u{441}\u{43e}"),
            ("COCO", "\u{421}\u{41e}\u{421}\u{41e}"),
            ("Mamie", "Mamie"),
            ("Marnie", "Mamie"),
            ("Ann", "\u{ff21}nn"),
        ] {
            assert!(share_a_look(one, other), "{one} and {other}");
            assert!(share_a_look(other, one), "{other} and {one}");
        }
        for (one, other) in [
            ("Lia", "Ila"),
            ("Ali", "All"),
            ("Lise", "Ilse"),
            ("Elia", "Eila"),
            ("Nina", "Viva"),
            ("Bob", "Rob"),
            ("\u{674e}\u{96f7}", "\u{674e}\u{96ea}"),
        ] {
            assert!(!share_a_look(one, other), "{one} and {other}");
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
