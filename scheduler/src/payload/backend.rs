//! What a payload store needs of the place where it is.

use std::io;

use crate::core::payload::Hash;

/// A place for compressed texts, each under its address. For one address there is one call at a time of those that change something.
#[tonic::async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Writes a text, or writes it anew. It is durable when this returns, and nobody has seen a part of it.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn put(&self, hash: Hash, packed: Vec<u8>) -> io::Result<()>;

    /// Makes sure that a text that can be read is durable too: whoever wrote it may have ended before he knew.
    ///
    /// # Errors
    /// If that is not certain.
    async fn settle(&self, hash: Hash) -> io::Result<()>;

    /// Reads a text.
    ///
    /// # Errors
    /// If the place cannot be read.
    async fn get(&self, hash: Hash) -> io::Result<Option<Vec<u8>>>;

    /// Deletes a text, or nothing if it is not there.
    ///
    /// # Errors
    /// If it cannot be deleted.
    async fn delete(&self, hash: Hash) -> io::Result<()>;

    /// The addresses of all texts, those included that were not written to their end.
    ///
    /// # Errors
    /// If the place cannot be read.
    async fn list(&self) -> io::Result<Vec<Hash>>;

    /// Deletes everything.
    ///
    /// # Errors
    /// If something cannot be deleted.
    async fn clear(&self) -> io::Result<()>;

    /// Where a text is, for people.
    fn place(&self, hash: Hash) -> String;
}
