//! The client's deadline on calls that are held open.
//!
//! The transport ends a call that is late too, but says CANCELLED, which no SDK takes for a wait that took too long. A client's own
//! clock usually comes first; on a busy machine it does not.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

/// How long before the transport's end of a call ours comes.
const AHEAD: Duration = Duration::from_millis(5);

/// When a call must have been answered.
#[derive(Clone, Copy, Debug)]
struct Deadline(Instant);

/// Notes the deadline of a call when its headers arrive, which is when the transport begins to count.
///
/// # Errors
/// None.
#[allow(clippy::result_large_err, reason = "the shape of an interceptor")]
pub fn note(mut request: Request<()>) -> Result<Request<()>, Status> {
    let deadline = timeout(request.metadata()).and_then(|t| Instant::now().checked_add(t.saturating_sub(AHEAD)));
    if let Some(deadline) = deadline {
        request.extensions_mut().insert(Deadline(deadline));
    }
    Ok(request)
}

/// When the client stops to wait for an answer, if it said so.
#[must_use]
pub fn of<T>(request: &Request<T>) -> Option<Instant> {
    request.extensions().get::<Deadline>().map(|deadline| deadline.0)
}

/// Waits, but not longer than the client does.
///
/// # Errors
/// DEADLINE_EXCEEDED when the client's time is over.
pub async fn keep<T>(deadline: Option<Instant>, wait: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let Some(deadline) = deadline else { return wait.await };
    match tokio::time::timeout_at(deadline, wait).await {
        Ok(outcome) => outcome,
        Err(_) => {
            Err(Status::deadline_exceeded("what was waited for has not happened within the time that the call has"))
        }
    }
}

/// How long the client waits for an answer, as it says in the headers.
fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number.saturating_mul(3_600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_in_every_unit_and_nonsense_is_none() {
        let read = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().expect("plain text"));
            timeout(&metadata)
        };
        for (text, micros) in [("2H", 7_200_000_000), ("1M", 60_000_000), ("3S", 3_000_000), ("5m", 5_000), ("7u", 7)] {
            assert_eq!(read(text), Some(Duration::from_micros(micros)), "{text}");
        }
        assert_eq!(read("9n"), Some(Duration::from_nanos(9)));
        for text in ["", "S", "12", "-1S", "1x", "1 S"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(timeout(&MetadataMap::new()), None);
    }
}
