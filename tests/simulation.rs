//! The whole server under a seed: a simulated kernel below it, clients of every kind around it, and a model that
//! knows what each reader must have been told.
//!
//! `ENCKE_SEED=123 cargo test --test simulation` replays one run, with `ENCKE_TRACE=1` in words; `ENCKE_SEEDS=10000`
//! makes more of them. Read first: TigerBeetle's `src/vopr.zig`, whose idea this is.

#[path = "sim/acts.rs"]
mod acts;
#[path = "sim/scene.rs"]
mod scene;
mod sim;

use std::panic::{AssertUnwindSafe, catch_unwind};

use acts::{Plan, draw_config, publish_again, publish_to};
use encke::limits::{LINGER_MS, STOP_MS};
use scene::{Line, Scene};
use sim::client::Transport;
use sim::kernel::Faults;
use sim::rng::Rng;

/// Runs of a test that nobody asked more of: what fits into twenty seconds without an optimiser.
const SEEDS_DEFAULT: u64 = 400;

/// Steps of one run before everything is healed.
const STEPS: usize = 100;

/// The longest time between two heartbeats that a reader asks for.
const HEARTBEAT_MS: u64 = 30_000;

/// Milliseconds in which every reader must have caught up once all is well.
const CATCH_UP_MS: u64 = 120_000;

/// One run. Returns a hash of all that the server wrote.
fn run(seed: u64) -> u64 {
    let mut rng = Rng::new(seed);
    let (config, kept) = draw_config(&mut rng);
    let plan = Plan::new(&mut rng);
    let all = ["lobby", "café au lait", "x&y=z+%", "😀"];
    let channels = all[..rng.range(1, all.len())].iter().map(|&channel| channel.to_owned()).collect();
    let mut scene = Scene::new(rng.next(), config, kept, channels);
    scene.small_buffers = rng.coin();
    for _ in 0..STEPS {
        for _ in 0..scene.rng.below(3) {
            plan.act(&mut scene);
        }
        scene.shake();
        let wait = scene.rng.below(40) as u64;
        scene.turn(wait);
    }
    heal(&mut scene);
    if rng.coin() {
        leave(&mut scene);
    }
    stop(&mut scene);
    scene.model.judge();
    if std::env::var_os("ENCKE_TRACE").is_some() {
        let (readers, told) = (scene.model.readers.len(), scene.model.told());
        eprintln!(
            "{readers} readers, {} messages, {told:?} told and gaps; {:?}",
            scene.model.len(),
            scene.world().counts
        );
    }
    scene.world().written()
}

/// All faults end. Every reader must catch up with a last message in each of its channels.
fn heal(scene: &mut Scene) {
    scene.world().faults = Faults::default();
    scene.lines.iter_mut().for_each(Line::hurry);
    // Those who only crowd the table leave it, and what was refused or cut off before now comes to its end.
    let others: Vec<usize> =
        (0..scene.lines.len()).filter(|place| scene.lines[*place].reader.is_none()).collect();
    for place in others.into_iter().rev() {
        scene.abandon(place, true);
    }
    scene.pass(LINGER_MS + 1_000);
    for channel in scene.channels.clone() {
        let nonce = publish_to(scene, &channel);
        for _ in 0..100 {
            if scene.model.attempts[nonce].seq.is_some() {
                break;
            }
            // There may be no room for it: a reader gives up its place.
            if scene.lines.iter().all(|line| line.asks.is_empty()) {
                scene.abandon(0, false);
                scene.pass(LINGER_MS);
                publish_again(scene, nonce);
            }
            scene.pass(100);
        }
        assert!(scene.model.attempts[nonce].seq.is_some(), "no answer to a publish though all is well");
    }
    catch_up(scene);
}

fn catch_up(scene: &mut Scene) {
    let lasts: Vec<(String, u64)> = scene
        .channels
        .iter()
        .map(|channel| {
            let last = scene.model.attempts.iter().filter(|attempt| attempt.channel == *channel);
            (channel.clone(), last.filter_map(|attempt| attempt.seq).max().expect("one was just published"))
        })
        .collect();
    let until = scene.now() + CATCH_UP_MS;
    loop {
        // Readers beyond the table's size take turns.
        let behind: Vec<usize> = (0..scene.model.readers.len())
            .filter(|reader| {
                let reader = &scene.model.readers[*reader];
                reader.cursor.is_some() && lasts.iter().any(|(channel, seq)| !reader.is_past(channel, *seq))
            })
            .collect();
        if behind.is_empty() {
            return;
        }
        assert!(scene.now() < until, "readers {behind:?} never catch up with {lasts:?}");
        for reader in behind.into_iter().take(6) {
            if scene.line_of(reader).is_none() {
                let transport = *scene.rng.pick(&Transport::ALL);
                scene.read(reader, transport);
            }
        }
        scene.pass(500);
        let past: Vec<usize> = (0..scene.lines.len())
            .filter(|place| {
                let reader = scene.lines[*place].reader;
                reader.is_none_or(|reader| {
                    let reader = &scene.model.readers[reader];
                    reader.cursor.is_some()
                        && lasts.iter().all(|(channel, seq)| reader.is_past(channel, *seq))
                })
            })
            .collect();
        for place in past.into_iter().rev().filter(|place| place % 2 == 0) {
            scene.abandon(place, false);
        }
    }
}

/// Everybody leaves. Nothing may be left of them after the grace period.
fn leave(scene: &mut Scene) {
    while !scene.lines.is_empty() {
        scene.abandon(0, false);
    }
    // Of a stream that was half-closed the next heartbeat finds out that nobody is there.
    let ms = 2 * HEARTBEAT_MS + LINGER_MS + scene.grace_ms;
    scene.pass(ms);
    assert_eq!(scene.reactor.links().len(), 0, "connections are left: {:?}", scene.reactor.links());
    assert_eq!(scene.world().open(), 0, "descriptors are left");
    assert_eq!(scene.present(), 0, "clients are left");
}

/// The end. Every open stream is told goodbye.
fn stop(scene: &mut Scene) {
    scene.pass(100);
    scene.healed = true;
    let streams: Vec<usize> =
        (0..scene.lines.len()).filter(|place| scene.lines[*place].conn.is_begun()).collect();
    let expected = streams.iter().filter(|place| !scene.lines[**place].ending).count();
    let byes = scene.byes;
    scene.world().stop = true;
    let until = scene.now() + STOP_MS + 100;
    while !scene.reactor.is_finished() && scene.now() < until {
        scene.pump();
        scene.world().deliver_all();
        scene.turn(10);
    }
    assert!(scene.reactor.is_finished(), "it does not end");
    scene.reactor.run(&mut scene.server).expect("the simulated poll does not fail");
    scene.world().deliver_all();
    scene.pump();
    scene.pump();
    assert_eq!(scene.byes - byes, expected, "streams that were told goodbye");
    assert_eq!(scene.world().open(), 0);
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a seed is a number"));
    match number("ENCKE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ENCKE_SEEDS").unwrap_or(SEEDS_DEFAULT),
    }
}

/// A seed whose run fails, if there is one.
fn failing(seeds: std::ops::Range<u64>) -> Option<u64> {
    seeds.into_iter().find(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err())
}

#[test]
#[cfg(not(encke_broken))]
fn every_reader_gets_everything_once() {
    if let Some(seed) = failing(seeds()) {
        panic!("replay with: ENCKE_SEED={seed} cargo test --test simulation");
    }
}

#[test]
#[cfg(not(encke_broken))]
fn same_seed_same_bytes() {
    for seed in seeds().take(5) {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

/// The loop is broken on purpose: it forgets a readable link whose budget is spent. If no run fails, the
/// checks are blind.
#[test]
#[cfg(encke_broken)]
fn a_broken_loop_is_found() {
    assert!(failing(0..20).is_some(), "nothing was found");
}
