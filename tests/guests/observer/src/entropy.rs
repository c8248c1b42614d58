//! Random numbers, and what is made of them.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hasher as _};

use crate::Look;

pub(crate) const ALL: &[(&str, Look)] = &[
    ("the order of a hash map", |_| {
        let map: HashMap<u32, ()> = (0..64).map(|key| (key, ())).collect();
        format!("{:?}", map.into_keys().collect::<Vec<_>>())
    }),
    ("the order of a hash set of texts", |_| {
        let set: HashSet<String> = (0..32).map(|key| format!("key-{key}")).collect();
        set.into_iter().collect::<Vec<_>>().join(" ")
    }),
    ("the seed of a hash map", |_| format!("{:016x}", random())),
    ("a random UUID", |_| {
        let (high, low) = (random(), random());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }),
    ("the seed of the execution", |moment| {
        let seed = moment.context.seed;
        format!("{:016x}{:016x}{:016x}{:016x}", seed.a, seed.b, seed.c, seed.d)
    }),
];

/// What a program without a library for random numbers takes for one.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
