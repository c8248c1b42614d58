//! `clocks = true`: the time of day, a monotonic clock, and sleeping.

use wasmtime::component::Linker;
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};

use super::Effects;

pub(super) fn link<T: Effects>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wall_clock::add_to_linker::<T, WasiClocks>(linker, T::clocks)?;
    monotonic_clock::add_to_linker::<T, WasiClocks>(linker, T::clocks)
}
