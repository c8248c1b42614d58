//! Keeps two schedulers off one file or folder. The lock belongs to the open file, so it goes away with the process,
//! however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::StoreError;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct LockFile {
    _file: File,
}

impl LockFile {
    /// Takes the lock, whose file is made if needed; `guards` is what it stands for, in words.
    pub(super) fn take(path: &Path, guards: &str) -> Result<Self, StoreError> {
        let unusable = |e| StoreError::Io(format!("{}: cannot be made or opened: {e}", path.display()));
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(in_use(&mut file, guards))),
            Err(TryLockError::Error(e)) => {
                let path = path.display();
                return Err(StoreError::Io(format!("{path}: cannot be locked, as the file system answers: {e}")));
            }
        }
        // Who holds it is for people to read; the lock does not depend on it.
        let note = format!("{}\n", std::process::id());
        let noted =
            file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| file.write_all(note.as_bytes()));
        if let Err(error) = noted {
            tracing::debug!(%error, "the lock's holder could not be noted");
        }
        Ok(Self { _file: file })
    }
}

fn in_use(file: &mut File, guards: &str) -> String {
    let mut text = String::new();
    let holder = match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        _ => "another process".to_owned(),
    };
    format!(
        "{guards} is held by {holder}, which is probably another scheduler: stop that one, or use another data folder"
    )
}
