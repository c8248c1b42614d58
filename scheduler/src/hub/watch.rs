//! Who waits for an instance: no polling, woken when a change is on disk.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::core::ids::InstanceId;
use crate::core::message::Change;
use crate::core::record::Status;

/// Counts changes; `over` counts those after which nobody need wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    progress: u64,
    over: u64,
    /// How it ended last, and when on this count.
    ended: Option<(u64, Status)>,
}

/// Instances that somebody waits for.
#[derive(Debug, Default)]
pub struct Watch {
    instances: Mutex<HashMap<InstanceId, watch::Sender<Seen>>>,
}

impl Watch {
    /// Begins to wait. Look at the instance only after this, and nothing is missed.
    pub fn subscribe(self: &Arc<Self>, id: &InstanceId) -> Subscription {
        let mut instances = self.instances.lock();
        let sender = instances.entry(id.clone()).or_insert_with(|| watch::channel(Seen::default()).0);
        let (receiver, began) = (sender.subscribe(), sender.borrow().over);
        Subscription { receiver, began, id: id.clone(), watch: Arc::clone(self) }
    }

    /// An instance changed.
    pub(super) fn notify(&self, id: &InstanceId, change: Change) {
        if let Some(sender) = self.instances.lock().get(id) {
            sender.send_modify(|seen| match change {
                Change::Progress => seen.progress += 1,
                Change::Over(ended) => {
                    seen.over += 1;
                    seen.ended = ended.map(|status| (seen.over, status)).or(seen.ended);
                }
            });
        }
    }

    /// How many instances are waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.instances.lock().len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Somebody waits for an instance.
pub struct Subscription {
    receiver: watch::Receiver<Seen>,
    /// The count of ends when it began.
    began: u64,
    id: InstanceId,
    watch: Arc<Watch>,
}

impl Subscription {
    /// Returns at the next change of any kind.
    pub async fn changed(&mut self) {
        // The sender lives as long as this subscription does.
        let _ = self.receiver.changed().await;
    }

    /// Marks what has happened so far as seen; see [`Self::over_since`].
    pub fn mark(&mut self) -> Mark {
        Mark(*self.receiver.borrow_and_update())
    }

    /// How the instance has ended since this subscription began, if it has: known also when another one has taken its place meanwhile.
    #[must_use]
    pub fn ended(&self) -> Option<Status> {
        self.receiver.borrow().ended.filter(|(at, _)| *at > self.began).map(|(_, status)| status)
    }

    /// Returns when the instance has ended or was taken away since `mark`.
    pub async fn over_since(&mut self, mark: Mark) {
        let _ = self.receiver.wait_for(|seen| seen.over != mark.0.over).await;
    }
}

/// A moment in the life of an instance.
#[derive(Clone, Copy, Debug)]
pub struct Mark(Seen);

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut instances = self.watch.instances.lock();
        // Under the lock, so that of two who leave at once the second one sees that it is the last.
        self.receiver = watch::channel(Seen::default()).1;
        if instances.get(&self.id).is_some_and(|s| s.receiver_count() == 0) {
            instances.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_wakes_for_the_end_only_and_leaves_nothing_behind() {
        let watch = Arc::new(Watch::default());
        let id = InstanceId::trusted("i");
        let mut waiting = watch.subscribe(&id);
        let mark = waiting.mark();
        watch.notify(&id, Change::Progress);
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), waiting.over_since(mark)).await;
        assert!(early.is_err());
        watch.notify(&id, Change::Over(Some(Status::Failed)));
        waiting.over_since(mark).await;
        assert_eq!(waiting.ended(), Some(Status::Failed));
        let second = watch.subscribe(&id);
        assert_eq!(second.ended(), None, "that was before it began to wait");
        drop(waiting);
        assert_eq!(watch.len(), 1);
        drop(second);
        assert!(watch.is_empty());
    }
}
