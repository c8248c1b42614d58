//! Randomness that is the same in every replay.

use std::convert::Infallible;
use std::rc::Rc;

use rand::{Rng, SeedableRng, TryRng};
use rand_chacha::ChaCha20Rng;
use uuid::Uuid;

use super::instance::Instance;
use crate::bindings::exports::durawasm::workflow::orchestrator::Seed;

/// Which ChaCha20 stream serves what. What one of them hands out does not depend on how much was drawn from another.
/// Frozen: a change would make histories replay differently.
const NUMBERS: u64 = 0;
const UUIDS: u64 = 1;

/// The streams of one instance.
pub(crate) struct Streams {
    numbers: ChaCha20Rng,
    uuids: ChaCha20Rng,
}

impl Streams {
    pub(crate) fn new(seed: Seed) -> Self {
        let mut bytes = [0; 32];
        for (part, word) in bytes.chunks_exact_mut(8).zip([seed.a, seed.b, seed.c, seed.d]) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        let stream = |number| {
            let mut generator = ChaCha20Rng::from_seed(bytes);
            generator.set_stream(number);
            generator
        };
        Self { numbers: stream(NUMBERS), uuids: stream(UUIDS) }
    }

    pub(crate) fn new_uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.uuids.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// The instance's random number generator, for the crate `rand`: `ctx.random().random_range(1..=6)`.
///
/// Every handle draws from the same sequence.
#[derive(Clone)]
pub struct Random(pub(crate) Rc<Instance>);

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.random.borrow_mut().numbers.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.random.borrow_mut().numbers.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.random.borrow_mut().numbers.fill_bytes(bytes);
        Ok(())
    }
}
