//! What grows and what does not: the hub and the timer wheel, taken by themselves, with more and more channels,
//! readers and timers in them.
//!
//! Times are nanoseconds of one act among very many alike, so the clock's own cost does not show. Each series
//! begins small and ends near what a process can hold; the tables are larger than the processor's caches by
//! then, and what a curve still rises is what memory costs.

use std::hint::black_box;
use std::time::Instant;

use encke::hub::{Bounds, Hub, Item, ReaderId, Start};
use encke::reactor::Instant as Moment;
use encke::reactor::wheel::Wheel;

use crate::sample::Samples;
use crate::scenarios::Effort;

/// Sizes of a series.
const SIZES: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// Acts between two looks at the clock.
const ACTS: usize = 2_000;

const DATA: &[u8] =
    b"\"a message of one hundred bytes or nearly so, to be as others are: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"";

pub fn measure(effort: Effort) -> Samples {
    let mut samples = Samples::default();
    for round in 0..effort.rounds.min(3) {
        for size in SIZES {
            many_rooms(size, round, &mut samples);
            one_room(size, round, &mut samples);
            timers(size, round, &mut samples);
        }
    }
    samples
}

fn bounds() -> Bounds {
    Bounds { channels: 200_000, readers: 200_000, channel_messages: 64, ..Bounds::default() }
}

/// Scattered over `size`, and the same in every run.
fn spread(index: usize, size: usize) -> usize {
    index.wrapping_mul(2_654_435_761) % size
}

fn each(act: &str, size: usize, round: usize, samples: &mut Samples, mut what: impl FnMut(usize)) {
    let from = Instant::now();
    (0..ACTS).for_each(&mut what);
    let ns = from.elapsed().as_nanos() as f64 / ACTS as f64;
    samples.add("structures", "encke", round, &format!("{act}@{size}"), ns);
}

/// So many channels with one reader each.
fn many_rooms(size: usize, round: usize, samples: &mut Samples) {
    let mut hub = Hub::new(7, [7; 16], bounds());
    let names: Vec<String> = (0..size).map(|index| format!("room-{index}")).collect();
    for name in &names {
        let reader = hub.join().expect("within bounds");
        hub.subscribe(reader, name, Start::Now).expect("within bounds");
        hub.publish(name, None, DATA).expect("within bounds");
    }
    drain(&mut hub);
    each("publish, many rooms", size, round, samples, |index| {
        hub.publish(&names[spread(index, size)], None, DATA).expect("within bounds");
        drain(&mut hub);
    });
    let reader = hub.join().expect("within bounds");
    each("subscribe and leave, many rooms", size, round, samples, |index| {
        let name = &names[spread(index, size)];
        hub.subscribe(reader, name, Start::Now).expect("within bounds");
        hub.unsubscribe(reader, name);
    });
    let mut items: Vec<Item> = Vec::new();
    let since = hub.head() - 10.min(hub.head());
    each("resume by cursor, many rooms", size, round, samples, |index| {
        let name = &names[spread(index, size)];
        hub.subscribe(reader, name, Start::Since(since)).expect("within bounds");
        hub.take(reader, 1 << 16, &mut items);
        black_box(items.len());
        items.clear();
        hub.unsubscribe(reader, name);
    });
}

/// One channel with so many readers.
fn one_room(size: usize, round: usize, samples: &mut Samples) {
    let mut hub = Hub::new(7, [7; 16], bounds());
    let mut readers: Vec<ReaderId> = Vec::new();
    for _ in 0..size {
        let reader = hub.join().expect("within bounds");
        hub.subscribe(reader, "room", Start::Now).expect("within bounds");
        readers.push(reader);
    }
    each("join and leave, one room", size, round, samples, |index| {
        let place = spread(index, size);
        hub.leave(readers[place]);
        readers[place] = hub.join().expect("within bounds");
        hub.subscribe(readers[place], "room", Start::Now).expect("within bounds");
    });
    // A turn of the fan-out for each reader; what the kernel then does with it is another matter.
    let passes = ACTS.div_ceil(size);
    let from = Instant::now();
    for _ in 0..passes {
        hub.publish("room", None, DATA).expect("within bounds");
        drain(&mut hub);
    }
    let ns = from.elapsed().as_nanos() as f64 / (passes * size) as f64;
    samples.add("structures", "encke", round, &format!("fan-out a reader, one room@{size}"), ns);
}

/// Serves all who are due.
fn drain(hub: &mut Hub) {
    while let Some(due) = hub.next_due() {
        if let Some((from, to)) = due.run {
            hub.advance(due.reader, due.channel, from, to);
        }
    }
}

fn timers(size: usize, round: usize, samples: &mut Samples) {
    let mut wheel = Wheel::new(Moment::from_millis(0));
    for index in 0..size {
        wheel.insert(Moment::from_millis(10_000 + spread(index, 60_000) as u64), index as u64);
    }
    let mut due = Vec::new();
    each("a timer set", size, round, samples, |index| {
        wheel.insert(Moment::from_millis(70_000 + spread(index, 60_000) as u64), index as u64);
    });
    each("the hand moved", size, round, samples, |index| {
        wheel.expire(Moment::from_millis(index as u64), &mut due);
        due.clear();
    });
}
