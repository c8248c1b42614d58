//! The thread that writes: one batch after the other, each on disk before the next.

use std::sync::Arc;

use super::Message;
use crate::core::batch::Batch;
use crate::core::ids::BatchSeq;
use crate::store::{Store, StoreError};

/// Starts the writer. It ends when the sender of batches is dropped.
pub(super) fn start(
    hub: &str,
    store: Arc<dyn Store>,
    done: crossbeam_channel::Sender<Message>,
) -> Result<crossbeam_channel::Sender<(BatchSeq, Batch)>, StoreError> {
    let (sender, receiver) = crossbeam_channel::bounded::<(BatchSeq, Batch)>(1);
    let run = move || {
        for (seq, batch) in receiver {
            let commit = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.commit(&batch)));
            let message = match commit {
                Ok(Ok(())) => Message::Committed(seq),
                // What is on disk is not known any more: nothing further is written, and nothing is said.
                Ok(Err(error)) => Message::Failed(error),
                Err(_) => Message::Failed(StoreError::Io("the store panicked while it wrote".into())),
            };
            let failed = matches!(message, Message::Failed(_));
            if done.send(message).is_err() || failed {
                return;
            }
        }
    };
    match std::thread::Builder::new().name(format!("store-{hub}")).spawn(run) {
        Ok(_) => Ok(sender),
        Err(error) => Err(StoreError::Io(format!("cannot start the thread that writes: {error}"))),
    }
}
