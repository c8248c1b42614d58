//! What happens to the components of a running host, for whoever tells people.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{LoadFailure, LoadedComponent};

/// Something that happened to the components of a running host.
#[derive(Debug)]
pub enum Notice {
    /// A component is run from now on.
    Deployed {
        /// The component.
        component: Arc<LoadedComponent>,
        /// From when it was found to when it could be run.
        took: Duration,
    },
    /// A component that is run has another manifest: the limits and capabilities of this one count for what begins from now on.
    Regranted(Arc<LoadedComponent>),
    /// A component that came from the scheduler is not deployed any more: nothing new runs on it.
    Retired(Arc<LoadedComponent>),
    /// A component is not run. What is run already goes on.
    LeftOut(LoadFailure),
    /// The file of a component that is run is gone, or holds another component. The host goes on running what it held until it ends.
    FileGone {
        /// The file.
        path: PathBuf,
        /// What it held.
        component: Arc<LoadedComponent>,
    },
    /// The folder cannot be read any more. The host goes on with what it has.
    FolderLost {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The folder can be read again.
    FolderBack(PathBuf),
}

/// Where notices go.
pub type Notices = mpsc::UnboundedSender<Notice>;
