//! A store that cannot be read in the middle of the work: the hub stops rather than lose what it cannot deliver.

use std::sync::Arc;

use durawasm_scheduler::core::ids::InstanceId;
use durawasm_scheduler::core::message::Input;
use durawasm_scheduler::core::payload::HubKey;
use durawasm_scheduler::deployments::Deployments;
use durawasm_scheduler::deployments::files::Files;
use durawasm_scheduler::hub::{Fatal, Hub};
use durawasm_scheduler::payload::memory::Memory;
use durawasm_scheduler::payload::{PayloadOptions, PayloadStore};
use durawasm_scheduler::store::StoreError;
use durawasm_scheduler::store::failing::{FailingStore, Fate};
use durawasm_scheduler::store::memory::MemoryStore;

#[tokio::test]
async fn a_hub_that_cannot_read_an_instance_ends_instead_of_losing_what_was_sent_to_it() {
    let store = Arc::new(FailingStore::after(u64::MAX, Fate::Lost, MemoryStore::new()));
    let (sink, mut fatal) = tokio::sync::mpsc::unbounded_channel();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let options = PayloadOptions::default();
    let payloads = PayloadStore::new(HubKey(0), &options, 1 << 20, Arc::new(Memory::default()));
    let deployments = Deployments::open(Files::Memory(Default::default())).expect("there are none");
    let limits = Default::default();
    let hub = Hub::start("h", store.clone(), deployments, limits, payloads, sink, &shutdown).expect("it starts");
    let nobody = InstanceId::parse("nobody").expect("an id");
    let raise = |id: InstanceId| move |call| Input::Raise(call, id, "event".into(), None);
    let refused = hub.call(raise(nobody.clone())).await.expect_err("there is no such instance");
    assert_eq!(refused.code(), tonic::Code::NotFound);
    store.refuse_loads();
    let refused = hub.call(raise(nobody)).await.expect_err("it cannot be looked up");
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    let (name, why) = fatal.recv().await.expect("it says why");
    assert_eq!(name, "h");
    assert!(matches!(&why, Fatal::Store(StoreError::Io(text)) if text.contains("on purpose")), "{why}");
}
