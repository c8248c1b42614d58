//! Where a hub's payloads are: beside its file, in another folder, or in an object store.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::Backend;
use super::folder::Folder;
use super::memory::Memory;
use crate::core::payload::HubKey;
use crate::store::durable::{self, beside};

/// The folder of a hub's payloads beside its file ends in this.
pub(crate) const SUFFIX: &str = ".payloads";

/// Where payloads are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In a folder beside each hub's file; in memory for hubs in memory.
    #[default]
    BesideHub,
    /// In this folder, with a folder for each hub.
    Folder(PathBuf),
    /// In an object store: a URL like `s3://bucket/prefix`.
    Objects(String),
}

/// Why a place cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`--payload-store {place}` cannot be used: {why}")]
pub struct PlaceError {
    /// The place as it was given.
    pub place: String,
    /// Why not.
    pub why: String,
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let refused = |why: &str| Err(PlaceError { place: text.to_owned(), why: why.to_owned() });
        match text.split_once("://") {
            None if text.is_empty() => refused("it is empty: give a folder, or a URL like s3://bucket/prefix"),
            None => Ok(Self::Folder(text.into())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(path.into())),
            Some(("file", _)) => refused("a file URL has an absolute path: file:///path"),
            Some(("s3" | "s3a", rest)) if !rest.is_empty() => Ok(Self::Objects(text.to_owned())),
            Some(_) => refused("it is neither a folder nor a URL like s3://bucket/prefix"),
        }
    }
}

impl Place {
    /// Opens the place of one hub. `file` is the hub's own, if it has one.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(&self, hub: &str, key: HubKey, file: Option<&Path>) -> Result<Arc<dyn Backend>, PlaceError> {
        // Another hub of the same name, of another scheduler or before this one, has another key.
        let own = format!("{hub}-{:032x}", key.0);
        match (self, file) {
            (Self::BesideHub, Some(file)) => Ok(Arc::new(Folder::new(&beside(file, SUFFIX)))),
            (Self::BesideHub, None) => Ok(Arc::new(Memory::default())),
            (Self::Folder(root), None) => Err(needs_data(&root.display().to_string())),
            (Self::Objects(url), None) => Err(needs_data(url)),
            (Self::Folder(root), Some(_)) => {
                let failed = |e: std::io::Error| PlaceError { place: root.display().to_string(), why: e.to_string() };
                durable::make_folder(root).map_err(failed)?;
                Ok(Arc::new(Folder::new(&root.join(own))))
            }
            (Self::Objects(url), Some(_)) => objects(url, &own),
        }
    }
}

fn needs_data(place: &str) -> PlaceError {
    let why = "hubs in memory have their payloads in memory; it needs `--data`".to_owned();
    PlaceError { place: place.to_owned(), why }
}

#[cfg(feature = "object-store")]
fn objects(url: &str, own: &str) -> Result<Arc<dyn Backend>, PlaceError> {
    let failed = |why: String| PlaceError { place: url.to_owned(), why };
    Ok(Arc::new(super::object::Objects::open(url, own).map_err(|e| failed(e.to_string()))?))
}

#[cfg(not(feature = "object-store"))]
fn objects(url: &str, _: &str) -> Result<Arc<dyn Backend>, PlaceError> {
    let why = "this program was built without object stores: build it with `--features object-store`, or give a folder"
        .to_owned();
    Err(PlaceError { place: url.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_url_and_anything_else_says_what_it_should_be() {
        let place = |text: &str| text.parse::<Place>().map_err(|e| e.to_string());
        assert_eq!(place("data/large"), Ok(Place::Folder("data/large".into())));
        assert_eq!(place("file:///data/large"), Ok(Place::Folder("/data/large".into())));
        assert_eq!(place("s3://bucket/prefix"), Ok(Place::Objects("s3://bucket/prefix".into())));
        for wrong in ["", "s3://", "file://data", "ftp://host/path"] {
            let error = place(wrong).expect_err("it is none");
            assert!(error.starts_with(&format!("`--payload-store {wrong}` cannot be used: ")), "{error}");
        }
    }

    #[test]
    fn a_hub_in_memory_needs_no_place_and_takes_none() {
        assert!(Place::BesideHub.open("h", HubKey(1), None).is_ok());
        let error = Place::Folder("x".into()).open("h", HubKey(1), None).err().expect("it is refused").to_string();
        assert!(error.contains("`--payload-store x`") && error.contains("`--data`"), "{error}");
    }
}
