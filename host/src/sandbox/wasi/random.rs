//! `wasi:random`: the execution's own stream of ChaCha20, the same in every replay. Secure and insecure numbers are drawn from the
//! same stream, in the order in which they are asked for.

use rand_chacha::rand_core::Rng as _;

use super::{Cx, Instance};
use crate::orchestration::Limit;
use crate::sandbox::limits::LimitReached;

pub(super) fn define(linker: &mut Instance<'_>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("wasi:random/random", "get-random-u64") | ("wasi:random/insecure", "get-insecure-random-u64") => {
            linker.func_wrap(name, |mut cx: Cx<'_>, (): ()| Ok((cx.data_mut().random.next_u64(),)))?;
        }
        ("wasi:random/insecure-seed", "insecure-seed" | "get-insecure-seed") => {
            linker.func_wrap(name, |mut cx: Cx<'_>, (): ()| {
                let random = &mut cx.data_mut().random;
                Ok(((random.next_u64(), random.next_u64()),))
            })?;
        }
        ("wasi:random/random", "get-random-bytes") | ("wasi:random/insecure", "get-insecure-random-bytes") => {
            bytes(linker, name)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn bytes(linker: &mut Instance<'_>, name: &str) -> wasmtime::Result<()> {
    linker.func_wrap(name, move |mut cx: Cx<'_>, (length,): (u64,)| {
        let limit = cx.data().max_random;
        let length = usize::try_from(length).ok().filter(|length| *length <= limit).ok_or_else(|| {
            let message = format!("it asked for {length} random bytes at once; the limit is {limit} bytes");
            wasmtime::Error::new(LimitReached::new(Limit::Random, message))
        })?;
        let mut bytes = vec![0; length];
        cx.data_mut().random.fill_bytes(&mut bytes);
        Ok((bytes,))
    })
}
