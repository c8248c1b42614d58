//! What is deployed in a task hub: versions of components, and which of them new orchestrations begin on.
//!
//! [`Catalogue`] decides, without any I/O; [`files`] keeps what it decided and the components' bytes. The bytes are not kept in the hub's
//! own store, whose writer must never wait for megabytes.

mod catalogue;
pub mod files;
mod usage;

use std::sync::Arc;

use durawasm_proto::v1;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::core::versions::{Canary, DefaultVersion, Defaults};
use crate::store::StoreError;
pub use catalogue::{Catalogue, Refused};
use files::Files;
pub use usage::{OpenActivities, Usage};

/// The deployments of one hub.
pub struct Deployments {
    /// None: the hub is stopping, and what is in the folder is not ours any more.
    files: Mutex<Option<Files>>,
    current: watch::Sender<Arc<Catalogue>>,
    /// Lets one component come in at a time, since all of it is in memory until it is on disk.
    pub(crate) uploads: Semaphore,
}

/// Why a change was not made, or something not read.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It makes no sense.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be kept, or not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The hub is stopping.
    #[error("the task hub is stopping")]
    Closed,
}

impl Deployments {
    /// Opens what is kept.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn open(mut files: Files) -> Result<Self, StoreError> {
        let catalogue = files.recover()?;
        Ok(Self {
            files: Mutex::new(Some(files)),
            current: watch::Sender::new(Arc::new(catalogue)),
            uploads: Semaphore::new(1),
        })
    }

    /// Nothing is changed or read after this: the hub stops, and its folder may be deleted, or be another's. A change that is being made
    /// is waited for.
    pub fn close(&self) {
        drop(self.files.lock().take());
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

    /// Changes what is deployed. It is on disk when this returns. `bytes` are those of a component that the change adds, or of one that is
    /// there and whose own are damaged; `then` is called with what is deployed from then on, before the next change is made.
    ///
    /// # Errors
    /// If the change makes no sense: then nothing has changed. Or if it cannot be kept: then nobody sees anything of it, but a disk that
    /// failed at the very last may show it after a restart, as a whole, unless another change was made before that.
    pub fn change(
        &self,
        bytes: Option<(&str, &[u8])>,
        decide: impl FnOnce(&mut Catalogue) -> Result<(), Refused>,
        then: impl FnOnce(&Catalogue),
    ) -> Result<Arc<Catalogue>, ChangeError> {
        let mut files = self.files.lock();
        let Some(files) = &mut *files else { return Err(ChangeError::Closed) };
        let before = self.current();
        let mut catalogue = Catalogue::clone(&before);
        decide(&mut catalogue)?;
        // What is named is there, always.
        let named = |version: &v1::ComponentVersion| before.names(&version.content);
        let brought = |version: &v1::ComponentVersion| bytes.is_some_and(|(content, _)| *content == version.content);
        if let Some(lacking) = catalogue.wire().versions.iter().find(|version| !named(version) && !brought(version)) {
            let (name, version) = (lacking.name.clone(), lacking.version.clone());
            return Err(Refused::Vanished { name, version }.into());
        }
        // Also if nothing else changes: they take the place of what is damaged.
        if let Some((content, bytes)) = bytes {
            files.put(content, bytes)?;
        }
        if catalogue == *before {
            return Ok(before);
        }
        catalogue.touch();
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
    pub fn bytes(&self, content: &str) -> Result<Option<Arc<[u8]>>, ChangeError> {
        let reader = self.files.lock().as_ref().map(Files::reader).ok_or(ChangeError::Closed)?;
        Ok(reader.bytes(content)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn component(bytes: &[u8]) -> v1::ComponentVersion {
        let content = files::content_of(bytes);
        let (name, version, digest) = ("shop".to_owned(), "1.0".to_owned(), content.clone());
        v1::ComponentVersion { name, version, digest, content, bytes: bytes.len() as u64, ..Default::default() }
    }

    fn deploy(deployments: &Deployments, bytes: Option<&[u8]>) -> Result<u64, ChangeError> {
        let component = component(b"bytes");
        let content = component.content.clone();
        let bytes = bytes.map(|bytes| (content.as_str(), bytes));
        let changed = deployments.change(bytes, |catalogue| catalogue.add(component).map(drop), |_| {});
        changed.map(|catalogue| catalogue.wire().revision)
    }

    #[test]
    fn a_catalogue_never_names_bytes_that_are_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let deployments = Deployments::open(Files::Folder(folder.path().join("h.components"))).expect("it is empty");
        assert_eq!(deploy(&deployments, Some(b"bytes")).expect("it is new"), 1);
        assert_eq!(deploy(&deployments, None).expect("it is there"), 1);
        // Between a look, at which it was there, and the change, it is removed.
        let remove = |catalogue: &mut Catalogue| catalogue.remove("shop", "1.0", &Usage::default(), false);
        deployments.change(None, remove, |_| {}).expect("nobody needs it");
        let vanished = deploy(&deployments, None).expect_err("its bytes are gone");
        assert!(matches!(vanished, ChangeError::Refused(Refused::Vanished { .. })), "{vanished}");
        assert!(deployments.current().wire().versions.is_empty());
        assert_eq!(deploy(&deployments, Some(b"bytes")).expect("it is new again"), 3);
    }

    #[test]
    fn bytes_that_come_again_take_the_place_of_damaged_ones_and_nothing_else_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let deployments = Deployments::open(Files::Folder(folder.path().join("h.components"))).expect("it is empty");
        assert_eq!(deploy(&deployments, Some(b"bytes")).expect("it is new"), 1);
        let content = files::content_of(b"bytes");
        std::fs::write(folder.path().join("h.components").join(format!("{content}.wasm")), "bites").expect("written");
        assert!(matches!(deployments.bytes(&content), Err(ChangeError::Store(StoreError::Corrupt(_)))));
        assert_eq!(deploy(&deployments, Some(b"bytes")).expect("it is there"), 1);
        assert_eq!(deployments.bytes(&content).expect("it is whole").as_deref(), Some(b"bytes".as_slice()));
    }

    #[test]
    fn bytes_and_folders_that_an_earlier_process_left_are_made_durable_before_a_catalogue_names_them() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("h.components");
        let path = folder.join(format!("{}.wasm", files::content_of(b"bytes")));
        std::fs::create_dir(&folder).expect("it is made");
        std::fs::write(&path, "bytes").expect("it is written");
        let deployments = Deployments::open(Files::Folder(folder.clone())).expect("it is empty");
        assert_eq!(deploy(&deployments, Some(b"bytes")).expect("it is new"), 1);
        let synced = crate::store::durable::witness::take(root.path());
        // For the bytes, then for the catalogue.
        assert_eq!(synced, [root.path(), &folder, root.path(), &folder]);
    }

    #[test]
    fn what_is_closed_changes_nothing_and_makes_no_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let deployments = Deployments::open(Files::Folder(folder.path().join("h.components"))).expect("it is empty");
        deployments.close();
        assert!(matches!(deploy(&deployments, Some(b"bytes")), Err(ChangeError::Closed)));
        assert!(matches!(deployments.bytes(&files::content_of(b"bytes")), Err(ChangeError::Closed)));
        assert!(!folder.path().join("h.components").exists());
    }
}
