//! What the chat holds for people, in bytes, and what of it can be given up.
//!
//! It is for the memory budget, which asks at every read: so each table tells its length times what
//! one entry may take at most (`entry.rs`). The bytes of pictures are images and count as such.

use super::Chat;
use super::entry::{CHANNEL_BYTES, CLIENT_BYTES};
#[cfg(test)]
use super::receipts::Receipt;
use super::receipts::Receipts;

impl Chat {
    /// Bytes of all tables.
    pub(super) fn bytes(&self) -> usize {
        let typed = self.typed.len() * (CLIENT_BYTES + CHANNEL_BYTES);
        let people = self.names.held() + self.people.held() + self.moderation.held();
        self.pictures.held() + self.receipts.held() + people + typed + self.rooms.held()
    }

    /// Gives up so many bytes, if it has them to give: pictures, the oldest first, and then what is known of
    /// receipts, which costs some that are told twice. Names stay their owners'.
    pub(super) fn give_up(&mut self, bytes: usize) {
        let mut given = 0;
        while given < bytes {
            let Some(picture) = self.pictures.forget_oldest() else {
                self.receipts = Receipts::default();
                return;
            };
            given += picture;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{self, Part};
    use crate::chat::strip::gif_of as gif;
    use crate::server::ClientId;

    fn all(chat: &Chat) -> usize {
        chat.bytes() + account::held(Part::Images)
    }

    #[test]
    fn all_that_grows_is_counted() {
        let mut chat = Chat::new();
        assert_eq!(chat.bytes(), 0);
        let mut grows = |how: &mut dyn FnMut(&mut Chat), least: usize| {
            let before = all(&chat);
            how(&mut chat);
            assert!(all(&chat) >= before + least, "{} after {before}", all(&chat));
        };
        let ann = ClientId::for_tests(1);
        grows(&mut |chat| drop(chat.names.take(ann, "ann", None, |_| {}).expect("hers")), 100);
        grows(
            &mut |chat| {
                chat.people.enter("ann", ann, None, 0);
            },
            50,
        );
        grows(
            &mut |chat| {
                chat.receipts.is_news("ann", "@bob", Receipt::Read, 1);
            },
            100,
        );
        grows(&mut |chat| chat.moderation.mute("bob", 9, 0).expect("muted"), 50);
        grows(&mut |chat| drop(chat.pictures.keep("ann", &gif(9_000), |_| {}).expect("kept")), 9_000);
    }

    #[test]
    fn pictures_go_first_and_names_never() {
        let mut chat = Chat::new();
        let ann = ClientId::for_tests(1);
        chat.names.take(ann, "ann", None, |_| {}).expect("hers");
        chat.receipts.is_news("ann", "@bob", Receipt::Read, 1);
        let least = all(&chat);
        for number in 0..4 {
            chat.pictures.keep("ann", &gif(9_000), |name| name.fill(number)).expect("kept");
        }
        chat.give_up(10_000);
        assert!((least + 18_000..least + 20_000).contains(&all(&chat)), "{}", all(&chat));
        assert!(!chat.receipts.is_news("ann", "@bob", Receipt::Read, 1), "still known");
        chat.give_up(usize::MAX);
        assert!(all(&chat) < least && chat.bytes() > 0);
        assert_eq!(chat.names.spelled("ann"), Some("ann"));
    }
}
