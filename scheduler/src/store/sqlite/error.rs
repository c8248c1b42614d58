//! What SQLite says, in the words of a store.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::StoreError;
use crate::store::codec::Damaged;

/// Why an access to the file failed, before it is known which file it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl Failure {
    /// Adds the file, and what to do.
    pub(super) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Damaged(damaged) => corrupt(path, &damaged),
            Self::Sqlite(error) => sqlite_error(&error, path),
        }
    }
}

/// Damage to the file.
pub(super) fn corrupt(path: &Path, what: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!(
        "{}: {what}. Nothing was changed. Keep a copy of the file and of the one ending in -wal beside it, check the disk, and \
         go back to a backup; what can still be read of it can be read with any SQLite tool",
        path.display()
    ))
}

fn sqlite_error(error: &rusqlite::Error, path: &Path) -> StoreError {
    let file = path.display();
    match error {
        rusqlite::Error::SqliteFailure(code, _) => match code.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => corrupt(path, error),
            // Keys are never used twice: one that is there already was damaged, or was not deleted when it should have been.
            ErrorCode::ConstraintViolation => {
                corrupt(path, &format_args!("a row that must be new is there already ({error})"))
            }
            ErrorCode::SystemIoFailure if code.extended_code == rusqlite::ffi::SQLITE_IOERR_DATA => {
                corrupt(path, &"a page does not have the checksum that it was written with")
            }
            ErrorCode::SystemIoFailure if is_damage(code.extended_code) => corrupt(path, error),
            ErrorCode::DiskFull => StoreError::Io(format!(
                "{file}: the disk is full, or a limit on the file's size is reached ({error}); make room and start again: nothing that was \
                 accepted is lost"
            )),
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
                StoreError::Io(format!("{file}: must be writable for this user, with its folder ({error})"))
            }
            ErrorCode::CannotOpen => StoreError::Io(format!(
                "{file}: cannot be opened ({error}); see that it exists, and that file and folder are readable and writable"
            )),
            ErrorCode::SystemIoFailure => StoreError::Io(format!(
                "{file}: the disk or the file system refused ({code}); see to it and start again: nothing that was accepted is lost"
            )),
            _ => StoreError::Io(format!("{file}: {error}")),
        },
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => corrupt(path, error),
        _ => StoreError::Io(format!("{file}: {error}")),
    }
}

/// I/O errors that tell of the data and not of the disk.
fn is_damage(extended: i32) -> bool {
    use rusqlite::ffi::{SQLITE_IOERR_CORRUPTFS, SQLITE_IOERR_SHORT_READ};
    [SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_CORRUPTFS].contains(&extended)
}
