//! Where large texts are kept: inputs, outputs, events, custom statuses and states of entities above a threshold.
//!
//! The [`Hub`](crate::hub::Hub) is the edge. What comes in is looked through once ([`PayloadStore::take_in`]): a text above the threshold
//! goes into the payload store, and a short [`Reference`] takes its place. From there on the core and the
//! [`Store`](crate::store::Store) move the reference about as they would the text. What goes out is looked through again
//! ([`PayloadStore::resolve`]), so nobody outside ever sees a reference.
//!
//! **Addresses.** A text's address is its SHA-256. The same text is kept once, and a text that is damaged is known by it.
//!
//! **Durable before visible.** A reference is handed to the core when its text is durable, and a [`Pin`] keeps the text from then until
//! the call is answered, which is after the batch that holds the reference is on disk. From there on the store knows which rows refer to
//! it, in the same transaction that writes and deletes these rows. What is neither pinned nor referred to is collected ([`collector`]).

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::core::message::Input;
use crate::core::payload::{Hash, HubKey, MARK, Reference};

pub mod backend;
pub mod collector;
pub mod folder;
pub mod memory;
#[cfg(feature = "object-store")]
pub mod object;
mod place;
mod texts;

pub use backend::Backend;
pub use place::{Place, PlaceError, folder_of};
pub(crate) use texts::{Whose, item_weight, of_item};

/// How many texts are compressed, written or read at the same time: bounds the memory that this takes.
const AT_A_TIME: usize = 8;

/// Fast, and within a few percent of what slower levels reach with JSON.
const COMPRESSION_LEVEL: i32 = 1;

/// How large texts are kept.
#[derive(Clone, Debug)]
pub struct PayloadOptions {
    /// A text of more bytes than this goes into the payload store.
    pub threshold: usize,
    /// How long a text is kept after nothing refers to it any more, for those who are just reading it.
    pub linger: Duration,
    /// Where.
    pub place: Place,
}

impl Default for PayloadOptions {
    fn default() -> Self {
        Self { threshold: 64 << 10, linger: Duration::from_secs(60), place: Place::BesideHub }
    }
}

/// Why a text cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is not there.
    #[error("payload {hash} ({length} bytes) is missing: there is nothing at {place}. Put it back from a copy")]
    Missing {
        /// Its address.
        hash: Hash,
        /// Its length.
        length: u32,
        /// Where it should be.
        place: String,
    },
    /// What is there is not what was written.
    #[error("payload {hash} ({length} bytes) is damaged: {place} {what}. Put it back from a copy")]
    Damaged {
        /// Its address.
        hash: Hash,
        /// Its length.
        length: u32,
        /// Where it is.
        place: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The place cannot be read.
    #[error("payload {hash} cannot be read from {place}: {why}")]
    Unreadable {
        /// Its address.
        hash: Hash,
        /// Where it is.
        place: String,
        /// What the system says.
        why: String,
    },
}

impl PayloadError {
    /// The text's address.
    #[must_use]
    pub fn hash(&self) -> Hash {
        match self {
            Self::Missing { hash, .. } | Self::Damaged { hash, .. } | Self::Unreadable { hash, .. } => *hash,
        }
    }
}

/// Texts that are about to be referred to. They stay until this is dropped.
#[derive(Debug, Default)]
pub struct Pins(Vec<Pin>);

impl Pins {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over others.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

/// A text that must stay.
#[derive(Debug)]
struct Pin {
    hash: Hash,
    slot: Arc<Slot>,
    shared: Arc<Shared>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut slots = self.shared.slots.lock();
        // The map holds one, this is the other.
        if Arc::strong_count(&self.slot) == 2 {
            slots.remove(&self.hash);
        }
        drop(slots);
        // Perhaps nothing came to refer to it: the call may have been refused.
        self.shared.released.lock().push((Instant::now(), self.hash));
    }
}

/// What happens to a text at the moment. Whoever holds the lock may write or delete it; inside is whether it is known to be durable.
#[derive(Debug, Default)]
struct Slot(tokio::sync::Mutex<bool>);

#[derive(Debug, Default)]
struct Shared {
    /// Texts that are pinned, written or deleted. A slot is in use as long as somebody beside the map holds it.
    slots: Mutex<HashMap<Hash, Arc<Slot>>>,
    /// Texts that may be unused, and since when.
    released: Mutex<Vec<(Instant, Hash)>>,
}

impl Shared {
    fn pin(self: &Arc<Self>, hash: Hash) -> Pin {
        let slot = Arc::clone(self.slots.lock().entry(hash).or_default());
        Pin { hash, slot, shared: Arc::clone(self) }
    }
}

/// The large texts of a task hub. Cheap to clone.
#[derive(Clone)]
pub struct PayloadStore {
    key: HubKey,
    threshold: usize,
    /// Longer texts are not taken: the core refuses them.
    limit: usize,
    linger: Duration,
    backend: Arc<dyn Backend>,
    shared: Arc<Shared>,
    busy: Arc<Semaphore>,
}

impl PayloadStore {
    /// The large texts of the hub with that key, at that place. `limit` is the longest text that the core takes.
    #[must_use]
    pub fn new(key: HubKey, options: &PayloadOptions, limit: usize, backend: Arc<dyn Backend>) -> Self {
        Self {
            key,
            threshold: options.threshold,
            limit,
            linger: options.linger,
            backend,
            shared: Arc::default(),
            busy: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// Whether a text goes into the store: if it is long, or looks like a reference.
    fn wants(&self, text: &str) -> bool {
        (text.len() > self.threshold && text.len() <= self.limit) || text.starts_with(MARK)
    }

    /// Stores the large texts of an input and puts references in their place. They are durable when this returns, and stay as long as the
    /// pins are held.
    ///
    /// # Errors
    /// If one cannot be stored. The input is then not to be used.
    pub async fn take_in(&self, input: &mut Input) -> io::Result<Pins> {
        let mut large = Vec::new();
        let mut number = 0;
        texts::of_input(input, &mut |text| {
            if self.wants(text) {
                large.push((number, std::mem::take(text)));
            }
            number += 1;
        });
        if large.is_empty() {
            return Ok(Pins::default());
        }
        let mut pins = Vec::with_capacity(large.len());
        let mut references = VecDeque::with_capacity(large.len());
        for (number, text) in large {
            let (reference, pin) = self.put(text).await?;
            pins.push(pin);
            references.push_back((number, reference.to_string()));
        }
        let mut number = 0;
        texts::of_input(input, &mut |text| {
            if references.front().is_some_and(|(taken, _)| *taken == number)
                && let Some((_, reference)) = references.pop_front()
            {
                *text = reference;
            }
            number += 1;
        });
        Ok(Pins(pins))
    }

    /// Makes a text durable.
    async fn put(&self, text: String) -> io::Result<(Reference, Pin)> {
        let _permit = self.busy.acquire().await;
        let length = u32::try_from(text.len()).map_err(|_| io::Error::other("the text has more than 4 GiB"))?;
        let packed = blocking(move || {
            let hash = Hash(Sha256::digest(&text).into());
            zstd::bulk::compress(text.as_bytes(), COMPRESSION_LEVEL).map(|packed| (hash, packed))
        });
        let (hash, packed) = packed.await?;
        let reference = Reference { key: self.key, hash, length };
        let pin = self.shared.pin(hash);
        let mut is_durable = pin.slot.0.lock().await;
        if !*is_durable {
            // What is there already is only as good as it reads; what is damaged is made good by that.
            match self.read(&reference).await {
                Ok(_) => self.backend.settle(hash).await?,
                Err(_) => self.backend.put(hash, packed).await?,
            }
            *is_durable = true;
        }
        drop(is_durable);
        Ok((reference, pin))
    }

    /// Deletes all texts: those of a hub that is gone.
    ///
    /// # Errors
    /// If some cannot be deleted.
    pub async fn clear(&self) -> io::Result<()> {
        self.backend.clear().await
    }

    /// The reference that a text is, if it is one of this hub.
    #[must_use]
    pub fn reference(&self, text: &str) -> Option<Reference> {
        let reference = text.starts_with(MARK).then(|| Reference::parse(text)).flatten()?;
        (reference.key == self.key).then_some(reference)
    }

    /// Puts the text in the place of its reference. Any other text stays what it is.
    ///
    /// # Errors
    /// If the text cannot be had.
    pub async fn resolve(&self, text: &mut String) -> Result<(), PayloadError> {
        if let Some(reference) = self.reference(text) {
            let _permit = self.busy.acquire().await;
            *text = self.read(&reference).await?;
        }
        Ok(())
    }

    async fn read(&self, reference: &Reference) -> Result<String, PayloadError> {
        let Reference { hash, length, .. } = *reference;
        let place = || self.backend.place(hash);
        let unreadable = |why: io::Error| PayloadError::Unreadable { hash, place: place(), why: why.to_string() };
        let Some(packed) = self.backend.get(hash).await.map_err(unreadable)? else {
            return Err(PayloadError::Missing { hash, length, place: place() });
        };
        let unpacked = blocking(move || Ok(unpack(hash, length, &packed))).await.map_err(unreadable)?;
        unpacked.map_err(|what| PayloadError::Damaged { hash, length, place: place(), what })
    }
}

fn unpack(hash: Hash, length: u32, packed: &[u8]) -> Result<String, &'static str> {
    // What is longer than it should be is not unpacked further than that.
    let bytes = zstd::bulk::decompress(packed, length as usize).map_err(|_| "cannot be unpacked")?;
    if bytes.len() != length as usize || Hash(Sha256::digest(&bytes).into()) != hash {
        return Err("does not hold the text that its name says");
    }
    String::from_utf8(bytes).map_err(|_| "holds something that is no text")
}

/// Runs what computes or waits for a disk on a thread for such things.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> impl Future<Output = io::Result<T>> + Send {
    let done = tokio::task::spawn_blocking(work);
    async move { done.await.unwrap_or_else(|_| Err(io::Error::other("the scheduler is stopping"))) }
}

#[cfg(test)]
mod tests;
