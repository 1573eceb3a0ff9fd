//! The outbox against a queue of single bytes, the timer wheel against a list.

use std::collections::VecDeque;
use std::io::IoSlice;

use encke::account::Image;
use encke::reactor::Instant;
use encke::reactor::outbox::{Chunk, Outbox};
use encke::reactor::wheel::Wheel;

use super::Choices;

/// Chunks of every kind go in, writes of any length take from the front: what is shown is always the oldest
/// bytes that have not gone.
pub fn outbox(input: &[u8]) {
    let mut choices = Choices::new(input);
    let (mut outbox, mut model) = (Outbox::default(), VecDeque::<u8>::new());
    while !choices.is_empty() {
        match choices.below(6) {
            0..3 => {
                let bytes = choices.bytes();
                outbox.push(if choices.below(2) == 0 {
                    Chunk::from(bytes.to_vec())
                } else {
                    Chunk::from(Image::from(bytes))
                });
                model.extend(bytes);
            }
            3 => {
                outbox.push(Chunk::Static(b"static"));
                model.extend(b"static");
            }
            4 => {
                let count = choices.below(1024).min(model.len());
                outbox.advance(count);
                model.drain(..count);
            }
            _ => {
                // Rarely, else nothing ever waits.
                if choices.byte() == 0 {
                    outbox.clear();
                    model.clear();
                }
            }
        }
        let mut slices = [IoSlice::new(&[]); 4];
        let places = choices.below(4);
        let bytes_max = [1, 300, usize::MAX, usize::MAX][places];
        let used = outbox.gather(&mut slices[..=places], bytes_max);
        let shown: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(slices[..used].iter().all(|slice| !slice.is_empty()), "an empty slice says: end of stream");
        assert!(model.iter().take(shown.len()).eq(&shown), "the front");
        assert!(shown.len() <= bytes_max);
        assert_eq!(shown.is_empty(), model.is_empty());
        assert_eq!((outbox.cost(), outbox.is_empty()), (model.len(), model.is_empty()));
    }
}

/// How late a timer may fire. The wheel's tick, which is its own affair, is no longer than this.
const LATE_MS: u64 = 32;

/// Timers set and clocks moved by anything from nothing to weeks: nothing fires early, nothing twice, nothing
/// later than a tick, and whoever sleeps until `next` oversleeps nothing.
pub fn wheel(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut now = distance(&mut choices);
    let mut wheel = Wheel::new(Instant::from_millis(now));
    let mut model: Vec<(u64, u32)> = Vec::new();
    let mut items = 0;
    while !choices.is_empty() {
        match choices.below(4) {
            0 | 1 => {
                let at = now + distance(&mut choices);
                insert(&mut wheel, &mut model, at, &mut items);
            }
            2 => {
                let at = now.saturating_sub(distance(&mut choices));
                insert(&mut wheel, &mut model, at, &mut items);
            }
            _ => now += distance(&mut choices),
        }
        let mut due = Vec::new();
        wheel.expire(Instant::from_millis(now), &mut due);
        for (at, item) in due {
            let place = model.iter().position(|&(kept, one)| kept == at.as_millis() && one == item);
            model.swap_remove(place.expect("fires once, with the instant it was set for"));
            assert!(at.as_millis() <= now, "{item} fires early");
        }
        // What was overdue when it was set waits for the tick after.
        assert!(model.iter().all(|&(at, _)| at.max(now) + LATE_MS > now));
        assert_eq!((wheel.len(), wheel.is_empty()), (model.len(), model.is_empty()));
        let first = model.iter().map(|&(at, _)| at).min();
        match (wheel.next(), first) {
            (None, None) => {}
            (Some(next), Some(first)) => {
                assert!(next.as_millis() > now.saturating_sub(LATE_MS), "no spin");
                assert!(next.as_millis() <= first.max(now) + LATE_MS, "overslept");
            }
            (next, first) => panic!("{next:?} for {first:?}"),
        }
    }
    // All come out in the end, whatever the distance: a tick for those that were overdue.
    let last = model.iter().map(|&(at, _)| at).max().unwrap_or(now).max(now);
    let mut due = Vec::new();
    wheel.expire(Instant::from_millis(last + 2 * LATE_MS), &mut due);
    assert_eq!(due.len(), model.len());
}

fn insert(wheel: &mut Wheel<u32>, model: &mut Vec<(u64, u32)>, at: u64, items: &mut u32) {
    wheel.insert(Instant::from_millis(at), *items);
    model.push((at, *items));
    *items += 1;
}

/// Milliseconds, from a part of a tick to many rounds of a wheel.
fn distance(choices: &mut Choices<'_>) -> u64 {
    let unit = choices.pick(&[1, 1, 31, 32, 33, 1_000, 32 * 1024, 3_600_000]);
    unit * choices.below(256) as u64
}
