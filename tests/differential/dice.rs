//! Random choices that a seed repeats. Never reads a clock or the system's randomness.

/// A generator of choices (the splitmix64 sequence).
pub struct Dice(u64);

impl Dice {
    /// The choices of one world: the same for the same seed and number.
    pub fn new(seed: u64, world: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ world.wrapping_mul(0xd1b5_4a32_d192_ed03))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True that many times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }

    /// True that many times of a thousand.
    pub fn rarely(&mut self, permille: u64) -> bool {
        self.between(1, 1000) <= permille
    }

    /// One of the choices.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = self.next() % choices.len() as u64;
        &choices[usize::try_from(index).unwrap_or(0)]
    }
}
