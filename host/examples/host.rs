//! A host without the command line around it: `cargo run --release -p durawasm-host --example host -- http://127.0.0.1:4001 COMPONENTS`.

use durawasm_host::{Host, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let scheduler = arguments.next().ok_or("which scheduler?")?;
    let components = arguments.next().ok_or("which folder of components?")?;
    let host = Host::build(Options::new(scheduler, components)).await?;
    for failure in host.failures() {
        eprintln!("{failure}");
    }
    for component in host.registry().current().components() {
        eprintln!(
            "{} {}: {:?} {:?}",
            component.name(),
            component.version(),
            component.orchestrators(),
            component.activities()
        );
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    host.run(async move {
        terminate.recv().await;
    })
    .await;
    Ok(())
}
