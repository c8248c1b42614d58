//! Compiled components on disk.
//!
//! A file is named by the digest of the component and by the engine that it was compiled for, and begins with a checksum of
//! what follows. A file that is missing, foreign or damaged is made again. The folder must belong to the user that runs the
//! host: who can write to it can run code in the host.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Where compiled components are kept, if anywhere.
#[derive(Clone, Debug, Default)]
pub struct CodeCache {
    folder: Option<PathBuf>,
}

const MAGIC: &[u8; 8] = b"dwcode01";
const HEADER: usize = MAGIC.len() + 32;

impl CodeCache {
    /// A cache in this folder, which is made when it is needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()) }
    }

    /// Nothing is kept.
    pub fn none() -> Self {
        Self::default()
    }

    /// The compiled form of a component: from the cache, else compiled and kept there.
    pub(super) fn component(&self, engine: &Engine, digest: &str, bytes: &[u8]) -> wasmtime::Result<Component> {
        let Some(folder) = &self.folder else { return Component::from_binary(engine, bytes) };
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let path = folder.join(format!("{digest}-{:016x}.cwasm", hasher.finish()));
        if let Some(component) = load(engine, &path) {
            return Ok(component);
        }
        let component = Component::from_binary(engine, bytes)?;
        if let Err(error) = keep(&path, &component.serialize()?) {
            tracing::warn!(path = %path.display(), "a compiled component could not be kept, it will be compiled again at the next start: {error}");
        }
        Ok(component)
    }
}

fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let bytes = std::fs::read(path).ok()?;
    let damaged = |why: &str| {
        tracing::warn!(path = %path.display(), "a compiled component is {why} and will be compiled again");
        None
    };
    if bytes.len() < HEADER || &bytes[..MAGIC.len()] != MAGIC {
        return damaged("not one of ours");
    }
    let code = &bytes[HEADER..];
    if Sha256::digest(code).as_slice() != &bytes[MAGIC.len()..HEADER] {
        return damaged("damaged");
    }
    match deserialize(engine, code) {
        Ok(component) => Some(component),
        Err(error) => damaged(&format!("unusable ({error})")),
    }
}

/// The one place where the host trusts bytes to be machine code.
#[allow(unsafe_code, reason = "wasmtime offers no other way to load compiled code")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what `Component::serialize` gave, as their checksum shows: they were written by `keep` into a folder
    // that belongs to the host's user. wasmtime itself checks that they fit this engine.
    unsafe { Component::deserialize(engine, code) }
}

/// Writes a file so that it is there as a whole or not at all.
fn keep(path: &Path, code: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut bytes = Vec::with_capacity(HEADER + code.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(Sha256::digest(code).as_slice());
    bytes.extend_from_slice(code);
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, path)
}
