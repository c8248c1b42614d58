//! What is deployed in a task hub: versions of components, and which of them new orchestrations begin on.
//!
//! [`Catalogue`] decides, without any I/O; [`files`] keeps what it decided and the components' bytes. The bytes are not kept in the hub's
//! own store, whose writer must never wait for megabytes.

mod catalogue;
pub mod files;

use std::sync::Arc;

use durawasm_proto::v1;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::core::versions::{Canary, DefaultVersion, Defaults};
use crate::store::StoreError;
pub use catalogue::{Catalogue, Refused, Usage};
use files::Files;

/// The deployments of one hub.
pub struct Deployments {
    files: Mutex<Files>,
    current: watch::Sender<Arc<Catalogue>>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It makes no sense.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Deployments {
    /// Opens what is kept.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn open(mut files: Files) -> Result<Self, StoreError> {
        let catalogue = files.recover()?;
        Ok(Self { files: Mutex::new(files), current: watch::Sender::new(Arc::new(catalogue)) })
    }

    /// What is deployed.
    #[must_use]
    pub fn current(&self) -> Arc<Catalogue> {
        Arc::clone(&self.current.borrow())
    }

    /// Learns of each change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.current.subscribe()
    }

    /// Changes what is deployed. It is on disk when this returns. `bytes` are those of a component that the change adds; `then` is called
    /// with what is deployed from then on, before the next change is made.
    ///
    /// # Errors
    /// If the change makes no sense or cannot be kept. Nothing has changed then.
    pub fn change(
        &self,
        bytes: Option<(&str, &[u8])>,
        decide: impl FnOnce(&mut Catalogue) -> Result<(), Refused>,
        then: impl FnOnce(&Catalogue),
    ) -> Result<Arc<Catalogue>, ChangeError> {
        let mut files = self.files.lock();
        let before = self.current();
        let mut catalogue = Catalogue::clone(&before);
        decide(&mut catalogue)?;
        if catalogue == *before {
            return Ok(before);
        }
        catalogue.touch();
        if let Some((content, bytes)) = bytes {
            files.put(content, bytes)?;
        }
        files.keep(&catalogue)?;
        let catalogue = Arc::new(catalogue);
        then(&catalogue);
        self.current.send_replace(Arc::clone(&catalogue));
        files.sweep(&catalogue);
        Ok(catalogue)
    }

    /// The bytes of a component by their SHA-256, or None.
    ///
    /// # Errors
    /// If they cannot be read, or are not what was deployed.
    pub fn bytes(&self, content: &str) -> Result<Option<Arc<[u8]>>, StoreError> {
        let reader = self.files.lock().reader();
        reader.bytes(content)
    }
}

/// The versions that new orchestrations begin on, as the core takes them.
#[must_use]
pub fn defaults(list: &[v1::OrchestratorDefault]) -> Defaults {
    let default = |default: &v1::OrchestratorDefault| {
        let canary =
            (default.canary_share > 0).then(|| Canary { version: default.canary.clone(), share: default.canary_share });
        (default.name.clone(), DefaultVersion { version: default.version.clone(), canary })
    };
    list.iter().map(default).collect()
}
