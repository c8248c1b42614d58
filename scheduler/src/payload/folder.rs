//! Payloads in a folder: one file a text, in 256 folders by the first two digits of the address.
//!
//! A file is a plain zstd frame, so that `zstd -dc FILE | sha256sum` gives the file's name. It is written under another name, made
//! durable, and renamed; then the folder is made durable.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Backend, blocking};
use crate::core::payload::Hash;
use crate::store::durable::{self, gone};

/// What a text's file ends in.
const SUFFIX: &str = ".zst";
/// What a file ends in that is not complete.
const UNFINISHED: &str = ".new";

/// A folder of texts. It comes into being with the first one.
#[derive(Clone, Debug)]
pub struct Folder {
    root: Arc<Path>,
    /// Those of the 256 that are certain to be there after a power cut: this process has made sure of it.
    lasting: Arc<Mutex<BTreeSet<u8>>>,
}

impl Folder {
    /// The texts in that folder, which belongs to one scheduler at a time.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.into(), lasting: Arc::default() }
    }

    fn shard(&self, hash: Hash) -> PathBuf {
        self.root.join(&hash.to_string()[..2])
    }

    fn file(&self, hash: Hash, suffix: &str) -> PathBuf {
        self.shard(hash).join(format!("{hash}{suffix}"))
    }

    fn write(&self, hash: Hash, packed: &[u8]) -> io::Result<()> {
        // Also one that is there and was made by an earlier process, which may have ended before it was.
        let shard = self.shard(hash);
        if !self.lasting.lock().contains(&hash.0[0]) || !shard.is_dir() {
            self.settle_shard(hash)?;
        }
        durable::write(&self.file(hash, SUFFIX), &self.file(hash, UNFINISHED), &[packed])
    }

    /// Makes the folder of a text, and the folder of all folders. (The folder that this one is in belongs to others, and is there.)
    fn settle_shard(&self, hash: Hash) -> io::Result<()> {
        for folder in [&*self.root, &self.shard(hash)] {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => durable::sync_folder_of(folder)?,
            }
        }
        self.lasting.lock().insert(hash.0[0]);
        Ok(())
    }

    /// All addresses, also of what is not complete.
    fn hashes(&self) -> io::Result<Vec<Hash>> {
        let mut hashes = Vec::new();
        for shard in entries(&self.root)? {
            for file in entries(&shard)? {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let hash = name.strip_suffix(SUFFIX).or_else(|| name.strip_suffix(UNFINISHED));
                hashes.extend(hash.and_then(Hash::parse));
            }
        }
        Ok(hashes)
    }
}

/// What is in a folder; nothing if there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[tonic::async_trait]
impl Backend for Folder {
    async fn put(&self, hash: Hash, packed: Vec<u8>) -> io::Result<()> {
        let folder = self.clone();
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.root.display()));
        blocking(move || folder.write(hash, &packed)).await.map_err(at)
    }

    async fn settle(&self, hash: Hash) -> io::Result<()> {
        let folder = self.clone();
        blocking(move || {
            durable::settle(&folder.file(hash, SUFFIX))?;
            folder.settle_shard(hash)
        })
        .await
    }

    async fn get(&self, hash: Hash) -> io::Result<Option<Vec<u8>>> {
        let file = self.file(hash, SUFFIX);
        blocking(move || found(fs::read(file))).await
    }

    async fn delete(&self, hash: Hash) -> io::Result<()> {
        let files = [SUFFIX, UNFINISHED].map(|suffix| self.file(hash, suffix));
        blocking(move || files.into_iter().try_for_each(|file| gone(fs::remove_file(file)))).await
    }

    async fn list(&self) -> io::Result<Vec<Hash>> {
        let folder = self.clone();
        blocking(move || folder.hashes()).await
    }

    async fn clear(&self) -> io::Result<()> {
        let root = Arc::clone(&self.root);
        blocking(move || gone(fs::remove_dir_all(root))).await
    }

    fn place(&self, hash: Hash) -> String {
        self.file(hash, SUFFIX).display().to_string()
    }
}
