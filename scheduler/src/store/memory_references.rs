//! References to payloads of a store in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::references::{Change, Owner, changes};
use crate::core::batch::Batch;
use crate::core::payload::Hash;

#[derive(Clone, Debug, Default)]
pub(super) struct References {
    all: BTreeSet<(Owner, Hash)>,
    /// How many rows refer to each.
    counts: BTreeMap<Hash, usize>,
    /// What rows have let go since this was last asked.
    released: Vec<Hash>,
}

impl References {
    pub(super) fn apply(&mut self, batch: &Batch) {
        for change in changes(batch, self.all.is_empty()) {
            match change {
                Change::Add(owner, hash) => {
                    if self.all.insert((owner, hash)) {
                        *self.counts.entry(hash).or_default() += 1;
                    }
                }
                Change::Forget(owner, but) => self.forget(owner, owner, but),
                Change::ForgetAll { table, row } => {
                    self.forget(Owner { table, row, sub: u64::MIN }, Owner { table, row, sub: u64::MAX }, None);
                }
            }
        }
    }

    fn forget(&mut self, first: Owner, last: Owner, but: Option<Hash>) {
        let range = (first, Hash([u8::MIN; 32]))..=(last, Hash([u8::MAX; 32]));
        let gone: Vec<_> = self.all.range(range).copied().filter(|(_, hash)| Some(*hash) != but).collect();
        for (owner, hash) in gone {
            self.all.remove(&(owner, hash));
            let count = self.counts.entry(hash).or_default();
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&hash);
            }
            self.released.push(hash);
        }
    }

    pub(super) fn has(&self, hash: Hash) -> bool {
        self.counts.contains_key(&hash)
    }

    pub(super) fn take_released(&mut self) -> Vec<Hash> {
        std::mem::take(&mut self.released)
    }
}
