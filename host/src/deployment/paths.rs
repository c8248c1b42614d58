//! Paths in manifests and policies: absolute, and without steps back.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

/// A folder or file of the machine: absolute, without `.` and `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "PathBuf")]
pub struct FolderPath(PathBuf);

impl FolderPath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Whether `other` is this or lies below it, going by the names alone.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl TryFrom<PathBuf> for FolderPath {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        if !path.is_absolute() {
            return Err(format!("`{}` is no absolute path: begin it with `/`", path.display()));
        }
        if path.components().any(|part| matches!(part, Component::ParentDir)) {
            return Err(format!("`{}` has a step back (`..`): write the path without it", path.display()));
        }
        // Taking the components together again drops `.` and doubled or trailing slashes.
        Ok(Self(path.components().collect()))
    }
}

impl fmt::Display for FolderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Where a guest sees a folder: absolute, `/` between the names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct GuestPath(String);

impl GuestPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GuestPath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let Some(rest) = path.strip_prefix('/') else {
            return Err(format!("`{path}` is no absolute path: begin it with `/`"));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let root = path == "/";
        if !root && rest.split('/').any(|part| matches!(part, "" | "." | "..") || part.contains('\0')) {
            return Err(format!("`{path}` has an empty name, `.` or `..` in it: write the path without them"));
        }
        Ok(Self(format!("/{rest}")))
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_contains_what_is_below_it_and_not_what_only_begins_alike() {
        let path = |text: &str| FolderPath::try_from(PathBuf::from(text)).unwrap();
        assert!(path("/srv/data").contains(&path("/srv/data")));
        assert!(path("/srv/data/").contains(&path("/srv//data/./in")));
        assert!(path("/").contains(&path("/etc")));
        assert!(!path("/srv/data").contains(&path("/srv/database")));
        assert!(!path("/srv/data").contains(&path("/srv")));
    }

    #[test]
    fn relative_paths_and_steps_back_are_refused() {
        for bad in ["data", "./data", "../data", "/srv/../etc", ""] {
            assert!(FolderPath::try_from(PathBuf::from(bad)).is_err(), "{bad}");
        }
        for bad in ["data", "", "//", "/a//b", "/a/../b", "/./a"] {
            assert!(GuestPath::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for (good, path) in [("/", "/"), ("/a", "/a"), ("/a/b/", "/a/b")] {
            assert_eq!(GuestPath::try_from(good.to_owned()).unwrap().as_str(), path);
        }
    }
}
