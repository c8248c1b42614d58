//! `random = true`: random numbers of the machine.
//!
//! Without it secure random numbers are denied. Numbers that nobody may rely on (`wasi:random/insecure`, with which hash maps are
//! seeded) are always there, derived from the call's id: the same in each run of a call, so that the order of a map is too.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};

use super::Effects;

pub(super) fn link<T: Effects>(linker: &mut Linker<T>, secure: bool) -> wasmtime::Result<()> {
    if secure {
        random::add_to_linker::<T, WasiRandom>(linker, |state| state.random())?;
    }
    insecure::add_to_linker::<T, WasiRandom>(linker, |state| state.random())?;
    insecure_seed::add_to_linker::<T, WasiRandom>(linker, |state| state.random())
}

pub(super) fn make_deterministic(builder: &mut WasiCtxBuilder, call_id: &str) {
    let mut seed = Sha256::new();
    seed.update(b"durawasm insecure random of a call\0");
    seed.update(call_id);
    let mut stream = ChaCha20Rng::from_seed(seed.finalize().into());
    let (high, low) = (stream.next_u64(), stream.next_u64());
    builder.insecure_random_seed((u128::from(high) << 64) | u128::from(low));
    builder.insecure_random(stream);
}
