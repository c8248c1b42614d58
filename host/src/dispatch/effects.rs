//! What has effects is run here, activities and entities alike: so many at a time, each answered whatever happens.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Semaphore;

use super::Owed;
use crate::connection::{Abandoned, Answer, GuestLogs};

/// Runs up to so many work items of a kind at a time.
pub(super) struct Effects {
    permits: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
}

/// A work item: of which kind, what it is of (for people), and its token.
pub(super) struct Job {
    pub(super) kind: Abandoned,
    pub(super) name: String,
    pub(super) token: String,
}

/// What a run led to. None: nothing here can run it.
pub(super) type Ran = Option<(Answer, Option<GuestLogs>)>;

/// How long an item that nothing here can run is kept before it goes back: filters make this rare.
const UNROUTABLE_DELAY: Duration = Duration::from_secs(5);

impl Effects {
    /// Within a tokio runtime, which will run them.
    pub(super) fn new(at_a_time: u32) -> Self {
        Self { permits: Arc::new(Semaphore::new(at_a_time as usize)), runtime: tokio::runtime::Handle::current() }
    }

    /// Runs an item when its turn comes, and answers it.
    pub(super) fn spawn(&self, job: Job, owed: Owed, run: impl Future<Output = Ran> + Send + 'static) {
        let permits = Arc::clone(&self.permits);
        self.runtime.spawn(async move {
            // Fails only if the semaphore is closed, which it never is.
            let permit = permits.acquire_owned().await;
            let ran = AssertUnwindSafe(run).catch_unwind().await;
            // Others need not wait until it goes back.
            drop(permit);
            let (answer, logs) = match ran {
                Ok(Some(answered)) => answered,
                Ok(None) => {
                    tracing::warn!(
                        name = job.name,
                        "no component here has this {}; the work item goes back for another worker",
                        job.kind.noun()
                    );
                    tokio::time::sleep(UNROUTABLE_DELAY).await;
                    (Answer::Abandon(job.kind, job.token), None)
                }
                Err(_) => {
                    tracing::error!(
                        name = job.name,
                        "the host itself failed while it ran this {}; the work item goes back",
                        job.kind.noun()
                    );
                    (Answer::Abandon(job.kind, job.token), None)
                }
            };
            owed.answer(answer, logs);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::Outbox;
    use super::*;
    use crate::connection::Outgoing;

    fn job(token: &str) -> Job {
        Job { kind: Abandoned::Activity, name: "x".to_owned(), token: token.to_owned() }
    }

    async fn answered(answers: &mut mpsc::UnboundedReceiver<Outgoing>, within: Duration) -> String {
        let outgoing = tokio::time::timeout(within, answers.recv()).await.expect("in time").expect("somebody answers");
        match outgoing.answer {
            Answer::Abandon(Abandoned::Activity, token) => token,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_nothing_here_can_run_keeps_nobody_from_running() {
        let (sender, mut answers) = mpsc::unbounded_channel();
        let outbox = Outbox::new(sender);
        let effects = Effects::new(1);
        let begun = std::time::Instant::now();
        for token in ["one", "two"] {
            effects.spawn(job(token), outbox.begin(), async { None });
        }
        let done = Answer::Abandon(Abandoned::Activity, "done".to_owned());
        effects.spawn(job("three"), outbox.begin(), async { Some((done, None)) });
        assert_eq!(answered(&mut answers, UNROUTABLE_DELAY / 2).await, "done");
        assert_eq!(outbox.busy(), 2, "they are owed still");
        for token in ["one", "two"] {
            assert_eq!(answered(&mut answers, UNROUTABLE_DELAY * 2).await, token);
        }
        assert!(begun.elapsed() >= UNROUTABLE_DELAY && begun.elapsed() < UNROUTABLE_DELAY * 2);
    }

    #[tokio::test]
    async fn what_panics_goes_back_at_once_and_what_comes_after_it_runs() {
        let (sender, mut answers) = mpsc::unbounded_channel();
        let outbox = Outbox::new(sender);
        let effects = Effects::new(1);
        for token in ["one", "two"] {
            effects.spawn(job(token), outbox.begin(), async { panic!("as asked") });
        }
        for token in ["one", "two"] {
            assert_eq!(answered(&mut answers, UNROUTABLE_DELAY / 2).await, token);
        }
    }

    #[tokio::test]
    async fn no_more_run_at_a_time_than_may() {
        let (sender, mut answers) = mpsc::unbounded_channel();
        let outbox = Outbox::new(sender);
        let effects = Effects::new(2);
        let running = Arc::new(Semaphore::new(2));
        for _ in 0..10 {
            let running = Arc::clone(&running);
            effects.spawn(job("x"), outbox.begin(), async move {
                let _one = running.try_acquire().expect("one of two");
                tokio::task::yield_now().await;
                Some((Answer::Abandon(Abandoned::Activity, "done".to_owned()), None))
            });
        }
        for _ in 0..10 {
            assert_eq!(answered(&mut answers, UNROUTABLE_DELAY / 2).await, "done");
        }
    }
}
