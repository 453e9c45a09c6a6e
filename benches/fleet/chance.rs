//! Numbers that look random and are the same again for the same seed: a peer says today what it said before.

/// SplitMix64: small, and good enough for noise that must not pack.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Of some numbers.
    pub(crate) fn at(of: &[u64]) -> Self {
        let mut chance = Self(0x5eed);
        for number in of {
            chance.0 ^= number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chance.0 = chance.next();
        }
        chance
    }

    /// Of a text.
    pub(crate) fn of(text: &[u8]) -> Self {
        Self::at(&text.iter().map(|byte| u64::from(*byte)).collect::<Vec<_>>())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 to 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next()).take(length.div_ceil(8));
        let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        bytes.truncate(length);
        bytes
    }
}
