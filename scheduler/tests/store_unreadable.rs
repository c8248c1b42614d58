//! A store that cannot be read in the middle of the work: the hub stops rather than lose what it cannot deliver.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::ids::{InstanceId, Position, RunId};
use durawasm_scheduler::core::message::Input;
use durawasm_scheduler::core::record::{LoadedInstance, StoredEvent};
use durawasm_scheduler::hub::{Fatal, Hub};
use durawasm_scheduler::store::memory::MemoryStore;
use durawasm_scheduler::store::{
    InstanceFilter, InstanceOrder, InstancePage, InstanceView, PageSize, Place, Recovered, Store, StoreError,
};

/// A store whose instances cannot be loaded any more once it is broken.
struct Broken {
    inner: MemoryStore,
    broken: AtomicBool,
}

impl Store for Broken {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.inner.commit(batch)
    }

    fn recover(&self) -> Result<Recovered, StoreError> {
        self.inner.recover()
    }

    fn load(&self, id: &InstanceId) -> Result<Option<LoadedInstance>, StoreError> {
        match self.broken.load(Ordering::Relaxed) {
            true => Err(StoreError::Io("the disk has gone away".into())),
            false => self.inner.load(id),
        }
    }

    fn view(&self, id: &InstanceId, with_input: bool) -> Result<Option<InstanceView>, StoreError> {
        self.inner.view(id, with_input)
    }

    fn history(&self, run: RunId, from: Position, max_bytes: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.inner.history(run, from, max_bytes)
    }

    fn list(
        &self,
        filter: &InstanceFilter,
        order: InstanceOrder,
        after: Option<&Place>,
        size: PageSize,
    ) -> Result<InstancePage, StoreError> {
        self.inner.list(filter, order, after, size)
    }

    fn children(
        &self,
        parent: &InstanceId,
        after: Option<&InstanceId>,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError> {
        self.inner.children(parent, after, limit)
    }
}

#[tokio::test]
async fn a_hub_that_cannot_read_an_instance_ends_instead_of_losing_what_was_sent_to_it() {
    let store = Arc::new(Broken { inner: MemoryStore::new(), broken: AtomicBool::new(false) });
    let (sink, mut fatal) = tokio::sync::mpsc::unbounded_channel();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let hub = Hub::start("h", store.clone(), Default::default(), sink, &shutdown).expect("it starts");
    let nobody = InstanceId::parse("nobody").expect("an id");
    let raise = |id: InstanceId| move |call| Input::Raise(call, id, "event".into(), None);
    let refused = hub.call(raise(nobody.clone())).await.expect_err("there is no such instance");
    assert_eq!(refused.code(), tonic::Code::NotFound);
    store.broken.store(true, Ordering::Relaxed);
    let refused = hub.call(raise(nobody)).await.expect_err("it cannot be looked up");
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    let (name, why) = fatal.recv().await.expect("it says why");
    assert_eq!(name, "h");
    assert!(matches!(&why, Fatal::Store(StoreError::Io(text)) if text.contains("gone away")), "{why}");
}
