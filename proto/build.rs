//! Compiles the `.proto` files with protox, so that no protoc needs to be installed.

use std::path::Path;

use prost::Message as _;

const FILES: [&str; 2] = ["durabletask/service.proto", "durawasm/v1/durawasm.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // A history event is large and lives in vectors: box the rare heavy members.
        .boxed(".HistoryEvent.eventType.executionStarted")
        .boxed(".HistoryEvent.eventType.executionRewound")
        .compile_fds(descriptors)?;
    Ok(())
}
