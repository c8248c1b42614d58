//! Reading TOML so that a mistake is found: the file, the line and the key, and what is wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// A manifest or a policy that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// The file, if it came from one.
    pub path: Option<PathBuf>,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// The key, dotted, where it is known.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.line) {
            (Some(path), Some(line)) => write!(f, "{}:{line}: ", path.display())?,
            (Some(path), None) => write!(f, "{}: ", path.display())?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for DocumentError {}

impl DocumentError {
    /// Something wrong with a key.
    pub(super) fn of_key(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: None, line: None, key: Some(key.into()), message: message.into() }
    }

    /// The same, with the file that it is in.
    #[must_use]
    pub(super) fn within(self, path: &Path) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }
}

/// Reads a document. Unknown keys are errors where the type says so.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    let syntax = |error: toml::de::Error| DocumentError {
        path: None,
        line: error.span().map(|span| line(text, span.start)),
        key: None,
        message: error.message().to_owned(),
    };
    let deserializer = toml::Deserializer::parse(text).map_err(syntax)?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let key = error.path().to_string();
        let key = (!matches!(key.as_str(), "." | "?")).then_some(key);
        DocumentError { key, ..syntax(error.into_inner()) }
    })
}

/// Reads a file.
pub(super) fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, DocumentError>) -> Result<T, DocumentError> {
    let unreadable = |error: std::io::Error| DocumentError {
        path: Some(path.to_owned()),
        line: None,
        key: None,
        message: format!("it cannot be read: {error}"),
    };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map_err(|error| error.within(path))
}

fn line(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}
