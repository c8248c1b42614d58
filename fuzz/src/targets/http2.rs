//! gRPC by hand, so that its frames may hold anything.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;

/// Longer than this nobody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message in its frame.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("messages are short");
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

/// A connection.
pub(super) struct Client {
    sender: SendRequest<Bytes>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream =
            tokio::net::TcpStream::connect(address).await.map_err(|error| format!("it does not listen: {error}"))?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender })
    }

    /// Sends a body and waits until the answer begins, and a moment for its end: streams have none. True if it was answered well.
    pub(super) async fn call(&self, path: &str, body: Bytes) -> Result<bool, String> {
        let told = |what: &str, error: h2::Error| format!("{path}: {what}: {error}");
        let mut sender = self.sender.clone().ready().await.map_err(|error| told("no request can be made", error))?;
        let request = http::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| error.to_string())?;
        let (response, mut stream) =
            sender.send_request(request, false).map_err(|error| told("no request can be made", error))?;
        // The answer may come before all is sent: then the rest is not wanted.
        let _ = stream.send_data(body, true);
        // These answer when something has happened, and here nothing ever does.
        let waits = path.contains("/WaitFor") || path.ends_with("/QueryInstance");
        let patience = if waits { Duration::from_millis(20) } else { PATIENCE };
        let response = match tokio::time::timeout(patience, response).await {
            Err(_) if waits => return Ok(true),
            Err(_) => return Err(format!("{path}: no answer within {PATIENCE:?}")),
            // A frame that is none of HTTP/2's may end the stream, not the process.
            Ok(Err(error)) if error.is_reset() => return Ok(false),
            Ok(response) => response.map_err(|error| told("no answer", error))?,
        };
        let refused = response.headers().get("grpc-status").is_some_and(|status| status != "0");
        let mut body = response.into_body();
        let rest = async {
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(20), rest).await;
        Ok(!refused)
    }
}
