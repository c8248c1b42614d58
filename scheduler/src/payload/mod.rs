//! Where large texts are kept: inputs, outputs, events, custom statuses and states of entities above a threshold.
//!
//! The [`Hub`](crate::hub::Hub) is the edge. What comes in is looked through once ([`PayloadStore::take_in`]): a text above the threshold
//! goes into the payload store, and a short [`Reference`] takes its place. From there on the core and the
//! [`Store`](crate::store::Store) move the reference about as they would the text. What goes out is looked through again
//! ([`PayloadStore::resolve`]), so nobody outside ever sees a reference.
//!
//! **Addresses.** A text's address is its SHA-256. The same text is kept once, and a text that is damaged is known by it.
//!
//! **Durable before visible.** A reference is handed to the core when its text is durable, and a [pin](Pins) keeps the text from then until
//! the call is answered, which is after the batch that holds the reference is on disk. From there on the store knows which rows refer to
//! it, in the same transaction that writes and deletes these rows. What is neither pinned nor referred to is collected ([`collector`]).

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::core::message::Input;
use crate::core::payload::{Hash, HubKey, MARK, Reference};

pub mod backend;
pub mod collector;
pub mod folder;
pub mod memory;
#[cfg(feature = "object-store")]
pub mod object;
pub(crate) mod place;
mod texts;

pub use backend::Backend;
pub use place::{Place, PlaceError};
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
pub struct Pins(Vec<Hold>);

impl Pins {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Somebody who does something with a text, or needs it.
#[derive(Debug)]
struct Hold {
    hash: Hash,
    slot: Arc<Slot>,
    shared: Arc<Shared>,
    /// Whether it is a pin: as long as it is held the text stays.
    is_pin: bool,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.let_go(self.hash);
        if self.is_pin {
            // Perhaps nothing came to refer to it: the call may have been refused. The slot is free before the collector learns of it.
            self.shared.released.lock().push((Instant::now(), self.hash));
        }
    }
}

/// What happens to a text at the moment. Whoever holds the lock may write or delete it; inside is whether it is known to be durable.
#[derive(Debug, Default)]
struct Slot(tokio::sync::Mutex<bool>);

#[derive(Debug, Default)]
struct Shared {
    /// Texts that are pinned, written or deleted, and by how many.
    slots: Mutex<HashMap<Hash, (usize, Arc<Slot>)>>,
    /// Texts that may be unused, and since when.
    released: Mutex<Vec<(Instant, Hash)>>,
}

impl Shared {
    fn pin(self: &Arc<Self>, hash: Hash) -> Hold {
        let mut slots = self.slots.lock();
        let (holds, slot) = slots.entry(hash).or_default();
        *holds += 1;
        Hold { hash, slot: Arc::clone(slot), shared: Arc::clone(self), is_pin: true }
    }

    /// For the collector: None if somebody has it.
    fn hold_alone(self: &Arc<Self>, hash: Hash) -> Option<Hold> {
        let mut slots = self.slots.lock();
        if slots.contains_key(&hash) {
            return None;
        }
        let slot = Arc::default();
        slots.insert(hash, (1, Arc::clone(&slot)));
        Some(Hold { hash, slot, shared: Arc::clone(self), is_pin: false })
    }

    /// The last one who lets go, whoever that is, takes the slot away, and with it what was known of the text.
    fn let_go(&self, hash: Hash) {
        let mut slots = self.slots.lock();
        let Some((holds, _)) = slots.get_mut(&hash) else { return };
        *holds -= 1;
        if *holds == 0 {
            slots.remove(&hash);
        }
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
        // Side by side: each has its own way to the disk.
        let puts = large.into_iter().map(async |(number, text)| Ok::<_, io::Error>((number, self.put(text).await?)));
        let (mut references, mut pins) = (VecDeque::new(), Vec::new());
        for (number, (reference, pin)) in futures::future::try_join_all(puts).await? {
            references.push_back((number, reference.to_string()));
            pins.push(pin);
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

    /// Makes a text durable. Who waits for others that have the same text in hand has no permit, which would be one less for all.
    async fn put(&self, text: String) -> io::Result<(Reference, Hold)> {
        let length = u32::try_from(text.len()).map_err(|_| io::Error::other("the text has more than 4 GiB"))?;
        let (hash, text) = {
            let _permit = self.busy.acquire().await;
            blocking(move || Ok((Hash::of(text.as_bytes()), text))).await?
        };
        let reference = Reference { key: self.key, hash, length };
        let pin = self.shared.pin(hash);
        let mut is_durable = pin.slot.0.lock().await;
        if !*is_durable {
            let _permit = self.busy.acquire().await;
            // What is there already is only as good as it reads; what is damaged is made good by that.
            match self.read(&reference).await {
                Ok(_) => self.backend.settle(hash).await?,
                Err(_) => {
                    let packed = blocking(move || zstd::bulk::compress(text.as_bytes(), COMPRESSION_LEVEL)).await?;
                    self.backend.put(hash, packed).await?;
                }
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
    if bytes.len() != length as usize || Hash::of(&bytes) != hash {
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
