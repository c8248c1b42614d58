//! Takes away what nothing refers to.
//!
//! A text is looked at when a row that refers to it is deleted, when the last [`Pin`](super::Pins) on it is let go, and, all of them,
//! once after a start: a process that ends between the writing of a text and the commit of its reference leaves one that nobody asks for.
//!
//! A text is deleted only if nobody has it pinned and, *looked up after that*, no row refers to it. Whoever pinned it before has
//! committed his reference by the time he lets go, so the second look sees it; whoever wants to pin it now waits for the slot's lock, and
//! then writes the text anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{PayloadStore, blocking};
use crate::core::payload::Hash;
use crate::store::Store;

/// How often the collector looks for what was released.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// A text that could not be deleted is tried again after so long.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What became of a text that may be unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in use.
    Kept,
    /// It is gone.
    Deleted,
}

impl PayloadStore {
    /// Deletes a text if nothing refers to it and nobody is about to.
    ///
    /// # Errors
    /// A text for people, if the store cannot be read or the text cannot be deleted.
    pub async fn collect(&self, hash: Hash, store: &Arc<dyn Store>) -> Result<Fate, String> {
        let Some(hold) = self.shared.hold_alone(hash) else { return Ok(Fate::Kept) };
        let is_durable = hold.slot.0.lock().await;
        if *is_durable {
            // Somebody pinned it and was quicker.
            return Ok(Fate::Kept);
        }
        let looked_up = Arc::clone(store);
        let referenced = blocking(move || Ok(looked_up.is_payload_referenced(hash)));
        if referenced.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())? {
            return Ok(Fate::Kept);
        }
        self.backend.delete(hash).await.map_err(|e| format!("{}: {e}", self.backend.place(hash)))?;
        Ok(Fate::Deleted)
    }

    /// Deletes what nothing refers to, for as long as it is let.
    pub(crate) async fn run_collector(self, store: Arc<dyn Store>, hub: String) {
        let pause = (self.linger / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let mut waiting: VecDeque<(Instant, Hash)> = VecDeque::new();
        match self.backend.list().await {
            Ok(all) => waiting.extend(all.into_iter().map(|hash| (Instant::now(), hash))),
            Err(error) => {
                tracing::warn!(%hub, %error, "the payloads cannot be listed: what an earlier run left is not collected")
            }
        }
        loop {
            let now = Instant::now();
            waiting.extend(self.shared.released.lock().drain(..));
            waiting.extend(store.released_payloads().into_iter().map(|hash| (now, hash)));
            while let Some((since, hash)) = waiting.front().copied().filter(|(since, _)| *since + self.linger <= now) {
                waiting.pop_front();
                if let Err(error) = self.collect(hash, &store).await {
                    tracing::warn!(%hub, %error, "a payload that nothing refers to cannot be deleted; it is tried again");
                    waiting.push_back((since.max(now) + RETRY_AFTER, hash));
                }
            }
            tokio::time::sleep(pause).await;
        }
    }
}
