//! Which instructions of the processor compiled code uses, and what follows from that for determinism.
//!
//! Everything that WebAssembly computes is the same on every processor, with one exception: the fused multiplication and addition of
//! relaxed SIMD. Where the processor has none, wasmtime calls a function of its own instead, whose NaNs are not made canonical. A
//! component that uses relaxed SIMD is refused there, so that no history ever depends on the machine it was made on.

use wasmtime::Config;

/// Which instructions compiled code may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processor {
    /// All that this machine has.
    #[default]
    Native,
    /// No more than every machine of this architecture has: on x86-64 no AVX, no FMA and no SSE beyond SSE 2.
    Plain,
}

impl Processor {
    /// Whether it multiplies and adds in one instruction.
    fn fuses(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self == Self::Native
            && std::arch::is_x86_feature_detected!("avx")
            && std::arch::is_x86_feature_detected!("fma");
        #[cfg(not(target_arch = "x86_64"))]
        true
    }

    pub(super) fn configure(self, config: &mut Config) -> wasmtime::Result<()> {
        if self == Self::Plain {
            // A target that is named gets no features beyond its base, whatever the machine has.
            config.target(target()?)?;
        }
        if !self.fuses() {
            config.wasm_relaxed_simd(false);
        }
        Ok(())
    }
}

/// The machine that this program was compiled for, as compilers name it.
fn target() -> wasmtime::Result<&'static str> {
    let musl = cfg!(target_env = "musl");
    Ok(match (std::env::consts::ARCH, std::env::consts::OS) {
        ("x86_64", "linux") if musl => "x86_64-unknown-linux-musl",
        ("x86_64", "linux") => "x86_64-unknown-linux-gnu",
        ("aarch64", "linux") if musl => "aarch64-unknown-linux-musl",
        ("aarch64", "linux") => "aarch64-unknown-linux-gnu",
        ("x86_64", "macos") => "x86_64-apple-darwin",
        ("aarch64", "macos") => "aarch64-apple-darwin",
        ("x86_64", "windows") => "x86_64-pc-windows-msvc",
        (arch, os) => return Err(wasmtime::Error::msg(format!("there is no plain processor for {arch} and {os}"))),
    })
}
