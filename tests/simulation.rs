//! The whole server under a seed: a simulated kernel below it, clients of every kind around it, and a model that
//! knows what each reader must have been told.
//!
//! `ENCKE_SEED=123 cargo test --test simulation` replays one run, with `ENCKE_TRACE=1` in words.
//! `ENCKE_SEEDS=10000` makes more of them than there are by default, `ENCKE_SOAK=600` goes on for so many seconds
//! with seeds that nobody has run before; docs/fuzzing.md says more. Read first: TigerBeetle's `src/vopr.zig`, whose
//! idea this is.

#[path = "sim/acts/mod.rs"]
mod acts;
#[path = "sim/endings.rs"]
mod endings;
#[path = "sim/scene.rs"]
mod scene;
mod sim;
#[path = "sim/witness.rs"]
mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use acts::{Plan, draw_config, draw_people};
use encke::account::{self, Part};
#[cfg(encke_broken)]
use encke::defect::{self, Defect};
use endings::{heal, leave, look_who_is_there, stop};
use scene::Scene;
use sim::rng::Rng;

/// Runs of a test that nobody asked more of: what fits into a quarter of a minute without an optimiser.
const SEEDS_DEFAULT: u64 = 1_000;

/// Steps of one run before everything is healed.
const STEPS: usize = 140;

/// One run. Returns a hash of all that the server wrote.
fn run(seed: u64) -> u64 {
    let (mut rng, before) = (Rng::new(seed), PARTS.map(account::held));
    let (config, kept) = draw_config(&mut rng);
    let plan = Plan::new(&mut rng);
    let all = ["lobby", "café au lait", "x&y=z+%", "😀"];
    let channels = all[..rng.range(1, all.len())].iter().map(|&channel| channel.to_owned()).collect();
    let mut scene = Scene::new(rng.next(), config, kept, channels);
    scene.small_buffers = rng.coin();
    scene.people = draw_people(&mut rng);
    for _ in 0..STEPS {
        for _ in 0..scene.rng.below(3) {
            plan.act(&mut scene);
        }
        scene.shake();
        let wait = scene.rng.below(40) as u64;
        scene.turn(wait);
    }
    heal(&mut scene);
    if rng.per_mille(300) {
        look_who_is_there(&mut scene);
    }
    if rng.per_mille(300) {
        leave(&mut scene);
    }
    stop(&mut scene);
    scene.model.judge();
    if std::env::var_os("ENCKE_TRACE").is_some() {
        let (readers, told) = (scene.model.readers.len(), scene.model.told());
        let (life, leaves) = (scene.model.life(), scene.model.leaves.len());
        let (messages, given_up, counts) = (scene.model.len(), scene.given_up(), scene.world().counts);
        eprintln!(
            "{readers} readers, {life} restarts, {messages} messages, {told:?} told and gaps, {leaves} leaves"
        );
        eprintln!("{given_up:?} bytes, clients and answers given up for memory, {counts:?}");
    }
    let written = scene.world().written();
    drop(scene);
    assert_eq!(PARTS.map(account::held), before, "what is held by nobody is counted");
    written
}

const PARTS: [Part; 4] = [Part::Sessions, Part::Outboxes, Part::Images, Part::Channels];

/// Which runs to make: one, so many from the first, or for so long from one that nobody has made before.
fn seeds() -> Box<dyn Iterator<Item = u64>> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    match (number("ENCKE_SEED"), number("ENCKE_SOAK")) {
        (Some(seed), _) => Box::new(seed..=seed),
        (None, Some(seconds)) => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            let (first, until) = (Rng::new(since.as_nanos() as u64).next() >> 1, Instant::now());
            let until = until + Duration::from_secs(seconds);
            Box::new((first..).take_while(move |_| Instant::now() < until))
        }
        (None, None) => Box::new(0..number("ENCKE_SEEDS").unwrap_or(SEEDS_DEFAULT)),
    }
}

/// The first seed whose run fails, if there is one, and how many runs were made.
fn failing(seeds: impl Iterator<Item = u64>) -> (Option<u64>, u64) {
    let mut runs = 0;
    let failed = seeds.into_iter().find(|seed| {
        runs += 1;
        catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err()
    });
    (failed, runs)
}

#[test]
fn every_reader_gets_everything_once() {
    let (failed, runs) = failing(seeds());
    eprintln!("{runs} runs");
    if let Some(seed) = failed {
        panic!("replay with: ENCKE_SEED={seed} cargo test --test simulation");
    }
}

#[test]
fn same_seed_same_bytes() {
    for seed in seeds().take(5) {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

/// The program is broken on purpose, in one way after another. Where no run fails, the checks are blind.
#[test]
#[cfg(encke_broken)]
fn a_broken_program_is_found() {
    // Runs of each broken program.
    const RUNS: u64 = 60;
    // A thread each: what one defect leaves in the account of its thread is no concern of the next.
    let is_found = |defect: Option<Defect>| {
        let runs = move || {
            defect::set(defect);
            failing(0..RUNS).0.is_some()
        };
        std::thread::spawn(runs).join().expect("failures are caught")
    };
    assert!(!is_found(None), "the sound program fails");
    let unseen: Vec<Defect> = Defect::ALL.into_iter().filter(|defect| !is_found(Some(*defect))).collect();
    assert!(unseen.is_empty(), "not found in {RUNS} runs each: {unseen:?}");
}
