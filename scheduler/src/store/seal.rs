//! Blobs that say what row they belong to.
//!
//! A blob is eight bytes of checksum and a payload, mostly a message of [`format`](super::format). The checksum (XXH3, 64 bits) covers the
//! table, the row's key and the payload, so that a blob that has changed *or that stands in another row* is found out.
//! It is 64 bits wide and not a CRC-32 because damage comes in sectors rather than bits, where a check is only as good
//! as its width; and it costs some 30 ns for a typical row.

use prost::Message;
use twox_hash::XxHash3_64;

use crate::core::ids::{InstanceKey, Position, RunId};

pub(super) const CHECKSUM_BYTES: usize = 8;

/// A blob that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{row} {what}")]
pub(super) struct Damaged {
    row: String,
    what: &'static str,
}

impl Damaged {
    /// Damage to a part of the store, which is named as a person would.
    pub(super) fn new(row: impl Into<String>, what: &'static str) -> Self {
        Self { row: row.into(), what }
    }
}

/// Which row a blob belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Row {
    Meta,
    Instance(InstanceKey),
    Episode(RunId, Position),
    Inbox(InstanceKey, u64),
    Timer(RunId, Position),
    Entity(InstanceKey),
    State(InstanceKey),
    Operation(InstanceKey, u64),
}

impl Row {
    fn checksum(self, payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let (table, key, sub) = match self {
            Self::Meta => (0u8, 0, 0),
            Self::Instance(key) => (1, key.0, 0),
            Self::Episode(run, first) => (2, run.0, first),
            Self::Inbox(key, seq) => (3, key.0, seq),
            Self::Timer(run, position) => (4, run.0, position),
            Self::Entity(key) => (5, key.0, 0),
            Self::State(key) => (6, key.0, 0),
            Self::Operation(key, seq) => (7, key.0, seq),
        };
        let mut place = [0; 17];
        place[0] = table;
        place[1..9].copy_from_slice(&key.to_le_bytes());
        place[9..].copy_from_slice(&sub.to_le_bytes());
        XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(&place), payload).to_le_bytes()
    }

    pub(super) fn seal(self, capacity: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut blob = Vec::with_capacity(CHECKSUM_BYTES + capacity);
        blob.extend_from_slice(&[0; CHECKSUM_BYTES]);
        encode(&mut blob);
        let checksum = self.checksum(&blob[CHECKSUM_BYTES..]);
        blob[..CHECKSUM_BYTES].copy_from_slice(&checksum);
        blob
    }

    pub(super) fn seal_message(self, message: &impl Message) -> Vec<u8> {
        self.seal(message.encoded_len(), |blob| message.encode_raw(blob))
    }

    pub(super) fn open<M: Message + Default>(self, blob: &[u8]) -> Result<M, Damaged> {
        M::decode(self.unseal(blob)?).map_err(|_| self.damaged("is intact but cannot be understood"))
    }

    pub(super) fn unseal(self, blob: &[u8]) -> Result<&[u8], Damaged> {
        let (checksum, payload) =
            blob.split_first_chunk::<CHECKSUM_BYTES>().ok_or_else(|| self.damaged("is cut off"))?;
        if *checksum != self.checksum(payload) {
            return Err(self.damaged("does not have the checksum that it was written with"));
        }
        Ok(payload)
    }

    pub(super) fn damaged(self, what: &'static str) -> Damaged {
        let row = match self {
            Self::Meta => "the row of the file's incarnation".to_owned(),
            Self::Instance(key) => format!("the row of instance {}", key.0),
            Self::Episode(run, first) => format!("the history of execution {} from event {first}", run.0),
            Self::Inbox(key, seq) => format!("event {seq} in the inbox of instance {}", key.0),
            Self::Timer(run, position) => format!("timer {position} of execution {}", run.0),
            Self::Entity(key) => format!("the row of entity {}", key.0),
            Self::State(key) => format!("the state of entity {}", key.0),
            Self::Operation(key, seq) => format!("operation {seq} in the queue of entity {}", key.0),
        };
        Damaged::new(row, what)
    }
}
