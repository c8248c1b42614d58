//! What a batch of entity operations costs, with a state of some size: `cargo run --release -p durawasm-host --example measure_entities`
//! after `cargo xtask setup`.

#![allow(clippy::unwrap_used, reason = "a measurement stops at what is wrong")]

use std::path::Path;
use std::time::Instant;

use durawasm_host::abi::{EntityId, Timestamp, entity};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, Engines, SandboxLimits};

const OPERATIONS: u32 = 1_000;

fn operation(name: &str, input: Option<String>) -> entity::Operation {
    let now = Timestamp { seconds: 1, nanos: 0 };
    entity::Operation { name: name.to_owned(), input, signal: false, id: "1".to_owned(), now }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests/tests");
    let folder = std::env::var_os("DURAWASM_TEST_GUESTS").map_or(target, Into::into);
    let bytes = std::fs::read(folder.join("test_bank.wasm")).unwrap();
    let engines = Engines::new().unwrap();
    let component = LoadedComponent::load(&bytes, &engines, &CodeCache::none(), SandboxLimits::default()).unwrap();
    let code = component.entity_code().unwrap();
    for lines in [0_usize, 10, 100, 1_000] {
        let id = EntityId { name: "ledger".to_owned(), key: "a".to_owned() };
        let mut first = code.batch(id.clone(), None);
        first.run(&operation("fill", Some(lines.to_string()))).await.outcome.unwrap();
        let (state, _) = first.end();
        let size = state.as_ref().map_or(0, String::len);
        for name in ["change", "changes"] {
            let begun = Instant::now();
            let mut batch = code.batch(id.clone(), state.clone());
            for _ in 0..OPERATIONS {
                batch.run(&operation(name, None)).await.outcome.unwrap();
            }
            batch.end();
            let each = begun.elapsed() / OPERATIONS;
            println!("a state of {size} bytes, {OPERATIONS} operations `{name}`: {each:?} each");
        }
    }
}
