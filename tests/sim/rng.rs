//! A small generator of pseudo-random numbers: one seed, one sequence, on every machine.
//!
//! Read first: S. Vigna, "Further scramblings of Marsaglia's xorshift generators"; this is SplitMix64, whose
//! state is a counter, so that every seed is a good one.

/// A sequence of numbers that its seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng { state: seed }
    }

    /// Another sequence, independent of what is drawn from this one later.
    pub(crate) fn fork(&mut self) -> Rng {
        Rng::new(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound - 1`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "there is no number below 0");
        (self.next() % bound as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn range(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True `times` times in a thousand.
    pub(crate) fn per_mille(&mut self, times: u32) -> bool {
        self.below(1000) < times as usize
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// The place of one of `weights`, each as likely as it weighs.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u32 = weights.iter().sum();
        let mut ball = self.below(total as usize) as u32;
        for (place, weight) in weights.iter().enumerate() {
            if ball < *weight {
                return place;
            }
            ball -= weight;
        }
        unreachable!("the ball is below the sum of the weights")
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

#[test]
fn one_seed_one_sequence() {
    // The first three outputs of the reference implementation for the seed 1234567.
    let mut rng = Rng::new(1_234_567);
    let drawn = [rng.next(), rng.next(), rng.next()];
    assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
}

#[test]
fn what_weighs_nothing_is_never_drawn() {
    let mut rng = Rng::new(1);
    let mut drawn = [0; 3];
    for _ in 0..1000 {
        drawn[rng.weighted(&[1, 0, 3])] += 1;
    }
    assert!(drawn[0] > 150 && drawn[1] == 0 && drawn[2] > 600);
}
