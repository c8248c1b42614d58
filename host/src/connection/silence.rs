//! When a stream that says nothing counts as dead.

use std::time::{Duration, Instant};

use tonic::Status;

/// Schedulers send a ping at least every 30 s; several may get lost.
const LIMIT: Duration = Duration::from_secs(120);

/// How long a stream may still be silent. It survives that the wait for a message is given up and begun again.
#[derive(Debug)]
pub(super) struct Silence {
    limit: Duration,
    since: Instant,
}

impl Silence {
    pub(super) fn new() -> Self {
        Self::of(LIMIT, Instant::now())
    }

    fn of(limit: Duration, since: Instant) -> Self {
        Self { limit, since }
    }

    /// The stream said something.
    fn broken(&mut self, now: Instant) {
        self.since = now;
    }

    /// How much longer it may last.
    fn left(&self, now: Instant) -> Duration {
        self.limit.saturating_sub(now.saturating_duration_since(self.since))
    }

    /// The stream's next message, which must come in time.
    pub(super) async fn broken_by<T>(
        &mut self,
        message: impl Future<Output = Result<Option<T>, Status>>,
    ) -> Result<T, Status> {
        match tokio::time::timeout(self.left(Instant::now()), message).await {
            Ok(Ok(Some(message))) => {
                self.broken(Instant::now());
                Ok(message)
            }
            Ok(Ok(None)) => Err(Status::unavailable("the scheduler closed the stream")),
            Ok(Err(status)) => Err(status),
            Err(_) => {
                Err(Status::deadline_exceeded(format!("the scheduler has been silent for {} s", self.limit.as_secs())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tonic::Code;

    use super::*;

    #[test]
    fn a_stream_is_dead_after_120_seconds_of_silence_counted_from_its_last_message() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut silence = Silence::of(LIMIT, begun);
        assert_eq!(silence.left(at(119)), Duration::from_secs(1));
        assert_eq!(silence.left(at(120)), Duration::ZERO);
        silence.broken(at(119));
        assert_eq!(silence.left(at(238)), Duration::from_secs(1));
        assert_eq!(silence.left(at(1_000)), Duration::ZERO);
    }

    #[tokio::test]
    async fn waiting_again_and_again_does_not_make_the_silence_longer() {
        let mut silence = Silence::of(Duration::from_millis(30), Instant::now());
        let status = loop {
            tokio::select! {
                result = silence.broken_by(pending::<Result<Option<()>, _>>()) => break result.unwrap_err(),
                () = tokio::time::sleep(Duration::from_millis(4)) => {}
            }
        };
        assert_eq!(status.code(), Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn a_message_that_is_there_is_taken_however_long_the_silence_was() {
        let mut silence = Silence::of(Duration::ZERO, Instant::now());
        assert_eq!(silence.broken_by(async { Ok(Some(1)) }).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_stream_that_ends_well_is_a_broken_one() {
        let status = Silence::new().broken_by(async { Ok(None::<()>) }).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
    }
}
