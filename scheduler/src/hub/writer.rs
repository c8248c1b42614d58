//! The thread that writes: one batch after the other, each on disk before the next.

use std::sync::Arc;

use super::Message;
use crate::core::batch::Batch;
use crate::core::ids::BatchSeq;
use crate::store::Store;

/// Starts the writer. It ends when the sender of batches is dropped.
pub(super) fn start(
    hub: &str,
    store: Arc<dyn Store>,
    done: crossbeam_channel::Sender<Message>,
) -> crossbeam_channel::Sender<(BatchSeq, Batch)> {
    let (sender, receiver) = crossbeam_channel::bounded::<(BatchSeq, Batch)>(1);
    let run = move || {
        for (seq, batch) in receiver {
            let message = match store.commit(&batch) {
                Ok(()) => Message::Committed(seq),
                // What is on disk is not known any more: nothing further is written, and nothing is said.
                Err(error) => Message::Failed(error),
            };
            let failed = matches!(message, Message::Failed(_));
            if done.send(message).is_err() || failed {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name(format!("store-{hub}")).spawn(run);
    if let Err(error) = thread {
        tracing::error!(%hub, %error, "cannot start the store's writer");
    }
    sender
}
