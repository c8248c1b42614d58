//! Payloads in an object store: one object a text, under the store's prefix and the hub's name.
//!
//! Where the store is and who may use it is said in the environment, as its own tools have it: `AWS_ENDPOINT_URL`, `AWS_REGION`,
//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_ALLOW_HTTP` and others.

use std::io;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio_stream::StreamExt as _;

use super::Backend;
use crate::core::payload::Hash;

/// What a text's object ends in.
const SUFFIX: &str = ".zst";

/// An object store, or a part of one. An object is there as a whole or not at all, and durable when the store says so.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
}

impl Objects {
    /// The part of the store at that URL that belongs to a hub.
    ///
    /// # Errors
    /// If the URL or the environment makes no sense. Whether the store can be reached shows later.
    pub fn open(url: &str, hub: &str) -> object_store::Result<Self> {
        let parsed = url::Url::parse(url)
            .map_err(|e| object_store::Error::Generic { store: "payload store", source: Box::new(e) })?;
        // The TLS that the rest of durawasm has. If somebody has chosen another one for the process, that will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
        let settings = settings.map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, prefix) = object_store::parse_url_opts(&parsed, settings)?;
        Ok(Self::within(store.into(), &prefix, hub, url.trim_end_matches('/')))
    }

    /// The part of a store that belongs to a hub.
    #[must_use]
    pub fn within(store: Arc<dyn ObjectStore>, prefix: &Path, hub: &str, url: &str) -> Self {
        Self { store, prefix: prefix.clone().join(hub), url: format!("{url}/{hub}") }
    }

    fn path(&self, hash: Hash) -> Path {
        let name = hash.to_string();
        self.prefix.clone().join(&name[..2]).join(format!("{name}{SUFFIX}"))
    }
}

fn failed(error: object_store::Error) -> io::Error {
    io::Error::other(error)
}

#[tonic::async_trait]
impl Backend for Objects {
    async fn put(&self, hash: Hash, packed: Vec<u8>) -> io::Result<()> {
        self.store.put(&self.path(hash), packed.into()).await.map(drop).map_err(failed)
    }

    async fn settle(&self, _: Hash) -> io::Result<()> {
        Ok(())
    }

    async fn get(&self, hash: Hash) -> io::Result<Option<Vec<u8>>> {
        match self.store.get(&self.path(hash)).await {
            Ok(object) => Ok(Some(object.bytes().await.map_err(failed)?.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn delete(&self, hash: Hash) -> io::Result<()> {
        match self.store.delete(&self.path(hash)).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    async fn list(&self) -> io::Result<Vec<Hash>> {
        let mut objects = self.store.list(Some(&self.prefix));
        let mut hashes = Vec::new();
        while let Some(object) = objects.next().await {
            let location = object.map_err(failed)?.location;
            hashes.extend(location.filename().and_then(|name| name.strip_suffix(SUFFIX)).and_then(Hash::parse));
        }
        Ok(hashes)
    }

    async fn clear(&self) -> io::Result<()> {
        for hash in self.list().await? {
            self.delete(hash).await?;
        }
        Ok(())
    }

    fn place(&self, hash: Hash) -> String {
        let name = hash.to_string();
        format!("{}/{}/{name}{SUFFIX}", self.url, &name[..2])
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn each_hub_has_its_own_texts_and_deletes_no_others() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let hub = |name| Objects::within(Arc::clone(&store), &Path::from("prefix"), name, "s3://bucket/prefix");
        let (one, other) = (hub("hub-1"), hub("hub-2"));
        let (a, b) = (Hash([0xaa; 32]), Hash([0xbb; 32]));
        one.put(a, b"first".into()).await.expect("it is written");
        one.put(a, b"again".into()).await.expect("it is written anew");
        one.put(b, b"second".into()).await.expect("it is written");
        other.put(a, b"the other's".into()).await.expect("it is written");
        assert_eq!(one.get(a).await.expect("it is read").as_deref(), Some(&b"again"[..]));
        let mut all = one.list().await.expect("they are listed");
        all.sort();
        assert_eq!(all, [a, b]);
        one.delete(a).await.expect("it is deleted");
        one.delete(a).await.expect("that it is gone is fine");
        assert_eq!(one.get(a).await.expect("it is read"), None);
        one.clear().await.expect("all are deleted");
        assert!(one.list().await.expect("they are listed").is_empty());
        assert_eq!(other.list().await.expect("they are listed"), [a]);
        assert_eq!(one.place(a), format!("s3://bucket/prefix/hub-1/aa/{a}.zst"));
    }

    #[test]
    fn a_url_is_opened_without_asking_the_store() {
        assert!(Objects::open("s3://bucket/prefix", "hub").is_ok());
        assert!(Objects::open("nonsense", "hub").is_err());
    }
}
