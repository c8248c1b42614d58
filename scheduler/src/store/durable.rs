//! Files and folders that are on disk when a call returns, their names included.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Writes a file so that it is there as a whole or not at all: under another name beside it first.
///
/// # Errors
/// If it cannot be written. What was there before is there still, or, if only the very last step failed, perhaps not after a power cut.
pub(crate) fn write(path: &Path, unfinished: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = File::create(unfinished)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()?;
    rename(unfinished, path)
}

/// Makes a file durable that is there as a whole: whoever wrote it may have ended before he had done so.
///
/// # Errors
/// If that is not certain.
pub(crate) fn settle(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_folder_of(path)
}

/// Gives a file its name.
///
/// # Errors
/// If that cannot be done, or is not certain to last.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Makes a folder, and those that it is in. That there is one already does not say that it is there for good: whoever made it may have
/// ended, with the machine, before he knew.
///
/// # Errors
/// If that cannot be done, or is not certain to last.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
    let made: Vec<&Path> = path.ancestors().skip(1).take_while(missing).collect();
    fs::create_dir_all(path)?;
    std::iter::once(path).chain(made).try_for_each(sync_folder_of)
}

/// Makes the names durable in the folder that something is in.
///
/// # Errors
/// If that is not certain.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    #[cfg(test)]
    witness::note(folder);
    Ok(())
}

/// What was to be removed is gone, whether it was there or not.
///
/// # Errors
/// Any other.
pub(crate) fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// The path with something at the end of its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What was made durable, for tests: nothing else shows it while the machine does not lose its power.
#[cfg(test)]
pub(crate) mod witness {
    use std::path::{Path, PathBuf};

    use parking_lot::Mutex;

    static SYNCED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

    pub(super) fn note(folder: &Path) {
        SYNCED.lock().push(folder.to_owned());
    }

    /// The folders at or below this one whose names were made durable since the last call.
    pub(crate) fn take(root: &Path) -> Vec<PathBuf> {
        SYNCED.lock().extract_if(.., |folder| folder.starts_with(root)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_durable_in_all_folders_that_were_made_for_it_and_in_its_own_also_if_it_is_there() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("a/b/c");
        make_folder(&path).expect("it is made");
        let synced = witness::take(root.path());
        assert_eq!(synced, [root.path().join("a/b"), root.path().join("a"), root.path().to_owned()]);
        make_folder(&path).expect("it is there");
        assert_eq!(witness::take(root.path()), [root.path().join("a/b")]);
    }

    #[test]
    fn a_file_takes_the_place_of_the_one_before_as_a_whole() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("file");
        for text in ["first", "second"] {
            let (one, two) = text.as_bytes().split_at(2);
            write(&path, &beside(&path, ".new"), &[one, two]).expect("it is written");
            assert_eq!(fs::read_to_string(&path).expect("it is read"), text);
            assert!(witness::take(root.path()).contains(&root.path().to_owned()));
        }
        assert!(!beside(&path, ".new").exists());
    }
}
