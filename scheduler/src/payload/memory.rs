//! Payloads of a hub in memory.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;

use super::Backend;
use crate::core::payload::Hash;

/// Texts that are gone when the process ends.
#[derive(Debug, Default)]
pub struct Memory {
    texts: Mutex<BTreeMap<Hash, Vec<u8>>>,
}

#[tonic::async_trait]
impl Backend for Memory {
    async fn put(&self, hash: Hash, packed: Vec<u8>) -> io::Result<()> {
        self.texts.lock().insert(hash, packed);
        Ok(())
    }

    async fn settle(&self, _: Hash) -> io::Result<()> {
        Ok(())
    }

    async fn get(&self, hash: Hash) -> io::Result<Option<Vec<u8>>> {
        Ok(self.texts.lock().get(&hash).cloned())
    }

    async fn delete(&self, hash: Hash) -> io::Result<()> {
        self.texts.lock().remove(&hash);
        Ok(())
    }

    async fn list(&self) -> io::Result<Vec<Hash>> {
        Ok(self.texts.lock().keys().copied().collect())
    }

    async fn clear(&self) -> io::Result<()> {
        self.texts.lock().clear();
        Ok(())
    }

    fn place(&self, hash: Hash) -> String {
        format!("{hash} in memory")
    }
}
