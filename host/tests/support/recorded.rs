//! The histories of `tests/histories/`, as they were recorded.

use std::path::{Path, PathBuf};

use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, Engines, SandboxLimits};
use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use prost::Message as _;

/// The folders of all releases.
pub fn releases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/histories");
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

/// One recorded instance.
#[derive(Clone, Debug)]
pub struct History {
    pub file: PathBuf,
    pub instance_id: String,
    pub events: Vec<pb::HistoryEvent>,
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

/// All histories of a release: exported ones, and the protocol's own form.
pub fn histories(release: &Path) -> Vec<History> {
    let oldest = files(release, "history").into_iter().map(|file| {
        let instance_id = format!("recorded-{}", file.file_stem().unwrap().to_str().unwrap());
        let events = pb::HistoryChunk::decode(std::fs::read(&file).unwrap().as_slice()).unwrap().events;
        History { file, instance_id, events }
    });
    let exported = files(release, "json").into_iter().map(|file| {
        let document: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(document["format"], "durawasm history 1");
        let digits = document["recorded"].as_str().unwrap().as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
        let events = pb::HistoryChunk::decode(bytes.as_slice()).unwrap().events;
        History { file, instance_id: document["instanceId"].as_str().unwrap().to_owned(), events }
    });
    oldest.chain(exported).collect()
}

/// The components of a release: as they were recorded, or as they are built today.
pub fn components(release: &Path, today: bool) -> Vec<LoadedComponent> {
    let (engines, cache) = (Engines::new().unwrap(), CodeCache::new(super::code_cache()));
    let load = |recorded: PathBuf| {
        let path = if today { built(recorded.file_name().unwrap().to_str().unwrap()) } else { recorded };
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask test`", path.display()));
        LoadedComponent::load(&bytes, &engines, &cache, SandboxLimits::default()).unwrap()
    };
    files(release, "wasm").into_iter().map(load).collect()
}

/// A component of the tests or of the examples, as `cargo xtask setup` builds them.
fn built(file: &str) -> PathBuf {
    if file.starts_with("test_") {
        return super::guests().join(file);
    }
    let examples = std::env::var_os("DURAWASM_EXAMPLES").map(PathBuf::from);
    examples.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests/examples")).join(file)
}

impl History {
    fn started(&self) -> &pb::ExecutionStartedEvent {
        let started = self.events.iter().find_map(|event| match &event.event_type {
            Some(EventType::ExecutionStarted(started)) => Some(started),
            _ => None,
        });
        started.unwrap()
    }

    /// The component that the instance ran on: of its version, if it has one.
    pub fn component<'a>(&self, components: &'a [LoadedComponent]) -> &'a LoadedComponent {
        let started = self.started();
        let version = started.version.as_deref().unwrap_or_default();
        let fits = |component: &&LoadedComponent| {
            component.orchestrators().contains(&started.name) && (version.is_empty() || component.version() == version)
        };
        let found = components.iter().find(fits);
        found.unwrap_or_else(|| panic!("{}: no component has {} {version}", self.file.display(), started.name))
    }
}
