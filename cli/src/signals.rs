//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends at once.

use durawasm_errors::{Code, CodedError, Context as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a program that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

/// Begins to listen for signals. What it returns is ready when the program is asked to end.
pub(crate) fn shutdown() -> Result<impl Future<Output = ()> + Send + 'static, CodedError> {
    let listen = |kind| signal(kind).coded(Code::SystemRefused, || "the program cannot listen for signals".to_owned());
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping; a second signal ends the program at once");
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            std::process::exit(INTERRUPTED);
        });
    })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
