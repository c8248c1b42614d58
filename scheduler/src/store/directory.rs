//! A data folder: one file per task hub, and a lock that keeps a second scheduler out.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::StoreError;
use super::durable::{self, beside, gone};
use super::lock::LockFile;
use super::sqlite::{SqliteOptions, SqliteStore};
use crate::deployments::files::SUFFIX as COMPONENTS;
use crate::payload::place::SUFFIX as PAYLOADS;

/// Hubs' files end in this.
const SUFFIX: &str = ".db";

/// A hub that is being deleted ends in this instead.
const DELETED: &str = ".db.deleted";

/// A deletion waits this long for the last reads of a hub to end.
const DELETION_PATIENCE: Duration = Duration::from_secs(5);

/// A valid name of a task hub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubName(String);

impl HubName {
    /// Checks a name: 1 to 64 letters of a-z and A-Z, digits, `-`, `_` and `.`, so that it can name a file anywhere.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(fine) {
            return Err(StoreError::InvalidName(text.into()));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A data folder, which is locked until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: LockFile,
}

impl DataDir {
    /// Opens a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If another process has it open, or it cannot be made or written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        durable::make_folder(path).map_err(|e| unusable(path, &e))?;
        let lock = LockFile::take(&path.join("scheduler.lock"), &format!("the data folder {}", path.display()))?;
        let folder = Self { path: path.to_owned(), _lock: lock };
        folder.clear_up()?;
        Ok(folder)
    }

    /// The hubs in it, by name.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn hubs(&self) -> Result<Vec<HubName>, StoreError> {
        let mut hubs = Vec::new();
        for name in self.file_names()? {
            let Some(hub) = name.strip_suffix(SUFFIX) else { continue };
            match HubName::parse(hub) {
                Ok(hub) => hubs.push(hub),
                Err(_) => tracing::warn!("{}: is no task hub's, and is left alone", self.path.join(&name).display()),
            }
        }
        hubs.sort();
        Ok(hubs)
    }

    /// Opens a hub's store, or makes it, which is durable when this returns.
    ///
    /// # Errors
    /// If the store cannot be opened or made, or if there is a hub whose name differs only in upper and lower case, which
    /// some file systems cannot keep apart.
    pub fn open_hub(&self, name: &HubName) -> Result<SqliteStore, StoreError> {
        let similar = |other: &HubName| other != name && other.0.eq_ignore_ascii_case(&name.0);
        if let Some(existing) = self.hubs()?.into_iter().find(similar) {
            return Err(StoreError::NameTaken { wanted: name.0.clone(), existing: existing.0 });
        }
        SqliteStore::open_or_create(&self.file(name), SqliteOptions::default())
    }

    /// Deletes a hub's store, or nothing if there is none.
    ///
    /// # Errors
    /// If it is still open, or cannot be deleted.
    pub fn delete_hub(&self, name: &HubName) -> Result<(), StoreError> {
        let file = self.file(name);
        if !file.exists() {
            return Ok(());
        }
        let deadline = Instant::now() + DELETION_PATIENCE;
        let lock = loop {
            match SqliteStore::lock(&file) {
                Err(StoreError::Locked(_)) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10))
                }
                other => break other?,
            }
        };
        // The rename is the deletion: what follows only makes room, and is made up for at the next opening.
        let deleted = self.path.join(format!("{}{DELETED}", name.0));
        durable::rename(&file, &deleted).map_err(|e| unusable(&file, &e))?;
        drop(lock);
        self.remove_rest(&name.0)
    }

    /// The folder with the components that are deployed in a hub. It may not be there.
    #[must_use]
    pub fn components(&self, name: &HubName) -> PathBuf {
        self.path.join(format!("{}{COMPONENTS}", name.0))
    }

    /// A hub's file.
    #[must_use]
    pub fn file(&self, name: &HubName) -> PathBuf {
        self.path.join(format!("{}{SUFFIX}", name.0))
    }

    /// Finishes deletions that a crash interrupted.
    fn clear_up(&self) -> Result<(), StoreError> {
        for name in self.file_names()? {
            if let Some(hub) = name.strip_suffix(DELETED) {
                self.remove_rest(hub)?;
            }
        }
        Ok(())
    }

    /// Removes what a deleted hub leaves; last of all what says that it was deleted.
    fn remove_rest(&self, hub: &str) -> Result<(), StoreError> {
        let file = self.path.join(format!("{hub}{SUFFIX}"));
        for folder in [beside(&file, PAYLOADS), self.path.join(format!("{hub}{COMPONENTS}"))] {
            gone(fs::remove_dir_all(&folder)).map_err(|e| unusable(&folder, &e))?;
        }
        let rest = ["-wal", "-shm", ".lock"].map(|suffix| beside(&file, suffix));
        for path in rest.into_iter().chain([self.path.join(format!("{hub}{DELETED}"))]) {
            gone(fs::remove_file(&path)).map_err(|e| unusable(&path, &e))?;
        }
        Ok(())
    }

    fn file_names(&self) -> Result<Vec<String>, StoreError> {
        let name = |entry: io::Result<DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let names = fs::read_dir(&self.path).and_then(|entries| entries.map(name).collect());
        names.map_err(|e| unusable(&self.path, &e))
    }
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io(format!(
        "{}: {error}; the data folder must be on a local disk and writable for this user",
        path.display()
    ))
}
