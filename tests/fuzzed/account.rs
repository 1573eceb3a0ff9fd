//! The account against a list of what is alive: images with all that hold them, outboxes, and a hub beside them.

use std::collections::BTreeMap;

use encke::account::{self, Image, Part};
use encke::hub::{Bounds, Data, Hub, IMAGES, ReaderId, Start};
use encke::reactor::outbox::{Chunk, Outbox};

use super::Choices;

const NAMES: [&str; 4] = ["a", "a longer name than the other ones", "@ann", "é"];

/// What is alive, and by whom an image is held.
#[derive(Default)]
struct Model {
    images: Vec<Image>,
    outboxes: [Outbox; 3],
    /// What each outbox holds, one entry a chunk: how many bytes of it wait, and which image they are, if one.
    waiting: [Vec<(usize, Option<Image>)>; 3],
}

/// Whatever is made, shared, queued, written and dropped: each part counts just what is alive, an image once however
/// many hold it, and in the end nothing.
pub fn account(input: &[u8]) {
    let parts = [Part::Sessions, Part::Outboxes, Part::Images, Part::Channels];
    let before = parts.map(account::held);
    {
        let mut choices = Choices::new(input);
        let mut model = Model::default();
        let bounds = Bounds {
            channels: 3,
            readers: 3,
            subscriptions: 2,
            channel_messages: 3,
            log_bytes: 2_000,
            ..Bounds::default()
        };
        let mut hub = Hub::new(7, [7; 16], bounds);
        let mut readers = Vec::new();
        // What the hub keeps of images is known to it alone; it is measured around each of its doings.
        let mut hubs_own = 0;
        for _ in 0..400 {
            if choices.is_empty() {
                break;
            }
            if choices.below(3) > 0 {
                model.step(&mut choices);
            } else {
                let images = account::held(Part::Images);
                step_hub(&mut hub, &mut readers, &mut choices);
                hubs_own += account::held(Part::Images) as isize - images as isize;
            }
            hub.audit();
            model.check(before[Part::Images as usize], hubs_own);
        }
        for reader in readers {
            hub.leave(reader);
        }
        hub.audit();
    }
    assert_eq!(parts.map(account::held), before, "nothing is left, nothing is released twice");
}

impl Model {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let place = choices.below(3);
        match choices.below(8) {
            0 => self.images.push(Image::from(choices.bytes())),
            1 => self.images.push(Image::from(choices.bytes().to_vec())),
            2 if !self.images.is_empty() => {
                let image = self.images[choices.below(self.images.len())].clone();
                self.images.push(image);
            }
            3 if !self.images.is_empty() => drop(self.images.swap_remove(choices.below(self.images.len()))),
            4 if !self.images.is_empty() => {
                let image = self.images[choices.below(self.images.len())].clone();
                self.push(place, Chunk::from(image.clone()), Some(image));
            }
            5 => {
                let mut bytes = Vec::with_capacity(choices.below(300));
                bytes.extend_from_slice(choices.bytes());
                self.push(place, Chunk::from(bytes), None);
            }
            6 => {
                let count = choices.below(600).min(self.outboxes[place].cost());
                self.outboxes[place].advance(count);
                let mut left = count;
                // A chunk is let go when all of it is out.
                self.waiting[place].retain_mut(|(bytes, _)| {
                    let now = left.min(*bytes);
                    (left, *bytes) = (left - now, *bytes - now);
                    *bytes > 0
                });
            }
            _ => {
                if choices.below(4) == 0 {
                    self.outboxes[place].clear();
                    self.waiting[place].clear();
                }
            }
        }
    }

    fn push(&mut self, place: usize, chunk: Chunk, image: Option<Image>) {
        let bytes = chunk.as_slice().len();
        self.outboxes[place].push(chunk);
        if bytes > 0 {
            self.waiting[place].push((bytes, image));
        }
    }

    fn check(&self, before: usize, hubs_own: isize) {
        for (outbox, waiting) in self.outboxes.iter().zip(&self.waiting) {
            assert_eq!(outbox.cost(), waiting.iter().map(|(bytes, _)| bytes).sum::<usize>());
        }
        let held: usize = self.outboxes.iter().map(Outbox::held).sum();
        assert_eq!(account::held(Part::Outboxes), held, "the account of outboxes");
        // Owned bytes at least, for the room that they were made with is counted too.
        let owned = self.waiting.iter().flatten().filter(|(_, image)| image.is_none());
        assert!(held >= owned.map(|(bytes, _)| bytes).sum());

        let held = self.waiting.iter().flatten().filter_map(|(_, image)| image.as_ref());
        let alive: BTreeMap<*const u8, usize> =
            self.images.iter().chain(held).map(|image| (image.as_ptr(), cost(image))).collect();
        let own = account::held(Part::Images) as isize - before as isize - hubs_own;
        assert_eq!(own, alive.values().sum::<usize>() as isize, "the account of images");
    }
}

/// An image is its bytes, two counts, and what an allocator keeps beside them.
fn cost(image: &Image) -> usize {
    image.len() + 2 * size_of::<usize>() + account::ALLOCATION_BYTES
}

fn step_hub(hub: &mut Hub, readers: &mut Vec<ReaderId>, choices: &mut Choices<'_>) {
    let name = choices.pick(&NAMES);
    let some = (!readers.is_empty()).then(|| choices.pick(readers));
    match (choices.below(7), some) {
        (0, _) => readers.extend(hub.join()),
        (1, Some(reader)) => {
            hub.leave(reader);
            readers.retain(|one| *one != reader);
        }
        (2, Some(reader)) => _ = hub.subscribe(reader, name, Start::Now),
        (3, Some(reader)) => _ = hub.unsubscribe(reader, name),
        (4, Some(reader)) => hub.name(reader, (choices.below(3) > 0).then(|| choices.text().into())),
        (5, _) => {
            if let Ok(message) = hub.publish(name, None, Data::Json(b"\"some text that is told\"")) {
                // Made when the first reader needs it, and let go with the message.
                message.image(choices.below(IMAGES), |_| Image::from(choices.bytes()));
            }
        }
        _ => _ = hub.clear(name),
    }
}
