//! The bytes of components: whatever they are, loading gives a component that can be run or says what is wrong.
//!
//! Inputs begin with components that are assembled here, with the tests' guests where they are built, and with those of the corpus, of which
//! `wasm-smith` made some.

use std::path::PathBuf;
use std::time::Duration;

use durawasm_host::abi::EntityId;
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, Engines};
use durawasm_test_components::{Guest, echo, neighbour};

use super::values::{Player, limits};
use crate::Target;

pub(super) struct Components {
    engines: Engines,
    runtime: tokio::runtime::Runtime,
}

impl Components {
    pub(super) fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        Self { engines: Engines::new().expect("engines can be made"), runtime }
    }
}

impl Target for Components {
    fn name(&self) -> &'static str {
        "components"
    }

    fn known(&self) -> Vec<Vec<u8>> {
        let mut known = vec![Guest::default().component(), echo().component(), neighbour().component()];
        let folder = std::env::var_os("DURAWASM_TEST_GUESTS").map(PathBuf::from);
        known.extend(folder.and_then(|folder| std::fs::read(folder.join("test_version_one.wasm")).ok()));
        // The generator's, if it has run.
        let generated = std::env::var_os("DURAWASM_FUZZ_COMPONENTS").map(PathBuf::from);
        let files = generated.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten();
        let mut files: Vec<_> = files.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort_unstable();
        known.extend(files.iter().filter_map(|file| std::fs::read(file).ok()));
        known
    }

    fn run(&mut self, input: &[u8]) -> Result<(), String> {
        // Without the eight bytes at the beginning nothing else is looked at: they are right most of the time.
        let mut bytes = input.to_vec();
        if bytes.len() > 8 && bytes[bytes.len() - 1] != 0xff {
            bytes[..8].copy_from_slice(b"\0asm\x0d\0\x01\0");
        }
        let component = match LoadedComponent::load(&bytes, &self.engines, &CodeCache::none(), limits()) {
            Ok(component) => component,
            Err(error) => {
                let text = error.to_string();
                return if text.len() < 20 { Err(format!("the error says too little: {text:?}")) } else { Ok(()) };
            }
        };
        for name in component.orchestrators().iter().take(2) {
            Player::new(&component, name).play(&[], false)?;
        }
        for name in component.entities().iter().take(2) {
            let Some(code) = component.entity_code() else { continue };
            let mut batch = code.batch(EntityId { name: name.clone(), key: "k".to_owned() }, None);
            let operation = super::values::operate("get", None);
            let run = batch.run(&operation);
            let ended = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), run).await });
            ended.map_err(|_| format!("an operation of the entity `{name}` did not end"))?;
        }
        let Some(code) = component.activity_code() else { return Ok(()) };
        for name in component.activities().iter().take(2) {
            let context = super::values::call(name);
            // The outcome does not matter: that there is one does.
            let run = code.run(&context, "fuzz", Some("1".to_owned()));
            let ended = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), run).await });
            ended.map_err(|_| format!("the activity `{name}` did not end"))?;
        }
        Ok(())
    }

    fn longest(&self) -> usize {
        256 << 10
    }
}
