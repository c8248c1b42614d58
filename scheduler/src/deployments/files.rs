//! Where deployments are kept: a folder beside the hub's file.
//!
//! `NAME.components/catalogue` says what is deployed; it is replaced as a whole. `NAME.components/SHA-256.wasm` are the bytes, which are there
//! before a catalogue names them and are looked at again each time that they are read. See `docs/versions.md`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durawasm_proto::v1;
use prost::Message as _;

use super::Catalogue;
use crate::core::payload::Hash;
use crate::store::{StoreError, durable};

/// The name of a hub's folder ends in this.
pub const SUFFIX: &str = ".components";

const CATALOGUE: &str = "catalogue";
const MAGIC: &[u8; 8] = b"dwdepl01";
const HEADER: usize = MAGIC.len() + 8;

/// Keeps a catalogue and the bytes that it names.
#[derive(Debug)]
pub enum Files {
    /// In a folder, which is made when something is deployed.
    Folder(PathBuf),
    /// Nowhere.
    Memory(HashMap<String, Arc<[u8]>>),
}

impl Files {
    /// What is kept. What a crash left half done is cleared away.
    pub(super) fn recover(&mut self) -> Result<Catalogue, StoreError> {
        let Self::Folder(folder) = self else { return Ok(Catalogue::default()) };
        let path = folder.join(CATALOGUE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Catalogue::default()),
            Err(error) => return Err(unusable(&path, &error)),
        };
        let damaged = |what: &str| {
            StoreError::Corrupt(format!(
                "{}: {what}. It says what is deployed in the hub; go back to a backup of the folder, or remove the folder and deploy again: \
                 instances wait until then",
                path.display()
            ))
        };
        if bytes.len() < HEADER || &bytes[..MAGIC.len()] != MAGIC {
            return Err(damaged("it is no catalogue of deployments, or one of a newer version"));
        }
        let (sum, wire) = (&bytes[MAGIC.len()..HEADER], &bytes[HEADER..]);
        if sum != twox_hash::XxHash3_64::oneshot(wire).to_le_bytes() {
            return Err(damaged("it does not have the checksum that it was written with"));
        }
        let wire = v1::Deployments::decode(wire).map_err(|error| damaged(&error.to_string()))?;
        let catalogue = Catalogue::from_wire(wire);
        self.sweep(&catalogue);
        Ok(catalogue)
    }

    /// Keeps the bytes of a component.
    pub(super) fn put(&mut self, content: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Memory(kept) => drop(kept.insert(content.to_owned(), bytes.into())),
            Self::Folder(folder) => {
                let path = component(folder, content);
                if path.is_file() && read(&path, content).is_ok() {
                    let settled = durable::make_folder(folder).and_then(|()| durable::settle(&path));
                    settled.map_err(|error| unusable(&path, &error))?;
                } else {
                    write(&path, &[bytes])?;
                }
            }
        }
        Ok(())
    }

    /// Keeps a catalogue in the place of the one before.
    pub(super) fn keep(&mut self, catalogue: &Catalogue) -> Result<(), StoreError> {
        let Self::Folder(folder) = self else { return Ok(()) };
        let wire = catalogue.wire().encode_to_vec();
        let sum = twox_hash::XxHash3_64::oneshot(&wire).to_le_bytes();
        write(&folder.join(CATALOGUE), &[MAGIC, &sum, &wire])
    }

    /// Forgets bytes that no version has. What cannot be removed stays, and costs nothing but room.
    pub(super) fn sweep(&mut self, catalogue: &Catalogue) {
        let needed = |content: &str| catalogue.names(content);
        match self {
            Self::Memory(kept) => kept.retain(|content, _| needed(content)),
            Self::Folder(folder) => {
                let Ok(entries) = fs::read_dir(&*folder) else { return };
                for path in entries.flatten().map(|entry| entry.path()) {
                    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                    let content = name.strip_suffix(".wasm");
                    if name.ends_with(".partial") || content.is_some_and(|content| !needed(content)) {
                        let _ = fs::remove_file(path);
                    }
                }
            }
        }
    }

    /// Reads without holding up changes.
    pub(super) fn reader(&self) -> Reader {
        match self {
            Self::Memory(kept) => Reader::Memory(kept.clone()),
            Self::Folder(folder) => Reader::Folder(folder.clone()),
        }
    }
}

/// Reads the bytes of components.
pub(super) enum Reader {
    Folder(PathBuf),
    Memory(HashMap<String, Arc<[u8]>>),
}

impl Reader {
    pub(super) fn bytes(&self, content: &str) -> Result<Option<Arc<[u8]>>, StoreError> {
        match self {
            Self::Memory(kept) => Ok(kept.get(content).cloned()),
            Self::Folder(folder) => {
                let path = component(folder, content);
                if !path.is_file() {
                    return Ok(None);
                }
                read(&path, content).map(|bytes| Some(bytes.into()))
            }
        }
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn content_of(bytes: &[u8]) -> String {
    Hash::of(bytes).to_string()
}

fn component(folder: &Path, content: &str) -> PathBuf {
    folder.join(format!("{content}.wasm"))
}

fn read(path: &Path, content: &str) -> Result<Vec<u8>, StoreError> {
    let bytes = fs::read(path).map_err(|error| unusable(path, &error))?;
    if content_of(&bytes) != content {
        return Err(StoreError::Corrupt(format!(
            "{}: it is not what was deployed. Deploy the same component again, and it is replaced",
            path.display()
        )));
    }
    Ok(bytes)
}

/// Writes a file so that it is there as a whole or not at all, and on disk when this returns.
fn write(path: &Path, parts: &[&[u8]]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written =
        durable::make_folder(folder).and_then(|()| durable::write(path, &path.with_extension("partial"), parts));
    written.map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io(format!(
        "{}: {error}; it must be writable for this user, and the disk must have room",
        path.display()
    ))
}
