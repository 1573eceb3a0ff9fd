//! Looks: which names would be taken for one another.
//!
//! It knows no client. Each name is found by all that it looks like (`nick::looks`), so that whoever asks for
//! a name finds the one that stands in its way, in a bounded number of lookups. A look belongs to one name.

use std::collections::HashMap;

use super::entry::NICK_BYTES;
use super::nick;

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// The folded name that has a look.
    of: HashMap<String, String>,
    /// Bytes of all looks.
    bytes: usize,
}

impl Looks {
    /// The folded name that looks like this one, if there is one.
    pub(super) fn find(&self, nick: &str) -> Option<&str> {
        if self.of.is_empty() {
            return None;
        }
        nick::looks(nick).iter().find_map(|look| self.of.get(look)).map(String::as_str)
    }

    /// A name has these looks from now on, as far as no other has them.
    pub(super) fn add(&mut self, nick: &str, folded: &str) {
        for look in nick::looks(nick) {
            let bytes = look.len();
            self.of.entry(look).or_insert_with(|| {
                self.bytes += bytes;
                folded.to_owned()
            });
        }
    }

    /// The name that was added in this spelling has no looks any more.
    pub(super) fn remove(&mut self, nick: &str, folded: &str) {
        for look in nick::looks(nick) {
            if self.of.get(&look).is_some_and(|owner| owner == folded) {
                self.bytes -= look.len();
                self.of.remove(&look);
            }
        }
    }

    /// Leaves the looks of those names alone for which this is true.
    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(&str) -> bool) {
        self.of.retain(|look, folded| {
            let stays = is_kept(folded);
            self.bytes -= if stays { 0 } else { look.len() };
            stays
        });
    }

    /// Bytes of all of it, at most.
    pub(super) fn held(&self) -> usize {
        self.bytes + self.of.len() * (2 * NICK_BYTES + size_of::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_what_it_looks_like() {
        let mut looks = Looks::default();
        looks.add("Alice", "alice");
        for twin in ["alice", "AIice", "A1ice", "ALlCE", "\u{13aa}lice"] {
            assert_eq!(looks.find(twin), Some("alice"), "{twin}");
        }
        assert_eq!(looks.find("Alicia"), None);
        looks.add("AIice", "aiice");
        assert_eq!(looks.find("A1ice"), Some("alice"), "a look is its first owner's");
        looks.remove("Alice", "alice");
        assert_eq!(looks.find("Alice"), None);
        assert_eq!(looks.find("aIICE"), Some("aiice"), "the other keeps what it alone had");
        looks.retain(|name| name != "aiice");
        assert_eq!((looks.find("aIICE"), looks.held()), (None, 0));
    }
}
