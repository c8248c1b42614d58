//! A data folder: one file per task hub (placeholder of the lead until the store engineer's version lands; overwrite it).

use std::path::{Path, PathBuf};

use super::StoreError;
use super::sqlite::{SqliteOptions, SqliteStore};

/// A valid name of a task hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName(String);

impl HubName {
    /// Checks a name.
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

/// A data folder.
pub struct DataDir(PathBuf);

impl DataDir {
    /// Opens it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(|e| StoreError::Io(e.to_string()))?;
        Ok(Self(path.into()))
    }

    /// The hubs in it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn hubs(&self) -> Result<Vec<HubName>, StoreError> {
        let entries = std::fs::read_dir(&self.0).map_err(|e| StoreError::Io(e.to_string()))?;
        let names = entries.filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".db").map(str::to_owned));
        names.map(|n| HubName::parse(&n)).collect()
    }

    /// Opens a hub's store, or makes it.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open_hub(&self, name: &HubName) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_or_create(&self.0.join(format!("{}.db", name.as_str())), SqliteOptions::default())
    }

    /// Deletes a hub's store.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub fn delete_hub(&self, name: &HubName) -> Result<(), StoreError> {
        std::fs::remove_file(self.0.join(format!("{}.db", name.as_str()))).map_err(|e| StoreError::Io(e.to_string()))
    }
}
