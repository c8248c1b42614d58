//! What several targets draw from an input: texts, numbers, choices. Once the input is used up all of it is nought, so that each
//! input has an end.

use arbitrary::Unstructured;

/// The decisions that an input makes.
pub(super) struct Chance<'a>(Unstructured<'a>);

impl<'a> Chance<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self(Unstructured::new(input))
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    pub(super) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Small numbers, and those at which programs go wrong.
    pub(super) fn long(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => i64::MAX.cast_unsigned(),
            3 => 1 << self.below(64),
            4 => self.0.arbitrary().unwrap_or(0),
            _ => u64::from(self.byte()),
        }
    }

    pub(super) fn float(&mut self) -> f64 {
        match self.below(6) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => -0.0,
            3 => f64::from_bits(self.0.arbitrary().unwrap_or(0)),
            _ => f64::from(self.byte()) / 16.0,
        }
    }

    /// Texts that are alike often enough to meet.
    pub(super) fn text(&mut self) -> String {
        match self.below(8) {
            0 => String::new(),
            1 => "A".repeat(1 << self.below(12)),
            2 => {
                let length = usize::from(self.byte() % 32).min(self.0.len());
                String::from_utf8_lossy(self.0.bytes(length).unwrap_or(&[])).into_owned()
            }
            3 => "\u{0}\u{feff}ß\u{10ffff}\u{202e}".to_owned(),
            4 => "{\"a\":[1,null,\"x\"]}".to_owned(),
            _ => ["a", "b", "attack", "durawasm.x", "@e@k", "NEIGHBOUR"][self.below(6) as usize].to_owned(),
        }
    }

    pub(super) fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| value(self))
    }

    /// A few of something.
    pub(super) fn several<T>(&mut self, most: u32, mut value: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map_while(|_| (!self.is_over()).then(|| value(self))).collect()
    }
}
