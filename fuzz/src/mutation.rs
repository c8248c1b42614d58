//! Inputs that follow from a seed: changed copies of known ones, mixtures, and noise.

use rand::{Rng, RngExt as _};

/// Numbers at which programs go wrong.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    7,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

/// The next input: made of the known ones most of the time.
pub fn input(rng: &mut impl Rng, known: &[Vec<u8>], longest: usize) -> Vec<u8> {
    let mut input = match known {
        [] => noise(rng, longest),
        _ if rng.random_ratio(1, 10) => noise(rng, longest),
        _ => known[rng.random_range(0..known.len())].clone(),
    };
    let changes = 1 << rng.random_range(0..5);
    for _ in 0..rng.random_range(0..=changes) {
        change(rng, &mut input, known);
    }
    input.truncate(longest);
    input
}

fn noise(rng: &mut impl Rng, longest: usize) -> Vec<u8> {
    // Short ones as often as long ones.
    let bits = rng.random_range(0..14);
    let length = rng.random_range(0..=longest.min(1 << bits));
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes[..]);
    bytes
}

fn change(rng: &mut impl Rng, bytes: &mut Vec<u8>, known: &[Vec<u8>]) {
    if bytes.is_empty() {
        bytes.push(rng.random());
        return;
    }
    let at = rng.random_range(0..bytes.len());
    let length = rng.random_range(1..=16.min(bytes.len() - at));
    match rng.random_range(0..10) {
        0 | 1 => bytes[at] ^= 1 << rng.random_range(0..8),
        2 => bytes[at] = rng.random(),
        3 => bytes[at] = bytes[at].wrapping_add(rng.random_range(0..9)).wrapping_sub(4),
        4 => {
            let number = NUMBERS[rng.random_range(0..NUMBERS.len())].to_le_bytes();
            let width = [1, 2, 4, 8][rng.random_range(0..4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        5 => drop(bytes.drain(at..at + length)),
        6 => {
            let mut piece = vec![0; length];
            rng.fill(&mut piece[..]);
            bytes.splice(at..at, piece);
        }
        7 => {
            let piece = bytes[at..at + length].to_vec();
            let to = rng.random_range(0..=bytes.len());
            bytes.splice(to..to, piece);
        }
        8 => bytes.truncate(at),
        _ => {
            let Some(other) = known.get(rng.random_range(0..known.len().max(1))).filter(|other| !other.is_empty())
            else {
                return;
            };
            let from = rng.random_range(0..other.len());
            let to = rng.random_range(from..=other.len().min(from + 256));
            let end = (at + to - from).min(bytes.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
    }
}
