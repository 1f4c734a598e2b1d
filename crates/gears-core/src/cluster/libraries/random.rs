//! Numbers to pick peers by, and to name a domain: from a seed, as there is no chance in this crate.

/// The generator `SplitMix64`.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Moves `count` of `all`, picked by chance, to the front; fewer where there are fewer.
    pub(super) fn pick<T>(&mut self, all: &mut Vec<T>, count: usize) {
        for at in 0..count.min(all.len()) {
            let rest = (all.len() - at) as u64;
            let chosen = usize::try_from(self.next() % rest).unwrap_or_default();
            all.swap(at, at + chosen);
        }
        all.truncate(count);
    }
}
