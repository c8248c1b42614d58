//! Orchestrators and activities that break one rule each, without the SDK in between. The name says which.

mod activities;
mod orchestrators;

#[allow(unsafe_code, clippy::all, reason = "generated code")]
mod bindings {
    // Without the interface `queries`: it is optional.
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package durawasm:test-hostile;

            world hostile {
                include durawasm:workflow/activities@0.1.0;
                export durawasm:workflow/orchestrator@0.1.0;
            }
        ",
        world: "durawasm:test-hostile/hostile",
        generate_all,
        pub_export_macro: true,
    });
}

use bindings::exports::durawasm::workflow::component::{Definition, Guest, Info};

/// What implements the exports.
struct Hostile;

bindings::export!(Hostile with_types_in bindings);

impl Guest for Hostile {
    fn describe() -> Info {
        Info {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            orchestrators: definitions(orchestrators::ALL.iter().map(|(name, _)| *name)),
            activities: definitions(activities::ALL.iter().map(|(name, _)| *name)),
            entities: Vec::new(),
        }
    }
}

fn definitions(names: impl Iterator<Item = &'static str>) -> Vec<Definition> {
    names
        .map(|name| Definition { name: name.to_owned(), input_schema: None, output_schema: None, description: None })
        .collect()
}

/// Above the limit of 1 MiB by one byte: a JSON string.
fn too_long() -> String {
    format!("\"{}\"", "x".repeat((1 << 20) - 1))
}

/// Never returns, and cannot be optimised away. A function of its own, because compilers give the head of a loop no line.
#[inline(never)]
fn spin() -> ! {
    let mut rounds = 0_u64;
    loop {
        rounds = std::hint::black_box(rounds.wrapping_add(1));
    }
}

/// Computes so many rounds.
fn work(rounds: u64) {
    for round in 0..rounds {
        std::hint::black_box(round);
    }
}

/// Writes a hundred thousand lines.
fn flood() {
    for number in 0..100_000 {
        bindings::durawasm::workflow::log::write(
            bindings::durawasm::workflow::log::Level::Info,
            "flood",
            &format!("line {number}"),
            &[],
        );
    }
}

/// Asks for random bytes, and adds them up.
fn random(bytes: u64) -> u64 {
    wasip2::random::random::get_random_bytes(bytes).into_iter().map(u64::from).sum()
}

/// One text of 1 MiB, as often as wanted: each looks like its own to whoever receives it.
#[allow(unsafe_code, reason = "texts that share their bytes are what is to be tested")]
fn repeated(times: usize) -> impl Iterator<Item = String> {
    let text = "x".repeat(1 << 20).leak();
    let (start, length) = (text.as_mut_ptr(), text.len());
    // Not sound: if they were freed it would be once each. The host is to stop the call before.
    (0..times).map(move |_| unsafe { String::from_raw_parts(start, length, length) })
}

/// Takes memory until there is none.
fn devour() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

/// Calls itself until the WebAssembly stack is full.
#[allow(unconditional_recursion, reason = "that is the point")]
fn overflow(depth: u64) -> u64 {
    std::hint::black_box(overflow(depth + 1)) + depth
}

/// Calls itself until the stack that the compiler keeps in the linear memory is full: a different trap.
#[allow(unconditional_recursion, reason = "that is the point")]
fn overflow_with_large_frames(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 1_024]);
    overflow_with_large_frames(depth + 1) + std::hint::black_box(frame)[0]
}

/// Traps with no panic before it.
fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

/// Reads far outside of what was asked for: a trap by the memory's bounds.
#[allow(unsafe_code, reason = "an access out of bounds is what is to be tested")]
fn out_of_bounds() -> u8 {
    let address = std::hint::black_box(0xffff_fff0_usize as *const u8);
    // Not sound: it lies outside the linear memory, so that the sandbox stops it with a trap.
    unsafe { std::ptr::read_volatile(address) }
}
