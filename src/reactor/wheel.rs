//! A hashed timer wheel: deadlines by the thousand, each set in constant time.
//!
//! It knows no connection: what it keeps is any small value. Read first: G. Varghese, T. Lauck, "Hashed and
//! Hierarchical Timing Wheels" (1987), scheme 6.
//!
//! ```text
//!            tick % SLOTS
//!   slot 0 ─┐     slot 1 ─┐                    slot 1023 ─┐
//!   [(at, item), …]      [(at, item), …]   …              […]
//!                 ▲ the hand: every slot up to here has been emptied of what was due
//! ```
//!
//! An item sits in the slot of its tick, whichever round of the hand that is. When the hand passes, what is
//! due leaves and what belongs to a later round stays. There is no removal: the owner of an item decides,
//! when it comes out, whether it still means anything. That is cheaper than finding it again, because nearly
//! every deadline of a server is moved many times before it fires once.

use super::time::Instant;

/// Milliseconds of one tick: how late a deadline may fire.
const TICK_MS: u64 = 32;

/// Slots of the wheel. One round is `SLOTS * TICK_MS`, 33 seconds: a heartbeat fires within the first.
const SLOTS: usize = 1024;

const WORDS: usize = SLOTS / 64;

/// Items waiting for their instants.
#[derive(Debug)]
pub struct Wheel<T> {
    slots: Box<[Vec<(Instant, T)>]>,
    /// One bit a slot, set where the slot holds anything.
    occupied: [u64; WORDS],
    /// The last tick whose slot was emptied of what was due.
    hand: u64,
    len: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel whose hand stands at `now`.
    pub fn new(now: Instant) -> Wheel<T> {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Wheel { slots, occupied: [0; WORDS], hand: now.as_millis() / TICK_MS, len: 0 }
    }

    /// Keeps `item` until `at`. An instant that has passed comes out at the next tick.
    pub fn insert(&mut self, at: Instant, item: T) {
        let tick = at.as_millis().div_ceil(TICK_MS).max(self.hand + 1);
        self.put(slot_of(tick), at, item);
        self.len += 1;
    }

    /// Moves the hand to `now` and appends what is due to `due`, each with the instant it was set for.
    ///
    /// The hand visits each slot once at most, however far the clock has jumped.
    pub fn expire(&mut self, now: Instant, due: &mut impl Extend<(Instant, T)>) {
        let target = now.as_millis() / TICK_MS;
        let steps = target.saturating_sub(self.hand).min(SLOTS as u64);
        for tick in (target + 1 - steps)..=target {
            let slot = slot_of(tick);
            if self.occupied[slot / 64] & (1 << (slot % 64)) == 0 {
                continue;
            }
            // The slot's memory goes with its items: a wheel that was full once does not stay large.
            let items = std::mem::take(&mut self.slots[slot]);
            self.occupied[slot / 64] &= !(1 << (slot % 64));
            for (at, item) in items {
                if at <= now {
                    self.len -= 1;
                    due.extend([(at, item)]);
                } else {
                    self.put(slot, at, item);
                }
            }
        }
        self.hand = self.hand.max(target);
    }

    fn put(&mut self, slot: usize, at: Instant, item: T) {
        self.slots[slot].push((at, item));
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// No later than the instant when the next item is due. It may be earlier: the hand then passes items of
    /// a later round, and the caller asks again.
    pub fn next(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let first = slot_of(self.hand + 1);
        // The words of the bitmap in the order in which the hand reaches them; the first one twice, because
        // the hand stands in its middle.
        (0..=WORDS).find_map(|step| {
            let word = (first / 64 + step) % WORDS;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (first % 64);
            }
            if bits == 0 {
                return None;
            }
            let slot = word * 64 + bits.trailing_zeros() as usize;
            let distance = (slot + SLOTS - first) % SLOTS;
            Some(Instant::from_millis((self.hand + 1 + distance as u64) * TICK_MS))
        })
    }

    /// Bytes that it holds. A slot grows by doubling.
    pub fn held(&self) -> usize {
        self.slots.len() * size_of::<Vec<(Instant, T)>>() + 2 * self.len * size_of::<(Instant, T)>()
    }

    /// Items kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn expire(wheel: &mut Wheel<u32>, now: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.expire(at(now), &mut due);
        due.into_iter().map(|(_, item)| item).collect()
    }

    #[test]
    fn nothing_fires_early() {
        let mut wheel = Wheel::new(at(0));
        wheel.insert(at(100), 1);
        assert!(expire(&mut wheel, 99).is_empty());
        assert_eq!(expire(&mut wheel, 128), [1]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn an_instant_that_has_passed_fires_at_the_next_tick() {
        let mut wheel = Wheel::new(at(1_000));
        wheel.insert(at(10), 1);
        assert_eq!(expire(&mut wheel, 1_000 + TICK_MS), [1]);
    }

    #[test]
    fn an_item_of_a_later_round_stays() {
        let round = SLOTS as u64 * TICK_MS;
        let mut wheel = Wheel::new(at(0));
        wheel.insert(at(64), 1);
        wheel.insert(at(64 + round), 2);
        assert_eq!(expire(&mut wheel, 64), [1]);
        assert!(expire(&mut wheel, round).is_empty());
        assert_eq!(expire(&mut wheel, round + 64), [2]);
    }

    #[test]
    fn a_jump_of_hours_visits_each_slot_once() {
        let mut wheel = Wheel::new(at(0));
        for item in 0..5_000 {
            wheel.insert(at(u64::from(item) * 50), item);
        }
        let mut fired = expire(&mut wheel, 10_000_000);
        fired.sort_unstable();
        assert_eq!(fired, (0..5_000).collect::<Vec<_>>());
    }

    /// The wheel against a sorted list, under a fixed sequence of steps.
    #[test]
    fn it_agrees_with_a_naive_list() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let (mut wheel, mut list, mut now) = (Wheel::new(at(0)), Vec::new(), 0);
        for item in 0..20_000_u32 {
            let instant = now + random(90_000);
            wheel.insert(at(instant), item);
            list.push((instant, item));
            now += random(200);
            let mut fired = expire(&mut wheel, now);
            // What is due at this tick's start must be out; what is due after now must not be.
            let tick = now / TICK_MS * TICK_MS;
            fired.sort_unstable();
            for item in &fired {
                let place = list.iter().position(|(_, kept)| kept == item).expect("fired once");
                assert!(list.swap_remove(place).0 <= now);
            }
            assert!(list.iter().all(|(instant, _)| *instant > tick || *instant > now - TICK_MS));
            assert_eq!(wheel.len(), list.len());
            if let Some(first) = list.iter().map(|(instant, _)| *instant).min() {
                assert!(wheel.next().expect("not empty") <= at(first.max(now) + TICK_MS));
            }
        }
    }
}
