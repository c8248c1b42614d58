//! All randomness of an execution, from two things that its history holds for ever.
//!
//! The key is SHA-256 of the instance id's bytes, followed by the time of the execution's first `orchestratorStarted`:
//! seconds as 8 bytes and nanoseconds as 4 bytes, both little-endian. The last 12 bytes are always the time, so no
//! two pairs give the same input. The key seeds ChaCha20, with one stream for each consumer, so that none can
//! disturb another: this is frozen (`docs/replay.md`).

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use super::history::Time;
use crate::abi::Seed;

/// The random streams of one execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams {
    key: [u8; 32],
}

const WASI: u64 = 0;
const SDK: u64 = 1;
const HOST: u64 = 2;

impl Streams {
    /// The streams of the execution of this instance that began its first episode at this time.
    pub fn new(instance_id: &str, first_episode: Time) -> Self {
        let mut hash = Sha256::new();
        hash.update(instance_id.as_bytes());
        hash.update(first_episode.seconds.to_le_bytes());
        hash.update(first_episode.nanos.to_le_bytes());
        Self { key: hash.finalize().into() }
    }

    fn stream(&self, number: u64) -> ChaCha20Rng {
        let mut rng = ChaCha20Rng::from_seed(self.key);
        rng.set_stream(number);
        rng
    }

    /// What WASI's random interfaces draw from.
    pub fn wasi(&self) -> ChaCha20Rng {
        self.stream(WASI)
    }

    /// What the guest's SDK derives its numbers from.
    pub fn sdk(&self) -> Seed {
        let mut rng = self.stream(SDK);
        Seed { a: rng.next_u64(), b: rng.next_u64(), c: rng.next_u64(), d: rng.next_u64() }
    }

    /// The instance id of the child that this action starts, if the guest chose none.
    ///
    /// The suffix is `action * a + b` over 32 bits, where `a` (made odd) and `b` are the first two words of the host's stream:
    /// random to look at, and never the same for two actions of an execution, however many children it has.
    pub(crate) fn child_id(&self, parent: &str, action: i32) -> String {
        let mut rng = self.stream(HOST);
        let (a, b) = (rng.next_u32() | 1, rng.next_u32());
        format!("{parent}:{:08x}", action.cast_unsigned().wrapping_mul(a).wrapping_add(b))
    }

    /// What names the message that this action of an instance sends to an entity: a UUID, since other SDKs read it as one. Its bits are
    /// SHA-256 of the key, the instance id and the action; the instance's own id is in it since a fork has its origin's key. An answer is
    /// matched by the id that the history holds, not by this one.
    pub(crate) fn request_id(&self, instance_id: &str, action: i32) -> String {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(instance_id.as_bytes());
        hash.update(action.to_le_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Time = Time { seconds: 1_700_000_000, nanos: 123_456_000 };

    /// If this fails, instances that are in flight would diverge: the change must not be made. The values were computed
    /// by another implementation of SHA-256 and ChaCha20.
    #[test]
    fn the_streams_of_an_execution_are_frozen() {
        let streams = Streams::new("order-1", TIME);
        assert_eq!(hex(&streams.key), "61211614c06e8c015e7894b0bf40213052ca17bb19c2a4fb6b0517cd4e2725de");
        assert_eq!(streams.sdk().a, 1_824_926_143_042_257_090);
        assert_eq!(streams.wasi().next_u64(), 11_496_613_914_972_149_375);
        assert_eq!(streams.child_id("order-1", 1), "order-1:f51b3ea5");
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn children_of_one_execution_never_share_an_id() {
        let streams = Streams::new("parent", TIME);
        let ids: std::collections::HashSet<_> = (1..=20_000).map(|action| streams.child_id("parent", action)).collect();
        assert_eq!(ids.len(), 20_000);
    }

    #[test]
    fn requests_of_one_execution_never_share_an_id() {
        let streams = Streams::new("parent", TIME);
        let ids: std::collections::HashSet<_> =
            (1..=20_000).map(|action| streams.request_id("parent", action)).collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| uuid::Uuid::parse_str(id).is_ok()));
        assert_eq!(streams.request_id("parent", 7), Streams::new("parent", TIME).request_id("parent", 7));
        assert_ne!(streams.request_id("parent", 7), streams.request_id("fork", 7));
    }

    #[test]
    fn the_key_separates_the_id_from_the_time() {
        let other = Time { nanos: 1, ..TIME };
        assert_ne!(Streams::new("a", TIME), Streams::new("a", other));
        assert_ne!(Streams::new("a", TIME), Streams::new("b", TIME));
    }
}
