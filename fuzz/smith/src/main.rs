//! `durawasm-smith FOLDER COUNT [SEED]`: writes valid components of all shapes into a folder.

use std::path::PathBuf;
use std::process::ExitCode;

use arbitrary::Unstructured;
use rand::{RngExt, SeedableRng};
use wasm_smith::{Component, Config, Module};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(count)) =
        (arguments.next().map(PathBuf::from), arguments.next().and_then(|text| text.parse().ok()))
    else {
        eprintln!("usage: durawasm-smith FOLDER COUNT [SEED]");
        return ExitCode::FAILURE;
    };
    let seed: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("{count} components, seed {seed}");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut made: u32 = 0;
    while made < count {
        let mut bytes = vec![0; 1 << rng.random_range(6..13)];
        rng.fill(&mut bytes[..]);
        let mut input = Unstructured::new(&bytes);
        let component = match made % 2 {
            0 => Component::new(Config::default(), &mut input).map(|component| component.to_bytes()),
            // wasm-smith's components have few instructions: its modules have many.
            _ => Module::new(Config { min_funcs: 1, ..Config::default() }, &mut input)
                .map(|module| around(&module.to_bytes())),
        };
        // The bytes may be used up before a component is complete.
        let Ok(component) = component else { continue };
        if let Err(error) = std::fs::write(folder.join(format!("smith-{made:04}")), component) {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
        made += 1;
    }
    ExitCode::SUCCESS
}

/// A component with one core module in it.
fn around(module: &[u8]) -> Vec<u8> {
    let mut component = b"\0asm\x0d\0\x01\0\x01".to_vec();
    let mut length = module.len();
    while length >= 0x80 {
        component.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    component.push(length as u8);
    component.extend_from_slice(module);
    component
}
