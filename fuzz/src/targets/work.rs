//! What a scheduler sends to a host: work items and session frames with any content, and bytes that are none. The host answers or
//! connects again, and goes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use durawasm_host::{Host, Options};
use durawasm_test_components::{Guest, echo};
use http::HeaderMap;
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

use super::chance::Chance;
use super::http2::frame;
use super::messages::Messages;
use super::values::limits;
use crate::Target;

pub(super) struct Work {
    messages: Messages,
    _runtime: Runtime,
    frames: broadcast::Sender<(bool, Bytes)>,
    host: tokio::task::JoinHandle<()>,
    handle: durawasm_host::Handle,
    /// Streams of work that were opened so far.
    opened: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

impl Work {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let folder = tempfile::tempdir().expect("a folder can be made");
        for (name, component) in [
            ("echo.wasm", echo().component()),
            ("guest.wasm", Guest { name: "other".to_owned(), ..Guest::default() }.component()),
        ] {
            std::fs::write(folder.path().join(name), component).expect("a file can be written");
        }
        let (frames, _) = broadcast::channel(1_024);
        let opened = Arc::new(AtomicU64::new(0));
        let (host, handle) = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
            let address: SocketAddr = listener.local_addr().expect("it has an address");
            tokio::spawn(serve(listener, frames.clone(), Arc::clone(&opened)));
            let options = Options { limits: limits(), ..Options::new(format!("http://{address}"), folder.path()) };
            let host = Host::build(options).await.expect("a host can be made");
            let handle = host.handle();
            (tokio::spawn(host.run(std::future::pending())), handle)
        });
        Self { messages: Messages::new(), _runtime: runtime, frames, host, handle, opened, _folder: folder }
    }
}

impl Target for Work {
    fn name(&self) -> &'static str {
        "work"
    }

    fn run(&mut self, input: &[u8]) -> Result<(), String> {
        let mut chance = Chance::new(input);
        let connected = || self.handle.status().connected && self.frames.receiver_count() > 0;
        let wait = |what: &str, ready: &dyn Fn() -> bool| {
            let began = Instant::now();
            while !ready() {
                if began.elapsed() > Duration::from_secs(15) {
                    return Err(format!(
                        "{what}: {:?}, {} streams so far",
                        self.handle.status(),
                        self.opened.load(Ordering::Relaxed)
                    ));
                }
                if self.host.is_finished() {
                    return Err("the host has ended".to_owned());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        };
        wait("the host does not connect", &connected)?;
        for _ in 0..4 {
            if chance.is_over() {
                break;
            }
            let session = chance.flag();
            let bytes = match chance.below(32) {
                0 => chance.text().into_bytes().into(),
                _ => frame(
                    &self
                        .messages
                        .message(&mut chance, if session { ".durawasm.v1.SchedulerFrame" } else { ".WorkItem" }),
                ),
            };
            // Nobody may listen at this moment.
            let _ = self.frames.send((session, bytes));
        }
        wait("the host does not finish its work", &|| self.handle.status().busy == 0 || !connected())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// A scheduler that answers every call with an empty message, and each stream of work with the frames of its kind. Every second stream
/// has to do without `durawasm.v1`.
async fn serve(listener: tokio::net::TcpListener, frames: broadcast::Sender<(bool, Bytes)>, opened: Arc<AtomicU64>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (frames, opened) = (frames.clone(), Arc::clone(&opened));
        tokio::spawn(async move {
            let Ok(mut connection) = h2::server::handshake(socket).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                let path = request.uri().path().to_owned();
                tokio::spawn(drain(request.into_body()));
                let session = path.ends_with("/Session");
                if session && opened.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
                    refuse(respond);
                } else if session || path.ends_with("/GetWorkItems") {
                    tokio::spawn(work(respond, session, frames.subscribe()));
                } else {
                    answer(respond);
                }
            }
        });
    }
}

async fn drain(mut body: h2::RecvStream) {
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
    }
}

fn headers() -> http::Response<()> {
    let mut response = http::Response::new(());
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    response
}

fn refuse(mut respond: h2::server::SendResponse<Bytes>) {
    let mut response = headers();
    response.headers_mut().insert("grpc-status", http::HeaderValue::from_static("12"));
    let _ = respond.send_response(response, true);
}

fn answer(mut respond: h2::server::SendResponse<Bytes>) {
    let Ok(mut stream) = respond.send_response(headers(), false) else { return };
    let _ = stream.send_data(frame(&[]), false);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let _ = stream.send_trailers(trailers);
}

async fn work(
    mut respond: h2::server::SendResponse<Bytes>,
    session: bool,
    mut frames: broadcast::Receiver<(bool, Bytes)>,
) {
    let Ok(mut stream) = respond.send_response(headers(), false) else { return };
    loop {
        tokio::select! {
            frame = frames.recv() => match frame {
                Ok((kind, bytes)) if kind == session => {
                    if stream.send_data(bytes, false).is_err() {
                        return;
                    }
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            },
            _ = std::future::poll_fn(|context| stream.poll_reset(context)) => return,
        }
    }
}
