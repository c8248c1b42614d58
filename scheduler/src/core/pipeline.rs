//! Durable before visible: holds effects back until the batch that caused them is on disk.
//!
//! One batch is written at a time; what arrives meanwhile goes into the next one (group commit). The partition's thread and the
//! simulator drive the same pipeline.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::ids::BatchSeq;
use super::message::{Effect, Input};
use super::partition::{Lookup, Partition};
use super::time::Timestamp;

/// A partition, its effects, and how far the store is.
pub struct Pipeline {
    partition: Partition,
    /// Effects by the batch that they wait for.
    waiting: BTreeMap<BatchSeq, Vec<Effect>>,
    /// The batch that is being written.
    writing: Option<BatchSeq>,
    /// The last batch that is on disk.
    committed: BatchSeq,
}

impl Pipeline {
    /// A pipeline around a recovered partition.
    #[must_use]
    pub fn new(partition: Partition) -> Self {
        Self { partition, waiting: BTreeMap::new(), writing: None, committed: BatchSeq(0) }
    }

    /// Takes in an input. Call [`Self::flush`] after one or several.
    pub fn handle(&mut self, input: Input, now: Timestamp, lookup: &dyn Lookup) {
        self.partition.handle(input, now, lookup);
    }

    /// When [`Input::Tick`] is wanted next.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.partition.next_wakeup()
    }

    /// The effects that may happen now, in order.
    pub fn flush(&mut self) -> Vec<Effect> {
        let current = self.partition.current_batch();
        let nothing = self.partition.has_nothing_to_write();
        for pending in self.partition.take_effects() {
            // With nothing to write, what is to wait for the current batch waits for the one before.
            let after = match pending.after == current && nothing {
                true => BatchSeq(current.0 - 1),
                false => pending.after,
            };
            assert!(after <= current, "an effect waits for a batch that nobody fills");
            self.waiting.entry(after).or_default().push(pending.effect);
        }
        self.release()
    }

    /// The next batch to write, if none is being written and there is something to write.
    pub fn take_batch(&mut self) -> Option<(BatchSeq, Batch)> {
        if self.writing.is_some() {
            return None;
        }
        let (seq, batch) = self.partition.take_batch()?;
        self.writing = Some(seq);
        Some((seq, batch))
    }

    /// The batch that was taken is on disk. Returns the effects that waited for it.
    pub fn committed(&mut self, seq: BatchSeq) -> Vec<Effect> {
        assert_eq!(self.writing.take(), Some(seq), "batches are written one after the other");
        self.committed = seq;
        self.partition.committed(seq);
        self.release()
    }

    /// The partition, to look at.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Whether nothing is being written and nobody waits for a write.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.writing.is_none() && self.waiting.is_empty() && self.partition.has_nothing_to_write()
    }

    fn release(&mut self) -> Vec<Effect> {
        let later = self.waiting.split_off(&BatchSeq(self.committed.0 + 1));
        std::mem::replace(&mut self.waiting, later).into_values().flatten().collect()
    }
}
